"""The policy: every number of the contract, its reason, and what is refused."""

import ast
import inspect
import math
from datetime import timedelta
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from typing import Any

import attrs
import pytest

from matrix_resolve import policy as module
from matrix_resolve.policy import Backoff, Policy

DEFAULTS = {
    "well_known_default_ttl": 24 * 3600,
    "well_known_min_ttl": 5 * 60,
    "well_known_max_ttl": 48 * 3600,
    "failure_min_ttl": 60,
    "failure_max_ttl": 3600,
    "stale_for": 24 * 3600,
    "stale_answer_delay": 1.8,
    "refresh_ahead": 0.2,
    "jitter": 0.1,
    "srv_min_ttl": 30,
    "srv_max_ttl": 24 * 3600,
    "srv_negative_ttl": 15 * 60,
    "srv_failure": "fallback",
    "srv_failure_min_ttl": 5,
    "srv_failure_max_ttl": 60,
    "legacy_srv": True,
    "srv_head_start": True,
    "address_min_ttl": 5,
    "address_max_ttl": 3600,
    "max_redirects": 10,
    "max_body": 50 * 1024,
    "max_targets": 16,
    "well_known_timeout": 10,
    "well_known_connect_timeout": 5,
    "dns_timeout": 5,
    "max_well_known_fetches": 100,
    "max_dns_lookups": 200,
    "max_answers": 300_000,
    "max_resolved": 100_000,
}


def test_defaults_are_those_that_are_promised() -> None:
    """`Policy()` has these fields with these values, and no others."""
    assert attrs.asdict(Policy()) == DEFAULTS


def test_every_field_gives_its_reason() -> None:
    """Under each field of `Policy` stands a docstring."""
    (body,) = (
        node.body
        for node in ast.parse(inspect.getsource(module)).body
        if isinstance(node, ast.ClassDef) and node.name == "Policy"
    )
    reasons = {}
    for node, after in pairwise(body):
        if isinstance(node, ast.AnnAssign) and isinstance(after, ast.Expr):
            reasons[node.target.id] = after.value.value
    assert set(reasons) == set(DEFAULTS)
    assert all(len(reason) > 20 for reason in reasons.values())


TIMES_FROM_0 = [
    "well_known_default_ttl",
    "well_known_min_ttl",
    "stale_for",
    "stale_answer_delay",
    "srv_min_ttl",
    "srv_negative_ttl",
    "address_min_ttl",
]
TIMES_ABOVE_0 = [
    "failure_min_ttl",
    "srv_failure_min_ttl",
    "well_known_timeout",
    "well_known_connect_timeout",
    "dns_timeout",
]
MAXIMA = ["well_known_max_ttl", "failure_max_ttl", "srv_max_ttl", "srv_failure_max_ttl"]
MAXIMA += ["address_max_ttl"]
FRACTIONS = ["refresh_ahead", "jitter"]
COUNTS_FROM_1 = ["max_body", "max_targets", "max_well_known_fetches", "max_dns_lookups"]
COUNTS_FROM_1 += ["max_answers", "max_resolved"]
NO_TIME = [-1, -math.inf, math.inf, math.nan]

REFUSED = [
    *((field, value) for field in [*TIMES_FROM_0, *TIMES_ABOVE_0, *MAXIMA] for value in NO_TIME),
    *((field, 0) for field in TIMES_ABOVE_0),
    *((field, value) for field in FRACTIONS for value in (-0.1, 1, 2, math.nan)),
    *((field, 0) for field in COUNTS_FROM_1),
    ("max_redirects", -1),
    *((field, 10**12 + 1) for field in [*COUNTS_FROM_1, "max_redirects"]),
    *((field, 10**400) for field in [*COUNTS_FROM_1, "max_redirects", "stale_for"]),
    ("srv_failure", "ignore"),
]


@pytest.mark.parametrize(("field", "value"), REFUSED)
def test_value_that_makes_no_sense_is_refused(field: str, value: Any) -> None:
    """A mistyped number fails when the policy is made, and the error names the field."""
    with pytest.raises(ValueError, match=f"^{field} must be"):
        Policy(**{field: value})


