"""What a fetch or a lookup leaves to the garbage collector: nothing of weight.

A connection's TLS has a buffer of 256 kB, and dozens of objects in circles for each name make
collections frequent and long.
"""

import asyncio
import gc
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from matrix_resolve.backends.dns_aiodns.tries import Tries
from matrix_resolve.testing import LoopbackFederation
from matrix_resolve.transport.guard import GuardedTls
from matrix_resolve.transport.race import Race

HANGS = 10.0


async def leaves_none(ask: Callable[[str], Awaitable[Any]], name: str, *kinds: type) -> None:
    """Ask for a name, and see that of these kinds nothing is left, collected or not."""

    def of_these() -> list[Any]:
        return [thing for thing in gc.get_objects() if type(thing) in kinds]

    before = of_these()  # other tests', which may be held by what pytest keeps of those
    # In a task, so that with it goes its context.
    await asyncio.ensure_future(ask(name))
    async with asyncio.timeout(HANGS):
        while len(of_these()) > len(before):  # noqa: ASYNC110
            await asyncio.sleep(0.05)


@pytest.mark.usefixtures("_uncollected")
@pytest.mark.parametrize("serves", [True, False])
async def test_a_fetch(loopback_federation: LoopbackFederation, serves: bool) -> None:
    """Neither the race of its addresses nor TLS, whether or not there is a document to read."""
    delegates_to = "hs.example.org:443" if serves else None
    loopback_federation.add("example.org", delegates_to=delegates_to)
    async with (
        loopback_federation.dns_lookup() as lookup,
        loopback_federation.well_known_fetcher(addresses=lookup) as fetcher,
    ):
        await leaves_none(fetcher.fetch, "example.org", Race, GuardedTls)


@pytest.mark.usefixtures("_uncollected")
async def test_a_lookup(loopback_federation: LoopbackFederation) -> None:
    """Nor the tries of a question, be it answered by "none"."""
    loopback_federation.add("example.org")
    async with loopback_federation.dns_lookup() as lookup:
        await leaves_none(lookup.lookup_addresses, "example.org", Tries)
        await leaves_none(lookup.lookup_srv, "_matrix-fed._tcp.example.org", Tries)
