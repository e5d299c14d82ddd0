"""The specification's steps 1 to 6, driven without I/O: each answer is put in by hand."""

from collections.abc import Mapping
from typing import Any

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
from matrix_resolve.core.replies import SrvRecord
from matrix_resolve.core.resolution import Step, Target
from matrix_resolve.errors import ServiceNotOfferedError

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


def row(
    name: str,
    answers: Mapping[str, Answer],
    step: Step,
    host_header: str,
    tls_name: str,
    candidates: list[Target],
    asked: list[str],
    *,
    id: str,
    delegated_to: str | None = None,
) -> Any:
    """One row of the specification's table: what is asked and answered, and where that ends."""
    decision = Decision(
        step=step,
        host_header=host_header,
        tls_name=tls_name,
        candidates=tuple(candidates),
        delegated_to=None if delegated_to is None else ServerName.parse(delegated_to),
    )
    return pytest.param(name, answers, decision, asked, id=f"step {step.value}: {id}")


STEPS = [
    row(
        "192.0.2.1",
        {},
        Step.IP_LITERAL,
        "192.0.2.1",
        "192.0.2.1",
        [at("192.0.2.1")],
        [],
        id="IPv4 literal",
    ),
    row(
        "192.0.2.1:443",
        {},
        Step.IP_LITERAL,
        "192.0.2.1:443",
        "192.0.2.1",
        [at("192.0.2.1", 443)],
        [],
        id="IPv4 literal with a port",
    ),
    row(
        "[2001:db8::1]",
        {},
        Step.IP_LITERAL,
        "[2001:db8::1]",
        "2001:db8::1",
        [at("2001:db8::1")],
        [],
        id="IPv6 literal",
    ),
    row(
        "[2001:DB8:0::1]:8449",
        {},
        Step.IP_LITERAL,
        "[2001:DB8:0::1]:8449",
        "2001:db8::1",
        [at("2001:db8::1", 8449)],
        [],
        id="IPv6 literal with a port, not in canonical form",
    ),
    row(
        "example.org:8449",
        {},
        Step.EXPLICIT_PORT,
        "example.org:8449",
        "example.org",
        [at("example.org", 8449)],
        [],
        id="hostname with a port",
    ),
    row(
        "example.org:443",
        {},
        Step.EXPLICIT_PORT,
        "example.org:443",
        "example.org",
        [at("example.org", 443)],
        [],
        id="hostname with the port of https stays in Host",
    ),
    row(
        "example.org:8448",
        {},
        Step.EXPLICIT_PORT,
        "example.org:8448",
        "example.org",
        [at("example.org")],
        [],
        id="hostname with the default port stays in Host",
    ),
    row(
        "example.org",
        {WK: delegates("198.51.100.7")},
        Step.WELL_KNOWN_IP_LITERAL,
        "198.51.100.7",
        "198.51.100.7",
        [at("198.51.100.7")],
        [WK],
        id="m.server is an IPv4 literal",
        delegated_to="198.51.100.7",
    ),
    row(
        "example.org",
        {WK: delegates("198.51.100.7:443")},
        Step.WELL_KNOWN_IP_LITERAL,
        "198.51.100.7:443",
        "198.51.100.7",
        [at("198.51.100.7", 443)],
        [WK],
        id="m.server is an IPv4 literal with a port",
        delegated_to="198.51.100.7:443",
    ),
    row(
        "example.org",
        {WK: delegates("[2001:DB8::2]")},
        Step.WELL_KNOWN_IP_LITERAL,
        "[2001:DB8::2]",
        "2001:db8::2",
        [at("2001:db8::2")],
        [WK],
        id="m.server is an IPv6 literal",
        delegated_to="[2001:DB8::2]",
    ),
    row(
        "example.org",
        {WK: delegates("[2001:db8::2]:8449")},
        Step.WELL_KNOWN_IP_LITERAL,
        "[2001:db8::2]:8449",
        "2001:db8::2",
        [at("2001:db8::2", 8449)],
        [WK],
        id="m.server is an IPv6 literal with a port",
        delegated_to="[2001:db8::2]:8449",
    ),
    row(
        "example.org",
        {WK: delegates("hs.example.net:443")},
        Step.WELL_KNOWN_EXPLICIT_PORT,
        "hs.example.net:443",
        "hs.example.net",
        [at("hs.example.net", 443)],
        [WK],
        id="m.server has a port",
        delegated_to="hs.example.net:443",
    ),
    row(
        "example.org",
        {WK: delegates("example.org:443")},
        Step.WELL_KNOWN_EXPLICIT_PORT,
        "example.org:443",
        "example.org",
        [at("example.org", 443)],
        [WK],
        id="m.server is the name itself with a port",
        delegated_to="example.org:443",
    ),
    row(
        "example.org",
        {WK: delegates("hs.example.net"), D_FED: records("b.example.net:1", "a.example.net:2")},
        Step.WELL_KNOWN_SRV,
        "hs.example.net",
        "hs.example.net",
        [at("b.example.net", 1, 10, 5), at("a.example.net", 2, 10, 5)],
        [WK, D_FED],
        id="the delegated host has SRV records",
        delegated_to="hs.example.net",
    ),
    row(
        "example.org",
        {WK: delegates("hs.example.net"), D_OLD: records("a.example.net:2", weight=0)},
        Step.WELL_KNOWN_LEGACY_SRV,
        "hs.example.net",
        "hs.example.net",
        [at("a.example.net", 2, 10, 0)],
        [WK, D_FED, D_OLD],
        id="the delegated host has deprecated SRV records",
        delegated_to="hs.example.net",
    ),
    row(
        "example.org",
        {WK: delegates("hs.example.net"), D_FED: FAILED, D_OLD: records("a.example.net:2")},
        Step.WELL_KNOWN_LEGACY_SRV,
        "hs.example.net",
        "hs.example.net",
        [at("a.example.net", 2, 10, 5)],
        [WK, D_FED, D_OLD],
        id="the first SRV lookup of the delegated host failed",
        delegated_to="hs.example.net",
    ),
    row(
        "example.org",
        {WK: delegates("hs.example.net")},
        Step.WELL_KNOWN_DEFAULT_PORT,
        "hs.example.net",
        "hs.example.net",
        [at("hs.example.net")],
        [WK, D_FED, D_OLD],
        id="the delegated host has no SRV records",
        delegated_to="hs.example.net",
    ),
    row(
        "example.org",
        {WK: delegates("hs.example.net"), D_FED: FAILED, D_OLD: FAILED},
        Step.WELL_KNOWN_DEFAULT_PORT,
        "hs.example.net",
        "hs.example.net",
        [at("hs.example.net")],
        [WK, D_FED, D_OLD],
        id="both SRV lookups of the delegated host failed",
        delegated_to="hs.example.net",
    ),
    row(
        "example.org",
        {WK: delegates("Hs.Example.NET")},
        Step.WELL_KNOWN_DEFAULT_PORT,
        "Hs.Example.NET",
        "Hs.Example.NET",
        [at("Hs.Example.NET")],
        [WK, D_FED, D_OLD],
        id="the case of m.server is kept in Host and ignored in questions",
        delegated_to="Hs.Example.NET",
    ),
    row(
        "example.org",
        {WK: delegates("example.org")},
        Step.WELL_KNOWN_DEFAULT_PORT,
        "example.org",
        "example.org",
        [at("example.org")],
        [WK, FED, OLD],
        id="m.server is the name itself",
        delegated_to="example.org",
    ),
    row(
        "example.org",
        {
            WK: delegates("hs.example.net"),
            "wk:hs.example.net": delegates("elsewhere.example:1"),
            FED: records("own.example.org:1"),
            OLD: NOT_OFFERED,
        },
        Step.WELL_KNOWN_DEFAULT_PORT,
        "hs.example.net",
        "hs.example.net",
        [at("hs.example.net")],
        [WK, D_FED, D_OLD],
        id="neither a second delegation nor the name's own SRV records count",
        delegated_to="hs.example.net",
    ),
    row(
        "example.org",
        {FED: records("fed.example.org:443"), OLD: records("old.example.org:8448")},
        Step.SRV,
        "example.org",
        "example.org",
        [at("fed.example.org", 443, 10, 5)],
        [WK, FED],
        id="the server name has SRV records",
    ),
    row(
        "example.org",
        {WK: NotDelegated("status 503", temporary=True), FED: records("fed.example.org:443")},
        Step.SRV,
        "example.org",
        "example.org",
        [at("fed.example.org", 443, 10, 5)],
        [WK, FED],
        id="the well-known request failed",
    ),
    row(
        "example.org",
        {OLD: records("old.example.org:8449")},
        Step.LEGACY_SRV,
        "example.org",
        "example.org",
        [at("old.example.org", 8449, 10, 5)],
        [WK, FED, OLD],
        id="the server name has deprecated SRV records",
    ),
    row(
        "example.org",
        {FED: FAILED, OLD: records("old.example.org:8449")},
        Step.LEGACY_SRV,
        "example.org",
        "example.org",
        [at("old.example.org", 8449, 10, 5)],
        [WK, FED, OLD],
        id="the first SRV lookup failed",
    ),
    row(
        "example.org",
        {},
        Step.DEFAULT_PORT,
        "example.org",
        "example.org",
        [at("example.org")],
        [WK, FED, OLD],
        id="there is nothing",
    ),
    row(
        "example.org",
        {FED: FAILED, OLD: FAILED},
        Step.DEFAULT_PORT,
        "example.org",
        "example.org",
        [at("example.org")],
        [WK, FED, OLD],
        id="both SRV lookups failed",
    ),
    row(
        "Example.ORG",
        {},
        Step.DEFAULT_PORT,
        "Example.ORG",
        "Example.ORG",
        [at("Example.ORG")],
        [WK, FED, OLD],
        id="the case of the name is kept in Host and ignored in questions",
    ),
]


