"""What is wrong with Redis, or on its port: told in words, never worse than a miss, and over soon.

Each test fails on what redis-py does by itself: it stays connected to a master that was replaced,
tries again until nobody waits any longer, and raises whatever reading foreign bytes raises.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from fuzzing import SkippingLoop, timers_of_ours
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from servers import RedisServer, running_redis

from matrix_resolve import CacheFailed, MemoryCache, Resolver, TieredCache
from matrix_resolve.backends.cache_redis import feed, patience
from matrix_resolve.backends.cache_redis.cache import RedisCache
from matrix_resolve.backends.cache_redis.link import Link
from matrix_resolve.core.names import ServerName
from matrix_resolve.core.questions import AskWellKnown, Delegated
from matrix_resolve.errors import CacheError
from matrix_resolve.interfaces import CacheEntry
from matrix_resolve.testing import FakeAddresses, FakeClock, FakeSrv, FakeWellKnown

EXAMPLE = AskWellKnown("example.org")
OTHER = AskWellKnown("other.example")
NOW = FakeClock().time()
LONG = 60.0
"""Seconds that nothing takes unless it hangs."""
SHORT = 0.05
"""Seconds after which what never answers is given up."""
ENTRY = CacheEntry(
    key=EXAMPLE.key,
    outcome=Delegated(ServerName.parse("hs.example.net"), "https://example.org/"),
    asked_at=NOW,
    fresh_until=NOW + 3600,
    keep_until=NOW + 7200,
)


async def first_of_feed(cache: RedisCache) -> str | None:
    """Listen, until the first word or, if it listens, the second."""
    async with aclosing(cache.invalidations()) as feed:
        await anext(feed)
        return await anext(feed)


OPERATIONS: dict[str, Callable[[RedisCache], Awaitable[Any]]] = {
    "get": lambda cache: cache.get(EXAMPLE),
    "put": lambda cache: cache.put(EXAMPLE, ENTRY),
    "delete": lambda cache: cache.delete(EXAMPLE),
    "lease": lambda cache: cache.lease(EXAMPLE, LONG),
    "release": lambda cache: cache.release(EXAMPLE),
    "check": lambda cache: cache.check(),
    "feed": first_of_feed,
}


class Scripted:
    """A server on a loopback port that answers each command as it is told to, or not at all."""

    def __init__(self) -> None:
        self.answer: Callable[[list[bytes]], bytes] = lambda _: b""
        self.commands: list[list[bytes]] = []
        self.connections = 0
        self.port = 0

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Scripted"]:
        """Listen in this context."""
        writers: set[asyncio.StreamWriter] = set()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writers.add(writer)
            self.connections += 1
            with suppress(OSError, asyncio.IncompleteReadError):
                while words := await read_command(reader):
                    self.commands.append(words)
                    writer.write(self.answer(words))
                    await writer.drain()
            writer.close()

        listening = await asyncio.start_server(serve, "127.0.0.1", 0)
        self.port = listening.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            listening.close()
            for writer in writers:
                writer.transport.abort()
            await asyncio.sleep(0)
            await asyncio.sleep(0)


async def read_command(reader: asyncio.StreamReader) -> list[bytes]:
    """Return the words of a command; none at the end."""
    head = await reader.readline()
    if not head:
        return []
    words = []
    for _ in range(int(head[1:])):
        length = await reader.readline()
        words.append((await reader.readexactly(int(length[1:]) + 2))[:-2])
    return words


GREETINGS = {
    b"HELLO": b"%1\r\n+proto\r\n:3\r\n",
    b"AUTH": b"+OK\r\n",
    b"CLIENT": b"+OK\r\n",
    b"SELECT": b"+OK\r\n",
}


MISS = b"$0\r\n\r\n"


def after_greetings(answer: bytes) -> Callable[[list[bytes]], bytes]:
    """Answer so to all but what redis-py says when it connects."""
    return lambda words: GREETINGS.get(words[0], answer)


@pytest_asyncio.fixture
async def scripted() -> AsyncIterator[Scripted]:
    """A server that says nothing yet."""
    async with Scripted().running() as running:
        yield running


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have feeds and checks give up soon what never answers."""
    monkeypatch.setattr("matrix_resolve.backends.cache_redis.feed._QUIET", SHORT)
    monkeypatch.setattr("matrix_resolve.backends.cache_redis.cache._CHECK", SHORT)


def once() -> Retry:
    """Let redis-py try no more than once."""
    return Retry(NoBackoff(), 0)


