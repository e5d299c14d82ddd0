"""`peek`, `invalidate`, `report_unreachable`: what memory knows, and what is made void."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from worlds import DAY, FED, HANGS, HOUR, MINUTE, OLD, Gate, SlowToEnd, World, settled

from matrix_resolve import (
    AskAddresses,
    AskSrv,
    AskWellKnown,
    CacheEntry,
    CacheError,
    HttpResponse,
    InvalidServerNameError,
    MemoryCache,
    Policy,
    Question,
    Resolution,
    Resolver,
    ServiceNotOfferedError,
    SrvLookupError,
    SrvRecord,
    Step,
    WellKnownFetchError,
)
from matrix_resolve.core.questions import question_of
from matrix_resolve.hooks.events import CacheFailed, TaskFailed
from matrix_resolve.resolver import flight

NAME = "a.example"


@pytest.fixture
def world() -> World:
    """`a.example` and `b.example` are delegated to `host.example`, which has SRV records."""
    world = World()
    for name in (NAME, "b.example"):
        world.well_known.answers[name] = {"m.server": "host.example"}
    world.srv.answers[FED + "host.example"] = [SrvRecord(0, 0, 1, "t.example")]
    world.addresses.answers["t.example"] = ["192.0.3.1"]
    return world


@pytest.fixture
async def resolver(world: World) -> AsyncIterator[Resolver]:
    """A resolver over `world`."""
    async with world.resolver() as resolver:
        yield resolver


# Peeking


async def test_peek_knows_steps_without_questions(world: World, resolver: Resolver) -> None:
    """Steps 1 and 2 are computed; a name that needs a question is unknown until it is resolved."""
    assert resolver.peek("[2001:db8::1]").step is Step.IP_LITERAL  # type: ignore[union-attr]
    assert resolver.peek("a.example:80").step is Step.EXPLICIT_PORT  # type: ignore[union-attr]
    assert resolver.peek(NAME) is None
    assert world.asked == 0
    resolution = await resolver.resolve(NAME)
    assert resolver.peek(NAME) is resolution


async def test_peek_asks_and_refreshes_nothing(world: World, resolver: Resolver) -> None:
    """Fresh, near its end, stale: peeking gives what there is and leaves it at that."""
    await resolver.resolve(NAME)
    asked = world.asked
    for hours, stale in ((0.9, False), (1.5, True), (22.5, True)):
        world.clock.advance(hours * HOUR)
        peeked = resolver.peek(NAME)
        assert peeked is not None
        assert (peeked.targets[0].host, peeked.stale) == ("t.example", stale)
        assert peeked.expires_at is not None
        assert peeked.expires_at.timestamp() >= world.clock.time() - 1e-6
        await settled()
    world.clock.advance(DAY)
    assert resolver.peek(NAME) is None
    assert world.asked == asked


async def test_peek_knows_what_others_have_learned(world: World, resolver: Resolver) -> None:
    """What stands in the cache is known, though this resolver never resolved the name."""
    async with world.resolver() as other:
        await other.resolve(NAME)
    assert resolver.peek("A.example").host_header == "host.example"  # type: ignore[union-attr]


async def test_peek_knows_what_is_not_offered(world: World, resolver: Resolver) -> None:
    """A service that is known not to be offered is told as `resolve` tells it."""
    world.srv.answers[FED + "no.example"] = [SrvRecord(0, 0, 0, ".")]
    assert resolver.peek("no.example") is None
    with pytest.raises(ServiceNotOfferedError):
        await resolver.resolve("no.example")
    with pytest.raises(ServiceNotOfferedError):
        resolver.peek("no.example")


async def test_peek_draws_weights_anew(world: World, resolver: Resolver) -> None:
    """Two targets of equal weight take turns at being the first."""
    world.srv.answers[FED + "host.example"] = [
        SrvRecord(1, 1, 1, "t.example"),
        SrvRecord(1, 1, 1, "u.example"),
    ]
    await resolver.resolve(NAME)
    peeked = [resolver.peek(NAME) for _ in range(50)]
    assert {p.targets[0].host for p in peeked if p} == {"t.example", "u.example"}


@pytest.mark.parametrize(
    ("srv_failure", "step"), [("fallback", Step.DEFAULT_PORT), ("raise", None)]
)
async def test_peek_at_a_failed_lookup(world: World, srv_failure: Any, step: Any) -> None:
    """A failed SRV lookup counts as `srv_failure` says; where it raises, nothing is known."""
    world.srv.answers[FED + "ill.example"] = SrvLookupError("SERVFAIL")
    async with world.resolver(policy=Policy(srv_failure=srv_failure)) as resolver:
        await asyncio.gather(resolver.resolve("ill.example"), return_exceptions=True)
        async with world.resolver() as other:
            await other.resolve("ill.example")
        peeked = resolver.peek("ill.example")
        assert (None if peeked is None else peeked.step) is step


class Plain:
    """The least cache: three methods, no peeking."""

    def __init__(self) -> None:
        self.entries: dict[str, CacheEntry] = {}

    async def get(self, question: Question, /) -> CacheEntry | None:
        """Look it up."""
        return self.entries.get(question.key)

    async def put(self, question: Question, entry: CacheEntry, /) -> None:
        """Keep it."""
        self.entries[question.key] = entry

    async def delete(self, question: Question, /) -> None:
        """Delete it."""
        self.entries.pop(question.key, None)


async def test_peek_with_a_cache_that_cannot(world: World) -> None:
    """With such a cache the names that were resolved here are known, while they are fresh."""
    async with world.resolver(cache=Plain()) as resolver:
        assert resolver.peek(NAME) is None
        resolution = await resolver.resolve(NAME)
        assert resolver.peek(NAME) is resolution


async def test_peek_at_a_failure_that_is_over(world: World, resolver: Resolver) -> None:
    """As long as a failure holds it is what is known; after that nothing is."""
    world.well_known.answers["ill.example"] = WellKnownFetchError("down")
    await resolver.resolve("ill.example")
    assert resolver.peek("ill.example").step is Step.DEFAULT_PORT  # type: ignore[union-attr]
    world.clock.advance(2 * MINUTE)
    assert resolver.peek("ill.example") is None


async def test_peek_believes_no_foreign_entry(world: World, resolver: Resolver) -> None:
    """An entry of another question is none."""
    async with world.resolver() as other:
        await other.resolve("b.example")
    foreign = await world.cache.get(AskWellKnown("b.example"))
    await world.cache.put(AskWellKnown(NAME), foreign)
    assert resolver.peek("b.example") is not None
    assert resolver.peek(NAME) is None


async def test_peek_refuses_what_resolve_refuses(world: World) -> None:
    """No server name is `InvalidServerNameError`; after closing it is `RuntimeError`."""
    async with world.resolver() as resolver:
        with pytest.raises(InvalidServerNameError):
            resolver.peek("no name")
        with pytest.raises(InvalidServerNameError):
            await resolver.invalidate("no name")
    with pytest.raises(RuntimeError, match="closed"):
        resolver.peek(NAME)


# Invalidating


async def test_invalidate_voids_what_the_answer_rests_on(world: World, resolver: Resolver) -> None:
    """The document, the records of the delegated host and its targets' addresses are asked anew."""
    await resolver.endpoints(await resolver.resolve(NAME))
    before = world.asked
    await resolver.invalidate(NAME)
    assert resolver.peek(NAME) is None
    for question in (AskWellKnown(NAME), AskSrv(FED + "host.example"), AskSrv(OLD + NAME)):
        assert await world.cache.get(question) is None
    world.srv.answers[FED + "host.example"] = [SrvRecord(0, 0, 2, "t.example")]
    world.addresses.answers["t.example"] = ["192.0.3.2"]
    resolution = await resolver.resolve(NAME)
    assert resolution.targets[0].port == 2
    assert [str(e.address) for e in await resolver.endpoints(resolution)] == ["192.0.3.2"]
    assert world.asked > before


