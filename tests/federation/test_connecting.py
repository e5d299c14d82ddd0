"""Which address and which target a federation client ends up at, and what it does on the way."""

import asyncio
import math
import random
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from itertools import product
from typing import Any

import aiohttp
import pytest
from houses import (
    BAD,
    CERTIFICATES,
    GOOD,
    IPV4,
    IPV6,
    NAME,
    WRONG,
    Blackhole,
    House,
    Late,
    on_linux,
    with_ipv6,
)
from worlds import FED, World

from matrix_resolve import (
    AddressLookupError,
    AddressPolicy,
    ConnectError,
    FederationClient,
    MatrixResolveError,
    Policy,
    Resolution,
    SrvRecord,
    open_federation_client,
)
from matrix_resolve.testing import (
    Certificate,
    DnsFault,
    Dripping,
    LoopbackFederation,
    Raw,
    Refused,
    Reply,
    Silent,
    Slow,
)

# Nothing here takes longer than this (seconds), however busy the machine is.
HANGS = 20.0


@asynccontextmanager
async def house(doors: Mapping[str, Any], **settings: Any) -> AsyncIterator[tuple[Any, House]]:
    """Open a house and a client that finds its addresses in the order of `doors`."""
    opened = House(doors)
    world = World()
    world.addresses.answers[NAME] = list(doors)
    try:
        async with (
            asyncio.timeout(HANGS),
            world.resolver(address_policy=AddressPolicy.allow_all()) as resolver,
            open_federation_client(
                resolver, ssl_context=CERTIFICATES.client_context(), **settings
            ) as client,
        ):
            yield client, opened
    finally:
        await opened.aclose()


async def entered(doors: Mapping[str, Any], **settings: Any) -> str:
    """Return the address that a request is answered at; no other may have seen one."""
    async with house(doors, **settings) as (client, opened):
        async with client.request("GET", f"{NAME}:{opened.port}", "/") as response:
            assert response.status == 200
        (address,) = opened.requests
        return address


MIXES = [(v6, v4) for v6, v4 in product(range(5), repeat=2) if 2 <= v6 + v4 <= 4]


@on_linux
@with_ipv6
@pytest.mark.parametrize("bad", BAD.values(), ids=BAD)
@pytest.mark.parametrize(("ipv6", "ipv4"), MIXES, ids=[f"{six}+{four}" for six, four in MIXES])
async def test_one_good_address(ipv6: int, ipv4: int, bad: Any) -> None:
    """Wherever the one good address is among bad ones of both families, it is used."""
    addresses = (*IPV6[:ipv6], *IPV4[:ipv4])
    for good in addresses:
        doors = {address: GOOD if address == good else bad for address in addresses}
        assert await entered(doors) == good


@on_linux
@with_ipv6
@pytest.mark.parametrize("good", range(4))
async def test_one_good_address_among_any_others(good: int) -> None:
    """However the others are bad, each in its own way, the good one is used."""
    addresses = (IPV6[0], IPV4[0], IPV6[1], IPV4[1])
    others = [address for address in addresses if address != addresses[good]]
    for bad in product(BAD.values(), repeat=3):
        if len(set(map(str, bad))) > 1:
            doors = {addresses[good]: GOOD, **dict(zip(others, bad, strict=True))}
            assert await entered({at: doors[at] for at in addresses}) == addresses[good]


SLOW = {
    "an AAAA that leads nowhere": ({"::1": Blackhole(), "127.0.0.2": GOOD}, "127.0.0.2"),
    "nowhere, and wrong": (
        {"::1": Blackhole(), "127.0.0.2": WRONG, "127.0.0.3": GOOD},
        "127.0.0.3",
    ),
    "wrong, then one that leads nowhere beside the good one": (
        {"::1": WRONG, "127.0.0.2": Blackhole(), "::ffff:127.0.0.6": WRONG, "127.0.0.3": GOOD},
        "127.0.0.3",
    ),
    "the good one is left alone when a wrong one wins": (
        {"::1": Blackhole(0.1, WRONG), "127.0.0.2": Blackhole(0.5)},
        "127.0.0.2",
    ),
    "late with TLS, but the first": ({"::1": Late(0.5), "127.0.0.2": GOOD}, "::1"),
}


