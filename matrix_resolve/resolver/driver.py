"""One name on its way through the steps: asks what `decide()` wants to know until it decides."""

from collections.abc import Collection, Mapping

from matrix_resolve.core.names import ServerName, parse_ip_literal
from matrix_resolve.core.procedure import Decision, decide, upcoming
from matrix_resolve.core.questions import (
    Answer,
    AskAddresses,
    AskSrv,
    AskWellKnown,
    Delegated,
    Question,
    SrvFailed,
    SrvRecords,
)
from matrix_resolve.errors import SrvLookupError
from matrix_resolve.policy import Policy
from matrix_resolve.resolver.found import Found
from matrix_resolve.resolver.source import AnswerSource
from matrix_resolve.resolver.want import Want

# With this many fetches under way, SRV lookups wait until they are known to be needed.
_HEAD_START_BELOW = 10

Decided = tuple[Decision, dict[Question, Found]]
"""A decision, and what was found out on the way to it, in order."""


async def drive(
    name: ServerName, source: AnswerSource, policy: Policy, *, anew: bool = False
) -> Decided:
    """Decide about `name`, asking what is not known; `anew`: what is known, too.

    Raises `ServiceNotOfferedError`, and with `srv_failure="raise"` `SrvLookupError`.
    """
    answers: dict[Question, Answer] = {}
    found: dict[Question, Found] = {}
    asked_beside: Collection[Question] = ()
    with source.enquiry(anew=anew) as enquiry:
        while True:
            question = decide(name, answers, legacy_srv=policy.legacy_srv)
            if isinstance(question, Decision):
                return question, found
            beside = question not in asked_beside and _may_ask_beside(question, source, policy)
            enquiry.want(question)
            if beside and await enquiry.is_asking(question):
                want = Want.AHEAD if isinstance(question, AskWellKnown) else Want.BESIDE
                following = list(upcoming(name, answers, question, legacy_srv=policy.legacy_srv))
                for each in following:
                    enquiry.want(each, want)
                asked_beside = following if want is Want.BESIDE else ()
            found[question] = await enquiry.answer(question)
            answer = answers[question] = found[question].given.answer
            if isinstance(answer, SrvFailed) and policy.srv_failure == "raise":
                raise SrvLookupError(f"{question}: {answer.reason}")


def _may_ask_beside(question: Question, source: AnswerSource, policy: Policy) -> bool:
    """Return whether what may be needed next is to be asked beside `question`.

    Both service names always are, so that one time-out covers both.
    """
    if not isinstance(question, AskWellKnown):
        return True
    return policy.srv_head_start and source.fetches < _HEAD_START_BELOW


def decide_from_memory(name: ServerName, source: AnswerSource, policy: Policy) -> Decided | None:
    """Decide about `name` from what memory holds; None if that is not enough.

    Raises `ServiceNotOfferedError`.
    """
    answers: dict[Question, Answer] = {}
    found: dict[Question, Found] = {}
    while True:
        question = decide(name, answers, legacy_srv=policy.legacy_srv)
        if isinstance(question, Decision):
            return question, found
        seen = source.peek(question)
        if seen is None:
            return None
        answer = seen.given.answer
        if isinstance(answer, SrvFailed) and policy.srv_failure == "raise":
            return None
        answers[question], found[question] = answer, seen


async def questions_behind(
    name: ServerName, source: AnswerSource, policy: Policy
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
    for question in tuple(questions):
        if isinstance(question, AskWellKnown):
            for answer in await source.known(question):
                if isinstance(answer, Delegated):
                    hosts.add(answer.to.canonical_host)
                    follow({question: answer})
    for question in tuple(questions):  # those of delegated hosts too
        if isinstance(question, AskSrv):
            for answer in await source.known(question):
                if isinstance(answer, SrvRecords):
                    hosts.update(record.target for record in answer.records)
    return *questions, *(AskAddresses(host) for host in hosts if parse_ip_literal(host) is None)
