"""The report: what programs and people read, and nothing of strangers that could do harm."""

import json
from ipaddress import ip_address
from typing import Any

import pytest
from attrs import evolve
from checked import (
    DEAD,
    NAME,
    at_endpoints,
    certificate,
    fetched,
    good_facts,
    handshake,
    keys,
    with_second,
)
from faults import FAULTS, closed, srv
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from matrix_resolve.checking import facts as facts_module
from matrix_resolve.checking.facts import (
    ClientFacts,
    EndpointFacts,
    Fetched,
    FetchFailure,
    HostFacts,
    ServerFacts,
    SrvFacts,
    TcpProblem,
    TlsFacts,
    TlsProblem,
)
from matrix_resolve.checking.findings.key_faults import FINDING_OF
from matrix_resolve.checking.key_document import KeyDocument, KeyFault, VerifyKey
from matrix_resolve.checking.report import Report
from matrix_resolve.core.names import ServerName
from matrix_resolve.core.replies import HttpResponse, SrvRecord
from matrix_resolve.core.resolution import Resolution, Step, Target

STEPS = [step.value for step in Step]
DOWN = at_endpoints(good_facts("6"), problem=TcpProblem.OWN, **DEAD)


@pytest.mark.parametrize(
    ("facts", "expect_closed", "status"),
    [
        *((good_facts(step), False, 0) for step in STEPS),
        (with_second(good_facts("6"), problem=TcpProblem.REFUSED, **DEAD), False, 0),
        (closed(good_facts("6")), False, 1),
        (closed(good_facts("6")), True, 0),
        (good_facts("6"), True, 1),
        (DOWN, False, 3),
        (DOWN, True, 3),
    ],
)
def test_exit_status(facts: ServerFacts, expect_closed: bool, status: int) -> None:
    """0 as wanted, 1 errors, 3 nothing could be told."""
    assert Report.of(facts, expect_closed=expect_closed).exit_status == status


def test_whoever_is_not_reached_has_an_error() -> None:
    """No server passes that nobody reaches, and none fails without an error that says why."""
    for row in FAULTS:
        report = Report.of(row.facts)
        errors = [each for each in report.findings if each.level.value == "error"]
        assert (report.exit_status == 1) == bool(errors)
        assert report.answers.reach.value != "no" or errors


@pytest.mark.parametrize("step", STEPS)
def test_to_dict_is_json_with_a_version(step: str) -> None:
    """It goes through JSON unchanged, and twice is the same; bodies are not in it."""
    report = Report.of(good_facts(step))
    told = report.to_dict()
    assert told["version"] == 1
    assert json.loads(json.dumps(told, allow_nan=False)) == told == report.to_dict()
    assert "base_url" not in json.dumps(told)


def test_to_dict_has_all() -> None:
    """The keys are those that programs rely on."""
    told = Report.of(with_second(good_facts("3.2"))).to_dict()
    assert list(told) == [
        "version",
        "server_name",
        "exit_status",
        "expect_closed",
        "checked_at",
        "answers",
        "findings",
        "resolution",
        "service_not_offered",
        "hosts",
        "srv",
        "documents",
        "delegated_document",
        "endpoints",
        "direct_endpoints",
        "client",
        "unfinished",
    ]
    assert told["checked_at"] == "2026-05-28T20:26:40+00:00"
    assert told["answers"]["reachable"]["answer"] == "yes"
    assert told["answers"]["delegation"]["serve"] is None
    assert told["documents"][0]["delegates_to"] == "matrix.example.org:443"
    first = told["endpoints"][0]
    assert first["software"] == {"name": "Synapse", "version": "1.150.0"}
    assert first["tls"]["certificate"]["names"] == ["matrix.example.org"]
    assert first["key_document"]["verify_keys"][0]["id"] == "ed25519:a"
    assert [each["address"] for each in told["endpoints"]] == ["5.9.0.1", "2a01:4f8::1"]
    missing = Report.of(closed(good_facts("6"))).to_dict()
    assert missing["answers"]["delegation"]["serve"] == {
        "url": f"https://{NAME}/.well-known/matrix/server",
        "path": "/.well-known/matrix/server",
        "headers": {
            "Content-Type": "application/json",
            "Cache-Control": "max-age=86400",
            "Access-Control-Allow-Origin": "*",
        },
        "body": f'{{"m.server": "{NAME}:443"}}',
    }


def test_what_a_person_reads() -> None:
    """The answers come first, then the findings, then what was found."""
    lines = str(Report.of(closed(good_facts("6")))).splitlines()
    assert lines[0] == NAME
    places = [
        lines.index(line)
        for line in (
            "Can other servers reach you?",
            "Do you need delegation?",
            f'    serve {{"m.server": "{NAME}:443"}}',
            "What should you change?",
            "Findings",
            "  error   delegation-missing",
            "What was found",
            "Endpoints",
        )
    ]
    assert places == sorted(places)
    good = str(Report.of(good_facts("3.2")))
    assert "Synapse 1.150.0" in good
    assert "delegates to matrix.example.org:443" in good
    assert "step 3.2: connect to matrix.example.org:443" in good
    assert f"SHA-256 {'ab' * 32}" in good


