"""Time limits around what others wrote, and what becomes of it when it does not end."""

import asyncio
from collections.abc import Awaitable
from typing import Any, Final, TypeVar

from matrix_resolve.core.parts import check_awaitable, check_reply
from matrix_resolve.errors import BackendError, written
from matrix_resolve.interfaces import is_punctual

LINGER: Final = 2.0
"""How long (seconds) is waited for what does not end when it is cancelled, before that is told."""

_T = TypeVar("_T")


class LeftBehind:
    """Tasks that were cancelled and have not ended; nobody waits for what they bring any more.

    The event loop's exception handler is told of each that does not end soon, and of what one
    raises in the end, unless that is a `BackendError`.
    """

    def __init__(self) -> None:
        # None: it has been told.
        self._timers: dict[asyncio.Future[Any], asyncio.TimerHandle | None] = {}

    def take(self, task: "asyncio.Future[Any]") -> None:
        """Leave a task that has been cancelled to itself."""
        self._timers[task] = task.get_loop().call_later(LINGER, self._tell, task)
        task.add_done_callback(self._ended)

    async def aclose(self) -> None:
        """Wait for the tasks, a moment, and tell of those that do not end."""
        waiting = [task for task, timer in self._timers.items() if timer is not None]
        if waiting:
            _, left = await asyncio.wait(waiting, timeout=LINGER)
            for task in left:
                self._tell(task)

    def _tell(self, task: "asyncio.Future[Any]") -> None:
        timer, self._timers[task] = self._timers[task], None
        if timer is not None:
            timer.cancel()
            tell_of_stubborn(task, _name(task))

    def _ended(self, task: "asyncio.Future[Any]") -> None:
        timer = self._timers.pop(task)
        if timer is not None:
            timer.cancel()
        error = None if task.cancelled() else task.exception()
        if error is not None and not isinstance(error, BackendError):
            message = f"{_name(task)} failed after it was cancelled"
            context = {"message": message, "exception": error, "task": task}
            task.get_loop().call_exception_handler(context)


# What those leave behind who don't look after it themselves.
_LEFT_BEHIND: Final = LeftBehind()


async def within(
    seconds: float,
    asked: Awaitable[_T],
    failure: type[BackendError],
    left: LeftBehind = _LEFT_BEHIND,
) -> _T:
    """Await `asked`, in a task of its own; raise `failure` after so many seconds.

    Whoever waits is let go then, be `asked` deaf to its cancellation: it is `left` behind. Its own
    `TimeoutError` is its bug. Who is cancelled while waiting passes that on, and `asked` has until
    the limit to end; a bug that it raises then is raised, a `BackendError` is not: who takes that
    for an answer would go on.
    """
    loop = asyncio.get_running_loop()
    task = asyncio.ensure_future(asked)
    over = loop.create_future()
    task.add_done_callback(lambda _: _set(over))
    timer = loop.call_later(seconds, _set, over)
    try:
        await over
        if task.done():
            return task.result()
        task.cancel()
    except asyncio.CancelledError:
        if not task.done():
            task.cancel()
            await _ended_by(task, timer.when())
        if task.done() and not task.cancelled() and not isinstance(task.exception(), BackendError):
            task.result()
        raise
    finally:
        timer.cancel()
        if not task.done():
            left.take(task)
        del task  # or what it raises and this frame would hold each other
    raise failure(f"no answer within {seconds:g} s")


async def reply_of(
    plugin: object,
    method: str,
    asked: str,
    wanted: type[_T],
    *,
    seconds: float,
    failure: type[BackendError],
    left: LeftBehind = _LEFT_BEHIND,
) -> _T:
    """Return what a plug-in's method replies within so many seconds.

    `failure` is raised after that, and `TypeError` for what is not `wanted`. One whose method is
    `punctual`, and as quick, keeps the time itself.
    """
    ask = getattr(plugin, method)
    coming: Awaitable[_T] = check_awaitable(plugin, method, ask(asked))
    if not is_punctual(ask, seconds):
        coming = within(seconds, coming, failure, left)
    return check_reply(plugin, method, await coming, wanted)


def _set(over: "asyncio.Future[None]") -> None:
    if not over.done():
        over.set_result(None)


async def _ended_by(task: "asyncio.Future[Any]", when: float) -> None:
    """Wait until `task` has ended or the event loop's time is `when`, cancelled or not."""
    loop = asyncio.get_running_loop()
    while not task.done() and (seconds := when - loop.time()) > 0:
        try:
            await asyncio.wait((task,), timeout=seconds)
        except asyncio.CancelledError:
            continue


def tell_of_stubborn(task: "asyncio.Future[Any]", name: str) -> None:
    """Tell the event loop of a task that does not end."""
    error = RuntimeError(f"{name} did not end when it was cancelled")
    context = {"message": str(error), "exception": error, "task": task}
    task.get_loop().call_exception_handler(context)


def _name(task: "asyncio.Future[Any]") -> str:
    """Return the name of the function that `task` runs, as far as that is known."""
    coroutine = task.get_coro() if isinstance(task, asyncio.Task) else None
    name = getattr(coroutine, "__qualname__", None)
    return name if isinstance(name, str) else written(task, repr)
