"""A cache in a file, by the standard library's SQLite: answers outlive a restart.

`cache.py` is what the event loop sees, `pending.py` what it has not yet written, `thread.py` the
thread that may wait for the disk, and `database.py` what that does there.
"""

from matrix_resolve.backends.cache_sqlite.cache import SqliteCache

__all__ = ["SqliteCache"]
