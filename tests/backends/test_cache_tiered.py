"""What is particular to two caches as one; what all do is in `test_cache_contract`."""

import asyncio
import time
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing

import pytest
from attrs import evolve
from worlds import HOUR, SetClock

from matrix_resolve.backends.cache_cachetools import MemoryCache
from matrix_resolve.backends.cache_tiered import TieredCache
from matrix_resolve.core.moments import Timescale
from matrix_resolve.core.questions import (
    Answer,
    AskSrv,
    NoSrvRecords,
    NotDelegated,
    Question,
    ServiceNotOffered,
    SrvFailed,
)
from matrix_resolve.errors import CacheError
from matrix_resolve.interfaces import (
    CacheEntry,
    Lease,
)
from matrix_resolve.testing import FakeClock

EXAMPLE = AskSrv("_matrix-fed._tcp.example.org")
OTHER = AskSrv("_matrix-fed._tcp.other.example")
FRESH = 60.0
KEPT = 3600.0

GOOD = ServiceNotOffered()
BETTER = NoSrvRecords("none now")
DOWN = SrvFailed("SERVFAIL")


def entry(
    answer: Answer,
    asked_at: float,
    reserve: CacheEntry | None = None,
    question: Question = EXAMPLE,
) -> CacheEntry:
    """What is kept of `answer`; a failure has the good answer of `reserve` in reserve."""
    fresh_until, keep_until = asked_at + FRESH, asked_at + KEPT
    if not isinstance(answer, SrvFailed | NotDelegated):
        return CacheEntry(
            key=question.key,
            outcome=answer,
            asked_at=asked_at,
            fresh_until=fresh_until,
            keep_until=keep_until,
        )
    failed = CacheEntry(
        key=question.key,
        outcome=answer,
        asked_at=asked_at,
        fresh_until=fresh_until,
        keep_until=keep_until,
    )
    if reserve is None:
        return failed
    return evolve(
        failed,
        reserve=reserve.good,
    )


@pytest.fixture
def clock() -> FakeClock:
    """A clock that stands still."""
    return FakeClock()


class Shared(MemoryCache):
    """A cache that can be down, that counts what is asked of it, leases, and tells at will."""

    def __init__(self, clock: FakeClock) -> None:
        super().__init__(clock=clock)
        self.down = False
        self.asked: list[str] = []
        self.meanwhile: Callable[[], object] | None = None
        self.held = True
        self.words: deque[str | None] = deque()

    async def _ask(self, what: str) -> None:
        self.asked.append(what)
        if self.down:
            raise CacheError("down")

    async def get(self, question: Question, /) -> CacheEntry | None:
        """Count, and let something happen before the reply arrives."""
        await self._ask("get")
        found = await super().get(question)
        await self._wait()
        return found

    async def put(self, question: Question, entry: CacheEntry, /) -> None:
        """Count."""
        await self._ask("put")
        await super().put(question, entry)

    async def delete(self, question: Question, /) -> None:
        """Count, and let something happen before it is done."""
        await self._ask("delete")
        await self._wait()
        await super().delete(question)

    async def lease(self, question: Question, seconds: float, /) -> Lease:
        """Grant it, or not."""
        await self._ask(f"lease {seconds:g}")
        found = self.peek(question)
        await self._wait()
        return Lease(held=self.held, entry=found)

    async def release(self, question: Question, /) -> None:
        """Count."""
        await self._ask("release")

    async def invalidations(self) -> AsyncGenerator[str | None, None]:
        """Yield the words there are, and be cut off."""
        while self.words:
            yield self.words.popleft()
        raise CacheError("cut off")

    async def _wait(self) -> None:
        if self.meanwhile is not None:
            happening, self.meanwhile = self.meanwhile, None
            happened = happening()
            if asyncio.iscoroutine(happened):
                await happened


