"""What is particular to the lookup by dnspython; what all lookups do is in `test_dns_contract`."""

import asyncio
from collections.abc import AsyncIterator
from itertools import pairwise, permutations
from typing import Any

import dns.flags
import dns.message
import dns.rcode
import pytest
import pytest_asyncio
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
    resolv_conf,
    until,
)

from matrix_resolve import Policy, Step
from matrix_resolve.backends.dns_dnspython import DnspythonLookup
from matrix_resolve.errors import AddressLookupError, BackendError, SrvLookupError
from matrix_resolve.interfaces import AddressReply, SrvRecord, SrvReply
from matrix_resolve.testing import DnsFault, FakeClock, LoopbackFederation


@pytest_asyncio.fixture
async def dns_(loopback_federation: LoopbackFederation) -> AsyncIterator[DnspythonLookup]:
    """A lookup that asks the loopback DNS server."""
    async with asking(loopback_federation.nameserver) as lookup:
        yield lookup


def asking(*servers: str, timeout: float = HANGS) -> DnspythonLookup:
    """A lookup that asks these servers."""
    return DnspythonLookup(nameservers=servers, timeout=timeout)


# Records


async def test_many_srv_records(
    loopback_federation: LoopbackFederation, dns_: DnspythonLookup
) -> None:
    """A large answer comes whole, and in its order."""
    records = [f"{number} 0 8448 host-{number}.example" for number in range(1000)]
    loopback_federation.add_records(f"{SRV}example.org", "SRV", *records)
    reply = await dns_.lookup_srv(f"{SRV}example.org")
    assert [record.priority for record in reply.records] == list(range(1000))


ALIASES = ("example.org. 60 IN CNAME B.example.", "b.example. 50 IN CNAME c.d.example.")


@pytest.mark.parametrize("last", ["c.d.example. 70 IN A 192.0.2.1", None], ids=["A", "none"])
@pytest.mark.parametrize("order", [*permutations(range(5))])
async def test_aliases_in_any_order(order: tuple[int, ...], last: str | None) -> None:
    """The canonical name is the end of the chain, however it and what is beside it is ordered."""
    beside = ("other.example. 9 IN CNAME example.org.", "example.org. 9 CH TXT x")
    records = [*ALIASES, *beside, last]

    def answers(query: dns.message.Message) -> list[Any]:
        chosen = [records[place] for place in order]
        if asked_type(query) == "AAAA":
            chosen = [record for record in chosen if record != last]
        return [answer(query, *(record for record in chosen if record))]

    async with handmade(answers) as server, asking(server) as lookup:
        reply = await lookup.lookup_addresses(QUESTION)
    given = addresses("192.0.2.1", ttl=50, alias_of="c.d.example")
    assert reply == (given if last else AddressReply([], None, "c.d.example"))


async def test_space_in_a_target(
    loopback_federation: LoopbackFederation, dns_: DnspythonLookup
) -> None:
    """A space is escaped, as all odd bytes are."""
    loopback_federation.add_records(f"{SRV}example.org", "SRV", r"0 0 1 a\032b.example", ttl=9)
    reply = await dns_.lookup_srv(f"{SRV}example.org")
    assert reply == SrvReply([SrvRecord(0, 0, 1, r"a\032b.example")], 9)


# None, and for how long


NONE = [
    # fault, what is declared, the zone's negative TTL
    pytest.param(None, False, 60, id="no such name"),
    pytest.param(None, True, 77, id="no such record"),
    pytest.param(DnsFault.NXDOMAIN, True, 77, id="NXDOMAIN"),
    pytest.param(DnsFault.NODATA, True, 77, id="NODATA"),
]


@BOTH
@pytest.mark.parametrize(("fault", "declared", "ttl"), NONE)
async def test_none_has_the_negative_ttl_of_the_zone(
    loopback_federation: LoopbackFederation,
    dns_: DnspythonLookup,
    kind: str,
    failure: type[BackendError],
    fault: DnsFault | None,
    declared: bool,
    ttl: int,
) -> None:
    """That there is no such name or record holds as long as the zone says."""
    if declared:
        loopback_federation.add("example.org", addresses=[], dns=fault, negative_ttl=77)
    assert await either(dns_, kind)("example.org") == empty(kind, ttl)


ALIASES_OF_NOTHING = [
    # TTLs of the two aliases, negative TTL of the zone at their end, what is given
    pytest.param((100, 90), 80, 80, id="the zone's negative TTL"),
    pytest.param((70, 90), 80, 70, id="the first alias"),
    pytest.param((100, 60), 80, 60, id="the second alias"),
]


