"""How long answers live: what the policy makes of what their sources say."""

import math
import random
from ipaddress import IPv4Address, ip_address
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from matrix_resolve.core.lifetimes import (
    Learned,
    clamp,
    is_good,
    is_temporary,
    lifetime,
    outcome_of,
)
from matrix_resolve.core.names import ServerName
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
from matrix_resolve.core.replies import SrvRecord
from matrix_resolve.policy import Policy

DELEGATED = Delegated(ServerName.parse("hs.example.net"), "https://example.org/")
RECORDS = SrvRecords((SrvRecord(0, 0, 8448, "hs.example.net"),))
NONE = NoSrvRecords("no records")
NOT_OFFERED = ServiceNotOffered()
SRV_FAILED = SrvFailed("SERVFAIL")
TEMPORARY = NotDelegated("status 503", temporary=True)
DEFINITE = NotDelegated("status 404")
NO_DNS = NotDelegated("no addresses", temporary=True, own_trouble=True)
ADDRESSES = Addresses((IPv4Address("192.0.2.1"),))
NO_ADDRESSES = Addresses(())
ADDRESSES_FAILED = AddressesFailed("SERVFAIL")

KINDS = [
    # answer, good, temporary
    pytest.param(DELEGATED, True, False, id="delegated"),
    pytest.param(TEMPORARY, False, True, id="not delegated, temporary"),
    pytest.param(NO_DNS, False, True, id="not delegated, lookup failed"),
    pytest.param(DEFINITE, False, False, id="not delegated, definite"),
    pytest.param(RECORDS, True, False, id="SRV records"),
    pytest.param(NONE, True, False, id="no SRV records"),
    pytest.param(NOT_OFFERED, True, False, id="service not offered"),
    pytest.param(SRV_FAILED, False, True, id="SRV lookup failed"),
    pytest.param(ADDRESSES, True, False, id="addresses"),
    pytest.param(NO_ADDRESSES, True, False, id="no addresses"),
    pytest.param(ADDRESSES_FAILED, False, True, id="address lookup failed"),
]


@pytest.mark.parametrize(("answer", "good", "temporary"), KINDS)
def test_kinds_of_answers(answer: Answer, good: bool, temporary: bool) -> None:
    """Answers are good, or failures that may pass, or definite refusals."""
    assert (is_good(answer), is_temporary(answer)) == (good, temporary)


def lives(
    answer: Answer,
    ttl: float | None = None,
    *,
    failures: int = 1,
    valid_before: bool = False,
    wait: float = 0.0,
    policy: Policy | None = None,
    seed: int = 0,
) -> float:
    """The lifetime of an answer, without jitter unless another policy is given."""
    return lifetime(
        Learned(answer, ttl=ttl, retry_after=wait),
        failures=failures,
        valid_before=valid_before,
        policy=policy or Policy(jitter=0),
        rng=random.Random(seed),
    )


MINUTE, HOUR, DAY = 60, 3600, 86400
GOOD_ANSWERS = [
    # answer, TTL that its source says, seconds that it lives
    pytest.param(DELEGATED, None, DAY, id="document that says nothing: 24 h"),
    pytest.param(DELEGATED, HOUR, HOUR, id="document: what it says"),
    pytest.param(DELEGATED, 0, 5 * MINUTE, id="document: at least 5 min"),
    pytest.param(DELEGATED, 299, 5 * MINUTE, id="document: a little less than 5 min"),
    pytest.param(DELEGATED, 365 * DAY, 2 * DAY, id="document: at most 48 h"),
    pytest.param(DELEGATED, math.inf, 2 * DAY, id="document: no end"),
    pytest.param(DELEGATED, math.nan, 5 * MINUTE, id="document: not a number"),
    pytest.param(DELEGATED, -5, 5 * MINUTE, id="document: negative"),
    pytest.param(RECORDS, None, 30, id="SRV of unknown TTL: 30 s"),
    pytest.param(RECORDS, HOUR, HOUR, id="SRV: its TTL"),
    pytest.param(RECORDS, 0, 30, id="SRV: at least 30 s"),
    pytest.param(RECORDS, 7 * DAY, DAY, id="SRV: at most 24 h"),
    pytest.param(RECORDS, math.inf, DAY, id="SRV: no end"),
    pytest.param(RECORDS, math.nan, 30, id="SRV: not a number"),
    pytest.param(RECORDS, -1, 30, id="SRV: negative"),
    pytest.param(NOT_OFFERED, None, 30, id="not offered, of unknown TTL: 30 s"),
    pytest.param(NOT_OFFERED, HOUR, HOUR, id="not offered: its TTL"),
    pytest.param(NOT_OFFERED, 7 * DAY, DAY, id="not offered: at most 24 h"),
    pytest.param(NONE, None, 15 * MINUTE, id="no SRV, the zone's TTL unknown: 15 min"),
    pytest.param(NONE, HOUR, HOUR, id="no SRV: the zone's TTL"),
    pytest.param(NONE, 0, 30, id="no SRV: at least 30 s"),
    pytest.param(NONE, DAY, 3 * HOUR, id="no SRV: at most 3 h"),
    pytest.param(NONE, math.nan, 30, id="no SRV: not a number"),
    pytest.param(NONE, math.inf, 3 * HOUR, id="no SRV: no end"),
    pytest.param(ADDRESSES, None, 5, id="addresses of unknown TTL: 5 s"),
    pytest.param(ADDRESSES, MINUTE, MINUTE, id="addresses: their TTL"),
    pytest.param(ADDRESSES, 0, 5, id="addresses: at least 5 s"),
    pytest.param(ADDRESSES, DAY, HOUR, id="addresses: at most 1 h"),
    pytest.param(ADDRESSES, math.nan, 5, id="addresses: not a number"),
    pytest.param(NO_ADDRESSES, None, 30, id="no addresses: 30 s"),
    pytest.param(NO_ADDRESSES, HOUR, 30, id="no addresses: 30 s whatever the TTL"),
]


