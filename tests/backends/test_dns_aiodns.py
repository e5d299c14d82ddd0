"""SRV records and addresses by c-ares, asked of a real DNS server on loopback."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import dns.message
import dns.rdatatype
import dns.rrset
import pycares
import pytest

from matrix_resolve.backends import dns_aiodns
from matrix_resolve.backends.dns_aiodns import AiodnsLookup
from matrix_resolve.errors import AddressLookupError, BackendError, SrvLookupError
from matrix_resolve.interfaces import AddressReply, SrvRecord, SrvReply
from matrix_resolve.testing import DnsFault, LoopbackFederation

SRV = "_matrix-fed._tcp."
# What is awaited ends at once; if it ever hangs, the test fails after so many seconds.
HANGS = 10.0
HOSTS_FILE = Path("/etc/hosts")
# After so long (seconds) nothing that c-ares keeps is given any more.
KEPT_BY_C_ARES = 1.05


def addresses(*texts: str, ttl: float | None = 300, alias_of: str | None = None) -> AddressReply:
    """A reply with these addresses."""
    return AddressReply([ip_address(text) for text in texts], ttl, alias_of)


def either(lookup: AiodnsLookup, kind: str) -> Callable[[str], Any]:
    """The SRV or the address lookup, for what both do alike."""
    return lookup.lookup_srv if kind == "SRV" else lookup.lookup_addresses


BOTH = pytest.mark.parametrize(
    ("kind", "failure"), [("SRV", SrvLookupError), ("addresses", AddressLookupError)]
)


async def until(true: Callable[[], Any]) -> None:
    """Wait for something to become true."""
    async with asyncio.timeout(HANGS):
        while not true():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


class Relay(asyncio.DatagramProtocol):
    """Stands between c-ares and a DNS server, and tampers with the answers.

    `late`: how many seconds an answer about a type is held back. `added`: records, as they stand
    in a zone file, that each answer gets ahead of its own ("@other.example A 192.0.2.1": under
    another name).
    """

    def __init__(self, server: str, late: dict[str, float], added: list[str]) -> None:
        host, _, port = server.rpartition(":")
        self._server = (host, int(port))
        self._late = late
        self._added = added
        self._own: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: Any) -> None:
        self._own = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        asyncio.get_running_loop().create_task(self._relay(data, addr))

    async def _relay(self, data: bytes, client: Any) -> None:
        assert self._own is not None
        loop = asyncio.get_running_loop()
        answered: asyncio.Future[bytes] = loop.create_future()
        transport, _ = await loop.create_datagram_endpoint(
            lambda: _Answer(answered), remote_addr=self._server
        )
        try:
            transport.sendto(data)
            answer = dns.message.from_wire(await answered)
        finally:
            transport.close()
        question = answer.question[0]
        answer.answer[:0] = [
            dns.rrset.from_text(owner[1:] or question.name, 60, "IN", *record.split(" ", 1))
            for owner, record in map(_with_owner, self._added)
        ]
        await asyncio.sleep(self._late.get(dns.rdatatype.to_text(question.rdtype), 0))
        self._own.sendto(answer.to_wire(), client)


def _with_owner(record: str) -> tuple[str, str]:
    """Part "@owner TYPE data"; without an owner it is the name that was asked."""
    owner, _, rest = record.partition(" ")
    return (owner + ".", rest) if owner.startswith("@") else ("", record)


class _Answer(asyncio.DatagramProtocol):
    def __init__(self, answered: asyncio.Future[bytes]) -> None:
        self._answered = answered

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self._answered.set_result(data)


@asynccontextmanager
async def relayed(
    federation: LoopbackFederation,
    *,
    ip: str = "127.0.0.1",
    late: dict[str, float] | None = None,
    added: list[str] | None = None,
) -> AsyncIterator[AiodnsLookup]:
    """Give a lookup that asks through a `Relay` on `ip`."""
    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
        lambda: Relay(federation.nameserver, late or {}, added or []), local_addr=(ip, 0)
    )
    port = transport.get_extra_info("sockname")[1]
    host = f"[{ip}]" if ":" in ip else ip
    try:
        async with AiodnsLookup(nameservers=[f"{host}:{port}"], timeout=5) as lookup:
            yield lookup
    finally:
        transport.close()


# SRV


async def test_srv_records(loopback_federation: LoopbackFederation, dns: AiodnsLookup) -> None:
    """All records come with their four fields, in whatever order, and their TTL."""
    published = [SrvRecord(10, 5, 8448, "a.example"), SrvRecord(20, 65535, 443, "b.example")]
    loopback_federation.add("example.org", srv=published, ttl=77)
    reply = await dns.lookup_srv(f"{SRV}example.org")
    assert sorted(reply.records, key=lambda record: record.priority) == published
    assert reply.ttl == 77
    assert loopback_federation.dns_questions == {(f"{SRV}example.org", "SRV"): 1}


@pytest.mark.parametrize(
    ("ttls", "least"), [((50, 7, 30), 7), ((5, 70, 30), 5), ((50, 70, 3), 3), ((50, 0, 30), 0)]
)
async def test_srv_ttl_is_the_least_of_the_chain(
    loopback_federation: LoopbackFederation,
    dns: AiodnsLookup,
    ttls: tuple[int, int, int],
    least: int,
) -> None:
    """Through two aliases the records are found, and live as long as the shortest link."""
    add = loopback_federation.add_records
    add(f"{SRV}a.example", "CNAME", f"{SRV}b.example", ttl=ttls[0])
    add(f"{SRV}b.example", "CNAME", "srv.c.example", ttl=ttls[1])
    add("srv.c.example", "SRV", "1 2 8448 hs.example", ttl=ttls[2])
    reply = await dns.lookup_srv(f"{SRV}a.example")
    assert reply == SrvReply([SrvRecord(1, 2, 8448, "hs.example")], least)


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
    pytest.param(r"a\032b.example", "a b.example", id="space"),
    pytest.param("127.0.0.1", "127.0.0.1", id="an address"),
    pytest.param(
        f"{'a' * 63}.{'b' * 63}.{'c' * 63}.{'d' * 61}",
        f"{'a' * 63}.{'b' * 63}.{'c' * 63}.{'d' * 61}",
        id="the longest",
    ),
]


@pytest.mark.parametrize(("published", "given"), TARGETS)
async def test_srv_target(
    loopback_federation: LoopbackFederation, dns: AiodnsLookup, published: str, given: str
) -> None:
    """Targets come as they are, odd bytes escaped; the root is a dot."""
    loopback_federation.add_records(f"{SRV}example.org", "SRV", f"0 0 1 {published}", ttl=9)
    async with asyncio.timeout(HANGS):
        reply = await dns.lookup_srv(f"{SRV}example.org")
    assert reply == SrvReply([SrvRecord(0, 0, 1, given)], 9)


async def test_many_srv_records(loopback_federation: LoopbackFederation, dns: AiodnsLookup) -> None:
    """An answer too large for UDP comes over TCP, all of it."""
    records = [f"{number} 0 8448 host-{number}.example" for number in range(300)]
    loopback_federation.add_records(f"{SRV}example.org", "SRV", *records)
    reply = await dns.lookup_srv(f"{SRV}example.org")
    assert {record.priority for record in reply.records} == set(range(300))


async def test_answers_of_a_kilobyte_come_over_udp(
    loopback_federation: LoopbackFederation, dns: AiodnsLookup
) -> None:
    """EDNS is on: what does not fit into 512 octets takes no second question over TCP."""
    records = [f"{number} 0 8448 host-{number}.example" for number in range(25)]
    loopback_federation.add_records(f"{SRV}example.org", "SRV", *records)
    assert len((await dns.lookup_srv(f"{SRV}example.org")).records) == 25
    assert loopback_federation.dns_questions == {(f"{SRV}example.org", "SRV"): 1}


# Found, none, failed


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
    dns: AiodnsLookup,
    kind: str,
    failure: type[BackendError],
    fault: DnsFault | None,
    declared: bool,
) -> None:
    """That there is no such name or record is an empty reply, with no TTL, asked but once."""
    if declared:
        loopback_federation.add("example.org", addresses=[], dns=fault)
    reply = await either(dns, kind)("example.org")
    assert reply == (SrvReply([]) if kind == "SRV" else AddressReply([]))
    assert reply.ttl is None
    types = ("SRV",) if kind == "SRV" else ("A", "AAAA")
    assert loopback_federation.dns_questions == {("example.org", of): 1 for of in types}


@BOTH
async def test_alias_of_a_name_that_has_none(
    loopback_federation: LoopbackFederation,
    dns: AiodnsLookup,
    kind: str,
    failure: type[BackendError],
) -> None:
    """An alias that leads nowhere is an empty reply: its own TTL is not that of "none"."""
    loopback_federation.add_records("a.example", "CNAME", "nowhere.example", ttl=86400)
    loopback_federation.add_records("b.example", "CNAME", "txt.example", ttl=86400)
    loopback_federation.add_records("txt.example", "TXT", "there is such a name")
    empty = SrvReply([]) if kind == "SRV" else AddressReply([])
    assert await either(dns, kind)("a.example") == empty
    assert await either(dns, kind)("b.example") == empty


FAULTS = [
    # fault, what is told
    pytest.param(DnsFault.SERVFAIL, "general failure", id="SERVFAIL"),
    pytest.param(DnsFault.REFUSED, "refused", id="REFUSED"),
    pytest.param(DnsFault.GARBAGE, "Misformatted", id="garbage"),
    pytest.param(DnsFault.SILENT, r"no answer within 0\.3 s", id="silent"),
]


@BOTH
@pytest.mark.parametrize(("fault", "told"), FAULTS)
async def test_failure(
    loopback_federation: LoopbackFederation,
    kind: str,
    failure: type[BackendError],
    fault: DnsFault,
    told: str,
) -> None:
    """What is neither an answer nor "none" is a temporary failure, within the time-out."""
    loopback_federation.add("example.org")
    loopback_federation.dns_faults["example.org", "*"] = fault
    timeout = 0.3 if fault is DnsFault.SILENT else HANGS
    async with loopback_federation.dns_lookup(timeout=timeout) as lookup, asyncio.timeout(HANGS):
        with pytest.raises(failure, match=told) as caught:
            await either(lookup, kind)("example.org")
    assert caught.value.temporary


@BOTH
async def test_aliases_in_a_circle(
    loopback_federation: LoopbackFederation,
    dns: AiodnsLookup,
    kind: str,
    failure: type[BackendError],
) -> None:
    """An alias of itself is the DNS server's failure, and ours too."""
    loopback_federation.add_records("a.example", "CNAME", "b.example")
    loopback_federation.add_records("b.example", "CNAME", "a.example")
    with pytest.raises(failure):
        await either(dns, kind)("a.example")


