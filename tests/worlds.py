"""Fake plug-ins with a clock, and resolvers made of them, for the tests of many modules."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from matrix_resolve import FederationClient, MemoryCache, Policy, Resolver
from matrix_resolve.testing import (
    FakeAddresses,
    FakeClock,
    FakeSrv,
    FakeWellKnown,
    LoopbackFederation,
)

MINUTE = 60.0
HOUR = 3600.0
DAY = 24 * HOUR
FED, OLD = "_matrix-fed._tcp.", "_matrix._tcp."
# Nothing that goes over loopback takes longer than this (seconds), however busy the machine is.
HANGS = 30.0


class World:
    """Fake plug-ins that know nothing yet, a clock that stands still, and a cache."""

    def __init__(self) -> None:
        self.well_known = FakeWellKnown()
        self.srv = FakeSrv()
        self.addresses = FakeAddresses()
        self.clock: FakeClock = FakeClock()
        self.cache: Any = MemoryCache(clock=self.clock)
        self.told: list[Any] = []

    def resolver(self, **settings: Any) -> Resolver:
        """Return a resolver over these parts; `settings` win."""
        parts: dict[str, Any] = {
            "well_known": self.well_known,
            "srv": self.srv,
            "addresses": self.addresses,
            "cache": self.cache,
            "clock": self.clock,
            "rng": random.Random(7),
            "policy": Policy(jitter=0, stale_answer_delay=0.02),
        }
        return Resolver(**(parts | settings))

    @property
    def asked(self) -> int:
        """How many questions the plug-ins have seen."""
        return sum(len(f.asked) for f in (self.well_known, self.srv, self.addresses))


class SetClock(FakeClock):
    """A clock whose wall can be set."""

    def __init__(self) -> None:
        super().__init__()
        self._set_by = 0.0

    def set(self, seconds: float) -> None:
        """Set the wall clock forward, or back if that is below 0."""
        self._set_by += seconds

    def time(self) -> float:
        """Return Unix seconds, as they were set."""
        return super().time() + self._set_by


class Gate:
    """An answer that comes when it is let through, and how many are waiting for it."""

    def __init__(self, answer: Any = None) -> None:
        self.answer = answer
        self.opened = asyncio.Event()
        self.waiting = 0
        self.most = 0

    async def __call__(self, _: str) -> Any:
        self.waiting += 1
        self.most = max(self.most, self.waiting)
        try:
            await self.opened.wait()
        finally:
            self.waiting -= 1
        return self.answer


class SlowToEnd:
    """An answer that never comes, and that takes until `may_end` to end when it is cancelled."""

    def __init__(self) -> None:
        self.has_begun = asyncio.Event()
        self.may_end = asyncio.Event()

    async def __call__(self, _: str) -> None:
        self.has_begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            await self.may_end.wait()


async def settled() -> None:
    """Let what can go on without waiting for time go on to its end."""
    for _ in range(50):
        await asyncio.sleep(0)


async def all_landed(resolver: Resolver) -> None:
    """Wait until nothing is under way in the background."""
    flights = resolver._source._flights._in_the_air
    if flights:
        await asyncio.wait([flight._task for flight in flights])


@asynccontextmanager
async def client_of(
    federation: LoopbackFederation, policy: Policy | None = None, **settings: Any
) -> AsyncIterator[FederationClient]:
    """Open a client of the federation with a resolver of its own."""
    async with (
        asyncio.timeout(HANGS),
        federation.resolver(policy=policy) as resolver,
        federation.client(resolver, **settings) as client,
    ):
        yield client
