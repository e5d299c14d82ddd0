"""What is particular to the lookup by c-ares; what all lookups do is in `test_dns_contract`."""

import asyncio
from collections import Counter
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import dns.message
import dns.rcode
import pycares
import pytest
from dns_lookups import (
    BOTH,
    HANGS,
    SRV,
    addresses,
    answer,
    asked_type,
    either,
    empty,
    handmade,
    until,
)

from matrix_resolve.backends import dns_aiodns
from matrix_resolve.backends.dns_aiodns import AiodnsLookup
from matrix_resolve.errors import AddressLookupError, BackendError
from matrix_resolve.interfaces import AddressReply, SrvRecord, SrvReply
from matrix_resolve.testing import DnsFault, LoopbackFederation

HOSTS_FILE = Path("/etc/hosts")
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


@pytest.mark.parametrize("family", ["A", "AAAA"])
async def test_family_that_recovers_meanwhile(family: str) -> None:
    """A family that failed, and has addresses when it is asked again, is not taken for "none"."""
    published = "A 192.0.2.1" if family == "A" else "AAAA 2001:db8::1"
    asked: Counter[str] = Counter()

    def answers(query: dns.message.Message) -> list[Any]:
        asked[asked_type(query)] += 1
        if asked_type(query) != family:
            return [answer(query)]
        if asked[family] <= 3:  # as often as c-ares tries
            return [answer(query, rcode=dns.rcode.SERVFAIL)]
        return [answer(query, f"example.org. 300 IN {published}")]

    other = "AAAA" if family == "A" else "A"
    async with (
        handmade(answers, late={other: 0.2}) as server,
        AiodnsLookup(nameservers=[server], timeout=HANGS) as lookup,
    ):
        with pytest.raises(AddressLookupError) as caught:
            await lookup.lookup_addresses("example.org")
    assert asked[family] == 4
    assert caught.value.temporary


# The system's files


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


async def test_slow_answers_outlive_their_channel(monkeypatch: pytest.MonkeyPatch) -> None:
    """A question is answered though newer channels have taken the place of its own."""
    monkeypatch.setattr(dns_aiodns, "_CHANNEL_AGE", 0.0)
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


# In what order records and aliases come


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
