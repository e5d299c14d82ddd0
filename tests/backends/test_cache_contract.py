"""Our caches, and an example's, do what every cache must: alone, in memory before another, shared.

What is particular to one of them (bounds, who wins, outages, doubt) is in its own file.
"""

import importlib
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, closing
from pathlib import Path
from typing import Any, get_args

import pytest
import pytest_asyncio
from redis.asyncio import Redis

from matrix_resolve.backends.cache_cachetools import MemoryCache
from matrix_resolve.backends.cache_redis import RedisCache
from matrix_resolve.backends.cache_sqlite import SqliteCache
from matrix_resolve.backends.cache_tiered import TieredCache
from matrix_resolve.core.entries import reconciled
from matrix_resolve.core.questions import Answer, Question
from matrix_resolve.interfaces import (
    AnswerCache,
    CacheEntry,
    InvalidationFeed,
    LeasingCache,
    PeekableCache,
)
from matrix_resolve.testing import FakeClock
from matrix_resolve.testing.contract import (
    AnswerCacheContract,
    Contract,
    InvalidationFeedContract,
    LeasingCacheContract,
    PeekableCacheContract,
    SharedCacheContract,
)
from matrix_resolve.testing.contract.entries import ANSWERS, EXAMPLE, GOOD, entry, in_a_row

LONG = 60.0
"""Seconds that nothing takes unless it hangs."""
_OPENED = 3
"""No test wants more of one cache."""
EXAMPLES = Path(__file__).parents[2] / "examples"

Opens = Callable[[], Any]


def test_every_kind_of_answer_is_tried() -> None:
    """The contract leaves no kind of answer out."""
    assert {type(answer) for _, answer in ANSWERS.values()} == set(get_args(Answer))


class Ours(Contract):
    """A cache of ours: `opens` makes one more that looks at the same entries."""

    patience = LONG

    @pytest.fixture
    def cache(self, opens: Opens) -> Any:
        return opens()

    @pytest.fixture
    def elsewhere(self, opens: Opens) -> Any:
        return opens()


class ManyWrite(Ours):
    """One that many may write to, in any order."""

    def kept_of(self, first: CacheEntry, second: CacheEntry) -> tuple[CacheEntry, ...]:
        """What `reconciled` makes of both."""
        return (reconciled(first, second),)


class TiersAreAble(Ours):
    """A cache in two levels is able to lease and to tell, whatever is behind it."""

    async def test_abilities(self, cache: AnswerCache) -> None:
        """It has all the methods."""
        assert isinstance(cache, PeekableCache)
        assert isinstance(cache, InvalidationFeed)
        assert isinstance(cache, LeasingCache)

    test_lease = LeasingCacheContract.test_lease


class SharedByUs(ManyWrite):
    """A cache that processes share: what they put in any order, and after they have deleted."""

    @pytest.mark.parametrize("second", in_a_row())
    @pytest.mark.parametrize("first", in_a_row())
    async def test_puts_of_two_processes(
        self, cache: AnswerCache, elsewhere: AnswerCache, opens: Opens, first: str, second: str
    ) -> None:
        """Whoever looks finds what `reconciled` makes of both, once its memory is not fresh."""
        entries = in_a_row()
        await cache.put(EXAMPLE, entries[first])
        await elsewhere.put(EXAMPLE, entries[second])
        assert await opens().get(EXAMPLE) == reconciled(entries[first], entries[second])

    async def test_put_after_a_deletion_elsewhere(
        self, cache: Any, elsewhere: Any, clock: FakeClock
    ) -> None:
        """An answer asked before a deletion elsewhere reaches nobody through what is shared."""
        clock.advance(1)
        await elsewhere.delete(EXAMPLE)
        await cache.put(EXAMPLE, entry(GOOD))
        assert await elsewhere.get(EXAMPLE) is None


# Memory


class TestMemory(Ours, PeekableCacheContract):
    """Memory alone."""

    test_errors = None  # it does what is asked

    @pytest.fixture
    def opens(self, clock: FakeClock) -> Opens:
        return lambda: MemoryCache(clock=clock)

    def kept_of(self, first: CacheEntry, second: CacheEntry) -> tuple[CacheEntry, ...]:
        """The second."""
        return (second,)


class TestMemoryTwice(TiersAreAble, ManyWrite, PeekableCacheContract):
    """Memory before memory."""

    test_errors = None

    @pytest.fixture
    def opens(self, clock: FakeClock) -> Opens:
        shared = MemoryCache(clock=clock)
        return lambda: TieredCache(MemoryCache(clock=clock), shared, clock=clock)


