"""`Resolver`: keeping, sharing, ownership of loop and process, endpoints, closing."""

import asyncio
import os
import random
from collections import Counter
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from ipaddress import IPv4Address
from typing import Any

import pytest
from worlds import DAY, World

from matrix_resolve import (
    AddressLookupError,
    AddressNotAllowedError,
    AddressPolicy,
    AddressReply,
    InvalidServerNameError,
    MemoryCache,
    Policy,
    Resolution,
    Resolver,
    ServerName,
    ServiceNotOfferedError,
    SrvLookupError,
    SrvRecord,
    SrvReply,
    Step,
    Target,
    WellKnownFetchError,
)
from matrix_resolve.testing import FakeAddresses


@pytest.fixture
def world() -> World:
    """Fake plug-ins that know `delegated.example` and `srv.example`."""
    world = World()
    world.well_known.answers["delegated.example"] = {"m.server": "matrix.example:443"}
    world.srv.answers["_matrix-fed._tcp.srv.example"] = [
        SrvRecord(10, 1, 8450, "a.example"),
        SrvRecord(10, 1, 8451, "b.example"),
    ]
    return world


@pytest.fixture
async def resolver(world: World) -> AsyncIterator[Resolver]:
    """A resolver over `world`."""
    async with world.resolver() as resolver:
        yield resolver


# Keeping


async def test_a_repeated_answer_asks_nothing(world: World, resolver: Resolver) -> None:
    """A second resolve of a name, and of another spelling of it, asks nothing."""
    first = await resolver.resolve("delegated.example")
    asked = world.asked
    assert await resolver.resolve("delegated.example") is first
    assert await resolver.resolve(ServerName.parse("delegated.example")) == first
    other = await resolver.resolve("DELEGATED.example")
    assert (other.targets, other.trail[0].from_cache) == (first.targets, True)
    assert world.asked == asked


async def test_nothing_published_is_remembered_too(world: World, resolver: Resolver) -> None:
    """A name with neither well-known nor SRV costs one round of questions."""
    for _ in range(3):
        assert (await resolver.resolve("plain.example")).step is Step.DEFAULT_PORT
    assert world.well_known.asked == ["plain.example"]
    assert len(world.srv.asked) == 2


async def test_an_answer_is_asked_again_after_its_lifetime(
    world: World, resolver: Resolver
) -> None:
    """When the document's lifetime has ended, it is fetched again and the new one holds."""
    resolution = await resolver.resolve("delegated.example")
    assert resolution.expires_at == datetime.fromtimestamp(world.clock.time() + DAY, UTC)
    world.well_known.answers["delegated.example"] = {"m.server": "new.example:443"}
    world.clock.advance(DAY - 1)
    assert (await resolver.resolve("delegated.example")).host_header == "matrix.example:443"
    world.clock.advance(1)
    assert (await resolver.resolve("delegated.example")).host_header == "new.example:443"


async def test_each_question_has_a_lifetime_of_its_own(world: World, resolver: Resolver) -> None:
    """SRV records that end before the document are asked again alone."""
    world.well_known.answers["two.example"] = {"m.server": "matrix.example"}
    name = "_matrix-fed._tcp.matrix.example"
    world.srv.answers[name] = SrvReply([SrvRecord(1, 1, 8450, "old.example")], 600)
    resolution = await resolver.resolve("two.example")
    assert resolution.expires_at == datetime.fromtimestamp(world.clock.time() + 600, UTC)
    world.srv.answers[name] = SrvReply([SrvRecord(1, 1, 8450, "new.example")], 600)
    world.clock.advance(600)
    assert (await resolver.resolve("two.example")).targets[0].host == "new.example"
    assert world.well_known.asked == ["two.example"]


