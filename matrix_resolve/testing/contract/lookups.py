"""What SRV lookups and address lookups must do alike."""

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import pytest

from matrix_resolve.errors import BackendError
from matrix_resolve.testing.contract.base import Contract, to_be_given
from matrix_resolve.testing.loopback.declarations import DnsFault

if TYPE_CHECKING:
    from matrix_resolve.testing.loopback.federation import LoopbackFederation

TTL = 77
_NEGATIVE_TTL = 60
_FAR = 86400
HOSTS = range(1, 41)
# Search domains of a cluster, as c-ares and glibc take them from the environment.
_SEARCH = {"LOCALDOMAIN": "svc.cluster.local cluster.local", "RES_OPTIONS": "ndots:5"}


class LookupContract(Contract):
    """What SRV lookups and address lookups must do alike."""

    lookup: Any = to_be_given("the lookup to try, which asks `loopback_federation.nameserver`")
    knows_ttl: bool = True
    """Whether replies tell the TTLs of DNS; False for a lookup that can't know them."""
    failure: ClassVar[type[BackendError]]

    @pytest.fixture
    def time_limit(self) -> float:
        """Seconds after which the lookup should give up by itself, if it can be told to."""
        return 5.0

    @pytest.fixture(autouse=True)
    def _published(
        self, loopback_federation: "LoopbackFederation", monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Publish what is asked for, and set search domains that must not matter."""
        for name, value in _SEARCH.items():
            monkeypatch.setenv(name, value)
        self.publish(loopback_federation)
        add = loopback_federation.add_records
        for suffix in (".svc.cluster.local", ".cluster.local"):
            for name in ("nowhere.example", "nodata.example", "single"):
                add(self.name(name) + suffix, "SRV", "1 2 3 wrong.example")
                add(self.name(name) + suffix, "A", "192.0.2.66")
        add(self.name("nodata.example"), "TXT", "there is such a name")
        add(self.name("alias-of-nothing.example"), "CNAME", "nowhere.example", ttl=_FAR)
        for fault in DnsFault:
            name = self.name(f"{fault.value.lower()}.example")
            loopback_federation.dns_faults[name, "*"] = fault

    # What differs

    def name(self, host: str) -> str:
        """Return the name to ask for."""
        return host

    def publish(self, federation: "LoopbackFederation") -> None:
        """Publish what is there."""
        raise NotImplementedError

    async def ask(self, lookup: Any, host: str) -> Any:
        """Return the reply about a host."""
        raise NotImplementedError

    def found(self, reply: Any) -> Sequence[Any]:
        """Return the records or addresses of a reply."""
        raise NotImplementedError

    # For the rules

    async def replied(self, lookup: Any, host: str) -> Any:
        """Return the reply, which has to come."""
        async with asyncio.timeout(self.patience):
            return await self.ask(lookup, host)

    def lives(self, reply: Any, ttl: float) -> bool:
        """Return whether the reply tells this TTL, or none if it can't."""
        return bool(reply.ttl == ttl or (reply.ttl is None and not self.knows_ttl))

    # The rules

    @pytest.mark.parametrize(
        "host",
        ["nowhere.example", "nodata.example", "nxdomain.example", "alias-of-nothing.example"],
    )
    async def test_none(self, lookup: Any, host: str) -> None:
        """No such name, and no such record: a reply that is empty, not a failure.

        If it has a TTL, that is the zone's for "none", and not that of an alias before it.
        """
        reply = await self.replied(lookup, host)
        assert not self.found(reply)
        assert reply.ttl is None or 0 <= reply.ttl <= _NEGATIVE_TTL

    @pytest.mark.parametrize("fault", [DnsFault.SERVFAIL, DnsFault.REFUSED])
    async def test_failure(self, lookup: Any, fault: DnsFault) -> None:
        """What is neither an answer nor "none" is the documented error, and temporary."""
        with pytest.raises(self.failure) as caught:
            await self.replied(lookup, f"{fault.value.lower()}.example")
        assert caught.value.temporary

    @pytest.mark.parametrize("time_limit", [0.5])
    async def test_silence(self, lookup: Any, time_limit: float) -> None:
        """Of a server that does not answer nothing is known.

        Either the lookup gives up by itself, or it goes on until it is cancelled.
        """
        asked = asyncio.ensure_future(self.ask(lookup, "silent.example"))
        await asyncio.wait([asked], timeout=self.patience)
        if asked.done():
            with pytest.raises(self.failure) as caught:
                await asked
            assert caught.value.temporary
        else:
            await self.ended(asked)
            assert asked.cancelled()

    @pytest.mark.parametrize("host", ["nowhere.example", "nodata.example", "single"])
    async def test_names_are_absolute(
        self, lookup: Any, loopback_federation: "LoopbackFederation", host: str
    ) -> None:
        """Search domains never apply: the name is asked for just as it is."""
        assert not self.found(await self.replied(lookup, host))
        assert {name for name, _ in loopback_federation.dns_questions} <= {self.name(host)}

    async def test_many_at_once(self, lookup: Any) -> None:
        """Lookups at the same time each get their own reply."""
        hosts = [f"host-{number}.example" for number in HOSTS]
        one_by_one = [self.found(await self.replied(lookup, host)) for host in hosts]
        async with asyncio.timeout(self.patience):
            replies = await asyncio.gather(*(self.ask(lookup, host) for host in hosts))
        assert [list(self.found(reply)) for reply in replies] == list(map(list, one_by_one))
        assert len({tuple(found) for found in one_by_one}) == len(hosts)

    async def test_cancelled(self, lookup: Any, loopback_federation: "LoopbackFederation") -> None:
        """Who is cancelled ends at once, as cancelled, and the lookup goes on as before."""
        tasks = [asyncio.ensure_future(self.ask(lookup, "silent.example")) for _ in range(10)]
        await self.happens(
            lambda: loopback_federation.dns_questions or any(task.done() for task in tasks)
        )
        await self.ended(*tasks)
        assert all(task.cancelled() for task in tasks)
        assert self.found(await self.replied(lookup, "host-1.example"))