@BOTH
@pytest.mark.parametrize("end", ["no such name", "no such record"])
@pytest.mark.parametrize(("ttls", "negative", "least"), ALIASES_OF_NOTHING)
async def test_alias_of_a_name_that_has_none(
    loopback_federation: LoopbackFederation,
    dns_: DnspythonLookup,
    kind: str,
    failure: type[BackendError],
    end: str,
    ttls: tuple[int, int],
    negative: int,
    least: int,
) -> None:
    """That an alias leads to nothing holds as long as each link, and as the "none" at its end."""
    name = "c.example" if end == "no such record" else "nowhere.c.example"
    loopback_federation.add("c.example", addresses=[], negative_ttl=negative)
    loopback_federation.add_records("a.example", "CNAME", "b.example", ttl=ttls[0])
    loopback_federation.add_records("b.example", "CNAME", name, ttl=ttls[1])
    reply = await either(dns_, kind)("a.example")
    if kind == "SRV":
        assert reply == SrvReply([], least)
    else:
        assert reply == AddressReply([], least, name)


SOA = "SOA ns.invalid. hostmaster.invalid. 1 3600 600 86400"
NEGATIVE_TTLS = [
    # rcode, answer, authority, TTL
    pytest.param("NXDOMAIN", (), (f"org. 50 IN {SOA} 90",), 50, id="NXDOMAIN, the SOA's own"),
    pytest.param("NXDOMAIN", (), (f"org. 90 IN {SOA} 50",), 50, id="NXDOMAIN, its minimum"),
    pytest.param("NOERROR", (), (f"org. 50 IN {SOA} 90",), 50, id="NODATA, the SOA's own"),
    pytest.param("NOERROR", (), (f"org. 90 IN {SOA} 50",), 50, id="NODATA, its minimum"),
    pytest.param("NOERROR", (), (f"org. 0 IN {SOA} 50",), 0, id="zero"),
    pytest.param("NOERROR", (), (f"org. 9999 IN {SOA} 9000",), 9000, id="hours"),
    pytest.param("NOERROR", (), (f". 50 IN {SOA} 90",), 50, id="of the root zone"),
    pytest.param("NOERROR", (), (f"EXAMPLE.ORG. 50 IN {SOA} 90",), 50, id="upper case"),
    pytest.param("NXDOMAIN", (), (), None, id="NXDOMAIN, no SOA"),
    pytest.param("NOERROR", (), (), None, id="NODATA, no SOA"),
    pytest.param("NOERROR", (), ("org. 50 IN NS ns.org.",), None, id="only NS records"),
    pytest.param("NOERROR", (), (f"net. 50 IN {SOA} 90",), None, id="the SOA of another zone"),
    pytest.param("NOERROR", (), (f"a.example.org. 50 IN {SOA} 9",), None, id="of a zone below"),
    pytest.param("NOERROR", (), (f"org. 50 CH {SOA} 90",), None, id="of another class"),
    pytest.param("NOERROR", ("example.org. 40 IN CNAME a.net.",), (), None, id="an alias, no SOA"),
    pytest.param(
        "NXDOMAIN",
        ("example.org. 40 IN CNAME a.net.",),
        (f"org. 50 IN {SOA} 90",),
        None,
        id="an alias, the SOA of the zone that it leaves",
    ),
]


@BOTH
@pytest.mark.parametrize(("rcode", "records", "authority", "ttl"), NEGATIVE_TTLS)
async def test_negative_ttl(
    kind: str,
    failure: type[BackendError],
    rcode: str,
    records: tuple[str, ...],
    authority: tuple[str, ...],
    ttl: int | None,
) -> None:
    """It is the lesser of the SOA record's own TTL and its minimum (RFC 2308, 5), or unknown."""

    def answers(query: dns.message.Message) -> list[Any]:
        code = dns.rcode.from_text(rcode)
        return [answer(query, *records, authority=authority, rcode=code)]

    async with handmade(answers) as server, asking(server) as lookup:
        reply = await either(lookup, kind)(QUESTION)
    assert not (reply.records if kind == "SRV" else reply.addresses)
    assert reply.ttl == ttl


@pytest.mark.parametrize(
    ("ttls", "least"), [((50, 60), 50), ((70, 60), 60), ((50, None), 50), ((None, None), None)]
)
async def test_negative_ttl_of_two_families(
    ttls: tuple[int | None, int | None], least: int | None
) -> None:
    """That there are no addresses holds as long as it does for either family."""

    def answers(query: dns.message.Message) -> list[Any]:
        ttl = ttls[asked_type(query) == "AAAA"]
        return [answer(query, authority=() if ttl is None else (f"org. {ttl} IN {SOA} 900",))]

    async with handmade(answers) as server, asking(server) as lookup:
        assert await lookup.lookup_addresses(QUESTION) == AddressReply([], least)


