"""The longest single operation of a resolver that knows very many names, the collector being off.

CPU time of the event loop's thread from the end of one operation to the end of the next, so that
what is put off to the event loop counts too and other processes do not. A stall comes at the same
place in each round, so that few of them do.
"""

import asyncio
import gc
import random
import time
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Final

from matrix_resolve import Policy
from matrix_resolve.testing import FakeClock
from tests.benchmarks.figures import Figure, Scale
from tests.benchmarks.strangers import Strangers, names_of

_NAMES: Final = 300_000
_MORE: Final = 30_000
_SOME: Final = 2_000
# So many are hit so often that they are given without another look.
_HOT: Final = 100_000
_BOUND: Final = 15
_ROUNDS: Final = 3
# Seconds, longer than any lifetime and than what is kept in reserve.
_LONG: Final = 30 * 86_400.0

Operation = Callable[[str], Awaitable[Any]]


class _Watch:
    """Keeps the longest operation of each kind (milliseconds)."""

    def __init__(self) -> None:
        self.longest: dict[str, float] = {}

    async def all_of(self, kind: str, operation: Operation, names: Iterable[str]) -> None:
        """Do one after another, and between them what else the event loop has to do."""
        longest, before = 0, time.thread_time_ns()
        for name in names:
            await operation(name)
            await asyncio.sleep(0)
            now = time.thread_time_ns()
            if now - before > longest:
                longest = now - before
            before = now
        self.longest[kind] = longest / 1e6


async def _once(scale: Scale) -> dict[str, float]:
    """Go through the life of a resolver; return the longest operation of each part of it."""
    count, more, some = scale.of(_NAMES, 2_000), scale.of(_MORE, 200), scale.of(_SOME, 50)
    # Each name rests on one answer, so that as many names as answers can be known.
    policy = Policy(max_answers=count, max_resolved=count)
    clock, watch = FakeClock(), _Watch()
    async with Strangers().resolver(policy=policy, clock=clock) as resolver:
        resolve = resolver.resolve
        await watch.all_of("growth", resolve, _stream(0, count))
        await watch.all_of("eviction", resolve, _stream(count, more))
        for name in _stream(more, scale.of(_HOT, 1_000)):  # those that are to go first
            await resolve(name)
        await watch.all_of("eviction among hot names", resolve, _stream(count + more, some))
        known = names_of("port", count + more - some, some)
        await watch.all_of("hits in random order", resolve, _at_random(more, count))
        await watch.all_of("invalidate", resolver.invalidate, known[: some // 2])
        await watch.all_of("asking again after invalidate", resolve, known)
        clock.advance(_LONG)
        await watch.all_of("after all have expired at once", resolve, _at_random(more, count))
        await watch.all_of("eviction of what has expired", resolve, _stream(count + 2 * more, more))
    return watch.longest


def _stream(first: int, count: int) -> Iterable[str]:
    return (names_of("port", number, 1)[0] for number in range(first, first + count))


def _at_random(count: int, of: int) -> Iterable[str]:
    drawn = random.Random(1)
    return (names_of("port", drawn.randrange(of), 1)[0] for _ in range(count))


async def measure(scale: Scale) -> list[Figure]:
    """Go through it a few times: each takes a minute or two."""
    rounds = []
    for _ in range(min(scale.rounds, _ROUNDS)):
        gc.collect()
        gc.disable()
        try:
            rounds.append(await _once(scale))
        finally:
            gc.enable()
    return [
        Figure(
            name=f"longest operation, 300,000 names: {kind}",
            unit="ms",
            ours=[longest[kind] for longest in rounds],
            bound=_BOUND,
        )
        for kind in rounds[0]
    ]
