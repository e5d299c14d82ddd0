"""`refresh`: asked now, whatever is remembered, and that is kept in reserve meanwhile."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from worlds import FED, HOUR, MINUTE, OLD, Gate, World, settled

from matrix_resolve import (
    AddressLookupError,
    AskWellKnown,
    CacheEntry,
    CacheError,
    CacheHit,
    HttpResponse,
    InvalidServerNameError,
    MemoryCache,
    Policy,
    Question,
    Resolver,
    ServiceNotOfferedError,
    SrvLookupError,
    SrvRecord,
    StaleServed,
    Step,
    WellKnownFetchError,
)

NAME, OTHER = "a.example", "b.example"
OLD_HOME, NEW_HOME = {"m.server": "old.example:1"}, {"m.server": "new.example:1"}
DOWN = WellKnownFetchError("down")


@pytest.fixture
def world() -> World:
    """`a.example` is delegated to a host and port, `b.example` to a host with SRV records."""
    world = World()
    world.well_known.answers |= {NAME: OLD_HOME, OTHER: {"m.server": "host.example"}}
    world.srv.answers[FED + "host.example"] = [SrvRecord(0, 0, 1, "t.example")]
    world.addresses.answers |= {"t.example": ["192.0.3.1"], "old.example": ["192.0.3.2"]}
    return world


@pytest.fixture
async def resolver(world: World) -> AsyncIterator[Resolver]:
    """A resolver over `world`, which waits long enough to be seen waiting."""
    async with world.resolver() as resolver:
        yield resolver


async def host(coming: Any) -> tuple[str, bool]:
    """Return where what comes leads, and whether that is stale."""
    resolution = await coming
    return resolution.targets[0].host, resolution.stale


# Whatever is remembered


async def test_a_fresh_answer_is_asked_anew(world: World, resolver: Resolver) -> None:
    """A name that is kept is asked all the same, and from then on is what was found."""
    assert await host(resolver.resolve(NAME)) == ("old.example", False)
    world.well_known.answers[NAME] = NEW_HOME
    assert await host(resolver.resolve(NAME)) == ("old.example", False)
    assert await host(resolver.refresh(NAME)) == ("new.example", False)
    assert await host(resolver.resolve(NAME)) == ("new.example", False)
    assert world.well_known.asked == [NAME, NAME]


async def test_an_unknown_name_is_asked_once(world: World, resolver: Resolver) -> None:
    """Of which nothing is known, refreshing is resolving."""
    assert await host(resolver.refresh(NAME)) == ("old.example", False)
    assert await host(resolver.resolve(NAME)) == ("old.example", False)
    assert world.well_known.asked == [NAME]


@pytest.mark.parametrize("failures", [1, 5])
async def test_no_failure_is_waited_for(world: World, resolver: Resolver, failures: int) -> None:
    """What has failed is asked before its wait is over, however long that has become."""
    world.well_known.answers[NAME] = DOWN
    for _ in range(failures):
        assert (await resolver.resolve(NAME)).step is Step.DEFAULT_PORT
        world.clock.advance(HOUR)
    await resolver.resolve(NAME)
    asked = len(world.well_known.asked)
    world.well_known.answers[NAME] = NEW_HOME
    assert (await resolver.resolve(NAME)).step is Step.DEFAULT_PORT
    assert await host(resolver.refresh(NAME)) == ("new.example", False)
    assert len(world.well_known.asked) == asked + 1


async def test_every_question_is_asked_anew(world: World, resolver: Resolver) -> None:
    """The records behind a document are asked anew with it, and not what it does not rest on."""
    await resolver.resolve(OTHER)
    for fake in (world.well_known, world.srv):
        fake.asked.clear()
    world.srv.answers[FED + "host.example"] = [SrvRecord(0, 0, 1, "u.example")]
    assert await host(resolver.refresh(OTHER)) == ("u.example", False)
    assert world.well_known.asked == [OTHER]
    assert sorted(world.srv.asked) == [FED + "host.example", OLD + "host.example"]


async def test_addresses_are_asked_anew_when_needed(world: World, resolver: Resolver) -> None:
    """The addresses of the targets count as expired, and so does that they could not be found."""
    resolution = await resolver.resolve(OTHER)
    world.addresses.answers["t.example"] = AddressLookupError("SERVFAIL")
    for _ in range(5):  # until it is remembered for a minute
        world.clock.advance(MINUTE)
        with pytest.raises(AddressLookupError):
            await resolver.endpoints(resolution)
    await resolver.refresh(OTHER)
    for address, seconds in (("192.0.3.7", 1), ("192.0.3.8", 11)):
        world.addresses.answers["t.example"] = [address]
        (endpoint,) = await resolver.endpoints(resolution)
        assert str(endpoint.address) == address
        world.addresses.answers["t.example"] = []
        world.clock.advance(seconds)
        await resolver.refresh(OTHER)  # once in 10 s, here too
        if seconds < 10:
            assert await resolver.endpoints(resolution) == (endpoint,)
            world.clock.advance(10)
            await resolver.refresh(OTHER)


async def test_addresses_stay_in_reserve(world: World, resolver: Resolver) -> None:
    """Addresses that can't be asked anew are given as they were."""
    resolution = await resolver.resolve(OTHER)
    await resolver.endpoints(resolution)
    await resolver.refresh(OTHER)
    world.addresses.answers["t.example"] = AddressLookupError("SERVFAIL")
    (endpoint,) = await resolver.endpoints(resolution)
    assert str(endpoint.address) == "192.0.3.1"
    assert world.addresses.asked == ["t.example"] * 2


