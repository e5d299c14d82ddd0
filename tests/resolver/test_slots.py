"""Slots of fetches: so many at once, the silent make room for others, the living soon have a turn.

Time passes in a loop that waits for nothing, so the seconds here are exact.
"""

import asyncio
import inspect
import random
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from typing import Any

import pytest
from fuzzing import SkippingLoop
from worlds import Gate, World, settled

from matrix_resolve import HttpResponse, Policy, WellKnownFetchError
from matrix_resolve.interfaces import heard_from_peer
from matrix_resolve.resolver.slots import FetchSlots, Queue


def skipping(test: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    """Run an asynchronous test in a loop that skips the time for which it would wait."""

    def run(**arguments: Any) -> None:
        async def main() -> None:
            await test(**arguments)

        with asyncio.Runner(loop_factory=SkippingLoop) as runner:
            runner.run(main())

    run.__name__, run.__doc__ = test.__name__, test.__doc__
    run.__signature__ = inspect.signature(test)  # type: ignore[attr-defined]
    return run


def now() -> float:
    """The seconds since the loop began."""
    return asyncio.get_running_loop().time()


async def taken(free: FetchSlots) -> float:
    """Take a slot and give it back; return when that was."""
    async with free.slot():
        return now()


@skipping
async def test_so_many_at_once() -> None:
    """The third fetch waits until one of two slots is given back."""
    free = FetchSlots(2)
    async with free.slot():
        async with free.slot():
            waiting = asyncio.create_task(taken(free))
            await settled()
            assert not waiting.done()
        await waiting


@skipping
async def test_silent_fetch_makes_room() -> None:
    """A fetch that hears nothing for a second leaves its slot, once."""
    free = FetchSlots(1)
    async with AsyncExitStack() as silent:
        await silent.enter_async_context(free.slot())
        async with free.slot() as second:
            assert now() == 1
            await silent.aclose()  # its slot is another's by now
            waiting = asyncio.create_task(taken(free))
            for _ in range(3):
                await asyncio.sleep(0.3)
                second.heard()
            assert not waiting.done()
        assert await waiting == pytest.approx(1.9)


@skipping
async def test_silence_counts_from_the_last_sign_of_life() -> None:
    """As long as something comes in now and then, the slot is kept; then it is left."""
    free = FetchSlots(1)
    async with free.slot() as slot:
        waiting = asyncio.create_task(taken(free))
        await asyncio.sleep(0.9)
        slot.heard()
        assert await waiting == pytest.approx(1.9)


@skipping
async def test_dripping_fetch_makes_room() -> None:
    """A fetch that hears a little now and then leaves its slot all the same, after two seconds."""
    free = FetchSlots(1)
    async with free.slot() as dripping:
        waiting = asyncio.create_task(taken(free))
        while not waiting.done():
            dripping.heard()
            await asyncio.sleep(0.125)
        assert await waiting == 2


@skipping
async def test_so_many_go_on_without() -> None:
    """When 400 are going on without a slot, the next silent one keeps its own until one ends."""
    free = FetchSlots(100)
    async with AsyncExitStack() as others, AsyncExitStack() as first:
        await first.enter_async_context(free.slot())
        for _ in range(499):
            await others.enter_async_context(free.slot())
        assert now() == 4
        waiting = asyncio.create_task(taken(free))
        await asyncio.sleep(6)
        assert not waiting.done()
        await first.aclose()
        assert await waiting == pytest.approx(10, abs=0.25)


@pytest.mark.parametrize("tells", [False, True])
@skipping
async def test_a_fetcher_may_tell_that_it_hears(tells: bool) -> None:
    """A slow fetch that hears something keeps its slot; one that tells nothing leaves it."""
    under_way = most = 0

    class Slow:
        async def fetch(self, hostname: str, /) -> HttpResponse:
            """Take 1.8 seconds, in which something comes in."""
            nonlocal under_way, most
            under_way += 1
            most = max(most, under_way)
            for _ in range(6):
                await asyncio.sleep(0.3)
                if tells:
                    heard_from_peer()
            under_way -= 1
            return HttpResponse(404, (), b"", "")

    policy = Policy(max_well_known_fetches=2)
    async with World().resolver(well_known=Slow(), policy=policy) as resolver:
        await asyncio.gather(*(resolver.resolve(f"n{number}.example") for number in range(6)))
    assert most == (2 if tells else 4)


async def test_telling_outside_a_fetch() -> None:
    """Outside a resolver's fetch a sign of life is nobody's."""
    heard_from_peer()


@skipping
async def test_who_is_cancelled_in_the_queue() -> None:
    """It leaves the queue, and gives on a slot that it has just been given."""
    free = FetchSlots(1)
    async with free.slot():
        waiting = [asyncio.create_task(taken(free)) for _ in range(4)]
        await settled()
        waiting[1].cancel()
        await settled()
        waiting[2].cancel()  # and is given no slot before it hears of that
    waiting[0].cancel()  # has been given one
    results = await asyncio.gather(*waiting, return_exceptions=True)
    assert [type(result) for result in results] == [asyncio.CancelledError] * 3 + [float]
    assert free._free == 1


# Whose turn it is


def queue_of(count: int) -> tuple[Queue, list["asyncio.Future[int]"]]:
    """Return a queue of so many, and who waits in it."""
    queue = Queue()
    turns = [asyncio.Future[int]() for _ in range(count)]
    for turn in turns:
        queue.join(turn)
    return queue, turns


async def test_first_come_first_served() -> None:
    """As long as nobody falls silent, they have their turns in order; who leaves has none."""
    queue, turns = queue_of(5)
    queue.leave(turns[2])
    assert [queue.take() for _ in range(5)] == [turns[0], turns[1], turns[3], turns[4], None]
    assert queue.take_first() is None


async def test_who_loses_is_followed_from_elsewhere() -> None:
    """After a silent one the last have their turns, then those between, then the first again."""
    queue, turns = queue_of(100)
    took = [queue.take()]
    for _ in range(3):
        queue.lost(queue.stand)
        took += [queue.take(), queue.take()]
    places = [turns.index(turn) for turn in took if turn is not None]
    assert places == [0, 99, 98, 61, 62, 1, 2]


async def test_one_loss_a_stand() -> None:
    """A hundred that were taken from one stand are silent at once: that is one loss."""
    queue, turns = queue_of(10)
    stand = queue.stand
    queue.lost(stand)
    assert queue.take() is turns[9]
    queue.lost(stand)
    assert queue.take() is turns[8]


async def test_who_wins_is_followed_backwards_too() -> None:
    """Where the living were found it goes on in the other direction, once."""
    queue, turns = queue_of(100)
    for _ in range(2):
        queue.lost(queue.stand)
    assert queue.take() is turns[62]
    queue.won(queue.stand - 1)  # long ago
    queue.won(queue.stand)
    queue.lost(queue.stand)
    assert (queue.take(), queue.take()) == (turns[61], turns[60])
    queue.won(queue.stand)
    queue.lost(queue.stand)
    assert queue.take() is turns[0]


async def test_a_stand_that_lost_without_winning() -> None:
    """What won at another stand is no reason to stay at this one."""
    queue, turns = queue_of(100)
    for _ in range(2):
        queue.lost(queue.stand)
    queue.won(queue.stand - 1)
    queue.lost(queue.stand)
    assert queue.take() is turns[0]


async def test_a_stand_is_followed_to_both_ends() -> None:
    """From any place all are taken in the end, whoever joins and leaves meanwhile."""
    queue, turns = queue_of(20)
    for _ in range(2):
        queue.lost(queue.stand)
    queue.leave(turns[3])
    late = asyncio.Future[int]()
    queue.join(late)
    took = [queue.take() for _ in range(20)]
    assert took == [*turns[12:], late, *reversed([*turns[:3], *turns[4:12]])]
    assert queue.take() is None
    assert queue.take_first() is None


@skipping
async def test_nobody_waits_for_ever() -> None:
    """Though the last have their turns, as they are alive, who came first has one in ten."""
    free = FetchSlots(1)
    order: list[int] = []

    async def fetch(number: int) -> None:
        async with free.slot():
            order.append(number)

    async with free.slot():
        waiting = [asyncio.create_task(fetch(number)) for number in range(40)]
        await asyncio.sleep(1.5)  # it is silent
        await asyncio.gather(*waiting)
    assert order[0] == 39
    assert [order.index(number) for number in range(3)] == [9, 19, 29]


# The living among the dead

DEAD, LIVING = (
    [f"{kind}{number}.example" for number in range(2000)] for kind in ("dead", "living")
)


async def answered_after(order: Sequence[str], dead_for: float) -> list[float]:
    """Return, sorted, after how many seconds each of the living was answered."""
    seconds: list[float] = []

    async def dead(_: str) -> Exception:
        await asyncio.sleep(dead_for)
        return WellKnownFetchError("no connection")

    async def living(name: str) -> dict[str, str]:
        await asyncio.sleep(0.2)
        return {"m.server": f"{name}:1"}

    world = World()
    world.well_known.answers = {name: dead if name.startswith("dead") else living for name in order}

    async def resolve(name: str) -> None:
        resolution = await resolver.resolve(name)
        if name.startswith("living"):
            assert resolution.host_header == f"{name}:1"
            seconds.append(now())

    async with world.resolver(policy=Policy()) as resolver:
        await asyncio.gather(*map(resolve, order))
    return sorted(seconds)


ORDERS = {
    "dead first": [*DEAD, *LIVING],
    "dead last": [*LIVING, *DEAD],
    "dead around": [*DEAD[:1000], *LIVING, *DEAD[1000:]],
    "dead between": [*LIVING[:1000], *DEAD, *LIVING[1000:]],
    "few living last": [*DEAD, *LIVING[:500]],
}


@pytest.mark.parametrize("dead_for", [5, 10], ids=["connect time-out", "whole time-out"])
@pytest.mark.parametrize("order", ORDERS.values(), ids=ORDERS)
def test_the_dead_do_not_hold_up_the_living(order: list[str], dead_for: float) -> None:
    """With 2,000 silent names in the same moment, 95 % of the living are answered within 15 s."""
    with asyncio.Runner(loop_factory=SkippingLoop) as runner:
        seconds = runner.run(answered_after(order, dead_for))
    assert seconds[int(0.95 * len(seconds))] <= 15


def test_dead_and_living_in_any_order() -> None:
    """When nothing in the order tells them apart, slots are the bound: a second for each dead."""
    order = [*DEAD[:1000], *LIVING[:1000]]
    random.Random(1).shuffle(order)
    with asyncio.Runner(loop_factory=SkippingLoop) as runner:
        seconds = runner.run(answered_after(order, 5))
    assert seconds[int(0.95 * len(seconds))] <= 15


@skipping
async def test_stalled_names_all_begin() -> None:
    """With few slots and far more stalled names all of them are asked in the end."""
    world = World()
    names = [f"n{number}.example" for number in range(60)]
    gate = Gate()
    world.well_known.answers = dict.fromkeys(names, gate)
    policy = Policy(max_well_known_fetches=10, well_known_timeout=60)
    async with world.resolver(policy=policy) as resolver:
        waiting = [asyncio.create_task(resolver.resolve(name)) for name in names]
        await asyncio.sleep(10)
        assert gate.most == 60
        gate.opened.set()
        await asyncio.gather(*waiting)
