"""One host at several addresses of the loopback, each good or bad in a way of its own."""

import asyncio
import os
import socket
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest
from attrs import frozen

from matrix_resolve.testing import Certificate, Raw, Refused
from matrix_resolve.testing.loopback.certificates import Certificates
from matrix_resolve.testing.loopback.declarations import Host
from matrix_resolve.testing.loopback.https_server import HttpsServer
from matrix_resolve.testing.loopback.listeners import Connections, Listener, address_of, bound

NAME = "example.org"


def _has_ipv6() -> bool:
    try:
        bound("::1").close()
    except OSError:
        return False
    return True


on_linux = pytest.mark.skipif(
    sys.platform != "linux", reason="only Linux has all of 127/8 on its loopback"
)
with_ipv6 = pytest.mark.skipif(
    not _has_ipv6() and not os.environ.get("CI"), reason="::1 can't be bound here"
)

# Linux has one IPv6 address on its loopback. Sockets of that family reach IPv4 listeners too.
IPV6 = ("::1", "::ffff:127.0.0.6", "::ffff:127.0.0.7", "::ffff:127.0.0.8")
IPV4 = ("127.0.0.2", "127.0.0.3", "127.0.0.4", "127.0.0.5")


@frozen
class Blackhole:
    """Never answers a SYN: a listening socket whose queue of connections is full.

    If `opens_after` is given it is a good server that long after it was first dialled, in seconds.
    """

    opens_after: float | None = None
    certificate: Certificate = Certificate.VALID


@frozen
class Late:
    """Begins the TLS handshake after so many seconds."""

    seconds: float


CERTIFICATES = Certificates()  # made when they are first needed, and for all tests
GOOD = Certificate.VALID
WRONG = Certificate.WRONG_NAME
BAD = {
    "wrong certificate": WRONG,
    "closes": Raw(b"", tls=False),
    "no TLS": Raw(b"HTTP/1.1 400 Bad Request\r\n\r\n", tls=False),
    "refuses": Refused(),
}


class House:
    """One host at several addresses, all on one port.

    `doors`: address -> a certificate, or a behaviour for whole connections. `entered`: at which
    addresses connections came in, in their order.
    """

    def __init__(self, doors: Mapping[str, Any]) -> None:
        self._connections = Connections()
        self._servers: dict[str, HttpsServer] = {}
        self._open = ExitStack()
        self.entered: list[str] = []
        self.port = self._open_doors(doors)

    def _open_doors(self, doors: Mapping[str, Any]) -> int:
        for attempt in range(20):
            with ExitStack() as opened:
                port = 0
                try:
                    sockets = {}
                    for address in doors:
                        sock = bound(address.removeprefix("::ffff:"), port)
                        sockets[address] = opened.enter_context(sock)
                        port = address_of(sock)[1]
                except OSError:  # one of the addresses has that port in use
                    if attempt == 19:
                        raise
                    continue
                self._open = opened.pop_all()
            for address, sock in sockets.items():
                self._put(address, sock, doors[address])
            return port
        raise AssertionError

    def _put(self, address: str, sock: socket.socket, door: Any) -> None:
        if isinstance(door, Refused):
            return  # bound, so that nobody else listens there
        if isinstance(door, Blackhole):
            full = self._open.enter_context(filled(sock))
            if door.opens_after is None:
                return
            asyncio.get_running_loop().call_later(
                door.opens_after, self._drain, address, sock, door.certificate, full
            )
            return
        self._serve(address, sock, door)

    def _drain(
        self, address: str, sock: socket.socket, door: Any, full: list[socket.socket]
    ) -> None:
        for client in full:
            client.close()
        self._serve(address, sock.dup(), door)

    def _serve(self, address: str, sock: socket.socket, door: Any) -> None:
        late = door.seconds if isinstance(door, Late) else 0.0
        door = GOOD if isinstance(door, Late) else door
        if isinstance(door, Certificate):
            host = Host(name=NAME, certificate=door)
        else:
            host = Host(name=NAME, serves=door)
        server = HttpsServer(lambda name: host if name == NAME else None, CERTIFICATES)
        self._servers[address] = server

        async def serve(connection: socket.socket) -> None:
            self.entered.append(address)
            await asyncio.sleep(late)
            await server.serve(connection, (NAME, self.port))

        listener = Listener(address, serve, self._connections, sock)
        self._open.callback(listener.close)

    @property
    def connections(self) -> set[str]:
        """The addresses that were connected to."""
        return {address for address, server in self._servers.items() if server.connections}

    @property
    def requests(self) -> list[str]:
        """The addresses that requests came in at."""
        return [address for address, server in self._servers.items() for _ in server.requests]

    async def aclose(self) -> None:
        """Close all doors."""
        self._open.close()
        await self._connections.aclose()
        assert not self._connections.errors


@contextmanager
def filled(listener: socket.socket) -> Iterator[list[socket.socket]]:
    """Have a socket listen that takes no connection: its queue is full."""
    listener.listen(0)
    full = []
    try:
        for _ in range(8):  # as many as the queue may hold; the rest go unanswered
            client = socket.socket(listener.family)
            full.append(client)
            client.setblocking(False)
            client.connect_ex(listener.getsockname())
        yield full
    finally:
        for client in full:
            client.close()
