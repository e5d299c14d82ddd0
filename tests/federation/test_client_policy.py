"""A federation client dials what the address policy allows, whatever leads it elsewhere."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from ipaddress import ip_address
from typing import Any

import pytest
from houses import CERTIFICATES, GOOD, NAME, House, on_linux
from worlds import DAY, World

from matrix_resolve import (
    AddressNotAllowedError,
    AddressPolicy,
    ConnectError,
    FederationClient,
    open_federation_client,
)
from matrix_resolve.testing import LoopbackFederation

HANGS = 20.0
INSIDE = "inside.example"
# A host out on the Internet, as far as the policy can tell.
PUBLIC = ["192.0.33.8"]

FORBIDDEN = [
    "127.0.0.1",
    "::1",
    "10.0.0.1",
    "169.254.169.254",
    "::ffff:127.0.0.1",
    "64:ff9b::7f00:1",
    "2002:7f00:1::",
]


# How a name leads inside: the literal of the address there -> the name, and hosts to declare.
WAYS: dict[str, Callable[[str], tuple[str, dict[str, dict[str, Any]]]]] = {
    "a literal": lambda literal: (literal, {}),
    "a literal with a port": lambda literal: (f"{literal}:8450", {}),
    "a name": lambda _: (INSIDE, {}),
    "a name with a port": lambda _: (f"{INSIDE}:8450", {}),
    "delegated to a literal": lambda literal: (NAME, {NAME: {"delegates_to": literal}}),
    "delegated to a literal with a port": lambda literal: (
        NAME,
        {NAME: {"delegates_to": f"{literal}:8450"}},
    ),
    "delegated to a name": lambda _: (NAME, {NAME: {"delegates_to": INSIDE}}),
    "delegated to a name with a port": lambda _: (NAME, {NAME: {"delegates_to": f"{INSIDE}:8450"}}),
    "an SRV target": lambda _: (NAME, {NAME: {"srv": [(INSIDE, 8450)]}}),
    "a deprecated SRV target": lambda _: (NAME, {NAME: {"legacy_srv": [(INSIDE, 8450)]}}),
    "an SRV target that is an alias": lambda _: (
        NAME,
        {NAME: {"srv": [("alias.example", 8450)]}, "alias.example": {"alias_of": INSIDE}},
    ),
    "an SRV target of a delegated name": lambda _: (
        NAME,
        {NAME: {"delegates_to": "hs.example"}, "hs.example": {"srv": [(INSIDE, 8450)]}},
    ),
}


@asynccontextmanager
async def client_of(
    federation: LoopbackFederation, policy: AddressPolicy, **settings: Any
) -> AsyncIterator[FederationClient]:
    """Open a client of the federation that obeys `policy`."""
    async with (
        asyncio.timeout(HANGS),
        federation.resolver(address_policy=policy) as resolver,
        federation.client(resolver, **settings) as client,
    ):
        yield client


async def asked(client: FederationClient, name: str) -> int:
    """Send a request to `name`, and return the status."""
    async with client.request("GET", name, "/x") as response:
        return response.status


@pytest.mark.parametrize("ip", FORBIDDEN)
@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
async def test_forbidden(loopback_federation: LoopbackFederation, way: Any, ip: str) -> None:
    """By no way is a forbidden address connected to; with a policy that allows it, it is."""
    name, hosts = way(f"[{ip}]" if ":" in ip else ip)
    for host, declared in hosts.items():
        loopback_federation.add(host, **{"addresses": PUBLIC, **declared})
    loopback_federation.add(INSIDE, addresses=[ip])
    async with client_of(loopback_federation, AddressPolicy()) as client:
        for _ in range(2):
            with pytest.raises(AddressNotAllowedError, match="forbids every address") as caught:
                await asked(client, name)
            assert caught.value.addresses == (ip_address(ip),)
    assert set(loopback_federation.connections) <= {(NAME, 443)}
    loopback_federation.reset_counts()
    async with client_of(loopback_federation, AddressPolicy.allow_all()) as client:
        assert await asked(client, name) == 200
    reached = loopback_federation.requests[-1].target[0]
    assert reached in (INSIDE, "alias.example", str(ip_address(ip)))


@pytest.mark.parametrize("name", ["127.0.0.1", "[::1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]"])
async def test_a_forbidden_literal_that_is_not_mapped(
    loopback_federation: LoopbackFederation, name: str
) -> None:
    """A literal that aiohttp would dial by itself is refused before that."""
    served = "::1" if name == "[::1]" else "127.0.0.1"
    _, port = loopback_federation.connect_to[served, 8448]
    async with client_of(loopback_federation, AddressPolicy(), connect_to={}) as client:
        with pytest.raises(AddressNotAllowedError):
            await asked(client, f"{name}:{port}")
    assert not loopback_federation.connections


async def test_a_redirect_of_the_well_known(loopback_federation: LoopbackFederation) -> None:
    """A well-known document that redirects inside is left, and the name itself is asked."""
    loopback_federation.add(NAME, addresses=PUBLIC, redirects_to=f"https://{INSIDE}/")
    loopback_federation.add(INSIDE, addresses=["127.0.0.1"], serves={"m.server": "evil.example"})
    async with client_of(loopback_federation, AddressPolicy()) as client:
        assert await asked(client, NAME) == 200
    assert set(loopback_federation.connections) == {(NAME, 443), (NAME, 8448)}


async def test_a_target_that_is_allowed(loopback_federation: LoopbackFederation) -> None:
    """A forbidden target is passed over for one that is allowed, and told of if that is dead."""
    targets = [(INSIDE, 8450), ("outside.example", 8451)]
    loopback_federation.add(NAME, addresses=PUBLIC, srv=targets)
    loopback_federation.add(INSIDE, addresses=["10.0.0.1", "::1"])
    loopback_federation.add("outside.example", addresses=PUBLIC)
    async with client_of(loopback_federation, AddressPolicy()) as client:
        assert await asked(client, NAME) == 200
    assert loopback_federation.requests[-1].target == ("outside.example", 8451)
    loopback_federation.add("outside.example", addresses=PUBLIC, ports=[])
    async with client_of(loopback_federation, AddressPolicy()) as client:
        with pytest.raises(ConnectError) as caught:
            await asked(client, NAME)
    told = {str(attempt.address): attempt.reason for attempt in caught.value.attempts}
    assert told["10.0.0.1"] == told["::1"] == "the address policy forbids it"
    assert set(told) == {"10.0.0.1", "::1", "127.0.0.1"}  # the last is where it is mapped to
    assert (INSIDE, 8450) not in loopback_federation.connections


async def test_all_targets_forbidden(loopback_federation: LoopbackFederation) -> None:
    """When the policy forbids every address of every target, the error lists them all."""
    loopback_federation.add(NAME, addresses=PUBLIC, srv=[(INSIDE, 1), ("other.example", 2)])
    loopback_federation.add(INSIDE, addresses=["10.0.0.1"])
    loopback_federation.add("other.example", addresses=["::1", "127.0.0.1"])
    async with client_of(loopback_federation, AddressPolicy()) as client:
        with pytest.raises(AddressNotAllowedError) as caught:
            await asked(client, NAME)
    assert [str(ip) for ip in caught.value.addresses] == ["10.0.0.1", "::1", "127.0.0.1"]


# What is really dialled

ONLY = AddressPolicy(allow=["127.0.0.2/32"])  # of this machine


@asynccontextmanager
async def house(world: World) -> AsyncIterator[tuple[FederationClient, House]]:
    """Open a host at two addresses, and a client that may only dial the first of them."""
    opened = House({"127.0.0.2": GOOD, "127.0.0.3": GOOD})
    try:
        async with (
            asyncio.timeout(HANGS),
            world.resolver(address_policy=ONLY) as resolver,
            open_federation_client(resolver, ssl_context=CERTIFICATES.client_context()) as client,
        ):
            yield client, opened
    finally:
        await opened.aclose()


@on_linux
async def test_mixed_answers() -> None:
    """Of several addresses the forbidden ones are left out, wherever they stand."""
    for answer in (
        ["127.0.0.3", "127.0.0.2", "::1"],
        ["127.0.0.2", "10.0.0.1", "127.0.0.3"],
        [f"10.0.0.{n}" for n in range(200)] + ["127.0.0.3", "127.0.0.2"],
    ):
        world = World()
        world.addresses.answers[NAME] = answer
        async with house(world) as (client, opened):
            assert await asked(client, f"{NAME}:{opened.port}") == 200
            assert opened.connections == {"127.0.0.2"}


@on_linux
async def test_rebinding() -> None:
    """What was checked is what is dialled: an answer that changes in between changes nothing."""
    world = World()
    answers = [["127.0.0.2"], ["127.0.0.3"], ["127.0.0.3", "127.0.0.2"]]
    world.addresses.answers[NAME] = lambda _: answers[min(len(world.addresses.asked), 3) - 1]
    async with house(world) as (client, opened):
        name = f"{NAME}:{opened.port}"
        async with client.request("GET", name, "/x", headers={"Connection": "close"}) as response:
            assert response.status == 200
        assert world.addresses.asked == [NAME]
        world.clock.advance(DAY)
        with pytest.raises(AddressNotAllowedError):
            await asked(client, name)
        assert world.addresses.asked == [NAME, NAME]
        world.clock.advance(DAY)
        assert await asked(client, name) == 200
        assert opened.connections == {"127.0.0.2"}
        assert opened.requests == ["127.0.0.2"] * 2


@on_linux
async def test_requests_at_once_do_not_share_addresses() -> None:
    """Each of two requests for one name at the same time dials what was looked up for it."""
    names = ["one.example", "two.example"]
    world = World()
    world.addresses.answers |= {"one.example": ["127.0.0.2"], "two.example": ["127.0.0.3"]}
    world.addresses.delay = 0.01
    async with house(world) as (client, opened):
        ended = await asyncio.gather(
            *(asked(client, f"{name}:{opened.port}") for name in names * 10),
            return_exceptions=True,
        )
        # Neither has a certificate for these names; it is only asked who was connected to.
        assert [type(end) for end in ended] == [ConnectError, AddressNotAllowedError] * 10
        assert opened.connections == {"127.0.0.2"}
