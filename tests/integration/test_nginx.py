"""A real nginx serves the document, as administrators set it up, and answers requests."""

import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from socket import create_connection
from typing import Any

import pytest
from nginx_server import WELL_KNOWN, Nginx, installed_nginx
from programs import not_installed, reaching

from matrix_resolve import ConnectError, FederationClient, Policy, Resolution, Resolver, Step
from matrix_resolve.core.questions import NotDelegated
from matrix_resolve.testing import FakeClock, LoopbackFederation
from matrix_resolve.testing.fakes import START

NAME = "example.org"
HS = "hs.example.org"
DOCUMENT = {"m.server": f"{HS}:443"}
VERSION = "/_matrix/federation/v1/version"
SERVER = {"server": {"name": "static", "version": "1"}}
MINUTE, HOUR = 60, 3600


@pytest.fixture
def nginx(tmp_path: Path) -> Iterator[Nginx]:
    """An nginx, to be started when it knows its hosts."""
    with installed_nginx(tmp_path) as nginx:
        yield nginx


@pytest.fixture(autouse=True)
def _log(nginx: Nginx, request: pytest.FixtureRequest) -> Iterator[None]:
    """Show what nginx has to say with a test that fails."""
    yield
    request.node.add_report_section("teardown", "nginx's log", nginx.told())


@asynccontextmanager
async def started(
    nginx: Nginx, federation: LoopbackFederation, *names: str, **settings: Any
) -> AsyncIterator[tuple[Resolver, FederationClient]]:
    """Start nginx, and give a resolver and a client that find it at port 443 of these hosts."""
    nginx.start()
    for name in names:
        federation.add(name)
    there = {(name, 443): nginx.address for name in names}
    async with reaching(federation, there, nginx.ca_pem, **settings) as opened:
        yield opened


async def resolved(nginx: Nginx, federation: LoopbackFederation, *names: str) -> Resolution:
    """Start nginx for these hosts, and resolve the first, at the time `START`."""
    async with started(nginx, federation, *names, clock=FakeClock()) as (resolver, _):
        return await resolver.resolve(names[0])


def lives_for(resolution: Resolution) -> float:
    """Return the seconds until a resolution of the time `START` expires."""
    assert resolution.expires_at is not None
    return resolution.expires_at.timestamp() - START


def refused(resolution: Resolution) -> NotDelegated:
    """Return why the document was of no use."""
    answer = resolution.trail[0].answer
    assert isinstance(answer, NotDelegated)
    return answer


# How long a document lives


@pytest.mark.parametrize(
    ("directives", "least", "most"),
    [
        ("add_header Cache-Control max-age=7200;", 2 * HOUR, 2 * HOUR),
        ('add_header Cache-Control "public, max-age=7200";', 2 * HOUR, 2 * HOUR),
        ("expires 2h;", 2 * HOUR, 2 * HOUR),
        ("expires max;", 48 * HOUR, 48 * HOUR),
        ("expires epoch;", 5 * MINUTE, 5 * MINUTE),
        ("add_header Cache-Control no-store;", 5 * MINUTE, 5 * MINUTE),
        ("", 21.6 * HOUR, 26.4 * HOUR),
    ],
)
async def test_cache_headers(
    nginx: Nginx,
    loopback_federation: LoopbackFederation,
    directives: str,
    least: float,
    most: float,
) -> None:
    """The document lives as long as the headers of each of nginx's ways say, within limits."""
    nginx.serve(NAME, directives, document=DOCUMENT)
    resolution = await resolved(nginx, loopback_federation, NAME)
    assert resolution.step is Step("3.2")
    assert least <= lives_for(resolution) <= most


async def test_expires_alone(nginx: Nginx, loopback_federation: LoopbackFederation) -> None:
    """Without Cache-Control the time from Date to Expires counts, whatever our own clock says."""
    tomorrow = format_datetime(datetime.now(UTC) + timedelta(days=1), usegmt=True)
    nginx.serve(NAME, f'add_header Expires "{tomorrow}";', document=DOCUMENT)
    resolution = await resolved(nginx, loopback_federation, NAME)
    assert 23 * HOUR < lives_for(resolution) <= 24 * HOUR


