"""What a federation client sends, and what it makes of arguments and answers."""

import asyncio
import inspect
import io
import json
import ssl
from collections import Counter
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from houses import CERTIFICATES, with_ipv6
from multidict import CIMultiDict, CIMultiDictProxy
from proxies import proxy
from worlds import FED, HANGS, World, client_of

from matrix_resolve import (
    AddressPolicy,
    Attempt,
    ConnectError,
    FederationClient,
    InvalidServerNameError,
    ServerName,
    ServiceNotOfferedError,
    SrvRecord,
    Step,
    Target,
    open_federation_client,
)
from matrix_resolve.federation import outgoing
from matrix_resolve.federation.options import RequestOptions
from matrix_resolve.testing import Certificate, LoopbackFederation, Raw, Redirect, Reply, Request
from matrix_resolve.testing.steps import STEPS, StepRow

NAME = "example.org"
TARGET = f"{NAME}:8450"
VERSION = "/_matrix/federation/v1/version"


async def answered(
    client: FederationClient,
    name: str = TARGET,
    path: str = "/",
    method: str = "GET",
    **kwargs: Any,
) -> int:
    """Send a request, read the answer, and return its status."""
    async with client.request(method, name, path, **kwargs) as response:
        await response.read()
        return response.status


def last(federation: LoopbackFederation) -> Request:
    """Return the request that came in last."""
    return federation.requests[-1]


def header(request: Request, name: str) -> str | None:
    """Return a header of a request that came in; None if there was none."""
    return next((value for key, value in request.headers if key.lower() == name.lower()), None)


# Where requests go


EVERY_STEP = pytest.mark.parametrize("row", STEPS, ids=lambda row: row.label)


@EVERY_STEP
async def test_step(loopback_federation: LoopbackFederation, row: StepRow) -> None:
    """For each step the server that is meant sees the right port, `Host` and SNI."""
    for host, declared in row.hosts.items():
        loopback_federation.add(host, **declared)
    async with (
        client_of(loopback_federation) as client,
        client.request("GET", row.server_name, VERSION) as response,
    ):
        assert response.status == 200
        seen = await response.json()
    host, port = row.targets[0]
    assert seen["target"] == [host.lower(), port]
    assert seen["host"] == row.host_header
    literal = row.step in (Step.IP_LITERAL, Step.WELL_KNOWN_IP_LITERAL)
    assert seen["sni"] == (None if literal else row.tls_name.lower())
    assert seen["path"] == VERSION
    if not literal:  # literals are mapped to where they are served
        url = f"https://{host.lower()}:{port}{VERSION}"
        assert str(response.url) == url.replace(":443/", "/")


@EVERY_STEP
async def test_certificate_of_a_step(loopback_federation: LoopbackFederation, row: StepRow) -> None:
    """For each step a certificate for any other name is refused, and nothing is sent."""
    declared = {row.tls_name: {}, **row.hosts}
    for host, settings in declared.items():
        wrong = {"certificate": Certificate.WRONG_NAME} if host == row.tls_name else {}
        loopback_federation.add(host, **settings, **wrong)
    async with client_of(loopback_federation) as client:
        with pytest.raises(ConnectError, match=f"not valid for '{row.tls_name.lower()}'"):
            await answered(client, str(row.server_name))
    assert all(request.path.startswith("/.well-known") for request in loopback_federation.requests)


@pytest.mark.parametrize("ip", ["127.0.0.1", pytest.param("::1", marks=with_ipv6)])
async def test_a_literal_that_is_not_mapped(
    loopback_federation: LoopbackFederation, ip: str
) -> None:
    """A literal is dialled as it is, and its certificate is checked for that address."""
    address, port = loopback_federation.connect_to[ip, 8448]
    assert address == ip
    name = f"[{ip}]:{port}" if ":" in ip else f"{ip}:{port}"
    async with client_of(loopback_federation, connect_to={}) as client:
        async with client.request("GET", name, "/") as response:
            assert str(response.url) == f"https://{name}/"
        assert (last(loopback_federation).host, last(loopback_federation).sni) == (name, None)
        loopback_federation.add(ip, certificate=Certificate.WRONG_NAME)
        await answered(client, name, headers={"Connection": "close"})
        with pytest.raises(ConnectError, match="certificate is not valid for"):
            await answered(client, name)


