"""What every SRV lookup must do."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import pytest

from matrix_resolve.core.srv import read_srv_reply
from matrix_resolve.errors import SrvLookupError
from matrix_resolve.interfaces import SrvRecord, SrvReply
from matrix_resolve.testing.contract.lookups import HOSTS, TTL, LookupContract

if TYPE_CHECKING:
    from matrix_resolve.testing.loopback.federation import LoopbackFederation

_CHAINS = [(50, 7, 30), (5, 70, 30), (50, 70, 3), (50, 0, 30)]


class SrvLookupContract(LookupContract):
    """The rules of every `SrvLookup`.

        class TestMyLookup(SrvLookupContract):
            @pytest_asyncio.fixture
            async def lookup(self, loopback_federation, time_limit):
                async with MyLookup([loopback_federation.nameserver], timeout=time_limit) as lookup:
                    yield lookup

    A lookup that does not ask DNS is to answer what `records` holds, by name.
    """

    failure = SrvLookupError
    records: ClassVar[Mapping[str, SrvReply]] = {
        "_matrix-fed._tcp.example.org": SrvReply(
            [SrvRecord(10, 5, 8448, "a.example"), SrvRecord(20, 65535, 443, "b.example")], TTL
        ),
        "_matrix-fed._tcp.not-offered.example": SrvReply([SrvRecord(0, 0, 0, ".")], TTL),
        "_matrix-fed._tcp.many.example": SrvReply(
            [SrvRecord(number, 0, 8448, f"host-{number}.example") for number in range(300)], TTL
        ),
        "_matrix-fed._tcp.truncated.example": SrvReply([SrvRecord(1, 0, 1, "hs.example")], TTL),
        **{
            f"_matrix-fed._tcp.host-{number}.example": SrvReply(
                [SrvRecord(1, 0, number, "hs.example")], TTL
            )
            for number in HOSTS
        },
    }

    def name(self, host: str) -> str:
        """Return the name that the resolver asks for first."""
        return f"_matrix-fed._tcp.{host}"

    def publish(self, federation: "LoopbackFederation") -> None:
        """Publish `records`."""
        for name, reply in self.records.items():
            texts = (f"{r.priority} {r.weight} {r.port} {r.target}" for r in reply.records)
            federation.add_records(name, "SRV", *texts, ttl=TTL)

    async def ask(self, lookup: Any, host: str) -> Any:
        """Return the reply about a host's SRV records."""
        reply = await lookup.lookup_srv(self.name(host))
        assert isinstance(reply, SrvReply)
        return reply

    def found(self, reply: SrvReply) -> Sequence[Any]:
        """Return the records."""
        return reply.records

    @pytest.mark.parametrize("host", ["example.org", "truncated.example", "many.example"])
    async def test_records(self, lookup: Any, host: str) -> None:
        """All records come with their four fields, in whatever order, and their TTL.

        They do when there are too many for UDP, too.
        """
        reply = await self.replied(lookup, host)
        published = read_srv_reply(self.records[self.name(host)])
        assert len(reply.records) == len(self.records[self.name(host)].records)
        assert read_srv_reply(reply) == published
        assert self.lives(reply, TTL)

    async def test_not_offered(self, lookup: Any) -> None:
        """That a service is not offered is a record with the target ".", and not "none"."""
        (record,) = self.found(await self.replied(lookup, "not-offered.example"))
        assert record.target == "."

    @pytest.mark.parametrize("ttls", _CHAINS)
    async def test_alias(
        self, lookup: Any, loopback_federation: "LoopbackFederation", ttls: tuple[int, ...]
    ) -> None:
        """Through aliases the records are found, and live as long as the shortest link."""
        add = loopback_federation.add_records
        add(self.name("alias.example"), "CNAME", self.name("b.example"), ttl=ttls[0])
        add(self.name("b.example"), "CNAME", "srv.c.example", ttl=ttls[1])
        add("srv.c.example", "SRV", "1 2 8448 hs.example", ttl=ttls[2])
        reply = await self.replied(lookup, "alias.example")
        assert read_srv_reply(reply) == read_srv_reply(
            SrvReply([SrvRecord(1, 2, 8448, "hs.example")])
        )
        assert self.lives(reply, min(ttls))

    @pytest.mark.parametrize("target", [r"a\000b.example", r"\255\128.example", r"a\.b.example"])
    async def test_odd_targets(
        self, lookup: Any, loopback_federation: "LoopbackFederation", target: str
    ) -> None:
        """A target that is no host name spoils nothing: it comes as text that can't be used.

        Or it is left out, or else it is the documented error.
        """
        name = self.name("odd.example")
        loopback_federation.add_records(name, "SRV", f"1 2 3 {target}", "2 0 1 hs.example")
        try:
            reply = await self.replied(lookup, "odd.example")
        except SrvLookupError:
            return
        assert read_srv_reply(reply) == read_srv_reply(SrvReply([SrvRecord(2, 0, 1, "hs.example")]))
