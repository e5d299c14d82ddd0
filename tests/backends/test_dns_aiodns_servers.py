"""Which name servers there are, how they are spelled, and in which order they are asked."""

import asyncio
import gc
import re
import resource
import time
from collections import Counter
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any, ClassVar

import aiodns
import dns.message
import dns.rcode
import pycares
import pytest
from dns_lookups import HANGS, answer, asked_type, handmade, until

from matrix_resolve.backends.dns_aiodns import AiodnsLookup, channels
from matrix_resolve.backends.dns_aiodns import servers as servers_
from matrix_resolve.backends.dns_aiodns.answers import NoAnswerError
from matrix_resolve.backends.dns_aiodns.channels import system_servers
from matrix_resolve.backends.dns_aiodns.servers import Servers, read_nameserver
from matrix_resolve.backends.dns_aiodns.tries import Known, Tries, planned
from matrix_resolve.errors import SrvLookupError
from matrix_resolve.testing import DnsFault, LoopbackFederation

SPELLINGS = [
    # as given, as c-ares spells it
    ("192.0.2.1", "192.0.2.1:53"),
    ("192.0.2.1:5353", "192.0.2.1:5353"),
    ("192.0.2.1:65535", "192.0.2.1:65535"),
    ("::1", "[::1]:53"),
    ("[::1]", "[::1]:53"),
    ("[::1]:5353", "[::1]:5353"),
    ("2001:DB8:0::1", "[2001:db8::1]:53"),
    ("::ffff:192.0.2.1", "[::ffff:192.0.2.1]:53"),
    ("fe80::1%lo", "[fe80::1]:53%lo"),
    ("[fe80::1%lo]:5353", "[fe80::1]:5353%lo"),
]


@pytest.mark.parametrize(("given", "spelled"), SPELLINGS)
def test_spellings(given: str, spelled: str) -> None:
    """An IP address, with a port or without, is understood, by c-ares too."""
    assert read_nameserver(given) in (
        spelled,
        spelled.replace("::ffff:192.0.2.1", "::ffff:c000:201"),
    )
    channel = pycares.Channel(sock_state_cb=lambda *_: None, servers=[read_nameserver(given)])
    try:
        assert channel.servers == [spelled]
    finally:
        channel.close()


MISSPELLED: list[Any] = [
    "",
    " ",
    "dns.example.com",
    "localhost",
    "192.0.2",
    "192.0.2.01",
    "0x7f.1",
    "2130706433",
    "192.0.2.1:",
    "192.0.2.1:0",
    "192.0.2.1:65536",
    "192.0.2.1:dns",
    "192.0.2.1:-1",
    "192.0.2.1:٥٣",
    "192.0.2.1 ",
    "192.0.2.1,192.0.2.2",
    "192.0.2.1%lo",
    "[192.0.2.1]:53",
    "[::1",
    "::1]",
    "[::1]53",
    "[::1]:",
    "[::1]:0",
    "[]:53",
    ":53",
    "::1::",
    "fe80::1%",
    "fe80::1%a b",
    "dns://192.0.2.1",
    "tls://192.0.2.1",
    "192.0.2.1\n",
    "192.0.2.1\0",
    b"192.0.2.1",
    None,
    53,
]


@pytest.mark.parametrize("text", MISSPELLED, ids=ascii)
def test_misspelled(text: Any) -> None:
    """What is no IP address is refused when the lookup is made, not at the first question."""
    with pytest.raises(ValueError, match="is no name server") as caught:
        AiodnsLookup(nameservers=["192.0.2.1", text])
    assert str(caught.value).isprintable()


def test_one_text_for_a_list() -> None:
    """A text is no list of name servers, and an empty list is none."""
    for nameservers in ("192.0.2.1", "::1", "1"):
        with pytest.raises(ValueError, match="is no name server"):
            AiodnsLookup(nameservers=nameservers)
    with pytest.raises(ValueError, match="no nameserver"):
        AiodnsLookup(nameservers=[])


def test_system_servers() -> None:
    """The system's are told with their ports, as c-ares spells them."""
    servers = system_servers()
    assert servers
    for server in servers:
        assert re.fullmatch(r"(\[[0-9a-f:.]+\]|[0-9.]+):\d+(%\S+)?", server)


