"""When a question is tried and ended, alone or beside that for the other family.

The time leaps.
"""

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from itertools import count
from types import SimpleNamespace
from typing import Any

import aiodns
import pycares
import pytest
from dns_lookups import addresses, answer, asked_type, handmade
from leaping import leaping

from matrix_resolve.backends.dns_aiodns import AiodnsLookup
from matrix_resolve.backends.dns_aiodns.answers import NoAnswerError
from matrix_resolve.backends.dns_aiodns.tries import Known, Tries, planned

TIMEOUT = 10.0
REFUSED = aiodns.error.DNSError(6, "refused")
SERVFAIL = aiodns.error.DNSError(3, "failure")
NONE = aiodns.error.DNSError(4, "not found")
GIVEN_UP = aiodns.error.DNSError(12, "timeout")
DATA: Mapping[str, Any] = {
    "A": pycares.ARecordData("192.0.2.1"),
    "AAAA": pycares.AAAARecordData("2001:db8::1"),
}
TYPES = {"A": 1, "AAAA": 28}
HURRIED_AT = 0.1
LATER = pytest.mark.parametrize("late", ["A", "AAAA"])


class Server:
    """A name server: after how many seconds it answers about which type.

    `errors`: how it fails in place of that, when it is first asked; then it is silent.
    """

    def __init__(
        self, after: Mapping[str, float], errors: Mapping[str, Exception] | None = None
    ) -> None:
        self.asked: list[str] = []
        self._after = after
        self._errors = errors or {}

    def ask(self, name: str, kind: str, *hurry: Any) -> asyncio.Future[Any]:
        """Answer later, or never."""
        loop = asyncio.get_running_loop()
        answering: asyncio.Future[Any] = loop.create_future()
        fails_once = kind in self._errors and kind in self.asked
        self.asked.append(kind)
        if kind in self._after and not fails_once:
            loop.call_later(self._after[kind], self._answer, answering, name, kind)
        return answering

    ask_again = ask

    def forget(self, answering: asyncio.Future[Any]) -> None:
        """Keep nothing."""

    def _answer(self, answering: asyncio.Future[Any], name: str, kind: str) -> None:
        if answering.done():
            return
        if kind in self._errors:
            answering.set_exception(self._errors[kind])
        else:
            record = pycares.DNSRecord(name, TYPES[kind], 1, 60, DATA[kind])
            answering.set_result(SimpleNamespace(answer=[record]))


def ends(*servers: Server) -> dict[str, float]:
    """Look both families up; return after how many seconds each had its end, and see it found."""
    ended: dict[str, float] = {}

    async def story() -> None:
        loop = asyncio.get_running_loop()
        began = loop.time()
        # Between two looks at it a clock goes on; by rounding alone a timer may be too early.
        ticks = count(step=1e-9)
        plan = planned([Known(server) for server in servers])  # type: ignore[arg-type]
        both = {
            kind: Tries("example.org", kind, plan, TIMEOUT, lambda: loop.time() + next(ticks))
            for kind in ("A", "AAAA")
        }
        both["A"].beside(both["AAAA"])
        both["AAAA"].beside(both["A"])

        async def end(kind: str) -> None:
            with suppress(NoAnswerError):
                await both[kind].answer
            ended[kind] = round(loop.time() - began, 3)

        await asyncio.gather(*map(end, both))
        for tries in both.values():
            tries.give_up()

    leaping(story())
    return ended


def other(kind: str) -> str:
    """The family beside this."""
    return "A" if kind == "AAAA" else "AAAA"


@LATER
@pytest.mark.parametrize("many", [1, 2, 3, 9, 14, 20])
@pytest.mark.parametrize("found_at", [0.01, 0.3, 3.5, 4.5])
def test_missing_family_ends_at_half(late: str, many: int, found_at: float) -> None:
    """Whether or not all tries have been made by then, and however many are planned."""
    servers = [Server({other(late): found_at}) for _ in range(many)]
    assert ends(*servers) == {other(late): found_at, late: TIMEOUT / 2}


@LATER
@pytest.mark.parametrize("many", [1, 2, 14])
def test_missing_family_whose_tries_c_ares_gave_up(late: str, many: int) -> None:
    """What is planned for the end of its time does not hold it beyond half."""
    gives_up = {other(late): 3.5, late: 3.4}
    servers = [Server(gives_up, {late: GIVEN_UP}) for _ in range(many)]
    assert ends(*servers) == {other(late): 3.5, late: TIMEOUT / 2}


@LATER
@pytest.mark.parametrize("found_at", [4.9, 5.1, 7.0, 9.4])
def test_family_that_is_a_little_later(late: str, found_at: float) -> None:
    """Where both are slow, the one does not cut off the other."""
    last = min(found_at + 0.2, TIMEOUT * 0.97)
    ended = ends(Server({other(late): found_at, late: last}))
    assert ended == {other(late): found_at, late: pytest.approx(last)}


@LATER
@pytest.mark.parametrize("found_at", [4.9, 5.1, 7.0, 9.5])
def test_family_that_is_much_later(late: str, found_at: float) -> None:
    """Near half the time or after it, the other waits for one step of the plan."""
    assert ends(Server({other(late): found_at})) == {
        other(late): found_at,
        late: pytest.approx(min(found_at + 0.04 * TIMEOUT, 0.97 * TIMEOUT)),
    }


