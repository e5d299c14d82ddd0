"""The connections of a session: how many are open, which are idle, and who waits."""

import asyncio
import errno
import socket
from typing import Any

import pytest
from worlds import HANGS, settled

from matrix_resolve.transport.attempts import Budget, ConnectionAttempt
from matrix_resolve.transport.connections import Connections, Socket, affordable

INFO = (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", ("127.0.0.1", 443))


class FakeTransport:
    """Closes its socket a little after it is told to, as asyncio's does."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.closing = self.aborted = False

    def is_closing(self) -> bool:
        return self.closing

    def abort(self) -> None:
        self.closing = self.aborted = True
        asyncio.get_running_loop().call_soon(self.sock.close)


def attempt() -> ConnectionAttempt:
    """One that may dial."""
    made = ConnectionAttempt("key", [("127.0.0.1", 443)], Budget())
    made.begin()
    return made


async def opened(connections: Connections) -> Socket:
    """A socket, when there is room for it."""
    mine = attempt()
    await connections.make_room(mine)
    sock = connections(INFO)
    assert isinstance(sock, Socket)
    return sock


def idle(sock: Socket, key: str = "key") -> FakeTransport:
    """Have a socket be that of an idle connection."""
    transport: Any = FakeTransport(sock)
    sock.used(key)
    sock.released(transport)
    made: FakeTransport = transport
    return made


async def test_who_finds_no_room_waits_its_turn() -> None:
    """So many are open at once, and each that closes lets the next one in, in their order."""
    connections = Connections(2)
    first, second = await opened(connections), await opened(connections)
    waiting = [asyncio.create_task(opened(connections)) for _ in range(2)]
    await settled()
    assert len(connections) == 2
    assert not any(task.done() for task in waiting)
    first.close()
    await settled()
    assert [task.done() for task in waiting] == [True, False]
    os_socket = socket.socket(fileno=second.detach())  # as uvloop gives a socket up
    await settled()
    assert all(task.done() for task in waiting)
    assert len(connections) == 2
    for task in waiting:
        task.result().close()
    os_socket.close()
    assert len(connections) == 0


async def test_idle_ones_make_room() -> None:
    """The connection that has been idle longest is given up for one that is wanted."""
    connections = Connections(3)
    socks = [await opened(connections) for _ in range(3)]
    transports = [idle(sock) for sock in socks]
    idle(socks[0])
    another = await asyncio.wait_for(opened(connections), HANGS)
    assert [transport.closing for transport in transports] == [False, True, False]
    assert connections.has_idle("key")
    socks[2].used("key")
    socks[0].used("key")
    assert not connections.has_idle("key")
    for sock in (*socks, another):
        sock.close()


async def test_an_idle_connection_that_is_closed() -> None:
    """What the other side has closed is not waiting any more."""
    connections = Connections(3)
    sock = await opened(connections)
    idle(sock)
    assert connections.has_idle("key")
    sock.close()
    assert not connections.has_idle("key")


async def test_a_promise_that_is_not_used() -> None:
    """Room that was promised and is not needed is there for the next one."""
    connections = Connections(1)
    mine = attempt()
    await connections.make_room(mine)
    waiting = asyncio.create_task(opened(connections))
    await settled()
    assert not waiting.done()
    connections.leave_room(mine)
    connections.leave_room(mine)
    (await asyncio.wait_for(waiting, HANGS)).close()
    (await opened(connections)).close()


@pytest.mark.parametrize("at_once", [False, True], ids=["before", "when it is its turn"])
async def test_cancelled_while_waiting(at_once: bool) -> None:
    """Who is cancelled in the queue takes no turn from those behind."""
    connections = Connections(1)
    first = await opened(connections)
    waiting = [asyncio.create_task(opened(connections)) for _ in range(2)]
    await settled()
    if at_once:
        first.close()
        waiting[0].cancel()
    else:
        waiting[0].cancel()
        await settled()
        first.close()
    (await asyncio.wait_for(waiting[1], HANGS)).close()
    assert waiting[0].cancelled()


async def test_nothing_beyond_the_bound() -> None:
    """What aiohttp would open besides what was promised is refused when there is no room."""
    connections = Connections(1)
    first = await opened(connections)
    with pytest.raises(OSError, match="1 connections are open") as caught:
        connections(INFO)
    assert caught.value.errno == errno.EMFILE
    first.close()
    connections(INFO).close()


async def test_what_may_not_dial() -> None:
    """An attempt at a kept connection, or one that has sent its request, opens no socket."""
    connections = Connections(9)
    ConnectionAttempt("key", None, Budget()).begin()
    with pytest.raises(OSError, match="no connection to use again"):
        connections(INFO)
    sent = attempt()
    connections(INFO).close()
    sent.claim()
    with pytest.raises(OSError, match="no connection to use again"):
        connections(INFO)
    assert len(connections) == 0


async def test_what_does_not_close_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection that is closed, but has more to send than is taken, is gone after a while."""
    monkeypatch.setattr("matrix_resolve.transport.connections._PARTING", 0.01)
    connections = Connections(3)
    socks = [await opened(connections) for _ in range(3)]
    closes, hangs, hangs_too = [FakeTransport(sock) for sock in socks]
    for sock, transport in zip(socks, (closes, hangs, hangs_too), strict=True):
        transport.closing = True
        sock.used("key")
        sock.released(transport)  # type: ignore[arg-type]
        await asyncio.sleep(0.001)
    assert not connections.has_idle("key")
    socks[0].close()
    others = asyncio.gather(*(opened(connections) for _ in range(3)))
    for sock in await asyncio.wait_for(others, HANGS):
        sock.close()
    assert not closes.aborted
    assert hangs.aborted
    assert hangs_too.aborted


async def test_a_small_receive_buffer() -> None:
    """What the kernel takes in unread is bounded, if it is to be."""
    attempt()
    sizes = []
    for receive_buffer in (None, 16384):
        with Connections(9, receive_buffer=receive_buffer)(INFO) as sock:
            sizes.append(sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF))
    assert 16384 <= sizes[1] <= 32768 < sizes[0]


