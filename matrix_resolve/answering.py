"""One question -> one answer: from the cache while it is fresh, otherwise asked, once for all.

A question under way is a flight. Whoever wants its answer joins it; when the last one has left it
is cancelled, and nobody's leaving disturbs the others.
"""

import asyncio
import random
from collections.abc import Iterator
from contextlib import contextmanager

from attrs import frozen

from matrix_resolve.asking import Asking
from matrix_resolve.core.entries import CacheEntry, Given, is_entry_for, remember
from matrix_resolve.core.questions import AskAddresses, AskWellKnown, Question
from matrix_resolve.deadlines import within
from matrix_resolve.errors import CacheError
from matrix_resolve.generations import Generations
from matrix_resolve.hooks import CacheFailed, Hooks, QuestionAnswered, QuestionAsked, TaskFailed
from matrix_resolve.interfaces import AnswerCache, Clock
from matrix_resolve.policy import Policy

_CLOSED = "the resolver was closed"
# A cache that takes longer (seconds) costs more than it saves; no answer waits for it.
_CACHE_TIMEOUT = 1.0
# How long (seconds) closing waits for plug-ins that do not end when they are cancelled.
_CLOSING = 2.0


@frozen
class Found:
    """The answer to a question, and how it was found (`duration` in seconds).

    Until `ask_again_at` (Unix seconds) asking again would find the same.
    """

    given: Given
    ask_again_at: float
    from_cache: bool
    duration: float


class Flight:
    """A question under way, and how many want its answer.

    Until one of them needs it, it asks only if nothing is remembered.
    """

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self.task: asyncio.Task[Found]
        self.wanted_by = 0
        self.needed = asyncio.Event()
        self.taken = False  # has anyone been told how it ended?
        self._asking: asyncio.Future[bool] = loop.create_future()
        self._landing: asyncio.Future[None] = loop.create_future()
        self._closed = False

    def asks(self, asking: bool) -> None:
        """Tell those who wait for it whether anything must be asked."""
        if not self._asking.done():
            self._asking.set_result(asking)

    def lands(self, *, closed: bool = False) -> None:
        """Tell those who wait that it has ended, or that the resolver is closed."""
        self._closed = self._closed or closed
        self.asks(False)
        if not self._landing.done():
            self._landing.set_result(None)

    # Below, wait() instead of await: who is cancelled while waiting must not cancel the future.

    async def is_asking(self) -> bool:
        """Wait until it is clear whether anything must be asked, and return that."""
        await asyncio.wait((self._asking,))
        return self._asking.result()

    async def landed(self) -> Found:
        """Wait for the answer. Being cancelled here leaves the flight to the others."""
        self.needed.set()
        await asyncio.wait((self._landing,))
        if self._closed:
            raise RuntimeError(_CLOSED)
        self.taken = True
        if self.task.cancelled():
            raise RuntimeError("a plug-in cancelled itself")
        return self.task.result()


