"""Cache entries: what is kept of a question through good times and bad."""

import json
import random
from typing import Any

import pytest
from attrs import evolve
from hypothesis import example, given
from hypothesis import strategies as st

from matrix_resolve.core.entries import (
    CacheEntry,
    Given,
    Reserve,
    reconciled,
    remember,
)
from matrix_resolve.core.foreign import is_believable
from matrix_resolve.core.lifetimes import Learned, is_good, is_temporary
from matrix_resolve.core.names import ServerName
from matrix_resolve.core.questions import (
    Addresses,
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

T = 1_800_000_000.0
HOUR = 3600.0
DAY = 24 * HOUR
POLICY = Policy(jitter=0)
WELL_KNOWN, SRV, ADDRESSES = AskWellKnown("a.example"), AskSrv("_x.a.example"), AskAddresses("a")
KEY = WELL_KNOWN.key


def delegated(to: str) -> Delegated:
    """A good answer."""
    return Delegated(ServerName.parse(to), "https://example.org/")


GOOD, OTHER = delegated("hs.example.net"), delegated("other.example.net")
DOWN = NotDelegated("status 503", temporary=True)
NO_DNS = NotDelegated("no addresses", temporary=True, own_trouble=True)
REFUSED = NotDelegated("status 404")
RECORDS = SrvRecords((SrvRecord(0, 0, 8448, "hs.example.net"),))
SRV_FAILED = SrvFailed("SERVFAIL")


def learn(
    previous: CacheEntry | None,
    answer: Answer,
    at: float,
    ttl: float | None = None,
    policy: Policy = POLICY,
    key: str = KEY,
) -> CacheEntry:
    """What is kept once `answer` has come, the question having been asked a second before."""
    return remember(
        key,
        previous,
        Learned(answer, ttl=ttl),
        asked_at=at - 1,
        now=at,
        policy=policy,
        rng=random.Random(0),
    )


def rows(entry: CacheEntry | None, answers: list[Answer], at: float = T) -> list[tuple[int, float]]:
    """Learn each answer the moment the one before ends; return failures and waits."""
    found = []
    for answer in answers:
        entry = learn(entry, answer, at)
        found.append((entry.failures, entry.fresh_until - at))
        at = entry.fresh_until
    return found


def test_good_answer_replaces_everything() -> None:
    """A good answer stands for its lifetime and is held in reserve for `stale_for` after it."""
    entry = learn(learn(learn(None, OTHER, T - 99), DOWN, T - 50), GOOD, T, ttl=HOUR)
    assert entry == CacheEntry(
        key=KEY,
        outcome=GOOD,
        asked_at=T - 1,
        fresh_until=T + HOUR,
        keep_until=T + HOUR + DAY,
        failures=0,
        reserve=None,
    )


def test_good_answer_is_fresh_for_its_lifetime_and_stale_after_it() -> None:
    """Freshness ends exactly with the lifetime; the answer is then given as stale."""
    entry = learn(None, GOOD, T, ttl=HOUR)
    assert entry.is_fresh(T + HOUR - 1)
    assert not entry.is_fresh(T + HOUR)
    assert entry.given(T) == Given(GOOD, stale=False, until=T + HOUR)
    assert entry.given(T + HOUR) == Given(GOOD, stale=True, until=T + HOUR)


def test_answer_of_this_moment_is_not_stale() -> None:
    """An answer that has just come is given as fresh however short its lifetime."""
    entry = learn(None, GOOD, T, ttl=HOUR)
    assert not entry.given(T + HOUR, just_asked=True).stale


def test_first_failure_with_nothing_before() -> None:
    """A failure is given itself, and kept past its end so that doubling goes on."""
    entry = learn(None, DOWN, T)
    assert entry == CacheEntry(
        key=KEY,
        outcome=DOWN,
        asked_at=T - 1,
        fresh_until=T + 60,
        keep_until=T + 60 + HOUR,
        failures=1,
    )
    assert entry.given(T) == Given(DOWN, stale=False, until=T + 60)
    assert entry.given(T + 60) == Given(DOWN, stale=True, until=T + 60)


def test_temporary_failure_before_the_end_of_the_lifetime() -> None:
    """A failed refresh ahead leaves the answer its lifetime; only then is it stale."""
    entry = learn(learn(None, GOOD, T, ttl=HOUR), DOWN, T + HOUR - 10)
    assert not entry.is_fresh(T + HOUR + 50)
    assert entry.given(T + HOUR - 1) == Given(GOOD, False, T + HOUR, "status 503")
    assert entry.given(T + HOUR) == Given(GOOD, True, T + HOUR + 50, "status 503")


def test_temporary_failures_after_the_end_of_the_lifetime() -> None:
    """The old answer is given as stale while asking fails, until `stale_for` has passed."""
    entry = learn(None, GOOD, T, ttl=HOUR)
    at, end = T + HOUR, T + HOUR + DAY
    while at < end:
        entry = learn(entry, DOWN, at)
        until = min(entry.fresh_until, end)
        assert entry.given(at) == Given(GOOD, True, until, "status 503")
        assert entry.reserve == Reserve(
            answer=GOOD, asked_at=T - 1, fresh_until=T + HOUR, stale_until=end
        )
        at = entry.fresh_until
    assert entry.given(end - 1).answer == GOOD
    assert entry.given(end) == Given(DOWN, False, entry.fresh_until)


def test_without_reserve_the_failure_is_given_at_once() -> None:
    """With `stale_for` 0 nothing outlives its lifetime."""
    policy = evolve(POLICY, stale_for=0.0)
    good = learn(None, GOOD, T, HOUR, policy)
    assert good.keep_until == T + HOUR
    entry = learn(good, DOWN, T + HOUR, None, policy)
    assert entry.given(T + HOUR) == Given(DOWN, False, T + HOUR + 60)


def test_definite_refusal_before_the_end_of_the_lifetime() -> None:
    """A refusal found by refresh-ahead leaves the old answer its lifetime, and no reserve."""
    entry = learn(learn(None, GOOD, T, ttl=HOUR), REFUSED, T + HOUR - 10)
    assert entry.given(T + HOUR - 1) == Given(GOOD, False, T + HOUR, "status 404")
    assert entry.given(T + HOUR) == Given(REFUSED, False, T + HOUR + 50)


def test_definite_refusal_after_the_end_of_the_lifetime() -> None:
    """A refusal found after the lifetime replaces the old answer."""
    entry = learn(learn(None, GOOD, T, ttl=HOUR), REFUSED, T + HOUR)
    assert entry.given(T + HOUR) == Given(REFUSED, False, T + HOUR + 60)


def test_trouble_after_a_definite_refusal_does_not_bring_the_old_answer_back() -> None:
    """Once refused, an answer past its lifetime stays gone while the server is in trouble."""
    refused = learn(learn(None, GOOD, T, ttl=HOUR), REFUSED, T + HOUR)
    entry = learn(refused, DOWN, T + HOUR + 60)
    assert entry.given(T + HOUR + 60) == Given(DOWN, False, T + HOUR + 120)


def test_definite_refusal_ends_the_reserve_that_trouble_had_kept() -> None:
    """A server that comes back to say no is believed."""
    stale = learn(learn(None, GOOD, T, ttl=HOUR), DOWN, T + HOUR)
    entry = learn(stale, REFUSED, T + HOUR + 60)
    assert entry.given(T + HOUR + 60).answer == REFUSED


@pytest.mark.parametrize("trouble", [DOWN, NO_DNS, REFUSED], ids=lambda answer: answer.reason)
def test_recovery(trouble: NotDelegated) -> None:
    """A good answer after trouble is as good as one without, and the row begins anew."""
    troubled = learn(
        learn(learn(None, GOOD, T, ttl=HOUR), trouble, T + HOUR), trouble, T + 2 * HOUR
    )
    entry = learn(troubled, OTHER, T + 3 * HOUR, ttl=HOUR)
    assert entry == learn(None, OTHER, T + 3 * HOUR, ttl=HOUR)
    assert rows(entry, [trouble])[0][0] == 1


ROWS = [
    # what was known, outcomes, (failures in a row, seconds to the next question) of each
    pytest.param(
        None,
        [DOWN] * 8,
        zip(range(1, 9), [60, 120, 240, 480, 960, 1920, 3600, 3600], strict=True),
        id="temporary",
    ),
    pytest.param(None, [REFUSED] * 2, [(1, 3600), (2, 3600)], id="definite"),
    pytest.param(
        GOOD, [REFUSED] * 3, [(1, 60), (2, 120), (3, 240)], id="definite after a valid answer"
    ),
    pytest.param(None, [NO_DNS] * 3, [(1, 5), (2, 10), (3, 20)], id="our own DNS"),
    pytest.param(None, [DOWN, DOWN, NO_DNS], [(1, 60), (2, 120), (1, 5)], id="then our own DNS"),
    pytest.param(None, [NO_DNS, NO_DNS, DOWN], [(1, 5), (2, 10), (1, 60)], id="DNS, then theirs"),
    pytest.param(
        GOOD, [DOWN, DOWN, REFUSED], [(1, 60), (2, 120), (1, 60)], id="temporary, then definite"
    ),
    pytest.param(
        GOOD, [REFUSED, REFUSED, DOWN], [(1, 60), (2, 120), (1, 60)], id="definite, then temporary"
    ),
    pytest.param(
        None,
        [NotDelegated("status 500", temporary=True), NotDelegated("time-out", temporary=True)],
        [(1, 60), (2, 120)],
        id="another reason of the same kind",
    ),
    pytest.param(RECORDS, [SRV_FAILED] * 3, [(1, 5), (2, 10), (3, 20)], id="SRV lookups"),
    pytest.param(NoSrvRecords("none"), [SRV_FAILED] * 2, [(1, 5), (2, 10)], id="SRV after none"),
]


@pytest.mark.parametrize(("known", "outcomes", "expected"), ROWS)
def test_row_of_failures(known: Answer | None, outcomes: list[Answer], expected: Any) -> None:
    """Failures of one kind in a row are counted; another kind of trouble begins a new row."""
    entry = None if known is None else learn(None, known, T)
    assert rows(entry, outcomes) == list(expected)


KEPT = [
    # what was known, its TTL, the failure, asked so long after, kept for so long after that
    pytest.param(None, 0, DOWN, 0, 60 + HOUR, id="failure alone: failure_max_ttl past its end"),
    pytest.param(None, 0, REFUSED, 0, 2 * HOUR, id="refusal alone"),
    pytest.param(None, 0, SRV_FAILED, 0, 5 + HOUR, id="failed SRV lookup alone"),
    pytest.param(GOOD, HOUR, DOWN, HOUR, DAY, id="failure with a reserve: to the reserve's end"),
    pytest.param(
        GOOD, HOUR, DOWN, HOUR + DAY - 60, 60 + HOUR, id="failure near the reserve's end: past it"
    ),
    pytest.param(GOOD, 2 * DAY, REFUSED, HOUR, 2 * DAY - HOUR, id="refusal within a long lifetime"),
    pytest.param(GOOD, HOUR, REFUSED, HOUR, 60 + HOUR, id="refusal after the lifetime"),
]


@pytest.mark.parametrize(("known", "ttl", "failure", "after", "kept"), KEPT)
def test_failure_is_kept(
    known: Answer | None, ttl: float, failure: Answer, after: float, kept: float
) -> None:
    """A failure is kept as long as it, its row, or the answer behind it is of use."""
    entry = None if known is None else learn(None, known, T, ttl)
    assert learn(entry, failure, T + after).keep_until == T + after + kept


@pytest.mark.parametrize(
    "answer",
    [GOOD, RECORDS, NoSrvRecords("no records"), ServiceNotOffered()],
    ids=lambda answer: type(answer).__name__,
)
def test_every_good_answer_is_held_in_reserve(answer: Answer) -> None:
    """ "None published" and "not offered" outlive an outage of DNS just as records do."""
    entry = learn(None, answer, T)
    failed = learn(entry, SRV_FAILED, entry.fresh_until)
    assert failed.given(entry.fresh_until + DAY - 1) == Given(
        answer, True, failed.fresh_until, "SERVFAIL"
    )


class Told:
    """What was asked of one question and when, and what may be given of it: no entry in sight."""

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self.last: Answer | None = None  # the last outcome, which stands until `until`
        self.until = 0.0
        self.good: Answer | None = None  # whose lifetime ends at `fresh`, its reserve at `end`
        self.asked = self.fresh = self.end = 0.0

    def hear(self, answer: Answer, asked_at: float, until: float) -> None:
        """Take notice of an outcome and of how long it stands."""
        self.last, self.until = answer, until
        if is_good(answer):
            self.good, self.asked = answer, asked_at
            self.fresh, self.end = until, until + self.policy.stale_for
        elif not is_temporary(answer):
            self.end = min(self.end, self.fresh)

    def expire(self, now: float) -> None:
        """Call what is known past its lifetime; the wait after a temporary failure goes on."""
        self.fresh = min(self.fresh, now)
        if not is_temporary(self.last):
            self.until = min(self.until, now)
            if not is_good(self.last):
                self.end = min(self.end, now)

    def may_give(self, now: float) -> tuple[Answer | None, bool]:
        """What holds at this moment, and whether it is past its lifetime."""
        if self.good is not None and (is_good(self.last) or now < self.end):
            return self.good, now >= self.fresh
        return self.last, now >= self.until


HEARD = st.tuples(
    st.sampled_from([GOOD, OTHER, DOWN, NO_DNS, REFUSED]),
    st.none() | st.sampled_from([0.0, 600.0, HOUR, 3 * DAY]) | st.floats(0, 1e6),
)
LATER = st.sampled_from([0.0, 1.0, 60.0, HOUR, DAY]) | st.floats(0, 2e5)
EVENTS = st.tuples(LATER, HEARD | st.sampled_from(["expire", "carry"]))
POLICIES = st.sampled_from([Policy(), POLICY, Policy(stale_for=0), Policy(well_known_min_ttl=0)])


@given(POLICIES, st.lists(EVENTS, min_size=1, max_size=15), st.lists(LATER, max_size=5))
def test_what_an_entry_may_give_at_each_moment(
    policy: Policy, events: list[tuple[float, Any]], moments: list[float]
) -> None:
    """Through any history an entry gives what was told, no longer than that may be given."""
    told, entry, now = Told(policy), None, T
    for later, event in events:
        now += later
        if isinstance(event, tuple):
            entry = learn(entry, *((event[0], now, event[1])), policy=policy)
            told.hear(event[0], now - 1, entry.fresh_until)
        elif entry is not None and event == "expire":
            entry = entry.expired(now)
            told.expire(now)
        elif entry is not None:
            entry = CacheEntry.from_json(entry.to_json())
        if entry is None:
            continue
        ends = [entry.fresh_until, told.fresh, told.end]
        for moment in (now, *(now + after for after in moments), *(e for e in ends if e > now)):
            given = entry.given(moment)
            assert (given.answer, given.stale) == told.may_give(moment)
            assert given.until <= entry.keep_until
            meanwhile = entry.meanwhile(moment)
            usable = told.good is not None and moment < told.end
            assert meanwhile == (given if usable else None)
            if usable and moment < entry.keep_until:
                assert moment - told.asked - 1 <= 72 * HOUR
        assert (entry.failures == 0) == is_good(entry.outcome)
        assert entry.keep_until >= max(entry.fresh_until, told.end)


ENTRIES = [
    pytest.param(learn(None, GOOD, T), id="good answer"),
    pytest.param(learn(None, RECORDS, T), id="SRV records"),
    pytest.param(learn(None, DOWN, T), id="failure"),
    pytest.param(learn(learn(None, GOOD, T), DOWN, T + DAY), id="failure with a reserve"),
    pytest.param(learn(learn(None, RECORDS, T), SRV_FAILED, T + 30), id="failed SRV lookup"),
]


@pytest.mark.parametrize("entry", ENTRIES)
def test_entry_survives_json(entry: CacheEntry) -> None:
    """Another process reads what was written, as bytes or text, and gives the same answers."""
    data = entry.to_json()
    assert json.loads(data)["version"] == 1
    for read in (CacheEntry.from_json(data), CacheEntry.from_json(data.decode())):
        assert read == entry
        for now in (T, T + HOUR, T + DAY, T + 2 * DAY, T + 9 * DAY):
            for just_asked in (False, True):
                given = entry.given(now, just_asked=just_asked)
                assert read.given(now, just_asked=just_asked) == given


@given(
    st.sampled_from([GOOD, RECORDS, ServiceNotOffered(), DOWN, SRV_FAILED]),
    st.sampled_from([GOOD, RECORDS, NoSrvRecords("none")]),
    st.lists(st.floats(0, 1e11), min_size=6, max_size=6),
    st.integers(0, 10**6),
    st.text(),
)
def test_every_entry_survives_json(
    outcome: Answer, good: Answer, times: list[float], failures: int, text: str
) -> None:
    """Times to the last bit, any reason, any mixture of answers."""
    outcome = SrvFailed(text) if failures % 2 else outcome
    reserve = Reserve(answer=good, asked_at=times[3], fresh_until=times[4], stale_until=times[5])
    entry = CacheEntry(
        key=text,
        outcome=outcome,
        asked_at=times[0],
        fresh_until=times[1],
        keep_until=times[2],
        failures=failures,
        reserve=None if is_good(outcome) else reserve,
    )
    assert CacheEntry.from_json(entry.to_json()) == entry


def test_entry_holds_any_second_that_a_calendar_knows() -> None:
    """Times from 1970 to the end of the year 9999 are carried."""
    ends = CacheEntry(
        key=KEY, outcome=GOOD, asked_at=0, fresh_until=253402300799, keep_until=253402300799
    )
    assert CacheEntry.from_json(ends.to_json()) == ends


FORM: dict[str, Any] = json.loads(learn(learn(None, GOOD, T), DOWN, T + DAY).to_json())


def spoilt(**fields: Any) -> bytes:
    """A written entry in which these fields are others."""
    return json.dumps({**FORM, **fields}).encode()


def spoilt_reserve(**fields: Any) -> bytes:
    """A written entry in whose reserve these fields are others."""
    return spoilt(reserve={**FORM["reserve"], **fields})


def lacking(field: str) -> bytes:
    """A written entry in which this field is missing."""
    return json.dumps({key: value for key, value in FORM.items() if key != field}).encode()


BAD_DATA = [
    pytest.param(b"", id="nothing"),
    pytest.param(b"\xff\xfe", id="no UTF-8"),
    pytest.param(b"\x80\x04\x95", id="a pickle"),
    pytest.param(b"{", id="cut short"),
    pytest.param(b"null", id="null"),
    pytest.param(b"[]", id="array"),
    pytest.param(b"{}", id="empty object"),
    pytest.param(b"1" * 5000, id="5,000-digit integer"),
    pytest.param("\ud800", id="lone surrogate"),
    pytest.param(b"[" * 200_000, id="deep nesting"),
    pytest.param(b'{"version":' * 100_000, id="deep nesting of objects"),
    pytest.param(spoilt(version=2), id="later version"),
    pytest.param(spoilt(version=0), id="earlier version"),
    pytest.param(spoilt(version="1"), id="version as text"),
    pytest.param(spoilt(version=None), id="version null"),
    pytest.param(spoilt(asked_at="1"), id="time as text"),
    pytest.param(spoilt(fresh_until=None), id="time null"),
    pytest.param(spoilt(keep_until=True), id="time boolean"),
    pytest.param(spoilt_reserve(fresh_until=float("nan")), id="time NaN"),
    pytest.param(spoilt_reserve(stale_until=float("inf")), id="time without end"),
    pytest.param(spoilt_reserve(stale_until=10**400), id="time too large to hold"),
    pytest.param(spoilt(fresh_until=253402300800), id="time after the year 9999"),
    pytest.param(spoilt(asked_at=-1), id="time before 1970"),
    pytest.param(spoilt(failures=-1), id="negative failures"),
    pytest.param(spoilt(failures=1.0), id="failures with a fraction"),
    pytest.param(spoilt(failures=True), id="failures boolean"),
    pytest.param(spoilt(failures=None), id="failures null"),
    pytest.param(spoilt(outcome=None), id="outcome null"),
    pytest.param(spoilt(outcome={"kind": "other"}), id="outcome of unknown kind"),
    pytest.param(spoilt(outcome={**FORM["outcome"], "temporary": 1}), id="outcome misshapen"),
    pytest.param(spoilt(key=None), id="key null"),
    pytest.param(spoilt(reserve=False), id="reserve boolean"),
    pytest.param(spoilt(reserve={}), id="reserve empty"),
    pytest.param(spoilt_reserve(answer=FORM["outcome"]), id="reserve that is a failure"),
    pytest.param(
        spoilt_reserve(answer={**FORM["reserve"]["answer"], "to": "a b"}),
        id="delegated to a bad name",
    ),
    pytest.param(spoilt(outcome=FORM["reserve"]["answer"]), id="a reserve behind a good answer"),
    *(pytest.param(lacking(field), id=f"no {field}") for field in FORM),
]


@pytest.mark.parametrize("data", BAD_DATA)
def test_what_is_no_entry_is_refused(data: bytes | str) -> None:
    """Anything that `to_json` did not write is a `CacheError`, and asking again won't help."""
    with pytest.raises(CacheError) as caught:
        CacheEntry.from_json(data)
    assert caught.value.temporary is False


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=6,
)
SPOILT = st.builds(
    lambda field, value: spoilt(**{field: value}), st.sampled_from(sorted(FORM)), JSON_VALUES
)