# Anything on Redis's port

DEEP = b"*1\r\n" * 5000
FOREIGN = {
    "a length in letters": b"$abc\r\n",
    "a length of nothing": b"$\r\n",
    "a length below zero": b"$-2\r\n",
    "a length far below zero": b"$-99\r\nabc\r\n",
    "a length beyond reason": b"$99999999999999999999\r\n",
    "a length of 5,000 digits": b"$" + b"9" * 5000 + b"\r\n",
    "a length with underscores": b"$1_0\r\n0123456789\r\n",
    "a text cut short": b"$5\r\nabc\r\n",
    "a number": b":1\r\n",
    "a number below zero": b":-1\r\n",
    "a number in letters": b":one\r\n",
    "a number of 5,000 digits": b":" + b"9" * 5000 + b"\r\n",
    "a list where a text should be": b"*1\r\n$1\r\na\r\n",
    "an empty list": b"*0\r\n",
    "a list of a length in letters": b"*x\r\n",
    "a list of a length below zero": b"*-5\r\n",
    "a list without end": b"*99999999\r\n" + b":1\r\n" * 1000,
    "three where two should be": b"*3\r\n:1\r\n$0\r\n\r\n$0\r\n\r\n",
    "two of other types": b"*2\r\n$1\r\na\r\n:1\r\n",
    "two nothings": b"*2\r\n$-1\r\n$-1\r\n",
    "an error in a list": b"*2\r\n-ERR one\r\n$0\r\n\r\n",
    "lists in lists": DEEP + b":1\r\n",
    "lists in lists without end": DEEP,
    "moved to nowhere": b"-MOVED x\r\n",
    "moved without a port": b"-MOVED 1 host\r\n",
    "moved": b"-MOVED 1 127.0.0.1:1\r\n",
    "ask nobody": b"-ASK\r\n",
    "an error without words": b"-\r\n",
    "an error that is no text": b"-\xff\xfe\x00\r\n",
    "an error with escape sequences": b"-ERR \x1b[2J\x07\r\n",
    "an endless error": b"-" + b"x" * 200_000,
    "a long error": b"-ERR " + b"x" * 60_000 + b"\r\n",
    "a status": b"+OK\r\n",
    "a status that is no text": b"+\xff\xfe\r\n",
    "a web server": b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n",
    "a mail server": b"220 mail.example.org ESMTP\r\n",
    "TLS": b"\x15\x03\x01\x00\x02\x02\x46",
    "nothing but line ends": b"\r\n\r\n\r\n",
    "zeros": b"\x00" * 100 + b"\r\n",
    "a line without end": b"$" + b"1" * 200_000,
    "a float": b",nan\r\n",
    "a float in letters": b",x\r\n",
    "a truth": b"#t\r\n",
    "a null": b"_\r\n",
    "a great number": b"(" + b"9" * 400 + b"\r\n",
    "an error in bulk": b"!5\r\nERR x\r\n",
    "an error of a length in letters": b"!x\r\n",
    "a verbatim text": b"=3\r\nabc\r\n",
    "a map with a list as key": b"%1\r\n*1\r\n:1\r\n:1\r\n",
    "half a map": b"%1\r\n:1\r\n",
    "a set": b"~1\r\n:1\r\n",
    "a push of nothing": b">0\r\n",
    "a push that is no text": b">1\r\n:1\r\n",
    "a push that is no Unicode": b">1\r\n$2\r\n\xff\xfe\r\n",
    "a push of a message": b">3\r\n$7\r\nmessage\r\n$1\r\nc\r\n:1\r\n",
    "a message of a list": b"*3\r\n$7\r\nmessage\r\n$1\r\nc\r\n*1\r\n:1\r\n",
    "a message of nothing": b"*3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$-1\r\n",
    "two replies at once": b":1\r\n:2\r\n",
    "silence": b"",
}
WHENS: dict[str, Callable[[bytes], Callable[[list[bytes]], bytes]]] = {
    "from the first byte": lambda answer: lambda _: answer,
    "once connected": after_greetings,
}


