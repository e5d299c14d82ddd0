"""Questions under way: whoever wants an answer joins the flight that brings it.

When the last one has left it, a flight is cancelled, and nobody's leaving disturbs the others. A
flight that goes on in the background needs nobody.
"""

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any

from attrs import frozen

from matrix_resolve.core.entries import CacheEntry, Given
from matrix_resolve.core.questions import AskWellKnown, Question
from matrix_resolve.hooks.events import Hooks, TaskFailed

_CLOSED = "the resolver was closed"
_CANCELLED_ITSELF = "a plug-in cancelled itself"
# How long (seconds) closing waits for plug-ins that do not end when they are cancelled.
_CLOSING = 2.0


@frozen
class Found:
    """The answer to a question, and how it was found (`duration` in seconds).

    Until `settled_until` (Unix seconds) nothing would be asked.
    """

    given: Given
    settled_until: float
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
        self.in_background = False  # it goes on though nobody may want it
        self.forgotten = False  # invalidated under way: what it brings is not kept
        self.taken = False  # has anyone been told how it ended?
        self.previous: CacheEntry | None = None  # what is remembered, if that is not fresh
        self.begun_at: float | None = None  # when the plug-in was asked, by the monotonic clock
        self._asking: asyncio.Future[bool] = loop.create_future()
        self._landing: asyncio.Future[None] = loop.create_future()
        self._closed = False

    @property
    def is_abandoned(self) -> bool:
        """Whether nobody wants it any more, so that it has been told to end."""
        return not (self.wanted_by or self.in_background)

    def asks(self, asking: bool) -> None:
        """Tell those who wait for it whether something must be asked before there is an answer."""
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
        """Wait until it is clear whether an answer must be waited for, and return that."""
        await asyncio.wait((self._asking,))
        return self._asking.result()

    async def landed(self) -> Found:
        """Wait for the answer; raise what a plug-in raised by mistake.

        Being cancelled here leaves the flight to the others.
        """
        await asyncio.wait((self._landing,))
        return self._outcome()

    async def landed_by(self, when: float) -> Found | None:
        """Do the same until a moment of the event loop's time; None if it has not come by then."""
        patience = max(0.0, when - asyncio.get_running_loop().time())
        await asyncio.wait((self._landing,), timeout=patience)
        return self._outcome() if self._landing.done() else None

    def _outcome(self) -> Found:
        if self._closed:
            raise RuntimeError(_CLOSED)
        self.taken = True
        if self.task.cancelled():
            raise RuntimeError(_CANCELLED_ITSELF)
        return self.task.result()


class Flights:
    """The flights of one resolver. `find` is what a flight does to bring an answer."""

    def __init__(
        self, find: Callable[[Question, Flight], Coroutine[Any, Any, Found]], hooks: Hooks
    ) -> None:
        self._find = find
        self._hooks = hooks
        self._flights: dict[Question, Flight] = {}  # those that may be joined
        self._ending: dict[Question, Flight] = {}
        self._in_the_air: set[Flight] = set()
        self.closed = False
        self.fetches = 0
        """Well-known fetches in flight or waiting for a slot."""

    async def aclose(self) -> None:
        """End all flights, let no other begin, and wait until they have ended."""
        self.closed = True
        for flight in self._in_the_air:
            flight.lands(closed=True)
        await end_tasks({flight.task for flight in self._in_the_air})

    @contextmanager
    def wanted(self, question: Question, *, ahead: bool = False) -> Iterator[Flight]:
        """Want the answer to `question` while in this context, joining a flight under way.

        `ahead`: it is not known yet whether the answer will be needed.
        """
        if self.closed:
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
                self._leave_alone(question, flight)

    def forget(self, question: Question) -> None:
        """Let those who wait have the answer under way, but nobody who comes later."""
        for flight in (self._flights.pop(question, None), self._ending.get(question)):
            if flight is not None:
                flight.forgotten = True

    async def predecessor_ended(self, question: Question) -> None:
        """Wait until what an abandoned flight has to tell is remembered, or it is too late."""
        flight = self._ending.get(question)
        if flight is not None:
            await asyncio.wait((flight.task,), timeout=_CLOSING)
            flight.forgotten = True

    def _take_off(self, question: Question) -> Flight:
        flight = Flight()
        # Not by create_task(), which an eager task factory has begin before it is wanted.
        flight.task = asyncio.Task(
            self._find(question, flight),
            loop=asyncio.get_running_loop(),
            name=f"matrix_resolve {question.key}",
        )
        self._in_the_air.add(flight)
        if isinstance(question, AskWellKnown):
            self.fetches += 1

        def ended(_: "asyncio.Task[Found]") -> None:
            self._in_the_air.discard(flight)
            if isinstance(question, AskWellKnown):
                self.fetches -= 1
            flight.lands()
            for flights in (self._flights, self._ending):
                if flights.get(question) is flight:
                    del flights[question]
            if not flight.wanted_by:
                self._report_failure(question, flight)

        flight.task.add_done_callback(ended)
        return flight

    def _leave_alone(self, question: Question, flight: Flight) -> None:
        """End a flight that nobody wants any more, unless it goes on in the background."""
        if flight.task.done():
            self._report_failure(question, flight)
            return
        if flight.in_background:
            return
        # Who comes now must not join what is ending.
        if self._flights.get(question) is flight:
            del self._flights[question]
            self._ending[question] = flight
        if not self.closed:  # closing has cancelled it
            flight.task.cancel()

    def _report_failure(self, question: Question, flight: Flight) -> None:
        """Tell of an exception that has reached no caller, once."""
        error: BaseException | None
        if not flight.task.cancelled():
            error = flight.task.exception()
        elif flight.in_background and not self.closed:
            error = RuntimeError(_CANCELLED_ITSELF)
        else:
            error = None
        if error is not None and not flight.taken:
            flight.taken = True
            self._hooks.tell(TaskFailed(question=question, error=error))
            asyncio.get_running_loop().call_exception_handler(
                {"message": f"asking failed unheard: {question}", "exception": error}
            )


async def end_tasks(tasks: "set[asyncio.Task[Any]]") -> None:
    """Cancel `tasks` and wait for them, a moment; tell the loop of those that do not end."""
    for task in tasks:
        task.cancel()
    if not tasks:
        return
    _, left = await asyncio.wait(tasks, timeout=_CLOSING)
    for task in left:
        error = RuntimeError(f"{task.get_name()} did not end when it was cancelled")
        asyncio.get_running_loop().call_exception_handler(
            {"message": str(error), "exception": error, "task": task}
        )
