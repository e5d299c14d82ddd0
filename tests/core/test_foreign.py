"""The door for entries that come out of a cache."""

import json
import random
from typing import Any

import pytest
from attrs import evolve
from hypothesis import example, given
from hypothesis import strategies as st

from matrix_resolve.core.entries import CacheEntry, Reserve, remember
from matrix_resolve.core.foreign import believed
from matrix_resolve.core.lifetimes import Learned, is_good, lifetime, longest
from matrix_resolve.core.names import ServerName
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
from matrix_resolve.core.replies import SrvRecord
from matrix_resolve.errors import CacheError
from matrix_resolve.policy import Policy

T = 1_795_665_600.0
MINUTE, HOUR, DAY = 60.0, 3600.0, 86400.0
YEAR_9999 = 253402300799.0
POLICY = Policy()
WELL_KNOWN = AskWellKnown("example.org")
SRV = AskSrv("_matrix-fed._tcp.example.org")
ADDRESSES = AskAddresses("example.org")
GOOD = Delegated(ServerName.parse("hs.example.net"), "https://example.org/")
DOWN = NotDelegated("down", temporary=True)
NO_DNS = NotDelegated("no DNS", temporary=True, own_trouble=True)
REFUSED = NotDelegated("status 404")
RECORD = SrvRecord(1, 2, 8448, "hs.example.net")
RECORDS = SrvRecords((RECORD,))

LONGEST = [
    # question, outcome, the most that it lasts, and is kept behind that
    pytest.param(WELL_KNOWN, GOOD, 48 * HOUR, 24 * HOUR, id="delegated"),
    pytest.param(WELL_KNOWN, DOWN, HOUR, HOUR, id="temporary failure"),
    pytest.param(WELL_KNOWN, NO_DNS, MINUTE, HOUR, id="own trouble"),
    pytest.param(WELL_KNOWN, REFUSED, HOUR, HOUR, id="definite failure"),
    pytest.param(SRV, RECORDS, 24 * HOUR, 24 * HOUR, id="records"),
    pytest.param(SRV, NoSrvRecords("none"), 3 * HOUR, 24 * HOUR, id="no records"),
    pytest.param(SRV, ServiceNotOffered(), 24 * HOUR, 24 * HOUR, id="not offered"),
    pytest.param(SRV, SrvFailed("SERVFAIL"), MINUTE, HOUR, id="failed lookup"),
    pytest.param(ADDRESSES, Addresses(()), HOUR, 24 * HOUR, id="addresses"),
    pytest.param(ADDRESSES, AddressesFailed("no"), MINUTE, HOUR, id="failed address lookup"),
]


def entry(question: Question, outcome: Any, **fields: Any) -> CacheEntry:
    """An entry that says it lasts until the year 9999."""
    times = {"asked_at": T, "fresh_until": YEAR_9999, "keep_until": YEAR_9999}
    return CacheEntry(key=question.key, outcome=outcome, **(times | fields))


@pytest.mark.parametrize(("question", "outcome", "fresh", "behind"), LONGEST)
def test_nothing_lasts_longer_than_the_policy_allows(
    question: Question, outcome: Answer, fresh: float, behind: float
) -> None:
    """An entry that is fresh until the year 9999 lasts as one of ours could, from its asking on."""
    for asked_at in (T - DAY, T, T + 299):
        found = believed(question, entry(question, outcome, asked_at=asked_at), T, POLICY)
        assert found == entry(
            question,
            outcome,
            asked_at=asked_at,
            fresh_until=asked_at + fresh,
            keep_until=asked_at + fresh + behind,
        )


@pytest.mark.parametrize(("question", "outcome", "fresh", "behind"), LONGEST)
def test_what_lasts_no_longer_is_left_alone(
    question: Question, outcome: Answer, fresh: float, behind: float
) -> None:
    """An entry of our own is believed as it is; one that is shorter stays so."""
    for less in (0.0, 1.0, fresh):
        until = T + fresh - less
        ours = entry(question, outcome, fresh_until=until, keep_until=until + behind)
        assert believed(question, ours, T, POLICY) is ours


