"""One question -> one answer: fresh, refreshed ahead, stale meanwhile, backed off, or asked."""

import asyncio
import random
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from typing import Final

from matrix_resolve.core.entries import CacheEntry, Given, remember
from matrix_resolve.core.invalidations import Forgetting
from matrix_resolve.core.lifetimes import Learned
from matrix_resolve.core.questions import Answer, AskWellKnown, NotDelegated, Question
from matrix_resolve.hooks.events import (
    Hooks,
    QuestionAborted,
    QuestionAnswered,
    QuestionAsked,
    Refreshed,
)
from matrix_resolve.interfaces import AnswerCache, Clock, InvalidationFeed
from matrix_resolve.policy import Policy
from matrix_resolve.resolver.feed import Listening
from matrix_resolve.resolver.flights import Flight, Flights, Found
from matrix_resolve.resolver.store import Remembering
from matrix_resolve.resolver.upstream import Asking

# A fetch that all have given up after so long (seconds) is as good as timed out: callers with
# short time-outs must not defeat the backoff.
_GIVEN_UP_AFTER: Final = 2.0


class Answering:
    """Answers questions from what is remembered, and asks what is not.

    `changed` is called when answers that were given before may not be given again.
    """

    def __init__(
        self,
        *,
        asking: Asking,
        cache: AnswerCache,
        policy: Policy,
        hooks: Hooks,
        clock: Clock,
        rng: random.Random,
        changed: Callable[[], None],
    ) -> None:
        self._asking = asking
        self._policy = policy
        self._hooks = hooks
        self._clock = clock
        self._rng = rng
        self._memory = Remembering(cache=cache, policy=policy, hooks=hooks, clock=clock)
        self._flights = Flights(self._find, hooks)
        self.forgetting = Forgetting(changed)
        self._listening: Listening | None = None
        if isinstance(cache, InvalidationFeed):
            self._listening = Listening(
                cache,
                hooks,
                forget=self._forget_here,
                distrust=self.forgetting.note_everything,
            )

    @property
    def fetches(self) -> int:
        """How many well-known fetches are in flight or waiting for a slot."""
        return self._flights.fetches

    def start(self) -> None:
        """Begin to hear what other processes forget, if the cache tells."""
        if self._listening is not None:
            self._listening.start()

    async def aclose(self) -> None:
        """End all flights, let no other begin, and wait until they have ended."""
        await self._flights.aclose()
        if self._listening is not None:
            await self._listening.aclose()

    def wanted(self, question: Question, *, ahead: bool = False) -> AbstractContextManager[Flight]:
        """Want the answer to `question` while in the context: see `Flights.wanted`."""
        return self._flights.wanted(question, ahead=ahead)

    async def answer(self, flight: Flight, stale_at: float) -> Found:
        """Wait for the answer that a flight brings; raise what a plug-in raised by mistake.

        A good answer that is being refreshed is given at once, and one past its lifetime at the
        moment `stale_at` of the event loop's time (RFC 8767); the flight then goes on.
        """
        started = self._clock.monotonic()
        flight.needed.set()
        await flight.is_asking()
        now = self._clock.time()
        given = None if flight.previous is None else flight.previous.meanwhile(now)
        if given is None:
            return await flight.landed()
        if given.stale:
            found = await flight.landed_by(stale_at)
            if found is not None:
                return found
        flight.in_background = True
        waited = self._clock.monotonic() - started
        return Found(given, settled_until=now, from_cache=True, duration=waited)

    def peek(self, question: Question) -> Found | None:
        """Return the answer that memory has for now, fresh or usable though stale."""
        entry = self._memory.peek(question)
        if entry is None:
            return None
        now = self._clock.time()
        given = entry.given(now) if entry.is_fresh(now) else entry.meanwhile(now)
        return None if given is None else self._found(entry, given)

    def _found(self, entry: CacheEntry, given: Given, duration: float | None = None) -> Found:
        """Return what was found; without `duration` it was remembered."""
        settled_until = entry.settled_until(self._policy.refresh_ahead)
        return Found(given, settled_until, from_cache=duration is None, duration=duration or 0.0)

    async def _find(self, question: Question, flight: Flight) -> Found:
        """Do what a flight is for."""
        await self._flights.predecessor_ended(question)
        entry = await self._memory.recall(question)
        if entry is not None:
            if self._memory.is_settled(entry):
                return self._found(entry, entry.given(self._clock.time()))
            flight.previous = entry
            await flight.needed.wait()
        given = None if entry is None else entry.meanwhile(self._clock.time())
        flight.in_background = given is not None and not given.stale  # ahead of need
        flight.asks(not flight.in_background)
        started = self._clock.monotonic()
        entry = await self._memory.turn(question, entry)
        if entry is not None and self._memory.is_settled(entry):
            return self._found(entry, entry.given(self._clock.time()))
        flight.previous = entry
        try:
            entry = await self._ask(question, flight)
        finally:
            await self._memory.pass_on(question)
        given = entry.given(self._clock.time(), just_asked=True)
        return self._found(entry, given, self._clock.monotonic() - started)

    async def _ask(self, question: Question, flight: Flight) -> CacheEntry:
        """Ask a plug-in, and remember what it says."""
        waiting_since = self._clock.monotonic()
        asked_at = 0.0

        def begun() -> None:
            nonlocal asked_at
            asked_at = self._clock.time()
            flight.begun_at = self._clock.monotonic()
            if self._hooks:
                waited = flight.begun_at - waiting_since
                self._hooks.tell(QuestionAsked(question=question, waited=waited))

        def duration() -> float:
            return 0.0 if flight.begun_at is None else self._clock.monotonic() - flight.begun_at

        try:
            learned = await self._asking.ask(question, begun)
            if flight.is_abandoned or self._flights.closed:
                # It was told to end: what a plug-in makes of its cancellation is no answer.
                raise asyncio.CancelledError
        except BaseException as error:
            if self._hooks and flight.begun_at is not None:
                self._hooks.tell(QuestionAborted(question=question, duration=duration()))
            if isinstance(error, asyncio.CancelledError) and self._given_up(question, flight):
                late = f"given up after {duration():.1f} s, when nobody waited any longer"
                learned = Learned(NotDelegated(late, temporary=True))
                await self._learn(question, flight, learned, asked_at)
            raise
        if self._hooks:
            self._hooks.tell(
                QuestionAnswered(question=question, answer=learned.answer, duration=duration())
            )
        entry = await self._learn(question, flight, learned, asked_at)
        if self._hooks and flight.in_background:
            self._hooks.tell(Refreshed(question=question, answer=learned.answer))
        return entry

    def _given_up(self, question: Question, flight: Flight) -> bool:
        """Return whether a flight that was cancelled tells something of the server."""
        return (
            isinstance(question, AskWellKnown)
            and not self._flights.closed
            and flight.is_abandoned
            and flight.begun_at is not None
            and self._clock.monotonic() - flight.begun_at >= _GIVEN_UP_AFTER
        )

    async def _learn(
        self, question: Question, flight: Flight, learned: Learned, asked_at: float
    ) -> CacheEntry:
        """Remember what was learned, unless the question was invalidated meanwhile."""
        entry = remember(
            question.key,
            flight.previous,
            learned,
            asked_at=asked_at,
            now=self._clock.time(),
            policy=self._policy,
            rng=self._rng,
        )
        if not flight.forgotten:
            await self._memory.keep(question, entry)
            if flight.forgotten:  # while it was being kept
                await self._memory.forget(question)
        return entry

    # Forgetting

    async def known(self, question: Question) -> tuple[Answer, ...]:
        """Return the answers that are remembered, of any age."""
        entry = await self._memory.recall(question)
        return () if entry is None else entry.answers

    async def forget(self, questions: Iterable[Question]) -> None:
        """Forget the answers to `questions`, those under way too, here and where it is shared."""
        questions = tuple(questions)
        self._forget_here(*questions)
        for question in questions:
            await self._memory.forget(question)
        self._forget_here(*questions)  # what was read from the cache in between

    async def expire(self, answers: Mapping[Question, Answer | None]) -> None:
        """Let these answers count as past their lifetimes, here and where they are shared.

        One that has been replaced since is left alone; None stands for whatever there is.
        """
        for question, answer in answers.items():
            epoch = self.forgetting.epoch
            entry = await self._memory.recall(question)
            if entry is None or answer not in (None, *entry.answers):
                continue
            if not self.forgetting.touches((question,), epoch):
                await self._memory.keep(question, entry.expired(self._clock.time()))
        self.forgetting.note(answers)

    def _forget_here(self, *questions: Question) -> None:
        for question in questions:
            self._flights.forget(question)
        self.forgetting.note(questions)
