"""Replays a load against a real resolver, in an event loop whose time leaps."""

import asyncio
import gc
import itertools
import random
import time
from array import array
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any, Final

from attrs import define, field

from matrix_resolve import MatrixResolveError, MemoryCache, Policy, Resolver
from tests.benchmarks.load import HOUR, Hour, Load, name_of
from tests.benchmarks.simulated import Network
from tests.leaping import LeapingLoop

# How long (seconds) a federation client keeps an idle connection by default; who is asked again
# within that need not be dialled, so no addresses are wanted.
_KEEPALIVE: Final = 15.0
_START: Final = 1_800_000_000.0


class SimulatedClock:
    """Tells the time of a loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.monotonic = loop.time

    def time(self) -> float:
        """Return Unix seconds."""
        return _START + self.monotonic()


class Pauses:
    """How long the event loop was held up, in seconds of CPU: with the collector's work, without.

    A pause is what lies between two looks at the clock: one callback or a few. `lap` ends it.
    """

    def __init__(self) -> None:
        self.names: Callable[[], int] = lambda: 0
        """How many names have been met."""
        self.clear()

    def clear(self) -> None:
        """Begin anew."""
        self._since = time.thread_time()
        self._collecting = self._collecting_since = self._all_collecting = 0.0
        self._begun = self._since
        self.longest_at = 0  # the names that had been met when the longest without came
        self.longest = self.longest_without = self.longest_collection = 0.0

    def lap(self) -> None:
        """End a pause, and begin another."""
        now = time.thread_time()
        took = now - self._since
        if took > self.longest:
            self.longest = took
        if took - self._collecting > self.longest_without:
            self.longest_without = took - self._collecting
            self.longest_at = self.names()
        self._since, self._collecting = now, 0.0

    def figures(self) -> dict[str, float]:
        """Return the longest ones since `clear` in ms, and the collector's part of all time."""
        return {
            "longest": 1000 * self.longest,
            "longest_without": 1000 * self.longest_without,
            "longest_at": self.longest_at,
            "longest_collection": 1000 * self.longest_collection,
            "collector_share": self._all_collecting / max(time.thread_time() - self._begun, 1e-9),
        }

    def __enter__(self) -> "Pauses":
        gc.callbacks.append(self._collected)
        return self

    def __exit__(self, *_: object) -> None:
        gc.callbacks.remove(self._collected)

    def _collected(self, phase: str, _: dict[str, int]) -> None:
        if phase == "start":
            self._collecting_since = time.thread_time()
            return
        took = time.thread_time() - self._collecting_since
        self._collecting += took
        self._all_collecting += took
        self.longest_collection = max(self.longest_collection, took)


@define(eq=False)
class _Leg:
    """One who resolves what comes next, until a resolve has to wait and another takes over."""

    is_watched: bool = False
    is_resolving: bool = False
    is_relieved: bool = False


def no_lap() -> None:
    """Measure no pauses."""


