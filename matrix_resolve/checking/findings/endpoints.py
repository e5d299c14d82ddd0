"""Findings of what answers at the endpoints: TLS and the API, and how they differ."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from matrix_resolve.checking.facts import TlsFacts
from matrix_resolve.checking.findings.catalogue import CATALOGUE, Level
from matrix_resolve.checking.findings.finding import Finding, found
from matrix_resolve.checking.findings.seen import Seen
from matrix_resolve.checking.findings.situation import Blame, Situation
from matrix_resolve.checking.findings.tls import ends_soon, names_of
from matrix_resolve.checking.findings.wanted import named_by_certificate, serve_it
from matrix_resolve.checking.texts import listed, moment


def endpoint_findings(situation: Situation) -> Iterator[Finding]:
    """Yield what is to be said of TLS and the API."""
    if situation.blame not in (Blame.NOTHING, Blame.ENDPOINTS):
        return
    for seen in situation.endpoints:
        for fault in seen.faults:
            level = CATALOGUE[fault.code].levels[0]
            if level is Level.ERROR and situation.works:
                level = Level.WARNING  # some get through
            advice = fault.advice
            if fault.code == "tls-wrong-name" and situation.asks_document:
                other = named_by_certificate(situation)
                advice += f" Or {serve_it(situation)}." if other is not None else ""
            yield found(fault.code, fault.fact, advice, fault.where, level=level)
        if seen.endpoint.tls is not None:
            yield from _certificate(seen, seen.endpoint.tls, situation.facts.at)
    yield from _differences(situation.works)


def _certificate(seen: Seen, tls: TlsFacts, at: float) -> Iterator[Finding]:
    certificate = tls.certificate
    if tls.problem is not None or certificate is None:
        return
    if ends_soon(tls, at):
        fact = f"The certificate ends at {moment(certificate.not_after)}."
        advice = "Renew it before, and see why that was not done by itself."
        yield found("tls-ends-soon", fact, advice, seen.place)
    without = seen.endpoint.without_sni
    if without is None:
        return
    name = tls.server_hostname or "the name"
    if without.problem is not None:
        fact = f"The server needs SNI (it serves {name} only if asked for it): without it comes "
        fact += f"{without.problem.value}."
    elif without.certificate is not None and without.certificate.sha256 != certificate.sha256:
        fact = f"Without SNI the server shows another certificate, for {names_of(without)}."
    else:
        return
    advice = "Peers send SNI; some monitors and old clients don't."
    yield found("tls-without-sni", fact, advice, seen.place)


def _differences(works: Sequence[Seen]) -> Iterator[Finding]:
    """Tell what differs among the endpoints that work."""
    for code, what, told, advice in (
        (
            "certificates-differ",
            "certificates",
            _certificate_told,
            "If one of them is left over, renew it; else let all show the same one.",
        ),
        (
            "software-differs",
            "software",
            _software_told,
            "Bring all to the same version, or take those out of DNS that do not belong.",
        ),
        (
            "keys-differ",
            "keys",
            _keys_told,
            "A server has one set of keys: have all endpoints lead to the same homeserver.",
        ),
    ):
        yield from _difference(works, code, what, told, advice)


def _difference(
    works: Sequence[Seen], code: str, what: str, told: Callable[[Seen], Any], advice: str
) -> Iterator[Finding]:
    values = [(seen.place, told(seen)) for seen in works]
    texts = dict.fromkeys(text for _, text in values if text is not None)
    if len(texts) > 1:
        fact = f"The endpoints show different {what}: {listed(texts)}."
        yield found(code, fact, advice, *(place for place, text in values if text is not None))


def _certificate_told(seen: Seen) -> str | None:
    tls = seen.endpoint.tls
    if tls is None or tls.certificate is None:
        return None
    end = moment(tls.certificate.not_after)
    return f"{tls.certificate.sha256[:16]} (for {names_of(tls)}, until {end})"


def _software_told(seen: Seen) -> str | None:
    return None if seen.software is None else " ".join(seen.software)


def _keys_told(seen: Seen) -> str | None:
    document = seen.endpoint.key_document
    if document is None or not document.verify_keys:
        return None
    keys = sorted(
        f"{key.id} {(key.fingerprint or 'unreadable')[:16]}" for key in document.verify_keys
    )
    return " and ".join(keys[:4])
