"""The loopback DNS server, asked by dnspython."""

import asyncio

import dns.exception
import dns.flags
import dns.rcode
import dns.rdatatype
import pytest
from clients import ask, texts

from matrix_resolve import SrvRecord
from matrix_resolve.testing import DnsFault, LoopbackFederation

NXDOMAIN, NOERROR = dns.rcode.NXDOMAIN, dns.rcode.NOERROR


async def test_every_host_has_loopback_addresses(loopback_federation: LoopbackFederation) -> None:
    """A declared host has both families, with its TTL, however the name is spelled."""
    loopback_federation.add("Example.ORG", ttl=77)
    for name, kind, address in (("example.org", "A", "127.0.0.1"), ("EXAMPLE.org", "AAAA", "::1")):
        response = await ask(loopback_federation, name, kind)
        assert texts(response) == [address]
        assert response.answer[0].ttl == 77
        assert response.answer[0].name.to_text() == f"{name}."


async def test_srv_records(loopback_federation: LoopbackFederation) -> None:
    """Pairs get rising priorities, records are published as they are; the target exists."""
    loopback_federation.add(
        "x.example",
        srv=[("one.example", 1001), ("two.example", 1002)],
        legacy_srv=[SrvRecord(3, 4, 5, "three.example"), SrvRecord(0, 0, 0, ".")],
    )
    new = await ask(loopback_federation, "_matrix-fed._tcp.x.example", "SRV")
    assert texts(new) == ["1 0 1001 one.example.", "2 0 1002 two.example."]
    old = await ask(loopback_federation, "_matrix._tcp.x.example", "SRV")
    assert texts(old) == ["3 4 5 three.example.", "0 0 0 ."]
    assert texts(await ask(loopback_federation, "two.example", "A")) == ["127.0.0.1"]


@pytest.mark.parametrize(
    ("name", "kind", "rcode", "apex"),
    [
        pytest.param("x.example", "SRV", NOERROR, "x.example.", id="no such record"),
        pytest.param("_tcp.x.example", "A", NOERROR, "x.example.", id="empty non-terminal"),
        pytest.param("example", "A", NOERROR, ".", id="empty non-terminal above"),
        pytest.param("bare.example", "A", NOERROR, "bare.example.", id="host without addresses"),
        pytest.param("_matrix._tcp.x.example", "SRV", NXDOMAIN, "x.example.", id="no such name"),
        pytest.param("unknown.test", "A", NXDOMAIN, ".", id="unknown"),
        pytest.param("x.example.test", "A", NXDOMAIN, ".", id="not a suffix"),
    ],
)
async def test_what_does_not_exist(
    loopback_federation: LoopbackFederation, name: str, kind: str, rcode: int, apex: str
) -> None:
    """No such name and no such record differ; both come with the SOA of the zone (RFC 2308)."""
    loopback_federation.add("x.example", srv=[("y.example", 1)], negative_ttl=33)
    loopback_federation.add("bare.example", addresses=(), negative_ttl=33)
    response = await ask(loopback_federation, name, kind)
    assert response.rcode() == rcode
    assert not response.answer
    (soa,) = response.authority
    assert (soa.rdtype, soa.name.to_text()) == (dns.rdatatype.SOA, apex)
    ttl = 60 if apex == "." else 33
    assert (soa.ttl, soa[0].minimum) == (ttl, ttl)


async def test_adding_again_replaces(loopback_federation: LoopbackFederation) -> None:
    """A second declaration leaves nothing of the first, and removing leaves no name."""
    loopback_federation.add("x.example", srv=[("y.example", 1)])
    loopback_federation.add("x.example", addresses=["192.0.2.1"])
    assert texts(await ask(loopback_federation, "x.example", "A")) == ["192.0.2.1"]
    assert not texts(await ask(loopback_federation, "x.example", "AAAA"))
    gone = await ask(loopback_federation, "_tcp.x.example", "SRV")
    assert gone.rcode() == NXDOMAIN
    loopback_federation.remove("x.example")
    assert (await ask(loopback_federation, "x.example", "A")).rcode() == NXDOMAIN