@BOTH
async def test_nobody_listens(kind: str, failure: type[BackendError]) -> None:
    """Without a DNS server the lookup fails."""
    async with AiodnsLookup(nameservers=["127.0.0.1:9"], timeout=1) as lookup:
        with pytest.raises(failure) as caught:
            await either(lookup, kind)("example.org")
    assert caught.value.temporary


async def test_truncated_answers_are_asked_for_over_tcp(
    loopback_federation: LoopbackFederation, dns: AiodnsLookup
) -> None:
    """Where UDP gives only a hint, the answer is that of TCP."""
    loopback_federation.add("example.org", srv=[("hs.example", 1)], dns=DnsFault.TRUNCATED)
    loopback_federation.dns_faults[f"{SRV}example.org", "SRV"] = DnsFault.TRUNCATED
    assert (await dns.lookup_srv(f"{SRV}example.org")).records == (
        SrvRecord(1, 0, 1, "hs.example"),
    )
    found = await dns.lookup_addresses("example.org")
    assert set(found.addresses) == {ip_address("127.0.0.1"), ip_address("::1")}
    assert set(loopback_federation.dns_questions.values()) == {2}  # UDP, then TCP


@BOTH
@pytest.mark.parametrize(
    "name",
    ["a\0b.example", "\0", "example.org\0.evil.example", "bücher.example", "a.example\u2024org"],
)
async def test_no_dns_name(
    loopback_federation: LoopbackFederation,
    dns: AiodnsLookup,
    kind: str,
    failure: type[BackendError],
    name: str,
) -> None:
    """A name with a NUL, which c-ares would cut there, or beyond ASCII is refused unasked."""
    with pytest.raises(failure, match="no DNS name") as caught:
        await either(dns, kind)(name)
    assert not caught.value.temporary
    assert caught.value.reason.isprintable()
    assert not loopback_federation.dns_questions