@given(st.binary() | st.text() | SPOILT | JSON_VALUES.map(json.dumps))
@example(spoilt(asked_at=-(10**400)))
@example(b'{"version": 1, "asked_at": 1' + b"0" * 4000 + b"}")
def test_reading_raises_nothing_but_its_error(data: bytes | str) -> None:
    """Whatever a cache holds, it is an entry or a `CacheError`."""
    try:
        entry = CacheEntry.from_json(data)
    except CacheError:
        return
    assert CacheEntry.from_json(entry.to_json()) == entry


RESERVE = learn(None, RECORDS, T, key=SRV.key).good
FAILED = learn(None, SRV_FAILED, T, key=SRV.key)
KNOWN = learn(None, RECORDS, T, key=SRV.key)
BELONGS = [
    # question, what a cache gave, is that an entry for the question
    pytest.param(WELL_KNOWN, learn(None, GOOD, T), True, id="document"),
    pytest.param(WELL_KNOWN, learn(learn(None, GOOD, T), DOWN, T), True, id="failure, reserve"),
    pytest.param(SRV, KNOWN, True, id="records"),
    pytest.param(SRV, evolve(FAILED, reserve=RESERVE), True, id="failed lookup, reserve"),
    pytest.param(SRV, evolve(KNOWN, outcome=ServiceNotOffered()), True, id="not offered"),
    pytest.param(ADDRESSES, learn(None, Addresses(()), T, key=ADDRESSES.key), True, id="addresses"),
    pytest.param(AskWellKnown("b.example"), learn(None, GOOD, T), False, id="another's key"),
    pytest.param(WELL_KNOWN, learn(None, RECORDS, T), False, id="records for a document"),
    pytest.param(SRV, evolve(KNOWN, outcome=GOOD), False, id="document for records"),
    pytest.param(
        SRV, evolve(FAILED, reserve=evolve(RESERVE, answer=GOOD)), False, id="other reserve"
    ),
    pytest.param(
        SRV, evolve(FAILED, reserve=evolve(RESERVE, answer=SRV_FAILED)), False, id="bad reserve"
    ),
    pytest.param(SRV, evolve(KNOWN, reserve=RESERVE), False, id="a reserve behind a good answer"),
    pytest.param(
        SRV,
        evolve(FAILED, reserve=evolve(RESERVE, stale_until=1e15)),
        False,
        id="no such time in reserve",
    ),
    pytest.param(SRV, evolve(KNOWN, outcome=None), False, id="no answer"),
    pytest.param(SRV, evolve(KNOWN, fresh_until=1e15), False, id="no such time"),
    pytest.param(SRV, evolve(KNOWN, asked_at=-1), False, id="before 1970"),
    pytest.param(SRV, evolve(KNOWN, keep_until=float("nan")), False, id="NaN"),
    pytest.param(SRV, evolve(KNOWN, keep_until="1"), False, id="a time as text"),
    pytest.param(SRV, evolve(KNOWN, keep_until=True), False, id="a time that is a boolean"),
    pytest.param(SRV, b"{}", False, id="bytes"),
    pytest.param(SRV, RECORDS, False, id="an answer alone"),
]


