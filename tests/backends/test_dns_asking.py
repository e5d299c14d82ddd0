"""How dnspython's lookup asks: which name server when, again, without EDNS, and off the loop."""

import asyncio
import threading
from collections import Counter
from collections.abc import Callable
from typing import Any

import dns.exception
import dns.message
import dns.name
import dns.rcode
import pytest
from dns.message import QueryMessage
from dns.rdatatype import RdataType
from dns_lookups import (
    BOTH,
    HANGS,
    QUESTION,
    SHORT,
    SRV,
    addresses,
    answer,
    asked_type,
    either,
    empty,
    handmade,
)

from matrix_resolve.backends.dns_dnspython import DnspythonLookup, asking, servers
from matrix_resolve.backends.dns_dnspython.answers import Answer, read_answer
from matrix_resolve.backends.dns_dnspython.servers import Server
from matrix_resolve.errors import BackendError, SrvLookupError
from matrix_resolve.interfaces import SrvReply
from matrix_resolve.testing import LoopbackFederation

NAME = dns.name.from_text(QUESTION)
PATIENT = 3.0


class Scripted(Server):
    """A server that does what it is told to, and counts what it is asked."""

    def __init__(self, does: Callable[[], Answer] | BaseException | None) -> None:
        super().__init__()
        self.does = does
        self.asked = 0

    def __str__(self) -> str:
        return "scripted"

    async def _exchange(self, request: QueryMessage, patience: float) -> Answer:
        self.asked += 1
        if self.does is None:
            await asyncio.Event().wait()
        if isinstance(self.does, BaseException):
            raise self.does
        assert self.does is not None
        return self.does()


async def ask(*of: Server, within: float = SHORT) -> Answer:
    """Ask these servers a question."""
    return await asking.Servers(of, within).ask(NAME, RdataType.SRV)


def good() -> Answer:
    """Answer."""
    return Answer(ttl=1)


def bad() -> Answer:
    """Say that there is no answer."""
    return Answer(problem="SERVFAIL")


# Dead servers


DEAD = [
    pytest.param(None, id="silent"),
    pytest.param(ConnectionRefusedError(), id="nobody there"),
    pytest.param(OSError("unreachable"), id="unreachable"),
    pytest.param(EOFError(), id="hangs up"),
    pytest.param(dns.exception.FormError(), id="garbage"),
]


@pytest.mark.parametrize("dead", DEAD)
async def test_dead_server_is_asked_last(dead: BaseException | None) -> None:
    """Only the first question pays for a dead server; those after it ask it last."""
    one, two, three = Scripted(dead), Scripted(dead), Scripted(good)
    all_ = asking.Servers([one, two, three], SHORT)
    for number in range(1, 6):
        assert await all_.ask(NAME, RdataType.SRV) == good()
        assert (one.asked, two.asked, three.asked) == (1, 1, number)


@pytest.mark.parametrize("dead", DEAD)
async def test_dead_server_is_still_the_last_resort(dead: BaseException | None) -> None:
    """When the others fail, it is asked; once it answers, it has its place again."""
    one, two = Scripted(dead), Scripted(good)
    all_ = asking.Servers([one, two], SHORT)
    await all_.ask(NAME, RdataType.SRV)
    one.does, two.does = good, bad
    assert await all_.ask(NAME, RdataType.SRV) == good()
    two.does = good
    await all_.ask(NAME, RdataType.SRV)
    assert (one.asked, two.asked) == (3, 2)


async def test_dead_server_is_tried_again_by_one_question() -> None:
    """After a while one question finds out, and those beside it do not wait for that."""
    one, two = Scripted(None), Scripted(good)
    all_ = asking.Servers([one, two], SHORT)
    await all_.ask(NAME, RdataType.SRV)
    one._silent_until = 0.0  # a moment that is over
    await asyncio.gather(*(all_.ask(NAME, RdataType.SRV) for _ in range(20)))
    assert one.asked == 2
    one._silent_until = 0.0
    one.does = good
    for _ in range(5):
        await all_.ask(NAME, RdataType.SRV)
    assert one.asked == 7


