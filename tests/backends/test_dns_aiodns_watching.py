"""Sockets of c-ares that the event loop watches, answers that were cut short, and what is left."""

import asyncio
import gc
from collections import Counter
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any

import aiodns
import dns.message
import dns.rcode
import pytest
from dns_lookups import (
    BOTH,
    HANGS,
    answer,
    asked_name,
    asked_type,
    cut_short,
    either,
    handmade,
    until,
)
from loops import event_loops

from matrix_resolve.backends.dns_aiodns import AiodnsLookup, channels
from matrix_resolve.backends.dns_aiodns.channels import PatientChannel, QuickChannel
from matrix_resolve.backends.dns_aiodns.servers import Servers
from matrix_resolve.backends.dns_aiodns.tries import Tries
from matrix_resolve.backends.dns_aiodns.watching import WatchedResolver
from matrix_resolve.errors import BackendError, SrvLookupError

# A question has so much time (seconds) that its planned second try is made after a test has failed.
AGES = 100 * HANGS
DATA = {"SRV": "SRV 0 0 1 a.example.", "A": "A 192.0.2.1", "AAAA": "AAAA 2001:db8::1"}


def good(query: dns.message.Message) -> list[Any]:
    """Answer with a record."""
    return [answer(query, f"{asked_name(query)}. 60 IN {DATA[asked_type(query)]}")]


class Counted:
    """Answers of a server, and how often it was asked for each name and type."""

    def __init__(self, answers: Callable[[dns.message.Message], list[Any]] = good) -> None:
        self.asked: Counter[tuple[str, str]] = Counter()
        self._answers = answers

    def __call__(self, query: dns.message.Message) -> list[Any]:
        """Answer a query."""
        self.asked[asked_name(query), asked_type(query)] += 1
        return self._answers(query)


def cut(query: dns.message.Message) -> list[Any]:
    """Answer that TCP is to be asked."""
    return [cut_short(query)]


def by_name(query: dns.message.Message) -> list[Any]:
    """Do what the name says, or answer."""
    name = asked_name(query)
    return cut(query) if "cut" in name else [] if "silent" in name else good(query)


def quick_channels(lookup: AiodnsLookup) -> list[QuickChannel]:
    """The channels for first tries that are open."""
    (known,) = lookup._servers._known.values()
    return known.server._quick


