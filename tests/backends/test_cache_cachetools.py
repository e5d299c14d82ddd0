"""What is particular to the memory cache, its bound; the rest is in `test_cache_contract`."""

from typing import Any

import pytest
from attrs import evolve

from matrix_resolve.backends.cache_cachetools import MemoryCache
from matrix_resolve.core.moments import Timescale
from matrix_resolve.core.questions import (
    AskAddresses,
    AskWellKnown,
    Question,
    SrvFailed,
    SrvRecords,
)
from matrix_resolve.interfaces import CacheEntry, SrvRecord
from matrix_resolve.testing import FakeClock

EXAMPLE = AskWellKnown("example.org")
LIFETIME = 60.0


@pytest.fixture
def clock() -> FakeClock:
    """A clock that stands still."""
    return FakeClock()


@pytest.fixture
def cache(clock: FakeClock) -> MemoryCache:
    """A cache of three entries."""
    return MemoryCache(max_answers=3, clock=clock)


def entry(clock: FakeClock, reason: str = "SERVFAIL") -> CacheEntry:
    """An entry to be kept for `LIFETIME` from now."""
    now = clock.time()
    return CacheEntry(
        key="srv:a.example",
        outcome=SrvFailed(reason),
        asked_at=now,
        fresh_until=now,
        keep_until=now + LIFETIME,
    )


def hosts(*names: str) -> list[Question]:
    """Questions, one a name."""
    return [AskAddresses(name) for name in names]


async def kept(cache: MemoryCache, questions: list[Question]) -> list[str]:
    """The keys of those `questions` about which something is kept."""
    return [question.key for question in questions if await cache.get(question) is not None]


async def test_put_again_takes_no_more_room(cache: MemoryCache, clock: FakeClock) -> None:
    """A second entry takes the place of the first."""
    for reason in ("older", "newer"):
        await cache.put(EXAMPLE, entry(clock, reason))
    assert len(cache) == 1


async def test_room_after_the_end(cache: MemoryCache, clock: FakeClock) -> None:
    """An entry is let go when it is met past its end."""
    await cache.put(EXAMPLE, entry(clock))
    clock.advance(LIFETIME)
    assert len(cache) == 1
    assert cache.peek(EXAMPLE) is None
    assert len(cache) == 0


async def test_bound(cache: MemoryCache, clock: FakeClock) -> None:
    """At most `max_answers` are kept; the oldest goes first when none has been used since."""
    questions = hosts("a.example", "b.example", "c.example", "d.example", "e.example")
    for question in questions:
        await cache.put(question, entry(clock))
    assert len(cache) == 3
    assert await kept(cache, questions) == [question.key for question in questions[2:]]


@pytest.mark.parametrize("use", ["get", "put"])
async def test_least_recently_used_goes_first(
    cache: MemoryCache, clock: FakeClock, use: str
) -> None:
    """Reading an entry, or putting it again, keeps it longer than one put after it."""
    oldest, idle, newest, further = hosts("a.example", "b.example", "c.example", "d.example")
    for question in (oldest, idle, newest):
        await cache.put(question, entry(clock))
    if use == "get":
        await cache.get(oldest)
    else:
        await cache.put(oldest, entry(clock))
    await cache.put(further, entry(clock))
    assert await kept(cache, [oldest, idle, newest, further]) == [
        oldest.key,
        newest.key,
        further.key,
    ]


async def test_many_that_end_at_once(clock: FakeClock) -> None:
    """After 100,000 entries have ended, a put deletes none of them and a get its own only."""
    many = 100_000
    cache = MemoryCache(max_answers=2 * many, clock=clock)
    questions = hosts(*(f"{number}.example" for number in range(many)))
    ends = entry(clock)
    for question in questions:
        await cache.put(question, ends)
    clock.advance(LIFETIME)
    await cache.put(EXAMPLE, entry(clock))
    assert len(cache) == many + 1
    assert await cache.get(questions[0]) is None
    assert len(cache) == many


async def test_large_bound(clock: FakeClock) -> None:
    """A large cache is many small ones: none is near its bound before all are, and it holds."""
    most = 20_000
    cache = MemoryCache(max_answers=most, clock=clock)
    questions = hosts(*(f"{number}.example" for number in range(2 * most)))
    one = entry(clock)
    for question in questions[: most * 3 // 4]:
        await cache.put(question, one)
    assert len(cache) == most * 3 // 4
    for question in questions:
        await cache.put(question, one)
    assert most * 0.98 <= len(cache) <= most
    assert await cache.get(questions[-1]) == one


async def test_long_entries_count_as_several(clock: FakeClock) -> None:
    """Long reasons and many records take the room of others; the longest fits all the same."""
    cache = MemoryCache(max_answers=10, clock=clock)
    for question in hosts(*(f"{number}.example" for number in range(10))):
        await cache.put(question, entry(clock, 400 * "x"))
    assert len(cache) == 5
    records = tuple(SrvRecord(1, 2, port + 1, f"{120 * 'ab.'}example") for port in range(64))
    await cache.put(EXAMPLE, evolve(entry(clock), outcome=SrvRecords(records)))
    assert await kept(cache, [EXAMPLE]) == [EXAMPLE.key]
    assert len(cache) == 1


async def test_scale(cache: MemoryCache, clock: FakeClock) -> None:
    """An entry keeps by which setting of the clock its times are; or it is that of the moment."""
    for scale, kept_as in (
        (Timescale(clock, 7.0), Timescale(clock, 7.0)),
        (None, Timescale(clock, clock.time() - clock.monotonic())),
        (Timescale(object(), 7.0), Timescale(clock, clock.time() - clock.monotonic())),
    ):
        await cache.put(EXAMPLE, evolve(entry(clock), scale=scale))
        found = await cache.get(EXAMPLE)
        assert found is not None
        assert found.scale == kept_as


async def test_system_time_by_default() -> None:
    """Without a clock, entries end by the system's."""
    cache = MemoryCache()
    now = FakeClock(start=0)
    await cache.put(EXAMPLE, entry(now))  # its end passed in 1970
    assert await cache.get(EXAMPLE) is None
    future = FakeClock(start=4e9)
    await cache.put(EXAMPLE, entry(future))
    assert await cache.get(EXAMPLE) is not None


@pytest.mark.parametrize("number", [True, 1.5, float("nan"), float("inf"), None, "5"])
async def test_what_is_no_number_of_answers(number: Any) -> None:
    """A mistyped bound fails when the cache is made."""
    with pytest.raises(TypeError, match="max_answers must be an int"):
        MemoryCache(max_answers=number)
    for least in (0, -1):
        with pytest.raises(ValueError, match="max_answers must be from 1"):
            MemoryCache(max_answers=least)
