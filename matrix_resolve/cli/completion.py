"""`matrix-resolve completion [SHELL]`: what makes a shell complete commands and options."""

import argparse
import os
from pathlib import PurePath
from typing import Final

from matrix_resolve.cli.arguments import UsageError

SUMMARY: Final = "print what makes a shell complete commands and options"
EXAMPLES: Final = """
matrix-resolve completion bash > ~/.local/share/bash-completion/completions/matrix-resolve
matrix-resolve completion zsh > ~/.zfunc/_matrix-resolve
matrix-resolve completion fish > ~/.config/fish/completions/matrix-resolve.fish
"""
SHELLS: Final = ("bash", "zsh", "fish")


def configure(parser: argparse.ArgumentParser) -> None:
    """Take the name of a shell."""
    parser.add_argument(
        "shell", nargs="?", choices=SHELLS, help="the shell (default: the one that SHELL names)"
    )


async def run(arguments: argparse.Namespace) -> int:
    """Print the script for the shell; return the exit status."""
    import shtab

    shell = arguments.shell or PurePath(os.environ.get("SHELL", "")).name
    if shell not in SHELLS:
        raise UsageError(f"say which shell: {', '.join(SHELLS)}")
    for parser in arguments.parsers.values():
        for action in parser._actions:  # there is no public way to them
            if action.metavar == "FILE":
                action.complete = shtab.FILE
    print(shtab.complete(arguments.whole, shell=shell))
    return 0
