"""What is asked before it is known to be needed: kept back, then remembered or forgotten."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from worlds import DAY, FED, HANGS, HOUR, MINUTE, OLD, Gate, SetClock, World, settled

from matrix_resolve import (
    AskSrv,
    AskWellKnown,
    CacheEntry,
    Lease,
    MemoryCache,
    Question,
    Resolver,
    SrvLookupError,
    SrvRecord,
    SrvReply,
    Step,
)
from matrix_resolve.resolver.want import Want

NAME, OTHER = "a.example", "b.example"
ASK, ASK_OLD = AskSrv(FED + NAME), AskSrv(OLD + NAME)
TO_ITSELF = {"m.server": NAME}  # whoever is delegated there needs its records
ELSEWHERE = {"m.server": "c.example:1"}


@pytest.fixture
def world() -> World:
    """A world in which the document of the name is a long time coming."""
    world = World()
    world.well_known.answers |= {NAME: Gate(), OTHER: TO_ITSELF}
    return world


@pytest.fixture
async def resolver(world: World) -> AsyncIterator[Resolver]:
    """A resolver in it."""
    async with asyncio.timeout(HANGS), world.resolver() as resolver:
        yield resolver


async def begun(resolver: Resolver) -> "asyncio.Task[Any]":
    """Begin to resolve the name, until only the document is missing."""
    task = asyncio.create_task(resolver.resolve(NAME))
    await settled()
    return task


def tell(world: World, document: Any = None) -> None:
    """Let the document come, or that there is none."""
    gate = world.well_known.answers[NAME]
    gate.answer = document
    gate.opened.set()


def kept(world: World, question: Question = ASK) -> CacheEntry | None:
    """Return what the cache has."""
    entry: CacheEntry | None = world.cache.peek(question)
    return entry


async def test_what_is_not_needed_is_not_kept(world: World, resolver: Resolver) -> None:
    """Neither the name's own records, nor those under the old service of what it delegates to."""
    world.srv.answers[FED + "c.example"] = SrvReply([SrvRecord(0, 0, 1, "d.example")], HOUR)
    task = await begun(resolver)
    assert kept(world) is None
    tell(world, {"m.server": "c.example"})
    assert (await task).step is Step.WELL_KNOWN_SRV
    await settled()
    assert sorted(world.srv.asked) == sorted(
        [FED + NAME, OLD + NAME, FED + "c.example", OLD + "c.example"]
    )
    assert len(world.cache) == 2
    assert kept(world, AskWellKnown(NAME)) is not None
    assert kept(world, AskSrv(FED + "c.example")) is not None


async def test_what_is_needed_counts_from_when_it_was_told(
    world: World, resolver: Resolver
) -> None:
    """Its lifetime and its time are those of the lookup, however long it was kept back."""
    told_at = world.clock.time()
    task = await begun(resolver)
    world.clock.advance(10 * MINUTE)
    tell(world)
    resolution = await task
    assert resolution.step is Step.DEFAULT_PORT
    assert [entry.duration for entry in resolution.trail] == [10 * MINUTE, 0, 0]
    for question in (ASK, ASK_OLD):
        entry = kept(world, question)
        assert entry is not None
        assert (entry.asked_at, entry.fresh_until) == (told_at, told_at + 15 * MINUTE)
    assert len(world.srv.asked) == 2


async def test_the_clock_is_set_back_while_it_is_kept_back(world: World) -> None:
    """Its lifetime is as long as it was, from when it was told."""
    clock = world.clock = SetClock()
    world.cache = MemoryCache(clock=clock)
    async with asyncio.timeout(HANGS), world.resolver() as resolver:
        told_at = clock.time()
        task = await begun(resolver)
        clock.set(-DAY)
        tell(world)
        await task
    entry = kept(world)
    assert entry is not None
    assert (entry.asked_at, entry.fresh_until) == (told_at - DAY, told_at - DAY + 15 * MINUTE)


async def test_a_failure_is_remembered_though_its_wait_has_ended(
    world: World, resolver: Resolver
) -> None:
    """So the next one in a row waits for longer; and who asked first is given the first."""
    world.srv.answers[FED + NAME] = SrvLookupError("down")
    task = await begun(resolver)
    world.clock.advance(10)
    tell(world)
    assert (await task).degraded
    assert world.srv.asked.count(FED + NAME) == 1
    entry = kept(world)
    assert entry is not None
    assert entry.failures == 1
    assert (await resolver.resolve(NAME)).degraded
    entry = kept(world)
    assert entry is not None
    assert entry.failures == 2


async def test_who_needs_it_finds_it(world: World, resolver: Resolver) -> None:
    """It is asked once, and kept, though the first who asked may not need it."""
    task = await begun(resolver)
    assert (await resolver.resolve(OTHER)).step is Step.WELL_KNOWN_DEFAULT_PORT
    assert kept(world) is not None
    tell(world, ELSEWHERE)
    await task
    assert sorted(world.srv.asked)[:2] == [FED + NAME, FED + OTHER]
    assert len(world.srv.asked) == len(set(world.srv.asked))


async def test_who_waits_for_it_needs_it(world: World, resolver: Resolver) -> None:
    """Or would wait for ever."""
    with resolver._source.enquiry() as enquiry:
        enquiry.want(ASK, Want.AHEAD)
        await settled()
        assert kept(world) is None
        await enquiry.answer(ASK)
        assert kept(world) is not None


