"""What a hostile web server can take of a resolver: time, pauses of the event loop, bytes.

    python tests/benchmarks/hostile.py [--servers 100] [--loop asyncio|uvloop] [--kind KIND]

For each kind of flood first one name is resolved whose server sends it, then as many at once as
`--servers` says. Prints the longest `resolve()`, the longest time that the event loop was held up
(of CPU, so that other work on the machine does not count), and how many bytes a server could send
for each fetch, at most; the exit status tells whether that is within 15 s, 50 ms by one and 250 ms
by a hundred, and 300 kB. The servers have a process of their own.
"""

import _ssl
import argparse
import asyncio
import ctypes
import multiprocessing
import socket
import ssl
import sys
import threading
import time
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from typing import Any, Final

from matrix_resolve import AddressPolicy, AiohttpWellKnownFetcher, open_resolver
from matrix_resolve.testing import Certificate, FakeAddresses, FakeSrv
from matrix_resolve.testing.loopback.certificates import Certificates

TICK: Final = 0.002
OK: Final = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
OPENSSL: Final = ctypes.CDLL(_ssl.__file__)
# Threads that send take turns with those that count, and with the client on few cores.
BUFFER: Final = 4096


def pieces(first: bytes, piece: bytes) -> Iterator[bytes]:
    """Yield `first`, and then `piece` without end."""
    yield first
    while piece:
        yield piece


FLOODS: dict[str, Callable[[], Iterator[bytes]]] = {
    "interim responses": lambda: pieces(b"", b"HTTP/1.1 100 C\r\n\r\n" * 800),
    "62 header lines of 8 kB": lambda: pieces(
        OK + b"".join(b"X-%d: %s\r\n" % (n, b"x" * 8000) for n in range(62)), b""
    ),
    "short header lines": lambda: pieces(OK, b"a: b\r\n" * 2000),
    "one-byte chunks": lambda: pieces(
        OK + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n" * 2000
    ),
    "empty lines": lambda: pieces(b"", b"\r\n" * 8000),
    "endless body": lambda: pieces(OK + b"\r\n", b"x" * 16384),
    "commas": lambda: pieces(
        OK
        + b"".join(b"Cache-Control: %s\r\n" % (b"," * 1000) for _ in range(62))
        + b"Content-Length: 2\r\n\r\n{}",
        b"",
    ),
}
TLS_FLOODS: Final = {
    "renegotiation (TLS 1.2)": ssl.TLSVersion.TLSv1_2,
    "key updates (TLS 1.3)": ssl.TLSVersion.TLSv1_3,
}


class Server:
    """Serves one kind of flood on a port, a thread for each connection."""

    def __init__(self, kind: str, certificates: Certificates) -> None:
        self.kind = kind
        self.context = certificates.server_context("hostile.test", Certificate.VALID)
        self.context.maximum_version = TLS_FLOODS.get(kind, ssl.TLSVersion.MAXIMUM_SUPPORTED)
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER)
        self.sent: list[list[int]] = []
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self) -> None:
        """Serve whoever connects."""
        while True:
            sock, _ = self.listener.accept()
            threading.Thread(target=self.serve, args=(sock,), daemon=True).start()

    def serve(self, sock: socket.socket) -> None:
        """Send until the client hangs up."""
        mine = [0]
        self.sent.append(mine)
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = self.context.wrap_bio(incoming, outgoing, server_side=True)

        def flush() -> None:
            data = outgoing.read()
            while data:
                count = sock.send(data)
                mine[0] += count
                data = data[count:]

        def finished(operation: Callable[[], object]) -> None:
            while True:
                try:
                    operation()
                except ssl.SSLWantReadError:
                    flush()
                    incoming.write(sock.recv(65536) or self.hung_up())
                else:
                    flush()
                    return

        try:
            finished(tls.do_handshake)
            finished(lambda: tls.read(65536))
            for _ in self.floods(tls):
                flush()
            while sock.recv(65536):
                pass
            sock.close()
        except (OSError, EOFError):  # the client hung up
            sock.close()

    def hung_up(self) -> bytes:
        """End."""
        raise EOFError

    def floods(self, tls: ssl.SSLObject) -> Iterator[None]:
        """Have each piece written."""
        if self.kind in FLOODS:
            for piece in FLOODS[self.kind]():
                if piece:
                    tls.write(piece)
                yield
            return
        # CPython has no public way to ask for these.
        pointer = ctypes.c_void_p.from_address(id(tls._sslobj) + 3 * ctypes.sizeof(ctypes.c_void_p))
        is_13 = "1.3" in self.kind
        while True:
            for _ in range(200):
                if is_13:
                    OPENSSL.SSL_key_update(pointer, 1)
                else:
                    OPENSSL.SSL_renegotiate(pointer)
                OPENSSL.SSL_do_handshake(pointer)
            yield


