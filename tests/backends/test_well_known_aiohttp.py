"""The well-known fetcher over real TLS: what is sent, what is dialled, and what servers may do.

It keeps the rules of all fetchers; the rest is what is promised of this one besides.
"""

import asyncio
import errno
import gzip
import itertools
import json
import math
import os
import socket
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from floods import Flood

from matrix_resolve.backends.dns_aiodns import AiodnsLookup
from matrix_resolve.backends.well_known_aiohttp import AiohttpWellKnownFetcher
from matrix_resolve.core.addresses import AddressPolicy
from matrix_resolve.errors import AddressLookupError, WellKnownFetchError
from matrix_resolve.interfaces import AddressLookup, AddressReply, HttpResponse
from matrix_resolve.testing import (
    Certificate,
    CutShort,
    Dripping,
    FakeAddresses,
    LoopbackFederation,
    Raw,
    Redirect,
    Refused,
    Reply,
    Request,
    Silent,
    Slow,
)
from matrix_resolve.testing.contract import WellKnownFetcherContract
from matrix_resolve.transport.connections import Socket

PATH = "/.well-known/matrix/server"
NAME = "example.org"
DOCUMENT = {"m.server": "hs.example.org:443"}
# What is awaited ends at once; if it ever hangs, the test fails after so many seconds.
HANGS = 10.0
OK = b"HTTP/1.1 200 OK\r\n"


@asynccontextmanager
async def fetching(
    federation: LoopbackFederation, **settings: Any
) -> AsyncIterator[AiohttpWellKnownFetcher]:
    """Give a fetcher that looks addresses up by the federation's DNS, with these settings."""
    async with federation.dns_lookup() as dns:
        settings.setdefault("addresses", dns)
        async with federation.well_known_fetcher(**settings) as fetcher:
            yield fetcher


async def fetched(
    federation: LoopbackFederation, hostname: str = NAME, **settings: Any
) -> HttpResponse:
    """The response for `hostname` to a fetcher with these settings."""
    async with fetching(federation, **settings) as fetcher, asyncio.timeout(HANGS):
        return await fetcher.fetch(hostname)


async def failure(
    federation: LoopbackFederation, hostname: str = NAME, **settings: Any
) -> WellKnownFetchError:
    """The failure that the fetch for `hostname` ends in."""
    with pytest.raises(WellKnownFetchError) as caught:
        await fetched(federation, hostname, **settings)
    return caught.value


def header(request: Request, name: str) -> str | None:
    """A header of a request that came in; None if there was none."""
    return next((value for key, value in request.headers if key.lower() == name.lower()), None)


class TestContract(WellKnownFetcherContract):
    """The rules of every fetcher."""

    @pytest_asyncio.fixture
    async def fetcher(
        self, loopback_federation: LoopbackFederation, time_limit: float
    ) -> AsyncIterator[AiohttpWellKnownFetcher]:
        async with fetching(loopback_federation, timeout=time_limit) as fetcher:
            yield fetcher

    @pytest_asyncio.fixture
    async def guarded_fetcher(
        self, loopback_federation: LoopbackFederation
    ) -> AsyncIterator[AiohttpWellKnownFetcher]:
        async with fetching(loopback_federation, address_policy=AddressPolicy()) as fetcher:
            yield fetcher


# What is sent, and what comes back


async def test_response_is_given_raw(loopback_federation: LoopbackFederation) -> None:
    """Status, headers in their order with repeats, and the body's bytes come as they were sent."""
    sent = [("cache-control", "no-cache"), ("X", "żółw"), ("Cache-Control", "max-age=1")]
    latin = [(name, value.encode().decode("latin-1")) for name, value in sent]
    loopback_federation.add(NAME, well_known=Reply(200, latin, b"\x00\xff\r\n{"))
    response = await fetched(loopback_federation)
    assert response.status == 200
    received = [(name.lower(), value) for name, value in response.headers]
    assert received == [(name.lower(), value) for name, value in sent] + [("content-length", "5")]
    assert response.body == b"\x00\xff\r\n{"
    assert response.url == f"https://{NAME}{PATH}"


@pytest.mark.parametrize("status", [206, 403, 404, 500])
@pytest.mark.parametrize("rest", [b"", b"{}"], ids=["never comes", "endless"])
async def test_only_a_body_of_use_is_read(
    loopback_federation: LoopbackFederation, status: int, rest: bytes
) -> None:
    """Whatever comes with another status than 200, or never comes, is not waited for."""
    head = f"HTTP/1.1 {status} X\r\nCache-Control: max-age=9\r\nContent-Length: 99999\r\n\r\n"
    loopback_federation.add(NAME, well_known=Flood(head.encode(), rest))
    response = await fetched(loopback_federation)
    assert (response.status, response.body) == (status, b"")
    assert ("Cache-Control", "max-age=9") in response.headers


