"""No answer outlives its lifetime because the wall clock is set back."""

import random
from collections.abc import Callable
from typing import Any

import pytest
from worlds import DAY, HOUR, MINUTE, SetClock, World, all_landed

from matrix_resolve import (
    AddressPolicy,
    AnswerCache,
    AskWellKnown,
    CacheEntry,
    HttpResponse,
    MemoryCache,
    Policy,
    Question,
    Resolver,
    SrvRecord,
    SrvReply,
    Step,
    TieredCache,
    WellKnownFetchError,
)

FEW_MINUTES = 3 * MINUTE

SETTINGS: dict[str, Callable[[SetClock], None]] = {
    # What is done to the clock between the first answer and all others.
    "not at all": lambda clock: clock.set(0),
    "back 12 h": lambda clock: clock.set(-12 * HOUR),
    "back 30 days": lambda clock: clock.set(-30 * DAY),
    "back 4 minutes": lambda clock: clock.set(-4 * MINUTE),
    "back twice": lambda clock: [clock.set(-12 * HOUR), clock.advance(60), clock.set(-DAY)],
    "forward and back": lambda clock: [clock.set(2 * DAY), clock.advance(5), clock.set(-2 * DAY)],
    "forward and back further": lambda clock: [clock.set(DAY), clock.set(-2 * DAY)],
}

CACHES: dict[str, Callable[[Any], AnswerCache]] = {
    "memory": lambda clock: MemoryCache(clock=clock),
    "tiers": lambda clock: TieredCache(
        MemoryCache(clock=clock), MemoryCache(clock=clock), clock=clock
    ),
}


@pytest.fixture
def clock() -> SetClock:
    """A clock that can be set."""
    return SetClock()


@pytest.fixture(params=CACHES.values(), ids=CACHES)
def world(request: pytest.FixtureRequest, clock: SetClock) -> World:
    """A world by that clock, with one delegation that is good for an hour, and addresses."""
    world = World()
    world.clock, world.cache = clock, request.param(clock)
    world.well_known.answers["a.example"] = delegated("b.example:1")
    world.addresses.answers["b.example"] = ["192.0.2.1"]
    return world


def delegated(to: str) -> HttpResponse:
    """Return a document that is good for an hour."""
    headers = [("Cache-Control", "max-age=3600")]
    return HttpResponse(200, headers, b'{"m.server": "%s"}' % to.encode(), "")


def resolver_of(world: World, *, stale_for: float = 0) -> Resolver:
    """Return a resolver that asks again when a lifetime ends, and no earlier."""
    policy = Policy(jitter=0, refresh_ahead=0, stale_for=stale_for, stale_answer_delay=0)
    allow_all = AddressPolicy.allow_all()
    return world.resolver(policy=policy, rng=random.Random(1), address_policy=allow_all)


@pytest.mark.parametrize("is_kept", [True, False], ids=["name kept", "name not kept"])
@pytest.mark.parametrize("setting", SETTINGS.values(), ids=SETTINGS)
async def test_an_answer_stands_no_longer(
    world: World, clock: SetClock, setting: Callable[[SetClock], Any], is_kept: bool
) -> None:
    """It is asked again an hour after it was asked, whatever was done to the clock meanwhile."""
    async with resolver_of(world) as resolver:
        await resolver.resolve("a.example")
        setting(clock)
        while len(world.well_known.asked) < 2 and clock.monotonic() < 4 * HOUR:
            if not is_kept:
                resolver._names.clear()
            await resolver.resolve("a.example")
            await all_landed(resolver)
            clock.advance(30)
    assert HOUR <= clock.monotonic() <= HOUR + FEW_MINUTES


