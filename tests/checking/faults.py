"""Servers with one fault each: what is seen of them, and the finding that has to name it."""

from collections.abc import Iterator
from typing import Any

from attrs import evolve, frozen
from checked import (
    AT,
    DAY,
    DEAD,
    NAME,
    V4,
    V4_TOO,
    V6,
    WELL_KNOWN,
    at_endpoints,
    at_host,
    certificate,
    client_facts,
    document,
    endpoint,
    failed,
    fetched,
    good_facts,
    handshake,
    keys,
    resolution,
    response,
    version,
    with_second,
)

from matrix_resolve.checking.facts import (
    KEYS_PATH,
    VERSION_PATH,
    Fetched,
    FetchFailure,
    ServerFacts,
    SrvFacts,
    TcpProblem,
    TlsProblem,
)
from matrix_resolve.checking.findings import Level
from matrix_resolve.checking.findings.key_faults import FINDING_OF
from matrix_resolve.core.questions import AskWellKnown, NotDelegated
from matrix_resolve.core.replies import HttpResponse, SrvRecord
from matrix_resolve.core.resolution import Target
from matrix_resolve.core.story import TrailEntry

E, W, N = Level.ERROR, Level.WARNING, Level.NOTE
FED, OLD = f"_matrix-fed._tcp.{NAME}", f"_matrix._tcp.{NAME}"
_HTML = (("Content-Type", "text/html; charset=utf-8"),)
_REFUSED = {"problem": TcpProblem.REFUSED, **DEAD}
_TIMEOUT = {"problem": TcpProblem.TIMEOUT, **DEAD}
_OWN = {"problem": TcpProblem.OWN, "reason": "Network is unreachable", **DEAD}
_NOT_OUT = {"version": None, "keys": None, "key_document": None}
_TLS_CODES = {
    TlsProblem.PLAIN_HTTP: "tls-plain-http",
    TlsProblem.NO_TLS: "tls-none",
    TlsProblem.TIMEOUT: "tls-timeout",
    TlsProblem.ALERT: "tls-alert",
    TlsProblem.TOO_OLD: "tls-too-old",
    TlsProblem.SELF_SIGNED: "tls-self-signed",
    TlsProblem.UNKNOWN_ISSUER: "tls-unknown-issuer",
    TlsProblem.EXPIRED: "tls-expired",
    TlsProblem.NOT_YET_VALID: "tls-not-yet-valid",
    TlsProblem.WRONG_NAME: "tls-wrong-name",
    TlsProblem.COMMON_NAME_ONLY: "tls-common-name",
    TlsProblem.OTHER: "tls-other",
}


@frozen
class Row:
    """A server with a fault, and the finding that has to name it, with a word that it has."""

    code: str
    level: Level
    facts: ServerFacts
    word: str = ""
    also: tuple[str, ...] = ()
    """Codes of warnings that are there for good reason besides."""


def closed(facts: ServerFacts, **changes: Any) -> ServerFacts:
    """Return facts where nothing accepts connections."""
    return evolve(at_endpoints(facts, **_REFUSED), **changes)


def unread(*documents: Fetched) -> ServerFacts:
    """Return what is seen where the document is of no use, and only by it peers get through."""
    return closed(good_facts("6"), documents=documents)


def redirect(*locations: str, last: int = 301, hops: int = 0) -> Fetched:
    """Return a fetch that ended in a redirect that is not followed."""
    made = [response(last, headers=[("Location", to)]) for to in locations]
    more = [response(last, url=f"https://{NAME}/{n}") for n in range(hops)]
    return Fetched(
        url=WELL_KNOWN,
        hops=(*more, *made),
        response=made[-1] if made else None,
        failure=FetchFailure(reason="refused", is_refused=True),
    )


def srv(*records: SrvRecord, name: str = FED, ttl: float = 3600.0) -> tuple[SrvFacts, ...]:
    """Return SRV records as they are published."""
    return (SrvFacts(name=name, records=records, ttl=ttl),)


