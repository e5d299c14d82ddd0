"""Who may join which flight: given up, followed, invalidated, left by many."""

import asyncio
from typing import Any

import pytest
from leaping import leaping
from worlds import DAY, FED, HANGS, HOUR, Gate, SlowToEnd, World, settled

from matrix_resolve import AskSrv, AskWellKnown, CacheEntry, Resolver, WellKnownFetchError
from matrix_resolve.core.questions import NotDelegated
from matrix_resolve.hooks.events import TaskFailed
from matrix_resolve.resolver import flight as flight_module

NAME = "a.example"
ASK = AskWellKnown(NAME)
GOOD = {"m.server": "good.example:1"}


@pytest.fixture
def world() -> World:
    """A world in which nothing is known."""
    return World()


async def give_up(world: World, resolver: Resolver, seconds: float = 3.0) -> None:
    """Ask for the name, and give up after so many seconds."""
    task = asyncio.create_task(resolver.resolve(NAME))
    await settled()
    world.clock.advance(seconds)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def kept(world: World) -> CacheEntry:
    """What the cache has of the document."""
    entry: CacheEntry | None = await world.cache.get(ASK)
    assert entry is not None
    return entry


async def test_given_up_twice_then_learned(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The good answer of the third stays when the first, which was slow to end, ends at last."""
    monkeypatch.setattr(flight_module, "LINGER", 0.02)
    async with world.resolver() as resolver:
        first = world.well_known.answers[NAME] = SlowToEnd()
        await give_up(world, resolver)
        await give_up(world, resolver)
        world.well_known.answers[NAME] = GOOD
        assert (await resolver.resolve(NAME)).host_header == "good.example:1"
        first.may_end.set()
        await settled()
        assert (await kept(world)).failures == 0
        await world.cache.delete(AskWellKnown("other.example"))
        resolver._names.clear()
        assert (await resolver.resolve(NAME)).host_header == "good.example:1"
    assert world.well_known.asked == [NAME] * 2


async def test_given_up_twice_and_both_slow_to_end(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It stays too when the second had begun to ask, and both end after it."""
    monkeypatch.setattr(flight_module, "LINGER", 0.02)
    async with world.resolver() as resolver:
        slow = [SlowToEnd(), SlowToEnd()]
        for one in slow:
            world.well_known.answers[NAME] = one
            task = asyncio.create_task(resolver.resolve(NAME))
            await asyncio.wait_for(one.has_begun.wait(), HANGS)
            world.clock.advance(3)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        world.well_known.answers[NAME] = GOOD
        assert (await resolver.resolve(NAME)).host_header == "good.example:1"
        for one in slow:
            one.may_end.set()
            await settled()
        assert (await kept(world)).failures == 0


async def test_following_when_it_is_invalidated(world: World) -> None:
    """Who followed and was invalidated meanwhile can't write over what was learned after that."""
    async with world.resolver() as resolver:
        first = world.well_known.answers[NAME] = SlowToEnd()
        await give_up(world, resolver)
        second = world.well_known.answers[NAME] = SlowToEnd()
        following = asyncio.create_task(resolver.resolve(NAME))
        await settled()
        await resolver.invalidate(NAME)
        first.may_end.set()
        await asyncio.wait_for(second.has_begun.wait(), HANGS)
        world.well_known.answers[NAME] = GOOD
        assert (await resolver.resolve(NAME)).host_header == "good.example:1"
        world.clock.advance(3)
        following.cancel()
        second.may_end.set()
        await asyncio.gather(following, return_exceptions=True)
        await settled()
        assert (await kept(world)).failures == 0
        assert (await kept(world)).outcome.to.hostname == "good.example"  # type: ignore[union-attr]


async def test_who_follows_too_long_voids_only_what_is_older(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that was replaced while it followed leaves the answer of its successor alone."""
    monkeypatch.setattr(flight_module, "LINGER", 0.02)
    async with world.resolver() as resolver:
        first = world.well_known.answers[NAME] = SlowToEnd()
        await give_up(world, resolver)
        following = asyncio.create_task(resolver.resolve(NAME))
        await settled()
        await resolver.invalidate(NAME)
        gate = world.well_known.answers[NAME] = Gate(GOOD)
        successor = asyncio.create_task(resolver.resolve(NAME))
        await settled()
        assert gate.waiting == 1
        late = world.well_known.answers[NAME] = Gate({"m.server": "late.example:1"})
        await asyncio.sleep(0.05)  # the one that follows asks at last
        await settled()
        assert late.waiting == 1
        for one in (gate, late):
            one.opened.set()
            await settled()
        await asyncio.gather(following, successor)
        first.may_end.set()
        await settled()
        assert (await kept(world)).outcome.to.hostname == "good.example"  # type: ignore[union-attr]


async def test_who_follows_heeds_a_failure_told_in_time(world: World) -> None:
    """When the first ends soon, its failure is what the next caller finds: it is not asked."""
    async with world.resolver() as resolver:
        first = world.well_known.answers[NAME] = SlowToEnd()
        await give_up(world, resolver)
        following = asyncio.create_task(resolver.resolve(NAME))
        await settled()
        assert not following.done()
        first.may_end.set()
        await following
        assert world.well_known.asked == [NAME]
        assert (await kept(world)).failures == 1


async def test_a_failure_told_too_late(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """When it takes too long the next one asks, and what the first says then is not kept."""
    monkeypatch.setattr(flight_module, "LINGER", 0.02)
    async with world.resolver() as resolver:
        first = world.well_known.answers[NAME] = SlowToEnd()
        await give_up(world, resolver)
        world.well_known.answers[NAME] = GOOD
        await resolver.resolve(NAME)
        first.may_end.set()
        await settled()
        assert (await kept(world)).failures == 0


async def test_a_failure_told_late_when_nobody_followed(world: World) -> None:
    """However long it takes to end: if nobody has asked since, the failure is remembered."""
    async with world.resolver() as resolver:
        first = world.well_known.answers[NAME] = SlowToEnd()
        await give_up(world, resolver)
        world.clock.advance(HOUR)
        first.may_end.set()
        await settled()
        entry = await kept(world)
        assert isinstance(entry.outcome, NotDelegated)
        assert "given up after 3603.0 s" in entry.outcome.reason


def test_given_up_before_it_has_begun() -> None:
    """Who gives up in the queue leaves nothing to follow, and no failure."""

    async def story() -> None:
        world = World()
        async with world.resolver() as resolver:
            gate = Gate()
            names = [f"n{number}.example" for number in range(100)]
            world.well_known.answers = dict.fromkeys(names, gate)
            ahead = [asyncio.create_task(resolver.resolve(name)) for name in names]
            await settled()
            world.well_known.answers[NAME] = GOOD
            await give_up(world, resolver)
            assert NAME not in world.well_known.asked
            assert await world.cache.get(ASK) is None
            gate.opened.set()
            await asyncio.gather(*ahead)
            assert (await resolver.resolve(NAME)).host_header == "good.example:1"

    leaping(story())  # in real time the silent might make room, however busy the machine is


async def test_invalidated_under_way(world: World) -> None:
    """Who comes after an invalidation joins a flight that began after it, and its answer stays."""
    async with world.resolver() as resolver:
        gates = [Gate({"m.server": "early.example:1"}), Gate(GOOD)]
        waiting = []
        for gate in gates:
            world.well_known.answers[NAME] = gate
            waiting.append(asyncio.create_task(resolver.resolve(NAME)))
            await settled()
            if gate is gates[0]:
                await resolver.invalidate(NAME)
        late = asyncio.create_task(resolver.resolve(NAME))
        await settled()
        assert [gate.waiting for gate in gates] == [1, 1]
        for gate in reversed(gates):
            gate.opened.set()
            await settled()
        hosts = [(await task).host_header for task in (*waiting, late)]
        assert hosts == ["early.example:1", "good.example:1", "good.example:1"]
        assert (await kept(world)).outcome.to.hostname == "good.example"  # type: ignore[union-attr]


async def test_a_report_leaves_what_is_under_way_alone(world: World) -> None:
    """What is expired while it is being refreshed: the refresh goes on, and its answer is kept."""
    world.well_known.answers[NAME] = {"m.server": "old.example:1"}
    async with world.resolver() as resolver:
        resolution = await resolver.resolve(NAME)
        world.clock.advance(0.9 * DAY)
        gate = world.well_known.answers[NAME] = Gate(GOOD)
        await resolver.resolve(NAME)
        await settled()
        await resolver.report_unreachable(resolution)
        gate.opened.set()
        await settled()
        assert (await resolver.resolve(NAME)).host_header == "good.example:1"
    assert len(world.well_known.asked) == 2


@pytest.mark.parametrize("order", [1, -1], ids=["first first", "last first"])
async def test_many_leave(world: World, order: int) -> None:
    """Thousands may leave in any order; who stays is served, and nothing is asked twice."""
    gate = world.well_known.answers[NAME] = Gate(GOOD)
    async with world.resolver() as resolver:
        tasks = [asyncio.create_task(resolver.resolve(NAME)) for _ in range(3000)]
        await settled()
        for task in tasks[1:][::order]:
            task.cancel()
        results = await asyncio.gather(*tasks[1:], return_exceptions=True)
        assert {type(result) for result in results} == {asyncio.CancelledError}
        gate.opened.set()
        assert (await tasks[0]).host_header == "good.example:1"
    assert world.well_known.asked == [NAME]


async def test_a_refresh_that_is_given_up_by_nobody(world: World) -> None:
    """A stale answer's refresh has its own life: it fails, and the reserve is given on."""
    world.well_known.answers[NAME] = GOOD
    async with world.resolver(hooks=[world.told.append]) as resolver:
        await resolver.resolve(NAME)
        world.clock.advance(25 * HOUR)
        gate: Any = Gate()
        world.well_known.answers[NAME] = gate
        assert (await resolver.resolve(NAME)).stale
        world.clock.advance(3)
        gate.answer = WellKnownFetchError("down")
        gate.opened.set()
        await settled()
        assert (await kept(world)).failures == 1
        assert (await resolver.resolve(NAME)).stale
    assert len(world.well_known.asked) == 2


async def test_a_failure_is_told_once(world: World) -> None:
    """A bug of the very moment when its only waiter leaves is told once, to hooks and loop."""
    contexts: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: contexts.append(context))
    error = ZeroDivisionError("bug")

    async def failing(_: str) -> None:
        leaving.cancel()
        raise error

    world.well_known.answers[NAME] = failing
    async with world.resolver(hooks=[world.told.append]) as resolver:
        leaving = asyncio.create_task(resolver.resolve(NAME))
        await asyncio.gather(leaving, return_exceptions=True)
        await settled()
    assert leaving.cancelled()
    failed = [event for event in world.told if isinstance(event, TaskFailed)]
    assert failed == [TaskFailed(question=ASK, error=error)]
    assert [context["exception"] for context in contexts] == [error]


async def test_a_failure_of_a_refresh_is_told_once(world: World) -> None:
    """So is one of a refresh, whose asker was answered long since and leaves after it."""
    contexts: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: contexts.append(context))
    world.well_known.answers[NAME] = {"m.server": "host.example"}
    async with world.resolver(hooks=[world.told.append]) as resolver:
        await resolver.resolve(NAME)
        await world.cache.delete(AskSrv(FED + "host.example"))
        resolver._names.clear()
        world.clock.advance(0.9 * DAY)
        error = world.well_known.answers[NAME] = ZeroDivisionError("bug")
        gate = world.srv.answers[FED + "host.example"] = Gate()
        staying = [asyncio.create_task(resolver.resolve(NAME)) for _ in range(3)]
        await settled()
        gate.opened.set()
        await asyncio.gather(*staying)
        await settled()
    failed = [event for event in world.told if isinstance(event, TaskFailed)]
    assert failed == [TaskFailed(question=ASK, error=error)]
    assert [context["exception"] for context in contexts] == [error]