@pytest.mark.parametrize(("question", "entry", "belongs"), BELONGS)
def test_entry_belongs_to_its_question(question: Question, entry: object, belongs: bool) -> None:
    """What a cache gives is believed only if it is an entry that can be one for the question."""
    assert is_believable(question, entry, T) is belongs


def test_clocks_may_differ_a_little() -> None:
    """What was asked minutes in the future is believed; later than that a clock was wrong."""
    entry = learn(None, GOOD, T + 1)
    assert is_believable(WELL_KNOWN, entry, T - 299)
    assert not is_believable(WELL_KNOWN, entry, T - 301)
    assert not is_believable(SRV, entry, T)
    assert not is_believable(SRV, None, T)


# Its state now


SETTLED = [
    # the entry, the part of a lifetime that counts as its end, settled so many seconds after T
    pytest.param(learn(None, GOOD, T + 1, ttl=HOUR), 0.0, 1 + HOUR, id="no refresh ahead"),
    pytest.param(learn(None, GOOD, T + 1, ttl=HOUR - 1), 0.25, 0.75 * HOUR, id="last quarter"),
    pytest.param(learn(None, GOOD, T, ttl=0), 0.2, 300 - 0.2 * 301, id="least lifetime"),
    pytest.param(learn(None, DOWN, T), 0.2, 60, id="a failure waits to the end"),
    pytest.param(learn(None, REFUSED, T), 0.2, HOUR, id="a refusal too"),
    pytest.param(learn(learn(None, GOOD, T), DOWN, T + HOUR), 0.2, HOUR + 60, id="failed ahead"),
    pytest.param(
        evolve(learn(None, GOOD, T, ttl=HOUR), asked_at=T + 9 * DAY),
        0.2,
        HOUR,
        id="asked after its end, by a clock that was wrong",
    ),
]


