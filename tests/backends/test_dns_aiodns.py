"""What is particular to the lookup by c-ares; what all lookups do is in `test_dns_contract`."""

import asyncio
import resource
from collections import Counter
from ipaddress import ip_address
from itertools import permutations
from pathlib import Path
from typing import Any

import dns.edns
import dns.message
import dns.rcode
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import dns.rrset
import pycares
import pytest
from dns_lookups import (
    BOTH,
    HANGS,
    SRV,
    addresses,
    answer,
    asked_type,
    cut_short,
    either,
    empty,
    handmade,
    until,
)

from matrix_resolve.backends.dns_aiodns import AiodnsLookup, channels, tries
from matrix_resolve.backends.dns_aiodns.answers import read_answer
from matrix_resolve.errors import BackendError, SrvLookupError
from matrix_resolve.interfaces import AddressReply, SrvRecord, SrvReply
from matrix_resolve.testing import DnsFault, LoopbackFederation

# After so long (seconds) nothing that c-ares keeps is given any more.
KEPT_BY_C_ARES = 1.05


async def test_space_in_a_target(
    loopback_federation: LoopbackFederation, dns: AiodnsLookup
) -> None:
    """Of odd bytes c-ares leaves a space as it is."""
    loopback_federation.add_records(f"{SRV}example.org", "SRV", r"0 0 1 a\032b.example", ttl=9)
    reply = await dns.lookup_srv(f"{SRV}example.org")
    assert reply == SrvReply([SrvRecord(0, 0, 1, "a b.example")], 9)


@BOTH
async def test_none_has_no_ttl(
    loopback_federation: LoopbackFederation,
    dns: AiodnsLookup,
    kind: str,
    failure: type[BackendError],
) -> None:
    """c-ares does not tell the zone's negative TTL, nor that of an alias that leads nowhere."""
    loopback_federation.add("example.org", addresses=[], negative_ttl=77)
    loopback_federation.add_records("a.example", "CNAME", "nowhere.example", ttl=60)
    for name in ("example.org", "nowhere.example", "a.example"):
        assert await either(dns, kind)(name) == empty(kind)


FAULTS = [
    # fault, what is told
    pytest.param(DnsFault.SERVFAIL, "general failure", id="SERVFAIL"),
    pytest.param(DnsFault.REFUSED, "refused", id="REFUSED"),
    pytest.param(DnsFault.GARBAGE, "Misformatted", id="garbage"),
]


@BOTH
@pytest.mark.parametrize(("fault", "told"), FAULTS)
async def test_failure_is_told(
    loopback_federation: LoopbackFederation,
    dns: AiodnsLookup,
    kind: str,
    failure: type[BackendError],
    fault: DnsFault,
    told: str,
) -> None:
    """The reason is what c-ares says; a datagram that is no message is told at once."""
    loopback_federation.dns_faults["example.org", "*"] = fault
    with pytest.raises(failure, match=told):
        await either(dns, kind)("example.org")


@BOTH
@pytest.mark.parametrize("rcode", ["SERVFAIL", "REFUSED", "NOTIMP", "FORMERR"])
async def test_failure_is_asked_for_once(
    kind: str, failure: type[BackendError], rcode: str
) -> None:
    """What a server has refused is not asked of it again and again (RFC 9520, 3.1)."""
    asked: Counter[str] = Counter()

    def answers(query: dns.message.Message) -> list[Any]:
        asked[asked_type(query)] += 1
        return [answer(query, rcode=dns.rcode.from_text(rcode))]

    async with handmade(answers) as server, AiodnsLookup(nameservers=[server]) as lookup:
        with pytest.raises(failure):
            await either(lookup, kind)("example.org")
    assert set(asked.values()) == {1}


# The system's files


async def test_localhost(loopback_federation: LoopbackFederation, dns: AiodnsLookup) -> None:
    """What localhost means is known without asking (RFC 6761)."""
    found = await dns.lookup_addresses("localhost")
    assert ip_address("127.0.0.1") in found.addresses
    assert all(address.is_loopback for address in found.addresses)
    assert not loopback_federation.dns_questions