async def test_server_names_in_either_form(loopback_federation: LoopbackFederation) -> None:
    """A name may be text or parsed; what is no server name is an error."""
    loopback_federation.add(NAME)
    async with client_of(loopback_federation) as client:
        async with client.request("GET", ServerName.parse(TARGET), "/") as response:
            assert response.status == 200
        with pytest.raises(InvalidServerNameError):
            await answered(client, "example..org")


async def test_not_offered(loopback_federation: LoopbackFederation) -> None:
    """That there is no federation at a name comes out as what it is."""
    loopback_federation.add(NAME, srv=[SrvRecord(0, 0, 0, ".")])
    async with client_of(loopback_federation) as client:
        with pytest.raises(ServiceNotOfferedError):
            await answered(client, NAME)


# Paths


ASCII = "".join(chr(n) for n in range(0x21, 0x7F) if chr(n) not in "?#")
PATHS = [
    "/",
    "/_matrix/x/%40a%3Ab%2Fc?q=%7E+%20",
    "/_matrix/federation/v1/query/directory?room_alias=%23a:example.org",
    "/_matrix/key/v2/query/example.org/ed25519%3A1?minimum_valid_until_ts=0",
    "/a/../b",
    "/a/./b/",
    "/..",
    "//x",
    "//example.com/x",
    "/x//y",
    "/;a=b;c",
    "/?a=b?c",
    "/?a?",
    "/??",
    "/?a=b&a=b&&=",
    "/%",
    "/%zz%2",
    "/%e2%82%ac%E2%82%AC",
    "/http://example.com/",
    "/@:443",
    "/" + ASCII,
    "/?" + ASCII + "?",
    "/" + "x" * 6000,
]


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path[:40])
async def test_path(loopback_federation: LoopbackFederation, path: str) -> None:
    """Path and query arrive byte for byte as they were given."""
    loopback_federation.add(NAME)
    async with client_of(loopback_federation) as client:
        assert await answered(client, path=path) == 200
        assert await answered(client, path=path, method="PUT", json={}) == 200
    assert [request.path for request in loopback_federation.requests] == [path, path]


NO_PATHS = {
    "empty": "",
    "no slash": "x",
    "a URL": "https://example.com/",
    "only a query": "?a=b",
    "space": "/a b",
    "space in the query": "/?a b",
    "CR LF": "/a\r\nX: y",
    "LF at the end": "/a\n",
    "tab": "/a\tb",
    "NUL": "/a\0",
    "DEL": "/a\x7f",
    "not ASCII": "/ä",
    "not ASCII in the query": "/?€",
    "a surrogate": "/\ud800",
    "fragment": "/a#b",
    "fragment after a query": "/a?b#",
    "empty query": "/a?",
}


@pytest.mark.parametrize("path", NO_PATHS.values(), ids=NO_PATHS)
async def test_no_path(loopback_federation: LoopbackFederation, path: str) -> None:
    """What can't be sent as it stands is refused before anything is asked."""
    async with client_of(loopback_federation) as client:
        with pytest.raises(ValueError, match="not a path that can be sent as it stands") as caught:
            await answered(client, path=path)
    assert str(caught.value).isprintable()
    assert str(caught.value).isascii()
    assert not loopback_federation.dns_questions
    assert not loopback_federation.connections


@pytest.mark.parametrize(
    ("method", "headers"),
    [
        pytest.param("GET /x HTTP/1.1\r\nX: y\r\n", {}, id="method"),
        pytest.param("GET", {"X": "y\r\nHost: other.example"}, id="header value"),
        pytest.param("GET", {"X\r\nHost": "other.example"}, id="header name"),
    ],
)
async def test_nothing_is_smuggled(
    loopback_federation: LoopbackFederation, method: str, headers: dict[str, str]
) -> None:
    """Neither a method nor a header can bring another header along."""
    loopback_federation.add(NAME)
    async with client_of(loopback_federation) as client:
        with pytest.raises(ValueError, match=r"(?i)newline|control|method|invalid"):
            await answered(client, method=method, headers=headers)
        assert await answered(client) == 200
    assert len(loopback_federation.requests) == 1


# Pooled connections


def connections(federation: LoopbackFederation) -> Counter[tuple[str, int]]:
    """Return how many connections there were to each target, well-known fetches left out."""
    return Counter({target: n for target, n in federation.connections.items() if target[1] != 443})


