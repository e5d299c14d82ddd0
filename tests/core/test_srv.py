"""SRV records (RFC 2782): which can be used, and the chances of each order."""

import random
from collections import Counter
from collections.abc import Sequence
from itertools import permutations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from matrix_resolve.core.questions import NoSrvRecords, ServiceNotOffered, SrvRecords
from matrix_resolve.core.replies import SrvRecord, SrvReply
from matrix_resolve.core.srv import (
    MAX_KEPT,
    every_order,
    has_few_orders,
    in_order,
    is_usable,
    read_srv_reply,
)


def record(target: str, priority: int = 0, weight: int = 0, port: int = 8448) -> SrvRecord:
    """An SRV record, the target first."""
    return SrvRecord(priority, weight, port, target)


REPLIES = [
    # records, what they say
    pytest.param([], NoSrvRecords("no records"), id="nothing published"),
    pytest.param([record("a.example")], SrvRecords((record("a.example"),)), id="one record"),
    pytest.param([record("a")], SrvRecords((record("a"),)), id="a target of one label"),
    pytest.param(
        [record("a", 65535, 65535, 65535)],
        SrvRecords((record("a", 65535, 65535, 65535),)),
        id="the highest numbers",
    ),
    pytest.param([record("a", 0, 0, 1)], SrvRecords((record("a", 0, 0, 1),)), id="the lowest"),
    pytest.param(
        [record("A.Example.", 7, 9, 8450)],
        SrvRecords((record("A.Example", 7, 9, 8450),)),
        id="final dot, the rest as it is",
    ),
    pytest.param(
        [record("c", 3), record("a1", 1), record("b", 2), record("a2", 1)],
        SrvRecords((record("a1", 1), record("a2", 1), record("b", 2), record("c", 3))),
        id="lowest priorities first, else in the order they came",
    ),
    pytest.param([record(".", port=0)], ServiceNotOffered(), id="sole target ."),
    pytest.param([record("")], ServiceNotOffered(), id="sole empty target"),
    pytest.param(
        [record("."), record("a.example")], SrvRecords((record("a.example"),)), id=". beside others"
    ),
    pytest.param([record("."), record(".")], NoSrvRecords("no usable record"), id=". twice"),
    pytest.param(
        [record("."), record("a", port=0)], NoSrvRecords("no usable record"), id=". and 0"
    ),
    pytest.param([record("a", port=0)], NoSrvRecords("no usable record"), id="port 0"),
    pytest.param(
        [record("a", port=0), record("b", 9)],
        SrvRecords((record("b", 9),)),
        id="port 0 and another",
    ),
]


@pytest.mark.parametrize(("records", "said"), REPLIES)
def test_reply(
    records: list[SrvRecord], said: SrvRecords | NoSrvRecords | ServiceNotOffered
) -> None:
    """What can't be used is passed over; what is left says where to go, or that there is none."""
    assert read_srv_reply(SrvReply(records)) == said


UNUSABLE = [
    pytest.param(record("a", port=0), id="port 0"),
    pytest.param(record("a", port=65536), id="port 65536"),
    pytest.param(record("a", port=-1), id="negative port"),
    pytest.param(record("a", weight=65536), id="weight 65536"),
    pytest.param(record("a", weight=-1), id="negative weight"),
    pytest.param(record("a", priority=65536), id="priority 65536"),
    pytest.param(record("a", priority=-1), id="negative priority"),
    pytest.param(record("a", port=8448.0), id="port that is no integer"),  # type: ignore[arg-type]
    pytest.param(record("a", port="8448"), id="port that is text"),  # type: ignore[arg-type]
    pytest.param(record("a", weight=None), id="no weight"),  # type: ignore[arg-type]
    pytest.param(record(None), id="no target"),  # type: ignore[arg-type]
    pytest.param(record(b"a"), id="target of bytes"),  # type: ignore[arg-type]
    pytest.param(record("a.."), id="two final dots"),
    pytest.param(record("a..b"), id="empty label"),
    pytest.param(record("_a.example"), id="underscore"),
    pytest.param(record("192.0.2.1"), id="IPv4 address"),
    pytest.param(record("2001:db8::1"), id="IPv6 address"),
    pytest.param(record("[2001:db8::1]"), id="IPv6 address in brackets"),
    pytest.param(record("0x7f.1"), id="address in disguise"),
    pytest.param(record("a.example:8448"), id="target with a port"),
    pytest.param(record("bücher.example"), id="not ASCII"),
    pytest.param(record("a\x00.example"), id="NUL"),
    pytest.param(record("a" * 64), id="label of 64 characters"),
    pytest.param(record(".".join(["a" * 63] * 4)), id="target of 255 characters"),
]


