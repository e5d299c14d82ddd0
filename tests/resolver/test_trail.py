"""The trail: how each answer was found, how long that took, and how it is told as JSON."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest
from leaping import leaping
from worlds import DAY, FED, HOUR, Gate, World, settled

from matrix_resolve import (
    CacheEntry,
    MemoryCache,
    Policy,
    Question,
    Resolution,
    SrvRecord,
    SrvReply,
    WellKnownFetchError,
)
from matrix_resolve.testing import FakeClock

NAME = "a.example"
DOCUMENT = {"m.server": "host.example"}
RECORDS = SrvReply([SrvRecord(3, 4, 8450, "t.example")], 600)


@pytest.fixture
def world() -> World:
    """A world in which the document takes 1.5 s, and the lookup of its records 0.25 s."""
    world = World()

    def after(seconds: float, answer: Any) -> Callable[[str], Any]:
        def told(_: str) -> Any:
            world.clock.advance(seconds)
            return answer

        return told

    world.well_known.answers[NAME] = after(1.5, DOCUMENT)
    world.srv.answers[FED + "host.example"] = after(0.25, RECORDS)
    return world


def told(resolution: Resolution) -> list[tuple[bool, float, float]]:
    """Of each question: is its answer remembered, how long did it take, how long is it kept?"""
    return [
        (entry.from_cache, round(entry.duration, 6), round(entry.kept_for, 3))
        for entry in resolution.trail
    ]


POLICY = Policy(jitter=0, srv_head_start=False, stale_answer_delay=0.02)


async def test_durations(world: World) -> None:
    """What was asked tells for how many seconds, what was remembered took none."""
    async with world.resolver(policy=POLICY) as resolver:
        asked = await resolver.resolve(NAME)
        assert told(asked) == [(False, 1.5, DAY - 0.25), (False, 0.25, 600.0)]
        assert "asked, 1500 ms" in asked.explain()
        resolver._names.clear()
        world.clock.advance(10)
        remembered = await resolver.resolve(NAME)
    assert told(remembered) == [(True, 0.0, DAY - 10.25), (True, 0.0, 590.0)]
    assert remembered.explain().count("from cache") == 2
    assert remembered == asked


async def test_waiting_for_a_slot_counts(world: World) -> None:
    """Seconds count from the question, not from the moment at which its turn has come."""
    gate = world.well_known.answers["busy.example"] = Gate(DOCUMENT)
    policy = Policy(jitter=0, srv_head_start=False, max_well_known_fetches=1)
    async with world.resolver(policy=policy) as resolver:
        busy = asyncio.create_task(resolver.resolve("busy.example"))
        await settled()
        queued = asyncio.create_task(resolver.resolve(NAME))
        await settled()
        world.clock.advance(4)
        gate.opened.set()
        await busy
        assert (await queued).trail[0].duration == pytest.approx(5.5)


def test_what_a_stale_answer_has_waited(world: World) -> None:
    """It is remembered, and took as long as it was held back; the failure is told too."""

    async def story() -> None:
        async with world.resolver(policy=POLICY) as resolver:
            await resolver.resolve(NAME)
            gate: Any = Gate()
            world.well_known.answers[NAME] = gate
            world.clock.advance(25 * HOUR)
            resolving = asyncio.create_task(resolver.resolve(NAME))
            await settled()
            world.clock.advance(1.75)
            first = (await resolving).trail[0]
            assert (first.from_cache, first.stale, first.failure) == (True, True, None)
            assert first.duration == pytest.approx(1.75)
            gate.answer = WellKnownFetchError("down")
            gate.opened.set()
            await settled()
            first = (await resolver.resolve(NAME)).trail[0]
            assert (first.from_cache, first.stale, first.failure) == (True, True, "down")
            assert (first.duration, first.kept_for) == (0.0, 60.0)

    leaping(story())


async def test_to_dict_from_cache(world: World) -> None:
    """Another resolver over the same cache tells the same, but for how and when it was found."""
    async with world.resolver(policy=POLICY) as resolver:
        asked = (await resolver.resolve(NAME)).to_dict()
    world.clock.advance(60)
    async with world.resolver(policy=POLICY) as resolver:
        remembered = (await resolver.resolve(NAME)).to_dict()
        assert resolver.peek(NAME).to_dict() == remembered  # type: ignore[union-attr]
    assert json.loads(json.dumps(remembered)) == remembered
    assert [entry["duration"] for entry in asked["trail"]] == [1.5, 0.25]
    for was, now in zip(asked["trail"], remembered["trail"], strict=True):
        assert (was.pop("from_cache"), now.pop("from_cache")) == (False, True)
        assert now.pop("duration") == 0.0 < was.pop("duration")
        # It was all decided upon when the last lookup had ended.
        assert now.pop("kept_for") == pytest.approx(was.pop("kept_for") - 60)
    assert remembered == asked
    assert remembered["targets"] == [
        {"host": "t.example", "port": 8450, "priority": 3, "weight": 4}
    ]


async def test_peeking_takes_no_time(world: World) -> None:
    """What memory knows is from the cache, at once."""
    async with world.resolver(policy=POLICY) as resolver:
        await resolver.resolve(NAME)
    async with world.resolver(policy=POLICY) as other:
        peeked = other.peek(NAME)
        assert peeked is not None
        assert [(cached, took) for cached, took, _ in told(peeked)] == [(True, 0.0)] * 2


class Seconds(float):
    """Seconds of somebody's, which stay that when one counts with them, as those of numpy do."""

    __slots__ = ()

    def __add__(self, other: float) -> "Seconds":
        return Seconds(float(self) + float(other))

    def __sub__(self, other: float) -> "Seconds":
        return Seconds(float(self) - float(other))

    def __rsub__(self, other: float) -> "Seconds":
        return Seconds(float(other) - float(self))

    __radd__ = __add__


