"""A report as it is printed: for people, for programs, for test harnesses, for collectors."""

import argparse
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence

from matrix_resolve.checking.findings import CATALOGUE, Level
from matrix_resolve.checking.report import Report
from matrix_resolve.cli.output import console, print_json

Tell = Callable[[Sequence[Report]], None]


def output_for(arguments: argparse.Namespace) -> Tell:
    """Return what prints reports as the arguments want it."""
    if arguments.json:
        return _tell_json
    if arguments.tap:
        return _tell_tap
    if not (sys.stdout and sys.stdout.isatty()):
        return _tell_text
    from matrix_resolve.cli.check_view import view

    out = console(no_color=arguments.no_color)

    def tell(reports: Sequence[Report]) -> None:
        for report in reports:
            out.print(view(report))

    return tell


def _tell_text(reports: Sequence[Report]) -> None:
    for report in reports:
        print(report, end="\n\n", flush=True)


def _tell_json(reports: Sequence[Report]) -> None:
    for report in reports:
        print_json(report.to_dict())


def _tell_tap(reports: Sequence[Report]) -> None:
    print(*tap(reports), sep="\n", flush=True)


def tap(reports: Iterable[Report]) -> Iterator[str]:
    """Yield the lines of the Test Anything Protocol, version 14: a test for each code.

    An error fails its test; a warning fails one that is still to be made pass ("TODO"); notes are
    comments.
    """
    yield "TAP version 14"
    count = 0
    for report in reports:
        name = report.facts.server_name
        by_code = {each.code: each for each in reversed(report.findings)}  # the worst of each
        yield f"# {name}: {report.answers.reach_told}"
        for code in CATALOGUE:
            found = by_code.get(code)
            if found is None:
                if Level.NOTE not in CATALOGUE[code].levels or len(CATALOGUE[code].levels) > 1:
                    count += 1
                    yield f"ok {count} - {name} {code}"
            elif found.level is Level.NOTE:
                yield f"# {found}"
            else:
                count += 1
                todo = " # TODO a warning" if found.level is Level.WARNING else ""
                yield f"not ok {count} - {name} {code}{todo}"
                yield "  ---"
                for key in ("fact", "advice"):
                    yield f"  {key}: {json.dumps(getattr(found, key))}"
                yield f"  where: {json.dumps(list(found.where))}"
                yield "  ..."
        if report.exit_status == 3:
            count += 1
            yield f"not ok {count} - {name} could be checked"
    yield f"1..{count}"
