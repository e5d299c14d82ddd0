"""What a cache keeps of a question: its last outcome, and behind a failure the last good answer."""

import json
import random
from collections.abc import Sequence
from typing import Any, Final

from attrs import evolve, field, frozen

from matrix_resolve.core.answer_json import answer_from_dict, answer_to_dict
from matrix_resolve.core.lifetimes import Learned, is_good, is_temporary, lifetime
from matrix_resolve.core.moments import Timescale
from matrix_resolve.core.plausible import MOST_FAILURES, is_count, is_moment
from matrix_resolve.core.questions import Answer, NotDelegated
from matrix_resolve.errors import CacheError
from matrix_resolve.policy import Policy

_VERSION = 1

LARGEST: Final = 1 << 18
"""Bytes. The largest entry has twice 64 records with names of 253 octets: more is none of ours."""
_TIMES = ("asked_at", "fresh_until", "keep_until")
_RESERVE_TIMES = ("asked_at", "fresh_until", "stale_until")


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
class Reserve:
    """The last good answer, kept while asking again fails. Times are Unix seconds.

    It was asked at `asked_at`, its lifetime ends at `fresh_until`, and until `stale_until` it may
    be given all the same.
    """

    answer: Answer
    asked_at: float
    fresh_until: float
    stale_until: float


@frozen(kw_only=True)
class CacheEntry:
    """What is known about one question: an outcome and, if that is a failure, a reserve.

    `key` is the question's. The `outcome` was asked at `asked_at` and stands until `fresh_until`;
    a good one may be given until `keep_until` while asking again fails. `failures` counts those
    in a row. After `keep_until` nothing here is of use. Times are Unix seconds, by the clock as
    it was set then: `scale`, which this process alone knows.
    """

    key: str
    outcome: Answer
    asked_at: float
    fresh_until: float
    keep_until: float
    failures: int = 0
    reserve: Reserve | None = None
    scale: Timescale | None = field(default=None, eq=False, repr=False)

    @property
    def good(self) -> Reserve | None:
        """The last good answer, be it the outcome or in reserve, with its times; None without."""
        if not is_good(self.outcome):
            return self.reserve
        return Reserve(
            answer=self.outcome,
            asked_at=self.asked_at,
            fresh_until=self.fresh_until,
            stale_until=self.keep_until,
        )

    @property
    def answers(self) -> tuple[Answer, ...]:
        """The outcome, and the answer in reserve if there is one."""
        return (self.outcome,) if self.reserve is None else (self.outcome, self.reserve.answer)

    def is_fresh(self, now: float) -> bool:
        """Return whether the question need not be asked now."""
        return now < self.fresh_until

    def settled_until(self, refresh_ahead: float) -> float:
        """Return until when (Unix seconds) nothing is asked.

        A good answer is asked again in the last part, `refresh_ahead`, of its lifetime.
        """
        if not is_good(self.outcome):
            return self.fresh_until
        return self.fresh_until - refresh_ahead * max(0.0, self.fresh_until - self.asked_at)

    def meanwhile(self, now: float) -> Given | None:
        """Return the good answer to give while the question is asked again, None without one."""
        good = self.good
        return None if good is None or now >= good.stale_until else self.given(now)

    def given(self, now: float, *, just_asked: bool = False) -> Given:
        """Return the answer that holds now as long as the question is not asked again.

        `just_asked`: the outcome is of this moment, so it is not stale however short its lifetime.
        """
        reserve = self.reserve
        if reserve is None or now >= reserve.stale_until:
            stale = not (just_asked or self.is_fresh(now))
            return Given(self.outcome, stale, self.fresh_until)
        stale = now >= reserve.fresh_until
        return Given(
            reserve.answer,
            stale,
            min(self.fresh_until, reserve.stale_until) if stale else reserve.fresh_until,
            getattr(self.outcome, "reason", None),
        )

    def expired(self, now: float) -> "CacheEntry":
        """Return this entry with its answers past their lifetimes; a failure's wait goes on."""
        temporary = is_temporary(self.outcome)
        fresh_until = self.fresh_until if temporary else min(self.fresh_until, now)
        reserve = self.reserve
        if reserve is not None:
            fresh, stale = min(reserve.fresh_until, now), reserve.stale_until
            # A definite refusal leaves nothing in reserve.
            stale = stale if temporary else min(stale, now)
            reserve = evolve(reserve, fresh_until=fresh, stale_until=stale)
        return evolve(self, fresh_until=fresh_until, reserve=reserve)

    def due(self, now: float) -> "CacheEntry":
        """Return this entry as one to be asked again now: `expired`, and no failure's wait left."""
        return evolve(self.expired(now), fresh_until=min(self.fresh_until, now))

    def on_scale(self, scale: Timescale) -> "CacheEntry":
        """Return this entry with its times by `scale`, if the clock has been set back since.

        A clock that is set forward ends lifetimes early, and that is left so.
        """
        back, reserve = scale.set_back_since(self.scale), self.reserve
        if not back:
            return self
        if reserve is not None:
            reserve = evolve(reserve, **_times(reserve, back))
        return evolve(self, reserve=reserve, scale=scale, **_times(self, back))

    def to_json(self) -> bytes:
        """Return this entry as JSON that other processes and later versions can read."""
        reserve = self.reserve
        return json.dumps(
            {
                "version": _VERSION,
                "key": self.key,
                "outcome": answer_to_dict(self.outcome),
                **_times(self),
                "failures": self.failures,
                "reserve": reserve
                and {"answer": answer_to_dict(reserve.answer), **_times(reserve)},
            },
            separators=(",", ":"),
        ).encode()

    @classmethod
    def from_json(cls, data: bytes | str) -> "CacheEntry":
        """Return the entry that `to_json` wrote; raise `CacheError` for anything else."""
        try:
            if len(data) > LARGEST:
                raise ValueError("too long")
            return _from_dict(json.loads(data))
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            raise CacheError(f"not a cache entry: {error}", temporary=False) from error


