"""A cache of one's own: in a file, by SQLite, so that answers outlive a restart.

Entries are stored as the JSON that they make themselves. `CacheError` means "as if nothing had
been cached"; any other exception would count as a bug in the cache.
"""

import asyncio
import sqlite3
import sys
import time
from contextlib import closing
from pathlib import Path

from matrix_resolve import CacheEntry, CacheError, Question, open_resolver


class TableCache:
    """Keeps entries in an SQLite database until their `keep_until`."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database
        with database:
            database.execute(
                "CREATE TABLE IF NOT EXISTS answers"
                " (question TEXT PRIMARY KEY, entry BLOB NOT NULL, keep_until REAL NOT NULL)"
            )
            database.execute("DELETE FROM answers WHERE keep_until <= ?", (time.time(),))

    async def get(self, question: Question, /) -> CacheEntry | None:
        """Return the entry; one that can't be read raises `CacheError`, which counts as none."""
        row = self._execute(
            "SELECT entry FROM answers WHERE question = ? AND keep_until > ?",
            question.key,
            time.time(),
        ).fetchone()
        return None if row is None else CacheEntry.from_json(row[0])

    async def put(self, question: Question, entry: CacheEntry, /) -> None:
        """Store the entry in place of the one before."""
        self._execute(
            "REPLACE INTO answers VALUES (?, ?, ?)", question.key, entry.to_json(), entry.keep_until
        )

    async def delete(self, question: Question, /) -> None:
        """Drop the entry."""
        self._execute("DELETE FROM answers WHERE question = ?", question.key)

    def _execute(self, statement: str, *values: object) -> sqlite3.Cursor:
        try:
            with self._database:
                return self._database.execute(statement, values)
        except sqlite3.Error as error:
            raise CacheError(str(error)) from error


async def main(path: Path, name: str) -> None:
    """Resolve a name; run it twice, and the second time nothing is asked."""
    with closing(sqlite3.connect(path)) as database:
        async with open_resolver(cache=TableCache(database)) as resolver:
            print((await resolver.resolve(name)).explain())


if __name__ == "__main__":
    asyncio.run(main(Path("answers.sqlite"), (sys.argv[1:] or ["matrix.org"])[0]))
