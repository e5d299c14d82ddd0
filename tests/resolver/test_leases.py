"""A cache that leases: who asks, who waits, and what those who wait are given."""

import asyncio
from typing import Any

import pytest
from attrs import evolve
from worlds import DAY, HANGS, HOUR, MINUTE, Gate, World, settled

from matrix_resolve import (
    AskSrv,
    AskWellKnown,
    CacheEntry,
    CacheError,
    Lease,
    MemoryCache,
    Policy,
    Question,
    Resolver,
    ServerName,
    WellKnownFetchError,
)
from matrix_resolve.core.questions import Delegated, NotDelegated
from matrix_resolve.hooks.events import CacheFailed

NAME = "a.example"
ASK = AskWellKnown(NAME)
GOOD = {"m.server": "asked.example:1"}
DOWN = WellKnownFetchError("down")


class Leasing(MemoryCache):
    """A cache whose leases are in the test's hands: `held` and `entry` are what it grants next."""

    def __init__(self, world: World) -> None:
        super().__init__(clock=world.clock)
        self.held = True
        self.entry: CacheEntry | None = None
        self.asked_for = 0
        self.released: list[Question] = []

    async def lease(self, question: Question, seconds: float, /) -> Lease:
        """Grant what the test says, for the document; everything for the rest."""
        if question != ASK:
            return Lease(held=True)
        self.asked_for += 1
        return Lease(held=self.held, entry=self.entry)

    async def release(self, question: Question, /) -> None:
        """Note it."""
        self.released.append(question)


@pytest.fixture
def world() -> World:
    """A world whose cache leases, and in which the name is delegated to `asked.example:1`."""
    world = World()
    world.cache = Leasing(world)
    world.well_known.answers[NAME] = {"m.server": "asked.example:1"}
    return world


def learned(world: World, host: str, *, ago: float = 0.0) -> CacheEntry:
    """What another process has learned so many seconds ago, good for a day."""
    answer = Delegated(ServerName.parse(f"{host}:1"), "")
    asked_at = world.clock.time() - ago
    return CacheEntry(
        key=ASK.key,
        outcome=answer,
        asked_at=asked_at,
        fresh_until=asked_at + DAY,
        keep_until=asked_at + 2 * DAY,
    )


async def resolved(resolver: Resolver) -> str:
    """The host that the name leads to."""
    return (await resolver.resolve(NAME)).targets[0].host


async def test_who_holds_the_lease_asks(world: World) -> None:
    """With the lease it is asked, and the lease is released afterwards."""
    async with world.resolver() as resolver:
        assert await resolved(resolver) == "asked.example"
    assert world.cache.released.count(ASK) == 1


async def test_who_waits_is_given_what_the_other_learns(world: World) -> None:
    """Without the lease nothing is asked, until the answer of the one who has it is there."""
    world.cache.held = False
    async with world.resolver() as resolver:
        waiting = asyncio.create_task(resolved(resolver))
        await asyncio.sleep(0.05)
        assert not waiting.done()
        world.cache.entry = learned(world, "other.example")
        assert await waiting == "other.example"
    assert world.well_known.asked == []
    assert ASK not in world.cache.released


async def test_an_answer_that_came_with_the_lease(world: World) -> None:
    """What another process has just learned is taken, and the lease let go."""
    world.cache.entry = learned(world, "other.example")
    async with world.resolver() as resolver:
        assert await resolved(resolver) == "other.example"
    assert world.well_known.asked == []
    assert world.cache.released.count(ASK) == 1


async def test_an_older_answer_with_the_lease(world: World) -> None:
    """What the shared cache has from before is no reason not to ask."""
    await world.cache.put(ASK, learned(world, "mine.example").expired(world.clock.time()))
    world.cache.entry = learned(world, "older.example", ago=HOUR)
    async with world.resolver() as resolver:
        assert await resolved(resolver) == "asked.example"


async def test_an_answer_near_its_end_with_the_lease(world: World) -> None:
    """One that is due for a refresh is given at once, and refreshed behind it."""
    world.cache.entry = learned(world, "other.example", ago=0.9 * DAY)
    gate = world.well_known.answers[NAME] = Gate({"m.server": "asked.example:1"})
    async with world.resolver() as resolver, asyncio.timeout(HANGS):
        assert await resolved(resolver) == "other.example"
        gate.opened.set()
        await settled()
        world.cache.entry = None
        assert await resolved(resolver) == "asked.example"


async def test_nobody_waits_for_ever(world: World) -> None:
    """When the one with the lease does not answer in the time of a fetch, others ask."""
    world.cache.held = False
    policy = Policy(well_known_timeout=0.1)
    async with world.resolver(policy=policy) as resolver:
        assert await resolved(resolver) == "asked.example"
    assert world.cache.asked_for > 2


