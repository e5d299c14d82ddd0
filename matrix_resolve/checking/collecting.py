"""Collects what can be seen of a server, as much of it as there is time for."""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Final, TypeVar

from attrs import frozen

from matrix_resolve.checking.documents import DocumentReader
from matrix_resolve.checking.facts import (
    ClientFacts,
    EndpointFacts,
    Fetched,
    HostFacts,
    ServerFacts,
    SrvFacts,
)
from matrix_resolve.checking.probing import AskedAs, EndpointProber
from matrix_resolve.core.addresses import AddressPolicy, interleaved
from matrix_resolve.core.names import IPAddress, ServerName, parse_ip_literal
from matrix_resolve.core.procedure import DEFAULT_PORT, SERVICES
from matrix_resolve.core.resolution import Resolution, Target
from matrix_resolve.core.urls import HttpsUrl
from matrix_resolve.errors import (
    AddressLookupError,
    ServiceNotOfferedError,
    SrvLookupError,
)
from matrix_resolve.interfaces import AddressLookup, SrvLookup
from matrix_resolve.resolver import Resolver
from matrix_resolve.timeouts import within

SERVER_PATH: Final = "/.well-known/matrix/server"
CLIENT_PATH: Final = "/.well-known/matrix/client"
SUPPORT_PATH: Final = "/.well-known/matrix/support"
VERSIONS_PATH: Final = "/_matrix/client/versions"

_DNS_SECONDS: Final = 5.0
# A host may have thousands of addresses, and a name many targets: so many are looked at, of each
# and in all, and so many at once: a connection to who shows a large certificate costs megabytes.
_MOST_ADDRESSES: Final = 16
_MOST_ENDPOINTS: Final = 64
_AT_ONCE: Final = 12

_T = TypeVar("_T")

Progress = Callable[[Sequence[str]], object]
"""Hears what is under way, in words, whenever that changes."""


@frozen(kw_only=True)
class Parts:
    """What a collection asks: the parts of a resolver, and those that look closer.

    `open_resolver` opens one that remembers nothing.
    """

    open_resolver: Callable[[], AbstractAsyncContextManager[Resolver]]
    addresses: AddressLookup
    srv: SrvLookup
    address_policy: AddressPolicy
    reader: DocumentReader
    prober: EndpointProber


