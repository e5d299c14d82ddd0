"""Our DNS lookups do what every lookup must, and what each of ours does besides.

They ask real DNS servers on loopback. What is particular to one of them (how long "none" lives,
the hosts file, TLS) is in its own file.
"""

import asyncio
import math
from collections import Counter
from collections.abc import AsyncIterator, Callable
from ipaddress import ip_address
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

from matrix_resolve.backends.dns_aiodns import AiodnsLookup
from matrix_resolve.backends.dns_dnspython import DnspythonLookup
from matrix_resolve.errors import AddressLookupError, BackendError, SrvLookupError
from matrix_resolve.interfaces import AddressReply, SrvRecord, SrvReply
from matrix_resolve.testing import DnsFault, LoopbackFederation
from matrix_resolve.testing.contract import AddressLookupContract, SrvLookupContract
from matrix_resolve.testing.contract.lookups import LookupContract

Lookup = AiodnsLookup | DnspythonLookup
Asking = Callable[..., Any]

# What is published, of each type.
TRUE = {"SRV": "SRV 0 0 1 true.example.", "A": "A 192.0.2.1", "AAAA": "AAAA 2001:db8::1"}
# For what is found although others are silent for as long as they are waited for.
PATIENT = 3.0


@pytest.fixture(
    name="backend",
    params=[AiodnsLookup, DnspythonLookup],
    ids=["aiodns", "dnspython"],
)
def fixture_backend(request: pytest.FixtureRequest) -> type[Lookup]:
    """The lookup that is tested."""
    backend: type[Lookup] = request.param
    return backend


@pytest.fixture(name="asking")
def fixture_asking(backend: type[Lookup]) -> Asking:
    """Return a lookup that asks these servers, to be closed by the test."""

    def asking(*servers: str, timeout: float = HANGS) -> Lookup:
        return backend(nameservers=servers, timeout=timeout)

    return asking


def found(reply: SrvReply | AddressReply) -> tuple[Any, ...]:
    """The records or addresses of a reply."""
    return reply.records if isinstance(reply, SrvReply) else reply.addresses


class LookedUp(LookupContract):
    """Lookups of ours keep the rules of all."""

    @pytest_asyncio.fixture
    async def lookup(
        self, loopback_federation: LoopbackFederation, asking: Asking, time_limit: float
    ) -> AsyncIterator[Lookup]:
        async with asking(loopback_federation.nameserver, timeout=time_limit) as lookup:
            yield lookup


class TestSrv(LookedUp, SrvLookupContract):
    """Of SRV records."""


class TestAddresses(LookedUp, AddressLookupContract):
    """Of addresses."""


# SRV


async def test_asked_but_once(loopback_federation: LoopbackFederation, asking: Asking) -> None:
    """For one name there is one question."""
    loopback_federation.add("example.org", srv=[("a.example", 8448)])
    async with asking(loopback_federation.nameserver) as lookup:
        assert (await lookup.lookup_srv(f"{SRV}example.org")).records
    assert loopback_federation.dns_questions == {(f"{SRV}example.org", "SRV"): 1}


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
async def test_aliases_in_any_order(asking: Asking, order: tuple[int, int, int]) -> None:
    """Aliases may stand after what they lead to."""
    records = [
        "example.org. 60 IN CNAME B.example.",
        "b.example. 50 IN CNAME srv.c.example.",
        "srv.c.example. 70 IN SRV 1 2 3 hs.example.",
    ]

    def answers(query: dns.message.Message) -> list[Any]:
        return [answer(query, *(records[place] for place in order))]

    async with handmade(answers) as server, asking(server) as lookup:
        reply = await lookup.lookup_srv(QUESTION)
    assert reply == SrvReply([SrvRecord(1, 2, 3, "hs.example")], 50)


