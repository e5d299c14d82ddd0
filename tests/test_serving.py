"""The well-known documents that a server publishes: what they hold, and that peers read them."""

import asyncio
import json
import subprocess
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from attrs.exceptions import FrozenInstanceError
from hypothesis import given
from hypothesis import strategies as st

from matrix_resolve.core.http_caching import stated_lifetime
from matrix_resolve.core.names import ServerName
from matrix_resolve.core.questions import Delegated
from matrix_resolve.core.replies import HttpResponse
from matrix_resolve.core.well_known import read_well_known
from matrix_resolve.errors import InvalidServerNameError
from matrix_resolve.policy import Policy
from matrix_resolve.serving import (
    WellKnownDocument,
    client_well_known_document,
    well_known_document,
    well_known_routes,
)
from matrix_resolve.testing import LoopbackFederation, Reply

SERVER, CLIENT = "/.well-known/matrix/server", "/.well-known/matrix/client"
BASE = "https://matrix.example.org"
# Client-server API, "Web Browser Clients".
CORS = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Methods": "GET, POST, PUT, DELETE, OPTIONS",
    "Access-Control-Allow-Headers": "X-Requested-With, Content-Type, Authorization",
}


def read(document: WellKnownDocument) -> str:
    """What a peer reads: the name that the document delegates to."""
    response = HttpResponse(200, document.headers, document.body, "https://example.org" + SERVER)
    answer = read_well_known(response, max_body=Policy().max_body)
    assert isinstance(answer, Delegated)
    return str(answer.to)


DELEGATIONS = [
    # server name, delegate_to, m.server
    pytest.param("example.org", None, "example.org:443", id="by default port 443"),
    pytest.param("Example.ORG", None, "Example.ORG:443", id="letter case is kept"),
    pytest.param("localhost", None, "localhost:443", id="one label"),
    pytest.param("example.org:8448", None, "example.org:8448", id="its own port is kept"),
    pytest.param("example.org:443", None, "example.org:443", id="its own port 443 is kept"),
    pytest.param("192.0.2.1", None, "192.0.2.1:443", id="IPv4"),
    pytest.param("[2001:db8::1]", None, "[2001:db8::1]:443", id="IPv6"),
    pytest.param("[2001:db8::1]:8448", None, "[2001:db8::1]:8448", id="IPv6 with a port"),
    pytest.param("example.org", "m.example.net:443", "m.example.net:443", id="host and port"),
    pytest.param("example.org", "m.example.net", "m.example.net", id="host alone, no port added"),
    pytest.param("example.org:8448", "m.example.net", "m.example.net", id="port not inherited"),
    pytest.param("example.org", "example.org", "example.org", id="to itself without a port"),
    pytest.param("example.org", "[2001:db8::1]", "[2001:db8::1]", id="to IPv6"),
    pytest.param("example.org", "192.0.2.1:8448", "192.0.2.1:8448", id="to IPv4 with a port"),
    pytest.param(
        ServerName.parse("example.org"), ServerName.parse("a.example:1"), "a.example:1", id="parsed"
    ),
]


@pytest.mark.parametrize(("server_name", "delegate_to", "to"), DELEGATIONS)
def test_server_document(
    server_name: str | ServerName, delegate_to: str | ServerName | None, to: str
) -> None:
    """The document holds just `m.server`, and a peer reads what was meant."""
    document = well_known_document(server_name, delegate_to)
    assert document.path == SERVER
    assert json.loads(document.body) == {"m.server": to}
    assert read(document) == to


LABELS = st.from_regex(r"[A-Za-z][A-Za-z0-9-]{0,20}", fullmatch=True)
HOSTS = (
    st.lists(LABELS, min_size=1, max_size=6).map(".".join)
    | st.ip_addresses(v=4).map(str)
    | st.ip_addresses(v=6).map("[{}]".format)
)
PORTS = st.just("") | st.integers(1, 65535).map(":{}".format)
NAMES = st.builds("".join, st.tuples(HOSTS, PORTS))