def test_what_is_affordable(monkeypatch: pytest.MonkeyPatch) -> None:
    """A share of the files that may be open, and at least one."""
    resource = pytest.importorskip("resource")
    for soft, most in ((256, 128), (100_000, 1000), (1, 1), (resource.RLIM_INFINITY, 1000)):
        monkeypatch.setattr(resource, "getrlimit", lambda _, soft=soft: (soft, soft))
        assert affordable(0.5, 1000) == most
    monkeypatch.setitem(__import__("sys").modules, "resource", None)
    assert affordable(0.5, 1000) == 1000


async def test_one_that_becomes_idle_makes_room_for_who_waits() -> None:
    """Who found no idle connection gets the room of the next that is."""
    connections = Connections(1)
    sock = await opened(connections)
    waiting = asyncio.create_task(opened(connections))
    await settled()
    assert not waiting.done()
    transport = idle(sock)
    await settled()
    assert transport.closing
    assert waiting.done()
    waiting.result().close()


async def test_one_that_becomes_idle_is_kept_when_room_is_made_already() -> None:
    """Where another has been given up for who waits, and is still closing."""
    connections = Connections(2)
    first, second = await opened(connections), await opened(connections)
    given_up = idle(first)
    waiting = asyncio.create_task(opened(connections))
    await asyncio.sleep(0)
    kept = idle(second)
    assert given_up.closing
    assert not kept.closing
    (await waiting).close()
    second.close()


async def test_what_is_gone_does_not_part() -> None:
    """A request may be done with when its connection has been closed already: no timer is left."""
    connections = Connections(1)
    sock = await opened(connections)
    transport: Any = FakeTransport(sock)
    sock.used("key")
    transport.closing = True
    sock.close()
    sock.released(transport)
    assert not connections._parting
    assert connections._cutting is None
