"""Whether an entry that comes out of a cache can be believed: others may have written it."""

from matrix_resolve.core.entries import LATEST, CacheEntry
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


def is_entry_for(question: Question, entry: object) -> bool:
    """Return whether `entry` is one of `question`, with answers to it and times that can be."""
    if not isinstance(entry, CacheEntry) or entry.key != question.key:
        return False
    reserve = entry.reserve
    times = [entry.asked_at, entry.fresh_until, entry.keep_until]
    if reserve is not None:
        if is_good(entry.outcome) or not is_good(reserve.answer):
            return False
        times += [reserve.asked_at, reserve.fresh_until, reserve.stale_until]
    return all(isinstance(answer, _KINDS[type(question)]) for answer in entry.answers) and all(
        0 <= moment <= LATEST for moment in times
    )


def is_believable(question: Question, entry: object, now: float) -> bool:
    """Return whether `entry` is one of `question`, and was not asked in the future."""
    return (
        isinstance(entry, CacheEntry)
        and is_entry_for(question, entry)
        and entry.asked_at <= now + _SKEW
    )
