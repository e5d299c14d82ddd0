"""The log of invalidations: one comparison tells what is void."""

from collections.abc import Collection
from contextlib import suppress

import pytest
from attrs import evolve

from matrix_resolve.core import invalidations as module
from matrix_resolve.core.entries import CacheEntry, Reserve
from matrix_resolve.core.invalidations import Invalidations, asked_since, oldest
from matrix_resolve.core.names import ServerName
from matrix_resolve.core.questions import (
    AskAddresses,
    AskWellKnown,
    Delegated,
    NotDelegated,
    Question,
)

A, B, C = (AskWellKnown(f"{letter}.example") for letter in "abc")


def test_what_was_asked_before_is_void() -> None:
    """An answer asked before the invalidation of its question is void, one asked after is not."""
    log = Invalidations()
    before = log.epoch
    log.note([A, B])
    for question in (A, B):
        assert log.since(before, question.key)
        assert not log.since(log.epoch, question.key)


def test_strangers_are_left_alone() -> None:
    """Other questions are not touched, those of the same name and another kind neither."""
    log = Invalidations()
    before = log.epoch
    log.note([A])
    assert not log.since(before, B.key)
    assert not log.since(before, AskAddresses("a.example").key)
    assert not log.since(before)
    assert log.since(before, B.key, A.key)


def test_each_invalidation_counts_by_itself() -> None:
    """Between two invalidations only the second is to come."""
    log = Invalidations()
    log.note([A])
    between = log.epoch
    log.note([B])
    assert (log.since(between, A.key), log.since(between, B.key)) == (False, True)
    log.note([A])
    assert log.since(between, A.key)


def test_everything() -> None:
    """None stands for all questions, and for what rests on none too."""
    log = Invalidations()
    before = log.epoch
    log.note(None)
    assert log.since(before, C.key)
    assert log.since(before)
    assert not log.since(log.epoch, C.key)


def test_while_it_is_deleted() -> None:
    """What was read in the middle is void at the end, also when deleting failed."""
    log = Invalidations()
    before = log.epoch
    with suppress(ZeroDivisionError), log.until_deleted([A]):
        assert log.since(before, A.key)
        middle = log.epoch
        raise ZeroDivisionError
    assert log.since(middle, A.key)
    assert not log.since(middle, B.key)


def test_nothing_is_kept_while_it_is_deleted() -> None:
    """As long as one deletion goes on, what was read just now may not be kept either."""
    log = Invalidations()
    with log.until_deleted([A]):
        with log.until_deleted([A, B]):
            assert [log.forbids(log.epoch, question) for question in (A, B, C)] == [1, 1, 0]
        assert [log.forbids(log.epoch, question) for question in (A, B, C)] == [1, 0, 0]
        middle = log.epoch
    assert [log.forbids(middle, question) for question in (A, B, C)] == [1, 0, 0]
    assert not log.forbids(log.epoch, A)
    with suppress(ZeroDivisionError), log.until_deleted([A]):
        raise ZeroDivisionError
    assert not log.forbids(log.epoch, A)


def test_the_log_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """When it is full everything that is older counts as invalidated, and it begins afresh."""
    monkeypatch.setattr(module, "_LONGEST", 3)
    log = Invalidations()
    beginning = log.epoch
    for number in range(3):
        log.note([AskWellKnown(f"n{number}.example")])
        assert not log.since(beginning, A.key)
    last = log.epoch
    log.note([AskWellKnown("n3.example")])
    assert log.since(last, A.key)
    assert not log.since(log.epoch, A.key)
    assert len(log._last) <= 3


def test_subscribers_hear_all() -> None:
    """Whoever subscribes is told of each, once it is noted."""
    log, heard = Invalidations(), list[tuple[int, Collection[Question] | None]]()
    log.subscribe(lambda questions: heard.append((log.epoch, questions)))
    log.note([A])
    log.note(None)
    assert heard == [(1, [A]), (2, None)]


def test_one_log_may_follow_another() -> None:
    """What is noted in one is noted in one that subscribes, and not the other way round."""
    one, other = Invalidations(), Invalidations()
    one.subscribe(other.note)
    one.note([A])
    assert other.since(0, A.key)
    epoch = one.epoch
    other.note([B])
    assert not one.since(epoch, B.key)


def test_the_log_holds_ten_thousand() -> None:
    """Beyond so many questions it takes no more memory, and forgets no invalidation."""
    log = Invalidations()
    beginning, most = log.epoch, 0
    for number in range(25_000):
        log.note([AskWellKnown(f"n{number}.example")])
        most = max(most, len(log._last))
    assert most == 10_000
    assert all(log.since(beginning, AskWellKnown(f"n{n}.example")) for n in (0, 12_345, 24_999))
    assert not log.since(log.epoch, A.key)


RESERVE = Reserve(
    answer=Delegated(ServerName.parse("hs.example"), ""),
    asked_at=100,
    fresh_until=200,
    stale_until=300,
)
FAILED = CacheEntry(
    key=A.key,
    outcome=NotDelegated("down", temporary=True),
    asked_at=150,
    fresh_until=160,
    keep_until=300,
    reserve=RESERVE,
)
ALONE = evolve(FAILED, reserve=None)


@pytest.mark.parametrize(
    ("entry", "deleted_at", "left"),
    [
        (FAILED, 0, FAILED),
        (FAILED, 100, FAILED),
        (FAILED, 101, ALONE),
        (FAILED, 150, ALONE),
        (FAILED, 151, None),
        (ALONE, 150, ALONE),
        (ALONE, 151, None),
    ],
)
def test_what_was_asked_since(
    entry: CacheEntry, deleted_at: float, left: CacheEntry | None
) -> None:
    """By moments too: what was asked before a deletion goes, be it the answer in reserve only."""
    assert asked_since(entry, deleted_at) == left
    assert oldest(FAILED) == 100
    assert oldest(ALONE) == 150
