"""Whether an entry that comes out of a cache can be believed: others may have written it."""

from matrix_resolve.core.entries import CacheEntry, is_moment
from matrix_resolve.core.lifetimes import is_good
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

# Clocks differ, and are set. What was asked later than so many seconds from now is not believed,
# or no answer would ever be newer.
_SKEW = 300.0
_KINDS: dict[type[Question], tuple[type[Answer], ...]] = {
    AskWellKnown: (Delegated, NotDelegated),
    AskSrv: (SrvRecords, NoSrvRecords, ServiceNotOffered, SrvFailed),
    AskAddresses: (Addresses, AddressesFailed),
}


def is_believable(question: Question, entry: object, now: float) -> bool:
    """Return whether `entry` is one of `question`, and was not asked in the future.

    It carries the question's key, answers to a question of that kind, and times that can be.
    """
    if not isinstance(entry, CacheEntry) or entry.key != question.key:
        return False
    reserve = entry.reserve
    times = [entry.asked_at, entry.fresh_until, entry.keep_until]
    if reserve is not None:
        if is_good(entry.outcome) or not is_good(reserve.answer):
            return False
        times += [reserve.asked_at, reserve.fresh_until, reserve.stale_until]
    return (
        all(isinstance(answer, _KINDS[type(question)]) for answer in entry.answers)
        and all(map(is_moment, times))
        and entry.asked_at <= now + _SKEW
    )
