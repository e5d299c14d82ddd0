"""The way to one target of a resolution: its addresses raced, and why it could not be reached."""

import asyncio
from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from ipaddress import ip_address
from typing import Any, Final

import aiohttp
from attrs import evolve, frozen
from multidict import CIMultiDict
from yarl import URL

from matrix_resolve.core.names import IPAddress, parse_ip_literal
from matrix_resolve.core.resolution import Resolution, Target
from matrix_resolve.errors import AddressLookupError
from matrix_resolve.pinning import Addresses, SocketAddress, pin
from matrix_resolve.resolver import Resolver

# Of an error message, which may quote what a stranger sent.
_MAX_REASON: Final = 200

# The IP addresses that the request of this task has dialled so far.
dialled: ContextVar[list[str]] = ContextVar("dialled")


@frozen(kw_only=True)
class Attempt:
    """A target, or one address of it, that was not reached, and why."""

    target: Target
    address: IPAddress | None
    reason: str

    def __str__(self) -> str:
        at = "" if self.address is None else f" at {self.address}"
        return f"{self.target}{at}: {self.reason}"


class Outgoing:
    """What is to be sent, and until when."""

    def __init__(
        self,
        method: str,
        path: str,
        headers: CIMultiDict[str],
        timeout: aiohttp.ClientTimeout,
        kwargs: Mapping[str, Any],
    ) -> None:
        self.method = method
        self.path = path
        self.headers = headers
        self.kwargs = kwargs
        self._timeout = timeout
        now = asyncio.get_running_loop().time()
        self._ends_at = None if timeout.total is None else now + timeout.total

    def timeout(self, connect: float) -> aiohttp.ClientTimeout:
        """Return the time that is left, of which `connect` seconds are for connecting."""
        total = None
        if self._ends_at is not None:
            total = self._ends_at - asyncio.get_running_loop().time()
            if total <= 0:
                raise TimeoutError("the time of the request is used up")
        given = self._timeout
        return aiohttp.ClientTimeout(
            total=total,
            connect=min(connect, given.connect or connect),
            sock_read=given.sock_read,
            sock_connect=given.sock_connect,
            ceil_threshold=given.ceil_threshold,
        )

    @property
    def is_spent(self) -> bool:
        """Whether the body can't be sent any more: aiohttp closes a file when connecting fails."""
        return getattr(self.kwargs.get("data"), "closed", False) is True


class Reaching:
    """The way to one target: its addresses, and why they could not be connected to."""

    def __init__(
        self,
        resolver: Resolver,
        session: aiohttp.ClientSession,
        resolution: Resolution,
        target: Target,
        request: Outgoing,
        *,
        connect_timeout: float,
        connect_to: Mapping[SocketAddress, SocketAddress],
    ) -> None:
        self._resolver = resolver
        self._session = session
        self._request = request
        self._connect_timeout = connect_timeout
        self._to_one = evolve(resolution, targets=(target,))
        self._until = asyncio.get_running_loop().time() + connect_timeout
        self._literal = parse_ip_literal(target.host)
        self._mapped = connect_to.get((target.host.lower(), target.port))
        # aiohttp dials a literal as it stands in the URL, without asking its resolver.
        at = self._mapped if self._literal is not None and self._mapped is not None else None
        authority = str(target) if at is None else str(Target(host=at[0], port=at[1]))
        self._url = URL(f"https://{authority}{request.path}", encoded=True)
        self._found: Sequence[SocketAddress] = ()
        self._tls_failed = False
        self.attempts: list[Attempt] = []

    async def response(self) -> aiohttp.ClientResponse | None:
        """Return the response, None if the target can't be connected to.

        Raises `AddressNotAllowedError`, and what happens on a connection.
        """
        try:
            if self._literal is not None:
                await self._look_up()
            response = await self._connected(self._look_up)
        except AddressLookupError as error:
            self.failed(error.reason)
            return None
        # When TLS fails, aiohttp goes on without the first address of each family, not without
        # the one that failed. So what it has not dialled is tried, and then what it may only have
        # begun to dial.
        begun = dialled.get()
        for address in sorted(self._found, key=lambda found: found[0] in begun):
            if response is None and self._tls_failed and [address[0]] != begun:
                response = await self._connected(_just(address))
        return response

    def failed(self, reason: str, *addresses: IPAddress) -> None:
        """Note why the target, or some of its addresses, could not be connected to."""
        target = self._to_one.targets[0]
        self.attempts += (
            Attempt(target=target, address=address, reason=reason)
            for address in addresses or (None,)
        )

    async def _look_up(self) -> Sequence[SocketAddress]:
        """Return the addresses to dial: looked up, allowed, in order."""
        endpoints = await self._resolver.endpoints(self._to_one)
        found = [(str(endpoint.address), endpoint.port) for endpoint in endpoints]
        self._found = found if self._mapped is None else [self._mapped]
        return self._found

    async def _connected(self, addresses: Addresses) -> aiohttp.ClientResponse | None:
        """Return the response if there is a connection, or if any of `addresses` takes one."""
        left = self._until - asyncio.get_running_loop().time()
        if left <= 0 or self._request.is_spent:
            return None
        request, resolution = self._request, self._to_one
        headers = request.headers.copy()
        headers["Host"] = resolution.host_header
        dialled.set([])
        pin(addresses)
        try:
            return await self._session.request(
                request.method,
                self._url,
                headers=headers,
                allow_redirects=False,
                server_hostname=resolution.tls_name,
                timeout=request.timeout(left),
                **request.kwargs,
            )
        except aiohttp.ConnectionTimeoutError:
            reason = f"no connection within {self._connect_timeout:g} s"
        except aiohttp.ClientConnectorError as error:
            reason = _in_words(error)
            self._tls_failed = isinstance(error, aiohttp.ClientSSLError)
        self.failed(reason, *map(ip_address, dict.fromkeys(dialled.get())))
        return None


def _just(address: SocketAddress) -> Addresses:
    async def just() -> Sequence[SocketAddress]:
        return [address]

    return just


def _in_words(error: aiohttp.ClientConnectorError) -> str:
    """Return a reason for a person: the cause that aiohttp wraps, on one line."""
    told = " ".join(str(error.__cause__ or error).split())
    return ascii(told[:_MAX_REASON])[1:-1]