TARGETS = [
    # in the zone file, as it is given
    pytest.param(".", ".", id="not offered"),
    pytest.param("hs.example.", "hs.example", id="without the final dot"),
    pytest.param("HS.Example", "HS.Example", id="upper case"),
    pytest.param("_hs.example", "_hs.example", id="underscore"),
    pytest.param(r"a\000b.example", r"a\000b.example", id="NUL"),
    pytest.param(r"\255\128.example", r"\255\128.example", id="not ASCII"),
    pytest.param(r"a\.b.example", r"a\.b.example", id="a dot within a label"),
    pytest.param(r"a\010b.example", r"a\010b.example", id="line break"),
    pytest.param("xn--bcher-kva.example", "xn--bcher-kva.example", id="IDN"),
    pytest.param("127.0.0.1", "127.0.0.1", id="an address"),
    pytest.param(
        f"{'a' * 63}.{'b' * 63}.{'c' * 63}.{'d' * 61}",
        f"{'a' * 63}.{'b' * 63}.{'c' * 63}.{'d' * 61}",
        id="the longest",
    ),
]


@pytest.mark.parametrize(("published", "given"), TARGETS)
async def test_srv_target(
    loopback_federation: LoopbackFederation, asking: Asking, published: str, given: str
) -> None:
    """Targets come as they are, odd bytes escaped; the root is a dot."""
    loopback_federation.add_records(f"{SRV}example.org", "SRV", f"0 0 1 {published}", ttl=9)
    async with asking(loopback_federation.nameserver) as lookup:
        reply = await lookup.lookup_srv(f"{SRV}example.org")
    assert reply == SrvReply([SrvRecord(0, 0, 1, given)], 9)


# Answers large and small


async def test_answers_of_a_kilobyte_come_over_udp(
    loopback_federation: LoopbackFederation,
) -> None:
    """dnspython's EDNS is on: what does not fit into 512 octets takes no second question.

    That of c-ares is off.
    """
    records = [f"{number} 0 8448 host-{number}.example" for number in range(25)]
    loopback_federation.add_records(f"{SRV}example.org", "SRV", *records)
    async with DnspythonLookup(nameservers=[loopback_federation.nameserver]) as lookup:
        assert len((await lookup.lookup_srv(f"{SRV}example.org")).records) == 25
    assert loopback_federation.dns_questions == {(f"{SRV}example.org", "SRV"): 1}


@BOTH
async def test_edns_payload(kind: str, failure: type[BackendError]) -> None:
    """dnspython asks for answers of 1232 octets: larger datagrams are cut in pieces on some ways.

    c-ares, without EDNS, for 512.
    """
    asked = set()

    def answers(query: dns.message.Message) -> list[Any]:
        asked.add((query.edns, query.payload))
        return [answer(query)]

    async with handmade(answers) as server, DnspythonLookup(nameservers=[server]) as lookup:
        assert not found(await either(lookup, kind)(QUESTION))
    assert asked == {(0, 1232)}


@BOTH
async def test_truncated_and_no_tcp(asking: Asking, kind: str, failure: type[BackendError]) -> None:
    """A server that gives the hint and refuses TCP has failed."""

    def answers(query: dns.message.Message) -> list[Any]:
        response = answer(query)
        response.flags |= dns.flags.TC
        return [response]

    async with handmade(answers) as server, asking(server) as lookup, asyncio.timeout(HANGS):
        with pytest.raises(failure) as caught:
            await either(lookup, kind)(QUESTION)
    assert caught.value.temporary


# None


NONE = [
    # fault, what is declared
    pytest.param(None, False, id="no such name"),
    pytest.param(None, True, id="no such record"),
    pytest.param(DnsFault.NXDOMAIN, True, id="NXDOMAIN"),
    pytest.param(DnsFault.NODATA, True, id="NODATA"),
]


@BOTH
@pytest.mark.parametrize(("fault", "declared"), NONE)
async def test_none(
    loopback_federation: LoopbackFederation,
    asking: Asking,
    kind: str,
    failure: type[BackendError],
    fault: DnsFault | None,
    declared: bool,
) -> None:
    """That there is no such name or record is an empty reply, asked for but once."""
    if declared:
        loopback_federation.add("example.org", addresses=[], dns=fault)
    async with asking(loopback_federation.nameserver) as lookup:
        assert not found(await either(lookup, kind)("example.org"))
    types = ("SRV",) if kind == "SRV" else ("A", "AAAA")
    assert loopback_federation.dns_questions == {("example.org", of): 1 for of in types}


