"""How Redis is spoken to: with suspicion of what answers, and anew when another should answer."""

import re
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

from redis.asyncio import Redis
from redis.asyncio.client import PubSub
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.client import NEVER_DECODE
from redis.exceptions import InvalidResponse, RedisError

from matrix_resolve.errors import CacheError

# What redis-py raises when it reads what no Redis would say: words for numbers, lengths below
# zero, lists in lists in lists, a line without end, a reply of another type than the command's.
_UNREADABLE: Final = (
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    OverflowError,
    RecursionError,
    MemoryError,
    EOFError,
)
# What is said by a Redis that is not, or not now, the one to ask: most of all a master that was
# replaced, to which redis-py stays connected. In scripts older ones say it within a longer text.
_NOT_THE_ONE: Final = re.compile(
    r"\b(READONLY|MASTERDOWN|CLUSTERDOWN|LOADING|MOVED|ASK|TRYAGAIN|NOREPLICAS|UNBLOCKED|NOAUTH)\b"
)
# Characters of what Redis says that are told.
_LONGEST: Final = 200


class Link:
    """A client and its connections.

    `replaced` counts how often a Redis has said that it is not the one to ask. `said` is what it,
    or the system, has said last of what is wrong, empty when all is well.
    """

    def __init__(self, client: Redis) -> None:
        self._client = client
        self._is_doubtful = False
        self.replaced = 0
        self.said = ""

    async def command(self, *words: Any) -> Any:
        """Return what Redis does; texts are bytes, whatever the client makes of others.

        Decoding, which clients may be set to, fails for bytes that are no text, and does not give
        back exactly what is kept.
        """
        execute: Callable[..., Awaitable[Any]] = self._client.execute_command
        with readable():
            return await execute(*words, **{NEVER_DECODE: True})

    def pubsub(self) -> PubSub:
        """Return a subscriber, not connected yet."""
        return self._client.pubsub()

    def heed(self, error: RedisError | OSError) -> bool:
        """Take note of a failure; return whether who said it is not the one to ask."""
        self.said = str(failure(error))
        said = f"{getattr(error, 'status_code', None)} {error}"[:_LONGEST]
        is_another = _NOT_THE_ONE.search(said) is not None
        self.replaced += is_another
        return is_another

    async def reach(self) -> None:
        """Connect once, and raise what hinders that.

        redis-py tries again for so long that nobody may be left to hear of it.
        """
        make: Callable[[], Any] = self._client.connection_pool.make_connection
        connection = make()
        connection.retry = Retry(NoBackoff(), 0)
        with readable():
            try:
                await connection.connect()
            finally:
                await connection.disconnect(nowait=True)

    def doubt(self) -> None:
        """Have no connection used again that has been idle since now."""
        self._is_doubtful = True

    async def renew(self) -> None:
        """Close idle connections that are in doubt, so that who asks next is connected anew.

        A host's name, Sentinel or a proxy then lead to the Redis that is there now.
        """
        if not self._is_doubtful:
            return
        self._is_doubtful = False
        with readable():
            await self._client.connection_pool.disconnect(inuse_connections=False)
            only = self._client.connection  # a client may have one for everything, never idle
            if only is not None:
                await only.disconnect(nowait=True)


@contextmanager
def readable() -> Iterator[None]:
    """Have redis-py raise `RedisError` or `OSError`, whatever comes from Redis's port."""
    try:
        yield
    except _UNREADABLE as error:
        raise InvalidResponse(f"unreadable, {type(error).__name__}: {error}") from error


def failure(error: BaseException) -> CacheError:
    """Return what is told of a `RedisError` or an `OSError`."""
    text = str(error)[:_LONGEST] or type(error).__name__
    return CacheError(f"Redis: {text if text.isprintable() else ascii(text)}")