async def test_aliases_are_followed(loopback_federation: LoopbackFederation) -> None:
    """The whole chain stands in the answer; at its end the rules are the same; a loop fails."""
    loopback_federation.add("a.example", alias_of="b.example", ttl=11)
    loopback_federation.add("b.example", alias_of="c.example")
    response = await ask(loopback_federation, "a.example", "A")
    assert texts(response) == ["b.example.", "c.example.", "127.0.0.1"]
    assert response.answer[0].ttl == 11

    loopback_federation.remove("c.example")
    response = await ask(loopback_federation, "a.example", "A")
    assert (texts(response), response.rcode()) == (["b.example.", "c.example."], NXDOMAIN)

    loopback_federation.add("c.example", alias_of="a.example")
    assert (await ask(loopback_federation, "a.example", "A")).rcode() == dns.rcode.SERVFAIL


async def test_records_from_a_zone_file(loopback_federation: LoopbackFederation) -> None:
    """Any record can be published, an alias of SRV records for example, and taken back."""
    loopback_federation.add("y.example", srv=[("t.example", 1)])
    loopback_federation.add_records("_matrix-fed._tcp.x", "CNAME", "_matrix-fed._tcp.y.example")
    response = await ask(loopback_federation, "_matrix-fed._tcp.x", "SRV")
    assert texts(response) == ["_matrix-fed._tcp.y.example.", "1 0 1 t.example."]
    loopback_federation.add_records("_matrix-fed._tcp.x", "CNAME")
    assert (await ask(loopback_federation, "_matrix-fed._tcp.x", "SRV")).rcode() == NXDOMAIN


@pytest.mark.parametrize("edns", [0, 1232])
async def test_large_answers_are_truncated(
    loopback_federation: LoopbackFederation, edns: int
) -> None:
    """An answer too large for UDP comes whole over TCP only."""
    loopback_federation.add("x", srv=[(f"target{i}.example.org", i) for i in range(1, 60)])
    short = await ask(loopback_federation, "_matrix-fed._tcp.x", "SRV", edns=edns)
    assert short.flags & dns.flags.TC
    assert not short.answer
    full = await ask(loopback_federation, "_matrix-fed._tcp.x", "SRV", tcp=True)
    assert len(texts(full)) == 59
    assert not full.flags & dns.flags.TC


async def test_medium_answers_fit_by_edns(loopback_federation: LoopbackFederation) -> None:
    """An answer over 512 bytes is truncated for who does not announce more, and only then."""
    loopback_federation.add("x", srv=[(f"target{i}.example.org", i) for i in range(1, 20)])
    old = await ask(loopback_federation, "_matrix-fed._tcp.x", "SRV", edns=0)
    new = await ask(loopback_federation, "_matrix-fed._tcp.x", "SRV", edns=1232)
    assert (bool(old.flags & dns.flags.TC), len(texts(new))) == (True, 19)


@pytest.mark.parametrize(
    ("fault", "rcode"),
    [
        (DnsFault.SERVFAIL, dns.rcode.SERVFAIL),
        (DnsFault.REFUSED, dns.rcode.REFUSED),
        (DnsFault.NXDOMAIN, NXDOMAIN),
        (DnsFault.NODATA, NOERROR),
        (DnsFault.TRUNCATED, NOERROR),
    ],
)
async def test_faults_with_an_answer(
    loopback_federation: LoopbackFederation, fault: DnsFault, rcode: int
) -> None:
    """Each fault shows in the response, which holds no answer."""
    loopback_federation.add("x", dns=fault)
    response = await ask(loopback_federation, "x", "A")
    assert (response.rcode(), response.answer) == (rcode, [])
    assert bool(response.flags & dns.flags.TC) == (fault is DnsFault.TRUNCATED)
    soa = [rrset.rdtype for rrset in response.authority] == [dns.rdatatype.SOA]
    assert soa == (fault in (DnsFault.NXDOMAIN, DnsFault.NODATA))