def test_every_policy_has_its_own_most() -> None:
    """The caps are those of the policy at hand."""
    policy = Policy(well_known_max_ttl=10 * DAY, stale_for=0)
    found = believed(WELL_KNOWN, entry(WELL_KNOWN, GOOD), T, policy)
    assert found is not None
    assert (found.fresh_until, found.keep_until) == (T + 10 * DAY, T + 10 * DAY)


def test_a_reserve_lasts_as_long_as_the_answer_could() -> None:
    """Behind a failure too, a good answer ends by the policy, and the entry with it."""
    reserve = Reserve(answer=GOOD, asked_at=T - DAY, fresh_until=YEAR_9999, stale_until=YEAR_9999)
    found = believed(WELL_KNOWN, entry(WELL_KNOWN, DOWN, reserve=reserve), T, POLICY)
    assert found is not None
    assert found.reserve == evolve(reserve, fresh_until=T + DAY, stale_until=T + 2 * DAY)
    assert (found.fresh_until, found.keep_until) == (T + HOUR, T + 2 * DAY)
    old = evolve(reserve, asked_at=T - 9 * DAY)
    found = believed(WELL_KNOWN, entry(WELL_KNOWN, DOWN, reserve=old), T, POLICY)
    assert found is not None
    assert found.keep_until == T + 2 * HOUR
    assert found.meanwhile(T) is None


def test_an_answer_that_was_expired_keeps_its_reserve() -> None:
    """What is past its lifetime by a report is not cut short by that."""
    ours = remember(
        WELL_KNOWN.key,
        None,
        Learned(GOOD, ttl=48 * HOUR),
        asked_at=T,
        now=T,
        policy=POLICY,
        rng=random.Random(1),
    )
    for known in (ours, ours.expired(T + 1)):
        failed = remember(
            WELL_KNOWN.key,
            known,
            Learned(DOWN),
            asked_at=T + 1,
            now=T + 1,
            policy=POLICY,
            rng=random.Random(1),
        )
        for each in (known, failed, failed.expired(T + 2)):
            assert believed(WELL_KNOWN, each, T + 2, POLICY) is each


def many(count: int) -> tuple[SrvRecord, ...]:
    """So many records, the worst first."""
    return tuple(SrvRecord(65535 - n, 0, 8448, f"h{n}.example") for n in range(count))


def test_of_very_many_records_the_best_are_kept() -> None:
    """3,000 records, as an outcome and in reserve, are cut to the 64 of the lowest priorities."""
    best = SrvRecords(tuple(reversed(many(3000)[-64:])))
    foreign = entry(SRV, SrvRecords(many(3000)))
    reserve = Reserve(answer=foreign.outcome, asked_at=T, fresh_until=T, stale_until=T + 1)
    behind = entry(SRV, SrvFailed("no"), reserve=reserve)
    for each in (foreign, CacheEntry.from_json(foreign.to_json())):
        found = believed(SRV, each, T, POLICY)
        assert found is not None
        assert found.outcome == best
    for each in (behind, CacheEntry.from_json(behind.to_json())):
        found = believed(SRV, each, T, POLICY)
        assert found is not None
        assert found.reserve is not None
        assert found.reserve.answer == best


def test_records_that_can_not_be_used_are_passed_over() -> None:
    """As in a reply: a port that is a boolean, or 0, a target that is no host name."""
    bad = [(1, 2, True, "a.example"), (True, 2, 1, "a.example"), (1, 2, 0, "a.example")]
    bad += [(1, 2, 3, "a b"), (1, 2, 3.0, "a.example"), (1, 2, 3, None), (1, "2", 3, "a.example")]
    bad += [(1, 2, 10**4300, "a.example"), (-1, 2, 3, "a.example"), (1, 2, 3, "\x1b[2J")]
    records = tuple(SrvRecord(*fields) for fields in bad)
    found = believed(SRV, entry(SRV, SrvRecords((*records, RECORD))), T, POLICY)
    assert found is not None
    assert found.outcome == RECORDS
    for each in records:
        assert believed(SRV, entry(SRV, SrvRecords((each,))), T, POLICY) is None


