"""What is particular to the Redis cache, and a real Redis; the rest is `test_cache_contract`'s."""

import asyncio
import itertools
import json
import pickle
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, suppress
from typing import Any

import pytest
import pytest_asyncio
from attrs import evolve
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis.asyncio import Redis
from redis.asyncio.client import PubSub
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import MaxConnectionsError, OutOfMemoryError
from servers import RedisServer

from matrix_resolve.backends.cache_redis.cache import RedisCache
from matrix_resolve.core.entries import reconciled
from matrix_resolve.core.names import ServerName
from matrix_resolve.core.questions import (
    Answer,
    AskWellKnown,
    Delegated,
    NotDelegated,
    Question,
    SrvFailed,
)
from matrix_resolve.errors import CacheError
from matrix_resolve.interfaces import CacheEntry, Lease
from matrix_resolve.testing import FakeClock

EXAMPLE = AskWellKnown("example.org")
OTHER = AskWellKnown("other.example")
KEY = "matrix_resolve:1:{wk:example.org}"
TOMBSTONE, LEASE = f"{KEY}:tombstone", f"{KEY}:lease"
CHANNEL = "matrix_resolve:1:invalidations"
HOUR = 3600.0
DAY = 24 * HOUR
LONG = 60.0
"""Seconds that nothing takes unless it hangs."""
SHORT = 0.05
"""Seconds after which what hangs is given up."""

GOOD = Delegated(ServerName.parse("hs.example.net"), "https://example.org/")
BETTER = Delegated(ServerName.parse("new.example.net"), "https://example.org/")
DOWN = NotDelegated("status 503", temporary=True)
REFUSED = NotDelegated("status 404")


def entry(
    answer: Answer,
    asked_at: float,
    reserve: CacheEntry | None = None,
    question: Question = EXAMPLE,
) -> CacheEntry:
    """What is kept of `answer`; a failure has the good answer of `reserve` in reserve."""
    if isinstance(answer, Delegated):
        return CacheEntry(
            key=question.key,
            outcome=answer,
            asked_at=asked_at,
            fresh_until=asked_at + DAY,
            keep_until=asked_at + 2 * DAY,
        )
    failed = CacheEntry(
        key=question.key,
        outcome=answer,
        asked_at=asked_at,
        fresh_until=asked_at + HOUR,
        keep_until=asked_at + 2 * HOUR,
        failures=1,
    )
    if reserve is None:
        return failed
    return evolve(
        failed,
        reserve=reserve.good,
        keep_until=max(failed.keep_until, reserve.keep_until),
    )


class Meddling(Redis):
    """A client with a hook before each command, that counts them."""

    meddle: Callable[..., Awaitable[None]] | None = None
    commands = 0

    async def execute_command(self, *args: Any, **options: Any) -> Any:
        """Call the hook, then execute."""
        self.commands += 1
        if self.meddle is not None:
            await self.meddle(*args)
        return await super().execute_command(*args, **options)


@pytest.fixture
def clock() -> FakeClock:
    """A clock that stands still."""
    return FakeClock()


@pytest_asyncio.fixture
async def client(server: RedisServer) -> AsyncIterator[Meddling]:
    """A client of an empty Redis; what is done to it does not touch what the test looks at."""
    async with server.client() as emptied:
        await emptied.flushall()
    client = server.client(Meddling)
    assert isinstance(client, Meddling)
    yield client
    await client.aclose()


@pytest.fixture
def raw(client: Redis) -> Redis:
    """The same Redis by a client that nothing meddles with: it sees what is really kept."""
    return Redis.from_pool(client.connection_pool)


@pytest.fixture
def cache(client: Redis, clock: FakeClock) -> RedisCache:
    """A cache that waits as long as it takes."""
    return RedisCache(client, clock=clock, timeout=LONG)


@pytest.fixture
def elsewhere(client: Redis, clock: FakeClock) -> RedisCache:
    """The cache of another process."""
    return RedisCache(client, clock=clock, timeout=LONG)


async def eventually(holds: Callable[[], Awaitable[bool]]) -> None:
    """Wait until something holds."""
    async with asyncio.timeout(LONG):
        while True:
            if await holds():
                return
            await asyncio.sleep(0.01)


# What is kept


