"""The command `matrix-resolve`. What it prints in colour needs the extra `cli`.

One file a command (`parsing.COMMANDS` lists them), each with a `SUMMARY`, `EXAMPLES`,
`configure(parser)` and `run(arguments)`. They are imported for every `--help`, so they import what
is heavy, rich too, inside the functions that need it.
"""

from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command with the given arguments, `sys.argv` if None; return its exit status."""
    from matrix_resolve.cli.command import run

    return run(argv)