@define(eq=False)
class Replay:
    """A load as it comes, against one resolver.

    Resolves that need not wait follow each other without a turn of the loop, and time leaps while
    nothing is under way: a day takes seconds. `stops_at` is when to stop early, by the clock of
    `time.monotonic`; `lap` is called after each resolve; `dials`: addresses are wanted too.
    """

    loop: LeapingLoop
    resolver: Resolver
    cache: MemoryCache
    network: Network
    load: Load
    lap: Callable[[], None] = no_lap
    stops_at: float = float("inf")
    dials: bool = True
    distinct: int = 0
    hours: list[Hour] = field(factory=list)
    _seen: "array[float]" = field(init=False)
    _arrivals: Iterator[tuple[float, int]] = field(init=False)
    _until: Callable[[], bool] = field(init=False)
    _legs: int = 0
    _is_busy: bool = True

    def __attrs_post_init__(self) -> None:
        self._seen = array("d", bytes(8 * len(self.load)))

    async def run(
        self, until: Callable[[], bool], arrivals: Iterator[tuple[float, int]] | None = None
    ) -> None:
        """Replay until `until` is true, or as long as there is time."""
        self._until = until
        # From now on: those before had to be waited for, and time went on meanwhile.
        self._arrivals = self.load.arrivals(self.loop.time()) if arrivals is None else arrivals
        async with asyncio.TaskGroup() as group:
            self._begin_leg(group)

    async def run_hour(self) -> bool:
        """Replay an hour and count it, unless it is time to stop; return whether it was done."""
        end = self.loop.time() + HOUR
        self.network.hour = Hour()
        await self.run(lambda: self.loop.time() >= end)
        if self.is_late:
            return False
        self.hours.append(self.network.hour)
        return True

    @property
    def is_late(self) -> bool:
        """Whether it is time to stop early."""
        return time.monotonic() >= self.stops_at

    def _begin_leg(self, group: asyncio.TaskGroup) -> None:
        self._legs += 1
        group.create_task(self._run_leg(_Leg(), group))

    def _relieve(self, leg: _Leg, group: asyncio.TaskGroup) -> None:
        leg.is_watched = False
        if leg.is_resolving:
            leg.is_relieved = self._is_busy = True
            self._begin_leg(group)

    async def _run_leg(self, leg: _Leg, group: asyncio.TaskGroup) -> None:
        for count in itertools.count():
            if self._until() or (count % 64 == 0 and self.is_late):
                break
            arrival = next(self._arrivals, None)
            if arrival is None:
                break
            at, number = arrival
            if at > self.loop.time():
                await self._pass_until(at)
            if not leg.is_watched:
                leg.is_watched = True
                self.loop.call_soon(self._relieve, leg, group)
            leg.is_resolving = True
            await self._resolve(number, leg)
            leg.is_resolving = False
            self.lap()
            if leg.is_relieved:
                break
        self._legs -= 1

    async def _resolve(self, number: int, leg: _Leg) -> None:
        """Resolve a name, count how that went, and find its addresses if it has to be dialled."""
        now = self.loop.time()
        resolution = await self.resolver.resolve(name_of(number))
        hour = self.network.hour
        hour.late += self.loop.time() - now > 1
        if not leg.is_relieved:
            hour.kept += 1
        elif all(entry.from_cache for entry in resolution.trail):
            hour.remembered += 1
        else:
            hour.waited += 1
        last, self._seen[number] = self._seen[number], now
        self.distinct += not last
        if self.dials and now - last > _KEEPALIVE:
            with suppress(MatrixResolveError):  # it may have none
                await self.resolver.endpoints(resolution)

    async def _pass_until(self, moment: float) -> None:
        """Let time pass: at once while nothing is under way."""
        if self._is_busy:
            # Beside those of the library there are this leg and who waits for all of them.
            if self._legs > 1 or self.network.under_way or len(asyncio.all_tasks()) > 2:
                await asyncio.sleep(moment - self.loop.time())
                return
            self._is_busy = False
        self.loop.leap(moment - self.loop.time())


def replayed(
    story: Callable[[Replay], Any],
    load: Load,
    policy: Policy,
    *,
    network: Callable[[LeapingLoop], Network] = Network,
    turned: Callable[[], None] = no_lap,
    seconds: float = float("inf"),
    seed: int = 0,
) -> Any:
    """Return what `story` makes of a replay with a resolver and a cache of its own.

    `turned` is called at each turn of the loop and after each resolve; `seconds` is how long the
    replay may take.
    """

    async def told() -> Any:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, LeapingLoop)
        clock, plug_ins = SimulatedClock(loop), network(loop)
        cache = MemoryCache(max_answers=policy.max_answers, clock=clock)
        async with Resolver(
            well_known=plug_ins,
            srv=plug_ins,
            addresses=plug_ins,
            cache=cache,
            policy=policy,
            clock=clock,
            rng=random.Random(seed),
        ) as resolver:
            replay = Replay(
                loop, resolver, cache, plug_ins, load, turned, time.monotonic() + seconds
            )
            return await story(replay)

    with asyncio.Runner(loop_factory=lambda: LeapingLoop(turned)) as runner:
        return runner.run(told())
