"""Turns of requests: so many at once, and so many of them to one server."""

import asyncio
import gc

from matrix_resolve.federation.turns import Turns


async def begun(task: "asyncio.Task[object]") -> bool:
    """Whether a task that takes a turn has it, once the loop has turned."""
    for _ in range(5):
        await asyncio.sleep(0)
    return task.done()


async def test_one_server_has_so_many() -> None:
    """Spellings of its name are one server; the turns of others are not taken."""
    turns = Turns(3, 1)
    first = await turns.take("example.org")
    second = asyncio.create_task(turns.take("EXAMPLE.org"))
    assert not await begun(second)
    other = await turns.take("other.example")
    turns.give_back(first)
    assert await begun(second)
    turns.give_back(second.result())
    turns.give_back(other)


async def test_without_a_limit_for_one_server() -> None:
    """One server may have all turns."""
    turns = Turns(2, None)
    held = [await turns.take("example.org") for _ in range(2)]
    third = asyncio.create_task(turns.take("example.org"))
    assert not await begun(third)
    turns.give_back(held.pop())
    assert await begun(third)


async def test_cancelled_while_others_have_all_turns() -> None:
    """Who is cancelled then keeps no turn of its server's."""
    turns = Turns(1, 1)
    held = await turns.take("other.example")
    waiting = asyncio.create_task(turns.take("example.org"))
    assert not await begun(waiting)
    waiting.cancel()
    await asyncio.wait([waiting])
    turns.give_back(held)
    again = asyncio.create_task(turns.take("example.org"))
    assert await begun(again)


async def test_servers_are_forgotten() -> None:
    """Nothing is kept of a server that has no turn."""
    turns = Turns(2, 1)
    for number in range(100):
        turns.give_back(await turns.take(f"h{number}.example"))
    gc.collect()
    assert not turns._turns_of
