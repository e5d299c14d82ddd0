"""A repeated answer takes one read of a dictionary, and only where that may be."""

import asyncio
from typing import Any

import pytest
from worlds import DAY, FED, HOUR, SetClock, World, settled

from matrix_resolve import (
    MemoryCache,
    Policy,
    Resolver,
    SrvLookupError,
    SrvRecord,
    WellKnownFetchError,
)
from matrix_resolve.resolver import resolved

NAME = "a.example"


@pytest.fixture
def world() -> World:
    """A world with one name of each kind."""
    world = World()
    world.well_known.answers["delegated.example"] = {"m.server": "host.example:1"}
    world.srv.answers[FED + "one.example"] = [SrvRecord(0, 0, 1, "t.example")]
    world.srv.answers[FED + "two.example"] = [
        SrvRecord(0, 1, 1, "t.example"),
        SrvRecord(0, 1, 1, "u.example"),
    ]
    world.srv.answers[FED + "ill.example"] = SrvLookupError("SERVFAIL")
    world.well_known.answers["down.example"] = WellKnownFetchError("down")
    return world


@pytest.fixture
def clock_set(world: World) -> World:
    """The same, its wall clock one that can be set."""
    world.clock = SetClock()
    world.cache = MemoryCache(clock=world.clock)
    return world


async def is_hot(resolver: Resolver, name: str) -> bool:
    """Whether a `resolve()` gives the answer without going further than the hot path."""
    further: list[Any] = []

    async def going_further(text: Any) -> Any:
        further.append(text)
        return await Resolver._resolve(resolver, text)

    resolver._resolve = going_further  # type: ignore[method-assign]
    try:
        await resolver.resolve(name)
    finally:
        del resolver._resolve  # type: ignore[method-assign]
    return not further


HOT = [
    # name, is it given from the hot path the third time
    ("192.0.2.1", True),
    ("a.example:8448", True),
    ("delegated.example", True),
    ("one.example", True),
    ("plain.example", True),
    ("ill.example", False),  # the failure is remembered for less than names are hot
    ("down.example", True),
    ("two.example", False),  # the order is drawn anew
]


@pytest.mark.parametrize(("name", "hot"), HOT)
async def test_a_repeated_answer_is_hot(world: World, name: str, hot: bool) -> None:
    """From the third time on it is given without a look, and the very same as at the first."""
    async with world.resolver() as resolver:
        first = await resolver.resolve(name)
        assert not await is_hot(resolver, name)
        for _ in range(3):
            assert await is_hot(resolver, name) is hot
            assert (await resolver.resolve(name) is first) is (name != "two.example")


@pytest.mark.parametrize("name", [name for name, _ in HOT])
async def test_nothing_is_hot_with_hooks(world: World, name: str) -> None:
    """Each resolve is to be told, so none takes the hot path."""
    async with world.resolver(hooks=[world.told.append]) as resolver:
        for _ in range(3):
            assert not await is_hot(resolver, name)


@pytest.mark.parametrize(
    ("name", "seconds"),
    [
        pytest.param("delegated.example", 0.8 * DAY, id="in the last fifth of its lifetime"),
        pytest.param("one.example", 0.8 * HOUR, id="of the records'"),
        pytest.param("down.example", 60, id="when the fetch may be tried again"),
    ],
)
async def test_hot_until_something_is_asked(world: World, name: str, seconds: float) -> None:
    """It is hot until something that it rests on is to be asked again, and not a second longer."""
    async with world.resolver() as resolver:
        first = await resolver.resolve(name)
        world.clock.advance(seconds - 11)
        assert await resolver.resolve(name) is first
        assert await is_hot(resolver, name)
        world.clock.advance(10)
        assert await resolver.resolve(name) is first
        world.clock.advance(1)
        asked = world.asked
        assert not await is_hot(resolver, name)
        await settled()  # what is in the last fifth of its lifetime is asked behind
        assert world.asked > asked


