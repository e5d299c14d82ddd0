"""What a cache must do that can do more than the least."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import pytest

from matrix_resolve.core.questions import Answer, AskWellKnown, Question
from matrix_resolve.interfaces import AnswerCache, PeekableCache
from matrix_resolve.testing.contract.base import to_be_given
from matrix_resolve.testing.contract.caches import AnswerCacheContract
from matrix_resolve.testing.contract.entries import ANSWERS, EXAMPLE, GOOD, OTHER, SRV, entry
from matrix_resolve.testing.fakes import FakeClock

_LEASED = 60.0
"""Seconds: no test takes so long."""


class PeekableCacheContract(AnswerCacheContract):
    """The rules of a `PeekableCache`, besides those of every cache."""

    async def test_peek(self, cache: Any, clock: FakeClock) -> None:
        """Memory gives at once what was put, no longer than `get` would."""
        assert cache.peek(EXAMPLE) is None
        kept = entry(GOOD)
        await cache.put(EXAMPLE, kept)
        assert cache.peek(EXAMPLE) == kept
        assert cache.peek(AskWellKnown("EXAMPLE.org")) == kept
        assert cache.peek(OTHER) is None
        await cache.delete(EXAMPLE)
        assert cache.peek(EXAMPLE) is None
        clock.advance(1)
        kept = entry(GOOD, asked_at=clock.time())
        await cache.put(EXAMPLE, kept)
        clock.advance(kept.keep_until - clock.time())
        assert cache.peek(EXAMPLE) is None


class SharedCacheContract(AnswerCacheContract):
    """The rules of a cache that processes share, besides those of every cache.

    `elsewhere` is another cache over the same store, as another process opens it. What is put
    there need not be found at once if it is written a moment later; then the fixture gives caches
    that write at once.
    """

    elsewhere: Any = to_be_given("another cache over the same store, as another process opens it")

    @pytest.mark.parametrize(("question", "answer"), ANSWERS.values(), ids=ANSWERS)
    async def test_others_find_what_was_put(
        self, cache: AnswerCache, elsewhere: AnswerCache, question: Question, answer: Answer
    ) -> None:
        """What one has put, the other gets; when it has deleted that, it is gone."""
        kept = entry(answer, question)
        await cache.put(question, kept)
        assert await elsewhere.get(question) == kept
        await elsewhere.delete(question)
        assert await elsewhere.get(question) is None


class LeasingCacheContract(SharedCacheContract):
    """The rules of a `LeasingCache`, besides those of every shared cache."""

    async def test_lease(self, cache: Any) -> None:
        """Who comes alone may ask, again and again; to release what is not held does nothing."""
        await cache.release(EXAMPLE)
        for _ in range(2):
            assert (await cache.lease(EXAMPLE, _LEASED)).held
            assert (await cache.lease(EXAMPLE, _LEASED)).held
            await cache.release(EXAMPLE)
            await cache.release(EXAMPLE)

    async def test_one_holds_the_lease(self, cache: Any, elsewhere: Any) -> None:
        """The first to come may ask, the others not until it lets go."""
        assert (await cache.lease(EXAMPLE, _LEASED)).held
        assert not (await elsewhere.lease(EXAMPLE, _LEASED)).held
        assert (await elsewhere.lease(OTHER, _LEASED)).held
        await elsewhere.release(EXAMPLE)  # which it does not hold
        assert not (await elsewhere.lease(EXAMPLE, _LEASED)).held
        await cache.release(EXAMPLE)
        assert (await elsewhere.lease(EXAMPLE, _LEASED)).held
        assert not (await cache.lease(EXAMPLE, _LEASED)).held

    async def test_lease_ends_by_itself(self, cache: Any, elsewhere: Any) -> None:
        """When the holder has died, another one may ask once the lease has ended."""
        await cache.lease(EXAMPLE, 0.01)
        async with asyncio.timeout(self.patience):
            while not (await elsewhere.lease(EXAMPLE, _LEASED)).held:  # noqa: ASYNC110
                await asyncio.sleep(0.01)

    async def test_entry_comes_with_the_lease(self, cache: Any, elsewhere: Any) -> None:
        """Held or not, a lease brings what is kept now."""
        kept = entry(GOOD)
        assert (await cache.lease(EXAMPLE, _LEASED)).entry is None
        await cache.put(EXAMPLE, kept)
        assert (await cache.lease(EXAMPLE, _LEASED)).entry == kept
        assert (await elsewhere.lease(EXAMPLE, _LEASED)).entry == kept

    async def test_deletion_ends_the_lease(self, cache: Any, elsewhere: Any) -> None:
        """Who asked before a deletion asks in vain, so the next one need not wait."""
        await cache.lease(EXAMPLE, _LEASED)
        await elsewhere.delete(EXAMPLE)
        assert (await elsewhere.lease(EXAMPLE, _LEASED)).held
        await cache.release(EXAMPLE)
        assert not (await cache.lease(EXAMPLE, _LEASED)).held


class InvalidationFeedContract(SharedCacheContract):
    """The rules of an `InvalidationFeed`, besides those of every shared cache."""

    async def test_feed_ends_when_it_is_cancelled(self, cache: Any) -> None:
        """Who listens hears nothing while nobody else deletes, and can leave at any moment."""
        async with asyncio.timeout(self.patience), aclosing(cache.invalidations()) as feed:
            waiting = asyncio.ensure_future(_following(feed))
            await asyncio.sleep(0.05)
            await cache.delete(EXAMPLE)
            await asyncio.sleep(0.05)
            assert not waiting.done()
            await self.ended(waiting)
        assert waiting.cancelled()

    async def test_feed_tells_what_others_delete(self, cache: Any, elsewhere: AnswerCache) -> None:
        """Each deletion of another process comes, in order; one's own do not."""
        async with asyncio.timeout(self.patience), aclosing(cache.invalidations()) as feed:
            assert await anext(feed) is None
            await elsewhere.delete(EXAMPLE)
            await cache.delete(OTHER)
            await elsewhere.delete(SRV)
            assert await anext(feed) == EXAMPLE.key
            assert await anext(feed) == SRV.key

    async def test_nothing_is_kept_once_the_feed_has_told(self, cache: Any, elsewhere: Any) -> None:
        """Once the feed has told of a deletion, nothing of what was kept before is given."""
        await cache.put(EXAMPLE, entry(GOOD))
        async with asyncio.timeout(self.patience), aclosing(cache.invalidations()) as feed:
            await anext(feed)
            deleting = asyncio.ensure_future(elsewhere.delete(EXAMPLE))
            assert await anext(feed) == EXAMPLE.key
            found = await cache.get(EXAMPLE)
            await deleting
        assert found is None
        if isinstance(cache, PeekableCache):
            assert cache.peek(EXAMPLE) is None


async def _following(feed: AsyncIterator[str | None]) -> str:
    """Return the first key that a feed tells."""
    async for key in feed:
        if key is not None:
            return key
    raise AssertionError("a feed that ends by itself")
