"""What hooks are told of resolves and requests as a whole: a beginning each, and one end."""

import asyncio
from contextlib import suppress
from typing import Any

import pytest
from attrs import evolve
from worlds import FED, HANGS, HOUR, OLD, Gate, World, settled

from matrix_resolve import (
    AddressPolicy,
    ConnectError,
    InvalidServerNameError,
    Policy,
    Resolver,
    ServerName,
    ServiceNotOfferedError,
    SrvLookupError,
    SrvRecord,
    Step,
    Target,
    WellKnownFetchError,
)
from matrix_resolve.hooks import (
    RequestAnswered,
    RequestBegun,
    RequestFailed,
    ResolveBegun,
    Resolved,
    ResolveFailed,
    TargetFailed,
)
from matrix_resolve.testing import LoopbackFederation, Reply, Silent

NAME = ServerName.parse("a.example")
RESOLVES = (ResolveBegun, Resolved, ResolveFailed)
REQUESTS = (RequestBegun, RequestAnswered, TargetFailed, RequestFailed)
ASKED = Resolved(
    server_name=NAME,
    step=Step.WELL_KNOWN_EXPLICIT_PORT,
    duration=0.0,
    from_cache=False,
    stale=False,
    degraded=False,
)
CACHED = evolve(ASKED, from_cache=True)
BEGUN = ResolveBegun(server_name=NAME)


@pytest.fixture
def world() -> World:
    """Plug-ins of which one knows a delegation."""
    world = World()
    world.well_known.answers["a.example"] = {"m.server": "b.example:1"}
    return world


def told_of(world: World, kinds: tuple[type, ...] = RESOLVES) -> list[Any]:
    """Return what has been told of these kinds since the last call."""
    told = [event for event in world.told if isinstance(event, kinds)]
    world.told.clear()
    return told


def listening(world: World, **settings: Any) -> Resolver:
    """Return a resolver whose hook keeps what it is told."""
    return world.resolver(hooks=[world.told.append], **settings)


# Resolves


async def test_asked_and_remembered(world: World) -> None:
    """The first resolve asks, and tells how long; the next ones are from the cache."""

    def answering(_: str) -> dict[str, str]:
        world.clock.advance(0.25)
        return {"m.server": "b.example:1"}

    world.well_known.answers["a.example"] = answering
    async with listening(world) as resolver:
        await resolver.resolve("a.example")
        first = told_of(world)
        assert first[1].duration == pytest.approx(0.25)
        assert first == [BEGUN, evolve(ASKED, duration=first[1].duration)]
        assert first[1].outcome == "asked"
        for name in ("a.example", NAME):
            await resolver.resolve(name)
            begun, resolved = told_of(world)
            assert (begun, resolved) == (BEGUN, CACHED)
            assert resolved.outcome == "cached"


async def test_from_a_cache_of_others(world: World) -> None:
    """What another process has asked is from the cache, though this resolver has not seen it."""
    async with world.resolver() as other:
        await other.resolve("a.example")
    async with listening(world) as resolver:
        await resolver.resolve("a.example")
    assert told_of(world) == [BEGUN, CACHED]


async def test_several_targets(world: World) -> None:
    """A kept name whose targets are drawn anew each time is told like any other."""
    records = [SrvRecord(0, 1, 1, "b.example"), SrvRecord(0, 1, 2, "c.example")]
    world.srv.answers[FED + "s.example"] = records
    async with listening(world) as resolver:
        for _ in range(3):
            await resolver.resolve("s.example")
    assert [type(event) for event in told_of(world)] == [ResolveBegun, Resolved] * 3


async def test_stale_and_degraded(world: World) -> None:
    """Both are told as they stand in the resolution."""
    world.srv.answers |= dict.fromkeys((FED + "d.example", OLD + "d.example"), SrvLookupError("x"))
    async with listening(world) as resolver:
        await resolver.resolve("a.example")
        world.clock.advance(25 * HOUR)
        world.well_known.answers["a.example"] = WellKnownFetchError("no route")
        told_of(world)
        assert (await resolver.resolve("a.example")).stale
        (_, stale) = told_of(world)
        assert (stale.stale, stale.degraded) == (True, False)
        assert (await resolver.resolve("d.example")).degraded
        (_, degraded) = told_of(world)
        assert (degraded.stale, degraded.degraded) == (False, True)


