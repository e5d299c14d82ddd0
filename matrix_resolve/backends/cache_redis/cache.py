"""A cache that processes share, in Redis (extra `redis`)."""

import hashlib
import math
import os
import secrets
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import suppress
from typing import Any, Final, TypeVar

from attrs import evolve
from redis.asyncio import Redis
from redis.client import NEVER_DECODE
from redis.exceptions import NoScriptError, RedisError, ResponseError

from matrix_resolve.backends.cache_redis.breaker import Attempts, NotTriedError, unless_cancelled
from matrix_resolve.core.entries import CacheEntry, reconciled
from matrix_resolve.core.foreign import is_believable
from matrix_resolve.core.questions import question_of
from matrix_resolve.errors import CacheError
from matrix_resolve.interfaces import Clock, Lease, Question

# Times in seconds.
# A deletion is known for longer than a question asked before it can be under way.
_DELETION_KNOWN: Final = 600.0
# A feed that is quiet for so long is asked for a sign of life, which has as long to come.
_QUIET: Final = 1.0

# Writers of one entry come between each other only now and then.
_TRIES: Final = 5
# Leases held, and what failed in an outage and is to be made up for: so many of each are noted.
_MOST_NOTED: Final = 10_000
# The largest entry has twice 64 records with names of 253 octets. More is not ours to parse.
_LARGEST: Final = 1 << 18

_T = TypeVar("_T")


class _Script:
    """A Lua script: it runs as a whole, nothing comes in between."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.sha = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()


# A value of another type than ours makes GET fail: it counts as none, and is replaced.
_READ: Final = """
local function read(key)
    local value = redis.pcall('GET', key)
    return type(value) == 'string' and value or ''
end
"""
# Stores an entry if there is still what the writer knew of, and no deletion since it asked.
# Else returns what there is.
_PUT: Final = _Script(
    _READ
    + """
local kept, deleted = read(KEYS[1]), read(KEYS[2])
if kept ~= ARGV[1] or (tonumber(deleted) or 0) > tonumber(ARGV[4]) then
    return {kept, deleted}
end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
return false
"""
)
# Deletes an entry, leaves word of it for writers to come, and tells those who listen. Who holds
# the lease asks in vain, so that is deleted too.
_DELETE: Final = _Script(
    _READ
    + """
redis.call('DEL', KEYS[1], KEYS[3])
if (tonumber(read(KEYS[2])) or 0) < tonumber(ARGV[1]) then
    redis.call('SET', KEYS[2], ARGV[1], 'PX', ARGV[2])
end
return redis.call('PUBLISH', ARGV[3], ARGV[4])
"""
)
_LEASE: Final = _Script(
    _READ
    + """
local holder = read(KEYS[3])
local held = holder == '' or holder == ARGV[1]
if held then
    redis.call('SET', KEYS[3], ARGV[1], 'PX', ARGV[2])
end
return {held and 1 or 0, read(KEYS[1])}
"""
)
_RELEASE: Final = _Script(
    _READ
    + """
