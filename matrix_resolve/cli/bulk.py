"""`matrix-resolve bulk [FILE]`: thousands of names, a JSON line each."""

import argparse
from typing import Final

from matrix_resolve.cli.arguments import add_no_color, add_resolver_arguments

SUMMARY: Final = "resolve thousands of names, a JSON line for each"
EXAMPLES: Final = """\
matrix-resolve bulk names.txt --output names.jsonl
matrix-resolve bulk names.txt --output names.jsonl --resume
matrix-resolve bulk --summary summary.json < names.txt > names.jsonl
matrix-resolve bulk --check names.txt --output reports.jsonl
"""

_CONCURRENCY: Final = 200
# A check has many connections of its own.
_CHECKS_AT_ONCE: Final = 20
_MOST: Final = 10_000


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument(
        "file",
        nargs="?",
        default="-",
        metavar="FILE",
        help="names, one a line; - or none reads standard input. Blank lines and those that begin"
        " with # are passed over, and of names that differ in letter case all but one",
    )
    parser.add_argument(
        "--output",
        default="-",
        metavar="FILE",
        help="write there (default: standard output); each line is written as its name is done",
    )
    parser.add_argument(
        "--resume",
        action="store_true",
        help="go on with the --output of a run that was ended: names that it has are passed over",
    )
    parser.add_argument(
        "--concurrency",
        type=_concurrency,
        metavar="N",
        help=f"how many names to look up at once (default: {_CONCURRENCY}, or"
        f" {_CHECKS_AT_ONCE} with --check)",
    )
    parser.add_argument(
        "--check",
        action="store_true",
        help="check each server as `matrix-resolve check --json` does, for up to a minute",
    )
    parser.add_argument(
        "--endpoints", action="store_true", help="look up the addresses to dial as well"
    )
    parser.add_argument(
        "--summary", metavar="FILE", help="write the summary of the whole output there, as JSON"
    )
    add_resolver_arguments(parser)
    add_no_color(parser)


def _concurrency(text: str) -> int:
    number = int(text) if text.isascii() and text.isdecimal() and len(text) < 10 else 0
    if not 1 <= number <= _MOST:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1 to {_MOST}")
    return number


async def run(arguments: argparse.Namespace) -> int:
    """Look all names up; return the exit status."""
    from matrix_resolve.cli.bulk_lookups import checking, policy_settings, resolving
    from matrix_resolve.cli.bulk_run import process
    from matrix_resolve.cli.names import resolver_for

    if arguments.concurrency is None:
        arguments.concurrency = _CHECKS_AT_ONCE if arguments.check else _CONCURRENCY
    if arguments.check:
        return await process(arguments, checking(arguments))
    opened = resolver_for(arguments, **policy_settings(arguments.concurrency))
    return await process(arguments, resolving(opened, endpoints=arguments.endpoints))
