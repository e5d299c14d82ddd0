"""The default well-known fetcher, by aiohttp."""

import asyncio
import math
import ssl
from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus
from importlib.metadata import version
from typing import Final, Self

import aiohttp

from matrix_resolve.core.addresses import AddressPolicy, interleaved
from matrix_resolve.core.closeable import Closeable
from matrix_resolve.core.names import IPAddress
from matrix_resolve.core.parts import check_part
from matrix_resolve.core.urls import HttpsUrl
from matrix_resolve.core.well_known import REDIRECTS, next_hop
from matrix_resolve.errors import AddressLookupError, WellKnownFetchError
from matrix_resolve.interfaces import (
    AddressLookup,
    AddressReply,
    HttpResponse,
    heard_from_peer,
    punctual,
)
from matrix_resolve.timeouts import reply_of
from matrix_resolve.transport.attempts import Budget, SocketAddress
from matrix_resolve.transport.connections import Connections, affordable
from matrix_resolve.transport.dialling import Dialling
from matrix_resolve.transport.environment import EnvironmentProxy
from matrix_resolve.transport.exchange import MAX_HEADERS, read_body
from matrix_resolve.transport.failures import are_own
from matrix_resolve.transport.guard import Turn
from matrix_resolve.transport.race import Dialler
from matrix_resolve.transport.session import PIECE, open_session
from matrix_resolve.transport.words import in_words, together

# Of the files that this process may open, in sockets: other lookups, clients and the application
# want some too. More are never of use: so many fetches may be under way, and race a little.
_SHARE: Final = 0.25
_MOST_SOCKETS: Final = 1024
# Bytes. What a fetch may receive, besides the body: TLS and the headers of all its hops.
_BESIDES: Final = 160 * 1024