@pytest.mark.usefixtures("soon")
@pytest.mark.parametrize("protocol", [2, 3])
@pytest.mark.parametrize("when", WHENS.values(), ids=WHENS)
@pytest.mark.parametrize("answer", FOREIGN.values(), ids=FOREIGN)
async def test_anything_on_the_port_of_redis(
    scripted: Scripted,
    answer: bytes,
    when: Callable[[bytes], Callable[[list[bytes]], bytes]],
    protocol: int,
) -> None:
    """What no Redis says is a `CacheError` that can be shown, or a miss."""
    scripted.answer = when(answer)

    async def tried(name: str) -> None:
        clock = FakeClock()
        async with Redis(
            host="127.0.0.1", port=scripted.port, protocol=protocol, retry=once()
        ) as client:
            cache = RedisCache(client, clock=clock, timeout=SHORT)
            failure: CacheError | None = None
            told: Any = None
            try:
                told = await OPERATIONS[name](cache)
            except CacheError as error:
                failure = error
            if failure is None:
                assert name not in ("check", "feed", "lease"), name
                assert told is None, name
            else:
                assert failure.reason.isprintable(), name
                assert len(failure.reason) < 500, name
            clock.advance(2)
            with suppress(CacheError):  # nor is what it leaves in the way of the next
                assert await cache.get(OTHER) is None

    async with asyncio.timeout(LONG):
        await asyncio.gather(*map(tried, OPERATIONS))


@pytest.mark.parametrize("protocol", [2, 3])
async def test_foreign_messages(server: RedisServer, redis_client: Redis, protocol: int) -> None:
    """What is published that is no message of ours is passed over, of whatever type and length."""
    async with server.client(protocol=protocol) as client, asyncio.timeout(LONG):
        cache = RedisCache(client)
        async with aclosing(cache.invalidations()) as feed:
            assert await anext(feed) is None
            for message in (b"", b"someone", b"a " + b"x" * 1_000_000, b"a wk:" + b"x" * 508):
                await redis_client.publish("matrix_resolve:1:invalidations", message)
            await RedisCache(redis_client).delete(EXAMPLE)
            assert await anext(feed) == EXAMPLE.key


@pytest.mark.parametrize("message", [b"someone wk:example.org", b"no message of ours"])
async def test_many_messages(server: RedisServer, redis_client: Redis, message: bytes) -> None:
    """However many messages are there at once, others have their turns in between."""
    many, turns = 3000, 0
    async with (
        server.client() as client,
        asyncio.timeout(LONG),
        aclosing(RedisCache(client).invalidations()) as feed,
    ):
        assert await anext(feed) is None
        pipeline = redis_client.pipeline(transaction=False)
        for _ in range(many):
            pipeline.publish("matrix_resolve:1:invalidations", message)
        pipeline.publish("matrix_resolve:1:invalidations", b"someone wk:last.example")
        await pipeline.execute()

        async def hear() -> None:
            async for key in feed:
                if key == "wk:last.example":
                    return

        hearing = asyncio.ensure_future(hear())
        while not hearing.done():
            turns += 1
            await asyncio.sleep(0)
        await hearing
    assert turns >= many


# Another Redis is the one to ask


class Relay:
    """A port that leads to whichever Redis is `target` when somebody connects."""

    def __init__(self) -> None:
        self.target = 0
        self.port = 0

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Relay"]:
        """Lead there in this context."""
        writers: list[asyncio.StreamWriter] = []

        async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with suppress(OSError):
                while data := await reader.read(1 << 16):
                    writer.write(data)
                    await writer.drain()
            writer.close()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            there = await asyncio.open_connection("127.0.0.1", self.target)
            writers.extend((writer, there[1]))
            await asyncio.gather(pump(reader, there[1]), pump(there[0], writer))

        listening = await asyncio.start_server(serve, "127.0.0.1", 0)
        self.port = listening.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            listening.close()
            for writer in writers:
                writer.transport.abort()
            for _ in range(5):
                await asyncio.sleep(0)


@pytest.fixture
def replacement(tmp_path: Path) -> Any:
    """A second Redis."""
    with running_redis(tmp_path) as server:
        yield server


