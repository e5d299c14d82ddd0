"""What has been forgotten on purpose, so that what rests on it is decided anew."""

from collections.abc import Callable, Iterable
from typing import Final

from matrix_resolve.core.questions import Question

# Beyond so many the log begins afresh, and everything older is decided anew.
_LONGEST: Final = 10_000


class Forgetting:
    """Counts epochs, a new one whenever something is forgotten, and says what that touched.

    `changed` is called in each new epoch.
    """

    def __init__(self, changed: Callable[[], None]) -> None:
        self._changed = changed
        self.epoch = 0
        self._last: dict[Question, int] = {}
        self._everything_at = 0

    def note(self, questions: Iterable[Question]) -> None:
        """Begin an epoch in which the answers to `questions` are forgotten."""
        self.epoch += 1
        for question in questions:
            self._last[question] = self.epoch
        if len(self._last) > _LONGEST:
            self._last.clear()
            self._everything_at = self.epoch
        self._changed()

    def note_everything(self) -> None:
        """Begin an epoch in which any answer may have been forgotten."""
        self.epoch += 1
        self._last.clear()
        self._everything_at = self.epoch
        self._changed()

    def touches(self, questions: Iterable[Question], since: int) -> bool:
        """Return whether an answer to one of `questions` was forgotten after epoch `since`."""
        if since == self.epoch:
            return False
        return since < self._everything_at or any(
            self._last.get(question, 0) > since for question in questions
        )
