"""What is done in Redis in one step: Lua scripts, during which nothing else is done there.

All of them are about one question, whose three `Keys` they are given.
"""

import hashlib
from collections.abc import Awaitable, Callable
from typing import Any, Final, NamedTuple

from redis.asyncio import Redis
from redis.client import NEVER_DECODE
from redis.exceptions import NoScriptError

from matrix_resolve.interfaces import Question

# A value of another type than ours makes GET fail: it counts as none, and is replaced.
_READ: Final = """
local function read(key)
    local value = redis.pcall('GET', key)
    return type(value) == 'string' and value or ''
end
local ENTRY, TOMBSTONE, LEASE = KEYS[1], KEYS[2], KEYS[3]
"""


class Keys(NamedTuple):
    """Where Redis keeps what there is about a question.

    `tombstone`: the moment of its last deletion, for writers to come. `lease`: who may ask now.
    """

    entry: str
    tombstone: str
    lease: str

    @classmethod
    def of(cls, prefix: str, question: Question) -> "Keys":
        """Return the keys of `question`.

        Redis Cluster keeps in one place what has the same text in braces.
        """
        key = f"{prefix}{{{question.key}}}"
        return cls(key, f"{key}:tombstone", f"{key}:lease")


class Script:
    """A Lua script and how Redis calls it."""

    def __init__(self, text: str) -> None:
        self._text = _READ + text
        self._sha = hashlib.sha1(self._text.encode(), usedforsecurity=False).hexdigest()

    async def run(self, client: Redis, keys: Keys, *arguments: Any) -> Any:
        """Return what the script does."""
        rest = (len(keys), *keys, *arguments)
        try:
            return await run_command(client, "EVALSHA", self._sha, *rest)
        except NoScriptError:  # a new Redis, or one that was started again
            return await run_command(client, "EVAL", self._text, *rest)


async def run_command(client: Redis, *words: Any) -> Any:
    """Return what Redis does; texts are bytes, whatever the client makes of others.

    Decoding, which clients may be set to, fails for bytes that are no text, and does not give back
    exactly what is kept.
    """
    execute: Callable[..., Awaitable[Any]] = client.execute_command
    return await execute(*words, **{NEVER_DECODE: True})


# (what the writer takes to be kept, entry, milliseconds to keep it, when it was asked): stores the
# entry if that is what is kept, and nothing was deleted since. Else returns what there is.
PUT: Final = Script(
    """
local kept, deleted_at = read(ENTRY), read(TOMBSTONE)
if kept ~= ARGV[1] or (tonumber(deleted_at) or 0) > tonumber(ARGV[4]) then
    return {kept, deleted_at}
end
redis.call('SET', ENTRY, ARGV[2], 'PX', ARGV[3])
return false
"""
)
# (when, milliseconds to keep the tombstone, channel, message): deletes the entry, leaves a
# tombstone, and tells those who listen. Who holds the lease asks in vain, so that ends too.
DELETE: Final = Script(
    """
redis.call('DEL', ENTRY, LEASE)
if (tonumber(read(TOMBSTONE)) or 0) < tonumber(ARGV[1]) then
    redis.call('SET', TOMBSTONE, ARGV[1], 'PX', ARGV[2])
end
return redis.call('PUBLISH', ARGV[3], ARGV[4])
"""
)
# (who, milliseconds): takes the lease if nobody else holds it. Returns whether it is held, and what
# is kept.
LEASE: Final = Script(
    """
local holder = read(LEASE)
local held = holder == '' or holder == ARGV[1]
if held then
    redis.call('SET', LEASE, ARGV[1], 'PX', ARGV[2])
end
return {held and 1 or 0, read(ENTRY)}
"""
)
# (who): ends the lease if that is its holder.
RELEASE: Final = Script(
    """
return read(LEASE) == ARGV[1] and redis.call('DEL', LEASE)
"""
)