@pytest.mark.parametrize(("entry", "refresh_ahead", "settled"), SETTLED)
def test_nothing_is_asked_before(entry: CacheEntry, refresh_ahead: float, settled: float) -> None:
    """A good answer is asked again in the last part of its lifetime; failures have no such part."""
    assert entry.settled_until(refresh_ahead) == pytest.approx(T + settled, abs=1e-3)


def test_what_is_given_while_it_is_asked_again() -> None:
    """The good answer, fresh and then stale, to the end of the reserve; without one nothing."""
    good = learn(None, GOOD, T, ttl=HOUR)
    assert good.meanwhile(T + HOUR - 1) == Given(GOOD, False, T + HOUR)
    assert good.meanwhile(T + HOUR) == Given(GOOD, True, T + HOUR)
    assert good.meanwhile(T + HOUR + DAY) is None
    failed = learn(good, DOWN, T + HOUR - 1)
    assert failed.meanwhile(T + HOUR - 1) == Given(GOOD, False, T + HOUR, "status 503")
    assert failed.meanwhile(T + HOUR + DAY) is None
    assert learn(None, DOWN, T).meanwhile(T) is None
    assert learn(None, REFUSED, T).meanwhile(T) is None
    refused = learn(good, REFUSED, T + HOUR)
    assert refused.meanwhile(T + HOUR) is None


