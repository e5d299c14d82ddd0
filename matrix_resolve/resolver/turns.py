"""The turn to ask, where processes share a cache: one of them asks while the others wait."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, Final

from matrix_resolve.core.entries import CacheEntry
from matrix_resolve.core.invalidations import Invalidations
from matrix_resolve.core.questions import AskWellKnown, Question
from matrix_resolve.hooks.events import Hooks
from matrix_resolve.interfaces import Lease
from matrix_resolve.policy import Policy
from matrix_resolve.resolver.tasks import end_tasks

# For so long (seconds) is a question leased, again and again while it is asked: when the one who
# asks has died, another one need not wait for longer.
_LEASE: Final = 2.0
# A lease is renewed so many times before it would end.
_RENEWALS: Final = 3
# Between two looks at whether another process has answered (seconds): soon, then less often.
_FIRST_LOOK: Final = 0.02
_LAST_LOOK: Final = 0.2


class Turns:
    """Gives out the turn to ask to who holds the lease.

    `lease` and `release` are a cache's, and raise no `CacheError`: `lease` gives None when the
    cache fails. `is_settled` tells whether an entry need not be asked.
    """

    def __init__(
        self,
        *,
        lease: Callable[[Question, float], Awaitable[Lease | None]],
        release: Callable[[Question], Coroutine[Any, Any, object]],
        is_settled: Callable[[CacheEntry], bool],
        invalidations: Invalidations,
        policy: Policy,
        hooks: Hooks,
        rng: random.Random,
    ) -> None:
        self._lease = lease
        self._release = release
        self._is_settled = is_settled
        self._invalidations = invalidations
        self._policy = policy
        self._hooks = hooks
        self._rng = rng

    @asynccontextmanager
    async def turn(
        self, question: Question, known: CacheEntry | None
    ) -> AsyncIterator[CacheEntry | None]:
        """Wait for the turn to ask, hold it in this context, and give the last that is known.

        When the cache fails, the turn is at once. The wait ends too when another process has
        learned what need not be asked again, and when nobody can still be asking. However this
        context ends, the lease is given back, be it one that was taken and not told of.
        """
        longest, seconds = self._longest(question), self._seconds(question)
        time = asyncio.get_running_loop().time
        # Not all who have waited in vain ask at one moment.
        until = time() + longest + self._rng.uniform(1, 3) * seconds
        pause = _FIRST_LOOK
        may_be_held = False
        renewals: _Renewals | None = None
        try:
            while True:
                may_be_held = True  # until it is known, if ever
                lease = await self._lease(question, seconds)
                may_be_held = lease is not None and lease.held
                if lease is None:
                    break
                entry = lease.entry
                if entry is not None and (known is None or entry.asked_at > known.asked_at):
                    known = entry
                    if self._is_settled(entry):
                        break
                if lease.held:
                    renewals = _Renewals(seconds / _RENEWALS, longest, self._renewal(question))
                if lease.held or time() >= until:
                    break
                await asyncio.sleep(pause)
                pause = min(2 * pause, _LAST_LOOK)
            yield known
        finally:
            try:
                if renewals is not None:
                    await _to_its_end(renewals.end())
            finally:
                if may_be_held:
                    await _to_its_end(self._release(question))

    def _renewal(self, question: Question) -> Callable[[], Awaitable[bool]]:
        """Return what renews a lease that is held now, and returns whether it still is."""
        epoch = self._invalidations.epoch

        async def renewed() -> bool:
            if self._invalidations.since(epoch, question.key):
                return False  # who asks asks in vain, so others may
            try:
                lease = await self._lease(question, self._seconds(question))
            except Exception as error:
                self._hooks.tell_bug(question, error, f"a lease could not be renewed: {question}")
                return False
            return lease is None or lease.held

        return renewed

    def _longest(self, question: Question) -> float:
        """Return for how many seconds a question may be asked."""
        if isinstance(question, AskWellKnown):
            return self._policy.well_known_timeout
        return self._policy.dns_timeout

    def _seconds(self, question: Question) -> float:
        return min(_LEASE, self._longest(question))


async def _to_its_end(asked: Coroutine[Any, Any, object]) -> None:
    """Await what soon ends, whoever cancels that meanwhile."""
    task = asyncio.get_running_loop().create_task(asked)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait((task,))
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        raise cancelled
    task.result()


class _Renewals:
    """Renews a lease `every` so many seconds, `longest` in all, for as long as it is held.

    There is no task before the first time: most questions are answered sooner.
    """

    def __init__(self, every: float, longest: float, renew: Callable[[], Awaitable[bool]]) -> None:
        self._every = every
        self._renew = renew
        loop = asyncio.get_running_loop()
        self._until = loop.time() + longest
        self._tasks: list[asyncio.Task[None]] = []
        self._timer = loop.call_later(every, self._begin)

    async def end(self) -> None:
        """Renew it no more."""
        self._timer.cancel()
        await end_tasks(self._tasks)

    def _begin(self) -> None:
        self._tasks.append(asyncio.get_running_loop().create_task(self._go_on()))

    async def _go_on(self) -> None:
        loop = asyncio.get_running_loop()
        is_held = await self._renew()
        while is_held and loop.time() + self._every < self._until:
            await asyncio.sleep(self._every)
            is_held = await self._renew()
