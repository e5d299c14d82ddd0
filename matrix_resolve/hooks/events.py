"""What a resolver, and a client with it, tell of their work, and who hears it."""

import asyncio
import inspect
from collections.abc import Iterable
from typing import Protocol

from attrs import frozen

from matrix_resolve.core.lifetimes import Outcome, outcome_of
from matrix_resolve.core.names import ServerName
from matrix_resolve.core.parts import check_part
from matrix_resolve.core.questions import Answer, Question
from matrix_resolve.core.resolution import Step
from matrix_resolve.errors import CacheError, written
from matrix_resolve.hooks.request_events import (
    RequestAnswered,
    RequestBegun,
    RequestFailed,
    TargetFailed,
)
from matrix_resolve.hooks.resolve_events import ResolveBegun, Resolved, ResolveFailed

__all__ = [
    "CacheFailed",
    "CacheHit",
    "DegradedServed",
    "Hooks",
    "LegacySrvUsed",
    "QuestionAborted",
    "QuestionAnswered",
    "QuestionAsked",
    "Refreshed",
    "RequestAnswered",
    "RequestBegun",
    "RequestFailed",
    "ResolveBegun",
    "ResolveFailed",
    "Resolved",
    "ResolverEvent",
    "ResolverHook",
    "StaleServed",
    "TargetFailed",
    "TaskFailed",
]


@frozen(kw_only=True)
class CacheHit:
    """A `resolve()` was answered from what is remembered.

    If that was stale (see `StaleServed`), it may have waited for a refresh first.
    """

    server_name: ServerName


@frozen(kw_only=True)
class StaleServed:
    """A `resolve()` gave an answer past its lifetime, as asking again has failed or is slow."""

    server_name: ServerName


@frozen(kw_only=True)
class DegradedServed:
    """A `resolve()` treated an SRV lookup that failed as "no records"."""

    server_name: ServerName


@frozen(kw_only=True)
class LegacySrvUsed:
    """A `resolve()` was decided by deprecated `_matrix._tcp` records (step 3.4 or 5)."""

    server_name: ServerName
    step: Step


@frozen(kw_only=True)
class QuestionAsked:
    """A plug-in is about to be asked; `waited` is how many seconds that took to be its turn."""

    question: Question
    waited: float = 0.0


@frozen(kw_only=True)
class QuestionAnswered:
    """A plug-in has answered, or failed to, `duration` seconds after it was asked."""

    question: Question
    answer: Answer
    duration: float

    @property
    def outcome(self) -> Outcome:
        """The answer in one word: "found", "none" (a definite no), or "failed"."""
        return outcome_of(self.answer)


@frozen(kw_only=True)
class QuestionAborted:
    """A plug-in was asked and did not answer: nobody wanted to know any more, or it has a bug."""

    question: Question
    duration: float


@frozen(kw_only=True)
class Refreshed:
    """A question was answered in the background, ahead of need or after a stale answer."""

    question: Question
    answer: Answer

    @property
    def outcome(self) -> Outcome:
        """The answer in one word, as of `QuestionAnswered`."""
        return outcome_of(self.answer)


@frozen(kw_only=True)
class CacheFailed:
    """The cache raised; the resolver went on as if nothing had been cached.

    `question` is None when it was not about one: the feed of invalidations was cut off.
    """

    question: Question | None
    error: CacheError


@frozen(kw_only=True)
class TaskFailed:
    """Work that nobody waits for raised what no plug-in may raise: a bug, most likely there."""

    question: Question | None
    error: BaseException


ResolverEvent = (
    ResolveBegun
    | Resolved
    | ResolveFailed
    | CacheHit
    | StaleServed
    | DegradedServed
    | LegacySrvUsed
    | QuestionAsked
    | QuestionAnswered
    | QuestionAborted
    | Refreshed
    | CacheFailed
    | TaskFailed
    | RequestBegun
    | RequestAnswered
    | TargetFailed
    | RequestFailed
)
"""What a hook hears of. New kinds come with later versions."""


class ResolverHook(Protocol):
    """Hears what happens. Called in the event loop, so it must be quick and must not block.

        def hook(event: ResolverEvent) -> None:
            if isinstance(event, QuestionAnswered):
                print(event.question.key, event.duration)

    New kinds of events, and new fields of these, come with later versions: look at the type and
    ignore what you don't know. What a hook raises goes to the loop's exception handler.
    """

    def __call__(self, event: ResolverEvent, /) -> None:
        """Take notice of `event`."""
        ...


def _check_hook(hook: object) -> None:
    """Raise `TypeError` for what could not hear: each event would be lost, if not each resolve."""
    check_part("hooks", hook, "__call__")
    if inspect.iscoroutinefunction(hook) or inspect.iscoroutinefunction(hook.__call__):  # type: ignore[operator]
        name = getattr(hook, "__qualname__", type(hook).__name__)
        raise TypeError(f"hooks: {name} is async, and nobody would await it; a hook is called")


class Hooks:
    """The hooks of one resolver, and of the federation clients that use it."""

    def __init__(self, hooks: Iterable[ResolverHook] = ()) -> None:
        if not isinstance(hooks, Iterable):
            raise TypeError(f"hooks must be several, as in [hook]: {type(hooks).__name__}")
        self._hooks = tuple(hooks)
        for hook in self._hooks:
            _check_hook(hook)

    def __bool__(self) -> bool:
        return bool(self._hooks)

    def tell(self, event: ResolverEvent) -> None:
        """Pass `event` to every hook; none of them can break a resolution."""
        for hook in self._hooks:
            try:
                hook(event)
            except (KeyboardInterrupt, SystemExit):
                raise
            except BaseException as error:  # it doesn't wait, so no CancelledError is ours
                message = f"a resolver hook failed: {written(hook, repr)}"
                asyncio.get_running_loop().call_exception_handler(
                    {"message": message, "exception": error}
                )

    def tell_bug(self, question: Question | None, error: BaseException, message: str) -> None:
        """Tell the hooks and the event loop's exception handler of a bug that reached no caller."""
        self.tell(TaskFailed(question=question, error=error))
        asyncio.get_running_loop().call_exception_handler({"message": message, "exception": error})
