"""What every cache must do."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import pytest

from matrix_resolve.core.entries import CacheEntry, reconciled
from matrix_resolve.core.questions import Answer, AskWellKnown, Question
from matrix_resolve.errors import CacheError
from matrix_resolve.interfaces import AnswerCache, InvalidationFeed, LeasingCache, PeekableCache
from matrix_resolve.testing.contract.base import Contract, may_be_given, steps, to_be_given
from matrix_resolve.testing.contract.entries import (
    ANSWERS,
    BETTER,
    DOWN,
    EXAMPLE,
    GOOD,
    NOW,
    OTHER,
    QUESTIONS,
    REFUSED,
    entry,
    entry_about,
    in_a_row,
)
from matrix_resolve.testing.fakes import FakeClock

_FAILURES = {
    "temporary failure": (DOWN, 1),
    "refusal": (REFUSED, 1),
    "failures in a row": (DOWN, 7),
}
_OPERATIONS: dict[str, Callable[[AnswerCache, CacheEntry], Awaitable[Any]]] = {
    "get": lambda cache, new: cache.get(EXAMPLE),
    "put": lambda cache, new: cache.put(EXAMPLE, new),
    "delete": lambda cache, new: cache.delete(EXAMPLE),
}


class AnswerCacheContract(Contract):
    """The rules of every `AnswerCache`.

        class TestMyCache(AnswerCacheContract):
            @pytest.fixture
            def cache(self, clock):
                return MyCache(clock=clock)

    `cache` is empty, and tells the time by `clock`, a `FakeClock`; for one that goes by
    `time.time()` the fixture calls `monkeypatch.setattr(time, "time", clock.time)`. An asynchronous
    fixture, for a cache that is opened and closed, is made by `pytest_asyncio.fixture`.

    `broken_cache` is one whose store can't be reached, or is broken; for those that can't fail it
    is left out, and the rule about errors is skipped.
    """

    cache: Any = to_be_given("the cache to try, empty, which tells the time by `clock`")
    broken_cache: Any = may_be_given("give a cache whose store is out of reach, if that can happen")

    @pytest.fixture
    def clock(self) -> FakeClock:
        """A clock that stands still."""
        return FakeClock()

    async def test_abilities(self, cache: AnswerCache) -> None:
        """Who has the methods of an optional Protocol is used by them, and so held to its rules."""
        kept = {each.__name__ for each in type(self).__mro__}
        for ability in (PeekableCache, LeasingCache, InvalidationFeed):
            rules = f"{ability.__name__}Contract"
            if isinstance(cache, ability):
                assert rules in kept, f"it is a {ability.__name__}: subclass {rules} too"

    # Round trips

    async def test_unknown_question(self, cache: AnswerCache) -> None:
        """About a question that nothing was put for, nothing is kept; to delete it does nothing."""
        assert await cache.get(EXAMPLE) is None
        await cache.delete(EXAMPLE)
        assert await cache.get(EXAMPLE) is None

    @pytest.mark.parametrize(("question", "answer"), ANSWERS.values(), ids=ANSWERS)
    async def test_put_then_get(
        self, cache: AnswerCache, question: Question, answer: Answer
    ) -> None:
        """What was put is given back, each time, whatever kind of answer it is."""
        put = entry(answer, question)
        await cache.put(question, put)
        assert await cache.get(question) == put
        assert await cache.get(question) == put

    @pytest.mark.parametrize(("failure", "times"), _FAILURES.values(), ids=_FAILURES)
    async def test_failure_with_a_reserve(
        self, cache: AnswerCache, clock: FakeClock, failure: Answer, times: int
    ) -> None:
        """A failure brings the last good answer along, and how many there were in a row."""
        known = entry(GOOD)
        for number in range(times):
            known = entry(failure, previous=known, asked_at=NOW + 1 + number)
        assert known.reserve is not None
        assert known.failures == times
        clock.advance(times)
        await cache.put(EXAMPLE, known)
        assert await cache.get(EXAMPLE) == known

    async def test_expired_entry(self, cache: AnswerCache, clock: FakeClock) -> None:
        """An entry past its lifetime is given as long as it may be of use."""
        put = entry(GOOD).expired(NOW)
        await cache.put(EXAMPLE, put)
        clock.advance(1)
        assert await cache.get(EXAMPLE) == put

    # Keys

    async def test_nothing_comes_back_for_another_question(self, cache: AnswerCache) -> None:
        """Each question has an entry of its own, however much its name is like another's."""
        for number, question in enumerate(QUESTIONS):
            for later in QUESTIONS[number:]:
                assert await cache.get(later) is None
            await cache.put(question, entry_about(question))
        for question in QUESTIONS:
            assert await cache.get(question) == entry_about(question)
        await cache.delete(QUESTIONS[0])
        assert await cache.get(QUESTIONS[0]) is None
        for question in QUESTIONS[1:]:
            assert await cache.get(question) is not None

    async def test_spellings_share_an_entry(self, cache: AnswerCache) -> None:
        """Letter case does not matter: the key does."""
        spelled = AskWellKnown("Example.ORG")
        put = entry(GOOD, spelled)
        await cache.put(spelled, put)
        assert await cache.get(EXAMPLE) == put
        await cache.delete(AskWellKnown("EXAMPLE.org"))
        assert await cache.get(spelled) is None

    # Until when

    @pytest.mark.parametrize("answer", [GOOD, DOWN, REFUSED], ids=["good", "failure", "refusal"])
    async def test_end_of_an_entry(
        self, cache: AnswerCache, clock: FakeClock, answer: Answer
    ) -> None:
        """An entry is given until `keep_until`, fresh or not, and never from then on."""
        put = entry(answer)
        await cache.put(EXAMPLE, put)
        clock.advance(put.fresh_until - NOW)
        assert await cache.get(EXAMPLE) == put
        clock.advance(put.keep_until - put.fresh_until - 1)
        assert await cache.get(EXAMPLE) == put
        clock.advance(1)
        assert await cache.get(EXAMPLE) is None
        clock.advance(1e9)
        assert await cache.get(EXAMPLE) is None

    async def test_put_past_the_end(self, cache: AnswerCache, clock: FakeClock) -> None:
        """An entry that is put when its end has passed is never given."""
        late = entry(GOOD)
        clock.advance(late.keep_until - NOW)
        await cache.put(EXAMPLE, late)
        assert await cache.get(EXAMPLE) is None

    async def test_room_after_the_end(self, cache: AnswerCache, clock: FakeClock) -> None:
        """In the place of an entry that has ended, the next one is kept, a failure too."""
        old = entry(GOOD)
        await cache.put(EXAMPLE, old)
        clock.advance(old.keep_until - NOW)
        new = entry(DOWN, asked_at=clock.time())
        await cache.put(EXAMPLE, new)
        assert await cache.get(EXAMPLE) == new

    # One after the other

    def kept_of(self, first: CacheEntry, second: CacheEntry) -> tuple[CacheEntry, ...]:
        """Return what may be kept when `second` was put after `first`.

        That is the second, or what a cache that many write to makes of both.
        """
        return second, reconciled(first, second)

    @pytest.mark.parametrize("first", in_a_row())
    async def test_two_puts(self, cache: AnswerCache, first: str) -> None:
        """The second takes the place of the first, unless the first is known to be better."""
        for number, second in enumerate(in_a_row()):
            question = AskWellKnown(f"{number}.example")
            entries = in_a_row(question)
            await cache.put(question, entries[first])
            await cache.put(question, entries[second])
            kept = self.kept_of(entries[first], entries[second])
            assert await cache.get(question) in kept, second

    async def test_delete(self, cache: AnswerCache, clock: FakeClock) -> None:
        """What was deleted does not come back, until it is asked anew; nothing else is touched."""
        await cache.put(EXAMPLE, entry(DOWN, previous=entry(GOOD)))
        await cache.put(OTHER, entry(GOOD, OTHER))
        for _ in range(2):
            await cache.delete(EXAMPLE)
            assert await cache.get(EXAMPLE) is None
        assert await cache.get(OTHER) == entry(GOOD, OTHER)
        clock.advance(1)
        again = entry(DOWN, asked_at=clock.time())
        await cache.put(EXAMPLE, again)
        assert await cache.get(EXAMPLE) == again

    # At the same time

    @pytest.mark.parametrize("started", [1, 2, 3, 5, 8, 13, 21, 34])
    async def test_delete_while_a_put_is_under_way(
        self, cache: AnswerCache, clock: FakeClock, started: int
    ) -> None:
        """An entry that is being put when its question is deleted does not stay.

        Not either when each goes by a connection of its own, of which any may be the quicker.
        """
        async with asyncio.timeout(self.patience):
            # Connected, by several connections if it is one that has several.
            await asyncio.gather(*(cache.put(q, entry_about(q)) for q in QUESTIONS))
            clock.advance(1)
            for number in range(20):
                question = AskWellKnown(f"{number}.example")
                putting = asyncio.ensure_future(cache.put(question, entry(GOOD, question)))
                await steps(started)
                await cache.delete(question)
                await putting
                assert await cache.get(question) is None

    async def test_many_at_once(self, cache: AnswerCache) -> None:
        """A hundred questions at once do not get into each other's way."""
        questions = [AskWellKnown(f"{number}.example") for number in range(100)]
        async with asyncio.timeout(self.patience):
            await asyncio.gather(*(cache.put(q, entry(GOOD, q)) for q in questions))
            found = await asyncio.gather(*(cache.get(q) for q in questions))
            assert found == [entry(GOOD, q) for q in questions]
            await asyncio.gather(*(cache.delete(q) for q in questions[::2]))
            found = await asyncio.gather(*(cache.get(q) for q in questions))
        assert [e is None for e in found] == [True, False] * 50

    @pytest.mark.parametrize("operation", _OPERATIONS)
    async def test_cancelled_at_any_moment(
        self, cache: AnswerCache, clock: FakeClock, operation: str
    ) -> None:
        """Who is cancelled has done it or not, and the cache goes on as before."""
        other = entry(GOOD, OTHER)
        await cache.put(OTHER, other)
        async with asyncio.timeout(self.patience):
            for count in range(30):
                clock.advance(1)
                before = entry(GOOD, asked_at=clock.time())
                await cache.put(EXAMPLE, before)
                clock.advance(1)
                new = entry(BETTER, asked_at=clock.time())
                task = asyncio.ensure_future(_OPERATIONS[operation](cache, new))
                await steps(count)
                await self.ended(task)
                after = {"get": before, "put": new, "delete": None}[operation]
                assert await cache.get(EXAMPLE) in (before, after)
                assert await cache.get(OTHER) == other
                await cache.delete(EXAMPLE)
                assert await cache.get(EXAMPLE) is None

    async def test_errors(self, broken_cache: AnswerCache) -> None:
        """What can't be done is a `CacheError` or nothing at all, and never anything else."""
        for operation in _OPERATIONS.values():
            async with asyncio.timeout(self.patience):
                with suppress(CacheError):
                    assert await operation(broken_cache, entry(GOOD)) is None
