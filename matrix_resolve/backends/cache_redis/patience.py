"""A time limit that is fair to Redis: time in which our own event loop was held up is not its."""

import asyncio
from collections.abc import Awaitable
from typing import Final, TypeVar

from redis.exceptions import RedisError

from matrix_resolve.backends.cache_redis.link import failure
from matrix_resolve.errors import CacheError

# A limit is counted in so many steps. One whose end the loop comes to late is not counted: what
# Redis has sent meanwhile has not been looked at yet.
_STEPS: Final = 10
# So late (seconds) no loop is that does what it should.
_LATE: Final = 0.005
# A loop that is late each time must not make a limit endless.
_MOST_STEPS: Final = 10 * _STEPS
# Exceptions behind an exception that are looked at.
_CAUSES: Final = 16

_T = TypeVar("_T")


async def patiently(seconds: float, asked: Awaitable[_T]) -> _T:
    """Await `asked`, which asks Redis; raise `CacheError` after so many seconds.

    Seconds in which the event loop is held up do not count, so a reply that has arrived does. What
    redis-py was trying again when the time was over is told, and no cancellation is lost: redis-py
    uses `asyncio.wait_for`, which before Python 3.12 swallows one that comes at the moment at which
    it is done.
    """
    cancelled = _times_cancelled()
    limit = asyncio.timeout(None)
    steps = _Steps(seconds / _STEPS, limit)
    try:
        async with limit:
            return await asked
    except TimeoutError as error:
        if not limit.expired():
            raise
        trouble = _trouble_behind(error)
        if trouble is not None:
            raise failure(trouble) from trouble
        raise CacheError(f"no answer within {seconds:g} s") from error
    finally:
        steps.end()
        if _times_cancelled() > cancelled:
            raise asyncio.CancelledError


class _Steps:
    """Counts a limit down, and lets it expire in the end."""

    def __init__(self, step: float, limit: asyncio.Timeout) -> None:
        self._step = step
        self._limit = limit
        self._loop = asyncio.get_running_loop()
        self._to_count, self._to_take = _STEPS, _MOST_STEPS
        self._timer = self._loop.call_later(step, self._count)

    def end(self) -> None:
        """Stop counting."""
        self._timer.cancel()

    def _count(self) -> None:
        now = self._loop.time()
        self._to_take -= 1
        if now - self._timer.when() < _LATE:
            self._to_count -= 1
        if self._to_count and self._to_take:
            self._timer = self._loop.call_later(self._step, self._count)
        else:
            self._limit.reschedule(now)


def _trouble_behind(error: BaseException | None) -> RedisError | None:
    """Return what redis-py met before it tried once more, if that is when its time was over."""
    for _ in range(_CAUSES):
        if error is None or isinstance(error, RedisError):
            return error
        error = error.__cause__ or error.__context__
    return None


def _times_cancelled() -> int:
    task = asyncio.current_task()
    return 0 if task is None else task.cancelling()
