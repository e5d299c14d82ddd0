"""Whole checks in a loopback federation: good servers of each step, and servers with one fault."""

import asyncio
import gzip
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from homeservers import KEYS, VERSION, homeserver, with_answer

from matrix_resolve.checking.checker import open_checker
from matrix_resolve.checking.findings import Level
from matrix_resolve.checking.report import Report
from matrix_resolve.core.addresses import AddressPolicy
from matrix_resolve.core.resolution import Target
from matrix_resolve.testing import (
    Certificate,
    DnsFault,
    LoopbackFederation,
    Raw,
    Redirect,
    Refused,
    Reply,
)
from matrix_resolve.testing.steps import STEPS, StepRow

NAME, HOME = "example.org", "hs.example.org"
FED = f"_matrix-fed._tcp.{NAME}"
WELL_KNOWN = "/.well-known/matrix/server"
SERVES = homeserver(NAME, client_api=f"https://{HOME}/")
OWN = homeserver(NAME, client_api=f"https://{NAME}/")

Declare = Callable[[LoopbackFederation], Any]


async def report(federation: LoopbackFederation, name: str = NAME, **settings: Any) -> Report:
    """Check a server that a loopback federation has."""
    settings.setdefault("address_policy", AddressPolicy.allow_all())
    checking = open_checker(
        nameservers=[federation.nameserver],
        ssl_context=federation.client_ssl_context(),
        connect_to=federation.connect_to,
        **settings,
    )
    async with checking as checker, asyncio.timeout(60):
        return Report.of(await checker.look(name))


def complaints(found: Report) -> dict[str, Level]:
    """Return the codes of errors and warnings."""
    return {each.code: each.level for each in found.findings if each.level is not Level.NOTE}


@pytest.mark.parametrize("row", STEPS, ids=[row.label for row in STEPS])
async def test_good_servers(row: StepRow, loopback_federation: LoopbackFederation) -> None:
    """A good server of each step is reached, and nothing is to be changed."""
    name = str(row.server_name)
    first = Target(host=row.targets[0][0], port=row.targets[0][1])
    is_address = row.server_name.is_ip_literal
    serves = homeserver(name, client_api=None if is_address else f"https://{first}/")
    hosts = {host: {} for host, _ in row.targets} | dict(row.hosts)
    for host, declared in hosts.items():
        loopback_federation.add(host, **declared, serves=serves)
    found = await report(loopback_federation, name)
    assert complaints(found) == {}
    assert (found.answers.reach.value, found.exit_status) == ("yes", 0)
    assert found.answers.document is None


def delegating(**changes: Any) -> Declare:
    """Declare a server that delegates to another host, which is as said."""

    def declare(federation: LoopbackFederation) -> None:
        federation.add(NAME, delegates_to=f"{HOME}:443", serves=SERVES, ports={443})
        federation.add(HOME, **({"serves": SERVES} | changes))

    return declare


def alone(**changes: Any) -> Declare:
    """Declare a server that answers at port 8448 of its own name, as said."""
    return lambda federation: federation.add(NAME, **({"serves": OWN} | changes))


def answering(path: str, answer: Any) -> Declare:
    """Declare a server that answers one path as said."""
    return alone(serves=with_answer(OWN, path, answer))


def by_srv(*records: str, **changes: Any) -> Declare:
    """Declare a server with SRV records, and nothing at port 8448 of its own name."""

    def declare(federation: LoopbackFederation) -> None:
        federation.add(NAME, serves=OWN, ports={443})
        federation.add_records(FED, "SRV", *records)
        federation.add(HOME, **({"serves": OWN} | changes))

    return declare


def published(body: Any, status: int = 200, **changes: Any) -> Declare:
    """Declare a server that is reached by its document only, which is as said."""
    return alone(well_known=Reply(status, body=body), ports={443}, **changes)


def with_key_document(**members: Any) -> Declare:
    """Declare a server whose key document has other members; `...` leaves one out."""
    return alone(serves=homeserver(NAME, client_api=f"https://{NAME}/", **members))