async def test_names_delegated_to_one_host_share_its_records(
    world: World, resolver: Resolver
) -> None:
    """The delegated host's SRV records are asked once for all names that lead there."""
    for name in ("one.example", "two.example"):
        world.well_known.answers[name] = {"m.server": "shared.example"}
        await resolver.resolve(name)
    assert world.srv.asked.count("_matrix-fed._tcp.shared.example") == 1


async def test_steps_without_questions(world: World, resolver: Resolver) -> None:
    """An IP literal or a port of its own rests on no question and never expires."""
    for name in ("192.0.2.1", "example.org:443"):
        resolution = await resolver.resolve(name)
        assert (resolution.expires_at, resolution.trail) == (None, ())
        world.clock.advance(10 * 365 * DAY)
        assert await resolver.resolve(name) is resolution
    assert world.asked == 0


async def test_srv_weight_is_drawn_afresh(resolver: Resolver) -> None:
    """Two targets of equal weight take turns at being the first, from the cache too."""
    firsts = {(await resolver.resolve("srv.example")).targets[0].host for _ in range(50)}
    assert firsts == {"a.example", "b.example"}


async def test_srv_weights_hold_from_the_cache(world: World) -> None:
    """What is drawn again and again follows the weights as the first draw does."""
    world.srv.answers["_matrix-fed._tcp.heavy.example"] = [
        SrvRecord(1, weight, 8450, f"{name}.example")
        for name, weight in (("a", 1), ("b", 4), ("c", 5))
    ]
    async with world.resolver(rng=random.Random(2782)) as resolver:
        given = [await resolver.resolve("heavy.example") for _ in range(1000)]
    firsts = Counter(resolution.targets[0].host for resolution in given)
    assert 70 <= firsts["a.example"] <= 130
    assert 450 <= firsts["c.example"] <= 550


@pytest.mark.parametrize("many", [1, 1000])
async def test_orders_are_kept_of_so_many_names(
    world: World, monkeypatch: pytest.MonkeyPatch, many: int
) -> None:
    """Of one name more than that, targets are drawn all the same, from as many records."""
    monkeypatch.setattr("matrix_resolve.resolver.resolved._MOST_DRAWN", many)
    for name in ("one", "other"):
        world.srv.answers[f"_matrix-fed._tcp.{name}.example"] = [
            SrvRecord(1, 1, 8450, f"{target}.{name}.example") for target in "ab"
        ]
    async with world.resolver() as resolver:
        for name in ("one.example", "other.example"):
            given = [await resolver.resolve(name) for _ in range(50)]
            assert {resolution.server_name.hostname for resolution in given} == {name}
            firsts = {resolution.targets[0].host for resolution in given}
            assert firsts == {f"a.{name}", f"b.{name}"}
        assert len(resolver._names._draws) == min(many, 2)


async def test_at_most_max_targets_of_rising_priorities(world: World) -> None:
    """Records whose order is fixed are given up to the limit, from the cache too."""
    world.srv.answers["_matrix-fed._tcp.many.example"] = [
        SrvRecord(n, 1, 8450, f"t{n}.example") for n in range(50)
    ]
    async with world.resolver(policy=Policy(max_targets=3)) as resolver:
        for _ in range(3):
            targets = (await resolver.resolve("many.example")).targets
            assert [target.host for target in targets] == [f"t{n}.example" for n in range(3)]


async def test_at_most_max_targets(world: World) -> None:
    """Of many records, `max_targets` are given, after the draw and from the cache alike."""
    world.srv.answers["_matrix-fed._tcp.many.example"] = [
        SrvRecord(1, 1, 8450, f"t{n}.example") for n in range(100)
    ]
    async with world.resolver(policy=Policy(max_targets=3)) as resolver:
        given = [await resolver.resolve("many.example") for _ in range(30)]
    assert {len(resolution.targets) for resolution in given} == {3}
    assert len({target.host for resolution in given for target in resolution.targets}) > 20