def test_system_servers_and_no_descriptor() -> None:
    """That resolv.conf can't be opened does not mean that it names no server."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
    try:
        with pytest.raises(pycares.AresError):
            system_servers()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


# In which order


class Counting:
    """A server by hand: how often it was asked, and whether it answers."""

    def __init__(self) -> None:
        self.asked: Counter[str] = Counter()
        self.behaves = "well"

    def __call__(self, query: dns.message.Message) -> list[Any]:
        """Answer a query."""
        name = query.question[0].name.to_text()
        self.asked[name.removesuffix(".")] += 1
        match self.behaves:
            case "silent":
                return []
            case "well":
                return [answer(query, f"{name} 60 IN {asked_type(query)} 0 0 1 a.example.")]
            case rcode:
                return [answer(query, rcode=dns.rcode.from_text(rcode))]


class Shifted:
    """The real clock, put forward by hand."""

    def __init__(self) -> None:
        self.by = 0.0

    def __call__(self) -> float:
        """Return the seconds now."""
        return time.monotonic() + self.by


async def test_silent_server_is_asked_last(monkeypatch: pytest.MonkeyPatch) -> None:
    """One question finds out that it is dead; those after it go to the other at once."""
    monkeypatch.setattr(channels, "_CHANNEL_AGE", 0.0)  # each in a channel that knows nothing
    dead, good = Counting(), Counting()
    dead.behaves = "silent"
    async with (
        handmade(dead) as first,
        handmade(good) as second,
        AiodnsLookup(nameservers=[first, second], timeout=1.0) as lookup,
    ):
        for number in range(20):
            assert (await lookup.lookup_srv(f"{number}.example")).records
    assert set(dead.asked) == {"0.example"}
    assert len(good.asked) == 20


async def test_nobody_there_is_asked_last(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that can't be reached is passed over at once, and asked last as well."""
    good = Counting()
    async with handmade(good) as server:
        servers = Servers(["127.0.0.1:9", server], HANGS)
        for number in range(3):
            assert (await servers.ask(f"{number}.example", "SRV")).data
        unreachable, reached = servers._known.values()
        assert unreachable.last_until is not None
        assert reached.last_until is None
        await servers.aclose()


@pytest.mark.parametrize("rcode", ["SERVFAIL", "REFUSED"])
async def test_server_that_refuses_keeps_its_place(rcode: str) -> None:
    """It costs no time: of other names it may know more."""
    refusing, good = Counting(), Counting()
    refusing.behaves = rcode
    async with (
        handmade(refusing) as first,
        handmade(good) as second,
        AiodnsLookup(nameservers=[first, second]) as lookup,
    ):
        for number in range(3):
            assert (await lookup.lookup_srv(f"{number}.example")).records
        assert len(refusing.asked) == len(good.asked) == 3
        refusing.behaves = "well"
        assert (await lookup.lookup_srv("3.example")).records
    assert "3.example" not in good.asked


async def test_one_question_finds_out_whether_it_is_back() -> None:
    """After half a minute one of many tries the silent server first; when it answers, all do."""
    dead, good, clock = Counting(), Counting(), Shifted()
    dead.behaves = "silent"
    async with handmade(dead) as first, handmade(good) as second:
        servers = Servers([first, second], 5.0, clock=clock)
        await servers.ask("before.example", "SRV")
        clock.by += 31
        await asyncio.gather(*(servers.ask(f"{number}.example", "SRV") for number in range(20)))
        assert len(dead.asked) == 2
        clock.by += 31
        dead.behaves = "well"
        good.asked.clear()
        await servers.ask("back.example", "SRV")
        await asyncio.gather(*(servers.ask(f"{number}.test", "SRV") for number in range(20)))
        assert not good.asked
        await servers.aclose()