@on_linux
@with_ipv6
@pytest.mark.parametrize(("doors", "good"), SLOW.values(), ids=SLOW)
async def test_slow_addresses(doors: dict[str, Any], good: str) -> None:
    """An address that does not answer is overtaken, and what it holds up is not forgotten."""
    assert await entered(doors, connect_timeout=2.5) == good


@on_linux
async def test_addresses_take_turns_after_a_cut_off() -> None:
    """Those dialled again by themselves share what is left of the target's time."""
    doors = {"127.0.0.2": Blackhole(), "127.0.0.3": WRONG, "127.0.0.4": Refused()}
    async with house(doors, connect_timeout=0.6) as (client, opened):
        with pytest.raises(ConnectError) as caught:
            async with client.request("GET", f"{NAME}:{opened.port}", "/"):
                pass
    reasons = {str(attempt.address): attempt.reason for attempt in caught.value.attempts}
    assert reasons["127.0.0.2"] == "no connection within 0.6 s"
    assert "certificate" in reasons["127.0.0.3"]


@on_linux
@with_ipv6
async def test_every_address_is_told_with_its_reason() -> None:
    """The error lists each address that was tried, and in words what was wrong."""
    doors = {"::1": WRONG, "127.0.0.2": BAD["closes"], "127.0.0.3": BAD["no TLS"]}
    async with house(doors) as (client, opened):
        with pytest.raises(ConnectError) as caught:
            async with client.request("GET", f"{NAME}:{opened.port}", "/"):
                pass
        port = opened.port
        assert opened.requests == []
        assert opened.connections == set(doors)
    assert isinstance(caught.value, MatrixResolveError)
    told = {str(attempt.address): attempt for attempt in caught.value.attempts}
    assert set(told) == set(doors)
    assert {str(attempt.target) for attempt in told.values()} == {f"{NAME}:{port}"}
    assert "wrong name: " in told["::1"].reason
    assert told["127.0.0.2"].reason == "ConnectionResetError"
    assert told["127.0.0.3"].reason == "no TLS is spoken there"
    for address, attempt in told.items():
        assert f"{NAME}:{port} at {address}: {attempt.reason}" in str(caught.value)


@on_linux
async def test_each_address_is_told_once() -> None:
    """When all refuse, the error has each address once."""
    doors = dict.fromkeys(IPV4, Refused())
    async with house(doors) as (client, opened):
        with pytest.raises(ConnectError) as caught:
            async with client.request("GET", f"{NAME}:{opened.port}", "/"):
                pass
    told = [(str(attempt.address), attempt.reason) for attempt in caught.value.attempts]
    assert [ip for ip, _ in told] == list(IPV4)
    assert all(ip in reason for ip, reason in told)


# Targets


@asynccontextmanager
async def client_of(
    federation: LoopbackFederation, policy: Policy | None = None, **settings: Any
) -> AsyncIterator[FederationClient]:
    """Open a client of the federation with a seeded resolver of its own."""
    async with (
        asyncio.timeout(HANGS),
        federation.resolver(policy=policy, rng=random.Random(3)) as resolver,
        federation.client(resolver, **settings) as client,
    ):
        yield client


async def target_of(client: FederationClient, name: str = NAME) -> str:
    """Return the host of the target that answers a request."""
    async with client.request("GET", name, "/version") as response:
        host: str = (await response.json())["target"][0]
        return host


def reached(federation: LoopbackFederation) -> list[str]:
    """Return the hosts of the targets that saw a request, without well-known ones."""
    return [request.target[0] for request in federation.requests if request.path == "/version"]


FIRST, SECOND = "first.example.net", "second.example.net"
SRV = [(FIRST, 8450), (SECOND, 8451)]

DEAD: dict[str, dict[str, Any]] = {
    "refuses": {"ports": []},
    "no addresses": {"addresses": []},
    "DNS fails": {"dns": DnsFault.SERVFAIL},
    "no TLS": {"serves": Raw(tls=False)},
    "closes": {"serves": Raw(b"", tls=False)},
    "silent": {"serves": Silent()},
}


