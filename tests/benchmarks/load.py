"""Who is asked for how often, and what is counted of that."""

import random
from array import array
from bisect import bisect
from collections.abc import Iterator
from itertools import accumulate
from typing import Final

from attrs import define

MINUTE: Final = 60.0
HOUR: Final = 3600.0
DAY: Final = 24 * HOUR
_DOMAIN: Final = ".example.org"


def name_of(number: int) -> str:
    """Return the name of a server."""
    return f"s{number:07}{_DOMAIN}"


def number_of(name: str) -> int:
    """Return the number in a name, be there labels before it."""
    return int(name[-7 - len(_DOMAIN) : -len(_DOMAIN)])


class Load:
    """Who is asked for: names drawn by Zipf's law, at moments drawn from a steady rate.

    Of `names` one in `sample` takes part, and stands for its neighbours in rank: its rate is their
    mean. What a cache `sample` times smaller does with those is what the whole does with all (see
    Waldspurger and others, "Cache modeling and optimization using miniature simulations", 2017).
    """

    def __init__(
        self, *, names: int, rate: float, sample: int = 1, exponent: float = 1.0, seed: int = 0
    ) -> None:
        self.sample = sample
        self.rate = rate / sample
        self._random = random.Random(seed)
        shares = accumulate(rank**-exponent for rank in range(1, names + 1))
        self._up_to = array("d", list(shares)[sample - 1 :: sample])

    def __len__(self) -> int:
        return len(self._up_to)

    def arrivals(self, since: float) -> Iterator[tuple[float, int]]:
        """Yield without end at which moment which name is asked for."""
        draw, up_to, last = self._random.random, self._up_to, len(self._up_to) - 1
        at = since
        while True:
            at += self._random.expovariate(self.rate)
            yield at, min(bisect(up_to, draw() * up_to[-1]), last)

    def each_once(self, since: float) -> Iterator[tuple[float, int]]:
        """Yield each name once, the most wanted first, four times as fast as they come."""
        for number in range(len(self)):
            yield since + number / (4 * self.rate), number


@define
class Hour:
    """What was counted in an hour, or in several."""

    kept: int = 0  # resolves that were answered without a turn of the event loop
    remembered: int = 0  # those that took one, and for which nothing was asked
    waited: int = 0  # those that waited for an answer
    late: int = 0  # of all, those that took more than a second
    fetches: int = 0
    lookups: int = 0
    addresses: int = 0

    def __add__(self, other: "Hour") -> "Hour":
        return Hour(
            self.kept + other.kept,
            self.remembered + other.remembered,
            self.waited + other.waited,
            self.late + other.late,
            self.fetches + other.fetches,
            self.lookups + other.lookups,
            self.addresses + other.addresses,
        )

    @property
    def resolves(self) -> int:
        """How many resolves there were."""
        return self.kept + self.remembered + self.waited
