"""A real resolver against the loopback federation: sockets, DNS and TLS from end to end."""

import asyncio
import random
from ipaddress import ip_address
from typing import Any

import pytest

from matrix_resolve import (
    AddressNotAllowedError,
    AddressPolicy,
    AiodnsLookup,
    AiohttpWellKnownFetcher,
    MemoryCache,
    Policy,
    ServiceNotOfferedError,
    SrvLookupError,
    SrvRecord,
    Step,
    open_resolver,
)
from matrix_resolve.testing import (
    Certificate,
    CutShort,
    DnsFault,
    Dripping,
    Endless,
    FakeAddresses,
    FakeClock,
    FakeSrv,
    FakeWellKnown,
    LoopbackFederation,
    Raw,
    Redirect,
    Refused,
    Reply,
    Silent,
    Slow,
)

SRV = [("target.example", 8450)]
LOOP = "/.well-known/matrix/server"
# What `AiodnsLookup` may repeat of what c-ares keeps, in real seconds.
CARES_KEEPS = 1.05
QUICK = Policy(well_known_timeout=0.5, well_known_connect_timeout=0.3, dns_timeout=0.5)


@pytest.mark.parametrize(
    ("step", "server_name", "declaration", "connect_to", "host_header", "tls_name"),
    [
        ("1", "127.0.0.1", {}, ("127.0.0.1", 8448), "127.0.0.1", "127.0.0.1"),
        ("1", "[::1]:5", {}, ("::1", 5), "[::1]:5", "::1"),
        ("2", "x.example:5", {}, ("x.example", 5), "x.example:5", "x.example"),
        ("3.1", "x.example", {"delegates_to": "127.0.0.2"}, ("127.0.0.2", 8448), "127.0.0.2", ""),
        ("3.2", "x.example", {"delegates_to": "d.example:5"}, ("d.example", 5), "d.example:5", ""),
        ("3.3", "x.example", {"delegates_to": "new.example"}, SRV[0], "new.example", ""),
        ("3.4", "x.example", {"delegates_to": "old.example"}, SRV[0], "old.example", ""),
        ("3.5", "x.example", {"delegates_to": "d.example"}, ("d.example", 8448), "d.example", ""),
        ("4", "x.example", {"srv": SRV}, SRV[0], "x.example", ""),
        ("5", "x.example", {"legacy_srv": SRV}, SRV[0], "x.example", ""),
        ("6", "x.example", {}, ("x.example", 8448), "x.example", ""),
    ],
)
async def test_each_step_of_the_specification(
    loopback_federation: LoopbackFederation,
    step: str,
    server_name: str,
    declaration: dict[str, Any],
    connect_to: tuple[str, int],
    host_header: str,
    tls_name: str,
) -> None:
    """Each step can be stood up with one declaration, and the resolver takes it."""
    loopback_federation.add("new.example", srv=SRV)
    loopback_federation.add("old.example", legacy_srv=SRV)
    loopback_federation.add("x.example", **declaration)
    async with loopback_federation.resolver() as resolver:
        resolution = await resolver.resolve(server_name)
        (endpoint, *_) = await resolver.endpoints(resolution)
    assert resolution.step is Step(step)
    (target,) = resolution.targets
    assert (target.host, target.port) == connect_to
    assert resolution.host_header == host_header
    assert resolution.tls_name == (tls_name or host_header.partition(":")[0])
    assert endpoint.address.is_loopback
    assert endpoint.port == connect_to[1]


@pytest.mark.parametrize(
    "well_known",
    [
        pytest.param(b'{"m.server": ', id="bad JSON"),
        pytest.param(Reply(500), id="status 500"),
        pytest.param(Redirect(LOOP), id="redirect loop"),
        pytest.param(Redirect("http://elsewhere.example" + LOOP), id="redirect to http"),
        pytest.param(Redirect(None), id="redirect to nowhere"),
        pytest.param(Refused(), id="refused"),
        pytest.param(Silent(), id="silent"),
        pytest.param(Slow(60, {"m.server": "elsewhere.example:1"}), id="slow"),
        pytest.param(Dripping({"m.server": "elsewhere.example:1"}), id="dripping"),
        pytest.param(Endless(), id="endless"),
        pytest.param(CutShort(), id="cut short"),
        pytest.param(Raw(), id="not HTTP"),
        pytest.param(Raw(b"HTTP/1.1 200 OK\r\n\r\n", tls=False), id="not TLS"),
    ],
)
async def test_faulty_documents_lead_to_step_4(
    loopback_federation: LoopbackFederation, well_known: object
) -> None:
    """Whatever is wrong with the document, SRV records decide, and in time."""
    loopback_federation.add("x.example", well_known=well_known, srv=SRV)
    loopback_federation.add("elsewhere.example", delegates_to="elsewhere.example:1")
    async with loopback_federation.resolver(policy=QUICK) as resolver:
        resolution = await resolver.resolve("x.example")
    assert resolution.step is Step("4")
    assert loopback_federation.dns_questions["x.example", "A"] >= 1


