"""The federation starts quickly and leaves nothing behind, whatever its clients are doing."""

import asyncio
import contextlib
import math
import time

import pytest
from clients import exchange

from matrix_resolve import AddressLookupError
from matrix_resolve.testing import (
    DnsFault,
    Dripping,
    Endless,
    LoopbackFederation,
    Request,
    Silent,
    Slow,
)

HANGING = [Silent(), Slow(math.inf), Dripping(b"x" * 1000, 1), Endless()]


async def test_starting_takes_no_time() -> None:
    """Ten servers are up in less than half a second."""
    async with LoopbackFederation():  # what is imported for the first time is not counted
        pass
    before = time.perf_counter()
    async with LoopbackFederation() as federation:
        for number in range(10):
            federation.add(f"x{number}")
            await exchange(federation, f"x{number}")
    assert time.perf_counter() - before < 0.5


@pytest.mark.parametrize("behaviour", HANGING)
async def test_hanging_clients_are_cut_off(behaviour: object) -> None:
    """Clients that wait are disconnected at once when the federation ends."""
    async with LoopbackFederation() as federation:
        federation.add("x", well_known=behaviour)
        clients = [asyncio.create_task(exchange(federation, "x")) for _ in range(5)]
        await asyncio.sleep(0.1)
        before = time.perf_counter()
    assert time.perf_counter() - before < 0.5
    ended = await asyncio.gather(*clients, return_exceptions=True)
    assert all(isinstance(outcome, OSError | bytes) for outcome in ended)
    assert not any(isinstance(outcome, TimeoutError) for outcome in ended)


async def test_clients_without_a_handshake_are_cut_off() -> None:
    """So are those that connected, also just now, and said nothing."""
    async with LoopbackFederation() as federation:
        federation.add("x")
        address = federation.connect_to["x", 443]
        earlier, first = await asyncio.open_connection(*address)
        await asyncio.sleep(0.05)
        later, second = await asyncio.open_connection(*address)
        before = time.perf_counter()
    assert time.perf_counter() - before < 0.5
    for reader, writer in ((earlier, first), (later, second)):
        with contextlib.suppress(ConnectionResetError):
            assert await reader.read() == b""
        writer.close()


async def test_clients_of_silent_dns_are_cut_off() -> None:
    """Questions without an answer hold nothing up, over UDP and TCP, nor do late answers."""
    async with LoopbackFederation() as federation:
        federation.add("x", dns=DnsFault.SILENT)
        ip, port = federation.nameserver.split(":")
        _, writer = await asyncio.open_connection(ip, int(port))
        async with federation.dns_lookup(timeout=0.1) as lookup:
            with pytest.raises(AddressLookupError):
                await lookup.lookup_addresses("x")
            federation.add("x")
            federation.dns_delay = 60
            with pytest.raises(AddressLookupError):
                await lookup.lookup_addresses("x")
        before = time.perf_counter()
    assert time.perf_counter() - before < 0.5
    writer.close()


async def test_mistakes_in_behaviours_come_out() -> None:
    """An exception that a function of a test raised is not lost."""

    def mistaken(request: Request) -> object:
        raise LookupError(request.host)

    async def run() -> None:
        async with LoopbackFederation() as federation:
            federation.add("x", well_known=mistaken)
            assert await exchange(federation, "x") == b""

    with pytest.raises(LookupError, match="x"):
        await run()


async def test_names_without_a_certificate_come_out() -> None:
    """A name that no certificate can be made for fails the handshake, and says why in the end."""

    async def run() -> None:
        async with LoopbackFederation() as federation:
            federation.add("-x.example")
            with contextlib.suppress(OSError):
                await exchange(federation, "-x.example")

    with pytest.raises(ValueError, match="hyphen"):
        await run()


async def test_an_error_of_the_test_is_not_hidden() -> None:
    """The exception that ends the block is the one that comes out."""

    def mistaken(request: Request) -> object:
        raise LookupError

    async def run() -> None:
        async with LoopbackFederation() as federation:
            federation.add("x", well_known=mistaken)
            await exchange(federation, "x")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await run()


async def test_afterwards_nothing_is_opened() -> None:
    """A closed federation opens no port any more, and one that never ran has no name server."""
    async with LoopbackFederation() as federation:
        federation.add("x")
    with pytest.raises(RuntimeError, match="closed"):
        federation.connect_to["x", 443]
    with pytest.raises(RuntimeError, match="not running"):
        LoopbackFederation().nameserver  # noqa: B018