def name_of(length: int) -> str:
    """A host name of so many octets."""
    return ".".join(("a" * 63, "b" * 63, "c" * 63, "d" * (length - 192)))


@BOTH
async def test_longest_names(
    loopback_federation: LoopbackFederation,
    dns: AiodnsLookup,
    kind: str,
    failure: type[BackendError],
) -> None:
    """A name of 253 octets is asked for; of longer ones it is known unasked that there is none."""
    empty = SrvReply([]) if kind == "SRV" else AddressReply([])
    for length in (254, 255, 1000):
        assert await either(dns, kind)("e." * (length - 253) + name_of(253)) == empty
    assert not loopback_federation.dns_questions
    assert await either(dns, kind)(name_of(253)) == empty
    assert {name for name, _ in loopback_federation.dns_questions} == {name_of(253)}


@BOTH
@pytest.mark.parametrize("name", ["a..example", f"{'a' * 64}.example", ".example"])
async def test_malformed_names(
    dns: AiodnsLookup, kind: str, failure: type[BackendError], name: str
) -> None:
    """What c-ares refuses to ask is a failure, and no hang."""
    async with asyncio.timeout(HANGS):
        with pytest.raises(failure):
            await either(dns, kind)(name)


# Addresses


@pytest.mark.parametrize(
    "published",
    [["192.0.2.1"], ["2001:db8::1"], ["192.0.2.1", "192.0.2.2", "2001:db8::1", "::ffff:10.0.0.1"]],
    ids=["IPv4", "IPv6", "both"],
)
async def test_addresses(
    loopback_federation: LoopbackFederation, dns: AiodnsLookup, published: list[str]
) -> None:
    """The addresses of both families are found, with their TTL."""
    loopback_federation.add("example.org", addresses=published, ttl=77)
    reply = await dns.lookup_addresses("example.org")
    assert sorted(map(str, reply.addresses)) == sorted(str(ip_address(text)) for text in published)
    assert (reply.ttl, reply.canonical_name) == (77, None)


