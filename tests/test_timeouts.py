"""Limits around what others wrote, which may be deaf to their end."""

import asyncio
import gc
import math
from collections.abc import Callable
from contextlib import suppress
from functools import wraps
from typing import Any

import pytest
from leaping import leaping
from worlds import HANGS, settled

from matrix_resolve import CacheError, timeouts
from matrix_resolve.interfaces import is_prompt, prompt, punctual
from matrix_resolve.timeouts import LeftBehind, reply_of, within

SHORT = 0.01


@pytest.fixture(autouse=True)
async def contexts(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What the event loop's exception handler is told."""
    monkeypatch.setattr(timeouts, "LINGER", 0.02)
    told: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))
    return told


class Deaf:
    """What goes on when it is cancelled, until it may end; then it says something."""

    def __init__(self, says: Any = None) -> None:
        self.says = says
        self.may_end = asyncio.Event()
        self.has_begun = asyncio.Event()
        self.has_ended = asyncio.Event()
        self.cancelled = 0

    async def ask(self) -> Any:
        """Wait, and go on waiting."""
        self.has_begun.set()
        while not self.may_end.is_set():
            try:
                await self.may_end.wait()
            except asyncio.CancelledError:
                self.cancelled += 1
        self.has_ended.set()
        if isinstance(self.says, BaseException):
            raise self.says
        return self.says


async def saying(what: Any) -> Any:
    """Say it at once."""
    if isinstance(what, BaseException):
        raise what
    return what


async def test_what_is_said_in_time_is_given(contexts: list[dict[str, Any]]) -> None:
    """What is returned or raised in time goes to who asked, a time-out of its own too."""
    assert await within(HANGS, saying("a"), CacheError) == "a"
    for error in (CacheError("down"), ZeroDivisionError(), TimeoutError()):
        with pytest.raises(type(error)) as raised:
            await within(HANGS, saying(error), CacheError)
        assert raised.value is error
    assert contexts == []


async def test_who_is_late_is_cancelled(contexts: list[dict[str, Any]]) -> None:
    """Who asked is told that it takes too long, and nothing is left."""
    left = LeftBehind()
    with pytest.raises(CacheError, match=r"no answer within 0.01 s"):
        await within(SHORT, asyncio.sleep(HANGS), CacheError, left)
    await settled()
    assert (left._timers, contexts) == ({}, [])