async def cancelled(*tasks: asyncio.Task[Any]) -> None:
    """Cancel these, and wait for them."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


# Answers that were cut short


@BOTH
async def test_cut_short_is_asked_for_by_tcp_at_once(
    kind: str, failure: type[BackendError]
) -> None:
    """Nobody waits for the planned second try."""
    by_udp, by_tcp = Counted(cut), Counted()
    async with (
        handmade(by_udp, over_tcp=by_tcp) as server,
        AiodnsLookup(nameservers=[server], timeout=AGES) as lookup,
        asyncio.timeout(HANGS),
    ):
        reply = await either(lookup, kind)("example.org")
        assert reply.records if kind == "SRV" else len(reply.addresses) == 2
        assert set(by_udp.asked.values()) == {2}  # by each of two channels
        assert len(by_tcp.asked) == len(by_udp.asked)
        assert not quick_channels(lookup)  # it is closed at once


IN_VAIN: list[Any] = [
    # what TCP answers, what is told
    pytest.param(None, "contact", id="refused"),
    pytest.param(lambda query: [answer(query, rcode=dns.rcode.SERVFAIL)], "failure", id="SERVFAIL"),
    pytest.param(lambda query: [b"\xff" * 30], "Misformatted", id="garbage"),
]


@pytest.mark.parametrize(("over_tcp", "told"), IN_VAIN)
async def test_tcp_fails(over_tcp: Any, told: str) -> None:
    """That is told at once: what was cut short is not waited for."""
    async with (
        handmade(cut, over_tcp=over_tcp) as server,
        AiodnsLookup(nameservers=[server], timeout=AGES) as lookup,
        asyncio.timeout(HANGS),
    ):
        with pytest.raises(SrvLookupError, match=told):
            await lookup.lookup_srv("example.org")


async def test_tcp_is_silent() -> None:
    """Then the time is over some day, and nothing is left."""
    by_tcp = Counted(lambda _: [])
    async with (
        handmade(cut, over_tcp=by_tcp) as server,
        AiodnsLookup(nameservers=[server], timeout=0.5) as lookup,
    ):
        with pytest.raises(SrvLookupError, match=r"no answer within 0\.5 s"):
            await lookup.lookup_srv("example.org")
        assert by_tcp.asked


async def test_tcp_fails_at_one_of_two() -> None:
    """The other is asked at once."""
    async with (
        handmade(cut, over_tcp=lambda query: [answer(query, rcode=dns.rcode.REFUSED)]) as first,
        handmade(good) as second,
        AiodnsLookup(nameservers=[first, second], timeout=AGES) as lookup,
        asyncio.timeout(HANGS),
    ):
        assert (await lookup.lookup_srv("example.org")).records


async def test_cut_short_by_the_second_server() -> None:
    """It is that one which is asked by TCP, not the next in the plan."""
    silent, by_udp, by_tcp = Counted(lambda _: []), Counted(cut), Counted()
    async with (
        handmade(silent) as first,
        handmade(by_udp, over_tcp=by_tcp) as second,
        AiodnsLookup(nameservers=[first, second], timeout=2 * HANGS) as lookup,
    ):
        assert (await lookup.lookup_srv("example.org")).records
    assert (set(silent.asked.values()), set(by_udp.asked.values())) == ({2}, {2})


async def test_innocents() -> None:
    """Questions beside one that is cut short are asked once more, and answered."""
    late = Counted(by_name)
    async with (
        handmade(late, late={"SRV": 0.3}, over_tcp=good) as server,
        AiodnsLookup(nameservers=[server], timeout=AGES) as lookup,
        asyncio.timeout(HANGS),
    ):
        innocent = [asyncio.create_task(lookup.lookup_srv(f"{n}.example")) for n in range(50)]
        await until(lambda: len(late.asked) == 50)
        assert len((await lookup.lookup_addresses("cut.example")).addresses) == 2
        for task in innocent:
            assert (await task).records
    assert {late.asked[f"{n}.example", "SRV"] for n in range(50)} == {2}


async def test_what_has_come_beside_it_is_not_asked_again() -> None:
    """All that was read with what is cut short counts first."""
    held: list[Any] = []

    def answers(query: dns.message.Message) -> list[Any]:
        held.extend(by_name(query))
        held.sort(key=lambda one: "cut" not in asked_name(one))
        return list(held) if len(held) == 10 else []

    counted = Counted(answers)
    async with (
        handmade(counted, over_tcp=good) as server,
        AiodnsLookup(nameservers=[server], timeout=AGES) as lookup,
        asyncio.timeout(HANGS),
    ):
        names = ["cut.example", *(f"{n}.example" for n in range(9))]
        asking = [asyncio.create_task(lookup.lookup_srv(name)) for name in names]
        await until(lambda: len(held) >= 10)
        for task in asking[1:]:
            assert (await task).records
        await cancelled(asking[0])
    assert {counted.asked[name, "SRV"] for name in names[1:]} == {1}


async def test_channel_that_was_cut_short_is_asked_no_more() -> None:
    """What comes next goes to another, and may be cut short there."""
    counted = Counted(by_name)
    async with (
        handmade(counted, over_tcp=good) as server,
        AiodnsLookup(nameservers=[server], timeout=AGES) as lookup,
        asyncio.timeout(HANGS),
    ):
        silent = asyncio.create_task(lookup.lookup_srv("silent.example"))
        await until(lambda: counted.asked)
        (first,) = quick_channels(lookup)
        for number in range(3):
            assert (await lookup.lookup_srv(f"cut{number}.example")).records
            assert (await lookup.lookup_srv(f"{number}.example")).records
        assert quick_channels(lookup)[0] is first
        assert len(quick_channels(lookup)) == 2
        await cancelled(silent)
    assert {counted.asked[f"{number}.example", "SRV"] for number in range(3)} == {1}


async def test_many_that_are_cut_short_beside_silent_ones() -> None:
    """They do not keep a channel and its sockets each; beyond the most, the first try is patient.

    A server that answers names of its own in both ways would use up all descriptors.
    """
    counted = Counted(by_name)
    async with (
        handmade(counted, over_tcp=good) as server,
        AiodnsLookup(nameservers=[server], timeout=AGES) as lookup,
        asyncio.timeout(2 * HANGS),
    ):
        silent = []
        for number in range(30):
            silent.append(asyncio.create_task(lookup.lookup_srv(f"silent{number}.example")))
            await until(lambda name=f"silent{number}.example": counted.asked[name, "SRV"])
            assert (await lookup.lookup_srv(f"cut{number}.example")).records
        assert len(quick_channels(lookup)) == channels._MAX_CHANNELS
        await cancelled(*silent)
        assert (await lookup.lookup_srv("a.example")).records
        assert len(quick_channels(lookup)) == 1
    assert max(counted.asked.values()) == 2


async def test_malformed_beside_cut_short() -> None:
    """Each is asked again as it needs, in whatever order they come."""

    def answers(query: dns.message.Message) -> list[Any]:
        return [b"\xff" * 11, cut_short(query), b"\xff" * 11]

    for of in (answers, lambda query: answers(query)[1:]):
        async with (
            handmade(of, over_tcp=good) as server,
            AiodnsLookup(nameservers=[server], timeout=1.0) as lookup,
        ):
            asking = [lookup.lookup_srv(f"{number}.example") for number in range(20)]
            ended = await asyncio.gather(*asking, return_exceptions=True)
            assert all(isinstance(end, SrvLookupError) or end.records for end in ended)


async def test_closed_when_it_was_cut_short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is asked again then."""
    turn_to_tcp = QuickChannel._turn_to_tcp
    closing = []

    def closed_at_once(self: QuickChannel) -> None:
        closing.append(asyncio.ensure_future(lookup.aclose()))
        turn_to_tcp(self)

    monkeypatch.setattr(QuickChannel, "_turn_to_tcp", closed_at_once)
    by_udp = Counted(cut)
    async with handmade(by_udp, over_tcp=good) as server, asyncio.timeout(HANGS):
        lookup = AiodnsLookup(nameservers=[server], timeout=AGES)
        with pytest.raises(SrvLookupError):
            await lookup.lookup_srv("example.org")
        await closing[0]
    assert set(by_udp.asked.values()) == {1}


