"""A figure: what was measured in each round, what it is held to, and how it is printed."""

import statistics
from collections.abc import Callable, Sequence
from typing import Any, Final, Literal

from attrs import asdict, evolve, frozen


@frozen(kw_only=True)
class Scale:
    """How much is measured: so many rounds; `quick` shrinks all else, to see whether it runs.

    `peers` are interpreters in whose environments other resolvers may be.
    """

    rounds: int
    quick: bool = False
    peers: tuple[str, ...] = ()

    def of(self, count: int, quick: int) -> int:
        """Return `count`, or `quick` where that is wanted."""
        return quick if self.quick else count


_OF: Final[dict[str, Callable[[Sequence[float]], float]]] = {
    "min": min,
    "median": statistics.median,
    "max": max,
}


@frozen(kw_only=True)
class Figure:
    """What was measured, in `unit`, a value a round; with `floor` the ratio to that is the figure.

    `judged` says what of it is held to `bound`: the minimum (of ours over that of the floor), the
    median (of the ratios within a round), or the maximum. `skipped` is why nothing was measured.
    `is_quick`: smaller numbers were taken than the name says, which tell nothing of the bound.
    """

    name: str
    unit: str = ""
    ours: Sequence[float] = ()
    floor: Sequence[float] = ()
    bound: float | None = None
    judged: Literal["min", "median", "max"] = "median"
    at_least: bool = False
    skipped: str = ""
    is_quick: bool = False

    @property
    def rounds(self) -> list[float]:
        """The figure of each round."""
        if not self.floor:
            return list(self.ours)
        return [ours / floor for ours, floor in zip(self.ours, self.floor, strict=True)]

    @property
    def minimum(self) -> float:
        """The least of ours, over the least of the floor if there is one."""
        return min(self.ours) / (min(self.floor) if self.floor else 1)

    @property
    def median(self) -> float:
        """The median of the rounds."""
        return statistics.median(self.rounds)

    @property
    def is_met(self) -> bool | None:
        """Whether the bound is met; None without one, or where nothing can be said."""
        if self.bound is None or self.skipped or self.is_quick:
            return None
        value = self.minimum if self.judged == "min" else _OF[self.judged](self.rounds)
        return value >= self.bound if self.at_least else value <= self.bound

    def with_rounds_of(self, other: "Figure") -> "Figure":
        """Return the figure with the rounds of another run added."""
        return evolve(self, ours=[*self.ours, *other.ours], floor=[*self.floor, *other.floor])

    def to_dict(self) -> dict[str, Any]:
        """Return everything, ready for JSON."""
        told: dict[str, Any] = asdict(self)
        if not self.skipped:
            low, high = min(self.rounds), max(self.rounds)
            told |= {"min": self.minimum, "median": self.median, "low": low, "high": high}
        return told | {"met": self.is_met}


def _number(value: float) -> str:
    if value == 0:
        return "0"
    return f"{value:,.2f}" if abs(value) < 100 else f"{value:,.0f}"


def _row(figure: Figure, other: Figure | None) -> list[str]:
    """Return the cells of a figure, and of the same one in another checkout."""
    if figure.skipped:
        return [figure.name, f"skipped: {figure.skipped}"]
    measured = f"{_number(statistics.median(figure.ours))} {figure.unit}"
    if figure.floor:
        measured += f" / {_number(statistics.median(figure.floor))}"
    low, high = min(figure.rounds), max(figure.rounds)
    bound = ""
    if figure.bound is not None:
        bound = f"{figure.judged} {'>=' if figure.at_least else '<='} {figure.bound:g}"
    met = {True: "met", False: "NOT MET", None: ""}[figure.is_met]
    spread = f"{_number(low)} - {_number(high)}"
    row = [
        figure.name,
        measured,
        _number(figure.minimum),
        _number(figure.median),
        spread,
        bound,
        met,
    ]
    if other is not None and not other.skipped:
        ratio = statistics.median(figure.ours) / (statistics.median(other.ours) or 1)
        row.append(f"{_number(other.median)}; ours is {ratio:.2f} times as much")
    return row


def table(figures: Sequence[Figure], others: Sequence[Figure] = ()) -> str:
    """Return a line for each figure; with `others`, another checkout's in the last column."""
    by_name = {figure.name: figure for figure in others}
    head = ["figure", "median: ours / floor", "min", "median", "range", "bound", "met"]
    if others:
        head.append("the other checkout")
    rows = [head, *(_row(figure, by_name.get(figure.name)) for figure in figures)]
    whole = [row for row in rows if len(row) > 2]
    widths = [
        max(len(row[place]) for row in whole if place < len(row)) for place in range(len(head))
    ]
    widths[0] = max(len(row[0]) for row in rows)
    lines = (
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=False))
        for row in rows
    )
    return "\n".join(line.rstrip() for line in lines)
