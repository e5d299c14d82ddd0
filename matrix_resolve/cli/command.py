"""Runs the command that the command line names."""

import asyncio
import sys
from argparse import Namespace
from collections.abc import Sequence

from rich.console import Console

from matrix_resolve.cli.arguments import parse
from matrix_resolve.cli.explain import explain
from matrix_resolve.cli.output import console
from matrix_resolve.cli.resolve import resolve


def run(argv: Sequence[str] | None) -> int:
    """Do what the arguments say; return the exit status."""
    arguments = parse(argv)
    out = console(sys.stdout, no_color=arguments.no_color)
    err = console(sys.stderr, no_color=arguments.no_color)
    try:
        return asyncio.run(_run(arguments, out, err))
    except KeyboardInterrupt:
        return 130
    except OSError as error:  # what is printed can't be written
        print(f"matrix-resolve: {error}", file=sys.stderr)
        return 1


async def _run(arguments: Namespace, out: Console, err: Console) -> int:
    match arguments.command:
        case "demo":
            return await _demo(out, err)
        case "explain":
            return await explain(arguments, out, err)
        case _:
            return await resolve(arguments, out, err)


async def _demo(out: Console, err: Console) -> int:
    try:
        from matrix_resolve.cli.demo import demo
    except ImportError as error:  # without the extra `testing`; the message says so
        err.print(f"matrix-resolve: {error}")
        return 2
    return await demo(out)