async def test_kept_names_are_bounded(world: World) -> None:
    """`max_resolved` names are kept at most; one that was let go is decided anew."""
    async with world.resolver(policy=Policy(max_resolved=10)) as resolver:
        first = await resolver.resolve("192.0.2.1")
        for n in range(2, 30):
            await resolver.resolve(f"192.0.2.{n}")
        assert len(resolver._names) <= 10
        assert await resolver.resolve("192.0.2.1") is not first


async def test_many_addresses_take_the_room_of_others(world: World) -> None:
    """A host with dozens of addresses weighs as much as many, so few such are kept."""
    hosts = [f"h{number}.example" for number in range(10)]
    for host in hosts:
        world.addresses.answers[host] = [f"192.0.2.{number}" for number in range(1, 65)]
    world.addresses.answers["small.example"] = ["192.0.2.1"]
    everywhere = AddressPolicy.allow_all()
    policy = Policy(max_resolved=40)
    async with world.resolver(policy=policy, address_policy=everywhere) as resolver:

        async def asked(host: str) -> int:
            before = world.asked
            await resolver.endpoints(await resolver.resolve(f"{host}:1"))
            return world.asked - before

        assert [await asked(host) for host in hosts] == [1] * 10
        assert [await asked(host) for host in hosts[-2:]] == [0, 0]
        assert await asked(hosts[0]) == 1
        assert [await asked("small.example") for _ in range(2)] == [1, 0]


async def test_a_name_in_use_is_kept(world: World) -> None:
    """A name that is asked for again and again outlives those that are not."""
    async with world.resolver(policy=Policy(max_resolved=10)) as resolver:
        first = await resolver.resolve("192.0.2.1")
        for n in range(2, 30):
            await resolver.resolve(f"192.0.2.{n}")
            assert await resolver.resolve("192.0.2.1") is first


async def test_not_offered_is_remembered(world: World, resolver: Resolver) -> None:
    """The target "." raises on every resolve, and is asked once; the old service is not asked."""
    world.srv.answers["_matrix-fed._tcp.no.example"] = [SrvRecord(0, 0, 0, ".")]
    world.srv.answers["_matrix._tcp.no.example"] = [SrvRecord(0, 0, 8448, "old.example")]
    for _ in range(2):
        with pytest.raises(ServiceNotOfferedError, match=r"_matrix-fed\._tcp\.no\.example"):
            await resolver.resolve("no.example")
    assert world.srv.asked.count("_matrix-fed._tcp.no.example") == 1


async def test_zero_lifetimes_are_no_stale_answers(world: World) -> None:
    """With lifetimes of 0 each resolve asks anew, and none of the answers is called stale."""
    policy = Policy(well_known_default_ttl=0, well_known_min_ttl=0, srv_min_ttl=0)
    async with world.resolver(policy=policy) as resolver:
        for _ in range(2):
            assert not (await resolver.resolve("delegated.example")).stale
    assert world.well_known.asked == ["delegated.example"] * 2


# What failed


async def test_a_failed_fetch_goes_on_at_step_4(world: World, resolver: Resolver) -> None:
    """A fetch error is no error for the caller, and it is not `degraded`."""
    world.well_known.answers["srv.example"] = WellKnownFetchError("on fire", temporary=True)
    resolution = await resolver.resolve("srv.example")
    assert (resolution.step, resolution.degraded) == (Step.SRV, False)
    assert "on fire" in resolution.explain()


async def test_the_last_good_answer_outlives_an_outage(world: World) -> None:
    """While asking again fails, the last good answer is given as `stale`, and not asked at will."""
    async with world.resolver(policy=Policy(jitter=0)) as resolver:
        await resolver.resolve("delegated.example")
        world.well_known.answers["delegated.example"] = WellKnownFetchError("down")
        world.clock.advance(DAY)
        for _ in range(3):
            resolution = await resolver.resolve("delegated.example")
            assert (resolution.host_header, resolution.stale) == ("matrix.example:443", True)
            assert resolution.expires_at == datetime.fromtimestamp(world.clock.time() + 60, UTC)
        assert len(world.well_known.asked) == 2
        world.clock.advance(DAY)
        assert (await resolver.resolve("delegated.example")).step is Step.DEFAULT_PORT