@pytest.mark.parametrize("where", ["document", "redirect"])
@pytest.mark.parametrize(
    "headers",
    [[("X", "x" * 9000)], [("X", "x" * 60_000)], [(f"X-{n}", "x") for n in range(100)]],
    ids=["long line", "longest line", "many lines"],
)
async def test_large_headers(
    loopback_federation: LoopbackFederation, where: str, headers: list[tuple[str, str]]
) -> None:
    """Header lines may be long or many, up to 64 KiB in all."""
    loopback_federation.add(NAME, well_known=Reply(200, headers, DOCUMENT))
    first = NAME
    if where == "redirect":
        first = "first.example"
        to = f"https://{NAME}{PATH}"
        loopback_federation.add(first, well_known=Reply(302, [("Location", to), *headers]))
    assert json.loads((await fetched(loopback_federation, first)).body) == DOCUMENT


async def test_request(loopback_federation: LoopbackFederation) -> None:
    """One GET without a body, that says who asks, what for, and nothing of anybody's."""
    loopback_federation.add(NAME, delegates_to="hs.example.org")
    await fetched(loopback_federation)
    (request,) = loopback_federation.requests
    assert (request.method, request.path, request.body) == ("GET", PATH, b"")
    assert (request.target, request.host, request.sni) == ((NAME, 443), NAME, NAME)
    sent = {name.lower(): value for name, value in request.headers}
    assert sent.pop("user-agent").startswith("matrix-resolve/")
    assert sent == {
        "host": NAME,
        "accept": "application/json",
        "accept-encoding": "identity",
        "connection": "close",
    }


async def test_each_hop_has_its_own_host_and_sni(loopback_federation: LoopbackFederation) -> None:
    """Every hop goes to its own host with that `Host` and SNI, and the URL's bytes as they are."""
    loopback_federation.add(NAME, redirects_to="https://www.Example.net:8443/a%2Fb?c=%40d:e#f")
    loopback_federation.add("www.example.net", serves=Redirect("https://third.example#g"))
    loopback_federation.add("third.example", serves=DOCUMENT)
    response = await fetched(loopback_federation)
    assert (response.status, response.url) == (200, "https://third.example/")
    assert [(r.target, r.host, r.sni, r.path) for r in loopback_federation.requests] == [
        ((NAME, 443), NAME, NAME, PATH),
        (
            ("www.example.net", 8443),
            "www.example.net:8443",
            "www.example.net",
            "/a%2Fb?c=%40d:e",
        ),
        (("third.example", 443), "third.example", "third.example", "/"),
    ]


async def test_any_https_url_and_the_redirects_on_the_way(
    loopback_federation: LoopbackFederation,
) -> None:
    """Redirects are told as they came, also one that must not be followed."""
    seen: list[HttpResponse] = []

    def serves(request: Request) -> Any:
        hops = {"/a": Redirect("/b?x=1", 307), "/b?x=1": {"y": 2}, "/c": Redirect("http://evil/")}
        return hops.get(request.path)

    loopback_federation.add(NAME, serves=serves)
    async with fetching(loopback_federation) as fetcher:
        response = await fetcher.get(f"https://{NAME}:8443/a", redirected=seen.append)
        assert (response.body, response.url) == (b'{"y": 2}', f"https://{NAME}:8443/b?x=1")
        assert [(hop.status, hop.url) for hop in seen] == [(307, f"https://{NAME}:8443/a")]
        assert dict(seen[0].headers)["Location"] == "/b?x=1"
        with pytest.raises(WellKnownFetchError, match="not https"):
            await fetcher.get(f"https://{NAME}:8443/c", redirected=seen.append)
        assert seen[-1].url == f"https://{NAME}:8443/c"
        with pytest.raises(ValueError, match="not an https URL"):
            await fetcher.get(f"http://{NAME}/")


async def test_system_trust_store_by_default(loopback_federation: LoopbackFederation) -> None:
    """Without TLS settings the system's authorities are trusted, and the loopback's is not."""
    loopback_federation.add(NAME, well_known=DOCUMENT)
    failed = await failure(loopback_federation, ssl_context=None)
    assert failed.temporary
    assert "self-signed, or the chain is incomplete" in failed.reason


