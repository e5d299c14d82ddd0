"""The story of a resolution: each step, in order, and why it was passed over or taken."""

from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address
from typing import get_args

import pytest
from attrs import evolve

from matrix_resolve.core.names import ServerName
from matrix_resolve.core.procedure import Decision, decide
from matrix_resolve.core.questions import (
    Addresses,
    AddressesFailed,
    Answer,
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
from matrix_resolve.core.resolution import Resolution, Step
from matrix_resolve.core.story import StepTold, TrailEntry, circumstances, describe, lasting, story

URL = "https://example.org/.well-known/matrix/server"


def delegates(to: str) -> Delegated:
    """The answer of a well-known document with this `m.server`."""
    return Delegated(ServerName.parse(to), URL)


NO = NotDelegated("status 404", url=URL)
NONE = NoSrvRecords("no records")
RECORDS = SrvRecords((SrvRecord(10, 5, 443, "a.example"), SrvRecord(20, 0, 8448, "b.example")))
RECORDS_TOLD = (
    "SRV records: a.example:443 (priority 10, weight 5), b.example:8448 (priority 20, weight 0)"
)


def resolve(name: str, *answers: Answer, legacy_srv: bool = True) -> Resolution:
    """Resolve `name` with these answers to its questions, in their order."""
    parsed = ServerName.parse(name)
    given: dict[Question, Answer] = {}
    left = list(answers)
    while not isinstance(outcome := decide(parsed, given, legacy_srv=legacy_srv), Decision):
        given[outcome] = left.pop(0)
    return Resolution(
        server_name=parsed,
        step=outcome.step,
        host_header=outcome.host_header,
        tls_name=outcome.tls_name,
        targets=outcome.candidates,
        delegated_to=outcome.delegated_to,
        degraded=SrvFailed in map(type, answers),
        trail=tuple(
            TrailEntry(
                question=question, answer=answer, from_cache=False, duration=0.012, kept_for=3600
            )
            for question, answer in given.items()
        ),
    )


def steps_of(resolution: Resolution) -> Iterator[StepTold]:
    """The story of a resolution."""
    return story(
        resolution.server_name,
        resolution.delegated_to,
        resolution.step.value,
        resolution.trail,
    )


NO_LITERAL = ("1", "the hostname is no IP literal")
NO_PORT = ("2", "the server name has no port")
NOT_USABLE = ("3", "nothing usable: status 404")
TO_HOST = ("3", f"delegates to Hs.example.net ({URL})")
HOST_NO_LITERAL = ("3.1", "Hs.example.net is no IP literal")
HOST_NO_PORT = ("3.2", "Hs.example.net has no port")
TO_NAME = [NO_LITERAL, NO_PORT, NOT_USABLE]
TO_DELEGATED = [NO_LITERAL, NO_PORT, TO_HOST, HOST_NO_LITERAL, HOST_NO_PORT]
DELEGATED = delegates("Hs.example.net")

STORIES = [
    # resolution, steps told
    pytest.param(resolve("[::1]:443"), [("1", "the hostname is an IP literal")], id="step 1"),
    pytest.param(
        resolve("example.org:443"), [NO_LITERAL, ("2", "the server name has a port")], id="step 2"
    ),
    pytest.param(
        resolve("example.org", delegates("[2001:db8::1]")),
        [
            NO_LITERAL,
            NO_PORT,
            ("3", f"delegates to [2001:db8::1] ({URL})"),
            ("3.1", "[2001:db8::1] is an IP literal"),
        ],
        id="step 3.1",
    ),
    pytest.param(
        resolve("example.org", delegates("hs.example.net:443")),
        [
            NO_LITERAL,
            NO_PORT,
            ("3", f"delegates to hs.example.net:443 ({URL})"),
            ("3.1", "hs.example.net:443 is no IP literal"),
            ("3.2", "hs.example.net:443 has a port"),
        ],
        id="step 3.2",
    ),
    pytest.param(
        resolve("example.org", DELEGATED, RECORDS),
        [*TO_DELEGATED, ("3.3", RECORDS_TOLD)],
        id="step 3.3",
    ),
    pytest.param(
        resolve("example.org", DELEGATED, NONE, RECORDS),
        [*TO_DELEGATED, ("3.3", "no records"), ("3.4", RECORDS_TOLD)],
        id="step 3.4",
    ),
    pytest.param(
        resolve("example.org", DELEGATED, NONE, NONE),
        [
            *TO_DELEGATED,
            ("3.3", "no records"),
            ("3.4", "no records"),
            ("3.5", "port 8448 of Hs.example.net"),
        ],
        id="step 3.5",
    ),
    pytest.param(resolve("Example.org", NO, RECORDS), [*TO_NAME, ("4", RECORDS_TOLD)], id="step 4"),
    pytest.param(
        resolve("example.org", NO, SrvFailed("SERVFAIL"), RECORDS),
        [*TO_NAME, ("4", "the lookup failed: SERVFAIL"), ("5", RECORDS_TOLD)],
        id="step 5",
    ),
    pytest.param(
        resolve("Example.org", NO, NONE, NONE),
        [*TO_NAME, ("4", "no records"), ("5", "no records"), ("6", "port 8448 of Example.org")],
        id="step 6",
    ),
    pytest.param(
        resolve("example.org", NO, NONE, legacy_srv=False),
        [
            *TO_NAME,
            ("4", "no records"),
            ("5", "not asked (legacy_srv is off)"),
            ("6", "port 8448 of example.org"),
        ],
        id="step 6 without legacy_srv",
    ),
]


@pytest.mark.parametrize(("resolution", "told"), STORIES)
def test_story(resolution: Resolution, told: list[tuple[str, str]]) -> None:
    """The steps are told in order up to the one that decided, which alone is taken."""
    steps = list(steps_of(resolution))
    assert [(step.label, step.text) for step in steps] == told
    assert [step.taken for step in steps] == [False] * (len(steps) - 1) + [True]
    assert steps[-1].label == resolution.step.value
    told_of = tuple(step.entry for step in steps if step.entry is not None)
    assert told_of == resolution.trail


def test_every_step_has_a_story() -> None:
    """No member of `Step` is left out of the table above."""
    assert {param.values[0].step for param in STORIES} == set(Step)


def test_explanation_of_a_delegated_name() -> None:
    """The explanation tells each step, its question, and what to connect to."""
    trail = resolve("example.org", DELEGATED, NONE, RECORDS)
    assert trail.explain().splitlines() == [
        "example.org",
        "  step 1    passed over: the hostname is no IP literal",
        "  step 2    passed over: the server name has no port",
        f"  step 3    delegates to Hs.example.net ({URL})",
        f"            {URL}: asked, 12 ms, kept for 60 min",
        "  step 3.1  passed over: Hs.example.net is no IP literal",
        "  step 3.2  passed over: Hs.example.net has no port",
        "  step 3.3  no records",
        "            SRV _matrix-fed._tcp.hs.example.net: asked, 12 ms, kept for 60 min",
        f"  step 3.4  taken: {RECORDS_TOLD}",
        "            SRV _matrix._tcp.hs.example.net: asked, 12 ms, kept for 60 min",
        "  connect to  a.example:443, b.example:8448",
        "  Host        Hs.example.net",
        "  certificate Hs.example.net",
    ]


FLAGS = [
    # stale, degraded, last lines
    pytest.param(False, False, ["  certificate ::1"], id="neither"),
    pytest.param(True, False, ["  stale: rests on an answer past its lifetime"], id="stale"),
    pytest.param(
        False,
        True,
        ["  degraded: an SRV lookup failed and was treated as no records"],
        id="degraded",
    ),
    pytest.param(
        True,
        True,
        [
            "  stale: rests on an answer past its lifetime",
            "  degraded: an SRV lookup failed and was treated as no records",
        ],
        id="both",
    ),
]


@pytest.mark.parametrize(("stale", "degraded", "last"), FLAGS)
def test_explanation_ends_with_what_is_to_be_doubted(
    stale: bool, degraded: bool, last: list[str]
) -> None:
    """A stale or degraded resolution says so at its end."""
    flagged = evolve(resolve("[::1]"), stale=stale, degraded=degraded)
    lines = flagged.explain().splitlines()
    assert lines[:2] == ["[::1]", "  step 1    taken: the hostname is an IP literal"]
    assert lines[-len(last) :] == last
    assert len(lines) == 5 + stale + degraded


def test_story_without_a_trail() -> None:
    """A resolution that has lost its trail still tells which step decided."""
    told = resolve("example.org", NO, RECORDS)
    bare = evolve(told, trail=())
    assert [(step.label, step.taken) for step in steps_of(bare)] == [
        ("1", False),
        ("2", False),
        ("4", True),
    ]


def test_story_of_a_resolution_that_contradicts_itself() -> None:
    """A resolution made by hand, of a step that its own facts rule out, takes no step."""
    told = resolve("example.org", NO, RECORDS)
    wrong = evolve(told, step=Step.WELL_KNOWN_SRV)
    assert [(step.label, step.taken) for step in steps_of(wrong)] == [
        ("1", False),
        ("2", False),
        ("3", False),
        ("4", False),
        ("5", False),
        ("6", False),
    ]


CIRCUMSTANCES = [
    # from_cache, duration, kept_for, stale, failure, text
    pytest.param(False, 0.0123, 45.0, False, None, "asked, 12 ms, kept for 45 s", id="asked"),
    pytest.param(True, 0.0, 86400.0, False, None, "from cache, kept for 24 h", id="from cache"),
    pytest.param(
        True,
        1.8,
        60.0,
        True,
        "status 503",
        "from cache, kept for 60 s, stale, asking again failed: status 503",
        id="stale",
    ),
]


@pytest.mark.parametrize(
    ("from_cache", "duration", "kept_for", "stale", "failure", "text"), CIRCUMSTANCES
)
def test_circumstances(
    from_cache: bool, duration: float, kept_for: float, stale: bool, failure: str | None, text: str
) -> None:
    """Who answered, how long it took, how long it is kept, and what went wrong."""
    entry = TrailEntry(
        question=AskWellKnown("example.org"),
        answer=NO,
        from_cache=from_cache,
        duration=duration,
        kept_for=kept_for,
        stale=stale,
        failure=failure,
    )
    assert circumstances(entry) == text


DURATIONS = [
    pytest.param(0, "0 s", id="nothing"),
    pytest.param(45.4, "45 s", id="seconds"),
    pytest.param(119, "119 s", id="almost two minutes"),
    pytest.param(120, "2 min", id="two minutes"),
    pytest.param(3600, "60 min", id="an hour"),
    pytest.param(7200, "2 h", id="two hours"),
    pytest.param(172800, "48 h", id="two days"),
]


@pytest.mark.parametrize(("seconds", "text"), DURATIONS)
def test_lasting(seconds: float, text: str) -> None:
    """Durations are told in the unit that people use for them."""
    assert lasting(seconds) == text


DESCRIBED = [
    # answer, text
    pytest.param(DELEGATED, f"delegates to Hs.example.net ({URL})", id="delegated"),
    pytest.param(NO, "nothing usable: status 404", id="not delegated"),
    pytest.param(RECORDS, RECORDS_TOLD, id="SRV records"),
    pytest.param(NONE, "no records", id="no SRV records"),
    pytest.param(ServiceNotOffered(), 'the service is not offered (target ".")', id="not offered"),
    pytest.param(SrvFailed("REFUSED"), "the lookup failed: REFUSED", id="SRV failed"),
    pytest.param(
        Addresses((IPv6Address("2001:db8::1"), IPv4Address("192.0.2.1"))),
        "2001:db8::1, 192.0.2.1",
        id="addresses",
    ),
    pytest.param(
        Addresses((IPv4Address("192.0.2.1"),), "cdn.example"),
        "192.0.2.1 (an alias of cdn.example)",
        id="addresses of an alias",
    ),
    pytest.param(Addresses(()), "no addresses", id="no addresses"),
    pytest.param(AddressesFailed("time-out"), "the lookup failed: time-out", id="address failed"),
]


@pytest.mark.parametrize(("answer", "text"), DESCRIBED)
def test_described(answer: Answer, text: str) -> None:
    """Each answer is told in words."""
    assert describe(answer) == text


def test_every_kind_of_answer_is_described() -> None:
    """No kind of answer is left out of the table above."""
    assert {type(param.values[0]) for param in DESCRIBED} == set(get_args(Answer))
