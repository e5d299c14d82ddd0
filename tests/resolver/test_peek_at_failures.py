"""`peek` at what has failed: degraded names, and those where a failed lookup raises."""

from typing import Any, Literal

import pytest
from worlds import FED, OLD, World

from matrix_resolve import Policy, Resolver, SrvLookupError, SrvRecord, SrvReply, Step

NAME = "ill.example"
SERVFAIL = SrvLookupError("SERVFAIL")
RECORDS = SrvReply([SrvRecord(0, 0, 1, "t.example")], 600)


@pytest.fixture
def world() -> World:
    """A world in which the first lookup fails, and the second finds a record."""
    world = World()
    world.srv.answers[FED + NAME] = SERVFAIL
    world.srv.answers[OLD + NAME] = RECORDS
    return world


def resolver_of(world: World, srv_failure: Literal["fallback", "raise"]) -> Resolver:
    """A resolver over `world`'s cache, which may be shared with another."""
    return world.resolver(policy=Policy(jitter=0, srv_failure=srv_failure, stale_answer_delay=0.02))


def seen(resolver: Resolver) -> Any:
    """What peeking gives: step, is it degraded, is it stale; None for nothing."""
    peeked = resolver.peek(NAME)
    return None if peeked is None else (peeked.step, peeked.degraded, peeked.stale)


@pytest.mark.parametrize("by", ["this resolver", "another one"])
async def test_peek_at_a_degraded_name(world: World, by: str) -> None:
    """It says that it is degraded, for as long as the failure is remembered; then nothing is."""
    async with resolver_of(world, "fallback") as resolver, resolver_of(world, "fallback") as other:
        asking = resolver if by == "this resolver" else other
        resolution = await asking.resolve(NAME)
        assert (resolution.step, resolution.degraded) == (Step.LEGACY_SRV, True)
        asked = world.asked
        assert seen(resolver) == (Step.LEGACY_SRV, True, False)
        world.clock.advance(4.9)
        assert seen(resolver) == (Step.LEGACY_SRV, True, False)
        world.clock.advance(0.2)
        assert seen(resolver) is None
        assert world.asked == asked


async def test_peek_where_failures_raise(world: World) -> None:
    """A name that `resolve` raises for is unknown: peeking neither raises nor falls back."""
    async with resolver_of(world, "fallback") as lenient, resolver_of(world, "raise") as strict:
        with pytest.raises(SrvLookupError, match="SERVFAIL"):
            await strict.resolve(NAME)
        assert seen(strict) is None
        await lenient.resolve(NAME)
        assert seen(lenient) == (Step.LEGACY_SRV, True, False)
        assert seen(strict) is None
        with pytest.raises(SrvLookupError, match="SERVFAIL"):  # and peeking has changed nothing
            await strict.resolve(NAME)


@pytest.mark.parametrize("srv_failure", ["fallback", "raise"])
async def test_peek_at_records_in_reserve(
    world: World, srv_failure: Literal["fallback", "raise"]
) -> None:
    """Records that outlive a failure are given, stale and not degraded, whatever failures do."""
    world.srv.answers[FED + NAME] = RECORDS
    async with resolver_of(world, srv_failure) as resolver:
        await resolver.resolve(NAME)
        world.srv.answers[FED + NAME] = SERVFAIL
        world.clock.advance(601)
        assert seen(resolver) == (Step.SRV, False, True)
        await resolver.resolve(NAME)
        assert seen(resolver) == (Step.SRV, False, True)
    async with resolver_of(world, srv_failure) as other:  # which has kept no name
        assert seen(other) == (Step.SRV, False, True)


@pytest.mark.parametrize("srv_failure", ["fallback", "raise"])
async def test_peek_at_a_failure_that_was_not_needed(
    world: World, srv_failure: Literal["fallback", "raise"]
) -> None:
    """A failed lookup behind the records that decide is no matter."""
    world.srv.answers = {FED + NAME: RECORDS, OLD + NAME: SERVFAIL}
    async with resolver_of(world, srv_failure) as resolver:
        await resolver.resolve(NAME)
    async with resolver_of(world, srv_failure) as other:
        assert seen(other) == (Step.SRV, False, False)
