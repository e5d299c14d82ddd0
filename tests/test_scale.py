"""The simulation of very many names counts right, and no question is asked before its time."""

from collections import defaultdict
from itertools import pairwise
from typing import Any

import pytest
from attrs import evolve
from worlds import OLD

from matrix_resolve import Policy
from tests.benchmarks.load import HOUR, Hour, Load, name_of, number_of
from tests.benchmarks.measures import Figures, Setting, full_size, steady, traced
from tests.benchmarks.replay import Replay, replayed
from tests.benchmarks.scale import KINDS, print_full, print_readme, print_steady
from tests.benchmarks.simulated import Asked, Network

SMALL: dict[str, Any] = {"names": 200, "rate": 0.1}


async def hours(replay: Replay) -> list[Hour]:
    """Replay three hours."""
    for _ in range(3):
        assert await replay.run_hour()
    return replay.hours


def test_names_have_numbers() -> None:
    """The number of a server is found in its name, whatever stands before it."""
    for prefix in ("", "matrix.", "_matrix-fed._tcp.matrix."):
        assert number_of(prefix + name_of(654_321)) == 654_321


def test_a_sample_has_the_shares_of_the_whole() -> None:
    """The first of a hundred that stand for 10,000 is asked for as often as the first hundred."""
    numbers = [number for _, (_, number) in zip(range(10_000), arrivals_of(100), strict=False)]
    first = sum(1 / rank for rank in range(1, 101)) / sum(1 / rank for rank in range(1, 10_001))
    assert numbers.count(0) / len(numbers) == pytest.approx(first, rel=0.06)
    assert max(numbers) == 99


def arrivals_of(sample: int) -> Any:
    """Return the arrivals of a sample of 10,000 names."""
    return Load(names=10_000, rate=10, sample=sample).arrivals(0)


def test_every_resolve_is_counted_once() -> None:
    """Those that were kept, remembered and waited for are all that came, and are what was asked."""
    counted: list[Hour] = replayed(hours, Load(**SMALL), Policy())
    for hour in counted:
        assert hour.resolves == hour.kept + hour.remembered + hour.waited
        assert hour.late <= hour.remembered + hour.waited
        assert hour.resolves == pytest.approx(0.1 * HOUR, rel=0.2)
    first, *_, last = counted
    assert last.kept > first.kept
    assert 0 < last.fetches < first.fetches
    assert sum(counted, Hour()).resolves == sum(hour.resolves for hour in counted)


@pytest.mark.parametrize(
    ("policy", "part"), [(Policy(jitter=0, refresh_ahead=0), 1.0), (Policy(), 0.9 * 0.8)]
)
def test_nothing_is_asked_twice_within_its_lifetime(policy: Policy, part: float) -> None:
    """With room for everything a question comes again when its answer has ended, or nearly so.

    Not so what turned out not to be needed, for that is not remembered: what has a head start, and
    the old service name beside the new one.
    """
    policy = evolve(policy, srv_head_start=False)
    told: dict[str, list[Asked]] = defaultdict(list)

    def network(loop: Any) -> Network:
        return Network(loop, told=lambda asked: told[asked.question].append(asked))

    replayed(hours, Load(**SMALL), policy, network=network)
    repeated = 0
    for question, answers in told.items():
        if question.startswith(OLD):
            continue
        for earlier, later in pairwise(answers):
            assert later.at - earlier.at >= part * earlier.lifetime - 1e-6, (earlier, later)
            repeated += 1
    assert repeated > 100


def test_less_room_means_more_questions() -> None:
    """A bound that is too small for the load costs hits."""
    roomy = steady(Setting(label="roomy", **SMALL), days=0.1, seconds=60, seed=1)
    policy = {"max_resolved": 10, "max_answers": 10}
    tight = steady(Setting(label="tight", **SMALL, policy=policy), days=0.1, seconds=60, seed=1)
    assert roomy["days"] == tight["days"] == 0.125
    assert roomy["last_day"]["hits"] > tight["last_day"]["hits"] + 0.1
    assert roomy["last_day"]["well_known"] < tight["last_day"]["well_known"]


def test_the_tables_show_what_was_measured(capsys: pytest.CaptureFixture[str]) -> None:
    """Each setting, phase and kind has its row."""
    figures: Figures = {
        "steady": [
            steady(Setting(label=label, **SMALL), days=0.04, seconds=60, seed=0)
            for label in ("default", "other")
        ],
        "full_size": full_size(
            names=300,
            rate=5,
            policy=Policy(max_resolved=60, max_answers=180),
            seconds=60,
            seed=0,
        ),
        "memory": [traced(kind, count=20, seed=0) for kind in KINDS],
    }
    assert [phase["names"] for phase in figures["full_size"]["phases"]] == sorted(
        phase["names"] for phase in figures["full_size"]["phases"]
    )
    assert 60 <= figures["full_size"]["phases"][0]["names"] <= 80
    print_steady(figures["steady"])
    print_full(figures["full_size"], figures["memory"])
    print_readme(figures)
    out = capsys.readouterr().out
    for row in ("default", "other", "filling", "a day later", *filter(None, KINDS.values())):
        assert f"\n{row}" in out or f"  {row}" in out
    assert out.count("\n| ") == 10
