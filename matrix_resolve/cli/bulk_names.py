"""Names from a file or a pipe, one a line, read as they are needed."""

import os
import stat
import sys
from collections.abc import AsyncIterator
from typing import Final

from attrs import frozen

from matrix_resolve.cli.arguments import UsageError
from matrix_resolve.cli.blocking import in_thread

_PIECE: Final = 64 * 1024
# Bytes of a line that are looked at. No server name has so many, so it stays none when it is cut.
MAX_LINE: Final = 512


@frozen
class NameSource:
    """An open file or pipe with names."""

    _descriptor: int
    _is_ours: bool

    @classmethod
    async def open(cls, path: str) -> "NameSource":
        """Open `path`, or standard input if it is `-`; raise `UsageError` if that can't be done."""
        if path == "-":
            return cls(sys.stdin.fileno() if sys.stdin else os.open(os.devnull, os.O_RDONLY), False)
        try:
            descriptor = await in_thread(os.open, path, os.O_RDONLY)  # waits for a pipe's writer
        except OSError as error:
            raise UsageError(f"the names can't be read: {error}") from error
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise UsageError(f"the names can't be read: {path!r} is a directory")
        return cls(descriptor, True)

    def count(self) -> int | None:
        """Return how many lines there are, None where that can't be told before they are read."""
        if not stat.S_ISREG(os.fstat(self._descriptor).st_mode):
            return None
        began = os.lseek(self._descriptor, 0, os.SEEK_CUR)
        lines, last = 0, b"\n"
        while piece := os.read(self._descriptor, 16 * _PIECE):
            lines, last = lines + piece.count(b"\n"), piece[-1:]
        os.lseek(self._descriptor, began, os.SEEK_SET)
        return lines + (last != b"\n")

    async def lines(self) -> AsyncIterator[str]:
        """Yield a name for each line, "" for one that is blank or begins with "#"."""
        rest = b""
        while piece := await in_thread(os.read, self._descriptor, _PIECE):
            *lines, rest = (rest + piece).split(b"\n")
            for line in lines:
                yield _name(line)
            rest = rest[:MAX_LINE]  # what is still to come of it is cut, too
        if rest:
            yield _name(rest)

    def close(self) -> None:
        """Close what was opened; standard input stays open."""
        if self._is_ours:
            os.close(self._descriptor)


def _name(line: bytes) -> str:
    name = line[:MAX_LINE].decode(errors="backslashreplace").removeprefix("\ufeff").strip()
    return "" if name.startswith("#") else name