async def test_a_failed_srv_lookup_is_degraded(world: World, resolver: Resolver) -> None:
    """Without anything to fall back on, a failed SRV lookup counts as none and says so."""
    world.srv.answers["_matrix-fed._tcp.ill.example"] = SrvLookupError("SERVFAIL")
    world.srv.answers["_matrix._tcp.ill.example"] = [SrvRecord(0, 0, 8450, "old.example")]
    resolution = await resolver.resolve("ill.example")
    assert (resolution.step, resolution.degraded) == (Step.LEGACY_SRV, True)
    world.srv.answers["_matrix-fed._tcp.ill.example"] = [SrvRecord(0, 0, 8450, "new.example")]
    world.clock.advance(5)
    resolution = await resolver.resolve("ill.example")
    assert (resolution.step, resolution.degraded) == (Step.SRV, False)


async def test_a_failed_srv_lookup_can_raise(world: World) -> None:
    """`srv_failure="raise"` raises for those who would rather have no answer."""
    world.srv.answers["_matrix-fed._tcp.ill.example"] = SrvLookupError("SERVFAIL")
    async with world.resolver(policy=Policy(srv_failure="raise")) as resolver:
        with pytest.raises(SrvLookupError, match=r"_matrix-fed\._tcp\.ill\.example: SERVFAIL"):
            await resolver.resolve("ill.example")


@pytest.mark.parametrize("name", ["", "no spaces", "1.2.3", None, b"example.org", []])
async def test_an_invalid_name(resolver: Resolver, name: Any) -> None:
    """What is no server name raises the documented error, with the name and the reason."""
    await resolver.resolve("192.0.2.1")
    with pytest.raises(InvalidServerNameError) as caught:
        await resolver.resolve(name)
    assert caught.value.server_name == name
    assert caught.value.reason


class Named(str):
    """Text that prints as something else."""

    def __str__(self) -> str:
        return "evil.example"


async def test_a_subclass_of_str(resolver: Resolver) -> None:
    """The text counts, not what a subclass of `str` prints."""
    resolution = await resolver.resolve(Named("example.org:80"))
    assert (str(resolution.host_header), str(resolution.server_name)) == ("example.org:80",) * 2
    assert await resolver.resolve("example.org:80") is resolution


# Endpoints


def _to(*hosts: str) -> Resolution:
    return Resolution(
        server_name=ServerName.parse("example.org"),
        step=Step.SRV,
        host_header="example.org",
        tls_name="example.org",
        targets=tuple(Target(host=host, port=8448) for host in hosts),
    )


async def _addresses(resolver: Resolver, *hosts: str) -> list[tuple[str, str]]:
    endpoints = await resolver.endpoints(_to(*hosts))
    return [(endpoint.target.host, str(endpoint.address)) for endpoint in endpoints]


async def test_endpoints_keep_the_order_of_targets(world: World, resolver: Resolver) -> None:
    """Targets stay in order, though the first answers last; families take turns within each."""

    async def late(_: str) -> list[str]:
        await asyncio.sleep(0.02)
        return ["192.0.3.1", "192.0.3.2", "2a00::1"]

    world.addresses.answers |= {"a.example": late, "b.example": ["192.0.3.9"]}
    assert await _addresses(resolver, "a.example", "2a00::7", "b.example") == [
        ("a.example", "2a00::1"),
        ("a.example", "192.0.3.1"),
        ("a.example", "192.0.3.2"),
        ("2a00::7", "2a00::7"),
        ("b.example", "192.0.3.9"),
    ]