class AiohttpWellKnownFetcher(Closeable):
    """Fetches well-known documents with aiohttp: a `WellKnownFetcher`.

        async with AiodnsLookup() as lookup:
            async with AiohttpWellKnownFetcher(addresses=lookup, trust_env=True) as fetcher:
                async with open_resolver(well_known=fetcher, addresses=lookup) as resolver:
                    ...

    `addresses` looks the hosts up, afresh for every hop; only what `address_policy` allows is
    dialled, and exactly what was checked is. `ssl_context` None means the system's trust store.
    `timeout` in seconds bounds a whole fetch, `connect_timeout` TCP and TLS of one hop,
    `dns_timeout` one address lookup. At most
    `max_redirects` are followed (https only), at most `max_body` bytes read and one more, by which
    the resolver knows that there were more. A response has at most `max_header_lines`.
    `max_addresses` of a host are tried.

    `connect_to` maps (host, port), or else (IP address, port), to the (IP address, port) to dial in
    its place; host is the name or IP literal in lower case. DNS and the policy are asked all the
    same. It is for tests, whose servers can't have port 443. `redirected` is what `fetch` calls, as
    `get` says.

    With `trust_env` the environment may name a proxy (`https_proxy`, `no_proxy`; read now;
    `ValueError` for one that can't be used). It then looks the hosts up, and `address_policy` holds
    for IP literals only: a redirect of a stranger's may lead to wherever the proxy can go, so that
    the proxy has to forbid private networks.

    No cookies, no credentials, nothing else from the environment. It belongs to the event loop that
    it is first used in. Close it with `aclose()` or `async with`.
    """

    def __init__(
        self,
        *,
        addresses: AddressLookup,
        address_policy: AddressPolicy | None = None,
        ssl_context: ssl.SSLContext | None = None,
        timeout: float = 10.0,
        connect_timeout: float = 5.0,
        dns_timeout: float = 5.0,
        max_redirects: int = 10,
        max_body: int = 50 * 1024,
        max_header_lines: int = MAX_HEADERS,
        max_addresses: int = 16,
        trust_env: bool = False,
        connect_to: Mapping[SocketAddress, SocketAddress] | None = None,
        redirected: Callable[[HttpResponse], None] | None = None,
    ) -> None:
        check_part("addresses", addresses, "lookup_addresses")
        self._addresses = addresses
        self._address_policy = AddressPolicy() if address_policy is None else address_policy
        self._ssl_context = ssl_context
        self.timeout: Final = timeout
        """Seconds of a whole fetch."""
        self._connect_timeout = connect_timeout
        self._dns_timeout = dns_timeout
        self._max_redirects = max_redirects
        self._max_body = max_body
        self._max_header_lines = max_header_lines
        self._max_addresses = max_addresses
        self._proxy = EnvironmentProxy() if trust_env else None
        self._connect_to = {} if connect_to is None else connect_to
        self._redirected = redirected
        self._connections = Connections(affordable(_SHARE, _MOST_SOCKETS), receive_buffer=PIECE)
        self._session: aiohttp.ClientSession | None = None
        self._dialler: Dialler | None = None
        self._under_way: set[asyncio.Timeout] = set()
        self._closed = False

    async def __aenter__(self) -> Self:
        self._open_session()
        return self

    async def aclose(self) -> None:
        """Close the connections; idempotent. Fetches that are still under way fail."""
        self._closed = True
        for fetch in self._under_way:
            if not fetch.expired():
                fetch.reschedule(0)  # a moment long past: it times out now
        if self._session is not None:
            await self._session.close()

    def _open_session(self) -> Dialler:
        if self._closed:
            raise RuntimeError("the fetcher is closed")
        if self._dialler is None:
            self._session = open_session(
                self._connections,
                ssl_context=self._ssl_context,
                turn=Turn(),
                force_close=True,  # a host is seldom asked twice within a day
                headers={
                    "Accept": "application/json",
                    "Accept-Encoding": "identity",
                    "User-Agent": f"matrix-resolve/{version('matrix-resolve')}",
                },
                read_bufsize=PIECE,
                max_header_lines=self._max_header_lines,
            )
            self._dialler = Dialler(self._session, self._connections, self._connect_to)
        return self._dialler

    @punctual
    async def fetch(self, hostname: str, /) -> HttpResponse:
        """Return the final response to the well-known request for `hostname`.

        Raises `WellKnownFetchError`; lets `AddressLookupError` through.
        """
        url = f"https://{hostname}/.well-known/matrix/server"
        return await self.get(url, redirected=self._redirected)

    async def get(
        self, url: str, /, *, redirected: Callable[[HttpResponse], None] | None = None
    ) -> HttpResponse:
        """Return the final response to a request for any https URL, in the same way.

        `redirected` is called with each response that redirects, also with one that must not be
        followed. Raises what `fetch` raises, and `ValueError` for what is no https URL.
        """
        dialler = self._open_session()
        whole = asyncio.timeout(self.timeout)
        try:
            async with whole:
                self._under_way.add(whole)
                return await self._follow(dialler, url, redirected, whole)
        except TimeoutError as error:
            if not whole.expired():
                raise
            late = f"no response within {self.timeout:g} s"
            raise WellKnownFetchError(
                "the fetcher was closed" if self._closed else late,
                own_trouble=self._connections.is_full(),  # it may have waited for that all the time
            ) from error
        except RuntimeError as error:  # so aiohttp tells that what it was using has been closed
            if not self._closed:
                raise
            raise WellKnownFetchError("the fetcher was closed") from error
        finally:
            self._under_way.discard(whole)

    async def _follow(
        self,
        dialler: Dialler,
        url: str,
        redirected: Callable[[HttpResponse], None] | None,
        whole: asyncio.Timeout,
    ) -> HttpResponse:
        """Return the response at the end of the redirects."""
        visited: list[str] = []
        budget = Budget(_BESIDES + self._max_body)
        while True:
            visited.append(url)
            response = await self._get(dialler, url, budget, whole)
            if redirected is not None and response.status in REDIRECTS:
                redirected(response)
            to = (value for name, value in response.headers if name.lower() == "location")
            hop = next_hop(url, response.status, next(to, None))
            if hop is None:
                return response
            url = hop
            if url in visited:
                raise WellKnownFetchError("redirects go round in a loop", temporary=False)
            if len(visited) > self._max_redirects:
                raise WellKnownFetchError(
                    f"more than {self._max_redirects} redirects", temporary=False
                )

    async def _get(
        self, dialler: Dialler, url: str, budget: Budget, whole: asyncio.Timeout
    ) -> HttpResponse:
        """Return the response to one request."""
        at = HttpsUrl.parse(url)
        host, port = at.host, at.port
        proxy = self._proxy.settings(host, port) if self._proxy else {}
        addresses: list[SocketAddress] = []
        if not proxy or at.ip_address is not None:
            addresses = [(str(ip), port) for ip in await self._allowed_addresses(at, whole)]

        async def found() -> Sequence[SocketAddress]:
            return addresses  # looked up before, so that connecting has its time for itself

        dialling = Dialling(
            dialler,
            host,
            port,
            found,
            connect_timeout=self._connect_timeout,
            budget=budget,
            proxy=proxy,
        )
        try:
            response = await dialling.request(
                "GET",
                at.target,
                headers={"Host": at.host_header},
                server_hostname=host,
                limits=lambda connect: aiohttp.ClientTimeout(total=None, connect=connect),
            )
            if response is None:
                failures = dialling.failures.values()
                raise WellKnownFetchError(
                    f"{host}: {together(failure.reason for failure in failures)}",
                    own_trouble=are_own(failures),
                )
            async with response:
                heard_from_peer()
                body = b""
                if response.status == HTTPStatus.OK:  # no other one's is of use
                    body = await read_body(response, self._max_body + 1)
                headers_received = tuple(response.headers.items())
                return HttpResponse(response.status, headers_received, body, url)
        except (aiohttp.ClientError, OSError, ValueError) as error:
            if isinstance(error, TimeoutError):
                raise
            # ValueError: what aiohttp's parsers let through, a label that IDNA can't encode.
            raise WellKnownFetchError(f"{host}: {in_words(error)}") from error

    async def _allowed_addresses(
        self, at: HttpsUrl, whole: asyncio.Timeout
    ) -> tuple[IPAddress, ...]:
        """Return the addresses of a hop that the policy allows, in the order to dial."""
        if at.ip_address is not None:
            found: tuple[IPAddress, ...] = (at.ip_address,)
        else:
            # One that is deaf to its cancellation is waited for until its limit.
            ends_at = whole.when()
            left = math.inf if ends_at is None else ends_at - asyncio.get_running_loop().time()
            reply = await reply_of(
                self._addresses,
                "lookup_addresses",
                at.host,
                AddressReply,
                seconds=min(self._dns_timeout, left),
                failure=AddressLookupError,
            )
            found = tuple(reply.addresses)
        if not found:
            raise WellKnownFetchError(f"{at.host} has no addresses")
        allowed = interleaved(filter(self._address_policy.allows, found))[: self._max_addresses]
        if not allowed:
            raise WellKnownFetchError(
                f"the address policy forbids every address of {at.host}", temporary=False
            )
        return allowed
