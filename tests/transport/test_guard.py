"""TLS under guard: counted, silent while idle, and quick to part."""

import asyncio
import socket
import ssl
import weakref
from collections.abc import Callable
from typing import Any

import pytest
from houses import CERTIFICATES, GOOD, NAME
from loops import event_loops

from matrix_resolve.transport.attempts import Budget, ConnectionAttempt
from matrix_resolve.transport.guard import GuardedContext, GuardedTls, Turn


class Pair:
    """A client under guard and a server, with memory between them."""

    def __init__(self, budget: Budget, turn: Turn | None = None) -> None:
        self.attempt = ConnectionAttempt("key", (), budget)
        self.attempt.begin()
        to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
        context = GuardedContext(CERTIFICATES.client_context(), turn)
        self.client = context.wrap_bio(to_client, to_server, server_hostname=NAME)
        server = CERTIFICATES.server_context(NAME, GOOD)
        self.server = server.wrap_bio(to_server, to_client, server_side=True)
        self.to_client = to_client

    def shake_hands(self) -> None:
        """Do the handshake."""
        done = [False, False]
        while not all(done):
            for place, side in enumerate((self.client, self.server)):
                done[place] = completed(side.do_handshake)


def completed(operation: Callable[[], Any]) -> bool:
    """Whether an operation needs no more from the other side."""
    try:
        operation()
    except ssl.SSLWantReadError:
        return False
    return True


def test_what_is_received_is_counted() -> None:
    """Every byte counts: the handshake, tickets, and the response."""
    budget = Budget(100_000)
    pair = Pair(budget)
    pair.shake_hands()
    handshake = 100_000 - budget.left
    assert 500 < handshake < 5000
    pair.client.write(b"GET")
    pair.server.write(b"x" * 1000)
    left = budget.left
    assert pair.client.read(2000) == b"x" * 1000
    assert left - budget.left >= 1000


def test_a_record_is_read_in_pieces() -> None:
    """What OpenSSL holds is given, though nothing is left of what has arrived."""
    pair = Pair(Budget())
    pair.shake_hands()
    assert not completed(lambda: pair.client.read(100))
    pair.client.write(b"GET")
    pair.server.write(b"x" * 1000)
    assert [pair.client.read(400) for _ in range(3)] == [b"x" * 400, b"x" * 400, b"x" * 200]
    assert not completed(lambda: pair.client.read(400))


def test_too_much() -> None:
    """What is over the budget is an error of the connection, and is not even decrypted."""
    pair = Pair(Budget(10_000))
    pair.shake_hands()
    pair.client.write(b"GET")
    pair.server.write(b"x" * 12_000)
    with pytest.raises(OSError, match="sent too much"):
        pair.client.read(20_000)
    with pytest.raises(OSError, match="sent too much"):
        pair.client.read(20_000)


def test_too_long_a_handshake() -> None:
    """A handshake counts while it is under way."""
    pair = Pair(Budget(100))
    with pytest.raises(OSError, match="sent too much"):
        pair.shake_hands()


def test_a_budget_is_shared() -> None:
    """Several connections may have one budget, and a connection one for each request."""
    budget = Budget(100_000)
    one, other = Pair(budget), Pair(budget)
    one.shake_hands()
    after_one = budget.left
    other.shake_hands()
    assert budget.left < after_one
    another = Budget(5000)
    one.client.budget = another
    one.client.write(b"GET")
    one.server.write(b"x" * 1000)
    one.client.read(2000)
    assert another.left < 4000


def test_nothing_is_taken_while_nothing_is_asked() -> None:
    """What comes before a request, or after the response, ends the connection."""
    pair = Pair(Budget())
    pair.shake_hands()
    assert not completed(lambda: pair.client.read(100))  # session tickets are no data
    pair.client.write(b"GET")
    pair.server.write(b"response")
    assert pair.client.read(100) == b"response"
    pair.client.rest()
    pair.server.write(b"another")
    with pytest.raises(OSError, match="not asked for"):
        pair.client.read(100)
    early = Pair(Budget())
    early.shake_hands()
    early.server.write(b"response")
    with pytest.raises(OSError, match="not asked for"):
        early.client.read(100)


def test_the_end_is_no_data() -> None:
    """A server that closes an idle connection does nothing wrong."""
    pair = Pair(Budget())
    pair.shake_hands()
    completed(pair.server.unwrap)
    assert pair.client.read(100) == b""


def test_farewell_is_sent_and_not_waited_for() -> None:
    """Ours is sent, by which the server knows that nothing was cut off."""
    pair = Pair(Budget())
    pair.shake_hands()
    pair.client.unwrap()
    assert pair.server.read(100) == b""


def test_the_certificate_is_given_as_it_came() -> None:
    """No dictionary is made of it before a request: event loops would keep it, however large."""
    pair = Pair(Budget())
    pair.shake_hands()
    assert pair.client.getpeercert() == {}
    assert isinstance(pair.client.getpeercert(binary_form=True), bytes)


def test_all_else_is_as_it_was() -> None:
    """What asyncio, uvloop and people ask a connection for is there."""
    pair = Pair(Budget())
    pair.shake_hands()
    assert isinstance(pair.client, GuardedTls)
    pair.client.socket = socket.socket()
    pair.client.socket.close()
    certificate = pair.client.getpeercert()
    assert ("DNS", NAME) in certificate["subjectAltName"]
    assert pair.client.version() == "TLSv1.3"
    assert pair.client.compression() is None
    assert pair.attempt.has_tcp