return read(KEYS[3]) == ARGV[1] and redis.call('DEL', KEYS[3])
"""
)


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
    pub/sub; their resolvers listen, and forget the same in their memory within a second or two.
    One that was cut off takes it that it missed word, and decides everything anew.

    *Outages.* When Redis is down or hangs, an operation ends in `CacheError` after `timeout`, and
    during the next second all others do at once; the resolver then does without. Sharing comes
    back by itself. Deletions that failed are made up for.

    *Memory.* Each entry expires with its `keep_until`, three days at most by the default policy,
    and takes about half a kilobyte. Strangers choose the names, so give Redis a bound: `maxmemory`
    with `maxmemory-policy allkeys-lru`. Values are JSON, never pickled; what can't be read counts
    as not there.
    """

    def __init__(
        self,
        client: Redis,
        *,
        prefix: str = "matrix_resolve:1:",
        clock: Clock = time,
        timeout: float = 0.1,
    ) -> None:
        self._client = client
        self._command: Callable[..., Awaitable[Any]] = client.execute_command
        self._prefix = prefix
        self._channel = f"{prefix}invalidations"
        self._clock = clock
        self._name = secrets.token_hex(8)
        self._attempts = Attempts(clock, timeout)
        self._held: dict[Question, None] = {}  # leases
        # What Redis has not heard of: deletions and their times, and leases that are over.
        self._undeleted: dict[Question, float] = {}
        self._unreleased: dict[Question, None] = {}

    async def get(self, question: Question, /) -> CacheEntry | None:
        """Return what is kept about `question`, None if nothing is. One round trip."""
        await self._make_up(question)
        key = self._keys(question)[0]
        data = await self._attempts.make(lambda: self._get(key))
        return self._read(question, data)

    async def put(self, question: Question, entry: CacheEntry, /) -> None:
        """Keep `entry`, or what `reconciled` makes of it and of what others have kept."""
        await self._make_up(question)
        if not await self._attempts.make(lambda: self._put(question, entry)):
            raise CacheError(f"others kept writing about {question}")

    async def delete(self, question: Question, /) -> None:
        """Forget what is kept about `question`, and tell the other processes to.

        A deletion that fails is made up for when Redis is there again.
        """
        _note(self._undeleted, question, self._clock.time())
        await self._make_up(question)

    async def lease(self, question: Question, seconds: float, /) -> Lease:
        """Try to become the one who asks, for so many seconds at most. One round trip.

        Who holds the lease already has it prolonged.
        """
        await self._make_up(question)
        self._unreleased.pop(question, None)
        try:
            held, data = await self._attempts.make(
                lambda: self._run(_LEASE, question, self._token(), _milliseconds(seconds))
            )
        except NotTriedError:
            raise
        except BaseException:  # it may be held all the same
            _note(self._unreleased, question, None)
            raise
        if held:
            _note(self._held, question, None)
        return Lease(held=bool(held), entry=self._read(question, data))

    async def release(self, question: Question, /) -> None:
        """Let another one ask; without effect if the lease is not held here any more."""
        if question in self._held:
            del self._held[question]
            await self._release(question)

    async def invalidations(self) -> AsyncGenerator[str | None, None]:
        """Yield None once it listens, and then the `key` of each question deleted elsewhere.

        Raises `CacheError` when it is cut off, of which it hears within a few seconds.
        """
        try:
            async with self._client.pubsub() as feed:
                await unless_cancelled(_QUIET, feed.subscribe(self._channel))
                listening = asked = False
                while True:
                    # redis-py may try to connect again and again: not for longer than this.
                    message = await unless_cancelled(2 * _QUIET, feed.get_message(timeout=_QUIET))
                    if message is None:
                        if asked:
                            raise CacheError("Redis has gone silent")
                        await unless_cancelled(_QUIET, feed.ping())
                    elif message["type"] == "subscribe":
                        if listening:  # redis-py has connected anew by itself
                            raise CacheError("the connection to Redis was cut off")
                        listening = True
                        yield None
                    elif message["type"] == "message":
                        key = self._deleted_elsewhere(message["data"])
                        if key is not None:
                            yield key
                    asked = message is None
                    with suppress(CacheError):
                        await self._make_up_all()
        except (RedisError, OSError, UnicodeDecodeError) as error:
            # A client that decodes chokes on messages that are no text.
            raise CacheError(f"Redis: {error}") from error

    def _token(self) -> str:
        """Return what tells this instance from others, its copies in forked processes too."""
        return f"{self._name}-{os.getpid()}"

    def _keys(self, question: Question) -> tuple[str, str, str]:
        """Return where the entry, the time of its deletion, and the lease are kept.

        Redis Cluster keeps in one place what has the same text in braces.
        """
        key = f"{self._prefix}{{{question.key}}}"
        return key, f"{key}:gone", f"{key}:lease"

    def _deleted_elsewhere(self, message: bytes | str) -> str | None:
        text = message if isinstance(message, str) else message.decode(errors="replace")
        sender, _, key = text.partition(" ")
        question = question_of(key)
        return None if question is None or sender == self._token() else question.key

    def _read(self, question: Question, data: bytes | None) -> CacheEntry | None:
        """Return the entry in `data`, None if there is none that is of use."""
        if not data or len(data) > _LARGEST:
            return None
        try:
            entry = CacheEntry.from_json(data)
        except CacheError:
            return None
        now = self._clock.time()
        usable = is_believable(question, entry, now) and now < entry.keep_until
        return entry if usable else None

    async def _make_up(self, question: Question) -> None:
        """Delete what Redis has not heard of that it is deleted, before anything else is done."""
        deleted_at = self._undeleted.get(question)
        if deleted_at is not None:
            await self._attempts.make(lambda: self._delete(question, deleted_at))
            if self._undeleted.get(question) == deleted_at:
                del self._undeleted[question]

    async def _make_up_all(self) -> None:
        """Do what could not be done in an outage, though nobody may ask about it again."""
        for question in tuple(self._undeleted):
            await self._make_up(question)
        for question in tuple(self._unreleased):
            if question in self._unreleased:
                await self._release(question)

    async def _release(self, question: Question) -> None:
        self._unreleased.pop(question, None)
        try:
            await self._attempts.make(lambda: self._run(_RELEASE, question, self._token()))
        except BaseException:
            _note(self._unreleased, question, None)
            raise

    async def _delete(self, question: Question, deleted_at: float) -> None:
        message = f"{self._token()} {question.key}"
        known_for = _milliseconds(_DELETION_KNOWN)
        await self._run(_DELETE, question, repr(deleted_at), known_for, self._channel, message)

    async def _get(self, key: str) -> bytes | None:
        try:
            data: bytes | None = await self._command("GET", key, **{NEVER_DECODE: True})
        except ResponseError as error:
            if not str(error).startswith("WRONGTYPE"):
                raise
            return None
        return data

    async def _put(self, question: Question, entry: CacheEntry) -> bool:
        """Store what `entry` brings; return False when others came in between each time."""
        kept, deleted_at = b"", 0.0  # a guess; when it is wrong the script says what is right
        for _ in range(_TRIES):
            lasting = _asked_since(entry, deleted_at)
            if lasting is None:
                return True
            before = self._read(question, kept)
            wanted = reconciled(before, lasting)
            remaining = _milliseconds(wanted.keep_until - self._clock.time())
            if wanted == before or remaining <= 0:
                return True
            told = await self._run(
                _PUT, question, kept, wanted.to_json(), remaining, repr(_oldest(wanted))
            )
            if told is None:
                return True
            kept, deleted_at = told[0], _time(told[1])
        return False

    async def _run(self, script: _Script, question: Question, *arguments: Any) -> Any:
        """Run a script on what is kept about `question`; its replies are bytes.

        redis-py's own helper would decode them if the client does, which fails for bytes that are
        no text and does not give back exactly what is kept.
        """
        keys = self._keys(question)
        rest = (len(keys), *keys, *arguments)
        try:
            return await self._command("EVALSHA", script.sha, *rest, **{NEVER_DECODE: True})
        except NoScriptError:  # a new Redis, or one that was started again
            return await self._command("EVAL", script.text, *rest, **{NEVER_DECODE: True})


def _note(noted: dict[Question, _T], question: Question, what: _T) -> None:
    """Note something about `question`, and forget the oldest note if there are too many."""
    noted[question] = what
    if len(noted) > _MOST_NOTED:
        del noted[next(iter(noted))]


def _asked_since(entry: CacheEntry, deleted_at: float) -> CacheEntry | None:
    """Return what of `entry` was asked no earlier than `deleted_at`; None if nothing was."""
    if entry.asked_at < deleted_at:
        return None
    if _oldest(entry) >= deleted_at:
        return entry
    return evolve(entry, reserve=None)


def _oldest(entry: CacheEntry) -> float:
    """Return when the older of an entry's answers was asked."""
    reserve = entry.reserve
    return entry.asked_at if reserve is None else min(entry.asked_at, reserve.asked_at)


def _milliseconds(seconds: float) -> int:
    return math.ceil(seconds * 1000)


def _time(text: bytes) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0
