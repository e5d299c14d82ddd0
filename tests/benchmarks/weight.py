"""What a resolved name takes: memory, objects that the collector visits, and its longest visit."""

import asyncio
import gc
import time
import tracemalloc
from collections.abc import Callable, Sequence
from typing import Final

from matrix_resolve import Resolver
from tests.benchmarks.figures import Figure, Scale
from tests.benchmarks.strangers import Strangers, names_of

_NAMES: Final = 10_000
_MANY: Final = 100_000
_BEFORE: Final = 200
# So many at once are too many for SRV lookups to have a head start, and so few are not.
_BUSY, _QUIET = 50, 9


async def _resolve_all(resolver: Resolver, first: int, count: int, at_once: int) -> None:
    """Resolve names of which nobody but the resolver keeps anything."""
    for start in range(first, first + count, at_once):
        names = names_of("srv", start, min(at_once, first + count - start))
        await asyncio.gather(*map(resolver.resolve, names))


async def _grown(count: int, at_once: int, weigh: Callable[[], int]) -> float:
    """Return by how much each name grows what `weigh` tells."""
    # With a delay, records are there before the document is, if they were asked for.
    async with Strangers(delay=0.001).resolver() as resolver:
        await _resolve_all(resolver, 0, _BEFORE, at_once)  # what is made once is made now
        gc.collect()
        before = weigh()
        await _resolve_all(resolver, _BEFORE, count, at_once)
        gc.collect()
        return (weigh() - before) / count


async def _traced(count: int, at_once: int) -> float:
    tracemalloc.start()
    try:
        return await _grown(count, at_once, lambda: tracemalloc.get_traced_memory()[0])
    finally:
        tracemalloc.stop()


async def _tracked(count: int, at_once: int) -> float:
    return await _grown(count, at_once, lambda: len(gc.get_objects()))


async def _collections(scale: Scale) -> Sequence[float]:
    """Return the milliseconds of full collections while very many names are known."""
    taken = []
    async with Strangers().resolver() as resolver:
        await _resolve_all(resolver, 0, scale.of(_MANY, _NAMES // 10), _BUSY)
        gc.collect()
        for _ in range(scale.rounds):
            started = time.perf_counter()
            gc.collect()
            taken.append((time.perf_counter() - started) * 1e3)
    return taken


async def measure(scale: Scale) -> list[Figure]:
    """Measure names with a well-known and SRV records. These figures hardly vary: few rounds do."""
    count, few = scale.of(_NAMES, 500), range(min(scale.rounds, 3))
    figures = []
    for at_once, when in ((_BUSY, "50 at once"), (_QUIET, "9 at once, SRV with a head start")):
        figures += [
            Figure(
                name=f"memory of a name, resolved {when}",
                unit="B",
                ours=[await _traced(count, at_once) for _ in few],
                bound=1500,
            ),
            Figure(
                name=f"tracked objects of a name, resolved {when}",
                ours=[await _tracked(count, at_once) for _ in few],
                bound=8,
            ),
        ]
    name = "longest full collection, 100,000 names known"
    return [*figures, Figure(name=name, unit="ms", ours=await _collections(scale), judged="max")]
