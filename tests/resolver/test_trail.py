"""The trail: how each answer was found, how long that took, and how it is told as JSON."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest
from leaping import leaping
from worlds import DAY, FED, HOUR, Gate, World, settled

from matrix_resolve import Policy, Resolution, SrvRecord, SrvReply, WellKnownFetchError

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
