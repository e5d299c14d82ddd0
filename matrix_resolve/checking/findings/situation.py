"""The facts as they hang together: what works, and what is to blame if nothing does."""

from enum import Enum, auto
from typing import Final

from attrs import frozen

from matrix_resolve.checking.facts import HostFacts, ServerFacts, SrvFacts
from matrix_resolve.checking.findings.readings import Kind, Reading, of_answer, read_document
from matrix_resolve.checking.findings.seen import Seen, State, see
from matrix_resolve.core.names import IPAddress, ServerName, parse_ip_literal
from matrix_resolve.core.procedure import SERVICES
from matrix_resolve.core.questions import AskWellKnown, NotDelegated, SrvRecords
from matrix_resolve.core.replies import SrvReply
from matrix_resolve.core.resolution import Resolution, Step
from matrix_resolve.core.srv import read_srv_reply

OF_NAME: Final = frozenset({Step.IP_LITERAL, Step.EXPLICIT_PORT})
WITHOUT_DOCUMENT: Final = frozenset({Step.SRV, Step.LEGACY_SRV, Step.DEFAULT_PORT})
BY_SRV: Final = frozenset(
    {Step.SRV, Step.LEGACY_SRV, Step.WELL_KNOWN_SRV, Step.WELL_KNOWN_LEGACY_SRV}
)
LEGACY: Final = frozenset({Step.LEGACY_SRV, Step.WELL_KNOWN_LEGACY_SRV})
_PORT_8448: Final = frozenset({Step.DEFAULT_PORT, Step.WELL_KNOWN_DEFAULT_PORT})


class Blame(Enum):
    """What it lies at that no endpoint works: all else follows from it, and is left out."""

    NOTHING = auto()
    """Some endpoint works."""
    NOT_OFFERED = auto()
    UNKNOWN = auto()
    """Our DNS or our network: nothing can be told."""
    PRIVATE = auto()
    NO_ADDRESSES = auto()
    DOCUMENT = auto()
    SRV = auto()
    NO_DELEGATION = auto()
    """There is no document, and nothing answers at port 8448."""
    ENDPOINTS = auto()


@frozen(kw_only=True)
class Situation:
    """The facts, with each document and endpoint read."""

    facts: ServerFacts
    readings: tuple[Reading, ...]
    endpoints: tuple[Seen, ...]
    direct: tuple[Seen, ...]
    blame: Blame

    @classmethod
    def of(cls, facts: ServerFacts) -> "Situation":
        """Read the facts."""
        readings = _readings(facts)
        resolution, name = facts.resolution, facts.server_name
        tls_name = name.canonical_host if resolution is None else resolution.tls_name
        by_srv = resolution is not None and resolution.step in BY_SRV
        endpoints = tuple(
            see(each, str(name), tls_name, facts.at, by_srv=by_srv) for each in facts.endpoints
        )
        direct = tuple(
            see(each, str(name), name.canonical_host, facts.at, by_srv=False)
            for each in facts.direct
        )
        return cls(
            facts=facts,
            readings=readings,
            endpoints=endpoints,
            direct=direct,
            blame=_blame(facts, readings, endpoints),
        )

    @property
    def name(self) -> ServerName:
        """The server name."""
        return self.facts.server_name

    @property
    def resolution(self) -> Resolution | None:
        """What peers make of it."""
        return self.facts.resolution

    @property
    def step(self) -> Step | None:
        """The step that decided."""
        return None if self.facts.resolution is None else self.facts.resolution.step

    @property
    def delegated(self) -> ServerName | None:
        """What a usable document names."""
        return None if self.facts.resolution is None else self.facts.resolution.delegated_to

    @property
    def asks_document(self) -> bool:
        """Whether peers ask for a document at all."""
        return not self.name.is_ip_literal and self.name.port is None

    @property
    def works(self) -> tuple[Seen, ...]:
        """The endpoints that work."""
        return tuple(each for each in self.endpoints if each.state is State.WORKS)

    @property
    def direct_works(self) -> bool:
        """Whether port 8448 of the name itself works, be it where the resolution leads."""
        if self.step is Step.DEFAULT_PORT or self.leads_to_itself:
            return bool(self.works)
        return any(each.state is State.WORKS for each in self.direct)

    @property
    def leads_to_itself(self) -> bool:
        """Whether a document names the place that peers would use without one."""
        to, targets = self.delegated, () if self.resolution is None else self.resolution.targets
        own = self.name.hostname.lower()
        return (
            to is not None
            and to.hostname.lower() == own
            and all((each.host.lower(), each.port) == (own, 8448) for each in targets)
        )

    @property
    def srv_host(self) -> str | None:
        """The host whose SRV records peers ask for, None if they ask for none."""
        if self.step is None or self.name.is_ip_literal or self.name.port is not None:
            return None
        if self.delegated is None:
            return self.name.hostname
        has_place = self.delegated.is_ip_literal or self.delegated.port is not None
        return None if has_place else self.delegated.hostname

    @property
    def asked_srv(self) -> tuple[SrvFacts, ...]:
        """The SRV records that peers ask for, the later only if the first give nothing."""
        asked = _asked_srv(self.facts, self.srv_host)
        return asked[:1] if asked and _is_usable(asked[0]) else asked

    @property
    def hosts(self) -> tuple[HostFacts, ...]:
        """The hosts to be connected to."""
        return _target_hosts(self.facts)