# What was not asked for: in the answer beside example.org's own records, if it has any
STRAY = [
    pytest.param('TXT "\\255\\000"', id="TXT"),
    pytest.param("CAA 0 issue \\255", id="CAA"),
    pytest.param("LOC 0 0 0 N 0 0 0 W 0m", id="LOC"),
    pytest.param("TYPE65280 \\# 1 ff", id="an unknown type"),
]


@pytest.mark.parametrize("stray", STRAY)
async def test_records_of_other_types(asking: Asking, stray: str) -> None:
    """Records that were not asked for are passed over."""
    own = {"SRV": "SRV 1 2 3 hs.example.", "A": "A 192.0.2.1"}

    def answers(query: dns.message.Message) -> list[Any]:
        if asked_type(query) not in own:
            return [answer(query)]
        records = (stray, own[asked_type(query)])
        return [answer(query, *(f"example.org. 60 IN {record}" for record in records))]

    async with handmade(answers) as server, asking(server) as lookup, asyncio.timeout(HANGS):
        srv = await lookup.lookup_srv(QUESTION)
        reached = await lookup.lookup_addresses(QUESTION)
    assert srv == SrvReply([SrvRecord(1, 2, 3, "hs.example")], 60)
    assert reached.addresses == (ip_address("192.0.2.1"),)


async def test_srv_records_of_another_name(asking: Asking) -> None:
    """SRV records that stand in an answer under another name count for nothing.

    Nor does an answer that has nothing else say that there are none.
    """
    evil = "other.example. 60 IN SRV 0 0 1 evil.example."

    def answers(query: dns.message.Message) -> list[Any]:
        if query.question[0].name.to_text() == "none.example.":
            return [answer(query, evil)]
        return [answer(query, evil, "example.org. 60 IN SRV 1 2 3 hs.example.")]

    async with handmade(answers) as server, asking(server) as lookup:
        reply = await lookup.lookup_srv(QUESTION)
        assert reply.records == (SrvRecord(1, 2, 3, "hs.example"),)
        with pytest.raises(SrvLookupError):
            await lookup.lookup_srv("none.example")


# Failed


@BOTH
@pytest.mark.parametrize("fault", [DnsFault.GARBAGE, DnsFault.SILENT])
async def test_no_answer(
    loopback_federation: LoopbackFederation,
    asking: Asking,
    kind: str,
    failure: type[BackendError],
    fault: DnsFault,
) -> None:
    """When nothing comes that can be read, the lookup fails within its time-out."""
    loopback_federation.add("example.org")
    loopback_federation.dns_faults["example.org", "*"] = fault
    async with (
        asking(loopback_federation.nameserver, timeout=SHORT) as lookup,
        asyncio.timeout(HANGS),
    ):
        with pytest.raises(failure) as caught:
            await either(lookup, kind)("example.org")
    assert caught.value.temporary
    assert caught.value.reason.isprintable()
    if fault is DnsFault.SILENT:
        assert caught.value.reason == "no answer within 0.3 s"


@BOTH
@pytest.mark.parametrize("rcode", ["FORMERR", "NOTIMP"])
async def test_rcode_that_is_no_answer(
    asking: Asking, kind: str, failure: type[BackendError], rcode: str
) -> None:
    """That a server could not answer does not mean that there is none."""

    def answers(query: dns.message.Message) -> list[Any]:
        return [answer(query, rcode=dns.rcode.from_text(rcode))]

    async with handmade(answers) as server, asking(server) as lookup, asyncio.timeout(HANGS):
        with pytest.raises(failure) as caught:
            await either(lookup, kind)(QUESTION)
    assert caught.value.temporary


@BOTH
async def test_aliases_in_a_circle(
    loopback_federation: LoopbackFederation,
    asking: Asking,
    kind: str,
    failure: type[BackendError],
) -> None:
    """An alias of itself is the DNS server's failure, and ours too."""
    loopback_federation.add_records("a.example", "CNAME", "b.example")
    loopback_federation.add_records("b.example", "CNAME", "a.example")
    async with asking(loopback_federation.nameserver) as lookup:
        with pytest.raises(failure):
            await either(lookup, kind)("a.example")


