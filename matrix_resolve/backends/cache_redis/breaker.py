"""A circuit breaker: a Redis that has failed is left alone for a while.

It is closed as long as Redis does what it is asked. A failure opens it: for `_PAUSE` seconds every
operation fails at once. Then one goes to see (half-open, as it is called): if that succeeds the
breaker closes, else it stays open for as long again.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from redis.exceptions import MaxConnectionsError, RedisError, ResponseError

from matrix_resolve.errors import CacheError
from matrix_resolve.interfaces import Clock
from matrix_resolve.timeouts import within

# A resolve asks its cache half a dozen times, and all of them together must not cost much more
# than one time-out. In seconds.
_PAUSE: Final = 1.0
# redis-py needs a connection for each command under way. A burst of resolves must not open
# hundreds; so many keep a Redis nearby busy.
_AT_ONCE: Final = 16

_T = TypeVar("_T")


class Breaker:
    """Runs operations, some at once, each for `timeout` seconds; none for a while after a failure.

    `clock` has `monotonic()`.
    """

    def __init__(self, clock: Clock, timeout: float) -> None:
        self._clock = clock
        self._timeout = timeout
        self._slots = asyncio.Semaphore(_AT_ONCE)
        self._is_open = False
        self._again_at = 0.0

    async def run(self, operation: Callable[[], Awaitable[_T]]) -> _T:
        """Return what `operation` does; raise `CacheError` if Redis fails, or has just failed."""
        async with self._slots:
            if self._is_open:
                if self._clock.monotonic() < self._again_at:
                    raise CacheError("Redis has failed a moment ago")
                self._open()  # for the others: one is enough to see whether it is back
            try:
                done = await unless_cancelled(self._timeout, operation())
            except (ResponseError, MaxConnectionsError) as error:
                # Redis said no, or our own side did: that takes no time.
                raise CacheError(f"Redis: {error}") from error
            except (RedisError, OSError) as error:
                self._open()
                raise CacheError(f"Redis: {error}") from error
            except CacheError:
                self._open()
                raise
            self._is_open = False
            return done

    def _open(self) -> None:
        self._is_open = True
        self._again_at = self._clock.monotonic() + _PAUSE


async def unless_cancelled(seconds: float, asked: Awaitable[_T]) -> _T:
    """Do what `within` does, and lose no cancellation.

    redis-py uses `asyncio.wait_for`, which before Python 3.12 swallows one that comes at the moment
    at which it is done.
    """
    cancelled = _times_cancelled()
    try:
        return await within(seconds, asked, CacheError)
    finally:
        if _times_cancelled() > cancelled:
            raise asyncio.CancelledError


def _times_cancelled() -> int:
    task = asyncio.current_task()
    return 0 if task is None else task.cancelling()
