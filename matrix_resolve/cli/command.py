"""Runs the command that the command line names, and ends as a program should."""

import asyncio
import os
import sys
from argparse import Namespace
from collections.abc import Sequence
from contextlib import ExitStack, redirect_stderr, redirect_stdout, suppress
from pathlib import Path
from typing import Final

from matrix_resolve.cli.arguments import UsageError, names_given
from matrix_resolve.cli.parsing import COMMANDS, parse
from matrix_resolve.core.lazy import MissingExtraError, needs

# What shells tell of a program that a signal has ended: 128 and the number of the signal.
_INTERRUPTED: Final = 128 + 2
_PIPE_CLOSED: Final = 128 + 13


def run(argv: Sequence[str] | None) -> int:
    """Do what the arguments say; return the exit status."""
    with ExitStack() as stack:
        # An output that is closed from the start is None, which only `print` can do with.
        for stream, redirected in ((sys.stdout, redirect_stdout), (sys.stderr, redirect_stderr)):
            if stream is None:
                nowhere = stack.enter_context(Path(os.devnull).open("w"))
                stack.enter_context(redirected(nowhere))
        try:
            status = _run(parse(argv))
            sys.stdout.flush()
        except KeyboardInterrupt:
            status = _INTERRUPTED
        except BrokenPipeError:  # who reads has enough
            status = _PIPE_CLOSED
        except OSError as error:  # what is printed can't be written
            status = _told(error, 1)
        finally:  # of `--help` too, which ends in `SystemExit`
            _let_go()
        return status


def _run(arguments: Namespace) -> int:
    command = COMMANDS[arguments.command]
    try:
        if "names" in arguments:
            arguments.names = names_given(arguments.names)
        with needs("cli", f"matrix-resolve {arguments.command}"):
            return asyncio.run(command.run(arguments))
    except UsageError as error:
        arguments.parser.print_usage(sys.stderr)
        return _told(error, 2)
    except MissingExtraError as error:
        return _told(error, 2)


def _told(error: Exception, status: int) -> int:
    with suppress(OSError):
        print(f"matrix-resolve: {error}", file=sys.stderr, flush=True)
    return status


def _let_go() -> None:
    """Drop what an output can't take any more: the interpreter would complain of it at its end."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            with Path(os.devnull).open("w") as nowhere:
                os.dup2(nowhere.fileno(), stream.fileno())
