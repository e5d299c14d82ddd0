"""An event loop whose time leaps from one timer to the next: real time-outs, and no waiting."""

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

_T = TypeVar("_T")


class LeapingLoop(asyncio.SelectorEventLoop):
    """An event loop that does not wait for its timers: its time leaps to the next one.

    `turned` is called whenever all that was ready has run.
    """

    def __init__(self, turned: Callable[[], None] = lambda: None) -> None:
        self._now = 1000.0
        self.turned = turned
        super().__init__(_LeapingSelector(self))

    def time(self) -> float:
        return self._now

    def leap(self, seconds: float | None) -> None:
        """Let `seconds` pass at once."""
        if seconds is None:
            raise AssertionError("everybody waits, and for nothing")
        self._now += seconds


class _LeapingSelector(selectors.DefaultSelector):
    """Tells the loop to leap where it would have to wait for a timer."""

    def __init__(self, loop: LeapingLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        self._loop.turned()
        events = super().select(0)
        if not events and timeout != 0:
            self._loop.leap(timeout)
        return events


def leaping(story: Coroutine[Any, Any, _T]) -> _T:
    """Run `story` in a leaping loop; it must leave no task behind."""

    async def told() -> _T:
        result = await story
        left = asyncio.all_tasks() - {asyncio.current_task()}
        assert not left, f"tasks left behind: {left}"
        return result

    with asyncio.Runner(loop_factory=LeapingLoop) as runner:
        return runner.run(told())


class LoopClock:
    """Tells the loop's time, so that lifetimes leap with it."""

    def time(self) -> float:
        return 1_800_000_000.0 + self.monotonic()

    def monotonic(self) -> float:
        return asyncio.get_running_loop().time()
