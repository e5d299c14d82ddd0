"""What every cache does: ours (memory, and before Redis or a file, each alone too), an example's.

What is particular to one of them (bounds, who wins, outages, doubt) is in its own file.
"""

import asyncio
import importlib
import random
import sqlite3
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack, aclosing
from ipaddress import ip_address
from pathlib import Path
from typing import Any, get_args

import pytest
import pytest_asyncio
from attrs import frozen

from matrix_resolve.backends.cache_cachetools import MemoryCache
from matrix_resolve.backends.cache_redis import RedisCache
from matrix_resolve.backends.cache_sqlite import SqliteCache
from matrix_resolve.backends.cache_tiered import TieredCache
from matrix_resolve.core.entries import reconciled, remember
from matrix_resolve.core.lifetimes import Learned
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
    ServiceNotOffered,
    SrvFailed,
    SrvRecords,
)
from matrix_resolve.interfaces import (
    AnswerCache,
    CacheEntry,
    InvalidationFeed,
    LeasingCache,
    PeekableCache,
    SrvRecord,
)
from matrix_resolve.policy import Policy
from matrix_resolve.testing import FakeClock

EXAMPLE = AskWellKnown("example.org")
OTHER = AskWellKnown("other.example")
LONG = 60.0
"""Seconds that nothing takes unless it hangs."""
NOW = FakeClock().time()
_OPENED = 3
"""No test wants more of one cache."""
EXAMPLES = Path(__file__).parents[2] / "examples"


# The caches


@frozen
class Subject:
    """A cache that is tested, and what is known of it.

    `open` makes another one that looks at the same entries, as other processes would.
    `reconciles`: writers may come in any order.
    """

    cache: Any
    open: Callable[[], Any] | None = None
    reconciles: bool = False


@pytest.fixture
def clock() -> FakeClock:
    """A clock that stands still."""
    return FakeClock()


class Flushed(SqliteCache):
    """A file in which others find at once what was put, as they do a moment later else."""

    async def put(self, question: Question, entry: CacheEntry, /) -> None:
        """Put, and see it written."""
        await super().put(question, entry)
        await self.flush()


@pytest_asyncio.fixture
async def files(
    clock: FakeClock, tmp_path: Path
) -> AsyncIterator[Callable[[type[SqliteCache]], SqliteCache]]:
    """Opens one file again and again, as other processes would."""
    path = tmp_path / "answers.sqlite"
    async with AsyncExitStack() as opened:
        ready = {
            kind: [
                await opened.enter_async_context(kind(path, clock=clock, timeout=LONG))
                for _ in range(_OPENED)
            ]
            for kind in (SqliteCache, Flushed)
        }
        yield lambda kind: ready[kind].pop()


def memory(request: pytest.FixtureRequest, clock: FakeClock) -> Subject:
    """Memory alone."""
    return Subject(MemoryCache(clock=clock))


def memory_twice(request: pytest.FixtureRequest, clock: FakeClock) -> Subject:
    """Memory before memory."""
    near, shared = MemoryCache(clock=clock), MemoryCache(clock=clock)
    return Subject(TieredCache(near, shared, clock=clock), reconciles=True)


def redis_alone(request: pytest.FixtureRequest, clock: FakeClock) -> Subject:
    """A real Redis alone."""
    client = request.getfixturevalue("redis_client")

    def another() -> RedisCache:
        return RedisCache(client, clock=clock, timeout=LONG)

    return Subject(another(), another, reconciles=True)


def memory_and_redis(request: pytest.FixtureRequest, clock: FakeClock) -> Subject:
    """Memory before a real Redis, as many processes have it."""
    client = request.getfixturevalue("redis_client")

    def another() -> TieredCache:
        shared = RedisCache(client, clock=clock, timeout=LONG)
        return TieredCache(MemoryCache(clock=clock), shared, clock=clock)

    return Subject(another(), another, reconciles=True)


def file_alone(request: pytest.FixtureRequest, clock: FakeClock) -> Subject:
    """A file alone."""
    return _file(request, SqliteCache)


def flushed_file(request: pytest.FixtureRequest, clock: FakeClock) -> Subject:
    """A file that is written to at once."""
    return _file(request, Flushed)


def memory_and_file(request: pytest.FixtureRequest, clock: FakeClock) -> Subject:
    """Memory before a file, as it is recommended."""
    return _memory_before(_file(request, SqliteCache), clock)


