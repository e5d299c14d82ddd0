"""A cache that leases: who asks, who waits, and what those who wait are given."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from attrs import evolve
from fuzzing import timers_of_ours
from leaping import leaping
from worlds import DAY, HANGS, HOUR, MINUTE, Gate, World, all_landed, settled

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
    TieredCache,
    WellKnownFetchError,
)
from matrix_resolve.core.questions import Delegated, NotDelegated
from matrix_resolve.hooks.events import CacheFailed, TaskFailed
from matrix_resolve.resolver.turns import Turns
from matrix_resolve.testing import FakeClock

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
        self.seconds: list[float] = []
        self.seconds_of_others: set[float] = set()
        self.taken = asyncio.Event()
        self.meddle: Callable[[], Awaitable[None]] | None = None
        self.released: list[Question] = []

    async def lease(self, question: Question, seconds: float, /) -> Lease:
        """Grant what the test says, for the document; everything for the rest."""
        if question != ASK:
            self.seconds_of_others.add(seconds)
            return Lease(held=True)
        self.asked_for += 1
        self.seconds.append(seconds)
        self.taken.set()
        if self.meddle is not None:
            await self.meddle()
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
        assert timers_of_ours() == []
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
    assert ASK not in world.cache.released


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


# Short leases, renewed


@pytest.fixture
def brief(monkeypatch: pytest.MonkeyPatch) -> float:
    """How long (seconds) leases are."""
    monkeypatch.setattr("matrix_resolve.resolver.turns._LEASE", 0.03)
    return 0.03


async def until(holds: Callable[[], bool]) -> None:
    """Wait until something holds."""
    async with asyncio.timeout(HANGS):
        while not holds():  # noqa: ASYNC110
            await asyncio.sleep(0.005)


async def test_a_lease_is_short_and_renewed(world: World, brief: float) -> None:
    """While it is asked the lease is renewed, and afterwards no more."""
    world.well_known.answers[NAME] = gate = Gate({"m.server": "asked.example:1"})
    async with world.resolver() as resolver:
        waiting = asyncio.create_task(resolved(resolver))
        await until(lambda: world.cache.asked_for > 5)
        assert world.cache.released.count(ASK) == 0
        gate.opened.set()
        assert await waiting == "asked.example"
        assert world.cache.released.count(ASK) == 1
        before = world.cache.asked_for
        await asyncio.sleep(3 * brief)
        assert world.cache.asked_for == before
    assert set(world.cache.seconds) == {brief}
    assert gate.most == 1


@pytest.mark.parametrize(
    ("policy", "seconds", "of_others"),
    [
        (Policy(), 2.0, 2.0),
        (Policy(well_known_timeout=0.5), 0.5, 2.0),
        (Policy(dns_timeout=0.5), 2.0, 0.5),
    ],
)
async def test_how_long_a_lease_is(
    world: World, policy: Policy, seconds: float, of_others: float
) -> None:
    """Two seconds, and no longer than the question may be asked."""
    async with world.resolver(policy=policy) as resolver:
        assert await resolved(resolver) == "asked.example"
    assert world.cache.seconds == [seconds]
    assert world.cache.seconds_of_others == {of_others}


async def test_looks_become_rarer(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who waits for long does not ask the shared cache all the time."""
    monkeypatch.setattr("matrix_resolve.resolver.turns._FIRST_LOOK", 0.001)
    monkeypatch.setattr("matrix_resolve.resolver.turns._LAST_LOOK", HANGS)
    world.cache.held = False
    async with world.resolver() as resolver:
        waiting = asyncio.create_task(resolved(resolver))
        await asyncio.sleep(0.5)
        assert world.cache.asked_for < 16  # the sixteenth comes after half a minute
        world.cache.entry = learned(world, "other.example")
        assert await waiting == "other.example"