NUMBERS = [*TIMES_FROM_0, *TIMES_ABOVE_0, *MAXIMA, *FRACTIONS]
COUNTS = [*COUNTS_FROM_1, "max_redirects"]
FLAGS = ["legacy_srv", "srv_head_start"]
NO_NUMBERS = [None, True, False, "5", b"5", 5j, Decimal(5), Fraction(1, 2), [5], timedelta(1)]
OF_ANOTHER_TYPE = [
    *((field, value) for field in NUMBERS for value in NO_NUMBERS),
    *((field, value) for field in COUNTS for value in [*NO_NUMBERS, 1.0, 1.5]),
    *((field, value) for field in COUNTS for value in (math.nan, math.inf, -math.inf)),
    *((field, value) for field in FLAGS for value in (None, 0, 1, "no", "", [True])),
    *(("srv_failure", value) for value in (None, True, 1, b"raise", ["raise"])),
]


@pytest.mark.parametrize(("field", "value"), OF_ANOTHER_TYPE)
def test_value_of_another_type_is_refused(field: str, value: Any) -> None:
    """A count is an int, a time an int or a float, a flag a bool, and nothing passes for them."""
    with pytest.raises(TypeError, match=f"^{field} must be"):
        Policy(**{field: value})


ACCEPTED = [
    *((field, 0) for field in TIMES_FROM_0),
    *((field, 0.001) for field in TIMES_ABOVE_0),
    *((field, value) for field in FRACTIONS for value in (0, 0.99)),
    *((field, 1) for field in COUNTS_FROM_1),
    *((field, 10**12) for field in COUNTS_FROM_1),
    ("max_redirects", 0),
    ("stale_for", 10 * 365 * 86400),
    ("srv_failure", "raise"),
    ("legacy_srv", False),
    ("srv_head_start", False),
]


@pytest.mark.parametrize(("field", "value"), ACCEPTED)
def test_value_at_the_edge_is_accepted(field: str, value: Any) -> None:
    """The least that makes sense is allowed."""
    assert getattr(Policy(**{field: value}), field) == value


def test_every_field_has_an_edge() -> None:
    """No field is left out of the tables above."""
    assert {field for field, _ in [*REFUSED, *ACCEPTED]} == set(DEFAULTS)


@pytest.mark.parametrize("most", MAXIMA)
def test_minimum_above_the_maximum_is_refused(most: str) -> None:
    """Limits that cross are a mistake; limits that meet fix the value."""
    least = most.replace("_max_", "_min_")
    with pytest.raises(ValueError, match=f"^{least} is more than {most}$"):
        Policy(**{least: 10, most: 9})
    policy = Policy(**{least: 10, most: 10})
    assert (getattr(policy, least), getattr(policy, most)) == (10, 10)


def test_policy_is_a_frozen_value() -> None:
    """A policy is given by name, compares by value, and can't be changed under a resolver."""
    assert Policy(jitter=0.2) == Policy(jitter=0.2) != Policy()
    assert hash(Policy()) == hash(Policy())
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        Policy().jitter = 0.5  # type: ignore[misc]
    with pytest.raises(TypeError):
        Policy(3600)  # type: ignore[misc]


BACKOFF = [
    # failures in a row, seconds to wait
    pytest.param(0, 60, id="none yet"),
    pytest.param(1, 60, id="the first"),
    pytest.param(2, 120, id="the second"),
    pytest.param(3, 240, id="the third"),
    pytest.param(6, 1920, id="the last below the maximum"),
    pytest.param(7, 3600, id="the maximum"),
    pytest.param(10**9, 3600, id="a thousand million"),
]


@pytest.mark.parametrize(("failures", "seconds"), BACKOFF)
def test_backoff_doubles_up_to_its_maximum(failures: int, seconds: float) -> None:
    """Each failure in a row doubles the wait."""
    assert Backoff(60, 3600).after(failures) == seconds
