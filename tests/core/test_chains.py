"""Chains of aliases: followed by their owners, in any order, and never for ever."""

from itertools import permutations

import pytest

from matrix_resolve.core.chains import MAX_LINKS, follow

A, B, C, D = "a.example", "b.example", "c.example", "d.example"

CHAINS = [
    # aliases as answered, the names from a.example to the end
    pytest.param([], (A,), id="no alias"),
    pytest.param([(A, B)], (A, B), id="one"),
    pytest.param([(A, B), (B, C), (C, D)], (A, B, C, D), id="three"),
    pytest.param([("A.Example", "B.EXAMPLE"), ("b.eXample", C)], (A, B, C), id="ignoring case"),
    pytest.param([("a.example.", "b.example."), (B, C)], (A, B, C), id="final dots"),
    pytest.param([("x.example", "y.example")], (A,), id="of another name"),
    pytest.param([("x.example", A), (B, C)], (A,), id="that lead here, or start elsewhere"),
    pytest.param([(A, B), (A, C)], (A, B), id="two with one owner: the first"),
    pytest.param([(A, B), (A, B), (B, C)], (A, B, C), id="one twice"),
    pytest.param([(A, "")], (A, ""), id="of the root"),
    pytest.param([(A, B), ("x.example", "x.example")], (A, B), id="a circle elsewhere"),
    pytest.param([(A, A)], None, id="of itself"),
    pytest.param([(A, B), (B, A)], None, id="circle"),
    pytest.param([(A, B), (B, C), (C, B)], None, id="into a circle"),
]


@pytest.mark.parametrize(("aliases", "names"), CHAINS)
def test_follow(aliases: list[tuple[str, str]], names: tuple[str, ...] | None) -> None:
    """The chain that begins with a name is found, or that it has no end."""
    assert follow(A, aliases) == names
    assert follow("A.EXAMPLE.", aliases) == names


def test_order_is_of_no_account() -> None:
    """However the links are mixed, the chain is the same."""
    for aliases in permutations([(A, B), (B, C), (C, D), ("x.example", B)]):
        assert follow(A, aliases) == (A, B, C, D)


@pytest.mark.parametrize("links", [MAX_LINKS - 1, MAX_LINKS, MAX_LINKS + 1, 10_000])
def test_longest_chain(links: int) -> None:
    """A chain of sixteen links is followed; of a longer one the end is not looked for."""
    aliases = [(f"{number}.example", f"{number + 1}.example") for number in range(links)]
    names = follow("0.example", reversed(aliases))
    if links <= MAX_LINKS:
        assert names is not None
        assert names[-1] == f"{links}.example"
    else:
        assert names is None