@given(NAMES, st.none() | NAMES, st.integers(0, 10**9))
def test_what_is_served_is_what_is_read(
    server_name: str, delegate_to: str | None, max_age: int
) -> None:
    """Any server name, delegation and age comes out at the other side as it went in."""
    document = well_known_document(server_name, delegate_to, max_age=max_age)
    to = ServerName.parse(read(document))
    if delegate_to is not None:
        assert str(to) == delegate_to
    else:
        own = ServerName.parse(server_name)
        assert (to.hostname, to.port) == (own.hostname, own.port or 443)
    assert stated_lifetime(document.headers, received_at=0.0) == max_age


MEANT = [
    # what was given, what to write as a delegation, and as a server name
    pytest.param("https://a.example", "a.example:443", "a.example", id="https"),
    pytest.param("https://a.example/", "a.example:443", "a.example", id="https, slash"),
    pytest.param("HTTPS://a.example/_matrix", "a.example:443", "a.example", id="https, path"),
    pytest.param("https://a.example:8448", "a.example:8448", "a.example:8448", id="https, port"),
    pytest.param("https://[2001:db8::1]", "[2001:db8::1]:443", "[2001:db8::1]", id="https, IPv6"),
    pytest.param("http://a.example", "a.example", "a.example", id="http"),
    pytest.param("matrix://a.example", "a.example", "a.example", id="another scheme"),
    pytest.param("//a.example", "a.example", "a.example", id="slashes without a scheme"),
    pytest.param("a.example/", "a.example", "a.example", id="trailing slash"),
    pytest.param("a.example:443/path", "a.example:443", "a.example:443", id="port and path"),
    pytest.param("a.example?b#c", "a.example", "a.example", id="query"),
    pytest.param("user:word@a.example", "a.example", "a.example", id="userinfo"),
    pytest.param("https://u@a.example/p?q#f", "a.example:443", "a.example", id="all of it"),
    pytest.param("a.example:", "a.example", "a.example", id="empty port"),
    pytest.param("a.example.", "a.example", "a.example", id="trailing dot"),
    pytest.param(" a.example\n", "a.example", "a.example", id="whitespace around"),
    pytest.param("2001:db8::1", "[2001:db8::1]", "[2001:db8::1]", id="IPv6 without brackets"),
    pytest.param("https://::1/", "[::1]:443", "[::1]", id="https, IPv6 without brackets"),
    pytest.param("192.0.2.1/", "192.0.2.1", "192.0.2.1", id="IPv4, slash"),
    pytest.param(" 192.0.2.1", "192.0.2.1", "192.0.2.1", id="IPv4, leading space"),
    pytest.param("@alice:a.example", "a.example", "a.example", id="user ID"),
    pytest.param("https://é.example", "xn--9ca.example:443", "xn--9ca.example", id="IDN"),
]


@pytest.mark.parametrize(("given_name", "delegation", "name"), MEANT)
def test_error_says_what_to_write(given_name: str, delegation: str, name: str) -> None:
    """What is nearly a name is refused with the name that was meant, and with the argument."""
    with pytest.raises(InvalidServerNameError, match="delegate_to") as caught:
        well_known_document("example.org", given_name)
    assert caught.value.suggestion == delegation
    with pytest.raises(InvalidServerNameError, match="server_name") as caught:
        well_known_document(given_name)
    assert caught.value.suggestion == name
    assert well_known_document(name, delegation)


INVALID = [
    # what was given, what the reason says
    pytest.param("", "it is empty", id="empty"),
    pytest.param(None, "it is not a string", id="None"),
    pytest.param(443, "it is not a string", id="number"),
    pytest.param("a.example:0", "the port must be", id="port 0"),
    pytest.param("a.example:65536", "the port must be", id="port too large"),
    pytest.param("a.example:https", "the port must be", id="port by name"),
    pytest.param("https:a.example", "the port must be", id="scheme without slashes"),
    pytest.param("https://", "the port must be", id="scheme alone"),
    pytest.param("*.example.org", "other than letters", id="wildcard"),
    pytest.param("a_b.example", "other than letters", id="underscore"),
    pytest.param("2130706433", "IPv4 address", id="address in disguise"),
    pytest.param("[fe80::1%eth0]", "zones are not allowed", id="zone"),
]


@pytest.mark.parametrize(("name", "reason"), INVALID)
def test_invalid_names_are_refused(name: Any, reason: str) -> None:
    """Where nothing can be guessed, the reason is the grammar's, and says which argument."""
    with pytest.raises(InvalidServerNameError, match=reason) as caught:
        well_known_document(name)
    assert caught.value.reason.startswith("server_name: ")
    if name is not None:
        with pytest.raises(ValueError, match=reason) as wrong:
            well_known_document("example.org", name)
        assert "delegate_to: " in str(wrong.value)


