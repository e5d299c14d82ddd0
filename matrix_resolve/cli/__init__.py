"""The command `matrix-resolve` (extra `cli`)."""

import sys
from collections.abc import Sequence

from matrix_resolve.core.lazy import MissingExtraError, needs


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command with the given arguments, `sys.argv` if None; return its exit status."""
    try:
        with needs("cli", "matrix-resolve"):
            from matrix_resolve.cli.command import run
    except MissingExtraError as error:
        print(error, file=sys.stderr)
        return 2
    return run(argv)
