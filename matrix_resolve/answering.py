"""One question -> one answer: from the cache while it is fresh, otherwise asked, once for all.

A question under way is a flight. Whoever wants its answer joins it; when the last one has left it
is cancelled, and nobody's leaving disturbs the others.
"""

import asyncio
import random
from collections.abc import Awaitable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from attrs import frozen

from matrix_resolve.core.addresses import MAX_KEPT, interleaved
from matrix_resolve.core.entries import CacheEntry, Given, remember
from matrix_resolve.core.lifetimes import Learned, retry_after, stated_lifetime
from matrix_resolve.core.names import MAX_HOSTNAME
from matrix_resolve.core.questions import (
    Addresses,
    AddressesFailed,
    AskAddresses,
    AskSrv,
    AskWellKnown,
    NoSrvRecords,
    NotDelegated,
    Question,
    SrvFailed,
)
from matrix_resolve.core.srv import read_srv_reply
from matrix_resolve.core.well_known import read_well_known
from matrix_resolve.errors import (
    AddressLookupError,
    BackendError,
    CacheError,
    SrvLookupError,
    WellKnownFetchError,
)
from matrix_resolve.generations import Generations
from matrix_resolve.hooks import CacheFailed, Hooks, QuestionAnswered, QuestionAsked, TaskFailed
from matrix_resolve.interfaces import (
    AddressLookup,
    AnswerCache,
    Clock,
    SrvLookup,
    WellKnownFetcher,
)
from matrix_resolve.policy import Policy

_T = TypeVar("_T")

_CLOSED = "the resolver was closed"


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
    """A question under way, and how many want its answer."""

    def __init__(self, task: "asyncio.Task[Found]") -> None:
        self.task = task
        self.wanted_by = 0
        self.awaited = False

    async def landed(self) -> Found:
        """Wait for the answer. Being cancelled here leaves the flight to the others."""
        self.awaited = True
        await asyncio.wait((self.task,))
        if self.task.cancelled():
            raise RuntimeError(_CLOSED)
        return self.task.result()