class Plain:
    """The least cache: no peeking, no leases, no feed."""

    async def get(self, _: Question, /) -> CacheEntry | None:
        """Know nothing."""
        return None

    async def put(self, _: Question, __: CacheEntry, /) -> None:
        """Keep nothing."""

    async def delete(self, _: Question, /) -> None:
        """Have nothing to delete."""


@pytest.fixture
def near(clock: FakeClock) -> MemoryCache:
    """What is in this process."""
    return MemoryCache(clock=clock)


@pytest.fixture
def shared(clock: FakeClock) -> Shared:
    """What other processes use too."""
    return Shared(clock)


@pytest.fixture
def tiered(near: MemoryCache, shared: Shared, clock: FakeClock) -> TieredCache:
    """Both as one."""
    return TieredCache(near, shared, clock=clock)


async def hear(tiered: TieredCache, shared: Shared, *words: str | None) -> list[str | None]:
    """Let the feed say `words` and be cut off; return what came through."""
    shared.words.extend(words)
    heard = []
    try:
        async for word in tiered.invalidations():
            heard.append(word)
    except CacheError:
        return heard
    raise AssertionError("the end of the feed did not come through")


async def test_near_answers_while_it_is_fresh(
    tiered: TieredCache, shared: Shared, clock: FakeClock
) -> None:
    """`shared` is asked at first, and then not until the entry is no longer fresh."""
    kept = entry(GOOD, clock.time())
    await MemoryCache.put(shared, EXAMPLE, kept)
    for _ in range(3):
        assert await tiered.get(EXAMPLE) == kept
    assert shared.asked == ["get"]
    clock.advance(FRESH)
    assert await tiered.get(EXAMPLE) == kept
    assert shared.asked == ["get", "get"]


T = FakeClock().time() - FRESH / 2
OLD, NEW = entry(GOOD, T), entry(BETTER, T + 10)
MERGED = {
    "nothing": (None, None, None),
    "near's": (OLD, None, OLD),
    "shared's": (None, OLD, OLD),
    "a later answer": (OLD, NEW, NEW),
    "an earlier answer": (NEW, OLD, NEW),
    "a failure": (OLD, entry(DOWN, T + 10), entry(DOWN, T + 10, OLD)),
    "an answer for a failure": (entry(DOWN, T + 10), NEW, NEW),
}


@pytest.mark.parametrize("by", ["get", "lease"])
@pytest.mark.parametrize(("mine", "theirs", "both"), MERGED.values(), ids=MERGED)
async def test_both_are_reconciled(
    near: MemoryCache,
    shared: Shared,
    clock: FakeClock,
    by: str,
    mine: CacheEntry | None,
    theirs: CacheEntry | None,
    both: CacheEntry | None,
) -> None:
    """When `shared` is read, what both know is given and kept near."""
    clock.advance(FRESH)
    tiered = TieredCache(near, shared, clock=clock)
    for cache, kept in ((near, mine), (shared, theirs)):
        if kept is not None:
            await MemoryCache.put(cache, EXAMPLE, kept)
    if by == "get":
        assert await tiered.get(EXAMPLE) == both
    else:
        lease = await tiered.lease(EXAMPLE, 10)
        assert lease == Lease(held=True, entry=None if theirs is None else both)
    assert await near.get(EXAMPLE) == tiered.peek(EXAMPLE) == both


async def test_put_goes_into_both(
    tiered: TieredCache, near: MemoryCache, shared: Shared, clock: FakeClock
) -> None:
    """Both have what was put, and neither loses a better answer."""
    await tiered.put(EXAMPLE, NEW)
    await tiered.put(EXAMPLE, OLD)
    assert await near.get(EXAMPLE) == NEW
    assert shared.asked == ["put", "put"]
    assert shared.peek(EXAMPLE) == OLD  # as it is: to reconcile it is the part of `shared`