@pytest.mark.parametrize("does", [bad, None], ids=["SERVFAIL", "silent, as the others are"])
async def test_what_is_not_dead(does: Callable[[], Answer] | None) -> None:
    """A server that says that it failed, or is silent as all others are, keeps its place."""
    one, two = Scripted(does), Scripted(good if does else None)
    all_ = asking.Servers([one, two], SHORT)
    for number in range(1, 3):
        if does is None:
            with pytest.raises(asking.NoAnswerError, match=r"^no answer within 0\.3 s$"):
                await all_.ask(NAME, RdataType.SRV)
        else:
            await all_.ask(NAME, RdataType.SRV)
        assert one.asked == number
    assert not one.comes_last()


async def test_server_that_is_slow_is_still_listened_to() -> None:
    """While the next is asked, the answer of the first is still good."""
    asked = asyncio.Event()

    class Slow(Scripted):
        async def _exchange(self, request: QueryMessage, patience: float) -> Answer:
            await asked.wait()
            return good()

    class Next(Scripted):
        async def _exchange(self, request: QueryMessage, patience: float) -> Answer:
            asked.set()
            await asyncio.Event().wait()
            raise AssertionError

    one, two = Slow(None), Next(None)
    assert await ask(one, two, within=HANGS) == good()
    assert not one.comes_last()
    assert two.comes_last()


async def test_bug_is_not_hidden() -> None:
    """What is no failure of a server comes out as it is."""
    with pytest.raises(ZeroDivisionError):
        await ask(Scripted(None), Scripted(ZeroDivisionError()))


ERRORS = [
    # how the servers failed, what is told
    pytest.param([], r"^no answer within 0\.3 s$", id="nothing"),
    pytest.param([None, None], r"^no answer within 0\.3 s$", id="no answer"),
    pytest.param([None, bad], "^scripted: SERVFAIL$", id="one of two"),
    pytest.param([bad, bad], "^scripted: SERVFAIL; scripted: SERVFAIL$", id="both"),
    pytest.param([EOFError()], "^scripted: EOFError$", id="no text"),
    pytest.param([OSError("\n\x1b\u202e")], r"\: \\n\\x1b\\u202e$", id="control characters"),
    pytest.param([OSError("x" * 9999)], "^scripted: x{190}$", id="long"),
]


@pytest.mark.parametrize(("does", "told"), ERRORS)
async def test_reason(does: list[Any], told: str) -> None:
    """How each server failed is told on one short line, unless it just did not answer."""
    with pytest.raises(asking.NoAnswerError, match=told):
        await ask(*map(Scripted, does))


async def test_dead_nameserver_on_loopback(loopback_federation: LoopbackFederation) -> None:
    """It is asked once, over UDP, where it never answers."""
    loopback_federation.add("example.org", addresses=["192.0.2.1"])
    asked = set()

    def answers(query: dns.message.Message) -> list[Any]:
        asked.add(query.id)
        return []

    async with handmade(answers) as dead:
        given = [dead, loopback_federation.nameserver]
        async with DnspythonLookup(nameservers=given, timeout=PATIENT) as lookup:
            for _ in range(4):
                assert not (await lookup.lookup_srv("example.org")).records
            assert await lookup.lookup_addresses("example.org") == addresses("192.0.2.1")
    assert len(asked) == 1


# Without EDNS


def records_of(query: dns.message.Message) -> list[str]:
    """The records that example.org has."""
    data = {"SRV": "0 0 1 a.example.", "A": "192.0.2.1", "AAAA": "2001:db8::1"}
    return [f"example.org. 60 IN {asked_type(query)} {data[asked_type(query)]}"]


def refused(query: dns.message.Message, rcode: str, form: str) -> Any:
    """An answer that refuses the OPT record."""
    response = answer(query, rcode=dns.rcode.from_text(rcode))
    if form == "without OPT" and rcode != "BADVERS":  # an rcode over 15 needs it
        response.use_edns(False)
    if form == "header only" and rcode != "BADVERS":
        response.use_edns(False)
        response.question.clear()
    return response


