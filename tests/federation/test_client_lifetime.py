"""A federation client holds few sockets, and leaves nothing behind however a request ends."""

import asyncio
import gc
import socket
import ssl
import threading
import tracemalloc
from collections import Counter
from contextlib import suppress
from typing import Any

import aiohttp
import pytest
from houses import CERTIFICATES, on_linux
from worlds import HANGS, World, client_of

from matrix_resolve import (
    AddressPolicy,
    ConnectError,
    FederationClient,
    MatrixResolveError,
    open_federation_client,
)
from matrix_resolve.testing import (
    Certificate,
    CutShort,
    Dripping,
    Endless,
    LoopbackFederation,
    Reply,
    Request,
    Silent,
    Slow,
)

NAME = "example.org"
TARGET = f"{NAME}:8450"


async def asked(client: FederationClient, name: str = TARGET, **kwargs: Any) -> int:
    """Send a request, read the answer, and return the status."""
    async with client.request("GET", name, "/x", **kwargs) as response:
        await response.read()
        return response.status


def served(federation: LoopbackFederation) -> int:
    """Return how many connections the servers have open."""
    return len(federation._connections._tasks)


async def settled(federation: LoopbackFederation, most: int = 0) -> int:
    """Wait until the servers have noticed what was closed; return what is open then."""
    for _ in range(500):
        if served(federation) <= most:
            break
        await asyncio.sleep(0.01)
    return served(federation)


class Busy:
    """Takes a moment for each request, and tells how many there were at once."""

    def __init__(self, federation: LoopbackFederation, seconds: float = 0.01) -> None:
        self.now = self.most = self.connected = 0
        self._federation = federation
        self._seconds = seconds

    async def __call__(self, request: Request) -> Any:
        self.now += 1
        self.most = max(self.most, self.now)
        self.connected = max(self.connected, served(self._federation))
        await asyncio.sleep(self._seconds)
        self.now -= 1
        return {}


# Bounds


async def test_requests_under_way_are_bounded(loopback_federation: LoopbackFederation) -> None:
    """At most `max_connections` requests are under way; the others wait, and are all answered."""
    busy = Busy(loopback_federation)
    for n in range(10):
        loopback_federation.add(f"h{n}.example", serves=busy)
    async with client_of(loopback_federation, max_connections=4) as client:
        answers = await asyncio.gather(*(asked(client, f"h{n % 10}.example:1") for n in range(60)))
    assert answers == [200] * 60
    assert busy.most == 4


@pytest.mark.parametrize("at_once", [True, False], ids=["at once", "one after another"])
async def test_open_sockets_are_bounded(
    loopback_federation: LoopbackFederation, at_once: bool
) -> None:
    """However many servers are asked, only so many connections are open, idle ones included."""
    busy = Busy(loopback_federation, 0.002)
    names = [f"h{n}.example:1" for n in range(100)]
    for name in names:
        loopback_federation.add(name.partition(":")[0], serves=busy)
    async with client_of(loopback_federation, max_connections=10) as client:
        if at_once:
            await asyncio.gather(*(asked(client, name) for name in names))
        else:
            for name in names:
                await asked(client, name)
        # A server may see a new connection before it sees that an old one is closed.
        assert busy.connected <= 20
        # Those that became idle while others waited were given up for them.
        assert 1 <= await settled(loopback_federation, 10) <= 10
    assert await settled(loopback_federation) == 0


async def test_the_longest_idle_is_given_up(loopback_federation: LoopbackFederation) -> None:
    """When there is no more room, the connection that was used last is kept longest."""
    names = [f"h{n}.example:1" for n in range(4)]
    for name in names:
        loopback_federation.add(name.partition(":")[0])
    async with client_of(loopback_federation, max_connections=3) as client:
        for place in (0, 1, 2, 0, 3, 0, 2, 1):  # 3 takes the room of 1, and 1 that of 3
            await asked(client, names[place])
    opened = [loopback_federation.connections[f"h{n}.example", 1] for n in range(4)]
    assert opened == [1, 2, 1, 1]


DESTINATIONS, AT_ONCE = 50, 100


