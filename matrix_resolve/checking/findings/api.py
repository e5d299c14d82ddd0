"""What is wrong with the answers of the federation API."""

from typing import Final

from matrix_resolve.checking.canonical_json import read_json
from matrix_resolve.checking.facts import KEYS_PATH, VERSION_PATH, EndpointFacts, Fetched
from matrix_resolve.checking.findings.fault import Fault
from matrix_resolve.checking.findings.key_faults import key_faults
from matrix_resolve.checking.findings.readings import is_page
from matrix_resolve.checking.texts import media_type, sentence
from matrix_resolve.core.well_known import REDIRECTS
from matrix_resolve.errors import readable, shown


def is_own(fetched: Fetched) -> bool:
    """Return whether a request failed for want of something of our own."""
    return fetched.failure is not None and fetched.failure.is_own


_PASS_ON: Final = "Have the web server or proxy pass everything under /_matrix on to the homeserver"
_STATUS: Final = {
    401: "A proxy or bot protection asks for a login: let /_matrix through without one.",
    403: "A proxy or bot protection stands in front: let /_matrix through for everybody.",
    429: "Raise the limit of requests for /_matrix: peers send many.",
    502: "The proxy answers, the homeserver behind it does not: start it, or mend the address that "
    "the proxy passes /_matrix on to.",
    503: "The homeserver is down or overloaded: start it, and look at its log.",
    504: "The homeserver behind the proxy does not answer in time: look at its log.",
    421: "The proxy serves no such name at this port: add the name to its settings.",
}


def _status_fault(kind: str, path: str, fetched: Fetched, place: str) -> Fault | None:
    """Return what is wrong with a response before its body is read."""
    where = f"https://{place}{path}"
    response = fetched.response
    if response is None:
        reason = "no response" if fetched.failure is None else sentence(fetched.failure.reason)
        advice = "Look at the log of the proxy and of the homeserver for this request."
        return Fault(f"{kind}-failed", f"No response to GET {path}: {reason}.", advice, where)
    status = response.status
    if status == 200:
        return None
    if status == 404:
        fact = f"GET {path} is answered with status 404, where peers want 200."
        advice = f"{_PASS_ON}, unchanged (with nginx: location /_matrix)."
        return Fault(f"{kind}-not-found", fact, advice, where)
    if status in REDIRECTS and kind == "version":
        to = next((v for name, v in response.headers if name.lower() == "location"), "")
        fact = f"GET {path} redirects (status {status}) to {shown(to)}; peers don't follow that."
        advice = f"{_PASS_ON} instead, or delegate to the host that it redirects to."
        return Fault("version-redirected", fact, advice, where)
    advice = _STATUS.get(status, "Look at the log of the proxy and of the homeserver.")
    fact = f"GET {path} is answered with status {status}, where peers want 200."
    return Fault(f"{kind}-status", fact, advice, where)


def version_faults(fetched: Fetched, place: str) -> tuple[list[Fault], tuple[str, str] | None]:
    """Return what is wrong with the version, and the name and version of the software."""
    path = VERSION_PATH
    where = f"https://{place}{path}"
    if (fault := _status_fault("version", path, fetched, place)) is not None:
        return [fault], None
    response = fetched.response
    assert response is not None
    try:
        content = read_json(response.body).value
    except ValueError as error:
        if is_page(response):
            fact = f"GET {path} gives a web page (HTML), not the homeserver's answer."
            return [Fault("version-page", fact, f"{_PASS_ON}.", where)], None
        fact = f"GET {path} gives no JSON: {sentence(str(error))}."
        return [Fault("version-not-json", fact, f"{_PASS_ON}.", where)], None
    if not isinstance(content, dict):
        fact = f"GET {path} gives JSON that is no object."
        return [Fault("version-not-json", fact, f"{_PASS_ON}.", where)], None
    faults = _content_type(path, fetched, where)
    server = content.get("server")
    name, version = (
        server.get(key) if isinstance(server, dict) else None for key in ("name", "version")
    )
    if isinstance(name, str) and isinstance(version, str):
        return faults, (readable(name, 100), readable(version, 100))
    fact = f'GET {path} gives no "server" with a "name" and a "version" that are strings.'
    advice = 'Let it answer {"server": {"name": "...", "version": "..."}}.'
    return [*faults, Fault("version-incomplete", fact, advice, where, is_fatal=False)], None


def keys_faults(endpoint: EndpointFacts, server_name: str, at: float, place: str) -> list[Fault]:
    """Return what is wrong with the keys."""
    path = KEYS_PATH
    where = f"https://{place}{path}"
    fetched = endpoint.keys
    if fetched is None or is_own(fetched):
        return []
    if (fault := _status_fault("keys", path, fetched, place)) is not None:
        return [fault]
    faults = _content_type(path, fetched, where)
    if endpoint.key_document is not None:
        for code, fact, advice, is_fatal in key_faults(endpoint.key_document, server_name, at):
            faults.append(Fault(code, fact, advice, where, is_fatal))
    return faults


def _content_type(path: str, fetched: Fetched, where: str) -> list[Fault]:
    assert fetched.response is not None
    seen = media_type(fetched.response.headers)
    if seen == "application/json":
        return []
    told = f"the Content-Type {shown(seen)}" if seen else "no Content-Type"
    fact = f"GET {path} is answered with {told}."
    return [
        Fault("api-content-type", fact, "It should be application/json.", where, is_fatal=False)
    ]


def read_software(fetched: Fetched | None) -> tuple[str, str] | None:
    """Return the name and version that a server gives itself, None if it gives none."""
    if fetched is None or fetched.response is None or fetched.response.status != 200:
        return None
    return version_faults(fetched, "")[1]
