"""The bounded map: what is used stays, what weighs more takes up more, and it can be cooled."""

import random

from matrix_resolve.core.generations import Generations


def test_bound() -> None:
    """It never holds more than it may, and what was put last is there."""
    kept = Generations[int, str](10)
    for number in range(100):
        kept.put(number, str(number))
        assert len(kept) <= 10
        assert kept.get(number) == str(number)
    assert kept.get(0) is None


def test_what_is_used_stays() -> None:
    """A value that is read again and again outlives those that are not."""
    kept = Generations[str, int](10)
    kept.put("used", 1)
    for number in range(100):
        kept.put(str(number), number)
        assert kept.get("used") == 1


def test_what_is_looked_at_is_not_used() -> None:
    """Looking finds a value in either generation, and leaves it there."""
    kept = Generations[str, int](10)
    kept.put("old", 1)
    kept.cool()
    kept.put("young", 2)
    assert [kept.look(key) for key in ("old", "young", "neither")] == [1, 2, None]
    assert kept.young == {"young": 2}


def test_heavy_values_take_up_more() -> None:
    """Values that weigh 5 leave room for a fifth as many."""
    kept = Generations[int, int](100, lambda value: value)
    for number in range(1000):
        kept.put(number, 5)
    assert 10 <= len(kept) <= 21


def test_dropping() -> None:
    """What was dropped is gone from either generation; dropping nothing does nothing."""
    kept = Generations[str, int](10)
    kept.put("a", 1)
    kept.cool()
    kept.put("b", 2)
    for key in ("a", "b", "c"):
        kept.delete(key)
        assert kept.get(key) is None
    assert len(kept) == 0


def test_cooling() -> None:
    """After cooling the young generation is empty, the same dictionary, and all is still there."""
    kept = Generations[int, int](100)
    young = kept.young
    for number in range(40):
        kept.put(number, number)
    kept.cool()
    assert young == {}
    assert kept.young is young
    assert [kept.get(number) for number in range(40)] == list(range(40))
    assert len(young) == 40


def test_cooling_keeps_the_bound() -> None:
    """However often it is cooled in between, the weights add up and the bound holds."""
    rng = random.Random(7)
    kept = Generations[int, int](100, lambda value: value)
    for _ in range(5000):
        match rng.randrange(4):
            case 0:
                kept.cool()
            case 1:
                kept.delete(rng.randrange(60))
            case 2:
                kept.get(rng.randrange(60))
            case _:
                kept.put(rng.randrange(60), rng.randrange(1, 6))
        young, old = sum(kept.young.values()), sum(kept._old.values())
        assert (young, old) == (kept._young_weight, kept._old_weight)
        assert young + old <= 160  # by one value over half, and one cooled on top


def test_cooling_again_and_again_keeps_the_bound() -> None:
    """Though the young generation never fills up, the old one does not grow for ever."""
    kept = Generations[int, int](10)
    for number in range(100):
        kept.put(number, number)
        kept.cool()
        assert len(kept) <= 10
        assert kept.get(number) == number


def test_the_old_generation_goes_first() -> None:
    """When both are too heavy together, what was used lately stays and the rest goes."""
    kept = Generations[str, int](10, lambda value: value)
    kept.put("old", 5)
    kept.put("young", 6)
    kept.cool()
    assert (kept.look("old"), kept.look("young")) == (None, 6)
    kept.put("new", 1)
    kept.cool()
    assert (kept.look("young"), kept.look("new")) == (6, 1)


def test_clearing() -> None:
    """Cleared, it is empty, and fills up as a new one does."""
    kept = Generations[int, int](4)
    for number in range(3):
        kept.put(number, number)
    kept.clear()
    assert len(kept) == 0
    kept.put(1, 1)
    assert kept.get(1) == 1
