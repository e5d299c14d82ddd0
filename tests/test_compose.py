"""`open_resolver()` and `resolve_server_name()`: what they open, close and take."""

import asyncio
import ssl
import time
from typing import Any

import pytest

from matrix_resolve import (
    AddressPolicy,
    AddressReply,
    AiodnsLookup,
    AiohttpWellKnownFetcher,
    MemoryCache,
    Policy,
    Resolver,
    Step,
    open_resolver,
    resolve_server_name,
)
from matrix_resolve.core.questions import NotDelegated
from matrix_resolve.testing import (
    FakeAddresses,
    FakeSrv,
    FakeWellKnown,
    LoopbackFederation,
)

GOOD = {"m.server": "matrix.example:443"}


class Opened:
    """Counts the default components that are opened and closed, and keeps their arguments."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.arguments: dict[str, list[dict[str, Any]]] = {}
        self.closed: list[str] = []
        for component in (AiodnsLookup, AiohttpWellKnownFetcher, MemoryCache):
            self._watch(component, monkeypatch)

    def _watch(self, component: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        name, begin, end = (
            component.__name__,
            component.__init__,
            getattr(component, "aclose", None),
        )

        def init(this: Any, **arguments: Any) -> None:
            self.arguments.setdefault(name, []).append(arguments)
            begin(this, **arguments)

        async def aclose(this: Any) -> None:
            self.closed.append(name)
            await end(this)

        monkeypatch.setattr(component, "__init__", init)
        if end is not None:
            monkeypatch.setattr(component, "aclose", aclose)


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> Opened:
    """What is opened and closed in a test."""
    return Opened(monkeypatch)


def _fakes() -> dict[str, Any]:
    return {
        "well_known": FakeWellKnown({"example.org": GOOD}),
        "srv": FakeSrv(),
        "addresses": FakeAddresses(),
        "cache": MemoryCache(),
    }


async def test_defaults(opened: Opened) -> None:
    """Without arguments one DNS client serves both lookups, and all is closed at the end."""
    async with open_resolver() as resolver:
        assert (await resolver.resolve("192.0.2.1")).step is Step.IP_LITERAL
        assert opened.closed == []
    assert {name: len(calls) for name, calls in opened.arguments.items()} == {
        "AiodnsLookup": 1,
        "AiohttpWellKnownFetcher": 1,
        "MemoryCache": 1,
    }
    assert opened.closed == ["AiohttpWellKnownFetcher", "AiodnsLookup"]
    with pytest.raises(RuntimeError, match="closed"):
        await resolver.resolve("192.0.2.1")


async def test_awaited(opened: Opened) -> None:
    """What `await` gives stays open; its `aclose()` closes all that was opened, once."""
    resolver = await open_resolver()
    assert (await resolver.resolve("192.0.2.1")).step is Step.IP_LITERAL
    assert opened.closed == []
    await resolver.aclose()
    await resolver.aclose()
    assert opened.closed == ["AiohttpWellKnownFetcher", "AiodnsLookup"]
    with pytest.raises(RuntimeError, match="closed"):
        await resolver.resolve("192.0.2.1")


async def test_awaited_and_closed_by_a_context(opened: Opened) -> None:
    """What `await` gives may be closed by `async with` as well."""
    async with await open_resolver():
        assert opened.closed == []
    assert opened.closed == ["AiohttpWellKnownFetcher", "AiodnsLookup"]


async def test_awaited_parts_keep_their_owner(opened: Opened) -> None:
    """`aclose()` of what `await` gives leaves open what was passed in."""
    lookup = AiodnsLookup()
    resolver = await open_resolver(srv=lookup, addresses=lookup)
    await resolver.aclose()
    assert opened.closed == ["AiohttpWellKnownFetcher"]
    await lookup.aclose()


async def test_closing_where_it_does_not_belong(opened: Opened) -> None:
    """`aclose()` in another event loop is refused, and closes no part there."""
    resolver = await open_resolver()
    await resolver.resolve("192.0.2.1")
    with pytest.raises(RuntimeError, match="belongs"):
        await asyncio.to_thread(asyncio.run, resolver.aclose())
    assert opened.closed == []
    await resolver.aclose()
    assert opened.closed == ["AiohttpWellKnownFetcher", "AiodnsLookup"]


async def test_a_part_that_is_none_opens_nothing(opened: Opened) -> None:
    """With a part that the resolver refuses, what was opened before is closed."""
    with pytest.raises(TypeError, match="cache: object has no method get"):
        await open_resolver(cache=object())  # type: ignore[arg-type]
    assert opened.closed == ["AiohttpWellKnownFetcher", "AiodnsLookup"]


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (
            {"nameservers": ["192.0.2.53"], "srv": FakeSrv(), "addresses": FakeAddresses()},
            "nameservers are for the default lookup",
        ),
        ({"nameservers": "192.0.2.53"}, "a sequence of strings"),
        (
            {"ssl_context": ssl.create_default_context(), "well_known": FakeWellKnown()},
            "ssl_context is for the default fetcher",
        ),
    ],
)
def test_settings_of_parts_that_are_not_opened(given: dict[str, Any], told: str) -> None:
    """Settings of a default part beside a part of one's own are refused at the call."""
    with pytest.raises(TypeError, match=told):
        open_resolver(**given)