class SecondsClock(FakeClock):
    """A clock that tells them."""

    def time(self) -> float:
        return Seconds(super().time())

    def monotonic(self) -> float:
        return Seconds(super().monotonic())


async def test_a_ttl_of_a_class_of_others(world: World) -> None:
    """It counts as the number that it is."""
    world.srv.answers[FED + "b.example"] = SrvReply(RECORDS.records, Seconds(600))
    async with world.resolver(policy=POLICY) as resolver:
        trail = (await resolver.resolve("b.example")).trail
    assert (trail[1].kept_for, type(trail[1].kept_for)) == (600.0, float)


async def test_a_clock_of_a_class_of_others() -> None:
    """So do its moments: asked, remembered and kept."""
    world = World()
    world.clock = SecondsClock()
    world.cache = MemoryCache(clock=world.clock)
    async with world.resolver(policy=POLICY) as resolver:
        asked = await resolver.resolve("b.example")
        resolver._names.clear()
        assert await resolver.resolve("b.example") == asked
    assert {type(entry.duration) for entry in asked.trail} == {float}


async def test_a_report_finds_records_of_others(world: World) -> None:
    """Though the cache keeps them as they are, and the trail does not: they are asked again."""

    class Record(SrvRecord):
        """A record of somebody's."""

    world.cache = TrustingCache()
    world.srv.answers[FED + "b.example"] = SrvReply([Record(0, 0, 1, "t.example")], 600)
    async with world.resolver(policy=POLICY) as resolver:
        await resolver.report_unreachable(await resolver.resolve("b.example"))
        asked = len(world.srv.asked)
        await resolver.resolve("b.example")
        assert FED + "b.example" in world.srv.asked[asked:]


class TrustingCache:
    """A cache that keeps entries as they are."""

    def __init__(self) -> None:
        self.kept: dict[Question, CacheEntry] = {}

    async def get(self, question: Question, /) -> CacheEntry | None:
        return self.kept.get(question)

    async def put(self, question: Question, entry: CacheEntry, /) -> None:
        self.kept[question] = entry

    async def delete(self, question: Question, /) -> None:
        self.kept.pop(question, None)
