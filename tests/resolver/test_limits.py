"""Pauses and limits as they are by default, in an event loop whose time leaps."""

import asyncio
from itertools import pairwise
from typing import Any

import pytest
from leaping import leaping
from worlds import Gate, World

from matrix_resolve import (
    AskWellKnown,
    CacheEntry,
    Lease,
    MemoryCache,
    Policy,
    Question,
    Resolution,
)
from matrix_resolve.interfaces import heard_from_peer

NAME = "a.example"


class Leased(MemoryCache):
    """A cache in which another process, which never answers, has the lease of the document."""

    def __init__(self) -> None:
        super().__init__()
        self.looked_at: list[float] = []

    async def lease(self, question: Question, seconds: float, /) -> Lease:
        """Refuse it."""
        if not isinstance(question, AskWellKnown):
            return Lease(held=True)
        self.looked_at.append(asyncio.get_running_loop().time())
        return Lease(held=False)

    async def release(self, question: Question, /) -> None:
        """Have nothing to do."""


def test_pauses_between_looks_at_a_lease() -> None:
    """Who waits for another process looks soon, then less often, and is no burden for the cache."""
    cache = Leased()

    async def story() -> Resolution:
        async with World().resolver(cache=cache, policy=Policy()) as resolver:
            return await resolver.resolve(NAME)

    assert leaping(story()).step.value == "6"
    pauses = [later - earlier for earlier, later in pairwise(cache.looked_at)]
    assert 0.01 <= pauses[0] <= 0.1
    assert all(now >= before - 1e-6 for before, now in pairwise(pauses))
    assert max(pauses) <= 0.5
    assert 5 < len(pauses) < 100


class Mute(MemoryCache):
    """A cache that answers nothing."""

    async def get(self, question: Question, /) -> CacheEntry | None:
        """Wait for ever."""
        return await asyncio.get_running_loop().create_future()


def test_a_cache_has_a_second() -> None:
    """One that does not answer costs a question a second, and no more."""
    world = World()
    world.well_known.answers[NAME] = {"m.server": "host.example:1"}

    async def story() -> float:
        time = asyncio.get_running_loop().time
        async with world.resolver(cache=Mute(), policy=Policy()) as resolver:
            began = time()
            await resolver.resolve(NAME)
            return time() - began

    assert leaping(story()) == pytest.approx(1.0, abs=0.01)


@pytest.mark.parametrize(
    ("sign_of_life", "leaves_after"), [(None, 1.0), (0.5, 2.0), (0.9, 2.0), (1.5, 1.0)]
)
def test_when_a_fetch_leaves_its_slot(sign_of_life: float | None, leaves_after: float) -> None:
    """After a second in which it heard nothing, or two however much it hears."""
    world = World()

    async def fetch(_: str) -> Any:
        while sign_of_life is not None:
            await asyncio.sleep(sign_of_life)
            heard_from_peer()
        await asyncio.Event().wait()

    world.well_known.answers = {"dripping.example": fetch, NAME: {"m.server": "host.example:1"}}

    async def story() -> float:
        time = asyncio.get_running_loop().time
        began = time()
        policy = Policy(max_well_known_fetches=1, srv_head_start=False)
        async with world.resolver(policy=policy) as resolver:
            dripping = asyncio.create_task(resolver.resolve("dripping.example"))
            await asyncio.sleep(0)
            await resolver.resolve(NAME)
            answered = time() - began
            dripping.cancel()
            await asyncio.gather(dripping, return_exceptions=True)
        return answered

    assert leaping(story()) == pytest.approx(leaves_after, abs=0.05)


@pytest.mark.parametrize("kind", ["document", "records", "addresses"])
def test_a_plug_in_has_its_time(kind: str) -> None:
    """One that never answers is given up after the time that the policy has for its question."""
    world = World()
    gate: Any = Gate()
    if kind == "document":
        world.well_known.answers[NAME] = gate
    elif kind == "records":
        world.srv.answers = dict.fromkeys(
            ("_matrix-fed._tcp.a.example", "_matrix._tcp.a.example"), gate
        )
    else:
        world.addresses.answers[NAME] = gate

    async def story() -> float:
        time = asyncio.get_running_loop().time
        async with world.resolver(policy=Policy()) as resolver:
            began = time()
            resolution = await resolver.resolve(NAME)
            await asyncio.gather(resolver.endpoints(resolution), return_exceptions=True)
            return time() - began

    assert leaping(story()) == pytest.approx(10.0 if kind == "document" else 5.0, abs=0.01)
