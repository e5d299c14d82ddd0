"""What a resolver tells of its work, and who hears it."""

import asyncio
from collections.abc import Iterable
from typing import Protocol

from attrs import frozen

from matrix_resolve.core.questions import Answer, Question
from matrix_resolve.errors import CacheError


@frozen(kw_only=True)
class QuestionAsked:
    """A plug-in is about to be asked."""

    question: Question


@frozen(kw_only=True)
class QuestionAnswered:
    """A plug-in has answered, or failed to; `duration` is in seconds, time in a queue included."""

    question: Question
    answer: Answer
    duration: float


@frozen(kw_only=True)
class CacheFailed:
    """The cache raised; the resolver went on as if nothing had been cached."""

    question: Question
    error: CacheError


@frozen(kw_only=True)
class TaskFailed:
    """Work that nobody waits for raised what no plug-in may raise: a bug, most likely there."""

    question: Question
    error: BaseException


ResolverEvent = QuestionAsked | QuestionAnswered | CacheFailed | TaskFailed


class ResolverHook(Protocol):
    """Hears what happens. Called in the event loop, so it must be quick and must not block.

    New kinds of events, and new fields of these, come with later versions: look at the type and
    ignore what you don't know. What a hook raises goes to the loop's exception handler.
    """

    def __call__(self, event: ResolverEvent, /) -> None:
        """Take notice of `event`."""
        ...


class Hooks:
    """The hooks of one resolver."""

    def __init__(self, hooks: Iterable[ResolverHook] = ()) -> None:
        self._hooks = tuple(hooks)

    def __bool__(self) -> bool:
        return bool(self._hooks)

    def tell(self, event: ResolverEvent) -> None:
        """Pass `event` to every hook; none of them can break a resolution."""
        for hook in self._hooks:
            try:
                hook(event)
            except Exception as error:
                asyncio.get_running_loop().call_exception_handler(
                    {"message": f"a resolver hook failed: {hook!r}", "exception": error}
                )
