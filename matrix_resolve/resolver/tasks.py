"""What asyncio lacks: an event that is cheap to wait for and to leave, and an end for tasks."""

import asyncio
from collections.abc import Collection
from contextlib import suppress
from typing import Any

from matrix_resolve.timeouts import LINGER, tell_of_stubborn


class Event:
    """An `asyncio.Event` that is set once, and that any number can wait for and leave.

    Each who waits has a future of its own, so whoever is cancelled disturbs nobody, and that costs
    the same however many wait.
    """

    __slots__ = ("_is_set", "_loop", "_waiters")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop  # to ask which one runs takes a system call on Python 3.11
        self._is_set = False
        # In the order in which they came; None: nobody has.
        self._waiters: dict[asyncio.Future[None], None] | None = None

    def is_set(self) -> bool:
        """Return whether it has been set."""
        return self._is_set

    def set(self) -> None:
        """Let go on all who wait for it, now and later."""
        self._is_set = True
        waiters, self._waiters = self._waiters, None
        for waiter in waiters or ():
            if not waiter.done():
                waiter.set_result(None)

    async def wait(self) -> None:
        """Wait until it is set."""
        if self._is_set:
            return
        waiter = self._loop.create_future()
        if self._waiters is None:
            self._waiters = {}
        self._waiters[waiter] = None
        try:
            await waiter
        finally:
            if self._waiters is not None:
                self._waiters.pop(waiter, None)

    async def is_set_by(self, when: float) -> bool:
        """Wait until it is set or the loop's time is `when`; return whether it is set."""
        with suppress(TimeoutError):
            async with asyncio.timeout_at(when):
                await self.wait()
        return self._is_set


async def end_tasks(tasks: Collection["asyncio.Task[Any]"]) -> None:
    """Cancel `tasks` and wait for them, a moment; tell the loop of those that do not end."""
    for task in tasks:
        task.cancel()
    if not tasks:
        return
    _, left = await asyncio.wait(tasks, timeout=LINGER)
    for task in left:
        tell_of_stubborn(task, task.get_name())
