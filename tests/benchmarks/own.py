"""Our own code in a cold resolve: plug-ins answer at once. And very many callers of one name."""

import asyncio
import gc
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

from matrix_resolve import MemoryCache, Resolver
from matrix_resolve.testing import FakeAddresses, FakeSrv, FakeWellKnown
from tests.benchmarks.cold import cpu_of
from tests.benchmarks.figures import Figure, Scale
from tests.benchmarks.strangers import Strangers, names_of

_BLOCK: Final = 2_000
_CALLERS: Final = 10_000
_FEW, _MANY = 1_000, 30_000
_KINDS: Final = {
    "port": "well-known with a port",
    "srv": "well-known and SRV",
    "none": "nothing published",
}


async def _own_code(scale: Scale) -> list[Figure]:
    """Resolve names never met before, 50 at once."""
    figures = []
    count = scale.of(_BLOCK, 100)
    async with Strangers().resolver() as resolver:
        for kind, what in _KINDS.items():
            rounds = [
                await cpu_of(resolver.resolve, names_of(kind, count * number, count))
                for number in range(scale.rounds + 1)
            ]
            figures.append(Figure(name=f"cold, our own code: {what}", unit="us", ours=rounds[1:]))
    return figures


def _one_name(answer: Callable[[str], Awaitable[Any]]) -> Resolver:
    return Resolver(
        well_known=FakeWellKnown({"a.example": answer}),
        srv=FakeSrv(),
        addresses=FakeAddresses(),
        cache=MemoryCache(),
    )


async def _callers(count: int) -> float:
    """Have many wait for one cold name; return the microseconds of CPU time of each."""

    async def late(_: str) -> dict[str, str]:
        await asyncio.sleep(0.01)
        return {"m.server": "b.example:1"}

    async with _one_name(late) as resolver:
        waiting = [resolver.resolve("a.example") for _ in range(count)]
        gc.collect()
        started = time.process_time()
        await asyncio.gather(*waiting)
        return (time.process_time() - started) / count * 1e6


async def _seconds_to_cancel(waiting: Sequence[asyncio.Future[Any]]) -> float:
    """Cancel tasks that wait; return the seconds of CPU time."""
    for _ in range(10):
        await asyncio.sleep(0)
    gc.collect()
    started = time.process_time()
    for task in waiting:
        task.cancel()
    await asyncio.wait(waiting)
    return time.process_time() - started


async def _cancelling(count: int) -> float:
    """Cancel so many who wait for one cold name; return the seconds of CPU time."""

    async def never(_: str) -> None:
        await asyncio.Event().wait()

    async with _one_name(never) as resolver:
        waiting = [asyncio.ensure_future(resolver.resolve("a.example")) for _ in range(count)]
        return await _seconds_to_cancel(waiting)


async def _cancelling_bare(count: int) -> float:
    """Cancel so many tasks that wait for a future each; return the seconds of CPU time."""

    async def wait() -> None:
        await asyncio.get_running_loop().create_future()

    return await _seconds_to_cancel([asyncio.ensure_future(wait()) for _ in range(count)])


async def _cancellings(scale: Scale) -> list[Figure]:
    """Compare cancelling many at once with cancelling as many, few at a time.

    Each of many tasks is dearer to cancel than each of few, whatever they wait for; so it is the
    growth beyond that of bare tasks that must not be.
    """
    many = scale.of(_MANY, 2 * _FEW)
    columns: list[tuple[float, float]] = []
    bare: list[float] = []
    for _ in range(scale.rounds):
        for cancelling in (_cancelling, _cancelling_bare):
            at_once = await cancelling(many)
            in_turn = sum([await cancelling(_FEW) for _ in range(many // _FEW)])
            if cancelling is _cancelling:
                columns.append((at_once / many * 1e6, in_turn / many * 1e6))
            else:
                bare.append(at_once / in_turn)
    ours, floor = zip(*columns, strict=True)
    name = "cancelling each of 30,000 waiters, against each of 1,000"
    growth = [most / least for most, least in columns]
    return [
        Figure(name=name, unit="us", ours=ours, floor=floor),
        Figure(name=f"{name}: over bare tasks", unit="x", ours=growth, floor=bare, bound=1),
    ]


async def measure(scale: Scale) -> list[Figure]:
    """Measure everything."""
    callers = scale.of(_CALLERS, 100)
    each = Figure(
        name="callers of one cold name, each of 10,000",
        unit="us",
        ours=[await _callers(callers) for _ in range(scale.rounds)],
        bound=130,
    )
    return [*await _own_code(scale), each, *await _cancellings(scale)]