@pytest.mark.parametrize("single", [False, True], ids=["a pool", "one connection"])
async def test_failover(
    server: RedisServer, replacement: RedisServer, redis_client: Redis, single: bool
) -> None:
    """After the old master became a replica, all is asked of the new one, and heard from it."""
    clock = FakeClock()
    async with Relay().running() as relay, asyncio.timeout(LONG):
        relay.target = server.port
        async with (
            Redis(host="127.0.0.1", port=relay.port, single_connection_client=single) as client,
            replacement.client() as elsewhere,
        ):
            cache = RedisCache(client, clock=clock, timeout=LONG)
            if not single:  # several connections that are idle when it happens
                await asyncio.gather(*(cache.get(AskWellKnown(f"{n}.example")) for n in range(8)))
            async with aclosing(cache.invalidations()) as feed:
                assert await anext(feed) is None
                await cache.put(EXAMPLE, ENTRY)
                relay.target = replacement.port
                await redis_client.replicaof("127.0.0.1", str(replacement.port))
                try:
                    with pytest.raises(CacheError, match="read only replica"):
                        await cache.lease(OTHER, 1)
                    with pytest.raises(CacheError, match=r"a moment ago.*read only replica"):
                        await cache.get(OTHER)
                    with pytest.raises(CacheError, match="another Redis"):
                        await anext(feed)
                finally:
                    await redis_client.replicaof("no", "one")
            clock.advance(1)
            assert (await cache.lease(OTHER, LONG)).held
            await cache.put(EXAMPLE, ENTRY)
            assert await RedisCache(elsewhere, clock=clock, timeout=LONG).get(EXAMPLE) == ENTRY
            async with aclosing(cache.invalidations()) as feed:
                assert await anext(feed) is None
                await RedisCache(elsewhere, clock=clock, timeout=LONG).delete(EXAMPLE)
                assert await anext(feed) == EXAMPLE.key


async def test_failover_to_where_no_packet_comes_back(scripted: Scripted) -> None:
    """When the old master is mute, one operation finds out, not one for each connection."""
    clock = FakeClock()
    scripted.answer = after_greetings(MISS)
    async with Redis(host="127.0.0.1", port=scripted.port, retry=once()) as client:
        cache = RedisCache(client, clock=clock, timeout=LONG)
        await asyncio.gather(*(cache.get(AskWellKnown(f"{n}.example")) for n in range(8)))
        old = scripted.connections
        assert old > 1
        scripted.answer = lambda _: b""
        cache._breaker._timeout = SHORT
        with pytest.raises(CacheError):
            await cache.get(EXAMPLE)
        scripted.answer = after_greetings(MISS)
        cache._breaker._timeout = LONG
        clock.advance(1)
        assert await cache.get(EXAMPLE) is None
        assert scripted.connections == old + 1


NOT_THE_ONE = {
    "READONLY": b"-READONLY You can't write against a read only replica.\r\n",
    "READONLY in a script": b"-ERR Error running script (call to f_1): @user_script:9: "
    b"@user_script: 9: -READONLY You can't write against a read only replica.\r\n",
    "MASTERDOWN": b"-MASTERDOWN Link with MASTER is down and replica-serve-stale-data is 'no'.\r\n",
    "LOADING": b"-LOADING Redis is loading the dataset in memory\r\n",
    "CLUSTERDOWN": b"-CLUSTERDOWN The cluster is down\r\n",
    "MOVED": b"-MOVED 3999 127.0.0.1:6381\r\n",
    "ASK": b"-ASK 3999 127.0.0.1:6381\r\n",
    "TRYAGAIN": b"-TRYAGAIN Multiple keys request during rehashing of slot\r\n",
    "NOREPLICAS": b"-NOREPLICAS Not enough good replicas to write.\r\n",
    "UNBLOCKED": b"-UNBLOCKED force unblock from blocking operation\r\n",
    "NOAUTH": b"-NOAUTH Authentication required.\r\n",
}
NOT_NOW = {
    "OOM": b"-OOM command not allowed when used memory > 'maxmemory'.\r\n",
    "NOPERM": b"-NOPERM this user has no permissions to run the 'evalsha' command\r\n",
    "MISCONF": b"-MISCONF Redis is configured to save RDB snapshots\r\n",
    "BUSY": b"-BUSY Redis is busy running a script.\r\n",
    "ERR": b"-ERR unknown command\r\n",
}


@pytest.mark.parametrize(
    ("answer", "renews"),
    [*((a, True) for a in NOT_THE_ONE.values()), *((a, False) for a in NOT_NOW.values())],
    ids=[*NOT_THE_ONE, *NOT_NOW],
)
async def test_what_ends_connections(scripted: Scripted, answer: bytes, renews: bool) -> None:
    """A Redis that is not the one to ask is left, and asked anew; a plain no changes nothing."""
    clock = FakeClock()
    scripted.answer = after_greetings(answer)
    async with Redis(host="127.0.0.1", port=scripted.port, retry=once()) as client:
        cache = RedisCache(client, clock=clock, timeout=LONG)
        with pytest.raises(CacheError) as failed:
            await cache.get(EXAMPLE)
        assert str(failed.value).startswith("Redis: ")
        scripted.answer = after_greetings(MISS)
        if renews:
            with pytest.raises(CacheError, match="a moment ago: Redis: "):
                await cache.get(EXAMPLE)
            clock.advance(1)
        for _ in range(2):
            assert await cache.get(EXAMPLE) is None
        assert scripted.connections == 1 + renews