async def test_invalidate_decides_sharers_anew(world: World, resolver: Resolver) -> None:
    """Another name that rests on the same records gets the new ones, and keeps its document."""
    await resolver.resolve(NAME)
    await resolver.resolve("b.example")
    await resolver.invalidate("A.EXAMPLE")
    world.srv.answers[FED + "host.example"] = [SrvRecord(0, 0, 2, "t.example")]
    assert (await resolver.resolve("b.example")).targets[0].port == 2
    assert world.well_known.asked.count("b.example") == 1


async def test_invalidate_leaves_strangers_alone(world: World, resolver: Resolver) -> None:
    """A name that rests on nothing of it keeps its very answer."""
    world.well_known.answers["c.example"] = {"m.server": "c.example:1"}
    resolution = await resolver.resolve("c.example")
    await resolver.resolve(NAME)
    await resolver.invalidate(NAME)
    assert await resolver.resolve("c.example") is resolution
    assert resolver.peek("c.example") is resolution


async def test_what_is_under_way_is_not_stored(world: World, resolver: Resolver) -> None:
    """A fetch that was begun before goes to those who wait for it, and is not kept."""
    gate = world.well_known.answers[NAME] = Gate({"m.server": "early.example:1"})
    waiting = asyncio.create_task(resolver.resolve(NAME))
    await settled()
    await resolver.invalidate(NAME)
    world.well_known.answers[NAME] = {"m.server": "late.example:1"}
    late = await resolver.resolve(NAME)
    gate.opened.set()
    assert (await waiting).host_header == "early.example:1"
    assert late.host_header == "late.example:1"
    assert (await resolver.resolve(NAME)).host_header == "late.example:1"
    assert len(world.well_known.asked) == 2