@pytest.mark.parametrize(("answer", "ttl", "seconds"), GOOD_ANSWERS)
def test_good_answer_lives_as_long_as_its_source_says(
    answer: Answer, ttl: float | None, seconds: float
) -> None:
    """What the source says is brought within the policy's limits."""
    assert lives(answer, ttl, failures=0) == seconds


def test_unknown_ttl_promises_nothing() -> None:
    """Where the policy sets no minimum, an answer of unknown TTL is asked for again at once."""
    policy = Policy(srv_min_ttl=0, address_min_ttl=0)
    assert lives(RECORDS, None, policy=policy) == 0
    assert lives(ADDRESSES, None, policy=policy) == 0


FAILURES = [
    # answer, what is known beside it, seconds after 1, 2, 3, ... failures in a row
    pytest.param(TEMPORARY, {}, [60, 120, 240, 480, 960, 1920, 3600, 3600], id="temporary"),
    pytest.param(
        TEMPORARY, {"valid_before": True}, [60, 120, 240], id="temporary after a valid answer"
    ),
    pytest.param(TEMPORARY, {"ttl": 1}, [60, 120], id="temporary: its cache headers do not count"),
    pytest.param(TEMPORARY, {"wait": 90}, [90, 120, 240], id="Retry-After is a lower bound"),
    pytest.param(TEMPORARY, {"wait": 10}, [60, 120], id="short Retry-After changes nothing"),
    pytest.param(TEMPORARY, {"wait": DAY}, [3600, 3600], id="Retry-After is at most the maximum"),
    pytest.param(TEMPORARY, {"wait": math.inf}, [3600], id="endless Retry-After"),
    pytest.param(TEMPORARY, {"wait": math.nan}, [60], id="Retry-After that is not a number"),
    pytest.param(NO_DNS, {}, [5, 10, 20, 40, 60, 60], id="our own DNS failed"),
    pytest.param(NO_DNS, {"wait": 90, "ttl": 90}, [5, 10], id="our own DNS: nothing else counts"),
    pytest.param(SRV_FAILED, {}, [5, 10, 20, 40, 60, 60], id="SRV lookup failed"),
    pytest.param(SRV_FAILED, {"ttl": 3600}, [5, 10], id="SRV lookup failed: no TTL counts"),
    pytest.param(ADDRESSES_FAILED, {}, [5, 10, 20, 40, 60, 60], id="address lookup failed"),
    pytest.param(DEFINITE, {}, [3600, 3600], id="definite: the maximum at once"),
    pytest.param(DEFINITE, {"wait": 5}, [3600], id="definite: Retry-After does not count"),
    pytest.param(DEFINITE, {"ttl": 600}, [600, 600, 600], id="definite: its own cache headers"),
    pytest.param(DEFINITE, {"ttl": 0}, [60, 60], id="definite: headers of at least 60 s"),
    pytest.param(DEFINITE, {"ttl": DAY}, [3600], id="definite: headers of at most 1 h"),
    pytest.param(DEFINITE, {"ttl": math.nan}, [60], id="definite: headers not a number"),
    pytest.param(
        DEFINITE,
        {"valid_before": True},
        [60, 120, 240, 480, 960, 1920, 3600, 3600],
        id="definite after a valid answer: doubling",
    ),
    pytest.param(
        DEFINITE,
        {"valid_before": True, "ttl": 600},
        [600, 600],
        id="definite after a valid answer, with cache headers",
    ),
]


@pytest.mark.parametrize(("answer", "beside", "seconds"), FAILURES)
def test_failure_is_remembered(answer: Answer, beside: dict, seconds: list[float]) -> None:
    """Failures in a row are remembered for times that double, within the policy's limits."""
    rows = range(1, len(seconds) + 1)
    assert [lives(answer, failures=row, **beside) for row in rows] == seconds


def test_every_kind_of_answer_has_a_row() -> None:
    """No kind of answer is left out of the tables above."""
    kinds = {type(param.values[0]) for param in KINDS}
    with_lifetime = {type(param.values[0]) for param in [*GOOD_ANSWERS, *FAILURES]}
    assert kinds == with_lifetime == set(get_args(Answer))