class Answering:
    """Answers questions through the plug-ins, the cache and the policy."""

    def __init__(
        self,
        *,
        well_known: WellKnownFetcher,
        srv: SrvLookup,
        addresses: AddressLookup,
        cache: AnswerCache,
        policy: Policy,
        hooks: Hooks,
        clock: Clock,
        rng: random.Random,
    ) -> None:
        self._well_known = well_known
        self._srv = srv
        self._addresses = addresses
        self._cache = cache
        self._policy = policy
        self._hooks = hooks
        self._clock = clock
        self._rng = rng
        self._fetch_slots = asyncio.Semaphore(policy.max_well_known_fetches)
        self._dns_slots = asyncio.Semaphore(policy.max_dns_lookups)
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
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def find_fresh(self, question: Question) -> Found | None:
        """Return what is known about `question` without asking, None if it must be asked."""
        entry = await self.recall(question)
        now = self._clock.time()
        return _found_fresh(entry, now) if entry is not None and entry.is_fresh(now) else None

    async def recall(self, question: Question) -> CacheEntry | None:
        """Return what is remembered about `question`, fresh or not."""
        if isinstance(question, AskAddresses):
            return self._address_entries.get(question)
        try:
            return await self._cache.get(question)
        except CacheError as error:
            self._hooks.tell(CacheFailed(question=question, error=error))
            return None

    async def _keep(self, question: Question, entry: CacheEntry) -> None:
        if isinstance(question, AskAddresses):
            self._address_entries.put(question, entry)
            return
        try:
            await self._cache.put(question, entry)
        except CacheError as error:
            self._hooks.tell(CacheFailed(question=question, error=error))

    @contextmanager
    def flight(self, question: Question) -> Iterator[Flight]:
        """Want the answer to `question` while in this context, joining a flight under way."""
        if self._closed:
            raise RuntimeError(_CLOSED)
        flight = self._flights.get(question)
        if flight is None:
            flight = self._flights[question] = self._take_off(question)
        flight.wanted_by += 1
        try:
            yield flight
        finally:
            flight.wanted_by -= 1
            if not flight.wanted_by:
                self._abandon(question, flight)

    def _take_off(self, question: Question) -> Flight:
        task = asyncio.get_running_loop().create_task(
            self._find(question), name=f"matrix_resolve {question.key}"
        )
        flight = Flight(task)
        self._tasks.add(task)
        if isinstance(question, AskWellKnown):
            self.fetches += 1

        def ended(task: "asyncio.Task[Found]") -> None:
            self._tasks.discard(task)
            if isinstance(question, AskWellKnown):
                self.fetches -= 1
            if self._flights.get(question) is flight:
                del self._flights[question]

        task.add_done_callback(ended)
        return flight

    def _abandon(self, question: Question, flight: Flight) -> None:
        """End a flight that nobody wants any more; what it failed with must not be lost."""
        if not flight.task.done():
            flight.task.cancel()
            # Who comes now must not join what is ending.
            if self._flights.get(question) is flight:
                del self._flights[question]
        elif not (flight.awaited or flight.task.cancelled()):
            error = flight.task.exception()
            if error is not None:
                self._hooks.tell(TaskFailed(question=question, error=error))
                asyncio.get_running_loop().call_exception_handler(
                    {"message": f"asking ahead failed: {question}", "exception": error}
                )

    async def _find(self, question: Question) -> Found:
        # Another flight may have landed between our caller's look into the cache and now.
        previous = await self.recall(question)
        asked_at = self._clock.time()
        if previous is not None and previous.is_fresh(asked_at):
            return _found_fresh(previous, asked_at)
        started = self._clock.monotonic()
        if self._hooks:
            self._hooks.tell(QuestionAsked(question=question))
        learned = await self._ask(question)
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

    async def _ask(self, question: Question) -> Learned:
        if isinstance(question, AskWellKnown):
            async with self._fetch_slots:
                return await self._ask_well_known(question)
        async with self._dns_slots:
            if isinstance(question, AskSrv):
                return await self._ask_srv(question)
            return await self._ask_addresses(question)

    async def _ask_well_known(self, question: AskWellKnown) -> Learned:
        policy = self._policy
        try:
            response = await _within(
                policy.well_known_timeout,
                self._well_known.fetch(question.hostname),
                WellKnownFetchError,
            )
        except WellKnownFetchError as error:
            return Learned(NotDelegated(error.reason, temporary=error.temporary))
        except AddressLookupError as error:
            reason = f"the web server's addresses could not be found out: {error.reason}"
            return Learned(NotDelegated(reason, temporary=True, lookup_failed=True))
        now = self._clock.time()
        return Learned(
            read_well_known(response, max_body=policy.max_body),
            ttl=stated_lifetime(response.headers, now),
            retry_after=retry_after(response.headers, now),
        )

    async def _ask_srv(self, question: AskSrv) -> Learned:
        if len(question.name) > MAX_HOSTNAME:
            return Learned(NoSrvRecords("no records: the name is too long for DNS"))
        try:
            reply = await _within(
                self._policy.dns_timeout, self._srv.lookup_srv(question.name), SrvLookupError
            )
        except SrvLookupError as error:
            return Learned(SrvFailed(error.reason))
        return Learned(read_srv_reply(reply), ttl=reply.ttl)

    async def _ask_addresses(self, question: AskAddresses) -> Learned:
        try:
            reply = await _within(
                self._policy.dns_timeout,
                self._addresses.lookup_addresses(question.hostname),
                AddressLookupError,
            )
        except AddressLookupError as error:
            return Learned(AddressesFailed(error.reason))
        kept = interleaved(reply.addresses)[:MAX_KEPT]
        return Learned(Addresses(kept, reply.canonical_name), ttl=reply.ttl)


def _found_fresh(entry: CacheEntry, now: float) -> Found:
    return Found(entry.given(now), entry.fresh_until, from_cache=True, duration=0.0)


async def _within(seconds: float, asked: Awaitable[_T], failure: type[BackendError]) -> _T:
    """Await `asked`; raise `failure` after so many seconds. Its own TimeoutError is its bug."""
    limit = asyncio.timeout(seconds)
    try:
        async with limit:
            return await asked
    except TimeoutError as error:
        if not limit.expired():
            raise
        raise failure(f"no answer within {seconds:g} s") from error
