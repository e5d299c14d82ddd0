"""What every address lookup must do."""

from collections.abc import Mapping, Sequence
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, ClassVar

import pytest

from matrix_resolve.errors import AddressLookupError
from matrix_resolve.interfaces import AddressReply
from matrix_resolve.testing.contract.lookups import HOSTS, TTL, LookupContract
from matrix_resolve.testing.loopback.declarations import DnsFault

if TYPE_CHECKING:
    from matrix_resolve.testing.loopback.federation import LoopbackFederation

_CHAINS = [(9, 60, 60, 60), (60, 9, 60, 60), (60, 60, 9, 60), (60, 60, 60, 9)]


class AddressLookupContract(LookupContract):
    """The rules of every `AddressLookup`; the fixture is that of `SrvLookupContract`.

    A lookup that does not ask DNS is to answer what `records` holds, by host.
    """

    failure = AddressLookupError
    records: ClassVar[Mapping[str, AddressReply]] = {
        "example.org": AddressReply(["192.0.2.9", "192.0.2.1", "2001:db8::9", "2001:db8::1"], TTL),
        "ipv4.example": AddressReply(["192.0.2.9", "127.0.0.1", "10.0.0.1"], TTL),
        "ipv6.example": AddressReply(["2001:db8::1", "fe80::1", "::ffff:10.0.0.1", "::1"], TTL),
        "truncated.example": AddressReply(["192.0.2.7"], TTL),
        **{f"host-{n}.example": AddressReply([f"192.0.2.{n}"], TTL) for n in HOSTS},
    }

    def publish(self, federation: "LoopbackFederation") -> None:
        """Publish `records`."""
        for name, reply in self.records.items():
            for version, kind in ((4, "A"), (6, "AAAA")):
                texts = (str(ip) for ip in reply.addresses if ip.version == version)
                federation.add_records(name, kind, *texts, ttl=TTL)

    async def ask(self, lookup: Any, host: str) -> Any:
        """Return the reply about a host's addresses."""
        reply = await lookup.lookup_addresses(host)
        assert isinstance(reply, AddressReply)
        return reply

    def found(self, reply: AddressReply) -> Sequence[Any]:
        """Return the addresses."""
        return reply.addresses

    @pytest.mark.parametrize(
        "host", ["example.org", "ipv4.example", "ipv6.example", "truncated.example"]
    )
    async def test_addresses(self, lookup: Any, host: str) -> None:
        """The addresses of both families are found, each once, and their TTL.

        All of them, private ones too: which may be dialled is for others to say.
        """
        reply = await self.replied(lookup, host)
        published = self.records[host].addresses
        assert sorted(map(str, reply.addresses)) == sorted(map(str, published))
        assert self.lives(reply, TTL)
        assert reply.canonical_name is None

    @pytest.mark.parametrize("ttls", _CHAINS)
    async def test_alias(
        self, lookup: Any, loopback_federation: "LoopbackFederation", ttls: tuple[int, ...]
    ) -> None:
        """An alias has the addresses of what it leads to, as long as the shortest link lives.

        What it leads to in the end may be told.
        """
        add = loopback_federation.add_records
        add("alias.example", "CNAME", "b.example", ttl=ttls[0])
        add("b.example", "CNAME", "c.example", ttl=ttls[1])
        add("c.example", "A", "192.0.2.1", ttl=ttls[2])
        add("c.example", "AAAA", "2001:db8::1", ttl=ttls[3])
        reply = await self.replied(lookup, "alias.example")
        assert set(reply.addresses) == {ip_address("192.0.2.1"), ip_address("2001:db8::1")}
        assert self.lives(reply, min(ttls))
        assert reply.canonical_name in ("c.example", None)

    @pytest.mark.parametrize("published", [None, "192.0.2.1"], ids=["alone", "beside addresses"])
    @pytest.mark.parametrize("fault", [DnsFault.SERVFAIL, DnsFault.REFUSED])
    async def test_one_family_fails(
        self,
        lookup: Any,
        loopback_federation: "LoopbackFederation",
        published: str | None,
        fault: DnsFault,
    ) -> None:
        """When one family fails, nobody knows that there are no addresses.

        Those of the other family are given, or else the lookup has failed.
        """
        loopback_federation.add_records("half.example", "TXT", "there is such a name")
        if published is not None:
            loopback_federation.add_records("half.example", "A", published)
        loopback_federation.dns_faults["half.example", "AAAA"] = fault
        try:
            reply = await self.replied(lookup, "half.example")
        except AddressLookupError:
            return
        assert list(map(str, reply.addresses)) == [published]