@BOTH
@pytest.mark.parametrize("form", ["with OPT", "without OPT", "header only"])
@pytest.mark.parametrize("rcode", ["FORMERR", "NOTIMP", "BADVERS"])
async def test_server_without_edns(
    kind: str, failure: type[BackendError], rcode: str, form: str
) -> None:
    """It is asked once more without, and from then on, for a while, without at once."""
    asked: Counter[int] = Counter()

    def answers(query: dns.message.Message) -> list[Any]:
        asked[query.edns] += 1
        if query.edns >= 0:
            return [refused(query, rcode, form)]
        return [answer(query, *records_of(query))]

    types = 1 if kind == "SRV" else 2
    async with (
        handmade(answers) as server,
        DnspythonLookup(nameservers=[server], timeout=HANGS) as lookup,
    ):
        for number in range(1, 4):
            assert await either(lookup, kind)(QUESTION) != empty(kind)
            assert asked == {0: types, -1: types * number}
        (of,) = lookup._servers._servers
        of._plain_until = 0.0  # a moment that is over
        await either(lookup, kind)(QUESTION)
        assert asked == {0: types * 2, -1: types * 4}


@pytest.mark.parametrize("rcode", ["FORMERR", "NOTIMP"])
async def test_server_that_refuses_either_way(rcode: str) -> None:
    """It has failed after two questions, and the next is asked with EDNS again."""
    asked: Counter[int] = Counter()

    def answers(query: dns.message.Message) -> list[Any]:
        asked[query.edns] += 1
        return [answer(query, rcode=dns.rcode.from_text(rcode))]

    async with (
        handmade(answers) as server,
        DnspythonLookup(nameservers=[server], timeout=HANGS) as lookup,
    ):
        for number in (1, 2):
            with pytest.raises(SrvLookupError, match=rcode):
                await lookup.lookup_srv(QUESTION)
            assert asked == {0: number, -1: number}


async def test_questions_with_edns_are_lost() -> None:
    """Where only they are, the second try is answered, and the next question at once."""
    asked: Counter[int] = Counter()

    def answers(query: dns.message.Message) -> list[Any]:
        asked[query.edns] += 1
        return [] if query.edns >= 0 else [answer(query, *records_of(query))]

    async with (
        handmade(answers) as server,
        DnspythonLookup(nameservers=[server], timeout=PATIENT) as lookup,
    ):
        for _ in range(3):
            assert (await lookup.lookup_srv(QUESTION)).records
    assert asked == {0: 1, -1: 3}


async def test_late_refusal_of_edns() -> None:
    """It comes when the question has been sent without EDNS, and does not stand for that one."""
    asked = []

    def answers(query: dns.message.Message) -> list[Any]:
        asked.append(query)
        if len(asked) == 1:
            return []
        if len(asked) == 2:
            return [answer(asked[0], rcode=dns.rcode.FORMERR)]
        return [answer(query, *records_of(query))]

    async with (
        handmade(answers) as server,
        DnspythonLookup(nameservers=[server], timeout=PATIENT) as lookup,
    ):
        assert (await lookup.lookup_srv(QUESTION)).records


async def test_each_server_has_its_own_way(loopback_federation: LoopbackFederation) -> None:
    """That one server does without EDNS says nothing of another."""
    one, two = servers.PlainServer("192.0.2.1"), servers.PlainServer("192.0.2.2")
    asked: list[tuple[Server, int]] = []

    async def exchange(self: Server, request: QueryMessage, patience: float) -> Answer:
        asked.append((self, request.edns))
        return Answer(refuses_edns=request.edns >= 0, has_edns=False)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(servers.PlainServer, "_exchange", exchange)
        for server in (one, two, one):
            await server.ask(NAME, RdataType.SRV, 1)
    assert asked == [(one, 0), (one, -1), (two, 0), (two, -1), (one, -1)]


# Late answers, lost questions