async def test_endpoints_are_looked_up_at_once_and_once(world: World, resolver: Resolver) -> None:
    """Lookups run side by side, are shared, and are remembered for their TTL."""
    both = asyncio.Barrier(2)

    async def meeting(_: str) -> AddressReply:
        await asyncio.wait_for(both.wait(), 5)
        return AddressReply(
            (await FakeAddresses({"x": ["192.0.3.1"]}).lookup_addresses("x")).addresses, 60
        )

    world.addresses.answers |= {"a.example": meeting, "b.example": meeting}
    for _ in range(2):
        await asyncio.gather(*(_addresses(resolver, "a.example", "b.example") for _ in range(5)))
    assert sorted(world.addresses.asked) == ["a.example", "b.example"]
    world.addresses.answers["a.example"] = ["192.0.3.5"]
    world.clock.advance(60)
    assert await _addresses(resolver, "a.example") == [("a.example", "192.0.3.5")]


async def test_forbidden_addresses_are_left_out(world: World, resolver: Resolver) -> None:
    """What the policy forbids is not given; when it forbids all, that is an error of its own."""
    world.addresses.answers |= {"a.example": ["10.0.0.1", "192.0.3.1"], "b.example": ["127.0.0.1"]}
    assert await _addresses(resolver, "a.example", "b.example") == [("a.example", "192.0.3.1")]
    with pytest.raises(AddressNotAllowedError) as caught:
        await resolver.endpoints(_to("b.example", "::1"))
    assert [str(address) for address in caught.value.addresses] == ["127.0.0.1", "::1"]


async def test_one_allowed_address_among_many(world: World, resolver: Resolver) -> None:
    """However many forbidden addresses stand before it, an allowed one is given."""
    many = [f"10.0.{n}.{m}" for n in range(10) for m in range(1, 200)]
    world.addresses.answers["a.example"] = [*many, "192.0.3.1"]
    assert await _addresses(resolver, "a.example") == [("a.example", "192.0.3.1")]


def _private(target: int, count: int = 4096) -> list[IPv4Address]:
    first = int(IPv4Address("10.0.0.0")) + target * 4096
    return [IPv4Address(first + n) for n in range(count)]


async def test_very_many_forbidden_addresses(world: World, resolver: Resolver) -> None:
    """Of 65,536 addresses an error holds some and names a few."""
    hosts = [f"t{n}.example" for n in range(16)]
    world.addresses.answers |= {host: AddressReply(_private(n), 60) for n, host in enumerate(hosts)}
    for _ in range(2):  # asked, and remembered
        with pytest.raises(AddressNotAllowedError) as caught:
            await resolver.endpoints(_to(*hosts))
        assert (len(caught.value.addresses), caught.value.count) == (256, 16 * 4096)
        assert str(caught.value).endswith("10.0.0.6, 10.0.0.7 and 65,528 more")
        assert len(str(caught.value)) < 200


async def test_the_loop_turns_while_many_addresses_are_judged(
    world: World, resolver: Resolver
) -> None:
    """Who judges thousands of addresses lets others run meanwhile."""
    world.addresses.answers["t.example"] = AddressReply(_private(0), 60)
    turns = 0

    async def judged() -> None:
        with pytest.raises(AddressNotAllowedError):
            await resolver.endpoints(_to("t.example"))

    await judged()
    judging = asyncio.create_task(judged())  # they are remembered now: nothing else is waited for
    while not judging.done():
        await asyncio.sleep(0)
        turns += 1
    assert turns >= 4096 / 512


@pytest.mark.parametrize(("before", "found"), [(255, True), (256, False)])
async def test_where_the_search_for_an_allowed_address_ends(
    world: World, resolver: Resolver, before: int, found: bool
) -> None:
    """Of 16 targets each is searched for an allowed address as far as any other."""
    hosts = [f"t{n}.example" for n in range(16)]
    good = IPv4Address("192.0.3.1")
    for n, host in enumerate(hosts):
        answer = _private(n) if n < 15 else [*_private(n, before), good]
        world.addresses.answers[host] = AddressReply(answer, 60)
    if not found:
        with pytest.raises(AddressNotAllowedError):
            await resolver.endpoints(_to(*hosts))
    else:
        assert await _addresses(resolver, *hosts) == [("t15.example", "192.0.3.1")]