async def test_a_cache_that_cannot_lease_just_now(world: World) -> None:
    """When leasing fails, that is told, and everybody asks."""

    async def failing(question: Question, seconds: float, /) -> Lease:
        raise CacheError("no connection")

    world.cache.lease = failing
    async with world.resolver(hooks=[world.told.append]) as resolver:
        assert await resolved(resolver) == "asked.example"
    assert ASK in {event.question for event in world.told if isinstance(event, CacheFailed)}


async def test_a_stale_answer_while_waiting_for_another(world: World) -> None:
    """Who waits for another process gives the stale answer meanwhile, as with its own refresh."""
    await world.cache.put(ASK, learned(world, "old.example", ago=1.5 * DAY))
    world.cache.held = False
    async with world.resolver() as resolver:
        resolution = await resolver.resolve(NAME)
        assert (resolution.targets[0].host, resolution.stale) == ("old.example", True)
        world.cache.entry = learned(world, "other.example")
        await asyncio.sleep(0.5)
        await settled()
        assert await resolved(resolver) == "other.example"
    assert world.well_known.asked == []


@pytest.mark.parametrize(
    ("ours", "theirs", "fetch", "given", "failures"),
    [
        # hours ago: asked here, asked elsewhere; what the fetch says then
        pytest.param(30, 26, DOWN, "other.example stale", 1, id="past its lifetime"),
        pytest.param(30, 40, DOWN, "mine.example stale", 1, id="older than ours"),
        pytest.param(30, 26, GOOD, "asked.example", 0, id="asked again with success"),
        pytest.param(None, 26, DOWN, "other.example stale", 1, id="nothing here"),
    ],
)
async def test_an_unsettled_answer_elsewhere(
    world: World, ours: float | None, theirs: float, fetch: Any, given: str, failures: int
) -> None:
    """A newer answer of another process that is due too is what stands in reserve from then on."""
    if ours is not None:
        await world.cache.put(ASK, learned(world, "mine.example", ago=ours * HOUR))
    world.cache.entry = learned(world, "other.example", ago=theirs * HOUR)
    world.well_known.answers[NAME] = fetch
    policy = Policy(jitter=0, stale_answer_delay=HANGS)
    async with world.resolver(policy=policy) as resolver:
        resolution = await resolver.resolve(NAME)
    assert resolution.targets[0].host + " stale" * resolution.stale == given
    assert world.well_known.asked == [NAME]
    assert (await world.cache.get(ASK)).failures == failures


async def test_a_row_of_failures_elsewhere_goes_on(world: World) -> None:
    """A failure that another process has met last is one of the row: backoff doubles on."""
    world.cache.entry = evolve(
        learned(world, "other.example", ago=120),
        outcome=NotDelegated("down", temporary=True),
        fresh_until=world.clock.time() - 1,
        failures=3,
    )
    world.well_known.answers[NAME] = DOWN
    async with world.resolver() as resolver:
        await resolver.resolve(NAME)
    entry = await world.cache.get(ASK)
    assert (entry.failures, entry.fresh_until - world.clock.time()) == (4, 8 * MINUTE)


async def test_a_lease_is_no_longer_than_its_question_may_take(world: World) -> None:
    """When its holder dies the others wait no longer than for an answer of that kind."""
    policy = Policy()
    asked: dict[Question, float] = {}

    async def lease(question: Question, seconds: float, /) -> Lease:
        asked[question] = max(seconds, asked.get(question, 0.0))
        return Lease(held=True)

    world.cache.lease = lease
    world.well_known.answers[NAME] = {"m.server": "host.example"}
    async with world.resolver(policy=policy) as resolver:
        await resolver.resolve(NAME)
    assert 0 < asked[ASK] <= policy.well_known_timeout
    lookups = [seconds for question, seconds in asked.items() if isinstance(question, AskSrv)]
    assert lookups
    assert 0 < min(lookups) <= max(lookups) <= policy.dns_timeout


@pytest.mark.parametrize("hours", [26, 20], ids=["past its lifetime", "in its last fifth"])
async def test_an_unsettled_answer_is_no_end_of_waiting(world: World, hours: float) -> None:
    """While another process asks, an answer of it that is due too is no reason to ask beside it."""
    world.cache.held = False
    world.cache.entry = learned(world, "due.example", ago=hours * HOUR)
    async with world.resolver() as resolver, asyncio.timeout(HANGS):
        waiting = asyncio.create_task(resolver.resolve(NAME))
        while world.cache.asked_for < 3:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        assert world.well_known.asked == []
        world.cache.entry = learned(world, "other.example")
        assert (await waiting).targets[0].host == "other.example"
    assert world.well_known.asked == []
