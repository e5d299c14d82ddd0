"""Hostile and odd servers, through real sockets: nothing raises, lasts or misleads."""

import asyncio
import json
import zlib
from typing import Any

import pytest
from attrs import field, frozen

from matrix_resolve import Policy, ServiceNotOfferedError, SrvRecord
from matrix_resolve.testing import (
    Certificate,
    CutShort,
    DnsFault,
    Dripping,
    Endless,
    LoopbackFederation,
    Raw,
    Redirect,
    Refused,
    Reply,
    Silent,
    Slow,
)

NAME = "odd.example"
WELL_KNOWN = "/.well-known/matrix/server"
GOOD = {"m.server": "good.example:443"}
GOOD_BYTES = json.dumps(GOOD).encode()

# Short where the silent and the slow would keep the tests waiting, and only there.
HASTY_WEB = Policy(well_known_timeout=1.0, well_known_connect_timeout=0.5)
HASTY_DNS = Policy(well_known_timeout=1.0, dns_timeout=0.5)


def document(**members: Any) -> bytes:
    """Return a JSON document."""
    return json.dumps(members).encode()


def m_server(value: Any) -> bytes:
    """Return a document with this `m.server`."""
    return document(**{"m.server": value})


def gzipped(body: bytes) -> bytes:
    """Return `body` compressed."""
    packer = zlib.compressobj(wbits=31)
    return packer.compress(body) + packer.flush()