async def test_addresses_as_text(world: World) -> None:
    """A plug-in may give addresses as text."""

    class Addresses:
        async def lookup_addresses(self, hostname: str, /) -> AddressReply:
            """Answer in text."""
            return AddressReply(["192.0.3.1"])

    async with world.resolver(addresses=Addresses()) as resolver:
        assert await _addresses(resolver, "a.example") == [("a.example", "192.0.3.1")]


async def test_an_address_policy_that_allows(world: World) -> None:
    """`allow` lets a private network through."""
    world.addresses.answers["a.example"] = ["10.0.0.1"]
    async with world.resolver(address_policy=AddressPolicy(allow=["10.0.0.0/8"])) as resolver:
        assert await _addresses(resolver, "a.example") == [("a.example", "10.0.0.1")]


async def test_no_addresses(world: World, resolver: Resolver) -> None:
    """No addresses and a failed lookup are told apart by `temporary`; one target is enough."""
    world.addresses.answers |= {
        "ill.example": AddressLookupError("SERVFAIL"),
        "a.example": ["192.0.3.1"],
    }
    with pytest.raises(AddressLookupError, match=r"no addresses exist for none\.example") as none:
        await resolver.endpoints(_to("none.example"))
    with pytest.raises(AddressLookupError, match=r"ill\.example: SERVFAIL") as failed:
        await resolver.endpoints(_to("ill.example", "none.example"))
    assert (none.value.temporary, failed.value.temporary) == (False, True)
    assert await _addresses(resolver, "ill.example", "a.example") == [("a.example", "192.0.3.1")]


async def test_at_most_max_targets_addresses(world: World) -> None:
    """Of a host with very many addresses `max_targets` are given, of both families."""
    world.addresses.answers["a.example"] = [f"192.0.3.{n}" for n in range(1, 200)] + ["2a00::1"]
    async with world.resolver(policy=Policy(max_targets=4)) as resolver:
        assert await _addresses(resolver, "a.example") == [
            ("a.example", ip) for ip in ("2a00::1", "192.0.3.1", "192.0.3.2", "192.0.3.3")
        ]


# Ownership


async def test_closed(world: World) -> None:
    """After closing, which may be done twice, everything raises `RuntimeError`."""
    resolver = world.resolver()
    resolution = await resolver.resolve("192.0.2.1")
    await resolver.aclose()
    await resolver.aclose()
    with pytest.raises(RuntimeError, match="closed"):
        await resolver.resolve("192.0.2.1")
    with pytest.raises(RuntimeError, match="closed"):
        await resolver.endpoints(resolution)
    with pytest.raises(RuntimeError, match="closed"):
        async with resolver:
            pass


@pytest.mark.parametrize(
    "ask",
    [
        pytest.param(lambda resolver: resolver.resolve("a.example"), id="resolve"),
        pytest.param(lambda resolver: resolver.endpoints(_to("a.example")), id="endpoints"),
    ],
)
async def test_who_waits_when_it_is_closed(world: World, ask: Callable[[Resolver], Any]) -> None:
    """Whatever waits on a resolver ends with `RuntimeError` when it is closed."""
    world.well_known.delay = world.srv.delay = world.addresses.delay = 3600
    resolver = world.resolver()
    waiting = [asyncio.ensure_future(ask(resolver)) for _ in range(3)]
    await asyncio.sleep(0.01)
    await resolver.aclose()
    results = await asyncio.wait_for(asyncio.gather(*waiting, return_exceptions=True), 5)
    assert [str(result) for result in results] == ["the resolver was closed"] * 3
    assert {type(result) for result in results} == {RuntimeError}