@BOTH
async def test_host_aliases_never_apply(
    loopback_federation: LoopbackFederation,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    kind: str,
    failure: type[BackendError],
) -> None:
    """The file that HOSTALIASES names does not lead a name elsewhere."""
    aliases = tmp_path / "aliases"
    aliases.write_text("synapse wrong.example\n")
    monkeypatch.setenv("HOSTALIASES", str(aliases))
    async with loopback_federation.dns_lookup() as lookup:
        await either(lookup, kind)("synapse")
    assert {asked for asked, _ in loopback_federation.dns_questions} == {"synapse"}


# What c-ares keeps, and closing


async def test_nothing_that_c_ares_keeps_lives_on(
    loopback_federation: LoopbackFederation, dns: AiodnsLookup
) -> None:
    """What is published after a negative answer, or changed after another, is seen in a second."""
    new, changed = "new.example", "changed.example"
    loopback_federation.add(new, addresses=[], negative_ttl=3600)
    loopback_federation.add(changed, addresses=["192.0.2.1"], srv=[("a.example", 1)], ttl=3600)
    nothing = (SrvReply([]), AddressReply([]))
    before = (
        SrvReply([SrvRecord(1, 0, 1, "a.example")], 3600),
        addresses("192.0.2.1", ttl=3600),
    )

    async def lookups(name: str) -> tuple[SrvReply, AddressReply]:
        return await dns.lookup_srv(SRV + name), await dns.lookup_addresses(name)

    assert (await lookups(new), await lookups(changed)) == (nothing, before)
    for name in (new, changed):
        loopback_federation.add(name, addresses=["192.0.2.2"], srv=[("b.example", 2)], ttl=60)
    await asyncio.sleep(KEPT_BY_C_ARES)
    after = (SrvReply([SrvRecord(1, 0, 2, "b.example")], 60), addresses("192.0.2.2", ttl=60))
    assert (await lookups(new), await lookups(changed)) == (after, after)
    # The other way round: what is gone is not given either.
    loopback_federation.remove(changed)
    await asyncio.sleep(KEPT_BY_C_ARES)
    assert await lookups(changed) == nothing


def open_descriptors() -> int:
    """How many descriptors this process has open."""
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="descriptors are listed on Linux")
@pytest.mark.parametrize("pending", ["waiting", "cancelled"])
async def test_old_channels_are_closed(
    loopback_federation: LoopbackFederation,
    monkeypatch: pytest.MonkeyPatch,
    pending: str,
) -> None:
    """However many channels follow each other, open are the current one and those still asking."""
    monkeypatch.setattr(channels, "_CHANNEL_AGE", 0.0)  # a channel for every lookup
    loopback_federation.add("example.org", srv=[("a.example", 1)])
    loopback_federation.dns_faults["silent.example", "*"] = DnsFault.SILENT
    before = open_descriptors()
    async with loopback_federation.dns_lookup(timeout=HANGS) as lookup:
        slow = asyncio.create_task(lookup.lookup_srv("silent.example"))
        await until(lambda: loopback_federation.dns_questions["silent.example", "SRV"])
        of_one = open_descriptors() - before
        if pending == "cancelled":
            slow.cancel()
        for _ in range(20):
            assert (await lookup.lookup_srv(f"{SRV}example.org")).records
        open_now = 1 if pending == "cancelled" else 2
        assert of_one > 0
        # c-ares closes in a thread of its own, a moment after it is told to.
        await until(lambda: open_descriptors() <= before + open_now * of_one)
        assert slow.done() is (pending == "cancelled")
        slow.cancel()
        with pytest.raises(asyncio.CancelledError):
            await slow
    await until(lambda: open_descriptors() <= before)


async def test_slow_answers_outlive_their_channel(monkeypatch: pytest.MonkeyPatch) -> None:
    """A question is answered though newer channels have taken the place of its own."""
    monkeypatch.setattr(channels, "_CHANNEL_AGE", 0.0)
    records = {"A": "A 192.0.2.1", "SRV": "SRV 0 0 1 a.example."}

    def answers(query: dns.message.Message) -> list[Any]:
        published = records.get(asked_type(query))
        return [answer(query, *([f"example.org. 300 IN {published}"] if published else []))]

    async with (
        handmade(answers, late={"A": 0.2}) as server,
        AiodnsLookup(nameservers=[server], timeout=HANGS) as lookup,
    ):
        slow = asyncio.create_task(lookup.lookup_addresses("example.org"))
        await asyncio.sleep(0.05)
        for _ in range(5):
            assert (await lookup.lookup_srv("example.org")).records
        assert not slow.done()
        assert await slow == addresses("192.0.2.1")


