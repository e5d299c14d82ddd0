"""How long does a large DNS answer hold up the event loop?

    python tests/benchmarks/dns_pauses.py [--rounds N] [--against DIRECTORY]

A DNS server in a process of its own answers over TCP with 64 kB: 2,600 SRV records. They are
looked up with `DnspythonLookup` and with `AiodnsLookup`, one answer and ten at once, while a task
sleeps for a millisecond at a time. Prints the longest that it slept, of all rounds: by the clock,
and of the CPU time that the event loop's thread took meanwhile, for on a busy machine the clock
tells of others' work. Whether that CPU time is under 50 ms, the exit status tells too. `--against`
measures another checkout of this package the same way before that.
"""

import argparse
import asyncio
import multiprocessing
import multiprocessing.connection
import os
import socketserver
import struct
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from matrix_resolve import AiodnsLookup, DnspythonLookup

RECORDS: Final = 2_600
AT_ONCE: Final = (1, 10)
LIMIT: Final = 50.0  # ms


def answer(query: bytes, *, cut: bool) -> bytes:
    """Return an answer of 64 kB to an SRV question, or over UDP the hint to ask by TCP."""
    question = query[12 : query.index(b"\0", 12) + 5]
    flags = 0x8380 if cut else 0x8180
    count = 0 if cut else RECORDS
    # The owner's name is that of the question, the target a label and its last one.
    tail = struct.pack("!H", 0xC000 | (12 + query[12] + 1))
    records = (
        struct.pack("!HHHIHHHH", 0xC00C, 33, 1, 60, 11, number, 0, 8448)
        + b"\2"
        + struct.pack("!H", number + 0x6161)
        + tail
        for number in range(count)
    )
    return query[:2] + struct.pack("!5H", flags, 1, count, 0, 0) + question + b"".join(records)


class _Tcp(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        with suppress(ConnectionError):  # some connections are closed unread
            while length := self.rfile.read(2):
                response = answer(self.rfile.read(int.from_bytes(length)), cut=False)
                self.wfile.write(struct.pack("!H", len(response)) + response)


class _Udp(socketserver.DatagramRequestHandler):
    def handle(self) -> None:
        self.wfile.write(answer(self.rfile.read(), cut=True))


def serve(port: multiprocessing.connection.Connection) -> None:
    """Serve DNS until the process is ended; tell the port."""
    with (
        socketserver.ThreadingTCPServer(("127.0.0.1", 0), _Tcp) as tcp,
        socketserver.UDPServer(tcp.server_address, _Udp) as udp,  # type: ignore[arg-type]
    ):
        tcp.daemon_threads = True
        port.send(tcp.server_address[1])
        threading.Thread(target=tcp.serve_forever, daemon=True).start()
        udp.serve_forever()


async def longest_pause(lookup: Any, at_once: int) -> tuple[float, float]:
    """Look up so many large answers; return the longest pause of the loop in ms: CPU, clock."""
    cpu = clock = 0.0

    async def watch() -> None:
        nonlocal cpu, clock
        while True:
            cpu_before, before = time.thread_time(), time.perf_counter()
            await asyncio.sleep(0.001)
            cpu = max(cpu, time.thread_time() - cpu_before)
            clock = max(clock, time.perf_counter() - before)

    watching = asyncio.create_task(watch())
    await asyncio.sleep(0.05)
    replies = await asyncio.gather(*(lookup.lookup_srv("srv.example") for _ in range(at_once)))
    await asyncio.sleep(0.05)
    watching.cancel()
    assert {len(reply.records) for reply in replies} == {RECORDS}
    return cpu * 1e3, clock * 1e3


async def measure(server: str, rounds: int) -> bool:
    """Print the longest pauses; return whether all are short enough."""
    met = True
    for kind in (DnspythonLookup, AiodnsLookup):
        async with kind(nameservers=[server], timeout=30) as lookup:
            await lookup.lookup_srv("srv.example")  # what is imported late is imported now
            for at_once in AT_ONCE:
                pauses = [await longest_pause(lookup, at_once) for _ in range(rounds)]
                cpu, clock = (max(of) for of in zip(*pauses, strict=True))
                met = met and cpu < LIMIT
                words = "met" if cpu < LIMIT else "NOT MET"
                what = f"{kind.__name__}, {at_once} at once"
                print(f"{what}: CPU {cpu:.1f} ms, clock {clock:.1f} ms: {words}", flush=True)
    return met


def main() -> int:
    """Measure; return the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--against", type=Path)
    arguments = parser.parse_args()
    if arguments.against is not None:
        print(arguments.against, flush=True)
        again = [sys.executable, __file__, "--rounds", str(arguments.rounds)]
        environment = {**os.environ, "PYTHONPATH": str(arguments.against.resolve())}
        subprocess.run(again, env=environment, check=False)
        print("here", flush=True)
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=serve, args=(theirs,))
    process.start()
    try:
        met = asyncio.run(measure(f"127.0.0.1:{ours.recv()}", arguments.rounds))
    finally:
        process.terminate()
        process.join()
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