async def test_value_is_the_entry_as_json(cache: RedisCache, clock: FakeClock, raw: Redis) -> None:
    """What others read under the question's key is `to_json()` and no more."""
    put = entry(GOOD, clock.time())
    await cache.put(EXAMPLE, put)
    assert await raw.keys() == [KEY.encode()]
    assert await raw.get(KEY) == put.to_json()


async def test_value_expires_with_the_entry(
    cache: RedisCache, clock: FakeClock, raw: Redis
) -> None:
    """Redis lets an entry go at its `keep_until`, not when it stops being fresh."""
    await cache.put(EXAMPLE, entry(GOOD, clock.time() - HOUR))
    remaining = (2 * DAY - HOUR) * 1000
    assert remaining - LONG * 1000 < await raw.pttl(KEY) <= remaining


async def test_get_is_one_command(cache: RedisCache, clock: FakeClock, client: Meddling) -> None:
    """A hit costs one round trip, and so does a miss."""
    await cache.put(EXAMPLE, entry(GOOD, clock.time()))
    before = client.commands
    await cache.get(EXAMPLE)
    assert client.commands == before + 1
    await cache.get(OTHER)
    assert client.commands == before + 2


async def test_prefixes_are_kept_apart(cache: RedisCache, clock: FakeClock, client: Redis) -> None:
    """Users with a prefix of their own see nothing of each other."""
    other = RedisCache(client, prefix="staging:", clock=clock, timeout=LONG)
    await cache.put(EXAMPLE, entry(GOOD, clock.time()))
    assert await other.get(EXAMPLE) is None
    await other.delete(EXAMPLE)
    assert await cache.get(EXAMPLE) is not None


@pytest.mark.parametrize("protocol", [2, 3])
@pytest.mark.parametrize("decode_responses", [False, True])
async def test_any_client_will_do(
    server: RedisServer, clock: FakeClock, client: Redis, decode_responses: bool, protocol: int
) -> None:
    """Clients that decode and those that do not, of either protocol, do the same."""
    put = entry(GOOD, clock.time())
    async with server.client(decode_responses=decode_responses, protocol=protocol) as given:
        cache = RedisCache(given, clock=clock, timeout=LONG)
        assert (await cache.lease(EXAMPLE, LONG)).held
        await cache.put(EXAMPLE, put)
        assert await cache.get(EXAMPLE) == put
        assert await cache.lease(EXAMPLE, LONG) == Lease(held=True, entry=put)
        await cache.put(EXAMPLE, entry(DOWN, clock.time() - 1))
        assert await cache.get(EXAMPLE) == put
        async with aclosing(cache.invalidations()) as feed:
            assert await anext(feed) is None
            await RedisCache(client, clock=clock, timeout=LONG).delete(EXAMPLE)
            assert await anext(feed) == EXAMPLE.key
        await cache.delete(EXAMPLE)
        assert await cache.get(EXAMPLE) is None
        await cache.release(EXAMPLE)


NOW = FakeClock().time()
UNREADABLE = {
    "empty": b"",
    "no JSON": b"OK",
    "no text": b"\xff\x00\xfe",
    "a pickle": pickle.dumps(entry(GOOD, NOW)),
    "no object": b"[1, 2]",
    "nested deeply": b"[" * 100_000,
    "a later version": json.dumps(json.loads(entry(GOOD, NOW).to_json()) | {"version": 2}).encode(),
    "about another kind of question": entry(SrvFailed("SERVFAIL"), NOW).to_json(),
    "past its end": entry(GOOD, NOW - 2 * DAY).to_json(),
    "padded beyond reason": entry(GOOD, NOW).to_json() + b" " * (1 << 18),
}


@pytest.mark.parametrize("decode_responses", [False, True])
@pytest.mark.parametrize("value", UNREADABLE.values(), ids=UNREADABLE)
async def test_unreadable_value(
    server: RedisServer, clock: FakeClock, raw: Redis, value: bytes, decode_responses: bool
) -> None:
    """What is not an entry for the question counts as not there, and the next put replaces it."""
    await raw.set(KEY, value)
    async with server.client(decode_responses=decode_responses) as given:
        cache = RedisCache(given, clock=clock, timeout=LONG)
        assert await cache.get(EXAMPLE) is None
        assert (await cache.lease(EXAMPLE, LONG)).entry is None
        await cache.put(EXAMPLE, entry(DOWN, NOW))
        assert await cache.get(EXAMPLE) == entry(DOWN, NOW)


