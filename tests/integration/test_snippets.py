"""Real web servers take what the snippets say, and peers and clients find what was meant."""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import attrs
import pytest
import trustme
from programs import reaching
from site_servers import EXECUTABLES, SiteServer, running_site

from matrix_resolve import FederationClient, Resolver, ServerName, Step
from matrix_resolve.serving import (
    Program,
    Setup,
    SupportContact,
    client_well_known_document,
    plan_setup,
    support_well_known_document,
)
from matrix_resolve.testing import LoopbackFederation

NAME = "example.org"
LONG = ".".join(["a" * 60] * 4)
SUPPORT = support_well_known_document([SupportContact(email_address="admin@example.org")])
# What signatures cover, and proxies like to tidy up.
PATH = "/_matrix/federation/v1/send/%21a%2Fb%3A//c/%7E./x?y=%40a:b%2f&z=[1]+2"
# What some configuration or other takes for more than text.
HOSTILE = [
    "$host ${HOME} %{HTTP_HOST} %[src] {host} {http.request.host} {$HOME} {env.HOME}",
    "' \" ` \\ \\' \\n # ; { } < > ( ) \t\r\n\0 \x7f",
    "żółw 🐢 \u202e",
]


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Stand behind the web server: tell what comes in, until the connection ends."""
    with suppress(asyncio.IncompleteReadError, ConnectionError):
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            pairs = (line.partition(": ") for line in head)
            headers = {name.lower(): value for name, _, value in pairs}
            body = await reader.readexactly(int(headers.get("content-length", 0)))
            told = {"line": head[0], "headers": headers, "length": len(body)}
            content = json.dumps(told).encode()
            writer.write(
                b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
                b"Content-Length: %d\r\n\r\n%b" % (len(content), content)
            )
            await writer.drain()
    writer.close()


@asynccontextmanager
async def running_homeserver(ssl_context: ssl.SSLContext | None = None) -> AsyncIterator[str]:
    """Run a homeserver on loopback, and give its port."""
    server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=ssl_context)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            if getattr(task.get_coro(), "__name__", "") == answer.__name__:
                task.cancel()
                await asyncio.wait([task])


@pytest.fixture
async def homeserver() -> AsyncIterator[str]:
    """The URL of a homeserver."""
    async with running_homeserver() as port:
        yield f"http://127.0.0.1:{port}"


@pytest.fixture(params=list(EXECUTABLES))
def program(request: pytest.FixtureRequest) -> Program:
    """Each web server in turn."""
    chosen: Program = request.param
    return chosen


@asynccontextmanager
async def published(
    program: Program,
    directory: Path,
    federation: LoopbackFederation,
    setup: Setup,
    homeserver_ca: bytes | None = None,
) -> AsyncIterator[tuple[SiteServer, Resolver, FederationClient]]:
    """Run the web server, and give what reaches it under its names."""
    with running_site(program, directory, setup, homeserver_ca) as site:
        there = {}
        for host in setup.hosts:
            for port in host.ports:
                there[host.bare_host, port] = site.at[port]
            if ServerName.parse(host.host).ip_address is None:
                federation.add(host.host)
        try:
            async with reaching(federation, there, site.ca_pem) as (resolver, client):
                yield site, resolver, client
        except BaseException:
            print(site.told())
            raise


@pytest.mark.parametrize(
    ("server_name", "delegate_to", "step", "port"),
    [
        pytest.param(NAME, None, "3.2", 443, id="itself"),
        pytest.param(NAME, "hs.example.org:443", "3.2", 443, id="another host"),
        pytest.param(NAME, "hs.example.org:8448", "3.2", 8448, id="another host and port"),
        pytest.param(NAME, "hs.example.org", "3.5", 8448, id="another host, no port"),
        pytest.param(NAME, "[::1]", "3.1", 8448, id="to IPv6"),
        pytest.param("Example.ORG", "HS.example.org:8448", "3.2", 8448, id="letter case"),
        pytest.param(f"{NAME}:8448", None, "2", 8448, id="a port of its own"),
        pytest.param("[::1]", None, "1", 8448, id="IPv6"),
        pytest.param("127.0.0.1:8448", None, "1", 8448, id="IPv4 with a port"),
        pytest.param("a--b.xn--w-uga1v8h.example", None, "3.2", 443, id="hyphens"),
        pytest.param(LONG, None, "3.2", 443, id="the longest labels"),
    ],
)
@pytest.mark.filterwarnings("ignore:Sending a large body")
async def test_peers_reach_the_homeserver(
    tmp_path: Path,
    loopback_federation: LoopbackFederation,
    homeserver: str,
    program: Program,
    server_name: str,
    delegate_to: str | None,
    step: str,
    port: int,
) -> None:
    """A resolver reads the document, and a large request arrives as it was sent."""
    if program is Program.CADDY and "[" in f"{server_name}{delegate_to}":
        pytest.skip("Caddy takes the certificate of its own address, which is another here")
    setup = plan_setup(server_name, delegate_to, homeserver=homeserver)
    async with published(program, tmp_path, loopback_federation, setup) as (_, resolver, client):
        resolution = await resolver.resolve(server_name)
        assert resolution.step is Step(step)
        assert [target.port for target in resolution.targets] == [port]
        body = b"x" * 10_000_000
        async with client.request("PUT", server_name, PATH, data=body) as response:
            assert response.status == 200
            seen = await response.json()
    assert seen["line"] == f"PUT {PATH} HTTP/1.1"
    assert seen["length"] == len(body)
    assert seen["headers"]["host"] == resolution.host_header
    assert seen["headers"]["x-forwarded-for"] == "127.0.0.1"
    assert seen["headers"]["x-forwarded-proto"] == "https"


async def test_documents_are_served_as_they_are(
    tmp_path: Path, loopback_federation: LoopbackFederation, program: Program
) -> None:
    """Each has the content, the type, the lifetime and the CORS headers of the document, once."""
    setup = plan_setup(NAME, "hs.example.org:443", support=SUPPORT)
    async with published(program, tmp_path, loopback_federation, setup) as (_, _, client):
        for document in setup.documents:
            for method in ("GET", "HEAD"):
                async with client.request(method, f"{NAME}:443", document.path) as response:
                    assert response.status == 200
                    for name, value in document.headers:
                        assert response.headers.getall(name) == [value]
                    assert await response.read() == (document.body if method == "GET" else b"")
            async with client.request("OPTIONS", f"{NAME}:443", document.path) as response:
                assert response.status in (200, 204)
                for name, value in document.cors:
                    assert response.headers.getall(name) == [value]
        async with client.request("GET", f"{NAME}:443", "/.well-known/matrix/x") as response:
            assert response.status != 200 or not await response.read()  # Caddy: an empty 200


async def test_whatever_stands_in_a_document(
    tmp_path: Path, loopback_federation: LoopbackFederation, program: Program
) -> None:
    """Text that is special in one of the configurations is only text."""
    extra: dict[str, Any] = {text: {text: HOSTILE} for text in HOSTILE}
    document = client_well_known_document("https://example.org", extra)
    setup = attrs.evolve(plan_setup(NAME), documents=(document,))
    async with (
        published(program, tmp_path, loopback_federation, setup) as (_, _, client),
        client.request("GET", f"{NAME}:443", document.path) as response,
    ):
        assert response.status == 200
        assert await response.json() == json.loads(document.body)


@pytest.mark.parametrize(
    ("certificate_for", "is_trusted", "answers"),
    [
        pytest.param("localhost", True, True, id="good"),
        pytest.param("localhost", False, False, id="of a stranger"),
        pytest.param("other.example", True, False, id="for another name"),
    ],
)
async def test_a_homeserver_with_tls(
    tmp_path: Path,
    loopback_federation: LoopbackFederation,
    program: Program,
    certificate_for: str,
    is_trusted: bool,
    answers: bool,
) -> None:
    """Its certificate is verified, and must be for the name that it is reached by."""
    authority = trustme.CA()
    issuer = authority if is_trusted else trustme.CA()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    issuer.issue_cert(certificate_for).configure_cert(context)
    async with running_homeserver(context) as port:
        setup = plan_setup(NAME, homeserver=f"https://localhost:{port}")
        ca_pem = authority.cert_pem.bytes()
        async with (
            published(program, tmp_path, loopback_federation, setup, ca_pem) as (_, _, client),
            client.request("GET", NAME, PATH) as response,
        ):
            assert (response.status == 200) == answers
            if answers:
                seen = await response.json()
                assert seen["line"] == f"GET {PATH} HTTP/1.1"
                host = f"localhost:{port}" if program is Program.APACHE else f"{NAME}:443"
                assert seen["headers"]["host"] == host
            else:
                assert response.status >= 500
