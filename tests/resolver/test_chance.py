"""The `rng` that is passed in: all that is left to chance is drawn from it."""

import random
from datetime import UTC, datetime
from typing import Any

import pytest
from worlds import DAY, FED, World

from matrix_resolve import Policy, SrvLookupError, SrvRecord, WellKnownFetchError

NAMES = ("delegated.example", "down.example", "ill.example")


def world() -> World:
    """A world of lifetimes that jitter, and of a name with many equal targets."""
    world = World()
    world.well_known.answers["delegated.example"] = {"m.server": "host.example:1"}
    world.well_known.answers["down.example"] = WellKnownFetchError("down")
    world.srv.answers[FED + "ill.example"] = SrvLookupError("SERVFAIL")
    world.srv.answers[FED + "many.example"] = [
        SrvRecord(0, 1, 1, f"t{number}.example") for number in range(10)
    ]
    return world


async def drawn(rng: random.Random) -> tuple[list[datetime | None], list[str]]:
    """What comes of one `rng`: how long answers are kept, and orders of targets."""
    async with world().resolver(rng=rng, policy=Policy()) as resolver:
        ends = [(await resolver.resolve(name)).expires_at for name in NAMES]
        orders = [str(await resolver.resolve("many.example")) for _ in range(5)]
        peeked = [str(resolver.peek("many.example")) for _ in range(5)]
    return ends, orders + peeked


async def test_the_same_chance_twice() -> None:
    """With the same seed all comes out the same, with another one nothing does."""
    ends, orders = await drawn(random.Random(1))
    assert (ends, orders) == await drawn(random.Random(1))
    other_ends, other_orders = await drawn(random.Random(2))
    assert not set(ends) & set(other_ends)
    assert not set(orders) & set(other_orders)


class Extreme(random.Random):
    """Draws the one end of each range."""

    def __init__(self, end: int) -> None:
        super().__init__()
        self.end = end

    def uniform(self, a: Any, b: Any) -> Any:
        """Return the end."""
        return (a, b)[self.end]


@pytest.mark.parametrize(("end", "share"), [(0, 0.9), (1, 1.1)])
async def test_jitter_is_drawn_from_it(end: int, share: float) -> None:
    """A lifetime is the default's, less or more by what is drawn."""
    made = world()
    async with made.resolver(rng=Extreme(end), policy=Policy()) as resolver:
        resolution = await resolver.resolve("delegated.example")
    assert resolution.expires_at is not None
    until = made.clock.time() + share * DAY
    assert abs(resolution.expires_at - datetime.fromtimestamp(until, UTC)).total_seconds() < 1


async def test_chance_without_an_rng() -> None:
    """Without one each resolver has a chance of its own."""
    firsts = set()
    for _ in range(20):
        async with world().resolver(rng=None) as resolver:
            firsts.add((await resolver.resolve("many.example")).targets[0].host)
    assert len(firsts) > 1