@BOTH
async def test_nothing_is_kept(
    loopback_federation: LoopbackFederation,
    dns_: DnspythonLookup,
    kind: str,
    failure: type[BackendError],
) -> None:
    """Each lookup asks: lifetimes are the resolver's."""
    ask = either(dns_, kind)
    loopback_federation.add("example.org", addresses=[], negative_ttl=3600)
    assert await ask("example.org") == empty(kind, 3600)
    loopback_federation.add_records("example.org", "SRV", "0 0 1 a.example", ttl=3600)
    loopback_federation.add_records("example.org", "A", "192.0.2.1", ttl=3600)
    assert await ask("example.org") != empty(kind, 3600)
    loopback_federation.remove("example.org")
    assert await ask("example.org") == empty(kind, 60)


async def test_resolver_asks_again_when_the_negative_ttl_has_ended(
    loopback_federation: LoopbackFederation, dns_: DnspythonLookup
) -> None:
    """SRV records published after "none" was answered are seen as soon as the zone allows."""
    clock = FakeClock()
    policy = Policy(jitter=0, refresh_ahead=0, legacy_srv=False)
    loopback_federation.add("example.org", negative_ttl=120)
    async with loopback_federation.resolver(
        srv=dns_, addresses=dns_, policy=policy, clock=clock
    ) as resolver:
        assert (await resolver.resolve("example.org")).step is Step("6")
        loopback_federation.add("example.org", srv=[("a.example", 8450)])
        clock.advance(119)
        assert (await resolver.resolve("example.org")).step is Step("6")
        clock.advance(1)
        resolution = await resolver.resolve("example.org")
        (endpoint, *_) = await resolver.endpoints(resolution)
    assert resolution.step is Step("4")
    assert (endpoint.target.host, endpoint.port) == ("a.example", 8450)


# Failed


FAULTS = [
    # fault, what is told
    pytest.param(DnsFault.SERVFAIL, "127.0.0.1@[0-9]+: SERVFAIL$", id="SERVFAIL"),
    pytest.param(DnsFault.REFUSED, "127.0.0.1@[0-9]+: REFUSED$", id="REFUSED"),
    pytest.param(DnsFault.GARBAGE, r"^no answer within 0\.3 s$", id="garbage"),
]


@BOTH
@pytest.mark.parametrize(("fault", "told"), FAULTS)
async def test_failure_is_told(
    loopback_federation: LoopbackFederation,
    kind: str,
    failure: type[BackendError],
    fault: DnsFault,
    told: str,
) -> None:
    """The reason names the server and how it failed; what is no message counts as no answer."""
    loopback_federation.dns_faults["example.org", "*"] = fault
    timeout = HANGS if fault in (DnsFault.SERVFAIL, DnsFault.REFUSED) else SHORT
    async with (
        asking(loopback_federation.nameserver, timeout=timeout) as lookup,
        asyncio.timeout(HANGS),
    ):
        with pytest.raises(failure, match=told):
            await either(lookup, kind)("example.org")


def chain(length: int) -> tuple[str, ...]:
    """So many aliases that begin with example.org."""
    names = ["example.org.", *(f"{number}.example." for number in range(length))]
    return tuple(f"{one} 60 IN CNAME {next_}" for one, next_ in pairwise(names))


