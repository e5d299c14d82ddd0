"""One name on its way through the steps: asks what `decide()` wants to know until it decides."""

import asyncio
from collections.abc import Mapping
from contextlib import ExitStack

from matrix_resolve.core.names import ServerName, parse_ip_literal
from matrix_resolve.core.procedure import Decision, decide, upcoming
from matrix_resolve.core.questions import (
    Answer,
    AskAddresses,
    AskWellKnown,
    Delegated,
    Question,
    SrvFailed,
    SrvRecords,
)
from matrix_resolve.errors import SrvLookupError
from matrix_resolve.policy import Policy
from matrix_resolve.resolver.flights import Flight, Found
from matrix_resolve.resolver.source import Answering

# With this many fetches under way, SRV lookups wait until they are known to be needed.
_HEAD_START_BELOW = 10

Concluded = tuple[Decision, dict[Question, Found]]
"""A decision, and what was found out on the way to it, in order."""


async def drive(name: ServerName, answering: Answering, policy: Policy) -> Concluded:
    """Decide about `name`, asking what is not known.

    Raises `ServiceNotOfferedError`, and with `srv_failure="raise"` `SrvLookupError`.
    """
    with ExitStack() as wanted:
        return await _Drive(name, answering, policy, wanted).to_the_end()


def decide_from_memory(name: ServerName, answering: Answering, policy: Policy) -> Concluded | None:
    """Decide about `name` from what memory holds; None if that is not enough.

    Raises `ServiceNotOfferedError`.
    """
    found: dict[Question, Found] = {}
    while True:
        answers = {question: seen.given.answer for question, seen in found.items()}
        outcome = decide(name, answers, legacy_srv=policy.legacy_srv)
        if isinstance(outcome, Decision):
            return outcome, found
        seen = answering.peek(outcome)
        if seen is None:
            return None
        if isinstance(seen.given.answer, SrvFailed) and policy.srv_failure == "raise":
            return None
        found[outcome] = seen


async def questions_behind(
    name: ServerName, answering: Answering, policy: Policy
) -> tuple[Question, ...]:
    """Return the questions that what is known of `name` may rest on, its addresses among them."""
    questions: dict[Question, None] = {}
    hosts = {name.canonical_host}

    def follow(answers: Mapping[Question, Answer]) -> None:
        outcome = decide(name, answers, legacy_srv=policy.legacy_srv)
        if not isinstance(outcome, Decision):
            asked = upcoming(name, answers, outcome, legacy_srv=policy.legacy_srv)
            questions.update(dict.fromkeys(asked))

    follow({})
    for question in tuple(questions)[:1]:  # the document
        for answer in await answering.known(question):
            if isinstance(answer, Delegated):
                hosts.add(answer.to.canonical_host)
                follow({question: answer})
    for question in tuple(questions)[1:]:
        for answer in await answering.known(question):
            if isinstance(answer, SrvRecords):
                hosts.update(record.target for record in answer.records)
    return *questions, *(AskAddresses(host) for host in hosts if parse_ip_literal(host) is None)


class _Drive:
    """The state of one drive; `wanted` lets go of the flights when it is over."""

    def __init__(
        self, name: ServerName, answering: Answering, policy: Policy, wanted: ExitStack
    ) -> None:
        self._name = name
        self._answering = answering
        self._policy = policy
        self._wanted = wanted
        # The time that stale answers are held back is counted once for all questions.
        self._stale_at = asyncio.get_running_loop().time() + policy.stale_answer_delay
        self._answers: dict[Question, Answer] = {}
        self._found: dict[Question, Found] = {}
        self._flights: dict[Question, Flight] = {}

    async def to_the_end(self) -> Concluded:
        """Ask one question after another."""
        while True:
            outcome = decide(self._name, self._answers, legacy_srv=self._policy.legacy_srv)
            if isinstance(outcome, Decision):
                return outcome, self._found
            found = self._found[outcome] = await self._find(outcome)
            answer = self._answers[outcome] = found.given.answer
            if isinstance(answer, SrvFailed) and self._policy.srv_failure == "raise":
                raise SrvLookupError(f"{outcome}: {answer.reason}")

    async def _find(self, question: Question) -> Found:
        """Find the answer, and start what may be asked next where that saves time."""
        policy, answering = self._policy, self._answering
        following = upcoming(self._name, self._answers, question, legacy_srv=policy.legacy_srv)
        well_known = isinstance(question, AskWellKnown)
        # Both service names are asked at once, so that one time-out covers both.
        at_once = not well_known or (
            policy.srv_head_start and answering.fetches < _HEAD_START_BELOW
        )
        self._want(question)
        if at_once and await self._flights[question].is_asking():
            for later in following:
                self._want(later, ahead=well_known)
        return await answering.answer(self._flights[question], self._stale_at)

    def _want(self, question: Question, *, ahead: bool = False) -> None:
        """Join the flight for a question, as one who needs the answer or who may."""
        if question not in self._flights:
            flight = self._answering.wanted(question, ahead=ahead)
            self._flights[question] = self._wanted.enter_context(flight)
        elif not ahead:
            self._flights[question].needed.set()