class FakeTransport:
    """A transport that notes whether it is read."""

    def __init__(self) -> None:
        self.reading = True
        self.closing = False
        self.high: int | None = None

    def set_read_buffer_limits(self, high: int) -> None:
        self.high = high

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True

    def is_closing(self) -> bool:
        return self.closing


async def test_who_reads_for_long_is_followed_by_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """When a turn of the loop has been used up, connections wait for the next."""
    now = 0.0
    monkeypatch.setattr("matrix_resolve.transport.guard.perf_counter", lambda: now)
    turn = Turn()
    pairs, transports = [], []
    for _ in range(3):
        pair = Pair(Budget(), turn=turn)
        pair.shake_hands()
        transport: Any = FakeTransport()
        pair.client.asks(transport, Budget())
        pair.client.write(b"GET")
        pair.server.write(b"response")
        pairs.append(pair)
        transports.append(transport)
    assert pairs[0].client.read(100) == b"response"
    now = 0.1
    for pair in pairs[1:]:
        with pytest.raises(ssl.SSLWantReadError):
            pair.client.read(100)
    assert [transport.reading for transport in transports] == [True, False, False]
    transports[2].closing = True
    await asyncio.sleep(0)
    assert [transport.reading for transport in transports] == [True, True, False]
    assert pairs[1].client.read(100) == b"response"
    assert all(transport.high for transport in transports)


async def test_who_sends_too_much_is_the_last_to_be_read() -> None:
    """What comes of a connection that fails takes long, so others wait for the next turn."""
    turn = Turn()
    greedy, other = pairs = [Pair(Budget(), turn=turn) for _ in range(2)]
    transports: list[Any] = [FakeTransport() for _ in pairs]
    for pair, transport in zip(pairs, transports, strict=True):
        pair.shake_hands()
        pair.client.asks(transport, Budget(1000))
        pair.client.write(b"GET")
    greedy.server.write(b"x" * 1000)
    other.server.write(b"response")
    with pytest.raises(OSError, match="sent too much"):
        greedy.client.read(100)
    with pytest.raises(ssl.SSLWantReadError):
        other.client.read(100)
    await asyncio.sleep(0)
    assert [transport.reading for transport in transports] == [True, True]
    assert other.client.read(100) == b"response"


async def test_without_turns_nobody_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where what is received has no bound, aiohttp's own pauses count."""
    pair = Pair(Budget())
    pair.shake_hands()
    transport: Any = FakeTransport()
    pair.client.asks(transport, Budget())
    pair.client.write(b"GET")
    pair.server.write(b"response")
    monkeypatch.setattr("matrix_resolve.transport.guard._SHARE", -1)
    assert pair.client.read(100) == b"response"
    assert (transport.reading, transport.high) == (True, None)


def test_farewell_reads_nothing() -> None:
    """What a server has sent is not gone through any more when its connection is closed."""
    pair = Pair(Budget())
    pair.shake_hands()
    pair.client.write(b"GET")
    pair.server.write(b"x" * 10_000)
    pair.client.unwrap()
    assert pair.to_client.pending == 0


def test_farewell_lets_the_transport_go() -> None:
    """It holds the guard too: such a circle, with 256 kB of buffer, is collected late."""
    pair = Pair(Budget(), Turn())
    pair.shake_hands()
    transport: Any = FakeTransport()
    pair.client.asks(transport, Budget())
    left = weakref.ref(transport)
    del transport
    assert left() is not None
    pair.client.unwrap()
    assert left() is None


@pytest.mark.parametrize("new_loop", event_loops())
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_closing_does_not_wait(
    new_loop: Callable[[], asyncio.AbstractEventLoop], version: ssl.TLSVersion
) -> None:
    """A server that never says farewell leaves no socket open, on either loop."""
    context = CERTIFICATES.server_context(NAME, GOOD)
    context.maximum_version = version

    async def closed() -> bool:
        loop = asyncio.get_running_loop()
        ConnectionAttempt("key", (), Budget()).begin()
        listener = socket.create_server(("127.0.0.1", 0))
        listener.setblocking(False)
        sock = socket.socket()
        sock.setblocking(False)
        await loop.sock_connect(sock, listener.getsockname())
        accepted, _ = await loop.sock_accept(listener)
        accepted.setblocking(False)
        to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
        server = context.wrap_bio(to_server, to_client, server_side=True)

        async def serve() -> None:
            while not completed(server.do_handshake):
                if to_client.pending:
                    await loop.sock_sendall(accepted, to_client.read())
                to_server.write(await loop.sock_recv(accepted, 65536))
            await loop.sock_sendall(accepted, to_client.read())

        serving = asyncio.ensure_future(serve())
        lost = asyncio.Event()

        class Client(asyncio.Protocol):
            def connection_lost(self, exc: Exception | None) -> None:
                lost.set()

        transport, _ = await loop.create_connection(
            Client,
            sock=sock,
            ssl=GuardedContext(CERTIFICATES.client_context()),
            server_hostname=NAME,
        )
        await serving
        transport.close()
        async with asyncio.timeout(10):
            await lost.wait()
            data = b"x"
            while data:  # our farewell, and the end
                data = await loop.sock_recv(accepted, 65536)
        accepted.close()
        listener.close()
        return sock.fileno() == -1

    loop = new_loop()
    try:
        assert loop.run_until_complete(closed())
    finally:
        loop.close()
