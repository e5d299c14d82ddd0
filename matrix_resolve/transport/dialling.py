"""The way to one host: a connection that is open, or else the first of its addresses to answer."""

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, Final

import aiohttp
from yarl import URL

from matrix_resolve.core.names import parse_ip_literal
from matrix_resolve.transport.attempts import Budget, ConnectionAttempt, Find, SocketAddress
from matrix_resolve.transport.failures import Failure
from matrix_resolve.transport.race import Dialler, Race

_HTTPS_PORT: Final = 443


class Dialling:
    """Connects to a host and port within `connect_timeout` seconds, and sends one request.

    `find` gives the (IP address, port) pairs to dial, in order; it is called when there is no open
    connection to use again, and has its own time; none found is none to dial. `proxy` are aiohttp's
    settings for one. `connected` is called when there is a connection. What is received is taken
    off `budget`. Why an address, or None for the host as a whole, could not be connected to, it
    tells in `failures`.
    """

    def __init__(
        self,
        dialler: Dialler,
        host: str,
        port: int,
        find: Find,
        *,
        connect_timeout: float,
        budget: Budget | None = None,
        proxy: Mapping[str, Any] | None = None,
        connected: Callable[[], None] = lambda: None,
        failures: dict[str | None, Failure] | None = None,
    ) -> None:
        self._dialler = dialler
        self._host = host.lower()  # so that spellings of a name share connections
        self._port = port
        self._find = find
        self._mapped = dialler.connect_to.get((self._host, port))
        self._connect_timeout = connect_timeout
        self._budget = budget or Budget()
        self._settings = proxy or {}
        self._proxy: str | None = self._settings.get("proxy")
        self._connected = connected
        self.failures: dict[str | None, Failure] = {} if failures is None else failures

    async def request(
        self,
        method: str,
        path: str,
        *,
        server_hostname: str,
        limits: Callable[[float | None], aiohttp.ClientTimeout],
        can_repeat: bool = True,
        **settings: Any,
    ) -> aiohttp.ClientResponse | None:
        """Return the response, None if no address takes a connection.

        `path` goes out byte for byte. `limits` gives the time-outs, of which so many seconds are
        for connecting. The addresses race for a connection, TLS and all, and the first one that
        has it is sent the request (RFC 8305). Without `can_repeat` there is one attempt, in which
        they race for TCP only. Raises what `find` raises, and what happens on a connection.
        """
        authority = self._authority()
        url = _url(authority, path)
        key = authority, server_hostname, self._proxy

        async def send(attempt: ConnectionAttempt, seconds: float | None) -> aiohttp.ClientResponse:
            attempt.begin()
            return await self._dialler.session.request(
                method,
                url,
                allow_redirects=False,
                server_hostname=server_hostname,
                timeout=limits(seconds),
                **self._settings,
                **settings,
            )

        if can_repeat and self._dialler.connections.has_idle(key):
            kept = self._attempt(key, None)
            try:
                return await send(kept, None)
            except aiohttp.ClientConnectorError:
                pass  # it has been closed meanwhile
            except aiohttp.ClientConnectionError:
                if kept.has_sent:
                    raise
        attempts = [self._attempt(key, at) for at in await self._ways(can_repeat)]
        if not attempts:
            return None
        return await Race(self._dialler, send, self._connect_timeout, self.failures).run(attempts)

    async def _ways(self, can_repeat: bool) -> Sequence[Sequence[SocketAddress]]:
        """Return the addresses of each attempt to make; a proxy, if there is one, has none."""
        found: Sequence[SocketAddress] = ()
        if self._proxy is None or self._is_literal():
            found = await self._find()
            if not found:
                return []
        if self._proxy is not None:
            failure = self._dialler.failure_of_proxy(self._proxy)
            if failure is not None:
                self.failures[None] = failure
            return [] if failure else [()]
        if self._mapped is not None:
            found = [self._mapped]
        elif self._dialler.connect_to:
            found = [self._dialler.connect_to.get(address, address) for address in found]
        addresses = self._dialler.in_order(found)
        return [[address] for address in addresses] if can_repeat else [addresses]

    def _attempt(
        self, key: Hashable, addresses: Sequence[SocketAddress] | None
    ) -> ConnectionAttempt:
        return ConnectionAttempt(key, addresses, self._budget, self._connected, self._proxy)

    def _authority(self) -> str:
        """Return what stands in the URL: a literal is dialled as it stands there."""
        at = self._host, self._port
        if self._mapped is not None and self._is_literal():
            at = self._mapped
        host, port = at
        bracketed = f"[{host}]" if ":" in host else host
        return bracketed if port == _HTTPS_PORT else f"{bracketed}:{port}"

    def _is_literal(self) -> bool:
        return parse_ip_literal(self._host) is not None


def _url(authority: str, path: str) -> URL:
    """Return the URL that sends `path`, with its query, byte for byte."""
    if path.find("?") == len(path) - 1:  # yarl keeps an empty query only as a part of the path
        return URL.build(scheme="https", authority=authority, path=path, encoded=True)
    return URL(f"https://{authority}{path}", encoded=True)
