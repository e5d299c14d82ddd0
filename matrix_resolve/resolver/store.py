"""The cache as the resolver uses it: within a second, and its failures are no failures."""

import asyncio
from collections.abc import Awaitable
from typing import Final, TypeVar

from matrix_resolve.core.entries import CacheEntry
from matrix_resolve.core.foreign import is_believable
from matrix_resolve.core.generations import Generations
from matrix_resolve.core.questions import AskAddresses, AskWellKnown, Question
from matrix_resolve.errors import CacheError
from matrix_resolve.hooks.events import CacheFailed, Hooks
from matrix_resolve.interfaces import AnswerCache, Clock, LeasingCache, PeekableCache
from matrix_resolve.policy import Policy
from matrix_resolve.timeouts import within

# A cache that takes longer (seconds) costs more than it saves; no answer waits longer for it.
_CACHE_TIMEOUT = 1.0
# Between two looks at whether another process has answered (seconds): soon, then less often.
_FIRST_LOOK: Final = 0.02
_LAST_LOOK: Final = 0.2

_T = TypeVar("_T")


def _weight(entry: CacheEntry) -> int:
    return entry.weight


class Remembering:
    """Remembers entries: addresses in this process, all else in the cache.

    What the cache can't do is told to the hooks, and counts as not known.
    """

    def __init__(self, *, cache: AnswerCache, policy: Policy, hooks: Hooks, clock: Clock) -> None:
        self._cache = cache
        self._peekable = cache if isinstance(cache, PeekableCache) else None
        self._leasing = cache if isinstance(cache, LeasingCache) else None
        self._policy = policy
        self._hooks = hooks
        self._clock = clock
        # Addresses never go into `cache`, which other processes may share.
        self._addresses = Generations[AskAddresses, CacheEntry](policy.max_resolved, _weight)

    async def recall(self, question: Question) -> CacheEntry | None:
        """Return what is remembered about `question`, fresh or not."""
        if isinstance(question, AskAddresses):
            return self._addresses.get(question)
        entry = await self._tried(question, self._cache.get(question))
        return self._checked(question, entry)

    def peek(self, question: Question) -> CacheEntry | None:
        """Return what memory holds about `question`, if the cache can look there."""
        if isinstance(question, AskAddresses):
            return self._addresses.get(question)
        entry = None if self._peekable is None else self._peekable.peek(question)
        return self._checked(question, entry)

    async def keep(self, question: Question, entry: CacheEntry) -> None:
        """Remember `entry`."""
        if isinstance(question, AskAddresses):
            self._addresses.put(question, entry)
        else:
            await self._tried(question, self._cache.put(question, entry))

    async def forget(self, question: Question) -> None:
        """Forget what is remembered about `question`."""
        if isinstance(question, AskAddresses):
            self._addresses.drop(question)
        else:
            await self._tried(question, self._cache.delete(question))

    async def turn(self, question: Question, known: CacheEntry | None) -> CacheEntry | None:
        """Wait until this process may ask; return the last that is known by then.

        Without a cache that leases, and when it fails, that is at once. It ends too when another
        process has learned what need not be asked again, and when nobody can still be asking.
        """
        if self._leasing is None or isinstance(question, AskAddresses):
            return known
        well_known = isinstance(question, AskWellKnown)
        longest = self._policy.well_known_timeout if well_known else self._policy.dns_timeout
        time = asyncio.get_running_loop().time
        until = time() + longest
        pause = _FIRST_LOOK
        while True:
            lease = await self._tried(question, self._leasing.lease(question, longest))
            if lease is None:
                return known
            entry = self._checked(question, lease.entry)
            if entry is not None and (known is None or entry.asked_at > known.asked_at):
                known = entry
                if self.is_settled(entry):
                    if lease.held:
                        await self.pass_on(question)
                    return entry
            if lease.held or time() >= until:
                return known
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LAST_LOOK)

    def is_settled(self, entry: CacheEntry) -> bool:
        """Return whether nothing need be asked now, not even ahead of the end of a lifetime."""
        return self._clock.time() < entry.settled_until(self._policy.refresh_ahead)

    async def pass_on(self, question: Question) -> None:
        """Let another process ask."""
        if self._leasing is not None and not isinstance(question, AskAddresses):
            await self._tried(question, self._leasing.release(question))

    async def _tried(self, question: Question, asked: Awaitable[_T]) -> _T | None:
        try:
            return await within(_CACHE_TIMEOUT, asked, CacheError)
        except CacheError as error:
            self._hooks.tell(CacheFailed(question=question, error=error))
            return None

    def _checked(self, question: Question, entry: CacheEntry | None) -> CacheEntry | None:
        """Return `entry` if it can be one for `question`."""
        if entry is None or is_believable(question, entry, self._clock.time()):
            return entry
        error = CacheError("what was cached is no answer to the question", temporary=False)
        self._hooks.tell(CacheFailed(question=question, error=error))
        return None
