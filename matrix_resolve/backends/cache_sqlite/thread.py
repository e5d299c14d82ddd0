"""A thread of its own, in which one may wait for the disk."""

import asyncio
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue
from typing import Any, Final, TypeVar

_T = TypeVar("_T")
_Job = tuple[Callable[[], Any], "asyncio.Future[Any]"]

_NAME: Final = "matrix_resolve.SqliteCache"


class Thread:
    """Does jobs one after another, and brings what comes of them to the event loop.

    `loop` is where its futures are. Nothing in it waits for the loop, and a program that forgets
    to end it ends all the same.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._busy_since: float | None = None
        self._thread = threading.Thread(target=self._work, name=_NAME, daemon=True)
        self._thread.start()

    def do(self, job: Callable[[], _T]) -> "asyncio.Future[_T]":
        """Have `job` done when its turn comes; it is done even if nobody waits for it any more."""
        future: asyncio.Future[_T] = self._loop.create_future()
        self._jobs.put((job, future))
        return future

    def busy_for(self) -> float:
        """Return for how many seconds it has been at one job, 0 if at none."""
        since = self._busy_since
        return 0.0 if since is None else time.monotonic() - since

    def end(self) -> None:
        """Let it end when its jobs are done."""
        self._jobs.put(None)

    def join(self) -> None:
        """Wait, a moment at most, for one that has nothing more to do."""
        self._thread.join(1.0)

    def _work(self) -> None:
        while (item := self._jobs.get()) is not None:
            job, future = item
            self._busy_since = time.monotonic()
            try:
                outcome, error = job(), None
            except BaseException as raised:
                outcome, error = None, raised
            self._busy_since = None
            with suppress(RuntimeError):  # the loop has been closed: nobody waits
                self._loop.call_soon_threadsafe(_land, future, outcome, error)
            del item, job, future, outcome, error


def _land(future: "asyncio.Future[Any]", outcome: Any, error: BaseException | None) -> None:
    if future.done():  # who waited was cancelled
        return
    if error is None:
        future.set_result(outcome)
    else:
        future.set_exception(error)
