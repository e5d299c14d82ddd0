"""The three answers, above all: do I need delegation, and what exactly is to be served?"""

import json
from typing import Any

import pytest
from attrs import evolve
from checked import (
    DEAD,
    NAME,
    V4,
    V4_TOO,
    at_endpoints,
    at_host,
    document,
    endpoint,
    failed,
    fetched,
    good_facts,
    handshake,
    resolution,
    with_second,
)
from faults import closed, srv

from matrix_resolve.checking.answers import Answers, Delegation, Reach, answers
from matrix_resolve.checking.facts import HostFacts, ServerFacts, TcpProblem, TlsProblem
from matrix_resolve.checking.findings import findings
from matrix_resolve.core.replies import SrvRecord
from matrix_resolve.core.resolution import Target

_NOT_OUT: Any = {"version": None, "keys": None, "key_document": None}
_REFUSED: Any = {"problem": TcpProblem.REFUSED, **DEAD}


def answered(facts: ServerFacts, *, expect_closed: bool = False) -> Answers:
    """Return the answers to facts."""
    found = findings(facts, expect_closed=expect_closed)
    return answers(facts, found, expect_closed=expect_closed)


def with_certificate(facts: ServerFacts, *names: str, problem: TlsProblem) -> ServerFacts:
    """Return facts with a certificate at each endpoint that peers refuse."""
    return at_endpoints(facts, tls=handshake(*names, problem=problem), **_NOT_OUT)


def with_direct(facts: ServerFacts, **changes: Any) -> ServerFacts:
    """Return facts with something at port 8448 of the name itself."""
    own = endpoint(Target(host=NAME, port=8448), V4, NAME, **changes)
    return evolve(facts, direct=(own,))


SIX, ITSELF = good_facts("6"), resolution("3.5", NAME, NAME, [f"{NAME}:8448"])
OFF = evolve(SIX, resolution=None, not_offered=True, endpoints=(), srv=srv(SrvRecord(0, 0, 0, ".")))
NONE = at_host(SIX, NAME, addresses=())
PRIVATE = at_endpoints(at_host(SIX, NAME, addresses=(V4,), forbidden=(V4,)), is_forbidden=True)
WRONG, LATE = TlsProblem.WRONG_NAME, TlsProblem.EXPIRED

# What is seen -> the answer, and the m.server to serve, if any.
SITUATIONS: list[tuple[str, ServerFacts, Delegation, str | None]] = [
    ("an IP address for a name", good_facts("1"), Delegation.NOT_NEEDED, None),
    ("a name with a port", good_facts("2"), Delegation.NOT_NEEDED, None),
    ("such a one, down", closed(good_facts("2"), documents=()), Delegation.NOT_NEEDED, None),
    ("8448 works", SIX, Delegation.NOT_NEEDED, None),
    (
        "8448 works, beside a website at the document's place",
        evolve(SIX, documents=(fetched(200, b"<html>"),)),
        Delegation.NOT_NEEDED,
        None,
    ),
    ("8448 is mended soon", with_certificate(SIX, NAME, problem=LATE), Delegation.NOT_NEEDED, None),
    ("no federation is offered", OFF, Delegation.NOT_NEEDED, None),
    ("nobody reaches the host", PRIVATE, Delegation.NOT_NEEDED, None),
    ("a document leads on", good_facts("3.2"), Delegation.NEEDED_AND_PRESENT, None),
    ("to an IP address", good_facts("3.1"), Delegation.NEEDED_AND_PRESENT, None),
    ("to SRV records", good_facts("3.3"), Delegation.NEEDED_AND_PRESENT, None),
    (
        "to where nothing works, and 8448 does not either",
        with_direct(at_endpoints(good_facts("3.2"), **_REFUSED), **_REFUSED),
        Delegation.NEEDED_AND_PRESENT,
        None,
    ),
    (
        "8448 does not work beside it",
        with_direct(good_facts("3.2"), **_REFUSED),
        Delegation.NEEDED_AND_PRESENT,
        None,
    ),
    (
        "8448 works as well",
        with_direct(good_facts("3.2")),
        Delegation.PRESENT_THOUGH_NOT_NEEDED,
        None,
    ),
    (
        "8448 alone works",
        with_direct(at_endpoints(good_facts("3.2"), **_REFUSED)),
        Delegation.PRESENT_THOUGH_NOT_NEEDED,
        None,
    ),
    (
        "a document leads to 8448 of the name itself",
        evolve(SIX, resolution=ITSELF, documents=(document(NAME),)),
        Delegation.PRESENT_THOUGH_NOT_NEEDED,
        None,
    ),
    ("SRV records lead on", good_facts("4"), Delegation.NEEDED_AND_PRESENT, None),
    ("deprecated ones", good_facts("5"), Delegation.NEEDED_AND_PRESENT, None),
    (
        "SRV records, and 8448 works as well",
        with_direct(good_facts("4")),
        Delegation.PRESENT_THOUGH_NOT_NEEDED,
        None,
    ),
    (
        "SRV records lead nowhere, and 8448 works",
        with_direct(at_endpoints(good_facts("4"), **_REFUSED)),
        Delegation.PRESENT_THOUGH_NOT_NEEDED,
        None,
    ),
    (
        "SRV records lead nowhere",
        at_endpoints(good_facts("4"), **_REFUSED),
        Delegation.NEEDED_AND_PRESENT,
        None,
    ),
    (
        "a certificate for the SRV target",
        with_certificate(good_facts("5"), "a.example.org", problem=WRONG),
        Delegation.NEEDED,
        "a.example.org:1",
    ),
    ("nothing at 8448", closed(SIX), Delegation.NEEDED, f"{NAME}:443"),
    (
        "nothing at 8448, and no web server",
        closed(SIX, documents=(failed(),)),
        Delegation.NEEDED,
        f"{NAME}:443",
    ),
    (
        "a URL in the document",
        closed(SIX, documents=(document("https://matrix.example.org"),)),
        Delegation.NEEDED,
        "matrix.example.org:443",
    ),
    (
        "a path in the document",
        closed(SIX, documents=(document("matrix.example.org:8448/"),)),
        Delegation.NEEDED,
        "matrix.example.org:8448",
    ),
    (
        "no m.server in the document",
        closed(SIX, documents=(document(),)),
        Delegation.NEEDED,
        f"{NAME}:443",
    ),
    (
        "SRV records that nobody can use",
        closed(SIX, srv=srv(SrvRecord(0, 0, 0, "a.example.org"))),
        Delegation.NEEDED,
        f"{NAME}:443",
    ),
    (
        "another host's certificate at 8448",
        with_certificate(SIX, "matrix.example.org", problem=WRONG),
        Delegation.NEEDED,
        "matrix.example.org:8448",
    ),
    (
        "another owner's certificate at 8448",
        with_certificate(SIX, "www.example.net", problem=WRONG),
        Delegation.NOT_NEEDED,
        None,
    ),
    (
        "an IP address in the document, and a certificate for a host",
        with_certificate(good_facts("3.1"), "*.example.org", "hs.example.org", problem=WRONG),
        Delegation.NEEDED,
        "hs.example.org:443",
    ),
    (
        "a document without a port, and nothing at 8448",
        with_direct(at_endpoints(good_facts("3.5"), **_REFUSED), **_REFUSED),
        Delegation.NEEDED,
        "matrix.example.org:443",
    ),
    (
        "no addresses",
        evolve(NONE, endpoints=(), documents=(failed("none"),)),
        Delegation.UNKNOWN,
        None,
    ),
    (
        "our DNS is down",
        evolve(
            SIX, hosts=(HostFacts(hostname=NAME, failure="SERVFAIL"),), endpoints=(), documents=()
        ),
        Delegation.UNKNOWN,
        None,
    ),
]