async def test_not_hot_when_it_is_invalidated(world: World) -> None:
    """Neither what was invalidated or reported is hot; others are again after one look."""
    async with world.resolver() as resolver:
        for name in 2 * ("delegated.example", "one.example", "plain.example"):
            await resolver.resolve(name)
        assert await is_hot(resolver, "plain.example")
        await resolver.invalidate("delegated.example")
        assert not await is_hot(resolver, "delegated.example")
        assert not await is_hot(resolver, "delegated.example")
        assert await is_hot(resolver, "delegated.example")
        await resolver.report_unreachable(await resolver.resolve("one.example"))
        assert not await is_hot(resolver, "one.example")
        kept = await resolver.resolve("plain.example")
        assert await is_hot(resolver, "plain.example")
        assert await resolver.resolve("plain.example") is kept


async def test_hot_within_its_bounds(world: World) -> None:
    """Of many names those that were used last are hot, however many there were."""
    names = [f"192.0.2.{number}" for number in range(1, 201)]
    async with world.resolver(policy=Policy(max_resolved=20)) as resolver:
        for name in names:
            for _ in range(2):
                await resolver.resolve(name)
        hot = [await is_hot(resolver, name) for name in reversed(names[-5:])]
        assert hot == [True] * 5
        assert not await is_hot(resolver, names[0])


async def test_names_in_use_stay_hot(world: World) -> None:
    """A name that is used again and again outlives a flood of others, and is not asked for."""
    async with world.resolver(policy=Policy(max_resolved=20)) as resolver:
        first = await resolver.resolve("plain.example")
        asked = world.asked
        for number in range(1, 201):
            await resolver.resolve(f"192.0.2.{number}")
            assert await resolver.resolve("plain.example") is first
        assert world.asked == asked
        assert len(resolver._names) == 20
        assert len(resolver._names.hot) <= 20


async def test_only_so_many_are_hot(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond a bound it begins anew, and all are given as they were."""
    monkeypatch.setattr(resolved, "_MOST_HOT", 3)
    names = [f"192.0.2.{number}" for number in range(1, 11)]
    async with world.resolver() as resolver:
        first = [await resolver.resolve(name) for name in names]
        for _ in range(3):
            for name, resolution in zip(names, first, strict=True):
                assert await resolver.resolve(name) is resolution
                assert len(resolver._names.hot) <= 3


async def test_a_wall_clock_set_forward_is_noticed(clock_set: World) -> None:
    """Ten seconds later at most, though the monotonic clock tells of no end."""
    async with clock_set.resolver() as resolver:
        for _ in range(2):
            await resolver.resolve("delegated.example")
        clock: Any = clock_set.clock
        clock.set(2 * DAY)
        asked = clock_set.asked
        assert await is_hot(resolver, "delegated.example")
        clock.advance(10)
        await resolver.resolve("delegated.example")
        assert clock_set.asked > asked


async def test_closed_while_hot(world: World) -> None:
    """What was hot is not given any more once the resolver is closed."""
    resolver = world.resolver()
    for _ in range(3):
        await resolver.resolve(NAME)
    await resolver.aclose()
    with pytest.raises(RuntimeError, match="closed"):
        await resolver.resolve(NAME)


def test_a_second_loop_while_hot(world: World) -> None:
    """What is hot is given in the loop of the first use alone, though the thread is the same."""
    resolver = world.resolver()

    async def resolve() -> None:
        for _ in range(3):
            await resolver.resolve(NAME)

    async def peek() -> None:
        resolver.peek(NAME)

    asyncio.run(resolve())
    for used in (resolve, peek):
        with pytest.raises(RuntimeError, match="first use"):
            asyncio.run(used())


async def test_names_in_use_stay_though_not_hot(world: World) -> None:
    """With hooks, too, a name that is used again and again outlives a flood of others."""
    policy = Policy(max_resolved=20)
    async with world.resolver(policy=policy, hooks=[world.told.append]) as resolver:
        first = await resolver.resolve("plain.example")
        for number in range(1, 101):
            await resolver.resolve(f"192.0.2.{number}")
            assert await resolver.resolve("plain.example") is first


class Text(str):
    """A name that prints as another."""

    __slots__ = ()

    def __str__(self) -> str:
        return "other.example"


async def test_a_name_that_prints_as_another(world: World) -> None:
    """It is the text that it holds which is resolved, be the other kept or hot."""
    async with world.resolver() as resolver:
        for _ in range(3):
            await resolver.resolve("other.example")
            assert str((await resolver.resolve(Text(NAME))).server_name) == NAME