@pytest.mark.parametrize("dead", DEAD.values(), ids=DEAD)
async def test_next_target(loopback_federation: LoopbackFederation, dead: dict[str, Any]) -> None:
    """When the first SRV target can't be reached the second is used, with the same `Host`."""
    loopback_federation.add(NAME, srv=SRV)
    loopback_federation.add(FIRST, **dead)
    async with client_of(loopback_federation, connect_timeout=0.3) as client:
        assert await target_of(client) == SECOND
    assert reached(loopback_federation) == [SECOND]
    request = loopback_federation.requests[-1]
    assert (request.target, request.host, request.sni) == ((SECOND, 8451), NAME, NAME)


@on_linux
async def test_targets_strictly_one_after_another() -> None:
    """A first target that takes half a second to connect is still the one that is used."""
    slow, quick = House({"127.0.0.2": Late(0.5)}), House({"127.0.0.3": GOOD})
    world = World()
    records = [SrvRecord(1, 0, slow.port, FIRST), SrvRecord(2, 0, quick.port, SECOND)]
    world.srv.answers[FED + NAME] = records
    world.addresses.answers |= {FIRST: ["127.0.0.2"], SECOND: ["127.0.0.3"]}
    async with (
        asyncio.timeout(HANGS),
        world.resolver(address_policy=AddressPolicy.allow_all()) as resolver,
        open_federation_client(resolver, ssl_context=CERTIFICATES.client_context()) as client,
        client.request("GET", NAME, "/") as response,
    ):
        assert response.url.host == FIRST
    await slow.aclose()
    await quick.aclose()
    assert (slow.requests, quick.connections) == (["127.0.0.2"], set())


async def test_a_response_is_the_end(loopback_federation: LoopbackFederation) -> None:
    """Whatever status the first target answers with, no other is asked."""
    loopback_federation.add(NAME, srv=SRV)
    loopback_federation.add(FIRST, serves=Reply(502))
    async with (
        client_of(loopback_federation) as client,
        client.request("GET", NAME, "/version") as response,
    ):
        assert response.status == 502
    assert reached(loopback_federation) == [FIRST]


async def test_failed_lately_is_tried_last(loopback_federation: LoopbackFederation) -> None:
    """A target that failed comes after the others."""
    loopback_federation.add(NAME, srv=SRV)
    loopback_federation.add(FIRST, serves=Raw(tls=False))
    async with client_of(loopback_federation) as client:
        assert await target_of(client) == SECOND
        assert await target_of(client) == SECOND
        assert loopback_federation.connections[FIRST, 8450] == 1


async def test_failed_lately_is_still_tried(loopback_federation: LoopbackFederation) -> None:
    """What failed lately is used when nothing else is left, and is then as good as any."""
    loopback_federation.add(NAME, srv=SRV)
    loopback_federation.add(FIRST, ports=[])
    async with client_of(loopback_federation) as client:
        assert await target_of(client) == SECOND
        loopback_federation.add(FIRST)
        loopback_federation.add(SECOND, ports=[])
        # The pooled connection to the second target is closed when the server is asked to.
        async with client.request("GET", NAME, "/x", headers={"Connection": "close"}) as response:
            assert response.status == 200
        assert await target_of(client) == FIRST
        loopback_federation.add(SECOND)
        assert await target_of(client) == FIRST


async def test_a_failure_is_one_of_a_certificate_name(
    loopback_federation: LoopbackFederation,
) -> None:
    """A target that has no certificate for one name is still the first choice for another."""
    loopback_federation.add(NAME, srv=SRV)
    loopback_federation.add("other.example", srv=SRV)
    loopback_federation.add(FIRST)
    # The handshake with this name fails, at this target only: both targets know the name.
    async with client_of(loopback_federation) as client:
        loopback_federation.add(FIRST, certificate=Certificate.EXPIRED)
        assert await target_of(client) == SECOND
        loopback_federation.add(FIRST)
        assert await target_of(client, "other.example") == FIRST
        assert await target_of(client) == SECOND


async def test_weights_hold_on_average(loopback_federation: LoopbackFederation) -> None:
    """Of two targets of one priority each gets its share of the requests."""
    records = [SrvRecord(1, 30, 8450, FIRST), SrvRecord(1, 10, 8451, SECOND)]
    loopback_federation.add(NAME, srv=records)
    async with client_of(loopback_federation) as client:
        hosts = Counter([await target_of(client) for _ in range(400)])
    assert 260 < hosts[FIRST] < 340  # 300 of 400; the seed makes it the same each time
    assert hosts.total() == 400