# Redis


class TestRedis(SharedByUs, LeasingCacheContract, InvalidationFeedContract):
    """A real Redis alone."""

    @pytest.fixture
    def opens(self, clock: FakeClock, redis_client: Redis) -> Opens:
        return lambda: RedisCache(redis_client, clock=clock, timeout=LONG)

    @pytest_asyncio.fixture
    async def broken_cache(self, clock: FakeClock) -> AsyncIterator[AnswerCache]:
        async with Redis(port=9) as nobody:
            yield RedisCache(nobody, clock=clock)


class TestMemoryAndRedis(
    SharedByUs, PeekableCacheContract, LeasingCacheContract, InvalidationFeedContract
):
    """Memory before a real Redis, as many processes have it."""

    @pytest.fixture
    def opens(self, clock: FakeClock, redis_client: Redis) -> Opens:
        def another() -> TieredCache:
            shared = RedisCache(redis_client, clock=clock, timeout=LONG)
            return TieredCache(MemoryCache(clock=clock), shared, clock=clock)

        return another

    @pytest_asyncio.fixture
    async def broken_cache(self, clock: FakeClock) -> AsyncIterator[AnswerCache]:
        async with Redis(port=9) as nobody:
            shared = RedisCache(nobody, clock=clock)
            yield TieredCache(MemoryCache(clock=clock), shared, clock=clock)


# A file


class Flushed(SqliteCache):
    """A file in which others find at once what was put, as they do a moment later else."""

    async def put(self, question: Question, entry: CacheEntry, /) -> None:
        """Put, and see it written."""
        await super().put(question, entry)
        await self.flush()


class InAFile(Ours):
    """Opens one file again and again, as other processes would."""

    test_errors = None  # of files there are many, in `test_cache_sqlite`
    kind: type[SqliteCache] = SqliteCache

    @pytest_asyncio.fixture
    async def files(self, clock: FakeClock, tmp_path: Path) -> AsyncIterator[list[SqliteCache]]:
        path = tmp_path / "answers.sqlite"
        async with AsyncExitStack() as opened:
            yield [
                await opened.enter_async_context(self.kind(path, clock=clock, timeout=LONG))
                for _ in range(_OPENED)
            ]

    @pytest.fixture
    def opens(self, files: list[SqliteCache]) -> Opens:
        return files.pop


class BehindMemory(InAFile):
    """Memory before a file, as it is recommended."""

    @pytest.fixture
    def opens(self, clock: FakeClock, files: list[SqliteCache]) -> Opens:
        return lambda: TieredCache(MemoryCache(clock=clock), files.pop(), clock=clock)


class TestFile(InAFile, ManyWrite, AnswerCacheContract):
    """A file alone."""

    async def test_abilities(self, cache: AnswerCache) -> None:
        """It tells, of what is written: `TestFlushedFile` tries that."""
        assert isinstance(cache, InvalidationFeed)
        assert not isinstance(cache, LeasingCache | PeekableCache)

    test_feed_ends_when_it_is_cancelled = (
        InvalidationFeedContract.test_feed_ends_when_it_is_cancelled
    )


class TestFlushedFile(InAFile, SharedByUs, InvalidationFeedContract):
    """A file that is written to at once."""

    kind = Flushed


class TestMemoryAndFile(BehindMemory, TiersAreAble, ManyWrite, PeekableCacheContract):
    """Memory before a file."""


class TestMemoryAndFlushedFile(
    TiersAreAble, BehindMemory, SharedByUs, PeekableCacheContract, InvalidationFeedContract
):
    """Memory before a file that is written to at once."""

    kind = Flushed


# The example


class TestExample(Ours, SharedCacheContract):
    """The example of a cache of one's own, in SQLite. It tells the time by the system's clock."""

    @pytest.fixture
    def example(self, monkeypatch: pytest.MonkeyPatch, clock: FakeClock) -> Any:
        monkeypatch.syspath_prepend(EXAMPLES)
        module = importlib.import_module("custom_cache")
        monkeypatch.setattr(module, "time", clock)
        return module

    @pytest.fixture
    def opens(self, example: Any) -> Iterator[Opens]:
        with closing(sqlite3.connect(":memory:")) as database:
            yield lambda: example.TableCache(database)

    @pytest.fixture
    def broken_cache(self, example: Any) -> Any:
        database = sqlite3.connect(":memory:")
        cache = example.TableCache(database)
        database.close()
        return cache