async def test_entry_of_another_question(cache: RedisCache, raw: Redis) -> None:
    """It is told where hooks hear of it, counts as not there, and makes nobody wait."""
    await raw.set(KEY, entry(GOOD, NOW, question=OTHER).to_json())
    for _ in range(2):
        with pytest.raises(
            CacheError, match=r"entry of 'wk:other.example' as one of wk:example"
        ) as told:
            await cache.get(EXAMPLE)
    assert not told.value.temporary
    assert await cache.lease(EXAMPLE, LONG) == Lease(held=True)
    await cache.put(EXAMPLE, entry(DOWN, NOW))
    assert await cache.get(EXAMPLE) == entry(DOWN, NOW)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
@given(value=st.binary() | st.recursive(st.text(), st.lists).map(lambda v: json.dumps(v).encode()))
async def test_any_bytes(cache: RedisCache, raw: Redis, value: bytes) -> None:
    """Whatever bytes there are, reading them is a miss and no error."""
    await raw.set(KEY, value)
    assert await cache.get(EXAMPLE) is None


async def test_other_types_of_value(cache: RedisCache, raw: Redis) -> None:
    """Lists where values should be count as nothing, and are replaced."""
    for key in (KEY, TOMBSTONE, LEASE):
        await raw.rpush(key, "foreign")
    assert await cache.get(EXAMPLE) is None
    assert (await cache.lease(EXAMPLE, LONG)).held
    await cache.put(EXAMPLE, entry(GOOD, NOW))
    assert await cache.get(EXAMPLE) == entry(GOOD, NOW)
    await cache.delete(EXAMPLE)
    assert await cache.get(EXAMPLE) is None
    assert await raw.get(TOMBSTONE) == repr(NOW).encode()


# Who wins


OLD_GOOD, NEW_GOOD = entry(GOOD, NOW - 100), entry(BETTER, NOW - 10)


@pytest.mark.parametrize(
    "second",
    [OLD_GOOD, entry(DOWN, NOW - 5), entry(REFUSED, NOW - 5)],
    ids=["an earlier answer", "a failure", "a refusal"],
)
async def test_value_expires_with_what_is_reconciled(
    cache: RedisCache, elsewhere: RedisCache, raw: Redis, second: CacheEntry
) -> None:
    """How long Redis keeps it follows what is kept in the end, not what was put."""
    await cache.put(EXAMPLE, NEW_GOOD)
    await elsewhere.put(EXAMPLE, second)
    remaining = (reconciled(NEW_GOOD, second).keep_until - NOW) * 1000
    assert remaining - LONG * 1000 < await raw.pttl(KEY) <= remaining


async def test_many_writers(client: Redis, clock: FakeClock, raw: Redis) -> None:
    """However many write at once, the good answer asked last is what remains."""
    caches = [RedisCache(client, clock=clock, timeout=LONG) for _ in range(12)]
    entries = [
        entry(GOOD, NOW - 40 + (7 * number) % 12) if number % 3 else entry(DOWN, NOW - 60 + number)
        for number in range(12)
    ]
    put = (cache.put(EXAMPLE, kept) for cache, kept in zip(caches, entries, strict=True))
    told = await asyncio.gather(*put, return_exceptions=True)
    stored = [kept for kept, failed in zip(entries, told, strict=True) if failed is None]
    assert all(failed is None or isinstance(failed, CacheError) for failed in told)
    last = max((kept for kept in stored if kept.good), key=lambda kept: kept.asked_at)
    assert await caches[0].get(EXAMPLE) == last


async def test_writer_in_between(
    cache: RedisCache, client: Meddling, raw: Redis, clock: FakeClock
) -> None:
    """When another writer comes in between, both entries are looked at again."""
    later = entry(BETTER, NOW)

    async def put_later(*_: Any) -> None:
        client.meddle = None
        await RedisCache(raw, clock=clock, timeout=LONG).put(EXAMPLE, later)

    client.meddle = put_later
    await cache.put(EXAMPLE, entry(GOOD, NOW - 1))
    assert await cache.get(EXAMPLE) == later


