"""Findings of SRV records (RFC 2782)."""

from collections.abc import Iterator, Sequence

from matrix_resolve.checking.facts import SrvFacts
from matrix_resolve.checking.findings.catalogue import Level
from matrix_resolve.checking.findings.finding import Finding, found
from matrix_resolve.checking.findings.situation import BY_SRV, LEGACY, Blame, Situation
from matrix_resolve.checking.findings.wanted import serve_it
from matrix_resolve.checking.texts import are, listed
from matrix_resolve.core.names import parse_ip_literal
from matrix_resolve.core.questions import SrvRecords
from matrix_resolve.core.replies import SrvRecord, SrvReply
from matrix_resolve.core.srv import read_srv_reply
from matrix_resolve.errors import readable, shown


def srv_findings(situation: Situation) -> Iterator[Finding]:
    """Yield what is to be said of SRV records."""
    if situation.blame is Blame.NOT_OFFERED:
        yield _not_offered(situation)
        return
    for srv in situation.asked_srv:
        yield from _unusable(situation, srv)
        yield from _never_drawn(srv)
    if situation.step in BY_SRV:
        yield from _used(situation)
        yield from _aliases(situation)
    yield from _not_asked(situation)


def _not_offered(situation: Situation) -> Finding:
    names = [
        each.name
        for each in situation.facts.srv
        if len(each.records) == 1 and each.records[0].target in (".", "")
    ]
    told = listed(names) or situation.name.hostname
    fact = f'The only SRV record of {told} has the target ".": no federation is offered.'
    advice = "Leave it if that is meant; else take the record away."
    return found("srv-not-offered", fact, advice, *names)


def is_read(record: SrvRecord) -> bool:
    """Return whether peers can use a record."""
    return isinstance(read_srv_reply(SrvReply((record,))), SrvRecords)


def _fault_of(record: SrvRecord) -> str:
    target = readable(record.target, 100)
    if target in (".", ""):
        return 'the target "." beside other records'
    if parse_ip_literal(target.removesuffix(".")) is not None:
        return f"the target {target}, an IP address where a host name belongs"
    if record.port == 0:
        return f"port 0 for {target}"
    return f"the target {shown(record.target)} with port {record.port}"


def _unusable(situation: Situation, srv: SrvFacts) -> Iterator[Finding]:
    bad = [each for each in srv.records if not is_read(each)]
    if not bad:
        return
    is_blamed = situation.blame is Blame.SRV
    fact = f"SRV {srv.name} has {are(bad, 'a record', 'records')} that nobody can use: "
    fact += f"{listed(map(_fault_of, bad))}."
    advice = "Name a host that has addresses, with its port; or take the record away"
    if is_blamed:
        fact += " Peers go to port 8448, as if there were none, and nothing works there."
        advice += f", and {serve_it(situation)}"
    level = Level.ERROR if is_blamed else Level.WARNING
    yield found("srv-record-unusable", fact, f"{advice}.", srv.name, level=level)


def _never_drawn(srv: SrvFacts) -> Iterator[Finding]:
    usable = [each for each in srv.records if is_read(each)]
    for priority in sorted({each.priority for each in usable}):
        same = [each for each in usable if each.priority == priority]
        never = [each for each in same if each.weight == 0]
        if never and len(never) < len(same):
            fact = f"Of SRV {srv.name}, priority {priority}, {_told(never)} "
            fact += f"{are(never, 'has', 'have')} weight 0 beside {_told(same, never)}, so "
            fact += f"{are(never, 'it is', 'they are')} next to never drawn."
            advice = "Give each a weight above 0, or what is for emergencies a higher priority."
            yield found("srv-weight-zero", fact, advice, srv.name)


def _told(records: Sequence[SrvRecord], without: Sequence[SrvRecord] = ()) -> str:
    return listed(f"{each.target}:{each.port}" for each in records if each not in without)


def _used(situation: Situation) -> Iterator[Finding]:
    name = situation.srv_host or situation.name.hostname
    host = situation.name.hostname
    if situation.step in LEGACY:
        fact = f"SRV records lead to the server under the deprecated _matrix._tcp.{name} only."
        advice = f"Publish them under _matrix-fed._tcp.{name} too; or better, without any, "
        advice += f"{serve_it(situation)}."
        yield found("srv-legacy-only", fact, advice, f"_matrix._tcp.{name}")
        return
    fact = f"SRV records lead to the server: the certificate there has to be for {name}."
    advice = "That works. A document does the same, with a certificate for the host itself"
    if situation.delegated is None:
        advice += f"; clients need https://{host} in any case"
    yield found("srv-used", fact, f"{advice}.", f"_matrix-fed._tcp.{name}")


def _aliases(situation: Situation) -> Iterator[Finding]:
    for host in situation.hosts:
        if host.canonical_name:
            fact = f"The SRV target {host.hostname} is an alias (CNAME) of {host.canonical_name}, "
            fact += "which RFC 2782 forbids."
            advice = f"Name {host.canonical_name} itself in the SRV record."
            yield found("srv-target-alias", fact, advice, host.hostname)


def _not_asked(situation: Situation) -> Iterator[Finding]:
    if situation.step is None:
        return
    asked = situation.srv_host
    for srv in situation.facts.srv:
        host = srv.name.lower().partition("._tcp.")[2]
        if not srv.records or (asked is not None and host == asked.lower()):
            continue
        why = f"{situation.name} has a port or is an IP address"
        if situation.delegated is not None:
            why = f'"m.server" in the document is {situation.delegated}'
        fact = f"Peers never ask for SRV {srv.name}, since {why}."
        yield found("srv-not-asked", fact, "The records can go.", srv.name)