async def _many(client: FederationClient, count: int) -> None:
    """Make so many requests to 50 destinations, 100 at once, of all the kinds that there are."""

    async def worker(place: int) -> None:
        name = f"h{place % DESTINATIONS}.example"
        for n in range(count // AT_ONCE):
            match (place + n) % 5:
                case 0:
                    async with client.request("GET", name, "/unread"):
                        pass
                case 1:
                    async with client.request("PUT", name, "/x", json={"n": n}) as response:
                        assert response.status == 200
                case _:
                    assert await asked(client, name) == 200

    await asyncio.gather(*map(worker, range(AT_ONCE)))


async def test_nothing_leaks(loopback_federation: LoopbackFederation) -> None:
    """A thousand requests over pooled connections leave no socket, task or memory behind."""
    for n in range(DESTINATIONS):
        loopback_federation.add(f"h{n}.example", srv=[(f"t{n}.example", 8450)])
    async with client_of(loopback_federation) as client:
        seen = []
        tracemalloc.start()
        try:
            for _ in range(2):
                await _many(client, 500)
                loopback_federation.reset_counts()
                gc.collect()
                memory, _ = tracemalloc.get_traced_memory()
                seen.append((served(loopback_federation), len(asyncio.all_tasks()), memory))
        finally:
            tracemalloc.stop()
    (sockets, tasks, memory), after = seen
    assert sockets <= AT_ONCE
    assert after[0] <= sockets
    assert after[1] <= tasks
    assert after[2] <= memory + 250_000  # 500 bytes for each request
    assert await settled(loopback_federation) == 0


async def test_failures_do_not_leak(loopback_federation: LoopbackFederation) -> None:
    """Neither do requests that fail, in whichever way, nor do they use up their turns."""
    loopback_federation.add("refuses.example", ports=[])
    loopback_federation.add("cut.example", serves=CutShort())
    loopback_federation.add("slow.example", serves=Slow(0.5))
    loopback_federation.add("silent.example", serves=Silent())
    loopback_federation.add(NAME)
    async with client_of(loopback_federation, max_connections=3, connect_timeout=0.05) as client:
        for _ in range(5):
            with pytest.raises(ConnectError):
                await asked(client, "refuses.example:1")
            with pytest.raises(ConnectError):
                await asked(client, "silent.example:1")
            with pytest.raises(aiohttp.ClientPayloadError):
                await asked(client, "cut.example:1")
            with pytest.raises(TimeoutError):
                await asked(client, "slow.example:1", timeout=0.05)
            with pytest.raises(ZeroDivisionError):
                async with client.request("GET", TARGET, "/x"):
                    raise ZeroDivisionError
            with pytest.raises(MatrixResolveError):
                await asked(client, "no..name")
            with pytest.raises(TypeError):
                await asked(client, params={})
        assert await asked(client) == 200
        assert await settled(loopback_federation, 3) <= 3


# Leaving early


BODIES = {
    "a short body": {"a": "b"},
    "a long body": b"x" * 5_000_000,
    "an endless body": Endless(),
    "a dripping body": Dripping(b"x" * 1000, 0.01),
}


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
async def test_leaving_early(loopback_federation: LoopbackFederation, body: Any) -> None:
    """A body that is not read is no trouble, and the next request is answered rightly."""
    loopback_federation.add(NAME, serves=lambda request: body if request.path == "/body" else {})
    async with client_of(loopback_federation, max_connections=1) as client:
        for _ in range(3):
            async with client.request("GET", TARGET, "/body") as response:
                assert response.status == 200
            async with client.request("GET", TARGET, "/x") as response:
                assert await response.json() == {}
        assert await settled(loopback_federation, 1) <= 1
    assert await settled(loopback_federation) == 0


async def test_a_response_is_closed_with_its_context(
    loopback_federation: LoopbackFederation,
) -> None:
    """After `async with` a body that was not read can't be."""
    loopback_federation.add(NAME, serves=Endless())
    async with client_of(loopback_federation) as client:
        async with client.request("GET", TARGET, "/x") as response:
            pass
        with pytest.raises(aiohttp.ClientConnectionError):
            await response.content.read(10)


@pytest.mark.parametrize("told", [False, True], ids=["without hooks", "with hooks"])
async def test_the_body_of_a_refusal(loopback_federation: LoopbackFederation, told: bool) -> None:
    """It can be read after `raise_for_status()` has raised: the response lasts as its context."""
    loopback_federation.add(NAME, serves=Reply(404, [], b"x" * 300_000))
    hooks = [lambda _: None] if told else []
    async with (
        asyncio.timeout(HANGS),
        loopback_federation.resolver(hooks=hooks) as resolver,
        loopback_federation.client(resolver) as client,
        client.request("GET", TARGET, "/x") as response,
    ):
        with pytest.raises(aiohttp.ClientResponseError):
            response.raise_for_status()
        assert len(await response.read()) == 300_000


class Deaf:
    """A server that answers the head of a request, and takes in no more of it.

    `ends`: it sends its farewell too, and holds the connection open.
    """

    def __init__(self, says: bytes, *, ends: bool) -> None:
        self._says = says
        self._ends = ends
        self._over = threading.Event()
        self._context = CERTIFICATES.server_context(NAME, Certificate.VALID)
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self._listening.settimeout(HANGS)  # rather than to wait for nobody
        self.port = self._listening.getsockname()[1]

    def serve(self) -> None:
        """Serve one connection until it is closed."""
        with self._listening:
            connection, _ = self._listening.accept()
        with self._context.wrap_socket(connection, server_side=True) as tls:
            head = b""
            while b"\r\n\r\n" not in head:
                head += tls.recv(1000)
            # All in one piece, so that the end is seen with the response.
            tls.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 1)
            tls.sendall(self._says)
            if self._ends:
                tls.setblocking(False)
                with suppress(ssl.SSLError):  # for what it does not take in
                    tls.unwrap()
            tls.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 0)
            self._over.wait(HANGS)

    def let_go(self) -> None:
        """Close the connection."""
        self._over.set()


