"""What a federation client takes, sends and blames nobody else for."""

import asyncio
import errno
import gzip
import os
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from floods import Flood
from houses import CERTIFICATES, NAME, House, on_linux
from worlds import HANGS, World

from matrix_resolve import (
    AddressPolicy,
    ConnectError,
    FederationClient,
    Resolution,
    ResponseTooLargeError,
    open_federation_client,
)
from matrix_resolve.federation.response import FederationResponse
from matrix_resolve.testing import (
    Certificate,
    DnsFault,
    Dripping,
    Endless,
    LoopbackFederation,
    Raw,
    Refused,
    Reply,
    Request,
    Silent,
    Slow,
)
from matrix_resolve.transport.connections import Socket

AT = f"{NAME}:8450"


@asynccontextmanager
async def client_of(
    federation: LoopbackFederation, **settings: Any
) -> AsyncIterator[FederationClient]:
    """Open a client of the federation with a resolver of its own."""
    async with (
        asyncio.timeout(HANGS),
        federation.resolver() as resolver,
        federation.client(resolver, **settings) as client,
    ):
        yield client


async def got(client: FederationClient, name: str = AT, **settings: Any) -> bytes:
    """The body of a response."""
    async with client.request("GET", name, "/x", **settings) as response:
        return await response.read()


# What is taken


@pytest.mark.parametrize("reading", ["read", "text", "json"])
@pytest.mark.parametrize(
    "body",
    [
        Endless(b'"' + b" " * 9999),
        Reply(body=b"x" * 5_000_000),
        Flood(b"HTTP/1.1 200 OK\r\n\r\n", b"x" * 4096),
    ],
    ids=["chunks", "Content-Length", "until it closes"],
)
async def test_too_long_a_body(
    loopback_federation: LoopbackFederation, body: Any, reading: str
) -> None:
    """What would be read at once has a limit; the connection is not used again."""
    loopback_federation.add(NAME, serves=body)
    async with client_of(loopback_federation, max_body=100_000) as client:
        for _ in range(2):
            async with client.request("GET", AT, "/") as response:
                with pytest.raises(ResponseTooLargeError, match="over 100000 bytes"):
                    await getattr(response, reading)()
    assert loopback_federation.connections[NAME, 8450] == 2


async def test_a_compressed_body(loopback_federation: LoopbackFederation) -> None:
    """The limit is for what comes out of compression."""
    zeros = gzip.compress(b"0" * 10_000_000)
    loopback_federation.add(NAME, serves=Reply(200, [("Content-Encoding", "gzip")], zeros))
    async with client_of(loopback_federation, max_body=100_000) as client:
        with pytest.raises(ResponseTooLargeError):
            await got(client)


async def test_as_long_as_allowed(loopback_federation: LoopbackFederation) -> None:
    """A body of exactly the limit is read, more than once; the stream has no limit."""
    loopback_federation.add(NAME, serves=b"[" + b" " * 99_998 + b"]")
    async with (
        client_of(loopback_federation, max_body=100_000) as client,
        client.request("GET", AT, "/") as response,
    ):
        assert len(await response.read()) == 100_000
        assert await response.json(content_type=None) == []
        assert len(await response.text()) == 100_000
    async with (
        client_of(loopback_federation, max_body=10) as client,
        client.request("GET", AT, "/") as response,
    ):
        pieces = [piece async for piece in response.content.iter_any()]
    assert sum(map(len, pieces)) == 100_000


@pytest.mark.parametrize(
    "headers",
    [[("X", "x" * 9000)], [("X", "x" * 60_000)], [(f"X-{n}", "x") for n in range(150)]],
    ids=["long line", "longest line", "many lines"],
)
async def test_large_headers(
    loopback_federation: LoopbackFederation, headers: list[tuple[str, str]]
) -> None:
    """Header lines may be long or many, up to 64 KiB in all."""
    loopback_federation.add(NAME, serves=Reply(200, headers, b"ok"))
    async with client_of(loopback_federation) as client:
        assert await got(client) == b"ok"


