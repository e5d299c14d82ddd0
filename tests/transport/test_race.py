"""When each address is dialled, in a loop whose time leaps."""

import asyncio
import math
from collections.abc import Callable
from typing import Any

import aiohttp
import pytest
from attrs import frozen
from leaping import leaping

from matrix_resolve.transport.attempts import Budget, ConnectionAttempt, OvertakenError
from matrix_resolve.transport.connections import Connections
from matrix_resolve.transport.failures import Failure
from matrix_resolve.transport.race import Dialler, Race


@frozen(kw_only=True)
class Door:
    """An address: seconds until TCP connects, TLS has, it fails, and the response comes."""

    tcp: float = math.inf
    tls: float = math.inf
    fails: float = math.inf
    answers: float = 0.0


REFUSES = Door(fails=0.01)
NOWHERE = Door()
MUTE = Door(tcp=0.02)
GOOD = Door(tcp=0.02, tls=0.04)


class Story:
    """A race over `doors`, and what happened when."""

    def __init__(self, *doors: Door, connect_timeout: float = 5.0, room: int = 100) -> None:
        self.doors = {f"192.0.2.{n}": door for n, door in enumerate(doors, 1)}
        self.connect_timeout = connect_timeout
        self.dialled: dict[int, float] = {}
        self.ended: dict[int, float] = {}
        self.failures: dict[str | None, Failure] = {}
        session: Any = None
        self.dialler = Dialler(session, Connections(room), {})

    async def run(self) -> int | None:
        """Which door it is that answers, the first is 1."""
        loop = asyncio.get_running_loop()
        began = loop.time()

        async def send(attempt: ConnectionAttempt, seconds: float | None) -> aiohttp.ClientResponse:
            assert attempt.addresses is not None
            assert seconds is not None
            ((address, _),) = attempt.addresses
            number = int(address.rpartition(".")[2])
            door = self.doors[address]
            attempt.dialled.append(address)
            self.dialled[number] = round(loop.time() - began, 3)

            async def connect() -> None:
                await asyncio.sleep(min(door.tcp, door.fails))
                if door.fails <= door.tcp:
                    error = OSError(111, "refused")
                    raise aiohttp.ClientConnectorError(_KEY, error) from error
                attempt.has_tcp = True
                await asyncio.sleep(door.tls - door.tcp)

            try:
                try:
                    async with asyncio.timeout(seconds):
                        await connect()
                except TimeoutError:
                    raise aiohttp.ConnectionTimeoutError from None
                attempt.claim()
                await asyncio.sleep(door.answers)
                response: Any = number
                return response  # type: ignore[no-any-return]
            finally:
                self.ended[number] = round(loop.time() - began, 3)

        race = Race(self.dialler, send, self.connect_timeout, self.failures)
        addresses = self.dialler.in_order([(address, 443) for address in self.doors])
        attempts = [ConnectionAttempt("key", [address], Budget()) for address in addresses]
        response: Any = await race.run(attempts)
        return response  # type: ignore[no-any-return]


_KEY = aiohttp.client_reqrep.ConnectionKey("a.test", 443, True, True, None, None, None)

RACES = [
    # doors, the one that answers, when each was dialled
    pytest.param([GOOD], 1, [0], id="one"),
    pytest.param([REFUSES], None, [0], id="one that refuses"),
    pytest.param([GOOD, GOOD], 1, [0], id="the first is quick"),
    pytest.param([Door(tcp=0.2, tls=1.4), GOOD], 1, [0], id="the first takes its time"),
    pytest.param([REFUSES, GOOD], 2, [0, 0.01], id="the next at once after a failure"),
    pytest.param([NOWHERE, GOOD], 2, [0, 0.25], id="beside one that does not connect"),
    pytest.param([MUTE, GOOD], 2, [0, 1.5], id="beside one that is mute"),
    pytest.param([NOWHERE, NOWHERE, GOOD], 3, [0, 0.25, 0.5], id="two that do not connect"),
    pytest.param([MUTE, NOWHERE, MUTE, GOOD], 4, [0, 1.25, 1.5, 3.0], id="mixed"),
    pytest.param([NOWHERE, REFUSES, GOOD], 3, [0, 0.25, 0.26], id="one fails beside another"),
    pytest.param([Door(tcp=0.1, tls=1.6), MUTE, GOOD], 1, [0, 1.5], id="late, but the first"),
    pytest.param([Door(tcp=0.1, fails=0.05), GOOD], 2, [0, 0.05], id="reset"),
    pytest.param([NOWHERE, MUTE], None, [0, 0.25], id="none"),
]


@pytest.mark.parametrize(("doors", "winner", "dialled"), RACES)
def test_when_each_is_dialled(doors: list[Door], winner: int | None, dialled: list[float]) -> None:
    """Each has its head start, longer once TCP has connected, and no more than its share."""
    story = Story(*doors)
    assert leaping(story.run()) == winner
    assert story.dialled == dict(enumerate(dialled, 1))
    assert max(story.ended.values()) <= 5


def test_little_time_is_shared() -> None:
    """With little time to connect each has its share of it."""
    story = Story(MUTE, MUTE, GOOD, connect_timeout=0.6)
    assert leaping(story.run()) == 3
    assert story.dialled == {1: 0, 2: 0.2, 3: 0.4}


def test_it_ends_in_time() -> None:
    """All have ended when the time is over, and each is told."""
    story = Story(NOWHERE, MUTE, REFUSES)
    assert leaping(story.run()) is None
    assert story.ended == {1: 5, 2: 5, 3: 1.51 + 0.25}
    assert {at: failure.reason for at, failure in story.failures.items()} == {
        "192.0.2.1": "no connection within 5 s",
        "192.0.2.2": "no connection within 5 s: TCP connected, TLS did not",
        "192.0.2.3": "[Errno 111] refused",
    }