async def test_an_srv_target_at_443_beside_port_8448(
    loopback_federation: LoopbackFederation,
) -> None:
    """A name by SRV and the same name with a port each keep to their own server."""
    loopback_federation.add(NAME, srv=[("srv.example.net", 443)])
    async with client_of(loopback_federation) as client:
        for name in (NAME, f"{NAME}:8448", f"{NAME}:443") * 5:
            assert await answered(client, name, "/x") == 200
    asked = [(r.target, r.host, r.sni) for r in loopback_federation.requests if r.path == "/x"]
    assert asked == 5 * [
        (("srv.example.net", 443), NAME, NAME),
        ((NAME, 8448), f"{NAME}:8448", NAME),
        ((NAME, 443), f"{NAME}:443", NAME),
    ]
    assert loopback_federation.connections == {
        ("srv.example.net", 443): 1,
        (NAME, 8448): 1,
        (NAME, 443): 2,  # the well-known fetch is no business of the pool's
    }


SHARED: dict[str, tuple[str, str, dict[str, dict[str, Any]], int]] = {
    "delegated to the same host and port": (
        "a.example",
        "b.example",
        {
            "a.example": {"delegates_to": "hs.example:8450"},
            "b.example": {"delegates_to": "hs.example:8450"},
        },
        1,
    ),
    "different Host, but all three agree": ("hs.example", "hs.example:8448", {"hs.example": {}}, 1),
    "letter case": ("HS.example:8450", "hs.example:8450", {"hs.example": {}}, 1),
    "different certificate names": (
        "a.example",
        "b.example",
        {
            "a.example": {"srv": [("hs.example", 8450)]},
            "b.example": {"srv": [("hs.example", 8450)]},
        },
        2,
    ),
    "different ports": ("hs.example:8450", "hs.example:8451", {"hs.example": {}}, 2),
    "different target hosts": (
        "a.example:8450",
        "a.example",
        {"a.example": {"srv": [("hs.example", 8450)]}},
        2,
    ),
}


@pytest.mark.parametrize(("one", "other", "hosts", "count"), SHARED.values(), ids=SHARED)
async def test_sharing(
    loopback_federation: LoopbackFederation,
    one: str,
    other: str,
    hosts: dict[str, dict[str, Any]],
    count: int,
) -> None:
    """Two names share a connection only if target host, port and certificate name all agree."""
    for name, declared in hosts.items():
        loopback_federation.add(name, **declared)
    async with client_of(loopback_federation) as client:
        for name in (one, other) * 3:
            assert await answered(client, name) == 200
    assert connections(loopback_federation).total() == count


async def test_connections_are_kept(loopback_federation: LoopbackFederation) -> None:
    """Requests one after another use one connection; as many at once use as many."""
    loopback_federation.add(NAME, serves=lambda request: asyncio.sleep(0.05, {}))
    async with client_of(loopback_federation) as client:
        for _ in range(3):
            await answered(client)
        assert connections(loopback_federation) == {(NAME, 8450): 1}
        await asyncio.gather(*(answered(client) for _ in range(4)))
        assert connections(loopback_federation) == {(NAME, 8450): 4}
        await asyncio.gather(*(answered(client) for _ in range(4)))
    assert connections(loopback_federation) == {(NAME, 8450): 4}


# Answers


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_redirects_are_not_followed(
    loopback_federation: LoopbackFederation, status: int
) -> None:
    """A redirect is given as it is."""
    loopback_federation.add(NAME, serves=Redirect("https://elsewhere.example/", status))
    loopback_federation.add("elsewhere.example")
    async with (
        client_of(loopback_federation) as client,
        client.request("GET", TARGET, "/") as response,
    ):
        assert response.status == status
        assert response.headers["Location"] == "https://elsewhere.example/"
    assert len(loopback_federation.requests) == 1


async def test_no_cookies(loopback_federation: LoopbackFederation) -> None:
    """What `Set-Cookie` asks for is not sent with the next request."""
    loopback_federation.add(NAME, serves=Reply(200, [("Set-Cookie", "a=b; Path=/; Secure")]))
    async with client_of(loopback_federation) as client:
        for _ in range(2):
            assert await answered(client) == 200
    assert {header(request, "cookie") for request in loopback_federation.requests} == {None}