@pytest.mark.parametrize("unusable", UNUSABLE)
def test_record_that_cannot_be_used_is_passed_over(unusable: SrvRecord) -> None:
    """Alone it is as if there were none; beside a good one only the good one counts."""
    good = record("good.example", priority=5)
    assert read_srv_reply(SrvReply([unusable])) == NoSrvRecords("no usable record")
    assert read_srv_reply(SrvReply([unusable, good])) == SrvRecords((good,))


def test_usable_records_are_kept_to_a_limit_lowest_priorities_first() -> None:
    """Of a huge answer 64 usable records are kept, and unusable ones take no place of theirs."""
    useless = [record("a", port=0)] * 1000
    many = [record(f"t{n}.example", priority=n) for n in range(1000, 0, -1)]
    kept = read_srv_reply(SrvReply(useless + many))
    assert isinstance(kept, SrvRecords)
    assert [each.priority for each in kept.records] == list(range(1, MAX_KEPT + 1))
    assert MAX_KEPT == 64


ANYTHING = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary()
NUMBERS = st.integers(-1, 65536) | ANYTHING
TARGETS = st.text(".aA0-_:[] \x00é", max_size=8) | ANYTHING
NEAR_NUMBERS = st.integers(-1, 65536)
NEAR_TARGETS = st.sampled_from(["a", "a.example.", "a.example", ".", ""])
WILD_RECORDS = st.builds(SrvRecord, NUMBERS, NUMBERS, NUMBERS, TARGETS)
WILD_RECORDS |= st.builds(SrvRecord, NEAR_NUMBERS, NEAR_NUMBERS, NEAR_NUMBERS, NEAR_TARGETS)


@given(st.lists(WILD_RECORDS, max_size=6))
@example([SrvRecord(0, 0, 0, ".")])
def test_reading_never_raises_and_gives_only_usable_records(records: list[SrvRecord]) -> None:
    """Whatever a plug-in returns is read as usable records, as none, or as "not offered"."""
    said = read_srv_reply(SrvReply(records))
    if isinstance(said, SrvRecords):
        assert said.records
        assert all(map(is_usable, said.records))
    else:
        assert isinstance(said, NoSrvRecords | ServiceNotOffered)
        assert isinstance(said, NoSrvRecords) or len(records) == 1


WEIGHTED = st.builds(
    SrvRecord, st.integers(0, 3), st.integers(0, 3) | st.just(65535), st.just(1), st.just("a")
)


@given(st.lists(WEIGHTED, max_size=20), st.randoms(use_true_random=False))
def test_order_is_a_permutation_by_priority(records: list[SrvRecord], rng: random.Random) -> None:
    """No record is lost or doubled, and none comes before one of a lower priority."""
    ordered = in_order(records, rng)
    assert Counter(ordered) == Counter(records)
    priorities = [each.priority for each in ordered]
    assert priorities == sorted(priorities)


# Chi-square at 0.999 by degrees of freedom: with the seed fixed these never fail by chance.
CRITICAL = {1: 10.828, 2: 13.816, 3: 16.266, 5: 20.515}
DRAWS = 12_000


def chi_square(counts: Counter, chances: dict) -> float:
    """The distance of what was counted from what the chances lead one to expect."""
    expected = {outcome: chance * DRAWS for outcome, chance in chances.items()}
    assert set(counts) <= set(expected)
    return sum((counts[each] - n) ** 2 / n for each, n in expected.items())


FIRST_CHOICES = [
    # weights, the chance of each to come first
    pytest.param((1, 2, 7), (1 / 10, 2 / 10, 7 / 10), id="in proportion to the weights"),
    pytest.param((1, 1), (1 / 2, 1 / 2), id="evenly when the weights are equal"),
    pytest.param((0, 9), (1 / 10, 9 / 10), id="weight 0 once in sum + 1"),
    pytest.param((0, 0, 3), (1 / 8, 1 / 8, 3 / 4), id="several weights 0 share once in sum + 1"),
    pytest.param((0, 0, 1, 2), (1 / 8, 1 / 8, 1 / 4, 1 / 2), id="weights 0 beside several"),
    pytest.param((0, 0, 0, 0), (1 / 4, 1 / 4, 1 / 4, 1 / 4), id="evenly when all are 0"),
]


