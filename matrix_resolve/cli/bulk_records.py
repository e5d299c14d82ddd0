"""Records as JSON lines: written so that a killed run can be resumed, and read to resume it."""

import asyncio
import json
import os
import stat
import sys
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any, Final

from matrix_resolve.cli.arguments import UsageError
from matrix_resolve.cli.blocking import in_thread

# With this every line begins, so a line that does not is none that was torn.
_BEGINNING: Final = b'{"version": '
# The loop turns after so many lines that were read.
_AT_ONCE: Final = 256


class RecordWriter:
    """Writes each record at once, as a line: a run that is killed loses the end of the last one.

    A line is passed to the system in one call before anybody is told that it is written. What is
    no file may take it slowly; whoever writes waits then, and the event loop does not.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._is_file = stat.S_ISREG(os.fstat(descriptor).st_mode)
        self._pending: list[bytes] = []
        self._writing: asyncio.Task[None] | None = None
        self._fault: OSError | None = None

    @property
    def is_terminal(self) -> bool:
        """Whether a person watches the records go by."""
        return os.isatty(self._descriptor)

    async def write(self, record: Mapping[str, Any]) -> None:
        """Write one record. It is written too if this is cancelled, when `flush` has returned."""
        line = json.dumps(record).encode() + b"\n"
        if self._is_file:
            self._write_all(line)
            return
        self._pending.append(line)
        if self._writing is None or self._writing.done():
            self._writing = asyncio.create_task(self._write_pending())
        await self.flush()

    async def flush(self) -> None:
        """Wait until all is written; raise the `OSError` of what could not be."""
        writing = self._writing  # when it has ended, another one may have begun already
        if writing is not None:
            await asyncio.wait([writing])  # which, cancelled, does not cancel the task
            writing.result()

    async def _write_pending(self) -> None:
        while self._pending:
            lines, self._pending = b"".join(self._pending), []
            await in_thread(self._write_all, lines)

    def _write_all(self, data: bytes) -> None:
        if self._fault is not None:  # what follows a torn line would be part of it
            raise self._fault
        view = memoryview(data)
        try:
            while view:
                view = view[os.write(self._descriptor, view) :]
        except OSError as error:
            self._fault = error
            raise


def open_output(path: str, *, resume: bool) -> int:
    """Return a descriptor that appends to a file, or that of standard output if `path` is `-`.

    Raises `UsageError` if it can't be opened, or holds something that nobody wants to resume.
    """
    if path == "-":
        sys.stdout.flush()
        return sys.stdout.fileno()
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
    except OSError as error:
        raise UsageError(f"the output can't be written: {error}") from error
    status = os.fstat(descriptor)
    is_file = stat.S_ISREG(status.st_mode)
    if resume and not is_file:
        fault = "is no file to go on with"
    elif not resume and is_file and status.st_size:
        fault = "is not empty: --resume goes on with it"
    else:
        return descriptor
    os.close(descriptor)
    raise UsageError(f"{path!r} {fault}")


async def records_in(path: Path) -> AsyncIterator[dict[str, Any]]:
    """Yield the records of a run that was killed, and remove the line that it had begun, if any.

    Raises `UsageError` for a file with other lines than such, which is left as it is.
    """
    with path.open("r+b") as file:
        kept = 0
        for number, line in enumerate(file, 1):
            record = _record(line)
            is_whole = line.endswith(b"\n")
            if record is None:
                beginning = line[: len(_BEGINNING)]
                if is_whole or not _BEGINNING.startswith(beginning):
                    raise UsageError(f"{str(path)!r}, line {number}: no line of an earlier run")
                file.truncate(kept)
                return
            if not is_whole:  # nothing of it but its end is lost
                file.seek(0, os.SEEK_END)
                file.write(b"\n")
            kept += len(line)
            yield record
            if number % _AT_ONCE == 0:
                await asyncio.sleep(0)


def _record(line: bytes) -> dict[str, Any] | None:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return None
    is_ours = isinstance(record, dict) and isinstance(record.get("server_name"), str)
    return record if is_ours else None
