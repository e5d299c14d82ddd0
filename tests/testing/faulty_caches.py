"""Caches with one fault or none, and by which rules of the contract each is found out.

Not collected with the tests: test_contract.py runs it, and wants those rules to fail.
"""

import asyncio
import math
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from typing import Any

import pytest
from attrs import evolve
from contract_faults import tried

from matrix_resolve import (
    CacheEntry,
    CacheError,
    Question,
)
from matrix_resolve.interfaces import Lease
from matrix_resolve.testing import FakeClock
from matrix_resolve.testing.contract import (
    AnswerCacheContract,
    InvalidationFeedContract,
    LeasingCacheContract,
    PeekableCacheContract,
    SharedCacheContract,
)


class Store:
    """What caches over one store share."""

    def __init__(self) -> None:
        self.entries: dict[str, CacheEntry] = {}
        self.leases: dict[str, tuple[object, float]] = {}
        self.feeds: list[tuple[object, asyncio.Queue[str | None]]] = []


class Good:
    """A cache without a fault, over a dictionary."""

    def __init__(self, clock: FakeClock, store: Store | None = None) -> None:
        self.clock = clock
        self.store = Store() if store is None else store
        self.entries = self.store.entries

    def key(self, question: Question) -> str:
        """What an entry is kept under."""
        return question.key

    async def get(self, question: Question, /) -> CacheEntry | None:
        """Get."""
        kept = self.entries.get(self.key(question))
        return kept if kept is not None and self.clock.time() < kept.keep_until else None

    async def put(self, question: Question, entry: CacheEntry, /) -> None:
        """Put."""
        self.entries[self.key(question)] = entry

    async def delete(self, question: Question, /) -> None:
        """Delete."""
        self.entries.pop(self.key(question), None)


class Caching(AnswerCacheContract):
    """Tries a class of caches."""

    patience = 0.5
    kind: type[Good]

    @pytest.fixture
    def cache(self, clock: FakeClock) -> Any:
        return self.kind(clock)

    @pytest.fixture
    def broken_cache(self, clock: FakeClock) -> Any:
        return self.kind(clock)


class Sharing(Caching):
    """Tries a class of caches that share a store."""

    @pytest.fixture
    def store(self) -> Store:
        return Store()

    @pytest.fixture
    def cache(self, clock: FakeClock, store: Store) -> Any:
        return self.kind(clock, store)

    @pytest.fixture
    def elsewhere(self, clock: FakeClock, store: Store) -> Any:
        return self.kind(clock, store)


def cache_fault(*rules: str, by: type = Caching) -> Callable[[type], type]:
    """Try this faulty class of caches."""

    def made(kind: type) -> type:
        tried(kind, by, rules)
        return kind

    return made


tried(Good, Caching, ())


@cache_fault("test_unknown_question")
class DeletesByPop(Good):
    async def delete(self, question: Question, /) -> None:
        del self.entries[self.key(question)]


@cache_fault("test_put_then_get", "test_failure_with_a_reserve")
class ForgetsFailures(Good):
    async def put(self, question: Question, entry: CacheEntry, /) -> None:
        if not entry.failures:
            await super().put(question, entry)


@cache_fault("test_put_then_get")
class GivesOnce(Good):
    async def get(self, question: Question, /) -> CacheEntry | None:
        found = await super().get(question)
        self.entries.pop(self.key(question), None)
        return found


@cache_fault("test_put_then_get")
class SpoilsText(Good):
    async def put(self, question: Question, entry: CacheEntry, /) -> None:
        ascii_only = entry.to_json().replace(b"\\", b"")
        with suppress(CacheError):
            await super().put(question, CacheEntry.from_json(ascii_only))


@cache_fault("test_failure_with_a_reserve")
class DropsTheReserve(Good):
    async def put(self, question: Question, entry: CacheEntry, /) -> None:
        await super().put(question, evolve(entry, reserve=None))


@cache_fault("test_failure_with_a_reserve")
class CountsNoFailures(Good):
    async def put(self, question: Question, entry: CacheEntry, /) -> None:
        await super().put(question, evolve(entry, failures=min(entry.failures, 1)))


@cache_fault("test_expired_entry", "test_end_of_an_entry")
class EndsWithFreshness(Good):
    async def get(self, question: Question, /) -> CacheEntry | None:
        found = await super().get(question)
        return found if found is not None and found.is_fresh(self.clock.time()) else None