class Collection:
    """What is seen of one server."""

    def __init__(self, name: ServerName, parts: Parts, progress: Progress) -> None:
        self._name = name
        self._parts = parts
        self._progress = progress
        self._at_once = asyncio.Semaphore(_AT_ONCE)
        # What was begun, in order; None for what has not ended.
        self._hosts: dict[str, asyncio.Task[HostFacts]] = {}
        self._srv: dict[str, SrvFacts | None] = {}
        self._documents: dict[IPAddress, Fetched | None] = {}
        self._delegated_document: Fetched | None = None
        self._endpoints: dict[tuple[Target, IPAddress], EndpointFacts | None] = {}
        self._direct: dict[tuple[Target, IPAddress], EndpointFacts | None] = {}
        self._client: ClientFacts | None = None
        self._resolution: Resolution | None = None
        self._not_offered = False
        self._unfinished: dict[str, None] = {}

    async def facts(self, seconds: float) -> ServerFacts:
        """Return what was seen within so many seconds."""
        at = time.time()
        whole = asyncio.timeout(seconds)
        try:
            async with whole, asyncio.TaskGroup() as group:
                self._group = group
                group.create_task(self._follow())
                if not self._name.is_ip_literal:
                    group.create_task(self._look_at_name())
        except TimeoutError:
            if not whole.expired():
                raise
        hosts = [task for task in self._hosts.values() if task.done() and not task.cancelled()]
        return ServerFacts(
            server_name=self._name,
            at=at,
            resolution=self._resolution,
            not_offered=self._not_offered,
            hosts=tuple(task.result() for task in hosts),
            srv=_ended(self._srv.values()),
            documents=_ended(self._documents.values()),
            delegated_document=self._delegated_document,
            endpoints=_ended(self._endpoints.values()),
            direct=_ended(self._direct.values()),
            client=self._client,
            unfinished=tuple(self._unfinished),
        )

    async def _told(self, what: str, doing: Awaitable[_T]) -> _T:
        """Return what comes of `doing`; as long as it goes on, it is unfinished."""
        self._unfinished[what] = None
        self._progress(tuple(self._unfinished))
        result = await doing
        del self._unfinished[what]
        self._progress(tuple(self._unfinished))
        return result

    # The way that peers go

    async def _follow(self) -> None:
        """Resolve the name, and look at where it leads."""
        resolution = await self._told("resolving the name", self._resolve())
        if resolution is None:
            return
        self._resolution = resolution
        delegated = resolution.delegated_to
        if delegated is not None and not delegated.is_ip_literal:
            self._group.create_task(self._look_at_delegated(delegated))
        for target in resolution.targets:
            self._group.create_task(
                self._look_at_target(
                    target, resolution.host_header, resolution.tls_name, self._endpoints
                )
            )
        own = Target(host=self._name.canonical_host.lower(), port=DEFAULT_PORT)
        is_other = all((t.host.lower(), t.port) != (own.host, own.port) for t in resolution.targets)
        if is_other and not self._name.is_ip_literal and self._name.port is None:
            await self._look_at_target(own, str(self._name), self._name.hostname, self._direct)

    async def _resolve(self) -> Resolution | None:
        async with self._parts.open_resolver() as resolver:
            try:
                return await resolver.resolve(self._name)
            except ServiceNotOfferedError:
                self._not_offered = True
                return None

    async def _look_at_target(
        self,
        target: Target,
        host_header: str,
        tls_name: str,
        into: dict[tuple[Target, IPAddress], EndpointFacts | None],
    ) -> None:
        host = await self._host(target.host)
        asked = AskedAs(
            server_name=str(self._name), host_header=host_header, tls_name=tls_name.lower()
        )
        addresses = interleaved(host.addresses)[:_MOST_ADDRESSES]
        room = max(_MOST_ENDPOINTS - len(into), 0)
        for address in addresses[:room]:
            into[target, address] = None
            self._group.create_task(self._probe(target, address, asked, into))

    async def _probe(
        self,
        target: Target,
        address: IPAddress,
        asked: AskedAs,
        into: dict[tuple[Target, IPAddress], EndpointFacts | None],
    ) -> None:
        async with self._at_once:
            probe = self._parts.prober.probe(target, address, asked)
            into[target, address] = await self._told(f"connecting to {target} at {address}", probe)

    async def _look_at_delegated(self, delegated: ServerName) -> None:
        host = delegated.hostname.lower()
        if delegated.port is None:
            self._look_for_srv(host)
        if host != self._name.hostname.lower():
            url = f"https://{host}{SERVER_PATH}"
            reading = self._parts.reader.read(url)
            self._delegated_document = await self._told(f"fetching {url}", reading)

    # The name itself

    async def _look_at_name(self) -> None:
        """Look at what the name publishes: documents, SRV records."""
        host = self._name.hostname.lower()
        self._group.create_task(self._look_at_client(host))
        if self._name.port is not None:
            return
        self._look_for_srv(host)
        known = await self._host(host)
        for address in interleaved(known.addresses)[:_MOST_ADDRESSES]:
            if address not in known.forbidden:
                self._documents[address] = None
                self._group.create_task(self._read_at(host, address))

    async def _read_at(self, host: str, address: IPAddress) -> None:
        async with self._at_once:
            reading = self._parts.reader.read_at(host, SERVER_PATH, address)
            self._documents[address] = await self._told(
                f"fetching https://{host}{SERVER_PATH} from {address}", reading
            )

    async def _look_at_client(self, host: str) -> None:
        read = self._parts.reader.read
        document, support = await asyncio.gather(
            self._told("fetching the client document", read(f"https://{host}{CLIENT_PATH}")),
            self._told("fetching the support document", read(f"https://{host}{SUPPORT_PATH}")),
        )
        self._client = ClientFacts(document=document, support=support)
        base_url = _base_url(document)
        if base_url is not None:
            reading = read(base_url.rstrip("/") + VERSIONS_PATH)
            versions = await self._told("fetching what the client API offers", reading)
            self._client = ClientFacts(document=document, support=support, versions=versions)

    # DNS

    def _look_for_srv(self, host: str) -> None:
        for service in SERVICES:
            name = f"{service}._tcp.{host}"
            self._srv[name] = None
            self._group.create_task(self._look_up_srv(name))

    async def _look_up_srv(self, name: str) -> None:
        self._srv[name] = await self._told(f"looking up SRV {name}", self._published(name))

    async def _published(self, name: str) -> SrvFacts:
        try:
            reply = await within(_DNS_SECONDS, self._parts.srv.lookup_srv(name), SrvLookupError)
        except SrvLookupError as error:
            return SrvFacts(name=name, failure=error.reason)
        return SrvFacts(name=name, records=tuple(reply.records), ttl=reply.ttl)

    async def _host(self, hostname: str) -> HostFacts:
        """Return what DNS says of a host, which is asked once."""
        key = hostname.lower()
        if key not in self._hosts:
            looking = self._told(f"looking up the addresses of {key}", self._look_up(key))
            self._hosts[key] = self._group.create_task(looking)
        return await self._hosts[key]

    async def _look_up(self, hostname: str) -> HostFacts:
        literal = parse_ip_literal(hostname)
        if literal is not None:
            return HostFacts(
                hostname=hostname, addresses=(literal,), forbidden=self._forbidden([literal])
            )
        lookup = self._parts.addresses.lookup_addresses(hostname)
        try:
            reply = await within(_DNS_SECONDS, lookup, AddressLookupError)
        except AddressLookupError as error:
            return HostFacts(hostname=hostname, failure=error.reason)
        return HostFacts(
            hostname=hostname,
            addresses=tuple(reply.addresses),
            forbidden=self._forbidden(reply.addresses),
            canonical_name=reply.canonical_name,
            ttl=reply.ttl,
        )

    def _forbidden(self, addresses: Iterable[IPAddress]) -> tuple[IPAddress, ...]:
        allows = self._parts.address_policy.allows
        return tuple(address for address in addresses if not allows(address))


def _ended(begun: Iterable[_T | None]) -> tuple[_T, ...]:
    return tuple(each for each in begun if each is not None)


def _base_url(document: Fetched) -> str | None:
    """Return the base URL of a client document, None if it has none that can be asked."""
    if document.response is None:
        return None
    try:
        read = json.loads(document.response.body)
        url = read["m.homeserver"]["base_url"]
        HttpsUrl.parse(url)
    except (ValueError, RecursionError, LookupError, TypeError, AttributeError):
        return None
    return str(url)
