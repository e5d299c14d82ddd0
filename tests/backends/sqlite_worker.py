"""A process of its own that uses a file as it is told on stdin, a line a command.

    python tests/backends/sqlite_worker.py PATH

Each is answered by a line of JSON: what came of it, or `{"failed": ...}`.
"""

import asyncio
import json
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

from matrix_resolve import CacheEntry, CacheError, SqliteCache
from matrix_resolve.core.questions import AskWellKnown, question_of


async def write_for_ever(cache: SqliteCache, entry: CacheEntry) -> None:
    """Put new names, and tell of each hundred that has been written; until it is killed."""
    for hundred in range(1_000_000):
        for number in range(100):
            question = AskWellKnown(f"n{hundred * 100 + number}.example")
            one = json.loads(entry.to_json()) | {"key": question.key}
            await cache.put(question, CacheEntry.from_json(json.dumps(one)))
        with suppress(CacheError):
            await cache.flush()
            print(hundred + 1, flush=True)


async def do(cache: SqliteCache, command: dict[str, Any]) -> Any:
    """Do what was told."""
    question = question_of(command["key"])
    assert question is not None
    match command["do"]:
        case "put":
            await cache.put(question, CacheEntry.from_json(command["entry"]))
            return await cache.flush()
        case "get":
            entry = await cache.get(question)
            return None if entry is None else entry.to_json().decode()
        case "delete":
            return await cache.delete(question)
        case "write for ever":
            return await write_for_ever(cache, CacheEntry.from_json(command["entry"]))
    raise ValueError(command)


async def main() -> None:
    """Obey until stdin ends."""
    async with SqliteCache(Path(sys.argv[1]), timeout=60) as cache:
        print(json.dumps("open"), flush=True)
        while line := await asyncio.to_thread(sys.stdin.readline):
            try:
                told = await do(cache, json.loads(line))
            except CacheError as error:
                told = {"failed": str(error)}
            print(json.dumps(told), flush=True)


if __name__ == "__main__":
    asyncio.run(main())