def test_the_others_end_when_there_is_a_connection() -> None:
    """However long the response takes then."""
    story = Story(MUTE, Door(tcp=0.1, tls=0.2, answers=60), GOOD)
    assert leaping(story.run()) == 2
    assert story.ended == {1: 1.7, 2: 61.7}


def test_those_that_failed_or_were_overtaken_are_tried_last() -> None:
    """For a minute; what answers is as good as any."""
    story = Story(MUTE, REFUSES, GOOD)

    async def twice() -> list[list[int]]:
        orders = []
        for seconds in (0, 30, 31):
            await asyncio.sleep(seconds)
            story.dialled.clear()
            await story.run()
            orders.append(list(story.dialled))
        return orders

    assert leaping(twice()) == [[1, 2, 3], [3], [1, 2, 3]]


def test_a_mute_proxy_is_not_dialled_for_a_while() -> None:
    """Then it is given another chance."""
    dialler = Story().dialler
    failure = Failure("mute", is_own=True)

    async def story() -> list[Failure | None]:
        dialler.proxy_failed("http://a", failure)
        told = [dialler.failure_of_proxy("http://b")]
        for seconds in (0, 4.9, 0.2):
            await asyncio.sleep(seconds)
            told.append(dialler.failure_of_proxy("http://a"))
        return told

    assert leaping(story()) == [None, failure, failure, None]


async def test_what_answers_is_as_good_as_any() -> None:
    """The last that was heard of an address counts."""
    session: Any = None
    dialler = Dialler(session, Connections(9), {})
    first, second = ("192.0.2.1", 443), ("192.0.2.2", 443)
    failed = ConnectionAttempt("key", [first], Budget())
    failed.dialled.append("192.0.2.1")
    dialler.failed(failed)
    assert dialler.in_order([first, second]) == [second, first]
    dialler.answered(failed)
    assert dialler.in_order([first, second]) == [first, second]


def test_cancelled() -> None:
    """Who is cancelled ends every attempt."""
    story = Story(MUTE, NOWHERE)

    async def cancelled() -> None:
        task = asyncio.create_task(story.run())
        await asyncio.sleep(2)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    leaping(cancelled())
    assert story.ended == {1: 2, 2: 2}


def test_one_claim() -> None:
    """Nothing is sent at a second address, even if it connects at the same moment."""
    session: Any = None
    race = Race(Dialler(session, Connections(9), {}), _never, 5, {})
    first, second = (ConnectionAttempt("key", [("192.0.2.1", 443)], Budget()) for _ in range(2))
    first.race = second.race = race
    first.claim()
    first.claim()  # when it is repeated
    with pytest.raises(OvertakenError):
        second.claim()
    assert not second.has_sent


async def _never(attempt: ConnectionAttempt, seconds: float | None) -> aiohttp.ClientResponse:
    raise AssertionError


@pytest.mark.parametrize("doors", [[GOOD], [MUTE, GOOD], [REFUSES, NOWHERE]])
def test_room_that_is_not_used_is_left(doors: list[Door]) -> None:
    """What an attempt was promised and did not open is there for others."""
    story = Story(*doors, room=len(doors))

    async def again(ask: Callable[[], Any]) -> None:
        for _ in range(3):
            await ask()

    leaping(again(story.run))


def test_a_rival_waits_for_room() -> None:
    """Where there is room for one only, the next is dialled when that has had its turn."""
    story = Story(Door(tcp=0.1, fails=math.inf), GOOD, room=1)
    assert leaping(story.run()) == 2
    assert story.dialled[1] == 0
    assert story.ended[1] == story.dialled[2] < 2


def test_nothing_is_dialled_once_there_is_a_connection() -> None:
    """Not even by who waited for room at that moment."""
    story = Story(Door(tcp=0.3, tls=0.4), MUTE, room=1)
    assert leaping(story.run()) == 1
    assert story.dialled == {1: 0}


async def test_what_a_caller_does_wrong() -> None:
    """An error that is none of connecting comes out."""

    async def send(attempt: ConnectionAttempt, seconds: float | None) -> aiohttp.ClientResponse:
        raise TypeError("no such setting")

    session: Any = None
    race = Race(Dialler(session, Connections(9), {}), send, 5, {})
    attempts = [ConnectionAttempt("key", [(ip, 443)], Budget()) for ip in ("::1", "::2")]
    with pytest.raises(TypeError):
        await race.run(attempts)


@pytest.mark.parametrize("room", [1, 2])
@pytest.mark.parametrize("bad", [MUTE, NOWHERE], ids=["mute", "nowhere"])
def test_without_room_they_take_turns(room: int, bad: Door) -> None:
    """Where there is no room beside those being dialled, the next is dialled in their place."""
    story = Story(bad, bad, GOOD, room=room)
    assert leaping(story.run()) == 3
    assert list(story.dialled) == [1, 2, 3]
    assert max(story.dialled.values()) <= 3.2
    assert sorted(map(str, story.failures)) == ["192.0.2.1", "192.0.2.2"]
    assert story.dialler.connections._promised == 0


def test_what_was_not_dialled_is_not_blamed() -> None:
    """An address for which there was never room is as good as before, and the trouble our own."""
    story = Story(MUTE, GOOD, room=1)

    async def run() -> int | None:
        other = ConnectionAttempt("key", [("192.0.2.9", 443)], Budget())
        race = asyncio.create_task(story.run())
        await asyncio.sleep(1)
        asyncio.get_running_loop().create_task(story.dialler.connections.make_room(other))
        return await race

    assert leaping(run()) is None
    assert story.failures["192.0.2.2"].is_own
    assert story.dialled == {1: 0}
