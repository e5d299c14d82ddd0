"""Two caches as one: near in front of shared, memory in front of Redis."""

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing

from matrix_resolve.core.entries import CacheEntry, reconciled
from matrix_resolve.core.foreign import is_believable
from matrix_resolve.core.invalidations import Invalidations
from matrix_resolve.core.moments import Moments, Timescale
from matrix_resolve.core.parts import check_part
from matrix_resolve.core.questions import question_of
from matrix_resolve.errors import CacheError
from matrix_resolve.interfaces import (
    AnswerCache,
    Clock,
    InvalidationFeed,
    Lease,
    LeasingCache,
    PeekableCache,
    Question,
)

# Entries that have been looked up again after word may have been missed. Beyond so many it begins
# afresh, and they are looked up once more.
_MOST_CONFIRMED = 300_000


class TieredCache:
    """Answers from `near` while that is fresh, else from `shared`; writes to both.

        cache = TieredCache(MemoryCache(), RedisCache(redis))

    Any two `AnswerCache`s will do. It is a `PeekableCache` as far as `near` is one, a
    `LeasingCache` and an `InvalidationFeed` as far as `shared` is. `clock` has `time()` in Unix
    seconds.

    `near` keeps what `reconciled` makes of what both know. What others delete in `shared` is
    deleted in `near` when the feed tells. Whenever the feed begins (anew), word may have been
    missed: what was asked before is read again from `shared`, and what is not there counts as
    expired. When `shared` fails, `near` alone answers.
    """

    def __init__(self, near: AnswerCache, shared: AnswerCache, *, clock: Clock = time) -> None:
        for name, cache in (("near", near), ("shared", shared)):
            check_part(name, cache, "get", "put", "delete")
        self._near = near
        self._shared = shared
        self._peekable = near if isinstance(near, PeekableCache) else None
        self._leasing = shared if isinstance(shared, LeasingCache) else None
        self._feed = shared if isinstance(shared, InvalidationFeed) else None
        self._moments = Moments(clock)
        self._invalidations = Invalidations()
        # What was asked before may have been deleted elsewhere without our hearing of it.
        self._doubtful_before, self._doubted_on = 0.0, Timescale(clock, 0.0)
        self._confirmed: set[Question] = set()

    async def get(self, question: Question, /) -> CacheEntry | None:
        """Return what is kept about `question`, None if nothing is.

        Raises `CacheError` if `shared` fails and `near` knows nothing, and if what `near` has is
        no entry of the question.
        """
        kept, now = self._counted_now(await self._near.get(question))
        if kept is not None and not is_believable(question, kept, now):
            raise CacheError("what is kept near is no entry of this question", temporary=False)
        if kept is not None and kept.is_fresh(now) and not self._is_doubtful(question, kept):
            return kept
        epoch = self._invalidations.epoch
        try:
            found = await self._shared.get(question)
        except CacheError:
            if kept is None:
                raise
            return kept
        return await self._merge(question, found, epoch)

    def peek(self, question: Question, /) -> CacheEntry | None:
        """Return what `near` has in memory; what must be read again is expired."""
        kept = None if self._peekable is None else self._peekable.peek(question)
        return self._less_doubt(question, kept)

    async def put(self, question: Question, entry: CacheEntry, /) -> None:
        """Keep `entry` in both. Raises `CacheError` if `shared` fails; `near` has it then."""
        epoch = self._invalidations.epoch
        kept = self._less_doubt(question, await self._near.get(question))
        self._confirmed.discard(question)
        await self._keep(question, reconciled(kept, entry), epoch)
        if not self._invalidations.forbids(epoch, question):
            await self._shared.put(question, entry)

    async def delete(self, question: Question, /) -> None:
        """Delete what both keep about `question`."""
        with self._invalidations.until_deleted([question]):
            try:
                await self._shared.delete(question)
            finally:
                await self._near.delete(question)

    async def lease(self, question: Question, seconds: float, /) -> Lease:
        """Try to become the one who asks; always granted if `shared` does not lease."""
        if self._leasing is None:
            return Lease(held=True)
        epoch = self._invalidations.epoch
        lease = await self._leasing.lease(question, seconds)
        if lease.entry is None:
            return lease
        try:
            return Lease(held=lease.held, entry=await self._merge(question, lease.entry, epoch))
        except BaseException:  # nobody will hear that it is held
            if lease.held:
                await self._leasing.release(question)
            raise

    async def release(self, question: Question, /) -> None:
        """Let another one ask."""
        if self._leasing is not None:
            await self._leasing.release(question)

    async def invalidations(self) -> AsyncGenerator[str | None, None]:
        """Yield what the feed of `shared` does, once `near` has deleted it too.

        Without such a feed it yields nothing, and goes on until it is closed.
        """
        if self._feed is None:
            await asyncio.get_running_loop().create_future()
            return
        async with aclosing(self._feed.invalidations()) as keys:
            async for key in keys:
                if key is None:
                    self._invalidations.note(None)
                    self._doubtful_before, self._doubted_on = self._moments.now()
                    self._confirmed.clear()
                elif (question := question_of(key)) is not None:
                    with self._invalidations.until_deleted([question]):
                        await self._near.delete(question)
                yield key

    async def _merge(
        self, question: Question, found: CacheEntry | None, epoch: int
    ) -> CacheEntry | None:
        """Return what `near` and `shared` know together, and keep it in `near`.

        Unless the question was invalidated since `epoch`, when `found` was asked for.
        """
        kept = self._less_doubt(question, await self._near.get(question))
        entry = kept
        now, _ = self._moments.now()
        if found is not None and is_believable(question, found, now):
            entry = reconciled(kept, found)
        if entry is None or self._invalidations.forbids(epoch, question):
            return entry  # before it is confirmed
        if self._is_doubtful(question, entry):
            self._confirm(question)
        await self._keep(question, entry, epoch)
        return entry

    async def _keep(self, question: Question, entry: CacheEntry, epoch: int) -> None:
        """Keep `entry` in `near`, unless its question was invalidated since `epoch`."""
        if self._invalidations.forbids(epoch, question):
            return
        try:
            await self._near.put(question, entry)
        finally:  # be it cancelled: it may be there all the same
            if self._invalidations.forbids(epoch, question):  # while it was on its way there
                await self._near.delete(question)

    def _confirm(self, question: Question) -> None:
        if len(self._confirmed) >= _MOST_CONFIRMED:
            self._confirmed.clear()
        self._confirmed.add(question)

    def _is_doubtful(self, question: Question, kept: CacheEntry) -> bool:
        """Return whether `kept` may have been deleted elsewhere without our hearing of it."""
        _, scale = self._moments.now()
        doubtful_before = self._doubtful_before - scale.set_back_since(self._doubted_on)
        return kept.asked_at < doubtful_before and question not in self._confirmed

    def _counted_now(self, kept: CacheEntry | None) -> tuple[CacheEntry | None, float]:
        """Return what `near` has with its times as the clock is set now, and the time."""
        now, scale = self._moments.now()
        return (kept.on_scale(scale) if isinstance(kept, CacheEntry) else kept), now

    def _less_doubt(self, question: Question, kept: CacheEntry | None) -> CacheEntry | None:
        """Return what is kept as far as it can be believed."""
        kept, now = self._counted_now(kept)
        if kept is None or not is_believable(question, kept, now):
            return None
        return kept.expired(now) if self._is_doubtful(question, kept) else kept