async def test_slow_name_does_not_make_a_server_dead() -> None:
    """A server that answers other questions meanwhile keeps its place."""
    first, second = Counting(), Counting()

    def answers(query: dns.message.Message) -> list[Any]:
        sent = first(query)
        return [] if query.question[0].name.to_text() == "slow.example." else sent

    async with handmade(answers) as one, handmade(second) as other:
        servers = Servers([one, other], 5.0)
        slow = asyncio.create_task(servers.ask("slow.example", "SRV"))
        await until(lambda: first.asked["slow.example"])
        await servers.ask("quick.example", "SRV")
        assert (await slow).data
        assert second.asked["slow.example"]
        await servers.ask("next.example", "SRV")
        assert not second.asked["next.example"]
        await servers.aclose()


async def test_all_are_silent() -> None:
    """All are asked, and more than once, before it is given up; then none is thought worse."""
    servers = [Counting(), Counting()]
    for server in servers:
        server.behaves = "silent"
    async with (
        handmade(servers[0]) as first,
        handmade(servers[1]) as second,
        AiodnsLookup(nameservers=[first, second], timeout=0.5) as lookup,
    ):
        with pytest.raises(SrvLookupError, match=r"no answer within 0\.5 s"):
            await lookup.lookup_srv("a.example")
        assert [server.asked["a.example"] for server in servers] == [3, 2]
        for server in servers:
            server.behaves = "well"
        assert (await lookup.lookup_srv("b.example")).records
    assert [server.asked["b.example"] for server in servers] == [1, 0]


@pytest.mark.parametrize("count", [1, 2, 3, 20])
def test_plan(count: int) -> None:
    """The first is asked at once and soon again, each other a step later, and all once more."""
    servers: Sequence[Any] = range(count)
    shares, asked = zip(*planned(servers), strict=True)
    assert asked == (0, *servers, *servers)
    assert shares[0] == 0
    assert list(shares) == sorted(shares)
    assert shares[-1] < 1 or count > 10
    assert [known for _, known in planned([])] == []


def test_known() -> None:
    """A server that was heard since it was asked is not silent."""
    known = Known(None)  # type: ignore[arg-type]
    assert not known.comes_last(0)
    known.silent(asked_at=1, now=2)
    assert known.comes_last(31.9)
    assert not known.comes_last(32)  # this one finds out
    assert known.comes_last(32)
    known.heard(33)
    assert not known.comes_last(33)
    known.silent(asked_at=33, now=40)
    assert not known.comes_last(40)


# The system's servers


async def test_system_servers_are_followed() -> None:
    """When the system names others, they are asked; what is known of the rest stays."""
    dead, good, new, clock = Counting(), Counting(), Counting(), Shifted()
    dead.behaves = "silent"
    async with handmade(dead) as first, handmade(good) as second, handmade(new) as third:
        named = [first, second]
        looks = 0

        def system() -> Sequence[str]:
            nonlocal looks
            looks += 1
            return list(named)

        servers = Servers(None, 1.0, system=system, clock=clock)
        for number in range(3):
            await servers.ask(f"{number}.example", "SRV")
        assert looks <= 2  # once a second
        named[:] = [first, third]
        clock.by += 1
        for number in range(3, 6):
            await servers.ask(f"{number}.example", "SRV")
        assert set(dead.asked) == {"0.example"}
        assert set(good.asked) == {"0.example", "1.example", "2.example"}
        assert set(new.asked) == {"3.example", "4.example", "5.example"}
        assert not servers._gone
        await servers.aclose()


async def test_answer_of_a_server_that_is_gone() -> None:
    """A question goes on where it was put, though the system names others now."""
    new, clock = Counting(), Shifted()

    def late(query: dns.message.Message) -> list[Any]:
        return [answer(query, "example.org. 60 IN SRV 0 0 1 late.example.")]

    async with handmade(late, late={"SRV": 0.2}) as first, handmade(new) as second:
        named = [first]
        servers = Servers(None, HANGS, system=lambda: list(named), clock=clock)
        slow = asyncio.create_task(servers.ask("example.org", "SRV"))
        await asyncio.sleep(0.05)
        named[:] = [second]
        clock.by += 1
        assert (await servers.ask("a.example", "SRV")).data[0].target == "a.example"
        assert len(servers._gone) == 1
        assert (await slow).data[0].target == "late.example"
        assert not servers._gone
        await servers.aclose()