LITERALS = [
    # what is redirected to, host and port that are dialled, `Host`
    pytest.param("https://192.0.2.7/", ("192.0.2.7", 443), "192.0.2.7", id="IPv4"),
    pytest.param("https://192.0.2.7:443/", ("192.0.2.7", 443), "192.0.2.7", id="with port 443"),
    pytest.param("https://192.0.2.7:8448/", ("192.0.2.7", 8448), "192.0.2.7:8448", id="with port"),
    pytest.param("https://[2001:db8::7]/", ("2001:db8::7", 443), "[2001:db8::7]", id="IPv6"),
    pytest.param(
        "https://[2001:DB8:0::7]:8448/",
        ("2001:db8::7", 8448),
        "[2001:db8:0::7]:8448",
        id="IPv6 in another spelling",
    ),
]


@pytest.mark.parametrize(("location", "target", "host"), LITERALS)
async def test_redirect_to_an_ip_literal(
    loopback_federation: LoopbackFederation, location: str, target: tuple[str, int], host: str
) -> None:
    """A literal is asked for by `Host`, not by SNI, and its certificate has to be for it."""
    loopback_federation.add(NAME, redirects_to=location)
    loopback_federation.add(target[0], serves=DOCUMENT)
    response = await fetched(loopback_federation)
    assert response.status == 200
    request = loopback_federation.requests[-1]
    assert (request.target, request.host, request.sni) == (target, host, None)
    assert {name for name, _ in loopback_federation.dns_questions} == {NAME}


def only(federation: LoopbackFederation, *targets: tuple[str, int]) -> dict[Any, Any]:
    """Map these targets, so that all others are dialled as they are."""
    return {target: federation.connect_to[target] for target in targets}


@pytest.mark.parametrize(
    ("ip", "spelling"), [("127.0.0.1", "127.0.0.1"), ("::1", "[::1]"), ("::1", "[0:0::0:1]")]
)
async def test_ip_literal_that_is_not_mapped(
    loopback_federation: LoopbackFederation, ip: str, spelling: str
) -> None:
    """A literal is dialled as it is, with its own spelling in `Host` and no SNI."""
    _, port = loopback_federation.connect_to[ip, 8448]
    loopback_federation.add(NAME, redirects_to=f"https://{spelling}:{port}/")
    response = await fetched(loopback_federation, connect_to=only(loopback_federation, (NAME, 443)))
    assert response.status == 200
    request = loopback_federation.requests[-1]
    assert (request.target, request.sni) == ((ip, 8448), None)
    assert request.host == f"{spelling}:{port}"