@BOTH
@pytest.mark.parametrize("in_order", [True, False], ids=["in order", "reversed"])
@pytest.mark.parametrize(("links", "followed"), [(1, True), (16, True), (17, False)])
async def test_long_chains(
    asking: Asking,
    kind: str,
    failure: type[BackendError],
    links: int,
    followed: bool,
    in_order: bool,
) -> None:
    """Sixteen links are followed, in whatever order they come; a longer chain is no answer."""

    def answers(query: dns.message.Message) -> list[Any]:
        names = ["example.org.", *(f"{number}.example." for number in range(links))]
        chain = [f"{names[at]} 60 IN CNAME {names[at + 1]}" for at in range(links)]
        chain.append(f"{names[-1]} 60 IN {TRUE[asked_type(query)]}")
        return [answer(query, *(chain if in_order else reversed(chain)))]

    async with handmade(answers) as server, asking(server) as lookup:
        if followed:
            assert found(await either(lookup, kind)(QUESTION))
        else:
            with pytest.raises(failure):
                await either(lookup, kind)(QUESTION)


@BOTH
async def test_nobody_listens(asking: Asking, kind: str, failure: type[BackendError]) -> None:
    """Without a DNS server the lookup fails."""
    async with asking("127.0.0.1:9", timeout=SHORT) as lookup:
        with pytest.raises(failure) as caught:
            await either(lookup, kind)("example.org")
    assert caught.value.temporary


def spoofs(query: dns.message.Message) -> list[Any]:
    """What may come in place of the answer: another ID, another question."""
    lie = ["example.org. 60 IN SRV 0 0 1 evil.example.", "example.org. 60 IN A 192.0.2.66"]
    wrong_id = answer(query, *lie)
    wrong_id.id ^= 1
    wrong_question = answer(query, *lie)
    wrong_question.question = dns.message.make_query("other.example", "A").question
    return [wrong_id, wrong_question]


@BOTH
async def test_what_is_not_the_answer_is_passed_over(
    asking: Asking, kind: str, failure: type[BackendError]
) -> None:
    """Messages that are no answer to the question do not keep the true one out."""

    def answers(query: dns.message.Message) -> list[Any]:
        return [*spoofs(query), answer(query, f"example.org. 60 IN {TRUE[asked_type(query)]}")]

    async with handmade(answers) as server, asking(server) as lookup:
        reply = await either(lookup, kind)(QUESTION)
    if kind == "SRV":
        assert reply == SrvReply([SrvRecord(0, 0, 1, "true.example")], 60)
    else:
        assert set(reply.addresses) == {ip_address("192.0.2.1"), ip_address("2001:db8::1")}


@BOTH
async def test_lost_datagrams(asking: Asking, kind: str, failure: type[BackendError]) -> None:
    """A question that gets no answer is asked again within the time of the lookup."""
    asked: Counter[str] = Counter()

    def answers(query: dns.message.Message) -> list[Any]:
        asked[asked_type(query)] += 1
        return [answer(query)] if asked[asked_type(query)] > 1 else []

    async with handmade(answers) as server, asking(server, timeout=PATIENT) as lookup:
        assert not found(await either(lookup, kind)(QUESTION))


@pytest.mark.parametrize("timeout", [0, -1.0, math.nan])
def test_no_time(asking: Asking, timeout: float) -> None:
    """A time in which nothing can be answered is refused where it is given."""
    with pytest.raises(ValueError, match="timeout must be above 0"):
        asking("192.0.2.1", timeout=timeout)


@pytest.mark.parametrize("seconds", [3e6, 3.2e8, math.inf])
@BOTH
async def test_all_the_time(
    asking: Asking, kind: str, failure: type[BackendError], seconds: float
) -> None:
    """It may be as long as a policy allows, and longer."""
    async with (
        handmade(lambda query: [answer(query)]) as server,
        asking(server, timeout=seconds) as lookup,
    ):
        assert not found(await either(lookup, kind)(QUESTION))


# Which servers