async def test_waiter_on_a_void_flight_when_it_is_closed(world: World) -> None:
    """Who waits for what was invalidated under way ends like all others when it is closed."""
    world.well_known.answers[NAME] = Gate()
    resolver = world.resolver()
    waiting = asyncio.create_task(resolver.resolve(NAME))
    await settled()
    await resolver.invalidate(NAME)
    await resolver.aclose()
    with pytest.raises(RuntimeError, match="the resolver was closed"):
        await waiting


async def test_invalidate_between_two_questions(world: World, resolver: Resolver) -> None:
    """A name whose document is invalidated while its records are asked is not kept as resolved."""
    gate = world.srv.answers[FED + "host.example"] = Gate([SrvRecord(0, 0, 1, "t.example")])
    waiting = asyncio.create_task(resolver.resolve(NAME))
    await settled()
    assert gate.waiting == 1
    await resolver.invalidate(NAME)
    gate.opened.set()
    await waiting
    world.well_known.answers[NAME] = {"m.server": "late.example:1"}
    assert (await resolver.resolve(NAME)).host_header == "late.example:1"


async def test_invalidate_what_needs_no_question(world: World, resolver: Resolver) -> None:
    """Of a name with a port its addresses are invalidated."""
    world.addresses.answers["c.example"] = ["192.0.3.1"]
    for _ in range(2):
        await resolver.endpoints(await resolver.resolve("c.example:1"))
        await resolver.invalidate("c.example:1")
    assert world.addresses.asked == ["c.example"] * 2


async def test_a_cache_that_cannot_delete(world: World) -> None:
    """What the cache can't do is told to the hooks; here it is invalidated all the same."""

    class Stuck(MemoryCache):
        async def delete(self, question: Question, /) -> None:
            """Fail."""
            raise CacheError("read-only")

    cache = Stuck(clock=world.clock)
    async with world.resolver(cache=cache, hooks=[world.told.append]) as resolver:
        await resolver.resolve(NAME)
        await resolver.invalidate(NAME)
    assert AskWellKnown(NAME) in {e.question for e in world.told if isinstance(e, CacheFailed)}


