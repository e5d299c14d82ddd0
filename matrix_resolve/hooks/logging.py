"""A hook that writes what a resolver does to a log, one line per event."""

import logging
import time
from collections.abc import Mapping
from typing import Final, assert_never

from matrix_resolve.core.bounded import Bounded
from matrix_resolve.core.story import describe
from matrix_resolve.errors import shown, written
from matrix_resolve.hooks.events import (
    CacheFailed,
    CacheHit,
    DegradedServed,
    LegacySrvUsed,
    QuestionAborted,
    QuestionAnswered,
    QuestionAsked,
    Refreshed,
    RequestAnswered,
    RequestBegun,
    RequestFailed,
    ResolveBegun,
    Resolved,
    ResolveFailed,
    ResolverEvent,
    StaleServed,
    TargetFailed,
    TaskFailed,
)

# For the operator of a homeserver: what is wrong here, then what may explain a complaint, then
# all the rest. Legacy records are no news: each resolve of such a server tells of them.
_LEVELS: Final[Mapping[type, int]] = {
    Resolved: logging.DEBUG,
    ResolveFailed: logging.DEBUG,
    CacheHit: logging.DEBUG,
    LegacySrvUsed: logging.DEBUG,
    QuestionAsked: logging.DEBUG,
    QuestionAnswered: logging.DEBUG,
    QuestionAborted: logging.DEBUG,
    Refreshed: logging.DEBUG,
    RequestAnswered: logging.DEBUG,
    TargetFailed: logging.DEBUG,
    RequestFailed: logging.DEBUG,
    StaleServed: logging.INFO,
    DegradedServed: logging.INFO,
    CacheFailed: logging.WARNING,
    TaskFailed: logging.ERROR,
}
# A cache that is down fails at every turn: one warning in so many seconds tells of it.
_ONE_WARNING_IN: Final = 10.0
# Characters of an answer or an error: a reason with two names and a URL, not a whole document.
_LONGEST: Final = 300
# What goes on for a while, told anew by each resolve; of so many names that is known.
_OUTAGES: Final = (StaleServed, DegradedServed)
_MOST_NAMES: Final = 10_000


class LoggingHook:
    """Logs every event but beginnings on a line of its own: a `ResolverHook`.

        open_resolver(hooks=[LoggingHook()])

    `logger` is `logging.getLogger("matrix_resolve")` by default. DEBUG has how each resolve and
    request ended, and what is asked, answered, given up, found in the cache, refreshed, or decided
    by deprecated records; INFO that an answer was stale or degraded, once a name until a resolve of
    it is not, and DEBUG each time; WARNING, once in ten seconds, that the cache failed; ERROR, with
    the traceback, that work in the background met a bug.

    What other servers say stands quoted, in printable ASCII, 300 characters at most, so that it
    can't pass for a line of the log. A traceback is as Python writes it.
    """

    def __init__(self, logger: logging.Logger | None = None) -> None:
        self._logger = logging.getLogger("matrix_resolve") if logger is None else logger
        self._quiet_until = 0.0
        self._outages = {kind: Bounded[str, bool](_MOST_NAMES) for kind in _OUTAGES}

    def __call__(self, event: ResolverEvent, /) -> None:
        """Log `event`, if its level is enabled and it is of a kind that this version knows."""
        level = _LEVELS.get(type(event))
        if isinstance(event, _OUTAGES):
            if self._is_known(event):
                level = logging.DEBUG
        elif isinstance(event, Resolved):
            self._note_end(event)
        if isinstance(event, CacheFailed):
            now = time.monotonic()
            if now < self._quiet_until:
                level = logging.DEBUG
            else:
                self._quiet_until = now + _ONE_WARNING_IN
        if level is None or not self._logger.isEnabledFor(level):
            return
        message, *values = _line(event)
        error = event.error if isinstance(event, TaskFailed) else None
        self._logger.log(level, message, *values, exc_info=error)

    def _is_known(self, event: StaleServed | DegradedServed) -> bool:
        """Return whether this is no news, as it has been told of the name since it began."""
        name, told = str(event.server_name).lower(), self._outages[type(event)]
        is_known = told.get(name) is not None
        if not is_known:
            told.put(name, True)
        return is_known

    def _note_end(self, event: Resolved) -> None:
        """Let the next time be news where this resolve shows that it is over."""
        name = str(event.server_name).lower()
        for kind, goes_on in ((StaleServed, event.stale), (DegradedServed, event.degraded)):
            if not goes_on:
                self._outages[kind].delete(name)


