"""Names that are not known yet, 50 at once, with a cache in a file, against one in memory.

Time by the clock on the wall, since the file has a thread of its own; blocks of names in turn. And
the longest pause of the event loop meanwhile, the collector being off: how much later than it
should a timer comes that is set for the next millisecond. With servers most of that is 50
beginnings of TLS in one turn of the loop, so it is compared; it has its bound where plug-ins answer
after a moment without any. Then the same names after a restart, from the file.
"""

import asyncio
import gc
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any, Final

from attrs import evolve

from matrix_resolve import AnswerCache, MemoryCache, Resolver, SqliteCache
from matrix_resolve.testing import FakeAddresses, FakeSrv, FakeWellKnown
from tests.benchmarks.cold import AT_ONCE
from tests.benchmarks.figures import Figure, Scale
from tests.benchmarks.network import new_names, serving

_NAMES: Final = 1_000
_TICK: Final = 0.001
# Seconds that a plug-in takes where there are no servers.
_DELAY: Final = 0.02

Opens = Callable[[AnswerCache], AbstractAsyncContextManager[Resolver]]


@asynccontextmanager
async def _watched() -> AsyncIterator[list[float]]:
    """Watch the event loop; the list gets its longest pause (milliseconds)."""
    pauses: list[float] = []
    told: list[float] = []

    async def watch() -> None:
        while True:
            since = time.perf_counter()
            await asyncio.sleep(_TICK)
            pauses.append((time.perf_counter() - since - _TICK) * 1e3)

    watching = asyncio.create_task(watch())
    await asyncio.sleep(0)
    try:
        yield told
    finally:
        watching.cancel()
        await asyncio.wait([watching])
        told.append(max(pauses, default=0.0))


async def _taken(
    work: Callable[[str], Awaitable[Any]], names: Sequence[str]
) -> tuple[float, float]:
    """Return how long all names took (milliseconds), and the longest pause meanwhile."""
    gc.collect()
    gc.disable()
    try:
        async with _watched() as pause:
            started = time.perf_counter()
            for first in range(0, len(names), AT_ONCE):
                await asyncio.gather(*map(work, names[first : first + AT_ONCE]))
            taken = time.perf_counter() - started
    finally:
        gc.enable()
    return taken * 1e3, pause[0]


def _without_servers(cache: AnswerCache) -> Resolver:
    """Return a resolver for which nothing is published, of which it hears after a moment."""
    return Resolver(
        well_known=FakeWellKnown(delay=_DELAY),
        srv=FakeSrv(delay=_DELAY),
        addresses=FakeAddresses(),
        cache=cache,
    )


async def _compared(what: str, kind: str, opens: Opens, path: Path, scale: Scale) -> list[Figure]:
    """Compare both caches in resolvers that are opened by `opens`."""
    count, has_servers = scale.of(_NAMES, AT_ONCE), opens is not _without_servers
    rounds = []
    async with (
        SqliteCache(path) as file,
        opens(file) as ours,
        opens(MemoryCache()) as alone,
    ):
        for number in range(scale.rounds + 1):
            names, taken = new_names(kind, count), {}
            turns = [(ours, names), (alone, new_names(kind, count))]
            for resolver, its_names in turns if number % 2 else turns[::-1]:
                taken[resolver] = await _taken(resolver.resolve, its_names)
            await file.flush()
            async with (
                SqliteCache(path) as reopened,
                _without_servers(reopened) as restarted,
            ):
                again = await _taken(restarted.resolve, names)
            if number:  # in the first round much is done for the first time
                rounds.append((*taken[ours], *taken[alone], *again))
    time_ours, pause_ours, time_alone, pause_alone, time_again, pause_again = zip(
        *rounds, strict=True
    )
    name = f"1,000 cold names, {what}, a file"
    pause = Figure(name=f"{name}: longest pause", unit="ms", ours=pause_ours)
    again_name = f"1,000 names, {what}, from the file after a restart"
    return [
        Figure(
            name=f"{name}: time",
            unit="ms",
            ours=time_ours,
            floor=time_alone,
            bound=1.3 if has_servers else None,
        ),
        evolve(pause, floor=pause_alone) if has_servers else evolve(pause, bound=20),
        Figure(name=f"{again_name}: time", unit="ms", ours=time_again),
        Figure(
            name=f"{again_name}: longest pause",
            unit="ms",
            ours=pause_again,
            bound=20,
        ),
    ]


async def measure(scale: Scale) -> list[Figure]:
    """Measure both kinds of name by real sockets, and names without."""
    with serving() as network, tempfile.TemporaryDirectory() as directory:
        by_sockets: Opens = lambda cache: network.resolver(cache=cache)  # noqa: E731
        figures = []
        for what, kind, opens in (
            ("well-known with a port", "port", by_sockets),
            ("nothing published", "none", by_sockets),
            ("plug-ins without servers", "none", _without_servers),
        ):
            path = Path(directory) / f"{what}.sqlite"
            figures += await _compared(what, kind, opens, path, scale)
        return figures
