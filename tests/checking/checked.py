"""Facts as a check sees them: of a good server of each step, and what can be changed in them."""

import json
from collections.abc import Mapping, Sequence
from ipaddress import ip_address
from typing import Any

from attrs import evolve

from matrix_resolve.checking.facts import (
    KEYS_PATH,
    VERSION_PATH,
    Certificate,
    ClientFacts,
    EndpointFacts,
    Fetched,
    FetchFailure,
    HostFacts,
    ServerFacts,
    SrvFacts,
    TlsFacts,
    TlsProblem,
)
from matrix_resolve.checking.key_document import KeyDocument, KeyFault, VerifyKey
from matrix_resolve.core.names import ServerName
from matrix_resolve.core.replies import HttpResponse, SrvRecord
from matrix_resolve.core.resolution import Resolution, Step, Target
from matrix_resolve.serving import client_well_known_document, well_known_document

AT = 1_780_000_000.0
DAY = 86_400.0
# Addresses on the public Internet, as the default address policy sees it.
V4, V4_TOO, V6 = (ip_address(text) for text in ("5.9.0.1", "5.9.0.2", "2a01:4f8::1"))
NAME = "example.org"
WELL_KNOWN = f"https://{NAME}/.well-known/matrix/server"
_JSON = (("Content-Type", "application/json"), ("Cache-Control", "max-age=86400"))

# Step -> name, m.server, service of the SRV records, targets.
_STEPS: Mapping[str, tuple[str, str | None, str | None, tuple[str, ...]]] = {
    "1": ("5.9.0.1", None, None, ("5.9.0.1:8448",)),
    "2": ("example.org:8450", None, None, ("example.org:8450",)),
    "3.1": (NAME, "5.9.0.1:443", None, ("5.9.0.1:443",)),
    "3.2": (NAME, "matrix.example.org:443", None, ("matrix.example.org:443",)),
    "3.3": (NAME, "matrix.example.org", "_matrix-fed._tcp", ("a.example.org:1", "b.example.org:2")),
    "3.4": (NAME, "matrix.example.org", "_matrix._tcp", ("a.example.org:1",)),
    "3.5": (NAME, "matrix.example.org", None, ("matrix.example.org:8448",)),
    "4": (NAME, None, "_matrix-fed._tcp", ("a.example.org:1", "b.example.org:2")),
    "5": (NAME, None, "_matrix._tcp", ("a.example.org:1",)),
    "6": (NAME, None, None, ("example.org:8448",)),
}