@pytest.mark.parametrize(("weights", "chances"), FIRST_CHOICES)
def test_first_choice_follows_the_weights(weights: Sequence[int], chances: Sequence[float]) -> None:
    """Over many draws each record comes first as often as its weight says."""
    records = [record(f"t{n}", weight=weight) for n, weight in enumerate(weights)]
    rng = random.Random(2782)
    counts = Counter(in_order(records, rng)[0] for _ in range(DRAWS))
    distance = chi_square(counts, dict(zip(records, chances, strict=True)))
    assert distance < CRITICAL[len(weights) - 1]


def test_each_next_choice_follows_the_weights_that_are_left() -> None:
    """The whole order is drawn without replacement, not only its first place."""
    records = [record("a", weight=1), record("b", weight=2), record("c", weight=3)]
    chances = {
        (x, y, z): x.weight / 6 * y.weight / (6 - x.weight) for x, y, z in permutations(records)
    }
    rng = random.Random(2782)
    counts = Counter(in_order(records, rng) for _ in range(DRAWS))
    assert chi_square(counts, chances) < CRITICAL[5]


ALL_ORDERS = [
    # priorities, weights, how many orders
    pytest.param((1,), (5,), 1, id="one"),
    pytest.param((0, 1, 2), (1, 2, 3), 1, id="priorities alone decide"),
    pytest.param((0, 0, 0), (1, 2, 3), 6, id="weights"),
    pytest.param((0, 0, 0, 0), (0, 0, 0, 0), 24, id="all weights 0"),
    pytest.param((2, 2, 1, 1), (0, 9, 0, 0), 4, id="weights and priorities"),
    pytest.param((7, 7, 7), (0, 0, 3), 6, id="weights 0 beside another"),
]


@pytest.mark.parametrize(("priorities", "weights", "count"), ALL_ORDERS)
def test_every_order_has_the_probability_that_it_is_drawn_with(
    priorities: Sequence[int], weights: Sequence[int], count: int
) -> None:
    """What is drawn over and over, and what is worked out, agree."""
    both = enumerate(zip(priorities, weights, strict=True))
    records = [record(f"t{n}", priority=p, weight=w) for n, (p, w) in both]
    assert has_few_orders(records)
    chances = {order: probability for probability, order in every_order(records)}
    assert len(chances) == count
    assert sum(chances.values()) == pytest.approx(1)
    rng = random.Random(2782)
    counts = Counter(in_order(records, rng) for _ in range(DRAWS))
    # The 0.999 quantile of chi-square, by Wilson and Hilferty's approximation.
    free = max(count - 1, 1)
    assert (
        chi_square(counts, chances)
        < free * (1 - 2 / (9 * free) + 3.1 * (2 / (9 * free)) ** 0.5) ** 3
    )


@pytest.mark.parametrize(("count", "few"), [(4, True), (5, False), (64, False)])
def test_orders_are_few_up_to_four_records_of_a_priority(count: int, few: bool) -> None:
    """As many as sixty-four have more orders than anybody can keep."""
    assert has_few_orders([record(f"t{n}") for n in range(count)]) is few
    assert has_few_orders([record(f"t{n}", priority=n) for n in range(count)])


def test_weights_of_another_priority_do_not_count() -> None:
    """Weights 0 that are alone in their priority are drawn evenly whatever the others weigh."""
    heavy = [record("h", priority=0, weight=65535), record("z", priority=0)]
    zeros = [record("a", priority=1), record("b", priority=1)]
    rng = random.Random(2782)
    counts = Counter(in_order(heavy + zeros, rng)[2] for _ in range(DRAWS))
    assert chi_square(counts, dict.fromkeys(zeros, 1 / 2)) < CRITICAL[1]


def test_order_is_the_same_for_the_same_seed() -> None:
    """All chance comes from the generator that is passed in."""
    records = [record(f"t{n}", weight=n) for n in range(10)]
    first, again = (in_order(records, random.Random(1)) for _ in range(2))
    assert first == again != in_order(records, random.Random(2))


class Record(SrvRecord):
    """A record of somebody's."""


class Text(str):
    """A text that prints as something else."""

    __slots__ = ()

    def __str__(self) -> str:
        return "other.example"


def test_records_of_others() -> None:
    """Subclasses of records and texts are read as ours, so that they are equal to those kept."""
    records = [Record(1, 2, 3, "a.example"), SrvRecord(1, 2, 3, Text("b.example."))]
    read = read_srv_reply(SrvReply(records))
    assert read == SrvRecords(tuple(SrvRecord(1, 2, 3, f"{name}.example") for name in "ab"))
    assert isinstance(read, SrvRecords)
    assert {type(record.target) for record in read.records} == {str}
