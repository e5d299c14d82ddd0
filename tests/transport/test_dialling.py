"""The way to one host, which the fetcher and the federation client share."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from itertools import permutations
from typing import Any

import aiohttp
import pytest
from houses import (
    BAD,
    CERTIFICATES,
    GOOD,
    IPV4,
    NAME,
    WRONG,
    Blackhole,
    House,
    Late,
    on_linux,
    with_ipv6,
)
from worlds import HANGS

from matrix_resolve import AddressLookupError, AddressPolicy, AiohttpWellKnownFetcher
from matrix_resolve.errors import WellKnownFetchError
from matrix_resolve.testing import (
    FakeAddresses,
    LoopbackFederation,
    Raw,
    Redirect,
    Refused,
    Silent,
)
from matrix_resolve.transport.connections import Connections
from matrix_resolve.transport.dialling import Dialling
from matrix_resolve.transport.race import Dialler
from matrix_resolve.transport.session import open_session

DOCUMENT = {"m.server": "matrix.example.org:443"}


@asynccontextmanager
async def dialler() -> AsyncIterator[Dialler]:
    """What dials for a session that trusts the houses' authority."""
    connections = Connections(100)
    context = CERTIFICATES.client_context()
    async with open_session(connections, ssl_context=context, keepalive_timeout=HANGS) as session:
        yield Dialler(session, connections, {})


def dialling(
    opened: Dialler, house: House, addresses: Sequence[str], connect_timeout: float = HANGS
) -> Dialling:
    """The way to a house by these addresses."""

    async def found() -> list[tuple[str, int]]:
        return [(address, house.port) for address in addresses]

    return Dialling(opened, NAME, house.port, found, connect_timeout=connect_timeout)


def limits(connect: float | None) -> aiohttp.ClientTimeout:
    """No other limit than that for connecting."""
    return aiohttp.ClientTimeout(total=None, connect=connect)


async def dialled(way: Dialling, **settings: Any) -> int | None:
    """Send a request; the status."""
    response = await way.request("GET", "/", server_hostname=NAME, limits=limits, **settings)
    if response is None:
        return None
    await response.read()
    return response.status


async def dial(
    doors: Mapping[str, Any], connect_timeout: float = HANGS, **settings: Any
) -> tuple[int | None, House, Dialling]:
    """Send a request to a house: the status, where it was entered, and what failed."""
    house = House(doors)
    try:
        async with asyncio.timeout(HANGS), dialler() as opened:
            way = dialling(opened, house, list(doors), connect_timeout)
            return await dialled(way, **settings), house, way
    finally:
        await house.aclose()


@on_linux
@pytest.mark.parametrize("place", range(3))
@pytest.mark.parametrize("bad", BAD)
async def test_one_good_address_is_enough(bad: str, place: int) -> None:
    """First, in the middle or last: the good one is found, whatever is wrong with the others."""
    doors: dict[str, Any] = dict.fromkeys(IPV4[:3], BAD[bad])
    doors[IPV4[place]] = GOOD
    status, house, _ = await dial(doors)
    assert status == 200
    assert house.requests == [IPV4[place]]


@on_linux
@with_ipv6
@pytest.mark.parametrize("order", list(permutations(["::1", "127.0.0.2", "127.0.0.3"])))
async def test_one_good_address_of_either_family(order: Sequence[str]) -> None:
    """After a TLS failure nothing is left out, in whatever order the families come."""
    doors = {address: GOOD if address == "127.0.0.2" else WRONG for address in order}
    status, house, _ = await dial(doors)
    assert status == 200
    assert house.requests == ["127.0.0.2"]


@on_linux
async def test_each_failure_is_told_of_its_own_address() -> None:
    """With no good address each has its own reason."""
    kinds = ["wrong certificate", "closes", "no TLS", "refuses"]
    status, house, way = await dial({ip: BAD[k] for ip, k in zip(IPV4, kinds, strict=True)})
    assert status is None
    assert house.requests == []
    certificate, closed, plain, refused = (way.failures[ip].reason for ip in IPV4)
    assert "wrong name: " in certificate
    assert "Reset" in closed
    assert plain == "no TLS is spoken there"
    assert "Connect call failed ('127.0.0.5'" in refused


