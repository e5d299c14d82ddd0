"""Questions: one value a question, whatever the letter case, and a stable key; texts of answers."""

from collections.abc import Callable
from typing import Any

import pytest

from matrix_resolve.core.answer_json import answer_from_dict, answer_to_dict
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
    SrvFailed,
    hostname_of,
    question_of,
)
from matrix_resolve.core.story import describe

QUESTIONS = [
    # question, the same in another spelling, key, text
    pytest.param(
        AskWellKnown("example.org"),
        AskWellKnown("EXAMPLE.org"),
        "wk:example.org",
        "https://example.org/.well-known/matrix/server",
        id="well-known",
    ),
    pytest.param(
        AskSrv("_matrix-fed._tcp.example.org"),
        AskSrv("_Matrix-Fed._TCP.Example.Org"),
        "srv:_matrix-fed._tcp.example.org",
        "SRV _matrix-fed._tcp.example.org",
        id="SRV",
    ),
    pytest.param(
        AskAddresses("example.org"),
        AskAddresses("Example.ORG"),
        "addr:example.org",
        "addresses of example.org",
        id="addresses",
    ),
]


@pytest.mark.parametrize(("question", "spelled", "key", "text"), QUESTIONS)
def test_question_ignores_case(question: Question, spelled: Question, key: str, text: str) -> None:
    """Spellings of one name are one question, with one lower-case key and text."""
    assert question == spelled
    assert hash(question) == hash(spelled)
    assert question.key == spelled.key == key
    assert str(question) == str(spelled) == text


@pytest.mark.parametrize("question", [row.values[0] for row in QUESTIONS])
def test_question_of_a_key(question: Question) -> None:
    """A key leads back to its question."""
    assert question_of(question.key) == question


@pytest.mark.parametrize(
    ("question", "hostname"),
    [
        (AskWellKnown("Example.org"), "example.org"),
        (AskSrv("_matrix-fed._tcp.example.org"), "example.org"),
        (AskSrv("_matrix._tcp.tcp.example"), "tcp.example"),
        (AskAddresses("example.org"), "example.org"),
    ],
)
def test_hostname_of_a_key(question: Question, hostname: str) -> None:
    """It is the hostname of the server name that the question is about."""
    assert hostname_of(question.key) == hostname


@pytest.mark.parametrize("key", ["", "wk", "wk:", "mx:example.org", "example.org", ":example.org"])
def test_key_of_no_question(key: str) -> None:
    """What is no key is nobody's."""
    assert question_of(key) is None


def test_questions_of_different_kinds_differ() -> None:
    """The same name makes three different questions with three different keys."""
    asked = {AskWellKnown("example.org"), AskSrv("example.org"), AskAddresses("example.org")}
    assert len(asked) == 3
    assert len({question.key for question in asked}) == 3


NAME = ServerName.parse("a.example")
TEXTS: list[Any] = [
    # how an answer is made of a text, the text that it keeps, how long it may be
    pytest.param(lambda text: Delegated(NAME, text), lambda a: a.url, 200, id="Delegated.url"),
    pytest.param(NotDelegated, lambda a: a.reason, 400, id="NotDelegated.reason"),
    pytest.param(
        lambda text: NotDelegated("no", url=text), lambda a: a.url, 200, id="NotDelegated.url"
    ),
    pytest.param(NoSrvRecords, lambda a: a.reason, 400, id="NoSrvRecords.reason"),
    pytest.param(SrvFailed, lambda a: a.reason, 400, id="SrvFailed.reason"),
    pytest.param(AddressesFailed, lambda a: a.reason, 400, id="AddressesFailed.reason"),
    pytest.param(
        lambda text: Addresses((), text), lambda a: a.canonical_name, 400, id="canonical_name"
    ),
]


@pytest.mark.parametrize(("made", "kept", "most"), TEXTS)
def test_texts_of_answers_are_short_and_printable(
    made: Callable[[Any], Answer], kept: Callable[[Any], str], most: int
) -> None:
    """Wherever a stranger's text comes from, an answer keeps it as it may be told."""
    assert kept(made("no connection")) == "no connection"
    assert kept(made("\x1b[2J\x00\n\ud800")) == r"\x1b[2J\x00\n\ud800"
    long = made("x" * 10**6)
    assert kept(long) == "x" * (most - 3) + "..."
    assert len(describe(long)) < most + 100
    assert kept(made(5)) == "5"
    assert answer_from_dict(answer_to_dict(long)) == long


def test_flags_are_flags() -> None:
    """What a plug-in says of a failure crosses processes as booleans."""
    answer = NotDelegated("no", temporary=1, own_trouble="")  # type: ignore[arg-type]
    assert (answer.temporary, answer.own_trouble) == (True, False)
    assert answer_from_dict(answer_to_dict(answer)) == answer