@pytest.mark.parametrize("first", ["SERVFAIL", "nobody", "silent"])
async def test_second_nameserver(
    loopback_federation: LoopbackFederation, asking: Asking, first: str
) -> None:
    """When the first nameserver fails, is not there or does not answer, the second is asked."""
    loopback_federation.add("example.org", addresses=["192.0.2.1"], srv=[("a.example", 1)])

    def answers(query: dns.message.Message) -> list[Any]:
        return [] if first == "silent" else [answer(query, rcode=dns.rcode.SERVFAIL)]

    async with handmade(answers) as server:
        servers = ["127.0.0.1:9" if first == "nobody" else server, loopback_federation.nameserver]
        async with asking(*servers, timeout=PATIENT) as lookup:
            assert await lookup.lookup_addresses("example.org") == addresses("192.0.2.1")
            assert (await lookup.lookup_srv(f"{SRV}example.org")).records


@pytest.mark.parametrize("ip", ["127.0.0.1", "::1"])
async def test_nameserver_with_a_port(asking: Asking, ip: str) -> None:
    """A nameserver is given as IPv4:PORT or [IPv6]:PORT."""

    def answers(query: dns.message.Message) -> list[Any]:
        return [answer(query, "example.org. 60 IN SRV 0 0 1 a.example.")]

    async with handmade(answers, ip) as server, asking(server) as lookup:
        assert (await lookup.lookup_srv(QUESTION)).records


# Names


@BOTH
@pytest.mark.parametrize(
    "name",
    [
        "a\0b.example",
        "\0",
        "example.org\0.evil.example",
        "bücher.example",
        "a.example\u2024org",
        "\udcff.example",
    ],
    ids=ascii,
)
async def test_no_dns_name(
    loopback_federation: LoopbackFederation,
    asking: Asking,
    kind: str,
    failure: type[BackendError],
    name: str,
) -> None:
    """A name with a NUL, or beyond ASCII, is refused unasked, for good."""
    async with asking(loopback_federation.nameserver) as lookup:
        with pytest.raises(failure, match="no DNS name") as caught:
            await either(lookup, kind)(name)
    assert not caught.value.temporary
    assert caught.value.reason.isprintable()
    assert not loopback_federation.dns_questions


@BOTH
@pytest.mark.parametrize("name", ["a..example", f"{'a' * 64}.example", ".example"])
async def test_malformed_names(
    loopback_federation: LoopbackFederation,
    asking: Asking,
    kind: str,
    failure: type[BackendError],
    name: str,
) -> None:
    """A label that can't be is a failure, unasked, and no hang."""
    async with asking(loopback_federation.nameserver) as lookup, asyncio.timeout(HANGS):
        with pytest.raises(failure):
            await either(lookup, kind)(name)
    assert not loopback_federation.dns_questions


def name_of(length: int) -> str:
    """A host name of so many octets."""
    return ".".join(("a" * 63, "b" * 63, "c" * 63, "d" * (length - 192)))


@BOTH
async def test_longest_names(
    loopback_federation: LoopbackFederation,
    asking: Asking,
    kind: str,
    failure: type[BackendError],
) -> None:
    """A name of 253 octets is asked for; of longer ones it is known unasked that there is none."""
    async with asking(loopback_federation.nameserver) as lookup:
        for length in (254, 255, 1000):
            name = "e." * (length - 253) + name_of(253)
            assert await either(lookup, kind)(name) == empty(kind)
        assert not loopback_federation.dns_questions
        assert not found(await either(lookup, kind)(name_of(253)))
    assert {name for name, _ in loopback_federation.dns_questions} == {name_of(253)}