MUTE: dict[str, Any] = {
    "accepts and is mute": Silent(),
    "resets after the hello": Raw(b"", tls=False),
    "leads nowhere": Blackhole(),
}


@on_linux
@with_ipv6
@pytest.mark.parametrize("place", range(3))
@pytest.mark.parametrize("addresses", [("::1", *IPV4[:2]), IPV4[:3]], ids=["both", "IPv4"])
@pytest.mark.parametrize("mute", MUTE.values(), ids=MUTE)
async def test_a_mute_address_holds_up_nothing(
    mute: Any, addresses: Sequence[str], place: int
) -> None:
    """The next address is dialled beside it; the next time the mute ones are tried last."""
    house = House({ip: GOOD if at == place else mute for at, ip in enumerate(addresses)})
    try:
        async with asyncio.timeout(HANGS), dialler() as opened:
            assert await dialled(dialling(opened, house, addresses, 1.5)) == 200
            entered = Counter(house.entered)
            opened.connections.give_up_idle()
            await asyncio.sleep(0)
            assert await dialled(dialling(opened, house, addresses, 1.5)) == 200
        assert house.requests == [addresses[place]] * 2
        assert Counter(house.entered) - entered == {addresses[place]: 1}
    finally:
        await house.aclose()


@on_linux
async def test_nothing_is_dialled_beside_what_answers() -> None:
    """An address that takes its time, but less than its head start, has no rival."""
    doors = {IPV4[0]: Late(0.5), IPV4[1]: GOOD}
    status, house, _ = await dial(doors)
    assert (status, house.requests, house.entered) == (200, [IPV4[0]], [IPV4[0]])


@on_linux
async def test_only_one_is_sent_the_request() -> None:
    """Of addresses that answer at the same moment one is used, and the others are hung up on."""
    doors = dict.fromkeys(IPV4, Late(0.4))
    house = House(doors)
    try:
        async with asyncio.timeout(HANGS), dialler() as opened:
            for _ in range(5):
                assert await dialled(dialling(opened, house, IPV4, 1.0)) == 200
                opened.connections.give_up_idle()
                await asyncio.sleep(0.05)
                assert len(opened.connections) == 0
        assert len(house.requests) == 5
    finally:
        await house.aclose()


@on_linux
async def test_all_are_mute() -> None:
    """Each has its share of the time, and is told."""
    doors = {IPV4[0]: Silent(), IPV4[1]: Blackhole(), IPV4[2]: WRONG}
    status, house, way = await dial(doors, 0.6)
    assert status is None
    assert house.requests == []
    assert way.failures[IPV4[0]].reason == "no connection within 0.6 s: TCP connected, TLS did not"
    assert way.failures[IPV4[1]].reason == "no connection within 0.6 s"
    assert "wrong name: " in way.failures[IPV4[2]].reason


@on_linux
async def test_cancelled_while_racing() -> None:
    """Who is cancelled leaves no attempt and no socket behind."""
    house = House(dict.fromkeys(IPV4[:3], Silent()))
    try:
        async with dialler() as opened:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.3):
                    await dialled(dialling(opened, house, IPV4[:3], 0.4))
            await asyncio.sleep(0.05)
            assert len(opened.connections) == 0
    finally:
        await house.aclose()


@on_linux
async def test_a_kept_connection_that_is_gone() -> None:
    """When a kept connection turns out to be closed, the addresses are raced as if new."""
    house = House({IPV4[0]: GOOD, IPV4[1]: GOOD})
    try:
        async with asyncio.timeout(HANGS), dialler() as opened:
            assert await dialled(dialling(opened, house, IPV4[:2])) == 200
            await house.aclose()
            assert await dialled(dialling(opened, house, IPV4[:2])) is None
    finally:
        await house.aclose()


async def test_addresses_that_cannot_be_found() -> None:
    """What finding them raises comes out, of a literal and of a name alike."""

    async def found() -> list[tuple[str, int]]:
        raise AddressLookupError("SERVFAIL")

    async with dialler() as opened:
        for host in (NAME, "127.0.0.1", "::1"):
            way = Dialling(opened, host, 8448, found, connect_timeout=HANGS)
            with pytest.raises(AddressLookupError):
                await dialled(way)
            assert way.failures == {}