async def test_truncation_on_demand_ends_over_tcp(loopback_federation: LoopbackFederation) -> None:
    """The true answer of a truncated one comes over TCP."""
    loopback_federation.add("x", dns=DnsFault.TRUNCATED)
    assert texts(await ask(loopback_federation, "x", "A", tcp=True)) == ["127.0.0.1"]


@pytest.mark.parametrize("tcp", [False, True])
async def test_silence_and_garbage(loopback_federation: LoopbackFederation, tcp: bool) -> None:
    """A silent server is asked and does not answer; garbage is no message."""
    loopback_federation.add("silent", dns=DnsFault.SILENT)
    loopback_federation.add("garbage", dns=DnsFault.GARBAGE)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await ask(loopback_federation, "silent", "A", tcp=tcp)
    assert loopback_federation.dns_questions == {("silent", "A"): 1}
    with pytest.raises(dns.exception.DNSException):
        await ask(loopback_federation, "garbage", "A", tcp=tcp)


async def test_faults_by_type(loopback_federation: LoopbackFederation) -> None:
    """A fault of one type leaves the others alone, and reaches both SRV names."""
    loopback_federation.add("x", dns={"SRV": DnsFault.SERVFAIL})
    assert texts(await ask(loopback_federation, "x", "A")) == ["127.0.0.1"]
    for service in ("_matrix-fed", "_matrix"):
        response = await ask(loopback_federation, f"{service}._tcp.x", "SRV")
        assert response.rcode() == dns.rcode.SERVFAIL


async def test_faults_of_the_whole_server(loopback_federation: LoopbackFederation) -> None:
    """Faults by name, by type and for all can be set and lifted while it runs."""
    loopback_federation.add("x")
    loopback_federation.add("y")
    faults = loopback_federation.dns_faults
    faults["x", "A"] = DnsFault.REFUSED
    assert (await ask(loopback_federation, "x", "A")).rcode() == dns.rcode.REFUSED
    assert (await ask(loopback_federation, "y", "A")).rcode() == NOERROR
    faults["*", "A"] = DnsFault.SERVFAIL
    assert (await ask(loopback_federation, "y", "A")).rcode() == dns.rcode.SERVFAIL
    faults.clear()
    assert texts(await ask(loopback_federation, "x", "A")) == ["127.0.0.1"]


async def test_dns_goes_down_and_comes_back(loopback_federation: LoopbackFederation) -> None:
    """While DNS is down nothing is answered."""
    loopback_federation.add("x")
    loopback_federation.dns_down = True
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await ask(loopback_federation, "x", "A")
    loopback_federation.dns_down = False
    assert texts(await ask(loopback_federation, "x", "A")) == ["127.0.0.1"]


@pytest.mark.parametrize("tcp", [False, True])
async def test_dns_can_be_slow(loopback_federation: LoopbackFederation, tcp: bool) -> None:
    """With a delay the answer comes late, and one that nobody waits for holds nothing up."""
    loopback_federation.add("x")
    loopback_federation.dns_delay = 0.05
    assert texts(await ask(loopback_federation, "x", "A", tcp=tcp)) == ["127.0.0.1"]
    loopback_federation.dns_delay = 60
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await ask(loopback_federation, "x", "A", tcp=tcp)


async def test_questions_are_counted(loopback_federation: LoopbackFederation) -> None:
    """Each question counts, in lower case, until the counts are reset."""
    for name in ("X", "x", "y"):
        await ask(loopback_federation, name, "A")
    assert loopback_federation.dns_questions == {("x", "A"): 2, ("y", "A"): 1}
    loopback_federation.reset_counts()
    assert not loopback_federation.dns_questions
