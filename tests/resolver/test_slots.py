"""Slots of fetches: so many at once, and the silent ones make room for others."""

import asyncio
from contextlib import AsyncExitStack

import pytest
from worlds import HANGS, Gate, World, settled

from matrix_resolve import HttpResponse, Policy
from matrix_resolve.interfaces import heard_from_peer
from matrix_resolve.resolver import slots
from matrix_resolve.resolver.slots import FetchSlots


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slots, "_SILENCE", 0.02)
    monkeypatch.setattr(slots, "_LONGEST", 60)


async def taken(free: FetchSlots) -> None:
    """Take a slot and give it back."""
    async with free.slot():
        pass


async def test_so_many_at_once() -> None:
    """The third fetch waits until one of two slots is given back."""
    free = FetchSlots(2)
    async with free.slot():
        async with free.slot():
            waiting = asyncio.create_task(taken(free))
            await settled()
            assert not waiting.done()
        await waiting


async def test_silent_fetch_makes_room() -> None:
    """A fetch that hears nothing leaves its slot, once, and takes none when it ends."""
    free = FetchSlots(1)
    async with AsyncExitStack() as silent, asyncio.timeout(HANGS):
        await silent.enter_async_context(free.slot())
        async with free.slot() as second:
            await silent.aclose()
            waiting = asyncio.create_task(taken(free))
            for _ in range(10):
                second.heard()
                await asyncio.sleep(0.005)
            assert not waiting.done()
        await waiting


async def test_silence_counts_from_the_last_sign_of_life() -> None:
    """As long as something comes in now and then, the slot is kept; then it is left."""
    free = FetchSlots(1)
    async with free.slot() as slot, asyncio.timeout(HANGS):
        waiting = asyncio.create_task(taken(free))
        for _ in range(20):
            slot.heard()
            await asyncio.sleep(0.005)
        assert not waiting.done()
        await waiting


async def test_dripping_fetch_makes_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """A fetch that hears a little now and then leaves its slot all the same, after a while."""
    monkeypatch.setattr(slots, "_LONGEST", 0.05)
    free = FetchSlots(1)
    async with free.slot() as dripping, asyncio.timeout(HANGS):
        waiting = asyncio.create_task(taken(free))
        while not waiting.done():
            dripping.heard()
            await asyncio.sleep(0.005)
        await waiting


async def test_so_many_go_on_without(monkeypatch: pytest.MonkeyPatch) -> None:
    """When enough are going on without a slot, the next silent one keeps its own until one ends."""
    monkeypatch.setattr(slots, "_MOST_WITHOUT", 1)
    free = FetchSlots(1)
    async with AsyncExitStack() as first, asyncio.timeout(HANGS):
        await first.enter_async_context(free.slot())
        async with free.slot():
            third = asyncio.create_task(taken(free))
            await asyncio.sleep(0.1)
            assert not third.done()
            await first.aclose()
            await third


@pytest.mark.parametrize("tells", [False, True])
async def test_a_fetcher_may_tell_that_it_hears(tells: bool) -> None:
    """A slow fetch that hears something keeps its slot; one that tells nothing leaves it."""
    under_way = most = 0

    class Slow:
        async def fetch(self, hostname: str, /) -> HttpResponse:
            """Take a while, in which something comes in."""
            nonlocal under_way, most
            under_way += 1
            most = max(most, under_way)
            for _ in range(20):
                await asyncio.sleep(0.005)
                if tells:
                    heard_from_peer()
            under_way -= 1
            return HttpResponse(404, (), b"", "")

    policy = Policy(max_well_known_fetches=2)
    async with World().resolver(well_known=Slow(), policy=policy) as resolver:
        await asyncio.gather(*(resolver.resolve(f"n{number}.example") for number in range(6)))
    assert most == 2 if tells else most > 2


async def test_telling_outside_a_fetch() -> None:
    """Outside a resolver's fetch a sign of life is nobody's."""
    heard_from_peer()


async def test_stalled_names_do_not_hold_up_the_living() -> None:
    """With far more stalled names than slots ahead of them, the living are answered."""
    world = World()
    stalled = [f"stalled{number}.example" for number in range(60)]
    living = [f"living{number}.example" for number in range(60)]
    gate = Gate()
    world.well_known.answers = dict.fromkeys(stalled, gate) | {
        name: {"m.server": f"{name}:1"} for name in living
    }
    policy = Policy(max_well_known_fetches=10, well_known_timeout=60)
    async with world.resolver(policy=policy) as resolver:
        waiting = [asyncio.create_task(resolver.resolve(name)) for name in stalled]
        resolutions = await asyncio.gather(*(resolver.resolve(name) for name in living))
        assert [r.host_header for r in resolutions] == [f"{name}:1" for name in living]
        assert gate.most == 60
        gate.opened.set()
        await asyncio.gather(*waiting)
