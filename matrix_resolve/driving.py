"""One name on its way through the steps: asks what `decide()` wants to know until it decides."""

from contextlib import ExitStack

from matrix_resolve.answering import Answering, Flight, Found
from matrix_resolve.core.names import ServerName
from matrix_resolve.core.procedure import Decision, decide, upcoming
from matrix_resolve.core.questions import Answer, AskWellKnown, Question, SrvFailed
from matrix_resolve.errors import SrvLookupError
from matrix_resolve.policy import Policy

# With this many fetches under way, SRV lookups wait until they are known to be needed.
_HEAD_START_BELOW = 10


async def drive(
    name: ServerName, answering: Answering, policy: Policy
) -> tuple[Decision, dict[Question, Found]]:
    """Return the decision about `name`, and what was found out on the way, in order.

    Raises `ServiceNotOfferedError`, and with `srv_failure="raise"` `SrvLookupError`.
    """
    with ExitStack() as wanted:
        return await _Drive(name, answering, policy, wanted).to_the_end()


class _Drive:
    """The state of one drive; `wanted` lets go of the flights when it is over."""

    def __init__(
        self, name: ServerName, answering: Answering, policy: Policy, wanted: ExitStack
    ) -> None:
        self._name = name
        self._answering = answering
        self._policy = policy
        self._wanted = wanted
        self._answers: dict[Question, Answer] = {}
        self._found: dict[Question, Found] = {}
        self._flights: dict[Question, Flight] = {}

    async def to_the_end(self) -> tuple[Decision, dict[Question, Found]]:
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
        legacy_srv = self._policy.legacy_srv
        following = upcoming(self._name, self._answers, question, legacy_srv=legacy_srv)
        if isinstance(question, AskWellKnown):
            head_start = self._policy.srv_head_start and self._answering.fetches < _HEAD_START_BELOW
            self._want(question)
            if head_start and await self._flights[question].is_asking():
                for later in following:
                    self._want(later, ahead=True)
        else:
            # Both service names are always asked at once, so that one time-out covers both.
            for service in following:
                self._want(service)
        return await self._flights[question].landed()

    def _want(self, question: Question, *, ahead: bool = False) -> None:
        """Join the flight for a question, as one who needs the answer or who may."""
        if question not in self._flights:
            flight = self._answering.flight(question, ahead=ahead)
            self._flights[question] = self._wanted.enter_context(flight)
        elif not ahead:
            self._flights[question].needed.set()
