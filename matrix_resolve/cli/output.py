"""What is printed where."""

import json
import os
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from rich.console import Console


def console(file: TextIO | None = None, *, no_color: bool) -> "Console":
    """Return what prints to `file`, standard output if None: with colours where it is a terminal.

    Not if NO_COLOR or the arguments say so. Needs rich.
    """
    from rich.console import Console

    class Piped(Console):
        def on_broken_pipe(self) -> None:
            raise  # rich is in its `except`; it would end the program itself

    stream = sys.stdout if file is None else file
    plain = no_color or bool(os.environ.get("NO_COLOR"))
    return Piped(
        file=stream,
        highlight=False,
        markup=False,
        emoji=False,
        color_system=None if plain else "auto",
        # A pipe has no width, and a program that reads from it wants no line broken.
        width=None if stream.isatty() else 10_000,
    )


def print_json(value: Mapping[str, Any]) -> None:
    """Print a JSON object on a line of its own, at once; in ASCII, so nothing of it is hostile."""
    print(json.dumps(value), flush=True)


def complain(message: object) -> None:
    """Print a line on the error output. The message must be printable."""
    print(f"matrix-resolve: {message}", file=sys.stderr, flush=True)