@LATER
@pytest.mark.parametrize("error", [REFUSED, NONE], ids=["a failure", "there are none"])
def test_family_beside_nothing(late: str, error: Exception) -> None:
    """It has all its time."""
    server = Server({other(late): 0.1, late: 9.6}, {other(late): error})
    assert ends(server) == {other(late): 0.1, late: 9.6}
    server = Server({other(late): 0.1}, {other(late): error})
    assert ends(server) == {other(late): 0.1, late: TIMEOUT * 0.97}


@LATER
def test_family_that_only_the_second_server_knows(late: str) -> None:
    """It is asked in its turn, though the first has told the other family."""
    first, second = Server({other(late): 0.01}), Server({late: 0.02})
    assert ends(first, second) == {other(late): 0.01, late: pytest.approx(0.42)}
    assert second.asked == [late]


# Tries that are hurried on


class Scripted:
    """A server whose tries end as told: after how many seconds since the beginning, and how."""

    def __init__(self, *tries: tuple[float, Exception | None]) -> None:
        self.asked: list[float] = []  # when
        self.first: list[tuple[asyncio.Future[Any], Any]] = []  # and what hurries it on
        self._tries = list(tries)

    def ask(self, name: str, kind: str, *hurry: Any) -> asyncio.Future[Any]:
        """End as told, or never."""
        loop = asyncio.get_running_loop()
        answering: asyncio.Future[Any] = loop.create_future()
        self.asked.append(round(loop.time() - 1000, 3))
        if hurry:
            self.first.append((answering, *hurry))
        if self._tries:
            at, error = self._tries.pop(0)
            loop.call_at(1000 + at, self._end, answering, name, kind, error)
        return answering

    ask_again = ask

    def forget(self, answering: asyncio.Future[Any]) -> None:
        """Keep nothing."""

    def _end(self, answering: Any, name: str, kind: str, error: Exception | None) -> None:
        if answering.done():
            return
        if error is not None:
            answering.set_exception(error)
        else:
            record = pycares.DNSRecord(name, TYPES[kind], 1, 60, DATA[kind])
            answering.set_result(SimpleNamespace(answer=[record]))


def hurried(*servers: Scripted, at: float = HURRIED_AT) -> tuple[float, str]:
    """Ask, and hurry on what the last server was asked; return when it ended, and how it failed."""

    async def story() -> tuple[float, str]:
        loop = asyncio.get_running_loop()
        ticks = count(step=1e-9)
        plan = planned([Known(server) for server in servers])  # type: ignore[arg-type]
        tries = Tries("example.org", "A", plan, TIMEOUT, lambda: loop.time() + next(ticks))

        def hurry() -> None:
            ((answering, hurry),) = servers[-1].first
            hurry(answering)

        loop.call_at(1000 + at, hurry)
        told = ""
        try:
            await tries.answer
        except NoAnswerError as error:
            told = str(error)
        tries.give_up()
        return round(loop.time() - 1000, 3), told

    return leaping(story())


NEVER = (99.0, None)


def test_hurried() -> None:
    """The next try at that server is made at once, and not once more when it was planned."""
    server = Scripted()
    assert hurried(server) == (9.7, "no answer within 10 s")
    assert server.asked == [0, HURRIED_AT, 3]


def test_hurried_when_it_was_asked_again_already() -> None:
    """That one may take its time."""
    server = Scripted()
    hurried(server, at=1.0)
    assert server.asked == [0, 0.4, 3]


def test_hurried_by_another_server() -> None:
    """It is that one which is asked again."""
    first, second = Scripted(), Scripted()
    hurried(first, second, at=0.5)
    assert (first.asked, second.asked) == ([0, 0.4, 3], [0.4, 0.5])


def test_hurried_in_vain() -> None:
    """When what follows fails, the first is not waited for, and the reason is told."""
    assert hurried(Scripted(NEVER, (1.0, REFUSED))) == (1, "refused")
    first, second = Scripted((0.01, REFUSED)), Scripted(NEVER, (1.0, SERVFAIL))
    assert hurried(first, second) == (1, "refused; failure")


def test_hurried_though_its_answer_comes() -> None:
    """It is still listened to, whichever comes first, and also when c-ares gives up the other."""
    assert hurried(Scripted((0.5, None), (1.0, REFUSED))) == (0.5, "")
    assert hurried(Scripted(NEVER, (0.7, None))) == (0.7, "")
    assert hurried(Scripted((2.0, None), (1.0, GIVEN_UP))) == (2, "")


def test_hurried_when_it_was_answered() -> None:
    """Nothing more is asked."""
    server = Scripted((0.05, None))

    async def story() -> None:
        loop = asyncio.get_running_loop()
        plan = planned([Known(server)])  # type: ignore[arg-type]
        tries = Tries("example.org", "A", plan, TIMEOUT, loop.time)
        await tries.answer
        ((answering, hurry),) = server.first
        hurry(answering)
        tries.give_up()

    leaping(story())
    assert server.asked == [0]


# By real servers


async def test_both_late_by_real_servers() -> None:
    """Neither is lost."""

    def answers(query: Any) -> list[Any]:
        ip = "192.0.2.1" if asked_type(query) == "A" else "2001:db8::1"
        return [answer(query, f"example.org. 60 IN {asked_type(query)} {ip}")]

    for late in ({"A": 1.1, "AAAA": 1.13}, {"A": 1.13, "AAAA": 1.1}):
        async with (
            handmade(answers, late=late) as server,
            AiodnsLookup(nameservers=[server], timeout=2.0) as lookup,
        ):
            reply = await lookup.lookup_addresses("example.org")
            assert reply == addresses("192.0.2.1", "2001:db8::1", ttl=60)