async def test_feed_after_an_outage_connects_anew(scripted: Scripted) -> None:
    """A feed that was cut off does not take up a connection from before."""
    scripted.answer = after_greetings(MISS)
    async with Redis(host="127.0.0.1", port=scripted.port, retry=once()) as client:
        cache = RedisCache(client, clock=FakeClock(), timeout=LONG)
        await asyncio.gather(*(cache.get(AskWellKnown(f"{n}.example")) for n in range(4)))
        idle = client.connection_pool._available_connections
        for left in (3, 0):  # the first takes up one of the old, which may be good
            with pytest.raises(CacheError, match="has ended, or never begun"):
                await first_of_feed(cache)
            assert sum(connection.is_connected for connection in idle) == left


def pushed(kind: bytes, data: bytes = b":1\r\n") -> bytes:
    """What a subscriber is sent."""
    return b"*3\r\n$%d\r\n%s\r\n$1\r\nc\r\n" % (len(kind), kind) + data


@pytest.mark.parametrize("more", [b"unsubscribe", b"punsubscribe", b"subscribe", b"what"])
async def test_subscription_that_ends(scripted: Scripted, more: bytes) -> None:
    """A feed that would hear no more is cut off."""
    word = pushed(b"message", b"$18\r\na wk:heard.example\r\n")
    scripted.answer = after_greetings(pushed(b"subscribe") + word + pushed(more))
    async with (
        asyncio.timeout(LONG),
        Redis(host="127.0.0.1", port=scripted.port, protocol=2, retry=once()) as client,
        aclosing(RedisCache(client).invalidations()) as feed,
    ):
        assert await anext(feed) is None
        assert await anext(feed) == "wk:heard.example"
        with pytest.raises(CacheError, match="has ended"):
            await anext(feed)
        assert [words[0] for words in scripted.commands].count(b"PING") == 0


@pytest.mark.parametrize(("answer", "listens"), [(b"subscribe", True), (b"message", False)])
async def test_check_of_subscribing(scripted: Scripted, answer: bytes, listens: bool) -> None:
    """A server that sends something else than that one has subscribed is no Redis."""
    scripted.answer = after_greetings(pushed(answer))
    async with Redis(host="127.0.0.1", port=scripted.port, protocol=2, retry=once()) as client:
        checking = feed.check(Link(client), "c")
        if listens:
            await checking
        else:
            with pytest.raises(RedisError, match="lets nobody subscribe"):
                await checking


class Subscriber:
    """Gives what a test says, each after so many seconds in which the loop is held up."""

    def __init__(self, loop: SkippingLoop, given: list[tuple[str | None, float]]) -> None:
        self.loop, self.given = loop, iter(given)
        self.pings = 0

    async def __aenter__(self) -> "Subscriber":
        return self

    async def __aexit__(self, *_: object) -> None: ...

    async def subscribe(self, _: str) -> None: ...

    async def ping(self) -> None:
        """Count."""
        self.pings += 1

    async def get_message(self, **_: object) -> dict[str, object] | None:
        """Give the next."""
        kind, late = next(self.given)
        await asyncio.sleep(1.0)
        self.loop.skip(late)
        return None if kind is None else {"type": kind, "data": b"data"}


SILENT = "Redis has gone silent"
HEARD: dict[str, tuple[list[tuple[str | None, float]], str]] = {
    "silence": ([(None, 0), (None, 0)], SILENT),
    "no answer to a ping": ([(None, 0), ("pong", 0), (None, 0), (None, 0)], SILENT),
    "a word in between": ([(None, 0), ("message", 0), (None, 0), (None, 0)], SILENT),
    "held up once": ([(None, 0), (None, 0.9), ("pong", 0), ("subscribe", 0)], "has ended"),
    "always held up": ([(None, 0.9)] * 9 + [("subscribe", 0)], "has ended"),
    "held up at first": ([(None, 0.9), (None, 0)], SILENT),
}