HOSTILE = "\x1b[2J\x1b]0;x\x07\u202e\u2066\x00\x9b31m\r\nERROR\ud800"


def hostile_facts() -> ServerFacts:
    """Return facts in which every text of a stranger is hostile."""
    name = certificate(HOSTILE, subject=HOSTILE, issuer=HOSTILE, common_name=HOSTILE, key=HOSTILE)
    shown = evolve(handshake(NAME), certificate=evolve(name, sha256=HOSTILE), version=HOSTILE)
    headers = [(HOSTILE, HOSTILE), ("Content-Type", HOSTILE), ("Location", HOSTILE)]
    said = {"server": {"name": HOSTILE, "version": HOSTILE}, "m.server": HOSTILE}
    got = fetched(200, json.dumps(said).encode(), url=f"https://{HOSTILE}/", headers=headers)
    got = evolve(got, address=HOSTILE, hops=(HttpResponse(302, headers, b"", HOSTILE),))
    wrong = keys(*FINDING_OF, server_name=HOSTILE)
    wrong = evolve(wrong, faults=tuple(KeyFault(f.code, HOSTILE) for f in wrong.faults))
    facts = at_endpoints(
        with_second(good_facts("4")),
        reason=HOSTILE,
        tls=shown,
        without_sni=evolve(shown, problem=TlsProblem.OTHER, reason=HOSTILE),
        version=got,
        keys=got,
        key_document=wrong,
    )
    return evolve(
        facts,
        hosts=tuple(evolve(each, canonical_name=HOSTILE) for each in facts.hosts),
        srv=(SrvFacts(name=HOSTILE, failure=HOSTILE), *srv(SrvRecord(0, 0, 0, HOSTILE))),
        documents=(got, evolve(got, response=None, failure=FetchFailure(reason=HOSTILE))),
        delegated_document=got,
        client=ClientFacts(document=got, support=got, versions=got),
        unfinished=(HOSTILE,),
    )


@pytest.mark.parametrize(
    "facts",
    [
        hostile_facts(),
        at_endpoints(hostile_facts(), tls=handshake(HOSTILE, problem=TlsProblem.WRONG_NAME)),
        at_endpoints(hostile_facts(), tls=handshake(HOSTILE, problem=TlsProblem.SELF_SIGNED)),
        evolve(hostile_facts(), resolution=good_facts("6").resolution),
        evolve(hostile_facts(), resolution=good_facts("3.2").resolution),
    ],
)
def test_nothing_hostile_comes_through(facts: ServerFacts) -> None:
    """Escape sequences, bidi marks, line ends: a report is lines of printable ASCII."""
    report = Report.of(facts)
    assert len(report.findings) > 5
    for line in str(report).split("\n"):
        assert line.isascii()
        assert line.isprintable()
        assert not line.startswith("ERROR")
    for finding in report.findings:
        for text in (finding.fact, finding.advice, *finding.where):
            assert text.isascii()
            assert text.isprintable()
    for text in texts_in(report.to_dict()):
        assert text.isascii()
        assert text.isprintable()


def texts_in(value: Any) -> list[str]:
    """Return every text in JSON."""
    if isinstance(value, dict):
        return [text for each in value.values() for text in texts_in(each)]
    if isinstance(value, list):
        return [text for each in value for text in texts_in(each)]
    return [value] if isinstance(value, str) else []


# Anything that facts can be

_text = st.one_of(
    st.text(max_size=30),
    st.sampled_from(["", ".", "https://example.org/", "http://x/", "*.example.org", NAME]),
)
_host = st.sampled_from([NAME, "matrix.example.org", "a.test", "localhost", "5.9.0.1"])
_address = st.sampled_from(
    [ip_address(text) for text in ("5.9.0.1", "10.0.0.1", "2a01:4f8::1", "::1")]
)
_number = st.one_of(st.floats(), st.sampled_from([0.0, 1e10, 1e300, -1.0]))
_MEMBERS = [
    *("m.server", "server", "name", "version", "m.homeserver", "base_url", "versions"),
    *("contacts", "support_page", "role"),
]
_json = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=10)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.sampled_from(_MEMBERS),
            inner,
            max_size=3,
        ),
    ),
    max_leaves=6,
)
_body = st.one_of(
    st.binary(max_size=30),
    st.builds(lambda value: json.dumps(value).encode(), _json),
    st.builds(lambda to: json.dumps({"m.server": to}).encode(), _text),
)
_header = st.tuples(
    st.sampled_from(["Content-Type", "location", "Age", "Cache-Control", "X", "Content-Encoding"]),
    st.one_of(_text, st.sampled_from(["application/json", "max-age=5", "gzip"])),
)
_response = st.builds(
    HttpResponse,
    st.one_of(st.sampled_from([200, 301, 302, 403, 404, 502]), st.integers()),
    st.lists(_header, max_size=4),
    _body,
    _text,
)
_target = st.builds(Target, host=_host, port=st.sampled_from([443, 8448]))
_key = st.builds(
    VerifyKey, id=_text, algorithm=_text, fingerprint=st.none() | _text, signature=_text
)


