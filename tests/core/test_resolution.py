"""The result: a value that compares, prints and turns into JSON."""

import copy
import inspect
import json
import pickle
from datetime import UTC, datetime
from typing import Any

import pytest
from attrs import evolve
from attrs.exceptions import FrozenInstanceError

from matrix_resolve.core.entries import CacheEntry
from matrix_resolve.core.names import ServerName
from matrix_resolve.core.packed import from_answer, pack
from matrix_resolve.core.procedure import Decision
from matrix_resolve.core.questions import AskSrv, AskWellKnown, Delegated, SrvRecords
from matrix_resolve.core.replies import SrvRecord
from matrix_resolve.core.resolution import Endpoint, Resolution, Step, Target
from matrix_resolve.core.story import TrailEntry

DELEGATED = ServerName.parse("Hs.example.net")
URL = "https://example.org/.well-known/matrix/server"
RECORDS = SrvRecords((SrvRecord(10, 5, 443, "a.example.net"), SrvRecord(20, 0, 8448, "b.example")))
TRAIL = (
    TrailEntry(
        question=AskWellKnown("example.org"),
        answer=Delegated(DELEGATED, URL),
        from_cache=False,
        duration=0.1234567,
        kept_for=86400.12345,
    ),
    TrailEntry(
        question=AskSrv("_matrix-fed._tcp.hs.example.net"),
        answer=RECORDS,
        from_cache=True,
        duration=0.0,
        kept_for=12.0,
        stale=True,
        failure="SERVFAIL",
    ),
)
FULL = Resolution(
    server_name=ServerName.parse("example.org"),
    step=Step.WELL_KNOWN_SRV,
    host_header="Hs.example.net",
    tls_name="Hs.example.net",
    targets=(
        Target(host="a.example.net", port=443, priority=10, weight=5),
        Target(host="b.example", port=8448, priority=20),
    ),
    delegated_to=DELEGATED,
    expires_at=datetime(2026, 11, 22, 12, 30, tzinfo=UTC),
    stale=True,
    degraded=True,
    trail=TRAIL,
)
PLAIN = Resolution(
    server_name=ServerName.parse("[2001:db8::1]"),
    step=Step.IP_LITERAL,
    host_header="[2001:db8::1]",
    tls_name="2001:db8::1",
    targets=(Target(host="2001:db8::1", port=8448),),
)

LINES = [
    # resolution, its line
    pytest.param(
        PLAIN,
        "[2001:db8::1]: connect to [2001:db8::1]:8448, Host [2001:db8::1], "
        "certificate for 2001:db8::1 (step 1)",
        id="an IP literal",
    ),
    pytest.param(
        FULL,
        "example.org: connect to a.example.net:443, b.example:8448, Host Hs.example.net, "
        "certificate for Hs.example.net (step 3.3, stale, degraded)",
        id="delegated, stale and degraded",
    ),
    pytest.param(
        evolve(FULL, stale=False, targets=FULL.targets[:1]),
        "example.org: connect to a.example.net:443, Host Hs.example.net, "
        "certificate for Hs.example.net (step 3.3, degraded)",
        id="degraded only",
    ),
]


@pytest.mark.parametrize(("resolution", "line"), LINES)
def test_text_is_one_readable_line(resolution: Resolution, line: str) -> None:
    """All that a connection needs stands on one line."""
    assert str(resolution) == line


FULL_DICT = {
    "version": 1,
    "server_name": "example.org",
    "step": "3.3",
    "host_header": "Hs.example.net",
    "tls_name": "Hs.example.net",
    "targets": [
        {"host": "a.example.net", "port": 443, "priority": 10, "weight": 5},
        {"host": "b.example", "port": 8448, "priority": 20, "weight": 0},
    ],
    "delegated_to": "Hs.example.net",
    "expires_at": "2026-11-22T12:30:00+00:00",
    "stale": True,
    "degraded": True,
    "trail": [
        {
            "question": "wk:example.org",
            "answer": {"kind": "delegated", "to": "Hs.example.net", "url": URL},
            "from_cache": False,
            "duration": 0.123457,
            "kept_for": 86400.123,
            "stale": False,
            "failure": None,
        },
        {
            "question": "srv:_matrix-fed._tcp.hs.example.net",
            "answer": {
                "kind": "srv_records",
                "records": [[10, 5, 443, "a.example.net"], [20, 0, 8448, "b.example"]],
            },
            "from_cache": True,
            "duration": 0.0,
            "kept_for": 12.0,
            "stale": True,
            "failure": "SERVFAIL",
        },
    ],
}
PLAIN_DICT = {
    "version": 1,
    "server_name": "[2001:db8::1]",
    "step": "1",
    "host_header": "[2001:db8::1]",
    "tls_name": "2001:db8::1",
    "targets": [{"host": "2001:db8::1", "port": 8448, "priority": 0, "weight": 0}],
    "delegated_to": None,
    "expires_at": None,
    "stale": False,
    "degraded": False,
    "trail": [],
}


@pytest.mark.parametrize(
    ("resolution", "expected"),
    [
        pytest.param(FULL, FULL_DICT, id="delegated, stale and degraded"),
        pytest.param(PLAIN, PLAIN_DICT, id="an IP literal"),
    ],
)
def test_dictionary_has_stable_keys(resolution: Resolution, expected: dict[str, Any]) -> None:
    """The dictionary is exactly this, and JSON carries it unchanged."""
    found = resolution.to_dict()
    assert found == expected
    assert list(found) == list(expected)
    assert json.loads(json.dumps(found, allow_nan=False)) == expected