NOT_BELIEVED = [
    # question, what a cache gave
    pytest.param(SRV, None, id="nothing"),
    pytest.param(SRV, b"{}", id="bytes"),
    pytest.param(SRV, entry(WELL_KNOWN, GOOD), id="another question's"),
    pytest.param(SRV, entry(SRV, RECORDS, asked_at=T + 301), id="asked in the future"),
    pytest.param(SRV, entry(SRV, RECORDS, asked_at=YEAR_9999), id="asked in the year 9999"),
    pytest.param(SRV, entry(SRV, RECORDS, fresh_until=float("nan")), id="not a number"),
    pytest.param(SRV, entry(SRV, RECORDS, keep_until=float("inf")), id="without end"),
    pytest.param(SRV, entry(SRV, RECORDS, asked_at=True), id="a time that is a boolean"),
    pytest.param(SRV, entry(SRV, RECORDS, keep_until=10**4299), id="a time of 4,300 digits"),
    pytest.param(SRV, entry(SRV, RECORDS, failures=10**4299), id="failures of 4,300 digits"),
    pytest.param(SRV, entry(SRV, RECORDS, failures=-1), id="failures below 0"),
    pytest.param(SRV, entry(SRV, RECORDS, failures=True), id="failures a boolean"),
    pytest.param(SRV, entry(SRV, RECORDS, failures=1.0), id="failures a float"),
    pytest.param(SRV, entry(SRV, RECORDS, failures="1"), id="failures a text"),
    pytest.param(SRV, entry(SRV, SrvRecords(())), id="no records at all"),
    pytest.param(SRV, entry(SRV, SrvRecords(None)), id="records None"),
    pytest.param(SRV, entry(SRV, SrvRecords([RECORD])), id="records a list"),
    pytest.param(SRV, entry(SRV, SrvRecords(("a",))), id="records texts"),
    pytest.param(SRV, entry(SRV, SrvRecords((SrvRecord(0, 0, 0, "."),))), id="target a dot"),
    pytest.param(SRV, entry(SRV, SrvFailed("no"), reserve=RECORDS), id="reserve an answer"),
    pytest.param(WELL_KNOWN, entry(WELL_KNOWN, Delegated("a", "")), id="delegated to a text"),
    pytest.param(
        SRV,
        entry(
            SRV,
            SrvFailed("no"),
            reserve=Reserve(answer=RECORDS, asked_at=T + 301, fresh_until=T, stale_until=T),
        ),
        id="reserve asked in the future",
    ),
    pytest.param(
        SRV,
        entry(
            SRV,
            SrvFailed("no"),
            reserve=Reserve(answer=SrvRecords(()), asked_at=T, fresh_until=T, stale_until=T),
        ),
        id="reserve without records",
    ),
]


@pytest.mark.parametrize(("question", "foreign"), NOT_BELIEVED)
def test_what_is_not_believed(question: Question, foreign: Any) -> None:
    """What can't be an entry of the question is none, whatever it is; it is no error either."""
    assert believed(question, foreign, T, POLICY) is None


FORM: dict[str, Any] = json.loads(
    entry(SRV, RECORDS, fresh_until=T + 1, keep_until=T + 2).to_json()
)


def written(**fields: Any) -> bytes:
    """A written entry in which these fields are others."""
    return json.dumps({**FORM, **fields}).encode()


HUGE = b"1" + b"0" * 4299
REFUSED_TEXTS = [
    pytest.param(
        written(failures=0).replace(b'"failures": 0', b'"failures": ' + HUGE), id="digits"
    ),
    pytest.param(written(failures=10**9 + 1), id="failures beyond all sense"),
    pytest.param(written(asked_at=0).replace(b": 0,", b": " + HUGE + b",", 1), id="huge time"),
    pytest.param(
        written(outcome={"kind": "srv_records", "records": [[1, 2, True, "a.example"]]}), id="port"
    ),
    pytest.param(
        written(outcome={"kind": "srv_failed", "reason": "x" * (1 << 18)}), id="a long text"
    ),
    pytest.param(b" " * (1 << 18) + written(), id="long by spaces"),
    pytest.param(
        written(outcome={"kind": "srv_failed", "reason": [[[["x"]]]]}), id="a nested reason"
    ),
]


@pytest.mark.parametrize("data", REFUSED_TEXTS)
def test_what_is_refused_when_it_is_read(data: bytes) -> None:
    """What no entry of ours holds is a `CacheError`."""
    with pytest.raises(CacheError) as caught:
        CacheEntry.from_json(data)
    assert len(caught.value.reason) <= 400