def of_dns() -> Iterator[Row]:
    """Yield faults of the name and of DNS."""
    six, four = good_facts("6"), good_facts("4")
    none = at_host(six, NAME, addresses=())
    yield Row("no-addresses", E, evolve(none, endpoints=(), documents=(failed("none"),)), NAME)
    no_target = at_host(good_facts("3.2"), "matrix.example.org", addresses=())
    yield Row("no-addresses", E, evolve(no_target, endpoints=()), "matrix.example.org")
    unfound = failed("no addresses", url="https://matrix.example.org/_matrix/client/versions")
    clients = evolve(client_facts(), versions=unfound)
    yield Row("no-addresses", E, evolve(no_target, endpoints=(), client=clients))
    yield Row("no-addresses", N, at_host(four, NAME, addresses=()))
    part = evolve(four, endpoints=four.endpoints[:1])
    yield Row("srv-target-no-addresses", W, at_host(part, "b.example.org", addresses=()), "b.ex")
    down = at_host(six, NAME, addresses=(), failure="SERVFAIL")
    yield Row("dns-failed", W, evolve(down, endpoints=(), documents=()), "SERVFAIL")
    leads = evolve(six.resolution, degraded=True)
    yield Row("dns-failed", W, closed(six, resolution=leads))
    lost = (SrvFacts(name=FED, failure="time-out"),)
    yield Row("dns-failed", W, closed(six, resolution=leads, srv=lost), "time-out")
    aside = (SrvFacts(name=FED, failure="time-out"),)
    yield Row("dns-failed", N, evolve(good_facts("3.2"), srv=aside))
    private = at_host(six, NAME, addresses=(V4,), forbidden=(V4,))
    mute = at_endpoints(private, is_forbidden=True, **DEAD)
    yield Row("addresses-private", E, evolve(mute, documents=(failed("forbidden"),)), str(V4))
    some = with_second(six, V4_TOO, is_forbidden=True, **DEAD)
    yield Row("addresses-private", W, at_host(some, NAME, forbidden=(V4_TOO,)), str(V4_TOO))
    yield Row("addresses-private", N, with_second(six, "10.0.0.1"), "10.0.0.1")
    yield Row("own-network", W, at_endpoints(six, **_OWN), "unreachable")
    yield Row("own-network", N, with_second(six, V6, **_OWN), "unreachable")
    yield Row("delegation-missing", E, closed(six, documents=(fetched(404), failed())))
    ours = closed(six, documents=(failed("no route", is_own=True),))
    yield Row("own-network", W, ours, "no route")
    yield Row("unfinished", N, evolve(six, unfinished=("keys of 5.9.0.1",)), "keys of")
    yield Row("alias-at-name", N, at_host(six, NAME, canonical_name="www.example.net"), "www.")
    yield Row("dns-ttl-short", N, at_host(six, NAME, ttl=5.0), "5 s")
    short = srv(*four.srv[0].records, ttl=20.0)
    yield Row("dns-ttl-short", N, evolve(four, srv=short), "20 s")


def of_srv() -> Iterator[Row]:
    """Yield faults of SRV records."""
    six, four, delegated = good_facts("6"), good_facts("4"), good_facts("3.2")
    off = evolve(six, resolution=None, not_offered=True, endpoints=())
    yield Row("srv-not-offered", E, evolve(off, srv=srv(SrvRecord(0, 0, 0, "."))), FED)
    for record, word in (
        (SrvRecord(0, 0, 0, "a.example.org"), "port 0"),
        (SrvRecord(0, 0, 8448, "5.9.0.1"), "IP address"),
        (SrvRecord(0, 0, 8448, "not a host"), "not a host"),
    ):
        yield Row("srv-record-unusable", E, closed(six, srv=srv(record)), word)
        yield Row("srv-record-unusable", W, evolve(six, srv=srv(record)), word)
        good = four.srv[0].records
        yield Row("srv-record-unusable", W, evolve(four, srv=srv(*good, record)), word)
    beside = srv(*four.srv[0].records, SrvRecord(0, 0, 0, "."))
    yield Row("srv-record-unusable", W, evolve(four, srv=beside), '"."')
    yield Row(
        "srv-target-alias", W, at_host(four, "a.example.org", canonical_name="c.test"), "c.test"
    )
    weights = srv(SrvRecord(0, 0, 1, "a.example.org"), SrvRecord(0, 9, 2, "b.example.org"))
    yield Row("srv-weight-zero", W, evolve(four, srv=weights), "a.example.org:1")
    yield Row("srv-used", N, four)
    yield Row("srv-legacy-only", N, good_facts("5"), OLD)
    yield Row("srv-legacy-only", N, good_facts("3.4"), "_matrix._tcp.matrix.example.org")
    yield Row("srv-not-asked", N, evolve(delegated, srv=four.srv), "m.server")
    yield Row("srv-not-asked", N, evolve(good_facts("2"), srv=four.srv), "port")