NOT_OFFERED = [SrvRecord(0, 0, 8448, ".")]
FAILURES: dict[str, tuple[Any, type[Exception]]] = {
    "not offered": (NOT_OFFERED, ServiceNotOfferedError),
    "no answer": (SrvLookupError("SERVFAIL"), SrvLookupError),
    "a bug": (ZeroDivisionError("bug"), ZeroDivisionError),
}


@pytest.mark.parametrize(("answer", "error"), FAILURES.values(), ids=FAILURES)
async def test_failed(world: World, answer: Any, error: type[Exception]) -> None:
    """A resolve that raises tells that error."""
    world.srv.answers |= {FED + "f.example": answer, OLD + "f.example": answer}
    async with listening(world, policy=Policy(srv_failure="raise")) as resolver:
        with pytest.raises(error) as raised:
            await resolver.resolve("f.example")
    begun, failed = told_of(world)
    assert begun == ResolveBegun(server_name=ServerName.parse("f.example"))
    assert (failed.server_name, failed.error) == (begun.server_name, raised.value)
    assert failed.outcome == "failed"


async def test_given_up_and_closed(world: World) -> None:
    """A caller that gives up, and a resolver that is closed, end what had begun."""
    world.well_known.answers |= {"g.example": Gate(), "h.example": Gate()}
    async with listening(world) as resolver:
        task, left = (
            asyncio.create_task(resolver.resolve(name)) for name in ("g.example", "h.example")
        )
        await settled()
        world.clock.advance(0.5)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        *begun, cancelled = told_of(world)
        assert [type(event) for event in begun] == [ResolveBegun] * 2
        assert (cancelled.outcome, cancelled.duration) == ("cancelled", pytest.approx(0.5))
    await asyncio.gather(left, return_exceptions=True)
    (closed,) = told_of(world)
    assert (closed.outcome, str(closed.server_name)) == ("failed", "h.example")


async def test_refreshed(world: World) -> None:
    """A name that is refreshed on demand is resolved, and told as that."""
    async with listening(world) as resolver:
        for resolve in (resolver.resolve, resolver.refresh):
            await resolve("a.example")
            assert told_of(world) == [BEGUN, ASKED]


async def test_no_server_name(world: World) -> None:
    """What is no server name has nothing to be told of."""
    async with listening(world) as resolver:
        with pytest.raises(InvalidServerNameError):
            await resolver.resolve("no name")
    assert world.told == []


# Requests


async def test_answers(loopback_federation: LoopbackFederation) -> None:
    """A request tells where it was answered, with what, how long that took, by which connection."""
    federation, world = loopback_federation, World()
    federation.add("a.example", delegates_to="b.example:8450")
    federation.add("b.example", serves=Reply(status=403))
    async with (
        asyncio.timeout(HANGS),
        federation.resolver(hooks=[world.told.append]) as resolver,
        federation.client(resolver) as client,
    ):
        for _ in range(2):
            async with client.request("PUT", "a.example", "/") as response:
                assert world.told[-1].status == response.status == 403
                await response.read()
    kinds = (*REQUESTS, ResolveBegun, Resolved)
    first_begun, begun, resolved, first, *again = told_of(world, kinds)
    assert first_begun == RequestBegun(server_name=NAME, method="PUT")
    assert (begun, type(resolved)) == (BEGUN, Resolved)
    assert 0 < resolved.duration < first.duration < HANGS
    assert first == RequestAnswered(
        server_name=NAME,
        method="PUT",
        target=Target(host="b.example", port=8450),
        status=403,
        duration=first.duration,
        reused=False,
    )
    assert first.outcome == "4xx"
    assert again[-1] == evolve(first, duration=again[-1].duration, reused=True)


async def test_targets_that_fail(loopback_federation: LoopbackFederation) -> None:
    """Each target without a connection is told, with why, before the one that answers."""
    federation, world = loopback_federation, World()
    targets = [("dead.example", 8450), ("live.example", 8451)]
    federation.add("a.example", srv=targets)
    federation.add("dead.example", ports=())
    async with (
        asyncio.timeout(HANGS),
        federation.resolver(hooks=[world.told.append]) as resolver,
        federation.client(resolver) as client,
        client.request("GET", ServerName.parse("a.example"), "/"),
    ):
        pass
    _, failed, answered = told_of(world, REQUESTS)
    assert (failed.server_name, str(failed.target)) == (NAME, "dead.example:8450")
    assert "dead.example:8450 at " in failed.reason
    assert (failed.own_trouble, answered.target.host) == (False, "live.example")
    assert failed.duration < answered.duration


