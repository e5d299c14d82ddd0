"""The way to one host: its addresses raced, and those that may still do one by one."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final

import aiohttp
from yarl import URL

from matrix_resolve.core.names import parse_ip_literal
from matrix_resolve.transport.pinning import Find, SocketAddress, pin
from matrix_resolve.transport.sockets import new_record
from matrix_resolve.transport.words import in_words

_HTTPS_PORT: Final = 443


class Dialling:
    """Connects to a host and port within `connect_timeout` seconds, and sends one request.

    `find` gives the (IP address, port) pairs to dial, in order; it is called when there is no open
    connection to reuse. `connect_to` maps (host in lower case, port) to one to dial in their
    place. `failures` tells why each address, or None for the host as a whole, could not be
    connected to.
    """

    def __init__(
        self,
        session: aiohttp.ClientSession,
        host: str,
        port: int,
        find: Find,
        *,
        connect_timeout: float,
        connect_to: Mapping[SocketAddress, SocketAddress],
    ) -> None:
        self._session = session
        self._host = host.lower()  # so that spellings of a name share connections
        self._port = port
        self._find = find
        self._mapped = connect_to.get((self._host, port))
        self._is_literal = parse_ip_literal(host) is not None
        self._connect_timeout = connect_timeout
        self._until = asyncio.get_running_loop().time() + connect_timeout
        self._found: Sequence[SocketAddress] = ()
        self.failures: dict[str | None, str] = {}

    async def request(
        self,
        method: str,
        path: str,
        *,
        limits: Callable[[float], aiohttp.ClientTimeout],
        can_repeat: bool = True,
        **settings: Any,
    ) -> aiohttp.ClientResponse | None:
        """Return the response, None if no address takes a connection.

        `path` goes out byte for byte. `limits` gives the time-outs, of which so many seconds are
        for connecting. Without `can_repeat` there is only one attempt. Raises what `find` raises,
        and what happens on a connection.
        """
        url = URL(f"https://{self._authority()}{path}", encoded=True)
        send = partial(self._session.request, method, url, allow_redirects=False, **settings)
        if self._is_literal:  # aiohttp dials it without asking for addresses
            await self._look_up()
        response = await self._attempt(self._look_up, send, limits)
        # When TLS fails at one address, aiohttp goes on without the first of each family, not
        # without that one; and of several that failed it tells the last race only. So each that
        # has not failed by itself is now dialled by itself.
        raced = len(self.failures) > 1
        left = [found for found in self._found if raced or found[0] not in self.failures]
        for place, found in enumerate(left):
            if response is None and can_repeat:
                share = 1 / (len(left) - place)
                response = await self._attempt(_just(found), send, limits, share)
        return response

    def _authority(self) -> str:
        """Return what stands in the URL: a literal is dialled as it stands there."""
        at = self._host, self._port
        if self._is_literal and self._mapped is not None:
            at = self._mapped
        host, port = at
        bracketed = f"[{host}]" if ":" in host else host
        return bracketed if port == _HTTPS_PORT else f"{bracketed}:{port}"

    async def _look_up(self) -> Sequence[SocketAddress]:
        found = await self._find()
        self._found = found if self._mapped is None else [self._mapped]
        return self._found

    async def _attempt(
        self,
        find: Find,
        send: Callable[..., Awaitable[aiohttp.ClientResponse]],
        limits: Callable[[float], aiohttp.ClientTimeout],
        share: float = 1.0,
    ) -> aiohttp.ClientResponse | None:
        """Return the response if any of the addresses takes a connection.

        For that there is a `share` of the time that is left.
        """
        late = f"no connection within {self._connect_timeout:g} s"
        left = self._until - asyncio.get_running_loop().time()
        if left <= 0:
            self.failures = self.failures or {None: late}
            return None
        pin(find, self._host)
        dialled = new_record()
        try:
            return await send(timeout=limits(left * share))
        except aiohttp.ConnectionTimeoutError:
            reason = late
        except (aiohttp.ClientConnectorError, aiohttp.ClientHttpProxyError) as error:
            reason = in_words(error)
        at: Sequence[str | None] = dialled or [None]
        self.failures |= dict.fromkeys(at, reason)
        return None


def _just(address: SocketAddress) -> Find:
    async def just() -> Sequence[SocketAddress]:
        return [address]

    return just