# Redirects


@pytest.mark.parametrize(
    ("location", "elsewhere"),
    [
        ("https://www.example.org/matrix.json", "www.example.org"),
        ("//www.example.org/matrix.json", "www.example.org"),
        ("/matrix.json", NAME),
    ],
)
async def test_redirects(
    nginx: Nginx, loopback_federation: LoopbackFederation, location: str, elsewhere: str
) -> None:
    """A redirect is followed to another host or path, whose cache headers are those that count."""
    nginx.serve("www.example.org", "add_header Cache-Control max-age=7200;")
    redirect = f"location = {WELL_KNOWN} {{ expires 600; return 301 {location}; }}"
    nginx.serve(NAME, f"add_header Cache-Control max-age=7200; {redirect}")
    nginx.publish(elsewhere, DOCUMENT, "/matrix.json")
    resolution = await resolved(nginx, loopback_federation, NAME, "www.example.org")
    assert resolution.step is Step("3.2")
    assert lives_for(resolution) == 2 * HOUR
    seen = [(each["status"], each["host"], each["sni"], each["uri"]) for each in nginx.requests()]
    assert seen == [
        ("301", NAME, NAME, WELL_KNOWN),
        ("200", elsewhere, elsewhere, "/matrix.json"),
    ]


# Documents that are of no use


@pytest.mark.parametrize(
    ("directives", "temporary", "least", "most"),
    [
        ("", False, HOUR, HOUR),  # no such file: 404
        ("deny all;", True, 54, 66),  # 403
        ("add_header Cache-Control max-age=600 always;", False, 600, 600),
        ("return 503;", True, 54, 66),
        ("add_header Retry-After 600 always; return 503;", True, 600, 600),
        ("return 429;", True, 54, 66),
    ],
)
async def test_failures(
    nginx: Nginx,
    loopback_federation: LoopbackFederation,
    directives: str,
    temporary: bool,
    least: float,
    most: float,
) -> None:
    """A definite refusal is remembered for an hour, a server in trouble left alone for less."""
    nginx.serve(NAME, directives)
    resolution = await resolved(nginx, loopback_federation, NAME)
    assert resolution.step is Step("6")
    assert refused(resolution).temporary is temporary
    assert least <= resolution.trail[0].kept_for <= most


async def test_document_that_comes_later(
    nginx: Nginx, loopback_federation: LoopbackFederation
) -> None:
    """A 404 is not asked for again within the hour; after that the document is found."""
    nginx.serve(NAME)
    clock, policy = FakeClock(), Policy(refresh_ahead=0)
    async with started(nginx, loopback_federation, NAME, clock=clock, policy=policy) as (
        resolver,
        _,
    ):
        assert (await resolver.resolve(NAME)).step is Step("6")
        nginx.publish(NAME, DOCUMENT)
        clock.advance(HOUR - 1)
        assert (await resolver.resolve(NAME)).step is Step("6")
        clock.advance(1)
        assert (await resolver.resolve(NAME)).step is Step("3.2")
    assert [each["status"] for each in nginx.requests()] == ["404", "200"]


@pytest.mark.parametrize(("longer_by", "step"), [(0, "3.2"), (1, "6")])
async def test_size_limit(
    nginx: Nginx, loopback_federation: LoopbackFederation, longer_by: int, step: str
) -> None:
    """A document of the greatest size is taken, and one that is a byte longer is not."""
    size = Policy().max_body + longer_by
    document = b'{"m.server": "hs.example.org:443"}'.ljust(size)
    nginx.serve(NAME, document=document)
    resolution = await resolved(nginx, loopback_federation, NAME)
    assert resolution.step is Step(step)
    if longer_by:
        assert refused(resolution).temporary
        assert "longer than" in refused(resolution).reason


async def test_host_that_nginx_does_not_know(
    nginx: Nginx, loopback_federation: LoopbackFederation
) -> None:
    """When nginx refuses the name in the handshake, that is temporary, and no connection."""
    nginx.serve(NAME)
    async with started(nginx, loopback_federation, HS) as (resolver, client):
        resolution = await resolver.resolve(HS)
        assert refused(resolution).temporary
        with pytest.raises(ConnectError, match="no certificate for this name"):
            async with client.request("GET", f"{HS}:443", VERSION):
                pass
    assert nginx.requests() == []


