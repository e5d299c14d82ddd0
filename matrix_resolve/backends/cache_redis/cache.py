"""A cache that processes share, in Redis."""

import math
import os
import secrets
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from typing import Final

from redis.asyncio import Redis
from redis.exceptions import RedisError, ResponseError

from matrix_resolve.backends.cache_redis import feed
from matrix_resolve.backends.cache_redis.breaker import Breaker
from matrix_resolve.backends.cache_redis.link import Link, failure
from matrix_resolve.backends.cache_redis.patience import patiently
from matrix_resolve.backends.cache_redis.scripts import (
    DELETE,
    LEASE,
    PUT,
    RELEASE,
    Keys,
    data_in,
    pair_in,
)
from matrix_resolve.core.entries import LARGEST, CacheEntry, reconciled
from matrix_resolve.core.foreign import is_believable
from matrix_resolve.core.invalidations import asked_since, oldest
from matrix_resolve.core.parts import check_part
from matrix_resolve.core.questions import question_of
from matrix_resolve.errors import CacheError, shown
from matrix_resolve.interfaces import Clock, Lease, Question

# Times in seconds.
# A tombstone is kept for longer than a question asked before it can be under way.
_TOMBSTONE_KEPT: Final = 600.0
# Nobody holds a lease for longer; a key that lasts longer is no lease of ours.
_LONGEST_LEASE: Final = 300.0
# A check waits for so long: for a slow name server too, and while redis-py tries again.
_CHECK: Final = 5.0

# Writers of one entry come between each other only now and then.
_TRIES: Final = 5
# So many deletions that failed in an outage are made up for, the latest.
_MOST_UNDELETED: Final = 10_000
# The longest message of ours has a question's key, with a name of 253 octets and two labels.
_LONGEST_MESSAGE: Final = 512