async def test_environment_is_ignored(
    loopback_federation: LoopbackFederation, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Neither proxies nor passwords come from the environment."""
    for variable in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(variable, "http://127.0.0.1:9")
    netrc = tmp_path / "netrc"
    netrc.write_text(f"machine {NAME} login somebody password secret\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    loopback_federation.add(NAME, well_known=DOCUMENT)
    assert (await fetched(loopback_federation)).status == 200
    (request,) = loopback_federation.requests
    assert header(request, "authorization") is None


# Bodies


BODIES = [
    # how the body is sent, its length, what is kept of it when 1000 are allowed
    pytest.param("length", 0, 0, id="empty"),
    pytest.param("length", 1000, 1000, id="just allowed"),
    pytest.param("length", 1001, 1001, id="one too many"),
    pytest.param("length", 10**6, 1001, id="large"),
    pytest.param("chunked", 1000, 1000, id="chunked, just allowed"),
    pytest.param("chunked", 10**6, 1001, id="chunked, large"),
    pytest.param("gzip", 1000, 1000, id="gzip, just allowed"),
    pytest.param("gzip", 10**6, 1001, id="gzip, large"),
    pytest.param("deflate", 10**6, 1001, id="deflate, large"),
]


@pytest.mark.parametrize(("sent", "length", "kept"), BODIES)
async def test_body(
    loopback_federation: LoopbackFederation, sent: str, length: int, kept: int
) -> None:
    """A body is decoded, and kept up to one byte more than allowed."""
    body = (b"0123456789" * (length // 10 + 1))[:length]
    reply = {
        "length": lambda: Reply(body=body),
        "chunked": lambda: Reply(
            headers=[("Transfer-Encoding", "chunked")],
            body=b"%x\r\n%b\r\n0\r\n\r\n" % (length, body),
        ),
        "gzip": lambda: Reply(headers=[("Content-Encoding", "gzip")], body=gzip.compress(body)),
        "deflate": lambda: Reply(
            headers=[("Content-Encoding", "deflate")], body=zlib.compress(body)
        ),
    }[sent]()
    loopback_federation.add(NAME, well_known=reply)
    response = await fetched(loopback_federation, max_body=1000)
    assert response.body == body[:kept]


# Failures


FAILURES = [
    # what the host does, what is told
    pytest.param({"well_known": Refused()}, "Connect call failed", id="connection refused"),
    pytest.param({"well_known": Silent()}, "no connection within 0.5 s", id="no TLS at all"),
    pytest.param({"well_known": Slow(math.inf)}, "no response within 1 s", id="no answer"),
    pytest.param({"well_known": Dripping()}, "no response within 1 s", id="dripping body"),
    pytest.param({"well_known": CutShort()}, "not completed", id="body cut short"),
    pytest.param(
        {"well_known": Raw(OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\n{}")},
        "not completed",
        id="chunk cut short",
    ),
    pytest.param(
        {"well_known": Raw(OK + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n")},
        "chunk size",
        id="malformed chunk",
    ),
    pytest.param({"well_known": Raw(b"")}, "disconnected", id="closed without an answer"),
    pytest.param({"well_known": Raw()}, "Bad status line", id="SSH inside TLS"),
    pytest.param({"well_known": Raw(b"{}")}, "Bad status line", id="HTTP/0.9"),
    pytest.param({"well_known": Raw(tls=False)}, "no TLS is spoken there", id="SSH instead of TLS"),
    pytest.param(
        {"well_known": Raw(b"HTTP/1.1 400 Bad\r\n\r\n", tls=False)},
        "no TLS is spoken there",
        id="HTTP instead of TLS",
    ),
    pytest.param(
        {"well_known": Raw(OK + b"a: \x00\r\nContent-Length: 0\r\n\r\n")},
        "header",
        id="NUL in a header",
    ),
    pytest.param(
        {"well_known": Raw(OK + b"a: " + b"b" * 66_000 + b"\r\nContent-Length: 0\r\n\r\n")},
        "more than 65536 bytes",
        id="header too long",
    ),
    pytest.param(
        {"well_known": Raw(OK + b"a: " + b"b" * 10**6)},
        "more than 65536 bytes",
        id="endless header",
    ),
    pytest.param(
        {"well_known": Reply(headers=[(f"a{number}", "b" * 1000) for number in range(70)])},
        "headers over 65536 bytes",
        id="too many headers",
    ),
    pytest.param(
        {"well_known": Raw(OK + b"a: b\r\n" * 10**5)}, "sent too much", id="endless headers"
    ),
    pytest.param(
        {"well_known": Raw(b"HTTP/1.1 100 Continue\r\n\r\n" * 1000)},
        "disconnected",
        id="nothing but 100 Continue",
    ),
    pytest.param(
        {"well_known": Flood(b"", b"HTTP/1.1 100 C\r\n\r\n" * 100)},
        "sent too much",
        id="endless interim responses",
    ),
    pytest.param({"well_known": Flood(b"", b"\r\n" * 1000)}, "sent too much", id="empty lines"),
    pytest.param(
        {"well_known": Flood(OK + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n" * 100)},
        "sent too much",
        id="one-byte chunks",
    ),
    pytest.param(
        {"well_known": Flood(OK + b"".join(b"X-%d: %s\r\n" % (n, b"x" * 8000) for n in range(62)))},
        "sent too much",
        id="half a megabyte of headers, then nothing",
    ),
    pytest.param(
        {"well_known": Reply(headers=[("Content-Length", "2"), ("Content-Length", "3")])},
        "Content-Length",
        id="two lengths",
    ),
    pytest.param(
        {"well_known": Reply(headers=[("Content-Encoding", "gzip")], body=b"no gzip")},
        "gzip",
        id="not the encoding that is claimed",
    ),
    pytest.param(
        {"certificate": Certificate.EXPIRED}, "certificate has expired", id="expired certificate"
    ),
    pytest.param(
        {"certificate": Certificate.WRONG_NAME}, "wrong name: ", id="certificate for another"
    ),
    pytest.param(
        {"certificate": Certificate.UNTRUSTED},
        "self-signed, or the chain is incomplete",
        id="unknown authority",
    ),
    pytest.param(
        {"certificate": Certificate.COMMON_NAME_ONLY},
        "wrong name: ",
        id="common name only",
    ),
    pytest.param({"addresses": []}, "has no addresses", id="no addresses"),
]


@pytest.mark.parametrize("place", ["first hop", "after a redirect"])
@pytest.mark.parametrize(("host", "told"), FAILURES)
async def test_temporary_failure(
    loopback_federation: LoopbackFederation, host: dict[str, Any], told: str, place: str
) -> None:
    """Trouble with a server is a temporary failure that says on one line what it was."""
    loopback_federation.add("trouble.example", **host)
    loopback_federation.add(NAME, redirects_to=f"https://trouble.example{PATH}")
    name = "trouble.example" if place == "first hop" else NAME
    slow = isinstance(host.get("well_known"), Silent | Slow | Dripping)
    settings = {"timeout": 1.0, "connect_timeout": 0.5} if slow else {}
    failed = await failure(loopback_federation, name, **settings)
    assert failed.temporary
    with pytest.raises(WellKnownFetchError, match=told):
        raise failed
    assert failed.reason.isascii()
    assert failed.reason.isprintable()


@pytest.mark.parametrize(
    "sent", [b"\x1b[31m" + b"\xff" * 8000 + b"\r\n\r\n", OK + b"\xffx" * 4000 + b"\r\n\r\n"]
)
async def test_reasons_are_short(loopback_federation: LoopbackFederation, sent: bytes) -> None:
    """A reason quotes only so much of what a stranger sent: it is remembered."""
    loopback_federation.add(NAME, well_known=Raw(sent))
    failed = await failure(loopback_federation)
    assert len(failed.reason) < 500
    assert failed.reason.isascii()
    assert failed.reason.isprintable()


# Time


NUMBERS = itertools.count()
SLOW = [
    pytest.param(Slow(math.inf), id="silent after the request"),
    pytest.param(Silent(), id="silent in the handshake"),
    pytest.param(Dripping(body=b" " * 1000, interval=0.02), id="a body that drips"),
    pytest.param(lambda _: Slow(0.05, Redirect(f"/{next(NUMBERS)}")), id="slow redirects"),
]


@pytest.mark.parametrize("behaviour", SLOW)
async def test_timeout_bounds_the_whole_fetch(
    loopback_federation: LoopbackFederation, behaviour: Any
) -> None:
    """However a server spends the time, the fetch ends when it is over."""
    loopback_federation.add(NAME, well_known=behaviour, serves=behaviour)
    failed = await failure(loopback_federation, timeout=0.3, max_redirects=1000)
    assert failed.temporary
    assert failed.reason == "no response within 0.3 s"


@pytest.mark.parametrize("place", ["first hop", "after a redirect"])
async def test_timeout_bounds_address_lookups(
    loopback_federation: LoopbackFederation, place: str
) -> None:
    """A lookup that never ends is cut off, and told that it is."""
    cancelled: list[str] = []

    async def hang(name: str) -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.append(name)
            raise

    loopback_federation.add(NAME, redirects_to="https://hangs.example/")
    addresses = FakeAddresses({NAME: ["127.0.0.1"], "hangs.example": hang})
    name = "hangs.example" if place == "first hop" else NAME
    failed = await failure(loopback_federation, name, addresses=addresses, timeout=0.3)
    assert failed.temporary
    assert cancelled == ["hangs.example"]


@pytest.mark.parametrize("place", ["first hop", "after a redirect"])
async def test_timeout_bounds_address_lookups_that_are_deaf(
    loopback_federation: LoopbackFederation, place: str
) -> None:
    """A lookup that does not end when it is cancelled is left behind in time."""
    over = asyncio.Event()

    async def deaf(_: str) -> AddressReply:
        while not over.is_set():
            with suppress(asyncio.CancelledError):
                await over.wait()
        return AddressReply([])

    loopback_federation.add(NAME, redirects_to="https://deaf.example/")
    addresses = FakeAddresses({NAME: ["127.0.0.1"], "deaf.example": deaf})
    name = "deaf.example" if place == "first hop" else NAME
    try:
        async with asyncio.timeout(HANGS):
            failed = await failure(
                loopback_federation,
                name,
                addresses=addresses,
                timeout=0.3,
                dns_timeout=2 * HANGS,
            )
    finally:
        over.set()
    assert failed.reason == "no response within 0.3 s"


@pytest.mark.parametrize("place", ["first hop", "after a redirect"])
@pytest.mark.parametrize(
    "error",
    [
        AddressLookupError("SERVFAIL"),
        TimeoutError("the plug-in's own"),
        OSError(5, "the plug-in's own"),
        ValueError("the plug-in's own"),
        UnicodeError("the plug-in's own"),
        KeyError("the plug-in's own"),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_errors_of_the_address_lookup(
    loopback_federation: LoopbackFederation, error: Exception, place: str
) -> None:
    """What the address lookup raises comes out unchanged, a bug as much as a failure."""
    loopback_federation.add(NAME, redirects_to="https://fails.example/")
    addresses = FakeAddresses({NAME: ["127.0.0.1"], "fails.example": error})
    name = "fails.example" if place == "first hop" else NAME
    with pytest.raises(type(error)) as caught:
        await fetched(loopback_federation, name, addresses=addresses)
    assert caught.value is error


async def test_failed_dns_comes_through(loopback_federation: LoopbackFederation) -> None:
    """Our own DNS being down is told from a server that is."""
    loopback_federation.dns_down = True
    async with loopback_federation.dns_lookup(timeout=0.2) as dns:
        with pytest.raises(AddressLookupError, match="no answer"):
            await fetched(loopback_federation, addresses=dns)


# Which addresses are dialled


@asynccontextmanager
async def accepting(ip: str, port: int) -> AsyncIterator[list[str]]:
    """Listen on a port, close what comes in, and give the list of the addresses it came for."""
    dialled: list[str] = []

    def accept(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        dialled.append(writer.get_extra_info("sockname")[0])
        writer.transport.abort()

    async with await asyncio.start_server(accept, ip, port):
        yield dialled


def at_its_own_port(federation: LoopbackFederation, name: str) -> tuple[int, dict[Any, Any]]:
    """Make `NAME` redirect to where `name` really listens, on 127.0.0.1.

    Gives that port, and a `connect_to` that leaves it alone: `name` is dialled at the addresses
    that were looked up, as on the Internet.
    """
    federation.add(name, serves=DOCUMENT)
    _, port = federation.connect_to[name, 8448]
    federation.add(NAME, redirects_to=f"https://{name}:{port}/")
    return port, only(federation, (NAME, 443))


async def test_only_allowed_addresses_are_dialled(loopback_federation: LoopbackFederation) -> None:
    """Of a host with allowed and forbidden addresses, the allowed ones are used and no other."""
    port, connect_to = at_its_own_port(loopback_federation, "both.example")
    async with accepting("::1", port) as dialled:
        for allowed in ("127.0.0.1/32", "::/0"):
            policy = AddressPolicy(allow=[allowed], block=["0.0.0.0/0", "::/0"])
            addresses = FakeAddresses(
                {
                    NAME: ["127.0.0.1", "::1"],
                    "both.example": ["::1", "10.0.0.1", "127.0.0.1", "fe80::1"],
                }
            )
            loopback_federation.reset_counts()
            settings = {
                "addresses": addresses,
                "address_policy": policy,
                "connect_to": connect_to,
                "max_addresses": 1,
            }
            if allowed == "127.0.0.1/32":
                response = await fetched(loopback_federation, **settings)
                assert response.status == 200
                assert not dialled
            else:
                await failure(loopback_federation, **settings)
                assert set(dialled) == {"::1"}
                assert set(loopback_federation.connections) == {(NAME, 443)}


async def test_rebinding(loopback_federation: LoopbackFederation) -> None:
    """What was checked is what is dialled: an address that comes later is checked anew."""
    port, connect_to = at_its_own_port(loopback_federation, "rebinds.example")
    answers = [["127.0.0.1"], ["::1"], ["127.0.0.1"]]
    addresses = FakeAddresses({NAME: ["127.0.0.1"], "rebinds.example": lambda _: answers.pop(0)})
    policy = AddressPolicy(allow=["127.0.0.1/32"])
    async with (
        accepting("::1", port) as dialled,
        fetching(
            loopback_federation,
            addresses=addresses,
            address_policy=policy,
            connect_to=connect_to,
        ) as fetcher,
    ):
        assert (await fetcher.fetch(NAME)).status == 200
        assert addresses.asked == [NAME, "rebinds.example"]  # each hop asks once
        with pytest.raises(WellKnownFetchError, match="forbids") as caught:
            await fetcher.fetch(NAME)
        assert not caught.value.temporary
        assert (await fetcher.fetch(NAME)).status == 200
        assert not dialled


async def test_concurrent_fetches_do_not_share_addresses(
    loopback_federation: LoopbackFederation,
) -> None:
    """Each of two fetches for one name dials what its own lookup gave."""
    port, connect_to = at_its_own_port(loopback_federation, "twice.example")
    answers = [["127.0.0.1"], ["::1"]]
    addresses = FakeAddresses({NAME: ["127.0.0.1"], "twice.example": lambda _: answers.pop(0)})
    async with (
        accepting("::1", port) as dialled,
        fetching(loopback_federation, addresses=addresses, connect_to=connect_to) as fetcher,
    ):
        ended = await asyncio.gather(
            fetcher.fetch(NAME), fetcher.fetch(NAME), return_exceptions=True
        )
    assert sorted(type(end).__name__ for end in ended) == ["HttpResponse", "WellKnownFetchError"]
    assert set(dialled) == {"::1"}


@asynccontextmanager
async def unresponsive(ip: str, port: int) -> AsyncIterator[None]:
    """Make a port behave as one behind a firewall does: connecting never ends."""
    family = socket.AF_INET6 if ":" in ip else socket.AF_INET
    with socket.socket(family) as listener:
        listener.bind((ip, port))
        listener.listen(0)
        full = []
        try:
            for _ in range(8):  # as many as the backlog may hold; the rest go unanswered
                client = socket.socket(family)
                client.setblocking(False)
                client.connect_ex((ip, port))
                full.append(client)
            yield
        finally:
            for client in full:
                client.close()


@pytest.mark.parametrize("dead", ["refuses", "does not answer"])
async def test_dead_ipv6_does_not_keep_ipv4_from_being_used(
    loopback_federation: LoopbackFederation, dead: str
) -> None:
    """IPv6 is tried first, but when nothing comes of it IPv4 is, within the same hop."""
    port, connect_to = at_its_own_port(loopback_federation, "both.example")
    addresses = FakeAddresses({NAME: ["127.0.0.1"], "both.example": ["127.0.0.1", "::1"]})
    settings = {"addresses": addresses, "connect_to": connect_to}
    if dead == "refuses":
        response = await fetched(loopback_federation, **settings)
    else:
        async with unresponsive("::1", port):
            response = await fetched(loopback_federation, **settings)
    assert response.status == 200


async def test_max_addresses(loopback_federation: LoopbackFederation) -> None:
    """So many addresses of a host are tried, in turn from both families, and no more."""
    _, connect_to = at_its_own_port(loopback_federation, "many.example")  # ::1 refuses
    addresses = FakeAddresses({NAME: ["127.0.0.1"], "many.example": ["127.0.0.1", "::1"]})
    settings = {"addresses": addresses, "connect_to": connect_to}
    failed = await failure(loopback_federation, max_addresses=1, **settings)
    assert failed.temporary
    assert (await fetched(loopback_federation, max_addresses=2, **settings)).status == 200


# Many fetches, and closing


async def test_many_at_once(loopback_federation: LoopbackFederation) -> None:
    """Hundreds of fetches are under way together, and each gets its own document."""
    names = [f"host-{number}.example" for number in range(150)]
    all_have_come = asyncio.Barrier(len(names))

    async def answer(request: Request) -> dict[str, str]:
        await all_have_come.wait()
        return {"m.server": f"hs.{request.host}"}

    for name in names:
        loopback_federation.add(name, well_known=answer)
    async with fetching(loopback_federation) as fetcher, asyncio.timeout(HANGS):
        responses = await asyncio.gather(*map(fetcher.fetch, names))
    assert [response.body for response in responses] == [
        b'{"m.server": "hs.%b"}' % name.encode() for name in names
    ]


async def test_connections_are_not_kept(loopback_federation: LoopbackFederation) -> None:
    """Every fetch has its own connection, even to the same host."""
    loopback_federation.add(NAME, well_known=DOCUMENT)
    async with fetching(loopback_federation) as fetcher:
        for _ in range(3):
            await fetcher.fetch(NAME)
    assert loopback_federation.connections == {(NAME, 443): 3}


async def requested(federation: LoopbackFederation, fetch: "asyncio.Task[HttpResponse]") -> None:
    """Wait until the servers have heard of `fetch`, by a connection at least."""
    async with asyncio.timeout(HANGS):
        while not federation.connections:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    assert not fetch.done()


@pytest.mark.parametrize(
    "behaviour",
    [
        pytest.param(Silent(), id="in the handshake"),
        pytest.param(Slow(math.inf), id="before the response"),
        pytest.param(Dripping(body=b" " * 10**4), id="in the body"),
    ],
)
async def test_closing_ends_fetches(
    loopback_federation: LoopbackFederation, behaviour: Any
) -> None:
    """Fetches under way fail at once when the fetcher is closed; closing twice is fine."""
    loopback_federation.add(NAME, well_known=behaviour)
    async with loopback_federation.dns_lookup() as dns:
        fetcher = loopback_federation.well_known_fetcher(
            addresses=dns, timeout=2 * HANGS, connect_timeout=2 * HANGS
        )
        fetch = asyncio.create_task(fetcher.fetch(NAME))
        await requested(loopback_federation, fetch)
        async with asyncio.timeout(HANGS):
            await asyncio.gather(fetcher.aclose(), fetcher.aclose())
            with pytest.raises(WellKnownFetchError, match="closed") as caught:
                await fetch
            await fetcher.aclose()
    assert caught.value.temporary


async def test_closing_during_an_address_lookup(loopback_federation: LoopbackFederation) -> None:
    """A fetch that has not come to connecting does not connect after the fetcher is closed."""
    looking = asyncio.Event()

    async def look_up(_: str) -> list[str]:
        looking.set()
        await asyncio.Event().wait()
        raise AssertionError

    loopback_federation.add(NAME, well_known=DOCUMENT)
    fetcher = loopback_federation.well_known_fetcher(addresses=FakeAddresses({NAME: look_up}))
    fetch = asyncio.create_task(fetcher.fetch(NAME))
    async with asyncio.timeout(HANGS):
        await looking.wait()
        await fetcher.aclose()
        with pytest.raises(WellKnownFetchError, match="closed"):
            await fetch
    assert not loopback_federation.connections


async def test_closing_while_a_timeout_is_taking_effect(
    loopback_federation: LoopbackFederation,
) -> None:
    """A fetch whose time is over, but which has not ended yet, does not trouble `aclose()`."""
    cut_off, may_end = asyncio.Event(), asyncio.Event()

    async def look_up(_: str) -> list[str]:
        try:
            await asyncio.Event().wait()
        finally:  # as a lookup does that has something to close
            cut_off.set()
            await may_end.wait()
        raise AssertionError

    addresses = FakeAddresses({NAME: look_up})
    fetcher = loopback_federation.well_known_fetcher(addresses=addresses, timeout=0.01)
    fetch = asyncio.create_task(fetcher.fetch(NAME))
    async with asyncio.timeout(HANGS):
        await cut_off.wait()
        await fetcher.aclose()
        may_end.set()
        with pytest.raises(WellKnownFetchError):
            await fetch


@pytest.mark.parametrize("used", [False, True])
async def test_closed_fetcher(loopback_federation: LoopbackFederation, used: bool) -> None:
    """A closed fetcher refuses to fetch, whether it was ever used or not, and opens nothing."""
    loopback_federation.add(NAME, well_known=DOCUMENT)
    addresses: AddressLookup = FakeAddresses({NAME: ["127.0.0.1"]})
    fetcher = loopback_federation.well_known_fetcher(addresses=addresses)
    if used:
        await fetcher.fetch(NAME)
    await fetcher.aclose()
    await fetcher.aclose()
    with pytest.raises(RuntimeError, match="closed"):
        await fetcher.fetch(NAME)
    assert loopback_federation.connections.total() == used


async def test_address_lookup_is_not_closed(
    loopback_federation: LoopbackFederation, dns: AiodnsLookup
) -> None:
    """The address lookup is its owner's to close."""
    loopback_federation.add(NAME, well_known=DOCUMENT)
    async with loopback_federation.well_known_fetcher(addresses=dns) as fetcher:
        await fetcher.fetch(NAME)
    assert (await dns.lookup_addresses(NAME)).addresses


# Our own trouble


OWN = ["EMFILE", "ENFILE", "ENOBUFS", "ENOMEM", "ENETDOWN", "ENETUNREACH"]
OWN += ["EADDRNOTAVAIL", "EACCES", "EPERM"]


@pytest.mark.parametrize("where", ["first", "redirect"])
@pytest.mark.parametrize("number", OWN)
async def test_own_trouble(
    loopback_federation: LoopbackFederation,
    monkeypatch: pytest.MonkeyPatch,
    number: str,
    where: str,
) -> None:
    """What we lack is told as that, at whatever hop; what the other side does is not."""
    loopback_federation.add(NAME, well_known=Redirect("https://www.example.org/x"))
    loopback_federation.add("www.example.org", well_known=Reply(200))
    opened = Socket.__init__
    left = 1 if where == "redirect" else 0

    def fail(*arguments: Any) -> None:
        nonlocal left
        if left == 0:
            raise OSError(getattr(errno, number), os.strerror(getattr(errno, number)))
        left -= 1
        opened(*arguments)

    monkeypatch.setattr(Socket, "__init__", fail)
    error = await failure(loopback_federation)
    assert (error.temporary, error.own_trouble) == (True, True)
    assert os.strerror(getattr(errno, number)) in error.reason


async def test_no_room(
    loopback_federation: LoopbackFederation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fetch that found no room for a connection in all its time is our own trouble."""
    monkeypatch.setattr("matrix_resolve.backends.well_known_aiohttp._MOST_SOCKETS", 1)
    loopback_federation.add(NAME, well_known=Slow(math.inf))
    loopback_federation.add("other.example", well_known=Slow(math.inf))
    async with fetching(loopback_federation, timeout=1) as fetcher:
        ends = await asyncio.gather(
            *map(fetcher.fetch, (NAME, "other.example")), return_exceptions=True
        )
    assert [getattr(end, "own_trouble", None) for end in ends] == [True, True]


async def test_trouble_of_the_other_side(loopback_federation: LoopbackFederation) -> None:
    """That it refuses, is silent, or has a wrong certificate is no trouble of ours."""
    for declared in (
        {"well_known": Refused()},
        {"well_known": Silent()},
        {"certificate": Certificate.WRONG_NAME},
        {"addresses": []},
    ):
        loopback_federation.add(NAME, **declared)
        error = await failure(loopback_federation, connect_timeout=0.2)
        assert not error.own_trouble
