"""How dnspython's lookup asks: which name server when, again, without EDNS; and how it reads."""

import asyncio
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
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
    addresses,
    answer,
    asked_type,
    either,
    empty,
    handmade,
    until,
)

from matrix_resolve.backends.dns_dnspython import DnspythonLookup, asking, servers
from matrix_resolve.backends.dns_dnspython import answers as answers_
from matrix_resolve.backends.dns_dnspython.answers import Answer
from matrix_resolve.backends.dns_dnspython.servers import Server
from matrix_resolve.errors import BackendError, SrvLookupError
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
    all_ = asking.Servers([one, two, three], PATIENT)
    for number in range(1, 6):
        assert await all_.ask(NAME, RdataType.SRV) == good()
        assert (one.asked, two.asked, three.asked) == (1, 1, number)


@pytest.mark.parametrize("dead", DEAD)
async def test_dead_server_is_still_the_last_resort(dead: BaseException | None) -> None:
    """When the others fail, it is asked; once it answers, it has its place again."""
    one, two = Scripted(dead), Scripted(good)
    all_ = asking.Servers([one, two], PATIENT)
    await all_.ask(NAME, RdataType.SRV)
    one.does, two.does = good, bad
    assert await all_.ask(NAME, RdataType.SRV) == good()
    two.does = good
    await all_.ask(NAME, RdataType.SRV)
    assert (one.asked, two.asked) == (3, 2)


async def test_dead_server_is_tried_again_by_one_question() -> None:
    """After a while one question finds out, and those beside it do not wait for that."""
    one, two = Scripted(None), Scripted(good)
    all_ = asking.Servers([one, two], PATIENT)
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
    all_ = asking.Servers([one, two], SHORT if does is None else PATIENT)
    for number in range(1, 3):
        if does is None:
            with pytest.raises(asking.NoAnswerError, match=r"^no answer within 0\.3 s$"):
                await all_.ask(NAME, RdataType.SRV)
        else:
            await all_.ask(NAME, RdataType.SRV)
        assert one.asked == number
    assert not one.comes_last()


async def test_servers_that_answer_at_once() -> None:
    """Neither counts as silent when their answers arrive together."""
    both = asyncio.Event()

    class Together(Scripted):
        async def _exchange(self, request: QueryMessage, patience: float) -> Answer:
            if self is two:
                both.set()
            await both.wait()
            return good()

    one, two = Together(None), Together(None)
    assert await ask(one, two, within=PATIENT) == good()
    assert not one.comes_last()
    assert not two.comes_last()


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
    assert await ask(one, two, within=PATIENT) == good()
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


async def test_edns_is_tried_again_however_much_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Answers to questions without it do not prolong the while in which it is left out."""
    asked: list[int] = []

    async def exchange(self: Server, request: QueryMessage, patience: float) -> Answer:
        asked.append(request.edns)
        return Answer(refuses_edns=request.edns >= 0, has_edns=False)

    monkeypatch.setattr(servers.PlainServer, "_exchange", exchange)
    server = servers.PlainServer("192.0.2.1")
    await server.ask(NAME, RdataType.SRV, 1)
    until = server._plain_until
    for _ in range(3):
        await server.ask(NAME, RdataType.SRV, 1)
    assert asked == [0, -1, -1, -1, -1]
    assert server._plain_until == until


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


def large(query: dns.message.Message) -> list[Any]:
    """An answer of 900 records, in one datagram, although 1232 octets were asked for."""
    return [answer(query, *(f"example.org. 9 IN SRV {number} 0 1 a." for number in range(900)))]


async def test_large_answers_are_read_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """The event loop has its turn between pieces, here after each record."""
    monkeypatch.setattr(answers_, "_PIECE", -1.0)
    request = dns.message.make_query(QUESTION, "SRV")
    wire = large(request)[0].to_wire(max_size=65535)
    task = asyncio.create_task(answers_.read_answer(request, wire))
    turns = 0
    while not task.done():
        await asyncio.sleep(0)
        turns += 1
    answered = task.result()
    assert turns > 900
    assert answered is not None
    assert [record.priority for record in answered.records] == list(range(900))


async def test_large_answers_are_read_one_after_another(monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise ten pieces at once were one pause. Small ones do not wait for that."""
    reading = Counter[bool]()
    most = Counter[bool]()
    done = asyncio.Event()

    async def read(request: QueryMessage, wire: bytes) -> Answer | None:
        is_large = len(wire) > 1232
        reading[is_large] += 1
        most[is_large] = max(most[is_large], reading[is_large])
        if is_large:
            await done.wait()
        answered = await answers_.read_answer(request, wire)
        reading[is_large] -= 1
        return answered

    def answers(query: dns.message.Message) -> list[Any]:
        return large(query) if asked_type(query) == "SRV" else [answer(query)]

    monkeypatch.setattr(servers, "read_answer", read)
    async with (
        handmade(answers) as server,
        DnspythonLookup(nameservers=[server], timeout=HANGS) as lookup,
    ):
        tasks = [asyncio.create_task(lookup.lookup_srv(QUESTION)) for _ in range(3)]
        await until(lambda: reading[True])
        assert await lookup.lookup_addresses(QUESTION) == empty("addresses")
        done.set()
        replies = await asyncio.gather(*tasks)
    assert [len(reply.records) for reply in replies] == [900] * 3
    assert most[True] == 1


