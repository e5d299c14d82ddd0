"""What a cache keeps of a question: the last outcome, the last good answer, and their times."""

import json
import random
from typing import Any

from attrs import evolve, frozen

from matrix_resolve.core.answer_json import answer_from_dict, answer_to_dict
from matrix_resolve.core.lifetimes import Learned, is_good, is_temporary, lifetime
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
from matrix_resolve.errors import CacheError
from matrix_resolve.policy import Policy

_VERSION = 1

_TIMES = ("asked_at", "fresh_until", "keep_until", "good_asked_at", "good_until", "stale_until")
# So many records or addresses take about as much memory as the rest of an entry.
_RECORDS_PER_WEIGHT = 4
# Clocks differ, and are set. What was asked later than so many seconds from now is not believed,
# or no answer would ever be newer.
_SKEW = 300.0
# The last second that `datetime` can hold.
_LATEST = 253402300799
_KINDS: dict[type[Question], tuple[type[Answer], ...]] = {
    AskWellKnown: (Delegated, NotDelegated),
    AskSrv: (SrvRecords, NoSrvRecords, ServiceNotOffered, SrvFailed),
    AskAddresses: (Addresses, AddressesFailed),
}


@frozen
class Given:
    """An answer that an entry gives: is it past its lifetime, and until when does it hold?

    `until`: the end of its lifetime, of a stale one when the question may be asked again or the
    reserve ends (Unix seconds). `failure`: why asking again failed.
    """

    answer: Answer
    stale: bool
    until: float
    failure: str | None = None


@frozen(kw_only=True)
class CacheEntry:
    """What is known about one question. Times are Unix seconds.

    `outcome` is the last outcome, a failure too; it was asked at `asked_at` and stands until
    `fresh_until`. `good` is the last good answer (the outcome itself unless that is a failure),
    asked at `good_asked_at`; its lifetime ends at `good_until`, and while asking again fails it
    may be given until `stale_until`. `failures` counts those in a row. After `keep_until` nothing
    here is of use.
    """

    outcome: Answer
    asked_at: float
    fresh_until: float
    keep_until: float
    failures: int = 0
    good: Answer | None = None
    good_asked_at: float = 0.0
    good_until: float = 0.0
    stale_until: float = 0.0

    @property
    def weight(self) -> int:
        """About how many ordinary entries take as much memory: answers with many records weigh."""
        answers = (self.outcome,) if self.good is self.outcome else (self.outcome, self.good)
        records = sum(
            len(answer.records) if isinstance(answer, SrvRecords) else len(answer.addresses)
            for answer in answers
            if isinstance(answer, SrvRecords | Addresses)
        )
        return 1 + records // _RECORDS_PER_WEIGHT

    def is_fresh(self, now: float) -> bool:
        """Return whether the question need not be asked now."""
        return now < self.fresh_until

    def settled_until(self, refresh_ahead: float) -> float:
        """Return until when (Unix seconds) nothing is asked.

        A good answer is asked again in the last part, `refresh_ahead`, of its lifetime.
        """
        if self.good is not self.outcome:
            return self.fresh_until
        return self.fresh_until - refresh_ahead * max(0.0, self.fresh_until - self.asked_at)

    def meanwhile(self, now: float) -> Given | None:
        """Return the good answer to give while the question is asked again, None without one."""
        return None if self.good is None or now >= self.stale_until else self.given(now)

    def expired(self, now: float) -> "CacheEntry":
        """Return this entry with its answers past their lifetimes; a failure's wait goes on."""
        fresh_until, stale_until = self.fresh_until, self.stale_until
        if not is_temporary(self.outcome):
            fresh_until = min(fresh_until, now)
            if not is_good(self.outcome):  # a definite refusal leaves no reserve
                stale_until = min(stale_until, now)
        return evolve(
            self,
            fresh_until=fresh_until,
            good_until=min(self.good_until, now),
            stale_until=stale_until,
        )

    def given(self, now: float, *, just_asked: bool = False) -> Given:
        """Return the answer that holds now as long as the question is not asked again.

        `just_asked`: the outcome is of this moment, so it is not stale however short its lifetime.
        """
        good = self.good
        if good is None or good is self.outcome or now >= self.stale_until:
            stale = not (just_asked or self.is_fresh(now))
            return Given(self.outcome, stale, self.fresh_until)
        stale = now >= self.good_until
        return Given(
            good,
            stale,
            min(self.fresh_until, self.stale_until) if stale else self.good_until,
            getattr(self.outcome, "reason", None),
        )

    def to_json(self) -> bytes:
        """Return this entry as JSON that other processes and later versions can read."""
        return json.dumps(
            {
                "version": _VERSION,
                "outcome": answer_to_dict(self.outcome),
                "good": None if self.good is None else answer_to_dict(self.good),
                "failures": self.failures,
                **{name: getattr(self, name) for name in _TIMES},
            },
            separators=(",", ":"),
        ).encode()

    @classmethod
    def from_json(cls, data: bytes | str) -> "CacheEntry":
        """Return the entry that `to_json` wrote; raise `CacheError` for anything else."""
        try:
            return _from_dict(json.loads(data))
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            raise CacheError(f"not a cache entry: {error}", temporary=False) from error