async def test_giving_up_does_not_bring_back_what_is_invalidated(
    world: World, resolver: Resolver
) -> None:
    """A fetch that is still ending when its name is invalidated leaves nothing behind."""
    world.well_known.answers[NAME] = {"m.server": "old.example:1"}
    await resolver.resolve(NAME)
    world.clock.advance(25 * HOUR)
    fetch = world.well_known.answers[NAME] = SlowToEnd()
    task = asyncio.create_task(resolver.resolve(NAME))
    await settled()
    world.clock.advance(3)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await resolver.invalidate(NAME)
    fetch.may_end.set()
    await settled()
    world.well_known.answers[NAME] = WellKnownFetchError("down")
    assert (await resolver.resolve(NAME)).step is Step.DEFAULT_PORT


async def test_nobody_follows_what_is_invalidated(world: World, resolver: Resolver) -> None:
    """A fetch that was given up has nothing to tell once it is invalidated: nobody waits for it."""
    fetch = world.well_known.answers[NAME] = SlowToEnd()
    given_up = asyncio.create_task(resolver.resolve(NAME))
    await settled()
    world.clock.advance(3)
    given_up.cancel()
    await settled()
    await resolver.invalidate(NAME)
    world.well_known.answers[NAME] = {"m.server": "late.example:1"}
    resolving = asyncio.create_task(resolver.resolve(NAME))
    await settled()
    assert resolving.done()
    fetch.may_end.set()
    assert (await resolving).host_header == "late.example:1"