async def test_system_servers_can_not_be_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """At first this machine is asked; later those that are known are."""
    good, here, clock = Counting(), Counting(), Shifted()
    trouble: list[Exception] = [pycares.AresError("no memory")]
    async with handmade(good) as server, handmade(here) as this_machine:
        monkeypatch.setattr(servers_, "_THIS_MACHINE", this_machine)

        def system() -> Sequence[str]:
            if trouble:
                raise trouble[0]
            return [server]

        servers = Servers(None, 1.0, system=system, clock=clock)
        assert (await servers.ask("a.example", "SRV")).data
        assert (set(good.asked), set(here.asked)) == (set(), {"a.example"})
        failed = trouble.pop()
        clock.by += 2
        assert (await servers.ask("b.example", "SRV")).data
        trouble.append(failed)
        clock.by += 2
        assert (await servers.ask("c.example", "SRV")).data
        assert set(good.asked) == {"b.example", "c.example"}
        assert set(here.asked) == {"a.example"}
        await servers.aclose()
        with pytest.raises(NoAnswerError, match="closed"):
            await servers.ask("c.example", "SRV")


# Channels


async def test_silent_names_do_not_pile_up_channels(
    loopback_federation: LoopbackFederation, dns: AiodnsLookup
) -> None:
    """However many names are silent beside good ones, they share few channels."""
    loopback_federation.add("example.org", srv=[("a.example", 1)])
    for number in range(100):
        loopback_federation.dns_faults[f"{number}.silent", "*"] = DnsFault.SILENT
    silent = [asyncio.create_task(dns.lookup_srv(f"{number}.silent")) for number in range(100)]
    for _ in range(100):
        assert (await dns.lookup_srv("_matrix-fed._tcp.example.org")).records
        await asyncio.sleep(0.01)
    (known,) = dns._servers._known.values()
    assert len(known.server._quick) <= 3
    assert len(known.server._patient) <= channels._MAX_CHANNELS + 3
    for task in silent:
        task.cancel()
    await asyncio.gather(*silent, return_exceptions=True)


async def test_impatient_channels(monkeypatch: pytest.MonkeyPatch) -> None:
    """When no more channels can be opened, c-ares gives up early, but the question does not."""
    monkeypatch.setattr(channels, "_MAX_CHANNELS", 0)
    monkeypatch.setattr(channels, "_CHANNEL_AGE", HANGS)
    server = Counting()

    def lossy(query: dns.message.Message) -> list[Any]:
        sent = server(query)
        lost = (
            query.question[0].name.to_text() == "lossy.example." and server.asked["lossy.example"]
        )
        return [] if lost and lost <= 5 else sent

    async with handmade(lossy) as address, AiodnsLookup(nameservers=[address]) as lookup:
        for number in range(5):
            assert (await lookup.lookup_srv(f"{number}.example")).records
        assert (await lookup.lookup_srv("lossy.example")).records
    assert server.asked["lossy.example"] == 6


class FakeChannel:
    """A channel that is as young and patient as it is told, and has room as it is told."""

    made: ClassVar[list["FakeChannel"]] = []
    answer: ClassVar[asyncio.Event]

    def __init__(self, server: str, timeout: float) -> None:
        self.young = self.patient = self.room = True
        self.asking = self.closed = False
        self.made.append(self)

    def is_young(self) -> bool:
        """Return what was told."""
        return self.young

    def is_patient(self) -> bool:
        """Return what was told."""
        return self.patient

    def has_room(self) -> bool:
        """Return what was told."""
        return self.room

    def is_asking(self) -> bool:
        """Return what was told."""
        return self.asking

    def ask(self, name: str, kind: str, *hurry: Any) -> Any:
        """Return the channel itself, or when awaited, an answer."""
        return _Waiting(self)

    async def close(self) -> None:
        """Note that it was closed."""
        self.closed = True


class _Waiting:
    def __init__(self, channel: FakeChannel) -> None:
        self.channel = channel

    def __await__(self) -> Any:
        return self.channel.answer.wait().__await__()