def serve(kinds: list[str], pipe: Connection) -> None:
    """Run the servers; tell what was sent when asked."""
    certificates = Certificates()
    servers = {kind: Server(kind, certificates) for kind in kinds}
    ports = {kind: server.listener.getsockname()[1] for kind, server in servers.items()}
    pipe.send((certificates.ca_pem, ports))
    while True:
        kind = pipe.recv()
        if kind is None:
            return
        pipe.send([count for (count,) in servers[kind].sent])
        servers[kind].sent.clear()


async def longest_pause() -> None:
    """Note how much work is done while a timer waits for its turn; cancel to end."""
    global paused
    paused = 0.0
    while True:
        before = time.thread_time()
        await asyncio.sleep(TICK)
        paused = max(paused, time.thread_time() - before)


paused = 0.0


async def resolve_many(count: int, port: int, context: ssl.SSLContext) -> tuple[float, float]:
    """Resolve so many names at once; the longest time, and the longest pause."""
    names = [f"h{n}.test" for n in range(count)]
    fetcher = AiohttpWellKnownFetcher(
        addresses=FakeAddresses({name: ["127.0.0.1"] for name in names}),
        address_policy=AddressPolicy.allow_all(),
        ssl_context=context,
        connect_to={(name, 443): ("127.0.0.1", port) for name in names},
    )
    longest = 0.0

    async def resolve(resolver: Any, name: str) -> None:
        nonlocal longest
        began = time.perf_counter()
        await resolver.resolve(name)
        longest = max(longest, time.perf_counter() - began)

    async with (
        fetcher,
        open_resolver(well_known=fetcher, srv=FakeSrv(), addresses=FakeAddresses()) as resolver,
    ):
        ticking = asyncio.create_task(longest_pause())
        await asyncio.sleep(0.05)
        await asyncio.gather(*(resolve(resolver, name) for name in names))
        ticking.cancel()
    return longest, paused


def main() -> int:
    """Run all kinds, and tell."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--servers", type=int, default=100)
    parser.add_argument("--loop", choices=["asyncio", "uvloop"], default="asyncio")
    parser.add_argument("--kind", choices=[*FLOODS, *TLS_FLOODS])
    arguments = parser.parse_args()
    kinds = [arguments.kind] if arguments.kind else [*FLOODS, *TLS_FLOODS]
    here, there = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=serve, args=(kinds, there))
    process.start()
    ca_pem, ports = here.recv()
    context = ssl.create_default_context(cadata=ca_pem.decode())
    context.check_hostname = False
    if arguments.loop == "uvloop":
        import uvloop

        run: Callable[..., Any] = uvloop.run
    else:
        run = asyncio.run
    all_well = True
    print(f"{arguments.loop:30}  servers  resolve    pause  sent for a fetch")
    for kind in kinds:
        for count, most in ((1, 0.05), (arguments.servers, 0.25)):
            seconds, pause = run(resolve_many(count, ports[kind], context))
            time.sleep(0.2)
            here.send(kind)
            sent = max(here.recv(), default=0)
            well = seconds <= 15 and pause <= most and sent <= 300_000
            all_well &= well
            print(
                f"{kind:30}  {count:7}  {seconds:5.2f} s  {pause * 1000:4.0f} ms  {sent:7,} B"
                f"{'' if well else '  TOO MUCH'}",
                flush=True,
            )
    here.send(None)
    process.join()
    return 0 if all_well else 1


if __name__ == "__main__":
    sys.exit(main())