def _built(kind: type, **known: Any) -> Any:
    """Return a strategy for one of the classes of facts; the rest of its fields by their types."""
    return st.builds(kind, **known)


_names = st.sampled_from([NAME, f"{NAME}:8450", "5.9.0.1", "[::1]:443"]).map(ServerName.parse)
_failure = _built(FetchFailure, reason=_text)
_fetched = _built(
    Fetched,
    url=_text,
    address=st.none() | _text,
    hops=st.lists(_response, max_size=3).map(tuple),
    response=st.none() | _response,
    failure=st.none() | _failure,
    seconds=_number,
)
_certificate = _built(
    facts_module.Certificate,
    subject=_text,
    names=st.lists(_text, max_size=3).map(tuple),
    common_name=st.none() | _text,
    issuer=_text,
    not_before=_number,
    not_after=_number,
    sha256=_text,
    key=_text,
)
_tls = _built(
    TlsFacts,
    server_hostname=st.none() | _text,
    version=st.none() | _text,
    problem=st.none() | st.sampled_from(TlsProblem),
    reason=_text,
    certificate=st.none() | _certificate,
)
_key_document = _built(
    KeyDocument,
    server_name=st.none() | _text,
    valid_until_ts=st.none() | st.integers(),
    verify_keys=st.lists(_key, max_size=2).map(tuple),
    old_verify_keys=st.just(()),
    signatures=_text,
    not_verified_because=st.none() | _text,
    faults=st.lists(
        st.builds(KeyFault, st.sampled_from(sorted(FINDING_OF)), _text), max_size=2
    ).map(tuple),
)
_endpoint = _built(
    EndpointFacts,
    target=_target,
    address=_address,
    tries=st.integers(1, 3),
    problem=st.none() | st.sampled_from(TcpProblem),
    reason=_text,
    tls=st.none() | _tls,
    without_sni=st.none() | _tls,
    version=st.none() | _fetched,
    keys=st.none() | _fetched,
    key_document=st.none() | _key_document,
)
_resolution = _built(
    Resolution,
    server_name=_names,
    step=st.sampled_from(Step),
    host_header=_text,
    tls_name=_host,
    targets=st.lists(_target, min_size=1, max_size=3).map(tuple),
    delegated_to=st.none() | _names | st.just(ServerName.parse("matrix.example.org")),
    expires_at=st.none(),
    trail=st.just(()),
)
_record = st.builds(
    SrvRecord, st.integers(0, 2), st.integers(0, 2), st.integers(0, 9), st.one_of(_host, _text)
)
_facts = _built(
    ServerFacts,
    server_name=_names,
    at=_number,
    resolution=st.none() | _resolution,
    hosts=st.lists(
        _built(
            HostFacts,
            hostname=_host,
            addresses=st.lists(_address, max_size=2).map(tuple),
            forbidden=st.lists(_address, max_size=2).map(tuple),
            canonical_name=st.none() | _text,
            ttl=st.none() | _number,
            failure=st.none() | _text,
        ),
        max_size=3,
    ).map(tuple),
    srv=st.lists(
        _built(
            SrvFacts,
            name=st.sampled_from([f"_matrix-fed._tcp.{NAME}", f"_matrix._tcp.{NAME}"]) | _text,
            records=st.lists(_record, max_size=3).map(tuple),
            ttl=st.none() | _number,
            failure=st.none() | _text,
        ),
        max_size=2,
    ).map(tuple),
    documents=st.lists(_fetched, max_size=2).map(tuple),
    delegated_document=st.none() | _fetched,
    endpoints=st.lists(_endpoint, max_size=2).map(tuple),
    direct=st.lists(_endpoint, max_size=1).map(tuple),
    client=st.none()
    | _built(ClientFacts, document=_fetched, support=_fetched, versions=st.none() | _fetched),
    unfinished=st.lists(_text, max_size=1).map(tuple),
)


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(facts=_facts, expect_closed=st.booleans())
def test_any_facts_make_a_report(facts: ServerFacts, expect_closed: bool) -> None:
    """Nothing is raised, and what comes out is JSON and printable, whatever was seen."""
    report = Report.of(facts, expect_closed=expect_closed)
    assert report.exit_status in (0, 1, 3)
    told = report.to_dict()
    assert json.loads(json.dumps(told, allow_nan=False)) == told
    assert all(line.isascii() and line.isprintable() for line in str(report).split("\n"))