def memory_and_flushed_file(request: pytest.FixtureRequest, clock: FakeClock) -> Subject:
    """Memory before a file that is written to at once."""
    return _memory_before(_file(request, Flushed), clock)


def _file(request: pytest.FixtureRequest, kind: type[SqliteCache]) -> Subject:
    files = request.getfixturevalue("files")
    return Subject(files(kind), lambda: files(kind), reconciles=True)


def _memory_before(shared: Subject, clock: FakeClock) -> Subject:
    def before(cache: Any) -> TieredCache:
        return TieredCache(MemoryCache(clock=clock), cache, clock=clock)

    another = shared.open
    assert another is not None
    return Subject(before(shared.cache), lambda: before(another()), reconciles=True)


def example(request: pytest.FixtureRequest, clock: FakeClock) -> Subject:
    """The example of a cache of one's own, in SQLite. It tells the time by the system's clock."""
    monkeypatch = request.getfixturevalue("monkeypatch")
    monkeypatch.syspath_prepend(EXAMPLES)
    module = importlib.import_module("custom_cache")
    monkeypatch.setattr(module, "time", clock)
    database = sqlite3.connect(":memory:")
    request.addfinalizer(database.close)
    return Subject(module.SqliteCache(database), lambda: module.SqliteCache(database))


Make = Callable[[pytest.FixtureRequest, FakeClock], Subject]
CACHES: list[Make] = [memory, memory_twice, redis_alone, memory_and_redis]
CACHES += [file_alone, memory_and_file, example]
PEEKABLE: list[Make] = [memory, memory_twice, memory_and_redis, memory_and_file]
LEASING: list[Make] = [memory_twice, redis_alone, memory_and_redis, memory_and_file]
TELLING: list[Make] = [*LEASING, file_alone]
IN_TURN: list[Make] = [redis_alone, memory_and_redis]
SHARED: list[Make] = [*IN_TURN, flushed_file, memory_and_flushed_file]


def each_of(makes: list[Make]) -> pytest.MarkDecorator:
    """Test these caches only."""
    return pytest.mark.parametrize("subject", makes, indirect=True, ids=name_of)


def name_of(make: Make) -> str:
    """What a cache is called in the names of tests."""
    name: str = make.__name__  # type: ignore[attr-defined]
    return name


@pytest.fixture(params=CACHES, ids=name_of)
def subject(request: pytest.FixtureRequest, clock: FakeClock) -> Subject:
    """Each of the caches in turn, empty."""
    make: Make = request.param
    return make(request, clock)


@pytest.fixture
def cache(subject: Subject) -> Any:
    """The cache alone."""
    return subject.cache


@pytest.fixture
def elsewhere(subject: Subject) -> Any:
    """The cache of another process that looks at the same entries."""
    assert subject.open is not None
    return subject.open()


def test_abilities(subject: Subject, request: pytest.FixtureRequest) -> None:
    """Each has the abilities that it is tested for below, and no others."""
    make = request.node.callspec.params["subject"]
    assert isinstance(subject.cache, PeekableCache) is (make in PEEKABLE)
    assert isinstance(subject.cache, LeasingCache) is (make in LEASING)
    assert isinstance(subject.cache, InvalidationFeed) is (make in TELLING)


# What is put


def entry(
    answer: Answer,
    question: Question = EXAMPLE,
    *,
    previous: CacheEntry | None = None,
    asked_at: float = NOW,
) -> CacheEntry:
    """The entry that follows `previous` when `answer` was learned."""
    return remember(
        question.key,
        previous,
        Learned(answer),
        asked_at=asked_at,
        now=asked_at,
        policy=Policy(jitter=0),
        rng=random.Random(0),
    )


GOOD = Delegated(ServerName.parse("hs.example.net"), "https://example.org/")
BETTER = Delegated(ServerName.parse("new.example.net"), "https://example.org/")
DOWN = NotDelegated("status 503", temporary=True)
REFUSED = NotDelegated("status 404")
SRV = AskSrv("_matrix-fed._tcp.example.org")
ADDRESSES = AskAddresses("example.org")
MANY = tuple(SrvRecord(number, 5, 8448, f"{'a' * 60}.{number}.example") for number in range(64))
BOTH_FAMILIES = (ip_address("192.0.2.1"), ip_address("2001:db8::1"))

