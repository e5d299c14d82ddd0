"""How long is waited for Redis, by an event loop whose time is in the test's hands."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from fuzzing import SkippingLoop

from matrix_resolve.backends.cache_redis.patience import patiently
from matrix_resolve.errors import CacheError

LIMIT = 0.1


def run(ask: Callable[[SkippingLoop], Awaitable[object]]) -> tuple[object, float]:
    """Return what comes of waiting patiently for `ask`, and after how many seconds."""

    async def main() -> tuple[object, float]:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, SkippingLoop)
        try:
            told: object = await patiently(LIMIT, ask(loop))
        except CacheError as error:
            told = str(error)
        left = [timer for timer in loop._scheduled if not timer.cancelled()]  # type: ignore[attr-defined]
        assert left == []
        return told, loop.time()

    with asyncio.Runner(loop_factory=SkippingLoop) as runner:
        return runner.run(main())


async def turns(count: int) -> None:
    """Need so many turns of the loop."""
    for _ in range(count):
        await asyncio.sleep(0)


def test_what_never_answers() -> None:
    """When nothing holds the loop up, the limit is what it says."""

    async def never(_: SkippingLoop) -> None:
        await asyncio.Event().wait()

    told, seconds = run(never)
    assert told == "no answer within 0.1 s"
    assert seconds == pytest.approx(LIMIT)


@pytest.mark.parametrize(("seconds", "told"), [(0.09, "late"), (0.11, "no answer within 0.1 s")])
def test_on_both_sides_of_the_limit(seconds: float, told: str) -> None:
    """What comes within the limit is given."""

    async def late(_: SkippingLoop) -> str:
        await asyncio.sleep(seconds)
        return "late"

    assert run(late)[0] == told


@pytest.mark.parametrize("begins", [step * LIMIT / 20 for step in range(20)])
@pytest.mark.parametrize("lasts", [0.02, 0.12, 1.2])
def test_a_hold_up_at_any_moment(begins: float, lasts: float) -> None:
    """What has arrived meanwhile counts, though reading it takes some turns of the loop."""

    async def held_up(loop: SkippingLoop) -> str:
        await asyncio.sleep(begins)
        loop.skip(lasts)
        await turns(8)
        return "read"

    assert run(held_up)[0] == "read"


def test_a_hold_up_prolongs_by_what_it_takes() -> None:
    """After a hold-up a Redis that does not answer has what was left of the limit, and no more."""

    async def never(loop: SkippingLoop) -> None:
        await asyncio.sleep(LIMIT / 2)
        loop.skip(1.0)
        await asyncio.Event().wait()

    told, seconds = run(never)
    assert told == "no answer within 0.1 s"
    assert 1.0 + LIMIT / 2 < seconds < 1.0 + 1.2 * LIMIT


def test_small_delays_count() -> None:
    """A loop that is a little late each time, as every loop is, prolongs nothing."""

    async def never(loop: SkippingLoop) -> None:
        while True:
            await asyncio.sleep(LIMIT / 10)
            loop.skip(0.001)

    told, seconds = run(never)
    assert told == "no answer within 0.1 s"
    assert seconds < 1.3 * LIMIT


def test_a_loop_that_is_always_late() -> None:
    """In the end nothing is waited for, be the loop late each time."""

    async def never(loop: SkippingLoop) -> None:
        while True:
            loop.skip(LIMIT)
            await asyncio.sleep(0)

    told, seconds = run(never)
    assert told == "no answer within 0.1 s"
    assert seconds < 250 * LIMIT