def response(
    status: int = 200,
    body: object = b"",
    *,
    url: str = WELL_KNOWN,
    headers: Sequence[tuple[str, str]] = _JSON,
) -> HttpResponse:
    """Return a response; a body that is no bytes is made JSON."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return HttpResponse(status, headers, content, url)


def fetched(status: int = 200, body: object = b"", **rest: Any) -> Fetched:
    """Return a GET that ended in a response."""
    answer = response(status, body, **rest)
    return Fetched(url=answer.url, address=str(V4), response=answer, seconds=0.01)


def failed(reason: str = "connection refused", url: str = WELL_KNOWN, **rest: bool) -> Fetched:
    """Return a GET that ended in none."""
    return Fetched(url=url, address=str(V4), failure=FetchFailure(reason=reason, **rest))


def document(m_server: object = None, status: int = 200) -> Fetched:
    """Return the document with `m_server`, or without."""
    return fetched(status, {} if m_server is None else {"m.server": m_server})


def certificate(*names: str, **changes: Any) -> Certificate:
    """Return a certificate for names."""
    made = Certificate(
        subject="",
        names=names,
        common_name=None,
        issuer="CN=Some Authority",
        not_before=AT - 30 * DAY,
        not_after=AT + 60 * DAY,
        sha256="ab" * 32,
        key="EC secp256r1",
        is_self_signed=False,
    )
    return evolve(made, **changes)


def handshake(*names: str, problem: TlsProblem | None = None, **changes: Any) -> TlsFacts:
    """Return a handshake that showed a certificate for names."""
    shown = certificate(*names, **changes)
    return TlsFacts(
        server_hostname=names[0] if names else NAME,
        version="TLSv1.3",
        problem=problem,
        reason="" if problem is None else "as OpenSSL says it",
        certificate=shown,
    )


def keys(*faults: str, key: str = "cd" * 32, **changes: Any) -> KeyDocument:
    """Return a key document with these faults."""
    made = KeyDocument(
        server_name=NAME,
        valid_until_ts=int(AT + DAY) * 1000,
        verify_keys=(
            VerifyKey(id="ed25519:a", algorithm="ed25519", fingerprint=key, signature="verified"),
        ),
        signatures="verified",
        faults=tuple(KeyFault(code, f"detail of {code}") for code in faults),
    )
    return evolve(made, **changes)


def version(name: object = "Synapse", number: object = "1.150.0") -> Fetched:
    """Return what a homeserver says of itself."""
    content = {"server": {"name": name, "version": number}}
    return fetched(200, content, url=f"https://matrix.example.org{VERSION_PATH}")


def endpoint(target: Target, address: Any, tls_name: str, **changes: Any) -> EndpointFacts:
    """Return an endpoint where all is well."""
    shown = handshake(tls_name)
    made = EndpointFacts(
        target=target,
        address=ip_address(str(address)),
        tls=shown,
        without_sni=shown,
        version=version(),
        keys=fetched(200, {}, url=f"https://matrix.example.org{KEYS_PATH}"),
        key_document=keys(),
    )
    return evolve(made, **changes)


def resolution(
    step: str, name: str, to: str | None, targets: Sequence[str], **changes: Any
) -> Resolution:
    """Return where a name leads."""
    deciding = ServerName.parse(to or name)
    host = deciding.hostname if step in ("3.3", "3.4", "4", "5") else str(deciding)
    places = [ServerName.parse(each) for each in targets]
    made = Resolution(
        server_name=ServerName.parse(name),
        step=Step(step),
        host_header=host,
        tls_name=deciding.canonical_host,
        targets=tuple(
            Target(host=each.canonical_host, port=each.port or 8448, priority=at)
            for at, each in enumerate(places)
        ),
        delegated_to=None if to is None else deciding,
    )
    return evolve(made, **changes) if changes else made


def client_facts() -> ClientFacts:
    """Return what clients find where all is well."""
    url = f"https://{NAME}/.well-known/matrix/"
    served = client_well_known_document("https://matrix.example.org")
    contact = {"role": "m.role.admin", "email_address": "admin@example.org"}
    return ClientFacts(
        document=fetched(200, served.body, url=f"{url}client", headers=served.headers),
        support=fetched(200, {"contacts": [contact]}, url=f"{url}support"),
        versions=fetched(
            200,
            {"versions": ["v1.11"]},
            url="https://matrix.example.org/_matrix/client/versions",
        ),
    )


def good_facts(step: str, **changes: Any) -> ServerFacts:
    """Return what is seen of a good server of a step, with `changes`."""
    name, to, service, targets = _STEPS[step]
    server_name = ServerName.parse(name)
    leads = resolution(step, name, to, targets)
    hosts = {each.host for each in leads.targets}
    hosts |= {each.hostname for each in (server_name, leads.delegated_to) if each is not None}
    named = [host for host in sorted(hosts) if not host[0].isdigit()]
    asks = server_name.port is None and not server_name.is_ip_literal
    documents: tuple[Fetched, ...] = ()
    if asks:
        body = None if to is None else well_known_document(name, to).body
        documents = (fetched(404) if body is None else fetched(200, body),)
    records = tuple(SrvRecord(t.priority, 0, t.port, t.host) for t in leads.targets)
    facts = ServerFacts(
        server_name=server_name,
        at=AT,
        resolution=leads,
        hosts=tuple(HostFacts(hostname=host, addresses=(V4,), ttl=3600.0) for host in named),
        srv=()
        if service is None
        else (SrvFacts(name=f"{service}.{leads.tls_name}", records=records, ttl=3600.0),),
        documents=documents,
        endpoints=tuple(endpoint(each, V4, leads.tls_name) for each in leads.targets),
        client=client_facts(),
    )
    return evolve(facts, **changes)


def at_endpoints(facts: ServerFacts, **changes: Any) -> ServerFacts:
    """Return facts with a change at every endpoint."""
    return evolve(facts, endpoints=tuple(evolve(each, **changes) for each in facts.endpoints))


def at_host(facts: ServerFacts, hostname: str, **changes: Any) -> ServerFacts:
    """Return facts with a change of one host."""
    hosts = tuple(
        evolve(each, **changes) if each.hostname == hostname else each for each in facts.hosts
    )
    return evolve(facts, hosts=hosts)


def with_second(facts: ServerFacts, address: Any = V6, **changes: Any) -> ServerFacts:
    """Return facts with one more address, and a change at that."""
    first = facts.endpoints[0]
    second = evolve(first, address=ip_address(str(address)), **changes)
    more = at_host(facts, first.target.host, addresses=(first.address, second.address))
    return evolve(more, endpoints=(*facts.endpoints, second))


DEAD: Mapping[str, Any] = {
    "tls": None,
    "without_sni": None,
    "version": None,
    "keys": None,
    "key_document": None,
}
