"""Names that are known, against the least that a cache can do: an awaited read of a dictionary."""

import asyncio
import gc
import random
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

from matrix_resolve import Resolver
from tests.benchmarks.figures import Figure, Scale
from tests.benchmarks.strangers import Strangers, names_of

_NAMES: Final = 500
_MANY: Final = 100_000
# A block is so many calls, and a round many blocks, as they are short.
_CALLS: Final = 10_000
_BLOCKS: Final = 5
_BOUND: Final = 1.3 if sys.version_info >= (3, 12) else 1.4
_KINDS: Final = {
    "IP address": [f"10.1.{n // 250}.{n % 250}" for n in range(_NAMES)],
    "name with a port": [f"name-{n}.example.org:8448" for n in range(_NAMES)],
    "well-known with a port": names_of("port", 0, _NAMES),
    "well-known and SRV": names_of("srv", 0, _NAMES),
    "SRV": names_of("fed", 0, _NAMES),
    "nothing published": names_of("none", 0, _NAMES),
}
_SEVERAL: Final = names_of("srv3", 0, _NAMES)

Resolve = Callable[[str], Awaitable[Any]]


class Plain:
    """A dictionary whose entries expire."""

    def __init__(self, names: Sequence[str]) -> None:
        self._entries = {name: (time.time() + 3600, object()) for name in names}

    async def resolve(self, name: str) -> object:
        """Return the entry while it has not expired."""
        entry = self._entries.get(name)
        if entry is not None and time.time() < entry[0]:
            return entry[1]
        raise LookupError(name)


async def _taken(resolve: Resolve, names: Sequence[str]) -> float:
    """Return the nanoseconds that each name took, one after another."""
    started = time.perf_counter_ns()
    for name in names:
        await resolve(name)
    return (time.perf_counter_ns() - started) / len(names)


async def _in_turn(
    name: str, names: Sequence[str], resolver: Resolver, bound: float, scale: Scale
) -> Figure:
    """Take blocks of both in turn; a round is the best of its blocks."""
    plain = Plain(names)
    ours, floor = [], []
    gc.collect()
    for _ in range(scale.rounds):
        pairs = [
            (await _taken(resolver.resolve, names), await _taken(plain.resolve, names))
            for _ in range(_BLOCKS)
        ]
        ours.append(min(pair[0] for pair in pairs))
        floor.append(min(pair[1] for pair in pairs))
    return Figure(name=name, unit="ns", ours=ours, floor=floor, bound=bound, judged="min")


async def _resolve_all(resolver: Resolver, names: Sequence[str]) -> None:
    for first in range(0, len(names), _NAMES):
        await asyncio.gather(*map(resolver.resolve, names[first : first + _NAMES]))


async def _five_hundred(scale: Scale) -> list[Figure]:
    """Resolve 500 names in turn, of every kind."""
    figures, questions = [], 0
    again = scale.of(_CALLS, _NAMES) // _NAMES
    for kind, names in (_KINDS | {"several targets": _SEVERAL}).items():
        strangers = Strangers()
        async with strangers.resolver() as resolver:
            await _resolve_all(resolver, names)
            before = strangers.asked
            title = f"cached, 500 names in turn: {kind}"
            bound = 15 if names is _SEVERAL else _BOUND
            figures.append(await _in_turn(title, names * again, resolver, bound, scale))
            questions += strangers.asked - before
    name = "cached, all of these: questions asked"
    return [*figures, Figure(name=name, ours=[questions], bound=0, judged="max")]


async def _random_order(scale: Scale) -> list[Figure]:
    """Resolve very many names in random order, a part of them in each round."""
    names = names_of("port", 0, scale.of(_MANY, _NAMES))
    strangers = Strangers()
    async with strangers.resolver() as resolver:
        await _resolve_all(resolver, names)
        random.Random(1).shuffle(names)
        await _resolve_all(resolver, names)
        before = strangers.asked
        name = "cached, 100,000 names in random order"
        part = len(names) // _BLOCKS
        plain = Plain(names)
        ours, floor = [], []
        gc.collect()
        for number in range(scale.rounds):
            first = number % _BLOCKS * part
            block = names[first : first + part]
            ours.append(await _taken(resolver.resolve, block))
            floor.append(await _taken(plain.resolve, block))
        asked = strangers.asked - before
    return [
        Figure(name=name, unit="ns", ours=ours, floor=floor, bound=2, judged="min"),
        Figure(name=f"{name}: questions asked", ours=[asked], bound=0, judged="max"),
    ]


async def _after_invalidate(scale: Scale) -> list[Figure]:
    """Resolve names after an `invalidate` of another one: the first alone, and each of 500.

    The first is a single call, and so is the floor that it is held to: a plain read of the same
    name, right after an `invalidate` too. The minima of a round's calls are compared, so that the
    clock's own cost and cold caches count on both sides. Of 500 names it is the mean over all that
    counts, and the floor is that of as many in turn.
    """
    names = _KINDS["well-known with a port"]
    (other,) = names_of("port", _NAMES, 1)
    plain = Plain(names)
    firsts, first_floor, everyone, floor = [], [], [], []
    async with Strangers().resolver() as resolver:
        await _resolve_all(resolver, names)
        await _resolve_all(resolver, names)  # so that they are given without a look
        for _ in range(scale.rounds):
            alone, alone_floor, each = [], [], []
            for name in names[: scale.of(100, 10)]:
                for resolve, taken in ((resolver.resolve, alone), (plain.resolve, alone_floor)):
                    await resolver.resolve(other)
                    await resolver.invalidate(other)
                    taken.append(await _taken(resolve, [name]))
                await resolver.resolve(other)
                await resolver.invalidate(other)
                each.append(await _taken(resolver.resolve, names))
            firsts.append(min(alone))
            first_floor.append(min(alone_floor))
            everyone.append(sum(each) / len(each))
            floor.append(min([await _taken(plain.resolve, names) for _ in range(_BLOCKS)]))
    return [
        Figure(name=name, unit="ns", ours=ours, floor=least, bound=10, judged="min")
        for name, ours, least in (
            ("cached, first hit after an invalidate of another name", firsts, first_floor),
            ("cached, first hits of 500 names after an invalidate of another", everyone, floor),
        )
    ]


async def measure(scale: Scale) -> list[Figure]:
    """Measure everything."""
    return [
        *await _five_hundred(scale),
        *await _random_order(scale),
        *await _after_invalidate(scale),
    ]