# How many at once


async def test_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """A channel takes 128; there are 12 at most, and then the newest takes what comes."""
    monkeypatch.setattr(channels, "_CHANNEL_AGE", HANGS)
    async with handmade(lambda _: []) as server:
        servers = Servers([server], AGES)
        asked: list[Tries] = []

        def ask(until_there_are: int) -> int:
            while len(asked) < until_there_are:
                asked.append(servers.begin(f"{len(asked)}.example", "SRV"))
            (known,) = servers._known.values()
            return len(known.server._quick)

        assert [ask(1), ask(128), ask(129), ask(256), ask(257)] == [1, 1, 2, 2, 3]
        assert [ask(12 * 128), ask(12 * 128 + 10)] == [12, 12]
        (known,) = servers._known.values()
        assert len(known.server._quick[-1]._under_way) == 138
        await servers.end(*asked)
        asked.clear()
        await asyncio.sleep(0)
        assert ask(128) == 1  # the newest, which has room again
        assert ask(129) == 2
        await servers.end(*asked)
        await servers.aclose()


async def test_room_that_is_free_again() -> None:
    """What has been answered takes none."""
    async with handmade(good) as server, AiodnsLookup(nameservers=[server]) as lookup:
        for number in range(3):
            asking = [lookup.lookup_srv(f"{number}.{n}.example") for n in range(100)]
            for reply in await asyncio.gather(*asking):
                assert reply.records
        assert len(quick_channels(lookup)) == 1
        assert not quick_channels(lookup)[0]._under_way


# Event loops


class WithoutReaders(asyncio.SelectorEventLoop):
    """Can't watch sockets for others, as Windows' proactor."""

    add_reader = asyncio.AbstractEventLoop.add_reader  # type: ignore[assignment]


LOOPS = event_loops(pytest.param(WithoutReaders, id="without readers"))