@BOTH
@pytest.mark.parametrize(
    "name", ["example.org", "nodata.example", "nowhere.example", "synapse", "a.b.c.d.e.f.example"]
)
async def test_search_domains_never_apply(
    loopback_federation: LoopbackFederation,
    backend: type[Lookup],
    asking: Asking,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
    failure: type[BackendError],
    name: str,
) -> None:
    """With a search domain and ndots:5, as in a cluster, the server sees just the name itself."""
    domains = "svc.cluster.local cluster.local"
    monkeypatch.setenv("LOCALDOMAIN", domains)  # c-ares
    monkeypatch.setenv("RES_OPTIONS", "ndots:5")
    text = f"search {domains}\noptions ndots:5\nnameserver 127.0.0.1\n"
    resolv_conf(monkeypatch, text, loopback_federation)  # dnspython
    loopback_federation.add("example.org")
    loopback_federation.add("nodata.example", addresses=[])
    loopback_federation.add_records(f"{name}.svc.cluster.local", "SRV", "1 2 3 wrong.example")
    loopback_federation.add_records(f"{name}.svc.cluster.local", "A", "192.0.2.66")
    # dnspython looks at the system's search domains only along with its servers.
    given = [loopback_federation.nameserver] if backend is AiodnsLookup else None
    async with backend(nameservers=given) as lookup:
        reply = await either(lookup, kind)(name)
    assert {asked for asked, _ in loopback_federation.dns_questions} == {name}
    assert bool(found(reply)) is (name == "example.org" and kind == "addresses")
    assert ip_address("192.0.2.66") not in found(reply)


# Addresses


@pytest.mark.parametrize(
    "published",
    [
        ["192.0.2.9", "127.0.0.1", "10.0.0.1"],
        ["2001:db8::1", "fe80::1", "::ffff:10.0.0.1", "::1"],
        ["192.0.2.9", "192.0.2.1", "2001:db8::9", "2001:db8::1"],
    ],
    ids=["IPv4", "IPv6", "both"],
)
async def test_addresses(
    loopback_federation: LoopbackFederation, asking: Asking, published: list[str]
) -> None:
    """The addresses of both families are found, with their TTL, after one question for each.

    Those of a family keep the order of the answer: it is not ours to sort them here.
    """
    loopback_federation.add("example.org", addresses=published, ttl=77)
    async with asking(loopback_federation.nameserver) as lookup:
        reply = await lookup.lookup_addresses("example.org")
    assert isinstance(reply, AddressReply)
    for version in (4, 6):
        assert [ip for ip in reply.addresses if ip.version == version] == [
            ip for ip in map(ip_address, published) if ip.version == version
        ]
    assert (reply.ttl, reply.canonical_name) == (77, None)
    assert loopback_federation.dns_questions == {("example.org", of): 1 for of in ("A", "AAAA")}


async def test_families_are_asked_for_at_once(
    loopback_federation: LoopbackFederation, asking: Asking
) -> None:
    """Neither family waits for the other's answer."""
    loopback_federation.dns_down = True
    async with asking(loopback_federation.nameserver) as lookup:
        task = asyncio.create_task(lookup.lookup_addresses("example.org"))
        await until(lambda: len(loopback_federation.dns_questions) == 2)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


@pytest.mark.parametrize(
    ("ttls", "least"),
    [((9, 60, 60, 60), 9), ((60, 9, 60, 60), 9), ((60, 60, 9, 60), 9), ((60, 60, 60, 9), 9)],
    ids=["first alias", "second alias", "A", "AAAA"],
)
async def test_addresses_of_an_alias(
    loopback_federation: LoopbackFederation,
    asking: Asking,
    ttls: tuple[int, int, int, int],
    least: int,
) -> None:
    """An alias tells what it leads to in the end, and lives as long as the shortest link."""
    add = loopback_federation.add_records
    add("a.example", "CNAME", "b.example", ttl=ttls[0])
    add("b.example", "CNAME", "c.example", ttl=ttls[1])
    add("c.example", "A", "192.0.2.1", ttl=ttls[2])
    add("c.example", "AAAA", "2001:db8::1", ttl=ttls[3])
    async with asking(loopback_federation.nameserver) as lookup:
        reply = await lookup.lookup_addresses("a.example")
    assert set(reply.addresses) == {ip_address("192.0.2.1"), ip_address("2001:db8::1")}
    assert (reply.ttl, reply.canonical_name) == (least, "c.example")


async def test_repeated_addresses(asking: Asking) -> None:
    """An address that the answer has twice is given once, with the lesser TTL."""

    def answers(query: dns.message.Message) -> list[Any]:
        if asked_type(query) == "AAAA":
            return [answer(query)]
        return [answer(query, "example.org. 300 IN A 192.0.2.1", "EXAMPLE.org. 60 IN A 192.0.2.1")]

    async with handmade(answers) as server, asking(server) as lookup:
        assert await lookup.lookup_addresses(QUESTION) == addresses("192.0.2.1", ttl=60)


