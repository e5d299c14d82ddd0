"""The federation starts quickly and leaves nothing behind, whatever its clients are doing."""

import asyncio
import contextlib
import math

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
# Nothing here takes longer than this (seconds), however busy the machine is.
HANGS = 20.0


async def test_starting_costs_nothing() -> None:
    """Nothing is opened nor made for a host before it is used (benchmarks/loopback.py times it)."""
    async with LoopbackFederation() as federation:
        for number in range(1000):
            federation.add(f"x{number}")
        assert len(federation.connect_to) == 0
        assert not federation._certificates._made
        await exchange(federation, "x7")
        assert [*federation.connect_to] == [("x7", 443)]
        assert len(federation._certificates._made) == 1


@pytest.mark.parametrize("behaviour", HANGING)
async def test_hanging_clients_are_cut_off(behaviour: object) -> None:
    """Clients that wait are disconnected when the federation ends, whatever they wait for."""
    async with asyncio.timeout(HANGS), LoopbackFederation() as federation:
        federation.add("x", well_known=behaviour)
        clients = [
            asyncio.create_task(exchange(federation, "x", within=2 * HANGS)) for _ in range(5)
        ]
        while federation.connections["x", 443] < len(clients):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    ended = await asyncio.gather(*clients, return_exceptions=True)
    assert all(isinstance(outcome, OSError | bytes) for outcome in ended)
    assert not any(isinstance(outcome, TimeoutError) for outcome in ended)


async def test_clients_without_a_handshake_are_cut_off() -> None:
    """So are those that connected, also just now, and said nothing."""
    async with asyncio.timeout(HANGS), LoopbackFederation() as federation:
        federation.add("x")
        address = federation.connect_to["x", 443]
        earlier, first = await asyncio.open_connection(*address)
        while not federation.connections:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        later, second = await asyncio.open_connection(*address)
    for reader, writer in ((earlier, first), (later, second)):
        with contextlib.suppress(ConnectionResetError):
            assert await reader.read() == b""
        writer.close()


async def test_clients_of_silent_dns_are_cut_off() -> None:
    """Questions without an answer hold nothing up, over UDP and TCP, nor do late answers."""
    async with asyncio.timeout(HANGS), LoopbackFederation() as federation:
        federation.add("x", dns=DnsFault.SILENT)
        ip, port = federation.nameserver.split(":")
        _, writer = await asyncio.open_connection(ip, int(port))
        async with federation.dns_lookup(timeout=0.1) as lookup:
            with pytest.raises(AddressLookupError):
                await lookup.lookup_addresses("x")
            federation.add("x")
            federation.dns_delay = 2 * HANGS
            with pytest.raises(AddressLookupError):
                await lookup.lookup_addresses("x")
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


async def test_certificates_that_cannot_be_made_come_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """What goes wrong in a handshake is no secret of OpenSSL's: it comes out in the end."""

    def full(*_: object) -> bytes:
        raise OSError("no space left")

    async def run() -> None:
        async with LoopbackFederation() as federation:
            federation.client_ssl_context()
            monkeypatch.setattr(federation._certificates, "_issue", full)
            federation.add("x.example")
            with contextlib.suppress(OSError):
                await exchange(federation, "x.example")

    with pytest.raises(OSError, match="no space left"):
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