@pytest.mark.parametrize(
    "says",
    [
        Reply(200, [(f"X-{n}", "x" * 1000) for n in range(70)], b"ok"),
        Flood(b"HTTP/1.1 200 OK\r\n", b"a: b\r\n" * 1000),
        Flood(b"", b"HTTP/1.1 100 C\r\n\r\n" * 1000),
    ],
    ids=["70 kB of headers", "endless headers", "endless interim responses"],
)
async def test_too_much_before_the_body(loopback_federation: LoopbackFederation, says: Any) -> None:
    """What comes before the body has a limit."""
    loopback_federation.add(NAME, serves=says)
    async with client_of(loopback_federation) as client:
        with pytest.raises(aiohttp.ClientError):
            await got(client)


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_what_arrives_while_idle(
    loopback_federation: LoopbackFederation, method: str
) -> None:
    """A response that nobody asked for ends its connection, and is nobody's answer."""

    class Twice:
        async def write(self, stream: asyncio.StreamWriter, /) -> bool:
            await Reply(200, body=b"asked for").write(stream)
            await asyncio.sleep(0.05)
            return await Reply(200, body=b"not asked for").write(stream)

    loopback_federation.add(NAME, serves=lambda request: Twice())
    async with client_of(loopback_federation) as client:
        for _ in range(3):
            async with client.request(method, AT, "/") as response:
                assert await response.read() == b"asked for"
            await asyncio.sleep(0.1)
    assert loopback_federation.connections[NAME, 8450] == 3


# What is kept open


class Deaf:
    """Answers, and pays no heed to what the request says of the connection."""

    async def write(self, stream: asyncio.StreamWriter, /) -> bool:
        """Answer until the client hangs up."""
        await Reply(200, body=b"{}").write(stream)
        reader = stream.transport.get_protocol()._stream_reader  # type: ignore[attr-defined]
        while await reader.readuntil(b"\r\n\r\n"):
            await Reply(200, body=b"{}").write(stream)
        return False


@pytest.mark.parametrize("at_once", [True, False], ids=["at once", "one after another"])
async def test_connections_are_bounded(
    loopback_federation: LoopbackFederation, at_once: bool
) -> None:
    """Whatever the peers do, so many sockets are open at most, counted as they are opened."""
    names = [f"h{n}.example" for n in range(60)]
    for name in names:
        loopback_federation.add(name, serves=lambda request: Deaf())
    most = 0
    async with client_of(loopback_federation, max_connections=5) as client:
        connections = client._dialler.connections

        async def ask(name: str) -> None:
            nonlocal most
            assert await got(client, f"{name}:1") == b"{}"
            most = max(most, len(connections))

        if at_once:
            await asyncio.gather(*map(ask, names))
        else:
            for name in names:
                await ask(name)
    assert most == 5
    assert len(connections) == 0


@pytest.mark.parametrize("value", ["close", "Close", "keep-alive, close"])
async def test_connection_close(loopback_federation: LoopbackFederation, value: str) -> None:
    """A connection on which that was sent is not used again (RFC 9112, 9.6)."""
    loopback_federation.add(NAME, serves=lambda request: Deaf())
    async with client_of(loopback_federation) as client:
        for _ in range(3):
            assert await got(client, headers={"Connection": value}) == b"{}"
    assert loopback_federation.connections[NAME, 8450] == 3


async def test_requests_to_one_server_are_bounded(
    loopback_federation: LoopbackFederation,
) -> None:
    """A server that takes its time has so many requests under way, and holds up no other."""
    now = most = 0

    async def count(request: Request) -> Any:
        nonlocal now, most
        now += 1
        most = max(most, now)
        await asyncio.sleep(0.01)
        now -= 1
        return {}

    loopback_federation.add(NAME, serves=count)
    loopback_federation.add("other.example")
    async with client_of(
        loopback_federation, max_connections=4, max_connections_per_server=2
    ) as client:
        many = asyncio.gather(*(got(client, name) for name in [AT, AT.upper()] * 10))
        await asyncio.sleep(0)
        await got(client, "other.example:1")
        assert not many.done()
        await many
    assert most == 2
    assert loopback_federation.connections[NAME, 8450] == 2


async def test_kept_for_a_while(loopback_federation: LoopbackFederation) -> None:
    """A connection is kept for `keepalive_timeout` seconds."""
    loopback_federation.add(NAME)
    for seconds, opened in ((60, 1), (0.01, 2)):
        loopback_federation.connections.clear()
        async with client_of(loopback_federation, keepalive_timeout=seconds) as client:
            await got(client)
            await asyncio.sleep(0.05)
            await got(client)
        assert loopback_federation.connections[NAME, 8450] == opened


LIMITS = ["connect_timeout", "max_connections", "max_connections_per_server", "max_body"]


