"""What the federation client costs: failover, and leaks.

    python tests/benchmarks/federation.py [--requests N]

The servers are in a process of their own, so that each side has a core. Prints how long a request
takes when the first address or target is dead, and what is left of 5,000 requests to 50 servers,
100 at once; and whether the targets are met, which the exit status tells too.

Linux only: the addresses are several of 127/8, and one that leads nowhere is a listening socket
whose queue of connections is full, so that Linux drops every further SYN.
"""

import argparse
import asyncio
import gc
import json
import socket
import ssl
import statistics
import subprocess
import sys
import time
import tracemalloc
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any, Final

import trustme

from matrix_resolve import AddressPolicy, MemoryCache, Resolver, SrvRecord, open_federation_client
from matrix_resolve.testing import FakeAddresses, FakeSrv, FakeWellKnown

ADDED_WITHIN: Final = 0.5
MEMORY_WITHIN: Final = 300_000  # bytes more after the second half than after the first

ROUNDS: Final = 11
DESTINATIONS, AT_ONCE = 50, 100

# Nothing goes on for longer (seconds), whatever went wrong.
_LONGEST: Final = 300.0
_ZONE: Final = "bench.example"

GOOD, REFUSES, WRONG, WRONG_TOO = "127.0.0.1", "127.0.0.2", "127.0.0.3", "127.0.0.4"
NOWHERE, NOWHERE_6 = "127.0.0.5", "::1"
# Linux has one IPv6 address on its loopback; sockets of that family reach IPv4 listeners too.
WRONG_6, WRONG_TOO_6 = f"::ffff:{WRONG}", f"::ffff:{WRONG_TOO}"

FAILOVERS: Final = {
    "one good address": [GOOD],
    "first address refuses": [REFUSES, GOOD],
    "first address leads nowhere": [NOWHERE, GOOD],
    "AAAA leads nowhere": [NOWHERE_6, GOOD],
    "AAAA leads nowhere, first A refuses": [NOWHERE_6, REFUSES, GOOD],
    "first address has a wrong certificate": [WRONG, GOOD],
    "AAAA has a wrong certificate": [WRONG_6, GOOD],
    "three of four have wrong certificates": [WRONG_6, WRONG, WRONG_TOO_6, GOOD],
}


# The servers, in a process of their own


class Web(asyncio.Protocol):
    """Answers every request with a small document."""

    _ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: Any = transport
        self._received = b""

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, end, _ = self._received.partition(b"\r\n\r\n")
        if end:  # no bodies here
            self._received = b""
            self._transport.write(self._ANSWER)
            if b"connection: close" in head.lower():
                self._transport.close()


@contextmanager
def _bound(ip: str, port: int) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET6 if ":" in ip else socket.AF_INET) as sock:
        sock.bind((ip, port))
        yield sock


@contextmanager
def _nowhere(ip: str, port: int) -> Iterator[None]:
    """Listen so that no connection is ever answered."""
    with ExitStack() as opened:
        listening = opened.enter_context(_bound(ip, port))
        listening.listen(0)
        for _ in range(8):
            filling = opened.enter_context(socket.socket(listening.family))
            filling.setblocking(False)
            filling.connect_ex(listening.getsockname())
        yield


async def serve() -> None:
    """Run the servers until standard input ends."""
    loop = asyncio.get_running_loop()
    authority = trustme.CA()
    contexts = []
    for names in ([f"*.{_ZONE}", GOOD], ["wrong.example"]):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert(*names).configure_cert(context)
        contexts.append(context)
    good = await loop.create_server(Web, GOOD, 0, ssl=contexts[0], backlog=1024)
    port = good.sockets[0].getsockname()[1]
    await loop.create_server(Web, (WRONG, WRONG_TOO), port, ssl=contexts[1])
    lines = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    with _bound(REFUSES, port), _nowhere(NOWHERE, port), _nowhere(NOWHERE_6, port):
        told = {"port": port, "authority": authority.cert_pem.bytes().decode()}
        print(json.dumps(told), flush=True)
        await lines.read()