@pytest.mark.parametrize(("name", "answers", "decision", "asked"), STEPS)
def test_step(name: str, answers: Mapping[str, Answer], decision: Decision, asked: list) -> None:
    """Each row of the specification's table is decided as written, after those questions."""
    assert walk(name, answers) == (decision, asked)


def test_every_step_has_a_row() -> None:
    """No member of `Step` is left out of the table above."""
    assert {param.values[2].step for param in STEPS} == set(Step)


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


S = "s.resolvematrix.dev"
RESOLVEMATRIX = [
    # name, answers, step, connect to, Host, certificate
    pytest.param(
        f"2.{S}:7652", {}, "2", f"2.{S}:7652", f"2.{S}:7652", f"2.{S}", id="2: explicit port"
    ),
    pytest.param(
        f"3b.{S}",
        {f"wk:3b.{S}": delegates(f"wk.3b.{S}:7753")},
        "3.2",
        f"wk.3b.{S}:7753",
        f"wk.3b.{S}:7753",
        f"wk.3b.{S}",
        id="3b: well-known with a port",
    ),
    pytest.param(
        f"3c.{S}",
        {
            f"wk:3c.{S}": delegates(f"wk.3c.{S}"),
            f"srv:_matrix._tcp.wk.3c.{S}": records(f"srv.wk.3c.{S}:7754"),
        },
        "3.4",
        f"srv.wk.3c.{S}:7754",
        f"wk.3c.{S}",
        f"wk.3c.{S}",
        id="3c: well-known, then deprecated SRV",
    ),
    pytest.param(
        f"3c.msc4040.{S}",
        {
            f"wk:3c.msc4040.{S}": delegates(f"wk.3c.msc4040.{S}"),
            f"srv:_matrix-fed._tcp.wk.3c.msc4040.{S}": records(f"srv.wk.3c.msc4040.{S}:7053"),
        },
        "3.3",
        f"srv.wk.3c.msc4040.{S}:7053",
        f"wk.3c.msc4040.{S}",
        f"wk.3c.msc4040.{S}",
        id="3c.msc4040: well-known, then SRV",
    ),
    pytest.param(
        f"3d.{S}",
        {f"wk:3d.{S}": delegates(f"wk.3d.{S}")},
        "3.5",
        f"wk.3d.{S}:8448",
        f"wk.3d.{S}",
        f"wk.3d.{S}",
        id="3d: well-known without port or SRV",
    ),
    pytest.param(
        f"4.{S}",
        {f"srv:_matrix._tcp.4.{S}": records(f"srv.4.{S}:7855")},
        "5",
        f"srv.4.{S}:7855",
        f"4.{S}",
        f"4.{S}",
        id="4: deprecated SRV",
    ),
    pytest.param(
        f"4.msc4040.{S}",
        {f"srv:_matrix-fed._tcp.4.msc4040.{S}": records(f"srv.4.msc4040.{S}:7054")},
        "4",
        f"srv.4.msc4040.{S}:7054",
        f"4.msc4040.{S}",
        f"4.msc4040.{S}",
        id="4.msc4040: SRV",
    ),
    pytest.param(
        f"5.{S}",
        {f"wk:5.{S}": NotDelegated("the body is not JSON")},
        "6",
        f"5.{S}:8448",
        f"5.{S}",
        f"5.{S}",
        id="5: a well-known that is not JSON",
    ),
]


@pytest.mark.parametrize(("name", "answers", "step", "connect", "host", "tls"), RESOLVEMATRIX)
def test_name_of_resolvematrix_dev(
    name: str, answers: Mapping[str, Answer], step: str, connect: str, host: str, tls: str
) -> None:
    """The public test names lead where their owner says."""
    decision, _ = walk(name, answers)
    assert decision.step.value == step
    assert [str(target) for target in decision.candidates] == [connect]
    assert (decision.host_header, decision.tls_name) == (host, tls)


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
