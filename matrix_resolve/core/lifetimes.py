"""How long an answer lives, in seconds.

What the policy makes of what its source says: the headers of a response (`http_caching`), TTLs
(RFC 2308), and failures in a row (RFC 9520).
"""

import random
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

SRV_NEGATIVE_MAX = 3 * 3600.0
"""RFC 2308, 5: values of one to three hours work well as a limit on negative answers."""
NO_ADDRESSES_TTL = 30.0
"""A host without addresses is being set up or torn down: look again soon."""


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
        case NotDelegated(temporary=True, own_trouble=True) | SrvFailed() | AddressesFailed():
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


def longest(answer: Answer, policy: Policy) -> float:
    """Return the most seconds that `lifetime` gives an answer of this kind."""
    match answer:
        case Delegated():
            return policy.well_known_max_ttl
        case NotDelegated(temporary=True, own_trouble=True) | SrvFailed() | AddressesFailed():
            return policy.srv_failure_max_ttl
        case NotDelegated():
            return policy.failure_max_ttl
        case SrvRecords() | ServiceNotOffered():
            return policy.srv_max_ttl
        case NoSrvRecords():
            return max(policy.srv_negative_ttl, policy.srv_min_ttl, SRV_NEGATIVE_MAX)
        case Addresses():
            return max(policy.address_max_ttl, NO_ADDRESSES_TTL)
        case _:
            assert_never(answer)


def clamp(value: float, least: float, most: float) -> float:
    """Return `value` brought between the two; not-a-number counts as the least."""
    if not value > least:
        return least
    return min(value, most)