def _faults() -> Iterator[tuple[str, Declare]]:
    """Yield the error that is to be found, and how to make it."""
    yield "tls-expired", delegating(certificate=Certificate.EXPIRED)
    yield "tls-wrong-name", delegating(certificate=Certificate.WRONG_NAME)
    yield "tls-unknown-issuer", delegating(certificate=Certificate.UNTRUSTED)
    yield "tls-common-name", delegating(certificate=Certificate.COMMON_NAME_ONLY)
    plain = Raw(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n", tls=False)
    yield "tls-plain-http", alone(serves=plain)
    yield "tls-none", alone(serves=Raw(b"220 mail.example.org ESMTP\r\n", tls=False))
    yield "tcp-refused", delegating(ports=())
    yield "tcp-refused", by_srv(f"0 0 8450 {HOME}.", serves=Refused())
    yield "no-addresses", delegating(addresses=())
    yield "no-addresses", lambda federation: federation.add(NAME, addresses=())
    yield "delegation-missing", alone(ports={443})
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
    late = {"certificate": Certificate.EXPIRED, "ports": {443}}
    yield "document-unreachable", alone(delegates_to=f"{HOME}:443", **late)


FAULTS = list(_faults())
_COMPRESSED = Reply(
    headers=[("Content-Encoding", "gzip"), ("Content-Type", "application/json")],
    body=gzip.compress(json.dumps({"m.server": f"{NAME}:8448"}).encode()),
)


@pytest.mark.parametrize(("code", "declare"), FAULTS, ids=[code for code, _ in FAULTS])
async def test_one_fault(
    code: str, declare: Declare, loopback_federation: LoopbackFederation
) -> None:
    """The finding that names the fault is there, and no other error."""
    declare(loopback_federation)
    found = await report(loopback_federation)
    errors = [each for each, level in complaints(found).items() if level is Level.ERROR]
    assert errors == [code]
    assert (found.answers.reach.value, found.exit_status) == ("no", 1)
    assert json.loads(json.dumps(found.to_dict())) == found.to_dict()


@pytest.mark.parametrize(
    ("code", "declare"),
    [
        ("srv-target-no-addresses", by_srv(f"0 0 8450 {HOME}.", "1 0 8450 none.example.org.")),
        ("srv-record-unusable", by_srv(f"0 0 8450 {HOME}.", "1 0 0 hs.example.org.")),
        ("srv-weight-zero", by_srv(f"0 9 8450 {HOME}.", f"0 0 8451 {HOME}.")),
        ("target-dead", by_srv(f"0 0 8450 {HOME}.", "1 0 8450 dead.example.org.")),
        ("dns-failed", alone(dns={"SRV": DnsFault.SERVFAIL})),
        ("document-compressed", alone(well_known=_COMPRESSED)),
        ("keys-not-canonical", with_key_document(x=1.5)),
    ],
)
async def test_one_weakness(
    code: str, declare: Declare, loopback_federation: LoopbackFederation
) -> None:
    """What is no error yet is a warning, and there is no other."""
    loopback_federation.add("none.example.org", addresses=())
    loopback_federation.add("dead.example.org", ports=())
    declare(loopback_federation)
    found = await report(loopback_federation)
    assert complaints(found) == {code: Level.WARNING}
    assert found.exit_status == 0


async def test_private_addresses(loopback_federation: LoopbackFederation) -> None:
    """Where private addresses are not allowed they are the fault, and nothing else is."""
    alone()(loopback_federation)
    found = await report(loopback_federation, address_policy=AddressPolicy())
    assert complaints(found) == {"addresses-private": Level.ERROR}


async def test_dns_that_can_not_be_asked(loopback_federation: LoopbackFederation) -> None:
    """Trouble of our own is no fault of the server's: nothing can be told."""
    alone(dns=DnsFault.SERVFAIL)(loopback_federation)
    found = await report(loopback_federation)
    assert complaints(found) == {"dns-failed": Level.WARNING}
    assert (found.answers.reach.value, found.exit_status) == ("unknown", 3)