async def test_whoever_else_may_need_it_keeps_it_back(world: World, resolver: Resolver) -> None:
    """It is forgotten when the last has left."""
    tasks = [await begun(resolver), await begun(resolver)]
    tasks[0].cancel()
    await settled()
    assert kept(world) is None
    tell(world)
    await tasks[1]
    assert sorted(world.srv.asked) == [FED + NAME, OLD + NAME]


async def test_it_is_forgotten_when_all_have_left(world: World, resolver: Resolver) -> None:
    """The next one asks."""
    for _ in range(2):
        task = await begun(resolver)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await settled()
    assert world.srv.asked.count(FED + NAME) == 2
    assert len(world.cache) == 0
    assert not resolver._source._flights._in_the_air


async def test_past_its_lifetime_it_is_asked_again(world: World, resolver: Resolver) -> None:
    """By who comes then; and what that one learns is what stays."""
    task = await begun(resolver)
    world.clock.advance(HOUR)
    world.srv.answers[FED + NAME] = SrvReply([SrvRecord(0, 0, 1, "d.example")], HOUR)
    resolution = await resolver.resolve(OTHER)
    assert (resolution.step, resolution.stale) == (Step.WELL_KNOWN_SRV, False)
    tell(world)
    assert (await task).step is Step.DEFAULT_PORT  # as it was told
    entry = kept(world)
    assert entry is not None
    assert entry.asked_at == world.clock.time()
    assert world.srv.asked.count(FED + NAME) == 2


async def test_past_its_lifetime_it_is_none_that_one_may_need(
    world: World, resolver: Resolver
) -> None:
    """Who comes then, and turns out to need it, asks again."""
    tasks = [await begun(resolver)]
    world.clock.advance(HOUR)
    tasks.append(await begun(resolver))
    tell(world)
    await asyncio.gather(*tasks)
    assert world.srv.asked.count(FED + NAME) == 2
    entry = kept(world)
    assert entry is not None
    assert entry.asked_at == world.clock.time()


async def test_what_is_known_already_is_not_kept_back(world: World, resolver: Resolver) -> None:
    """It has its place in the cache: what is asked beside another question renews it."""
    tell(world)
    await resolver.resolve(NAME)
    world.srv.answers[FED + NAME] = SrvReply([SrvRecord(0, 0, 1, "d.example")], HOUR)
    world.clock.advance(HOUR)
    assert (await resolver.resolve(NAME)).step is Step.SRV
    await settled()
    assert world.srv.asked.count(OLD + NAME) == 2
    entry = kept(world, ASK_OLD)
    assert entry is not None
    assert entry.asked_at == world.clock.time()


async def test_invalidated_it_is_not_kept(world: World, resolver: Resolver) -> None:
    """Who waits is given it all the same, and who comes later is not."""
    task = await begun(resolver)
    await resolver.invalidate(NAME)
    tell(world)
    assert (await task).step is Step.DEFAULT_PORT
    assert len(world.cache) == 0
    await resolver.resolve(NAME)
    assert world.srv.asked.count(FED + NAME) == 2


class SlowToKeep(MemoryCache):
    """A cache into which nothing comes at once."""

    async def put(self, question: Question, entry: CacheEntry, /) -> None:
        """Keep it in the end."""
        for _ in range(5):
            await asyncio.sleep(0)
        await super().put(question, entry)


async def test_who_asks_again_has_heard_of_the_failure(world: World) -> None:
    """What was kept back past its wait counts as the first failure in a row."""
    world.cache = SlowToKeep(clock=world.clock)
    world.srv.answers[FED + NAME] = SrvLookupError("down")
    async with asyncio.timeout(HANGS), world.resolver() as resolver:
        task = await begun(resolver)
        world.clock.advance(10)
        assert (await resolver.resolve(OTHER)).degraded
        entry = kept(world)
        assert entry is not None
        assert entry.failures == 2
        tell(world)
        await task


async def test_reported_before_it_was_told_it_is_fresh(world: World, resolver: Resolver) -> None:
    """A report is about what was known by then."""
    gate = world.srv.answers[FED + NAME] = Gate(SrvReply((), HOUR))
    task = await begun(resolver)
    await resolver._source.expire({ASK: None})
    gate.opened.set()
    await settled()
    tell(world)
    await task
    entry = kept(world)
    assert entry is not None
    assert entry.is_fresh(world.clock.time())


@pytest.mark.parametrize("comes", ["meanwhile", "afterwards"])
async def test_reported_it_is_past(world: World, resolver: Resolver, comes: str) -> None:
    """What is expired while it is kept back is kept as expired: who comes then asks again."""
    task = await begun(resolver)
    await resolver._source.expire({ASK: None})
    if comes == "afterwards":
        tell(world)
        await task
        entry = kept(world)
        assert entry is not None
        assert not entry.is_fresh(world.clock.time())
    await resolver.resolve(OTHER)
    assert world.srv.asked.count(FED + NAME) == 2
    tell(world)
    await task
    entry = kept(world)
    assert entry is not None
    assert entry.is_fresh(world.clock.time())


class Leasing(MemoryCache):
    """A cache whose leases all are granted."""

    async def lease(self, _: Question, __: float, /) -> Lease:
        """Grant it."""
        return Lease(held=True)

    async def release(self, _: Question, /) -> None:
        """Do nothing."""


async def test_where_others_take_turns_nothing_is_kept_back(world: World) -> None:
    """They may be waiting for it."""
    world.cache = Leasing(clock=world.clock)
    async with asyncio.timeout(HANGS), world.resolver() as resolver:
        task = await begun(resolver)
        assert kept(world) is not None
        tell(world, ELSEWHERE)
        await task