def fake_channels(monkeypatch: pytest.MonkeyPatch, kind: str) -> list[FakeChannel]:
    """Fake the channels of this kind; return those that are opened."""
    fake = type(kind, (FakeChannel,), {"made": [], "answer": asyncio.Event()})
    monkeypatch.setattr(channels, kind, fake)
    return fake.made


@pytest.fixture(name="quick")
def fixture_quick(monkeypatch: pytest.MonkeyPatch) -> list[FakeChannel]:
    """The channels for first tries that are opened."""
    return fake_channels(monkeypatch, "QuickChannel")


@pytest.fixture(name="patient")
def fixture_patient(monkeypatch: pytest.MonkeyPatch) -> list[FakeChannel]:
    """The channels for later tries that are opened."""
    return fake_channels(monkeypatch, "PatientChannel")


class Channels:
    """A server, and in which of its channels, in the order of their opening, it asks."""

    def __init__(self, quick: list[FakeChannel], patient: list[FakeChannel]) -> None:
        self.server = channels.Server("192.0.2.1:53", 1.0)
        self._quick, self._patient = quick, patient

    def ask(self) -> tuple[str, int]:
        """Ask for the first time."""
        return self._place(self.server.ask("a.example", "SRV", lambda _: None))

    def ask_again(self) -> tuple[str, int]:
        """Ask once more."""
        return self._place(self.server.ask_again("a.example", "SRV"))

    def _place(self, waiting: Any) -> tuple[str, int]:
        if waiting.channel in self._quick:
            return "quick", self._quick.index(waiting.channel)
        return "patient", self._patient.index(waiting.channel)


async def test_which_channel_is_asked(quick: list[FakeChannel], patient: list[FakeChannel]) -> None:
    """The newest that may be, of those for first tries, or of those for later ones."""
    of = Channels(quick, patient)
    assert [of.ask(), of.ask_again()] == [("quick", 0), ("patient", 0)]
    assert [of.ask(), of.ask_again()] == [("quick", 0), ("patient", 0)]
    patient[0].patient = False
    assert [of.ask(), of.ask_again(), of.ask_again()] == [
        ("quick", 0),
        ("patient", 1),
        ("patient", 1),
    ]
    quick[0].room = False
    assert [of.ask(), of.ask()] == [("quick", 1), ("quick", 1)]
    quick[1].room, quick[0].room = False, True
    assert of.ask() == ("quick", 0)
    quick[0].young = patient[1].young = False
    assert [of.ask(), of.ask_again()] == [("quick", 2), ("patient", 2)]
    quick[0].asking = patient[0].asking = True
    await of.server.tidy()
    assert [channel.closed for channel in quick] == [False, True, False]
    assert [channel.closed for channel in patient] == [False, True, False]
    quick[0].asking = patient[0].asking = quick[2].young = patient[2].young = False
    await of.server.tidy()
    assert all(channel.closed for channel in (*quick, *patient))
    assert [of.ask(), of.ask_again()] == [("quick", 3), ("patient", 3)]
    await of.server.aclose()
    assert all(channel.closed for channel in (*quick, *patient))
    for ask in (of.ask, of.ask_again):
        with pytest.raises(NoAnswerError, match="closed"):
            ask()


async def test_most_channels(quick: list[FakeChannel], patient: list[FakeChannel]) -> None:
    """Twelve, of which the newest takes what comes; if none may be asked, a patient one does."""
    of = Channels(quick, patient)
    for number in range(12):
        assert of.ask() == ("quick", number)
        quick[number].room = False
    assert [of.ask(), of.ask()] == [("quick", 11), ("quick", 11)]
    for channel in quick:
        channel.young, channel.asking = False, True
    await of.server.tidy()
    assert [of.ask(), of.ask()] == [("patient", 0), ("patient", 0)]
    quick[3].asking = False
    await of.server.tidy()
    assert of.ask() == ("quick", 12)
    await of.server.aclose()