async def test_shared_is_down(
    tiered: TieredCache, near: MemoryCache, shared: Shared, clock: FakeClock
) -> None:
    """`near` does what it can, and `CacheError` comes out unless that is an answer."""
    shared.down = True
    with pytest.raises(CacheError):
        await tiered.get(EXAMPLE)
    with pytest.raises(CacheError):
        await tiered.put(EXAMPLE, OLD)
    assert await tiered.get(EXAMPLE) == tiered.peek(EXAMPLE) == OLD
    clock.advance(FRESH)
    assert await tiered.get(EXAMPLE) == OLD
    for told in (tiered.lease(EXAMPLE, 10), tiered.release(EXAMPLE), tiered.delete(EXAMPLE)):
        with pytest.raises(CacheError):
            await told
    assert await near.get(EXAMPLE) is None


async def test_delete_in_both(tiered: TieredCache, shared: Shared) -> None:
    """What is deleted is gone from both."""
    await tiered.put(EXAMPLE, OLD)
    await tiered.delete(EXAMPLE)
    assert tiered.peek(EXAMPLE) is None
    assert shared.peek(EXAMPLE) is None


async def test_leases_are_those_of_shared(tiered: TieredCache, shared: Shared) -> None:
    """Who may ask is for `shared` to say."""
    assert (await tiered.lease(EXAMPLE, 10)).held
    shared.held = False
    assert not (await tiered.lease(EXAMPLE, 10)).held
    await tiered.release(EXAMPLE)
    assert shared.asked == ["lease 10", "lease 10", "release"]


@pytest.mark.parametrize("held", [True, False])
@pytest.mark.parametrize("error", [CacheError("full"), asyncio.CancelledError()], ids=str)
async def test_a_lease_of_which_nobody_hears(
    tiered: TieredCache,
    shared: Shared,
    monkeypatch: pytest.MonkeyPatch,
    error: BaseException,
    held: bool,
) -> None:
    """When `near` fails once `shared` has granted a lease, that is given back."""

    async def fail(*_: object) -> None:
        raise error

    await shared.put(EXAMPLE, OLD)
    shared.asked.clear()
    shared.held = held
    monkeypatch.setattr(tiered._near, "put", fail)
    with pytest.raises(type(error)):
        await tiered.lease(EXAMPLE, 10)
    assert shared.asked == ["lease 10", "release"][: 1 + held]


async def test_least_able_parts(clock: FakeClock) -> None:
    """Over caches that can do nothing special, everybody may ask and nothing is told."""
    tiered = TieredCache(Plain(), Plain(), clock=clock)
    assert tiered.peek(EXAMPLE) is None
    assert await tiered.lease(EXAMPLE, 10) == Lease(held=True)
    await tiered.release(EXAMPLE)
    async with aclosing(tiered.invalidations()) as feed:
        waiting = asyncio.ensure_future(anext(feed))
        done, _ = await asyncio.wait([waiting], timeout=0.05)
        assert not done
        waiting.cancel()
        await asyncio.wait([waiting])


# What others delete


async def test_feed_comes_through(tiered: TieredCache, shared: Shared) -> None:
    """Each word is passed on, and its end too; what it names is gone from memory."""
    for question in (EXAMPLE, OTHER):
        await tiered.put(question, entry(BETTER, T + 10, question=question))
    heard = await hear(tiered, shared, None, EXAMPLE.key, "no question", OTHER.key.upper())
    assert heard == [None, EXAMPLE.key, "no question", OTHER.key.upper()]
    assert tiered.peek(EXAMPLE) is None
    assert tiered.peek(OTHER) is not None  # "SRV:" is nobody's


async def test_word_may_have_been_missed(
    tiered: TieredCache, shared: Shared, clock: FakeClock
) -> None:
    """When the feed begins anew, what is in memory is looked up once more."""
    await tiered.put(EXAMPLE, NEW)
    await hear(tiered, shared, None)
    shared.asked.clear()
    for _ in range(3):
        assert await tiered.get(EXAMPLE) == NEW
    assert shared.asked == ["get"]
    clock.advance(1)
    await hear(tiered, shared, None)
    assert await tiered.get(EXAMPLE) == NEW
    assert shared.asked == ["get", "get"]