@pytest.mark.parametrize(
    ("max_age", "kept"),
    [
        pytest.param({}, 86400, id="by default a day"),
        pytest.param({"max_age": 3600}, 3600, id="an hour"),
        pytest.param({"max_age": 0}, 0, id="none"),
    ],
)
def test_headers_of_the_server_document(max_age: dict[str, Any], kept: int) -> None:
    """Type, lifetime and the one line that lets web pages read it, and nothing else."""
    document = well_known_document("example.org", **max_age)
    assert document.headers == (
        ("Content-Type", "application/json"),
        ("Cache-Control", f"max-age={kept}"),
        ("Access-Control-Allow-Origin", "*"),
    )
    assert stated_lifetime(document.headers, received_at=0.0) == kept


def test_default_lifetime_is_within_what_peers_grant() -> None:
    """The default is neither cut short nor drawn out by a resolver with the default policy."""
    lifetime = stated_lifetime(well_known_document("example.org").headers, received_at=0.0)
    assert lifetime is not None
    assert Policy().well_known_min_ttl < lifetime < Policy().well_known_max_ttl


@pytest.mark.parametrize("max_age", [-1, 1.5, True, None, "3600"])
def test_max_age_is_a_whole_number(max_age: Any) -> None:
    """Any other `max_age` is refused, of either document."""
    with pytest.raises(ValueError, match="max_age is a whole number of seconds"):
        well_known_document("example.org", max_age=max_age)
    with pytest.raises(ValueError, match="max_age is a whole number of seconds"):
        client_well_known_document(BASE, max_age=max_age)


def test_documents_are_values() -> None:
    """Equal arguments give equal documents, which can't be changed."""
    document = well_known_document("example.org")
    assert document == well_known_document("example.org", "example.org:443")
    assert hash(document) == hash(well_known_document("example.org"))
    with pytest.raises(FrozenInstanceError):
        document.body = b""  # type: ignore[misc]


URLS = [
    pytest.param(BASE, id="https"),
    pytest.param(f"{BASE}/", id="with a slash"),
    pytest.param(f"{BASE}:8443", id="with a port"),
    pytest.param(f"{BASE}/chat/", id="with a path"),
    pytest.param("https://[2001:db8::1]:8448", id="IPv6"),
    pytest.param("http://localhost:8008", id="http"),
    pytest.param("HTTPS://Matrix.Example.ORG", id="upper case"),
]


@pytest.mark.parametrize("url", URLS)
def test_client_document(url: str) -> None:
    """The base URL is published as it was given, for an hour, and to any web page."""
    document = client_well_known_document(url)
    assert document.path == CLIENT
    assert json.loads(document.body) == {"m.homeserver": {"base_url": url}}
    assert document.headers == (
        ("Content-Type", "application/json"),
        ("Cache-Control", "max-age=3600"),
        *CORS.items(),
    )


NOT_URLS = [
    # homeserver_url, what the error says
    pytest.param("", "begin with https", id="empty"),
    pytest.param("matrix.example.org", "begin with https", id="no scheme"),
    pytest.param("matrix.example.org:443", "begin with https", id="host and port"),
    pytest.param("//matrix.example.org", "begin with https", id="slashes without a scheme"),
    pytest.param("https:/matrix.example.org", "begin with https", id="one slash"),
    pytest.param("ftp://matrix.example.org", "begin with https", id="another scheme"),
    pytest.param("https://", "no valid host", id="no host"),
    pytest.param("https:///path", "no valid host", id="a path for a host"),
    pytest.param("https://:443", "no valid host", id="a port for a host"),
    pytest.param("https://a.example:0", "no valid host", id="port 0"),
    pytest.param("https://a.example:x", "no valid host", id="port that is no number"),
    pytest.param("https://[::1", "no valid host", id="bracket not closed"),
    pytest.param("https://user@a.example", "no valid host", id="userinfo"),
    pytest.param("https://a.example?b=c", "query or fragment", id="query"),
    pytest.param("https://a.example/?", "query or fragment", id="empty query"),
    pytest.param("https://a.example/#top", "query or fragment", id="fragment"),
    pytest.param(" https://a.example", "no URL has", id="leading space"),
    pytest.param("https://a.example\n", "no URL has", id="newline at the end"),
    pytest.param("https://a.example\\b", "no URL has", id="backslash"),
    pytest.param("https://<name>", "no URL has", id="placeholder"),
    pytest.param("https://münchen.example", "xn--", id="IDN"),
    pytest.param(None, "is no string", id="None"),
    pytest.param(b"https://a.example", "is no string", id="bytes"),
]