async def test_asked_alone(patient: list[FakeChannel]) -> None:
    """Few at a time, each in a channel of its own, which is closed; none after the end."""
    server = channels.Server("192.0.2.1:53", 1.0)
    asking = [asyncio.create_task(server.ask_alone("a.example", "A")) for _ in range(20)]
    await until(lambda: patient)
    assert len(patient) == channels._MAX_ALONE
    asking[0].cancel()
    await until(lambda: len(patient) == channels._MAX_ALONE + 1)
    assert patient[0].closed
    await server.aclose()
    patient[0].answer.set()
    ended = await asyncio.gather(*asking, return_exceptions=True)
    assert len(patient) == channels._MAX_ALONE + 1
    assert all(channel.closed for channel in patient)
    assert sum(isinstance(end, NoAnswerError) for end in ended) == 20 - len(patient)


async def test_failures_that_nobody_waits_for() -> None:
    """Asyncio does not complain that nobody looked at them."""
    told: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))
    tries = Tries("a.example", "A", [], 1.0, time.monotonic)
    failed: Any = asyncio.get_running_loop().create_future()
    failed.set_exception(pycares.AresError(12))
    tries._under_way[failed] = Known(None), 0.0  # type: ignore[arg-type]
    assert not tries.give_up()
    tries._under_way.clear()
    del failed
    gc.collect()
    assert not told


# The end of a question


def asked_with(ask: Callable[[], asyncio.Future[Any]]) -> Any:
    """A server that is asked by calling this."""
    return SimpleNamespace(ask=lambda *_: ask(), ask_again=lambda *_: ask(), forget=lambda _: None)


def tries_of(*answering: asyncio.Future[Any], timeout: float) -> Tries:
    """A question whose tries come to these, one after another."""
    left = list(answering)
    server = asked_with(lambda: left.pop(0))
    return Tries("a.example", "SRV", planned([Known(server)]), timeout, time.monotonic)


async def test_answer_that_has_come_counts_however_late_the_timer() -> None:
    """A loop that was held up finds both at once."""
    come: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    tries = tries_of(come, *[asyncio.Future[Any]() for _ in range(3)], timeout=0.1)
    record = pycares.DNSRecord("a.example", 33, 1, 60, pycares.SRVRecordData(0, 0, 1, "b."))
    come.set_result(SimpleNamespace(answer=[record]))
    time.sleep(0.1)  # noqa: ASYNC251
    tries._go_on()
    assert (await tries.answer).data == [record.data]
    tries.give_up()


async def test_time_is_over() -> None:
    """It ends by itself, and waits for nothing more."""
    waiting = [asyncio.Future[Any]() for _ in range(3)]
    tries = tries_of(*waiting, timeout=0.1)
    with pytest.raises(NoAnswerError, match=r"no answer within 0\.1 s"):
        await tries.answer
    assert not any(answering.done() for answering in waiting)
    tries.give_up()
    assert all(answering.cancelled() for answering in waiting)


async def test_server_that_can_not_be_sent_a_question() -> None:
    """C-ares calls it a time-out, at once: it is asked no more, and nobody waits."""
    asked = []

    def ask() -> asyncio.Future[Any]:
        answering: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        answering.set_exception(aiodns.error.DNSError(12, "Timeout"))
        asked.append(answering)
        return answering

    servers = [Known(asked_with(ask)) for _ in range(2)]
    tries = Tries("a.example", "SRV", planned(servers), HANGS, time.monotonic)
    with pytest.raises(NoAnswerError, match="can't be sent a question"):
        await asyncio.wait_for(tries.answer, HANGS)
    assert len(asked) == 2
    tries.give_up()


async def test_try_that_is_over_just_after_the_next_was_sent() -> None:
    """Each try's time counts from when it was sent: that one was, and is only late."""
    now = 0.0
    loop = asyncio.get_running_loop()
    answering: list[asyncio.Future[Any]] = [loop.create_future() for _ in range(3)]
    left = list(answering)
    server = asked_with(lambda: left.pop(0))
    tries = Tries("a.example", "SRV", planned([Known(server)]), HANGS, lambda: now)
    now = HANGS * 0.05
    tries._go_on()
    assert len(left) == 1
    answering[0].set_exception(aiodns.error.DNSError(12, "Timeout"))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert not tries.answer.done()
    assert list(tries._under_way) == answering[1:2]
    assert not tries._failed  # so it is asked again
    tries.give_up()