def test_expired_answer_is_asked_again_and_stays_in_reserve() -> None:
    """Its lifetime ends now, not the reserve."""
    entry = learn(None, GOOD, T, ttl=HOUR).expired(T + 60)
    assert not entry.is_fresh(T + 60)
    assert entry.meanwhile(T + 60) == Given(GOOD, True, T + 60)
    assert entry.keep_until == T + HOUR + DAY
    later = T + 2 * HOUR
    assert entry.expired(later) == entry


def test_expired_refusal_is_asked_again_and_brings_nothing_back() -> None:
    """A refusal that was to be believed for an hour is not, and what it refused stays gone."""
    entry = learn(learn(None, GOOD, T, ttl=HOUR), REFUSED, T + HOUR - 600).expired(T + HOUR - 590)
    assert not entry.is_fresh(T + HOUR - 590)
    assert entry.meanwhile(T + HOUR - 590) is None


@pytest.mark.parametrize("outcomes", [[GOOD], [DOWN], [REFUSED], [GOOD, DOWN], [GOOD, REFUSED]])
def test_what_is_due_is_asked_now(outcomes: list[Answer]) -> None:
    """Whatever the outcome, it is asked now; in reserve is what stays of an expired one."""
    entry = None
    for outcome in outcomes:
        entry = learn(entry, outcome, T, ttl=HOUR)
    assert entry is not None
    due, expired = entry.due(T + 10), entry.expired(T + 10)
    assert not due.is_fresh(T + 10)
    assert due.settled_until(POLICY.refresh_ahead) <= T + 10
    assert due == evolve(expired, fresh_until=due.fresh_until)
    later = entry.keep_until
    assert entry.due(later).fresh_until == entry.fresh_until