async def test_writers_without_end(cache: RedisCache, client: Meddling, raw: Redis) -> None:
    """When others come in between each time, it gives up, and Redis does not count as down."""
    numbers = itertools.count()

    async def write(*_: Any) -> None:
        await raw.set(KEY, str(next(numbers)))

    client.meddle = write
    with pytest.raises(CacheError, match="others kept writing"):
        await cache.put(EXAMPLE, entry(GOOD, NOW))
    client.meddle = None
    await cache.put(EXAMPLE, entry(GOOD, NOW))
    assert await cache.get(EXAMPLE) == entry(GOOD, NOW)


async def test_put_past_the_end(cache: RedisCache, clock: FakeClock, raw: Redis) -> None:
    """An entry that is put when its end has passed is not stored."""
    clock.advance(2 * DAY)
    await cache.put(EXAMPLE, entry(GOOD, NOW))
    assert await raw.exists(KEY) == 0


DELETED_AT = NOW
EARLIER, LATER = DELETED_AT - 1, DELETED_AT + 1
AFTER_A_DELETION = {
    "asked earlier": (entry(GOOD, EARLIER), None),
    "asked at the same moment": (entry(GOOD, DELETED_AT), entry(GOOD, DELETED_AT)),
    "asked later": (entry(GOOD, LATER), entry(GOOD, LATER)),
    "failure asked earlier": (entry(DOWN, EARLIER), None),
    "failure that knows an earlier answer": (
        entry(DOWN, LATER, entry(GOOD, EARLIER)),
        evolve(entry(DOWN, LATER), keep_until=EARLIER + 2 * DAY),
    ),
    "failure that knows a later answer": (
        entry(DOWN, LATER + 1, entry(GOOD, LATER)),
        entry(DOWN, LATER + 1, entry(GOOD, LATER)),
    ),
}


@pytest.mark.parametrize(("put", "kept"), AFTER_A_DELETION.values(), ids=AFTER_A_DELETION)
async def test_put_after_a_deletion(
    cache: RedisCache, elsewhere: RedisCache, put: CacheEntry, kept: CacheEntry | None
) -> None:
    """No answer asked before a deletion elsewhere comes back, be it as a reserve."""
    await cache.put(EXAMPLE, entry(GOOD, EARLIER))
    await elsewhere.delete(EXAMPLE)
    assert await cache.get(EXAMPLE) is None
    await cache.put(EXAMPLE, put)
    assert await cache.get(EXAMPLE) == kept


async def test_put_at_the_moment_of_a_deletion(cache: RedisCache) -> None:
    """A clock may stand still: what is asked at the very moment of a deletion is kept."""
    await cache.delete(EXAMPLE)
    for put in (entry(DOWN, DELETED_AT), entry(GOOD, DELETED_AT)):
        await cache.put(EXAMPLE, put)
        assert await cache.get(EXAMPLE) == put


async def test_put_of_what_is_there(cache: RedisCache, client: Meddling) -> None:
    """What is kept already is not written again."""
    await cache.put(EXAMPLE, NEW_GOOD)
    for put in (NEW_GOOD, OLD_GOOD):
        before = client.commands
        await cache.put(EXAMPLE, put)
        assert client.commands == before + 1


async def test_reserve_is_left_out_only_after_a_deletion(cache: RedisCache) -> None:
    """A failure brings its reserve along when nothing was deleted, and of other questions too."""
    with_reserve = entry(DOWN, NOW, entry(GOOD, NOW - 1))
    await cache.put(EXAMPLE, with_reserve)
    await cache.delete(OTHER)
    assert await cache.get(EXAMPLE) == with_reserve


async def test_tombstone_is_kept_for_a_while(cache: RedisCache, raw: Redis) -> None:
    """A tombstone stays longer than any question is under way, and then goes."""
    await cache.delete(EXAMPLE)
    assert await raw.keys() == [TOMBSTONE.encode()]
    assert 300_000 < await raw.pttl(TOMBSTONE) <= 600_000


async def test_deletions_by_different_clocks(cache: RedisCache, client: Redis) -> None:
    """The latest of several deletions counts, in whatever order they arrive."""
    await RedisCache(client, clock=FakeClock(NOW + 5), timeout=LONG).delete(EXAMPLE)
    await cache.delete(EXAMPLE)
    await cache.put(EXAMPLE, entry(GOOD, NOW + 4))
    assert await cache.get(EXAMPLE) is None