@BOTH
async def test_closing_ends_lookups_under_way(
    loopback_federation: LoopbackFederation, kind: str, failure: type[BackendError]
) -> None:
    """They fail when it is closed, long before their time is up."""
    loopback_federation.dns_faults["silent.example", "*"] = DnsFault.SILENT
    lookup = loopback_federation.dns_lookup(timeout=2 * HANGS)
    task = asyncio.create_task(either(lookup, kind)("silent.example"))
    await until(lambda: loopback_federation.dns_questions)
    async with asyncio.timeout(HANGS):
        await lookup.aclose()
        with pytest.raises(failure):
            await task


# Tries


@BOTH
@pytest.mark.parametrize("quick", [0, 5])
async def test_slow_answer_after_quick_ones(
    kind: str, failure: type[BackendError], quick: int
) -> None:
    """An answer may take nine tenths of the time, also of a server that is always quick else.

    c-ares shortens its tries when answers are quick, and no longer listens to earlier ones.
    """
    slow = ("SRV",) if kind == "SRV" else ("A", "AAAA")

    def answers(query: dns.message.Message) -> list[Any]:
        own = {"SRV": "SRV 0 0 1 a.example.", "A": "A 192.0.2.1", "AAAA": "AAAA 2001:db8::1"}
        return [answer(query, f"{query.question[0].name} 60 IN {own[asked_type(query)]}")]

    async with (
        handmade(answers, late=dict.fromkeys(slow, 1.8)) as server,
        AiodnsLookup(nameservers=[server], timeout=2.0) as lookup,
    ):
        for number in range(quick):  # other names: c-ares would know an answer again
            await lookup._servers.ask(f"{number}.example", "A" if kind == "SRV" else "SRV")
        reply = await either(lookup, kind)("example.org")
    assert reply.records if kind == "SRV" else len(reply.addresses) == 2