def test_a_failures_wait_goes_on_when_it_is_expired() -> None:
    """Backoff holds whoever finds the server dead; only the reserve is past its lifetime."""
    failed = learn(learn(None, GOOD, T, ttl=HOUR), DOWN, T + HOUR - 600)
    entry = failed.expired(T + HOUR - 590)
    assert entry.fresh_until == failed.fresh_until
    assert entry.given(T + HOUR - 590) == Given(GOOD, True, failed.fresh_until, "status 503")


# Many that write


def at(when: float, answer: Answer, previous: CacheEntry | None = None) -> CacheEntry:
    """What one process has learned that asked so many seconds after T and waited a second."""
    return learn(previous, answer, T + when + 1)


RECONCILED = [
    # what is kept, what comes, which of the two stays
    pytest.param(None, at(0, GOOD), "new", id="nothing kept"),
    pytest.param(at(0, GOOD), at(5, OTHER), "new", id="good answer asked later"),
    pytest.param(at(5, GOOD), at(0, OTHER), "kept", id="good answer asked earlier"),
    pytest.param(at(5, GOOD), at(5, OTHER), "new", id="asked at the same moment: the last to come"),
    pytest.param(at(5, GOOD), at(0, DOWN), "kept", id="failure asked earlier"),
    pytest.param(at(5, GOOD), at(0, REFUSED), "kept", id="refusal asked earlier"),
    pytest.param(at(5, DOWN), at(0, GOOD), "new", id="good answer after a failure"),
    pytest.param(at(5, DOWN, at(0, GOOD)), at(-5, OTHER), "kept", id="older than the reserve"),
    pytest.param(at(5, DOWN), at(0, DOWN), "kept", id="failure asked before a failure"),
    pytest.param(at(0, DOWN), at(5, DOWN), "new", id="failure asked after a failure"),
    pytest.param(
        at(0, GOOD), at(5, DOWN, at(0, GOOD)), "new", id="failure that knows the good answer"
    ),
    pytest.param(at(0, GOOD), at(5, DOWN, at(2, OTHER)), "new", id="failure with a better reserve"),
]