# In reserve


async def test_what_is_known_stays_in_reserve(world: World, resolver: Resolver) -> None:
    """When asking fails the last good answer is given, as stale, and the failure is remembered."""
    await resolver.resolve(NAME)
    world.well_known.answers[NAME] = DOWN
    assert await host(resolver.refresh(NAME)) == ("old.example", True)
    assert await host(resolver.resolve(NAME)) == ("old.example", True)
    assert world.well_known.asked == [NAME] * 2


async def test_a_definite_no_is_believed(world: World, resolver: Resolver) -> None:
    """That there is no document any more replaces one whose lifetime is not over."""
    await resolver.resolve(NAME)
    world.well_known.answers[NAME] = HttpResponse(404, (), b"", "https://a.example/")
    assert (await resolver.refresh(NAME)).step is Step.DEFAULT_PORT
    assert (await resolver.resolve(NAME)).step is Step.DEFAULT_PORT


async def test_meanwhile(world: World, resolver: Resolver) -> None:
    """While it is asked `peek` and, after a moment, `resolve` give what is known; it waits."""
    await resolver.resolve(NAME)
    gate = world.well_known.answers[NAME] = Gate(NEW_HOME)
    refreshing = asyncio.ensure_future(resolver.refresh(NAME))
    await settled()
    assert await host(resolver.resolve(NAME)) == ("old.example", True)
    peeked = resolver.peek(NAME)
    assert peeked is not None
    assert peeked.targets[0].host == "old.example"
    assert not refreshing.done()
    gate.opened.set()
    assert await host(refreshing) == ("new.example", False)
    assert await host(resolver.resolve(NAME)) == ("new.example", False)
    assert world.well_known.asked == [NAME] * 2


async def test_others_are_decided_anew(world: World, resolver: Resolver) -> None:
    """A kept name that rests on the same answers follows."""
    world.well_known.answers["c.example"] = {"m.server": "host.example"}
    for name in (OTHER, "c.example"):
        assert await host(resolver.resolve(name)) == ("t.example", False)
    world.srv.answers[FED + "host.example"] = [SrvRecord(0, 0, 1, "u.example")]
    await resolver.refresh(OTHER)
    assert await host(resolver.resolve("c.example")) == ("u.example", False)


# How often


