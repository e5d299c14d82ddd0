"""A client that sends requests where a `Resolution` says, on aiohttp."""

import asyncio
import ssl
from collections.abc import Hashable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from functools import partial
from typing import Any, Unpack

import aiohttp
from attrs import define, field

from matrix_resolve.core.closeable import Closeable, Opening
from matrix_resolve.core.names import IPAddress, ServerName
from matrix_resolve.core.parts import check_part
from matrix_resolve.core.resolution import Resolution
from matrix_resolve.errors import AddressNotAllowedError, ConnectError
from matrix_resolve.federation.context import RequestContext
from matrix_resolve.federation.options import RequestOptions
from matrix_resolve.federation.outgoing import Limits, Outgoing
from matrix_resolve.federation.response import FederationResponse
from matrix_resolve.federation.target import Attempt, TargetRequest, told_of
from matrix_resolve.federation.telling import tell_failed
from matrix_resolve.federation.turns import Turns
from matrix_resolve.federation.unreachable import Unreachable
from matrix_resolve.resolver import Resolver
from matrix_resolve.transport.attempts import SocketAddress
from matrix_resolve.transport.connections import Connections, affordable
from matrix_resolve.transport.environment import EnvironmentProxy
from matrix_resolve.transport.failures import Failure, are_own
from matrix_resolve.transport.race import Dialler
from matrix_resolve.transport.session import open_session


def open_federation_client(
    resolver: Resolver,
    *,
    ssl_context: ssl.SSLContext | None = None,
    timeout: float | None = 60.0,
    connect_timeout: float = 5.0,
    max_connections: int | None = None,
    max_connections_per_server: int | None = None,
    keepalive_timeout: float = 15.0,
    max_body: int = 100 * 1024 * 1024,
    trust_env: bool = False,
    connect_to: Mapping[SocketAddress, SocketAddress] | None = None,
) -> "Opening[FederationClient]":
    """Open a client that finds servers with `resolver`, which keeps its owner.

        async with open_federation_client(resolver) as client: ...

    Or `client = await open_federation_client(resolver)`, and in the end `await client.aclose()`.

    The hooks of the resolver are told of the client's requests as well: `RequestBegun`,
    `RequestAnswered`, `TargetFailed` and `RequestFailed`.

    `ssl_context` None means the system's trust store. `timeout` in seconds is for a whole request,
    from waiting for its turn to the end of the body; `connect_timeout` for each target: for looking
    up its addresses, and again for TCP and TLS. A body of which `read()`, `text()` or `json()`
    would take more than `max_body` bytes is a `ResponseTooLargeError`.

    At most `max_connections` are open at once, idle and closing ones included (None: 1000, or half
    of the files that this process may open if that is less), and at most
    `max_connections_per_server` requests to one server are under way (None: as many as there may
    be); idle connections are given up first, and then requests wait their turn. A connection is
    kept for `keepalive_timeout` seconds after its last use; it takes up to 300 kB.

    With `trust_env` the environment may name a proxy (`https_proxy`, `no_proxy`; read now), past
    which the address policy can't hold; nothing else is taken from there. `ValueError` for one
    that can't be used, and for limits that are no numbers above 0.

    `connect_to` maps (host, port) to the (IP address, port) to dial in its place, as of
    `AiohttpWellKnownFetcher`: for tests.
    """
    check_part("resolver", resolver, "resolve", "endpoints", "report_unreachable")
    if max_connections is None:
        max_connections = affordable(0.5, 1000)
    for limit in (connect_timeout, max_connections, max_connections_per_server, max_body):
        if limit is not None and not limit > 0:
            raise ValueError(f"a limit of {limit!r}")
    opened = partial(
        _opened,
        resolver,
        Connections(max_connections),
        {} if connect_to is None else connect_to,
        ssl_context=ssl_context,
        keepalive_timeout=keepalive_timeout,
        limits=Limits.of(timeout),
        connect_timeout=connect_timeout,
        turns=Turns(max_connections, max_connections_per_server),
        max_body=max_body,
        proxy=EnvironmentProxy() if trust_env else None,
    )
    return Opening(lambda parts: opened(parts=parts))


async def _opened(
    resolver: Resolver,
    connections: Connections,
    connect_to: Mapping[SocketAddress, SocketAddress],
    *,
    parts: AsyncExitStack,
    ssl_context: ssl.SSLContext | None,
    keepalive_timeout: float,
    **settings: Any,
) -> "FederationClient":
    session = open_session(
        connections,
        ssl_context=ssl_context,
        keepalive_timeout=keepalive_timeout,
        response_class=FederationResponse,
    )
    await parts.enter_async_context(session)
    return FederationClient(resolver, Dialler(session, connections, connect_to), parts, **settings)


