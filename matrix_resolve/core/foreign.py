"""The door for entries that come out of a cache: others may have written them."""

from attrs import evolve

from matrix_resolve.core.entries import CacheEntry, Reserve
from matrix_resolve.core.lifetimes import is_good, longest
from matrix_resolve.core.names import ServerName
from matrix_resolve.core.plausible import is_count, is_moment
from matrix_resolve.core.questions import (
    Addresses,
    AddressesFailed,
    Answer,
    AskAddresses,
    AskSrv,
    AskWellKnown,
    Delegated,
    NoSrvRecords,
    NotDelegated,
    Question,
    ServiceNotOffered,
    SrvFailed,
    SrvRecords,
)
from matrix_resolve.core.replies import SrvRecord, SrvReply
from matrix_resolve.core.srv import read_srv_reply
from matrix_resolve.policy import Policy

# Clocks differ, and are set. What was asked later than so many seconds from now is not believed,
# or no answer would ever be newer.
_SKEW = 300.0
_KINDS: dict[type[Question], tuple[type[Answer], ...]] = {
    AskWellKnown: (Delegated, NotDelegated),
    AskSrv: (SrvRecords, NoSrvRecords, ServiceNotOffered, SrvFailed),
    AskAddresses: (Addresses, AddressesFailed),
}


def believed(question: Question, entry: object, now: float, policy: Policy) -> CacheEntry | None:
    """Return what can be believed of `entry`, None if it is none of `question`.

    Nothing in it lasts longer than it could have under `policy` from when it was asked, and
    records are read again like those of a plug-in's reply. Texts need no care: every answer has
    seen to its own.
    """
    if not isinstance(entry, CacheEntry) or not is_believable(question, entry, now):
        return None
    outcome = _read_again(entry.outcome)
    reserve = None if entry.reserve is None else _believed_reserve(entry.reserve, policy)
    if outcome is None or (reserve is None and entry.reserve is not None):
        return None
    most = entry.asked_at + longest(outcome, policy)
    keep = most + (policy.stale_for if is_good(outcome) else policy.failure_max_ttl)
    if reserve is not None:
        keep = max(keep, reserve.stale_until)
    fresh_until, keep_until = min(entry.fresh_until, most), min(entry.keep_until, keep)
    found = (outcome, reserve, fresh_until, keep_until)
    if found == (entry.outcome, entry.reserve, entry.fresh_until, entry.keep_until):
        return entry
    return evolve(
        entry, outcome=outcome, reserve=reserve, fresh_until=fresh_until, keep_until=keep_until
    )


def is_believable(question: Question, entry: object, now: float) -> bool:
    """Return whether `entry` is one of `question`, and was not asked in the future.

    It carries the question's key, answers to a question of that kind, and times and a count that
    can be. How long it lasts is for `believed` to judge.
    """
    if not isinstance(entry, CacheEntry) or entry.key != question.key:
        return False
    reserve = entry.reserve
    times = [entry.asked_at, entry.fresh_until, entry.keep_until]
    asked = [entry.asked_at]
    if reserve is not None:
        if not isinstance(reserve, Reserve):
            return False
        if is_good(entry.outcome) or not is_good(reserve.answer):
            return False
        times += [reserve.asked_at, reserve.fresh_until, reserve.stale_until]
        asked.append(reserve.asked_at)
    return (
        all(type(answer) in _KINDS[type(question)] for answer in entry.answers)
        and all(map(is_moment, times))
        and is_count(entry.failures)
        and max(asked) <= now + _SKEW
    )


def _believed_reserve(reserve: Reserve, policy: Policy) -> Reserve | None:
    answer = _read_again(reserve.answer)
    if answer is None:
        return None
    most = reserve.asked_at + longest(answer, policy)
    return evolve(
        reserve,
        answer=answer,
        fresh_until=min(reserve.fresh_until, most),
        stale_until=min(reserve.stale_until, most + policy.stale_for),
    )


def _read_again(answer: Answer) -> Answer | None:
    """Return an answer as it would be read in a reply, None if it can't be one."""
    match answer:
        case Delegated(to=to) if not isinstance(to, ServerName):
            return None
        case SrvRecords(records=records):
            if not isinstance(records, tuple):
                return None
            if not all(isinstance(record, SrvRecord) for record in records):
                return None
            read = read_srv_reply(SrvReply(records))
            return read if isinstance(read, SrvRecords) else None
        case _:
            return answer