async def test_short_requests_come_to_the_other_target(
    loopback_federation: LoopbackFederation,
) -> None:
    """When the first target uses up all the time of a request, the next request begins elsewhere.

    Or else a time-out below `connect_timeout` would never let another target have a go.
    """
    loopback_federation.add(NAME, srv=SRV)
    loopback_federation.add(FIRST, serves=Silent())
    async with client_of(loopback_federation, timeout=0.2, connect_timeout=5) as client:
        with pytest.raises(TimeoutError):
            await target_of(client)
        assert await target_of(client) == SECOND


# When every target has failed


async def test_moved_meanwhile(loopback_federation: LoopbackFederation) -> None:
    """A server that has moved since it was last resolved is found by the second round."""
    add = loopback_federation.add
    add(NAME, delegates_to="old.example:8450")
    async with client_of(loopback_federation) as client:
        assert await target_of(client) == "old.example"
        add("old.example", ports=[])
        async with client.request("GET", NAME, "/x", headers={"Connection": "close"}) as response:
            await response.read()
        add(NAME, delegates_to="new.example:8451")
        assert await target_of(client) == "new.example"
    fetches = loopback_federation.request_counts[NAME, "/.well-known/matrix/server"]
    assert fetches == 2
    assert loopback_federation.requests[-1].host == "new.example:8451"


@on_linux
async def test_readdressed_meanwhile() -> None:
    """New addresses of the same target are found by the second round too."""
    opened = House({"127.0.0.2": Refused(), "127.0.0.3": GOOD})
    world = World()
    world.addresses.answers[NAME] = ["127.0.0.2"]
    async with (
        asyncio.timeout(HANGS),
        world.resolver(address_policy=AddressPolicy.allow_all()) as resolver,
        open_federation_client(resolver, ssl_context=CERTIFICATES.client_context()) as client,
    ):
        await resolver.endpoints(await resolver.resolve(f"{NAME}:{opened.port}"))
        world.addresses.answers[NAME] = ["127.0.0.3"]
        async with client.request("GET", f"{NAME}:{opened.port}", "/") as response:
            assert response.status == 200
    await opened.aclose()
    assert world.addresses.asked == [NAME, NAME]