@pytest.mark.parametrize("name", LIMITS)
@pytest.mark.parametrize("value", [0, -1, float("nan")])
async def test_limits_that_are_none(name: str, value: float) -> None:
    """What can't be a limit is refused when the client is opened."""
    async with World().resolver() as resolver:
        settings: dict[str, Any] = {name: value}
        with pytest.raises(ValueError, match="limit"):
            open_federation_client(resolver, **settings)


# What is sent


@pytest.mark.parametrize(
    ("method", "settings", "error"),
    [
        ("GET", {"headers": {"Host ": "evil"}}, ValueError),
        ("GET", {"headers": {"": "x"}}, ValueError),
        ("GET", {"headers": {"X:": "x"}}, ValueError),
        ("GET", {"headers": {"X": "a\r\nHost: evil"}}, ValueError),
        ("GET", {"headers": {"X": "a\0"}}, ValueError),
        ("GET", {"headers": {"hOST": "evil"}}, TypeError),
        ("", {}, ValueError),
        ("CONNECT", {}, ValueError),
        ("connect", {}, ValueError),
        ("GET /y HTTP/1.1\r\nX:", {}, ValueError),
        ("GET ", {}, ValueError),
        ("GÉT", {}, ValueError),
        ("GET", {"timeout": float("nan")}, ValueError),
        ("GET", {"timeout": -1}, ValueError),
        ("GET", {"timeout": aiohttp.ClientTimeout(sock_read=-1)}, ValueError),
        ("GET", {"proxy_headers": {"X": "x"}}, TypeError),
    ],
)
async def test_what_cannot_be_sent(
    loopback_federation: LoopbackFederation,
    method: str,
    settings: dict[str, Any],
    error: type[Exception],
) -> None:
    """What would be another request than was meant is refused before anything is asked."""
    loopback_federation.add(NAME)
    async with client_of(loopback_federation) as client:
        with pytest.raises(error):
            async with client.request(method, AT, "/", **settings):
                pass
    assert not loopback_federation.requests


@pytest.mark.parametrize(
    "given", [float("inf"), 0, None, aiohttp.ClientTimeout(total=float("inf"), connect=0)]
)
async def test_no_limit(loopback_federation: LoopbackFederation, given: Any) -> None:
    """Without a limit a request takes the time it takes."""
    loopback_federation.add(NAME, serves=b"ok")
    async with client_of(loopback_federation) as client:
        assert await got(client, timeout=given) == b"ok"


# Whose trouble it is


@asynccontextmanager
async def reporting(
    federation: LoopbackFederation, **settings: Any
) -> AsyncIterator[tuple[FederationClient, list[Resolution]]]:
    """Open a client, and list what it reports as unreachable."""
    reported: list[Resolution] = []
    async with (
        asyncio.timeout(HANGS),
        federation.resolver() as resolver,
        federation.client(resolver, **settings) as client,
    ):
        report = resolver.report_unreachable

        async def noted(resolution: Resolution) -> None:
            reported.append(resolution)
            await report(resolution)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(resolver, "report_unreachable", noted)
            yield client, reported


OWN = ["EMFILE", "ENFILE", "ENOBUFS", "ENOMEM", "ENETDOWN", "ENETUNREACH"]
OWN += ["EADDRNOTAVAIL", "EACCES", "EPERM"]


@pytest.mark.parametrize("number", OWN)
async def test_own_trouble(
    loopback_federation: LoopbackFederation, monkeypatch: pytest.MonkeyPatch, number: str
) -> None:
    """What we lack is told as that, reported to nobody, and over when it is over."""
    loopback_federation.add(NAME, srv=[("a.example", 1), ("b.example", 2)], serves=b"ok")
    loopback_federation.add("a.example", serves=b"ok")
    loopback_federation.add("b.example", serves=b"ok")
    async with reporting(loopback_federation) as (client, reported):
        assert await got(client, NAME) == b"ok"
        client._dialler.connections.give_up_idle()
        await asyncio.sleep(0.01)

        def fail(*_: object) -> None:
            raise OSError(getattr(errno, number), os.strerror(getattr(errno, number)))

        with monkeypatch.context() as patch:
            patch.setattr(Socket, "__init__", fail)
            with pytest.raises(ConnectError, match="trouble of our own") as caught:
                await got(client, NAME)
            assert os.strerror(getattr(errno, number)) in str(caught.value)
        assert await got(client, NAME) == b"ok"
    assert not reported


