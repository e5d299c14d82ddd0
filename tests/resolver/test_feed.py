"""What is heard from other processes, however much of it there is."""

import asyncio
from collections.abc import AsyncGenerator

from worlds import World

from matrix_resolve import MemoryCache


async def test_a_feed_that_never_waits() -> None:
    """Others have their turns between one word and the next."""
    many, turns = 20_000, 0
    heard = asyncio.Event()

    class Talkative(MemoryCache):
        async def invalidations(self) -> AsyncGenerator[str | None, None]:
            """Tell everything at once."""
            yield None
            for number in range(many):
                yield f"wk:{number}.example"
            heard.set()
            await asyncio.Event().wait()

    world = World()
    world.cache = Talkative(clock=world.clock)
    async with world.resolver():
        while not heard.is_set():
            turns += 1
            await asyncio.sleep(0)
    assert turns >= many
