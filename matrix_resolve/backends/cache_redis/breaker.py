"""A circuit breaker: a Redis that has failed is left alone for a while.

It is closed as long as Redis does what it is asked. A failure opens it: for `_PAUSE` seconds every
operation fails at once. Then one goes to see (half-open, as it is called), on a new connection: if
that succeeds the breaker closes, else it stays open for as long again.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from redis.exceptions import MaxConnectionsError, RedisError, ResponseError

from matrix_resolve.backends.cache_redis.link import Link, failure
from matrix_resolve.backends.cache_redis.patience import patiently
from matrix_resolve.errors import CacheError
from matrix_resolve.interfaces import Clock

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

    def __init__(self, link: Link, clock: Clock, timeout: float) -> None:
        self._link = link
        self._clock = clock
        self._timeout = timeout
        self._slots = asyncio.Semaphore(_AT_ONCE)
        self._again_at: float | None = None  # None: closed
        self._reason = ""  # why it is open

    async def run(self, operation: Callable[[], Awaitable[_T]]) -> _T:
        """Return what `operation` does; raise `CacheError` if Redis fails, or has just failed."""
        async with self._slots:
            if self._again_at is not None:
                if self._clock.monotonic() < self._again_at:
                    raise CacheError(f"Redis has failed a moment ago: {self._reason}")
                self._open(self._reason)  # for the others: one is enough to see whether it is back
            try:
                done = await patiently(self._timeout, self._renewed(operation))
            except MaxConnectionsError as error:  # our own side's, which takes no time
                raise failure(error) from error
            except (RedisError, OSError) as error:
                told, is_another = failure(error), self._link.heed(error)
                # Redis may also say no: that takes no time either.
                if is_another or not isinstance(error, ResponseError):
                    self._open(str(told))
                raise told from error
            except CacheError as error:
                raise self._timed_out(error) from error
            self._again_at, self._link.said = None, ""
            return done

    async def _renewed(self, operation: Callable[[], Awaitable[_T]]) -> _T:
        await self._link.renew()
        return await operation()

    def _timed_out(self, error: CacheError) -> CacheError:
        """Open, and return what to tell: what was said before, if anything was, says more."""
        if isinstance(error.__cause__, RedisError):
            self._link.heed(error.__cause__)
        elif self._link.said:
            error = CacheError(f"{error}; before that: {self._link.said}")
        self._open(str(error))
        return error

    def _open(self, reason: str) -> None:
        self._again_at = self._clock.monotonic() + _PAUSE
        self._reason = reason
        self._link.doubt()
