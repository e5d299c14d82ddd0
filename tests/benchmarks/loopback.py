"""How long a loopback federation takes to start, to serve, and to end under hanging clients.

    python tests/benchmarks/loopback.py [--servers N]

Starts a federation, sends one request to each of its servers, and ends it while clients wait for
answers that never come. Prints milliseconds; nothing is compared.
"""

import argparse
import asyncio
import math
import time
from contextlib import suppress
from itertools import pairwise
from typing import Final

from matrix_resolve.testing import LoopbackFederation, Slow

HANGING: Final = 50


async def request(federation: LoopbackFederation, host: str) -> bytes:
    """Send one request to `host` at port 8448, and return the first line of what comes back."""
    reader, writer = await asyncio.open_connection(
        *federation.connect_to[host, 8448],
        ssl=federation.client_ssl_context(),
        server_hostname=host,
    )
    try:
        writer.write(f"GET / HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
        return await reader.readline()
    finally:
        writer.transport.abort()


async def measure(servers: int) -> None:
    """Print each of the three."""
    hosts = [f"x{number}.example" for number in range(servers)]
    moments = [time.perf_counter()]
    async with LoopbackFederation() as federation:
        for host in hosts:
            federation.add(host)
        moments.append(time.perf_counter())
        for host in hosts:
            assert (await request(federation, host)).startswith(b"HTTP/1.1 200")
        moments.append(time.perf_counter())
        federation.add("silent.example", serves=Slow(math.inf))
        waiting = [
            asyncio.create_task(request(federation, "silent.example")) for _ in range(HANGING)
        ]
        while federation.request_counts["silent.example", "/"] < HANGING:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        moments.append(time.perf_counter())
    moments.append(time.perf_counter())
    for task in waiting:
        with suppress(OSError):
            await task
    declared, served, _, ended = ((after - before) * 1000 for before, after in pairwise(moments))
    print(f"declaring {servers} servers: {declared:.0f} ms")
    print(f"a request to each, the certificate made for it: {served:.0f} ms")
    print(f"ending under {HANGING} clients that wait: {ended:.0f} ms")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--servers", type=int, default=10)
    asyncio.run(measure(parser.parse_args().servers))
