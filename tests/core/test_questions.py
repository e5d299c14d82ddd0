"""Questions: one value a question, whatever the letter case, and a stable key."""

import pytest

from matrix_resolve.core.questions import AskAddresses, AskSrv, AskWellKnown, Question, question_of

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


@pytest.mark.parametrize("key", ["", "wk", "wk:", "mx:example.org", "example.org", ":example.org"])
def test_key_of_no_question(key: str) -> None:
    """What is no key is nobody's."""
    assert question_of(key) is None


def test_questions_of_different_kinds_differ() -> None:
    """The same name makes three different questions with three different keys."""
    asked = {AskWellKnown("example.org"), AskSrv("example.org"), AskAddresses("example.org")}
    assert len(asked) == 3
    assert len({question.key for question in asked}) == 3