async def test_what_was_asked_since_is_trusted_when_the_clock_is_set_back() -> None:
    """Near entries count by the clock as it is set now, and so does the beginning of the feed."""
    clock = SetClock()
    near, shared = MemoryCache(clock=clock), Shared(clock)
    tiered = TieredCache(near, shared, clock=clock)
    await hear(tiered, shared, None)
    clock.advance(10)
    kept = entry(GOOD, clock.time())
    Timescale(clock, clock.time() - clock.monotonic()).note(kept)
    await tiered.put(EXAMPLE, kept)
    clock.set(-HOUR)
    set_back = entry(GOOD, clock.time())
    shared.asked.clear()
    assert (await tiered.get(EXAMPLE), tiered.peek(EXAMPLE)) == (set_back, set_back)
    assert shared.asked == []
    clock.advance(1)
    await hear(tiered, shared, None)
    clock.set(-HOUR)
    await tiered.get(EXAMPLE)
    assert shared.asked == ["get"]  # it may have been deleted before the feed began again


async def test_what_was_asked_since_is_trusted(
    tiered: TieredCache, shared: Shared, clock: FakeClock
) -> None:
    """What is asked from that moment on need not be looked up."""
    await hear(tiered, shared, None)
    await tiered.put(EXAMPLE, entry(GOOD, clock.time()))
    shared.asked.clear()
    assert await tiered.get(EXAMPLE) == entry(GOOD, clock.time())
    assert shared.asked == []


async def test_deletion_that_was_missed(
    tiered: TieredCache, near: MemoryCache, shared: Shared, clock: FakeClock
) -> None:
    """What `shared` has no longer counts as expired, as soon as word may have been missed."""
    now = clock.time()
    await near.put(EXAMPLE, NEW)
    assert tiered.peek(EXAMPLE) == NEW
    await hear(tiered, shared, None)
    assert tiered.peek(EXAMPLE) == NEW.expired(now)
    clock.advance(1)
    assert await tiered.get(EXAMPLE) == NEW.expired(now + 1)
    clock.advance(1)
    assert await tiered.get(EXAMPLE) == tiered.peek(EXAMPLE) == NEW.expired(now + 1)


async def test_doubtful_reserve(
    tiered: TieredCache, near: MemoryCache, shared: Shared, clock: FakeClock
) -> None:
    """An answer that may have been deleted comes back as an expired reserve at most."""
    await near.put(EXAMPLE, NEW)
    await hear(tiered, shared, None)
    failure = entry(DOWN, clock.time())
    await tiered.put(EXAMPLE, failure)
    kept = await tiered.get(EXAMPLE)
    assert kept is not None
    assert kept.reserve is not None
    assert (kept.reserve.answer, kept.reserve.fresh_until) == (BETTER, clock.time())


async def test_late_answer_to_a_question_asked_before(
    tiered: TieredCache, shared: Shared, clock: FakeClock
) -> None:
    """An answer asked before the feed began anew is looked up, though another one was already."""
    await tiered.put(EXAMPLE, OLD)
    await hear(tiered, shared, None)
    await tiered.get(EXAMPLE)
    await tiered.put(EXAMPLE, NEW)
    await MemoryCache.delete(shared, EXAMPLE)  # it would not have stored that
    assert await tiered.get(EXAMPLE) == NEW.expired(clock.time())


async def test_doubt_while_shared_is_down(tiered: TieredCache, shared: Shared) -> None:
    """As long as it can't be looked up, what is in memory is better than nothing."""
    await tiered.put(EXAMPLE, NEW)
    await hear(tiered, shared, None)
    shared.down = True
    assert await tiered.get(EXAMPLE) == NEW
    shared.down = False
    await MemoryCache.delete(shared, EXAMPLE)
    kept = await tiered.get(EXAMPLE)
    assert kept is not None
    assert kept != NEW