@pytest.mark.parametrize("says", [None, ZeroDivisionError(), CacheError("down")])
async def test_who_is_deaf_is_left_behind(
    contexts: list[dict[str, Any]], says: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who asked is let go; the loop hears of what does not end, once, and of its bug at last."""
    deaf, left, told = Deaf(says), LeftBehind(), asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: (contexts.append(context), told.set()))
    with pytest.raises(CacheError, match="no answer within"):
        await within(SHORT, deaf.ask(), CacheError, left)
    async with asyncio.timeout(HANGS):
        await told.wait()
    assert contexts[0]["message"] == "Deaf.ask did not end when it was cancelled"
    monkeypatch.setattr(timeouts, "LINGER", 10 * HANGS)
    await asyncio.wait_for(left.aclose(), HANGS)  # no need to wait for it again
    deaf.may_end.set()
    await settled()
    bugs = [context["exception"] for context in contexts[1:]]
    assert bugs == ([says] if isinstance(says, ZeroDivisionError) else [])
    assert (left._timers, deaf.cancelled) == ({}, 1)


def test_closing_waits_a_moment() -> None:
    """Closing waits for what ends by itself, and tells of what does not, once."""

    async def story() -> None:
        contexts: list[dict[str, Any]] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, told: contexts.append(told))
        left = LeftBehind()
        quick, deaf = Deaf(), Deaf()
        for one in (quick, deaf):
            with pytest.raises(CacheError):
                await within(SHORT, one.ask(), CacheError, left)
        quick.may_end.set()
        await left.aclose()
        assert quick.has_ended.is_set()
        await left.aclose()
        told = [context["message"] for context in contexts]
        deaf.may_end.set()
        await settled()
        assert told == ["Deaf.ask did not end when it was cancelled"]
        assert left._timers == {}

    leaping(story())


async def test_who_is_cancelled_waits_for_what_was_asked() -> None:
    """It is cancelled once, and may tidy up in its own time, however often who asked is."""
    deaf = Deaf("too late")
    asking = asyncio.create_task(within(HANGS, deaf.ask(), CacheError))
    await asyncio.wait_for(deaf.has_begun.wait(), HANGS)
    for _ in range(3):
        asking.cancel()
        await settled()
    assert not asking.done()
    deaf.may_end.set()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert deaf.cancelled == 1


async def test_what_is_raised_on_cancellation_is_raised() -> None:
    """A bug in tidying up goes to who asked."""
    deaf = Deaf(ZeroDivisionError())
    asking = asyncio.create_task(within(HANGS, deaf.ask(), CacheError))
    await asyncio.wait_for(deaf.has_begun.wait(), HANGS)
    asking.cancel()
    deaf.may_end.set()
    with pytest.raises(ZeroDivisionError):
        await asking


async def test_who_is_cancelled_waits_until_the_limit(contexts: list[dict[str, Any]]) -> None:
    """A limit is a limit for who was cancelled too."""
    deaf = Deaf()
    asking = asyncio.create_task(within(SHORT, deaf.ask(), CacheError))
    await asyncio.wait_for(deaf.has_begun.wait(), HANGS)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(asking, HANGS)
    assert not deaf.has_ended.is_set()
    deaf.may_end.set()
    await settled()
    assert contexts == []


async def test_a_failure_on_cancellation_is_none() -> None:
    """Who was cancelled ends, though what was asked calls that its failure."""
    deaf = Deaf(CacheError("interrupted"))
    asking = asyncio.create_task(within(HANGS, deaf.ask(), CacheError))
    await asyncio.wait_for(deaf.has_begun.wait(), HANGS)
    asking.cancel()
    deaf.may_end.set()
    with pytest.raises(asyncio.CancelledError):
        await asking


@pytest.mark.parametrize("error", [None, CacheError("down"), ZeroDivisionError()])
async def test_a_cancellation_at_the_moment_of_the_answer(error: Exception | None) -> None:
    """Who is cancelled when the answer is there already is cancelled; a bug is not lost."""
    answer = asyncio.get_running_loop().create_future()
    asking = asyncio.create_task(within(HANGS, answer, CacheError))
    await settled()
    answer.add_done_callback(lambda _: asking.cancel())  # after that of `within`
    if error is None:
        answer.set_result(None)
    else:
        answer.set_exception(error)
    is_bug = isinstance(error, ZeroDivisionError)
    with pytest.raises(ZeroDivisionError if is_bug else asyncio.CancelledError):
        await asking


async def test_what_cancels_itself() -> None:
    """Its `CancelledError` is its own: it goes to who asked."""
    with pytest.raises(asyncio.CancelledError):
        await within(HANGS, saying(asyncio.CancelledError()), CacheError)


async def test_any_awaitable(contexts: list[dict[str, Any]]) -> None:
    """A future will do; one that is told of has no function to be named by."""
    answer = asyncio.get_running_loop().create_future()
    answer.set_result("a")
    assert await within(HANGS, answer, CacheError) == "a"
    left = LeftBehind()
    never = _DeafFuture()
    with pytest.raises(CacheError):
        await within(SHORT, never, CacheError, left)
    await left.aclose()
    assert "_DeafFuture" in contexts[0]["message"]
    never.set_result(None)
    await settled()
    assert left._timers == {}


class _DeafFuture(asyncio.Future[None]):
    def cancel(self, msg: Any = None) -> bool:
        return False


async def test_errors_are_held_by_nobody() -> None:
    """An error that was raised can be freed without the garbage collector."""

    class Bug(Exception):
        """One that can be watched."""

    async def failing() -> None:
        raise Bug

    gc.disable()
    try:
        with suppress(Bug):
            await within(HANGS, failing(), CacheError)
        await settled()
        assert not [o for o in gc.get_objects() if isinstance(o, Bug)]
    finally:
        gc.enable()


class Punctual:
    """A plug-in that keeps the time itself, or says so."""

    def __init__(self, seconds: Any = 1.0) -> None:
        self.timeout = seconds

    @punctual
    async def ask(self, _: str) -> "asyncio.Task[Any]":
        """Tell in which task it is asked."""
        return await self.get()

    async def get(self) -> "asyncio.Task[Any]":
        """Tell the task."""
        task = asyncio.current_task()
        assert task is not None
        return task


class Unmarked(Punctual):
    """It overrides what was marked."""

    async def ask(self, asked: str) -> "asyncio.Task[Any]":
        """Ask twice."""
        await super().ask(asked)
        return await super().ask(asked)


class Subclass(Punctual):
    """It overrides what is called by what was marked."""

    async def get(self) -> "asyncio.Task[Any]":
        """Ask twice."""
        await super().get()
        return await super().get()


def twice(method: Callable[..., Any]) -> Callable[..., Any]:
    """Retry, as a decorator does."""

    @wraps(method)
    async def retrying(*args: Any) -> Any:
        await method(*args)
        return await method(*args)

    return retrying


class Retrying(Punctual):
    """What was marked is wrapped, with all its attributes."""

    ask = twice(Punctual.ask)


def wrapped() -> Punctual:
    """Return one of which the method is wrapped for itself."""
    plugin = Punctual()
    plugin.ask = twice(plugin.ask)  # type: ignore[method-assign]
    return plugin


@pytest.mark.parametrize(
    ("plugin", "is_alone"),
    [
        pytest.param(Punctual(), True, id="as quick"),
        pytest.param(Punctual(0.1), True, id="quicker"),
        pytest.param(Punctual(1.001), False, id="slower"),
        pytest.param(Punctual(math.inf), False, id="no limit"),
        pytest.param(Punctual(math.nan), False, id="no number"),
        pytest.param(Punctual(None), False, id="None"),
        pytest.param(Unmarked(), False, id="overridden"),
        pytest.param(Subclass(), False, id="subclass"),
        pytest.param(Retrying(), False, id="wrapped"),
        pytest.param(wrapped(), False, id="wrapped for itself"),
    ],
)
async def test_who_keeps_the_time_is_asked_without_a_task(plugin: Punctual, is_alone: bool) -> None:
    """Only a method that was marked itself, and keeps a time as short; all others have a limit."""
    asked = reply_of(plugin, "ask", "x", asyncio.Task, seconds=1.0, failure=CacheError)
    assert (await asked is asyncio.current_task()) is is_alone


@pytest.mark.parametrize("is_punctual", [False, True])
async def test_what_is_no_reply(is_punctual: bool) -> None:
    """It is told whose it is, with a limit around it and without."""
    asked = reply_of(
        Punctual(), "ask", "x", int, seconds=1.0 if is_punctual else 0.5, failure=CacheError
    )
    with pytest.raises(TypeError, match=r"Punctual\.ask"):
        await asked


def test_what_is_wrapped_is_not_prompt() -> None:
    """A decorator that takes its attributes over may wait."""

    class Cache:
        @prompt
        async def get(self) -> None:
            """Get."""

        put = twice(get)

    assert is_prompt(Cache().get)
    assert not is_prompt(Cache().put)
    assert not is_prompt(len)
    assert not is_prompt(lambda: None)