def _asked_srv(facts: ServerFacts, host: str | None) -> tuple[SrvFacts, ...]:
    if host is None:
        return ()
    names = [f"{service}._tcp.{host}".lower() for service in SERVICES]
    by_name = {each.name.lower(): each for each in facts.srv}
    return tuple(by_name[name] for name in names if name in by_name)


def _is_usable(srv: SrvFacts) -> bool:
    return isinstance(read_srv_reply(SrvReply(srv.records)), SrvRecords)


def _readings(facts: ServerFacts) -> tuple[Reading, ...]:
    """Return what each address says of the document, else what the resolver heard."""
    name = facts.server_name
    if name.is_ip_literal or name.port is not None:
        return ()
    if facts.documents:
        return tuple(map(read_document, facts.documents))
    for entry in () if facts.resolution is None else facts.resolution.trail:
        if isinstance(entry.question, AskWellKnown) and isinstance(entry.answer, NotDelegated):
            return (of_answer(str(entry.question), entry.answer),)
    return ()


def _target_hosts(facts: ServerFacts) -> tuple[HostFacts, ...]:
    if facts.resolution is None:
        return ()
    names = dict.fromkeys(each.host.lower() for each in facts.resolution.targets)
    return tuple(host for host in map(facts.host, names) if host is not None)


def forbidden_and_all(facts: ServerFacts) -> tuple[set[IPAddress], set[IPAddress]]:
    """Return the addresses of all targets that the policy forbids, and all there are."""
    hosts = _target_hosts(facts)
    forbidden = {each.address for each in facts.endpoints if each.is_forbidden}
    every = {each.address for each in facts.endpoints}
    forbidden.update(address for host in hosts for address in host.forbidden)
    every.update(address for host in hosts for address in host.addresses)
    return forbidden, every | forbidden


def _blame(facts: ServerFacts, readings: tuple[Reading, ...], endpoints: tuple[Seen, ...]) -> Blame:
    states = {each.state for each in endpoints}
    resolution = facts.resolution
    if facts.not_offered:
        return Blame.NOT_OFFERED
    if State.WORKS in states:
        return Blame.NOTHING
    if resolution is None:
        return Blame.UNKNOWN
    forbidden, every = forbidden_and_all(facts)
    if every and forbidden == every:
        return Blame.PRIVATE
    kinds = {each.kind for each in readings}
    is_alone = resolution.step in WITHOUT_DOCUMENT
    if is_alone and kinds & {Kind.INVALID, Kind.USABLE}:
        return Blame.DOCUMENT
    if resolution.degraded or (is_alone and kinds == {Kind.OWN}):
        return Blame.UNKNOWN
    if resolution.step in _PORT_8448 and _has_unusable_srv(facts, resolution):
        return Blame.SRV
    if not endpoints:
        return _blame_without_endpoints(facts, resolution)
    if states <= {State.UNKNOWN, State.FORBIDDEN}:
        return Blame.UNKNOWN
    if resolution.step is Step.DEFAULT_PORT and State.BROKEN not in states:
        is_unread = Kind.NO_DOCUMENT in kinds and Kind.ABSENT not in kinds
        return Blame.DOCUMENT if is_unread else Blame.NO_DELEGATION
    return Blame.ENDPOINTS


def _has_unusable_srv(facts: ServerFacts, resolution: Resolution) -> bool:
    to = resolution.delegated_to
    host = facts.server_name.hostname if to is None else to.hostname
    return any(srv.records for srv in _asked_srv(facts, host))


def _blame_without_endpoints(facts: ServerFacts, resolution: Resolution) -> Blame:
    hosts = _target_hosts(facts)
    names = {each.host.lower() for each in resolution.targets}
    literals = any(parse_ip_literal(each.host) for each in resolution.targets)
    if literals or len(hosts) < len(names) or any(each.failure is not None for each in hosts):
        return Blame.UNKNOWN
    return Blame.UNKNOWN if any(each.addresses for each in hosts) else Blame.NO_ADDRESSES
