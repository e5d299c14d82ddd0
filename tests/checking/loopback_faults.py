"""Servers of a loopback federation with one fault each, and the finding that has to name it."""

import gzip
import json
import time
from collections.abc import Iterator
from typing import Any

from declared import (
    HOME,
    NAME,
    OWN,
    SERVES,
    WELL_KNOWN,
    Declare,
    alone,
    also,
    answering,
    at_addresses,
    both,
    by_srv,
    delegating,
    published,
    with_key_document,
)
from homeservers import (
    ANY_ORIGIN,
    CLIENT,
    KEYS,
    SUPPORT,
    VERSION,
    VERSIONS,
    homeserver,
    with_answer,
)
from signing import SigningKey, key_document, unpadded

from matrix_resolve.core.addresses import AddressPolicy
from matrix_resolve.testing import (
    Certificate,
    DnsFault,
    LoopbackFederation,
    Raw,
    Redirect,
    Refused,
    Reply,
    Request,
    Silent,
)


def allowing_loopback(_: LoopbackFederation) -> dict[str, Any]:
    """Allow addresses of this machine, and no other private ones."""
    return {"address_policy": AddressPolicy(allow=["127.0.0.1", "::1"])}


def with_unasked_records(federation: LoopbackFederation) -> None:
    """Publish SRV records beside a document with a port."""
    federation.add_records(f"_matrix-fed._tcp.{NAME}", "SRV", f"0 0 8450 {HOME}.")