@contextmanager
def servers() -> Iterator[tuple[int, ssl.SSLContext]]:
    """Run the servers; give their port and TLS settings that trust them."""
    process = subprocess.Popen(
        [sys.executable, __file__, "--serve"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        told = json.loads(process.stdout.readline())
        context = ssl.create_default_context(cadata=told["authority"])
        context.hostname_checks_common_name = False
        context.set_alpn_protocols(["http/1.1"])
        yield told["port"], context
    finally:
        process.stdin.close()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
        process.stdout.close()


# The client


@asynccontextmanager
async def resolver(
    addresses: dict[str, list[str]], srv: dict[str, list[SrvRecord]] | None = None
) -> AsyncIterator[Resolver]:
    """Open a resolver that knows these answers."""
    async with Resolver(
        well_known=FakeWellKnown(),
        srv=FakeSrv(srv),
        addresses=FakeAddresses(addresses),
        cache=MemoryCache(),
        address_policy=AddressPolicy.allow_all(),
    ) as opened:
        yield opened


async def _timed(opened: Resolver, context: ssl.SSLContext, name: str) -> float:
    """Return how long a request to `name` takes for a client that has no connection yet."""
    async with open_federation_client(opened, ssl_context=context) as client:
        started = time.perf_counter()
        async with client.request("GET", name, "/x") as response:
            await response.read()
        return time.perf_counter() - started


async def failover(port: int, context: ssl.SSLContext) -> bool:
    """Print how long requests take that meet something dead first."""
    names = {f"f{n}.{_ZONE}:{port}": kind for n, kind in enumerate(FAILOVERS)}
    addresses = {name.partition(":")[0]: FAILOVERS[kind] for name, kind in names.items()}
    # Targets share the port, so that their addresses have to tell which is which.
    by_srv = f"srv.{_ZONE}"
    addresses |= {f"dead.{_ZONE}": [REFUSES], f"good.{_ZONE}": [GOOD]}
    records = [SrvRecord(1, 0, port, f"dead.{_ZONE}"), SrvRecord(2, 0, port, f"good.{_ZONE}")]
    names[by_srv] = "first SRV target refuses"
    met, baseline = True, 0.0
    async with resolver(addresses, {f"_matrix-fed._tcp.{by_srv}": records}) as opened:
        for name, kind in names.items():
            await _timed(opened, context, name)
            seconds = [await _timed(opened, context, name) for _ in range(ROUNDS)]
            median = statistics.median(seconds)
            baseline = baseline or median
            what = f"{kind}: {1000 * median:.1f} ms, at most {1000 * max(seconds):.1f} ms"
            met &= verdict(what, max(seconds) - baseline, ADDED_WITHIN, "s more")
    return met


def open_sockets() -> int:
    """Return how many sockets this process has open."""
    found = 0
    for entry in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):
            found += str(entry.readlink()).startswith("socket:")
    return found


async def leaks(port: int, context: ssl.SSLContext, requests: int) -> bool:
    """Make very many requests, and print what is left of them."""
    names = [f"d{n}.{_ZONE}" for n in range(DESTINATIONS)]
    sockets, tasks = open_sockets(), len(asyncio.all_tasks())
    seen = []
    tracemalloc.start()
    async with (
        resolver({name: [GOOD] for name in names}) as opened,
        open_federation_client(opened, ssl_context=context) as client,
    ):

        async def many(count: int) -> None:
            async def work(place: int) -> None:
                name = f"{names[place % DESTINATIONS]}:{port}"
                for _ in range(count // AT_ONCE):
                    async with client.request("GET", name, "/x"):
                        pass

            await asyncio.gather(*map(work, range(AT_ONCE)))

        started = time.perf_counter()
        for _ in range(2):
            await many(requests // 2)
            gc.collect()
            in_use = open_sockets() - sockets
            seen.append((in_use, len(asyncio.all_tasks()) - tasks, tracemalloc.get_traced_memory()))
        seconds = time.perf_counter() - started
    await asyncio.sleep(0.1)
    gc.collect()
    left = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    for (in_use, more, (memory, peak)), when in zip(seen, ("half-way", "at the end"), strict=True):
        print(
            f"{when}: {in_use} sockets, {more} tasks, {memory / 1e6:.2f} MB (peak {peak / 1e6:.2f})"
        )
    print(
        f"{requests} requests in {seconds:.1f} s under tracemalloc; {left / 1e6:.2f} MB when closed"
    )
    return all(
        [
            verdict("sockets pooled", seen[1][0], AT_ONCE, ""),
            verdict("sockets left", open_sockets() - sockets, 0, ""),
            verdict("tasks left", len(asyncio.all_tasks()) - tasks, 0, ""),
            verdict(
                "memory more after the second half",
                seen[1][2][0] - seen[0][2][0],
                MEMORY_WITHIN,
                "bytes",
            ),
        ]
    )


def verdict(what: str, figure: float, most: float, unit: str) -> bool:
    """Print a figure and whether it is within its target, and return that."""
    met = figure <= most
    print(f"{'PASS' if met else 'FAIL'}  {what}: {figure:.4g} {unit} (at most {most:g})")
    return met


async def run(requests: int) -> bool:
    """Run everything; return whether all targets are met."""
    with servers() as (port, context):
        async with asyncio.timeout(_LONGEST):
            met = [await failover(port, context)]
            print()
            met.append(await leaks(port, context, requests))
    return all(met)


def main() -> int:
    """Run what the command line says; return the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--requests", type=int, default=5000, metavar="N")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve:
        with suppress(TimeoutError, KeyboardInterrupt):
            asyncio.run(asyncio.wait_for(serve(), _LONGEST))
        return 0
    return 0 if asyncio.run(run(arguments.requests)) else 1


if __name__ == "__main__":
    sys.exit(main())