async def test_redis_that_knows_no_scripts(cache: RedisCache, raw: Redis) -> None:
    """After a restart, which loses the scripts, everything works as before."""
    for _ in range(2):
        await raw.script_flush()
        await cache.put(EXAMPLE, entry(GOOD, NOW))
        await raw.script_flush()
        assert (await cache.lease(EXAMPLE, LONG)).entry == entry(GOOD, NOW)
        await raw.script_flush()
        await cache.release(EXAMPLE)
        await raw.script_flush()
        await cache.delete(EXAMPLE)
        assert await cache.get(EXAMPLE) is None


# Leases


async def test_lease_held_already(cache: RedisCache, raw: Redis) -> None:
    """Who holds it gets it again, and its time begins anew."""
    await cache.lease(EXAMPLE, LONG)
    assert (await cache.lease(EXAMPLE, 2 * LONG)).held
    assert LONG * 1000 < await raw.pttl(LEASE) <= 2 * LONG * 1000


async def test_forked_processes_are_others(
    cache: RedisCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A copy of a cache in a forked process does not hold the leases of the original."""
    assert (await cache.lease(EXAMPLE, LONG)).held
    monkeypatch.setattr("os.getpid", lambda: -1)
    assert not (await cache.lease(EXAMPLE, LONG)).held


# What is told


@pytest.mark.parametrize(
    "message",
    [b"", b" ", b"nonsense", b"someone wk:", b"someone what:ever", b"\xff\xfe wk\xff", b"a" * 9999],
)
async def test_hostile_message(
    cache: RedisCache, elsewhere: RedisCache, raw: Redis, message: bytes
) -> None:
    """What is no message of ours is passed over."""
    async with aclosing(cache.invalidations()) as feed:
        await anext(feed)
        await raw.publish(CHANNEL, message)
        await elsewhere.delete(EXAMPLE)
        assert await anext(feed) == EXAMPLE.key


async def test_hostile_message_to_a_client_that_decodes(
    server: RedisServer, raw: Redis, clock: FakeClock
) -> None:
    """A message that redis-py can't decode cuts the feed off, and nothing worse."""
    async with server.client(decode_responses=True) as given:
        cache = RedisCache(given, clock=clock, timeout=LONG)
        async with aclosing(cache.invalidations()) as feed:
            await anext(feed)
            await raw.publish(CHANNEL, b"\xff")
            with pytest.raises(CacheError):
                await anext(feed)


@pytest.mark.parametrize("listening", [False, True], ids=["at once", "while it listens"])
async def test_closing_the_feed(cache: RedisCache, raw: Redis, listening: bool) -> None:
    """A feed that is closed or cancelled leaves no subscriber behind."""

    async def alone() -> bool:
        return (await raw.pubsub_numsub(CHANNEL))[0][1] == 0

    async with aclosing(cache.invalidations()) as feed:
        await anext(feed)
        assert not await alone()
        if listening:
            waiting = asyncio.ensure_future(anext(feed))
            await asyncio.sleep(0)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
    await eventually(alone)


@pytest.mark.usefixtures("often")
async def test_feed_that_is_cancelled_while_it_pings(
    cache: RedisCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though redis-py may swallow a cancellation, a feed that is told to end does."""
    pinging = asyncio.Event()

    async def ping(_: PubSub) -> bool:
        pinging.set()
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(LONG)
        return True

    monkeypatch.setattr(PubSub, "ping", ping)
    async with aclosing(cache.invalidations()) as feed:
        await anext(feed)
        waiting = asyncio.ensure_future(anext(feed))
        await pinging.wait()
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting


async def test_feed_that_is_cut_off(cache: RedisCache, raw: Redis) -> None:
    """A lost connection ends the feed, though redis-py would connect anew by itself."""
    async with aclosing(cache.invalidations()) as feed:
        await anext(feed)
        await raw.client_kill_filter(_type="pubsub")
        with pytest.raises(CacheError):
            await anext(feed)


async def test_feed_of_a_redis_that_hangs(cache: RedisCache, server: RedisServer) -> None:
    """A Redis that keeps the connection but is silent is noticed."""
    async with aclosing(cache.invalidations()) as feed:
        await anext(feed)
        server.hang()
        async with asyncio.timeout(LONG):
            with pytest.raises(CacheError):
                await anext(feed)


@pytest.mark.usefixtures("often")
async def test_quiet_feed(cache: RedisCache, elsewhere: RedisCache) -> None:
    """However long nothing is deleted, the feed stays open as long as Redis is there."""
    async with aclosing(cache.invalidations()) as feed:
        await anext(feed)
        waiting = asyncio.ensure_future(anext(feed))
        done, _ = await asyncio.wait([waiting], timeout=1.5)
        assert not done
        await elsewhere.delete(EXAMPLE)
        assert await waiting == EXAMPLE.key


async def test_feed_without_redis(server: RedisServer, cache: RedisCache) -> None:
    """Where nobody answers, the feed says so."""
    server.kill()
    async with aclosing(cache.invalidations()) as feed:
        with pytest.raises(CacheError):
            await anext(feed)


# Outages


@pytest.fixture
def hasty(client: Redis, clock: FakeClock) -> RedisCache:
    """A cache that gives up soon."""
    return RedisCache(client, clock=clock, timeout=SHORT)


OPERATIONS: dict[str, Callable[[RedisCache], Awaitable[Any]]] = {
    "get": lambda cache: cache.get(EXAMPLE),
    "put": lambda cache: cache.put(EXAMPLE, entry(GOOD, NOW)),
    "delete": lambda cache: cache.delete(EXAMPLE),
    "lease": lambda cache: cache.lease(EXAMPLE, LONG),
    "release": lambda cache: cache.release(EXAMPLE),
}


@pytest.mark.parametrize("outage", ["kill", "hang"])
@pytest.mark.parametrize("operation", OPERATIONS.values(), ids=OPERATIONS)
async def test_outage(
    server: RedisServer,
    hasty: RedisCache,
    client: Meddling,
    clock: FakeClock,
    outage: str,
    operation: Callable[[RedisCache], Awaitable[Any]],
) -> None:
    """A Redis that is down or hangs is a `CacheError`; for a second nobody tries again."""
    await client.ping()
    getattr(server, outage)()
    with pytest.raises(CacheError):
        await operation(hasty)
    before = client.commands
    clock.advance(0.9)
    for again in OPERATIONS.values():
        with pytest.raises(CacheError, match="a moment ago"):
            await again(hasty)
    assert client.commands == before
    server.ensure_running()
    clock.advance(0.2)
    async with asyncio.timeout(LONG):
        while True:  # on a busy machine it may fail once more
            try:
                await operation(hasty)
                break
            except CacheError:
                clock.advance(1)


async def test_one_looks_whether_redis_is_back(
    server: RedisServer, hasty: RedisCache, client: Meddling, clock: FakeClock
) -> None:
    """After the pause one operation tries, and while it fails the others need not wait for it."""
    server.hang()
    with pytest.raises(CacheError):
        await hasty.get(EXAMPLE)
    clock.advance(1)
    before = client.commands
    told = await asyncio.gather(*(hasty.get(EXAMPLE) for _ in range(30)), return_exceptions=True)
    assert all(isinstance(error, CacheError) for error in told)
    assert client.commands == before + 1


async def test_burst_opens_few_connections(cache: RedisCache, raw: Redis) -> None:
    """However many ask at once, a handful of connections serves them all."""
    await asyncio.gather(*(cache.get(AskWellKnown(f"{n}.example")) for n in range(500)))
    assert len(await raw.client_list()) <= 17


async def test_burst_when_redis_hangs(
    server: RedisServer, hasty: RedisCache, client: Meddling
) -> None:
    """Those who wait for their turn are told at once when those before them have failed."""
    server.hang()
    told = await asyncio.gather(*(hasty.get(EXAMPLE) for _ in range(200)), return_exceptions=True)
    assert all(isinstance(error, CacheError) for error in told)
    assert client.commands <= 16


@pytest.mark.parametrize(
    ("error", "pauses"),
    [
        pytest.param(OutOfMemoryError("full"), False, id="Redis says no"),
        pytest.param(MaxConnectionsError("too many"), False, id="no connection left"),
        pytest.param(RedisConnectionError("lost"), True, id="connection lost"),
        pytest.param(OSError("no route"), True, id="network"),
        pytest.param(TimeoutError(), True, id="a time-out of the client's"),
    ],
)
async def test_kinds_of_failure(
    cache: RedisCache, client: Meddling, error: Exception, pauses: bool
) -> None:
    """Every failure is a `CacheError`; what is said at once makes nobody wait."""

    async def fail(*_: Any) -> None:
        raise error

    client.meddle = fail
    with pytest.raises(CacheError) as failed:
        await cache.get(EXAMPLE)
    assert failed.value.temporary
    client.meddle = None
    if pauses:
        with pytest.raises(CacheError, match="a moment ago"):
            await cache.get(EXAMPLE)
    else:
        assert await cache.get(EXAMPLE) is None


async def test_bug_comes_out(cache: RedisCache, client: Meddling) -> None:
    """What is no failure of Redis is not hidden."""

    async def fail(*_: Any) -> None:
        raise ZeroDivisionError

    client.meddle = fail
    with pytest.raises(ZeroDivisionError):
        await cache.get(EXAMPLE)


async def test_cancelled_caller(server: RedisServer, client: Redis, clock: FakeClock) -> None:
    """Who is cancelled neither makes others wait nor leaves them a reply that is not theirs."""
    # Before Python 3.12 redis-py swallows a cancellation now and then: that costs the time-out.
    cache = RedisCache(client, clock=clock, timeout=3.0)
    other = entry(BETTER, NOW, question=OTHER)
    await cache.put(EXAMPLE, entry(GOOD, NOW))
    await cache.put(OTHER, other)
    server.hang()
    asking = [asyncio.ensure_future(cache.get(EXAMPLE)) for _ in range(30)]
    await asyncio.sleep(SHORT)
    for task in asking:
        task.cancel()
    await asyncio.wait(asking)
    assert all(task.cancelled() for task in asking)
    server.go_on()
    assert await asyncio.gather(*(cache.get(OTHER) for _ in range(30))) == [other] * 30


async def test_cancelled_while_sending(cache: RedisCache) -> None:
    """No cancellation is swallowed, not even at the moment at which `wait_for` did so."""
    await cache.get(EXAMPLE)  # connected
    for operation in OPERATIONS.values():
        task = asyncio.ensure_future(operation(cache))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()


async def test_cancelled_at_any_moment(cache: RedisCache, client: Redis) -> None:
    """Cancelled after any number of steps, an operation leaves the client as it should be."""
    kept = {question: entry(DOWN, NOW, question=question) for question in (EXAMPLE, OTHER)}
    for question in kept:
        await cache.put(question, kept[question])
    for steps in range(60):
        for operation in OPERATIONS.values():
            await client.connection_pool.disconnect()
            task = asyncio.ensure_future(operation(cache))
            for _ in range(steps):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait([task])
            assert await cache.get(OTHER) == kept[OTHER]


@pytest.mark.parametrize("outage", ["kill", "hang"])
@pytest.mark.parametrize("next_is", ["get", "put", "lease", "delete"])
async def test_deletion_in_an_outage(
    server: RedisServer,
    hasty: RedisCache,
    elsewhere: RedisCache,
    clock: FakeClock,
    raw: Redis,
    outage: str,
    next_is: str,
) -> None:
    """What could not be deleted is deleted before anything else is done about it."""
    kept, failure = entry(GOOD, NOW), entry(DOWN, NOW + 2)
    await elsewhere.put(EXAMPLE, kept)
    clock.advance(1)
    getattr(server, outage)()
    for question in (OTHER, EXAMPLE):  # only the first is even tried
        with pytest.raises(CacheError):
            await hasty.delete(question)
    server.ensure_running()
    await raw.set(KEY, kept.to_json())  # for one that was killed has lost it
    clock.advance(1)
    hasty._breaker._timeout = LONG
    if next_is == "get":
        assert await hasty.get(EXAMPLE) is None
    elif next_is == "put":
        await hasty.put(EXAMPLE, failure)
        assert await elsewhere.get(EXAMPLE) == failure
        return
    elif next_is == "lease":
        assert (await hasty.lease(EXAMPLE, LONG)).entry is None
    else:
        await hasty.delete(EXAMPLE)
    assert await elsewhere.get(EXAMPLE) is None
    await elsewhere.put(EXAMPLE, kept)
    assert await elsewhere.get(EXAMPLE) is None


async def test_deleted_again_meanwhile(
    cache: RedisCache, client: Meddling, clock: FakeClock
) -> None:
    """A second deletion that fails while the first one succeeds is still made up for."""

    async def delete_again(*_: Any) -> None:
        client.meddle = None
        clock.advance(2)
        again = asyncio.ensure_future(cache.delete(EXAMPLE))
        await asyncio.sleep(0)
        again.cancel()
        await asyncio.wait([again])

    client.meddle = delete_again
    await cache.delete(EXAMPLE)
    await cache.put(EXAMPLE, entry(GOOD, NOW + 1))
    assert await cache.get(EXAMPLE) is None


@pytest.fixture
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have feeds look often whether something is to be made up for."""
    monkeypatch.setattr("matrix_resolve.backends.cache_redis.feed._QUIET", 0.2)


@pytest.fixture
def failing(client: Meddling) -> Callable[[], None]:
    """A switch: from then on nothing comes through but what a feed does."""

    async def fail(*_: Any) -> None:
        raise RedisConnectionError("lost")

    def switch() -> None:
        client.meddle = fail

    return switch


@pytest.mark.usefixtures("often")
async def test_made_up_for_unasked(
    cache: RedisCache,
    client: Meddling,
    raw: Redis,
    clock: FakeClock,
    failing: Callable[[], None],
) -> None:
    """While it listens, deletions that failed are made up for by themselves."""
    await cache.put(EXAMPLE, entry(GOOD, NOW))
    async with aclosing(cache.invalidations()) as feed:
        await anext(feed)
        failing()
        with pytest.raises(CacheError):
            await cache.delete(EXAMPLE)
        waiting = asyncio.ensure_future(anext(feed))
        done, _ = await asyncio.wait([waiting], timeout=0.5)
        assert not done  # that it still fails is no reason to stop listening
        assert await raw.exists(KEY) == 1
        client.meddle = None
        clock.advance(1)

        async def made_up_for() -> bool:
            return await raw.exists(TOMBSTONE) == 1

        await eventually(made_up_for)
        waiting.cancel()
        await asyncio.wait([waiting])
    elsewhere = RedisCache(raw, clock=clock, timeout=LONG)
    assert await elsewhere.get(EXAMPLE) is None


async def test_made_up_for_though_the_feed_is_busy(
    cache: RedisCache,
    client: Meddling,
    raw: Redis,
    clock: FakeClock,
    failing: Callable[[], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A feed that is never quiet makes up for an outage too."""
    monkeypatch.setattr("matrix_resolve.backends.cache_redis.feed._QUIET", LONG)
    async with aclosing(cache.invalidations()) as feed:
        await anext(feed)
        failing()
        with pytest.raises(CacheError):
            await cache.delete(EXAMPLE)
        client.meddle = None
        clock.advance(1)
        elsewhere = RedisCache(raw, clock=clock, timeout=LONG)
        for question in (OTHER, AskWellKnown("next.example")):
            await elsewhere.delete(question)
            assert await anext(feed) == question.key
    assert await raw.exists(TOMBSTONE) == 1


async def test_undeleted_is_bounded(
    cache: RedisCache, failing: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a long outage only so many deletions are kept to be made up for, the latest."""
    monkeypatch.setattr("matrix_resolve.backends.cache_redis.cache._MOST_UNDELETED", 3)
    questions: list[Question] = [AskWellKnown(f"{number}.example") for number in range(5)]
    failing()
    for question in questions:
        with pytest.raises(CacheError):
            await cache.delete(question)
    assert [*cache._undeleted] == questions[2:]


async def test_lease_that_could_not_be_released(
    cache: RedisCache,
    elsewhere: RedisCache,
    client: Meddling,
    clock: FakeClock,
    failing: Callable[[], None],
) -> None:
    """It ends by itself, and until then its holder may have it again."""
    assert (await cache.lease(EXAMPLE, HOUR)).held
    failing()
    with pytest.raises(CacheError):
        await cache.release(EXAMPLE)
    client.meddle = None
    clock.advance(1)
    assert not (await elsewhere.lease(EXAMPLE, LONG)).held
    assert (await cache.lease(EXAMPLE, 0.01)).held

    async def may_ask() -> bool:
        return (await elsewhere.lease(EXAMPLE, LONG)).held

    await eventually(may_ask)