ANSWERS: dict[str, tuple[Question, Answer]] = {
    "document": (EXAMPLE, GOOD),
    "document of an IPv6 address": (EXAMPLE, Delegated(ServerName.parse("[2001:DB8::1]:99"), "")),
    "refusal": (EXAMPLE, REFUSED),
    "temporary failure": (EXAMPLE, DOWN),
    "failed lookup": (EXAMPLE, NotDelegated("no DNS", temporary=True, own_trouble=True, url="")),
    "odd reason": (EXAMPLE, NotDelegated("\"'\\\0\n\u2028\U0001f600 \x7f {}", url="https://x/?'")),
    "SRV records": (SRV, SrvRecords((SrvRecord(10, 5, 8448, "A.example"),))),
    "many SRV records": (SRV, SrvRecords(MANY)),
    "no SRV records": (SRV, NoSrvRecords("no such name")),
    "not offered": (SRV, ServiceNotOffered()),
    "failed SRV lookup": (SRV, SrvFailed("SERVFAIL")),
    "addresses": (ADDRESSES, Addresses(BOTH_FAMILIES, "alias.example")),
    "no addresses": (ADDRESSES, Addresses(())),
    "failed address lookup": (ADDRESSES, AddressesFailed("REFUSED")),
}


def test_every_kind_of_answer_is_there() -> None:
    """No kind of answer is left out of the table."""
    assert {type(answer) for _, answer in ANSWERS.values()} == set(get_args(Answer))


# Round trips


async def test_unknown_question(cache: AnswerCache) -> None:
    """About a question that nothing was put for, nothing is kept; deleting it does nothing."""
    assert await cache.get(EXAMPLE) is None
    await cache.delete(EXAMPLE)
    assert await cache.get(EXAMPLE) is None


@pytest.mark.parametrize(("question", "answer"), ANSWERS.values(), ids=ANSWERS)
async def test_put_then_get(cache: AnswerCache, question: Question, answer: Answer) -> None:
    """What was put is given back, each time."""
    put = entry(answer, question)
    await cache.put(question, put)
    assert await cache.get(question) == put
    assert await cache.get(question) == put


RESERVES = {
    "temporary failure": (DOWN, 1),
    "refusal": (REFUSED, 1),
    "failures in a row": (DOWN, 7),
}


