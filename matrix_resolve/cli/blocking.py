"""Calls that may block for as long as somebody else likes."""

import asyncio
from collections.abc import Callable
from concurrent.futures import Future
from threading import Thread
from typing import Any, TypeVar

_T = TypeVar("_T")


async def in_thread(function: Callable[..., _T], *args: Any) -> _T:
    """Return what `function` returns, called in a thread that ends with the program if need be.

    asyncio's own threads are waited for at the end: who reads from a terminal in one, or opens a
    pipe that nobody writes to, can't be interrupted. A call goes on when this is cancelled.
    """
    done: Future[_T] = Future()
    done.set_running_or_notify_cancel()

    def call() -> None:
        try:
            done.set_result(function(*args))
        except Exception as error:
            done.set_exception(error)

    Thread(target=call, daemon=True).start()
    return await asyncio.wrap_future(done)
