"""A report as JSON-ready values."""

import math
from collections.abc import Iterable
from typing import Any

from attrs import asdict

from matrix_resolve.checking.answers import Answers
from matrix_resolve.checking.facts import (
    Certificate,
    EndpointFacts,
    Fetched,
    HostFacts,
    ServerFacts,
    SrvFacts,
    TlsFacts,
)
from matrix_resolve.checking.findings import Finding, read_document, read_software
from matrix_resolve.checking.texts import as_datetime
from matrix_resolve.core.replies import HttpResponse
from matrix_resolve.errors import readable


def report_dict(
    facts: ServerFacts, findings: Iterable[Finding], answers: Answers
) -> dict[str, Any]:
    """Return what was seen, found and answered; the version is the caller's."""
    delegated = facts.delegated_document
    client = facts.client
    return {
        "checked_at": _moment(facts.at),
        "answers": _answers(answers),
        "findings": [_finding(each) for each in findings],
        "resolution": None if facts.resolution is None else facts.resolution.to_dict(),
        "service_not_offered": facts.not_offered,
        "hosts": [_host(each) for each in facts.hosts],
        "srv": [_srv(each) for each in facts.srv],
        "documents": [_document(each) for each in facts.documents],
        "delegated_document": None if delegated is None else _document(delegated),
        "endpoints": [_endpoint(each) for each in facts.endpoints],
        "direct_endpoints": [_endpoint(each) for each in facts.direct],
        "client": None
        if client is None
        else {
            "document": _fetched(client.document),
            "support": _fetched(client.support),
            "versions": None if client.versions is None else _fetched(client.versions),
        },
        "unfinished": [readable(each) for each in facts.unfinished],
    }


def _answers(answers: Answers) -> dict[str, Any]:
    document = answers.document
    return {
        "reachable": {"answer": answers.reach.value, "told": answers.reach_told},
        "delegation": {
            "answer": answers.delegation.value,
            "told": answers.delegation_told,
            "serve": None
            if document is None
            else {
                "url": answers.document_url,
                "path": document.path,
                "headers": dict(document.headers),
                "body": document.body.decode(),
            },
        },
        "changes": {"codes": [each.code for each in answers.changes], "told": answers.changes_told},
    }


def _finding(finding: Finding) -> dict[str, Any]:
    return {
        "code": finding.code,
        "level": finding.level.value,
        "fact": finding.fact,
        "advice": finding.advice,
        "where": list(finding.where),
    }


def _host(host: HostFacts) -> dict[str, Any]:
    return {
        "hostname": readable(host.hostname),
        "addresses": [str(each) for each in host.addresses],
        "forbidden": [str(each) for each in host.forbidden],
        "canonical_name": _text(host.canonical_name),
        "ttl": _number(host.ttl),
        "failure": _text(host.failure),
    }


def _srv(srv: SrvFacts) -> dict[str, Any]:
    return {
        "name": readable(srv.name),
        "records": [
            {
                "priority": each.priority,
                "weight": each.weight,
                "port": each.port,
                "target": readable(each.target),
            }
            for each in srv.records
        ],
        "ttl": _number(srv.ttl),
        "failure": _text(srv.failure),
    }


def _document(fetched: Fetched) -> dict[str, Any]:
    to = read_document(fetched).to
    return {**_fetched(fetched), "delegates_to": None if to is None else str(to)}


def _fetched(fetched: Fetched) -> dict[str, Any]:
    response, failure = fetched.response, fetched.failure
    return {
        "url": readable(fetched.url),
        "address": _text(fetched.address),
        "redirects": [_hop(each) for each in fetched.hops],
        "status": None if response is None else response.status,
        "final_url": None if response is None else readable(response.url),
        "content_type": None if response is None else _header(response, "content-type"),
        "failure": None if failure is None else readable(failure.reason),
        "seconds": _number(fetched.seconds, 6),
    }


def _hop(response: HttpResponse) -> dict[str, Any]:
    return {
        "url": readable(response.url),
        "status": response.status,
        "location": _header(response, "location"),
    }


def _header(response: HttpResponse, wanted: str) -> str | None:
    return next((readable(v) for name, v in response.headers if name.lower() == wanted), None)


def _endpoint(endpoint: EndpointFacts) -> dict[str, Any]:
    software = read_software(endpoint.version)
    return {
        "host": readable(endpoint.target.host),
        "port": endpoint.target.port,
        "address": str(endpoint.address),
        "forbidden": endpoint.is_forbidden,
        "tries": endpoint.tries,
        "problem": None if endpoint.problem is None else endpoint.problem.value,
        "reason": readable(endpoint.reason),
        "tls": _tls(endpoint.tls),
        "tls_without_sni": _tls(endpoint.without_sni),
        "version": None if endpoint.version is None else _fetched(endpoint.version),
        "software": None if software is None else {"name": software[0], "version": software[1]},
        "keys": None if endpoint.keys is None else _fetched(endpoint.keys),
        "key_document": None
        if endpoint.key_document is None
        else asdict(endpoint.key_document, value_serializer=_listed),
    }


def _tls(tls: TlsFacts | None) -> dict[str, Any] | None:
    if tls is None:
        return None
    return {
        "server_hostname": _text(tls.server_hostname),
        "version": _text(tls.version),
        "problem": None if tls.problem is None else tls.problem.value,
        "reason": readable(tls.reason),
        "certificate": None if tls.certificate is None else _certificate(tls.certificate),
    }


def _certificate(certificate: Certificate) -> dict[str, Any]:
    return {
        "subject": readable(certificate.subject),
        "names": [readable(each) for each in certificate.names],
        "common_name": _text(certificate.common_name),
        "issuer": readable(certificate.issuer),
        "not_before": _moment(certificate.not_before),
        "not_after": _moment(certificate.not_after),
        "sha256": readable(certificate.sha256),
        "key": readable(certificate.key),
        "self_signed": certificate.is_self_signed,
    }


def _listed(_instance: object, _attribute: object, value: Any) -> Any:
    if isinstance(value, tuple):
        return list(value)
    return readable(value) if isinstance(value, str) else value


def _text(text: str | None) -> str | None:
    return None if text is None else readable(text)


def _number(value: float | None, digits: int = 3) -> float | None:
    """Return a number of others as JSON can hold it."""
    return None if value is None or not math.isfinite(value) else round(value, digits)


def _moment(seconds: float) -> str | None:
    at = as_datetime(seconds)
    return None if at is None else at.isoformat()
