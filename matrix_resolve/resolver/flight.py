"""One question under way: single flight, from looking it up to its landing.

The rules. Whoever wants an answer joins the flight that brings it, and leaves it in the end. When
the last one has left, the flight is given up: its task is cancelled. One that goes on in the
background needs nobody. Who waits has a future of their own, so nobody's leaving disturbs the
others. Nobody outside this file writes into a flight.
"""

import asyncio
from collections.abc import Callable
from typing import Final

from matrix_resolve.core.entries import CacheEntry, Given
from matrix_resolve.core.lifetimes import Learned
from matrix_resolve.core.questions import AskWellKnown, NotDelegated, Question
from matrix_resolve.hooks.events import QuestionAborted, QuestionAnswered, QuestionAsked, Refreshed
from matrix_resolve.resolver.found import Found
from matrix_resolve.resolver.services import Services
from matrix_resolve.resolver.tasks import Event
from matrix_resolve.resolver.want import Want
from matrix_resolve.timeouts import LINGER

CLOSED: Final = "the resolver was closed"
_CANCELLED_ITSELF: Final = "a plug-in cancelled itself"
# A fetch that all have given up after so long (seconds) is as good as timed out: callers with
# short time-outs must not defeat the backoff.
_GIVEN_UP_AFTER: Final = 2.0