async def test_own_dns_is_down(loopback_federation: LoopbackFederation) -> None:
    """That addresses could not be looked up is told, and blames nobody."""
    loopback_federation.add(NAME, dns=DnsFault.SERVFAIL, serves=b"ok")
    async with reporting(loopback_federation) as (client, reported):
        for _ in range(2):
            with pytest.raises(ConnectError, match="could not be tried: ") as caught:
                await got(client)
            assert f"the addresses of {NAME} could not be looked up: " in str(caught.value)
            assert "our own" not in str(caught.value)  # it may be the fault of the server's zone
    assert not reported


async def test_no_addresses_are_the_other_sides(loopback_federation: LoopbackFederation) -> None:
    """That there are no addresses is an answer."""
    loopback_federation.add(NAME, addresses=[])
    async with reporting(loopback_federation) as (client, reported):
        with pytest.raises(ConnectError, match="no addresses exist"):
            await got(client)
    assert len(reported) == 1


# Servers that are dead


@pytest.mark.parametrize(
    "door", [Silent(), Refused(), Raw(b"", tls=False)], ids=["silent", "refuses", "closes"]
)
@on_linux
async def test_a_dead_server_is_not_dialled_again(
    door: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is dialled once; for a moment others get the same error, and then it is tried again."""
    house = House({"127.0.0.2": door})
    world = World()
    world.addresses.answers[NAME] = ["127.0.0.2"]
    name = f"{NAME}:{house.port}"
    try:
        async with (
            asyncio.timeout(HANGS),
            world.resolver(address_policy=AddressPolicy.allow_all()) as resolver,
            open_federation_client(
                resolver, ssl_context=CERTIFICATES.client_context(), connect_timeout=0.2
            ) as client,
        ):
            errors = []
            for _ in range(4):
                with pytest.raises(ConnectError) as caught:
                    await got(client, name)
                errors.append(caught.value)
            once = list(house.entered)
            monkeypatch.setattr("matrix_resolve.federation.unreachable._DEAD_FOR", -1)
            client._unreachable = type(client._unreachable)()
            for _ in range(2):
                with pytest.raises(ConnectError):
                    await got(client, name)
    finally:
        await house.aclose()
    assert len({str(error) for error in errors}) == 1
    assert len({id(error) for error in errors}) == 4
    assert errors[-1].attempts == errors[0].attempts
    assert house.entered == once * 3
    assert len(once) <= 1


# Time-outs in words


@pytest.mark.parametrize(
    ("declared", "told"),
    [
        ({"serves": Silent()}, rf"{NAME}:8450: no connection to {NAME}:8450 after [\d.]+ s"),
        ({"serves": Slow(60)}, rf"{NAME}:8450: no response from {NAME}:8450 after [\d.]+ s"),
        ({"serves": Dripping(b"x" * 999)}, rf"{NAME}:8450: no rest of the response after [\d.]+ s"),
    ],
)
async def test_a_time_out_in_words(
    loopback_federation: LoopbackFederation, declared: dict[str, Any], told: str
) -> None:
    """It says which server, in which phase, and after how many seconds."""
    loopback_federation.add(NAME, **declared)
    async with client_of(loopback_federation) as client:
        for timeout in (1, aiohttp.ClientTimeout(total=1)):
            with pytest.raises(TimeoutError, match=told):
                await got(client, timeout=timeout)


@pytest.mark.parametrize("by", ["read", "readany", "iter_chunked", "read_nowait"])
async def test_a_time_out_of_the_stream_in_words(
    loopback_federation: LoopbackFederation, by: str
) -> None:
    """Who reads the stream is told the same; aiohttp's own error has no text."""
    loopback_federation.add(NAME, serves=Dripping(b"x" * 999))
    async with (
        client_of(loopback_federation) as client,
        client.request("GET", f"{NAME}:8450", "/", timeout=1) as response,
    ):

        async def read() -> None:
            while True:
                if by == "iter_chunked":
                    async for _ in response.content.iter_chunked(10):
                        pass
                elif by == "read_nowait":
                    response.content.read_nowait()
                    await asyncio.sleep(0.1)
                else:
                    await (response.content.read(9) if by == "read" else response.content.readany())

        with pytest.raises(
            TimeoutError, match=rf"^{NAME}:8450: no rest of the response after [\d.]+ s"
        ):
            await read()


@pytest.mark.parametrize("size", [9, 300_000], ids=["with the head", "after it"])
async def test_a_body_that_came_in_time(loopback_federation: LoopbackFederation, size: int) -> None:
    """It may be read when the time of the request is over."""
    loopback_federation.add(NAME, serves=b"x" * size)
    async with (
        client_of(loopback_federation) as client,
        client.request("GET", AT, "/", timeout=HANGS) as response,
    ):
        while not response.content.is_eof():  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        assert isinstance(response, FederationResponse)
        response._outgoing.ends_at = 0
        assert response._outgoing.is_late()
        assert len(await response.read()) == size


async def test_no_timer_stays_when_nobody_waits(loopback_federation: LoopbackFederation) -> None:
    """The time of a request is watched where somebody waits, and by no timer of aiohttp's."""
    loopback_federation.add(NAME, serves=Dripping(b"x" * 9, 0.01))
    before = asyncio.get_running_loop().time()
    async with (
        client_of(loopback_federation) as client,
        client.request("GET", AT, "/", timeout=10 * HANGS) as response,
    ):
        assert len(await response.read()) == 9
        scheduled: Any = asyncio.get_running_loop()
        timers = [timer for timer in scheduled._scheduled if not timer.cancelled()]
        assert not [timer for timer in timers if timer.when() > before + 9 * HANGS]


async def test_a_body_that_comes_too_late(loopback_federation: LoopbackFederation) -> None:
    """It is not read, though nobody waited for it when the time was over."""
    loopback_federation.add(NAME, serves=Dripping(b"x" * 20, 0.01))
    async with (
        client_of(loopback_federation) as client,
        client.request("GET", AT, "/", timeout=HANGS) as response,
    ):
        assert isinstance(response, FederationResponse)
        response._outgoing.ends_at = 0
        while not response.content.is_eof():  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        with pytest.raises(TimeoutError, match="no rest of the response"):
            await response.read()


async def test_time_outs_of_other_phases(loopback_federation: LoopbackFederation) -> None:
    """Finding a server, and waiting for a turn, are phases too; errors keep their type."""
    loopback_federation.add(NAME, well_known=Silent())
    loopback_federation.add("slow.example", serves=Slow(60))
    async with client_of(loopback_federation, max_connections=1) as client:
        with pytest.raises(TimeoutError, match=f"{NAME}: no answer to where it is after \\d"):
            await got(client, NAME, timeout=0.1)
        with pytest.raises(aiohttp.SocketTimeoutError, match=r"slow.example:1: no response from"):
            await got(client, "slow.example:1", timeout=aiohttp.ClientTimeout(sock_read=0.5))
        loopback_federation.add("good.example")
        async with client.request("GET", "good.example:1", "/"):
            with pytest.raises(TimeoutError, match=r"no turn to be sent after \d"):
                await got(client, "slow.example:1", timeout=0.1)


# The environment


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    """An environment without proxies, and with a password for everybody."""
    for variable in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(variable, raising=False)
        monkeypatch.delenv(variable.upper(), raising=False)
    (tmp_path / ".netrc").write_text("default login somebody password secret\n")
    (tmp_path / ".netrc").chmod(0o600)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    return monkeypatch


async def test_only_the_proxy_is_the_environments(
    loopback_federation: LoopbackFederation, environment: pytest.MonkeyPatch
) -> None:
    """No password comes from there."""
    loopback_federation.add(NAME)
    async with client_of(loopback_federation, trust_env=True) as client:
        await got(client)
    names = {name.lower() for name, _ in loopback_federation.requests[-1].headers}
    assert "authorization" not in names


class Proxy:
    """A proxy on 127.0.0.1 that reaches the federation, spoken to in TLS or not."""

    def __init__(self, federation: LoopbackFederation) -> None:
        self.heads: list[str] = []
        self._federation = federation

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Connect one client."""
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            self.heads.append(head)
            host, port = head.split(" ")[1].rsplit(":", 1)
            there = await asyncio.open_connection(*self._federation.connect_to[host, int(port)])
            writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
            await asyncio.gather(self._copy(reader, there[1]), self._copy(there[0], writer))
        except (OSError, EOFError):
            pass
        finally:
            writer.close()

    async def _copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            writer.write(data)
        writer.close()


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_a_proxy(
    loopback_federation: LoopbackFederation, environment: pytest.MonkeyPatch, scheme: str
) -> None:
    """A proxy may be one that TLS is spoken to, and have a password; large bodies come through."""
    loopback_federation.add(NAME, serves=b"x" * 1_000_000)
    proxy = Proxy(loopback_federation)
    context: ssl.SSLContext | None = None
    trusts = loopback_federation.client_ssl_context()
    if scheme == "https":
        context = CERTIFICATES.server_context("localhost", Certificate.VALID)
        trusts.load_verify_locations(cadata=CERTIFICATES.ca_pem.decode())
    serving: set[asyncio.Task[None]] = set()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        serving.add(asyncio.ensure_future(proxy.serve(reader, writer)))

    async with await asyncio.start_server(accept, "127.0.0.1", 0, ssl=context) as server:
        port = server.sockets[0].getsockname()[1]
        environment.setenv("https_proxy", f"{scheme}://me:p%40ss@localhost:{port}")
        async with client_of(loopback_federation, trust_env=True, ssl_context=trusts) as client:
            for _ in range(3):
                assert len(await got(client)) == 1_000_000
    for task in serving:
        task.cancel()
    await asyncio.wait(serving)
    (head,) = proxy.heads
    assert head.startswith(f"CONNECT {AT} HTTP/1.1")
    assert "Proxy-Authorization: Basic bWU6cEBzcw==" in head
    sent = loopback_federation.requests[-1]
    assert sent.host == AT
    assert "proxy-authorization" not in {name.lower() for name, _ in sent.headers}


@pytest.mark.parametrize("named", ["socks5://localhost:9", "localhost:9", "https://"])
async def test_a_proxy_that_cannot_be_used(environment: pytest.MonkeyPatch, named: str) -> None:
    """Rather than being passed by, it is an error."""
    environment.setenv("https_proxy", named)
    async with World().resolver() as resolver:
        with pytest.raises(ValueError, match="https_proxy"):
            open_federation_client(resolver, trust_env=True)


@on_linux
@pytest.mark.parametrize("trust_env", [False, True])
@pytest.mark.parametrize("name", ["xn--a.test", "xn--0.test", "ab--cd.test", "-lead.test"])
async def test_names_that_idna_refuses(
    environment: pytest.MonkeyPatch, trust_env: bool, name: str
) -> None:
    """Names that are no IDNA are names of servers all the same, and no bare `UnicodeError`."""
    house = House({"127.0.0.2": Certificate.VALID})
    world = World()
    world.addresses.answers[name] = ["127.0.0.2"]
    try:
        async with (
            asyncio.timeout(HANGS),
            world.resolver(address_policy=AddressPolicy.allow_all()) as resolver,
            open_federation_client(
                resolver, ssl_context=CERTIFICATES.client_context(), trust_env=trust_env
            ) as client,
        ):
            with pytest.raises(ConnectError, match=f"{name}:.*"):
                await got(client, f"{name}:{house.port}")
    finally:
        await house.aclose()
    assert house.entered


async def _answers(status: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(f"HTTP/1.1 {status} no\r\nContent-Length: 0\r\n\r\n".encode())
    await writer.drain()
    writer.close()


@pytest.mark.parametrize(
    ("proxy", "is_own", "told"),
    [
        ("closed", True, "the proxy: .*refused|the proxy: .*Connect call failed"),
        ("unknown", True, "the proxy: "),
        (407, True, "the proxy answered 407 no"),
        (502, False, "the proxy answered 502 no"),
    ],
)
async def test_a_proxy_that_fails(
    loopback_federation: LoopbackFederation,
    environment: pytest.MonkeyPatch,
    proxy: str | int,
    is_own: bool,
    told: str,
) -> None:
    """What fails at the proxy is told as that; what is our own trouble there blames no server."""
    loopback_federation.add(NAME)
    status = proxy if isinstance(proxy, int) else 0
    async with await asyncio.start_server(
        lambda reader, writer: _answers(status, reader, writer), "127.0.0.1", 0
    ) as server:
        port = server.sockets[0].getsockname()[1]
        if proxy == "closed":
            server.close()
        host = "proxy.invalid" if proxy == "unknown" else "127.0.0.1"
        environment.setenv("https_proxy", f"http://{host}:{port}")
        async with client_of(loopback_federation, trust_env=True) as client:
            with pytest.raises(ConnectError, match=told) as caught:
                await got(client)
    assert ("trouble of our own" in str(caught.value)) is is_own
    assert {attempt.address for attempt in caught.value.attempts} == {None}
