"""`matrix-resolve bulk [FILE]`: thousands of names, a JSON line each."""

import argparse
import asyncio
import gc
import json
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import (
    AbstractAsyncContextManager,
    asynccontextmanager,
    contextmanager,
    nullcontext,
    suppress,
)
from pathlib import Path
from typing import Any, Final

from matrix_resolve.cli import bulk_progress
from matrix_resolve.cli.arguments import UsageError, add_no_color, add_resolver_arguments
from matrix_resolve.cli.bulk_names import NameSource
from matrix_resolve.cli.bulk_progress import Count
from matrix_resolve.cli.bulk_records import RecordWriter, open_output, records_in
from matrix_resolve.cli.bulk_summary import Summary, summary_lines
from matrix_resolve.cli.names import look_up, resolver_for
from matrix_resolve.errors import readable
from matrix_resolve.policy import Policy
from matrix_resolve.resolver import Resolver

SUMMARY: Final = "resolve thousands of names, a JSON line for each"
EXAMPLES: Final = """\
matrix-resolve bulk names.txt --output names.jsonl
matrix-resolve bulk names.txt --output names.jsonl --resume
psql -Atc 'SELECT destination FROM destinations' | matrix-resolve bulk --summary summary.json > out
"""

LookUp = Callable[[str], Awaitable[dict[str, Any]]]
"""Looks one name up and returns the record to write, with `version` first and `server_name`."""

_CONCURRENCY: Final = 200
_MOST: Final = 10_000
_INTERRUPTED: Final = 130
# A name is asked for once: what is kept is of use to names that lead to the same host only.
_KEPT: Final = {"max_answers": 10_000, "max_resolved": 1_000}

# Closed TLS connections are cycles of half a megabyte each, which live too long for any but a full
# collection. With all else left out of that, to do it so often costs less CPU than it saves.
_COLLECTED_AFTER: Final = 100  # names


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument(
        "file",
        nargs="?",
        default="-",
        metavar="FILE",
        help="names, one a line; - or none reads standard input. Blank lines and those that begin"
        " with # are passed over, and of names that differ in letter case all but one",
    )
    parser.add_argument(
        "--output",
        default="-",
        metavar="FILE",
        help="write there (default: standard output); each line is written as its name is done",
    )
    parser.add_argument(
        "--resume",
        action="store_true",
        help="go on with the --output of a run that was ended: names that it has are passed over",
    )
    parser.add_argument(
        "--concurrency",
        type=_concurrency,
        default=_CONCURRENCY,
        metavar="N",
        help="how many names to look up at once (default: %(default)d)",
    )
    parser.add_argument(
        "--endpoints", action="store_true", help="look up the addresses to dial as well"
    )
    parser.add_argument(
        "--summary", metavar="FILE", help="write the summary of the whole output there, as JSON"
    )
    add_resolver_arguments(parser)
    add_no_color(parser)


def _concurrency(text: str) -> int:
    number = int(text) if text.isascii() and text.isdecimal() and len(text) < 10 else 0
    if not 1 <= number <= _MOST:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1 to {_MOST}")
    return number


async def run(arguments: argparse.Namespace) -> int:
    """Look all names up; return the exit status."""
    settings = policy_settings(arguments.concurrency)
    opened = resolver_for(arguments, **settings)
    return await process(arguments, resolving(opened, endpoints=arguments.endpoints))


def policy_settings(concurrency: int) -> dict[str, int]:
    """Return the settings of a resolver in which no name waits for the slot of another."""
    lookups = max(concurrency, Policy().max_dns_lookups)
    return {"max_well_known_fetches": concurrency, "max_dns_lookups": lookups, **_KEPT}


@asynccontextmanager
async def resolving(
    opened: AbstractAsyncContextManager[Resolver], *, endpoints: bool
) -> AsyncIterator[LookUp]:
    """Open a resolver and give what looks a name up by it."""
    async with opened as resolver:

        async def looked_up(name: str) -> dict[str, Any]:
            return (await look_up(resolver, name, endpoints=endpoints)).to_dict()

        yield looked_up


async def process(
    arguments: argparse.Namespace, opened: AbstractAsyncContextManager[LookUp]
) -> int:
    """Look all names up by what is opened; return the exit status."""
    _check(arguments)
    source = await NameSource.open(arguments.file)
    try:
        descriptor = open_output(arguments.output, resume=arguments.resume)
        try:
            bulk = _Bulk(source, RecordWriter(descriptor), arguments)
            return await bulk.run(opened)
        finally:
            if arguments.output != "-":
                os.close(descriptor)
    finally:
        source.close()