@pytest.mark.parametrize(("given", "told"), HEARD.values(), ids=HEARD)
def test_what_is_silence(given: list[tuple[str | None, float]], told: str) -> None:
    """A sign of life may be there already when it is looked for too late."""

    async def listen() -> int:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, SkippingLoop)
        subscriber = Subscriber(loop, [("subscribe", 0.0), *given])
        async with Redis() as client:
            link = Link(client)
            link.reach = subscriber.ping  # type: ignore[method-assign]
            link.pubsub = lambda: subscriber  # type: ignore[method-assign,assignment,return-value]
            with pytest.raises(CacheError, match=told):
                async for _ in feed.messages(link, "c"):
                    pass
        assert next(subscriber.given, None) is None  # all was heard
        return subscriber.pings - 1

    with asyncio.Runner(loop_factory=SkippingLoop) as runner:
        assert runner.run(listen()) == sum(kind is None for kind, _ in given) - (told == SILENT)


async def test_lease_without_end(redis_client: Redis) -> None:
    """A key where leases are that does not end, or not in good time, is nobody's lease."""
    key = "matrix_resolve:1:{wk:example.org}:lease"
    cache = RedisCache(redis_client, timeout=LONG)
    for lasting in (None, 301_000):
        await redis_client.set(key, "someone", px=lasting)
        assert (await cache.lease(EXAMPLE, 2)).held
        assert 0 < await redis_client.pttl(key) <= 2000
    await redis_client.set(key, "someone", px=299_000)
    assert not (await cache.lease(EXAMPLE, 2)).held
    await redis_client.delete(key)
    assert (await cache.lease(EXAMPLE, 3600)).held  # nor does ours last for longer
    assert not (await RedisCache(redis_client, timeout=LONG).lease(EXAMPLE, 2)).held


async def test_tombstone_without_end(redis_client: Redis) -> None:
    """A key where tombstones are that does not end, or not in good time, forbids nothing."""
    key = "matrix_resolve:1:{wk:example.org}:tombstone"
    cache = RedisCache(redis_client, clock=FakeClock(), timeout=LONG)
    for lasting in (None, 601_000):
        await redis_client.set(key, "9e99", px=lasting)
        await cache.put(EXAMPLE, ENTRY)
        assert await cache.get(EXAMPLE) == ENTRY
        await cache.delete(EXAMPLE)
        assert await redis_client.get(key) == repr(NOW).encode()
    await redis_client.set(key, "9e99", px=599_000)
    await cache.put(EXAMPLE, ENTRY)
    assert await cache.get(EXAMPLE) is None
    await redis_client.set(key, "nan", px=599_000)
    await cache.delete(EXAMPLE)
    assert await redis_client.get(key) == repr(NOW).encode()


async def test_no_more_is_read_than_entries_have(redis_client: Redis) -> None:
    """Megabytes under the key of an entry are nothing, take no time to read, and are replaced."""
    key = "matrix_resolve:1:{wk:example.org}"
    cache = RedisCache(redis_client, clock=FakeClock(), timeout=LONG)
    await redis_client.set(key, b"x" * 5_000_000)
    before = (await redis_client.info("stats"))["total_net_output_bytes"]
    assert await cache.get(EXAMPLE) is None
    assert (await cache.lease(EXAMPLE, 2)).entry is None
    await cache.put(EXAMPLE, ENTRY)
    after = (await redis_client.info("stats"))["total_net_output_bytes"]
    assert after - before < 1_000_000
    assert await cache.get(EXAMPLE) == ENTRY


# Said in words


def wrong(server: RedisServer, trouble: str) -> Redis:
    """A client with something wrong."""
    if trouble == "host":
        return Redis(host="nobody.invalid", port=server.port)
    if trouble == "port":
        return Redis(host="127.0.0.1", port=1)
    if trouble == "user":
        return server.client(username="nobody", password="guessed")
    if trouble == "no password":
        return server.client()
    if trouble == "database":
        return server.client(db=99)
    return server.client(password="guessed")


WRONG = {
    "host": "connecting to nobody.invalid",
    "port": "connecting to 127.0.0.1:1. Connect call failed",
    "password": "invalid username-password pair",
    "user": "invalid username-password pair",
    "no password": "[Aa]uth",
    "database": "DB index is out of range",
}