def is_entry_for(question: Question, entry: object) -> bool:
    """Return whether `entry` is one, holds answers to `question`, and times that can be."""
    if not isinstance(entry, CacheEntry):
        return False
    kinds = _KINDS[type(question)]
    return (
        isinstance(entry.outcome, kinds)
        and (entry.good is None or isinstance(entry.good, kinds))
        and all(0 <= getattr(entry, name) <= _LATEST for name in _TIMES)
    )


def is_believable(question: Question, entry: object, now: float) -> bool:
    """Return whether `entry` is one for `question`, and was not asked in the future."""
    return (
        isinstance(entry, CacheEntry)
        and is_entry_for(question, entry)
        and entry.asked_at <= now + _SKEW
    )


def _from_dict(data: Any) -> CacheEntry:
    if data["version"] != _VERSION:
        raise ValueError("an unknown version")
    times = {name: data[name] for name in _TIMES}
    for value in times.values():
        if type(value) not in (int, float) or not 0 <= value <= _LATEST:
            raise ValueError("a time that is none")
    failures = data["failures"]
    if type(failures) is not int or failures < 0:
        raise ValueError("failures that are no count")
    outcome = answer_from_dict(data["outcome"])
    good = None if data["good"] is None else answer_from_dict(data["good"])
    if good is not None and not is_good(good):
        raise ValueError("a good answer that is none")
    # One object again where it was one: `given` tells the two apart by identity.
    if good == outcome:
        good = outcome
    return CacheEntry(outcome=outcome, good=good, failures=failures, **times)


def remember(
    previous: CacheEntry | None,
    learned: Learned,
    *,
    asked_at: float,
    now: float,
    policy: Policy,
    rng: random.Random,
) -> CacheEntry:
    """Return the entry that follows `previous` once `learned` has been found out.

    A good answer replaces everything. A temporary failure keeps the good answer in reserve for
    `policy.stale_for` past its lifetime; a definite one leaves it the rest of its lifetime only.
    """
    answer = learned.answer
    valid_before = previous is not None and previous.good is not None

    def lives(failures: int) -> float:
        return now + lifetime(
            learned, failures=failures, valid_before=valid_before, policy=policy, rng=rng
        )

    if is_good(answer):
        fresh_until = lives(0)
        stale_until = fresh_until + policy.stale_for
        return CacheEntry(
            outcome=answer,
            asked_at=asked_at,
            fresh_until=fresh_until,
            keep_until=stale_until,
            good=answer,
            good_asked_at=asked_at,
            good_until=fresh_until,
            stale_until=stale_until,
        )
    failures = 1
    good, good_asked_at, good_until, stale_until = None, 0.0, 0.0, 0.0
    if previous is not None:
        good, good_asked_at = previous.good, previous.good_asked_at
        good_until, stale_until = previous.good_until, previous.stale_until
        if _same_trouble(previous.outcome, answer):
            failures = previous.failures + 1
        if not is_temporary(answer):
            stale_until = min(stale_until, good_until)
    fresh_until = lives(failures)
    return CacheEntry(
        outcome=answer,
        asked_at=asked_at,
        fresh_until=fresh_until,
        # Past its end a failure is still kept, so that doubling goes on where it was.
        keep_until=max(fresh_until + policy.failure_max_ttl, stale_until),
        failures=failures,
        good=good,
        good_asked_at=good_asked_at,
        good_until=good_until,
        stale_until=stale_until,
    )


def reconciled(kept: CacheEntry | None, new: CacheEntry) -> CacheEntry:
    """Return what a cache keeps that many write to: of `kept` and `new` the better, or of both.

    Processes ask side by side, so entries may come in any order. Neither a failure nor an answer
    asked earlier replaces a good answer asked later; and a failure whose asker had not heard of
    the good answer keeps it in reserve all the same.
    """
    if kept is None:
        return new
    if new.good is new.outcome:
        return new if kept.good is None or new.asked_at >= kept.good_asked_at else kept
    if new.asked_at < max(kept.asked_at, kept.good_asked_at):
        return kept
    if kept.good is None or kept.good_asked_at <= new.good_asked_at:
        return new
    temporary = is_temporary(new.outcome)
    stale_until = kept.stale_until if temporary else min(kept.stale_until, kept.good_until)
    return evolve(
        new,
        keep_until=max(new.keep_until, stale_until),
        good=kept.good,
        good_asked_at=kept.good_asked_at,
        good_until=kept.good_until,
        stale_until=stale_until,
    )


def _same_trouble(before: Answer, now: Answer) -> bool:
    """Return whether one row of failures goes on: our own DNS's trouble counts apart."""
    if isinstance(before, NotDelegated) and isinstance(now, NotDelegated):
        return (before.temporary, before.lookup_failed) == (now.temporary, now.lookup_failed)
    return type(before) is type(now)