class RedisCache:
    """Keeps entries in Redis: a `LeasingCache` and an `InvalidationFeed` for many processes.

    Put memory in front of it, so that not every answer costs a round trip:

        client = redis.asyncio.Redis(host="redis.internal")
        cache = TieredCache(MemoryCache(), RedisCache(client))
        async with open_resolver(cache=cache) as resolver: ...

    `client` stays its owner's, who closes it after the resolver. `prefix` begins all keys and the
    channel; its number changes if entries are ever written so that older versions can't read them.
    `clock` has `time()` and `monotonic()`. `timeout`, in seconds, bounds each operation, whatever
    the client's own settings: enough for a Redis in the same building, with connecting. Raise it
    if yours is farther away.

    *Who wins.* Processes may write in any order: a failure, or an answer asked earlier, does not
    replace a good answer asked later, and an answer asked before a `delete` is not stored after
    it. Times are those of the machines that ask, so their clocks should agree to a second or so.

    *Invalidation.* `Resolver.invalidate()` deletes here and tells all other processes over
    pub/sub; their resolvers listen, and delete the same in their memory within a second or two.
    One that was cut off takes it that it missed word, and decides everything anew.

    *Outages.* When Redis is down or hangs, an operation ends in `CacheError` after `timeout`, and
    during the next second all others do at once; the resolver then does without. Sharing comes
    back by itself, on new connections: after a failover that is where your host name, Sentinel or
    proxy leads then. Deletions that failed are made up for; a lease that was not released ends.
    Await `check()` when you begin, to be told of a wrong password or address.

    *Memory.* Each entry expires with its `keep_until`, three days at most by the default policy,
    and takes about half a kilobyte. Strangers choose the names, so give Redis a bound: `maxmemory`
    with `maxmemory-policy allkeys-lru`. Values are JSON, never pickled; what can't be read counts
    as not there. An entry of another question under a question's key, which nobody here writes, is
    a `CacheError` from `get()`, so that the hooks hear of it, and elsewhere not there either.
    """

    def __init__(
        self,
        client: Redis,
        *,
        prefix: str = "matrix_resolve:1:",
        clock: Clock = time,
        timeout: float = 0.1,
    ) -> None:
        check_part("client", client)
        self._link = Link(client)
        self._prefix = prefix
        self._channel = f"{prefix}invalidations"
        self._clock = clock
        self._name = secrets.token_hex(8)
        self._breaker = Breaker(self._link, clock, timeout)
        self._undeleted: dict[Question, float] = {}  # when, for what Redis has not heard of

    async def get(self, question: Question, /) -> CacheEntry | None:
        """Return what is kept about `question`, None if nothing is. One round trip."""
        await self._make_up(question)
        key = self._keys(question.key).entry
        entry = _parsed(await self._breaker.run(lambda: self._get(key)))
        if entry is not None and entry.key != question.key:
            reason = f"Redis keeps an entry of {shown(entry.key)} as one of {question.key}"
            raise CacheError(reason, temporary=False)
        return self._usable(question, entry)

    async def put(self, question: Question, entry: CacheEntry, /) -> None:
        """Keep `entry`, or what `reconciled` makes of it and of what others have kept."""
        await self._make_up(question)
        if not await self._breaker.run(lambda: self._put(question, entry)):
            raise CacheError(f"others kept writing about {question}")

    async def delete(self, question: Question, /) -> None:
        """Delete what is kept about `question`, and tell the other processes to.

        A deletion that fails is made up for when Redis is there again.
        """
        self._undeleted[question] = self._clock.time()
        if len(self._undeleted) > _MOST_UNDELETED:
            del self._undeleted[next(iter(self._undeleted))]
        await self._make_up(question)

    async def lease(self, question: Question, seconds: float, /) -> Lease:
        """Try to become the one who asks, for so many seconds at most. One round trip.

        Who holds the lease already has it prolonged.
        """
        await self._make_up(question)
        keys = self._keys(question.key)
        held, data = await self._breaker.run(lambda: self._lease(keys, seconds))
        return Lease(held=bool(held), entry=self._usable(question, _parsed(data)))

    async def release(self, question: Question, /) -> None:
        """Let another one ask; without effect if the lease is not held here any more."""
        keys = self._keys(question.key)
        await self._breaker.run(lambda: RELEASE.run(self._link, keys, self._token()))

    async def invalidations(self) -> AsyncGenerator[str | None, None]:
        """Yield None once it listens, and then the `key` of each question deleted elsewhere.

        Raises `CacheError` when it is cut off, of which it hears within a few seconds.
        """
        async with aclosing(feed.messages(self._link, self._channel)) as heard:
            async for message in heard:
                if message is None:
                    yield None
                elif (key := self._deleted_elsewhere(message)) is not None:
                    yield key
                with suppress(CacheError):
                    await self._make_up_all()

    async def check(self) -> None:
        """Raise `CacheError` that says what is wrong if Redis can't be used.

        A wrong address or password, a replica, a lack of rights: other operations, which soon give
        up, can't always tell. It connects anew and does all that a cache does, with keys of no
        question, which takes 5 seconds at most.
        """
        self._link.doubt()
        try:
            await patiently(_CHECK, self._check())
        except (RedisError, OSError) as error:
            raise failure(error) from error

    def _token(self) -> str:
        """Return what tells this instance from others, its copies in forked processes too."""
        return f"{self._name}-{os.getpid()}"

    def _keys(self, key: str) -> Keys:
        return Keys.of(self._prefix, key)

    def _deleted_elsewhere(self, message: bytes | str) -> str | None:
        if len(message) > _LONGEST_MESSAGE:
            return None
        text = message if isinstance(message, str) else message.decode(errors="replace")
        sender, _, key = text.partition(" ")
        question = question_of(key)
        return None if question is None or sender == self._token() else question.key

    def _usable(self, question: Question, entry: CacheEntry | None) -> CacheEntry | None:
        now = self._clock.time()
        if entry is None or not is_believable(question, entry, now) or now >= entry.keep_until:
            return None
        return entry

    async def _make_up(self, question: Question) -> None:
        """Delete what Redis has not heard of that it is deleted, before anything else is done."""
        deleted_at = self._undeleted.get(question)
        if deleted_at is not None:
            await self._breaker.run(lambda: self._delete(question, deleted_at))
            if self._undeleted.get(question) == deleted_at:
                del self._undeleted[question]

    async def _make_up_all(self) -> None:
        """Delete what could not be deleted in an outage, though nobody may ask about it again."""
        for question in tuple(self._undeleted):
            await self._make_up(question)

    async def _delete(self, question: Question, deleted_at: float) -> None:
        await DELETE.run(
            self._link,
            self._keys(question.key),
            repr(deleted_at),
            _milliseconds(_TOMBSTONE_KEPT),
            self._channel,
            f"{self._token()} {question.key}",
        )

    async def _get(self, key: str) -> bytes | None:
        try:
            return data_in(await self._link.command("GETRANGE", key, 0, LARGEST))
        except ResponseError as error:
            if not str(error).startswith("WRONGTYPE"):
                raise
            return None

    async def _lease(self, keys: Keys, seconds: float) -> tuple[int, bytes]:
        longest = _milliseconds(_LONGEST_LEASE)
        lasting = min(_milliseconds(seconds), longest)
        return pair_in(await LEASE.run(self._link, keys, self._token(), lasting, longest), int)

    async def _check(self) -> None:
        """Do what a cache does, with keys of no question, which soon end."""
        link, keys, soon = self._link, self._keys("check"), 1000
        await link.renew()
        await link.reach()
        await self._get(keys.entry)
        await self._lease(keys, soon / 1000)
        await PUT.run(link, keys, b"", b"{}", soon, "0", soon)
        await DELETE.run(link, keys, "0", soon, self._channel, f"{self._token()} check")
        await RELEASE.run(link, keys, self._token())
        await feed.check(link, self._channel)

    async def _put(self, question: Question, entry: CacheEntry) -> bool:
        """Store what `entry` brings; return False when others came in between each time."""
        kept, deleted_at = b"", 0.0  # a guess; when it is wrong the script says what is right
        for _ in range(_TRIES):
            lasting = asked_since(entry, deleted_at)
            if lasting is None:
                return True
            before = self._usable(question, _parsed(kept))
            wanted = reconciled(before, lasting)
            remaining = _milliseconds(wanted.keep_until - self._clock.time())
            if wanted == before or remaining <= 0:
                return True
            told = await PUT.run(
                self._link,
                self._keys(question.key),
                kept,
                wanted.to_json(),
                remaining,
                repr(oldest(wanted)),
                _milliseconds(_TOMBSTONE_KEPT),
            )
            if told is None:
                return True
            kept, deleted = pair_in(told, bytes)
            deleted_at = _time(deleted)
        return False


def _parsed(data: bytes | None) -> CacheEntry | None:
    """Return the entry in `data`, None if it is none."""
    try:
        return CacheEntry.from_json(data) if data else None
    except CacheError:
        return None


def _milliseconds(seconds: float) -> int:
    return math.ceil(seconds * 1000)


def _time(text: bytes) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0
