"""How often answers are refreshed on demand."""

from typing import Final

from matrix_resolve.core.bounded import Bounded
from matrix_resolve.core.questions import Question
from matrix_resolve.interfaces import Clock

# No question is asked anew more than once in so many seconds, for whichever name.
_EVERY: Final = 10.0


class Refreshes:
    """When each of the `most` last questions was asked anew."""

    def __init__(self, most: int, clock: Clock) -> None:
        self._last = Bounded[Question, float](most)
        self._clock = clock

    def begin(self, question: Question) -> bool:
        """Return whether a question may be asked anew; if so, it is from now on."""
        last, now = self._last.look(question), self._clock.monotonic()
        if last is not None and now - last < _EVERY:
            return False
        self._last.put(question, now)
        return True
