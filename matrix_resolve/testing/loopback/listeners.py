"""TCP on loopback: ports that accept, ports that refuse, and everything closed at the end."""

import asyncio
import socket
from collections.abc import Awaitable, Callable

LOOPBACK = ("127.0.0.1", "::1")

_BACKLOG = 1024
# How often the event loop may turn until a transport that was aborted has closed its socket.
_TURNS = 100

Serve = Callable[[socket.socket], Awaitable[None]]


class Connections:
    """The tasks that serve connections, and the errors that ended any of them."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()
        self.errors: list[Exception] = []

    def start(self, serve: Serve, connection: socket.socket) -> None:
        """Serve `connection` in a task of its own; it is closed when that ends."""
        task = asyncio.get_running_loop().create_task(self._serve(serve, connection))
        self._tasks.add(task)

        def done(_: asyncio.Task[None]) -> None:
            self._tasks.discard(task)
            connection.close()  # for the task that was cancelled before it began

        task.add_done_callback(done)

    async def _serve(self, serve: Serve, connection: socket.socket) -> None:
        try:
            await serve(connection)
        except (OSError, EOFError):
            pass  # clients go away, and refuse certificates: that is what they are tested for
        except Exception as error:
            self.errors.append(error)
        finally:
            await _closed(connection)

    async def aclose(self) -> None:
        """End all tasks, however long they meant to go on, and wait for them."""
        while self._tasks:
            for task in self._tasks:
                task.cancel()
            await asyncio.wait(self._tasks)


async def _closed(connection: socket.socket) -> None:
    """Wait until the transport, if there is one, has closed the socket under it."""
    for _ in range(_TURNS):
        if connection.fileno() == -1:
            return
        await asyncio.sleep(0)


class Listener:
    """Accepts on one port from the moment that it is made; `address` says where.

    It is made and closed without awaiting, so that a mapping can open one when it is read.
    """

    def __init__(
        self, ip: str, serve: Serve, connections: Connections, sock: socket.socket | None = None
    ) -> None:
        self._socket = bound(ip) if sock is None else sock
        self._socket.listen(_BACKLOG)
        self._serve = serve
        self._connections = connections
        self.address = address_of(self._socket)
        self._loop = asyncio.get_running_loop()
        # Not a task around `sock_accept`: one that is cancelled at the wrong moment loses the
        # connection that it has just accepted.
        self._loop.add_reader(self._socket, self._accept)

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:  # none is waiting any more
                return
            connection.setblocking(False)
            self._connections.start(self._serve, connection)

    def close(self) -> None:
        """Stop accepting. Connections that were accepted go on."""
        self._loop.remove_reader(self._socket)
        self._socket.close()


def bound(ip: str, port: int = 0, kind: socket.SocketKind = socket.SOCK_STREAM) -> socket.socket:
    """Return a socket bound to a port of `ip`. A TCP port refuses until somebody listens."""
    family = socket.AF_INET6 if ":" in ip else socket.AF_INET
    # asyncio sets TCP_NODELAY only where the protocol is named: 40 ms for each answer.
    protocol = socket.IPPROTO_TCP if kind is socket.SOCK_STREAM else socket.IPPROTO_UDP
    sock = socket.socket(family, kind, protocol)
    try:
        sock.setblocking(False)
        sock.bind((ip, port))
    except OSError:
        sock.close()
        raise
    return sock


def address_of(sock: socket.socket) -> tuple[str, int]:
    """Return the (IP address, port) that a socket is bound to."""
    ip, port, *_ = sock.getsockname()
    return ip, port
