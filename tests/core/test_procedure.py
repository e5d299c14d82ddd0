"""The specification's steps 1 to 6, driven without I/O: each answer is put in by hand."""

from collections.abc import Mapping

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from matrix_resolve.core.names import ServerName
from matrix_resolve.core.procedure import Decision, decide, upcoming
from matrix_resolve.core.questions import (
    Answer,
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
from matrix_resolve.core.replies import SrvRecord, SrvReply
from matrix_resolve.core.resolution import Step, Target
from matrix_resolve.core.srv import read_srv_reply
from matrix_resolve.errors import ServiceNotOfferedError
from matrix_resolve.testing.steps import RESOLVEMATRIX_DEV, STEPS, StepRow

NOT_OFFERED = ServiceNotOffered()
FAILED = SrvFailed("SERVFAIL")


def delegates(to: str) -> Delegated:
    """The answer that a well-known document with `to` in `m.server` gives."""
    return Delegated(ServerName.parse(to), "https://example.org/.well-known/matrix/server")


def records(*targets: str, priority: int = 10, weight: int = 5) -> SrvRecords:
    """SRV records of one priority and weight, each given as "host:port"."""
    pairs = (target.rsplit(":", 1) for target in targets)
    return SrvRecords(tuple(SrvRecord(priority, weight, int(port), host) for host, port in pairs))


def at(host: str, port: int = 8448, priority: int = 0, weight: int = 0) -> Target:
    """A target; priority and weight are 0 where there was no SRV record."""
    return Target(host=host, port=port, priority=priority, weight=weight)


def walk(
    name: str, answers: Mapping[str, Answer], *, legacy_srv: bool = True
) -> tuple[Decision, list[str]]:
    """Answer each question by its key, the rest with "none"; return where it ends, and the keys."""
    given: dict[Question, Answer] = {}
    asked: list[str] = []
    parsed = ServerName.parse(name)
    while not isinstance(outcome := decide(parsed, given, legacy_srv=legacy_srv), Decision):
        none = NotDelegated("none") if isinstance(outcome, AskWellKnown) else NoSrvRecords("none")
        asked.append(outcome.key)
        given[outcome] = answers.get(outcome.key, none)
    return outcome, asked


WK = "wk:example.org"
FED, OLD = "srv:_matrix-fed._tcp.example.org", "srv:_matrix._tcp.example.org"
D_FED, D_OLD = "srv:_matrix-fed._tcp.hs.example.net", "srv:_matrix._tcp.hs.example.net"


def published(row: StepRow) -> dict[str, Answer]:
    """The answers, by the questions' keys, that what a row declares would give."""
    answers: dict[str, Answer] = {}
    for host, declared in row.hosts.items():
        name = host.lower()
        answers[f"wk:{name}"] = NotDelegated("status 404")
        if "delegates_to" in declared:
            answers[f"wk:{name}"] = delegates(declared["delegates_to"])
        for service, key in (("_matrix-fed", "srv"), ("_matrix", "legacy_srv")):
            answers[f"srv:{service}._tcp.{name}"] = read_srv_reply(SrvReply(declared.get(key, ())))
    return answers


def questions(row: StepRow) -> list[str]:
    """The keys of the questions that a row's step takes."""
    host = (row.delegated_to or row.server_name).hostname.lower()
    document = f"wk:{row.server_name.hostname.lower()}"
    fed, old = f"srv:_matrix-fed._tcp.{host}", f"srv:_matrix._tcp.{host}"
    return {
        "1": [],
        "2": [],
        "3.1": [document],
        "3.2": [document],
        "3.3": [document, fed],
        "4": [document, fed],
    }.get(row.step.value, [document, fed, old])


@pytest.mark.parametrize("row", [*STEPS, *RESOLVEMATRIX_DEV], ids=lambda row: row.label)
def test_step(row: StepRow) -> None:
    """Each row of the specification's tables is decided as written, after its questions."""
    decision, asked = walk(str(row.server_name), published(row))
    assert decision == Decision(
        step=row.step,
        host_header=row.host_header,
        tls_name=row.tls_name,
        candidates=decision.candidates,
        delegated_to=row.delegated_to,
    )
    assert tuple((target.host, target.port) for target in decision.candidates) == row.targets
    assert asked == questions(row)


BESIDE = [
    # what is answered, the step that decides, where it leads
    pytest.param(
        {WK: delegates("hs.example.net"), D_FED: FAILED, D_OLD: records("a.example.net:2")},
        Step.WELL_KNOWN_LEGACY_SRV,
        at("a.example.net", 2, 10, 5),
        id="the first SRV lookup of the delegated host failed",
    ),
    pytest.param(
        {WK: delegates("hs.example.net"), D_FED: FAILED, D_OLD: FAILED},
        Step.WELL_KNOWN_DEFAULT_PORT,
        at("hs.example.net"),
        id="both SRV lookups of the delegated host failed",
    ),
    pytest.param(
        {WK: NotDelegated("status 503", temporary=True), FED: records("fed.example.org:443")},
        Step.SRV,
        at("fed.example.org", 443, 10, 5),
        id="the well-known request failed",
    ),
    pytest.param(
        {FED: FAILED, OLD: records("old.example.org:8449", weight=0)},
        Step.LEGACY_SRV,
        at("old.example.org", 8449, 10, 0),
        id="the first SRV lookup failed",
    ),
    pytest.param(
        {FED: FAILED, OLD: FAILED},
        Step.DEFAULT_PORT,
        at("example.org"),
        id="both SRV lookups failed",
    ),
]


@pytest.mark.parametrize(("answers", "step", "target"), BESIDE)
def test_what_failed_is_passed_over(
    answers: Mapping[str, Answer], step: Step, target: Target
) -> None:
    """A question without an answer is as good as one answered with nothing."""
    decision, _ = walk("example.org", answers)
    assert (decision.step, decision.candidates) == (step, (target,))


def test_records_of_one_priority_stay_as_they_are() -> None:
    """The candidates are the records with their priorities and weights, in their order."""
    answers = {FED: records("b.example.net:1", "a.example.net:2")}
    decision, _ = walk("example.org", answers)
    assert decision.candidates == (at("b.example.net", 1, 10, 5), at("a.example.net", 2, 10, 5))


def test_steps_have_the_labels_of_the_specification() -> None:
    """The values of `Step` are the specification's labels, in its order."""
    labels = ["1", "2", "3.1", "3.2", "3.3", "3.4", "3.5", "4", "5", "6"]
    assert [step.value for step in Step] == labels


WITHOUT_LEGACY = [
    # answers, step, questions
    pytest.param(
        {WK: delegates("hs.example.net"), D_FED: records("a.example.net:2")},
        Step.WELL_KNOWN_SRV,
        [WK, D_FED],
        id="step 3.3 is unchanged",
    ),
    pytest.param(
        {WK: delegates("hs.example.net"), D_OLD: records("a.example.net:2")},
        Step.WELL_KNOWN_DEFAULT_PORT,
        [WK, D_FED],
        id="step 3.4 is left out",
    ),
    pytest.param(
        {FED: records("fed.example.org:1")}, Step.SRV, [WK, FED], id="step 4 is unchanged"
    ),
    pytest.param(
        {OLD: records("old.example.org:1")}, Step.DEFAULT_PORT, [WK, FED], id="step 5 is left out"
    ),
    pytest.param({OLD: NOT_OFFERED}, Step.DEFAULT_PORT, [WK, FED], id="step 5 can't refuse"),
]


@pytest.mark.parametrize(("answers", "step", "asked"), WITHOUT_LEGACY)
def test_without_legacy_srv(answers: Mapping[str, Answer], step: Step, asked: list) -> None:
    """`legacy_srv=False` neither asks `_matrix._tcp` nor heeds what is published there."""
    decision, questions = walk("example.org", answers, legacy_srv=False)
    assert (decision.step, questions) == (step, asked)


NOT_OFFERED_AT = [
    # answers, the SRV name that the error tells of
    pytest.param({FED: NOT_OFFERED}, "_matrix-fed._tcp.example.org", id="step 4"),
    pytest.param(
        {FED: NOT_OFFERED, OLD: records("old.example.org:1")},
        "_matrix-fed._tcp.example.org",
        id="step 4, with deprecated records that are not consulted",
    ),
    pytest.param({OLD: NOT_OFFERED}, "_matrix._tcp.example.org", id="step 5"),
    pytest.param({FED: FAILED, OLD: NOT_OFFERED}, "_matrix._tcp.example.org", id="4 failed, 5"),
    pytest.param(
        {WK: delegates("hs.example.net"), D_FED: NOT_OFFERED, D_OLD: records("a.example.net:1")},
        "_matrix-fed._tcp.hs.example.net",
        id="step 3.3, with deprecated records that are not consulted",
    ),
    pytest.param(
        {WK: delegates("hs.example.net"), D_OLD: NOT_OFFERED},
        "_matrix._tcp.hs.example.net",
        id="step 3.4",
    ),
]


@pytest.mark.parametrize(("answers", "srv_name"), NOT_OFFERED_AT)
def test_service_is_not_offered(answers: Mapping[str, Answer], srv_name: str) -> None:
    """A sole target "." under either service name ends the resolution, naming what said so."""
    with pytest.raises(ServiceNotOfferedError, match=f"of {srv_name} has"):
        walk("example.org", answers)


def test_not_offered_is_known_before_the_deprecated_name_is_asked() -> None:
    """With "." under `_matrix-fed` no answer about `_matrix` is needed."""
    given: dict[Question, Answer] = {
        AskWellKnown("example.org"): NotDelegated("status 404"),
        AskSrv("_matrix-fed._tcp.example.org"): NOT_OFFERED,
    }
    with pytest.raises(ServiceNotOfferedError):
        decide(ServerName.parse("example.org"), given)


UPCOMING = [
    # name, answers, open question, legacy_srv, questions that may follow
    pytest.param({}, WK, True, [WK, FED, OLD], id="from the well-known on"),
    pytest.param({}, WK, False, [WK, FED], id="from the well-known on, without legacy_srv"),
    pytest.param({WK: NotDelegated("none")}, FED, True, [FED, OLD], id="from step 4 on"),
    pytest.param(
        {WK: delegates("hs.example.net")}, D_FED, True, [D_FED, D_OLD], id="from step 3.3 on"
    ),
    pytest.param(
        {WK: NotDelegated("none"), FED: NoSrvRecords("none")}, OLD, True, [OLD], id="step 5 alone"
    ),
]


def question(key: str) -> Question:
    """The question with this key."""
    kind, _, name = key.partition(":")
    return AskWellKnown(name) if kind == "wk" else AskSrv(name)


@pytest.mark.parametrize(("answers", "asked", "legacy_srv", "following"), UPCOMING)
def test_upcoming(
    answers: Mapping[str, Answer], asked: str, legacy_srv: bool, following: list
) -> None:
    """What may be asked next is the open question and those after it if there is nothing."""
    known = {question(key): answer for key, answer in answers.items()}
    name = ServerName.parse("Example.org")
    found = upcoming(name, known, question(asked), legacy_srv=legacy_srv)
    assert [each.key for each in found] == following


def test_deprecated_records_are_asked_for_unless_told_otherwise() -> None:
    """Without a word about `legacy_srv`, steps 3.4 and 5 are taken."""
    name, well_known = ServerName.parse("example.org"), AskWellKnown("example.org")
    given = {well_known: NotDelegated("none"), question(FED): NoSrvRecords("none")}
    assert decide(name, given) == question(OLD)
    assert [each.key for each in upcoming(name, {}, well_known)] == [WK, FED, OLD]


def test_upcoming_leaves_the_answers_alone() -> None:
    """The hypothetical answers stay hypothetical."""
    known: dict[Question, Answer] = {}
    list(upcoming(ServerName.parse("example.org"), known, AskWellKnown("example.org")))
    assert known == {}


HOSTS = ["a", "Example.org", "192.0.2.1", "[2001:db8::1]"]
NAMES = st.builds(
    lambda host, port: ServerName.parse(f"{host}{port}"),
    st.sampled_from(HOSTS),
    st.sampled_from(["", ":1", ":8448"]),
)
WELL_KNOWN_ANSWERS = st.builds(Delegated, NAMES, st.just("https://a/")) | st.builds(
    NotDelegated, st.text(max_size=3), st.booleans(), st.booleans()
)
SRV_RECORDS = st.builds(
    SrvRecord,
    st.integers(0, 65535),
    st.integers(0, 65535),
    st.integers(1, 65535),
    st.sampled_from(["t.example", "T.example"]),
)
SRV_ANSWERS = st.one_of(
    st.builds(SrvRecords, st.lists(SRV_RECORDS, min_size=1, max_size=3).map(tuple)),
    st.just(NoSrvRecords("none")),
    st.just(FAILED),
    st.just(NOT_OFFERED),
)


@given(NAMES, WELL_KNOWN_ANSWERS, st.tuples(SRV_ANSWERS, SRV_ANSWERS), st.booleans())
@example(
    ServerName.parse("a"),
    Delegated(ServerName.parse("b"), "https://a/"),
    (NoSrvRecords(""), NoSrvRecords("")),
    True,
)
def test_three_questions_and_one_delegation_at_most(
    name: ServerName, well_known: Answer, srv: tuple[Answer, Answer], legacy_srv: bool
) -> None:
    """Whatever is answered, it ends within three questions, of which one well-known, the first."""
    given: dict[Question, Answer] = {}
    left = [well_known, *srv]
    try:
        while not isinstance(outcome := decide(name, given, legacy_srv=legacy_srv), Decision):
            assert outcome not in given
            assert isinstance(outcome, AskSrv if given else AskWellKnown)
            given[outcome] = left.pop(0)  # an IndexError here is a fourth question
    except ServiceNotOfferedError:
        assert ServiceNotOffered() in given.values()
        return
    delegated = well_known.to if isinstance(well_known, Delegated) and given else None
    assert outcome.delegated_to == delegated
    host = (delegated or name).hostname.lower()
    assert {q.name.split("._tcp.")[1] for q in given if isinstance(q, AskSrv)} <= {host}
    assert outcome.candidates
    assert outcome.tls_name == (delegated or name).canonical_host
    assert outcome.host_header == str(delegated or name)
