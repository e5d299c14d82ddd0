"""A client that sends requests where a `Resolution` says, on aiohttp."""

import asyncio
import re
import ssl
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Final
from weakref import WeakSet

import aiohttp
from multidict import CIMultiDict

from matrix_resolve.core.generations import Generations
from matrix_resolve.core.names import IPAddress, ServerName
from matrix_resolve.core.resolution import Resolution, Target
from matrix_resolve.errors import AddressNotAllowedError, ConnectError, shown
from matrix_resolve.federation.target import Attempt, Outgoing, TargetRequest
from matrix_resolve.resolver import Resolver
from matrix_resolve.transport.pinning import SocketAddress
from matrix_resolve.transport.session import open_session
from matrix_resolve.transport.sockets import Sockets

# A target that could not be reached is tried after the others for so long (seconds).
_TRIED_LAST_FOR: Final = 60.0
_MOST_FAILED: Final = 10_000
_REFUSED: Final = frozenset(
    {"params", "allow_redirects", "server_hostname", "ssl", "proxy"}
    | {"ssl_context", "verify_ssl", "fingerprint"}  # what `ssl` was called before
)
# A path and query that can go out as they are: no space, control, or fragment, no empty query.
_PATH: Final = re.compile(r"/[\x21\x22\x24-\x3e\x40-\x7e]*(\?[\x21\x22\x24-\x7e]+)?")


def open_federation_client(
    resolver: Resolver,
    *,
    ssl_context: ssl.SSLContext | None = None,
    timeout: float | None = 60.0,
    connect_timeout: float = 5.0,
    max_connections: int = 1000,
    trust_env: bool = False,
    connect_to: Mapping[SocketAddress, SocketAddress] | None = None,
) -> "AbstractAsyncContextManager[FederationClient]":
    """Open a client that finds servers with `resolver`, which keeps its owner.

    `ssl_context` None means the system's trust store. `timeout` in seconds is for a whole request,
    from finding the server to the end of the body; `connect_timeout` for each target: its address
    lookup, TCP and TLS. At most `max_connections` requests are under way, more wait their turn;
    with that many connections open, idle ones included, further ones are closed after use. An
    open connection takes up to 300 kB.
    `trust_env` lets the environment name a proxy, past which the address policy can't hold.

    `connect_to` maps (host, port) to the (IP address, port) to dial in its place, as of
    `AiohttpWellKnownFetcher`: for tests.
    """
    return _opened(
        resolver,
        ssl_context,
        trust_env=trust_env,
        timeout=timeout,
        connect_timeout=connect_timeout,
        max_connections=max_connections,
        connect_to={} if connect_to is None else connect_to,
    )


@asynccontextmanager
async def _opened(
    resolver: Resolver, ssl_context: ssl.SSLContext | None, *, trust_env: bool, **settings: Any
) -> "AsyncIterator[FederationClient]":
    sockets = Sockets()
    async with open_session(sockets, ssl_context=ssl_context, trust_env=trust_env) as session:
        client = FederationClient(resolver, session, sockets, **settings)
        try:
            yield client
        finally:
            # aiohttp would leave who reads a body waiting for more.
            for response in [*client._responses]:
                response.close()