async def test_closing_waits_for_what_ends(world: World) -> None:
    """Closing returns when the plug-ins have cleaned up, not before."""
    ended = asyncio.Event()

    async def fetch(_: str) -> None:
        try:
            await asyncio.sleep(3600)
        finally:
            await asyncio.sleep(0.01)
            ended.set()

    world.well_known.answers["a.example"] = fetch
    resolver = world.resolver()
    waiting = asyncio.ensure_future(resolver.resolve("a.example"))
    await asyncio.sleep(0.01)
    await resolver.aclose()
    assert ended.is_set()
    await asyncio.gather(waiting, return_exceptions=True)


def test_another_event_loop(world: World) -> None:
    """In a second event loop every use raises at once, of a kept name too."""
    resolver = world.resolver()
    resolution = asyncio.run(resolver.resolve("192.0.2.1"))
    uses = (
        lambda: resolver.resolve("192.0.2.1"),
        lambda: resolver.resolve("other.example"),
        lambda: resolver.endpoints(resolution),
        lambda: resolver.aclose(),
    )
    for use in uses:
        with pytest.raises(RuntimeError, match="event loop"):
            asyncio.run(use())


async def test_another_thread(world: World, resolver: Resolver) -> None:
    """A loop in another thread gets `RuntimeError`, though the resolver's own is running."""
    await resolver.resolve("192.0.2.1")
    with pytest.raises(RuntimeError, match="event loop"):
        await asyncio.to_thread(asyncio.run, resolver.resolve("192.0.2.1"))


def _in_child(use: Callable[[], Any]) -> str:
    """Fork, call `use` in the child, and return how that ended."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            use()
            told = "nothing raised"
        except BaseException as error:
            told = f"{type(error).__name__}: {error}"
        os.write(writing, told.encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        told = pipe.read()
    os.waitpid(pid, 0)
    return told


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.parametrize("name", ["192.0.2.1", "other.example"], ids=["kept", "unknown"])
async def test_after_a_fork(resolver: Resolver, name: str) -> None:
    """In a forked child every use raises at once, in a new loop and in the inherited one."""

    def in_this_loop() -> None:
        coroutine = resolver.resolve(name)
        try:
            coroutine.send(None)
        except StopIteration:
            pass
        finally:
            coroutine.close()

    await resolver.resolve("192.0.2.1")
    told = _in_child(lambda: asyncio.run(resolver.resolve(name)))
    assert told.startswith("RuntimeError: a resolver belongs to")
    assert _in_child(in_this_loop).startswith("RuntimeError")
    assert (await resolver.resolve("192.0.2.1")).step is Step.IP_LITERAL


async def test_closing_between_two_questions(world: World) -> None:
    """A resolve whose fetch has just landed asks nothing more once the resolver is closed."""
    landed = asyncio.Event()

    async def fetch(_: str) -> dict[str, str]:
        landed.set()
        return {"m.server": "matrix.example"}

    world.well_known.answers["a.example"] = fetch
    resolver = world.resolver(policy=Policy(srv_head_start=False))
    waiting = asyncio.ensure_future(resolver.resolve("a.example"))
    await landed.wait()
    await asyncio.sleep(0)
    await resolver.aclose()
    with pytest.raises(RuntimeError, match="closed"):
        await waiting
    assert world.srv.asked == []


async def test_closing_at_any_step(world: World) -> None:
    """Wherever a resolve is when its resolver is closed, nothing is kept that could be given."""
    outcomes = set()
    for steps in range(40):
        resolver = world.resolver(cache=MemoryCache(clock=world.clock))
        waiting = asyncio.ensure_future(resolver.resolve("a.example"))
        for _ in range(steps):
            await asyncio.sleep(0)
        await resolver.aclose()
        (result,) = await asyncio.gather(waiting, return_exceptions=True)
        outcomes.add(type(result))
        with pytest.raises(RuntimeError, match="closed"):
            await resolver.resolve("a.example")
    assert outcomes == {Resolution, RuntimeError}