@pytest.mark.parametrize(
    "published",
    [["192.0.2.9", "127.0.0.1", "10.0.0.1"], ["2001:db8::1", "fe80::1", "::1"]],
    ids=["IPv4", "IPv6"],
)
async def test_order_of_addresses(
    loopback_federation: LoopbackFederation, dns: AiodnsLookup, published: list[str]
) -> None:
    """Addresses of a family keep the order of the answer: it is not ours to sort them here."""
    loopback_federation.add("example.org", addresses=published)
    reply = await dns.lookup_addresses("example.org")
    assert list(map(str, reply.addresses)) == published


@pytest.mark.parametrize(
    ("ttls", "least"),
    [((9, 60, 60, 60), 9), ((60, 9, 60, 60), 9), ((60, 60, 9, 60), 9), ((60, 60, 60, 9), 9)],
    ids=["first alias", "second alias", "A", "AAAA"],
)
async def test_addresses_of_an_alias(
    loopback_federation: LoopbackFederation,
    dns: AiodnsLookup,
    ttls: tuple[int, int, int, int],
    least: int,
) -> None:
    """An alias tells what it leads to in the end, and lives as long as the shortest link."""
    add = loopback_federation.add_records
    add("a.example", "CNAME", "b.example", ttl=ttls[0])
    add("b.example", "CNAME", "c.example", ttl=ttls[1])
    add("c.example", "A", "192.0.2.1", ttl=ttls[2])
    add("c.example", "AAAA", "2001:db8::1", ttl=ttls[3])
    reply = await dns.lookup_addresses("a.example")
    assert set(reply.addresses) == {ip_address("192.0.2.1"), ip_address("2001:db8::1")}
    assert (reply.ttl, reply.canonical_name) == (least, "c.example")


async def test_localhost(loopback_federation: LoopbackFederation, dns: AiodnsLookup) -> None:
    """What localhost means is known without asking (RFC 6761)."""
    found = await dns.lookup_addresses("localhost")
    assert ip_address("127.0.0.1") in found.addresses
    assert all(address.is_loopback for address in found.addresses)
    assert not loopback_federation.dns_questions


