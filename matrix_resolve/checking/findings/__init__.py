"""From facts to findings, without I/O. The door: `findings`, and what it gives.

`readings` (a document) and `seen` (an endpoint; `tls`, `api`, `key_faults`) judge one thing each;
`situation` sees how they hang together, and what is to blame if nothing works; `dns`, `srv`,
`document`, `delegation`, `tcp`, `endpoints` and `client` tell of it.
"""

from collections.abc import Iterator

from matrix_resolve.checking.facts import ServerFacts
from matrix_resolve.checking.findings.api import read_software
from matrix_resolve.checking.findings.catalogue import CATALOGUE, Level, catalogue_lines
from matrix_resolve.checking.findings.client import client_findings
from matrix_resolve.checking.findings.delegation import delegation_findings
from matrix_resolve.checking.findings.dns import dns_findings
from matrix_resolve.checking.findings.document import document_findings
from matrix_resolve.checking.findings.endpoints import endpoint_findings
from matrix_resolve.checking.findings.finding import Finding, found, worst_first
from matrix_resolve.checking.findings.readings import Kind, Reading, read_document
from matrix_resolve.checking.findings.seen import Seen, State
from matrix_resolve.checking.findings.situation import BY_SRV, OF_NAME, Blame, Situation
from matrix_resolve.checking.findings.srv import srv_findings
from matrix_resolve.checking.findings.tcp import tcp_findings
from matrix_resolve.checking.findings.wanted import named_by_certificate, serve_it, wanted_document

__all__ = [
    "BY_SRV",
    "CATALOGUE",
    "OF_NAME",
    "Blame",
    "Finding",
    "Kind",
    "Level",
    "Reading",
    "Seen",
    "Situation",
    "State",
    "catalogue_lines",
    "findings",
    "named_by_certificate",
    "read_document",
    "read_software",
    "serve_it",
    "wanted_document",
]


def findings(facts: ServerFacts, *, expect_closed: bool = False) -> tuple[Finding, ...]:
    """Return what is to be said of a server, the worst first, nothing twice.

    What only follows from another fault is left out. With `expect_closed` the server is to be
    private, so that it answers is the error, and what keeps peers away is none.
    """
    situation = Situation.of(facts)
    return worst_first(_closed(situation) if expect_closed else _all(situation))


def _all(situation: Situation) -> Iterator[Finding]:
    yield from dns_findings(situation)
    yield from srv_findings(situation)
    yield from document_findings(situation)
    yield from delegation_findings(situation)
    yield from tcp_findings(situation)
    yield from endpoint_findings(situation)
    yield from client_findings(situation)


def _closed(situation: Situation) -> Iterator[Finding]:
    open_ = [*situation.works, *(each for each in situation.direct if each.state is State.WORKS)]
    if open_:
        fact = f"Federation answers for {situation.name}, though it was to be closed."
        advice = "Close the port to the Internet, or take the federation listener out of the "
        advice += "homeserver's settings; a document or SRV record that leads there can go."
        yield found("federation-open", fact, advice, *(each.place for each in open_))
    unknown = ("dns-failed", "own-network", "unfinished")
    yield from (each for each in _all(situation) if each.code in unknown)
