"""The cache as the resolver uses it: within a second, and its failures are no failures."""

import random
from collections.abc import Awaitable, Collection
from contextlib import AbstractAsyncContextManager, nullcontext
from typing import TypeVar

from matrix_resolve.core.bounded import Bounded
from matrix_resolve.core.entries import CacheEntry, remember
from matrix_resolve.core.foreign import believed
from matrix_resolve.core.invalidations import Invalidations
from matrix_resolve.core.lifetimes import Learned
from matrix_resolve.core.moments import Moments, Timescale
from matrix_resolve.core.questions import Addresses, AskAddresses, Question
from matrix_resolve.errors import CacheError
from matrix_resolve.hooks.events import CacheFailed, Hooks
from matrix_resolve.interfaces import (
    AnswerCache,
    Clock,
    Lease,
    LeasingCache,
    PeekableCache,
    is_prompt,
)
from matrix_resolve.policy import Policy
from matrix_resolve.resolver.turns import Turns
from matrix_resolve.timeouts import LeftBehind, within

# A cache that takes longer (seconds) costs more than it saves; no answer waits longer for it.
_CACHE_TIMEOUT = 1.0
# So many addresses take about as much memory as the rest of an entry.
_ADDRESSES_PER_WEIGHT = 4

_T = TypeVar("_T")


def _weight(entry: CacheEntry) -> int:
    """Return about how many ordinary entries take as much memory as one of addresses."""
    answers = [answer for answer in entry.answers if isinstance(answer, Addresses)]
    return 1 + sum(len(answer.addresses) for answer in answers) // _ADDRESSES_PER_WEIGHT


class Store:
    """Entries by question: addresses in this process, all else in the cache.

    What the cache can't do is told to the hooks, and counts as not known.
    """

    def __init__(
        self,
        *,
        cache: AnswerCache,
        invalidations: Invalidations,
        policy: Policy,
        hooks: Hooks,
        clock: Clock,
        rng: random.Random,
        left: LeftBehind,
    ) -> None:
        self._cache = cache
        self._peekable = cache if isinstance(cache, PeekableCache) else None
        self._invalidations = invalidations
        self._policy = policy
        self._hooks = hooks
        self._clock = clock
        self._rng = rng
        self._left = left
        self._get_is_prompt, self._put_is_prompt = is_prompt(cache.get), is_prompt(cache.put)
        self._moments = Moments(clock)
        self._turns = self._turns_by(cache) if isinstance(cache, LeasingCache) else None
        # Addresses never go into `cache`, which other processes may share.
        self._addresses = Bounded[AskAddresses, CacheEntry](policy.max_resolved, _weight)

    async def get(self, question: Question) -> CacheEntry | None:
        """Return what is remembered about `question`, fresh or not."""
        if isinstance(question, AskAddresses):
            entry = self._addresses.get(question)
        else:
            entry = await self._tried(
                question, self._cache.get(question), is_prompt=self._get_is_prompt
            )
        return self._believed(question, entry)

    def peek(self, question: Question) -> CacheEntry | None:
        """Return what memory holds about `question`, if the cache can look there."""
        if isinstance(question, AskAddresses):
            entry = self._addresses.get(question)
        else:
            entry = None if self._peekable is None else self._peekable.peek(question)
        return self._believed(question, entry)

    def learned(
        self, question: Question, previous: CacheEntry | None, learned: Learned, asked_at: float
    ) -> CacheEntry:
        """Return the entry that follows `previous`, its lifetime counted from now."""
        now, scale = self.now()
        entry = remember(
            question.key,
            previous,
            learned,
            asked_at=asked_at,
            now=now,
            policy=self._policy,
            rng=self._rng,
        )
        scale.note(entry)
        return entry

    async def put(self, question: Question, entry: CacheEntry, *, since: int) -> None:
        """Remember `entry`, unless its question was invalidated since that epoch."""
        if self._invalidations.forbids(since, question):
            return
        if isinstance(question, AskAddresses):
            self._addresses.put(question, entry)
            return
        try:
            await self._tried(
                question, self._cache.put(question, entry), is_prompt=self._put_is_prompt
            )
        finally:  # be it cancelled: it may be there all the same
            if self._invalidations.forbids(since, question):  # while it was on its way there
                await self.delete([question])

    async def delete(self, questions: Collection[Question]) -> None:
        """Delete what is remembered about `questions`, and invalidate what is on its way here."""
        with self._invalidations.until_deleted(questions):
            for question in questions:
                await self._delete(question)

    def now(self) -> tuple[float, Timescale]:
        """Return the Unix seconds, and how the clock that tells them is set."""
        return self._moments.now()

    def settled_until(self, entry: CacheEntry) -> float:
        """Return until when (Unix seconds) nothing is asked, not even ahead of need."""
        return entry.settled_until(self._policy.refresh_ahead)

    def is_settled(self, entry: CacheEntry) -> bool:
        """Return whether nothing need be asked now."""
        return self._clock.time() < self.settled_until(entry)

    @property
    def takes_turns(self) -> bool:
        """Whether other processes may be waiting for what this one learns."""
        return self._turns is not None

    def turn(
        self, question: Question, known: CacheEntry | None
    ) -> AbstractAsyncContextManager[CacheEntry | None]:
        """Wait for the turn to ask, hold it in this context, and give the last that is known.

        Without a cache that leases the turn is at once; see `Turns`.
        """
        if self._turns is None or isinstance(question, AskAddresses):
            return nullcontext(known)
        return self._turns.turn(question, known)

    def _turns_by(self, leasing: LeasingCache) -> Turns:
        async def lease(question: Question, seconds: float) -> Lease | None:
            granted = await self._tried(question, leasing.lease(question, seconds))
            if granted is None:
                return None
            return Lease(held=granted.held, entry=self._believed(question, granted.entry))

        return Turns(
            lease=lease,
            release=lambda question: self._tried(question, leasing.release(question)),
            is_settled=self.is_settled,
            invalidations=self._invalidations,
            policy=self._policy,
            hooks=self._hooks,
            rng=self._rng,
        )

    async def _delete(self, question: Question) -> None:
        if isinstance(question, AskAddresses):
            self._addresses.delete(question)
        else:
            await self._tried(question, self._cache.delete(question))

    async def _tried(
        self, question: Question, asked: Awaitable[_T], *, is_prompt: bool = False
    ) -> _T | None:
        try:
            if is_prompt:
                return await asked
            return await within(_CACHE_TIMEOUT, asked, CacheError, self._left)
        except CacheError as error:
            self._hooks.tell(CacheFailed(question=question, error=error))
            return None

    def _believed(self, question: Question, entry: CacheEntry | None) -> CacheEntry | None:
        """Return what can be believed of `entry`, its times as the clock is set now."""
        if entry is None:
            return None
        now, scale = self.now()
        if isinstance(entry, CacheEntry):  # so it should be
            scale.note(entry)
            entry = entry.on_scale(scale)
        found = believed(question, entry, now, self._policy)
        if found is None:
            error = CacheError("what was cached is no entry of this question", temporary=False)
            self._hooks.tell(CacheFailed(question=question, error=error))
        elif now >= found.keep_until:
            return None
        return found
