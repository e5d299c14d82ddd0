"""What goes between the event loop and the file: in batches, one at a time."""

import asyncio
import sqlite3
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from matrix_resolve.backends.cache_sqlite.database import Database, unusable
from matrix_resolve.backends.cache_sqlite.pending import Pending, Write
from matrix_resolve.backends.cache_sqlite.thread import Thread
from matrix_resolve.core.entries import CacheEntry
from matrix_resolve.errors import CacheError
from matrix_resolve.interfaces import Clock

# Seconds. What is put within the first is written together; what could not be written is tried
# again after the second.
_GATHERED: Final = 0.03
_AGAIN: Final = 0.25
# So much may wait to be written.
_MOST_PENDING: Final = 10_000
# So much is read or written at a time: more would hold Python's lock for long.
_AT_A_TIME: Final = 100

_Awaited = dict[str, list["asyncio.Future[None]"]]

Found = CacheEntry | CacheError | None
"""What is kept, why that can't be told, or nothing."""


class Traffic:
    """Reads and writes of a `database` in its `thread`; who comes meanwhile is in the next batch.

    All state is the event loop's, and what a reader is told is what has been put or deleted until
    it is told. `trouble` is why the last batch could not be written.
    """

    def __init__(self, thread: Thread, database: Database, path: Path, clock: Clock) -> None:
        self._thread = thread
        self._database = database
        self._path = path
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._pending = Pending(_MOST_PENDING)
        self._asked: dict[str, asyncio.Future[Found]] = {}
        # Who wants to know when what is pending has been written, and what has been taken.
        self._awaited: _Awaited = {}
        self._taken_awaited: _Awaited = {}
        self._is_due = False
        self._timer: asyncio.TimerHandle | None = None
        self._job: asyncio.Future[Any] | None = None
        self._has_ended = False
        self.trouble: CacheError | None = None

    def get(self, key: str) -> "asyncio.Future[Found]":
        """Return what will be found about a question; never to be cancelled: others wait too."""
        asked = self._asked.get(key)
        if asked is None:
            asked = self._asked[key] = self._loop.create_future()
            self._go_on()
        return asked

    def peek(self, key: str) -> CacheEntry | None:
        """Return what waits to be written about a question."""
        return self._pending.over(key, Write(), self._clock.time())

    def put(self, key: str, entry: CacheEntry) -> bool:
        """Have `entry` written soon; return False if there is no room for it."""
        if not self._pending.put(key, entry):
            return False
        if self._timer is None and not self._is_due:
            self._timer = self._loop.call_later(_GATHERED, self._write_now)
        return True

    def delete(self, key: str) -> "asyncio.Future[None] | None":
        """Have a question deleted at once; return what is done when it is, None without room."""
        if not self._pending.delete(key, self._clock.time()):
            return None
        deleted = self._awaited_write(self._awaited, key)
        self._write_now()
        return deleted

    def flush(self) -> "list[asyncio.Future[None]]":
        """Have what is pending written at once; return what is done when all of it is."""
        waiting, taken = self._pending.keys()
        written = [self._awaited_write(self._awaited, key) for key in waiting]
        written += [self._awaited_write(self._taken_awaited, key) for key in taken]
        if waiting:
            self._write_now()
        return written

    async def drain(self, until: float) -> None:
        """Write what is left, at most until then by the event loop's time, and read no more."""
        for asked in self._asked.values():
            _set(asked, CacheError("the cache is closed"))
        self._asked.clear()
        while self._pending and (seconds := until - self._loop.time()) > 0:
            self._write_now()
            if self._job is not None:
                await asyncio.wait((self._job,), timeout=seconds)
            if self.trouble is not None:
                await asyncio.sleep(min(_AGAIN, seconds))

    def end(self) -> None:
        """Begin nothing any more; tell the event loop's exception handler of what is lost."""
        self._has_ended = True
        self._stop_timer()
        if self._pending:
            lost = f"{self._path}: {len(self._pending)} answers could not be written before it was"
            self._tell(f"{lost} closed", self.trouble or CacheError("the disk is slow"))

    def _write_now(self) -> None:
        self._stop_timer()
        self._is_due = True
        self._go_on()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _go_on(self, *, has_read: bool = False) -> None:
        """Do what comes next, unless something is being done. Readers first, but not for ever."""
        if self._job is not None or self._has_ended:
            return
        if self._asked and not (has_read and self._is_due):
            self._read()
        elif self._is_due:
            self._write()

    def _read(self) -> None:
        asked = {key: self._asked[key] for key in list(self._asked)[:_AT_A_TIME]}
        for key in asked:
            del self._asked[key]
        keys, now = list(asked), self._clock.time()
        job = self._thread.do(lambda: self._database.read(keys, now))
        self._begin(job, lambda: self._has_read(asked, job))

    def _has_read(
        self,
        asked: Mapping[str, "asyncio.Future[Found]"],
        job: "asyncio.Future[dict[str, Write | CacheError]]",
    ) -> None:
        error, now = job.exception(), self._clock.time()
        found = {} if error is not None else job.result()
        for key, future in asked.items():
            if error is not None and not isinstance(error, sqlite3.Error):
                future.set_exception(error)
                continue
            kept = found[key] if error is None else unusable(self._path, error)
            if isinstance(kept, CacheError):
                _set(future, self._pending.over(key, Write(), now) or kept)
            else:
                _set(future, self._pending.over(key, kept, now))
        self._go_on(has_read=True)

    def _write(self) -> None:
        writes = self._pending.take(_AT_A_TIME)
        awaited = {key: self._awaited.pop(key) for key in writes if key in self._awaited}
        self._taken_awaited, now = awaited, self._clock.time()
        job = self._thread.do(lambda: self._database.write(writes, now))
        self._begin(job, lambda: self._has_written(writes, job))

    def _has_written(
        self,
        writes: Mapping[str, Write],
        job: "asyncio.Future[None]",
    ) -> None:
        error = job.exception()
        awaited, self._taken_awaited = self._taken_awaited, {}
        self.trouble = unusable(self._path, error) if isinstance(error, sqlite3.Error) else None
        if self.trouble is not None:
            self._pending.put_back()
            for key, waiting in awaited.items():
                self._awaited.setdefault(key, []).extend(waiting)
            if not self._has_ended:
                self._timer = self._loop.call_later(_AGAIN, self._write_now)
        else:
            self._pending.written()
            if error is not None:  # a mistake of ours, which would be made again
                self._tell(f"{self._path}: {len(writes)} answers could not be written", error)
            for waiting in awaited.values():
                for future in waiting:
                    _set(future, None)
        self._is_due = self.trouble is None and len(self._pending) > 0
        self._go_on()

    def _awaited_write(self, awaited: "_Awaited", key: str) -> "asyncio.Future[None]":
        written: asyncio.Future[None] = self._loop.create_future()
        awaited.setdefault(key, []).append(written)
        return written

    def _begin(self, job: "asyncio.Future[Any]", then: Callable[[], None]) -> None:
        self._job = job

        def end(_: "asyncio.Future[Any]") -> None:
            self._job = None
            then()

        job.add_done_callback(end)

    def _tell(self, message: str, error: BaseException) -> None:
        self._loop.call_exception_handler({"message": message, "exception": error})


def _set(future: "asyncio.Future[Any]", result: object) -> None:
    if not future.done():
        future.set_result(result)
