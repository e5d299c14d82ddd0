"""Which faults there are in the plug-ins of `faulty_*.py`, and who finds them out."""

import sys
from collections.abc import Iterator
from typing import Any

import pytest

CAUGHT: dict[type, tuple[str, ...]] = {}
"""A class of tests -> its rules that fail; none if the plug-in has no fault."""


def tried(kind: type, tries: type, rules: tuple[str, ...], name: str = "") -> None:
    """Have pytest try a plug-in, and tell by which rules it has to be found out.

    The class of tests stands beside `kind`, and is called after it.
    """
    name = f"Test{kind.__name__}{name}"
    made = type(name, (tries,), {"kind": kind, "__module__": kind.__module__})
    setattr(sys.modules[kind.__module__], name, made)
    CAUGHT[made] = rules


# As a plug-in of pytest (`-p faults`): a rule that has failed once is not tried with other values.
_found_out: set[tuple[type | None, str]] = set()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: Any) -> Iterator[Any]:
    """Note what fails."""
    report = yield
    if report.failed:
        _found_out.add((item.cls, item.originalname))
    return report


def pytest_runtest_setup(item: Any) -> None:
    """Pass over what has failed before."""
    if (item.cls, item.originalname) in _found_out:
        pytest.skip("found out already")