@pytest.mark.parametrize("setting", SETTINGS.values(), ids=SETTINGS)
async def test_addresses_stand_no_longer(
    world: World, clock: SetClock, setting: Callable[[SetClock], Any]
) -> None:
    """Addresses with a TTL of an hour are looked up again after an hour."""
    async with resolver_of(world) as resolver:
        resolution = await resolver.resolve("a.example")
        await resolver.endpoints(resolution)
        setting(clock)
        while len(world.addresses.asked) < 2 and clock.monotonic() < 4 * HOUR:
            await resolver.endpoints(resolution)
            await all_landed(resolver)
            clock.advance(30)
    assert HOUR <= clock.monotonic() <= HOUR + FEW_MINUTES


@pytest.mark.parametrize("idle", [HOUR + 60, 6 * HOUR, 12 * HOUR, 12.5 * HOUR, 13.5 * HOUR])
async def test_set_back_while_idle(world: World, clock: SetClock, idle: float) -> None:
    """An answer that nobody wants for hours, while the clock is set back, is asked again."""
    async with resolver_of(world) as resolver:
        await resolver.endpoints(await resolver.resolve("a.example"))
        clock.advance(idle / 2)
        clock.set(-12 * HOUR)
        clock.advance(idle / 2)
        await resolver.endpoints(await resolver.resolve("a.example"))
    assert (len(world.well_known.asked), len(world.addresses.asked)) == (2, 2)


@pytest.mark.parametrize("is_kept", [True, False], ids=["name kept", "name not kept"])
async def test_a_clock_that_is_set_back_again_and_again(
    world: World, clock: SetClock, is_kept: bool
) -> None:
    """A clock that stands still, as it is set back each time, makes no answer last for ever."""
    asked_at = []
    async with resolver_of(world) as resolver:
        for _ in range(36):
            if not is_kept:
                resolver._names.clear()
            before = len(world.well_known.asked)
            await resolver.resolve("a.example")
            await all_landed(resolver)
            if len(world.well_known.asked) > before:
                asked_at.append(clock.monotonic())
            clock.advance(5 * MINUTE)
            clock.set(-5 * MINUTE)
    assert asked_at == [0, HOUR, 2 * HOUR]


async def test_a_stale_answer_stands_no_longer(world: World, clock: SetClock) -> None:
    """What is kept in reserve while asking fails ends a day after its lifetime, by any clock."""
    async with resolver_of(world, stale_for=DAY) as resolver:
        await resolver.resolve("a.example")
        world.well_known.answers["a.example"] = WellKnownFetchError("refused")
        delegated_until = 0.0
        for hour in range(60):
            if hour % 10 == 9:
                clock.set(-7 * HOUR)
            resolution = await resolver.resolve("a.example")
            await all_landed(resolver)
            if resolution.step is not Step.DEFAULT_PORT:
                delegated_until = clock.monotonic()
            clock.advance(HOUR)
    assert delegated_until == DAY


async def test_a_clock_set_forward_by_mistake_expires_everything_once(
    world: World, clock: SetClock
) -> None:
    """Set forward, the clock ends lifetimes; set right again, it does not end them any more."""
    async with resolver_of(world) as resolver:
        await resolver.resolve("a.example")
        clock.set(30 * DAY)
        clock.advance(61)  # until then it may go unnoticed
        await resolver.resolve("a.example")
        assert len(world.well_known.asked) == 2
        clock.set(-30 * DAY)
        for _ in range(55):
            await resolver.resolve("a.example")
            resolver._names.clear()
            await all_landed(resolver)
            clock.advance(MINUTE)
        assert len(world.well_known.asked) == 2


async def test_set_back_during_a_fetch(world: World, clock: SetClock) -> None:
    """What a refresh that fails leaves in reserve counts by the clock as it is set now."""
    async with resolver_of(world, stale_for=HOUR) as resolver:
        await resolver.resolve("a.example")
        clock.advance(HOUR)

        def failing(_: str) -> Exception:
            clock.set(-12 * HOUR)
            return WellKnownFetchError("refused")

        world.well_known.answers["a.example"] = failing
        assert (await resolver.resolve("a.example")).stale
        await all_landed(resolver)
        world.well_known.answers["a.example"] = WellKnownFetchError("refused")
        clock.advance(HOUR + MINUTE)
        assert (await resolver.resolve("a.example")).step is Step.DEFAULT_PORT