def in_hosts_file() -> dict[str, str]:
    """What this machine's hosts file says of other names than localhost.

    There is no telling c-ares to read another file.
    """
    lines = (line.partition("#")[0].split() for line in HOSTS_FILE.read_text().splitlines())
    known = {name: ip for ip, *names in filter(None, lines) for name in names}
    return {name: ip for name, ip in known.items() if "localhost" not in name and "%" not in ip}


@pytest.mark.skipif(not HOSTS_FILE.is_file(), reason="there is no hosts file")
async def test_hosts_file(loopback_federation: LoopbackFederation, dns: AiodnsLookup) -> None:
    """What this machine's hosts file knows is not asked of DNS."""
    if not (known := in_hosts_file()):
        pytest.skip("the hosts file has no entries of its own")
    for name, ip in known.items():
        assert ip_address(ip) in (await dns.lookup_addresses(name)).addresses
    assert not loopback_federation.dns_questions


ONE_FAMILY = [
    # the family that fails, what is published, what is given
    pytest.param("A", ["2001:db8::1"], addresses("2001:db8::1"), id="A, and there is AAAA"),
    pytest.param("AAAA", ["192.0.2.1"], addresses("192.0.2.1"), id="AAAA, and there is A"),
    pytest.param("A", [], None, id="A, and there is no AAAA"),
    pytest.param("AAAA", [], None, id="AAAA, and there is no A"),
]


@pytest.mark.parametrize("late", ["A", "AAAA"])
@pytest.mark.parametrize("fault", [DnsFault.SERVFAIL, DnsFault.REFUSED])
@pytest.mark.parametrize(("failing", "published", "given"), ONE_FAMILY)
async def test_one_family_fails(
    loopback_federation: LoopbackFederation,
    failing: str,
    published: list[str],
    given: AddressReply | None,
    fault: DnsFault,
    late: str,
) -> None:
    """When one family fails, the other's addresses are used; if it has none, the lookup failed.

    Whichever answer comes last.
    """
    loopback_federation.add("example.org", addresses=published)
    loopback_federation.dns_faults["example.org", failing] = fault
    async with relayed(loopback_federation, late={late: 0.1}) as lookup:
        if given is not None:
            assert await lookup.lookup_addresses("example.org") == given
        else:
            with pytest.raises(AddressLookupError) as caught:
                await lookup.lookup_addresses("example.org")
            assert caught.value.temporary


@pytest.mark.parametrize("family", ["A", "AAAA"])
async def test_family_that_recovers_meanwhile(
    loopback_federation: LoopbackFederation, family: str
) -> None:
    """A family that failed, and has addresses when it is asked again, is not taken for "none"."""
    loopback_federation.add("example.org", addresses=["192.0.2.1" if family == "A" else "::1"])
    loopback_federation.dns_faults["example.org", family] = DnsFault.SERVFAIL
    other = "AAAA" if family == "A" else "A"
    async with relayed(loopback_federation, late={other: 0.2}) as lookup:
        found = asyncio.create_task(lookup.lookup_addresses("example.org"))
        await until(lambda: loopback_federation.dns_questions["example.org", family] == 3)
        loopback_federation.dns_faults.clear()
        with pytest.raises(AddressLookupError) as caught:
            await found
    assert caught.value.temporary


@pytest.mark.parametrize(
    "added", ["TXT \\255\\000", "CAA 0 issue \\255", "LOC 0 0 0 N 0 0 0 W 0m", "TYPE65280 \\# 1 ff"]
)
async def test_records_of_other_types(loopback_federation: LoopbackFederation, added: str) -> None:
    """Records that were not asked for are passed over."""
    loopback_federation.add("example.org", addresses=["192.0.2.1"])
    loopback_federation.add_records(f"{SRV}example.org", "SRV", "1 2 3 hs.example", ttl=60)
    async with relayed(loopback_federation, added=[added]) as lookup, asyncio.timeout(HANGS):
        srv = await lookup.lookup_srv(f"{SRV}example.org")
        assert srv == SrvReply([SrvRecord(1, 2, 3, "hs.example")], 60)
        found = await lookup.lookup_addresses("example.org")
        assert found.addresses == (ip_address("192.0.2.1"),)


