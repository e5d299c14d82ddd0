"""The command that measures speed and memory runs, and its JSON holds what it should."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from benchmarks.figures import Figure

ROOT = Path(__file__).parents[1]


def _told(path: Path, *arguments: str) -> tuple[str, dict[str, Any]]:
    """Run the command; return what it prints and the JSON that it writes."""
    pytest.importorskip("trustme")
    command = [sys.executable, "-m", "tests.benchmarks", "--quick", "--json", str(path), *arguments]
    run = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True, timeout=100)
    told: dict[str, Any] = json.loads(path.read_text())
    return run.stdout, told


def test_every_figure_is_printed_and_written(tmp_path: Path) -> None:
    """Each has what was measured, and its bound; of which small numbers tell nothing."""
    printed, told = _told(tmp_path / "told.json", "--only", "weight", "pooled", "peers")
    figures = {figure["name"]: figure for figure in told["figures"]}
    assert len(figures) == len(told["figures"])
    for name, figure in figures.items():
        assert name in printed
        assert figure["met"] is None
        if figure["skipped"]:
            continue
        assert len(figure["ours"]) == 2
        assert len(figure["floor"]) in (0, 2)
        assert figure["low"] <= figure["median"] <= figure["high"]
    bounds = {
        "memory of a name, resolved 50 at once": 1500,
        "tracked objects of a name, resolved 50 at once": 8,
        "client.request() against session.get(), pooled: CPU": 1.27,
    }
    assert bounds == {name: figures[name]["bound"] for name in bounds}
    peers = [each for name, each in figures.items() if "matrix-synapse" in name]
    assert peers
    assert all(each["skipped"] or each["ours"] for each in peers)


def test_another_checkout_takes_turns_with_this_one(tmp_path: Path) -> None:
    """Its package is the one that is imported then."""
    package, was_imported = tmp_path / "matrix_resolve", tmp_path / "imported"
    package.mkdir()
    (package / "__init__.py").write_text(f"open({str(was_imported)!r}, 'w').close()")
    arguments = ("--only", "imports", "--rounds", "1", "--against", str(tmp_path))
    printed, told = _told(tmp_path / "told.json", *arguments)
    assert was_imported.exists()
    assert [each["name"] for each in told["against"]] == [each["name"] for each in told["figures"]]
    assert "the other checkout" in printed


@pytest.mark.parametrize(
    ("settings", "met"),
    [
        ({"judged": "median", "bound": 2}, True),
        ({"judged": "median", "bound": 1.9}, False),
        ({"judged": "min", "bound": 1.4}, True),  # of the minima, 4 and 3
        ({"judged": "min", "bound": 1.3}, False),
        ({"judged": "max", "bound": 3}, True),
        ({"judged": "max", "bound": 2.9}, False),
        ({"judged": "median", "bound": 2, "at_least": True}, True),
        ({"judged": "median", "bound": 2.1, "at_least": True}, False),
        ({"bound": 2, "is_quick": True}, None),
        ({"bound": 2, "skipped": "there is none"}, None),
        ({}, None),
    ],
)
def test_a_bound_holds_what_it_says_that_it_does(
    settings: dict[str, Any], met: bool | None
) -> None:
    """Ratios are within a round, but for the minimum: that is of minima."""
    figure = Figure(name="x", ours=[6, 4, 12], floor=[3, 4, 4], **settings)
    assert figure.rounds == [2, 1, 3]
    assert figure.is_met is met
