"""From facts to findings: one fault gives the finding that names it, and nothing worse beside."""

import pytest
from attrs import evolve
from checked import (
    DEAD,
    NAME,
    V4_TOO,
    at_endpoints,
    at_host,
    document,
    failed,
    good_facts,
    handshake,
    keys,
    resolution,
    version,
    with_second,
)
from faults import FAULTS, Row, srv

from matrix_resolve.checking.facts import ServerFacts, TcpProblem
from matrix_resolve.checking.findings import (
    CATALOGUE,
    Finding,
    Level,
    catalogue_lines,
    findings,
)
from matrix_resolve.checking.findings.key_faults import FINDING_OF
from matrix_resolve.checking.findings.tls import is_for
from matrix_resolve.checking.key_document import KEY_FAULTS, KeyFault
from matrix_resolve.core.replies import SrvRecord

STEPS = ("1", "2", "3.1", "3.2", "3.3", "3.4", "3.5", "4", "5", "6")


def codes(found: tuple[Finding, ...], *levels: Level) -> set[str]:
    """Return the codes of the findings at levels."""
    return {each.code for each in found if each.level in levels}


@pytest.mark.parametrize("step", STEPS)
def test_good_servers_give_notes_only(step: str) -> None:
    """A good server of each step has no error and no warning."""
    assert not codes(findings(good_facts(step)), Level.ERROR, Level.WARNING)


@pytest.mark.parametrize("row", FAULTS, ids=[f"{r.code}-{r.level.value}" for r in FAULTS])
def test_a_fault_is_named_and_nothing_else(row: Row) -> None:
    """One fault gives its finding, in words that have what was seen, and no other complaint."""
    found = findings(row.facts)
    named = [each for each in found if each.code == row.code and each.level is row.level]
    assert len(named) == 1, found
    assert row.word in named[0].fact + named[0].advice
    assert named[0].fact.endswith(".")
    assert named[0].advice.endswith((".", "?"))
    expected = set() if row.level is Level.NOTE else {row.code}
    assert codes(found, Level.ERROR, Level.WARNING) == expected | set(row.also), found


_FOUR, _DELEGATED = good_facts("4"), good_facts("3.2")
_BAD = SrvRecord(0, 0, 0, "a.example.org")
_NO_TIME = with_second(_DELEGATED, V4_TOO, version=None, keys=None, key_document=None)
_REFUSED = evolve(_DELEGATED.endpoints[0], problem=TcpProblem.REFUSED, **DEAD)
_OWN_TARGET = srv(SrvRecord(0, 0, 1, "a.example.org"), SrvRecord(1, 0, 2, NAME))


@pytest.mark.parametrize(
    ("code", "facts"),
    [
        # The deprecated records are not asked for where there are others.
        (
            "srv-record-unusable",
            evolve(_FOUR, srv=(*_FOUR.srv, *srv(_BAD, name=f"_matrix._tcp.{NAME}"))),
        ),
        # What connects is not dead, though there was no time for more.
        ("tcp-refused", evolve(_NO_TIME, endpoints=(_NO_TIME.endpoints[1], _REFUSED))),
        # Without addresses there can be no document.
        (
            "document-unreachable",
            evolve(
                at_host(good_facts("6"), NAME, addresses=()),
                endpoints=(),
                documents=(failed("example.org has no addresses"),),
            ),
        ),
        # An alias of another host is nobody's fault.
        (
            "document-to-alias",
            at_host(_DELEGATED, "matrix.example.org", canonical_name="hosting.example.net"),
        ),
        # The same document on the delegated host, in other letters.
        (
            "document-outdated-copy",
            evolve(_DELEGATED, delegated_document=document("Matrix.example.org:443")),
        ),
        (
            "document-delegates-again",
            evolve(_DELEGATED, delegated_document=document("matrix.example.org:443")),
        ),
        # That SRV records lead elsewhere is said only where they do.
        ("no-addresses", at_host(_DELEGATED, NAME, addresses=())),
        (
            "no-addresses",
            at_host(
                evolve(
                    _FOUR,
                    srv=_OWN_TARGET,
                    resolution=resolution("4", NAME, None, ["a.example.org:1", f"{NAME}:2"]),
                    endpoints=_FOUR.endpoints[:1],
                ),
                NAME,
                addresses=(),
            ),
        ),
    ],
)
def test_what_is_not_said(code: str, facts: ServerFacts) -> None:
    """Some things look like a fault that is none, or that is told already."""
    assert code not in codes(findings(facts), *Level)


@pytest.mark.parametrize(
    ("name", "host", "matches"),
    [
        ("a.example.org", "A.example.org", True),
        ("*.example.org", "a.example.org", True),
        ("*.example.org", "a.b.example.org", False),
        ("*.example.org", "example.org", False),
        ("*a.example.org", "a.example.org", False),
    ],
)
def test_names_in_certificates(name: str, host: str, matches: bool) -> None:
    """A wildcard stands for one label, and for a whole one."""
    assert is_for(handshake(name), host) is matches


def test_every_code_is_found_at_every_level() -> None:
    """The table above has a row for each code, at each level that it says."""
    rows = {(row.code, row.level) for row in FAULTS} | {("federation-open", Level.ERROR)}
    assert rows == {(code, level) for code, e in CATALOGUE.items() for level in e.levels}


def test_the_docstring_has_every_code() -> None:
    """`Finding` documents its codes."""
    assert Finding.__doc__ is not None
    for code, line in zip(CATALOGUE, catalogue_lines(), strict=True):
        assert line.startswith(f"{code} ")
        assert line in Finding.__doc__


def test_findings_are_in_order() -> None:
    """The worst comes first, then as the catalogue has them; places are told once, not facts."""
    facts = at_endpoints(with_second(good_facts("3.2"), V4_TOO), tries=2, version=version(number=1))
    found = findings(evolve(facts, delegated_document=document("matrix.example.org:1")))
    assert [each.code for each in found] == [
        "document-outdated-copy",
        "tcp-second-try",
        "version-incomplete",
    ]
    assert found[1].where == ("5.9.0.1:443", "5.9.0.2:443")
    assert all(len(set(each.where)) == len(each.where) for each in found)


def test_many_bad_keys_are_one_finding() -> None:
    """A document with a thousand faults of a kind has one, with the first of them."""
    many = evolve(keys(), faults=tuple(KeyFault("key_weak", f"key {n}") for n in range(1000)))
    found = findings(at_endpoints(good_facts("6"), key_document=many))
    (bad,) = [each for each in found if each.code == "keys-bad-key"]
    assert "key 7 and 992 more" in bad.fact


def test_a_finding_is_one_of_the_catalogue() -> None:
    """A level that a code is never found at is a mistake of ours; places are few."""
    with pytest.raises(ValueError, match="never found at"):
        Finding(code="tls-expired", level=Level.NOTE, fact="x", advice="y")
    many = Finding(
        code="tcp-refused", level=Level.ERROR, fact="x", advice="y", where=map(str, range(100))
    )
    assert many.where[-1] == "and 68 more"


def test_every_key_fault_is_a_finding() -> None:
    """Whatever `keys` finds wrong has its finding."""
    assert set(FINDING_OF) == set(KEY_FAULTS)
