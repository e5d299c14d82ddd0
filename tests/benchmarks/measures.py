"""What is measured of a replay: rates over days, pauses and memory at full size, bytes a name."""

import asyncio
import gc
import os
import time
import tracemalloc
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from attrs import asdict, field, frozen

from matrix_resolve import MatrixResolveError, Policy
from tests.benchmarks.load import HOUR, Hour, Load, name_of
from tests.benchmarks.replay import Pauses, Replay, replayed
from tests.benchmarks.simulated import Network

MIB: Final = 1024 * 1024
# From about so many resolves a second on more than ten fetches are under way most of the time, and
# SRV lookups have no head start. A sample has fewer at once, so it has to be told.
_HEAD_START_BELOW: Final = 50.0
_A_DAY_LATER: Final = 25 * HOUR

Figures = dict[str, Any]


def resident() -> int:
    """Return how many bytes of memory this process has; 0 where that can't be found out so."""
    statm = Path("/proc/self/statm")
    if not statm.exists():
        return 0
    return int(statm.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@frozen(kw_only=True)
class Setting:
    """A load, and what of the policy is not as by default. `workers` share the load, no cache."""

    label: str
    names: int
    rate: float
    sample: int = 1
    workers: int = 1
    policy: Mapping[str, Any] = field(factory=dict)

    def sampled_policy(self) -> Policy:
        """Return the policy for a sample: bounds as many times smaller."""
        policy = Policy(**self.policy)
        return Policy(
            **{
                "srv_head_start": self.rate / self.workers < _HEAD_START_BELOW,
                **self.policy,
                "max_resolved": max(policy.max_resolved // self.sample, 1),
                "max_answers": max(policy.max_answers // self.sample, 1),
            }
        )


def steady(setting: Setting, *, days: float, seconds: float, seed: int) -> Figures:
    """Replay a sample over days; return what was counted, for the whole and each hour."""

    async def story(replay: Replay) -> Figures:
        began = replay.loop.time()
        while len(replay.hours) < days * 24 and await replay.run_hour():
            pass
        lasted = replay.loop.time() - began
        scale = setting.sample * setting.workers
        whole = replay.hours[-24:]
        return {
            "label": setting.label,
            "setting": asdict(setting),
            "hours": [rates([hour], scale) for hour in replay.hours],
            "last_day": rates(whole, scale),
            "days": len(replay.hours) / 24,
            "fetching": replay.network.fetching_seconds / lasted * scale,
        }

    load = Load(
        names=setting.names,
        rate=setting.rate / setting.workers,
        sample=setting.sample,
        seed=seed,
    )
    figures: Figures = replayed(
        story,
        load,
        setting.sampled_policy(),
        network=lambda loop: Network(loop, seed=seed),
        seconds=seconds,
        seed=seed,
    )
    return figures


def rates(hours: list[Hour], scale: float, seconds: float | None = None) -> Figures:
    """Return ratios of all resolves, and questions a second of the whole load."""
    total = sum(hours, Hour())
    resolves = max(total.resolves, 1)
    scale /= max(len(hours), 1) * HOUR if seconds is None else seconds
    return {
        "resolves": total.resolves,
        "kept": total.kept / resolves,
        "hits": (total.kept + total.remembered) / resolves,
        "late": total.late / resolves,
        "well_known": total.fetches * scale,
        "srv": total.lookups * scale,
        "addresses": total.addresses * scale,
    }


def full_size(*, names: int, rate: float, policy: Policy, seconds: float, seed: int) -> Figures:
    """Replay all names until what is kept is full, and on; return pauses and memory, by phase."""
    pauses = Pauses()

    async def story(replay: Replay) -> Figures:
        phases: list[Figures] = []
        began = time.monotonic()
        before = resident()
        pauses.names = lambda: replay.distinct

        async def phase(label: str, share: float, done: int, once: bool = False) -> None:
            """Replay until so many names have been met, or for a share of the time."""
            gc.collect()
            pauses.clear()
            replay.stops_at = began + share * seconds
            replay.network.hour = hour = Hour()
            since = replay.loop.time()
            replay.dials = not once
            arrivals = replay.load.each_once(since) if once else None
            await replay.run(lambda: replay.distinct >= done, arrivals)
            lasted = replay.loop.time() - since
            phases.append(
                {
                    "phase": label,
                    "names": replay.distinct,
                    "answers": len(replay.cache),
                    "resident": resident() - before,
                    **pauses.figures(),
                    **rates([hour], 1, max(lasted, 1.0)),
                }
            )

        await phase("filling", 0.7, min(policy.max_resolved, names), once=True)
        await phase("full", 0.9, min(replay.distinct + policy.max_resolved // 10, names))
        began_collecting = time.thread_time()
        gc.collect()
        collection = time.thread_time() - began_collecting
        replay.loop.leap(_A_DAY_LATER)
        await phase("a day later", 1.0, min(replay.distinct + policy.max_resolved // 20, names))
        pauses.clear()
        await replay.resolver.invalidate(name_of(0))
        await replay.resolver.resolve(name_of(0))
        return {
            "rate": rate,
            "max_resolved": policy.max_resolved,
            "max_answers": policy.max_answers,
            "phases": phases,
            "collection_ms": 1000 * collection,
            "invalidate_ms": pauses.figures()["longest_without"],
            "fetches_at_once": replay.network.most_fetching,
        }

    with pauses:
        figures: Figures = replayed(
            story,
            Load(names=names, rate=rate, seed=seed),
            policy,
            network=lambda loop: Network(loop, seed=seed),
            turned=pauses.lap,
            seed=seed,
        )
    return figures


def traced(kind: str, *, count: int, seed: int) -> Figures:
    """Return the bytes and the collector-tracked objects that a name of a kind takes."""

    async def story(replay: Replay) -> Figures:
        async def resolve(number: int) -> None:
            await replay.resolver.resolve(name_of(number))

        async def find(number: int) -> None:
            resolution = await replay.resolver.resolve(name_of(number))
            with suppress(MatrixResolveError):  # it may have none
                await replay.resolver.endpoints(resolution)

        async def each(do: Any, numbers: range) -> None:
            for since in range(numbers.start, numbers.stop, 50):
                await asyncio.gather(*map(do, range(since, min(since + 50, numbers.stop))))
            gc.collect()

        await each(resolve, range(count, count + 100))
        taken, tracked = tracemalloc.get_traced_memory()[0], len(gc.get_objects())
        await each(resolve, range(count))
        resolved, objects = tracemalloc.get_traced_memory()[0], len(gc.get_objects())
        answers = len(replay.cache)
        await each(find, range(count))
        return {
            "kind": kind,
            "bytes": (resolved - taken) / count,
            "tracked": (objects - tracked) / count,
            "answers": answers / (count + 100),
            "addresses": (tracemalloc.get_traced_memory()[0] - resolved) / count,
        }

    tracemalloc.start()
    try:
        figures: Figures = replayed(
            story,
            Load(names=1, rate=1),
            Policy(),
            network=lambda loop: Network(loop, seed=seed, kind=kind or None),
            seed=seed,
        )
    finally:
        tracemalloc.stop()
    return figures
