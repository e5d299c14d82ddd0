"""The bounded map: what is used stays, what weighs more takes up more, what is spared stays."""

import random

import pytest

from matrix_resolve.core.bounded import Bounded

# Of one part, where the order of use is exact, and of many.
FEW, MANY = 10, 10_000


@pytest.mark.parametrize("most", [1, FEW, MANY])
def test_bound(most: int) -> None:
    """It never holds more than it may, and what was put last is there."""
    kept = Bounded[int, str](most)
    for number in range(3 * most):
        kept.put(number, str(number))
        assert len(kept) == min(number + 1, most)
        assert kept.get(number) == str(number)
    assert kept.get(0) is None


@pytest.mark.parametrize("most", [FEW, MANY])
def test_nothing_goes_before_it_is_full(most: int) -> None:
    """However the keys fall into parts, as many values stay as it may hold."""
    kept = Bounded[str, int](most)
    for number in range(most):
        kept.put(str(number), number)
    assert [kept.look(str(number)) for number in range(most)] == list(range(most))


@pytest.mark.parametrize("most", [FEW, MANY])
def test_what_is_used_stays(most: int) -> None:
    """A value that is read again and again outlives those that are not."""
    kept = Bounded[str, int](most)
    kept.put("used", 1)
    for number in range(5 * most):
        kept.put(str(number), number)
        assert kept.get("used") == 1


def test_least_recently_used_goes_first() -> None:
    """Reading is use, and so is putting again; looking is not."""
    kept = Bounded[str, int](3)
    for key in "abc":
        kept.put(key, 1)
    kept.get("a")
    kept.look("b")
    kept.put("d", 1)
    kept.put("c", 1)
    kept.put("e", 1)
    assert [key for key in "abcde" if kept.look(key)] == ["c", "d", "e"]


def test_in_parts_about_the_least_recently_used_go() -> None:
    """Of two halves, of which one was used since, hardly any of that one is gone."""
    kept = Bounded[str, int](MANY)
    for number in range(MANY):
        kept.put(str(number), number)
    for number in range(0, MANY, 2):
        kept.get(str(number))
    for number in range(MANY // 4):
        kept.put(f"new {number}", number)
    lost = [number for number in range(MANY) if kept.look(str(number)) is None]
    assert len(lost) == MANY // 4
    assert not any(number % 2 == 0 for number in lost)


def test_heavy_values_take_up_more() -> None:
    """Values that weigh 5 leave room for a fifth as many; one beyond the bound is alone."""
    kept = Bounded[int, int](100, lambda value: value)
    for number in range(1000):
        kept.put(number, 5)
    assert len(kept) == 20
    kept.put(0, 101)
    assert (len(kept), kept.look(0)) == (1, 101)
    kept.put(1, 1)
    assert (len(kept), kept.look(1)) == (1, 1)


def test_spared() -> None:
    """One that is spared takes the last place; the next one goes instead."""
    spared = {"a", "c"}

    def spare(key: str) -> bool:
        if key in spared:
            spared.remove(key)
            return True
        return False

    kept = Bounded[str, int](3, spare=spare)
    for key in "abcd":
        kept.put(key, 1)
    assert [key for key in "abcd" if kept.look(key)] == ["a", "c", "d"]
    kept.put("e", 1)
    assert [key for key in "abcde" if kept.look(key)] == ["c", "d", "e"]


def test_weights_add_up() -> None:
    """Whatever is done, the bound holds, and the weight is that of what is there."""
    rng = random.Random(7)
    kept = Bounded[int, int](2000, lambda value: value)
    for _ in range(20_000):
        match rng.randrange(4):
            case 0:
                kept.delete(rng.randrange(2000))
            case 1:
                kept.get(rng.randrange(2000))
            case _:
                kept.put(rng.randrange(2000), rng.randrange(1, 6))
        assert kept._weight <= 2000
    assert kept._weight == sum(kept.look(number) or 0 for number in range(2000))
    assert kept._weight > 1900


def test_deleting_and_clearing() -> None:
    """What is gone is gone, and makes room; deleting nothing does nothing."""
    kept = Bounded[int, int](4)
    for number in range(4):
        kept.put(number, number + 1)
    kept.delete(2)
    kept.delete(9)
    kept.put(4, 5)
    assert [number for number in range(5) if kept.look(number)] == [0, 1, 3, 4]
    kept.clear()
    assert len(kept) == 0
    for number in range(4):
        kept.put(number, number + 1)
    assert len(kept) == 4


def test_few_heavy_values_in_many_parts() -> None:
    """However many parts have nothing to give, room is made in one that has."""
    kept = Bounded[str, int](MANY, lambda value: value)
    for key in "abc":
        kept.put(key, MANY)
        assert [other for other in "abc" if kept.look(other)] == [key]


def test_whether_there_is_anything() -> None:
    """It is true as long as it holds a value."""
    kept = Bounded[str, int](3)
    assert not kept
    kept.put("a", 1)
    assert kept
    kept.delete("a")
    assert not kept


def test_few_are_spared_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """When all would be spared, one goes all the same, before all have been asked about."""
    monkeypatch.setattr("matrix_resolve.core.bounded._MOST_SPARED", 3)
    asked = []
    bounded = Bounded[str, int](100, spare=lambda key: asked.append(key) is None)
    for number in range(100):
        bounded.put(str(number), number)
    bounded.put("new", 100)
    assert len(bounded) == 100
    assert asked == ["0", "1", "2", "3"]
    assert bounded.look("3") is None