# Encodings, protocols, connections


def gives_version(nginx: Nginx, name: str, directives: str = "") -> None:
    """Have a host that answers a version request, with any query, from a file."""
    nginx.serve(name, directives)
    nginx.publish(name, SERVER, VERSION)


async def test_gzip(nginx: Nginx, loopback_federation: LoopbackFederation) -> None:
    """The document is asked for as it is; a response to the client may come compressed."""
    gzip = "gzip on; gzip_types application/json; gzip_min_length 1;"
    gives_version(nginx, NAME, gzip)
    nginx.publish(NAME, {"m.server": f"{NAME}:443"})
    async with started(nginx, loopback_federation, NAME) as (resolver, client):
        assert (await resolver.resolve(NAME)).step is Step("3.2")
        async with client.request("GET", NAME, VERSION) as response:
            assert response.headers["Content-Encoding"] == "gzip"
            assert await response.json() == SERVER
    document, version = nginx.requests()
    assert (document["accept_encoding"], document["encoding"]) == ("identity", "")
    assert version["encoding"] == "gzip"


async def test_request(nginx: Nginx, loopback_federation: LoopbackFederation) -> None:
    """A request comes with the name, Host, path and query that are demanded."""
    nginx.serve(NAME, document=DOCUMENT)
    gives_version(nginx, HS)
    path = f"{VERSION}?a=%2f%2F&b=+~%7e&c=/?"
    async with (
        started(nginx, loopback_federation, NAME, HS) as (_, client),
        client.request("GET", NAME, path) as response,
    ):
        assert response.status == 200
        assert await response.json() == SERVER
    *_, request = nginx.requests()
    assert (request["host"], request["sni"]) == (f"{HS}:443", HS)
    assert request["uri"] == path


async def test_http_2_is_not_taken(nginx: Nginx, loopback_federation: LoopbackFederation) -> None:
    """Where HTTP/2 is to be had, documents and responses come by HTTP/1.1 all the same."""
    if not nginx.has_http2:
        not_installed("nginx with HTTP/2")
    gives_version(nginx, NAME)
    nginx.publish(NAME, {"m.server": f"{NAME}:443"})
    async with started(nginx, loopback_federation, NAME) as (_, client):
        assert chosen_protocol(nginx) == "h2"
        async with client.request("GET", NAME, VERSION) as response:
            assert response.status == 200
    protocols = [(each["alpn"], each["protocol"]) for each in nginx.requests()]
    assert protocols == [("http/1.1", "HTTP/1.1")] * 2


def chosen_protocol(nginx: Nginx) -> str | None:
    """Return what nginx takes when it has the choice."""
    context = ssl.create_default_context(cadata=nginx.ca_pem.decode())
    context.set_alpn_protocols(["h2", "http/1.1"])
    with (
        create_connection(nginx.address) as plain,
        context.wrap_socket(plain, server_hostname=NAME) as connection,
    ):
        return connection.selected_alpn_protocol()


async def test_connections(nginx: Nginx, loopback_federation: LoopbackFederation) -> None:
    """A connection is used again until nginx says that it is the last time."""
    gives_version(nginx, NAME, "keepalive_requests 2;")
    async with started(nginx, loopback_federation, NAME) as (_, client):
        for _ in range(4):
            async with client.request("GET", f"{NAME}:443", VERSION) as response:
                assert await response.json() == SERVER
    connections = [each["connection"] for each in nginx.requests()]
    assert connections[0] == connections[1] != connections[2] == connections[3]


async def test_restart(nginx: Nginx, loopback_federation: LoopbackFederation) -> None:
    """The connection that was kept is gone with an nginx that is started anew, but no request."""
    gives_version(nginx, NAME)
    async with started(nginx, loopback_federation, NAME) as (_, client):
        for _ in range(3):
            async with client.request("GET", f"{NAME}:443", VERSION) as response:
                assert await response.json() == SERVER
            nginx.stop()
            nginx.start()
    assert len(nginx.requests()) == 3
