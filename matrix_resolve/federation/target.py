"""The way to one target of a resolution: its addresses raced, and why it could not be reached."""

import asyncio
import io
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
from matrix_resolve.errors import AddressLookupError, AddressNotAllowedError
from matrix_resolve.resolver import Resolver
from matrix_resolve.transport.pinning import Addresses, SocketAddress, pin

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
        self.connect_timeout = timeout.connect
        self._timeout = timeout
        now = asyncio.get_running_loop().time()
        # 0 is no limit, as aiohttp has it.
        self._ends_at = now + timeout.total if timeout.total else None

    def in_time(self) -> asyncio.Timeout:
        """Return what raises `TimeoutError` when the time of the request is used up."""
        return asyncio.timeout_at(self._ends_at)

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
            connect=connect,
            sock_read=given.sock_read,
            sock_connect=given.sock_connect,
            ceil_threshold=given.ceil_threshold,
        )

    @property
    def has_one_try(self) -> bool:
        """Whether the body is an open file, which aiohttp closes (in a while) at any failure."""
        data = self.kwargs.get("data")
        return isinstance(data, io.IOBase) and not isinstance(data, io.BytesIO | io.StringIO)


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
        self._connect_timeout = min(connect_timeout, request.connect_timeout or connect_timeout)
        self._target = target
        self._to_one = evolve(resolution, targets=(target,))
        self._until = asyncio.get_running_loop().time() + self._connect_timeout
        self._literal = parse_ip_literal(target.host)
        self._mapped = connect_to.get((target.host.lower(), target.port))
        # aiohttp dials a literal as it stands in the URL, without asking its resolver.
        at = self._mapped if self._literal is not None and self._mapped is not None else None
        authority = str(target) if at is None else str(Target(host=at[0], port=at[1]))
        # In lower case, so that spellings of a name share connections.
        self._url = URL(f"https://{authority.lower()}{request.path}", encoded=True)
        self._found: Sequence[SocketAddress] = ()
        self._why: dict[str | None, str] = {}  # address -> why it could not be connected to
        self._known: set[str] = set()  # those of them for which that is certain

    async def response(self) -> aiohttp.ClientResponse | None:
        """Return the response, None if the target can't be connected to.

        Raises `AddressNotAllowedError`, and what happens on a connection.
        """
        try:
            if self._literal is not None:
                await self._look_up()
            response = await self._connected(self._look_up)
        except AddressLookupError as error:
            self._why[None] = error.reason
            return None
        except AddressNotAllowedError as error:
            self._why |= dict.fromkeys(map(str, error.addresses), "the address policy forbids it")
            raise
        # When TLS fails at one address, aiohttp goes on without the first of each family, not
        # without that one, and in the end it tells of the last race only. So each address that
        # is not known to have failed is dialled by itself.
        left = [found for found in self._found if found[0] not in self._known]
        for place, found in enumerate(left):
            if response is None:
                response = await self._connected(_just(found), 1 / (len(left) - place))
        return response

    @property
    def attempts(self) -> list[Attempt]:
        """Each address that could not be connected to, or None for the whole target, and why."""
        return [
            Attempt(
                target=self._target, address=None if at is None else ip_address(at), reason=reason
            )
            for at, reason in self._why.items()
        ]

    async def _look_up(self) -> Sequence[SocketAddress]:
        """Return the addresses to dial: looked up, allowed, in order."""
        endpoints = await self._resolver.endpoints(self._to_one)
        found = [(str(endpoint.address), endpoint.port) for endpoint in endpoints]
        self._found = found if self._mapped is None else [self._mapped]
        return self._found

    async def _connected(
        self, addresses: Addresses, share: float = 1.0
    ) -> aiohttp.ClientResponse | None:
        """Return the response if there is a connection, or if any of `addresses` takes one.

        For that there is a `share` of the time that the target has left.
        """
        left = self._until - asyncio.get_running_loop().time()
        if left <= 0 or (self._why and self._request.has_one_try):
            return None
        request, resolution = self._request, self._to_one
        headers = request.headers.copy()
        headers["Host"] = resolution.host_header
        dialled.set([])
        pin(addresses, self._target.host)
        try:
            return await self._session.request(
                request.method,
                self._url,
                headers=headers,
                allow_redirects=False,
                server_hostname=resolution.tls_name.lower(),
                timeout=request.timeout(left * share),
                **request.kwargs,
            )
        except aiohttp.ConnectionTimeoutError:
            reason = f"no connection within {self._connect_timeout:g} s"
            concerned = dialled.get()
        except (aiohttp.ClientConnectorError, aiohttp.ClientHttpProxyError) as error:
            reason, text = _in_words(error), str(error)
            concerned = [at for at in dialled.get() if repr(at) in text]
        begun = set(dialled.get())
        self._why |= dict.fromkeys(dialled.get() or (None,), reason)
        self._known.update(concerned if len(begun) > 1 else begun)
        return None


def _just(address: SocketAddress) -> Addresses:
    async def just() -> Sequence[SocketAddress]:
        return [address]

    return just


def _in_words(error: Exception) -> str:
    """Return a reason for a person: the cause that aiohttp wraps, on one line."""
    cause = error.__cause__ or error
    told = " ".join(str(cause).split()) or type(cause).__name__
    return ascii(told[:_MAX_REASON])[1:-1]