def of_documents() -> Iterator[Row]:
    """Yield faults of the document itself."""
    six, delegated = good_facts("6"), good_facts("3.2")
    good = delegated.documents[0]
    for code, faulty, word in (
        ("document-not-json", fetched(200, b"m.server: x"), "m.server: x"),
        ("document-not-json", fetched(200, b"\xff\xfe"), "UTF-8"),
        ("document-not-an-object", fetched(200, ["x"]), "a list"),
        ("document-no-m-server", fetched(200, {"server": "x"}), "server"),
        ("document-m-server", fetched(200, {"m.server": 8448}), "a number"),
        ("document-m-server", document(""), "empty"),
        ("document-m-server", document("matrix.example.org:99999"), "99999"),
        ("document-url", document("https://matrix.example.org"), '"m.server": "matrix.'),
        ("document-url", document("matrix.example.org:443/"), "matrix.example.org:443"),
    ):
        yield Row(code, E, unread(faulty), word)
        yield Row(code, E, evolve(six, documents=(faulty,)), word)
        yield Row(code, W, evolve(delegated, documents=(good, faulty)), word)
    for code, faulty, word in (
        ("document-page", fetched(200, b"\n<!doctype html>", headers=_HTML), "HTML"),
        ("document-status", document(status=403), "bot protection"),
        ("document-status", document(status=401), "login"),
        ("document-status", document(status=503), "503"),
        ("document-status", document(status=418), "418"),
        ("document-unreachable", failed("certificate has expired"), "has expired"),
    ):
        yield Row(code, E, unread(faulty), word)
        yield Row(code, N, evolve(six, documents=(faulty,)))
        yield Row(code, W, evolve(delegated, documents=(good, faulty)), word)
    many = redirect(f"https://{NAME}/next", hops=11)
    for code, faulty, word in (
        ("document-too-large", fetched(200, b" " * 60_000), "50 KiB"),
        ("document-redirect-http", redirect("http://www.example.org/"), "http://www"),
        ("document-redirect-loop", redirect(WELL_KNOWN), "loop"),
        ("document-redirect-refused", redirect("https://user@example.org/"), "user@"),
        ("document-redirect-refused", redirect("https://10.0.0.1/"), "10.0.0.1"),
        ("document-redirects-many", many, "10 times"),
    ):
        yield Row(code, E, unread(faulty), word)
        yield Row(code, W, evolve(six, documents=(faulty,)), word)
        yield Row(code, W, evolve(delegated, documents=(good, faulty)), word)
    yield from of_headers(good, delegated)
    other = document("other.example.org:443")
    yield Row("document-differs", W, evolve(delegated, documents=(good, other)), "other.")
    yield Row("document-differs", W, evolve(delegated, documents=(good, fetched(404))), "404")
    yield Row("document-differs", E, unread(good, fetched(404)), "matrix.example.org:443")
    yield Row("document-differs", E, unread(good), "could not")
    question = AskWellKnown(NAME)
    told = TrailEntry(
        question=question,
        answer=NotDelegated("status 500", temporary=True),
        from_cache=False,
        duration=0.1,
        kept_for=60.0,
    )
    leads = resolution("6", NAME, None, [f"{NAME}:8448"], trail=(told,))
    yield Row("document-unreachable", E, closed(six, documents=(), resolution=leads), "500")
    gone = evolve(told, answer=NotDelegated("status 404"))
    leads = resolution("6", NAME, None, [f"{NAME}:8448"], trail=(gone,))
    yield Row("delegation-missing", E, closed(six, documents=(), resolution=leads))
    unsaid = failed("the policy forbids it", is_refused=True)
    yield Row("document-unreachable", E, unread(unsaid), "forbids")


def of_headers(good: Fetched, delegated: ServerFacts) -> Iterator[Row]:
    """Yield faults of what is around the document."""
    answer = good.response
    assert answer is not None
    json_type = ("Content-Type", "application/json")
    day = ("Cache-Control", "max-age=86400")
    for code, level, headers, word in (
        ("document-content-type", N, [("Content-Type", "text/plain"), day], "text/plain"),
        ("document-content-type", N, [day], "no Content-Type"),
        ("document-lifetime", N, [json_type], "24 h"),
        ("document-lifetime", N, [json_type, ("Cache-Control", "no-store")], "5 min"),
        ("document-lifetime", N, [json_type, ("Cache-Control", "max-age=9999999")], "116 days"),
        ("document-lifetime", N, [json_type, day, ("Age", "86390")], "86390"),
        ("document-compressed", W, [json_type, day, ("Content-Encoding", "gzip")], "gzip"),
        ("document-headers", W, [json_type, day, ("Set-Cookie", "x" * 9000)], "90"),
        ("document-headers", W, [json_type, day, *[("Set-Cookie", "x" * 99)] * 200], "226"),
        ("document-headers-doubled", W, [json_type, json_type, day], "content-type"),
    ):
        changed = evolve(good, response=evolve(answer, headers=headers))
        yield Row(code, level, evolve(delegated, documents=(changed,)), word)
    hop = response(302, headers=[("Location", "https://www.example.org/x")])
    final = evolve(answer, url="https://www.example.org/x")
    for count, code, level in ((1, "document-redirected", N), (6, "document-redirects-many", W)):
        led = evolve(good, hops=(hop,) * count, response=final)
        yield Row(code, level, evolve(delegated, documents=(led,)), "www.example.org")


