"""The file: its tables, and what is done there. All of it in one thread, which may wait.

A thread that works on many rows one by one would wait for Python's lock at each, so a batch is one
statement wherever that can be: its rows go there and come back as JSON.
"""

import json
import os
import sqlite3
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, Final, TypeVar

from matrix_resolve.backends.cache_sqlite.pending import Write
from matrix_resolve.core.entries import LARGEST, CacheEntry
from matrix_resolve.core.foreign import is_believable
from matrix_resolve.core.questions import question_of
from matrix_resolve.errors import CacheError

# "MxRs": the file is ours. And how its tables are; a change of either makes old files unreadable.
_APPLICATION: Final = 0x4D785273
_VERSION: Final = 1
# Seconds. Who writes waits for another process so long, so that those who read get their turn;
# and when the file is opened, so long.
_BUSY: Final = 0.05
_OPENING: Final = 5.0
# Seconds: longer than a question asked before a deletion can be under way.
_DELETIONS_KEPT: Final = 600.0
# Further on from now (seconds) than clocks are set back by in passing, nothing was deleted.
_SKEW: Final = 300.0
# Rows that go at a time when they have ended or there are too many, and how often in a row.
_AT_A_TIME: Final = 1_000
_IN_A_ROW: Final = 20
# Deletions that are told at a time.
_MOST_TOLD: Final = 1_000
# The file has room for so many bytes an entry, twice what an ordinary one takes, and for a few.
_ROOM: Final = 1_024
_ROOM_AT_LEAST: Final = 1 << 22

_TABLES: Final = (
    "CREATE TABLE answers"
    " (question TEXT PRIMARY KEY, entry TEXT NOT NULL, keep_until REAL NOT NULL) WITHOUT ROWID",
    "CREATE INDEX answers_by_end ON answers (keep_until)",
    "CREATE TABLE deletions (number INTEGER PRIMARY KEY AUTOINCREMENT,"
    " question TEXT NOT NULL UNIQUE, deleted_at REAL NOT NULL, writer TEXT NOT NULL)",
    "CREATE INDEX deletions_by_time ON deletions (deleted_at)",
    f"PRAGMA application_id = {_APPLICATION}",
    f"PRAGMA user_version = {_VERSION}",
)
_T = TypeVar("_T")


