"""The command `matrix-resolve` (extra `cli`)."""

import sys
from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command with the given arguments, `sys.argv` if None; return its exit status."""
    try:
        from matrix_resolve.cli.command import run
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "rich":
            raise
        print("matrix-resolve needs rich: pip install 'matrix-resolve[cli]'", file=sys.stderr)
        return 2
    return run(argv)
