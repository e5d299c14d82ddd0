"""A cache that outlives a restart, in a file."""

import asyncio
import os
import secrets
import sqlite3
import time
from collections.abc import AsyncGenerator
from functools import partial
from pathlib import Path
from typing import Final

from attrs import frozen

from matrix_resolve.backends.cache_sqlite.database import Database, unusable
from matrix_resolve.backends.cache_sqlite.thread import Thread
from matrix_resolve.backends.cache_sqlite.traffic import Traffic
from matrix_resolve.core.closeable import Closeable
from matrix_resolve.core.questions import question_of
from matrix_resolve.errors import CacheError
from matrix_resolve.interfaces import CacheEntry, Clock, Question, prompt
from matrix_resolve.policy import check_count

# Times in seconds.
# Others' deletions are looked for so often.
_LOOK: Final = 0.5
# What has not been written then when the cache is closed is lost.
_CLOSING: Final = 5.0
# The file is closed within so much.
_CLOSING_FILE: Final = 1.0


@frozen
class _Opened:
    """What there is while the cache is open."""

    thread: Thread
    database: Database
    traffic: Traffic


class SqliteCache(Closeable):
    """Keeps entries in an SQLite file, so that a restart during an outage forgets nothing.

        async with SqliteCache("answers.sqlite") as cache:
            async with open_resolver(cache=cache) as resolver: ...

    The resolver has the names in use in memory, so nothing more is needed; before a disk that may
    fail for long, `TieredCache(MemoryCache(), cache)` keeps answers as well.

    `async with` opens the file, and makes it if there is none, readable by its owner alone; it
    raises `CacheError`, which says what is wrong, if the file can't be used: no such folder, no
    right to write, no database, another one, or one of a version that can't be read. The cache
    belongs to the event loop and the process that opened it: elsewhere, before and afterwards it
    raises `RuntimeError`. Not for network file systems.

    `max_answers` bounds the entries; an ordinary one takes about half a kilobyte, and where they
    take more than one on average there are fewer. Those that end first go first: failures, and what
    nobody has asked for lately. `clock` is that of the resolver. `timeout`, in seconds, bounds
    `get()` and how long `delete()` waits.

    *The disk.* One thread does all that may wait for it. `put()` never waits: what is put within
    30 ms is written together, soon afterwards. What can't be written (disk full, file locked) is
    tried again; meanwhile each `put()` raises `CacheError`, so that the hooks hear of it, and its
    entry waits in memory, with 10,000 others at most. While the disk hangs, `get()` ends at once,
    in `CacheError` or what waits to be written. `aclose()` writes what is left, for 5 seconds at
    most; what is lost then is told to the event loop's exception handler. A process that is killed
    loses those last milliseconds, and nothing else.

    *Several processes* of one machine may share the file. Who wins is settled as by `RedisCache`: a
    failure, or an answer asked earlier, does not replace a good answer asked later, and what was
    asked before a `delete()` is not kept after it, whoever puts it. It is an `InvalidationFeed`:
    what one process deletes is deleted in the memory of the others within a second.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        max_answers: int = 300_000,
        clock: Clock = time,
        timeout: float = 0.5,
    ) -> None:
        check_count("max_answers", max_answers)
        self._path = Path(path).absolute()
        self._max_answers = max_answers
        self._clock = clock
        self._timeout = timeout
        self._owner: tuple[asyncio.AbstractEventLoop, int] | None = None
        self._opened: _Opened | None = None
        self._closing: asyncio.Task[None] | None = None
        self._deleted_before: int | None = None  # the last deletion before it was opened

    async def __aenter__(self) -> "SqliteCache":
        if self._owner is not None:
            raise RuntimeError("the cache has been opened already")
        self._owner = asyncio.get_running_loop(), os.getpid()
        thread = Thread(self._owner[0])
        made: list[Database] = []
        try:
            await thread.do(lambda: made.append(self._open()))
        except BaseException:  # he may be cancelled who will not hear that it is open
            self._owner = None
            thread.do(lambda: _close_all(made))
            thread.end()
            raise
        (database,) = made
        traffic = Traffic(thread, database, self._path, self._clock)
        self._opened = _Opened(thread, database, traffic)
        self._deleted_before = database.opened_after
        return self

    async def get(self, question: Question, /) -> CacheEntry | None:
        """Return what is kept about `question`, None if nothing is."""
        opened = self._in_use()
        if opened.thread.busy_for() > self._timeout:
            return self._unread(question, opened.traffic)
        asked = opened.traffic.get(question.key)
        await asyncio.wait((asked,), timeout=self._timeout)
        if not asked.done():
            return self._unread(question, opened.traffic)
        found = asked.result()
        if isinstance(found, CacheError):
            raise found
        return found

    @prompt
    async def put(self, question: Question, entry: CacheEntry, /) -> None:
        """Keep `entry`, or what `reconciled` makes of it and of what others have kept.

        It is written soon. Raises `CacheError` if there is no room for it; and if what was put
        before could not be written yet, but then this is kept, and written in the end.
        """
        traffic = self._in_use().traffic
        if not traffic.put(question.key, entry):
            raise self._dropped(traffic)
        if traffic.trouble is not None:
            raise CacheError(traffic.trouble)

    async def delete(self, question: Question, /) -> None:
        """Delete what is kept about `question`; return when other processes see that.

        Raises `CacheError` if that takes longer than `timeout`; it is tried again then.
        """
        traffic = self._in_use().traffic
        deleted = traffic.delete(question.key)
        if deleted is None:
            raise self._dropped(traffic)
        await self._written([deleted], traffic)

    async def flush(self) -> None:
        """Return when what was put is in the file; `CacheError` if that takes over `timeout`."""
        traffic = self._in_use().traffic
        await self._written(traffic.flush(), traffic)

    async def invalidations(self) -> AsyncGenerator[str | None, None]:
        """Yield None, and then the `key` of each question that another process deletes.

        Raises `CacheError` when the file can't be read.
        """
        # Who listens first hears of all since the file was opened, before which nothing was read.
        # So None is told without waiting, before anything that is read now could count as old.
        before, self._deleted_before = self._deleted_before, None
        opened = self._in_use()
        try:
            if before is None:
                before = await opened.thread.do(opened.database.last_deletion)
            last = before
            yield None
            while True:
                opened = self._in_use()
                look = partial(opened.database.deleted_elsewhere, last)
                last, keys = await opened.thread.do(look)
                for key in keys:
                    if question_of(key) is not None:
                        yield key
                await asyncio.sleep(_LOOK)
        except sqlite3.Error as error:
            raise unusable(self._path, error) from error

    async def aclose(self) -> None:
        """Write what is left, and close the file; idempotent."""
        if self._opened is None:
            return
        self._check_owner()
        if self._closing is None:
            self._closing = asyncio.ensure_future(self._close(self._opened))
        await asyncio.shield(self._closing)

    def _open(self) -> Database:
        return Database(self._path, secrets.token_hex(8), self._max_answers)

    async def _close(self, opened: _Opened) -> None:
        try:
            await opened.traffic.drain(asyncio.get_running_loop().time() + _CLOSING)
        finally:  # be it cancelled, as the event loop is about to be closed
            opened.traffic.end()
            closing = opened.thread.do(opened.database.close)
            opened.thread.end()
        await asyncio.wait((closing,), timeout=_CLOSING_FILE)
        if closing.done():  # else the disk hangs, and the thread is left to itself
            opened.thread.join()

    def _in_use(self) -> _Opened:
        """Return what there is; raise `RuntimeError` where it is not to be used."""
        if self._opened is None:
            raise RuntimeError("the cache is not open: open it by `async with`")
        self._check_owner()
        if self._closing is not None:
            raise RuntimeError("the cache is closed")
        return self._opened

    def _check_owner(self) -> None:
        loop, pid = self._owner or (None, 0)
        if os.getpid() != pid or asyncio.get_running_loop() is not loop:
            raise RuntimeError("a cache belongs to the event loop and process that opened it")

    async def _written(self, writes: list["asyncio.Future[None]"], traffic: Traffic) -> None:
        if not writes:
            return
        _, late = await asyncio.wait(writes, timeout=self._timeout)
        if late:
            reason = traffic.trouble or f"{self._path}: the disk is slow"
            raise CacheError(f"not written yet: {reason}")

    def _unread(self, question: Question, traffic: Traffic) -> CacheEntry:
        """Return what waits to be written, when that is all that can be had."""
        pending = traffic.peek(question.key)
        if pending is None:
            raise CacheError(f"{self._path}: the disk is slow")
        return pending

    def _dropped(self, traffic: Traffic) -> CacheError:
        reason = traffic.trouble or f"{self._path}: the disk is slow"
        return CacheError(f"too much waits to be written, so this is dropped: {reason}")


def _close_all(databases: list[Database]) -> None:
    for database in databases:
        database.close()