async def test_who_follows_is_replaced(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A flight that was invalidated while it followed another voids nothing that came after it."""
    monkeypatch.setattr(flight, "LINGER", 0.02)
    async with world.resolver() as resolver:
        first = world.well_known.answers[NAME] = SlowToEnd()
        given_up = asyncio.create_task(resolver.resolve(NAME))
        await settled()
        given_up.cancel()
        await settled()
        following = asyncio.create_task(resolver.resolve(NAME))
        await settled()
        await resolver.invalidate(NAME)
        gate = world.well_known.answers[NAME] = Gate({"m.server": "late.example:1"})
        late = asyncio.create_task(resolver.resolve(NAME))
        await settled()
        async with asyncio.timeout(HANGS):
            while gate.waiting < 2:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        gate.opened.set()
        assert (await late).host_header == (await following).host_header == "late.example:1"
        first.may_end.set()
        asked = len(world.well_known.asked)
        assert (await resolver.resolve(NAME)) is await late
        assert len(world.well_known.asked) == asked


class SlowToPut(MemoryCache):
    """A cache whose writes take until they are let through."""

    def __init__(self, world: World) -> None:
        super().__init__(clock=world.clock)
        self.putting = asyncio.Event()
        self.may_put = asyncio.Event()

    async def put(self, question: Question, entry: CacheEntry, /) -> None:
        """Wait, then keep."""
        self.on_its_way = question, entry
        self.putting.set()
        await self.may_put.wait()
        await super().put(question, entry)


class SlowToTell(SlowToPut):
    """A cache whose writes take until they are let through, and then until that may be told."""

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self.may_tell = asyncio.Event()

    async def put(self, question: Question, entry: CacheEntry, /) -> None:
        """Wait, keep, wait."""
        await super().put(question, entry)
        await self.may_tell.wait()


class SlowToGet(MemoryCache):
    """A cache whose reads take until they are let through."""

    def __init__(self, world: World) -> None:
        super().__init__(clock=world.clock)
        self.may_get = asyncio.Event()
        self.may_get.set()

    async def get(self, question: Question, /) -> CacheEntry | None:
        """Wait, then look."""
        await self.may_get.wait()
        return await super().get(question)


async def test_an_answer_on_its_way_into_the_cache(world: World) -> None:
    """What was being kept when it was invalidated is not there afterwards."""
    cache = SlowToPut(world)
    world.well_known.answers[NAME] = {"m.server": "old.example:1"}
    policy = Policy(srv_head_start=False)
    async with world.resolver(cache=cache, policy=policy) as resolver:
        waiting = asyncio.create_task(resolver.resolve(NAME))
        await cache.putting.wait()
        await resolver.invalidate(NAME)
        cache.may_put.set()
        await waiting
        assert await cache.get(AskWellKnown(NAME)) is None


async def test_a_report_does_not_bring_back_what_is_invalidated(world: World) -> None:
    """An answer that is invalidated while it is being expired stays gone."""
    cache = SlowToPut(world)
    cache.may_put.set()
    async with world.resolver(cache=cache) as resolver:
        resolution = await resolver.resolve(NAME)

        async def get(question: Question) -> CacheEntry | None:
            entry = await MemoryCache.get(cache, question)
            if isinstance(question, AskWellKnown):
                cache.get = MemoryCache.get.__get__(cache)  # type: ignore[method-assign]
                await resolver.invalidate(NAME)
            return entry

        cache.get = get  # type: ignore[assignment,method-assign]
        await resolver.report_unreachable(resolution)
        assert await cache.get(AskWellKnown(NAME)) is None


async def test_nothing_is_kept_while_it_is_being_deleted(world: World) -> None:
    """What was read before the deletion and is kept before that has come back stays gone too."""
    cache = world.cache
    async with world.resolver() as resolver:
        resolution = await resolver.resolve(NAME)

        async def get(question: Question) -> CacheEntry | None:
            return read.get(question)

        async def delete(question: Question) -> None:
            read[question] = cache.peek(question)
            await MemoryCache.delete(cache, question)
            cache.get = get
            await resolver.report_unreachable(resolution)
            del cache.get

        read: dict[Question, Any] = {}
        cache.delete = delete
        await resolver.invalidate(NAME)
        assert read[AskWellKnown(NAME)] is not None
        assert await cache.get(AskWellKnown(NAME)) is None


async def test_invalidate_a_name_that_the_cache_has_let_go(world: World) -> None:
    """A kept name whose document has been dropped from the cache still gives up all it rests on."""
    async with world.resolver() as resolver:
        await resolver.resolve(NAME)
        await world.cache.delete(AskWellKnown(NAME))
        await resolver.invalidate(NAME)
        assert await world.cache.get(AskSrv(FED + "host.example")) is None


async def test_invalidate_does_not_warm_what_is_outdated(world: World) -> None:
    """A kept name that is outdated is not given while it is being invalidated, nor after."""
    cache = SlowToGet(world)
    async with world.resolver(cache=cache) as resolver:
        resolution = await resolver.resolve(NAME)
        await resolver.report_unreachable(resolution)
        world.well_known.answers[NAME] = {"m.server": "moved.example:1"}
        cache.may_get.clear()
        invalidating = asyncio.create_task(resolver.invalidate(NAME))
        await settled()
        resolving = asyncio.create_task(resolver.resolve(NAME))
        await settled()
        assert not resolving.done()
        invalidating.cancel()
        cache.may_get.set()
        assert (await resolving).host_header == "moved.example:1"


async def test_invalidate_a_name_that_is_kept_but_has_moved(world: World) -> None:
    """The addresses of where it leads as it is kept are invalidated too, whatever is known now."""
    async with world.resolver() as resolver:
        await resolver.endpoints(await resolver.resolve(NAME))
        async with world.resolver() as other:
            world.well_known.answers[NAME] = {"m.server": "moved.example:1"}
            await other.invalidate(NAME)
            await other.resolve(NAME)
        await resolver.invalidate(NAME)
        world.addresses.asked.clear()
        await resolver.endpoints(await resolver.resolve("t.example:1"))
        assert world.addresses.asked == ["t.example"]


async def test_an_answer_that_is_given_up_on_its_way_into_the_cache(world: World) -> None:
    """Who gives up does not bring back what was invalidated while it was being kept."""
    cache = SlowToTell(world)
    policy = Policy(srv_head_start=False)
    async with world.resolver(cache=cache, policy=policy) as resolver:
        waiting = asyncio.create_task(resolver.resolve(NAME))
        await cache.putting.wait()
        await resolver.invalidate(NAME)
        cache.may_put.set()
        await settled()
        assert await cache.get(AskWellKnown(NAME)) is not None
        waiting.cancel()
        await settled()
        assert await cache.get(AskWellKnown(NAME)) is None


async def test_an_answer_that_came_into_the_cache_too_late(world: World) -> None:
    """Who reads it before it is deleted once more does not keep the name."""
    cache = SlowToTell(world)
    policy = Policy(srv_head_start=False)
    async with world.resolver(cache=cache, policy=policy) as resolver:
        waiting = asyncio.create_task(resolver.resolve(NAME))
        await cache.putting.wait()
        await resolver.invalidate(NAME)
        cache.may_put.set()
        await settled()
        await resolver.resolve(NAME)  # it is there, and we can't know better
        world.well_known.answers[NAME] = {"m.server": "moved.example:1"}
        cache.may_tell.set()
        await waiting
        assert (await resolver.resolve(NAME)).host_header == "moved.example:1"


# Reporting


async def test_report_asks_anew_and_keeps_a_reserve(world: World, resolver: Resolver) -> None:
    """Document, records and addresses count as expired: asked again, and stale if that fails."""
    resolution = await resolver.resolve(NAME)
    await resolver.endpoints(resolution)
    for fake in (world.well_known, world.srv, world.addresses):
        fake.asked.clear()
    await resolver.report_unreachable(resolution)
    world.well_known.answers[NAME] = WellKnownFetchError("down")
    again = await resolver.resolve(NAME)
    await resolver.endpoints(again)
    assert (again.targets, again.stale) == (resolution.targets, True)
    assert world.well_known.asked == [NAME]
    assert FED + "host.example" in world.srv.asked
    assert world.addresses.asked == ["t.example"]


async def test_report_brings_a_moved_server_back(world: World, resolver: Resolver) -> None:
    """A delegation that has changed is found with the first resolve after the report."""
    resolution = await resolver.resolve(NAME)
    world.well_known.answers[NAME] = {"m.server": "moved.example:1"}
    await resolver.report_unreachable(resolution)
    assert (await resolver.resolve(NAME)).host_header == "moved.example:1"


async def test_report_of_what_is_being_refreshed(world: World) -> None:
    """Who comes after the report waits for the refresh under way, as with a stale answer."""
    async with world.resolver(policy=Policy(jitter=0, stale_answer_delay=HANGS)) as resolver:
        resolution = await resolver.resolve(NAME)
        world.clock.advance(0.9 * DAY)
        gate = world.well_known.answers[NAME] = Gate({"m.server": "moved.example:1"})
        assert not (await resolver.resolve(NAME)).stale
        await settled()
        await resolver.report_unreachable(resolution)
        resolving = asyncio.create_task(resolver.resolve(NAME))
        await settled()
        assert not resolving.done()
        gate.opened.set()
        assert (await resolving).host_header == "moved.example:1"
    assert world.well_known.asked == [NAME] * 2


async def test_report_of_what_is_refused_when_it_is_refreshed(world: World) -> None:
    """A definite refusal that comes after the report leaves nothing of what was reported."""
    async with world.resolver() as resolver:
        resolution = await resolver.resolve(NAME)
        world.clock.advance(0.9 * DAY)
        gate = world.well_known.answers[NAME] = Gate()
        await resolver.resolve(NAME)
        await settled()
        await resolver.report_unreachable(resolution)
        gate.opened.set()
        await settled()
        assert (await resolver.resolve(NAME)).step is Step.DEFAULT_PORT


async def test_report_of_what_is_being_read(world: World) -> None:
    """What was read before the report, and comes after it, is not given as if it were fresh."""
    async with world.resolver() as resolver:
        resolution = await resolver.resolve(NAME)
        resolver._names.clear()
        read = await world.cache.get(AskWellKnown(NAME))

        async def get(_: Question) -> CacheEntry | None:
            del world.cache.get
            await resolver.report_unreachable(resolution)
            return read

        world.cache.get = get
        world.well_known.answers[NAME] = {"m.server": "moved.example:1"}
        assert (await resolver.resolve(NAME)).host_header == "moved.example:1"


async def test_report_once_a_minute_and_name(world: World, resolver: Resolver) -> None:
    """A dead server costs one round of questions a minute however often it is reported."""
    resolution = await resolver.resolve(NAME)
    world.well_known.asked.clear()
    for _ in range(30):
        await resolver.report_unreachable(resolution)
        resolution = await resolver.resolve(NAME)
        world.clock.advance(10)
    assert len(world.well_known.asked) == 5


async def test_a_report_that_is_cancelled_does_not_count(world: World) -> None:
    """Whoever reports next has effect."""
    cache = SlowToPut(world)
    cache.may_put.set()
    async with world.resolver(cache=cache) as resolver:
        resolution = await resolver.resolve(NAME)
        cache.may_put.clear()
        cache.putting.clear()
        reporting = asyncio.create_task(resolver.report_unreachable(resolution))
        await cache.putting.wait()
        reporting.cancel()
        await asyncio.gather(reporting, return_exceptions=True)
        cache.may_put.set()
        world.well_known.answers[NAME] = {"m.server": "moved.example:1"}
        await resolver.report_unreachable(resolution)
        assert (await resolver.resolve(NAME)).host_header == "moved.example:1"


async def test_a_report_that_ends_midway_has_told_what_it_did(world: World) -> None:
    """What was expired before it was cancelled is not given on as if it were fresh."""
    cache = SlowToPut(world)
    cache.may_put.set()
    async with world.resolver(cache=cache) as resolver:
        resolution = await resolver.resolve(NAME)
        cache.may_put.clear()
        cache.putting.clear()
        reporting = asyncio.create_task(resolver.report_unreachable(resolution))
        await cache.putting.wait()
        await MemoryCache.put(cache, *cache.on_its_way)
        reporting.cancel()
        await asyncio.gather(reporting, return_exceptions=True)
        cache.may_put.set()
        world.well_known.answers[NAME] = {"m.server": "moved.example:1"}
        assert (await resolver.resolve(NAME)).host_header == "moved.example:1"


async def test_report_leaves_backoff_alone(world: World, resolver: Resolver) -> None:
    """With the web server dead too, its backoff holds: six fetches in an hour, not sixty."""
    resolution = await resolver.resolve(NAME)
    world.well_known.answers[NAME] = WellKnownFetchError("down")
    world.well_known.asked.clear()
    for _ in range(360):
        await resolver.report_unreachable(resolution)
        resolution = await resolver.resolve(NAME)
        assert resolution.stale
        world.clock.advance(10)
        await settled()
    assert len(world.well_known.asked) == 6


async def test_report_expires_a_refusal(world: World, resolver: Resolver) -> None:
    """A "no document" that was to hold for an hour is asked anew: delegation may be new."""
    world.well_known.answers[NAME] = HttpResponse(404, (), b"", "")
    resolution = await resolver.resolve(NAME)
    world.well_known.answers[NAME] = {"m.server": "moved.example:1"}
    await resolver.report_unreachable(resolution)
    assert (await resolver.resolve(NAME)).host_header == "moved.example:1"


async def test_report_of_an_answer_that_has_been_replaced(world: World, resolver: Resolver) -> None:
    """What was asked since, with another answer, is not what has failed."""
    old = await resolver.resolve(NAME)
    world.clock.advance(2 * DAY)
    world.well_known.answers[NAME] = {"m.server": "moved.example:1"}
    await resolver.resolve(NAME)
    asked = len(world.well_known.asked)
    await resolver.report_unreachable(old)
    assert (await resolver.resolve(NAME)).host_header == "moved.example:1"
    assert len(world.well_known.asked) == asked


async def test_report_without_questions(world: World, resolver: Resolver) -> None:
    """An IP literal rests on nothing; a name with a port on its addresses."""
    world.addresses.answers["c.example"] = ["192.0.3.1"]
    for name in ("192.0.2.1", "c.example:1"):
        resolution = await resolver.resolve(name)
        await resolver.report_unreachable(resolution)
    await resolver.endpoints(resolution)
    await resolver.report_unreachable(resolution)  # within the minute: without effect
    await resolver.endpoints(resolution)
    world.clock.advance(MINUTE)
    await resolver.report_unreachable(resolution)
    await resolver.endpoints(resolution)
    assert world.addresses.asked == ["c.example"] * 2


# What other processes invalidate


class Shared(MemoryCache):
    """A cache whose feed is in the test's hands."""

    def __init__(self, world: World) -> None:
        super().__init__(clock=world.clock)
        self.feed: asyncio.Queue[Any] = asyncio.Queue()
        self.again = asyncio.Event()
        self._listened = 0

    async def invalidations(self) -> Any:
        """Yield what the test puts in, raise it if it is an exception."""
        self._listened += 1
        if self._listened == 2:
            self.again.set()
        while True:
            word = await self.feed.get()
            if isinstance(word, Exception):
                raise word
            if word is not None:  # as a cache with two levels does
                question = question_of(word)
                if question is not None:
                    await self.delete(question)
            yield word


async def test_word_of_a_deletion_elsewhere(world: World) -> None:
    """A question that another process has deleted is invalidated here, kept names included."""
    cache = Shared(world)
    async with world.resolver(cache=cache) as resolver:
        await resolver.resolve(NAME)
        for word in (None, AskWellKnown(NAME).key, "nonsense"):
            cache.feed.put_nowait(word)
        await settled()
        assert resolver.peek(NAME) is None
        world.well_known.answers[NAME] = {"m.server": "moved.example:1"}
        assert (await resolver.resolve(NAME)).host_header == "moved.example:1"


async def test_word_that_may_have_been_missed(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a feed was cut off everything is decided anew, from what the cache has then."""
    monkeypatch.setattr("matrix_resolve.resolver.feed._AGAIN_AFTER", 0.01)
    cache = Shared(world)
    async with world.resolver(cache=cache, hooks=[world.told.append]) as resolver:
        cache.feed.put_nowait(None)
        await settled()
        kept = await resolver.resolve(NAME)
        cache.feed.put_nowait(CacheError("cut off"))
        await cache.again.wait()
        assert resolver.peek(NAME) is kept
        cache.feed.put_nowait(None)
        await settled()
        peeked = resolver.peek(NAME)
        assert peeked == kept
        assert peeked is not kept
    (failed,) = [event for event in world.told if isinstance(event, CacheFailed)]
    assert (failed.question, str(failed.error)) == (None, "cut off")


async def test_feed_that_begins_during_a_fetch(world: World) -> None:
    """What is under way then goes on: others join it, and its answer is kept."""
    cache = Shared(world)
    gate = world.well_known.answers[NAME] = Gate({"m.server": "asked.example:1"})
    async with world.resolver(cache=cache) as resolver:
        waiting = [asyncio.create_task(resolver.resolve(NAME))]
        await settled()
        cache.feed.put_nowait(None)
        await settled()
        waiting.append(asyncio.create_task(resolver.resolve(NAME)))
        await settled()
        gate.opened.set()
        hosts = {(await task).host_header for task in waiting}
        assert hosts == {"asked.example:1"}
        assert world.well_known.asked == [NAME]
        assert cache.peek(AskWellKnown(NAME)) is not None


async def test_word_missed_before_it_listens(world: World) -> None:
    """What was kept before the feed was there is decided anew: it may have been deleted since."""
    cache = Shared(world)
    async with world.resolver(cache=cache) as resolver:
        kept = await resolver.resolve(NAME)
        cache.feed.put_nowait(None)
        await settled()
        assert await resolver.resolve(NAME) is not kept


async def test_a_bug_in_the_feed(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a feed raises by mistake is told, and it is listened to again."""
    monkeypatch.setattr("matrix_resolve.resolver.feed._AGAIN_AFTER", 0.01)
    contexts: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: contexts.append(context))
    cache = Shared(world)
    error = ZeroDivisionError("bug")
    cache.feed.put_nowait(error)
    async with world.resolver(cache=cache, hooks=[world.told.append]) as resolver:
        await settled()
        assert isinstance(await resolver.resolve(NAME), Resolution)
        await cache.again.wait()
    assert TaskFailed(question=None, error=error) in world.told
    assert [context["exception"] for context in contexts] == [error]


async def test_addresses_are_never_in_the_cache(world: World, resolver: Resolver) -> None:
    """Other processes do not get our addresses."""
    await resolver.endpoints(await resolver.resolve(NAME))
    assert await world.cache.get(AskAddresses("t.example")) is None