async def test_at_most_once_in_ten_seconds(world: World, resolver: Resolver) -> None:
    """Within 10 s of one refresh another gives what is known, whatever spelling it uses."""
    await resolver.refresh(NAME)
    world.well_known.answers[NAME] = NEW_HOME
    world.clock.advance(9.9)
    assert await host(resolver.refresh(NAME.upper())) == ("old.example", False)
    world.clock.advance(0.2)
    assert await host(resolver.refresh(NAME)) == ("new.example", False)
    assert world.well_known.asked == [NAME] * 2


async def test_refreshing_does_not_count_resolving(world: World, resolver: Resolver) -> None:
    """That it was resolved just now does not keep a name from being refreshed."""
    world.well_known.answers[NAME] = DOWN
    await resolver.resolve(NAME)
    await resolver.refresh(NAME)
    await resolver.refresh(NAME)
    assert world.well_known.asked == [NAME] * 2


async def test_a_failed_refresh_counts(world: World, resolver: Resolver) -> None:
    """One that found the server down counts too: a name that fails must not be hammered."""
    world.well_known.answers[NAME] = DOWN
    for _ in range(3):
        await resolver.refresh(NAME)
    assert world.well_known.asked == [NAME]


async def test_names_that_share_an_answer(world: World, resolver: Resolver) -> None:
    """A thousand names on one host, refreshed at once, ask its records once."""
    names = [f"n{place}.example" for place in range(1000)]
    world.well_known.answers |= {name: {"m.server": "host.example"} for name in names}
    for name in names:
        await resolver.refresh(name)
    assert sorted(world.srv.asked) == [FED + "host.example", OLD + "host.example"]
    assert len(world.well_known.asked) == 1000


async def test_coalesced(world: World, resolver: Resolver) -> None:
    """Those who refresh at once wait for one question, and so do those who resolve beside."""
    await resolver.resolve(NAME)
    gate = world.well_known.answers[NAME] = Gate(NEW_HOME)
    many = [asyncio.ensure_future(resolver.refresh(NAME)) for _ in range(20)]
    await settled()
    await asyncio.sleep(0.1)  # longer than stale answers are held back by `resolve`
    assert not any(each.done() for each in many)
    assert gate.waiting == 1
    gate.opened.set()
    assert [await host(each) for each in many] == [("new.example", False)] * 20
    assert world.well_known.asked == [NAME] * 2


async def test_a_question_under_way_is_asked_again(world: World, resolver: Resolver) -> None:
    """What was asked before goes to those who wait for it, and is kept by nobody."""
    first, second = Gate(DOWN), Gate(NEW_HOME)
    world.well_known.answers[NAME] = first
    resolving = asyncio.ensure_future(resolver.resolve(NAME))
    await settled()
    world.well_known.answers[NAME] = second
    refreshing = asyncio.ensure_future(resolver.refresh(NAME))
    await settled()
    assert (first.waiting, second.waiting) == (1, 1)
    second.opened.set()
    assert await host(refreshing) == ("new.example", False)
    first.opened.set()
    assert (await resolving).step is Step.DEFAULT_PORT
    assert await host(resolver.resolve(NAME)) == ("new.example", False)
    assert len(world.well_known.asked) == 2


async def test_cancelled(world: World, resolver: Resolver) -> None:
    """When the last who waits goes, asking ends; what is known stays known."""
    await resolver.resolve(NAME)
    gate = world.well_known.answers[NAME] = Gate(NEW_HOME)
    refreshing = asyncio.ensure_future(resolver.refresh(NAME))
    await settled()
    refreshing.cancel()
    await settled()
    assert gate.waiting == 0
    assert await host(resolver.resolve(NAME)) == ("old.example", False)


async def test_waiting_has_an_end(world: World) -> None:
    """It waits for no longer than asking may take; then the reserve is given."""
    policy = Policy(well_known_timeout=0.05, dns_timeout=0.05, stale_answer_delay=0)
    async with world.resolver(policy=policy) as resolver:
        await resolver.resolve(NAME)
        world.well_known.answers[NAME] = Gate()
        assert await host(resolver.refresh(NAME)) == ("old.example", True)