@pytest.mark.parametrize("status", [200, 404, 429, 500, 599])
async def test_any_status(loopback_federation: LoopbackFederation, status: int) -> None:
    """Whatever a server answers is given; `raise_for_status` makes an error of it as usual."""
    loopback_federation.add(NAME, serves=Reply(status, body={"errcode": "M_X"}))
    async with client_of(loopback_federation) as client:
        async with client.request("GET", TARGET, "/") as response:
            assert (response.status, await response.json()) == (status, {"errcode": "M_X"})
        if status >= 400:
            with pytest.raises(aiohttp.ClientResponseError):
                await answered(client, raise_for_status=True)


async def test_no_http(loopback_federation: LoopbackFederation) -> None:
    """What is no HTTP is aiohttp's error, and no reason to ask another target."""
    loopback_federation.add(NAME, srv=[("a.example", 8450), ("b.example", 8450)])
    loopback_federation.add("a.example", serves=Raw())
    async with client_of(loopback_federation) as client:
        with pytest.raises(aiohttp.ClientResponseError):
            await answered(client, NAME)
    assert connections(loopback_federation) == {("a.example", 8450): 1}


# A second time


class Forgetful:
    """Answers, but closes the connection without a response every time that `closes` says."""

    def __init__(self, closes: Callable[[int], bool], says: bytes = b"") -> None:
        self.count = 0
        self._closes = closes
        self._says = says

    def __call__(self, request: Request) -> Any:
        self.count += 1
        return Raw(self._says) if self._closes(self.count) else Reply(200)


@pytest.mark.parametrize("says", [b"", b"HTTP/1.1 200 OK\r\nX"], ids=["nothing", "half a head"])
@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "HEAD"])
async def test_an_idempotent_request_is_sent_again(
    loopback_federation: LoopbackFederation, method: str, says: bytes
) -> None:
    """A reused connection that closes without a response is no failure: it is sent once more."""
    server = Forgetful(lambda count: count == 2, says)
    loopback_federation.add(NAME, serves=server)
    body = {"data": b"body"} if method == "PUT" else {}
    async with client_of(loopback_federation) as client:
        assert await answered(client) == 200
        assert await answered(client, method=method, path="/x", **body) == 200
    again = [(r.method, r.path, r.body) for r in loopback_federation.requests[1:]]
    assert again == [(method, "/x", body.get("data", b""))] * 2


@pytest.mark.parametrize("reused", [False, True], ids=["new connection", "reused connection"])
async def test_sent_again_only_once(loopback_federation: LoopbackFederation, reused: bool) -> None:
    """A server that closes again and again gets a request once more, and no other target gets it.

    That is for a connection that was kept: it may have been closed before the request came.
    """
    server = Forgetful(lambda count: count > reused)
    loopback_federation.add(NAME, srv=[("a.example", 8450), ("b.example", 8450)])
    loopback_federation.add("a.example", serves=server)
    async with client_of(loopback_federation) as client:
        if reused:
            assert await answered(client, NAME) == 200
        with pytest.raises(aiohttp.ServerDisconnectedError):
            await answered(client, NAME)
    assert server.count == (3 if reused else 1)
    assert ("b.example", 8450) not in loopback_federation.connections


@pytest.mark.parametrize("reused", [False, True], ids=["new connection", "reused connection"])
@pytest.mark.parametrize("method", ["POST", "PATCH"])
async def test_post_is_never_repeated(
    loopback_federation: LoopbackFederation, method: str, reused: bool
) -> None:
    """When the connection closes under a POST, that is an error, and the server saw it once."""
    server = Forgetful(lambda count: count == 1 + reused)
    loopback_federation.add(NAME, serves=server)
    async with client_of(loopback_federation) as client:
        if reused:
            assert await answered(client) == 200
        with pytest.raises((aiohttp.ServerDisconnectedError, aiohttp.ClientOSError)):
            await answered(client, method=method, json={"a": 1})
        assert server.count == 1 + reused
        assert await answered(client, method=method, json={"a": 2}) == 200
    assert [r.body for r in loopback_federation.requests if r.method == method] == [
        b'{"a": 1}',
        b'{"a": 2}',
    ]


# Arguments