def of_delegation() -> Iterator[Row]:
    """Yield faults of where the document leads."""
    six, delegated, bare = good_facts("6"), good_facts("3.2"), good_facts("3.5")
    yield Row("delegation-missing", E, closed(six), f'"m.server": "{NAME}:443"')
    yield Row("delegation-missing", E, at_endpoints(six, **_TIMEOUT), "no answer")
    for to in ("192.168.1.5:443", "localhost:8448"):
        leads = resolution("3.2", NAME, to, [to])
        near = endpoint(leads.targets[0], "127.0.0.1", "localhost", is_forbidden=True, **DEAD)
        given = evolve(delegated, resolution=leads, documents=(document(to),), endpoints=(near,))
        yield Row("document-private-address", E, evolve(given, hosts=six.hosts), to)
    yield Row("document-without-port", N, bare, "8448")
    yield Row(
        "document-without-port",
        W,
        at_endpoints(bare, **_NOT_OUT, tls=handshake("x.test", problem=TlsProblem.EXPIRED)),
        ":443",
        ("tls-expired",),
    )
    itself = resolution("3.5", NAME, NAME, [f"{NAME}:8448"])
    yield Row(
        "document-to-itself",
        N,
        evolve(six, resolution=itself, documents=(document(NAME),)),
        NAME,
    )
    yield Row(
        "document-to-alias",
        N,
        at_host(delegated, "matrix.example.org", canonical_name=NAME),
        "alias",
    )
    again, copy = document("third.example.org:443"), document("matrix.example.org:8448")
    yield Row("document-delegates-again", N, evolve(delegated, delegated_document=again), "third")
    yield Row("document-outdated-copy", W, evolve(delegated, delegated_document=copy), ":8448")
    target = Target(host=NAME, port=8448)
    works = endpoint(target, V4_TOO, NAME)
    yield Row("direct-works", N, evolve(delegated, direct=(works,)))
    fails = evolve(works, **_REFUSED)
    yield Row("direct-fails", N, evolve(delegated, direct=(fails,)), "refused")
    yield Row("direct-fails", N, evolve(good_facts("4"), direct=(fails,)), "SRV records")
    unsure = handshake("www.example.org", problem=TlsProblem.WRONG_NAME)
    web = evolve(works, tls=unsure, **_NOT_OUT)
    yield Row("direct-fails", N, evolve(delegated, direct=(web,)), "www.example.org")


def of_connections() -> Iterator[Row]:
    """Yield faults of TCP."""
    delegated, four = good_facts("3.2"), good_facts("4")
    for problem in ("REFUSED", "TIMEOUT", "UNREACHABLE"):
        dead = {"problem": TcpProblem[problem], **DEAD}
        code = f"tcp-{problem.lower()}"
        yield Row(code, E, at_endpoints(delegated, **dead), "matrix.example.org:443")
        yield Row(code, E, at_endpoints(good_facts("1"), **dead), "5.9.0.1:8448")
        yield Row("ipv6-dead", W, with_second(delegated, V6, **dead), "AAAA")
        yield Row("address-dead", W, with_second(delegated, V4_TOO, **dead))
    first = at_endpoints(delegated, **_TIMEOUT)
    yield Row(
        "ipv4-dead",
        W,
        evolve(
            first,
            endpoints=(
                *first.endpoints,
                endpoint(first.endpoints[0].target, V6, "matrix.example.org"),
            ),
        ),
        "no answer",
    )
    one, two = four.endpoints
    yield Row("target-dead", W, evolve(four, endpoints=(one, evolve(two, **_REFUSED))), "b.ex")
    yield Row("tcp-second-try", W, at_endpoints(delegated, tries=2), "first")