OTHERS = ("other.example. 60 IN SRV 0 0 1 a.example.", "other.example. 60 IN A 192.0.2.1")
USELESS = [
    # answer, rcode, what is told of it; with nothing told it is as if there were none
    pytest.param(("example.org. 60 IN CNAME example.org.",), 0, "chain is too long", id="itself"),
    pytest.param(
        ("example.org. 60 IN CNAME a.example.", "a.example. 60 IN CNAME example.org."),
        0,
        "chain is too long",
        id="aliases in a circle",
    ),
    pytest.param(chain(300), 0, "chain is too long", id="an endless chain"),
    pytest.param(
        ("example.org. 60 IN SRV 0 0 1 a.example.", "example.org. 60 IN A 192.0.2.1"),
        3,
        "is NXDOMAIN but",
        id="a record, and NXDOMAIN",
    ),
    pytest.param((), 6, "YXDOMAIN", id="YXDOMAIN"),
    pytest.param((), 1, "FORMERR", id="FORMERR"),
    pytest.param((), 4, "NOTIMP", id="NOTIMP"),
    pytest.param((), 9, "NOTAUTH", id="NOTAUTH"),
    pytest.param((), 16, "BADVERS", id="BADVERS"),
    pytest.param((), 0xF0, "240", id="an unknown rcode"),
    pytest.param(OTHERS, 0, "something else", id="records of another name"),
    pytest.param(OTHERS, 3, "something else", id="records of another name, and NXDOMAIN"),
    pytest.param(
        ("a.example.org. 60 IN SRV 0 0 1 a.example.", "a.example.org. 60 IN A 192.0.2.1"),
        0,
        "something else",
        id="records of a name below",
    ),
    pytest.param(
        ("other.example. 60 IN CNAME example.org.",),
        0,
        "something else",
        id="an alias that leads here",
    ),
    pytest.param(
        ("example.org. 60 CH TXT x", "example.org. 60 CH TYPE33 \\# 0"),
        0,
        "something else",
        id="records of another class",
    ),
    pytest.param(("example.org. 60 IN TXT x",), 0, None, id="records of another type"),
    pytest.param((*OTHERS, "example.org. 60 IN TXT x"), 0, None, id="of another type, and name"),
]


@BOTH
@pytest.mark.parametrize(("records", "rcode", "told"), USELESS)
async def test_useless_answers(
    kind: str,
    failure: type[BackendError],
    records: tuple[str, ...],
    rcode: int,
    told: str | None,
) -> None:
    """Answers that contradict themselves are failures; what was not asked for is passed over."""

    def answers(query: dns.message.Message) -> list[Any]:
        return [answer(query, *records, rcode=dns.rcode.Rcode(rcode))]

    async with handmade(answers) as server, asking(server) as lookup, asyncio.timeout(HANGS):
        if told is None:
            assert await either(lookup, kind)(QUESTION) == empty(kind, None)
            return
        with pytest.raises(failure, match=told) as caught:
            await either(lookup, kind)(QUESTION)
    assert caught.value.temporary
    assert caught.value.reason.isprintable()
    assert len(caught.value.reason) <= 200


@BOTH
async def test_noise_is_passed_over(kind: str, failure: type[BackendError]) -> None:
    """Datagrams that are no response at all do not keep the true one out."""

    def answers(query: dns.message.Message) -> list[Any]:
        lie = ["example.org. 60 IN SRV 0 0 1 evil.example.", "example.org. 60 IN A 192.0.2.66"]
        no_response = answer(query, *lie)
        no_response.flags &= ~dns.flags.QR
        cut = answer(query, *lie).to_wire()[:-1]
        return [no_response, cut, b"", b"\0", b"\xff" * 40, answer(query)]

    async with handmade(answers) as server, asking(server) as lookup:
        assert await either(lookup, kind)(QUESTION) == empty(kind)


@BOTH
async def test_each_failed_server_is_told(kind: str, failure: type[BackendError]) -> None:
    """The reason names each server, and how it failed."""

    def refuses(query: dns.message.Message) -> list[Any]:
        return [answer(query, rcode=dns.rcode.REFUSED)]

    def fails(query: dns.message.Message) -> list[Any]:
        return [answer(query, rcode=dns.rcode.SERVFAIL)]

    async with (
        handmade(refuses) as one,
        handmade(fails) as two,
        asking(one, two) as lookup,
    ):
        with pytest.raises(failure) as caught:
            await either(lookup, kind)(QUESTION)
    one, two = (f"Do53:{server.replace(':', '@')}" for server in (one, two))
    assert caught.value.reason == f"{one}: REFUSED; {two}: SERVFAIL"


@BOTH
async def test_failure_is_told_when_others_are_silent(
    kind: str, failure: type[BackendError]
) -> None:
    """The time of the lookup does not run out before it can be told which server failed how."""

    def refuses(query: dns.message.Message) -> list[Any]:
        return [answer(query, rcode=dns.rcode.REFUSED)]

    async with (
        handmade(refuses) as one,
        handmade(lambda _: []) as silent,
        asking(one, silent, silent, silent, timeout=2) as lookup,
    ):
        with pytest.raises(failure, match=r"^Do53:127\.0\.0\.1@[0-9]+: REFUSED$"):
            await either(lookup, kind)(QUESTION)


# Names


