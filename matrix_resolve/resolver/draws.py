"""The orders in which the targets of a resolved name may be tried: made once, and drawn often."""

from bisect import bisect_right
from itertools import accumulate

from matrix_resolve.core.resolution import Resolution, Target
from matrix_resolve.core.srv import every_order


class Draws:
    """A resolution for each order that its targets may have; there must not be too many."""

    def __init__(
        self, resolution: Resolution, candidates: tuple[Target, ...], max_targets: int
    ) -> None:
        orders = every_order(candidates)
        self.resolution = resolution
        self._up_to = list(accumulate(probability for probability, _ in orders))
        self._resolutions = [resolution.with_targets(order[:max_targets]) for _, order in orders]

    def drawn(self, chance: float) -> Resolution:
        """Return the resolution that `chance`, from 0 to 1, falls on."""
        # The last one has what is left of the probability: sums of floats need not make quite 1.
        return self._resolutions[bisect_right(self._up_to, chance, hi=len(self._up_to) - 1)]