def _line(event: ResolverEvent) -> tuple[str, *tuple[object, ...]]:
    """Return the format of a line, and its values.

    Server names, methods, targets and questions are safe to log by their grammar; answers and
    errors are not.
    """
    match event:
        case ResolveBegun() | Resolved() | ResolveFailed() | CacheHit() | StaleServed():
            return _line_of_resolve(event)
        case DegradedServed() | LegacySrvUsed():
            return _line_of_resolve(event)
        case RequestBegun() | RequestAnswered() | TargetFailed() | RequestFailed():
            return _line_of_request(event)
        case QuestionAsked(question=question, waited=waited):
            return "%s: asking, after %.0f ms of waiting for a slot", question, waited * 1000
        case QuestionAnswered(question=question, answer=answer, duration=duration):
            said = shown(describe(answer), _LONGEST)
            return "%s: %s after %.0f ms: %s", question, event.outcome, duration * 1000, said
        case QuestionAborted(question=question, duration=duration):
            return "%s: aborted after %.0f ms", question, duration * 1000
        case Refreshed(question=question, answer=answer):
            said = shown(describe(answer), _LONGEST)
            return "%s: refreshed in the background: %s: %s", question, event.outcome, said
        case CacheFailed(question=question, error=error):
            subject = "the feed of invalidations" if question is None else question
            return "%s: the cache failed: %s", subject, shown(written(error), _LONGEST)
        case TaskFailed(question=question, error=error):
            subject = "the feed of invalidations" if question is None else question
            told = _told(error)
            return "%s: failed in the background, most likely a bug: %s: %s", subject, *told
        case _:
            assert_never(event)


def _line_of_resolve(
    event: ResolveBegun
    | Resolved
    | ResolveFailed
    | CacheHit
    | StaleServed
    | DegradedServed
    | LegacySrvUsed,
) -> tuple[str, *tuple[object, ...]]:
    name = event.server_name
    match event:
        case ResolveBegun():
            return "%s: to be resolved", name
        case Resolved(step=step, duration=took):
            return "%s: resolved after %.0f ms, by step %s", name, took * 1000, step.value
        case ResolveFailed(error=error, duration=took):
            return "%s: not resolved, after %.0f ms: %s: %s", name, took * 1000, *_told(error)
        case CacheHit():
            return "%s: from cache", name
        case StaleServed():
            return "%s: a stale answer was given, as asking again has failed or is slow", name
        case DegradedServed():
            return "%s: an SRV lookup failed and was treated as no records", name
        case LegacySrvUsed(step=step):
            return "%s: decided by deprecated _matrix._tcp records (step %s)", name, step.value


def _line_of_request(
    event: RequestBegun | RequestAnswered | TargetFailed | RequestFailed,
) -> tuple[str, *tuple[object, ...]]:
    name = event.server_name
    match event:
        case RequestBegun(method=method):
            return "%s: %s: to be sent", name, method
        case RequestAnswered(method=method, target=target, status=status, duration=took):
            line = "%s: %s: status %d from %s after %.0f ms"
            line += ", on a connection that was open already" * event.reused
            return line, name, method, status, target, took * 1000
        case TargetFailed(reason=reason, duration=took):
            said = shown(reason, _LONGEST)
            return "%s: a target could not be reached, after %.0f ms: %s", name, took * 1000, said
        case RequestFailed(method=method, error=error, duration=took):
            line = "%s: %s: failed after %.0f ms: %s: %s"
            return line, name, method, took * 1000, *_told(error)


def _told(error: BaseException) -> tuple[str, str]:
    """Return the class and the text of an error."""
    return type(error).__name__, shown(written(error), _LONGEST)
