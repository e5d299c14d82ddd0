"""Hears what other processes forget, for as long as the resolver is open."""

import asyncio
from collections.abc import Callable
from contextlib import aclosing
from typing import Final

from matrix_resolve.core.questions import Question, question_of
from matrix_resolve.errors import CacheError
from matrix_resolve.hooks.events import CacheFailed, Hooks, TaskFailed
from matrix_resolve.interfaces import InvalidationFeed
from matrix_resolve.resolver.flights import end_tasks

# Pause (seconds) before a feed that was cut off is listened to again.
_AGAIN_AFTER: Final = 1.0


class Listening:
    """Calls `forget` with each question that was deleted elsewhere.

    Calls `distrust` whenever it begins to hear, since until then word may have been missed.
    """

    def __init__(
        self,
        feed: InvalidationFeed,
        hooks: Hooks,
        *,
        forget: Callable[[Question], None],
        distrust: Callable[[], None],
    ) -> None:
        self._feed = feed
        self._hooks = hooks
        self._forget = forget
        self._distrust = distrust
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self) -> None:
        """Begin to listen, in a task."""
        task = asyncio.get_running_loop().create_task(
            self._listen(), name="matrix_resolve invalidations"
        )
        self._tasks.add(task)

    async def aclose(self) -> None:
        """Stop listening."""
        await end_tasks(self._tasks)

    async def _listen(self) -> None:
        while True:
            try:
                await self._hear()
            except CacheError as error:
                self._hooks.tell(CacheFailed(question=None, error=error))
            except Exception as error:
                self._hooks.tell(TaskFailed(question=None, error=error))
                asyncio.get_running_loop().call_exception_handler(
                    {"message": "listening to what others forget failed", "exception": error}
                )
            await asyncio.sleep(_AGAIN_AFTER)

    async def _hear(self) -> None:
        async with aclosing(self._feed.invalidations()) as keys:
            async for key in keys:
                if key is None:
                    self._distrust()
                elif (question := question_of(key)) is not None:
                    self._forget(question)
