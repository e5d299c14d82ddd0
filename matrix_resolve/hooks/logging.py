"""A hook that writes what a resolver does to a log, one line per event."""

import logging
import time
from collections.abc import Mapping
from typing import Final, assert_never

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
    ResolverEvent,
    StaleServed,
    TaskFailed,
)

# For the operator of a homeserver: what is wrong here, then what may explain a complaint, then
# all the rest. Legacy records are no news: each resolve of such a server tells of them.
_LEVELS: Final[Mapping[type, int]] = {
    CacheHit: logging.DEBUG,
    LegacySrvUsed: logging.DEBUG,
    QuestionAsked: logging.DEBUG,
    QuestionAnswered: logging.DEBUG,
    QuestionAborted: logging.DEBUG,
    Refreshed: logging.DEBUG,
    StaleServed: logging.INFO,
    DegradedServed: logging.INFO,
    CacheFailed: logging.WARNING,
    TaskFailed: logging.ERROR,
}
# A cache that is down fails at every turn: one warning in so many seconds tells of it.
_ONE_WARNING_IN: Final = 10.0
# Characters of an answer or an error: a reason with two names and a URL, not a whole document.
_LONGEST: Final = 300


class LoggingHook:
    """Logs every event on a line of its own: a `ResolverHook`.

        open_resolver(hooks=[LoggingHook()])

    `logger` is `logging.getLogger("matrix_resolve")` by default. DEBUG has what is asked, answered,
    given up, found in the cache, refreshed, or decided by deprecated records; INFO that an answer
    was stale or degraded; WARNING, once in ten seconds, that the cache failed; ERROR, with the
    traceback, that work in the background met a bug.

    What other servers say stands quoted, in printable ASCII, 300 characters at most, so that it
    can't pass for a line of the log. A traceback is as Python writes it.
    """

    def __init__(self, logger: logging.Logger | None = None) -> None:
        self._logger = logging.getLogger("matrix_resolve") if logger is None else logger
        self._quiet_until = 0.0

    def __call__(self, event: ResolverEvent, /) -> None:
        """Log `event`, if its level is enabled and it is of a kind that this version knows."""
        level = _LEVELS.get(type(event))
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


def _line(event: ResolverEvent) -> tuple[str, *tuple[object, ...]]:
    """Return the format of a line, and its values.

    Server names and questions are safe to log by their grammar; answers and errors are not.
    """
    match event:
        case CacheHit(server_name=name):
            return "%s: from cache", name
        case StaleServed(server_name=name):
            return "%s: a stale answer was given, as asking again has failed or is slow", name
        case DegradedServed(server_name=name):
            return "%s: an SRV lookup failed and was treated as no records", name
        case LegacySrvUsed(server_name=name, step=step):
            return "%s: decided by deprecated _matrix._tcp records (step %s)", name, step.value
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
            raised, said = type(error).__name__, shown(written(error), _LONGEST)
            return "%s: failed in the background, most likely a bug: %s: %s", subject, raised, said
        case _:
            assert_never(event)