class Answering:
    """Answers questions from the cache, and asks what is not there."""

    def __init__(
        self,
        *,
        asking: Asking,
        cache: AnswerCache,
        policy: Policy,
        hooks: Hooks,
        clock: Clock,
        rng: random.Random,
    ) -> None:
        self._asking = asking
        self._cache = cache
        self._policy = policy
        self._hooks = hooks
        self._clock = clock
        self._rng = rng
        # Addresses never go into `cache`, which other processes may share.
        self._address_entries = Generations[AskAddresses, CacheEntry](policy.max_resolved)
        self._flights: dict[Question, Flight] = {}
        self._tasks: set[asyncio.Task[Found]] = set()
        self._closed = False
        self.fetches = 0
        """Well-known fetches in flight or waiting for a slot."""

    async def aclose(self) -> None:
        """End all flights, let no other begin, and wait until they have ended."""
        self._closed = True
        for flight in self._flights.values():
            flight.lands(closed=True)
        for task in self._tasks:
            task.cancel()
        if not self._tasks:
            return
        _, left = await asyncio.wait(self._tasks, timeout=_CLOSING)
        for task in left:
            error = RuntimeError(f"{task.get_name()} did not end when it was cancelled")
            asyncio.get_running_loop().call_exception_handler(
                {"message": str(error), "exception": error, "task": task}
            )

    async def _recall(self, question: Question) -> CacheEntry | None:
        """Return what is remembered about `question`, fresh or not."""
        if isinstance(question, AskAddresses):
            return self._address_entries.get(question)
        try:
            entry = await within(_CACHE_TIMEOUT, self._cache.get(question), CacheError)
            if entry is not None and not is_entry_for(question, entry):
                raise CacheError("what was cached is no answer to the question", temporary=False)
        except CacheError as error:
            self._hooks.tell(CacheFailed(question=question, error=error))
            return None
        return entry

    async def _keep(self, question: Question, entry: CacheEntry) -> None:
        if isinstance(question, AskAddresses):
            self._address_entries.put(question, entry)
            return
        try:
            await within(_CACHE_TIMEOUT, self._cache.put(question, entry), CacheError)
        except CacheError as error:
            self._hooks.tell(CacheFailed(question=question, error=error))

    @contextmanager
    def flight(self, question: Question, *, ahead: bool = False) -> Iterator[Flight]:
        """Want the answer to `question` while in this context, joining a flight under way.

        `ahead`: it is not known yet whether the answer will be needed.
        """
        if self._closed:
            raise RuntimeError(_CLOSED)
        flight = self._flights.get(question)
        if flight is None:
            flight = self._flights[question] = self._take_off(question)
        flight.wanted_by += 1
        if not ahead:
            flight.needed.set()
        try:
            yield flight
        finally:
            flight.wanted_by -= 1
            if not flight.wanted_by:
                self._abandon(question, flight)

    def _take_off(self, question: Question) -> Flight:
        flight = Flight()
        flight.task = asyncio.get_running_loop().create_task(
            self._find(question, flight), name=f"matrix_resolve {question.key}"
        )
        self._tasks.add(flight.task)
        if isinstance(question, AskWellKnown):
            self.fetches += 1

        def ended(task: "asyncio.Task[Found]") -> None:
            self._tasks.discard(task)
            if isinstance(question, AskWellKnown):
                self.fetches -= 1
            flight.lands()
            if self._flights.get(question) is flight:
                del self._flights[question]
            if not flight.wanted_by:
                self._report_failure(question, flight)

        flight.task.add_done_callback(ended)
        return flight

    def _abandon(self, question: Question, flight: Flight) -> None:
        """End a flight that nobody wants any more."""
        if flight.task.done():
            self._report_failure(question, flight)
            return
        # Who comes now must not join what is ending.
        if self._flights.get(question) is flight:
            del self._flights[question]
        if not self._closed:  # closing has cancelled it
            flight.task.cancel()

    def _report_failure(self, question: Question, flight: Flight) -> None:
        """Tell of an exception that has reached no caller, once."""
        error = None if flight.task.cancelled() else flight.task.exception()
        if error is not None and not flight.taken:
            flight.taken = True
            self._hooks.tell(TaskFailed(question=question, error=error))
            asyncio.get_running_loop().call_exception_handler(
                {"message": f"asking failed unheard: {question}", "exception": error}
            )

    async def _find(self, question: Question, flight: Flight) -> Found:
        previous = await self._recall(question)
        if previous is not None:
            now = self._clock.time()
            if previous.is_fresh(now):
                given = previous.given(now)
                return Found(given, previous.fresh_until, from_cache=True, duration=0.0)
            await flight.needed.wait()
        flight.asks(True)
        asked_at = self._clock.time()
        started = self._clock.monotonic()
        if self._hooks:
            self._hooks.tell(QuestionAsked(question=question))
        learned = await self._asking.ask(question)
        if not flight.wanted_by or self._closed:
            # It was told to end: what a plug-in makes of its cancellation is no answer.
            raise asyncio.CancelledError
        duration = self._clock.monotonic() - started
        if self._hooks:
            event = QuestionAnswered(question=question, answer=learned.answer, duration=duration)
            self._hooks.tell(event)
        now = self._clock.time()
        entry = remember(
            previous, learned, asked_at=asked_at, now=now, policy=self._policy, rng=self._rng
        )
        await self._keep(question, entry)
        given = entry.given(now, just_asked=True)
        return Found(given, entry.fresh_until, from_cache=False, duration=duration)
