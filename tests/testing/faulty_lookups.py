"""Lookups with one fault or none, and by which rules of the contract each is found out.

Not collected with the tests: test_contract.py runs it, and wants those rules to fail.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest_asyncio
from attrs import evolve
from contract_faults import tried

from matrix_resolve import (
    AddressLookupError,
    AddressReply,
    AiodnsLookup,
    DnspythonLookup,
    SrvLookupError,
    SrvRecord,
    SrvReply,
)
from matrix_resolve.testing import LoopbackFederation
from matrix_resolve.testing.contract import (
    AddressLookupContract,
    Contract,
    SrvLookupContract,
)


class Lookup:
    """A lookup without a fault, around one of ours."""

    def __init__(self, inner: AiodnsLookup | DnspythonLookup) -> None:
        self.inner = inner

    async def lookup_srv(self, name: str, /) -> SrvReply:
        """Ask for SRV records."""
        return await self.changed(self.inner.lookup_srv, name)

    async def lookup_addresses(self, hostname: str, /) -> AddressReply:
        """Ask for addresses."""
        return await self.changed(self.inner.lookup_addresses, hostname)

    async def changed(self, ask: Any, name: str) -> Any:
        """The reply, as a fault leaves it."""
        return await ask(name)


class LookingUp(Contract):
    """Tries a class of lookups."""

    patience = 2.0
    kind: type[Lookup]

    @pytest_asyncio.fixture
    async def lookup(
        self, loopback_federation: LoopbackFederation, time_limit: float
    ) -> AsyncIterator[Lookup]:
        server = loopback_federation.nameserver
        async with AiodnsLookup(nameservers=[server], timeout=time_limit) as inner:
            yield self.kind(inner)


class LookingUpSrv(LookingUp, SrvLookupContract):
    """Tries its SRV records."""


class LookingUpAddresses(LookingUp, AddressLookupContract):
    """Tries its addresses."""


def lookup_fault(
    *rules: str, srv: tuple[str, ...] = (), addresses: tuple[str, ...] = ()
) -> Callable[[type], type]:
    """Try this faulty class of lookups, by what both have to do and by what one has to."""

    def made(kind: type) -> type:
        for tries, own in ((LookingUpSrv, srv), (LookingUpAddresses, addresses)):
            if rules or own:
                tried(kind, tries, (*rules, *own), tries.__name__)
        return kind

    return made


tried(Lookup, LookingUpSrv, (), "Srv")
tried(Lookup, LookingUpAddresses, (), "Addresses")


def no_reply(name: str) -> Any:
    """An empty reply about a name."""
    return SrvReply([]) if name.startswith("_") else AddressReply([])


def no_answer(name: str) -> Any:
    """The error about a name."""
    return SrvLookupError("none") if name.startswith("_") else AddressLookupError("none")


def is_empty(reply: Any) -> bool:
    """Whether a reply has nothing."""
    return not (reply.records if isinstance(reply, SrvReply) else reply.addresses)


@lookup_fault("test_none")
class FailsWhenThereIsNone(Lookup):
    async def changed(self, ask: Any, name: str) -> Any:
        reply = await ask(name)
        if is_empty(reply):
            raise no_answer(name)
        return reply


@lookup_fault("test_none")
class NoneLivesLong(Lookup):
    async def changed(self, ask: Any, name: str) -> Any:
        reply = await ask(name)
        return evolve(reply, ttl=86400) if is_empty(reply) else reply


@lookup_fault("test_failure", "test_silence", addresses=("test_one_family_fails",))
class FailureIsNone(Lookup):
    async def changed(self, ask: Any, name: str) -> Any:
        try:
            return await ask(name)
        except (SrvLookupError, AddressLookupError):
            return no_reply(name)


@lookup_fault("test_failure", "test_silence")
class LetsOthersThrough(Lookup):
    async def changed(self, ask: Any, name: str) -> Any:
        try:
            return await ask(name)
        except (SrvLookupError, AddressLookupError) as error:
            raise OSError(str(error)) from error


@lookup_fault("test_failure", "test_silence")
class FailsForGood(Lookup):
    async def changed(self, ask: Any, name: str) -> Any:
        try:
            return await ask(name)
        except (SrvLookupError, AddressLookupError) as error:
            raise type(error)(error.reason, temporary=False) from error


@lookup_fault("test_names_are_absolute")
class Searches(Lookup):
    async def changed(self, ask: Any, name: str) -> Any:
        reply = await ask(name)
        return await ask(f"{name}.svc.cluster.local") if is_empty(reply) else reply


@lookup_fault("test_many_at_once")
class MixesReplies(Lookup):
    asked = ""

    async def changed(self, ask: Any, name: str) -> Any:
        self.asked = name
        await asyncio.sleep(0)
        return await ask(self.asked)


@lookup_fault("test_cancelled")
class HidesCancelling(Lookup):
    async def changed(self, ask: Any, name: str) -> Any:
        try:
            return await ask(name)
        except asyncio.CancelledError:
            return no_reply(name)


@lookup_fault("test_cancelled")
class StaysLocked(Lookup):
    locked = 0

    async def changed(self, ask: Any, name: str) -> Any:
        while self.locked == 10:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        self.locked += 1
        reply = await ask(name)
        self.locked -= 1
        return reply


@lookup_fault(srv=("test_records", "test_alias"), addresses=("test_addresses", "test_alias"))
class NoTtl(Lookup):
    async def changed(self, ask: Any, name: str) -> Any:
        return evolve(await ask(name), ttl=None)


@lookup_fault(srv=("test_records",), addresses=("test_addresses",))
class ListsOnly(Lookup):
    async def changed(self, ask: Any, name: str) -> Any:
        reply = await ask(name)
        return list(reply.records if isinstance(reply, SrvReply) else reply.addresses)


@lookup_fault(srv=("test_records",), addresses=("test_addresses",))
class FirstOnly(Lookup):
    async def changed(self, ask: Any, name: str) -> Any:
        reply = await ask(name)
        if isinstance(reply, SrvReply):
            return evolve(reply, records=reply.records[:1])
        return evolve(reply, addresses=reply.addresses[:1])


@lookup_fault(srv=("test_alias",), addresses=("test_alias",))
class FollowsNoAlias(Lookup):
    async def changed(self, ask: Any, name: str) -> Any:
        return no_reply(name) if "alias" in name else await ask(name)


@lookup_fault(srv=("test_records", "test_alias"))
class SwapsNumbers(Lookup):
    async def changed(self, ask: Any, name: str) -> Any:
        reply = await ask(name)
        if isinstance(reply, AddressReply):
            return reply
        return evolve(
            reply,
            records=[SrvRecord(r.weight, r.priority, r.port, r.target) for r in reply.records],
        )


@lookup_fault(srv=("test_not_offered",))
class DropsTheRoot(Lookup):
    async def changed(self, ask: Any, name: str) -> Any:
        reply = await ask(name)
        if isinstance(reply, AddressReply):
            return reply
        return evolve(reply, records=[r for r in reply.records if r.target != "."])


@lookup_fault(srv=("test_odd_targets",))
class TrustsTargets(Lookup):
    async def changed(self, ask: Any, name: str) -> Any:
        reply = await ask(name)
        for record in getattr(reply, "records", ()):
            if "\\" in record.target:
                raise UnicodeError(record.target)
        return reply


@lookup_fault(srv=("test_odd_targets",))
class CutsTargets(Lookup):
    async def changed(self, ask: Any, name: str) -> Any:
        reply = await ask(name)
        if isinstance(reply, AddressReply):
            return reply
        records = [
            evolve(r, target=r.target.rpartition("\\")[0] or r.target) for r in reply.records
        ]
        return evolve(reply, records=[evolve(r, target=r.target or "a") for r in records])


@lookup_fault(addresses=("test_addresses", "test_alias"))
class FourOnly(Lookup):
    async def changed(self, ask: Any, name: str) -> Any:
        reply = await ask(name)
        if isinstance(reply, SrvReply):
            return reply
        return evolve(reply, addresses=[ip for ip in reply.addresses if ip.version == 4])


@lookup_fault(addresses=("test_alias",))
class NamesTheFirstLink(Lookup):
    async def changed(self, ask: Any, name: str) -> Any:
        reply = await ask(name)
        if getattr(reply, "canonical_name", None) is None:
            return reply
        return evolve(reply, canonical_name="b.example")
