"""A report as a person reads it: plain text, the answers first."""

import textwrap
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from matrix_resolve.checking.answers import Answers
from matrix_resolve.checking.facts import EndpointFacts, HostFacts, ServerFacts, SrvFacts
from matrix_resolve.checking.findings import Finding, read_document, read_software
from matrix_resolve.checking.texts import moment, socket_address, span
from matrix_resolve.errors import readable

_WIDTH: Final = 96
_INDENT: Final = "    "


def report_text(facts: ServerFacts, findings: Sequence[Finding], answers: Answers) -> str:
    """Return the lines of a report. Texts of others are in it as printable ASCII only."""
    return "\n".join(readable(line, 4000) for line in _lines(facts, findings, answers))


def _lines(facts: ServerFacts, findings: Sequence[Finding], answers: Answers) -> Iterator[str]:
    yield str(facts.server_name)
    yield ""
    yield from _answers(answers)
    if findings:
        yield ""
        yield "Findings"
        for each in findings:
            yield from _finding(each)
    yield ""
    yield "What was found"
    yield from _indented(found_lines(facts))
    rows = [endpoint_row(each) for each in (*facts.endpoints, *facts.direct)]
    if rows:
        yield ""
        yield "Endpoints"
        yield from _indented(_table([ENDPOINT_HEAD, *rows]))
        for line in certificate_lines(facts):
            yield from _indented(textwrap.wrap(line, _WIDTH, subsequent_indent="  "))


def _answers(answers: Answers) -> Iterator[str]:
    for question, answer in (
        ("Can other servers reach you?", answers.reach_told),
        ("Do you need delegation?", answers.delegation_told),
        ("What should you change?", answers.changes_told),
    ):
        yield question
        yield from _wrapped(answer)
        if question.startswith("Do you") and answers.document is not None:
            yield f"{_INDENT}at    {answers.document_url}"
            yield f"{_INDENT}serve {answers.document.body.decode()}"


def _finding(finding: Finding) -> Iterator[str]:
    yield f"  {finding.level.value:<7} {finding.code}"
    yield from _wrapped(finding.fact)
    yield from _wrapped(finding.advice)
    if finding.where:
        yield from _wrapped(f"at {', '.join(finding.where)}")


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(
        text,
        _WIDTH,
        initial_indent=_INDENT,
        subsequent_indent=_INDENT,
        break_long_words=False,  # what is to be copied stays whole
        break_on_hyphens=False,
    )


def _indented(lines: Iterable[str]) -> Iterator[str]:
    return (f"  {line}" for line in lines)


def found_lines(facts: ServerFacts) -> Iterator[str]:
    """Yield what was found in DNS and documents; lines that belong to one before are indented."""
    yield "DNS"
    for host in facts.hosts:
        yield f"  {host.hostname}: {_host(host)}"
    for srv in facts.srv:
        if srv.records or srv.failure is not None:
            yield f"  SRV {srv.name}: {_srv(srv)}"
    if facts.documents:
        yield "Document"
    for fetched in facts.documents:
        reading = read_document(fetched)
        yield f"  {reading.place}: {reading.told} ({fetched.seconds * 1000:.0f} ms)"
    yield "Resolution"
    resolution = facts.resolution
    if resolution is None:
        yield "  none: the service is not offered" if facts.not_offered else "  none"
        return
    yield f"  step {resolution.step.value}: connect to {', '.join(map(str, resolution.targets))}"
    yield f"  Host {resolution.host_header}, certificate for {resolution.tls_name}"


def _host(host: HostFacts) -> str:
    if host.failure is not None:
        return f"the lookup failed: {host.failure}"
    told = ", ".join(map(str, host.addresses[:8])) or "no addresses"
    if len(host.addresses) > 8:
        told += f" and {len(host.addresses) - 8} more"
    if host.canonical_name:
        told += f", an alias of {host.canonical_name}"
    return told if host.ttl is None else f"{told} (for {span(host.ttl)})"


def _srv(srv: SrvFacts) -> str:
    if srv.failure is not None:
        return f"the lookup failed: {srv.failure}"
    told = [f"{each.target}:{each.port}" for each in srv.records[:8]]
    return ", ".join(told) + (f" (for {span(srv.ttl)})" if srv.ttl is not None else "")


ENDPOINT_HEAD: Final = ("address", "target", "TCP", "TLS", "software", "keys")
"""The headings of `endpoint_row`."""


def endpoint_row(endpoint: EndpointFacts) -> tuple[str, ...]:
    """Return what was found at an endpoint, a word for each column."""
    tls, keys = endpoint.tls, endpoint.key_document
    software = read_software(endpoint.version)
    if endpoint.is_forbidden:
        tcp = "forbidden"
    else:
        tcp = "connected" if endpoint.problem is None else endpoint.problem.value
    return (
        socket_address(endpoint.address, endpoint.target.port),
        readable(str(endpoint.target), 60),
        tcp,
        "-" if tls is None else tls.problem.value if tls.problem else tls.version or "yes",
        "-" if software is None else readable(" ".join(software), 40),
        "-" if keys is None else "faulty" if keys.faults else keys.signatures,
    )


def _table(rows: Sequence[tuple[str, ...]]) -> Iterator[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True))
        yield "  ".join(cells).rstrip()


def certificate_lines(facts: ServerFacts) -> Iterator[str]:
    """Yield each certificate once, with where it was seen."""
    seen: dict[str, list[str]] = {}
    for each in (*facts.endpoints, *facts.direct):
        certificate = None if each.tls is None else each.tls.certificate
        if certificate is None:
            continue
        names = ", ".join(readable(name, 100) for name in certificate.names[:8]) or "no name"
        told = f"certificate for {names}, by {readable(certificate.issuer, 100)}, "
        told += f"until {moment(certificate.not_after)}, {readable(certificate.key, 40)}, "
        told += f"SHA-256 {readable(certificate.sha256, 64)}"
        seen.setdefault(told, []).append(socket_address(each.address, each.target.port))
    for told, places in seen.items():
        yield f"{', '.join(places[:8])}: {told}"