class FederationClient:
    """Sends requests to servers by their Matrix names; made by `open_federation_client()`."""

    def __init__(
        self,
        resolver: Resolver,
        session: aiohttp.ClientSession,
        sockets: Sockets,
        *,
        timeout: float | None,
        connect_timeout: float,
        max_connections: int,
        connect_to: Mapping[SocketAddress, SocketAddress],
    ) -> None:
        self._resolver = resolver
        self._session = session
        self._sockets = sockets
        self._timeout = timeout
        self._connect_timeout = connect_timeout
        self._max_connections = max_connections
        self._slots = asyncio.Semaphore(max_connections)
        self._connect_to = connect_to
        self._responses = WeakSet[aiohttp.ClientResponse]()
        self._failed = Generations[tuple[str, int, str], float](_MOST_FAILED)

    @asynccontextmanager
    async def request(
        self, method: str, server_name: str | ServerName, path: str, **kwargs: Any
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """Send a request to `server_name`, and give the response, whatever its status.

        `path` with its query goes out byte for byte as given, since signatures cover it.
        `kwargs` are aiohttp's (json, data, headers, timeout, ...), but for `params`,
        `allow_redirects`, `server_hostname`, `ssl` (and its older forms), `proxy` and a `Host`
        header (`TypeError`). `response.url` shows the target. Redirects are not followed.

        Targets are tried one after another, those that failed lately last. Of one target the
        addresses are raced (RFC 8305), and a TLS failure at one goes on to the next. When every
        target has failed, that is reported to the resolver, and what it finds then is tried once
        more. Nothing is sent before a connection stands, and then only once; except that aiohttp
        sends a request of an idempotent method (never POST) a second time when the connection
        closes before the head of a response is complete. A body that is an open file is closed by
        the first failure, which is then the last.

        Raises what `Resolver.resolve` raises, `AddressNotAllowedError` when the policy forbids
        every address, `ConnectError` when no target could be reached, `ValueError` for a path
        that can't be sent as it stands, and aiohttp's errors and `TimeoutError` for what happens
        on a connection.
        """
        request = self._prepared(method, path, kwargs)
        async with request.in_time():
            await self._slots.acquire()
        try:
            if self._sockets.open_at_least(self._max_connections):
                request.headers.setdefault("Connection", "close")
            response = await self._send(request, server_name)
            self._responses.add(response)
            async with response:
                yield response
        finally:
            self._slots.release()

    def _prepared(self, method: str, path: str, kwargs: dict[str, Any]) -> Outgoing:
        refused = _REFUSED & kwargs.keys()
        if refused:
            raise TypeError(f"{', '.join(sorted(refused))}: not for a federation request")
        if not _PATH.fullmatch(path):
            raise ValueError(f"not a path that can be sent as it stands: {shown(path)}")
        headers = CIMultiDict(kwargs.pop("headers", None) or ())
        if "Host" in headers:
            raise TypeError("the Host header follows from the server name")
        timeout = kwargs.pop("timeout", self._timeout)
        if not isinstance(timeout, aiohttp.ClientTimeout):
            timeout = aiohttp.ClientTimeout(total=timeout)
        return Outgoing(method, path, headers, timeout, kwargs)

    async def _send(
        self, request: Outgoing, server_name: str | ServerName
    ) -> aiohttp.ClientResponse:
        """Go through the targets, and once more through those of a fresh resolution."""
        attempts: list[Attempt] = []
        for last in (False, True):
            async with request.in_time():
                resolution = await self._resolver.resolve(server_name)
            response = await self._go_through(resolution, request, attempts)
            if response is not None:
                return response
            if request.has_one_try:
                break
            if not last:
                async with request.in_time():
                    await self._resolver.report_unreachable(resolution)
        told = "; ".join(dict.fromkeys(map(str, attempts)))
        if request.has_one_try:
            told += "; the body, an open file, can't be sent again"
        raise ConnectError(f"{server_name} can't be reached: {told}", attempts)

    async def _go_through(
        self, resolution: Resolution, request: Outgoing, attempts: list[Attempt]
    ) -> aiohttp.ClientResponse | None:
        """Return the response of the first target that can be reached, None if none can."""
        forbidden: list[IPAddress] = []
        only_forbidden = True
        for target in self._in_order(resolution):
            request_to = TargetRequest(
                self._resolver,
                self._session,
                resolution,
                target,
                request,
                connect_timeout=self._connect_timeout,
                connect_to=self._connect_to,
            )
            key = (target.host, target.port, resolution.tls_name)
            response = None
            try:
                response = await request_to.response()
                only_forbidden = False
            except AddressNotAllowedError as error:
                forbidden += error.addresses
            except TimeoutError:
                if not attempts:  # or short requests would never come to the other targets
                    self._try_last(key)
                raise
            if response is not None:
                self._failed.delete(key)
                return response
            self._try_last(key)
            attempts += request_to.attempts
            if request.has_one_try:
                break
        if only_forbidden:
            raise AddressNotAllowedError(str(resolution.server_name), forbidden)
        return None

    def _try_last(self, key: tuple[str, int, str]) -> None:
        self._failed.put(key, asyncio.get_running_loop().time() + _TRIED_LAST_FOR)

    def _in_order(self, resolution: Resolution) -> Sequence[Target]:
        """Return the targets, those that failed lately last."""
        if len(resolution.targets) == 1:
            return resolution.targets
        now = asyncio.get_running_loop().time()

        def failed_lately(target: Target) -> bool:
            key = (target.host, target.port, resolution.tls_name)
            return (self._failed.get(key) or 0.0) > now

        return sorted(resolution.targets, key=failed_lately)