async def test_bound_on_what_was_looked_up(
    tiered: TieredCache, shared: Shared, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When too many were looked up, that begins afresh: they are looked up once more."""
    monkeypatch.setattr("matrix_resolve.backends.cache_tiered._MOST_CONFIRMED", 2)
    questions = [AskSrv(f"{number}.example") for number in range(3)]
    for question in questions:
        await tiered.put(question, entry(BETTER, T + 10, question=question))
    await hear(tiered, shared, None)
    for question in questions:
        await tiered.get(question)
    shared.asked.clear()
    await tiered.get(questions[2])
    assert shared.asked == []
    await tiered.get(questions[0])
    assert shared.asked == ["get"]


@pytest.mark.parametrize("by", ["get", "lease"])
@pytest.mark.parametrize("meanwhile", ["deleted here", "deleted elsewhere", "feed begins anew"])
async def test_read_before_it_was_deleted(
    tiered: TieredCache, near: MemoryCache, shared: Shared, by: str, meanwhile: str
) -> None:
    """What was read from `shared` before a deletion is not kept after it."""
    happening = {
        "deleted here": lambda: tiered.delete(EXAMPLE),
        "deleted elsewhere": lambda: hear(tiered, shared, EXAMPLE.key),
        "feed begins anew": lambda: hear(tiered, shared, None),
    }
    await MemoryCache.put(shared, EXAMPLE, NEW)
    shared.meanwhile = happening[meanwhile]
    if by == "get":
        assert await tiered.get(EXAMPLE) == NEW
    else:
        assert (await tiered.lease(EXAMPLE, 10)).entry == NEW
    assert await near.get(EXAMPLE) is None


async def test_late_read_leaves_what_is_newer(
    tiered: TieredCache, near: MemoryCache, shared: Shared
) -> None:
    """What was read before a deletion does not take away what was learned after it."""
    await MemoryCache.put(shared, EXAMPLE, OLD)

    async def deleted_and_learned() -> None:
        await tiered.delete(EXAMPLE)
        await tiered.put(EXAMPLE, NEW)

    shared.meanwhile = deleted_and_learned
    assert await tiered.get(EXAMPLE) == NEW
    assert await near.get(EXAMPLE) == NEW


async def test_read_while_it_is_being_deleted(
    tiered: TieredCache, near: MemoryCache, shared: Shared
) -> None:
    """What is read from `shared` while a deletion is on its way does not stay either."""
    await tiered.put(EXAMPLE, NEW)

    async def read() -> None:
        await near.delete(EXAMPLE)  # as when it is full
        assert await tiered.get(EXAMPLE) == NEW

    shared.meanwhile = read
    await tiered.delete(EXAMPLE)
    assert shared.meanwhile is None
    assert await near.get(EXAMPLE) is None
    assert await tiered.get(EXAMPLE) is None


class SlowNear(MemoryCache):
    """A cache in which something may happen between what it does and its telling that."""

    def __init__(self, clock: FakeClock) -> None:
        super().__init__(clock=clock)
        self.meanwhile: dict[str, Callable[[], Awaitable[object]]] = {}

    async def get(self, question: Question, /) -> CacheEntry | None:
        """Look, and let something happen."""
        found = await super().get(question)
        await self._wait("get")
        return found

    async def put(self, question: Question, entry: CacheEntry, /) -> None:
        """Keep it, and let something happen."""
        await super().put(question, entry)
        await self._wait("put")

    async def delete(self, question: Question, /) -> None:
        """Delete it, and let something happen."""
        await super().delete(question)
        await self._wait("delete")

    async def _wait(self, doing: str) -> None:
        if doing in self.meanwhile:
            await self.meanwhile.pop(doing)()


async def test_put_while_it_is_deleted_elsewhere(shared: Shared, clock: FakeClock) -> None:
    """What `near` is given while the feed deletes that does not stay, in reserve neither."""
    near = SlowNear(clock)
    tiered = TieredCache(near, shared, clock=clock)
    near.meanwhile["delete"] = lambda: tiered.put(EXAMPLE, NEW)
    await hear(tiered, shared, EXAMPLE.key)
    assert await near.get(EXAMPLE) is None
    await near.put(EXAMPLE, NEW)
    near.meanwhile["get"] = lambda: hear(tiered, shared, EXAMPLE.key)
    await tiered.put(EXAMPLE, entry(DOWN, T + 20))
    assert await near.get(EXAMPLE) is None


async def test_late_read_while_it_is_being_deleted(shared: Shared, clock: FakeClock) -> None:
    """What was read before `shared` had deleted it does not come after `near` has."""
    near, may_tell = SlowNear(clock), asyncio.Event()
    tiered = TieredCache(near, shared, clock=clock)
    reading: list[asyncio.Task[CacheEntry | None]] = []

    async def begun() -> None:
        shared.meanwhile = may_tell.wait
        reading.append(asyncio.create_task(tiered.get(EXAMPLE)))
        await asyncio.sleep(0)

    async def told() -> None:
        may_tell.set()
        assert await reading[0] == NEW

    await MemoryCache.put(shared, EXAMPLE, NEW)
    shared.meanwhile, near.meanwhile["delete"] = begun, told
    await tiered.delete(EXAMPLE)
    assert not near.meanwhile
    assert await near.get(EXAMPLE) is None


async def test_late_read_confirms_nothing(
    tiered: TieredCache, shared: Shared, clock: FakeClock
) -> None:
    """What was read before the feed began anew is read once more."""
    await tiered.put(EXAMPLE, NEW)
    await hear(tiered, shared, None)
    shared.meanwhile = lambda: hear(tiered, shared, None)
    await tiered.get(EXAMPLE)
    shared.asked.clear()
    await tiered.get(EXAMPLE)
    assert shared.asked == ["get"]


@pytest.mark.parametrize("by", ["put", "get"])
async def test_cancelled_while_it_is_deleted(shared: Shared, clock: FakeClock, by: str) -> None:
    """What was on its way into `near` is deleted once more, though its bringer is cancelled."""
    near = SlowNear(clock)
    tiered = TieredCache(near, shared, clock=clock)

    async def deleted() -> None:
        await tiered.delete(EXAMPLE)
        await near.put(EXAMPLE, NEW)  # which takes effect only now
        raise asyncio.CancelledError

    await MemoryCache.put(shared, EXAMPLE, NEW)
    near.meanwhile["put"] = deleted
    with pytest.raises(asyncio.CancelledError):
        await (tiered.get(EXAMPLE) if by == "get" else tiered.put(EXAMPLE, NEW))
    assert await near.get(EXAMPLE) is None


async def test_put_that_is_overtaken_by_a_deletion(
    near: MemoryCache, shared: Shared, clock: FakeClock
) -> None:
    """What is being put while its question is deleted is in neither cache afterwards."""

    class SlowToLook(MemoryCache):
        async def get(self, question: Question, /) -> CacheEntry | None:
            """Have the question deleted meanwhile, once."""
            if question == EXAMPLE:
                del SlowToLook.get
                await tiered.delete(question)
            return None

    slow = SlowToLook(clock=clock)
    tiered = TieredCache(slow, shared, clock=clock)
    await tiered.put(EXAMPLE, NEW)
    assert slow.peek(EXAMPLE) is None
    assert await MemoryCache.get(shared, EXAMPLE) is None


async def test_near_cache_that_mixes_up_its_keys(
    tiered: TieredCache, near: MemoryCache, shared: Shared, clock: FakeClock
) -> None:
    """Another question's entry in memory is an error, never an answer, and is replaced."""
    foreign = entry(GOOD, T, question=OTHER)
    failed = entry(DOWN, T + 10)
    await near.put(EXAMPLE, foreign)
    with pytest.raises(CacheError, match="no entry of this question"):
        await tiered.get(EXAMPLE)
    assert tiered.peek(EXAMPLE) is None
    await tiered.put(EXAMPLE, failed)
    assert await tiered.get(EXAMPLE) == failed
    await near.put(EXAMPLE, foreign)
    assert (await tiered.lease(EXAMPLE, 10)).entry in (None, failed)


async def test_system_time_by_default(shared: Shared) -> None:
    """Without a clock, entries are fresh by the system's."""
    tiered = TieredCache(MemoryCache(), shared)
    await tiered.put(EXAMPLE, entry(GOOD, time.time()))
    await tiered.get(EXAMPLE)
    assert shared.asked == ["put"]


@pytest.mark.parametrize("foreign", ["nonsense", "another question's", "from the future"])
async def test_what_is_not_believed(clock: FakeClock, foreign: str) -> None:
    """What can't be an answer to the question never comes into memory, so the next one counts."""
    near, shared = MemoryCache(clock=clock), MemoryCache(clock=clock)
    tiered = TieredCache(near, shared, clock=clock)
    now = clock.time()
    given = {
        "nonsense": object(),
        "another question's": entry(NotDelegated("status 404"), now),
        "from the future": entry(GOOD, now + 3600),
    }[foreign]
    shared.peek = lambda question, /: given  # type: ignore[method-assign,assignment,return-value]
    assert await tiered.get(EXAMPLE) is None
    assert near.peek(EXAMPLE) is None
    await tiered.put(EXAMPLE, entry(BETTER, now))
    assert near.peek(EXAMPLE) == entry(BETTER, now)


BUG = ZeroDivisionError("bug")


class Buggy(Shared):
    """A cache whose methods raise what no cache may."""

    async def _ask(self, what: str) -> None:
        raise BUG

    async def invalidations(self) -> AsyncGenerator[str | None, None]:
        """Raise."""
        raise BUG
        yield


BUGS: dict[str, Callable[[TieredCache], Awaitable[object]]] = {
    "get": lambda tiered: tiered.get(EXAMPLE),
    "put": lambda tiered: tiered.put(EXAMPLE, NEW),
    "delete": lambda tiered: tiered.delete(EXAMPLE),
    "lease": lambda tiered: tiered.lease(EXAMPLE, 10),
    "release": lambda tiered: tiered.release(EXAMPLE),
    "feed": lambda tiered: anext(tiered.invalidations()),
}


@pytest.mark.parametrize("kept", [None, OLD], ids=["nothing near", "something near"])
@pytest.mark.parametrize("call", BUGS.values(), ids=BUGS)
async def test_a_bug_of_the_shared_cache_comes_out(
    near: MemoryCache,
    clock: FakeClock,
    kept: CacheEntry | None,
    call: Callable[[TieredCache], Awaitable[object]],
) -> None:
    """What is no `CacheError` is not made up for by what is near: it reaches who asked."""
    clock.advance(FRESH)
    if kept is not None:
        await near.put(EXAMPLE, kept)
    with pytest.raises(ZeroDivisionError):
        await call(TieredCache(near, Buggy(clock), clock=clock))


async def test_a_bug_of_the_shared_cache_leaves_nothing_that_was_deleted(
    near: MemoryCache, clock: FakeClock
) -> None:
    """When `shared` can't delete by its own mistake, `near` has done so all the same."""
    await near.put(EXAMPLE, OLD)
    with pytest.raises(ZeroDivisionError):
        await TieredCache(near, Buggy(clock), clock=clock).delete(EXAMPLE)
    assert await near.get(EXAMPLE) is None
