"""A restart during an outage, what was known being in a file: names resolved, requests sent.

Addresses are never kept, so while DNS is down only targets that are addresses can be dialled, or
that the hosts file has.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from worlds import HOUR

from matrix_resolve import (
    AddressLookupError,
    AiodnsLookup,
    ConnectError,
    FederationClient,
    MemoryCache,
    Policy,
    Resolver,
    SqliteCache,
    TieredCache,
)
from matrix_resolve.testing import FakeClock, LoopbackFederation, Reply

VERSION = "/_matrix/federation/v1/version"
# What each of the names known before leads to.
KNOWN = {
    "literal.example": "192.0.3.7:8448",
    "named.example": "hs.example:8450",
    "hosts.example": "local.example:8451",
    "srv.example": "srv.example",
}
# Seconds that an answer of c-ares is repeated, whatever a fake clock says.
CARES_KEEPS = 1.1


@asynccontextmanager
async def started(
    federation: LoopbackFederation, directory: Path, clock: FakeClock, *, tiered: bool
) -> AsyncIterator[tuple[Resolver, FederationClient]]:
    """A program that keeps its answers in a file, from its start to its end."""
    hosts = directory / "hosts"
    hosts.write_text("127.0.0.1 local.example\n")
    async with (
        SqliteCache(directory / "answers.sqlite", clock=clock, timeout=30) as file,
        AiodnsLookup(
            nameservers=[federation.nameserver], timeout=0.3, hosts_file=str(hosts)
        ) as lookup,
        federation.resolver(
            srv=lookup,
            addresses=lookup,
            cache=TieredCache(MemoryCache(clock=clock), file, clock=clock) if tiered else file,
            policy=Policy(jitter=0, dns_timeout=0.4, well_known_timeout=1, stale_answer_delay=0.1),
            clock=clock,
        ) as resolver,
        federation.client(resolver) as client,
    ):
        yield resolver, client


def declare(fed: LoopbackFederation, **settings: Any) -> None:
    """Publish where the names lead, or have the web that says so in trouble."""
    for name, to in KNOWN.items():
        if name != "srv.example":
            fed.add(name, delegates_to=to, **settings)
    fed.add("srv.example", srv=[("hs.example", 8450)], ttl=int(24 * HOUR), **settings)


async def sent(client: FederationClient, name: str) -> int:
    """Send a request; return its status."""
    async with client.request("GET", name, VERSION) as response:
        await response.read()
        return response.status


@pytest.mark.parametrize("tiered", [False, True], ids=["the file alone", "memory before it"])
@pytest.mark.parametrize("later", [60.0, 30 * HOUR], ids=["fresh", "stale"])
async def test_restart_while_dns_and_web_are_down(
    loopback_federation: LoopbackFederation, tmp_path: Path, later: float, tiered: bool
) -> None:
    """All names known are resolved as before, and delivered to where no address is wanting."""
    fed, clock = loopback_federation, FakeClock()
    declare(fed)
    async with started(fed, tmp_path, clock, tiered=tiered) as (resolver, client):
        before = {name: await resolver.resolve(name) for name in KNOWN}
        assert [await sent(client, name) for name in KNOWN] == [200] * len(KNOWN)
    fed.dns_down = True
    clock.advance(later)
    async with started(fed, tmp_path, clock, tiered=tiered) as (resolver, client):
        for name in KNOWN:
            resolution = await resolver.resolve(name)
            assert resolution == before[name] or resolution.stale, resolution.explain()
            assert resolution.targets == before[name].targets
            assert resolution.stale is (later > HOUR)
            assert not resolution.degraded
        assert await sent(client, "literal.example") == 200
        assert await sent(client, "hosts.example") == 200
        for name in ("named.example", "srv.example"):
            with pytest.raises((AddressLookupError, ConnectError)):
                await sent(client, name)
        fed.dns_down = False
        clock.advance(60)
        await asyncio.sleep(CARES_KEEPS)
        assert [await sent(client, name) for name in KNOWN] == [200] * len(KNOWN)


@pytest.mark.parametrize("tiered", [False, True], ids=["the file alone", "memory before it"])
async def test_restart_while_the_web_is_down(
    loopback_federation: LoopbackFederation, tmp_path: Path, tiered: bool
) -> None:
    """With DNS there, all that was known is delivered to; without the file the way is lost."""
    fed, clock = loopback_federation, FakeClock()
    declare(fed)
    async with started(fed, tmp_path, clock, tiered=tiered) as (resolver, client):
        before = {name: await resolver.resolve(name) for name in KNOWN}
    for name in KNOWN:
        if name != "srv.example":
            fed.add(name, well_known=Reply(503))
    clock.advance(30 * HOUR)
    async with started(fed, tmp_path, clock, tiered=tiered) as (resolver, client):
        for name in KNOWN:
            resolution = await resolver.resolve(name)
            assert resolution.targets == before[name].targets, resolution.explain()
            assert resolution.stale is (name != "srv.example")
            assert await sent(client, name) == 200
    (tmp_path / "answers.sqlite").unlink()
    async with started(fed, tmp_path, clock, tiered=tiered) as (resolver, client):
        with contextlib.suppress(ConnectError, AddressLookupError):
            await sent(client, "literal.example")
        assert (await resolver.resolve("literal.example")).targets != before[
            "literal.example"
        ].targets
