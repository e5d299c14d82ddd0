"""Lazy names: loaded when they are used, and not there without their extra."""

import sys
from collections.abc import Iterator

import pytest

from matrix_resolve.core.lazy import LazyNames, MissingExtraError, is_installed, needs

PACKAGE = "a_package"
HINT = r"Absent needs more \(.*'no_such_library'.*\): pip install 'matrix-resolve\[redis\]'"


@pytest.fixture
def lazy() -> Iterator[LazyNames]:
    """Names of which one is there, one needs an extra, and one is missing for no good reason."""
    names = LazyNames(
        PACKAGE,
        {"Fraction": "fractions", "Absent": "no_such_library", "Broken": "no_such_library"},
        {"Absent": "redis"},
    )
    yield names
    if names in sys.meta_path:
        sys.meta_path.remove(names)


def test_names_are_loaded(lazy: LazyNames) -> None:
    """What is there can be had, and what is not listed is no attribute."""
    assert lazy.get("Fraction")(1, 2) == 0.5
    assert lazy.find_spec(f"{PACKAGE}.Fraction") is None
    with pytest.raises(AttributeError, match="module 'a_package' has no attribute 'Nonsense'"):
        lazy.get("Nonsense")
    with pytest.raises(ModuleNotFoundError, match="no_such_library"):
        lazy.get("Broken")
    assert lazy not in sys.meta_path


def test_names_of_a_missing_extra(lazy: LazyNames) -> None:
    """They are no attributes, and importing them says what to install."""
    for _ in range(2):
        with pytest.raises(AttributeError, match=HINT):
            lazy.get("Absent")
        assert sys.meta_path.count(lazy) == 1
    with pytest.raises(MissingExtraError, match=HINT) as caught:
        lazy.find_spec(f"{PACKAGE}.Absent")
    assert caught.value.name == "no_such_library"
    for other in ("another_package.Absent", f"{PACKAGE}.Nonsense", "Absent"):
        assert lazy.find_spec(other) is None


def test_missing_names_are_dropped(lazy: LazyNames, monkeypatch: pytest.MonkeyPatch) -> None:
    """The list of what is public loses the names whose libraries can't be found, in place."""
    names = ["Absent", "Fraction", "other"]
    monkeypatch.setattr("matrix_resolve.core.lazy.find_spec", lambda _: object())
    lazy.drop_missing(names)
    assert names == ["Absent", "Fraction", "other"]
    monkeypatch.setattr("matrix_resolve.core.lazy.find_spec", lambda _: None)
    lazy.drop_missing(names)
    assert names == ["Fraction", "other"]


def test_blocked_libraries_are_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A library that may not even be looked for is not there; all of an extra's must be."""

    def blocked(library: str) -> object:
        if library == "trustme":
            raise ImportError("blocked")
        return object()

    monkeypatch.setattr("matrix_resolve.core.lazy.find_spec", blocked)
    assert is_installed("redis")
    assert not is_installed("testing")


def test_what_is_blamed_on_an_extra() -> None:
    """A library that fails is; a module of ours is not, and a hint is given once."""
    with (
        pytest.raises(MissingExtraError, match=r"X needs more \(old\): .*\[redis\]"),
        needs("redis", "X"),
    ):
        raise ImportError("old", name="redis.asyncio")
    with pytest.raises(ImportError, match=r"^mistake$"), needs("redis", "X"):
        raise ImportError("mistake", name="matrix_resolve.backends")
    with pytest.raises(MissingExtraError, match=r"^Y$"), needs("redis", "X"):
        raise MissingExtraError("Y")
    with pytest.raises(ZeroDivisionError), needs("redis", "X"):
        raise ZeroDivisionError
