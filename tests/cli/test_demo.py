"""`matrix-resolve demo`: its table, and that it finds what is wrong."""

import asyncio
import io
import re
import sys
from typing import Any

import pytest
from attrs import evolve
from rich.console import Console

import matrix_resolve.testing
from matrix_resolve import ServerName, Step
from matrix_resolve.cli import main, tour
from matrix_resolve.testing import Certificate
from matrix_resolve.testing.steps import STEPS


def test_demo(capsys: pytest.CaptureFixture[str]) -> None:
    """The demo comes to the right step for every step there is, and every server tells so."""
    assert main(["demo"]) == 0
    out = capsys.readouterr().out
    assert "17 of 17 as the specification says" in out
    lines = [line.split() for line in out.splitlines()]
    told = {line[1]: line[2:] for line in lines if line[:1] == ["ok"]}
    assert len(told) == 17
    assert {cells[0] for cells in told.values()} >= {
        *("1", "2", "3.1", "3.2", "3.3", "3.4", "3.5", "4", "5", "6")
    }
    assert " ".join(told["a32.test"]).endswith(
        "::1 127.0.0.1 h32.test:443, h32.test delegates to host, port"
    )
    assert " ".join(told["a31.test"]).endswith("127.0.0.2, no SNI delegates to IP literal")
    assert "certificate has expired" in " ".join(told["tls.test"])
    assert told["none.test"][:2] == ["not", "offered"]
    assert re.search(
        r"^\d+ DNS questions, 13 well-known and 15 federation requests, all on loopback$",
        out,
        re.MULTILINE,
    )


async def test_demo_at_every_width() -> None:
    """From 80 columns on no line is broken and nothing is left out of a cell."""
    outs = {width: io.StringIO() for width in (80, 100, 120, 140)}
    outs[60] = io.StringIO()  # there cells are folded
    consoles = [Console(file=out, width=width) for width, out in outs.items()]
    assert set(await asyncio.gather(*map(tour.tour, consoles))) == {0}
    for width, out in outs.items():
        lines = out.getvalue().splitlines()
        assert max(map(len, lines)) <= width
        assert "…" not in out.getvalue()
        if width == 60:
            continue
        # A title, a head, 17 cases of which two have two targets, two lines of summary.
        assert len(list(filter(str.strip, lines))) == 1 + 2 + 19 + 2
    heads = {width: out.getvalue().splitlines()[2] for width, out in outs.items()}
    assert ["certificate" in heads[width] for width in (60, 80, 100)] == [False, True, True]
    assert ["what it is" in heads[width] for width in (80, 100, 120)] == [False, False, True]
    assert ["Host  " in heads[width] for width in (100, 120)] == [False, True]
    assert ["addresses" in heads[width] for width in (120, 140)] == [False, True]


def declaring(**declared: Any) -> dict[str, Any]:
    """A case of step 6 for which this is declared."""
    return {"name": "a.test", "step": "6", "hosts": {"a.test": declared}}


@pytest.mark.parametrize(
    ("case", "told"),
    [
        ({"name": "a.test", "step": "5"}, "a.test 6 a.test:8448"),
        ({"name": "a.test", "step": None, "answers": False}, "a.test 6 a.test:8448"),
        ({"name": "a.test", "step": "6", "answers": False}, "a.test, a.test"),
        (declaring(certificate=Certificate.EXPIRED), "certificate has expired"),
        (declaring(addresses=[]), "no addresses exist"),
        (declaring(ports=()), "Connect call failed"),
        (declaring(srv=[(".", 0)]), "the only SRV record"),
        (declaring(serves=b"<html>"), "unexpected mimetype"),
    ],
)
async def test_demo_finds_what_is_wrong(
    case: dict[str, Any], told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A case that comes to something else than it must is told, and ends in status 1."""
    good = tour._Case(name="good.test", about="", step="6", hosts={"good.test": {}})
    wrong = tour._Case(**{"about": "", "hosts": {"a.test": {}}} | case)
    monkeypatch.setattr(tour, "_CASES", (good, wrong))
    out = io.StringIO()
    assert await tour.tour(Console(file=out, width=300)) == 1
    lines = [" ".join(line.split()) for line in out.getvalue().splitlines()]
    assert [line for line in lines if line.startswith("ok good.test 6 ")]
    assert [line for line in lines if line.startswith("WRONG a.test") and told in line]
    assert "1 of 2 as the specification says" in lines


@pytest.mark.parametrize(
    "other",
    [
        {"step": Step.SRV},
        {"server_name": ServerName.parse("b.test")},
        {"delegated_to": ServerName.parse("a.test")},
        {"targets": (("a.test", 443),)},
        {"host_header": "a.test:8448"},
        {"tls_name": "b.test"},
    ],
)
async def test_demo_holds_a_case_to_its_row(
    other: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What comes out must be all that a row of the table of steps says."""
    row = next(row for row in STEPS if str(row.server_name) == "a6.test")
    for expected, status in ((row, 0), (evolve(row, **other), 1)):
        case = tour._Case(name="a6.test", about="", step="6", hosts=row.hosts, row=expected)
        monkeypatch.setattr(tour, "_CASES", (case,))
        assert await tour.tour(Console(file=io.StringIO(), width=300)) == status


@pytest.mark.parametrize(
    "seen",
    [
        {"host": "a.test:8448"},
        {"sni": None},
        {"sni": "b.test"},
        {"target": ["a.test", 443]},
    ],
)
async def test_demo_believes_the_server(
    seen: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that saw anything else than the resolution says makes the case wrong."""
    serves = {"host": "a.test", "sni": "a.test", "target": ["a.test", 8448]}
    for behaviour, status in ((serves, 0), (serves | seen, 1)):
        case = tour._Case(
            name="a.test", about="", step="6", hosts={"a.test": {"serves": behaviour}}
        )
        monkeypatch.setattr(tour, "_CASES", (case,))
        assert await tour.tour(Console(file=io.StringIO(), width=80)) == status


async def test_demo_without_the_extra(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without the extra `testing` the demo says what to install; names resolve all the same."""
    monkeypatch.setattr("matrix_resolve.testing", matrix_resolve.testing)  # which is put back
    for name in list(sys.modules):
        if name.startswith(("matrix_resolve.testing", "matrix_resolve.cli.tour")):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "trustme", None)
    assert await asyncio.to_thread(main, ["demo"]) == 2
    assert "pip install 'matrix-resolve[testing]'" in capsys.readouterr().err
    assert await asyncio.to_thread(main, ["192.0.2.1"]) == 0