@pytest.mark.parametrize(
    "deaf",
    [
        pytest.param((b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", True), id="farewell"),
        pytest.param((b"HTTP/1.1 garbage\r\n\r\n", False), id="no HTTP"),
    ],
)
@on_linux
@pytest.mark.filterwarnings("ignore:Sending a large body:ResourceWarning")
async def test_a_server_that_takes_nothing_more(
    deaf: tuple[bytes, bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A connection that closes with a body half sent is cut off, whoever began to close it."""
    monkeypatch.setattr("matrix_resolve.transport.connections._PARTING", 0.1)
    says, ends = deaf
    server = Deaf(says, ends=ends)
    world = World()
    world.addresses.answers[NAME] = ["127.0.0.1"]
    serving = asyncio.create_task(asyncio.to_thread(server.serve))
    try:
        async with (
            asyncio.timeout(HANGS),
            world.resolver(address_policy=AddressPolicy.allow_all()) as resolver,
            open_federation_client(resolver, ssl_context=CERTIFICATES.client_context()) as client,
        ):
            with suppress(aiohttp.ClientResponseError):
                async with client.request(
                    "PUT", f"{NAME}:{server.port}", "/x", data=b"x" * 20_000_000
                ) as response:
                    assert await response.read() == b"ok"
            while client._dialler.connections:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
    finally:
        server.let_go()
        await serving


# Being cancelled


@pytest.mark.parametrize("closes", [False, True], ids=["cancelled", "closed"])
async def test_ended_at_any_step(loopback_federation: LoopbackFederation, closes: bool) -> None:
    """Wherever a request is when it is cancelled, or its client is closed, nothing is left."""
    loopback_federation.add(NAME, srv=[("dead.example", 1), ("good.example", 2)])
    loopback_federation.add("dead.example", ports=[])
    ended: Counter[str] = Counter()
    async with asyncio.timeout(HANGS), loopback_federation.resolver() as resolver:
        await resolver.resolve(NAME)
        for steps in range(90):
            tasks = len(asyncio.all_tasks()) - served(loopback_federation)
            async with loopback_federation.client(resolver, max_connections=1) as client:
                request = asyncio.ensure_future(asked(client, NAME))
                for _ in range(steps):
                    await asyncio.sleep(0)
                if not closes:
                    request.cancel()
                    await asyncio.wait([request])
                    # Its turn is free again, and no half-read connection is used.
                    assert await asked(client, NAME, timeout=10) == 200
            await asyncio.wait([request])
            (end,) = await asyncio.gather(request, return_exceptions=True)
            ended[type(end).__name__] += 1
            assert await settled(loopback_federation) == 0
            # What the resolver cancelled ends in a while.
            while len(asyncio.all_tasks()) > tasks:  # noqa: ASYNC110
                await asyncio.sleep(0)
    assert ended["int"] > 0
    assert ended["RuntimeError" if closes else "CancelledError"] > 0
    known = {"int", "CancelledError"}
    if closes:
        known = {"int", "RuntimeError", "ClientConnectionError", "ServerDisconnectedError"}
    assert set(ended) <= known


async def test_closed_while_connecting(loopback_federation: LoopbackFederation) -> None:
    """A closed client has no socket open, nor has it requests that wait, be there no time limit."""
    loopback_federation.add(NAME, serves=Silent())
    async with asyncio.timeout(HANGS), loopback_federation.resolver() as resolver:
        async with loopback_federation.client(
            resolver, max_connections=1, connect_timeout=10 * HANGS, timeout=None
        ) as client:
            requests = [asyncio.ensure_future(asked(client)) for _ in range(3)]
            while not served(loopback_federation):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        for end in await asyncio.gather(*requests, return_exceptions=True):
            assert isinstance(end, RuntimeError)
            assert str(end) == "the client is closed"
        assert await settled(loopback_federation) == 0


async def test_cancelled_while_it_waits_for_its_turn(
    loopback_federation: LoopbackFederation,
) -> None:
    """Who is cancelled in the queue takes no turn from those behind."""
    busy = Busy(loopback_federation, 0.02)
    loopback_federation.add(NAME, serves=busy)
    async with client_of(loopback_federation, max_connections=1) as client:
        waiting = [asyncio.ensure_future(asked(client)) for _ in range(10)]
        await asyncio.sleep(0.01)
        for request in waiting[1::2]:
            request.cancel()
        ends = await asyncio.gather(*waiting, return_exceptions=True)
        assert [end for end in ends if end == 200] == [200] * 5
        assert await asked(client) == 200
    assert busy.most == 1


async def test_a_context_is_of_one_request(loopback_federation: LoopbackFederation) -> None:
    """It is not sent a second time."""
    loopback_federation.add(NAME)
    async with client_of(loopback_federation, max_connections=1) as client:
        context = client.request("GET", TARGET, "/x", headers={"X": "x"})
        async with context:
            with pytest.raises(RuntimeError):
                await context.__aenter__()
        with pytest.raises(RuntimeError):
            await context.__aenter__()
        assert await asked(client) == 200
    assert loopback_federation.connections[NAME, 8450] == 1


async def test_a_request_leaves_nothing_to_the_collector(
    loopback_federation: LoopbackFederation,
) -> None:
    """A request on a connection that was kept leaves no cycle behind."""
    loopback_federation.add(NAME)
    async with client_of(loopback_federation) as client:
        await asked(client)
        gc.collect()
        gc.disable()
        gc.set_debug(gc.DEBUG_SAVEALL)
        try:
            for _ in range(150):  # the loop keeps some cancelled timers, and what was set with them
                await asked(client)
            gc.collect()
            left = [type(each).__name__ for each in gc.garbage]
        finally:
            gc.set_debug(0)
            gc.garbage.clear()
            gc.enable()
    ours = {
        "TargetRequest",
        "Outgoing",
        "Dialling",
        "RequestContext",
        "FederationResponse",
        "Telling",
    }
    assert ours.isdisjoint(left)


STALLS: dict[str, tuple[str, dict[str, Any]]] = {
    "resolving": (NAME, {"well_known": Slow(0.3)}),
    "connecting": (TARGET, {"serves": Silent()}),
    "waiting for the response": (TARGET, {"serves": Slow(0.5)}),
    "reading the body": (TARGET, {"serves": Dripping(b"x" * 100_000, 0.01)}),
}


@pytest.mark.parametrize(("name", "declared"), STALLS.values(), ids=STALLS)
async def test_closing_with_requests_under_way(
    loopback_federation: LoopbackFederation, name: str, declared: dict[str, Any]
) -> None:
    """Requests that are under way when the client is closed end with an error, soon."""
    loopback_federation.add(NAME, **declared)
    async with client_of(loopback_federation, connect_timeout=0.3, max_connections=3) as client:
        requests = [asyncio.ensure_future(asked(client, name)) for _ in range(6)]
        await asyncio.sleep(0.1)
    async with asyncio.timeout(HANGS):
        ends = await asyncio.gather(*requests, return_exceptions=True)
    assert all(isinstance(end, RuntimeError | aiohttp.ClientError) for end in ends), ends
    assert await settled(loopback_federation) == 0


async def test_awaited(loopback_federation: LoopbackFederation) -> None:
    """What `await` opens is closed by `aclose()`: resolver and client, with all connections."""
    loopback_federation.add(NAME)
    resolver = await loopback_federation.resolver()
    client = await loopback_federation.client(resolver)
    assert await asked(client) == 200
    assert served(loopback_federation) == 1
    await client.aclose()
    await client.aclose()
    assert await settled(loopback_federation) == 0
    with pytest.raises(RuntimeError, match="closed"):
        await asked(client)
    assert (await resolver.resolve(TARGET)).targets[0].port == 8450  # it keeps its owner
    await resolver.aclose()


async def test_a_closed_client(loopback_federation: LoopbackFederation) -> None:
    """A client that is closed refuses, and opens nothing."""
    loopback_federation.add(NAME)
    async with client_of(loopback_federation) as client:
        await asked(client)
    loopback_federation.reset_counts()
    async with loopback_federation.resolver() as resolver:
        async with loopback_federation.client(resolver) as client:
            pass
        with pytest.raises(RuntimeError, match="closed"):
            await asked(client)
    assert not loopback_federation.connections


async def test_the_resolver_keeps_its_owner(loopback_federation: LoopbackFederation) -> None:
    """Closing a client leaves the resolver open, for other clients too."""
    loopback_federation.add(NAME)
    async with asyncio.timeout(HANGS), loopback_federation.resolver() as resolver:
        for _ in range(2):
            async with loopback_federation.client(resolver) as client:
                assert await asked(client, NAME) == 200
        assert (await resolver.resolve(NAME)).host_header == NAME
