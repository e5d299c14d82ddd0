"""A run of `bulk`: names in, records out, until there are no more or it is interrupted."""

import argparse
import asyncio
import gc
import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Final

from matrix_resolve.cli import bulk_progress
from matrix_resolve.cli.arguments import UsageError
from matrix_resolve.cli.bulk_lookups import LookUp
from matrix_resolve.cli.bulk_names import NameSource
from matrix_resolve.cli.bulk_progress import Count
from matrix_resolve.cli.bulk_records import RecordWriter, open_output, records_in
from matrix_resolve.cli.bulk_summary import Summary, summary_lines
from matrix_resolve.errors import readable

_INTERRUPTED: Final = 130
# Closed TLS connections are cycles of half a megabyte each, which live too long for any but a full
# collection. With all else left out of that, to do it so often costs less CPU than it saves.
_COLLECTED_AFTER: Final = 100  # names


async def process(
    arguments: argparse.Namespace, opened: AbstractAsyncContextManager[LookUp]
) -> int:
    """Look all names up by what is opened; return the exit status."""
    _check(arguments)
    source = await NameSource.open(arguments.file)
    try:
        descriptor = open_output(arguments.output, resume=arguments.resume)
        try:
            bulk = Bulk(source, RecordWriter(descriptor), arguments)
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


class Bulk:
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
        except Exception as error:  # a fault of ours, too, must not end a run of hours
            told = {"type": type(error).__name__, "message": readable(error)}
            record = {"version": 1, "server_name": name, "error": told}
        record["duration"] = round(time.monotonic() - began, 6)
        self._summary.add(record)
        if self._summary.names % _COLLECTED_AFTER == 0:
            gc.collect()
        await self._writer.write(record)

    def _tell(self, seconds: float, *, interrupted: bool) -> None:
        figures = self._summary.to_dict(seconds, interrupted=interrupted)
        columns = shutil.get_terminal_size().columns if sys.stderr.isatty() else None
        print(*summary_lines(figures, columns=columns), sep="\n", file=sys.stderr, flush=True)
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
