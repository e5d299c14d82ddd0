"""A process of its own that resolves names with a shared cache, as it is told on stdin.

    python tests/integration/worker.py '{"port": 6379, "documents": {"example.org": {...}}}'

Each line on stdin is a command, `{"do": "resolve", "name": "example.org"}`, and is answered by one
line on stdout. It ends with its stdin.
"""

import asyncio
import json
import sys
import time
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, aclosing
from typing import Any

from redis.asyncio import Redis

from matrix_resolve import CacheEntry, CacheError, MemoryCache, Policy, Resolver
from matrix_resolve.backends.cache_redis.cache import RedisCache
from matrix_resolve.backends.cache_tiered import TieredCache
from matrix_resolve.core.questions import question_of
from matrix_resolve.testing import FakeAddresses, FakeSrv, FakeWellKnown


class Cache(TieredCache):
    """Memory before Redis, and whether the resolver hears what other processes delete."""

    def __init__(self, redis: RedisCache) -> None:
        super().__init__(MemoryCache(), redis)
        self.listens = asyncio.Event()

    async def invalidations(self) -> AsyncGenerator[str | None, None]:
        """Do what any such cache does, and note that it is listened to."""
        async with aclosing(super().invalidations()) as keys:
            async for key in keys:
                self.listens.set()
                yield key


class Worker:
    """Resolvers, each with a cache and a Redis client of its own, over plug-ins that they share."""

    def __init__(self, settings: dict[str, Any]) -> None:
        self._settings = settings
        self._well_known = FakeWellKnown(settings["documents"], delay=settings["delay"])
        self._srv = FakeSrv()
        self._resolvers: list[Resolver] = []
        self._redis: RedisCache

    async def open(self, opened: AsyncExitStack) -> None:
        """Make the resolvers, and connect."""
        policy = Policy(well_known_timeout=self._settings["well_known_timeout"])
        for _ in range(self._settings["resolvers"]):
            client = await opened.enter_async_context(
                Redis(host="127.0.0.1", port=self._settings["port"])
            )
            self._redis = RedisCache(client, timeout=self._settings["timeout"])
            cache = Cache(self._redis)
            resolver = Resolver(
                well_known=self._well_known,
                srv=self._srv,
                addresses=FakeAddresses(),
                cache=cache,
                policy=policy,
            )
            self._resolvers.append(await opened.enter_async_context(resolver))
            await cache.listens.wait()

    async def do(self, command: dict[str, Any]) -> Any:
        """Do what was told, at the moment `at` if that is given."""
        await asyncio.sleep(command.get("at", 0.0) - time.time())
        name: str = command.get("name", "")
        match command["do"]:
            case "resolve":
                resolved = await asyncio.gather(*(each.resolve(name) for each in self._resolvers))
                return sorted({str(one.delegated_to) for one in resolved})
            case "invalidate":
                return await self._resolvers[0].invalidate(name)
            case "document":
                self._well_known.answers[name] = command["document"]
                return None
            case "asked":
                return [*self._well_known.asked, *self._srv.asked]
        question = question_of(name)
        assert question is not None
        match command["do"]:
            case "put":
                return await self._redis.put(question, CacheEntry.from_json(command["entry"]))
            case "get":
                entry = await self._redis.get(question)
                return None if entry is None else entry.to_json().decode()
            case "delete":
                return await self._redis.delete(question)
        raise ValueError(command)

    async def obey(self, line: str) -> None:
        """Do what `line` says, and answer."""
        try:
            answer: dict[str, Any] = {"did": await self.do(json.loads(line))}
        except CacheError as error:
            answer = {"failed": str(error)}
        print(json.dumps(answer), flush=True)


async def main() -> None:
    """Obey until stdin ends."""
    defaults = {
        "documents": {},
        "delay": 0.0,
        "resolvers": 1,
        "timeout": 60.0,
        "well_known_timeout": 10.0,
    }
    settings = {**defaults, **json.loads(sys.argv[1])}
    async with AsyncExitStack() as opened:
        worker = Worker(settings)
        await worker.open(opened)
        print(json.dumps({"did": "open"}), flush=True)
        while line := await asyncio.to_thread(sys.stdin.readline):
            await worker.obey(line)


if __name__ == "__main__":
    asyncio.run(main())