@pytest.mark.parametrize("certificate", [kind for kind in Certificate if kind.is_refused])
async def test_bad_certificates_lead_to_step_4(
    loopback_federation: LoopbackFederation, certificate: Certificate
) -> None:
    """A document under a bad certificate is never believed."""
    loopback_federation.add(
        "x.example", delegates_to="evil.example:1", certificate=certificate, srv=SRV
    )
    async with loopback_federation.resolver() as resolver:
        assert (await resolver.resolve("x.example")).step is Step("4")
    assert not loopback_federation.requests


async def test_redirects_are_followed_to_hosts_and_literals(
    loopback_federation: LoopbackFederation,
) -> None:
    """Each hop reaches the server of that host with its own name and certificate."""
    loopback_federation.add("x.example", redirects_to="https://hop.example:9000/a?b=%40c")
    loopback_federation.add("hop.example", serves=Redirect("https://[::1]/doc"))
    loopback_federation.add("::1", serves={"m.server": "end.example:1"})
    async with loopback_federation.resolver() as resolver:
        assert (await resolver.resolve("x.example")).host_header == "end.example:1"
    seen = [(r.target, r.host, r.sni, r.path) for r in loopback_federation.requests]
    assert seen == [
        (("x.example", 443), "x.example", "x.example", LOOP),
        (("hop.example", 9000), "hop.example:9000", "hop.example", "/a?b=%40c"),
        (("::1", 443), "[::1]", None, "/doc"),
    ]


@pytest.mark.parametrize("fault", [DnsFault.SERVFAIL, DnsFault.REFUSED, DnsFault.SILENT])
async def test_failing_srv_lookups(
    loopback_federation: LoopbackFederation, fault: DnsFault
) -> None:
    """A failed SRV lookup is degraded, or raised, as the policy says."""
    loopback_federation.add("x.example", dns={"SRV": fault}, srv=SRV)
    async with loopback_federation.resolver(policy=QUICK) as resolver:
        resolution = await resolver.resolve("x.example")
        assert (resolution.step, resolution.degraded) == (Step("6"), True)
    raising = Policy(dns_timeout=0.5, srv_failure="raise")
    async with loopback_federation.resolver(policy=raising) as resolver:
        with pytest.raises(SrvLookupError):
            await resolver.resolve("x.example")


async def test_truncated_answers_are_asked_for_again(
    loopback_federation: LoopbackFederation,
) -> None:
    """Fifty SRV records come whole, over TCP."""
    records = [SrvRecord(i, 0, 8448, f"target{i}.example.org") for i in range(50)]
    loopback_federation.add("x.example", srv=records)
    async with loopback_federation.dns_lookup() as lookup:
        reply = await lookup.lookup_srv("_matrix-fed._tcp.x.example")
    assert sorted(record.priority for record in reply.records) == list(range(50))


async def test_aliases_and_ttls(loopback_federation: LoopbackFederation) -> None:
    """The smallest TTL of a chain counts, and its end is told."""
    loopback_federation.add("alias.example", alias_of="real.example", ttl=40)
    loopback_federation.add("real.example", ttl=50, addresses=["127.0.0.9"])
    async with loopback_federation.dns_lookup() as lookup:
        reply = await lookup.lookup_addresses("alias.example")
    assert list(reply.addresses) == [ip_address("127.0.0.9")]
    assert (reply.ttl, reply.canonical_name) == (40, "real.example")


async def test_service_not_offered(loopback_federation: LoopbackFederation) -> None:
    """A sole target "." can be declared."""
    loopback_federation.add("x.example", srv=[SrvRecord(0, 0, 0, ".")])
    async with loopback_federation.resolver() as resolver:
        with pytest.raises(ServiceNotOfferedError):
            await resolver.resolve("x.example")