def test_row_of_failures_of_any_length() -> None:
    """A server that is dead for years is asked once an hour, without an overflow."""
    assert lives(TEMPORARY, failures=10**6) == 3600


JITTERED = [
    # answer, what is known beside it, least, most
    pytest.param(DELEGATED, {}, 0.9 * DAY, 1.1 * DAY, id="document that says nothing"),
    pytest.param(TEMPORARY, {"failures": 1}, 54, 66, id="first failure"),
    pytest.param(TEMPORARY, {"failures": 3}, 216, 264, id="third failure"),
    pytest.param(TEMPORARY, {"failures": 9}, 3240, 3600, id="longest wait, not above the maximum"),
    pytest.param(TEMPORARY, {"wait": 60}, 60, 66, id="not below Retry-After"),
    pytest.param(SRV_FAILED, {"failures": 1}, 4.5, 5.5, id="failed SRV lookup"),
    pytest.param(DEFINITE, {"valid_before": True}, 54, 66, id="definite after a valid answer"),
]


@pytest.mark.parametrize(("answer", "beside", "least", "most"), JITTERED)
def test_lifetime_that_we_choose_is_spread(
    answer: Answer, beside: dict, least: float, most: float
) -> None:
    """Jitter spreads our own choices over a tenth to either side, within the limits."""
    drawn = [lives(answer, **beside, policy=Policy(), seed=seed) for seed in range(200)]
    assert least <= min(drawn) < least + 0.1 * (most - least)
    assert most - 0.1 * (most - least) < max(drawn) <= most


NOT_JITTERED = [
    pytest.param(DELEGATED, HOUR, id="document that says how long"),
    pytest.param(RECORDS, HOUR, id="SRV records"),
    pytest.param(NONE, None, id="no SRV records"),
    pytest.param(ADDRESSES, MINUTE, id="addresses"),
    pytest.param(DEFINITE, 600, id="definite refusal with cache headers"),
]


@pytest.mark.parametrize(("answer", "ttl"), NOT_JITTERED)
def test_lifetime_that_is_stated_is_kept_exactly(answer: Answer, ttl: float | None) -> None:
    """What the source or the policy fixes is not spread."""
    drawn = {lives(answer, ttl, policy=Policy(), seed=seed) for seed in range(50)}
    assert drawn == {lives(answer, ttl)}


@given(
    st.sampled_from([param.values[0] for param in KINDS]),
    st.none() | st.floats(),
    st.integers(1, 2000),
    st.booleans(),
    st.floats(),
    st.integers(0, 9),
)
def test_lifetime_is_always_within_the_limits(
    answer: Answer, ttl: float | None, failures: int, valid_before: bool, wait: float, seed: int
) -> None:
    """Whatever is stated, the lifetime is a finite number of seconds above 0, 48 h at most."""
    found = lives(
        answer,
        ttl,
        failures=failures,
        valid_before=valid_before,
        wait=wait,
        policy=Policy(),
        seed=seed,
    )
    assert 4.5 <= found <= (2 * DAY if is_good(answer) else HOUR)


CLAMPED = [
    # value, what it becomes between 1 and 2
    pytest.param(1.5, 1.5, id="between"),
    pytest.param(0.5, 1, id="below"),
    pytest.param(2.5, 2, id="above"),
    pytest.param(math.inf, 2, id="endless"),
    pytest.param(-math.inf, 1, id="endless below"),
    pytest.param(math.nan, 1, id="not a number"),
]


@pytest.mark.parametrize(("value", "clamped"), CLAMPED)
def test_clamp(value: float, clamped: float) -> None:
    """A value is brought between two others."""
    assert clamp(value, 1, 2) == clamped


OUTCOMES = [
    pytest.param(Delegated(ServerName.parse("a.example"), ""), "found", id="document"),
    pytest.param(NotDelegated("status 404"), "none", id="refusal"),
    pytest.param(NotDelegated("status 503", temporary=True), "failed", id="temporary failure"),
    pytest.param(SrvRecords((SrvRecord(0, 0, 1, "a.example"),)), "found", id="records"),
    pytest.param(NoSrvRecords("none"), "none", id="no records"),
    pytest.param(ServiceNotOffered(), "none", id="not offered"),
    pytest.param(SrvFailed("SERVFAIL"), "failed", id="failed SRV lookup"),
    pytest.param(Addresses((ip_address("192.0.3.1"),)), "found", id="addresses"),
    pytest.param(Addresses((), "a.example"), "none", id="no addresses"),
    pytest.param(AddressesFailed("SERVFAIL"), "failed", id="failed address lookup"),
]


@pytest.mark.parametrize(("answer", "outcome"), OUTCOMES)
def test_answer_in_one_word(answer: Answer, outcome: str) -> None:
    """Something was found, or decidedly nothing, or asking failed."""
    assert outcome_of(answer) == outcome
