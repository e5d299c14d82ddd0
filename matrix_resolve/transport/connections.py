"""The connections of a session: those being made, in use, idle and closing."""

import asyncio
import errno
import socket
from collections import deque
from collections.abc import Hashable
from contextlib import suppress
from typing import Any, Final

from matrix_resolve.transport.attempts import ConnectionAttempt

# Seconds for what was written before a connection was closed; then it is cut off.
_PARTING: Final = 1.0


def affordable(share: float, most: int) -> int:
    """Return how many connections there may be: `most`, or this share of the open files allowed."""
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return most
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return most if soft == resource.RLIM_INFINITY else max(1, min(most, int(soft * share)))


class Connections:
    """Opens the sockets of one session, for aiohttp's `socket_factory`: at most `most` at once.

    `receive_buffer` in bytes limits what the kernel takes in unread, so that a server which floods
    us is read in pieces among which other connections have their turn.
    """

    def __init__(self, most: int, *, receive_buffer: int | None = None) -> None:
        self._most = most
        self._receive_buffer = receive_buffer
        self._open = set[Socket]()
        self._promised = 0
        self._waiting = deque[asyncio.Future[None]]()
        # The idle ones, those that have been idle longest first.
        self._idle: dict[Socket, tuple[Hashable, asyncio.Transport]] = {}
        self._idle_of: dict[Hashable, int] = {}
        self._given_up = set[Socket]()  # closing, to make room
        # Those that part, and until when they may.
        self._parting: dict[Socket, tuple[float, asyncio.Transport]] = {}
        self._cutting: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._open)

    def __call__(self, address_info: tuple[Any, ...]) -> socket.socket:
        """Open a socket for what `getaddrinfo` might have returned; `OSError` if it may not be."""
        family, kind, protocol, _, (address, *_) = address_info
        attempt = ConnectionAttempt.current()
        attempt.may_dial()
        attempt.dialled.append(address)
        if attempt.has_room:
            self.leave_room(attempt)
        elif self.is_full():
            raise OSError(errno.EMFILE, f"{self._most} connections are open")
        sock = Socket(self, family, kind, protocol)
        self._open.add(sock)
        if self._receive_buffer is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self._receive_buffer)
        attempt.sockets.append(sock)
        return sock

    async def make_room(self, attempt: ConnectionAttempt) -> None:
        """Promise `attempt` a socket; idle connections are given up for it, or it waits."""
        while self.is_full():
            self.give_up_idle()
            freed = asyncio.get_running_loop().create_future()
            self._waiting.append(freed)
            try:
                await freed
            except asyncio.CancelledError:
                if freed.done() and not freed.cancelled():
                    self._wake()
                raise
        self._promised += 1
        attempt.has_room = True

    def leave_room(self, attempt: ConnectionAttempt) -> None:
        """Take back what was promised, if it still is."""
        if attempt.has_room:
            attempt.has_room = False
            self._promised -= 1
            self._wake()

    def has_idle(self, key: Hashable) -> bool:
        """Return whether a connection of this kind waits to be used again."""
        return key in self._idle_of

    def put_idle(self, sock: "Socket", key: Hashable, transport: asyncio.Transport) -> None:
        """Note a connection that waits to be used again."""
        self._idle[sock] = key, transport
        self._idle_of[key] = self._idle_of.get(key, 0) + 1
        # If somebody waits for whom none has been given up yet, this one is, or one idle longer.
        waiting = sum(not freed.done() for freed in self._waiting) if self._waiting else 0
        if waiting > len(self._given_up):
            self.give_up_idle()

    def take_idle(self, sock: "Socket") -> None:
        """Hear that a connection is in use, or closed, whether or not it was idle."""
        idle = self._idle.pop(sock, None)
        if idle is not None:
            key, _ = idle
            self._idle_of[key] -= 1
            if not self._idle_of[key]:
                del self._idle_of[key]

    def part(self, sock: "Socket", transport: asyncio.Transport) -> None:
        """Note a connection that is being closed, to be cut off if it does not end in time."""
        if sock not in self._open:
            return  # it has been closed by the other side meanwhile
        loop = asyncio.get_running_loop()
        until = loop.time() + _PARTING
        self._parting[sock] = until, transport
        if self._cutting is None:
            self._cutting = loop.call_at(until, self._cut_off)

    def _cut_off(self) -> None:
        """Cut off those whose time is over, and wait for that of the others."""
        loop, self._cutting = asyncio.get_running_loop(), None
        for sock, (until, transport) in [*self._parting.items()]:
            if until > loop.time():
                self._cutting = loop.call_at(until, self._cut_off)
                break
            transport.abort()
            with suppress(OSError):  # asyncio's does nothing once it has been closed twice
                sock.shutdown(socket.SHUT_RDWR)

    def give_up_idle(self) -> None:
        """Close the connection that has been idle longest, if there is one."""
        for sock, (_, transport) in self._idle.items():
            self.take_idle(sock)
            self._given_up.add(sock)
            transport.abort()
            return

    def is_full(self) -> bool:
        """Return whether who wants a connection must wait, or have an idle one given up."""
        return len(self._open) + self._promised >= self._most

    def gone(self, sock: "Socket") -> None:
        """Hear that a socket has been closed."""
        self._open.discard(sock)
        self._given_up.discard(sock)
        self.take_idle(sock)
        self._parting.pop(sock, None)
        if self._cutting is not None and not self._parting:
            self._cutting.cancel()
            self._cutting = None
        self._wake()

    def _wake(self) -> None:
        while self._waiting:
            freed = self._waiting.popleft()
            if not freed.done():
                freed.set_result(None)
                return


class Socket(socket.socket):
    """Tells when it is closed, by asyncio, or detached, by uvloop."""

    def __init__(self, connections: Connections, *args: int) -> None:
        super().__init__(*args)
        self._connections = connections
        self._key: Hashable = None

    def used(self, key: Hashable) -> None:
        """Hear that a request of this kind goes out on this connection."""
        self._key = key
        self._connections.take_idle(self)

    def released(self, transport: asyncio.Transport) -> None:
        """Hear that the request is done with; aiohttp keeps the connection, or is closing it."""
        if transport.is_closing():
            self._connections.part(self, transport)
        else:
            self._connections.put_idle(self, self._key, transport)

    def close(self) -> None:
        """Close the socket."""
        super().close()
        self._connections.gone(self)

    def detach(self) -> int:
        """Give up the file descriptor, which somebody else closes."""
        self._connections.gone(self)
        return super().detach()
