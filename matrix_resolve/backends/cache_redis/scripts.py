"""What is done in Redis in one step: Lua scripts, during which nothing else is done there.

All of them are about one question, whose three `Keys` they are given.
"""

import hashlib
from contextlib import suppress
from typing import Any, Final, NamedTuple, TypeVar

from redis.exceptions import InvalidResponse, NoScriptError

from matrix_resolve.backends.cache_redis.link import Link
from matrix_resolve.core.entries import LARGEST

# A value of another type than ours makes reading fail: it counts as none, and is replaced. So does
# one that does not end within so many milliseconds, where all that we write does. Of one that is
# too long a byte too many is read, which tells that.
_READ: Final = f"""
local function read(key)
    local value = redis.pcall('GETRANGE', key, 0, {LARGEST})
    return type(value) == 'string' and value or ''
end
local function read_of_those_within(key, most)
    local left = redis.call('PTTL', key)
    return left >= 0 and left <= tonumber(most) and read(key) or ''
end
local ENTRY, TOMBSTONE, LEASE = KEYS[1], KEYS[2], KEYS[3]
"""

_T = TypeVar("_T")


class Keys(NamedTuple):
    """Where Redis keeps what there is about a question.

    `tombstone`: the moment of its last deletion, for writers to come. `lease`: who may ask now.
    """

    entry: str
    tombstone: str
    lease: str

    @classmethod
    def of(cls, prefix: str, of: str) -> "Keys":
        """Return the keys of a question with the key `of`.

        Redis Cluster keeps in one place what has the same text in braces.
        """
        key = f"{prefix}{{{of}}}"
        return cls(key, f"{key}:tombstone", f"{key}:lease")


class Script:
    """A Lua script and how Redis calls it."""

    def __init__(self, text: str) -> None:
        self._text = _READ + text
        self._sha = hashlib.sha1(self._text.encode(), usedforsecurity=False).hexdigest()

    async def run(self, link: Link, keys: Keys, *arguments: Any) -> Any:
        """Return what the script does."""
        rest = (len(keys), *keys, *arguments)
        with suppress(NoScriptError):  # a new Redis, or one that was started again
            return await link.command("EVALSHA", self._sha, *rest)
        return await link.command("EVAL", self._text, *rest)


def data_in(reply: Any) -> bytes | None:
    """Return what GETRANGE gives; raise `InvalidResponse` for anything else."""
    if reply is None or isinstance(reply, bytes):
        return reply
    raise InvalidResponse(f"a {type(reply).__name__} for a value")


def pair_in(reply: Any, first: type[_T]) -> tuple[_T, bytes]:
    """Return what a script gives: something of that type, and bytes; else `InvalidResponse`."""
    match reply:
        case [one, bytes(other)] if isinstance(one, first):
            return one, other
    raise InvalidResponse(f"a {type(reply).__name__} for a pair")


# (what the writer takes to be kept, entry, milliseconds to keep it, when it was asked, the most
# milliseconds of a tombstone): stores the entry if that is what is kept, and nothing was deleted
# since. Else returns what there is.
PUT: Final = Script(
    """
local kept, deleted_at = read(ENTRY), read_of_those_within(TOMBSTONE, ARGV[5])
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
if not ((tonumber(read_of_those_within(TOMBSTONE, ARGV[2])) or 0) >= tonumber(ARGV[1])) then
    redis.call('SET', TOMBSTONE, ARGV[1], 'PX', ARGV[2])
end
return redis.call('PUBLISH', ARGV[3], ARGV[4])
"""
)
# (who, milliseconds, the most of them for anybody): takes the lease if nobody else holds it.
# Returns whether it is held, and what is kept.
LEASE: Final = Script(
    """
local holder = read_of_those_within(LEASE, ARGV[3])
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