async def test_nothing_has_changed(
    loopback_federation: LoopbackFederation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every target fails: that is reported once, and told if it leads nowhere else then."""
    loopback_federation.add(NAME, srv=SRV, ports=[443])
    loopback_federation.add(FIRST, serves=Raw(b"", tls=False))
    loopback_federation.add(SECOND, ports=[])
    reported: list[Resolution] = []
    async with (
        asyncio.timeout(HANGS),
        loopback_federation.resolver() as resolver,
        loopback_federation.client(resolver) as client,
    ):
        report, resolve = resolver.report_unreachable, resolver.resolve
        resolved = []

        async def reporting(resolution: Resolution) -> None:
            reported.append(resolution)
            await report(resolution)

        async def resolving(name: str) -> Resolution:
            resolved.append(name)
            return await resolve(name)

        monkeypatch.setattr(resolver, "report_unreachable", reporting)
        monkeypatch.setattr(resolver, "resolve", resolving)
        with pytest.raises(ConnectError) as caught:
            await target_of(client)
    assert [str(resolution.server_name) for resolution in reported] == [NAME]
    assert resolved == [NAME, NAME]
    assert loopback_federation.connections[FIRST, 8450] == 1
    told = [(str(a.target), str(a.address)) for a in caught.value.attempts]
    once = [(f"{FIRST}:8450", "127.0.0.1"), (f"{SECOND}:8451", "127.0.0.1")]
    assert told == once
    assert str(caught.value).startswith(f"{NAME} can't be reached: {FIRST}:8450 at 127.0.0.1: ")
    assert str(caught.value).count(FIRST) == 1
    assert reached(loopback_federation) == []


async def test_reports_do_not_make_a_storm(loopback_federation: LoopbackFederation) -> None:
    """However often a dead server is tried, its well-known is asked for again only once."""
    loopback_federation.add(NAME, delegates_to="dead.example:8450")
    loopback_federation.add("dead.example", ports=[])
    async with client_of(loopback_federation) as client:
        for _ in range(10):
            with pytest.raises(ConnectError):
                await target_of(client)
    assert loopback_federation.request_counts[NAME, "/.well-known/matrix/server"] == 2


@pytest.mark.parametrize(
    ("declared", "reason"),
    [
        pytest.param({"addresses": []}, "no addresses exist", id="none"),
        pytest.param({"dns": DnsFault.SERVFAIL}, NAME, id="SERVFAIL"),
    ],
)
async def test_no_addresses(
    loopback_federation: LoopbackFederation, declared: dict[str, Any], reason: str
) -> None:
    """A target whose addresses can't be found is told without an address."""
    loopback_federation.add(NAME, **declared)
    async with client_of(loopback_federation) as client:
        with pytest.raises(ConnectError, match=f"{NAME}:8450: .*{reason}") as caught:
            await target_of(client, f"{NAME}:8450")
    assert {attempt.address for attempt in caught.value.attempts} == {None}
    assert not isinstance(caught.value, AddressLookupError)
    assert not loopback_federation.connections


# Time

# The resolver's own limits are so long here (seconds) that a request ends by its own or hangs.
PATIENT = Policy(well_known_timeout=1000.0, well_known_connect_timeout=1000.0, dns_timeout=1000.0)


async def test_timeout_bounds_a_response(loopback_federation: LoopbackFederation) -> None:
    """A server that takes too long to answer, or for the body, ends in a time-out."""
    for behaviour in (Slow(math.inf), Dripping(b"x" * 1000, 0.1)):
        loopback_federation.add(NAME, serves=behaviour)
        async with client_of(loopback_federation, timeout=0.2) as client:
            with pytest.raises(TimeoutError):
                async with client.request("GET", f"{NAME}:8450", "/") as response:
                    await response.read()


STALLS: dict[str, Any] = {
    "the well-known": {"well_known": Silent()},
    "DNS": {"dns": DnsFault.SILENT},
}


@pytest.mark.parametrize("stalls", STALLS.values(), ids=STALLS)
@pytest.mark.parametrize(
    "given", [0.2, aiohttp.ClientTimeout(total=0.2)], ids=["seconds", "ClientTimeout"]
)
async def test_timeout_bounds_resolving(
    loopback_federation: LoopbackFederation, stalls: dict[str, Any], given: Any
) -> None:
    """The time of a request begins before the server is found."""
    loopback_federation.add(NAME, **stalls)
    async with client_of(loopback_federation, policy=PATIENT) as client:
        with pytest.raises(TimeoutError):
            async with client.request("GET", NAME, "/", timeout=given):
                pass
    assert loopback_federation.connections[NAME, 8448] == 0


async def test_timeout_bounds_waiting_for_a_turn(loopback_federation: LoopbackFederation) -> None:
    """A request that finds all connections in use ends in a time-out, and its turn is not lost."""
    loopback_federation.add(NAME)
    async with client_of(loopback_federation, max_connections=1) as client:
        async with client.request("GET", f"{NAME}:8450", "/"):
            with pytest.raises(TimeoutError):
                async with client.request("GET", f"{NAME}:8450", "/", timeout=0.1):
                    pass
        assert await target_of(client, f"{NAME}:8450") == NAME


async def test_timeout_bounds_all_targets(loopback_federation: LoopbackFederation) -> None:
    """However many targets stay silent, the request ends when its own time does."""
    loopback_federation.add(NAME, srv=[(f"t{n}.example", 8450) for n in range(16)])
    for n in range(16):
        loopback_federation.add(f"t{n}.example", serves=Silent())
    async with client_of(loopback_federation, timeout=1.0, connect_timeout=0.15) as client:
        with pytest.raises(TimeoutError):  # a `ConnectError` if all had had their time
            await target_of(client)
    connected = {host for host, port in loopback_federation.connections if port == 8450}
    assert 2 <= len(connected) < 16


async def test_timeout_of_one_request(loopback_federation: LoopbackFederation) -> None:
    """A request may have a time-out of its own, in place of the client's."""
    loopback_federation.add(NAME, serves=Slow(0.15, {"target": [NAME]}))
    async with client_of(loopback_federation, timeout=0.05) as client:
        for given in (None, 0, 10, aiohttp.ClientTimeout(), aiohttp.ClientTimeout(total=10)):
            async with client.request("GET", f"{NAME}:8450", "/", timeout=given) as response:
                assert response.status == 200
        for given in (
            0.05,
            aiohttp.ClientTimeout(total=0.05),
            aiohttp.ClientTimeout(sock_read=0.05),
        ):
            with pytest.raises(TimeoutError):
                async with client.request("GET", f"{NAME}:8450", "/", timeout=given):
                    pass
        with pytest.raises(TimeoutError):
            await target_of(client, f"{NAME}:8450")


async def test_connect_timeout_of_one_request(loopback_federation: LoopbackFederation) -> None:
    """`connect` of a `ClientTimeout` may shorten the time for each target, not prolong it."""
    loopback_federation.add(NAME, serves=Silent())
    for mine, given in ((1000, 0.1), (0.1, 1000)):
        timeout = aiohttp.ClientTimeout(connect=given)
        async with client_of(loopback_federation, connect_timeout=mine) as client:
            with pytest.raises(ConnectError, match=r"no connection within 0\.1 s"):
                async with client.request("GET", f"{NAME}:8450", "/", timeout=timeout):
                    pass


async def test_connect_timeout_includes_the_address_lookup(
    loopback_federation: LoopbackFederation,
) -> None:
    """A target whose name servers are silent is left for the next one."""
    loopback_federation.add(NAME, srv=SRV)
    loopback_federation.add(FIRST, dns=DnsFault.SILENT)
    async with client_of(loopback_federation, policy=PATIENT, connect_timeout=0.2) as client:
        assert await target_of(client) == SECOND


# Certificates


BAD_CERTIFICATES = [kind for kind in Certificate if kind.is_refused]


@pytest.mark.parametrize("certificate", BAD_CERTIFICATES)
@pytest.mark.parametrize("name", [f"{NAME}:8450", NAME, "127.0.0.1", "[::1]:8450"])
async def test_bad_certificates(
    loopback_federation: LoopbackFederation, certificate: Certificate, name: str
) -> None:
    """A server without a good certificate for the name sees no request."""
    host = {"127.0.0.1": "127.0.0.1", "[::1]:8450": "::1"}.get(name, NAME)
    loopback_federation.add(host, certificate=certificate)
    async with client_of(loopback_federation) as client:
        with pytest.raises(ConnectError, match="certificate"):
            await target_of(client, name)
    assert loopback_federation.requests == []
    assert loopback_federation.connections[host, 8448 if name in (NAME, host) else 8450] > 0


@pytest.mark.parametrize("delegated", [False, True], ids=["step 4", "step 3.3"])
async def test_a_certificate_for_the_srv_target(
    loopback_federation: LoopbackFederation, delegated: bool
) -> None:
    """DNS alone can't redirect a server: a certificate for the target's name is not enough."""
    named = "matrix.example.org" if delegated else NAME
    if delegated:
        loopback_federation.add(NAME, delegates_to=named)
        loopback_federation.remove(named)
    # A name that the federation does not know gets the certificate of who is connected to.
    loopback_federation.add_records(FED + named, "SRV", f"1 0 8450 {FIRST}.")
    loopback_federation.add(FIRST)
    async with client_of(loopback_federation) as client:
        with pytest.raises(ConnectError, match=f"not valid for '{named}'"):
            await target_of(client)
        assert reached(loopback_federation) == []
        assert loopback_federation.connections[FIRST, 8450] > 0
        assert await target_of(client, f"{FIRST}:8450") == FIRST  # for its own name it is good


@on_linux
@pytest.mark.parametrize("limit", ["connect", "sock_connect"])
async def test_the_limit_that_was_given_is_told(limit: str) -> None:
    """A time-out for connecting tells the seconds that were given for it."""
    given = aiohttp.ClientTimeout(**{limit: 0.2})
    async with house({IPV4[0]: Silent()}) as (client, opened):
        with pytest.raises(ConnectError, match=r"no connection within 0\.2 s"):
            async with client.request("GET", f"{NAME}:{opened.port}", "/", timeout=given):
                pass
