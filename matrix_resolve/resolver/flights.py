"""Who may join which flight."""

from matrix_resolve.core.questions import AskWellKnown, Question
from matrix_resolve.resolver.flight import CLOSED, Flight
from matrix_resolve.resolver.services import Services
from matrix_resolve.resolver.tasks import end_tasks
from matrix_resolve.resolver.want import Want


class Flights:
    """The flights of one resolver, by question: one that many join, or begins with who comes."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._flights: dict[Question, Flight] = {}  # those that may be joined
        self._ending: dict[Question, Flight] = {}  # those that may have something to tell
        self._in_the_air: set[Flight] = set()
        self._closed = False
        self.fetches = 0
        """Well-known fetches in flight or waiting for a slot."""

    async def aclose(self) -> None:
        """End all flights, let no other begin, and wait until they have ended."""
        self._closed = True
        await end_tasks([flight.close() for flight in self._in_the_air])

    def join(self, question: Question, want: Want = Want.NEEDED) -> Flight:
        """Join the flight that brings the answer; to be left with `leave`."""
        if self._closed:
            raise RuntimeError(CLOSED)
        anew = want is Want.ANEW
        if anew:
            self._services.invalidations.note([question])  # what is under way was asked before
        flight = self._flights.get(question)
        if flight is not None and flight.is_overdue:  # have it remembered, to be asked again
            flight.want(Want.NEEDED)
            self._ending[question] = self._flights.pop(question)
            flight = None
        if flight is None or flight.is_void:
            flight = self._flights[question] = self._begun(question, anew)
        flight.join(want)
        return flight

    def leave(self, flight: Flight) -> None:
        """Leave a flight; one that all have left is given up, and joined no more."""
        flight.leave()
        if flight.is_given_up and self._flights.get(flight.question) is flight:
            del self._flights[flight.question]
            if flight.has_begun:
                self._ending[flight.question] = flight

    def _begun(self, question: Question, anew: bool) -> Flight:
        predecessor = self._ending.get(question) if self._ending else None
        if predecessor is not None and predecessor.is_void:
            predecessor = None
        flight = Flight(question, self._services, predecessor, self._landed, anew)
        self._in_the_air.add(flight)
        if isinstance(question, AskWellKnown):
            self.fetches += 1
        return flight

    def _landed(self, flight: Flight) -> None:
        """Take a flight out, wherever it is still the one that was put there."""
        self._in_the_air.discard(flight)
        if isinstance(flight.question, AskWellKnown):
            self.fetches -= 1
        for flights in (self._flights, self._ending):
            if flights and flights.get(flight.question) is flight:
                del flights[flight.question]
