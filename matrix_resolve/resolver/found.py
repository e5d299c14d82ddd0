"""An answer, and how it was found."""

from attrs import evolve, frozen

from matrix_resolve.core.entries import Given
from matrix_resolve.core.moments import Timescale


@frozen
class Found:
    """The answer to a question, and how it was found (`duration` in seconds).

    Until `settled_until` (Unix seconds) nothing would be asked. Its times are by the clock as it
    was set then: `scale`.
    """

    given: Given
    settled_until: float
    from_cache: bool
    duration: float
    scale: Timescale

    def on_scale(self, scale: Timescale) -> "Found":
        """Return this with its times by `scale`, if the clock has been set back since."""
        back = scale.set_back_since(self.scale)
        if not back:
            return self
        given = evolve(self.given, until=self.given.until - back)
        return evolve(self, given=given, settled_until=self.settled_until - back, scale=scale)
