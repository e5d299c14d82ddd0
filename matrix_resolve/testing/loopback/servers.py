"""A DNS server and HTTPS servers on loopback, declared host by host, and what they were asked."""

import ssl
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address
from types import TracebackType
from typing import Self

from matrix_resolve.testing.loopback.behaviours import Behaviour, Redirect, Request
from matrix_resolve.testing.loopback.certificates import Certificates
from matrix_resolve.testing.loopback.declarations import (
    Certificate,
    DnsFault,
    DnsFaults,
    Host,
    SrvTargets,
    is_ip_literal,
    plain_host,
    servable_host,
    srv_records,
)
from matrix_resolve.testing.loopback.dns_server import DnsServer
from matrix_resolve.testing.loopback.https_server import HttpsServer
from matrix_resolve.testing.loopback.listeners import LOOPBACK, Connections
from matrix_resolve.testing.loopback.ports import ConnectTo
from matrix_resolve.testing.loopback.zone import Zone


class LoopbackServers:
    """The servers of a federation; see `LoopbackFederation`."""

    connect_to: Mapping[tuple[str, int], tuple[str, int]]
    """(host, port) -> (IP address, port), live; for the constructor argument of that name."""

    def __init__(self) -> None:
        self._hosts: dict[str, Host] = {}
        self._zone = Zone()
        self._dns = DnsServer(self._zone, self._find)
        self._certificates = Certificates()
        self._https = HttpsServer(self._find, self._certificates)
        self._connections = Connections()
        self._ports = ConnectTo(self._find, self._https, self._connections)
        self.connect_to = self._ports

    async def __aenter__(self) -> Self:
        self._dns.open()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._ports.close()
        await self._connections.aclose()
        await self._dns.aclose()
        errors = [*self._https.errors, *self._connections.errors, *self._dns.errors]
        if errors and exc_value is None:
            raise errors[0]

    # What there is

    def add(
        self,
        name: str,
        *,
        delegates_to: str | None = None,
        well_known: Behaviour = None,
        redirects_to: str | None = None,
        serves: Behaviour = Request.seen,
        srv: SrvTargets = (),
        legacy_srv: SrvTargets = (),
        addresses: Sequence[str | IPv4Address | IPv6Address] = LOOPBACK,
        alias_of: str | None = None,
        ttl: int = 300,
        negative_ttl: int = 60,
        certificate: Certificate = Certificate.VALID,
        ports: Collection[int] | None = None,
        dns: DnsFault | DnsFaults | None = None,
    ) -> None:
        """Declare the host `name` (or an IP literal), in place of what was declared of it before.

        The well-known document, at most one of: `delegates_to` (the `m.server` of a good one),
        `well_known` (a behaviour: see `matrix_resolve.testing.behaviours`), `redirects_to` (a
        URL). `serves` is the behaviour for all other paths. `Silent`, `Refused` and
        `Raw(tls=False)` come before there is a path: as `well_known` they hold for port 443, as
        `serves` for all others.

        In DNS: `addresses`; `srv` for `_matrix-fed._tcp` and `legacy_srv` for `_matrix._tcp`, as
        `SrvRecord`s or (host, port) pairs, which get rising priorities; `alias_of` makes `name`
        a CNAME and leaves its addresses to the other; `ttl` and `negative_ttl` in seconds; `dns`
        a fault, for all questions about the host or by type (`{"AAAA": DnsFault.SERVFAIL}`).

        `certificate` shows wherever the host is connected to, and wherever its name is sent in
        the handshake. `ports` are those that accept; all do by default.

        What can't be served is a `ValueError` or `TypeError`, and changes nothing: a name that DNS
        can't carry, an answer over 64 KiB, more SRV targets than there are descriptors for.
        """
        given = [wish for wish in (delegates_to, well_known, redirects_to) if wish is not None]
        if len(given) > 1:
            raise TypeError("only one of delegates_to, well_known and redirects_to can be given")
        if delegates_to is not None:
            well_known = {"m.server": delegates_to}
        elif redirects_to is not None:
            well_known = Redirect(redirects_to)
        self._declare(
            Host(
                name=servable_host(name),
                well_known=well_known,
                serves=serves,
                srv=srv_records(srv),
                legacy_srv=srv_records(legacy_srv),
                addresses=tuple(str(ip_address(str(address))) for address in addresses),
                alias_of=None if alias_of is None else servable_host(alias_of),
                ttl=ttl,
                negative_ttl=negative_ttl,
                certificate=certificate,
                ports=ports,
                dns={"*": dns} if isinstance(dns, DnsFault) else dns or {},
            )
        )

    def add_records(self, name: str, kind: str, *texts: str, ttl: int = 300) -> None:
        """Publish records of one type as they stand in a zone file, every name absolute.

        For what `add()` has no word for: `add_records("_matrix-fed._tcp.a", "CNAME", "b")`. They
        take the place of the name's records of that type, also of those of `add()`; without
        `texts` there are none.
        """
        self._ports.reserve(self._zone.publish(servable_host(name), kind, texts, ttl))

    def remove(self, name: str) -> None:
        """Take back what `add()` said of a host: no such name, and its ports refuse."""
        self._hosts.pop(plain_host(name), None)
        self._zone.withdraw(plain_host(name))

    def _declare(self, host: Host) -> None:
        self._ports.reserve(host.srv_targets())
        self._zone.declare(host)
        self._hosts[host.name] = host
        for name in host.mentions() - self._hosts.keys():
            self._declare(Host(name=name, addresses=LOOPBACK))

    def _find(self, host: str) -> Host | None:
        """Return the declaration of a plain host; IP literals need none."""
        found = self._hosts.get(host)
        return Host(name=host) if found is None and is_ip_literal(host) else found

    # What goes wrong with DNS as a whole

    @property
    def dns_down(self) -> bool:
        """Whether the DNS server leaves every question without an answer; to be set."""
        return self._dns.down

    @dns_down.setter
    def dns_down(self, down: bool) -> None:
        self._dns.down = down

    @property
    def dns_delay(self) -> float:
        """How many seconds the DNS server waits before each answer; to be set."""
        return self._dns.delay

    @dns_delay.setter
    def dns_delay(self, seconds: float) -> None:
        self._dns.delay = seconds

    @property
    def dns_faults(self) -> dict[tuple[str, str], DnsFault]:
        """(name, type) -> how such a question fails; "*" is any. To be filled; it wins over `add`.

        For example `federation.dns_faults["_matrix._tcp.example.org", "SRV"] = DnsFault.SERVFAIL`.
        """
        return self._dns.faults

    # What was asked

    @property
    def dns_questions(self) -> Counter[tuple[str, str]]:
        """How often each (name, type) was asked for, tries again included."""
        return self._dns.questions

    @property
    def requests(self) -> list[Request]:
        """The HTTP requests, in the order they came."""
        return self._https.requests

    @property
    def request_counts(self) -> Counter[tuple[str, str]]:
        """How often each (`Host` header, path) was requested."""
        return self._https.request_counts

    @property
    def connections(self) -> Counter[tuple[str, int]]:
        """How many TCP connections came in for each target (host, port)."""
        return self._https.connections

    def reset_counts(self) -> None:
        """Count from zero, and delete the requests."""
        for seen in (self.dns_questions, self.requests, self.request_counts, self.connections):
            seen.clear()

    # How clients get here

    @property
    def nameserver(self) -> str:
        """The DNS server, as "IP:PORT"."""
        return "{}:{}".format(*self._dns.address)

    @property
    def ca_pem(self) -> bytes:
        """The certificate of the authority that signs the servers' certificates."""
        return self._certificates.ca_pem

    def client_ssl_context(self) -> ssl.SSLContext:
        """Return the TLS settings of a client that trusts this federation and nobody else."""
        return self._certificates.client_context()
