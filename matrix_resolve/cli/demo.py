"""`matrix-resolve demo`: what it is like, on this machine alone."""

import argparse
from typing import Final

from matrix_resolve.cli.arguments import add_no_color

SUMMARY: Final = "try every step in a federation on this machine"
EXAMPLES: Final = """
matrix-resolve demo
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Take no names."""
    add_no_color(parser)


async def run(arguments: argparse.Namespace) -> int:
    """Make the tour; return the exit status."""
    from matrix_resolve.cli.output import console

    out = console(no_color=arguments.no_color)
    from matrix_resolve.cli.tour import tour  # needs the extra `testing`, and says so

    return await tour(out)