async def test_address_policy_holds_here_too(loopback_federation: LoopbackFederation) -> None:
    """With the default policy loopback is forbidden, and an address of the Internet is mapped."""
    loopback_federation.add("private.example", delegates_to="d.example:1")
    loopback_federation.add(
        "public.example", delegates_to="d.example:1", addresses=["93.184.216.34"]
    )
    async with loopback_federation.resolver(address_policy=AddressPolicy()) as resolver:
        private = await resolver.resolve("private.example")
        assert private.step is Step("6")
        with pytest.raises(AddressNotAllowedError):
            await resolver.endpoints(private)
        assert (await resolver.resolve("public.example")).step is Step("3.2")
    assert [request.host for request in loopback_federation.requests] == ["public.example"]


async def test_parts_can_be_replaced(loopback_federation: LoopbackFederation) -> None:
    """A fake takes one part, and the rest stays real; a fake clock makes lifetimes end."""
    loopback_federation.add("d.example", srv=SRV, ttl=100)
    clock = FakeClock()
    fake = FakeWellKnown({"x.example": {"m.server": "d.example"}})
    async with loopback_federation.resolver(
        well_known=fake, clock=clock, policy=Policy(refresh_ahead=0)
    ) as resolver:
        assert (await resolver.resolve("x.example")).step is Step("3.3")
        loopback_federation.add("d.example", ttl=100)
        assert (await resolver.resolve("x.example")).step is Step("3.3")
        await asyncio.sleep(CARES_KEEPS)
        clock.advance(101)
        assert (await resolver.resolve("x.example")).step is Step("3.5")
    assert fake.asked == ["x.example"]
    assert not loopback_federation.requests


class Falsy:
    """Is empty, or looks so, and is a part all the same."""

    def __bool__(self) -> bool:
        return False


async def test_parts_that_are_false_are_used(loopback_federation: LoopbackFederation) -> None:
    """A part that has nothing in it yet is not taken for none that was given."""
    parts: dict[str, Any] = {}
    for name, kind in {
        "well_known": FakeWellKnown,
        "srv": FakeSrv,
        "addresses": FakeAddresses,
        "cache": MemoryCache,
        "policy": Policy,
        "address_policy": AddressPolicy,
        "clock": FakeClock,
        "rng": random.Random,
    }.items():
        parts[name] = type(f"Falsy{kind.__name__}", (Falsy, kind), {})()
    parts["addresses"].answers["x.example"] = ["127.0.0.1"]
    async with loopback_federation.resolver(**parts) as resolver:
        resolution = await resolver.resolve("x.example")
        with pytest.raises(AddressNotAllowedError):  # by the policy that was given
            await resolver.endpoints(resolution)
        assert resolver._policy is parts["policy"]
    async with open_resolver(**{n: parts[n] for n in parts if n not in ("clock", "rng")}) as other:
        assert (await other.resolve("x.example")).step is Step("6")
    assert all(parts[name].asked for name in ("well_known", "srv", "addresses"))
    assert not loopback_federation.requests
    assert not loopback_federation.dns_questions


async def test_dns_outage_gives_stale_answers(loopback_federation: LoopbackFederation) -> None:
    """DNS can be taken down under a running resolver, and brought back."""
    loopback_federation.add("x.example", srv=SRV, ttl=100)
    clock = FakeClock()
    policy = Policy(dns_timeout=0.3, refresh_ahead=0)
    async with loopback_federation.resolver(policy=policy, clock=clock) as resolver:
        assert not (await resolver.resolve("x.example")).stale
        loopback_federation.dns_down = True
        await asyncio.sleep(CARES_KEEPS)
        clock.advance(101)
        assert (await resolver.resolve("x.example")).stale
        loopback_federation.dns_down = False
        clock.advance(3600)
        assert not (await resolver.resolve("x.example")).stale


async def test_parts_are_the_defaults(loopback_federation: LoopbackFederation) -> None:
    """The parts can be had one by one, with other settings."""
    async with (
        loopback_federation.dns_lookup(timeout=1) as lookup,
        loopback_federation.well_known_fetcher(addresses=lookup, max_redirects=0) as fetcher,
    ):
        assert isinstance(lookup, AiodnsLookup)
        assert isinstance(fetcher, AiohttpWellKnownFetcher)
        loopback_federation.add("x.example", delegates_to="y.example:1")
        response = await fetcher.fetch("x.example")
    assert (response.status, response.body) == (200, b'{"m.server": "y.example:1"}')