LEFT_OUT = [
    pytest.param({"trail": ()}, id="trail"),
    pytest.param({"expires_at": None}, id="expires_at"),
]
COUNTED = [
    pytest.param({"server_name": ServerName.parse("Example.org")}, id="server_name"),
    pytest.param({"step": Step.SRV}, id="step"),
    pytest.param({"host_header": "hs.example.net"}, id="host_header"),
    pytest.param({"tls_name": "hs.example.net"}, id="tls_name"),
    pytest.param({"targets": FULL.targets[::-1]}, id="order of targets"),
    pytest.param({"delegated_to": None}, id="delegated_to"),
    pytest.param({"stale": False}, id="stale"),
    pytest.param({"degraded": False}, id="degraded"),
]


@pytest.mark.parametrize("change", LEFT_OUT)
def test_equality_leaves_out(change: dict[str, Any]) -> None:
    """Two resolutions that lead to the same place are equal, however and whenever found."""
    other = evolve(FULL, **change)
    assert other == FULL
    assert hash(other) == hash(FULL)


@pytest.mark.parametrize("change", COUNTED)
def test_equality_counts(change: dict[str, Any]) -> None:
    """Any difference in where or how to connect makes another resolution."""
    assert evolve(FULL, **change) != FULL


def test_a_server_called_none_is_not_none() -> None:
    """Nothing delegated to is no server, whatever that may be called."""
    called = evolve(FULL, delegated_to=ServerName.parse("None"))
    assert called != evolve(FULL, delegated_to=None)


def test_other_targets_are_all_that_changes() -> None:
    """Drawn anew, it tells everything else as before, what equality leaves out too."""
    drawn = FULL.with_targets(FULL.targets[::-1])
    assert drawn.targets == FULL.targets[::-1]
    assert drawn.with_targets(FULL.targets).to_dict() == FULL.to_dict()


def test_copies() -> None:
    """Copies are equal and tell the same, by whichever way they were made."""
    for copied in (copy.copy(FULL), copy.deepcopy(FULL), pickle.loads(pickle.dumps(FULL))):
        assert copied == FULL
        assert hash(copied) == hash(FULL)
        assert copied.to_dict() == FULL.to_dict()


def test_resolution_is_frozen() -> None:
    """Many callers share one resolution, so none can change it."""
    with pytest.raises(FrozenInstanceError):
        PLAIN.host_header = "evil.example"  # type: ignore[misc]


def test_repr_leaves_the_trail_out() -> None:
    """A repr in a log stays short, whatever was asked on the way."""
    assert repr(FULL) == repr(evolve(FULL, trail=()))
    assert "hs.example.net" in repr(FULL).lower()


BY_NAME = [Resolution, Target, Endpoint, TrailEntry, Decision, CacheEntry, ServerName]


@pytest.mark.parametrize("kind", BY_NAME, ids=lambda kind: kind.__name__)
def test_value_is_built_by_name(kind: type) -> None:
    """Fields are given by name, so that later ones can stand anywhere."""
    parameters = inspect.signature(kind).parameters.values()
    assert {parameter.kind for parameter in parameters} == {inspect.Parameter.KEYWORD_ONLY}


TARGETS = [
    # target, text
    pytest.param(Target(host="a.example", port=443), "a.example:443", id="DNS name"),
    pytest.param(Target(host="192.0.2.1", port=8448), "192.0.2.1:8448", id="IPv4"),
    pytest.param(Target(host="2001:db8::1", port=8448), "[2001:db8::1]:8448", id="IPv6"),
]


@pytest.mark.parametrize(("target", "text"), TARGETS)
def test_target_as_text(target: Target, text: str) -> None:
    """A target reads as in a URL."""
    assert str(target) == text


def packed(full: Resolution) -> Resolution:
    """The same as the resolver keeps it: a text, seconds, and a packed trail."""
    assert full.expires_at is not None
    rows = tuple(
        (
            from_answer(entry.question.key, entry.answer),
            entry.from_cache,
            entry.duration,
            entry.kept_for,
            entry.stale,
            entry.failure,
        )
        for entry in full.trail
    )
    keys = " ".join(entry.question.key for entry in full.trail)
    return evolve(
        full,
        delegated_to=str(full.delegated_to),
        expires_at=full.expires_at.timestamp(),
        trail=pack((keys, pack(rows))),
    )


def test_what_is_kept_packed_reads_the_same() -> None:
    """Nobody can tell how it is kept."""
    kept = packed(FULL)
    assert kept == FULL
    assert hash(kept) == hash(FULL)
    assert (kept.delegated_to, kept.expires_at) == (FULL.delegated_to, FULL.expires_at)
    assert kept.trail == FULL.trail
    assert kept.explain() == FULL.explain()
    assert kept.to_dict() == FULL.to_dict()


@pytest.mark.parametrize("resolution", [FULL, packed(FULL)], ids=["as made", "packed"])
def test_other_targets(resolution: Resolution) -> None:
    """All else is the same."""
    targets = FULL.targets[::-1]
    other = resolution.with_targets(targets)
    assert other == evolve(FULL, targets=targets)
    assert (other.trail, other.expires_at) == (FULL.trail, FULL.expires_at)