async def test_repeated_addresses(loopback_federation: LoopbackFederation) -> None:
    """An address that the answer has twice is given once, with the lesser TTL."""
    loopback_federation.add("example.org", addresses=["192.0.2.1"], ttl=300)
    async with relayed(loopback_federation, added=["A 192.0.2.1"]) as lookup:
        assert await lookup.lookup_addresses("example.org") == addresses("192.0.2.1", ttl=60)


# Absolute names only


@BOTH
@pytest.mark.parametrize(
    "name", ["example.org", "nodata.example", "nowhere.example", "synapse", "a.b.c.d.e.f.example"]
)
async def test_search_domains_never_apply(
    loopback_federation: LoopbackFederation,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
    failure: type[BackendError],
    name: str,
) -> None:
    """With a search domain and ndots:5, as in a cluster, the server sees just the name itself."""
    monkeypatch.setenv("LOCALDOMAIN", "svc.cluster.local cluster.local")
    monkeypatch.setenv("RES_OPTIONS", "ndots:5")
    loopback_federation.add("example.org")
    loopback_federation.add("nodata.example", addresses=[])
    loopback_federation.add_records(f"{name}.svc.cluster.local", "SRV", "1 2 3 wrong.example")
    loopback_federation.add_records(f"{name}.svc.cluster.local", "A", "192.0.2.66")
    async with loopback_federation.dns_lookup() as lookup:
        reply = await either(lookup, kind)(name)
    assert {asked for asked, _ in loopback_federation.dns_questions} == {name}
    if kind == "SRV":
        assert reply == SrvReply([])
    else:
        assert bool(reply.addresses) is (name == "example.org")
        assert ip_address("192.0.2.66") not in reply.addresses


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
    monkeypatch.setattr(dns_aiodns, "_CHANNEL_AGE", 0.0)  # a channel for every lookup
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
        channels = 1 if pending == "cancelled" else 2
        assert of_one > 0
        # c-ares closes in a thread of its own, a moment after it is told to.
        await until(lambda: open_descriptors() <= before + channels * of_one)
        assert slow.done() is (pending == "cancelled")
        slow.cancel()
        with pytest.raises(asyncio.CancelledError):
            await slow
    await until(lambda: open_descriptors() <= before)