async def test_waiting_for_a_slot_has_an_end(world: World) -> None:
    """It waits no longer either where many others are asking before it."""
    policy = Policy(max_dns_lookups=1, well_known_timeout=0.05, dns_timeout=0.05)
    async with world.resolver(policy=policy) as resolver:
        await resolver.resolve(OTHER)
        asked = len(world.srv.asked)
        hanging = [f"n{place}.example" for place in range(600)]
        world.srv.answers |= {FED + name: Gate() for name in hanging}
        before = [asyncio.ensure_future(resolver.resolve(name)) for name in hanging]
        await settled()
        assert await host(resolver.refresh(OTHER)) == ("t.example", True)
        assert FED + "host.example" not in world.srv.asked[asked:]
    await asyncio.gather(*before, return_exceptions=True)


# Whatever else


async def test_a_cache_that_takes_nothing(world: World) -> None:
    """A cache that gives its old entry again and again does not keep it from being asked."""

    class Stubborn(MemoryCache):
        async def put(self, question: Question, entry: CacheEntry, /) -> None:
            if await self.get(question) is not None:
                raise CacheError("full")
            await super().put(question, entry)

    world.cache = Stubborn(clock=world.clock)
    async with world.resolver() as resolver:
        await resolver.resolve(NAME)
        world.well_known.answers[NAME] = NEW_HOME
        assert await host(resolver.refresh(NAME)) == ("new.example", False)


async def test_what_it_raises(world: World) -> None:
    """It raises what `resolve` raises, and nothing is asked for what needs no question."""
    world.srv.answers[FED + "off.example"] = [SrvRecord(0, 0, 1, ".")]
    world.srv.answers[FED + "bad.example"] = SrvLookupError("SERVFAIL")
    async with world.resolver(policy=Policy(srv_failure="raise")) as resolver:
        with pytest.raises(InvalidServerNameError):
            await resolver.refresh("a example")
        with pytest.raises(ServiceNotOfferedError):
            await resolver.refresh("off.example")
        with pytest.raises(SrvLookupError):
            await resolver.refresh("bad.example")
        asked = world.asked
        assert (await resolver.refresh("192.0.2.1")).step is Step.IP_LITERAL
        assert world.asked == asked
    with pytest.raises(RuntimeError, match="closed"):
        await resolver.refresh(NAME)


async def test_closing_ends_it(world: World) -> None:
    """Who waits when the resolver is closed is told so."""
    async with world.resolver() as resolver:
        world.well_known.answers[NAME] = Gate()
        refreshing = asyncio.ensure_future(resolver.refresh(NAME))
        await settled()
    with pytest.raises(RuntimeError, match="closed"):
        await refreshing


async def test_hooks_hear_of_it(world: World) -> None:
    """A refresh that asks is no hit; one that gives what is known is, and stale where it is so."""
    told: list[Any] = []
    async with world.resolver(hooks=[told.append]) as resolver:
        await resolver.refresh(NAME)
        assert not any(isinstance(event, CacheHit) for event in told)
        await resolver.refresh(NAME)
        assert [type(event) for event in told if isinstance(event, CacheHit)] == [CacheHit]
        world.clock.advance(MINUTE)
        world.well_known.answers[NAME] = DOWN
        await resolver.refresh(NAME)
        assert any(isinstance(event, StaleServed) for event in told)


async def test_invalidated_meanwhile(world: World, resolver: Resolver) -> None:
    """What is being asked when the name is invalidated is not kept."""
    await resolver.resolve(NAME)
    gate = world.well_known.answers[NAME] = Gate(OLD_HOME)
    refreshing = asyncio.ensure_future(resolver.refresh(NAME))
    await settled()
    await resolver.invalidate(NAME)
    world.well_known.answers[NAME] = NEW_HOME
    gate.opened.set()
    assert await host(refreshing) == ("old.example", False)
    assert await host(resolver.resolve(NAME)) == ("new.example", False)
    assert await world.cache.get(AskWellKnown(NAME)) is not None
