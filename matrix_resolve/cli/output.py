"""What is printed where."""

import os
from typing import TextIO

from rich.console import Console


def console(file: TextIO, *, no_color: bool) -> Console:
    """Return what prints to `file`, without colours if NO_COLOR or the arguments say so."""
    plain = no_color or bool(os.environ.get("NO_COLOR"))
    return Console(
        file=file,
        highlight=False,
        markup=False,
        emoji=False,
        color_system=None if plain else "auto",
        # A pipe has no width, and a program that reads from it wants no line broken.
        width=None if file.isatty() else 10_000,
    )