REFUSED: dict[str, dict[str, Any]] = {
    "params": {"params": {"a": "b"}},
    "allow_redirects": {"allow_redirects": True},
    "server_hostname": {"server_hostname": "other.example"},
    "ssl": {"ssl": False},
    "ssl as it was called": {"verify_ssl": False},
    "ssl as it was called, too": {"ssl_context": ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)},
    "fingerprint": {"fingerprint": b"x" * 32},
    "proxy": {"proxy": "http://127.0.0.1:9"},
    "proxy None": {"proxy": None},
    "Host in a dict": {"headers": {"Host": "other.example"}},
    "host in a dict": {"headers": {"X": "y", "host": "other.example"}},
    "HOST in a CIMultiDict": {"headers": CIMultiDict(HOST="other.example")},
    "a proxy of a CIMultiDict": {"headers": CIMultiDictProxy(CIMultiDict(hOsT="other.example"))},
    "a list": {"headers": [("X", "y"), ("hosT", "other.example")]},
    "a tuple": {"headers": (("Host", ""),)},
}


@pytest.mark.parametrize("kwargs", REFUSED.values(), ids=REFUSED)
async def test_refused(loopback_federation: LoopbackFederation, kwargs: dict[str, Any]) -> None:
    """What would change where a request goes, or what vouches for it, is a `TypeError`."""
    loopback_federation.add(NAME)
    async with client_of(loopback_federation) as client:
        with pytest.raises(TypeError, match=r"federation request|Host"):
            await answered(client, **kwargs)
        with pytest.raises(TypeError, match="unexpected keyword"):
            await answered(client, no_such_argument=1)
    assert not loopback_federation.requests


BODIES: dict[str, tuple[Callable[[], dict[str, Any]], bytes]] = {
    "none": (dict, b""),
    "bytes": (lambda: {"data": b"\0\xff body"}, b"\0\xff body"),
    "str": (lambda: {"data": "bödy"}, "bödy".encode()),
    "json": (lambda: {"json": {"a": [1, None]}}, json.dumps({"a": [1, None]}).encode()),
    "json {}": (lambda: {"json": {}}, b"{}"),
    "form": (lambda: {"data": {"a": "b c"}}, b"a=b+c"),
    "async generator": (lambda: {"data": pieces()}, b"onetwo"),
    "BytesIO": (lambda: {"data": io.BytesIO(b"in memory")}, b"in memory"),
    "StringIO": (lambda: {"data": io.StringIO("in memory")}, b"in memory"),
}


async def pieces() -> AsyncIterator[bytes]:
    """Yield a body in two pieces."""
    yield b"one"
    await asyncio.sleep(0)
    yield b"two"


@pytest.mark.parametrize("dead", [0, 2], ids=["first target", "after two failures"])
@pytest.mark.parametrize(("kwargs", "body"), BODIES.values(), ids=BODIES)
async def test_bodies(
    loopback_federation: LoopbackFederation,
    kwargs: Callable[[], dict[str, Any]],
    body: bytes,
    dead: int,
) -> None:
    """A body arrives whole, however many targets have failed before, and so do the headers."""
    targets = [(f"t{n}.example", 8450) for n in range(3)]
    loopback_federation.add(NAME, srv=targets)
    for n in range(dead):
        loopback_federation.add(f"t{n}.example", serves=Raw(b"", tls=False))
    headers = CIMultiDict([("Authorization", "X-Matrix a"), ("X-Two", "1"), ("X-Two", "2")])
    async with client_of(loopback_federation) as client:
        for given in (headers, [*headers.items()]):
            assert await answered(client, NAME, "/x", "PUT", headers=given, **kwargs()) == 200
    for request in loopback_federation.requests[-2:]:
        assert (request.target, request.body) == (targets[dead], body)
        twice = [value for name, value in request.headers if name == "X-Two"]
        assert (header(request, "authorization"), twice) == ("X-Matrix a", ["1", "2"])
        assert [name.lower() for name, _ in request.headers].count("host") == 1
    assert "Host" not in headers


