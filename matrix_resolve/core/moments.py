"""Moments in Unix seconds, and how the wall clock that tells them was set.

No lifetime may grow because the clock is set back, so it is noted by which setting moments count.
"""

from typing import Final, Protocol

from attrs import frozen

# Two readings of two clocks differ by a little; to be set back by less (seconds) prolongs little.
_JITTER: Final = 1.0


@frozen
class Timescale:
    """A setting of the wall clock of `clock`: so many seconds `ahead` of its monotonic clock.

    Monotonic clocks begin anywhere, so scales of different clocks can't be compared.
    """

    clock: object
    ahead: float

    def at(self, wall: float, monotonic: float) -> "Timescale":
        """Return the setting by which the clock gives these readings: this one if it still is."""
        ahead = wall - monotonic
        return self if abs(ahead - self.ahead) <= _JITTER else Timescale(self.clock, ahead)

    def set_back_since(self, earlier: "Timescale | None") -> float:
        """Return by how many seconds the clock has been set back since another setting."""
        if earlier is None or earlier.clock is not self.clock:
            return 0.0
        back = earlier.ahead - self.ahead
        return back if back > _JITTER else 0.0

    def note(self, entry: "_Scaled") -> None:
        """Note that an entry counts by this scale, unless it is known by which it does.

        In place, so that a cache that keeps the entry keeps this too; the entry stays equal.
        """
        if entry.scale is None:
            object.__setattr__(entry, "scale", self)


class Moments:
    """Tells the moment by a clock, and how that is set: `clock` has `time()` and `monotonic()`."""

    def __init__(self, clock: "_Clock") -> None:
        self._clock = clock
        self._scale = Timescale(clock, 0.0)

    def now(self) -> tuple[float, Timescale]:
        """Return the Unix seconds, and how the clock that tells them is set."""
        now = self._clock.time()
        self._scale = self._scale.at(now, self._clock.monotonic())
        return now, self._scale


class _Scaled(Protocol):
    @property
    def scale(self) -> Timescale | None: ...


class _Clock(Protocol):
    def time(self) -> float: ...
    def monotonic(self) -> float: ...
