"""Hears what other processes invalidate, for as long as the resolver is open."""

import asyncio
from contextlib import aclosing
from typing import Final

from matrix_resolve.core.invalidations import Invalidations
from matrix_resolve.core.questions import question_of
from matrix_resolve.errors import CacheError
from matrix_resolve.hooks.events import CacheFailed, Hooks
from matrix_resolve.interfaces import InvalidationFeed
from matrix_resolve.resolver.tasks import end_tasks

# Pause (seconds) before a feed that was cut off is listened to again.
_AGAIN_AFTER: Final = 1.0


class Feed:
    """Notes each question that was deleted elsewhere in `invalidations`.

    Whenever it begins to hear, word may have been missed: everything is `outdated` then, but what
    is under way stays what it is.
    """

    def __init__(
        self,
        feed: InvalidationFeed,
        hooks: Hooks,
        *,
        invalidations: Invalidations,
        outdated: Invalidations,
    ) -> None:
        self._feed = feed
        self._invalidations = invalidations
        self._outdated = outdated
        self._hooks = hooks
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to listen, in a task."""
        self._task = asyncio.get_running_loop().create_task(
            self._listen(), name="matrix_resolve invalidations"
        )

    async def aclose(self) -> None:
        """Stop listening."""
        if self._task is not None:
            await end_tasks([self._task])

    async def _listen(self) -> None:
        while True:
            try:
                await self._hear()
            except CacheError as error:
                self._hooks.tell(CacheFailed(question=None, error=error))
            except asyncio.CancelledError as error:
                if _is_cancelled():
                    raise
                self._hooks.tell_bug(None, error, "the feed of invalidations cancelled itself")
            except Exception as error:
                self._hooks.tell_bug(None, error, "the feed of invalidations failed")
            if _is_cancelled():  # and the feed was deaf to that
                return
            await asyncio.sleep(_AGAIN_AFTER)

    async def _hear(self) -> None:
        async with aclosing(self._feed.invalidations()) as keys:
            async for key in keys:
                if _is_cancelled():
                    return
                if key is None:
                    self._outdated.note(None)
                elif (question := question_of(key)) is not None:
                    self._invalidations.note([question])
                # A feed may have more to tell without waiting: others want the event loop too.
                await asyncio.sleep(0)


def _is_cancelled() -> bool:
    """Return whether the running task was told to end, by whomever."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
