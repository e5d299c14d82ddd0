"""The fakes that a resolver's users put in the network's place."""

import asyncio
import json
from ipaddress import IPv4Address, IPv6Address

import pytest

from matrix_resolve import (
    AddressReply,
    HttpResponse,
    MemoryCache,
    Policy,
    Resolver,
    SrvLookupError,
    SrvRecord,
    SrvReply,
    WellKnownFetchError,
)
from matrix_resolve.testing import FakeAddresses, FakeClock, FakeSrv, FakeWellKnown

URL = "https://example.org/.well-known/matrix/server"
RECORD = SrvRecord(10, 5, 8448, "a.example.org")


@pytest.mark.parametrize(
    ("answer", "status", "body"),
    [
        pytest.param({"m.server": "a:1"}, 200, b'{"m.server": "a:1"}', id="a dictionary"),
        pytest.param(["x"], 200, b'["x"]', id="other JSON"),
        pytest.param(b"\xff{", 200, b"\xff{", id="bytes"),
        pytest.param(HttpResponse(503, (), b"no", URL), 503, b"no", id="a whole response"),
        pytest.param(lambda name: {"asked": name}, 200, b'{"asked": "example.org"}', id="function"),
        pytest.param(None, 404, b"", id="nothing"),
    ],
)
async def test_well_known_answers(answer: object, status: int, body: bytes) -> None:
    """What stands in the dictionary becomes the response."""
    fake = FakeWellKnown({"example.org": answer})
    response = await fake.fetch("example.org")
    assert (response.status, response.body, response.url) == (status, body, URL)
    assert fake.asked == ["example.org"]


async def test_unknown_names_have_nothing() -> None:
    """A name without an answer gets a 404, no records, no addresses."""
    assert (await FakeWellKnown().fetch("x")).status == 404
    assert await FakeSrv().lookup_srv("_matrix-fed._tcp.x") == SrvReply(())
    assert await FakeAddresses().lookup_addresses("x") == AddressReply(())


async def test_srv_answers() -> None:
    """Records get the fake's TTL; a reply has its own."""
    fake = FakeSrv({"plain": [RECORD], "reply": SrvReply([RECORD], 5), "none": []}, ttl=60)
    assert await fake.lookup_srv("plain") == SrvReply([RECORD], 60)
    assert await fake.lookup_srv("reply") == SrvReply([RECORD], 5)
    assert await fake.lookup_srv("none") == SrvReply(())
    assert fake.asked == ["plain", "reply", "none"]


async def test_address_answers() -> None:
    """Addresses may be text or objects, and a reply has its own TTL."""
    reply = AddressReply([IPv4Address("192.0.2.3")], 5, "canonical")
    fake = FakeAddresses({"mixed": ["192.0.2.1", IPv6Address("2001:db8::1")], "reply": reply})
    assert await fake.lookup_addresses("mixed") == AddressReply(
        [IPv4Address("192.0.2.1"), IPv6Address("2001:db8::1")], 3600.0
    )
    assert await fake.lookup_addresses("reply") is reply
    fake.answers["one"] = "192.0.2.1"
    assert (await fake.lookup_addresses("one")).addresses == (IPv4Address("192.0.2.1"),)
    assert fake.asked == ["mixed", "reply", "one"]


async def test_exceptions_are_raised_every_time() -> None:
    """An exception among the answers is raised, and its traceback does not grow."""
    error = SrvLookupError("SERVFAIL")
    fake = FakeSrv({"x": error})
    lengths = set()
    for _ in range(3):
        with pytest.raises(SrvLookupError) as caught:
            await fake.lookup_srv("x")
        assert caught.value is error
        lengths.add(len(caught.traceback))
    assert len(lengths) == 1


async def test_functions_may_be_asynchronous_and_fail() -> None:
    """A coroutine function decides at the moment of the question, also to fail."""
    answers = iter([WellKnownFetchError("down"), {"m.server": "up"}])

    async def decide(name: str) -> object:
        await asyncio.sleep(0)
        return next(answers)

    fake = FakeWellKnown({"x": decide})
    with pytest.raises(WellKnownFetchError, match="down"):
        await fake.fetch("x")
    assert json.loads((await fake.fetch("x")).body) == {"m.server": "up"}


async def test_delay_holds_an_answer_back() -> None:
    """A fake with a delay can be timed out, and was asked nevertheless."""
    fake = FakeAddresses({"x": ["192.0.2.1"]}, delay=60)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await fake.lookup_addresses("x")
    assert fake.asked == ["x"]


def test_clock_moves_only_when_told() -> None:
    """Both times advance together, and never go back."""
    clock = FakeClock()
    before = (clock.time(), clock.monotonic())
    assert (clock.time(), clock.monotonic()) == before
    clock.advance(90.5)
    assert (clock.time(), clock.monotonic()) == (before[0] + 90.5, before[1] + 90.5)
    with pytest.raises(ValueError, match="does not go back"):
        clock.advance(-1)


async def test_a_resolver_runs_on_fakes_alone() -> None:
    """The world is changed while the resolver runs, and the clock makes it look again."""
    well_known = FakeWellKnown({"example.org": {"m.server": "one.example.org:443"}})
    clock = FakeClock()
    async with Resolver(
        well_known=well_known,
        srv=FakeSrv(),
        addresses=FakeAddresses(),
        cache=MemoryCache(clock=clock),
        policy=Policy(refresh_ahead=0),
        clock=clock,
    ) as resolver:
        assert (await resolver.resolve("example.org")).host_header == "one.example.org:443"
        well_known.answers["example.org"] = {"m.server": "two.example.org:443"}
        assert (await resolver.resolve("example.org")).host_header == "one.example.org:443"
        clock.advance(49 * 3600)
        assert (await resolver.resolve("example.org")).host_header == "two.example.org:443"
    assert well_known.asked == ["example.org"] * 2