@BOTH
@pytest.mark.parametrize(
    "name",
    ["", ".", "a..example", ".example", "example.org.", f"{'a' * 64}.example"],
    ids=ascii,
)
async def test_malformed_names_are_no_dns_names(
    loopback_federation: LoopbackFederation,
    dns_: DnspythonLookup,
    kind: str,
    failure: type[BackendError],
    name: str,
) -> None:
    """A name with an impossible label is refused unasked, for good."""
    with pytest.raises(failure, match="no DNS name") as caught:
        await either(dns_, kind)(name)
    assert not caught.value.temporary
    assert caught.value.reason.isprintable()
    assert not loopback_federation.dns_questions


@BOTH
@pytest.mark.parametrize("name", ["@", r"a\.b", r"\065.example", "a b.example", "(", "$.example"])
async def test_names_are_taken_to_the_letter(
    kind: str, failure: type[BackendError], name: str
) -> None:
    """What means something in a zone file means itself in a name."""
    labels = (*name.encode().split(b"."), b"")

    def answers(query: dns.message.Message) -> list[Any]:
        assert query.question[0].name.labels == labels
        return [answer(query)]

    async with handmade(answers) as server, asking(server) as lookup:
        assert await either(lookup, kind)(name) == empty(kind, None)


async def test_localhost(loopback_federation: LoopbackFederation, dns_: DnspythonLookup) -> None:
    """DNS is asked for localhost too: no hosts file is read."""
    loopback_federation.add("localhost", addresses=["192.0.2.1"])
    assert await dns_.lookup_addresses("localhost") == addresses("192.0.2.1")


# Questions that are lost


LOST = [
    # the types whose questions are lost, what is published, what is given
    pytest.param({"A"}, ["2001:db8::1"], addresses("2001:db8::1"), id="A, and there is AAAA"),
    pytest.param({"A"}, [], None, id="A, and there is no AAAA"),
    pytest.param({"A", "AAAA"}, [], None, id="both"),
]


@pytest.mark.parametrize(("lost", "published", "given"), LOST)
async def test_questions_for_ipv4_are_lost(
    loopback_federation: LoopbackFederation,
    lost: set[str],
    published: list[str],
    given: AddressReply | None,
) -> None:
    """IPv6 addresses will do, as IPv4 addresses do in the contract: c-ares would drop them."""
    loopback_federation.add("example.org", addresses=published)
    for family in lost:
        loopback_federation.dns_faults["example.org", family] = DnsFault.SILENT
    # In the shorter time a busy machine may not come to give the one that there is.
    timeout = SHORT if given is None else 1.0
    async with asking(loopback_federation.nameserver, timeout=timeout) as lookup:
        if given is not None:
            assert await lookup.lookup_addresses("example.org") == given
        else:
            with pytest.raises(AddressLookupError) as caught:
                await lookup.lookup_addresses("example.org")
            assert caught.value.temporary


# Which servers


async def test_options_of_the_system_are_overruled(
    loopback_federation: LoopbackFederation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The time of a lookup is the one that was asked for."""
    text = "options timeout:60 rotate\nnameserver 127.0.0.1\n"
    resolv_conf(monkeypatch, text, loopback_federation)
    loopback_federation.dns_down = True
    async with DnspythonLookup(timeout=SHORT) as lookup, asyncio.timeout(HANGS):
        with pytest.raises(SrvLookupError, match=r"no answer within 0\.3 s"):
            await lookup.lookup_srv("example.org")
    assert loopback_federation.dns_questions["example.org", "SRV"] > 1


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (None, "cannot open /nonexistent/resolv.conf"),
        ("", "no nameservers"),
        ("search example.org\n# nameserver 127.0.0.1\n", "no nameservers"),
        ("nameserver dns.example\n", "nameserver dns.example is not"),
        ("search a..b\nnameserver 127.0.0.1\n", "the system's DNS servers can't be told"),
    ],
    ids=["none", "empty", "without nameservers", "a name for a nameserver", "bad search domain"],
)
def test_unusable_resolv_conf(monkeypatch: pytest.MonkeyPatch, text: str | None, told: str) -> None:
    """When the system has no nameserver, that is said at once."""
    resolv_conf(monkeypatch, text)
    with pytest.raises(ValueError, match=told):
        DnspythonLookup()
    with pytest.raises(ValueError, match="there is no nameserver"):
        DnspythonLookup(nameservers=[])


# Closing


@BOTH
async def test_closing_lets_lookups_under_way_end(
    loopback_federation: LoopbackFederation, kind: str, failure: type[BackendError]
) -> None:
    """They are answered as they would have been."""
    loopback_federation.dns_delay = 0.05
    lookup = asking(loopback_federation.nameserver)
    task = asyncio.create_task(either(lookup, kind)("example.org"))
    await until(lambda: loopback_federation.dns_questions)
    await lookup.aclose()
    assert await task == empty(kind, 60)