async def test_our_own_trouble(loopback_federation: LoopbackFederation) -> None:
    """That DNS can't be asked for a target's addresses is told as trouble of our own."""
    federation, world = loopback_federation, World()
    federation.add("a.example")
    async with (
        asyncio.timeout(HANGS),
        federation.resolver(hooks=[world.told.append]) as resolver,
        federation.client(resolver) as client,
    ):
        federation.dns_down = True
        with pytest.raises(ConnectError):
            async with client.request("GET", "a.example:8448", "/"):
                pass
    _, target, failed = told_of(world, REQUESTS)
    assert target.own_trouble
    assert failed.outcome == "unreachable"


async def test_no_response(loopback_federation: LoopbackFederation) -> None:
    """A request that raises tells that error, once, and a dead server's target once in a while."""
    federation, world = loopback_federation, World()
    federation.add("dead.example", ports=())
    federation.add("mute.example", serves=Silent())
    federation.add("none.example", srv=[SrvRecord(0, 0, 8448, ".")])
    wanted = {
        "dead.example:1": "unreachable",
        "mute.example:1": "timed_out",
        "none.example": "unresolved",
    }
    async with (
        asyncio.timeout(HANGS),
        federation.resolver(hooks=[world.told.append]) as resolver,
        federation.client(resolver) as client,
    ):
        for name, outcome in wanted.items():
            with pytest.raises((ConnectError, TimeoutError, ServiceNotOfferedError)) as raised:
                async with client.request("GET", name, "/", timeout=1.0):
                    pass
            begun, *_, failed = told_of(world, REQUESTS)
            assert (begun.server_name, begun.method) == (ServerName.parse(name), "GET")
            assert (failed.error, failed.outcome) == (raised.value, outcome)
        with suppress(ConnectError):
            async with client.request("GET", "dead.example:1", "/"):
                pass
        assert [type(event) for event in told_of(world, REQUESTS)] == [RequestBegun, RequestFailed]


async def test_forbidden(loopback_federation: LoopbackFederation) -> None:
    """That the address policy forbids a target is told of it, and of the request."""
    federation, world = loopback_federation, World()
    federation.add("a.example")
    async with (
        asyncio.timeout(HANGS),
        federation.resolver(hooks=[world.told.append], address_policy=AddressPolicy()) as resolver,
        federation.client(resolver, connect_to={}) as client,
    ):
        with pytest.raises(Exception, match="forbids every address"):
            async with client.request("GET", "a.example:1", "/"):
                pass
    _, target, failed = told_of(world, REQUESTS)
    assert "the address policy forbids it" in target.reason
    assert failed.outcome == "forbidden"


async def test_given_up_before_its_turn(loopback_federation: LoopbackFederation) -> None:
    """A caller that gives up while it waits for its turn ends what had begun."""
    federation, world = loopback_federation, World()
    federation.add("a.example")
    async with (
        asyncio.timeout(HANGS),
        federation.resolver(hooks=[world.told.append]) as resolver,
        federation.client(resolver, max_connections_per_server=1) as client,
        client.request("GET", "a.example:1", "/"),
    ):
        told_of(world)
        waiting = asyncio.create_task(client.request("GET", "a.example:1", "/").__aenter__())
        await settled()
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        begun, failed = told_of(world, REQUESTS)
    assert isinstance(begun, RequestBegun)
    assert failed.outcome == "cancelled"


async def test_what_is_no_request(loopback_federation: LoopbackFederation) -> None:
    """What can't be sent as it stands is an error without an event."""
    world = World()
    async with (
        loopback_federation.resolver(hooks=[world.told.append]) as resolver,
        loopback_federation.client(resolver) as client,
    ):
        for name, path in (("a.example", "no path"), ("no name", "/")):
            with pytest.raises(ValueError, match="not a"):
                async with client.request("GET", name, path):
                    pass
    assert world.told == []