@pytest.mark.parametrize(("failure", "times"), RESERVES.values(), ids=RESERVES)
async def test_failure_with_a_reserve(
    cache: AnswerCache, clock: FakeClock, failure: Answer, times: int
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


async def test_expired_entry(cache: AnswerCache, clock: FakeClock) -> None:
    """An entry past its lifetime is given as long as it may be of use."""
    put = entry(GOOD).expired(NOW)
    await cache.put(EXAMPLE, put)
    clock.advance(1)
    assert await cache.get(EXAMPLE) == put


# Keys


QUESTIONS: list[Question] = [
    AskWellKnown("example.org"),
    AskWellKnown("xample.org"),
    AskWellKnown("example.or"),
    AskWellKnown("sub.example.org"),
    AskWellKnown("example-org"),
    AskWellKnown("a" * 63 + ".example"),
    AskWellKnown("a" * 62 + "b.example"),
    AskSrv("example.org"),
    AskSrv("_matrix-fed._tcp.example.org"),
    AskSrv("_matrix._tcp.example.org"),
    AskAddresses("example.org"),
    AskAddresses("_matrix._tcp.example.org"),
]
ANSWER_TO: dict[type[Question], Answer] = {
    AskWellKnown: GOOD,
    AskSrv: ServiceNotOffered(),
    AskAddresses: Addresses(BOTH_FAMILIES),
}


async def test_nothing_comes_back_for_another_question(cache: AnswerCache) -> None:
    """Each question has an entry of its own, however much its name is like another's."""
    for number, question in enumerate(QUESTIONS):
        for later in QUESTIONS[number:]:
            assert await cache.get(later) is None
        await cache.put(question, entry(ANSWER_TO[type(question)], question))
    for question in QUESTIONS:
        assert await cache.get(question) == entry(ANSWER_TO[type(question)], question)
    await cache.delete(QUESTIONS[0])
    assert await cache.get(QUESTIONS[0]) is None
    for question in QUESTIONS[1:]:
        assert await cache.get(question) is not None


async def test_spellings_share_an_entry(cache: AnswerCache) -> None:
    """Letter case does not matter: the key does."""
    spelled = AskWellKnown("Example.ORG")
    put = entry(GOOD, spelled)
    await cache.put(spelled, put)
    assert await cache.get(EXAMPLE) == put
    await cache.delete(AskWellKnown("EXAMPLE.org"))
    assert await cache.get(spelled) is None


# Until when


@pytest.mark.parametrize("answer", [GOOD, DOWN, REFUSED], ids=["good", "failure", "refusal"])
async def test_end_of_an_entry(cache: AnswerCache, clock: FakeClock, answer: Answer) -> None:
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


async def test_put_past_the_end(cache: AnswerCache, clock: FakeClock) -> None:
    """An entry that is put when its end has passed is never given."""
    late = entry(GOOD)
    clock.advance(late.keep_until - NOW)
    await cache.put(EXAMPLE, late)
    assert await cache.get(EXAMPLE) is None


async def test_room_after_the_end(cache: AnswerCache, clock: FakeClock) -> None:
    """In the place of an entry that has ended, the next one is kept, a failure too."""
    old = entry(GOOD)
    await cache.put(EXAMPLE, old)
    clock.advance(old.keep_until - NOW)
    new = entry(DOWN, asked_at=clock.time())
    await cache.put(EXAMPLE, new)
    assert await cache.get(EXAMPLE) == new


# One after the other


OLD_GOOD, NEW_GOOD = entry(GOOD, asked_at=NOW - 100), entry(BETTER, asked_at=NOW - 10)
ENTRIES = {
    "an old answer": OLD_GOOD,
    "a new answer": NEW_GOOD,
    "an early failure": entry(DOWN, asked_at=NOW - 200),
    "a failure in between": entry(DOWN, asked_at=NOW - 50),
    "a failure in between, knowing the old": entry(DOWN, previous=OLD_GOOD, asked_at=NOW - 50),
    "a late failure": entry(DOWN, asked_at=NOW - 5),
    "a late failure, knowing the new": entry(DOWN, previous=NEW_GOOD, asked_at=NOW - 5),
    "a late refusal": entry(REFUSED, asked_at=NOW - 5),
    "a late refusal, knowing the old": entry(REFUSED, previous=OLD_GOOD, asked_at=NOW - 5),
    "the new answer, expired": NEW_GOOD.expired(NOW - 1),
}


@pytest.mark.parametrize("second", ENTRIES)
@pytest.mark.parametrize("first", ENTRIES)
async def test_two_puts(subject: Subject, first: str, second: str) -> None:
    """The second replaces the first; where many write, what `reconciled` makes of both is kept."""
    await subject.cache.put(EXAMPLE, ENTRIES[first])
    await subject.cache.put(EXAMPLE, ENTRIES[second])
    wanted = ENTRIES[second]
    if subject.reconciles:
        wanted = reconciled(ENTRIES[first], ENTRIES[second])
    assert await subject.cache.get(EXAMPLE) == wanted


async def test_delete(cache: AnswerCache, clock: FakeClock) -> None:
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


async def get(cache: AnswerCache, new: CacheEntry) -> None:
    """Get."""
    await cache.get(EXAMPLE)


async def put(cache: AnswerCache, new: CacheEntry) -> None:
    """Put."""
    await cache.put(EXAMPLE, new)


async def delete(cache: AnswerCache, new: CacheEntry) -> None:
    """Delete."""
    await cache.delete(EXAMPLE)


async def steps(count: int) -> None:
    """Let other tasks go so many steps forward."""
    for _ in range(count):
        await asyncio.sleep(0)


@pytest.mark.parametrize("started", [1, 2, 3, 5, 8, 13, 21, 34])
async def test_delete_while_a_put_is_under_way(
    cache: AnswerCache, clock: FakeClock, started: int
) -> None:
    """An entry that is being put when its question is deleted does not stay."""
    await cache.put(OTHER, entry(GOOD, OTHER))  # connected, if it is one that connects
    clock.advance(1)
    putting = asyncio.create_task(put(cache, entry(GOOD)))
    await steps(started)
    await cache.delete(EXAMPLE)
    await putting
    assert await cache.get(EXAMPLE) is None


async def test_many_at_once(cache: AnswerCache) -> None:
    """A hundred questions at once do not get into each other's way."""
    questions = [AskWellKnown(f"{number}.example") for number in range(100)]
    async with asyncio.timeout(LONG):
        await asyncio.gather(*(cache.put(q, entry(GOOD, q)) for q in questions))
        found = await asyncio.gather(*(cache.get(q) for q in questions))
        assert found == [entry(GOOD, q) for q in questions]
        await asyncio.gather(*(cache.delete(q) for q in questions[::2]))
        found = await asyncio.gather(*(cache.get(q) for q in questions))
    assert [e is None for e in found] == [True, False] * 50


@pytest.mark.parametrize("operation", [get, put, delete], ids=lambda what: what.__name__)
async def test_cancelled_at_any_moment(
    cache: AnswerCache,
    clock: FakeClock,
    operation: Callable[[AnswerCache, CacheEntry], Coroutine[Any, Any, None]],
) -> None:
    """Who is cancelled has done it or not, and the cache goes on as before."""
    other = entry(GOOD, OTHER)
    await cache.put(OTHER, other)
    async with asyncio.timeout(LONG):
        for count in range(30):
            clock.advance(1)
            before = entry(GOOD, asked_at=clock.time())
            await cache.put(EXAMPLE, before)
            clock.advance(1)
            new = entry(BETTER, asked_at=clock.time())
            task = asyncio.create_task(operation(cache, new))
            await steps(count)
            task.cancel()
            await asyncio.wait([task])
            after = {get: before, put: new, delete: None}[operation]
            assert await cache.get(EXAMPLE) in (before, after)
            assert await cache.get(OTHER) == other
            await cache.delete(EXAMPLE)
            assert await cache.get(EXAMPLE) is None


# Optional abilities


@each_of(PEEKABLE)
async def test_peek(cache: Any, clock: FakeClock) -> None:
    """Memory gives at once what was put or got, no longer than `get` would."""
    assert cache.peek(EXAMPLE) is None
    kept = entry(GOOD)
    await cache.put(EXAMPLE, kept)
    assert cache.peek(EXAMPLE) == kept
    assert cache.peek(AskWellKnown("EXAMPLE.org")) == kept
    assert cache.peek(OTHER) is None
    await cache.delete(EXAMPLE)
    assert cache.peek(EXAMPLE) is None
    clock.advance(1)
    kept = entry(GOOD, asked_at=clock.time())
    await cache.put(EXAMPLE, kept)
    clock.advance(kept.keep_until - clock.time())
    assert cache.peek(EXAMPLE) is None


@each_of(LEASING)
async def test_lease(cache: Any) -> None:
    """Who comes alone may ask, again and again; to release what is not held does nothing."""
    await cache.release(EXAMPLE)
    for _ in range(2):
        assert (await cache.lease(EXAMPLE, LONG)).held
        assert (await cache.lease(EXAMPLE, LONG)).held
        await cache.release(EXAMPLE)
        await cache.release(EXAMPLE)
    kept = entry(GOOD)
    await cache.put(EXAMPLE, kept)
    assert (await cache.lease(EXAMPLE, LONG)).entry in (kept, None)


@each_of(TELLING)
async def test_feed_ends_when_it_is_cancelled(cache: Any) -> None:
    """Who listens hears nothing while nobody else deletes, and can leave at any moment."""
    async with asyncio.timeout(LONG), aclosing(cache.invalidations()) as feed:
        waiting = asyncio.ensure_future(following(feed))
        await asyncio.sleep(0.05)
        await cache.delete(EXAMPLE)
        await asyncio.sleep(0.05)
        assert not waiting.done()
        waiting.cancel()
        await asyncio.wait([waiting])
    assert waiting.cancelled()


async def following(feed: AsyncIterator[str | None]) -> str:
    """The first key that a feed tells."""
    async for key in feed:
        if key is not None:
            return key
    raise AssertionError("a feed that ends by itself")


# Several processes


@each_of([*SHARED, example])
@pytest.mark.parametrize(("question", "answer"), ANSWERS.values(), ids=ANSWERS)
async def test_others_find_what_was_put(
    cache: AnswerCache, elsewhere: AnswerCache, question: Question, answer: Answer
) -> None:
    """What one has put, the other gets; what one has deleted, nobody gets who did not have it."""
    kept = entry(answer, question)
    await cache.put(question, kept)
    assert await elsewhere.get(question) == kept
    await elsewhere.delete(question)
    assert await elsewhere.get(question) is None


@each_of(SHARED)
@pytest.mark.parametrize("second", ENTRIES)
@pytest.mark.parametrize("first", ENTRIES)
async def test_puts_of_two_processes(
    cache: AnswerCache, elsewhere: AnswerCache, subject: Subject, first: str, second: str
) -> None:
    """Whoever looks finds what `reconciled` makes of both, once its own memory is not fresh."""
    await cache.put(EXAMPLE, ENTRIES[first])
    await elsewhere.put(EXAMPLE, ENTRIES[second])
    assert subject.open is not None
    assert await subject.open().get(EXAMPLE) == reconciled(ENTRIES[first], ENTRIES[second])


@each_of(IN_TURN)
async def test_one_holds_the_lease(cache: LeasingCache, elsewhere: LeasingCache) -> None:
    """The first to come may ask, the others not until it lets go."""
    assert (await cache.lease(EXAMPLE, LONG)).held
    assert not (await elsewhere.lease(EXAMPLE, LONG)).held
    assert (await elsewhere.lease(OTHER, LONG)).held
    await elsewhere.release(EXAMPLE)  # which it does not hold
    assert not (await elsewhere.lease(EXAMPLE, LONG)).held
    await cache.release(EXAMPLE)
    assert (await elsewhere.lease(EXAMPLE, LONG)).held
    assert not (await cache.lease(EXAMPLE, LONG)).held


@each_of(IN_TURN)
async def test_lease_ends_by_itself(cache: LeasingCache, elsewhere: LeasingCache) -> None:
    """When the holder has died, another one may ask once the lease has ended."""
    await cache.lease(EXAMPLE, 0.01)
    async with asyncio.timeout(LONG):
        while not (await elsewhere.lease(EXAMPLE, LONG)).held:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


@each_of(IN_TURN)
async def test_entry_comes_with_the_lease(cache: Any, elsewhere: Any) -> None:
    """Held or not, a lease brings what is kept now."""
    kept = entry(GOOD)
    assert (await cache.lease(EXAMPLE, LONG)).entry is None
    await cache.put(EXAMPLE, kept)
    assert (await cache.lease(EXAMPLE, LONG)).entry == kept
    assert (await elsewhere.lease(EXAMPLE, LONG)).entry == kept


@each_of(IN_TURN)
async def test_deletion_ends_the_lease(cache: Any, elsewhere: Any) -> None:
    """Who asked before a deletion asks in vain, so the next one need not wait."""
    await cache.lease(EXAMPLE, LONG)
    await elsewhere.delete(EXAMPLE)
    assert (await elsewhere.lease(EXAMPLE, LONG)).held
    await cache.release(EXAMPLE)
    assert not (await cache.lease(EXAMPLE, LONG)).held


@each_of(SHARED)
async def test_feed_tells_what_others_delete(cache: Any, elsewhere: AnswerCache) -> None:
    """Each deletion of another process comes, in order; one's own do not."""
    async with asyncio.timeout(LONG), aclosing(cache.invalidations()) as feed:
        assert await anext(feed) is None
        await elsewhere.delete(EXAMPLE)
        await cache.delete(OTHER)
        await elsewhere.delete(SRV)
        assert await anext(feed) == EXAMPLE.key
        assert await anext(feed) == SRV.key


@each_of(SHARED)
async def test_feed_and_memory(cache: Any, elsewhere: Any) -> None:
    """Once the feed has told of a deletion, nothing of what was kept before is given."""
    await cache.put(EXAMPLE, entry(GOOD))
    async with asyncio.timeout(LONG), aclosing(cache.invalidations()) as feed:
        await anext(feed)
        await elsewhere.delete(EXAMPLE)
        assert await anext(feed) == EXAMPLE.key
        assert await cache.get(EXAMPLE) is None
        if isinstance(cache, PeekableCache):
            assert cache.peek(EXAMPLE) is None


@each_of(SHARED)
async def test_put_after_a_deletion_elsewhere(cache: Any, elsewhere: Any, clock: FakeClock) -> None:
    """An answer asked before a deletion elsewhere reaches nobody through what is shared."""
    clock.advance(1)
    await elsewhere.delete(EXAMPLE)
    await cache.put(EXAMPLE, entry(GOOD))
    assert await elsewhere.get(EXAMPLE) is None