@pytest.mark.usefixtures("often")
@pytest.mark.parametrize("trouble", WRONG)
async def test_what_is_wrong_is_told(
    server: RedisServer, redis_client: Redis, trouble: str
) -> None:
    """Whoever looks is told: `check()`, the first operation, those that follow, and the feed."""
    if trouble in ("password", "no password"):
        await redis_client.config_set("requirepass", "secret")
    try:
        async with wrong(server, trouble) as client:
            clock = FakeClock()
            cache = RedisCache(client, clock=clock, timeout=0.3)
            # What these two find out at once, the others tell too, be their time too short for it.
            for operation in (cache.check, lambda: first_of_feed(cache)):
                with pytest.raises(CacheError, match=WRONG[trouble]):
                    await operation()
            for tried in OPERATIONS.values():
                for _ in range(2):
                    with pytest.raises(CacheError, match=WRONG[trouble]):
                        await tried(cache)
            clock.advance(2)
            with pytest.raises(CacheError, match=WRONG[trouble]):
                await cache.get(EXAMPLE)
    finally:
        await redis_client.config_set("requirepass", "")


@pytest.fixture
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have feeds and checks give up early, yet not before anything is known."""
    monkeypatch.setattr("matrix_resolve.backends.cache_redis.feed._QUIET", 0.3)
    monkeypatch.setattr("matrix_resolve.backends.cache_redis.cache._CHECK", 0.3)


async def test_hooks_are_told_what_is_wrong(server: RedisServer) -> None:
    """The words reach the resolver's hooks."""
    told: list[str] = []

    def hook(event: object) -> None:
        if isinstance(event, CacheFailed):
            told.append(str(event.error))

    async with (
        wrong(server, "user") as client,
        Resolver(
            well_known=FakeWellKnown(),
            srv=FakeSrv(),
            addresses=FakeAddresses(),
            cache=TieredCache(MemoryCache(), RedisCache(client, timeout=0.8)),
            hooks=[hook],
        ) as resolver,
    ):
        await resolver.resolve("example.org")
    assert told
    assert [words for words in told if "invalid username-password pair" not in words] == []


async def test_what_was_said_before_silence(scripted: Scripted) -> None:
    """What Redis said before it fell silent is still told, until it works again."""
    clock = FakeClock()
    async with Redis(host="127.0.0.1", port=scripted.port, retry=once()) as client:
        cache = RedisCache(client, clock=clock, timeout=SHORT)
        for answer, told in (
            (b"", r"^no answer within 0.05 s$"),
            (NOT_THE_ONE["LOADING"], r"^Redis: .*loading the dataset"),
            (b"", r"^no answer within 0.05 s; before that: Redis: .*loading the dataset"),
            (b"", r"^no answer within 0.05 s; before that: Redis: .*loading the dataset"),
            (MISS, None),
            (b"", r"^no answer within 0.05 s$"),
        ):
            scripted.answer = after_greetings(answer)
            if told is None:
                cache._breaker._timeout = LONG
                assert await cache.get(EXAMPLE) is None
                cache._breaker._timeout = SHORT
            else:
                with pytest.raises(CacheError, match=told):
                    await cache.get(EXAMPLE)
            clock.advance(1)


async def test_what_was_said_while_it_was_tried_again(scripted: Scripted) -> None:
    """It is heeded as if it had been said at once, though redis-py never told."""
    clock = FakeClock()
    scripted.answer = after_greetings(NOT_THE_ONE["LOADING"])
    async with Redis(host="127.0.0.1", port=scripted.port) as client:
        cache = RedisCache(client, clock=clock, timeout=0.3)
        with pytest.raises(CacheError, match=r"^Redis: .*loading the dataset"):
            await cache.get(EXAMPLE)
        assert cache._link.replaced == 1
        scripted.answer = lambda _: b""
        clock.advance(1)
        with pytest.raises(CacheError, match=r"^no answer .*before that: Redis: .*loading"):
            await cache.get(EXAMPLE)


async def test_check_does_not_try_again(scripted: Scripted) -> None:
    """What hinders a connection is told at once, however often the client would try."""
    scripted.answer = lambda _: NOT_THE_ONE["LOADING"]
    async with Redis(host="127.0.0.1", port=scripted.port) as client:
        with pytest.raises(CacheError, match="loading the dataset"):
            await RedisCache(client).check()
    assert scripted.connections == 1


async def test_what_a_feed_was_told(scripted: Scripted) -> None:
    """An operation that hears nothing tells what the feed has heard."""
    scripted.answer = lambda _: NOT_THE_ONE["NOAUTH"]
    async with Redis(host="127.0.0.1", port=scripted.port) as client:
        cache = RedisCache(client, timeout=SHORT)
        with pytest.raises(CacheError, match="Authentication required"):
            await first_of_feed(cache)
        scripted.answer = lambda _: b""
        with pytest.raises(CacheError, match=r"no answer .*before that: .*Authentication required"):
            await cache.get(EXAMPLE)