@pytest.mark.parametrize(("kept", "new", "stays"), RECONCILED)
def test_of_two_entries_one_stays(kept: CacheEntry | None, new: CacheEntry, stays: str) -> None:
    """Neither a failure nor an answer asked earlier replaces a good answer asked later."""
    assert reconciled(kept, new) is {"kept": kept, "new": new}[stays]


def test_failure_of_one_who_had_not_heard_of_the_good_answer() -> None:
    """A failure asked later stands, with the other process's good answer in reserve."""
    entry = reconciled(at(0, GOOD), at(5, DOWN))
    assert (entry.outcome, entry.reserve, entry.failures) == (DOWN, at(0, GOOD).good, 1)
    assert entry.given(T + DAY + 60) == Given(GOOD, True, entry.fresh_until, "status 503")
    assert entry.keep_until == at(0, GOOD).keep_until


def test_refusal_of_one_who_had_not_heard_of_the_good_answer() -> None:
    """A definite refusal leaves the other process's answer its lifetime, and no reserve."""
    entry = reconciled(at(0, GOOD), at(5, REFUSED))
    assert entry.given(T + HOUR).answer == GOOD
    assert entry.reserve is not None
    assert entry.given(entry.reserve.fresh_until).answer == REFUSED


@given(
    st.lists(
        st.tuples(st.integers(-50, 50), st.sampled_from([GOOD, OTHER, DOWN, NO_DNS, REFUSED])),
        min_size=1,
        max_size=6,
        unique_by=lambda asked: asked[0],
    )
)
def test_good_answer_asked_last_is_never_lost(asked: list[tuple[int, Answer]]) -> None:
    """In whatever order processes write: the good answer that was asked last is there."""
    kept = None
    for when, answer in asked:
        kept = reconciled(kept, at(when, answer))
    good = [one for one in asked if is_good(one[1])]
    if good:
        when, answer = max(good, key=lambda one: one[0])
        assert (kept.good.answer, kept.good.asked_at) == (answer, T + when)
    else:
        assert kept.good is None
