"""One question -> one answer: remembered, or brought by a flight; and answers given up."""

import asyncio
import random
from collections.abc import Collection, Mapping
from types import TracebackType
from typing import Self

from matrix_resolve.core.invalidations import Invalidations
from matrix_resolve.core.questions import Answer, Question
from matrix_resolve.hooks.events import Hooks
from matrix_resolve.interfaces import AnswerCache, Clock, InvalidationFeed
from matrix_resolve.policy import Policy
from matrix_resolve.resolver.feed import Feed
from matrix_resolve.resolver.flight import Flight
from matrix_resolve.resolver.flights import Flights
from matrix_resolve.resolver.found import Found
from matrix_resolve.resolver.refreshes import Refreshes
from matrix_resolve.resolver.services import Services
from matrix_resolve.resolver.store import Store
from matrix_resolve.resolver.upstream import Upstream
from matrix_resolve.resolver.want import Want
from matrix_resolve.timeouts import LeftBehind


class AnswerSource:
    """Answers questions from what is remembered, and asks what is not.

    In `outdated` it notes the questions whose answers may not be given again as they were: those
    that were invalidated, and those that were expired, which does not void what is under way.
    """

    def __init__(
        self,
        *,
        upstream: Upstream,
        cache: AnswerCache,
        outdated: Invalidations,
        policy: Policy,
        hooks: Hooks,
        clock: Clock,
        rng: random.Random,
        left: LeftBehind,
    ) -> None:
        self._policy = policy
        self._clock = clock
        self._outdated = outdated
        self._left = left
        self._invalidations = invalidations = Invalidations()
        invalidations.subscribe(outdated.note)
        self._store = Store(
            cache=cache,
            invalidations=invalidations,
            policy=policy,
            hooks=hooks,
            clock=clock,
            rng=rng,
            left=left,
        )
        services = Services(
            store=self._store,
            upstream=upstream,
            invalidations=invalidations,
            outdated=outdated,
            hooks=hooks,
            clock=clock,
        )
        self._flights = Flights(services)
        self._refreshes = Refreshes(policy.max_resolved, clock)
        self._feed: Feed | None = None
        if isinstance(cache, InvalidationFeed):
            self._feed = Feed(cache, hooks, invalidations=invalidations, outdated=outdated)

    def start(self) -> None:
        """Begin to hear what other processes invalidate, if the cache tells."""
        if self._feed is not None:
            self._feed.start()

    async def aclose(self) -> None:
        """End all flights, let no other begin, and wait until they have ended."""
        await self._flights.aclose()
        await self._left.aclose()
        if self._feed is not None:
            await self._feed.aclose()

    @property
    def fetches(self) -> int:
        """How many well-known fetches are in flight or waiting for a slot."""
        return self._flights.fetches

    def enquiry(self, *, anew: bool = False) -> "Enquiry":
        """Begin one caller's enquiry, which holds stale answers back for a while.

        `anew`: as long as asking takes, and it asks what is remembered, too, once in a while.
        """
        policy, now = self._policy, asyncio.get_running_loop().time()
        if not anew:
            return Enquiry(self._flights, now + policy.stale_answer_delay)
        longest = policy.well_known_timeout + policy.dns_timeout
        return Enquiry(self._flights, now + longest, self._refreshes)

    async def make_due(self, questions: Collection[Question]) -> None:
        """Let these be asked anew when they are next needed, what is known staying in reserve."""
        due = [question for question in questions if self._refreshes.begin(question)]
        for question in due:
            epoch = self._invalidations.epoch
            entry = await self._store.get(question)
            if entry is not None:
                await self._store.put(question, entry.due(self._clock.time()), since=epoch)

    def peek(self, question: Question) -> Found | None:
        """Return the answer that memory has for now, fresh or usable though stale."""
        entry = self._store.peek(question)
        if entry is None:
            return None
        now, scale = self._store.now()
        given = entry.given(now) if entry.is_fresh(now) else entry.meanwhile(now)
        if given is None:
            return None
        settled_until = self._store.settled_until(entry)
        return Found(given, settled_until, from_cache=True, duration=0.0, scale=scale)

    async def known(self, question: Question) -> tuple[Answer, ...]:
        """Return the answers that are remembered, of any age."""
        entry = await self._store.get(question)
        return () if entry is None else entry.answers

    async def invalidate(self, questions: Collection[Question]) -> None:
        """Invalidate the answers to `questions`, those under way too, here and where shared."""
        await self._store.delete(questions)

    async def expire(self, answers: Mapping[Question, Answer | None]) -> None:
        """Let these answers count as past their lifetimes, here and where they are shared.

        One that has been replaced since is left alone; None stands for whatever there is.
        """
        try:
            for question, answer in answers.items():
                epoch = self._invalidations.epoch
                entry = await self._store.get(question)
                if entry is not None and answer in (None, *entry.answers):
                    expired = entry.expired(self._clock.time())
                    await self._store.put(question, expired, since=epoch)
        finally:
            self._outdated.note(answers)


class Enquiry:
    """One caller's questions: it joins the flights that bring the answers, and leaves them all.

    Stale answers are held back until `stale_at` of the event loop's time, once for all questions.
    What `refreshes` lets be asked anew is.
    """

    def __init__(
        self, flights: Flights, stale_at: float, refreshes: Refreshes | None = None
    ) -> None:
        self._flights = flights
        self._stale_at = stale_at
        self._refreshes = refreshes
        self._joined: dict[Question, Flight] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for flight in self._joined.values():
            self._flights.leave(flight)

    def want(self, question: Question, want: Want = Want.NEEDED) -> None:
        """Want the answer to `question`, so much."""
        flight = self._joined.get(question)
        if flight is None:
            if self._refreshes is not None and self._refreshes.begin(question):
                want = Want.ANEW
            self._joined[question] = self._flights.join(question, want)
        else:
            flight.want(want)

    async def is_asking(self, question: Question) -> bool:
        """Wait until it is clear whether an answer must be waited for, and return that."""
        return await self._joined[question].is_asking()

    async def answer(self, question: Question) -> Found:
        """Wait for the answer to a question that is wanted; see `Flight.answer`."""
        return await self._joined[question].answer(self._stale_at)