async def test_check_of_a_redis_that_works(server: RedisServer, redis_client: Redis) -> None:
    """It says nothing, and what it leaves behind ends soon."""
    async with server.client() as client:
        cache = RedisCache(client, timeout=LONG)
        await asyncio.gather(cache.check(), cache.check())
        for key in await redis_client.keys():
            assert 0 < await redis_client.pttl(key) <= 1000


@pytest.mark.usefixtures("often")
async def test_check_connects_anew(server: RedisServer, redis_client: Redis) -> None:
    """A connection from before tells nothing of a password that was changed since."""
    async with server.client() as client:
        cache = RedisCache(client, timeout=LONG)
        await cache.get(EXAMPLE)
        await redis_client.config_set("requirepass", "changed")
        try:
            with pytest.raises(CacheError, match="auth"):
                await cache.check()
        finally:
            await redis_client.config_set("requirepass", "")


RIGHTS = {
    "no scripts": "+@all -eval -evalsha",
    "no publishing": "+@all -publish",
    "no subscribing": "+@all -subscribe",
    "no writing": "+@all -set",
    "no reading": "+@all -getrange",
}


@pytest.mark.parametrize("rights", RIGHTS.values(), ids=RIGHTS)
async def test_check_of_rights(server: RedisServer, redis_client: Redis, rights: str) -> None:
    """Whatever a cache must be allowed to do and is not, is told before it is needed."""
    words = rights.split()
    await redis_client.execute_command(
        "ACL", "SETUSER", "worker", "on", ">secret", "~*", "&*", *words
    )
    try:
        async with server.client(username="worker", password="secret") as client:
            with pytest.raises(CacheError, match=r"permission|can't run this command"):
                await RedisCache(client, timeout=LONG).check()
    finally:
        await redis_client.execute_command("ACL", "DELUSER", "worker")


# An event loop that is held up


@asynccontextmanager
async def held_up() -> AsyncIterator[None]:
    """Hold the event loop up, at each of its turns for longer than time-outs are."""

    async def hold() -> None:
        while True:
            time.sleep(2 * SHORT)  # noqa: ASYNC251
            await asyncio.sleep(0)

    holding = asyncio.ensure_future(hold())
    try:
        yield
    finally:
        holding.cancel()
        await asyncio.wait([holding])


@pytest.mark.parametrize("connected", [False, True], ids=["not connected", "connected"])
@pytest.mark.parametrize("operation", ["get", "put", "delete", "lease", "release"])
async def test_event_loop_that_is_held_up(
    server: RedisServer, redis_client: Redis, operation: str, connected: bool
) -> None:
    """A reply that has arrived counts, however late the event loop comes to it."""
    async with server.client() as client:
        cache = RedisCache(client, clock=FakeClock(), timeout=SHORT)
        if connected:
            await client.ping()
        async with held_up():
            await OPERATIONS[operation](cache)
        assert await cache.get(OTHER) is None  # the breaker is closed


async def test_held_up_once_in_a_while(server: RedisServer, redis_client: Redis) -> None:
    """Nothing fails when the loop is held up at any one turn of an operation."""
    async with server.client() as client:
        cache = RedisCache(client, clock=FakeClock(), timeout=SHORT)
        for turn in range(12):
            asking = asyncio.ensure_future(cache.lease(EXAMPLE, LONG))
            for _ in range(turn):
                await asyncio.sleep(0)
            time.sleep(2 * SHORT)  # noqa: ASYNC251
            assert (await asking).held


@pytest.mark.usefixtures("soon")
async def test_feed_and_a_loop_that_is_held_up(server: RedisServer, redis_client: Redis) -> None:
    """A feed does not take it for silence that its own loop looks too late."""
    async with (
        server.client() as client,
        asyncio.timeout(LONG),
        aclosing(RedisCache(client).invalidations()) as feed,
    ):
        assert await anext(feed) is None
        waiting = asyncio.ensure_future(anext(feed))
        async with held_up():
            done, _ = await asyncio.wait([waiting], timeout=20 * SHORT)
        assert not done
        await RedisCache(redis_client).delete(EXAMPLE)
        assert await waiting == EXAMPLE.key


async def test_time_out_of_its_own() -> None:
    """A `TimeoutError` that the limit has not raised comes out as it is, and no timer is left."""

    async def fail() -> None:
        raise TimeoutError

    with pytest.raises(TimeoutError):
        await patience.patiently(LONG, fail())
    assert timers_of_ours() == []