@pytest.mark.parametrize(("url", "reason"), NOT_URLS)
def test_homeserver_url_is_an_http_url(url: Any, reason: str) -> None:
    """What clients can't use as a base URL is refused, with the reason."""
    with pytest.raises(ValueError, match=reason) as caught:
        client_well_known_document(url)
    assert str(caught.value).startswith("homeserver_url ")
    assert str(caught.value).isprintable()


def test_extra_content_stands_beside_the_homeserver() -> None:
    """More fields are published at the top level as they are, in UTF-8."""
    extra = {
        "m.identity_server": {"base_url": "https://id.example.org"},
        "org.example.greeting": ["żółw 🐢", 1, None, True, {"a": 0.5}],
    }
    document = client_well_known_document(BASE, MappingProxyType(extra))
    assert json.loads(document.body) == {"m.homeserver": {"base_url": BASE}, **extra}
    assert "żółw 🐢".encode() in document.body


def test_extra_content_is_read_once() -> None:
    """What happens to the mapping later does not reach the document."""
    extra = {"org.example.list": [1]}
    document = client_well_known_document(BASE, extra)
    extra["org.example.list"].append(2)
    assert json.loads(document.body)["org.example.list"] == [1]


def nested(depth: int) -> list[Any]:
    """A list in a list in a list."""
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    return value


CIRCLE: list[Any] = []
CIRCLE.append(CIRCLE)

NOT_EXTRA = [
    # extra, what the error says
    pytest.param({"m.homeserver": {}}, "made of homeserver_url", id="m.homeserver"),
    pytest.param([("a", 1)], "no mapping", id="list of pairs"),
    pytest.param({1: 2}, "no mapping of strings", id="number as a name"),
    pytest.param({"a": datetime(2030, 1, 1, tzinfo=UTC)}, "not JSON", id="date"),
    pytest.param({"a": b"b"}, "not JSON", id="bytes"),
    pytest.param({"a": {"b": {1}}}, "not JSON", id="set"),
    pytest.param({"a": float("nan")}, "not JSON", id="NaN"),
    pytest.param({"a": [float("inf")]}, "not JSON", id="infinity"),
    pytest.param({"a": "\ud800"}, "not JSON", id="lone surrogate"),
    pytest.param({"a": CIRCLE}, "not JSON", id="circle"),
    pytest.param({"a": nested(100_000)}, "not JSON", id="100,000 lists"),
]


@pytest.mark.parametrize(("extra", "reason"), NOT_EXTRA)
def test_extra_content_is_json_and_no_homeserver(extra: Any, reason: str) -> None:
    """What is no JSON, or would override the homeserver, is refused at once."""
    with pytest.raises(ValueError, match=reason):
        client_well_known_document(BASE, extra)
    with pytest.raises(ValueError, match=reason):
        well_known_routes("example.org", homeserver_url=BASE, client_extra=extra)


def serving(*arguments: Any, **settings: Any) -> TestClient[web.Request, web.Application]:
    """A client of an application with the routes."""
    app = web.Application()
    app.add_routes(well_known_routes(*arguments, **settings))
    return TestClient(TestServer(app, host="127.0.0.1"))


def subset(headers: Mapping[str, str], wanted: Mapping[str, str]) -> dict[str, str | None]:
    """Those of the headers that are wanted."""
    return {name: headers.get(name) for name in wanted}


async def test_routes_serve_both_documents() -> None:
    """`GET` gives each document as it is, again and again, and to many at once."""
    documents = [
        well_known_document("example.org", "a.example:1", max_age=600),
        client_well_known_document(BASE, {"org.example.a": 1}, max_age=60),
    ]
    async with serving(
        "example.org",
        "a.example:1",
        homeserver_url=BASE,
        client_extra={"org.example.a": 1},
        max_age=600,
        client_max_age=60,
    ) as client:
        for document in documents * 2:
            for response in await asyncio.gather(*[client.get(document.path) for _ in range(3)]):
                assert response.status == 200
                assert await response.read() == document.body
                wanted = dict(document.headers)
                assert subset(response.headers, wanted) == wanted
                assert response.headers.getall("Content-Type") == ["application/json"]


