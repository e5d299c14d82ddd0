"""What a shared cache adds to a `resolve()`: with Redis up, killed, hanging, and looked at late.

    python tests/benchmarks/redis_outage.py

Needs `redis-server`. Names are resolved one after another, and then many at once, each asked for
the first time; the plug-ins answer after a moment, as the network does. Prints milliseconds, and
what the slowest takes more than the slowest with memory alone. A delay of 100 ms is one time-out:
once a second somebody looks whether Redis is back. In the last row Redis is well, but the event
loop is held up for 0.12 s once a second: nothing may fail. The last column counts what failed.
"""

import asyncio
import itertools
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from redis.asyncio import Redis

from matrix_resolve import AnswerCache, CacheFailed, MemoryCache, open_resolver
from matrix_resolve.backends.cache_redis.cache import RedisCache
from matrix_resolve.backends.cache_tiered import TieredCache
from matrix_resolve.testing import FakeAddresses, FakeSrv, FakeWellKnown

sys.path.append(str(Path(__file__).parents[1]))
from servers import RedisServer, running_redis

SECONDS = 5.0  # that names are resolved one after another
AT_ONCE = 100
NETWORK = 0.02  # seconds that a plug-in takes
HOLD_UP = 0.12  # seconds, once a second
numbers = itertools.count()
failures: list[CacheFailed] = []


def note(event: object) -> None:
    """Note what has failed."""
    if isinstance(event, CacheFailed):
        failures.append(event)


def hold_up() -> None:
    """Hold the event loop up, now and once a second."""
    time.sleep(HOLD_UP)
    asyncio.get_running_loop().call_later(1.0, hold_up)


async def measure(cache: AnswerCache, before: Callable[[], None]) -> tuple[list[float], ...]:
    """Return how long resolves took (seconds) after `before`: in a row, and at once."""
    async with open_resolver(
        well_known=FakeWellKnown(delay=NETWORK),
        srv=FakeSrv(delay=NETWORK),
        addresses=FakeAddresses(),
        cache=cache,
        hooks=[note],
    ) as resolver:

        async def timed() -> float:
            started = time.perf_counter()
            await resolver.resolve(f"{next(numbers)}.example")
            return time.perf_counter() - started

        await asyncio.gather(*(timed() for _ in range(AT_ONCE)))  # connected, compiled
        failures.clear()
        before()
        in_a_row = []
        until = time.monotonic() + SECONDS
        while time.monotonic() < until:
            in_a_row.append(await timed())
        await asyncio.sleep(1.1)  # so that nobody knows any more that it is down
        return in_a_row, await asyncio.gather(*(timed() for _ in range(AT_ONCE)))


async def compare(server: RedisServer) -> None:
    """Measure each state of Redis, and print a table."""
    states: dict[str, Callable[[], None]] = {
        "Redis up": lambda: None,
        "killed": server.kill,
        "hanging": server.hang,
        "loop held up": hold_up,
    }
    alone = await measure(MemoryCache(), lambda: None)
    print(
        f"{'':12}  one after another: median   slowest    more  at once: median   slowest    more"
        "  failures"
    )
    show("memory alone", alone, alone)
    for state, before in states.items():
        server.ensure_running()
        async with Redis(host="127.0.0.1", port=server.port) as client:
            cache = TieredCache(MemoryCache(), RedisCache(client))
            show(state, await measure(cache, before), alone)


def show(state: str, taken: tuple[list[float], ...], alone: tuple[list[float], ...]) -> None:
    """Print one line of the table."""
    row = [f"{state:12}"]
    for times, least, width in zip(taken, alone, (26, 16), strict=True):
        median, slowest = sorted(times)[len(times) // 2], max(times)
        more = slowest - max(least)
        row.append(f"{median * 1e3:{width}.1f}{slowest * 1e3:10.1f}{more * 1e3:8.1f}")
    print("".join(row) + f"{len(failures):10}")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as directory, running_redis(Path(directory)) as running:
        asyncio.run(compare(running))