async def test_an_open_file(loopback_federation: LoopbackFederation, tmp_path: Path) -> None:
    """A body that is a file is sent; aiohttp closes it when connecting fails, which ends it."""
    (tmp_path / "body").write_bytes(b"on disk")
    loopback_federation.add(TARGET.partition(":")[0], srv=[("a.example", 1), ("b.example", 2)])
    async with client_of(loopback_federation) as client:
        with (tmp_path / "body").open("rb") as file:
            assert await answered(client, NAME, "/x", "PUT", data=file) == 200
        assert last(loopback_federation).body == b"on disk"
        loopback_federation.add("c.example", srv=[("dead.example", 1), ("b.example", 2)])
        loopback_federation.add("dead.example", ports=[])
        with (tmp_path / "body").open("rb") as file, pytest.raises(ConnectError) as caught:
            await answered(client, "c.example", "/x", "PUT", data=file)
        # Nothing is held against the target that was not tried, nor against the name.
        assert "the body, an open file, can't be sent again" in str(caught.value)
        assert {attempt.target.host for attempt in caught.value.attempts} == {"dead.example"}
        assert await answered(client, "c.example", "/x", "PUT", data=b"again") == 200
    assert last(loopback_federation).target == ("b.example", 2)
    assert loopback_federation.request_counts["c.example", "/.well-known/matrix/server"] == 1


FILES: dict[str, Callable[[Any], Any]] = {
    "in a form": lambda file: _form(file),
    "in a dict": lambda file: {"file": file},
    "as a payload": aiohttp.payload.BufferedReaderPayload,
}


def _form(file: Any) -> aiohttp.FormData:
    form = aiohttp.FormData()
    form.add_field("file", file)
    return form


@pytest.mark.parametrize("wrapped", FILES.values(), ids=FILES)
async def test_an_open_file_within_a_body(
    loopback_federation: LoopbackFederation, tmp_path: Path, wrapped: Callable[[Any], Any]
) -> None:
    """A file in a form is one all the same: a failure is told, and no bare `ValueError`."""
    (tmp_path / "body").write_bytes(b"on disk")
    loopback_federation.add(NAME, srv=[("dead.example", 1), ("b.example", 2)])
    loopback_federation.add("dead.example", ports=[])
    async with client_of(loopback_federation) as client:
        with pytest.raises(ConnectError, match="an open file, can't be sent again"):
            await answered(client, NAME, "/x", "PUT", data=wrapped((tmp_path / "body").open("rb")))
        assert (
            await answered(client, NAME, "/x", "PUT", data=wrapped((tmp_path / "body").open("rb")))
            == 200
        )
    assert b"on disk" in last(loopback_federation).body


@pytest.mark.parametrize("body", [io.BytesIO, lambda data: io.StringIO(data.decode())])
async def test_a_body_in_memory_is_repeated_whole(body: Callable[[bytes], Any]) -> None:
    """What is sent again when a kept connection closes is the whole body."""
    received: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for answers in (True, bool(received)):  # the first connection answers once
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            length = int(head.partition(b"content-length:")[2].partition(b"\r\n")[0] or 0)
            received.append(await reader.readexactly(length))
            if len(received) == 2 or not answers:
                break
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
            await writer.drain()
        writer.close()

    world = World()
    world.addresses.answers[NAME] = ["127.0.0.1"]
    context = CERTIFICATES.server_context(NAME, Certificate.VALID)
    async with (
        await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context) as server,
        world.resolver(address_policy=AddressPolicy.allow_all()) as resolver,
        open_federation_client(resolver, ssl_context=CERTIFICATES.client_context()) as client,
    ):
        name = f"{NAME}:{server.sockets[0].getsockname()[1]}"
        assert await answered(client, name, method="PUT", data=b"first") == 200
        assert await answered(client, name, method="PUT", data=body(b"second")) == 200
    assert received == [b"first", b"second", b"second"]


async def test_a_closed_file(loopback_federation: LoopbackFederation, tmp_path: Path) -> None:
    """A body that is closed from the beginning is the caller's mistake, as aiohttp tells it."""
    (tmp_path / "body").write_bytes(b"on disk")
    file = (tmp_path / "body").open("rb")
    file.close()
    loopback_federation.add(NAME)
    async with client_of(loopback_federation) as client:
        with pytest.raises(ValueError, match="closed file"):
            await answered(client, method="PUT", data=file)


def test_an_attempt_as_text() -> None:
    """An attempt is what a log can show."""
    target = Target(host="::1", port=8448)
    assert str(Attempt(target=target, address=None, reason="no")) == "[::1]:8448: no"


# TLS settings and proxies


async def test_a_given_ssl_context(loopback_federation: LoopbackFederation) -> None:
    """The context that is given is used: its trust, and its laxness."""
    loopback_federation.add(NAME, certificate=Certificate.UNTRUSTED)
    lax = ssl.create_default_context()
    lax.check_hostname, lax.verify_mode = False, ssl.CERT_NONE
    async with client_of(loopback_federation) as client:
        with pytest.raises(ConnectError, match="self-signed"):
            await answered(client)
    async with client_of(loopback_federation, ssl_context=lax) as client:
        assert await answered(client) == 200