@pytest.mark.parametrize("given", [{}, {"srv": FakeSrv()}, {"addresses": FakeAddresses()}])
async def test_settings_reach_the_defaults(opened: Opened, given: dict[str, Any]) -> None:
    """The default lookup asks the nameservers that are given, be it for one kind only."""
    context = ssl.create_default_context()
    async with open_resolver(nameservers=["192.0.2.53"], ssl_context=context, **given):
        pass
    (lookup,), (fetcher,) = (
        opened.arguments[name] for name in ("AiodnsLookup", "AiohttpWellKnownFetcher")
    )
    assert lookup["nameservers"] == ["192.0.2.53"]
    assert fetcher["ssl_context"] is context


async def test_by_real_sockets(loopback_federation: LoopbackFederation) -> None:
    """`nameservers` and `ssl_context` are enough to resolve by SRV records of one's own DNS."""
    loopback_federation.add("example.org", srv=[("matrix.example.org", 8448)])
    resolver = await open_resolver(
        nameservers=[loopback_federation.nameserver],
        ssl_context=loopback_federation.client_ssl_context(),
    )
    try:
        assert (await resolver.resolve("example.org")).step is Step.SRV
    finally:
        await resolver.aclose()


async def test_settings_of_the_defaults_come_from_the_policy(opened: Opened) -> None:
    """Time-outs and limits of the policy reach the components that are opened."""
    policy = Policy(
        well_known_timeout=1,
        well_known_connect_timeout=2,
        dns_timeout=3,
        max_redirects=4,
        max_body=5,
        max_targets=6,
        max_answers=7,
    )
    address_policy = AddressPolicy.allow_all()
    addresses = FakeAddresses()
    async with open_resolver(policy=policy, address_policy=address_policy, addresses=addresses):
        pass
    assert opened.arguments == {
        "AiodnsLookup": [{"nameservers": None, "timeout": 3}],
        "AiohttpWellKnownFetcher": [
            {
                "addresses": addresses,
                "address_policy": address_policy,
                "timeout": 1,
                "connect_timeout": 2,
                "dns_timeout": 3,
                "max_redirects": 4,
                "max_body": 5,
                "max_addresses": 6,
                "ssl_context": None,
                "connect_to": None,
                "redirected": None,
            }
        ],
        "MemoryCache": [{"max_answers": 7, "clock": time}],
    }


async def test_what_is_given_keeps_its_owner(opened: Opened) -> None:
    """Components that are passed in are used, nothing else is opened, and they are not closed."""
    parts = _fakes()
    opened.arguments.clear()
    async with open_resolver(**parts) as resolver:
        assert (await resolver.resolve("example.org")).host_header == "matrix.example:443"
    assert (opened.arguments, opened.closed) == ({}, [])


async def test_one_shot(opened: Opened) -> None:
    """The one-shot function resolves with what it is given, and closes only what it opened."""
    well_known = FakeWellKnown({"example.org": GOOD})
    resolution = await resolve_server_name("example.org", well_known=well_known)
    assert resolution.host_header == "matrix.example:443"
    assert list(opened.arguments) == ["AiodnsLookup", "MemoryCache"]
    assert opened.closed == ["AiodnsLookup"]


async def test_one_shot_with_a_resolver(opened: Opened) -> None:
    """With `resolver` that one is used and stays open."""
    async with Resolver(**_fakes()) as resolver:
        first = await resolve_server_name("example.org", resolver=resolver)
        assert await resolve_server_name("example.org", resolver=resolver) is first


@pytest.mark.parametrize(
    "beside", [{"srv": FakeSrv()}, {"policy": Policy()}, {"address_policy": AddressPolicy()}]
)
async def test_nothing_beside_a_resolver(beside: dict[str, Any]) -> None:
    """Whatever is given beside `resolver` is a `TypeError` that names it."""
    async with Resolver(**_fakes()) as resolver:
        with pytest.raises(TypeError, match=next(iter(beside))):
            await resolve_server_name("example.org", resolver=resolver, **beside)


async def test_a_shared_cache_outlives_the_resolver() -> None:
    """Two resolvers one after another share what is in a cache that is passed to both."""
    parts = _fakes()
    for _ in range(2):
        assert (await resolve_server_name("example.org", **parts)).delegated_to is not None
    assert parts["well_known"].asked == ["example.org"]


async def test_the_policy_holds_for_the_fetch(loopback_federation: LoopbackFederation) -> None:
    """By default a well-known host on a private address is never connected to."""
    loopback_federation.add("example.org", delegates_to="matrix.example.org:443")
    async with loopback_federation.resolver(address_policy=AddressPolicy()) as resolver:
        resolution = await resolver.resolve("example.org")
    assert resolution.step is Step.DEFAULT_PORT
    assert "the address policy forbids" in resolution.explain()
    assert not loopback_federation.connections


async def test_a_lookup_that_hangs_is_our_own_trouble() -> None:
    """The fetcher gives an address lookup `dns_timeout`, and its failure is told as DNS trouble."""

    class Hanging:
        async def lookup_addresses(self, hostname: str, /) -> AddressReply:
            """Never answer."""
            await asyncio.sleep(3600)
            raise AssertionError

    policy = Policy(dns_timeout=0.05)
    async with open_resolver(addresses=Hanging(), srv=FakeSrv(), policy=policy) as resolver:
        resolution = await asyncio.wait_for(resolver.resolve("example.org"), 10)
    answer = resolution.trail[0].answer
    assert isinstance(answer, NotDelegated)
    assert answer.own_trouble