async def test_looks_do_not_become_ever_rarer(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who waits for another process looks again and again, the last times as often as before."""
    monkeypatch.setattr("matrix_resolve.resolver.turns._FIRST_LOOK", 0.001)
    monkeypatch.setattr("matrix_resolve.resolver.turns._LAST_LOOK", 0.004)
    world.cache.held = False
    async with world.resolver() as resolver:
        waiting = asyncio.create_task(resolved(resolver))
        await until(lambda: world.cache.asked_for > 40)
        world.cache.entry = learned(world, "other.example")
        assert await waiting == "other.example"


async def test_a_lease_lost_to_another_is_not_renewed(world: World, brief: float) -> None:
    """One that another process has by now is left to it; the question is asked all the same."""
    world.well_known.answers[NAME] = gate = Gate({"m.server": "asked.example:1"})
    async with world.resolver() as resolver:
        waiting = asyncio.create_task(resolved(resolver))
        await until(lambda: gate.waiting == 1)
        world.cache.held = False
        before = world.cache.asked_for
        await until(lambda: world.cache.asked_for > before)
        await asyncio.sleep(5 * brief)
        assert world.cache.asked_for == before + 1
        gate.opened.set()
        assert await waiting == "asked.example"


async def test_a_lease_is_not_renewed_once_the_question_is_invalidated(
    world: World, brief: float
) -> None:
    """Who asks in vain keeps nobody waiting."""
    world.well_known.answers[NAME] = gate = Gate({"m.server": "asked.example:1"})
    async with world.resolver() as resolver:
        waiting = asyncio.create_task(resolved(resolver))
        await until(lambda: gate.waiting == 1)
        await resolver.invalidate(NAME)
        before = world.cache.asked_for
        await asyncio.sleep(5 * brief)
        assert world.cache.asked_for == before
        gate.opened.set()
        assert await waiting == "asked.example"


async def test_a_lease_is_renewed_for_as_long_as_asking_may_take(
    world: World, brief: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One who waits for a slot keeps the others from asking no longer than a fetch takes."""
    world.well_known.answers[NAME] = gate = Gate({"m.server": "asked.example:1"})
    monkeypatch.setattr(Turns, "_longest", lambda *_: 5 * brief)
    async with world.resolver() as resolver:
        waiting = asyncio.create_task(resolved(resolver))
        await until(lambda: gate.waiting == 1)
        await asyncio.sleep(10 * brief)
        before = world.cache.asked_for
        assert before > 1
        await asyncio.sleep(5 * brief)
        assert world.cache.asked_for == before
        gate.opened.set()
        assert await waiting == "asked.example"


async def test_a_renewal_that_fails(world: World, brief: float) -> None:
    """A cache that fails is told of, and the lease is renewed once it works again."""
    world.well_known.answers[NAME] = gate = Gate({"m.server": "asked.example:1"})
    failures = 0

    async def fail() -> None:
        nonlocal failures
        failures += 1
        if 1 < failures < 4:
            raise CacheError("lost")

    world.cache.meddle = fail
    async with world.resolver(hooks=[world.told.append]) as resolver:
        waiting = asyncio.create_task(resolved(resolver))
        await until(lambda: world.cache.asked_for > 5)
        gate.opened.set()
        assert await waiting == "asked.example"
    told = [event for event in world.told if isinstance(event, CacheFailed)]
    assert [str(event.error) for event in told] == ["lost", "lost"]
    assert world.cache.released.count(ASK) == 1


async def test_a_bug_in_a_renewal(world: World, brief: float) -> None:
    """A bug of the cache's is told to the hooks and the loop, and the question is answered."""
    world.well_known.answers[NAME] = gate = Gate({"m.server": "asked.example:1"})
    contexts: list[dict[str, object]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: contexts.append(context))

    async def fail() -> None:
        if world.cache.asked_for > 1:
            raise ZeroDivisionError

    world.cache.meddle = fail
    async with world.resolver(hooks=[world.told.append]) as resolver:
        waiting = asyncio.create_task(resolved(resolver))
        await until(lambda: bool(contexts))
        gate.opened.set()
        assert await waiting == "asked.example"
    assert [type(context["exception"]) for context in contexts] == [ZeroDivisionError]
    assert [event.question for event in world.told if isinstance(event, TaskFailed)] == [ASK]
    assert world.cache.released.count(ASK) == 1


async def test_a_renewal_that_fails_when_it_is_to_end(world: World, brief: float) -> None:
    """It is the last: after the release nothing is leased again."""
    world.well_known.answers[NAME] = gate = Gate({"m.server": "asked.example:1"})
    renewing = asyncio.Event()

    async def fail() -> None:
        if world.cache.asked_for == 2:
            renewing.set()
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                raise CacheError("interrupted") from None

    world.cache.meddle = fail
    async with world.resolver() as resolver:
        waiting = asyncio.create_task(resolved(resolver))
        await asyncio.wait_for(renewing.wait(), HANGS)
        gate.opened.set()
        assert await waiting == "asked.example"
        assert world.cache.released.count(ASK) == 1
        await asyncio.sleep(5 * brief)
        assert world.cache.asked_for == 2


def test_closed_while_the_last_renewal_ends() -> None:
    """Released is what is leased no more: a renewal that ends late is waited for all the same."""

    async def story() -> None:
        world = World()
        world.cache = Leasing(world)
        world.well_known.answers[NAME] = Gate()
        renewing, may_end = asyncio.Event(), asyncio.Event()

        async def linger() -> None:
            if world.cache.asked_for == 2:
                renewing.set()
                try:
                    await asyncio.Event().wait()
                finally:
                    await may_end.wait()

        world.cache.meddle = linger
        resolver = world.resolver()
        waiting = asyncio.create_task(resolved(resolver))
        await renewing.wait()
        waiting.cancel()
        await settled()
        closing = asyncio.create_task(resolver.aclose())
        await settled()
        assert world.cache.released.count(ASK) == 0
        may_end.set()
        await closing
        assert world.cache.released.count(ASK) == 1

    leaping(story())


# Several processes


class Book:
    """Who holds which lease until when, by the event loop's time."""

    def __init__(self) -> None:
        self.leases: dict[Question, tuple[Process, float]] = {}


class Process(MemoryCache):
    """One process's way to a cache that all share, with leases that end by themselves."""

    def __init__(self, world: World, shared: MemoryCache, book: Book) -> None:
        super().__init__(clock=world.clock)
        self._shared = shared
        self._book = book
        self.is_dead = False

    async def get(self, question: Question, /) -> CacheEntry | None:
        """Look it up."""
        return await self._shared.get(question)

    async def put(self, question: Question, entry: CacheEntry, /) -> None:
        """Keep it, unless this process is dead."""
        if not self.is_dead:
            await self._shared.put(question, entry)

    async def lease(self, question: Question, seconds: float, /) -> Lease:
        """Grant it if nobody else has it."""
        now = asyncio.get_running_loop().time()
        holder, until = self._book.leases.get(question, (self, 0.0))
        if self.is_dead:
            raise CacheError("dead")
        held = holder is self or now >= until
        if held:
            self._book.leases[question] = self, now + seconds
        return Lease(held=held, entry=await self._shared.get(question))

    async def release(self, question: Question, /) -> None:
        """End it."""
        if (
            not self.is_dead
            and question in self._book.leases
            and self._book.leases.get(question, (None, 0.0))[0] is self
        ):
            del self._book.leases[question]


@pytest.mark.parametrize("deaths", [0, 1, 3])
async def test_of_twenty_one_asks_and_after_a_death_one_more(
    deaths: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However often the one who asks dies, no more than one other asks, and all have the answer."""
    monkeypatch.setattr("matrix_resolve.resolver.turns._LEASE", 0.5)
    world, book = World(), Book()
    shared = MemoryCache(clock=world.clock)
    gate = world.well_known.answers[NAME] = Gate({"m.server": "asked.example:1"})
    caches = [Process(world, shared, book) for _ in range(20)]
    resolvers = [world.resolver(cache=cache, rng=random.Random(7)) for cache in caches]
    waiting = [asyncio.create_task(resolved(resolver)) for resolver in resolvers]
    for asked in range(1, deaths + 1):
        await until(lambda asked=asked: gate.waiting == asked)  # type: ignore[misc]
        book.leases[ASK][0].is_dead = True
    await until(lambda: gate.waiting == deaths + 1)
    await asyncio.sleep(1)  # twice as long as a lease lasts that is not renewed
    assert gate.waiting == deaths + 1
    gate.opened.set()
    assert {*await asyncio.gather(*waiting)} == {"asked.example"}
    assert world.well_known.asked.count(NAME) == deaths + 1
    for resolver in resolvers:
        await resolver.aclose()
    left = [holder for holder, _ in book.leases.values() if not holder.is_dead]
    assert left == []


async def test_those_who_have_waited_in_vain_do_not_ask_at_one_moment(world: World) -> None:
    """How long each waits at most differs; it is more than the one who asks may take."""
    world.cache.held = False
    drawn: list[tuple[float, float]] = []

    class Noted(random.Random):
        def uniform(self, a: float, b: float) -> float:
            drawn.append((a, b))
            return 0.0

    async with world.resolver(policy=Policy(well_known_timeout=0.05), rng=Noted(7)) as resolver:
        assert await resolved(resolver) == "asked.example"
    assert (1, 3) in drawn


# However it ends, the lease is given back


@pytest.mark.parametrize("steps", range(12))
async def test_cancelled_at_any_moment(world: World, steps: int) -> None:
    """Who is cancelled while it takes a lease gives it back, be it that it was not told."""

    async def slowly() -> None:
        for _ in range(4):
            await asyncio.sleep(0)

    world.cache.meddle = slowly
    world.well_known.answers[NAME] = Gate()
    async with world.resolver() as resolver:
        waiting = asyncio.create_task(resolved(resolver))
        await world.cache.taken.wait()
        for _ in range(steps):
            await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.wait([waiting])
        await settled()
        assert world.cache.released.count(ASK) == 1


@pytest.mark.parametrize("times", [1, 2])
async def test_cancelled_while_it_gives_the_lease_back(world: World, times: int) -> None:
    """Who has all it wants leaves, and a lease that is just then given back still is."""
    begun, let_go = asyncio.Event(), asyncio.Event()
    release = world.cache.release

    async def slowly(question: Question) -> None:
        if question == ASK:
            begun.set()
            await let_go.wait()
        await release(question)

    world.cache.release = slowly
    async with world.resolver() as resolver:
        waiting = asyncio.create_task(resolved(resolver))
        await begun.wait()
        (flight,) = [task for task in asyncio.all_tasks() if task.get_name().endswith(ASK.key)]
        waiting.cancel()
        for _ in range(times - 1):
            await settled()
            flight.cancel()
        await settled()
        let_go.set()
        await asyncio.wait([waiting, flight])
        assert flight.cancelled()
        assert world.cache.released.count(ASK) == 1


async def test_a_lease_that_comes_with_a_bug(world: World) -> None:
    """A cache that fails after it has granted a lease has it given back."""

    async def fail() -> None:
        raise ZeroDivisionError

    world.cache.meddle = fail
    async with world.resolver() as resolver:
        with pytest.raises(ZeroDivisionError):
            await resolver.resolve(NAME)
        await settled()
        assert world.cache.released.count(ASK) == 1


class Stepping(FakeClock):
    """A clock that is set by so many seconds when it is looked at for the nth time from now."""

    def __init__(self) -> None:
        super().__init__()
        self.looks, self.by, self.off = -1, 0.0, 0.0

    def time(self) -> float:
        """Tell the time, as it is set by now."""
        if self.looks == 0:
            self.off = self.by
        self.looks -= 1
        return super().time() + self.off


@pytest.mark.parametrize("tiered", [False, True], ids=["alone", "tiered"])
@pytest.mark.parametrize("by", [-10.0, -HOUR, -3 * DAY, HOUR, 3 * DAY])
async def test_a_clock_that_is_set_meanwhile(by: float, tiered: bool) -> None:
    """Whenever between taking the lease and looking at what came with it, it is given back."""
    for ago in (10.0, 0.85 * DAY, 1.2 * DAY):
        for look in range(16):
            world = World()
            world.clock = clock = Stepping()
            leasing = Leasing(world)
            leasing.entry = learned(world, "other.example", ago=ago)
            world.well_known.answers[NAME] = {"m.server": "asked.example:1"}
            world.cache = leasing
            if tiered:
                world.cache = TieredCache(MemoryCache(clock=clock), leasing, clock=clock)
            async with world.resolver() as resolver:
                clock.looks, clock.by = look, by
                await resolver.resolve(NAME)
                await all_landed(resolver)
            taken = [leasing.asked_for, leasing.released.count(ASK)]
            assert taken in ([0, 0], [1, 1], [2, 2]), (ago, look)