def remember(
    key: str,
    previous: CacheEntry | None,
    learned: Learned,
    *,
    asked_at: float,
    now: float,
    policy: Policy,
    rng: random.Random,
) -> CacheEntry:
    """Return the entry of a question that follows `previous` once `learned` has been found out.

    A good answer replaces everything. A temporary failure keeps the good answer in reserve for
    `policy.stale_for` past its lifetime; a definite one leaves it the rest of its lifetime only.
    """
    answer = learned.answer
    reserve = None if previous is None else previous.good
    failures = 0
    if not is_good(answer):
        goes_on = previous is not None and _same_trouble(previous.outcome, answer)
        failures = min(previous.failures + 1, MOST_FAILURES) if previous and goes_on else 1
    fresh_until = now + lifetime(
        learned, failures=failures, valid_before=reserve is not None, policy=policy, rng=rng
    )
    if is_good(answer):
        reserve, keep_until = None, fresh_until + policy.stale_for
    else:
        reserve = _behind(answer, reserve)
        # Past its end a failure is still kept, so that doubling goes on where it was.
        keep_until = fresh_until + policy.failure_max_ttl
        if reserve is not None:
            keep_until = max(keep_until, reserve.stale_until)
    return CacheEntry(
        key=key,
        outcome=answer,
        asked_at=asked_at,
        fresh_until=fresh_until,
        keep_until=keep_until,
        failures=failures,
        reserve=reserve,
    )


def reconciled(kept: CacheEntry | None, new: CacheEntry) -> CacheEntry:
    """Return what a cache keeps that many write to: of `kept` and `new` the better, or of both.

    Processes ask side by side, so entries may come in any order. Neither a failure nor an answer
    asked earlier replaces a good answer asked later; and a failure whose asker had not heard of
    the good answer keeps it in reserve all the same.
    """
    if kept is None:
        return new
    kept = kept if new.scale is None else kept.on_scale(new.scale)
    before = kept.good
    if is_good(new.outcome):
        return new if before is None or new.asked_at >= before.asked_at else kept
    if new.asked_at < kept.asked_at or (before is not None and new.asked_at < before.asked_at):
        return kept
    if before is None or (new.reserve is not None and before.asked_at <= new.reserve.asked_at):
        return new
    reserve = _behind(new.outcome, before)
    keep_until = new.keep_until if reserve is None else max(new.keep_until, reserve.stale_until)
    return evolve(new, keep_until=keep_until, reserve=reserve)


def _behind(failure: Answer, reserve: Reserve | None) -> Reserve | None:
    """Return what a failure leaves of a good answer: a definite one ends it with its lifetime."""
    if reserve is None or is_temporary(failure):
        return reserve
    return evolve(reserve, stale_until=min(reserve.stale_until, reserve.fresh_until))


def _same_trouble(before: Answer, now: Answer) -> bool:
    """Return whether one row of failures goes on: our own trouble counts apart."""
    if isinstance(before, NotDelegated) and isinstance(now, NotDelegated):
        return (before.temporary, before.own_trouble) == (now.temporary, now.own_trouble)
    return type(before) is type(now)


def _times(of: CacheEntry | Reserve, back: float = 0) -> dict[str, Any]:
    """Return the moments that `of` holds, so many seconds earlier."""
    names = _TIMES if isinstance(of, CacheEntry) else _RESERVE_TIMES
    return {name: getattr(of, name) - back for name in names}


# As JSON


def _from_dict(data: Any) -> CacheEntry:
    if data["version"] != _VERSION:
        raise ValueError("an unknown version")
    key, failures = data["key"], data["failures"]
    if not isinstance(key, str) or not is_count(failures):
        raise ValueError("a key or a count of failures that is none")
    outcome = answer_from_dict(data["outcome"])
    reserve = None if data["reserve"] is None else _reserve_from_dict(data["reserve"])
    if reserve is not None and is_good(outcome):
        raise ValueError("a reserve behind a good answer")
    times = _moments(data, _TIMES)
    return CacheEntry(key=key, outcome=outcome, failures=failures, reserve=reserve, **times)


def _reserve_from_dict(data: Any) -> Reserve:
    answer = answer_from_dict(data["answer"])
    if not is_good(answer):
        raise ValueError("a good answer that is none")
    return Reserve(answer=answer, **_moments(data, _RESERVE_TIMES))


def _moments(data: Any, names: Sequence[str]) -> dict[str, Any]:
    if not all(is_moment(data[name]) for name in names):
        raise ValueError("a time that is none")
    return {name: float(data[name]) for name in names}