def _faults() -> Iterator[tuple[str, Declare]]:
    """Yield the error that is to be found, and how to make it."""
    yield "tls-expired", delegating(certificate=Certificate.EXPIRED)
    yield "tls-wrong-name", delegating(certificate=Certificate.WRONG_NAME)
    yield "tls-unknown-issuer", delegating(certificate=Certificate.UNTRUSTED)
    yield "tls-common-name", delegating(certificate=Certificate.COMMON_NAME_ONLY)
    yield "tls-not-yet-valid", delegating(certificate=Certificate.NOT_YET_VALID)
    yield "tls-self-signed", delegating(certificate=Certificate.SELF_SIGNED)
    yield "tls-unknown-issuer", delegating(certificate=Certificate.WITHOUT_CHAIN)
    certificate_of_target = by_srv(f"0 0 8450 {HOME}.", certificate=Certificate.OWN_NAME)
    yield "tls-srv-target-name", certificate_of_target
    yield "tls-other", delegating(certificate=Certificate.FOR_CLIENTS)
    yield "tls-timeout", alone(serves=Silent())
    plain = Raw(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n", tls=False)
    yield "tls-plain-http", alone(serves=plain)
    yield "tls-none", alone(serves=Raw(b"220 mail.example.org ESMTP\r\n", tls=False))
    yield "tcp-refused", delegating(ports=())
    yield "tcp-refused", by_srv(f"0 0 8450 {HOME}.", serves=Refused())
    yield "no-addresses", delegating(addresses=())
    yield "no-addresses", lambda federation: federation.add(NAME, addresses=())
    yield "delegation-missing", alone(ports={443})
    yield "addresses-private", both(alone(), lambda _: {"address_policy": AddressPolicy()})
    html = [("Content-Type", "text/html")]
    yield "version-not-found", answering(VERSION, Reply(404))
    yield "version-page", answering(VERSION, Reply(headers=html, body=b"<!doctype html>"))
    yield "version-status", answering(VERSION, Reply(502))
    yield "version-redirected", answering(VERSION, Redirect(f"https://{NAME}/"))
    yield "version-not-json", answering(VERSION, Reply(body=b"pong"))
    yield "version-failed", answering(VERSION, Raw(b""))
    yield "keys-not-found", answering(KEYS, Reply(404))
    yield "keys-status", answering(KEYS, Reply(500))
    yield "keys-not-json", answering(KEYS, Reply(body=b"pong"))
    yield "keys-no-document", answering(KEYS, {})
    yield "keys-other-server", with_key_document(server_name="other.test")
    yield "keys-no-server-name", with_key_document(server_name=5)
    yield "keys-expired", with_key_document(valid_until_ts=1_000_000_000_000)
    yield "keys-valid-until", with_key_document(valid_until_ts=...)
    yield "keys-no-ed25519", with_key_document(verify_keys={})
    yield "keys-unsigned", with_key_document(signatures={})
    forged = key_document([SigningKey()], server_name=NAME, valid_until_ts=4_000_000_000_000)
    yield "keys-bad-signature", answering(KEYS, forged | {"forged": True})
    short = {"ed25519:short": {"key": unpadded(b"x" * 31)}}
    yield "keys-bad-key", with_key_document(verify_keys=short)
    yield "keys-too-large", answering(KEYS, forged | {"x": "x" * 600_000})
    yield "keys-failed", answering(KEYS, Raw(b""))
    yield "srv-not-offered", by_srv("0 0 0 .")
    yield "srv-record-unusable", by_srv(f"0 0 0 {HOME}.")
    yield "srv-record-unusable", by_srv("0 0 8448 192.0.2.7.")
    yield "document-not-json", published(b"m.server: hs.example.org")
    yield "document-not-an-object", published([HOME])
    yield "document-no-m-server", published({"server": HOME})
    yield "document-m-server", published({"m.server": ""})
    yield "document-m-server", published({"m.server": f"{HOME}:70000"})
    yield "document-m-server", published({"m.server": [HOME]})
    yield "document-url", published({"m.server": f"https://{HOME}"})
    yield "document-url", published({"m.server": f"{HOME}/"})
    yield "document-page", published(b"<!doctype html><title>Welcome</title>")
    yield "document-status", published(b"", 403)
    yield "document-status", published(b"", 503)
    yield "document-too-large", published({"m.server": HOME, "x": "x" * 60_000})
    yield "document-redirect-loop", alone(well_known=Redirect(WELL_KNOWN), ports={443})
    yield "document-redirect-http", alone(redirects_to=f"http://{NAME}/", ports={443})
    yield "document-redirect-refused", alone(redirects_to="https://x@y.test/", ports={443})
    private = published({"m.server": "10.0.0.1"})
    yield "document-private-address", both(private, allowing_loopback)
    yield "document-private-address", both(published({"m.server": "127.0.0.3"}), allowing_loopback)
    late = {"certificate": Certificate.EXPIRED, "ports": {443}}
    yield "document-unreachable", alone(delegates_to=f"{HOME}:443", **late)


FAULTS = list(_faults())
V4, V4_TOO, V6 = "192.0.2.1", "192.0.2.2", "2001:db8::1"


def _client(**changes: Any) -> Declare:
    """Declare a server with a document for clients that is as said."""
    document = {"body": {"m.homeserver": {"base_url": f"https://{NAME}"}}, "headers": ANY_ORIGIN}
    return answering(CLIENT, Reply(**(document | changes)))


def _hops(count: int) -> Declare:
    """Declare a server whose document is so many redirects away."""

    def serves(request: Request) -> Any:
        place, _, at = request.path.rpartition("/")
        if place != "/hop":
            return OWN(request)
        return Redirect(f"/hop/{int(at) + 1}") if int(at) < count else {"m.server": f"{NAME}:8448"}

    return alone(well_known=Redirect("/hop/1"), serves=serves)


def _said(*headers: tuple[str, str]) -> Declare:
    """Declare a server whose document comes with these headers."""
    return alone(well_known=Reply(headers=headers, body={"m.server": f"{NAME}:8448"}))


def _weaknesses() -> Iterator[tuple[str, Declare]]:
    """Yield the warning that is to be found, and how to make what it warns of."""
    yield "srv-target-no-addresses", by_srv(f"0 0 8450 {HOME}.", "1 0 8450 none.example.org.")
    yield "srv-record-unusable", by_srv(f"0 0 8450 {HOME}.", "1 0 0 hs.example.org.")
    yield "srv-weight-zero", by_srv(f"0 9 8450 {HOME}.", f"0 0 8451 {HOME}.")
    yield "target-dead", by_srv(f"0 0 8450 {HOME}.", "1 0 8450 dead.example.org.")
    yield "srv-target-alias", by_srv(f"0 0 8450 {HOME}.", alias_of="dual.example.org")
    yield "dns-failed", alone(dns={"SRV": DnsFault.SERVFAIL})
    yield from _weak_addresses()
    yield from _weak_documents()
    yield "tls-ends-soon", alone(certificate=Certificate.ENDS_SOON)
    yield "version-incomplete", answering(VERSION, {"server": {"name": "Loopback"}})
    soon = int(time.time() * 1000) + 1_800_000
    yield "keys-expire-soon", with_key_document(valid_until_ts=soon)
    yield "keys-not-canonical", with_key_document(x=1.5)
    yield "keys-bad-old-key", with_key_document(old_verify_keys={"ed25519:old": {"key": "x"}})
    more = [SigningKey(f"v{number}") for number in range(40)]
    yield "keys-too-many", alone(serves=homeserver(NAME, *more, client_api=f"https://{NAME}/"))
    odd = homeserver(NAME, SigningKey(), SigningKey("a-b"), client_api=f"https://{NAME}/")
    yield "keys-bad-key-id", alone(serves=odd)
    yield "client-document-wrong", _client(body=b"<!doctype html>")
    yield "client-document-wrong", _client(body={"m.homeserver": {"base_url": "http://x.test"}})
    yield "client-document-wrong", _client(status=502)
    yield "client-cors", _client(headers=())
    yield "client-content-type", _client(headers=[*ANY_ORIGIN, ("Content-Type", "text/plain")])
    yield "client-api-failed", _client(body={"m.homeserver": {"base_url": "https://gone.test"}})
    yield "client-api-wrong", answering(VERSIONS, None)
    yield "client-api-wrong", answering(VERSIONS, {"versions": "v1.11"})


def _weak_addresses() -> Iterator[tuple[str, Declare]]:
    dead: dict[str, Any] = {"serves": Refused()}
    yield "ipv6-dead", at_addresses({V4: {}, V6: dead})
    yield "ipv4-dead", at_addresses({V4: dead, V6: {}})
    other = homeserver(NAME, SigningKey("b_1"), client_api=f"https://{NAME}/")
    newer = with_answer(OWN, VERSION, {"server": {"name": "Loopback", "version": "2.0"}})
    for code, second in (
        ("address-dead", dead),
        ("tls-expired", {"certificate": Certificate.EXPIRED}),
        ("tls-plain-http", {"serves": Raw(b"HTTP/1.1 400 Bad Request\r\n\r\n", tls=False)}),
        ("version-not-found", {"serves": with_answer(OWN, VERSION, None)}),
        ("software-differs", {"serves": newer}),
        ("keys-differ", {"serves": other}),
        ("document-differs", {"delegates_to": f"{NAME}:8448"}),
    ):
        yield code, at_addresses({V4: {}, V4_TOO: second})
    first = {"delegates_to": f"{HOME}:443", "ports": {443}}
    for code, second in (
        ("document-differs", {"ports": {443}}),
        ("document-status", {"ports": {443}, "well_known": Reply(502)}),
        ("document-page", {"ports": {443}, "well_known": b"<!doctype html>"}),
        ("document-unreachable", {"ports": ()}),
    ):
        yield code, both(at_addresses({V4: first, V4_TOO: second}), also(HOME, SERVES))


def _weak_documents() -> Iterator[tuple[str, Declare]]:
    gzipped = Reply(
        headers=[("Content-Encoding", "gzip"), ("Content-Type", "application/json")],
        body=gzip.compress(json.dumps({"m.server": f"{NAME}:8448"}).encode()),
    )
    yield "document-compressed", alone(well_known=gzipped)
    yield "document-headers", _said(("X-Policy", "x" * 9000))
    yield "document-headers-doubled", _said(("Server", "a"), ("Server", "b"))
    yield "document-redirects-many", _hops(6)
    yield "document-outdated-copy", delegating(delegates_to=f"{HOME}:8448")


def _peculiarities() -> Iterator[tuple[str, Declare]]:
    """Yield the note that is to be found, and how to make what it is of."""
    yield "alias-at-name", both(alone(alias_of="real.test"), also("real.test", OWN))
    yield "dns-ttl-short", alone(ttl=5)
    yield "srv-used", by_srv(f"0 0 8450 {HOME}.")
    yield "srv-legacy-only", by_srv(f"0 0 8450 {HOME}.", service="_matrix")
    yield "srv-not-asked", both(delegating(), with_unasked_records)
    yield "document-redirected", _hops(1)
    yield "document-content-type", _said(("Content-Type", "text/html"))
    yield "document-lifetime", _said(("Cache-Control", "max-age=5"))
    yield "document-lifetime", _said(("Cache-Control", "max-age=9999999"))
    yield "document-to-itself", _said(("Cache-Control", "max-age=86400"))
    yield "document-without-port", both(alone(delegates_to=HOME), also(HOME, SERVES))
    yield "document-to-alias", delegating(alias_of=NAME)
    yield "document-delegates-again", delegating(delegates_to="third.test:443")
    yield "document-status", alone(well_known=Reply(503))
    yield "tls-without-sni", alone(certificate=Certificate.NEEDS_SNI)
    yield "tls-without-sni", by_srv(f"0 0 8450 {HOME}.")
    version = {"server": {"name": "Loopback", "version": "1.0"}}
    text = Reply(headers=[("Content-Type", "text/plain")], body=json.dumps(version).encode())
    yield "api-content-type", answering(VERSION, text)
    yield "direct-works", both(delegating(), alone(delegates_to=f"{HOME}:443"))
    yield "direct-fails", delegating()
    yield "client-document-missing", answering(CLIENT, None)
    yield "support-missing", answering(SUPPORT, None)
    yield "support-wrong", answering(SUPPORT, {"contacts": [{"role": 1}]})


WEAKNESSES = list(_weaknesses())
PECULIARITIES = list(_peculiarities())