async def test_set_back_before_a_name_is_resolved(world: World, clock: SetClock) -> None:
    """What was answered first counts by the clock as it is set when the last is answered."""

    def records(_: str) -> SrvReply:
        clock.set(-12 * HOUR)
        return SrvReply([SrvRecord(0, 0, 1, "c.example")], ttl=DAY)

    world.well_known.answers["a.example"] = delegated("b.example")
    world.srv.answers["_matrix-fed._tcp.b.example"] = records
    async with resolver_of(world) as resolver:
        resolution = await resolver.resolve("a.example")
        assert resolution.expires_at is not None
        assert resolution.expires_at.timestamp() - clock.time() <= HOUR
        clock.advance(HOUR)
        await resolver.resolve("a.example")
    assert len(world.well_known.asked) == 2


async def test_set_back_while_a_name_is_kept(world: World, clock: SetClock) -> None:
    """When a resolution expires is told by the clock as it is set now."""
    async with resolver_of(world) as resolver:
        await resolver.resolve("a.example")
        clock.set(-12 * HOUR)
        clock.advance(61)  # until then it may go unnoticed
        resolution = await resolver.resolve("a.example")
    assert resolution.expires_at is not None
    assert HOUR - 61 <= resolution.expires_at.timestamp() - clock.time() <= HOUR


async def test_a_cache_between_resolvers_whose_clocks_differ(world: World) -> None:
    """What another clock has counted is read as it stands there: monotonic clocks differ."""
    late = SetClock()
    late.set(-60)
    late.advance(20 * DAY)
    late.set(-20 * DAY)
    async with resolver_of(world) as first:
        await first.resolve("a.example")
        world.clock = late
        async with resolver_of(world) as second:
            assert (await second.resolve("a.example")).trail[0].from_cache
    assert world.well_known.asked == ["a.example"]


class ThroughJson(MemoryCache):
    """A cache that gives what it was given as another process would."""

    async def get(self, question: Question, /) -> CacheEntry | None:
        """Return a copy that knows of no clock."""
        entry = await super().get(question)
        return None if entry is None else CacheEntry.from_json(entry.to_json())


async def test_an_answer_of_another_process_stands_no_longer(clock: SetClock) -> None:
    """What came from a shared cache into this process's memory counts from its first sight."""
    world = World()
    world.clock = clock
    world.well_known.answers["a.example"] = delegated("b.example:1")
    shared = ThroughJson(clock=clock)
    world.cache = TieredCache(shared, MemoryCache(clock=clock), clock=clock)
    async with resolver_of(world) as resolver:
        await resolver.resolve("a.example")
    world.cache = TieredCache(MemoryCache(clock=clock), shared, clock=clock)
    async with resolver_of(world) as resolver:
        await resolver.resolve("a.example")
        assert len(world.well_known.asked) == 1
        clock.advance(6 * HOUR)
        clock.set(-12 * HOUR)
        clock.advance(6.5 * HOUR)
        await shared.delete(AskWellKnown("a.example"))  # as Redis would have, by a clock of its own
        await resolver.resolve("a.example")
        assert len(world.well_known.asked) == 2


async def test_what_is_past_its_end_is_forgotten(world: World, clock: SetClock) -> None:
    """A row of failures does not go on after an hour of silence because the clock was set back."""
    world.well_known.answers["a.example"] = WellKnownFetchError("refused")
    async with resolver_of(world) as resolver:
        waits = [(await resolver.resolve("a.example")).trail[0].kept_for]
        clock.set(-4 * MINUTE)
        for passed in (MINUTE, 2 * MINUTE + HOUR + MINUTE):
            clock.advance(passed)
            waits.append((await resolver.resolve("a.example")).trail[0].kept_for)
            clock.set(-4 * MINUTE)
    assert waits == [60, 120, 60]
