"""`matrix-resolve [resolve] NAME...`: a line a name."""

import argparse
from typing import TYPE_CHECKING, Final

from matrix_resolve.cli.arguments import add_names, add_output_arguments, add_resolver_arguments

if TYPE_CHECKING:
    from matrix_resolve.cli.names import Outcome
    from matrix_resolve.core.resolution import Resolution

SUMMARY: Final = "tell in a line where each name leads: where to connect, Host, certificate, step"
EXAMPLES: Final = """
matrix-resolve example.org
matrix-resolve resolve example.org matrix.org:8448
matrix-resolve --json - < names.txt
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Take names."""
    add_names(parser)
    add_resolver_arguments(parser)
    add_output_arguments(parser)


async def run(arguments: argparse.Namespace) -> int:
    """Tell in a line where each name leads; return the exit status."""
    from matrix_resolve.cli.names import tell_each

    def told(_: "Outcome", resolution: "Resolution") -> None:
        print(resolution, flush=True)

    return await tell_each(arguments, told, endpoints=False)