ONE_FAMILY = [
    # the family that fails, what the other has, what is given
    pytest.param("A", "AAAA 2001:db8::1", addresses("2001:db8::1"), id="A, and there is AAAA"),
    pytest.param("AAAA", "A 192.0.2.1", addresses("192.0.2.1"), id="AAAA, and there is A"),
    pytest.param("A", None, None, id="A, and there is no AAAA"),
    pytest.param("AAAA", None, None, id="AAAA, and there is no A"),
]


@pytest.mark.parametrize("late", ["A", "AAAA"])
@pytest.mark.parametrize("fault", ["SERVFAIL", "REFUSED"])
@pytest.mark.parametrize(("failing", "other", "given"), ONE_FAMILY)
async def test_one_family_fails(
    asking: Asking,
    failing: str,
    other: str | None,
    given: AddressReply | None,
    fault: str,
    late: str,
) -> None:
    """When one family fails, the other's addresses are used; if it has none, the lookup failed.

    Whichever answer comes last.
    """

    def answers(query: dns.message.Message) -> list[Any]:
        if asked_type(query) == failing:
            return [answer(query, rcode=dns.rcode.from_text(fault))]
        return [answer(query, *([f"example.org. 300 IN {other}"] if other else []))]

    async with (
        handmade(answers, late={late: 0.1}) as server,
        asking(server) as lookup,
        asyncio.timeout(HANGS),
    ):
        if given is not None:
            assert await lookup.lookup_addresses(QUESTION) == given
        else:
            with pytest.raises(AddressLookupError) as caught:
                await lookup.lookup_addresses(QUESTION)
            assert caught.value.temporary


@pytest.mark.parametrize("published", [["192.0.2.1"], []], ids=["there is A", "there is no A"])
async def test_questions_for_ipv6_are_lost(asking: Asking, published: list[str]) -> None:
    """Where something on the way drops them, as it happens, the IPv4 addresses will do."""

    def answers(query: dns.message.Message) -> list[Any]:
        if asked_type(query) == "AAAA":
            return []
        return [answer(query, *(f"example.org. 300 IN A {ip}" for ip in published))]

    # In the shorter time a busy machine may not come to give the one that there is.
    timeout = PATIENT if published else SHORT
    async with handmade(answers) as server, asking(server, timeout=timeout) as lookup:
        if published:
            assert await lookup.lookup_addresses(QUESTION) == addresses(*published)
        else:
            with pytest.raises(AddressLookupError) as caught:
                await lookup.lookup_addresses(QUESTION)
            assert caught.value.temporary


# Many, cancelled, closed


@BOTH
async def test_closing_with_lookups_under_way(
    loopback_federation: LoopbackFederation,
    asking: Asking,
    kind: str,
    failure: type[BackendError],
) -> None:
    """Lookups under way end, answered or failed; later ones are refused; closing twice is fine."""
    loopback_federation.dns_faults["silent.example", "*"] = DnsFault.SILENT
    lookup = asking(loopback_federation.nameserver, timeout=1)
    tasks = [asyncio.create_task(either(lookup, kind)("silent.example")) for _ in range(3)]
    await until(lambda: loopback_federation.dns_questions)
    async with asyncio.timeout(HANGS):
        await asyncio.gather(lookup.aclose(), lookup.aclose())
        with pytest.raises(RuntimeError, match="closed"):
            await either(lookup, kind)("example.org")
        ended = await asyncio.gather(*tasks, return_exceptions=True)
        await lookup.aclose()
    assert {type(end) for end in ended} == {failure}
    assert {name for name, _ in loopback_federation.dns_questions} == {"silent.example"}


async def test_closing_what_was_never_used(asking: Asking) -> None:
    """A lookup that nothing was asked of opens nothing, and closes."""
    async with asking("192.0.2.1") as lookup:
        pass
    with pytest.raises(RuntimeError, match="closed"):
        await lookup.lookup_srv(f"{SRV}example.org")
    with pytest.raises(RuntimeError, match="closed"):
        await lookup.lookup_addresses("example.org")
