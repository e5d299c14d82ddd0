"""`matrix-resolve check NAME...`: can other servers reach it, and what should be changed?"""

import argparse
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, Final, NoReturn

from matrix_resolve.cli.arguments import (
    UsageError,
    add_json,
    add_names,
    add_network_arguments,
    add_no_color,
    seconds,
)
from matrix_resolve.cli.connect_to import add_connect_to, hosts, to_dial
from matrix_resolve.core.lazy import needs
from matrix_resolve.core.names import ServerName
from matrix_resolve.errors import InvalidServerNameError

if TYPE_CHECKING:
    from matrix_resolve.checking.checker import Checker
    from matrix_resolve.checking.report import Report

SUMMARY: Final = "can other servers reach it, does it need delegation, what should be changed?"
EXAMPLES: Final = """
matrix-resolve check example.org
matrix-resolve check --json example.org
matrix-resolve check --connect-to example.org:8448:192.0.2.7:8448 example.org
matrix-resolve check --watch 300 --prometheus /var/lib/node_exporter/matrix.prom example.org
"""

_STATUS: Final = """
exit status: 0 reachable, and nothing worse than a warning; 1 errors; 2 wrong usage; 3 nothing can
be told, for trouble of our own DNS or network
"""
_AT_ONCE: Final = 8
# Of several names the gravest status counts.
_GRAVITY: Final = (0, 3, 1)


def configure(parser: argparse.ArgumentParser) -> None:
    """Take names, and say what is to be printed."""
    add_names(parser)
    add_network_arguments(parser)
    add_connect_to(parser)
    parser.add_argument(
        "--timeout",
        type=seconds,
        default=60.0,
        metavar="SECONDS",
        help="the most that the check of a name may take (default: %(default)g)",
    )
    parser.add_argument(
        "--expect-closed",
        action="store_true",
        help="the server is to be private: that federation answers is the error",
    )
    parser.add_argument(
        "--watch",
        type=seconds,
        metavar="SECONDS",
        help="go on: check again after so many seconds each, and print what came and went",
    )
    parser.add_argument(
        "--prometheus",
        metavar="FILE",
        help="write what was found there too, as a textfile collector reads it",
    )
    parser.add_argument(
        "--list", action=_List, help="print the codes of all findings, and nothing else"
    )
    output = parser.add_mutually_exclusive_group()
    add_json(output)
    output.add_argument("--tap", action="store_true", help="print the Test Anything Protocol")
    add_no_color(parser)
    parser.description = f"{parser.description}\n{_STATUS}"


class _List(argparse.Action):
    """`--list`: prints and ends, as `--help` does."""

    def __init__(self, option_strings: Sequence[str], dest: str, help: str | None = None) -> None:
        super().__init__(option_strings, dest=argparse.SUPPRESS, nargs=0, help=help)

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> NoReturn:
        from matrix_resolve.checking.findings import catalogue_lines

        print(*catalogue_lines(), sep="\n", flush=True)
        parser.exit()


async def run(arguments: argparse.Namespace) -> int:
    """Check each name; return the exit status."""
    names = [_parsed(name) for name in arguments.names]
    with needs("check", "matrix-resolve check"):
        from matrix_resolve.cli.check_output import output_for
        from matrix_resolve.cli.check_watch import watch
    output = output_for(arguments)
    async with _open(arguments) as checker:

        async def check() -> "list[Report]":
            reports = await _check_all(checker, names, arguments)
            if arguments.prometheus is not None:
                with needs("prometheus", "--prometheus"):
                    from matrix_resolve.cli.check_metrics import write_metrics
                write_metrics(reports, arguments.prometheus)
            return reports

        reports = await check()
        output(reports)
        if arguments.watch is not None:
            tell = output if arguments.json else None
            await watch(check, reports, arguments.watch, tell)
    return max((report.exit_status for report in reports), key=_GRAVITY.index)


def _parsed(name: str) -> ServerName:
    try:
        return ServerName.parse(name)
    except InvalidServerNameError as error:
        raise UsageError(str(error)) from error


@asynccontextmanager
async def _open(arguments: argparse.Namespace) -> "AsyncIterator[Checker]":
    from matrix_resolve.backends.dns_aiodns import AiodnsLookup
    from matrix_resolve.checking.checker import open_checker
    from matrix_resolve.checking.places import KnownAddresses
    from matrix_resolve.core.addresses import AddressPolicy

    places = arguments.connect_to
    policy = AddressPolicy(allow=[str(place.address) for place in places])
    async with (
        AiodnsLookup(nameservers=arguments.nameserver) as lookup,
        open_checker(
            addresses=KnownAddresses(lookup, hosts(places)),
            srv=lookup,
            address_policy=AddressPolicy.allow_all() if arguments.allow_private else policy,
            ssl_context=arguments.ssl_context,
            connect_to=to_dial(places),
            timeout=arguments.timeout,
        ) as checker,
    ):
        yield checker


async def _check_all(
    checker: "Checker", names: list[ServerName], arguments: argparse.Namespace
) -> "list[Report]":
    """Check all names, a few at once; return the reports in the order of the names."""
    import asyncio

    from matrix_resolve.cli.check_progress import shown, terminal

    slots = asyncio.Semaphore(_AT_ONCE)
    with shown(terminal(no_color=arguments.no_color)) as progress:

        async def check(name: ServerName) -> "Report":
            async with slots:
                return await checker.check(
                    name,
                    expect_closed=arguments.expect_closed,
                    progress=partial(progress.tell, str(name)),
                )

        return await asyncio.gather(*map(check, names))
