"""The way to one host, which the fetcher and the federation client share."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from itertools import permutations
from typing import Any

import aiohttp
import pytest
from houses import BAD, CERTIFICATES, GOOD, IPV4, NAME, WRONG, Blackhole, House, on_linux, with_ipv6
from worlds import HANGS

from matrix_resolve import AddressLookupError, AddressPolicy, AiohttpWellKnownFetcher
from matrix_resolve.errors import WellKnownFetchError
from matrix_resolve.testing import FakeAddresses, LoopbackFederation, Redirect
from matrix_resolve.transport.dialling import Dialling
from matrix_resolve.transport.session import open_session
from matrix_resolve.transport.sockets import Sockets

DOCUMENT = {"m.server": "matrix.example.org:443"}


@asynccontextmanager
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    """A session that trusts the houses' authority."""
    async with open_session(Sockets(), ssl_context=CERTIFICATES.client_context()) as opened:
        yield opened


def dialling(
    opened: aiohttp.ClientSession,
    house: House,
    addresses: Sequence[str],
    connect_timeout: float = HANGS,
) -> Dialling:
    """The way to a house by these addresses."""

    async def found() -> list[tuple[str, int]]:
        return [(address, house.port) for address in addresses]

    return Dialling(opened, NAME, house.port, found, connect_timeout=connect_timeout, connect_to={})


async def dial(
    doors: Mapping[str, Any], connect_timeout: float = HANGS, *, can_repeat: bool = True
) -> tuple[int | None, House, Dialling, list[float]]:
    """Send a request to a house: the status, where it was entered, what failed, and the goes.

    Of each go it is told how many seconds there were for connecting.
    """
    house = House(doors)
    goes = []

    def limits(connect: float) -> aiohttp.ClientTimeout:
        goes.append(connect)
        return aiohttp.ClientTimeout(total=None, connect=connect)

    try:
        async with asyncio.timeout(HANGS), session() as opened:
            way = dialling(opened, house, list(doors), connect_timeout)
            response = await way.request(
                "GET", "/", server_hostname=NAME, limits=limits, can_repeat=can_repeat
            )
            status = None if response is None else response.status
            if response is not None:
                response.release()
            return status, house, way, goes
    finally:
        await house.aclose()


@on_linux
@pytest.mark.parametrize("place", range(3))
@pytest.mark.parametrize("bad", BAD)
async def test_one_good_address_is_enough(bad: str, place: int) -> None:
    """First, in the middle or last: the good one is found, whatever is wrong with the others."""
    doors: dict[str, Any] = dict.fromkeys(IPV4[:3], BAD[bad])
    doors[IPV4[place]] = GOOD
    status, house, *_ = await dial(doors)
    assert status == 200
    assert house.requests == [IPV4[place]]


@on_linux
@with_ipv6
@pytest.mark.parametrize("order", list(permutations(["::1", "127.0.0.2", "127.0.0.3"])))
async def test_one_good_address_of_either_family(order: Sequence[str]) -> None:
    """After a TLS failure nothing is left out, in whatever order the families come."""
    doors = {address: GOOD if address == "127.0.0.2" else WRONG for address in order}
    status, house, *_ = await dial(doors)
    assert status == 200
    assert house.requests == ["127.0.0.2"]


@on_linux
async def test_each_failure_is_told_of_its_own_address() -> None:
    """With no good address each has its own reason."""
    kinds = ["wrong certificate", "closes", "no TLS", "refuses"]
    status, house, way, _ = await dial({ip: BAD[k] for ip, k in zip(IPV4, kinds, strict=True)})
    assert status is None
    assert house.requests == []
    certificate, closed, plain, refused = (way.failures[ip] for ip in IPV4)
    assert "Hostname mismatch" in certificate
    assert "Reset" in closed
    assert "SSL" in plain
    assert "Connect call failed ('127.0.0.5'" in refused


GOES = [
    pytest.param(["wrong certificate"], 1, id="there is only one"),
    pytest.param(["refuses"], 1, id="it refuses"),
    pytest.param(["wrong certificate", "refuses", "closes"], 4, id="raced, then one by one"),
]


@on_linux
@pytest.mark.parametrize(("kinds", "count"), GOES)
async def test_each_is_dialled_by_itself_once(kinds: Sequence[str], count: int) -> None:
    """After the race those are dialled by themselves that had company in it."""
    doors = {ip: BAD[kind] for ip, kind in zip(IPV4, kinds, strict=False)}
    status, _, way, goes = await dial(doors)
    assert status is None
    assert list(way.failures) == list(doors)
    assert len(goes) == count


async def test_no_time_left_to_connect() -> None:
    """When finding the addresses took all the time, that is the reason."""

    async def found() -> list[tuple[str, int]]:
        await asyncio.sleep(0.02)
        return [("127.0.0.1", 1)]

    async with session() as opened:
        way = Dialling(opened, "127.0.0.1", 1, found, connect_timeout=0.01, connect_to={})
        assert await way.request("GET", "/", limits=lambda _: aiohttp.ClientTimeout()) is None
        assert way.failures == {None: "no connection within 0.01 s"}


async def test_addresses_that_cannot_be_found() -> None:
    """What finding them raises comes out, of a literal and of a name alike."""

    async def found() -> list[tuple[str, int]]:
        raise AddressLookupError("SERVFAIL")

    async with session() as opened:
        for host in (NAME, "127.0.0.1", "::1"):
            way = Dialling(opened, host, 8448, found, connect_timeout=HANGS, connect_to={})
            with pytest.raises(AddressLookupError):
                await way.request("GET", "/", limits=lambda _: aiohttp.ClientTimeout())
            assert way.failures == {}


@on_linux
async def test_what_cannot_be_repeated_has_one_go() -> None:
    """What can't be sent twice is attempted once, though other addresses are left."""
    *_, way, goes = await dial(dict.fromkeys(IPV4, WRONG), can_repeat=False)
    assert len(goes) == 1
    assert way.failures


@on_linux
async def test_no_go_without_time() -> None:
    """When the race has used up the time, no address is dialled any more."""
    *_, way, goes = await dial(dict.fromkeys(IPV4[:2], Blackhole()), 0.3)
    assert len(goes) == 1
    assert set(way.failures.values()) == {"no connection within 0.3 s"}


@on_linux
async def test_what_is_left_of_the_time_is_shared() -> None:
    """The race may use all the time; those dialled after it share what it has left."""
    *_, goes = await dial({IPV4[0]: Blackhole(), IPV4[1]: WRONG}, 2.5)
    race, first, second = goes
    # The second address is dialled a quarter of a second after the first, and ends the race.
    left = 2.5 - 0.2
    assert race <= 2.5
    assert first <= left / 2
    assert second <= left - first * 0.9  # the first address, which is silent, has used its share


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
    assert str(reason).count("Hostname mismatch") == 1
    assert "; " in str(reason)
