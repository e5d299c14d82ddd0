"""A report on a terminal: the three answers, the findings, what was found."""

from collections.abc import Iterable, Iterator
from typing import Final

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from matrix_resolve.checking.answers import Reach
from matrix_resolve.checking.findings import Finding, Level
from matrix_resolve.checking.report import Report
from matrix_resolve.checking.report_text import (
    ENDPOINT_HEAD,
    certificate_lines,
    endpoint_row,
    found_lines,
)

_LEVELS: Final = {Level.ERROR: "bold red", Level.WARNING: "bold yellow", Level.NOTE: "cyan"}
_ANSWERS: Final = {
    Reach.YES: "green",
    Reach.SOME: "yellow",
    Reach.NO: "red",
    Reach.UNKNOWN: "yellow",
}
_MARGIN: Final = (0, 0, 0, 4)  # CSS's order: top, right, bottom, left


def view(report: Report) -> Group:
    """Return what to print; it fits whatever width there is."""
    return Group(*_parts(report))


def _parts(report: Report) -> Iterator[RenderableType]:
    facts, answers = report.facts, report.answers
    yield Text(str(facts.server_name), style="bold")
    yield Text()
    reach = _ANSWERS[answers.reach]
    if report.expect_closed:
        reach = "green" if report.exit_status == 0 else "red"
    yield from _answer("Can other servers reach you?", answers.reach_told, reach)
    yield from _answer("Do you need delegation?", answers.delegation_told)
    if answers.document is not None:
        yield _indented(f"at    {answers.document_url}")
        yield _indented(f"serve {answers.document.body.decode()}", "bold")
    yield from _answer("What should you change?", answers.changes_told)
    if report.findings:
        yield Text("\nFindings", style="bold")
        for finding in report.findings:
            yield from _finding(finding)
    yield Text()
    yield _tree(found_lines(facts))
    rows = [endpoint_row(each) for each in (*facts.endpoints, *facts.direct)]
    if rows:
        yield Text()
        yield _table(rows)
        for line in certificate_lines(facts):
            yield Padding(Text(line, style="dim"), (0, 0, 0, 2), expand=False)


def _answer(question: str, answer: str, style: str = "") -> Iterator[RenderableType]:
    yield Text(question, style="bold")
    yield _indented(answer, style)


def _finding(finding: Finding) -> Iterator[RenderableType]:
    head = Text(f"  {finding.level.value:<7} ", style=_LEVELS[finding.level])
    yield head.append(finding.code, style="bold")
    yield _indented(finding.fact)
    yield _indented(finding.advice, "italic")
    if finding.where:
        yield _indented(f"at {', '.join(finding.where)}", "dim")


def _indented(text: str, style: str = "") -> Padding:
    return Padding(Text(text, style=style), _MARGIN, expand=False)


def _tree(lines: Iterable[str]) -> Tree:
    """Return lines as a tree; those that are indented belong to the one before."""
    tree = branch = Tree(Text("What was found", style="bold"))
    for line in lines:
        if line.startswith(" "):
            branch.add(Text(line.strip()))
        else:
            branch = tree.add(Text(line))
    return tree


def _table(rows: Iterable[tuple[str, ...]]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for heading in ENDPOINT_HEAD:
        table.add_column(heading, overflow="fold")
    for row in rows:
        table.add_row(*map(Text, row))
    return table