@pytest.mark.parametrize("new_loop", LOOPS)
def test_loops(new_loop: Callable[[], asyncio.AbstractEventLoop]) -> None:
    """On each: by datagrams and by TCP, and what is silent is given up."""
    counted = Counted(by_name)

    async def story() -> None:
        async with (
            handmade(counted, over_tcp=good) as server,
            AiodnsLookup(nameservers=[server], timeout=AGES) as lookup,
            asyncio.timeout(HANGS),
        ):
            silent = asyncio.create_task(lookup.lookup_srv("silent.example"))
            for number in range(3):
                for name in (f"{number}.example", f"cut{number}.example"):
                    assert (await lookup.lookup_srv(name)).records
                    assert len((await lookup.lookup_addresses(name)).addresses) == 2
            await cancelled(silent)

    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(story())
    # Where c-ares has its thread, it goes on by TCP itself.
    by_itself = new_loop is WithoutReaders
    assert {counted.asked[f"cut{n}.example", "SRV"] for n in range(3)} == {1 if by_itself else 2}
    assert {counted.asked[f"{n}.example", "SRV"] for n in range(3)} == {1}


@pytest.mark.parametrize("new_loop", LOOPS)
def test_many_in_one_turn(
    new_loop: Callable[[], asyncio.AbstractEventLoop], monkeypatch: pytest.MonkeyPatch
) -> None:
    """All get an answer to the first or the second try, though the server's socket overflows."""
    again: Counter[str] = Counter()
    ask_again = channels.Server.ask_again

    def counted(self: channels.Server, name: str, kind: str) -> Any:
        again[name] += 1
        return ask_again(self, name, kind)

    monkeypatch.setattr(channels.Server, "ask_again", counted)

    async def story() -> None:
        async with (
            handmade(good) as server,
            AiodnsLookup(nameservers=[server], timeout=2 * HANGS) as lookup,
        ):
            asking = [lookup.lookup_srv(f"{number}.example") for number in range(400)]
            for reply in await asyncio.gather(*asking):
                assert reply.records

    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(story())
    assert not again or max(again.values()) == 1


# What is left


OURS = (WatchedResolver, aiodns.DNSResolver, QuickChannel, PatientChannel, Tries)


def ours() -> list[Any]:
    """All that there are of these, whether or not anything holds them."""
    return [thing for thing in gc.get_objects() if type(thing) in OURS]


def watched(loop: asyncio.AbstractEventLoop) -> set[int]:
    """The descriptors that the loop watches."""
    return set(loop._selector.get_map())  # type: ignore[attr-defined]


def timers(loop: asyncio.AbstractEventLoop) -> list[Any]:
    """The timers of aiodns, and ours, that are still to come."""
    scheduled: list[asyncio.TimerHandle] = loop._scheduled  # type: ignore[attr-defined]
    called = [timer._callback for timer in scheduled if not timer.cancelled()]
    return [one for one in called if type(getattr(one, "__self__", None)) in OURS]


async def usual(lookup: AiodnsLookup) -> None:
    """Have answers, also that there is none."""
    for name in ("a.example", "b.example"):
        await lookup.lookup_srv(name)
        await lookup.lookup_addresses(name)
    await asyncio.gather(*(lookup.lookup_srv(f"{n}.example") for n in range(20)))


async def with_tcp(lookup: AiodnsLookup) -> None:
    """Have answers that were cut short, some beside others."""
    await lookup.lookup_srv("cut.example")
    asking = [f"{n}.example" for n in range(20)]
    await asyncio.gather(*map(lookup.lookup_addresses, ["cut.example", *asking]))


async def given_up(lookup: AiodnsLookup) -> None:
    """Cancel lookups of silent names, some of which are asked for the second time."""
    names = [f"silent{n}.example" for n in range(20)]
    asking = [asyncio.create_task(lookup.lookup_addresses(name)) for name in names]
    await asyncio.sleep(0.1)
    await cancelled(*asking)


async def too_late(lookup: AiodnsLookup) -> None:
    """Wait in vain for silent names."""
    with suppress(BackendError):
        await lookup.lookup_srv("silent.example")
    with suppress(BackendError):
        await lookup.lookup_addresses("silent.example")