async def test_the_system_trust_store_by_default(
    loopback_federation: LoopbackFederation, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Without TLS settings the system's authorities are trusted, and no common name is."""
    loopback_federation.add(NAME)
    loopback_federation.add("cn.example", certificate=Certificate.COMMON_NAME_ONLY)
    settings = {"connect_to": loopback_federation.connect_to}
    for trusted in (False, True):
        if trusted:
            (tmp_path / "ca.pem").write_bytes(loopback_federation.ca_pem)
            monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
        async with (
            asyncio.timeout(HANGS),
            loopback_federation.resolver() as resolver,
            open_federation_client(resolver, **settings) as client,
        ):
            if trusted:
                assert await answered(client) == 200
                told = r"not valid for 'cn\.example', it is for no host"
                with pytest.raises(ConnectError, match=told):
                    await answered(client, "cn.example:8450")
            else:
                with pytest.raises(ConnectError, match="self-signed, or the chain is incomplete"):
                    await answered(client)


VARIABLES = ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy")


async def test_no_proxy_from_the_environment(
    loopback_federation: LoopbackFederation, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Neither proxies nor passwords come from the environment."""
    for variable in VARIABLES:
        monkeypatch.setenv(variable, "http://127.0.0.1:9")
    netrc = tmp_path / "netrc"
    netrc.write_text(f"machine {NAME} login somebody password secret\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    loopback_federation.add(NAME)
    async with client_of(loopback_federation) as client:
        assert await answered(client) == 200
    assert header(last(loopback_federation), "authorization") is None


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_trust_env(
    loopback_federation: LoopbackFederation, monkeypatch: pytest.MonkeyPatch, host: str
) -> None:
    """If it is wanted a proxy is used, by address or by name, past targets that it can't reach."""
    loopback_federation.add(NAME, srv=[("dead.example", 8450), ("b.example", 8451)])
    async with proxy(loopback_federation) as (port, log):
        for variable in VARIABLES:
            monkeypatch.setenv(variable, f"http://{host}:{port}")
        monkeypatch.setenv("NO_PROXY", "direct.example")
        monkeypatch.setenv("no_proxy", "direct.example")
        loopback_federation.add("direct.example")
        async with client_of(loopback_federation, trust_env=True) as client:
            assert await answered(client, NAME) == 200
            assert await answered(client, "direct.example:8450") == 200
    assert log == [
        "CONNECT dead.example:8450 HTTP/1.1",
        "CONNECT b.example:8451 HTTP/1.1",
    ]
    through, direct = loopback_federation.requests[-2:]
    assert (through.target, through.host, through.sni) == (("b.example", 8451), NAME, NAME)
    assert direct.target == ("direct.example", 8450)


async def test_srv_under_an_alias(loopback_federation: LoopbackFederation) -> None:
    """A target that is an alias is used by the addresses that it has."""
    loopback_federation.add(NAME)
    loopback_federation.add("alias.example", alias_of="real.example")
    loopback_federation.add_records(FED + NAME, "SRV", "1 0 8450 alias.example.")
    async with client_of(loopback_federation) as client:
        assert await answered(client, NAME) == 200
    assert last(loopback_federation).target == ("alias.example", 8450)


async def test_no_addresses_told_once(loopback_federation: LoopbackFederation) -> None:
    """A target without addresses is one attempt, though it was looked up for a second round."""
    loopback_federation.add(NAME, addresses=[])
    async with client_of(loopback_federation) as client:
        with pytest.raises(ConnectError) as caught:
            await answered(client, f"{NAME}:8450")
    (attempt,) = caught.value.attempts
    assert (attempt.target.host, attempt.address) == (NAME, None)
    assert "no addresses exist" in attempt.reason


def test_request_takes_what_aiohttp_takes() -> None:
    """The typed keyword arguments are those of aiohttp's, without those that are refused."""
    taken = set(inspect.signature(aiohttp.ClientSession._request).parameters)
    taken -= {"self", "method", "str_or_url", *outgoing._REFUSED}
    assert RequestOptions.__annotations__.keys() == taken