@cache_fault("test_end_of_an_entry", "test_put_past_the_end")
class NeverEnds(Good):
    async def get(self, question: Question, /) -> CacheEntry | None:
        return self.entries.get(self.key(question))


@cache_fault("test_end_of_an_entry")
class EndsASecondLate(Good):
    async def get(self, question: Question, /) -> CacheEntry | None:
        kept = self.entries.get(self.key(question))
        return kept if kept is not None and self.clock.time() <= kept.keep_until else None


@cache_fault("test_room_after_the_end")
class KeepsGoodAnswers(Good):
    async def put(self, question: Question, entry: CacheEntry, /) -> None:
        if not (self.key(question) in self.entries and entry.failures):
            await super().put(question, entry)


@cache_fault("test_two_puts")
class FirstWins(Good):
    async def put(self, question: Question, entry: CacheEntry, /) -> None:
        self.entries.setdefault(self.key(question), entry)


@cache_fault("test_nothing_comes_back_for_another_question")
class KeysByName(Good):
    def key(self, question: Question) -> str:
        return question.key.partition(":")[2]


@cache_fault("test_nothing_comes_back_for_another_question")
class ShortKeys(Good):
    def key(self, question: Question) -> str:
        return question.key[:64]


@cache_fault("test_spellings_share_an_entry")
class KeysByIdentity(Good):
    def key(self, question: Question) -> str:
        return str(id(question))


@cache_fault("test_delete")
class DeletesAll(Good):
    async def delete(self, question: Question, /) -> None:
        self.entries.clear()


@cache_fault("test_delete", "test_nothing_comes_back_for_another_question")
class DeletesNothing(Good):
    async def delete(self, question: Question, /) -> None:
        pass


@cache_fault("test_delete")
class NeverAgain(Good):
    def __init__(self, clock: FakeClock, store: Store | None = None) -> None:
        super().__init__(clock, store)
        self.deleted: set[str] = set()

    async def put(self, question: Question, entry: CacheEntry, /) -> None:
        if question.key not in self.deleted:
            await super().put(question, entry)

    async def delete(self, question: Question, /) -> None:
        self.deleted.add(question.key)
        await super().delete(question)


@cache_fault("test_delete_while_a_put_is_under_way")
class PutsLate(Good):
    async def put(self, question: Question, entry: CacheEntry, /) -> None:
        await asyncio.sleep(0.01)
        await super().put(question, entry)


@cache_fault("test_delete_while_a_put_is_under_way")
class ConnectionsOvertake(Good):
    """The second of two connections is opened when the first is busy, and slower."""

    busy, second = 0, False

    async def put(self, question: Question, entry: CacheEntry, /) -> None:
        self.busy += 1
        self.second |= self.busy > 1
        if self.second:
            await asyncio.sleep(0.001)
        await super().put(question, entry)
        await asyncio.sleep(0)
        self.busy -= 1


@cache_fault("test_many_at_once")
class OneAtATime(Good):
    busy = False

    async def get(self, question: Question, /) -> CacheEntry | None:
        if self.busy:
            raise CacheError("busy")
        self.busy = True
        await asyncio.sleep(0)
        self.busy = False
        return await super().get(question)


@cache_fault("test_many_at_once")
class MixesUp(Good):
    asked: Question

    async def get(self, question: Question, /) -> CacheEntry | None:
        self.asked = question
        await asyncio.sleep(0)
        return await super().get(self.asked)


@cache_fault("test_cancelled_at_any_moment")
class LocksForEver(Good):
    locked = False

    async def put(self, question: Question, entry: CacheEntry, /) -> None:
        while self.locked:  # noqa: ASYNC110
            await asyncio.sleep(0)
        self.locked = True
        await asyncio.sleep(0)
        await super().put(question, entry)
        self.locked = False


@cache_fault("test_cancelled_at_any_moment")
class PutsByHalves(Good):
    async def put(self, question: Question, entry: CacheEntry, /) -> None:
        self.entries.pop(question.key, None)
        await asyncio.sleep(0)
        await super().put(question, entry)


@cache_fault("test_errors")
class RaisesItsOwn(Good):
    async def put(self, question: Question, entry: CacheEntry, /) -> None:
        raise ConnectionResetError


@cache_fault("test_errors")
class Hangs(Good):
    async def get(self, question: Question, /) -> CacheEntry | None:
        return await asyncio.Event().wait() and None


@cache_fault("test_abilities")
class PeeksUntried(Good):
    def peek(self, question: Question, /) -> CacheEntry | None:
        return None