def of_tls() -> Iterator[Row]:
    """Yield faults of TLS and certificates."""
    delegated, four = good_facts("3.2"), good_facts("4")
    for problem, code in _TLS_CODES.items():
        shown = handshake("other.test", "more.test", common_name="x.test", problem=problem)
        bad = {"tls": shown, "without_sni": None, **_NOT_OUT}
        yield Row(code, E, at_endpoints(delegated, **bad))
        yield Row(code, E, at_endpoints(good_facts("6"), **bad))
        yield Row(code, W, with_second(delegated, V4_TOO, **bad))
    wrong = handshake("other.test", problem=TlsProblem.WRONG_NAME)
    yield Row("tls-wrong-name", E, at_endpoints(delegated, tls=wrong, **_NOT_OUT), "other.test")
    near = at_endpoints(
        good_facts("3.1"),
        tls=handshake("hs.example.org", problem=TlsProblem.WRONG_NAME),
        **_NOT_OUT,
    )
    yield Row("tls-wrong-name", E, near, '"m.server": "hs.example.org:443"')
    for name in ("a.example.org", "*.example.org"):
        shown = handshake(name, problem=TlsProblem.WRONG_NAME)
        yield Row(
            "tls-srv-target-name",
            E,
            at_endpoints(good_facts("5"), tls=shown, **_NOT_OUT),
            '"m.server": "a.example.org:1"',
        )
        one, two = four.endpoints
        second = evolve(two, tls=handshake("b.example.org", problem=TlsProblem.WRONG_NAME))
        some = evolve(four, endpoints=(one, evolve(second, **_NOT_OUT)))
        yield Row("tls-srv-target-name", W, some, '"m.server": "b.example.org:2"')
    soon = handshake("matrix.example.org", not_after=AT + 3 * DAY)
    yield Row("tls-ends-soon", W, at_endpoints(delegated, tls=soon, without_sni=soon), "UTC")
    site = handshake("www.example.org", sha256="ff" * 32)
    yield Row("tls-without-sni", N, at_endpoints(delegated, without_sni=site), "www.example.org")
    none = handshake(problem=TlsProblem.ALERT)
    yield Row("tls-without-sni", N, at_endpoints(delegated, without_sni=none), "alert")
    one, two = four.endpoints
    shown = evolve(two.tls, certificate=certificate(NAME, sha256="ee" * 32))
    other = evolve(two, tls=shown, without_sni=shown)
    yield Row("certificates-differ", W, evolve(four, endpoints=(one, other)), "eeee")


def of_api() -> Iterator[Row]:
    """Yield faults of the federation API."""
    delegated = good_facts("3.2")
    page = fetched(200, b"<html>", headers=_HTML)
    moved = fetched(302, headers=[("Location", "https://www.example.org/")])
    for code, answer, word in (
        ("not-found", fetched(404, b"<html>"), "location /_matrix"),
        ("status", fetched(502), "behind it does not"),
        ("status", fetched(403), "bot protection"),
        ("status", fetched(500), "500"),
        ("failed", failed("no response within 10 s"), "within 10 s"),
    ):
        lost = {"version": answer, "keys": answer, "key_document": None}
        yield Row(f"version-{code}", E, at_endpoints(delegated, **lost), word)
        yield Row(f"version-{code}", W, with_second(delegated, V4_TOO, **lost), word)
        only_keys = {"keys": answer, "key_document": None}
        yield Row(f"keys-{code}", E, at_endpoints(delegated, **only_keys), word)
        yield Row(f"keys-{code}", W, with_second(delegated, V4_TOO, **only_keys), word)
    for code, answer, word in (
        ("version-page", page, "HTML"),
        ("version-redirected", moved, "https://www.example.org/"),
        ("version-not-json", fetched(200, b"ok"), "no JSON"),
        ("version-not-json", fetched(200, ["x"]), "no object"),
    ):
        yield Row(code, E, at_endpoints(delegated, version=answer), word)
        yield Row(code, W, with_second(delegated, V4_TOO, version=answer), word)
    for answer in (version(number=7), fetched(200, {"server": "x"}), fetched(200, {})):
        yield Row("version-incomplete", W, at_endpoints(delegated, version=answer))
    for fault, (code, is_fatal, _) in FINDING_OF.items():
        faulty = keys(fault)
        yield Row(code, E if is_fatal else W, at_endpoints(delegated, key_document=faulty))
        yield Row(code, W, with_second(delegated, V4_TOO, key_document=faulty))
    none = keys("server_name_missing", "valid_until_missing", "no_ed25519_key")
    yield Row("keys-no-document", E, at_endpoints(delegated, key_document=none))
    yield Row("keys-no-document", W, with_second(delegated, V4_TOO, key_document=none))
    both = keys("not_canonical", "valid_until_not_integer")
    yield Row("keys-valid-until", E, at_endpoints(delegated, key_document=both))
    past = keys("valid_until_past", valid_until_ts=int(AT - DAY) * 1000)
    yield Row("keys-expired", E, at_endpoints(delegated, key_document=past), "2026-05-27")
    plain = [("Content-Type", "text/plain")]
    for path, change in ((VERSION_PATH, "version"), (KEYS_PATH, "keys")):
        answer = fetched(200, {"server": {"name": "a", "version": "b"}}, headers=plain)
        yield Row("api-content-type", N, at_endpoints(delegated, **{change: answer}), path)
    old = version(number="1.0")
    yield Row("software-differs", W, with_second(delegated, V4_TOO, version=old), "Synapse 1.0")
    strange = keys(key="99" * 32)
    yield Row("keys-differ", W, with_second(delegated, V4_TOO, key_document=strange), "9999")