@pytest.mark.parametrize(
    ("facts", "delegation", "m_server"),
    [rest for _, *rest in SITUATIONS],
    ids=[label for label, *_ in SITUATIONS],
)
def test_do_you_need_delegation(
    facts: ServerFacts, delegation: Delegation, m_server: str | None
) -> None:
    """Yes, no, or what to serve: the document word for word, and its URL."""
    given = answered(facts)
    assert given.delegation is delegation, given.delegation_told
    assert given.delegation_told.endswith(".")
    if m_server is None:
        assert given.document is given.document_url is None
        return
    assert given.document is not None
    assert json.loads(given.document.body) == {"m.server": m_server}
    assert given.document_url == f"https://{NAME}/.well-known/matrix/server"
    assert f'{{"m.server": "{m_server}"}} at {given.document_url}' in given.delegation_told


DOWN = at_endpoints(SIX, problem=TcpProblem.OWN, reason="no route", **DEAD)
HALF = with_second(SIX, V4_TOO, **_REFUSED)


@pytest.mark.parametrize(
    ("facts", "reach", "word"),
    [
        (SIX, Reach.YES, "Synapse 1.150.0 answers at example.org:8448"),
        (HALF, Reach.SOME, "some of its addresses"),
        (closed(SIX), Reach.NO, "connection refused"),
        (OFF, Reach.NO, 'target "."'),
        (PRIVATE, Reach.NO, "private"),
        (DOWN, Reach.UNKNOWN, "no route"),
        (evolve(SIX, resolution=None, endpoints=()), Reach.UNKNOWN, "can't be told"),
        (
            evolve(good_facts("3.2"), documents=(*good_facts("3.2").documents, failed("time-out"))),
            Reach.SOME,
            "time-out",
        ),
    ],
)
def test_can_others_reach_you(facts: ServerFacts, reach: Reach, word: str) -> None:
    """Yes, some, no, or nobody knows; and why."""
    given = answered(facts)
    assert given.reach is reach
    assert word in given.reach_told


def test_what_to_change() -> None:
    """Nothing, or the worst first; notes ask for nothing."""
    assert answered(SIX).changes == ()
    assert answered(SIX).changes_told == "Nothing."
    bad = at_endpoints(HALF, tries=2)
    given = answered(bad)
    assert [each.code for each in given.changes] == ["tcp-second-try", "address-dead"]
    assert given.changes_told.startswith("2 warnings; first of all: ")
    assert answered(closed(SIX)).changes_told.startswith("1 error; first of all: There is no doc")


@pytest.mark.parametrize(
    ("facts", "reach", "codes", "word"),
    [
        (closed(SIX), Reach.NO, [], "as it is meant to be"),
        (OFF, Reach.NO, [], 'target "."'),
        (with_certificate(SIX, "x.test", problem=WRONG), Reach.NO, [], "meant to be"),
        (SIX, Reach.YES, ["federation-open"], "though not meant to"),
        (
            with_direct(at_endpoints(good_facts("3.2"), **_REFUSED)),
            Reach.NO,
            ["federation-open"],
            "Through port 8448",
        ),
        (DOWN, Reach.UNKNOWN, ["own-network"], "can't be told"),
    ],
)
def test_a_server_that_is_to_be_closed(
    facts: ServerFacts, reach: Reach, codes: list[str], word: str
) -> None:
    """That it answers is the error, and what keeps peers away is none."""
    given = answered(facts, expect_closed=True)
    assert given.reach is reach
    assert [each.code for each in given.changes] == codes
    assert word in given.reach_told
    if not codes:
        assert given.delegation is Delegation.NOT_NEEDED
        assert given.document is None