# What caches can do besides


class Peekable(Caching, PeekableCacheContract):
    """Tries a peekable cache."""


class Shared(Sharing, SharedCacheContract):
    """Tries a shared cache."""


class Leasing(Sharing, LeasingCacheContract):
    """Tries a leasing cache."""


class Telling(Sharing, InvalidationFeedContract):
    """Tries a cache with a feed."""


@cache_fault("test_peek", by=Peekable)
class PeeksPastTheEnd(Good):
    def peek(self, question: Question, /) -> CacheEntry | None:
        return self.entries.get(question.key)


@cache_fault("test_others_find_what_was_put", by=Shared)
class SharesNothing(Good):
    def __init__(self, clock: FakeClock, store: Store | None = None) -> None:
        super().__init__(clock, None)


class GoodLeases(Good):
    """A cache that leases without a fault."""

    async def lease(self, question: Question, seconds: float, /) -> Lease:
        """Lease."""
        now = asyncio.get_running_loop().time()
        holder, until = self.store.leases.get(question.key, (self, now))
        if held := holder is self or until <= now:
            self.store.leases[question.key] = (self, now + seconds)
        return Lease(held=held, entry=await self.get(question))

    async def release(self, question: Question, /) -> None:
        """Release."""
        if self.store.leases.get(question.key, (None, 0))[0] is self:
            del self.store.leases[question.key]

    async def delete(self, question: Question, /) -> None:
        """Delete."""
        self.store.leases.pop(question.key, None)
        await super().delete(question)


tried(GoodLeases, Leasing, ())


@cache_fault("test_one_holds_the_lease", by=Leasing)
class AllMayAsk(GoodLeases):
    async def lease(self, question: Question, seconds: float, /) -> Lease:
        return evolve(await super().lease(question, seconds), held=True)


@cache_fault("test_one_holds_the_lease", by=Leasing)
class ReleasesOthers(GoodLeases):
    async def release(self, question: Question, /) -> None:
        self.store.leases.pop(question.key, None)


@cache_fault("test_lease_ends_by_itself", by=Leasing)
class LeasesForEver(GoodLeases):
    async def lease(self, question: Question, seconds: float, /) -> Lease:
        return await super().lease(question, math.inf)


@cache_fault("test_lease", by=Leasing)
class ReleasesOnce(GoodLeases):
    async def release(self, question: Question, /) -> None:
        del self.store.leases[question.key]


@cache_fault("test_entry_comes_with_the_lease", by=Leasing)
class LeasesBlindly(GoodLeases):
    async def lease(self, question: Question, seconds: float, /) -> Lease:
        return evolve(await super().lease(question, seconds), entry=None)


@cache_fault("test_deletion_ends_the_lease", by=Leasing)
class LeaseOutlivesDeletion(GoodLeases):
    delete = Good.delete


class GoodFeed(Good):
    """A cache that tells without a fault."""

    async def invalidations(self) -> AsyncIterator[str | None]:
        """Tell."""
        listens: tuple[object, asyncio.Queue[str | None]] = (self, asyncio.Queue())
        self.store.feeds.append(listens)
        yield None
        while True:
            yield await listens[1].get()

    async def delete(self, question: Question, /) -> None:
        """Delete."""
        await super().delete(question)
        self.tell(question.key)

    def tell(self, key: str) -> None:
        """Tell all others."""
        for listener, queue in self.store.feeds:
            if listener is not self:
                queue.put_nowait(key)


tried(GoodFeed, Telling, ())


@cache_fault("test_feed_tells_what_others_delete", by=Telling)
class TellsNothing(GoodFeed):
    def tell(self, key: str) -> None:
        pass


@cache_fault("test_feed_tells_what_others_delete", by=Telling)
class TellsNames(GoodFeed):
    def tell(self, key: str) -> None:
        super().tell(key.partition(":")[2])


@cache_fault(
    "test_feed_tells_what_others_delete", "test_feed_ends_when_it_is_cancelled", by=Telling
)
class TellsItself(GoodFeed):
    def tell(self, key: str) -> None:
        for _, queue in self.store.feeds:
            queue.put_nowait(key)


@cache_fault("test_nothing_is_kept_once_the_feed_has_told", by=Telling)
class TellsTooSoon(GoodFeed):
    async def delete(self, question: Question, /) -> None:
        self.tell(question.key)
        await asyncio.sleep(0.1)
        await super().delete(question)
