"""What asyncio lacks: an event that any number can wait for and leave."""

import asyncio

from worlds import settled

from matrix_resolve.resolver.tasks import Event


async def test_who_waits_goes_on_in_order() -> None:
    """All go on when it is set, in the order in which they came; later ones at once."""
    event, gone_on = Event(asyncio.get_running_loop()), list[int]()

    async def wait(number: int) -> None:
        await event.wait()
        gone_on.append(number)

    tasks = [asyncio.create_task(wait(number)) for number in range(20)]
    await settled()
    assert not event.is_set()
    event.set()
    await asyncio.gather(*tasks)
    await wait(20)
    assert (gone_on, event.is_set()) == ([*range(21)], True)


async def test_who_leaves_disturbs_nobody() -> None:
    """Who is cancelled leaves nothing behind, be it at the moment when it is set."""
    event = Event(asyncio.get_running_loop())
    tasks = [asyncio.create_task(event.wait()) for _ in range(3)]
    await settled()
    tasks[0].cancel()
    await settled()
    assert len(event._waiters) == 2
    tasks[1].cancel()
    event.set()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(result) for result in results] == [asyncio.CancelledError] * 2 + [type(None)]