def of_clients() -> Iterator[Row]:
    """Yield faults of what clients look for."""
    six, good = good_facts("6"), client_facts()
    url = f"https://{NAME}/.well-known/matrix/client"

    def told(document: Fetched) -> ServerFacts:
        return evolve(six, client=evolve(good, document=document))

    for missing in (fetched(404, url=url), failed(url=url)):
        yield Row("client-document-missing", N, told(missing), "base_url")
    any_origin = ("Access-Control-Allow-Origin", "*")
    for wrong in (
        fetched(500),
        fetched(200, b"<html>"),
        fetched(200, ["x"]),
        fetched(200, {"m.homeserver": {}}),
        *(
            fetched(200, {"m.homeserver": {"base_url": base_url}}, headers=[any_origin])
            for base_url in (5, "http://example.org", "https://example.org/?x", "https://[", "x")
        ),
        redirect("http://www.example.org/"),
    ):
        yield Row("client-document-wrong", W, told(wrong))
    answer = good.document.response
    assert answer is not None
    silent = evolve(answer, headers=[("Content-Type", "application/json")])
    yield Row("client-cors", W, told(evolve(good.document, response=silent)), "Allow-Origin")
    hop = HttpResponse(302, (), b"", f"https://{NAME}/hop")
    yield Row("client-cors", W, told(evolve(good.document, hops=(hop,))), "redirect")
    typed = evolve(answer, headers=[("Content-Type", "text/html"), any_origin])
    yield Row("client-content-type", W, told(evolve(good.document, response=typed)), "text/html")
    lost = evolve(good, versions=failed("certificate has expired", url=url))
    yield Row("client-api-failed", W, evolve(six, client=lost), "expired")
    # Where the endpoint is at fault, that is told once.
    both = {"tls": handshake("matrix.example.org", problem=TlsProblem.EXPIRED), **_NOT_OUT}
    there = failed("expired", url="https://matrix.example.org/_matrix/client/versions")
    same = at_endpoints(good_facts("3.2"), **both)
    yield Row("tls-expired", E, evolve(same, client=evolve(good, versions=there)))
    for versions in (fetched(404), fetched(200, b"x"), fetched(200, {"versions": "v1"})):
        none = evolve(good, versions=versions)
        yield Row("client-api-wrong", W, evolve(six, client=none), "versions")
    yield Row("support-missing", N, evolve(six, client=evolve(good, support=fetched(404))))
    ours = failed("no descriptor", is_own=True)
    blind = evolve(good, document=ours, support=ours)
    yield Row("alias-at-name", N, at_host(evolve(six, client=blind), NAME, canonical_name="a.test"))
    blind = evolve(good, versions=ours, support=fetched(404))
    yield Row("support-missing", N, evolve(six, client=blind))
    for support in (
        fetched(500),
        fetched(200, b"x"),
        fetched(200, []),
        fetched(200, {}),
        fetched(200, {"support_page": 5}),
        fetched(200, {"contacts": ["x"]}),
        fetched(200, {"contacts": [{"role": "m.role.admin"}]}),
    ):
        yield Row("support-wrong", N, evolve(six, client=evolve(good, support=support)))


FAULTS = [
    *of_dns(),
    *of_srv(),
    *of_documents(),
    *of_delegation(),
    *of_connections(),
    *of_tls(),
    *of_api(),
    *of_clients(),
]