class FederationClient(Closeable):
    """Sends requests to servers by their Matrix names; made by `open_federation_client()`.

        async with open_resolver() as resolver, open_federation_client(resolver) as client:
            async with client.request("GET", "example.org", "/_matrix/key/v2/server") as response:
                print(response.status, await response.json())

    It belongs to the event loop that it is opened in, and shares its connections with all requests.
    """

    def __init__(
        self,
        resolver: Resolver,
        dialler: Dialler,
        parts: AsyncExitStack,
        *,
        limits: Limits,
        connect_timeout: float,
        turns: Turns,
        max_body: int,
        proxy: EnvironmentProxy | None,
    ) -> None:
        self._resolver = resolver
        self._hooks = resolver.hooks
        self._dialler = dialler
        self._parts = parts
        self._limits = limits
        self._connect_timeout = connect_timeout
        self._max_body = max_body
        self._proxy = proxy
        self._turns = turns
        self._under_way = set[RequestContext]()
        self._unreachable = Unreachable()

    async def aclose(self) -> None:
        """End what is under way, and close the connections; idempotent.

        aiohttp alone would leave requests waiting, for bodies and connections.
        """
        for request in [*self._under_way]:
            request.close()
        await self._parts.aclose()

    def request(
        self,
        method: str,
        server_name: str | ServerName,
        path: str,
        **kwargs: Unpack[RequestOptions],
    ) -> AbstractAsyncContextManager[aiohttp.ClientResponse]:
        """Send a request to `server_name`, and give the response, whatever its status.

        `path` with its query goes out byte for byte as given, since signatures cover it.
        `kwargs` are aiohttp's (json, data, headers, timeout, ...), but for `params`,
        `allow_redirects`, `server_hostname`, `ssl` (and its older forms), `proxy` and a `Host`
        header (`TypeError`). `response.url` shows the target. Redirects are not followed.

        Targets are tried one after another, those that failed lately last. Of one target the
        addresses are raced (RFC 8305), TLS included, those that failed lately last. When every
        target has failed, that is reported to the resolver, and what it finds then is tried if it
        leads elsewhere; if not, the next requests within 5 s get the same error at once. Trouble
        of our own (DNS that can't be asked, no descriptor, no route) is told as that, and reported
        to nobody. Nothing is sent before a connection stands, and then only once; except that a
        request of an idempotent method (never POST) is sent a second time when a connection that
        was kept closes before the head of a response is complete (RFC 9112, 9.3.1). A body that
        is an open file is closed by the first failure, which is then the last.

        Raises what `Resolver.resolve` raises, `AddressNotAllowedError` when the policy forbids
        every address, `ConnectError` when no target could be reached, `ValueError` for a method, a
        path or a header that can't be sent as it stands, and aiohttp's errors and `TimeoutError`
        for what happens on a connection.
        """
        outgoing = partial(
            Outgoing,
            server_name,
            method,
            path,
            {**kwargs},
            limits=self._limits,
            max_body=self._max_body,
        )
        return RequestContext(outgoing, self._turns, self._send, self._under_way, self._hooks)

    async def _send(self, request: Outgoing) -> FederationResponse:
        """Go through the targets, and once more through those of a fresh resolution."""
        rounds = _Rounds()
        for last in (False, True):
            request.waits_for("answer to where it is")
            resolution = await self._resolver.resolve(request.server_name)
            if not last:
                self._unreachable.check_server(resolution)
            response = await self._go_through(resolution, request, rounds)
            if response is not None:
                return response
            if last or request.has_one_try or are_own(rounds.failures):
                break
            await self._resolver.report_unreachable(resolution)
        raise self._dead_end(resolution, request, rounds)

    async def _go_through(
        self, resolution: Resolution, request: Outgoing, rounds: "_Rounds"
    ) -> FederationResponse | None:
        """Return the response of the first target that can be reached, None if none can."""
        forbidden: list[IPAddress] = []
        only_forbidden = True
        for target in self._unreachable.in_order(resolution):
            began = request.seconds()
            request_to = TargetRequest(
                self._resolver,
                self._dialler,
                resolution,
                target,
                request,
                tried=rounds.tried,
                connect_timeout=self._connect_timeout,
                proxy=self._proxy.settings(target.host, target.port) if self._proxy else {},
            )
            response = None
            try:
                request.waits_for("connection to", target)
                response = await request_to.response()
                only_forbidden = False
            except AddressNotAllowedError as error:
                forbidden += error.addresses
            except (TimeoutError, asyncio.CancelledError):
                # Or else short requests would never come to the other targets.
                if not rounds.attempts and request.is_late():
                    self._unreachable.put_target(resolution, target)
                raise
            if response is not None:
                self._unreachable.delete_target(resolution, target)
                response.target = target
                return response
            self._unreachable.put_target(resolution, target)
            if self._hooks and request_to.failures:
                tell_failed(
                    self._hooks, resolution.server_name, request_to, request.seconds() - began
                )
            rounds.attempts += request_to.attempts
            rounds.failures += request_to.failures.values()
            if request.has_one_try:
                break
        if only_forbidden:
            raise AddressNotAllowedError(str(resolution.server_name), forbidden)
        return None

    def _dead_end(
        self, resolution: Resolution, request: Outgoing, rounds: "_Rounds"
    ) -> ConnectError:
        """Return the error of a request that reached no target; the next ones get it too."""
        is_own = are_own(rounds.failures)
        attempts = tuple(dict.fromkeys(rounds.attempts))  # the second round may have found the same
        told = told_of(attempts)
        if request.has_one_try:
            told += "; the body, an open file, can't be sent again"
        what = "could not be tried" if is_own else "can't be reached"
        if is_own and not all(failure.is_lookup for failure in rounds.failures):
            what += ", which is trouble of our own"
        error = ConnectError(f"{resolution.server_name} {what}: {told}", attempts)
        if not is_own and not request.has_one_try:
            self._unreachable.put_server(resolution, error)
        return error


@define
class _Rounds:
    """What was tried for one request, and how it failed."""

    tried: set[Hashable] = field(factory=set)
    attempts: list[Attempt] = field(factory=list)
    failures: list[Failure] = field(factory=list)