async def test_noise_in_large_datagrams_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """What has another ID is not even looked into."""
    read = []

    async def noting(request: QueryMessage, wire: bytes) -> Answer | None:
        read.append(len(wire))
        return await answers_.read_answer(request, wire)

    def answers(query: dns.message.Message) -> list[Any]:
        wrong_id = large(query)
        wrong_id[0].id ^= 1
        return [*wrong_id, answer(query)]

    monkeypatch.setattr(servers, "read_answer", noting)
    async with (
        handmade(answers) as server,
        DnspythonLookup(nameservers=[server], timeout=HANGS) as lookup,
    ):
        assert await lookup.lookup_srv(QUESTION) == empty("SRV")
    assert len(read) == 1
    assert read[0] <= 1232


async def test_noise_does_not_stop_the_event_loop() -> None:
    """Between two datagrams that are no answer, others have their turn."""
    noise = 50
    turns: list[int] = []  # at each noise, how often another task had its turn
    turn = 0

    async def other() -> None:
        nonlocal turn
        while True:
            turn += 1
            await asyncio.sleep(0)

    def answers(query: dns.message.Message) -> list[Any]:
        turns.append(turn)
        junk = query.id.to_bytes(2) + b"junk"
        return [*([b"another ID", junk, query] * noise), answer(query)]

    task = asyncio.create_task(other())
    async with (
        handmade(answers) as server,
        DnspythonLookup(nameservers=[server], timeout=HANGS) as lookup,
    ):
        assert await lookup.lookup_srv(QUESTION) == empty("SRV")
    task.cancel()
    assert turn - turns[0] > 3 * noise


SOA = "org. 50 IN SOA ns.org. hostmaster.org. 1 2 3 4 90"
READABLE = [
    # kind, records, authority
    pytest.param("SRV", ("SRV 1 2 3 a.example.org.", "SRV 1 2 3 ."), (), id="SRV"),
    pytest.param("A", ("A 192.0.2.1", "A 192.0.2.2"), (), id="A"),
    pytest.param("AAAA", ("AAAA 2001:db8::1",), (), id="AAAA"),
    pytest.param("A", ("CNAME a.example.org.",), (SOA,), id="CNAME and SOA"),
]


@pytest.mark.parametrize(("kind", "records", "authority"), READABLE)
async def test_messages_that_are_broken(
    kind: str, records: tuple[str, ...], authority: tuple[str, ...]
) -> None:
    """Whatever octet is missing or another: it is read, or it is no message."""
    request = dns.message.make_query(QUESTION, kind, use_edns=0)
    texts = [f"example.org. 9 IN {record}" for record in records]
    wire = answer(request, *texts, authority=authority).to_wire()
    whole = await answers_.read_answer(request, wire)
    assert whole is not None
    assert not whole.problem
    broken = [wire + b"\0", *(wire[:length] for length in range(len(wire)))]
    for junk in broken:
        with pytest.raises(dns.exception.DNSException):
            await answers_.read_answer(request, junk)
    for place in range(2, len(wire)):
        for octet in (0, 1, 0x3F, 0x40, 0xC0, 0xFF):
            changed = wire[:place] + bytes([octet]) + wire[place + 1 :]
            with suppress(dns.exception.DNSException):
                await answers_.read_answer(request, changed)


READING = """\
import asyncio, sys
import dns.message
from matrix_resolve.backends.dns_dnspython import DnspythonLookup, answers

before = set(sys.modules)
for text in sys.argv[1:]:
    response = bytes.fromhex(text)
    request = dns.message.from_wire(response, question_only=True)
    request.flags = 0
    asyncio.run(answers.read_answer(request, response))
print(sorted(set(sys.modules) - before))
"""


def test_nothing_is_imported_to_read_an_answer() -> None:
    """An import needs a descriptor, and the event loop waits for it."""
    wires = []
    for kind, record in (("SRV", "SRV 1 2 3 a."), ("A", "A 192.0.2.1"), ("AAAA", "AAAA ::1")):
        request = dns.message.make_query(QUESTION, kind, use_edns=0)
        alias = "example.org. 9 IN CNAME a.example.org."
        response = answer(request, alias, f"a.example.org. 9 IN {record}", authority=(SOA,))
        wires.append(response.to_wire().hex())
    command = [sys.executable, "-c", READING, *wires]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


async def test_what_is_not_asked_for_is_not_read() -> None:
    """The data of other records may be anything."""
    request = dns.message.make_query(QUESTION, "SRV")
    stray = "example.org. 9 IN TYPE65280 \\# 1 ff"
    wire = answer(request, stray, "example.org. 9 IN SRV 1 2 3 a.").to_wire()
    assert wire.count(b"\xff\0\0\1") == 1
    wire = wire.replace(b"\xff\0\0\1", b"\0\1\0\1")  # an address of one octet
    answered = await answers_.read_answer(request, wire)
    assert answered is not None
    assert len(answered.records) == 1