@pytest.mark.parametrize("lost", ["A", "AAAA"])
async def test_one_family_is_lost(lost: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the other family has is given long before all the time of the question is over."""
    monkeypatch.setattr(tries, "_BESIDE", 0.01)

    def answers(query: dns.message.Message) -> list[Any]:
        if asked_type(query) == lost:
            return []
        ip = "192.0.2.1" if asked_type(query) == "A" else "2001:db8::1"
        return [answer(query, f"example.org. 60 IN {asked_type(query)} {ip}")]

    async with (
        handmade(answers) as server,
        AiodnsLookup(nameservers=[server], timeout=2 * HANGS) as lookup,
        asyncio.timeout(HANGS),
    ):
        reply = await lookup.lookup_addresses("example.org")
    assert reply == addresses("2001:db8::1" if lost == "A" else "192.0.2.1", ttl=60)


@pytest.mark.parametrize("other", ["there are none", "a failure"])
@pytest.mark.parametrize("late", ["A", "AAAA"])
async def test_one_family_is_slow(late: str, other: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A family that has no addresses to give waits for the other."""
    monkeypatch.setattr(tries, "_BESIDE", 0.001)
    ip = "192.0.2.1" if late == "A" else "2001:db8::1"

    def answers(query: dns.message.Message) -> list[Any]:
        if asked_type(query) == late:
            return [answer(query, f"example.org. 60 IN {late} {ip}")]
        return [answer(query, rcode=dns.rcode.from_text("SERVFAIL" if "fail" in other else "0"))]

    async with (
        handmade(answers, late={late: 0.2}) as server,
        AiodnsLookup(nameservers=[server]) as lookup,
    ):
        assert await lookup.lookup_addresses("example.org") == addresses(ip, ttl=60)


@pytest.mark.parametrize("family", ["A", "AAAA"])
async def test_bug_is_told_though_one_family_will_do(
    loopback_federation: LoopbackFederation,
    dns: AiodnsLookup,
    monkeypatch: pytest.MonkeyPatch,
    family: str,
) -> None:
    """Only a failed lookup is made good by the other family."""

    def broken(name: str, kind: str, answer: Any) -> Any:
        if kind == family:
            raise ZeroDivisionError
        return read_answer(name, kind, answer)

    monkeypatch.setattr(tries, "read_answer", broken)
    loopback_federation.add("example.org", addresses=["192.0.2.1", "2001:db8::1"])
    with pytest.raises(ZeroDivisionError):
        await dns.lookup_addresses("example.org")


@pytest.mark.parametrize("family", ["A", "AAAA"])
async def test_bug_while_it_is_asked(
    loopback_federation: LoopbackFederation,
    dns: AiodnsLookup,
    monkeypatch: pytest.MonkeyPatch,
    family: str,
) -> None:
    """It comes out, and what was asked already is waited for no longer."""
    ask = channels.QuickChannel.ask
    asked: list[Any] = []

    def broken(self: channels.QuickChannel, name: str, kind: str, hurry: Any) -> Any:
        if kind == family:
            raise ZeroDivisionError
        asked.append(ask(self, name, kind, hurry))
        return asked[-1]

    monkeypatch.setattr(channels.QuickChannel, "ask", broken)
    loopback_federation.dns_down = True
    with pytest.raises(ZeroDivisionError):
        await dns.lookup_addresses("example.org")
    assert [answer.cancelled() for answer in asked] == ([True] if family == "AAAA" else [])


@BOTH
@pytest.mark.parametrize("answers", ["nothing", "the hint to ask by TCP"])
async def test_bug_while_it_is_asked_again(
    monkeypatch: pytest.MonkeyPatch, kind: str, failure: type[BackendError], answers: str
) -> None:
    """It comes out too: nobody else keeps the time of a lookup."""

    def broken(*args: Any) -> Any:
        raise ZeroDivisionError

    monkeypatch.setattr(channels, "PatientChannel", broken)
    sent = cut_short if "hint" in answers else None
    async with (
        handmade(lambda query: [sent(query)] if sent else [], over_tcp=lambda _: []) as server,
        AiodnsLookup(nameservers=[server], timeout=1.0) as lookup,
        asyncio.timeout(HANGS),
    ):
        with pytest.raises(ZeroDivisionError):
            await either(lookup, kind)("example.org")


@BOTH
async def test_cancelled_at_once(
    loopback_federation: LoopbackFederation, kind: str, failure: type[BackendError]
) -> None:
    """A lookup that is cancelled does not wait for its tries to end."""
    loopback_federation.dns_down = True
    async with loopback_federation.dns_lookup(timeout=3 * HANGS) as lookup:
        task = asyncio.create_task(either(lookup, kind)("example.org"))
        await until(lambda: loopback_federation.dns_questions)
        task.cancel()
        async with asyncio.timeout(HANGS):
            with pytest.raises(asyncio.CancelledError):
                await task


MALFORMED = [
    # what is sent in place of an answer, given its first two octets
    pytest.param(lambda of: b"\xff" * 11, id="no header"),
    pytest.param(lambda of: of + b"\x81\x80\xff\xff", id="cut short"),
    pytest.param(lambda of: of + b"\x81\x80" + b"\xff" * 100, id="counts that can't be"),
    pytest.param(
        lambda of: of + b"\x81\x80\0\1\0\0\0\0\0\0\xc0\x0c\0\1\0\1", id="a pointer to itself"
    ),
]


@pytest.mark.parametrize("malformed", MALFORMED)
async def test_malformed_datagram(malformed: Any) -> None:
    """It harms its own question only, for which c-ares fails all that are under way."""

    def answers(query: dns.message.Message) -> list[Any]:
        if query.question[0].name.to_text().startswith("bad."):
            return [malformed(query.to_wire()[:2])]
        name = query.question[0].name.to_text()
        return [answer(query, f"{name} 60 IN SRV 0 0 1 a.example.")]

    async with (
        handmade(answers, late={"SRV": 0.2}) as server,
        AiodnsLookup(nameservers=[server]) as lookup,
        asyncio.timeout(HANGS),
    ):
        good = [asyncio.create_task(lookup.lookup_srv(f"{n}.example")) for n in range(30)]
        with pytest.raises(SrvLookupError, match="Misformatted") as caught:
            await lookup.lookup_srv("bad.example")
        assert caught.value.temporary
        for task in good:
            assert (await task).records


@pytest.mark.parametrize("trouble", [pycares.AresError("no channel"), OSError(24, "EMFILE")])
async def test_malformed_datagram_and_no_channel(
    monkeypatch: pytest.MonkeyPatch, trouble: Exception
) -> None:
    """Where there can be no channel to ask once more in, the lookup fails as others do."""

    async def refuse(*args: Any) -> Any:
        raise trouble

    monkeypatch.setattr(channels.Server, "ask_alone", refuse)
    async with (
        handmade(lambda query: [b"\xff" * 11]) as server,
        AiodnsLookup(nameservers=[server]) as lookup,
    ):
        with pytest.raises(SrvLookupError) as caught:
            await lookup.lookup_srv("example.org")
    assert caught.value.temporary


# EDNS


@BOTH
async def test_edns_is_off(kind: str, failure: type[BackendError]) -> None:
    """No OPT record goes out, so no DNS cookie is asked for (RFC 7873)."""
    asked = set()

    def answers(query: dns.message.Message) -> list[Any]:
        asked.add(query.edns)
        return [answer(query)]

    async with handmade(answers) as server, AiodnsLookup(nameservers=[server]) as lookup:
        await either(lookup, kind)("example.org")
    assert asked == {-1}


async def test_cookies_now_and_then() -> None:
    """A forwarder that adds a server cookie to some answers only, is understood every time."""
    sent = 0

    def answers(query: dns.message.Message) -> list[Any]:
        nonlocal sent
        response = answer(query, f"{query.question[0].name.to_text()} 60 IN SRV 0 0 1 a.example.")
        cookies = [option for option in query.options if option.otype == dns.edns.COOKIE]
        if cookies and sent == 0:
            full = dns.edns.CookieOption(cookies[0].client, b"12345678")
            response.use_edns(0, options=[full])
        sent += 1
        return [response]

    async with (
        handmade(answers) as server,
        AiodnsLookup(nameservers=[server], timeout=1.0) as lookup,
    ):
        for number in range(4):
            assert (await lookup.lookup_srv(f"{number}.example")).records


# What is neither an answer nor "none"


RCODES = ["YXDOMAIN", "YXRRSET", "NXRRSET", "NOTAUTH", "NOTZONE", "BADVERS", "BADCOOKIE", "15"]


@BOTH
@pytest.mark.parametrize("rcode", RCODES)
async def test_odd_rcodes(kind: str, failure: type[BackendError], rcode: str) -> None:
    """A response code that is neither of records nor of none is a failure."""

    def answers(query: dns.message.Message) -> list[Any]:
        response = dns.message.make_response(query, recursion_available=True)
        response.use_edns(0)
        response.set_rcode(dns.rcode.from_text(rcode))
        return [response]

    async with handmade(answers) as server, AiodnsLookup(nameservers=[server]) as lookup:
        with pytest.raises(failure) as caught:
            await either(lookup, kind)("example.org")
    assert caught.value.temporary


STRAY = [
    # records of an answer to a question about example.org
    pytest.param("other.example. 60 IN", id="another owner"),
    pytest.param("org. 60 IN", id="the parent"),
    pytest.param("a.example.org. 60 IN", id="a child"),
    pytest.param("example.org. 60 CH", id="class CHAOS"),
    pytest.param("example.org. 60 HS", id="class HS"),
]


@BOTH
@pytest.mark.parametrize("stray", STRAY)
@pytest.mark.parametrize("beside", [False, True], ids=["alone", "beside the answer"])
async def test_stray_records(
    kind: str, failure: type[BackendError], stray: str, beside: bool
) -> None:
    """Records of another owner or class are passed over; alone they say nothing."""
    true = {"SRV": "SRV 0 0 1 a.example.", "A": "A 192.0.2.1", "AAAA": "AAAA 2001:db8::1"}
    false = {"SRV": "SRV 0 0 1 evil.example.", "A": "A 192.0.2.66", "AAAA": "AAAA 2001:db8::66"}

    def answers(query: dns.message.Message) -> list[Any]:
        own = f"example.org. 300 IN {true[asked_type(query)]}"
        # dnspython knows no such addresses of class CHAOS, so it is given bare octets.
        of_type = asked_type(query)
        data = dns.rdata.from_text("IN", of_type, false[of_type].partition(" ")[2]).to_wire()
        owner, ttl, of_class = stray.split()
        bare = dns.rdata.GenericRdata(
            dns.rdataclass.from_text(of_class), dns.rdatatype.from_text(of_type), data
        )
        response = answer(query, *([own] if beside else []))
        response.answer.insert(0, dns.rrset.from_rdata(owner, int(ttl), bare))
        return [response]

    async with handmade(answers) as server, AiodnsLookup(nameservers=[server]) as lookup:
        if not beside:
            with pytest.raises(failure, match="something else"):
                await either(lookup, kind)("example.org")
        elif kind == "SRV":
            expected = SrvReply([SrvRecord(0, 0, 1, "a.example")], 300)
            assert await lookup.lookup_srv("example.org") == expected
        else:
            expected = addresses("192.0.2.1", "2001:db8::1", ttl=300)
            assert await lookup.lookup_addresses("example.org") == expected


@pytest.mark.parametrize("order", list(permutations(range(4))))
async def test_canonical_name(order: tuple[int, ...]) -> None:
    """It is the end of the chain of aliases, in whatever order the records come."""

    def answers(query: dns.message.Message) -> list[Any]:
        ip = "192.0.2.1" if asked_type(query) == "A" else "2001:db8::1"
        records = [
            "example.org. 60 IN CNAME b.example.",
            "b.example. 50 IN CNAME c.example.",
            "c.example. 70 IN CNAME d.example.",
            f"d.example. 80 IN {asked_type(query)} {ip}",
        ]
        return [answer(query, *(records[place] for place in order))]

    async with handmade(answers) as server, AiodnsLookup(nameservers=[server]) as lookup:
        reply = await lookup.lookup_addresses("example.org")
    assert reply == addresses("192.0.2.1", "2001:db8::1", ttl=50, alias_of="d.example")


# Our own trouble


async def test_many_addresses() -> None:
    """Of thousands the first are given: to read them all would hold the event loop up."""
    ipv4 = [f"10.0.{number // 256}.{number % 256}" for number in range(1_000)]
    ipv6 = [f"2001:db8::{number:x}" for number in range(1_000)]

    def answers(query: dns.message.Message) -> list[Any]:
        of_type = asked_type(query)
        published = ipv4 if of_type == "A" else ipv6
        return [answer(query, *(f"example.org. 60 IN {of_type} {ip}" for ip in published))]

    async with handmade(answers) as server, AiodnsLookup(nameservers=[server]) as lookup:
        reply = await lookup.lookup_addresses("example.org")
    assert reply == addresses(*ipv4[:256], *ipv6[:256], ttl=60)


@BOTH
@pytest.mark.parametrize("trouble", [pycares.AresError("no channel"), OSError(24, "EMFILE")])
async def test_no_channel(
    loopback_federation: LoopbackFederation,
    dns: AiodnsLookup,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
    failure: type[BackendError],
    trouble: Exception,
) -> None:
    """Where no channel can be opened, the lookup fails as others do, and only then."""

    def refuse(*args: Any, **options: Any) -> Any:
        raise trouble

    loopback_federation.add("example.org", addresses=["192.0.2.1"], srv=[("a.example", 1)])
    name = "example.org" if kind == "addresses" else f"{SRV}example.org"
    with monkeypatch.context() as patch:
        patch.setattr(channels.aiodns, "DNSResolver", refuse)
        patch.setattr(channels, "WatchedResolver", refuse)
        with pytest.raises(failure) as caught:
            await either(dns, kind)(name)
        assert caught.value.temporary
    reply = await either(dns, kind)(name)
    assert reply.records if kind == "SRV" else reply.addresses


@BOTH
@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="descriptors are listed on Linux")
async def test_no_descriptor(
    loopback_federation: LoopbackFederation,
    dns: AiodnsLookup,
    kind: str,
    failure: type[BackendError],
) -> None:
    """Where no descriptor is left, the lookup fails as others do, and is answered afterwards."""
    loopback_federation.add("example.org", addresses=["192.0.2.1"], srv=[("a.example", 1)])
    name = "example.org" if kind == "addresses" else f"{SRV}example.org"
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
    try:
        with pytest.raises(failure) as caught:
            await either(dns, kind)(name)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert caught.value.temporary
    await dns.aclose()
    async with loopback_federation.dns_lookup() as lookup:
        reply = await either(lookup, kind)(name)
    assert reply.records if kind == "SRV" else reply.addresses
