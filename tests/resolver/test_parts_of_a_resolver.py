"""Parts are looked at when a resolver is made, and their replies when they come."""

import asyncio
from functools import partial
from typing import Any

import pytest
from redis.asyncio import Redis
from worlds import World

from matrix_resolve import (
    AddressPolicy,
    AddressReply,
    AiohttpWellKnownFetcher,
    LoggingHook,
    MemoryCache,
    Policy,
    RedisCache,
    Resolver,
    SrvReply,
    TieredCache,
    open_federation_client,
    open_resolver,
)
from matrix_resolve.testing import FakeAddresses, FakeClock, FakeSrv, FakeWellKnown

NAME = "a.example"


async def heard(event: object) -> None:
    """What a hook must not be."""


class Hears:
    """Nor this."""

    async def __call__(self, event: object) -> None:
        """Be async."""


class OnlyGets:
    """A cache that lacks two methods."""

    async def get(self, question: object, /) -> None:
        """Return nothing."""


PARTS: list[tuple[dict[str, Any], str]] = [
    ({"well_known": FakeSrv()}, "well_known: FakeSrv has no method fetch()"),
    ({"srv": FakeAddresses()}, "srv: FakeAddresses has no method lookup_srv()"),
    ({"addresses": FakeSrv()}, "addresses: FakeSrv has no method lookup_addresses()"),
    ({"cache": object()}, "cache: object has no method get()"),
    ({"cache": OnlyGets()}, "cache: OnlyGets has no method put()"),
    ({"cache": MemoryCache}, "cache is the class MemoryCache: an instance of it is wanted"),
    ({"well_known": FakeWellKnown}, "well_known is the class FakeWellKnown: an instance"),
    ({"clock": FakeClock}, "clock is the class FakeClock: an instance of it is wanted"),
    ({"clock": object()}, "clock: object has no method time()"),
    ({"policy": Policy}, "policy must be of type Policy, not the class Policy"),
    ({"policy": {"dns_timeout": 3}}, "policy must be of type Policy, not dict"),
    ({"address_policy": ["10.0.0.0/8"]}, "address_policy must be of type AddressPolicy, not list"),
    ({"address_policy": AddressPolicy}, "address_policy must be of type AddressPolicy, not the"),
    ({"hooks": [heard]}, "hooks: heard is async, and nobody would await it"),
    ({"hooks": [partial(heard)]}, "hooks: partial is async"),
    ({"hooks": [Hears()]}, "hooks: Hears is async"),
    ({"hooks": [print, "hook"]}, "hooks: str has no method __call__()"),
    ({"hooks": [LoggingHook]}, "hooks is the class LoggingHook: an instance of it is wanted"),
    ({"hooks": LoggingHook()}, "hooks must be several, as in [hook]: LoggingHook"),
]


@pytest.mark.parametrize(("given", "told"), PARTS, ids=[told for _, told in PARTS])
def test_parts_that_are_none(given: dict[str, Any], told: str) -> None:
    """Each is a `TypeError` that names the argument and what it lacks, when it is given."""
    with pytest.raises(TypeError) as caught:
        World().resolver(**given)
    assert str(caught.value).startswith(told)


def test_parts_of_parts() -> None:
    """What takes a plug-in of its own looks at it as well."""
    with pytest.raises(TypeError, match=r"^addresses: FakeSrv has no method lookup_addresses\(\)$"):
        AiohttpWellKnownFetcher(addresses=FakeSrv())  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"^shared is the class MemoryCache: an instance"):
        TieredCache(MemoryCache(), MemoryCache)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"^client is the class Redis: an instance"):
        RedisCache(Redis)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"^resolver: Opening has no method resolve\(\)$"):
        open_federation_client(open_resolver())  # type: ignore[arg-type]


def test_parts_that_will_do() -> None:
    """Nothing need be inherited, and any callable hears."""

    class Anything:
        def __getattr__(self, name: str) -> Any:
            return print

    part: Any = Anything()
    hooks: Any = iter([print, lambda _: None, part, LoggingHook()])
    Resolver(well_known=part, srv=part, addresses=part, cache=part, hooks=hooks)


# Replies


class Odd:
    """A plug-in whose methods all return the same."""

    def __init__(self, reply: Any, *, awaited: bool = True) -> None:
        self.reply = reply
        self.awaited = awaited

    def _returned(self, asked: str, /) -> Any:
        if not self.awaited:
            return self.reply
        coming = asyncio.get_running_loop().create_future()
        coming.set_result(self.reply)
        return coming

    fetch = lookup_srv = lookup_addresses = _returned


@pytest.mark.parametrize(
    ("part", "method", "wanted"),
    [
        ("well_known", "fetch", "HttpResponse"),
        ("srv", "lookup_srv", "SrvReply"),
        ("addresses", "lookup_addresses", "AddressReply"),
    ],
)
@pytest.mark.parametrize(
    ("reply", "awaited", "told"),
    [
        (None, True, "None, not {wanted}"),
        ({"m.server": "b.example"}, True, "dict, not {wanted}"),
        ("text", False, "str: it must be an async method"),
    ],
)
async def test_replies_that_are_none(
    part: str, method: str, wanted: str, reply: Any, awaited: bool, told: str
) -> None:
    """A reply of a wrong type is a `TypeError` that names class, method and what was returned."""
    async with World().resolver(**{part: Odd(reply, awaited=awaited)}) as resolver:
        with pytest.raises(TypeError) as caught:
            await resolver.endpoints(await resolver.resolve(NAME))
    assert str(caught.value) == f"Odd.{method}() returned {told.format(wanted=wanted)}"


async def test_replies_that_the_fetcher_sees() -> None:
    """The default fetcher tells likewise what its address lookup returned."""
    lookup: Any = Odd(SrvReply([]))
    async with AiohttpWellKnownFetcher(addresses=lookup) as fetcher:
        with pytest.raises(TypeError, match=r"^Odd\.lookup_addresses\(\) returned SrvReply, not"):
            await fetcher.fetch(NAME)
    good: Any = Odd(AddressReply([]))
    async with World().resolver(addresses=good) as resolver:
        assert (await resolver.resolve(NAME)).server_name.hostname == NAME