def _check(arguments: argparse.Namespace) -> None:
    """Raise `UsageError` now for what would fail at the end of a long run."""
    if arguments.resume and arguments.output == "-":
        raise UsageError("--resume needs the --output that is to be gone on with")
    if arguments.summary:
        try:
            Path(arguments.summary).open("a").close()
        except OSError as error:
            raise UsageError(f"the summary can't be written: {error}") from error


class _Bulk:
    """One run."""

    def __init__(
        self, source: NameSource, writer: RecordWriter, arguments: argparse.Namespace
    ) -> None:
        self._source = source
        self._writer = writer
        self._arguments = arguments
        self._summary = Summary()
        # In lower case, as in the keys of questions. This alone grows, by some 100 bytes a name.
        self._seen: set[str] = set()
        self._lines: int | None = None
        self._not_looked_up = 0

    async def run(self, opened: AbstractAsyncContextManager[LookUp]) -> int:
        """Go on with what is there, look the rest up, and tell the summary."""
        interrupted, seconds = False, 0.0
        with _cancelled_by_sigterm():
            try:
                if self._arguments.resume:
                    async for record in records_in(Path(self._arguments.output)):
                        self._seen.add(record["server_name"].lower())
                        self._summary.add(record, is_earlier=True)
                async with opened as look_up, self._progress():
                    gc.freeze()
                    began = time.monotonic()
                    try:
                        await self._look_all_up(look_up)
                    finally:
                        gc.unfreeze()
                        await self._writer.flush()
                        seconds = time.monotonic() - began
            except asyncio.CancelledError:  # SIGINT too: asyncio.run() sees to that
                interrupted = True
        self._tell(seconds, interrupted=interrupted)
        return _INTERRUPTED if interrupted else 0

    def _progress(self) -> AbstractAsyncContextManager[None]:
        # Records that are printed on the terminal would be mixed up with a bar.
        if self._writer.is_terminal or not bulk_progress.is_wanted():
            return nullcontext()
        self._lines = self._source.count()
        return bulk_progress.shown(self._count, no_color=self._arguments.no_color)

    def _count(self) -> Count:
        total = None if self._lines is None else self._lines - self._not_looked_up
        return Count(done=self._summary.names - self._summary.earlier, total=total)

    async def _look_all_up(self, look_up: LookUp) -> None:
        slots = asyncio.Semaphore(self._arguments.concurrency)

        async def one(name: str) -> None:
            try:
                await self._one(look_up, name)
            finally:
                slots.release()

        try:
            async with asyncio.TaskGroup() as group:
                async for name in self._source.lines():
                    if self._is_new(name):
                        await slots.acquire()
                        group.create_task(one(name))
        except ExceptionGroup as errors:  # all of them tell that the output can't be written
            raise errors.exceptions[0] from None

    def _is_new(self, name: str) -> bool:
        key = name.lower()
        if not name or key in self._seen:
            self._not_looked_up += 1
            return False
        self._seen.add(key)
        return True

    async def _one(self, look_up: LookUp, name: str) -> None:
        began = time.monotonic()
        try:
            record = await look_up(name)
        except Exception as error:  # a fault of ours must not end a run of hours; it is counted
            told = {"type": type(error).__name__, "message": readable(error)}
            record = {"version": 1, "server_name": name, "error": told}
        record["duration"] = round(time.monotonic() - began, 6)
        self._summary.add(record)
        if self._summary.names % _COLLECTED_AFTER == 0:
            gc.collect()
        await self._writer.write(record)

    def _tell(self, seconds: float, *, interrupted: bool) -> None:
        figures = self._summary.to_dict(seconds, interrupted=interrupted)
        print(*summary_lines(figures), sep="\n", file=sys.stderr, flush=True)
        if self._arguments.summary:
            Path(self._arguments.summary).write_text(json.dumps(figures, indent=2) + "\n")


@contextmanager
def _cancelled_by_sigterm() -> Iterator[None]:
    """Have SIGTERM do once what SIGINT does: cancel the task that runs this."""
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None

    def cancel() -> None:
        loop.remove_signal_handler(signal.SIGTERM)  # the next one ends the program
        task.cancel()

    # Elsewhere than in the main thread, or on Windows, there is no such thing.
    with suppress(NotImplementedError, RuntimeError, ValueError):
        loop.add_signal_handler(signal.SIGTERM, cancel)
    try:
        yield
    finally:
        with suppress(NotImplementedError, RuntimeError, ValueError):
            loop.remove_signal_handler(signal.SIGTERM)