async def test_no_addresses() -> None:
    """Where there are none, nothing is dialled."""

    async def found() -> list[tuple[str, int]]:
        return []

    async with dialler() as opened:
        assert await dialled(Dialling(opened, NAME, 8448, found, connect_timeout=HANGS)) is None


@on_linux
async def test_what_cannot_be_repeated_has_one_attempt() -> None:
    """What can't be sent twice has one attempt, in which aiohttp races the addresses."""
    status, house, way = await dial({IPV4[0]: Refused(), IPV4[1]: GOOD}, can_repeat=False)
    assert (status, house.requests) == (200, [IPV4[1]])
    _, _, way = await dial(dict.fromkeys(IPV4, WRONG), can_repeat=False)
    assert way.failures


@on_linux
async def test_what_cannot_be_repeated_goes_elsewhere_the_next_time() -> None:
    """An address that was not dialled in a failed attempt is not held to have failed in it."""
    house = House({IPV4[0]: Silent(), IPV4[1]: GOOD})
    try:
        async with asyncio.timeout(HANGS), dialler() as opened:
            first, second = (dialling(opened, house, IPV4[:2], 0.3) for _ in range(2))
            assert await dialled(first, can_repeat=False) is None
            assert await dialled(second, can_repeat=False) == 200
    finally:
        await house.aclose()


@on_linux
async def test_the_connection_that_is_kept_is_the_one_that_is_noted() -> None:
    """When addresses race for TCP, the socket that was opened last may be a loser's."""
    house = House({IPV4[0]: Blackhole(0.5), IPV4[1]: Blackhole()})
    try:
        async with asyncio.timeout(HANGS), dialler() as opened:
            assert await dialled(dialling(opened, house, IPV4[:2]), can_repeat=False) == 200
            assert house.requests == [IPV4[0]]
            assert len(opened.connections._idle) == 1
            await house.aclose()
            await asyncio.sleep(0.05)
            assert len(opened.connections) == len(opened.connections._idle) == 0
    finally:
        await house.aclose()


# The fetcher dials the same way


async def fetch_from(
    federation: LoopbackFederation, doors: Mapping[str, Any]
) -> tuple[int | str, list[str]]:
    """Fetch the document of a name that redirects to a house; the status or why there is none."""
    house = House(doors)
    federation.add("first.example", well_known=Redirect(f"https://{NAME}:{house.port}/"))
    addresses = FakeAddresses({"first.example": ["127.0.0.1"], NAME: list(doors)})
    context = federation.client_ssl_context()
    context.load_verify_locations(cadata=CERTIFICATES.ca_pem.decode())
    try:
        async with (
            asyncio.timeout(HANGS),
            AiohttpWellKnownFetcher(
                addresses=addresses,
                address_policy=AddressPolicy.allow_all(),
                ssl_context=context,
                connect_to={("first.example", 443): federation.connect_to["first.example", 443]},
            ) as fetcher,
        ):
            return (await fetcher.fetch("first.example")).status, house.requests
    except WellKnownFetchError as error:
        return f"temporary: {error.temporary}, {error.reason}", house.requests
    finally:
        await house.aclose()


@on_linux
@pytest.mark.parametrize("place", range(3))
@pytest.mark.parametrize("bad", BAD)
async def test_fetcher_goes_on_after_a_failure(
    loopback_federation: LoopbackFederation, bad: str, place: int
) -> None:
    """A document is found at the one address that is good."""
    doors: dict[str, Any] = dict.fromkeys(IPV4[:3], BAD[bad])
    doors[IPV4[place]] = GOOD
    assert await fetch_from(loopback_federation, doors) == (200, [IPV4[place]])


@on_linux
async def test_fetcher_tells_every_reason(loopback_federation: LoopbackFederation) -> None:
    """With no good address the reasons are told together, each once."""
    doors = {IPV4[0]: WRONG, IPV4[1]: WRONG, IPV4[2]: BAD["no TLS"]}
    reason, requests = await fetch_from(loopback_federation, doors)
    assert requests == []
    assert str(reason).startswith(f"temporary: True, {NAME}: ")
    assert str(reason).count("wrong name: ") == 1
    assert "; " in str(reason)