@pytest.mark.usefixtures("_uncollected")
@pytest.mark.parametrize("closed", [True, False], ids=["closed", "dropped"])
@pytest.mark.parametrize("lookups", [usual, with_tcp, given_up, too_late])
async def test_nothing_is_left(
    lookups: Callable[[AiodnsLookup], Coroutine[Any, Any, None]], closed: bool
) -> None:
    """No socket is watched, no timer runs, and nothing waits for the garbage collector."""
    loop = asyncio.get_running_loop()
    before = ours()
    async with handmade(by_name, over_tcp=good) as server:
        watched_before = watched(loop)
        lookup = AiodnsLookup(nameservers=[server], timeout=0.5)
        # In a task, so that with it goes its context.
        await asyncio.ensure_future(lookups(lookup))
        if closed:
            await lookup.aclose()
            await asyncio.sleep(0)
            assert not timers(loop)
        else:
            del lookup  # c-ares's own time-out ends what it has under way
        await until(lambda: len(ours()) <= len(before))
        await until(lambda: watched(loop) <= watched_before)
        assert not timers(loop)


async def test_writers_are_taken_away() -> None:
    """Of a socket that was full once, the loop would tell for ever that it is not."""
    loop = asyncio.get_running_loop()
    async with handmade(by_name) as server, AiodnsLookup(nameservers=[server]) as lookup:
        asking = asyncio.create_task(lookup.lookup_srv("silent.example"))
        await until(lambda: lookup._servers._known and quick_channels(lookup))
        resolver: Any = quick_channels(lookup)[0]._resolver
        (fd,) = resolver._read_fds
        selector = loop._selector  # type: ignore[attr-defined]
        assert selector.get_key(fd).events == 1
        resolver._sock_state_cb(fd, True, True)
        assert selector.get_key(fd).events == 3
        resolver._sock_state_cb(fd, True, False)
        assert selector.get_key(fd).events == 1
        await cancelled(asking)


async def test_only_datagrams_are_watched() -> None:
    """Nor does c-ares hear that it is connected, in a channel that takes datagrams alone."""
    loop = asyncio.get_running_loop()
    added: list[int] = []
    add_reader, add_writer = loop.add_reader, loop.add_writer
    by_tcp = Counted()
    async with (
        handmade(by_name, over_tcp=by_tcp) as server,
        AiodnsLookup(nameservers=[server], timeout=AGES) as lookup,
        asyncio.timeout(HANGS),
    ):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(loop, "add_reader", lambda *to: (added.append(to[0]), add_reader(*to)))
            patch.setattr(loop, "add_writer", lambda *to: (added.append(to[0]), add_writer(*to)))
            silent = asyncio.create_task(lookup.lookup_srv("silent.example"))
            assert (await lookup.lookup_srv("cut.example")).records
            await cancelled(silent)
    assert len(added) == 1
    assert by_tcp.asked


async def test_cancelled_again_while_it_ends() -> None:
    """Neither family's timer nor its questions stay behind."""
    loop = asyncio.get_running_loop()
    counted = Counted(lambda query: [b"\xff" * 11] if counted.asked.total() <= 2 else [])
    async with (
        handmade(counted) as server,
        AiodnsLookup(nameservers=[server], timeout=AGES) as lookup,
    ):
        task = asyncio.create_task(lookup.lookup_addresses("example.org"))
        await until(lambda: counted.asked.total() == 4)  # each once more, alone
        task.cancel()
        await asyncio.sleep(0)
        assert not task.done()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not timers(loop)


async def test_cut_short_by_a_server_that_is_gone() -> None:
    """It is asked by TCP though the system names others now, and closed then."""
    passed = 0.0
    async with (
        handmade(cut, late={"SRV": 0.2}, over_tcp=good) as first,
        handmade(good) as second,
        asyncio.timeout(HANGS),
    ):
        named = [first]
        loop = asyncio.get_running_loop()
        servers = Servers(None, AGES, system=lambda: named, clock=lambda: loop.time() + passed)
        slow = asyncio.create_task(servers.ask("example.org", "SRV"))
        await asyncio.sleep(0.05)
        named = [second]
        passed = 1.0
        assert (await servers.ask("a.example", "SRV")).data
        assert len(servers._gone) == 1
        assert (await slow).data
        assert not servers._gone
        await servers.aclose()
