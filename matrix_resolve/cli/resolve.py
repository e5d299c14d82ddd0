"""`matrix-resolve [resolve] NAME...`: a line a name."""

import argparse
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from matrix_resolve.cli.arguments import add_names, add_output_arguments, add_resolver_arguments

if TYPE_CHECKING:
    from matrix_resolve.cli.names import Outcome

SUMMARY: Final = "tell in a line where each name leads"
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


# What is said of addresses at the end of a line.
_SAID: Final[Mapping[str | None, str]] = {
    "none": ", no addresses",
    "unknown": ", addresses unknown (our DNS could not answer)",
    "forbidden": ", no address that is allowed",
}


async def run(arguments: argparse.Namespace) -> int:
    """Tell in a line where each name leads; return the exit status."""
    from matrix_resolve.cli.names import tell_each
    from matrix_resolve.cli.output import complain, print_json

    def told(outcome: "Outcome") -> bool:
        resolution = outcome.resolution
        if resolution is None:
            print_json(outcome.to_dict()) if arguments.json else complain(outcome.error)
        elif arguments.json:
            print_json(resolution.to_dict() | {"addresses": outcome.addresses})
        else:
            print(f"{resolution}{_SAID.get(outcome.addresses, '')}", flush=True)
        return resolution is not None

    return await tell_each(arguments, told)
