"""Names that are not known yet, 50 at once, against a bare GET of the same document.

All of it in one process and by the same servers, blocks of names in turn; CPU time of this process
with all its threads, what a block puts off for a second included. Against aiohttp with aiodns is
what a fetch costs who knows nothing of Matrix; against asyncio's TLS, with aiodns too, is what it
costs who does not even need aiohttp.
"""

import asyncio
import gc
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

from tests.benchmarks.figures import Figure, Scale
from tests.benchmarks.floors import aiohttp_get, asyncio_get
from tests.benchmarks.network import Network, new_names, serving

AT_ONCE: Final = 50
_BLOCK: Final = 500
# Seconds after a block in which what it has put off is done: a timer, a connection that parts, a
# channel of a name server. It would fall on the next block, which is another's.
_SETTLED: Final = 1.2
# Kind of name -> what it is, the step that decides it, what its document holds, the bound.
_KINDS: Final = {
    "port": ("well-known with a port", "3.2", b"m.server", 1.12),
    "none": ("nothing published", "6", b"M_NOT_FOUND", 1.28),
}


async def cpu_of(
    work: Callable[[str], Awaitable[Any]], names: Sequence[str], settled: float = 0.0
) -> float:
    """Return the microseconds of CPU time that each name took, 50 at once, and what follows."""
    gc.collect()
    started = time.process_time()
    for first in range(0, len(names), AT_ONCE):
        await asyncio.gather(*map(work, names[first : first + AT_ONCE]))
    await asyncio.sleep(settled)
    return (time.process_time() - started) / len(names) * 1e6


async def _kind(network: Network, kind: str, scale: Scale) -> list[Figure]:
    what, step, content, bound = _KINDS[kind]
    async with (
        network.resolver() as resolver,
        aiohttp_get(network) as by_aiohttp,
        asyncio_get(network) as by_asyncio,
    ):
        works = (resolver.resolve, by_aiohttp, by_asyncio)
        (name,) = new_names(kind, 1)
        resolution = await resolver.resolve(name)
        assert (resolution.step.value, resolution.degraded) == (step, False), resolution.explain()
        assert content in await by_aiohttp(name)
        assert content in await by_asyncio(name)
        columns: tuple[list[float], ...] = ([], [], [])
        count = scale.of(_BLOCK, AT_ONCE)
        for number in range(scale.rounds + 1):
            for place in range(3):
                turn = (place + number) % 3
                settled = 0.0 if scale.quick else _SETTLED
                taken = await cpu_of(works[turn], new_names(kind, count), settled)
                if number:  # the first round is not counted: much is done for the first time
                    columns[turn].append(taken)
    ours, aiohttp_floor, asyncio_floor = columns
    return [
        Figure(
            name=f"cold, {what}: CPU against aiohttp + aiodns",
            unit="us",
            ours=ours,
            floor=aiohttp_floor,
            bound=bound,
        ),
        Figure(
            name=f"cold, {what}: CPU against asyncio TLS",
            unit="us",
            ours=ours,
            floor=asyncio_floor,
        ),
    ]


async def measure(scale: Scale) -> list[Figure]:
    """Measure both kinds of name."""
    with serving() as network:
        return [figure for kind in _KINDS for figure in await _kind(network, kind, scale)]
