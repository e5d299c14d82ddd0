"""What a cold `resolve()` costs of our own code, in CPU time; and a cached one.

    python tests/benchmarks/cold_path.py [--rounds N] [--against DIRECTORY]

Plug-ins are made up and answer at once, so nothing but the resolver is measured. Each round is a
process of its own. `--against` takes another checkout of this package, whose rounds take turns
with ours (A, B, A, B, ...): look at the ratios of the medians, the figures are the machine's.
"""

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, Final

from matrix_resolve import HttpResponse, MemoryCache, Resolver
from matrix_resolve.testing import FakeAddresses, FakeSrv, FakeWellKnown

NAMES: Final = 2_000
AT_ONCE: Final = 50
CALLERS: Final = 10_000
CACHED: Final = 100_000
_ROOT: Final = Path(__file__).parents[2]

Figures = dict[str, float]


def _resolver(well_known: FakeWellKnown) -> Resolver:
    return Resolver(
        well_known=well_known, srv=FakeSrv(), addresses=FakeAddresses(), cache=MemoryCache()
    )


async def _cpu(work: Callable[[], Awaitable[Any]], count: int) -> float:
    """Return the microseconds of CPU time that each of `count` took."""
    started = time.process_time()
    await work()
    return (time.process_time() - started) / count * 1e6


async def cold(document: Any) -> float:
    """Resolve names never met before, so many at once."""
    names = [f"n{number}.example" for number in range(NAMES)]
    async with _resolver(FakeWellKnown(dict.fromkeys(names, document))) as resolver:

        async def all_names() -> None:
            for first in range(0, NAMES, AT_ONCE):
                await asyncio.gather(*map(resolver.resolve, names[first : first + AT_ONCE]))

        return await _cpu(all_names, NAMES)


async def callers() -> float:
    """Have many callers wait for one cold name."""
    well_known = FakeWellKnown({"a.example": {"m.server": "b.example:1"}}, delay=0.01)
    async with _resolver(well_known) as resolver:
        waiting = [resolver.resolve("a.example") for _ in range(CALLERS)]
        return await _cpu(lambda: asyncio.gather(*waiting), CALLERS)


async def cancelling(count: int) -> float:
    """Cancel so many who wait for one cold name."""

    async def never(_: str) -> None:
        await asyncio.Event().wait()

    async with _resolver(FakeWellKnown({"a.example": never})) as resolver:
        waiting = [asyncio.ensure_future(resolver.resolve("a.example")) for _ in range(count)]
        for _ in range(10):
            await asyncio.sleep(0)

        async def cancel() -> None:
            for task in waiting:
                task.cancel()
            await asyncio.wait(waiting)

        return await _cpu(cancel, count)


async def cached() -> float:
    """Resolve one name again and again."""
    async with _resolver(FakeWellKnown({"a.example": {"m.server": "b.example:1"}})) as resolver:
        await resolver.resolve("a.example")

        async def again() -> None:
            for _ in range(CACHED):
                await resolver.resolve("a.example")

        return await _cpu(again, CACHED)


async def figures() -> Figures:
    """Measure everything once."""
    document = HttpResponse(200, [], b'{"m.server": "matrix.example.org:443"}', "")
    return {
        "cold, well-known with a port": await cold(document),
        "cold, well-known without a port": await cold({"m.server": "matrix.example.org"}),
        "cold, nothing published": await cold(None),
        f"each of {CALLERS:,} callers of a cold name": await callers(),
        "cancelling each of 1,000 waiters": await cancelling(1_000),
        "cancelling each of 30,000 waiters": await cancelling(30_000),
        "cached": await cached(),
    }


def measured(checkout: Path) -> Figures:
    """Measure a checkout, in a new process."""
    environment = {**os.environ, "PYTHONPATH": str(checkout)}
    command = [sys.executable, __file__, "--child"]
    run = subprocess.run(command, env=environment, check=True, capture_output=True, timeout=300)
    found: Figures = json.loads(run.stdout)
    return found


def tell(ours: Sequence[Figures], others: Sequence[Figures]) -> None:
    """Print a line for each figure: medians, from least to most, and the ratio of the medians."""
    for name in ours[0]:
        columns = []
        for rounds in (ours, others):
            values = [found[name] for found in rounds]
            if values:
                spread = f"({min(values):.2f}-{max(values):.2f})"
                columns.append((statistics.median(values), spread))
        told = "".join(f"{median:10.2f} us {spread:18}" for median, spread in columns)
        ratio = f"  ratio {columns[0][0] / columns[1][0]:.2f}" if others else ""
        print(f"{name:42}{told}{ratio}")


def main() -> None:
    """Take turns, and print what was measured."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--against", type=Path)
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        print(json.dumps(asyncio.run(figures())))
        return
    ours: list[Figures] = []
    others: list[Figures] = []
    for _ in range(arguments.rounds):
        ours.append(measured(_ROOT))
        if arguments.against is not None:
            others.append(measured(arguments.against))
    tell(ours, others)


if __name__ == "__main__":
    main()