class Database:
    """An open file. `writer` tells this process's deletions from those of others.

    `opened_after` is the number of the last deletion before. Everything raises `sqlite3.Error` when
    it can't be done; only opening raises `CacheError`.
    """

    def __init__(self, path: Path, writer: str, max_answers: int) -> None:
        self._writer = writer
        self._max_answers = max_answers
        self._until_tidied = self.opened_after = 0
        try:
            # Whom a server talks to is not everybody's business.
            os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
            # Statements are few, and the same; transactions are begun and ended here.
            self._connection = sqlite3.connect(path, timeout=_BUSY, isolation_level=None)
        except (OSError, sqlite3.Error) as error:
            raise unusable(path, error) from error
        try:
            _patiently(self._prepare)
        except (CacheError, sqlite3.Error) as error:
            self._connection.close()
            raise unusable(path, error) from error

    def close(self) -> None:
        """Close the file; the last process that does leaves one file only."""
        self._connection.close()

    def read(self, keys: Sequence[str], now: float) -> dict[str, Write | CacheError]:
        """Return what became of the questions with these keys, or why what is kept is of no use."""
        deleted = self._deleted(keys, now)
        found: dict[str, Write | CacheError] = {key: Write(None, deleted[key]) for key in keys}
        for key, data in self._kept(keys, now):
            entry = _parsed(key, data)
            found[key] = entry if isinstance(entry, CacheError) else Write(entry, deleted[key])
        return found

    def write(self, writes: Mapping[str, Write], now: float) -> None:
        """Do all of `writes` or, if that fails, nothing."""
        self._in_one(lambda: self._write(writes, now))
        self._until_tidied -= len(writes)
        if self._until_tidied <= 0:
            self._in_one(lambda: self._forget(now))
            for _ in range(_IN_A_ROW):
                if not self._in_one(self._evict):
                    break
            self._until_tidied = max(1, min(_AT_A_TIME, self._max_answers // 100))

    def last_deletion(self) -> int:
        """Return the number of the last deletion; numbers go on when deletions are forgotten."""
        rows = self._rows("SELECT seq FROM sqlite_sequence WHERE name = 'deletions'")
        return rows[0][0] if rows else 0

    def deleted_elsewhere(self, after: int) -> tuple[int, list[str]]:
        """Return the keys that others deleted since `after`, and the number of the last deletion.

        There may be more.
        """
        rows = self._rows(
            "SELECT number, question, writer FROM deletions WHERE number > ?"
            " ORDER BY number LIMIT ?",
            after,
            _MOST_TOLD,
        )
        told = [key for _, key, writer in rows if writer != self._writer]
        return (rows[-1][0] if rows else after), told

    def _prepare(self) -> None:
        """Make the tables if there are none; see that they are ours before anything is changed."""
        is_new = self._marks() == (0, 0) and not self._rows("SELECT 1 FROM sqlite_master LIMIT 1")
        application, version = (_APPLICATION, _VERSION) if is_new else self._marks()
        if application != _APPLICATION:
            raise CacheError("it is a database of something else", temporary=False)
        if version != _VERSION:
            reason = f"its version is {version}, not {_VERSION}: delete it, it is but a cache"
            raise CacheError(reason, temporary=False)
        self._rows("PRAGMA journal_mode = WAL")
        # A crash of this process loses nothing, one of the machine the last writes at most.
        self._rows("PRAGMA synchronous = NORMAL")
        if is_new:
            self._in_one(self._create)
        self.read(["check"], 0)
        self.opened_after = self.last_deletion()

    def _create(self) -> None:
        if self._marks() == (0, 0):  # no other process has, meanwhile
            for statement in _TABLES:
                self._rows(statement)

    def _marks(self) -> tuple[int, int]:
        (application,), (version,) = (
            *self._rows("PRAGMA application_id"),
            *self._rows("PRAGMA user_version"),
        )
        return application, version

    def _kept(self, keys: Sequence[str], now: float) -> list[Any]:
        return self._rows(
            "SELECT question, CAST(entry AS BLOB) FROM answers"
            " WHERE question IN (SELECT value FROM json_each(?)) AND keep_until > ?"
            " AND length(CAST(entry AS BLOB)) <= ?",
            json.dumps(keys),
            now,
            LARGEST,
        )

    def _write(self, writes: Mapping[str, Write], now: float) -> None:
        before = self._before(list(writes), now)
        after = {key: before[key].then(write) for key, write in writes.items()}
        deletions = [
            (key, after[key].deleted_at, self._writer)
            for key, write in writes.items()
            if write.deleted_at
        ]
        if deletions:
            told = json.dumps(deletions)
            self._rows(
                "DELETE FROM answers WHERE question IN"
                " (SELECT json_extract(value, '$[0]') FROM json_each(?))",
                told,
            )
            self._rows(
                "REPLACE INTO deletions (question, deleted_at, writer)"
                " SELECT json_extract(value, '$[0]'),"
                " json_extract(value, '$[1]'), json_extract(value, '$[2]') FROM json_each(?)",
                told,
            )
        entries = [
            (key, write.entry.to_json().decode(), write.entry.keep_until)
            for key, write in after.items()
            if write.entry is not None
        ]
        if entries:
            self._rows(
                "REPLACE INTO answers (question, entry, keep_until)"
                " SELECT json_extract(value, '$[0]'),"
                " json_extract(value, '$[1]'), json_extract(value, '$[2]') FROM json_each(?)",
                json.dumps(entries),
            )

    def _before(self, keys: Sequence[str], now: float) -> dict[str, Write]:
        """Return what became of these questions, less entries that can't be believed."""
        return {key: _believed(key, found, now) for key, found in self.read(keys, now).items()}

    def _deleted(self, keys: Sequence[str], now: float) -> Mapping[str, float]:
        """Return when the questions with these keys were deleted last, 0 if never."""
        rows = self._rows(
            "SELECT question, deleted_at FROM deletions"
            " WHERE question IN (SELECT value FROM json_each(?))"
            " AND deleted_at BETWEEN ? AND ?",
            json.dumps(keys),
            now - _DELETIONS_KEPT,
            now + _SKEW,
        )
        return defaultdict(float, rows)

    def _forget(self, now: float) -> None:
        """Delete some of the answers that have ended, and the deletions."""
        ended = "SELECT question FROM answers WHERE keep_until <= ? LIMIT ?"
        self._rows(f"DELETE FROM answers WHERE question IN ({ended})", now, _AT_A_TIME)
        self._rows(
            "DELETE FROM deletions WHERE deleted_at NOT BETWEEN ? AND ?",
            now - _DELETIONS_KEPT,
            now + _SKEW,
        )

    def _evict(self) -> bool:
        """Delete some of the answers that end first if there are too many; return whether any."""
        ((count,),) = self._rows("SELECT count(*) FROM answers")
        ((pages,), (free,), (size,)) = (
            *self._rows("PRAGMA page_count"),
            *self._rows("PRAGMA freelist_count"),
            *self._rows("PRAGMA page_size"),
        )
        too_many = count - self._max_answers
        if (pages - free) * size > max(_ROOM_AT_LEAST, self._max_answers * _ROOM):
            too_many = max(too_many, count // 10)
        if too_many <= 0:
            return False
        first = "SELECT question FROM answers ORDER BY keep_until LIMIT ?"
        self._rows(f"DELETE FROM answers WHERE question IN ({first})", min(too_many, _AT_A_TIME))
        return True

    def _in_one(self, do: Callable[[], _T]) -> _T:
        """Do it in one transaction, in which nobody else writes."""
        self._rows("BEGIN IMMEDIATE")
        try:
            done = do()
            self._rows("COMMIT")
        except BaseException:
            with suppress(sqlite3.Error):  # it may have been ended by what went wrong
                self._rows("ROLLBACK")
            raise
        return done

    def _rows(self, statement: str, *values: object) -> list[Any]:
        with closing(self._connection.execute(statement, values)) as cursor:
            return cursor.fetchall()


def unusable(path: Path, error: BaseException) -> CacheError:
    """Return what is told of a file that can't be used."""
    reason = error.strerror if isinstance(error, OSError) and error.strerror else error
    temporary = getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_BUSY
    return CacheError(f"{path}: {reason}", temporary=temporary)


def _patiently(do: Callable[[], None]) -> None:
    """Do it again as long as another process has the file locked, for a few seconds.

    SQLite itself does not wait where two open a new file at once.
    """
    until = time.monotonic() + _OPENING
    while True:
        try:
            return do()
        except sqlite3.OperationalError as error:
            code = getattr(error, "sqlite_errorcode", 0) & 0xFF
            if code not in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
                raise
            if time.monotonic() >= until:
                raise
        time.sleep(_BUSY)


def _parsed(key: str, data: bytes) -> CacheEntry | CacheError:
    try:
        entry = CacheEntry.from_json(data)
    except CacheError as error:
        return error
    if entry.key != key:
        return CacheError(f"the file has another question's entry as one of {key}", temporary=False)
    return entry


def _believed(key: str, found: Write | CacheError, now: float) -> Write:
    if isinstance(found, CacheError):
        return Write()
    question = question_of(key)
    is_good = question is not None and is_believable(question, found.entry, now)
    return found if is_good else Write(None, found.deleted_at)