def test_texts_are_made_showable_when_they_are_read() -> None:
    """Escape sequences in a cache reach no terminal."""
    outcome = {"kind": "not_delegated", "reason": "\x1b[2J\x00\ud800" + "x" * 999, "url": "\x1b]0;"}
    data = written(outcome={**outcome, "temporary": True, "own_trouble": False})
    read = CacheEntry.from_json(data).outcome
    assert isinstance(read, NotDelegated)
    assert read.reason.startswith(r"\x1b[2J\x00\ud800xxx")
    assert len(read.reason) == 400
    assert read.url == r"\x1b]0;"


def test_the_largest_entry_of_ours_can_be_read() -> None:
    """Twice 64 records with the longest names are far from the bound."""
    label = "a" * 63
    host = f"{label}.{label}.{label}.{'a' * 61}"
    records = SrvRecords(tuple(SrvRecord(65535, 65535, 65535, host) for _ in range(64)))
    reserve = Reserve(answer=records, asked_at=T, fresh_until=T, stale_until=T)
    largest = entry(SRV, SrvFailed("\\" * 9999), reserve=reserve)
    assert CacheEntry.from_json(largest.to_json()) == largest


TIMES = st.sampled_from([0, T - 1, T, T + 300, YEAR_9999, True, "1", None, 10**400, float("nan")])
TIMES |= st.floats(0, YEAR_9999)
OUTCOMES = st.sampled_from(
    [None, GOOD, DOWN, NO_DNS, REFUSED, RECORDS, NoSrvRecords("none"), SrvFailed("no"), "x"]
)
OUTCOMES |= st.sampled_from(
    [SrvRecords(many(100)), SrvRecords((SrvRecord(1, 2, True, "a.example"), RECORD))]
)
ENTRIES = st.builds(
    CacheEntry,
    key=st.sampled_from([WELL_KNOWN.key, SRV.key, "", None]),
    outcome=OUTCOMES,
    asked_at=TIMES,
    fresh_until=TIMES,
    keep_until=TIMES,
    failures=st.sampled_from([0, 1, 10**9, 10**400, True, None]),
    reserve=st.none()
    | st.builds(Reserve, answer=OUTCOMES, asked_at=TIMES, fresh_until=TIMES, stale_until=TIMES),
)


@given(st.sampled_from([WELL_KNOWN, SRV]), ENTRIES)
@example(SRV, entry(SRV, RECORDS))
def test_what_is_believed_lasts_by_the_policy(question: Question, foreign: CacheEntry) -> None:
    """Of any entry nothing or a clean one comes through, and a clean one as it is."""
    found = believed(question, foreign, T, POLICY)
    if found is None:
        return
    most = 72 * HOUR
    assert found.fresh_until <= found.asked_at + 48 * HOUR
    assert found.keep_until <= T + 300 + most
    assert found.good is None or found.good.stale_until <= found.good.asked_at + most
    assert believed(question, found, T, POLICY) is found
    assert CacheEntry.from_json(found.to_json()) == found


ANSWERS = [row.values[1] for row in LONGEST]


@given(
    st.sampled_from(ANSWERS),
    st.none() | st.floats(0, 1e9),
    st.floats(0, 1e9),
    st.integers(1, 100),
    st.booleans(),
    st.integers(),
)
def test_longest_is_never_exceeded(
    answer: Answer,
    ttl: float | None,
    retry_after: float,
    failures: int,
    valid_before: bool,
    seed: int,
) -> None:
    """Whatever its source says, no answer lives longer than is said of its kind."""
    for policy in (POLICY, Policy(jitter=0.9), Policy(srv_min_ttl=DAY), Policy(address_max_ttl=5)):
        lives = lifetime(
            Learned(answer, ttl, retry_after),
            failures=failures,
            valid_before=valid_before and not is_good(answer),
            policy=policy,
            rng=random.Random(seed),
        )
        assert lives <= longest(answer, policy)


def test_an_answer_of_a_class_of_others_is_none() -> None:
    """What has more to it than our answers can't be kept as one of them."""

    class Further(NoSrvRecords):
        """An answer of somebody's."""

    assert believed(SRV, entry(SRV, NoSrvRecords("none")), T, POLICY) is not None
    assert believed(SRV, entry(SRV, Further("none")), T, POLICY) is None
