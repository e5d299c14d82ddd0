"""How long an answer lives, in seconds.

Two halves: what an HTTP response says of itself (RFC 9111), and what the policy makes of that
and of TTLs (RFC 2308) and failures in a row (RFC 9520).
"""

import random
import re
from collections.abc import Iterator, Sequence
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Literal, assert_never

from attrs import frozen

from matrix_resolve.core.questions import (
    Addresses,
    AddressesFailed,
    Answer,
    Delegated,
    NoSrvRecords,
    NotDelegated,
    ServiceNotOffered,
    SrvFailed,
    SrvRecords,
)
from matrix_resolve.policy import Backoff, Policy

Headers = Sequence[tuple[str, str]]

SRV_NEGATIVE_MAX = 3 * 3600.0
"""RFC 2308, 5: values of one to three hours work well as a limit on negative answers."""
NO_ADDRESSES_TTL = 30.0
"""A host without addresses is being set up or torn down: look again soon."""

# One element of a Cache-Control list: everything up to a comma that is not inside quotes.
_ELEMENT = re.compile(r'(?:[^,"]|"(?:[^"\\]|\\.)*"?)+')
_DIRECTIVE = re.compile(r"""([!#$%&'*+.^_`|~0-9A-Za-z-]+)(?:=("?)(.*)\2)?""", re.DOTALL)
_SECONDS = re.compile(r"[0-9]+")


@frozen
class Learned:
    """An answer and what its source says of its lifetime.

    `ttl`: seconds, None if the source says nothing. `retry_after`: seconds that a server in
    trouble asks to be left alone.
    """

    answer: Answer
    ttl: float | None = None
    retry_after: float = 0.0


def is_good(answer: Answer) -> bool:
    """Return whether `answer` is one to fall back on while asking again fails."""
    return not isinstance(answer, NotDelegated | SrvFailed | AddressesFailed)


def is_temporary(answer: Answer) -> bool:
    """Return whether `answer` is a failure that may pass, so that an older answer still counts."""
    if isinstance(answer, NotDelegated):
        return answer.temporary
    return isinstance(answer, SrvFailed | AddressesFailed)


Outcome = Literal["found", "none", "failed"]


def outcome_of(answer: Answer) -> Outcome:
    """Return an answer in one word: something was found, or decidedly nothing, or it failed."""
    if is_temporary(answer):
        return "failed"
    if isinstance(answer, Addresses):
        return "found" if answer.addresses else "none"
    return (
        "none" if isinstance(answer, NotDelegated | NoSrvRecords | ServiceNotOffered) else "found"
    )


def lifetime(
    learned: Learned, *, failures: int, valid_before: bool, policy: Policy, rng: random.Random
) -> float:
    """Return for how many seconds the answer stands before the question is asked again.

    `failures` counts those in a row, this one included; `valid_before` tells that a good answer
    came before them.
    """
    ttl = learned.ttl

    def jittered(seconds: float) -> float:
        return seconds * rng.uniform(1 - policy.jitter, 1 + policy.jitter)

    def backed_off(least: float, most: float, at_least: float = 0.0) -> float:
        wait = max(jittered(Backoff(least, most).after(failures)), at_least)
        return min(wait, most)

    match learned.answer:
        case Delegated():
            wanted = jittered(policy.well_known_default_ttl) if ttl is None else ttl
            return clamp(wanted, policy.well_known_min_ttl, policy.well_known_max_ttl)
        case NotDelegated(temporary=True, lookup_failed=True) | SrvFailed() | AddressesFailed():
            return backed_off(policy.srv_failure_min_ttl, policy.srv_failure_max_ttl)
        case NotDelegated(temporary=True):
            return backed_off(policy.failure_min_ttl, policy.failure_max_ttl, learned.retry_after)
        case NotDelegated() if ttl is not None:
            return clamp(ttl, policy.failure_min_ttl, policy.failure_max_ttl)
        case NotDelegated() if valid_before:
            return backed_off(policy.failure_min_ttl, policy.failure_max_ttl)
        case NotDelegated():
            return policy.failure_max_ttl
        case SrvRecords() | ServiceNotOffered():
            # An unknown TTL promises nothing.
            return clamp(0.0 if ttl is None else ttl, policy.srv_min_ttl, policy.srv_max_ttl)
        case NoSrvRecords():
            if ttl is None:
                return policy.srv_negative_ttl
            return clamp(ttl, policy.srv_min_ttl, SRV_NEGATIVE_MAX)
        case Addresses(addresses=()):
            return NO_ADDRESSES_TTL
        case Addresses():
            return clamp(
                0.0 if ttl is None else ttl, policy.address_min_ttl, policy.address_max_ttl
            )
        case _:
            assert_never(learned.answer)


def clamp(value: float, least: float, most: float) -> float:
    """Return `value` brought between the two; not-a-number counts as the least."""
    if not value > least:
        return least
    return min(value, most)


def stated_lifetime(headers: Headers, received_at: float) -> float | None:
    """Return the seconds that a response says it may be kept, None if it says nothing.

    `received_at` is Unix seconds. `no-store`, `no-cache` and a `max-age` that can't be read say 0;
    `max-age` wins over `Expires`; `Age` counts; of several headers or directives of one name the
    first holds (RFC 9111, 4.2 and 5.2).
    """
    max_age: float | None = None
    for name, value in _cache_control(headers):
        if name in ("no-store", "no-cache"):
            return 0.0
        if name == "max-age" and max_age is None:
            max_age = _seconds(value) or 0.0
    if max_age is None:
        expires = _first(headers, "expires")
        if expires is None:
            return None
        end = _date(expires)
        if end is None:  # "a date in the past" (RFC 9111, 5.3)
            return 0.0
        made = _date(_first(headers, "date") or "")
        max_age = end - (received_at if made is None else made)
    age = _seconds((_first(headers, "age") or "").split(",")[0].strip()) or 0.0
    return max(max_age - age, 0.0)


def retry_after(headers: Headers, received_at: float) -> float:
    """Return the seconds that `Retry-After` asks to wait, 0 if it is missing or can't be read."""
    value = _first(headers, "retry-after") or ""
    seconds = _seconds(value)
    if seconds is not None:
        return seconds
    date = _date(value)
    return 0.0 if date is None else max(date - received_at, 0.0)


def _first(headers: Headers, wanted: str) -> str | None:
    return next((value.strip() for name, value in headers if name.lower() == wanted), None)


def _cache_control(headers: Headers) -> Iterator[tuple[str, str]]:
    """Yield (name, value) of each directive, the value unquoted, "" if there is none."""
    for header, field in headers:
        if header.lower() != "cache-control":
            continue
        for element in _ELEMENT.findall(field):
            directive = _DIRECTIVE.match(element.strip())
            if directive is None:
                continue
            whole = directive.end() == len(element.strip())
            yield directive[1].lower(), (directive[3] or "") if whole else ""


def _seconds(text: str) -> float | None:
    """Read delta-seconds; what is too large counts as 2^31 (RFC 9111, 1.2.2)."""
    return min(float(text), 2.0**31) if _SECONDS.fullmatch(text) else None


def _date(text: str) -> float | None:
    """Read an HTTP date as Unix seconds, None if it is none."""
    try:
        date = parsedate_to_datetime(text)
        # The oldest of the three forms names no zone; all three are UTC (RFC 9110, 5.6.7).
        return (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp()
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
