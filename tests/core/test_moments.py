"""Moments, and the settings of the clock by which they count."""

import math
from types import SimpleNamespace
from typing import Any

import pytest

from matrix_resolve.core.entries import CacheEntry, Reserve, reconciled
from matrix_resolve.core.lifetimes import is_good
from matrix_resolve.core.moments import Moments, Timescale
from matrix_resolve.core.names import ServerName
from matrix_resolve.core.plausible import is_moment
from matrix_resolve.core.questions import Answer, Delegated, NotDelegated

CLOCK, OTHER = object(), object()
DELEGATED = Delegated(ServerName.parse("b.example:1"), "https://a.example")
DOWN = NotDelegated("refused", temporary=True)

MOMENTS = [
    # value, is it one?
    pytest.param(0, True, id="the first"),
    pytest.param(1.5, True, id="broken"),
    pytest.param(253402300799, True, id="the last"),
    pytest.param(253402300800, False, id="past the last"),
    pytest.param(-1, False, id="before the first"),
    pytest.param(math.nan, False, id="nan"),
    pytest.param(math.inf, False, id="inf"),
    pytest.param(True, False, id="bool"),
    pytest.param("1", False, id="text"),
    pytest.param(None, False, id="None"),
]


@pytest.mark.parametrize(("value", "is_one"), MOMENTS)
def test_is_moment(value: object, is_one: bool) -> None:
    """A moment is Unix seconds that a calendar has."""
    assert is_moment(value) is is_one


SET_BACK = [
    # by which it was counted, seconds
    pytest.param(None, 0.0, id="unknown"),
    pytest.param(Timescale(CLOCK, 1000.0), 0.0, id="as it is"),
    pytest.param(Timescale(CLOCK, 1000.9), 0.0, id="set back by next to nothing"),
    pytest.param(Timescale(CLOCK, 1002.0), 2.0, id="set back"),
    pytest.param(Timescale(CLOCK, 1e9), 1e9 - 1000, id="set back far"),
    pytest.param(Timescale(CLOCK, 0.0), 0.0, id="set forward"),
    pytest.param(Timescale(OTHER, 2000.0), 0.0, id="another clock's"),
]


@pytest.mark.parametrize(("earlier", "seconds"), SET_BACK)
def test_set_back(earlier: Timescale | None, seconds: float) -> None:
    """By how much a clock was set back is known of the same clock only."""
    assert Timescale(CLOCK, 1000.0).set_back_since(earlier) == seconds


def test_a_scale_is_the_same_until_the_clock_is_set() -> None:
    """Readings differ a little; so do the scales of a clock that is set."""
    scale = Timescale(CLOCK, 1000.0)
    assert scale.at(5000.5, 4000) is scale
    assert scale.at(5002.0, 4000) == Timescale(CLOCK, 1002.0)
    assert scale.at(4000.0, 4000) == Timescale(CLOCK, 0.0)


def entry(outcome: Answer = DELEGATED, at: float = 10_000, **fields: Any) -> CacheEntry:
    """Return an entry asked at a moment."""
    times = {"asked_at": at, "fresh_until": at + 100, "keep_until": at + 500}
    return CacheEntry(key="wk:a.example", outcome=outcome, **(times | fields))


def reserve(at: float) -> Reserve:
    """Return a reserve of that moment."""
    return Reserve(answer=DELEGATED, asked_at=at, fresh_until=at + 100, stale_until=at + 500)


def test_a_scale_is_noted_once_and_changes_nothing() -> None:
    """An entry keeps the scale of its first sight, and stays equal and as it is in JSON."""
    noted = entry()
    Timescale(CLOCK, 1000.0).note(noted)
    Timescale(CLOCK, 0.0).note(noted)
    assert noted.scale == Timescale(CLOCK, 1000.0)
    assert (noted, hash(noted), noted.to_json()) == (entry(), hash(entry()), entry().to_json())
    assert CacheEntry.from_json(noted.to_json()).scale is None


@pytest.mark.parametrize("outcome", [DELEGATED, DOWN], ids=["good", "a failure"])
def test_times_of_an_entry_by_another_scale(outcome: Answer) -> None:
    """When the clock is set back all times of an entry go with it, else none does."""
    now = Timescale(CLOCK, 1000.0)
    kept = None if is_good(outcome) else reserve(9_000)
    moved = None if is_good(outcome) else reserve(8_000)
    for scale in (None, now, Timescale(CLOCK, 0.0), Timescale(OTHER, 2000.0)):
        same = entry(outcome, reserve=kept, scale=scale)
        assert same.on_scale(now) is same
    earlier = entry(outcome, reserve=kept, failures=3, scale=Timescale(CLOCK, 2000.0))
    counted = earlier.on_scale(now)
    assert counted == entry(outcome, at=9_000, reserve=moved, failures=3)
    assert counted.scale is now


def test_what_is_kept_is_reconciled_by_the_scale_of_what_is_new() -> None:
    """A good answer from before the clock was set back does not last longer behind a failure."""
    kept = entry(scale=Timescale(CLOCK, 2000.0))
    new = entry(DOWN, at=9_100, scale=Timescale(CLOCK, 1000.0))
    assert reconciled(kept, new).reserve == reserve(9_000)
    unknown = entry(DOWN, at=10_100)
    assert reconciled(kept, unknown).reserve == reserve(10_000)


def test_moments_tell_how_the_clock_is_set() -> None:
    """The scale stays the same object until the clock is set."""
    clock = SimpleNamespace(wall=5000.0, ticks=4000.0)
    clock.time, clock.monotonic = lambda: clock.wall, lambda: clock.ticks
    moments = Moments(clock)
    now, scale = moments.now()
    assert (now, scale) == (5000.0, Timescale(clock, 1000.0))
    clock.wall, clock.ticks = 5010.5, 4010.0
    now, same = moments.now()
    assert now == 5010.5
    assert same is scale
    clock.wall = 10.0
    assert moments.now() == (10.0, Timescale(clock, -4000.0))