async def test_slow_answers_outlive_their_channel(
    loopback_federation: LoopbackFederation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A question is answered though newer channels have taken the place of its own."""
    monkeypatch.setattr(dns_aiodns, "_CHANNEL_AGE", 0.0)
    loopback_federation.add("slow.example", addresses=["192.0.2.1"])
    loopback_federation.add("quick.example", srv=[("a.example", 1)])
    async with relayed(loopback_federation, late={"A": 0.2}) as lookup:
        slow = asyncio.create_task(lookup.lookup_addresses("slow.example"))
        await asyncio.sleep(0.05)
        for _ in range(5):
            assert (await lookup.lookup_srv(f"{SRV}quick.example")).records
        assert not slow.done()
        assert await slow == addresses("192.0.2.1")


async def test_many_at_once(loopback_federation: LoopbackFederation, dns: AiodnsLookup) -> None:
    """A hundred lookups at once all get their own answer."""
    names = [f"host-{number}.example" for number in range(100)]
    for number, name in enumerate(names):
        loopback_federation.add(name, srv=[("a.example", number + 1)], addresses=["192.0.2.1"])
    replies = await asyncio.gather(*(dns.lookup_srv(SRV + name) for name in names))
    assert [reply.records[0].port for reply in replies] == list(range(1, 101))
    found = await asyncio.gather(*(dns.lookup_addresses(name) for name in names))
    assert set(found) == {addresses("192.0.2.1")}


async def test_cancelled_lookups_leave_nothing_behind(
    loopback_federation: LoopbackFederation,
) -> None:
    """Lookups that nobody waits for any more do not keep the next from being answered."""
    loopback_federation.add("example.org", addresses=["192.0.2.1"])
    loopback_federation.dns_faults["silent.example", "*"] = DnsFault.SILENT
    async with loopback_federation.dns_lookup(timeout=HANGS) as lookup:
        tasks = [
            asyncio.create_task(either(lookup, kind)("silent.example"))
            for kind in ("SRV", "addresses") * 10
        ]
        await until(lambda: loopback_federation.dns_questions["silent.example", "SRV"])
        for task in tasks:
            task.cancel()
        ended = await asyncio.gather(*tasks, return_exceptions=True)
        assert {type(end) for end in ended} == {asyncio.CancelledError}
        assert await lookup.lookup_addresses("example.org") == addresses("192.0.2.1")


@BOTH
async def test_closing_with_lookups_under_way(
    loopback_federation: LoopbackFederation, kind: str, failure: type[BackendError]
) -> None:
    """Lookups under way fail when it is closed, later ones are refused; closing twice is fine."""
    loopback_federation.dns_faults["silent.example", "*"] = DnsFault.SILENT
    lookup = loopback_federation.dns_lookup(timeout=2 * HANGS)
    tasks = [asyncio.create_task(either(lookup, kind)("silent.example")) for _ in range(3)]
    await until(lambda: loopback_federation.dns_questions)
    async with asyncio.timeout(HANGS):
        await asyncio.gather(lookup.aclose(), lookup.aclose())
        ended = await asyncio.gather(*tasks, return_exceptions=True)
        await lookup.aclose()
    assert {type(end) for end in ended} == {failure}
    with pytest.raises(RuntimeError, match="closed"):
        await either(lookup, kind)("example.org")


async def test_closing_what_was_never_used() -> None:
    """A lookup that nothing was asked of opens nothing, and closes."""
    lookup = AiodnsLookup()
    await lookup.aclose()
    with pytest.raises(RuntimeError, match="closed"):
        await lookup.lookup_srv(f"{SRV}example.org")


# Which servers


@pytest.mark.parametrize("ip", ["127.0.0.1", "::1"])
async def test_nameserver_with_a_port(loopback_federation: LoopbackFederation, ip: str) -> None:
    """A nameserver is given as IPv4:PORT or [IPv6]:PORT."""
    loopback_federation.add("example.org", addresses=["192.0.2.1"], srv=[("a.example", 1)])
    async with relayed(loopback_federation, ip=ip) as lookup:
        assert (await lookup.lookup_srv(f"{SRV}example.org")).records
        assert await lookup.lookup_addresses("example.org") == addresses("192.0.2.1")


async def test_second_nameserver(loopback_federation: LoopbackFederation) -> None:
    """When the first nameserver is not there, the second is asked."""
    loopback_federation.add("example.org", addresses=["192.0.2.1"])
    servers = ["127.0.0.1:9", loopback_federation.nameserver]
    async with AiodnsLookup(nameservers=servers, timeout=HANGS) as lookup:
        assert await lookup.lookup_addresses("example.org") == addresses("192.0.2.1")


def alias(name: str, of: str) -> pycares.DNSRecord:
    """A CNAME record as pycares gives it."""
    data = pycares.CNAMERecordData(cname=of)
    return pycares.DNSRecord(name=name, type=5, record_class=1, ttl=60, data=data)


ALIASES = [
    # aliases as answered, where the chain that begins with a.example ends
    pytest.param([], "a.example", id="no alias"),
    pytest.param([("A.example", "B.example")], "b.example", id="one, ignoring case"),
    pytest.param([("b.example", "c.example"), ("a.example", "b.example")], "c.example", id="two"),
    pytest.param([("x.example", "y.example")], "a.example", id="of another name"),
    pytest.param([("a.example", "b.example"), ("b.example", "a.example")], "a.example", id="loop"),
]


@pytest.mark.parametrize(("aliases", "end"), ALIASES)
def test_end_of_aliases(aliases: list[tuple[str, str]], end: str) -> None:
    """The chain of aliases is followed from the name that was asked, and no loop catches us."""
    records = [alias(name, of) for name, of in aliases]
    assert dns_aiodns._end_of_aliases("a.example", records) == end


async def test_records_of_another_name(loopback_federation: LoopbackFederation) -> None:
    """SRV records that stand in an answer under another name count for nothing."""
    loopback_federation.add("a.example", srv=[("b.example", 8450)])
    added = ["@other.example SRV 0 0 1 evil.example."]
    async with relayed(loopback_federation, added=added) as lookup:
        reply = await lookup.lookup_srv("_matrix-fed._tcp.a.example")
    assert [record.target for record in reply.records] == ["b.example"]