@pytest.mark.parametrize("share", [0.36, 0.5, 0.85])
async def test_late_answers(share: float) -> None:
    """After quick ones, the answer to the first try alone comes late, and is not dropped."""
    asked: Counter[int] = Counter()
    late = {"SRV": 0.0}

    def answers(query: dns.message.Message) -> list[Any]:
        asked[query.id] += 1
        return [answer(query, *records_of(query))] if asked[query.id] == 1 else []

    async with (
        handmade(answers, late=late) as server,
        DnspythonLookup(nameservers=[server], timeout=PATIENT) as lookup,
    ):
        for _ in range(5):
            assert (await lookup.lookup_srv(QUESTION)).records
        late["SRV"] = share * PATIENT
        assert (await lookup.lookup_srv(QUESTION)).records
    assert sorted(asked.values())[:-1] == [1] * 5
    assert max(asked.values()) > 1


async def test_lost_questions() -> None:
    """The same question is sent again, by the same socket: either's answer will do."""
    asked = []

    def answers(query: dns.message.Message) -> list[Any]:
        asked.append(query.id)
        return [answer(query)] if len(asked) > 2 else []

    async with (
        handmade(answers) as server,
        DnspythonLookup(nameservers=[server], timeout=PATIENT) as lookup,
    ):
        assert await lookup.lookup_srv(QUESTION) == empty("SRV")
    assert len(asked) == 3
    assert len(set(asked)) == 1


# Reading


@pytest.fixture(name="readers")
def fixture_readers(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, bool]]:
    """Where answers are read: how many octets, and whether in the event loop's thread."""
    readers: list[tuple[int, bool]] = []
    reading = threading.Lock()

    def read(request: QueryMessage, wire: bytes) -> Answer | None:
        readers.append((len(wire), threading.current_thread() is threading.main_thread()))
        assert reading.acquire(blocking=False), "two at once"
        try:
            return read_answer(request, wire)
        finally:
            reading.release()

    monkeypatch.setattr(servers, "read_answer", read)
    return readers


async def test_large_answers_are_read_in_a_thread(
    loopback_federation: LoopbackFederation, readers: list[tuple[int, bool]]
) -> None:
    """Not to hold up the event loop, and one after another; small ones are read at once."""
    records = [f"{number} 0 8448 host-{number}.example" for number in range(900)]
    loopback_federation.add_records(f"{SRV}example.org", "SRV", *records)
    async with DnspythonLookup(nameservers=[loopback_federation.nameserver]) as lookup:
        replies = await asyncio.gather(*(lookup.lookup_srv(f"{SRV}example.org") for _ in range(3)))
    assert [len(reply.records) for reply in replies] == [900] * 3
    large = [in_loop for octets, in_loop in readers if octets > 1232]
    assert large == [False] * 3
    assert {in_loop for octets, in_loop in readers if octets <= 1232} == {True}


async def test_large_datagrams_are_read_in_a_thread(readers: list[tuple[int, bool]]) -> None:
    """Whoever sends them over UDP although 1232 octets were asked for."""

    def answers(query: dns.message.Message) -> list[Any]:
        wrong_id = answer(query, *(f"example.org. 9 IN SRV {n} 0 1 evil." for n in range(900)))
        wrong_id.id ^= 1
        records = (f"example.org. 9 IN SRV {number} 0 1 a." for number in range(900))
        return [wrong_id, answer(query, *records)]

    async with (
        handmade(answers) as server,
        DnspythonLookup(nameservers=[server], timeout=HANGS) as lookup,
    ):
        reply = await lookup.lookup_srv(QUESTION)
    assert [record.priority for record in reply.records] == list(range(900))
    assert {record.target for record in reply.records} == {"a"}
    assert [in_loop for _, in_loop in readers] == [False]


async def test_what_dnspython_can_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """A message at which it raises what is no error of its own is passed over, as any other."""
    from_wire = dns.message.from_wire
    tried = []

    def raising(wire: bytes, **settings: Any) -> dns.message.Message:
        tried.append(wire)
        if len(tried) == 2:  # the first is the server's
            raise IndexError
        return from_wire(wire, **settings)

    monkeypatch.setattr(dns.message, "from_wire", raising)
    async with (
        handmade(lambda query: [answer(query), answer(query)]) as server,
        DnspythonLookup(nameservers=[server], timeout=HANGS) as lookup,
    ):
        assert await lookup.lookup_srv(QUESTION) == SrvReply([])