NOTHING_USABLE: dict[str, Any] = {
    # Documents
    "empty body": b"",
    "not JSON": b"<!doctype html>",
    "two documents": GOOD_BYTES * 2,
    "cut JSON": GOOD_BYTES[:-1],
    "array": b'["m.server"]',
    "string": b'"good.example:443"',
    "number": b"443",
    "null": b"null",
    "NaN beside a good name": b'{"m.server": "good.example:443", "x": NaN}',
    "no m.server": b'{"server": "good.example:443"}',
    "m.server in other case": b'{"M.SERVER": "good.example:443"}',
    "m.server null": m_server(None),
    "m.server number": m_server(443),
    "m.server list": m_server(["good.example:443"]),
    "m.server object": m_server({"host": "good.example"}),
    "m.server empty": m_server(""),
    "m.server with a scheme": m_server("https://good.example"),
    "m.server with a path": m_server("good.example/"),
    "m.server with userinfo": m_server("user@good.example"),
    "m.server with a space": m_server(" good.example"),
    "m.server with a newline": m_server("good.example\n"),
    "m.server with a NUL": m_server("good.example\0.evil.example"),
    "m.server not ASCII": m_server("g\u00f6\u00f6d.example"),
    "m.server a lone surrogate": b'{"m.server": "\\ud800"}',
    "m.server with port 0": m_server("good.example:0"),
    "m.server with port 65536": m_server("good.example:65536"),
    "m.server with a negative port": m_server("good.example:-1"),
    "m.server with an empty port": m_server("good.example:"),
    "m.server with a final dot": m_server("good.example."),
    "m.server with an underscore": m_server("good_one.example"),
    "m.server an address in disguise": m_server("2130706433"),
    "m.server octal IPv4": m_server("0177.0.0.1"),
    "m.server IPv6 without brackets": m_server("::1"),
    "m.server IPv6 with a zone": m_server("[fe80::1%eth0]:8448"),
    "m.server too long": m_server(".".join(["a" * 63] * 4) + ".example"),
    "UTF-16": json.dumps(GOOD).encode("utf-16"),
    "bytes that are no UTF-8": b'{"m.server": "\xff\xfe"}',
    "deep nesting": b'{"m.server": ' + b"[" * 20_000 + b"]" * 20_000 + b"}",
    "an integer of 5,000 digits": b'{"m.server": ' + b"9" * 5000 + b"}",
    "one byte too large": GOOD_BYTES + b" " * (50 * 1024 + 1 - len(GOOD_BYTES)),
    "a gzip bomb": Reply(
        headers=[("Content-Encoding", "gzip")], body=gzipped(b" " * 50_000_000 + GOOD_BYTES)
    ),
    "no gzip though it says so": Reply(headers=[("Content-Encoding", "gzip")], body=GOOD_BYTES),
    # Statuses
    "201": Reply(201, body=GOOD),
    "204": Reply(204, [("Content-Length", "0")]),
    "206": Reply(206, body=GOOD),
    "300": Reply(300, [("Location", "https://good.example/")], GOOD),
    "304": Reply(304, [("Content-Length", "0")]),
    "404 with a document": Reply(404, body=GOOD),
    "418": Reply(418, body=GOOD),
    "429": Reply(429, [("Retry-After", "1e999")], GOOD),
    "500": Reply(500, [("Retry-After", "Thu, 99 Foo 0000")], GOOD),
    "599": Reply(599, body=GOOD),
    "status 999": Reply(999, body=GOOD),
    # HTTP
    "not HTTP": Raw(),
    "not TLS": Raw(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", tls=False),
    "no bytes": Raw(b""),
    "HTTP/9.9": Raw(b"HTTP/9.9 200 OK\r\n\r\n" + GOOD_BYTES),
    "a negative Content-Length": Raw(b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n" + GOOD_BYTES),
    "two Content-Lengths": Raw(
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 28\r\n\r\n" + GOOD_BYTES
    ),
    "a bad chunk": Raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"),
    "a huge header": Raw(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000 + b"\r\n\r\n"),
    "very many headers": Raw(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 10_000 + b"\r\n"),
    "endless interim responses": Raw(b"HTTP/1.1 100 Continue\r\n\r\n" * 1000),
    "cut short": CutShort(GOOD),
    "an endless body": Endless(),
    "a dripping body": Dripping(b" " * 1000 + GOOD_BYTES),
    "slower than the time-out": Slow(5, GOOD),
    "silent": Silent(),
    "refused": Refused(),
    # Redirects
    "a loop": Redirect(WELL_KNOWN),
    "a loop with a fragment": Redirect(WELL_KNOWN + "#again"),
    "an endless path": lambda request: Redirect("x" + request.path.rpartition("/")[2]),
    "no Location": Redirect(None),
    "an empty Location": Redirect(""),
    "to http": Redirect("http://good.example/"),
    "to another scheme": Redirect("file:///etc/passwd"),
    "with userinfo": Redirect("https://odd.example@good.example/"),
    "with a backslash": Redirect("https://good.example\\@odd.example/"),
    "with a space": Redirect("https://good.example/a b"),
    "to an address in disguise": Redirect("https://2130706433/"),
    "to a zone": Redirect("https://[fe80::1%25eth0]/"),
    "to a broken bracket": Redirect("https://[::1/"),
    "to port 0": Redirect("https://good.example:0/"),
    "to port 99999": Redirect("https://good.example:99999/"),
    "to a host that is not there": Redirect("https://nowhere.example/"),
    "to three slashes": Redirect("https:///good.example/"),
}


@pytest.mark.parametrize("well_known", NOTHING_USABLE.values(), ids=NOTHING_USABLE)
async def test_nothing_usable(loopback_federation: LoopbackFederation, well_known: Any) -> None:
    """Whatever the web server does, the decision goes on at step 4, soon, and says why."""
    loopback_federation.add("good.example", well_known=GOOD)
    loopback_federation.add(NAME, well_known=well_known, legacy_srv=[("srv.example", 8450)])
    async with asyncio.timeout(30), loopback_federation.resolver(policy=HASTY_WEB) as resolver:
        resolution = await resolver.resolve(NAME)
        again = await resolver.resolve(NAME)
    assert (resolution.step.value, resolution.tls_name) == ("5", NAME)
    assert again is resolution
    reason = resolution.to_dict()["trail"][0]["answer"]["reason"]
    assert reason
    assert reason.isprintable()
    assert reason.isascii()


USABLE: dict[str, Any] = {
    "a BOM": b"\xef\xbb\xbf" + GOOD_BYTES,
    "any Content-Type": Reply(headers=[("Content-Type", "image/png")], body=GOOD_BYTES),
    "no Content-Type": Reply(body=GOOD_BYTES),
    "other members": {**GOOD, "x": [1, {"y": None}]},
    "a member twice: the last": b'{"m.server": "bad.example", "m.server": "good.example:443"}',
    "escapes": b'{"m\\u002eserver": "good\\u002eexample:443"}',
    "white space": b"\n\t " + GOOD_BYTES + b" \r\n",
    "just as large as allowed": GOOD_BYTES + b" " * (50 * 1024 - len(GOOD_BYTES)),
    "gzip": Reply(headers=[("Content-Encoding", "gzip")], body=gzipped(GOOD_BYTES)),
    "no Content-Length": Raw(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + GOOD_BYTES),
    "HTTP/1.0": Raw(b"HTTP/1.0 200 OK\r\n\r\n" + GOOD_BYTES),
    "interim responses": Raw(
        b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\n\r\n" + GOOD_BYTES
    ),
    "odd cache headers": Reply(
        headers=[
            ("Cache-Control", 'max-age="'),
            ("Cache-Control", "max-age=99999999999999999999999999"),
            ("Age", "-1"),
            ("Expires", "yesterday"),
            ("Date", "\xff"),
        ],
        body=GOOD,
    ),
    "slow": Slow(0.1, GOOD),
    "301": Redirect("https://good.example" + WELL_KNOWN, 301),
    "302 to another port": Redirect("https://good.example:8443" + WELL_KNOWN, 302),
    "303 to an IP literal": Redirect("https://127.0.0.1/", 303),
    "307 to an IPv6 literal with a port": Redirect("https://[::1]:8443/", 307),
    "308 without a scheme": Redirect("//good.example" + WELL_KNOWN, 308),
    "a query to be kept": lambda request: (
        GOOD if request.path.endswith("?a=%40b") else Redirect("?a=%40b#fragment")
    ),
    "ten redirects": lambda request: (
        GOOD if request.path.endswith("?10") else Redirect(f"?{_number(request.path) + 1}")
    ),
}


def _number(path: str) -> int:
    return int(path.partition("?")[2] or 0)


@pytest.mark.parametrize("well_known", USABLE.values(), ids=USABLE)
async def test_usable(loopback_federation: LoopbackFederation, well_known: Any) -> None:
    """What is odd but right is used."""
    for host in ("good.example", "127.0.0.1", "::1"):
        loopback_federation.add(host, well_known=GOOD, serves=GOOD)
    loopback_federation.add(NAME, well_known=well_known, serves=well_known)
    async with asyncio.timeout(30), loopback_federation.resolver() as resolver:
        resolution = await resolver.resolve(NAME)
    assert str(resolution.delegated_to) == "good.example:443", resolution.explain()


@pytest.mark.parametrize("certificate", [other for other in Certificate if other.is_refused])
async def test_certificates(
    loopback_federation: LoopbackFederation, certificate: Certificate
) -> None:
    """A document behind a certificate that is not good for the name counts for nothing."""
    loopback_federation.add(NAME, well_known=GOOD, certificate=certificate)
    async with loopback_federation.resolver() as resolver:
        resolution = await resolver.resolve(NAME)
    assert resolution.step.value == "6"
    assert not loopback_federation.requests


@frozen(kw_only=True)
class Dns:
    """SRV records as published, or a fault, and what must come of them."""

    srv: list[SrvRecord] = field(factory=list)
    legacy_srv: list[SrvRecord] = field(factory=list)
    faults: dict[str, DnsFault] = field(factory=dict)
    step: str
    targets: list[str] = field(factory=lambda: [f"{NAME}:8448"])
    degraded: bool = False


FED_NAME, OLD_NAME = f"_matrix-fed._tcp.{NAME}", f"_matrix._tcp.{NAME}"
DNS = {
    "port 0": Dns(srv=[SrvRecord(0, 0, 0, "a.example")], step="6"),
    "port 0 beside a good one": Dns(
        srv=[SrvRecord(0, 0, 0, "a.example"), SrvRecord(9, 0, 1, "b.example")],
        step="4",
        targets=["b.example:1"],
    ),
    "a target that is an address": Dns(srv=[SrvRecord(0, 0, 1, "127.0.0.1")], step="6"),
    "a target with an underscore": Dns(srv=[SrvRecord(0, 0, 1, "a_b.example")], step="6"),
    "unusable ones, then the deprecated": Dns(
        srv=[SrvRecord(0, 0, 0, "a.example")],
        legacy_srv=[SrvRecord(0, 0, 1, "b.example")],
        step="5",
        targets=["b.example:1"],
    ),
    "'.' beside another": Dns(
        srv=[SrvRecord(0, 0, 0, "."), SrvRecord(1, 0, 1, "a.example")],
        step="4",
        targets=["a.example:1"],
    ),
    "two '.'": Dns(srv=[SrvRecord(0, 0, 0, "."), SrvRecord(1, 0, 0, ".")], step="6"),
    "the largest numbers": Dns(
        srv=[SrvRecord(65535, 65535, 65535, "a.example")], step="4", targets=["a.example:65535"]
    ),
    "a target of its own": Dns(srv=[SrvRecord(0, 0, 443, NAME)], step="4", targets=[f"{NAME}:443"]),
    "200 records": Dns(
        srv=[SrvRecord(n, 0, 1 + n, "a.example") for n in range(200)],
        step="4",
        targets=[f"a.example:{1 + n}" for n in range(16)],
    ),
    "SERVFAIL": Dns(faults={FED_NAME: DnsFault.SERVFAIL}, step="6", degraded=True),
    "REFUSED": Dns(faults={FED_NAME: DnsFault.REFUSED}, step="6", degraded=True),
    "no answer": Dns(faults={FED_NAME: DnsFault.SILENT}, step="6", degraded=True),
    "garbage": Dns(faults={FED_NAME: DnsFault.GARBAGE}, step="6", degraded=True),
    "SERVFAIL, then the deprecated": Dns(
        faults={FED_NAME: DnsFault.SERVFAIL},
        legacy_srv=[SrvRecord(0, 0, 1, "a.example")],
        step="5",
        targets=["a.example:1"],
        degraded=True,
    ),
    "the deprecated fails, the new one is there": Dns(
        faults={OLD_NAME: DnsFault.SERVFAIL},
        srv=[SrvRecord(0, 0, 1, "a.example")],
        step="4",
        targets=["a.example:1"],
    ),
    "truncated": Dns(
        faults={FED_NAME: DnsFault.TRUNCATED},
        srv=[SrvRecord(0, 0, 1, "a.example")],
        step="4",
        targets=["a.example:1"],
    ),
    "NXDOMAIN": Dns(faults={FED_NAME: DnsFault.NXDOMAIN}, step="6"),
    "NODATA": Dns(faults={FED_NAME: DnsFault.NODATA}, step="6"),
}


@pytest.mark.parametrize("dns", DNS.values(), ids=DNS)
async def test_srv(loopback_federation: LoopbackFederation, dns: Dns) -> None:
    """Odd SRV records and answers lead where RFC 2782 and the specification say."""
    loopback_federation.add(NAME, srv=dns.srv, legacy_srv=dns.legacy_srv)
    for name, fault in dns.faults.items():
        loopback_federation.dns_faults[name, "SRV"] = fault
    policy = HASTY_DNS if DnsFault.SILENT in dns.faults.values() else Policy()
    async with asyncio.timeout(30), loopback_federation.resolver(policy=policy) as resolver:
        resolution = await resolver.resolve(NAME)
    assert (resolution.step.value, resolution.degraded) == (dns.step, dns.degraded)
    assert [str(target) for target in resolution.targets] == dns.targets
    assert (resolution.host_header, resolution.tls_name) == (NAME, NAME)


async def test_an_alias_in_the_way(loopback_federation: LoopbackFederation) -> None:
    """An SRV name that is an alias is followed, and a target that is one has its addresses."""
    federation = loopback_federation
    federation.add(NAME)
    federation.add("elsewhere.example", srv=[("alias.example", 8450)])
    federation.add("alias.example", alias_of="real.example")
    federation.add_records(FED_NAME, "CNAME", "_matrix-fed._tcp.elsewhere.example.")
    async with federation.resolver() as resolver:
        resolution = await resolver.resolve(NAME)
        endpoints = await resolver.endpoints(resolution)
    assert [str(target) for target in resolution.targets] == ["alias.example:8450"]
    assert [str(endpoint.address) for endpoint in endpoints] == ["::1", "127.0.0.1"]


@pytest.mark.parametrize("service", ["srv", "legacy_srv"])
async def test_not_offered(loopback_federation: LoopbackFederation, service: str) -> None:
    """A sole "." raises the documented error, under either service name."""
    loopback_federation.add(NAME, **{service: [SrvRecord(0, 0, 0, ".")]})
    async with loopback_federation.resolver() as resolver:
        with pytest.raises(ServiceNotOfferedError):
            await resolver.resolve(NAME)


async def test_all_of_dns_down(loopback_federation: LoopbackFederation) -> None:
    """With DNS down every name still comes to an answer, degraded, within the limits."""
    loopback_federation.add(NAME, well_known=GOOD)
    loopback_federation.dns_down = True
    async with asyncio.timeout(30), loopback_federation.resolver(policy=HASTY_DNS) as resolver:
        resolution = await resolver.resolve(NAME)
    assert (resolution.step.value, resolution.degraded) == ("6", True)
