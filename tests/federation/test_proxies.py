"""What becomes of requests through a proxy that does not do what it should."""

import asyncio
import re
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from houses import CERTIFICATES, NAME, Blackhole, House, on_linux
from worlds import FED, HANGS, World

from matrix_resolve import (
    AddressPolicy,
    ConnectError,
    FederationClient,
    SrvRecord,
    open_federation_client,
)
from matrix_resolve.testing import Certificate, Silent
from matrix_resolve.transport.connections import Connections

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

FIRST, SECOND = "first.example.net", "second.example.net"


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """An environment without proxies."""
    for variable in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(variable, raising=False)
        monkeypatch.delenv(variable.upper(), raising=False)
    return monkeypatch


class Proxy:
    """A proxy on 127.0.0.1 that does what it is told to."""

    def __init__(self, serve: Serve) -> None:
        self.connections = 0
        self._serve = serve
        self._serving: set[asyncio.Task[None]] = set()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._serving.add(asyncio.create_task(self._served(reader, writer)))

    async def _served(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await self._serve(reader, writer)
        except (OSError, EOFError):
            pass
        finally:
            writer.close()

    @asynccontextmanager
    async def open(self, tls: Any = None) -> AsyncIterator[int]:
        """Run it; give its port."""
        async with await asyncio.start_server(self._accept, "127.0.0.1", 0, ssl=tls) as server:
            yield server.sockets[0].getsockname()[1]
        for task in self._serving:
            task.cancel()
        if self._serving:
            await asyncio.wait(self._serving)


@asynccontextmanager
async def client(
    environment: pytest.MonkeyPatch, proxy: str, **settings: Any
) -> AsyncIterator[tuple[FederationClient, list[Any]]]:
    """Open a client of a server with two targets, and list what it reports unreachable."""
    environment.setenv("https_proxy", proxy)
    world = World()
    world.srv.answers[FED + NAME] = [SrvRecord(1, 0, 8450, FIRST), SrvRecord(2, 0, 8451, SECOND)]
    reported: list[Any] = []
    async with (
        asyncio.timeout(HANGS),
        world.resolver(address_policy=AddressPolicy.allow_all()) as resolver,
        open_federation_client(
            resolver, ssl_context=CERTIFICATES.client_context(), trust_env=True, **settings
        ) as opened,
    ):
        report = resolver.report_unreachable

        async def reporting(resolution: Any) -> None:
            reported.append(resolution)
            await report(resolution)

        resolver.report_unreachable = reporting  # type: ignore[method-assign]
        yield opened, reported


async def failed(opened: FederationClient, name: str = NAME, **settings: Any) -> ConnectError:
    """Send a request that reaches nobody."""
    with pytest.raises(ConnectError) as caught:
        async with opened.request("GET", name, "/", **settings):
            pass
    return caught.value


def says(answer: bytes) -> Serve:
    """Answer so, and hang up."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        await writer.drain()

    return serve


async def hangs_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Read nothing."""


async def is_mute(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Read, and answer nothing."""
    await reader.read(-1)


# What it does, whether that is our own trouble, what is told of it
ANSWERS = {
    "closes": (says(b""), True, "the proxy: Server disconnected"),
    "closes at once": (hangs_up, True, "the proxy: "),
    "no HTTP": (says(b"SSH-2.0-OpenSSH_9\r\n\r\n"), True, "the proxy: Bad status line"),
    "a head cut short": (says(b"HTTP/1.1 200 O"), True, "the proxy: Server disconnected"),
    "too much": (
        says(b"HTTP/1.1 200 OK\r\nA: " + 100_000 * b"x" + b"\r\n\r\n"),
        True,
        "the proxy: Got more than",
    ),
    "another password": (says(b"HTTP/1.1 407 no\r\n\r\n"), True, "the proxy answered 407 no"),
    "no connection": (says(b"HTTP/1.1 504 no\r\n\r\n"), False, "the proxy answered 504 no"),
    "no content": (says(b"HTTP/1.1 204 no\r\n\r\n"), False, "the proxy answered 204 no"),
    "a redirect": (
        says(b"HTTP/1.1 302 no\r\nLocation: /\r\n\r\n"),
        False,
        "the proxy answered 302",
    ),
    "silence": (is_mute, False, "the proxy: no connection within 0.3 s"),
    "a tunnel to nowhere": (says(b"HTTP/1.1 200 OK\r\n\r\n"), False, "first.*: .*Reset"),
}


@pytest.mark.parametrize(("serve", "is_own", "told"), ANSWERS.values(), ids=ANSWERS)
async def test_what_a_proxy_answers(
    environment: pytest.MonkeyPatch, serve: Serve, is_own: bool, told: str
) -> None:
    """That there is no connection is a `ConnectError`; the server is blamed for answers only."""
    async with (
        Proxy(serve).open() as port,
        client(environment, f"http://127.0.0.1:{port}", connect_timeout=0.3) as (opened, reported),
    ):
        error = await failed(opened)
    assert re.search(told, str(error))
    assert ("trouble of our own" in str(error)) is is_own
    assert bool(reported) is not is_own
    assert {str(attempt.target) for attempt in error.attempts} == {
        f"{FIRST}:8450",
        f"{SECOND}:8451",
    }
    assert {attempt.address for attempt in error.attempts} == {None}


async def test_a_proxy_with_a_wrong_certificate(environment: pytest.MonkeyPatch) -> None:
    """That is the proxy's, not the server's."""
    tls = CERTIFICATES.server_context("other.example", Certificate.VALID)
    async with (
        Proxy(is_mute).open(tls) as port,
        client(environment, f"https://localhost:{port}") as (opened, reported),
    ):
        error = await failed(opened)
    assert "trouble of our own" in str(error)
    assert "the proxy: wrong name: " in str(error)
    assert reported == []


@on_linux
@pytest.mark.parametrize(("scheme", "door"), [("http", Blackhole()), ("https", Silent())])
async def test_a_proxy_that_is_not_reached(
    environment: pytest.MonkeyPatch, scheme: str, door: Any
) -> None:
    """It costs one target of one request its time; the others end at once."""
    dialled: list[Any] = []
    open_socket = Connections.__call__

    def dial(self: Connections, address_info: tuple[Any, ...]) -> socket.socket:
        dialled.append(address_info)
        return open_socket(self, address_info)

    environment.setattr(Connections, "__call__", dial)
    house = House({"127.0.0.2": door})
    proxy = f"{scheme}://127.0.0.2:{house.port}"
    try:
        async with client(environment, proxy, connect_timeout=0.5) as (opened, reported):
            errors = [await failed(opened, name) for name in (NAME, NAME, "b.example:1")]
    finally:
        await house.aclose()
    assert all("trouble of our own" in str(error) for error in errors)
    assert all("the proxy: no connection within 0.5 s" in str(error) for error in errors)
    assert len(dialled) == 1
    assert reported == []


@pytest.mark.parametrize("tls", [False, True])
@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 200 OK\r\n\r\n"])
async def test_closed_while_a_proxy_connects(
    environment: pytest.MonkeyPatch, tls: bool, answer: bytes
) -> None:
    """Then no connection to the proxy is left."""
    has_answered = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await says(answer)(reader, writer)
        has_answered.set()
        await is_mute(reader, writer)

    context = CERTIFICATES.server_context("localhost", Certificate.VALID) if tls else None
    async with Proxy(serve).open(context) as port:
        async with client(environment, f"http{'s' * tls}://localhost:{port}") as (opened, _):
            connections = opened._dialler.connections

            async def request() -> None:
                async with opened.request("GET", NAME, "/"):
                    pass

            requested = asyncio.create_task(request())
            await has_answered.wait()
            await asyncio.sleep(0.05)
            assert len(connections) == 1
        with pytest.raises(RuntimeError, match="the client is closed"):
            await requested
        await asyncio.sleep(0.05)
        assert len(connections) == 0


@pytest.mark.parametrize("name", ["127.0.0.2:8450", "[::1]:8450"])
async def test_to_an_ip_literal(environment: pytest.MonkeyPatch, name: str) -> None:
    """What fails at the proxy is not told of the address that it was to reach."""
    async with (
        Proxy(says(b"HTTP/1.1 407 no\r\n\r\n")).open() as port,
        client(environment, f"http://127.0.0.1:{port}") as (opened, reported),
    ):
        error = await failed(opened, name)
    assert [attempt.address for attempt in error.attempts] == [None]
    assert "trouble of our own" in str(error)
    assert reported == []


async def test_a_proxy_on_the_same_host(environment: pytest.MonkeyPatch) -> None:
    """A proxy may have the name of the server."""
    async with (
        Proxy(says(b"HTTP/1.1 503 no\r\n\r\n")).open() as port,
        client(environment, f"http://localhost:{port}") as (opened, _),
    ):
        error = await failed(opened, "localhost:8448")
    assert "the proxy answered 503 no" in str(error)