class Flight:
    """A question under way, in a task of its own that passes through these states in this order.

    - Following: it waits for the end of its `predecessor`, a flight that was given up and may
      have a failure to tell; for a moment only, and if that is not enough, what the predecessor
      learns is void. None of this without one.
    - Looking up: it reads what is remembered. Lands if that stands, unless it is to ask `anew`.
    - Held: something is remembered, but due. Asks no earlier than somebody wants that (`want`).
    - Queued: it waits for the turn to ask, where processes share a cache, and for a slot. Lands
      if another process has asked meanwhile. From here on a good answer that is not yet past its
      lifetime is given at once, and the flight is in the background.
    - Asking: a plug-in has the question. Lands if it raises what it may not.
    - Learning: what was said, a documented error and a time-out too, becomes an entry.
    - Kept back: the first entry of its question waits until somebody needs it. Most that is asked
      ahead of need is not, and would only fill the cache. Not where others wait for their turn.
    - Remembering: it is put into the cache, unless its question was invalidated on the way.
    - Landed: who waits has the answer, or what the plug-in raised.

    Given up while it is asking for a document, after two seconds or more, it learns that as a
    failure; given up otherwise, and when the resolver is closed, it learns nothing.
    """

    def __init__(
        self,
        question: Question,
        services: Services,
        predecessor: "Flight | None",
        landed: "Callable[[Flight], None]",
        anew: bool,
    ) -> None:
        self.question, self._services = question, services
        self._predecessor, self._tell_landed = predecessor, landed
        self._since, self._read_in = services.invalidations.epoch, services.outdated.epoch
        self._wanted_by, self._anew = 0, anew
        self._in_background = self._closed = False
        self._previous: CacheEntry | None = None  # what is remembered, but due
        self._kept_back: CacheEntry | None = None
        self._asked_at = 0.0  # by the wall clock
        self._begun_at: float | None = None  # when it began asking, by the monotonic clock
        self._must_ask = False
        self._is_heard = False  # has anyone been told how it ended?
        loop = asyncio.get_running_loop()
        self._released, self._needed = Event(loop), Event(loop)
        self._looked_up = Event(loop)  # from then on `_must_ask` is right
        self._has_turn, self._landed = Event(loop), Event(loop)
        # Not by create_task(), which an eager task factory has begin before it is wanted.
        self._task = asyncio.Task(self._fly(), loop=loop, name=f"matrix_resolve {question.key}")
        self._task.add_done_callback(self._land)

    # Those who want it

    def join(self, want: Want) -> None:
        """Want the answer, as one more."""
        self._wanted_by += 1
        self.want(want)

    def leave(self) -> None:
        """Want it no longer; the last to leave gives the flight up."""
        self._wanted_by -= 1
        if self._task.done():
            if not self._wanted_by:  # else others may be about to hear how it ended
                self._report_unheard()
        elif self.is_given_up and not self._closed:  # closing has cancelled it
            self._task.cancel()

    def want(self, want: Want) -> None:
        """Want the answer so much, or more if somebody does."""
        if want >= Want.BESIDE:
            self._released.set()
        if want >= Want.NEEDED:
            self._needed.set()

    async def is_asking(self) -> bool:
        """Wait until it is clear whether an answer must be waited for, and return that."""
        await self._looked_up.wait()
        return self._must_ask

    async def answer(self, stale_at: float) -> Found:
        """Wait for the answer; raise what a plug-in raised by mistake.

        A good answer that is being refreshed is given at once, and one past its lifetime at the
        moment `stale_at` of the event loop's time (RFC 8767: stale-while-revalidate); the flight
        then goes on in the background. Raises `RuntimeError` if the resolver is closed.
        """
        started = self._services.clock.monotonic()
        self.want(Want.NEEDED)
        await self._looked_up.wait()
        given = self._meanwhile()
        if given is None:
            await self._has_turn.wait()  # which may bring one
            given = self._meanwhile()
        if given is None:
            await self._landed.wait()
            return self._outcome()
        if given.stale and await self._landed.is_set_by(stale_at):
            return self._outcome()
        self._in_background = True
        return self._services.found_meanwhile(given, asked_since=started)

    # Those who keep it

    @property
    def is_given_up(self) -> bool:
        """Whether nobody wants it any more, so that it has been told to end."""
        return not (self._wanted_by or self._in_background)

    @property
    def has_begun(self) -> bool:
        """Whether a plug-in has been asked, so that there may be something to tell."""
        return self._begun_at is not None

    @property
    def is_void(self) -> bool:
        """Whether its question was invalidated under way: only who waits already has the answer."""
        return self._services.invalidations.since(self._since, self.question.key)

    @property
    def is_overdue(self) -> bool:
        """Whether what it keeps back would have to be asked again by now."""
        kept_back = self._not_outdated(self._kept_back)
        return kept_back is not None and not self._services.store.is_settled(kept_back)

    def close(self) -> "asyncio.Task[Found]":
        """Let all who wait have `RuntimeError`; return the task, which is to be ended."""
        self._closed = True
        self._looked_up.set()
        self._has_turn.set()
        self._landed.set()
        return self._task

    # On its way

    async def _fly(self) -> Found:
        store = self._services.store
        # Following.
        await self._predecessor_ended()
        # Looking up.
        self._read_in = self._services.outdated.epoch
        entry = self._not_outdated(await store.get(self.question))
        if entry is not None:
            entry = entry.due(self._services.clock.time()) if self._anew else entry
            if store.is_settled(entry):
                return self._services.found(entry)
            self._previous = entry
            # Held.
            await self._released.wait()
        # Queued.
        given = self._meanwhile()
        self._in_background = given is not None and not given.stale  # ahead of need
        self._must_ask = not self._in_background
        self._looked_up.set()
        queued_at = self._services.clock.monotonic()
        async with store.turn(self.question, entry) as entry:
            if entry is not None and store.is_settled(entry):
                return self._services.found(entry)
            self._previous = entry
            self._has_turn.set()
            # Asking.
            learned = await self._ask()
            # Learning.
            entry = self._learned(learned)
            found = self._services.found(entry, asked_since=queued_at)
            if self._previous is None and not (self._needed.is_set() or store.takes_turns):
                # Kept back.
                self._kept_back, self._read_in = entry, self._services.outdated.epoch
                await self._needed.wait()
                entry = self._services.counted_now(self.question, entry, self._read_in)
            # Remembering.
            await store.put(self.question, entry, since=self._since)
        if self._in_background and self._services.hooks:
            self._services.hooks.tell(Refreshed(question=self.question, answer=learned.answer))
        return found

    async def _predecessor_ended(self) -> None:
        """Wait until what the predecessor has to tell is remembered, or it is too late for that."""
        predecessor, self._predecessor = self._predecessor, None
        if predecessor is None:
            return
        _, under_way = await asyncio.wait((predecessor._task,), timeout=LINGER)
        if under_way and not self.is_void:
            invalidations = self._services.invalidations
            invalidations.note([self.question])
            self._since = invalidations.epoch  # itself has read nothing before

    def _not_outdated(self, entry: CacheEntry | None) -> CacheEntry | None:
        """Return what was read as it counts now, expired if its question was outdated since."""
        return entry and self._services.counted_now(self.question, entry, self._read_in)

    def _meanwhile(self) -> Given | None:
        """Return the good answer to give while it is asked again, None without one."""
        previous = self._not_outdated(self._previous)
        return None if previous is None else previous.meanwhile(self._services.clock.time())

    async def _ask(self) -> Learned:
        """Ask a plug-in once there is a slot."""
        hooks, clock, upstream = self._services.hooks, self._services.clock, self._services.upstream
        waiting_since = clock.monotonic()
        try:
            async with upstream.slot(self.question):
                self._end_if_given_up()
                self._asked_at = clock.time()
                self._begun_at = clock.monotonic()
                if hooks:
                    waited = self._begun_at - waiting_since
                    hooks.tell(QuestionAsked(question=self.question, waited=waited))
                learned = await upstream.ask(self.question)
            self._end_if_given_up()
        except BaseException as error:
            if hooks and self.has_begun:
                hooks.tell(QuestionAborted(question=self.question, duration=self._duration()))
            if isinstance(error, asyncio.CancelledError) and self._counts_as_failure():
                late = f"given up after {self._duration():.1f} s, when nobody waited any longer"
                entry = self._learned(Learned(NotDelegated(late, temporary=True)))
                await self._services.store.put(self.question, entry, since=self._since)
            raise
        if hooks:
            said, took = learned.answer, self._duration()
            hooks.tell(QuestionAnswered(question=self.question, answer=said, duration=took))
        return learned

    def _end_if_given_up(self) -> None:
        """End: what a plug-in or a cache makes of its cancellation is no reason to go on."""
        if self.is_given_up or self._closed:
            raise asyncio.CancelledError

    def _learned(self, learned: Learned) -> CacheEntry:
        previous = self._not_outdated(self._previous)
        return self._services.store.learned(self.question, previous, learned, self._asked_at)

    def _duration(self) -> float:
        """Return for how many seconds a plug-in has been asked."""
        return 0.0 if self._begun_at is None else self._services.clock.monotonic() - self._begun_at

    def _counts_as_failure(self) -> bool:
        """Return whether that it was cancelled tells something of the server."""
        return (
            isinstance(self.question, AskWellKnown)
            and self.is_given_up
            and not self._closed
            and self._duration() >= _GIVEN_UP_AFTER
        )

    # Landed

    def _land(self, _: "asyncio.Task[Found]") -> None:
        self._looked_up.set()
        self._has_turn.set()
        self._landed.set()
        self._tell_landed(self)
        if not self._wanted_by:
            self._report_unheard()

    def _outcome(self) -> Found:
        if self._closed:
            raise RuntimeError(CLOSED)
        self._is_heard = True
        if self._task.cancelled():
            raise RuntimeError(_CANCELLED_ITSELF)
        return self._task.result()

    def _report_unheard(self) -> None:
        """Tell of an exception that has reached no caller, once."""
        error: BaseException | None = None
        if not self._task.cancelled():
            error = self._task.exception()
        elif self._in_background and not self._closed:
            error = RuntimeError(_CANCELLED_ITSELF)
        if error is not None and not self._is_heard:
            self._is_heard = True
            message = f"asking failed unheard: {self.question}"
            self._services.hooks.tell_bug(self.question, error, message)