async def test_routes_answer_head() -> None:
    """`HEAD` gives the headers of `GET` and no body."""
    async with serving("example.org", homeserver_url=BASE) as client:
        for document in (well_known_document("example.org"), client_well_known_document(BASE)):
            response = await client.head(document.path)
            wanted = {**dict(document.headers), "Content-Length": str(len(document.body))}
            assert response.status == 200
            assert subset(response.headers, wanted) == wanted
            assert await response.read() == b""


async def test_routes_answer_the_preflight() -> None:
    """`OPTIONS` on the client document has the CORS headers, and no content to speak of."""
    asking = {"Origin": "https://app.example", "Access-Control-Request-Method": "GET"}
    async with serving("example.org", homeserver_url=BASE) as client:
        response = await client.options(CLIENT, headers=asking)
        assert response.status == 204
        assert subset(response.headers, CORS) == CORS
        assert "Content-Type" not in response.headers
        assert await response.read() == b""


async def test_without_homeserver_url_there_is_no_client_document() -> None:
    """The server document is served alone, and nothing else is answered for."""
    async with serving("example.org") as client:
        assert (await client.get(SERVER)).status == 200
        assert (await client.get(CLIENT)).status == 404
        assert (await client.options(CLIENT)).status == 404
        assert (await client.post(SERVER)).status == 405


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({"server_name": "https://example.org"}, r"did you mean 'example\.org'\?"),
        ({"delegate_to": "https://a.example/"}, r"did you mean 'a\.example:443'\?"),
        ({"homeserver_url": "a.example"}, "begin with https"),
        ({"client_extra": {}}, "give homeserver_url too"),
        ({"max_age": -1}, "max_age"),
        ({"homeserver_url": BASE, "client_max_age": -1}, "max_age"),
    ],
)
def test_routes_refuse_at_once(arguments: dict[str, Any], reason: str) -> None:
    """What is wrong comes out when the routes are made, before any request."""
    with pytest.raises(ValueError, match=reason):
        well_known_routes(**{"server_name": "example.org"} | arguments)


@pytest.mark.parametrize(
    ("server_name", "delegate_to", "step", "host_header", "connect_to"),
    [
        ("x.example", None, "3.2", "x.example:443", ("x.example", 443)),
        ("x.example", "d.example:5", "3.2", "d.example:5", ("d.example", 5)),
        ("x.example", "srv.example", "3.3", "srv.example", ("target.example", 8450)),
        ("x.example", "d.example", "3.5", "d.example", ("d.example", 8448)),
        ("x.example", "127.0.0.2", "3.1", "127.0.0.2", ("127.0.0.2", 8448)),
    ],
)
async def test_a_resolver_goes_where_the_document_says(
    loopback_federation: LoopbackFederation,
    server_name: str,
    delegate_to: str | None,
    step: str,
    host_header: str,
    connect_to: tuple[str, int],
) -> None:
    """Our own resolver, over real DNS and TLS, finds what was delegated to."""
    document = well_known_document(server_name, delegate_to)
    loopback_federation.add("srv.example", srv=[("target.example", 8450)])
    loopback_federation.add("d.example")
    loopback_federation.add(server_name, well_known=Reply(200, document.headers, document.body))
    async with loopback_federation.resolver() as resolver:
        resolution = await resolver.resolve(server_name)
    (target,) = resolution.targets
    assert (resolution.step.value, resolution.host_header) == (step, host_header)
    assert (target.host, target.port) == connect_to


def test_documents_need_no_framework() -> None:
    """Making documents loads no aiohttp; only routes do."""
    code = (
        "import sys\n"
        "from matrix_resolve.serving import client_well_known_document, well_known_document\n"
        "well_known_document('example.org')\n"
        "client_well_known_document('https://example.org')\n"
        "assert 'aiohttp' not in sys.modules\n"
        "from matrix_resolve.serving import well_known_routes\n"
        "well_known_routes('example.org')\n"
        "assert 'aiohttp' in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
