"""Storms and outages through real sockets: coalescing, stale answers, recovery."""

import asyncio
from typing import Any

import pytest
from worlds import DAY, FED, HOUR, MINUTE, OLD, all_landed

from matrix_resolve import Policy, Step
from matrix_resolve.hooks.events import CacheHit
from matrix_resolve.testing import (
    Certificate,
    DnsFault,
    FakeClock,
    LoopbackFederation,
    Reply,
    Silent,
)

WELL_KNOWN = "/.well-known/matrix/server"
# c-ares repeats what it has for up to a second, whatever a fake clock says.
CARES_KEEPS = 1.1


async def test_a_thousand_callers(loopback_federation: LoopbackFederation) -> None:
    """1,000 callers of one cold name make one fetch and at most six DNS questions."""
    loopback_federation.add("cold.example", delegates_to="matrix.example")
    async with loopback_federation.resolver() as resolver:
        results = await asyncio.gather(*(resolver.resolve("cold.example") for _ in range(1000)))
    assert {resolution.step for resolution in results} == {Step.WELL_KNOWN_DEFAULT_PORT}
    assert loopback_federation.request_counts.total() == 1
    assert loopback_federation.dns_questions.total() <= 6


TROUBLE: dict[str, dict[str, Any]] = {
    "503": {"well_known": Reply(503)},
    "time-out": {"well_known": Silent()},
    "refused": {"delegates_to": "hs.example:1", "ports": ()},
    "expired certificate": {"delegates_to": "hs.example:1", "certificate": Certificate.EXPIRED},
    "DNS fails": {"delegates_to": "hs.example:1", "dns": DnsFault.SERVFAIL},
}


@pytest.mark.parametrize("trouble", TROUBLE.values(), ids=TROUBLE)
async def test_an_hour_of_trouble(
    loopback_federation: LoopbackFederation, trouble: dict[str, Any]
) -> None:
    """Every resolve in the hour gives the last good answer; the server is asked eight times."""
    fed = loopback_federation
    good: dict[str, Any] = {"delegates_to": "hs.example:1"}
    fed.add("a.example", **good)
    clock = FakeClock()
    policy = Policy(well_known_timeout=0.4, stale_answer_delay=2)
    async with fed.resolver(policy=policy, clock=clock) as resolver:
        first = await resolver.resolve("a.example")
        assert first.expires_at is not None
        lifetime = first.expires_at.timestamp() - clock.time()
        clock.advance(lifetime - 19.5 * MINUTE)
        fed.add("a.example", **trouble)
        fed.reset_counts()
        await asyncio.sleep(CARES_KEEPS if "dns" in trouble else 0)
        stale = []
        for _ in range(60):
            resolution = await resolver.resolve("a.example")
            assert resolution.host_header == "hs.example:1"
            stale.append(resolution.stale)
            await all_landed(resolver)
            clock.advance(MINUTE)
        assert stale == [False] * 20 + [True] * 40
        asked = fed.connections["a.example", 443], fed.request_counts["a.example", WELL_KNOWN]
        if trouble.get("dns") is None:
            assert max(asked) <= 8
        fed.add("a.example", **good)
        await asyncio.sleep(CARES_KEEPS if "dns" in trouble else 0)
        clock.advance(HOUR)
        assert not (await resolver.resolve("a.example")).stale


async def test_records_published_after_a_negative_answer(
    loopback_federation: LoopbackFederation,
) -> None:
    """They are seen when `srv_negative_ttl` ends, though c-ares would keep "none" for longer."""
    fed = loopback_federation
    fed.add("a.example", negative_ttl=3600)
    clock = FakeClock()
    policy = Policy(refresh_ahead=0)
    async with fed.resolver(policy=policy, clock=clock) as resolver:
        assert (await resolver.resolve("a.example")).step is Step.DEFAULT_PORT
        fed.add("a.example", srv=[("hs.example", 8450)])
        await asyncio.sleep(CARES_KEEPS)
        clock.advance(15 * MINUTE - 1)
        assert (await resolver.resolve("a.example")).step is Step.DEFAULT_PORT
        clock.advance(1)
        assert (await resolver.resolve("a.example")).step is Step.SRV


async def test_servfail_after_a_good_answer(loopback_federation: LoopbackFederation) -> None:
    """The good records are given, stale; without any the answer is degraded, then healthy again."""
    fed = loopback_federation
    for name in ("known.example", "new.example"):
        fed.add(name, srv=[("hs.example", 8450)], ttl=300)
    clock = FakeClock()
    async with fed.resolver(clock=clock) as resolver:
        await resolver.resolve("known.example")
        for name in ("known.example", "new.example"):
            fed.dns_faults[FED + name, "SRV"] = DnsFault.SERVFAIL
            fed.dns_faults[OLD + name, "SRV"] = DnsFault.SERVFAIL
        clock.advance(301)
        await asyncio.sleep(CARES_KEEPS)
        known = await resolver.resolve("known.example")
        assert (known.step, known.stale, known.degraded) == (Step.SRV, True, False)
        assert (await resolver.resolve("new.example")).degraded
        fed.dns_faults.clear()
        await asyncio.sleep(CARES_KEEPS)
        clock.advance(MINUTE)
        for name in ("known.example", "new.example"):
            resolution = await resolver.resolve(name)
            assert (resolution.step, resolution.stale) == (Step.SRV, False)


async def test_dns_down_for_an_hour(loopback_federation: LoopbackFederation) -> None:
    """100 names first met while DNS is down are each right within a minute of its recovery."""
    fed = loopback_federation
    names = [f"n{number}.example" for number in range(100)]
    for name in names:
        fed.add(name, delegates_to=f"hs.{name}:1")
    clock = FakeClock()
    policy = Policy(dns_timeout=0.5)
    async with fed.resolver(policy=policy, clock=clock) as resolver:
        fed.dns_down = True
        for _ in range(4):
            results = await asyncio.gather(*map(resolver.resolve, names))
            assert {(r.step, r.degraded) for r in results} == {(Step.DEFAULT_PORT, True)}
            clock.advance(15 * MINUTE)
        fed.dns_down = False
        clock.advance(MINUTE)
        for name in names:  # one by one: half a second is little when all are asked at once
            assert (await resolver.resolve(name)).host_header == f"hs.{name}:1"


async def test_a_day_later_everything_is_refreshed_ahead(
    loopback_federation: LoopbackFederation,
) -> None:
    """A name in use never waits and is never stale, day after day."""
    fed = loopback_federation
    fed.add("a.example", delegates_to="matrix.example", ttl=3600, negative_ttl=3600)
    fed.add("matrix.example", srv=[("hs.example", 8450)], ttl=3600)
    clock = FakeClock()
    told: list[object] = []
    times = int(2 * DAY / (2.5 * MINUTE))
    async with fed.resolver(clock=clock, hooks=[told.append]) as resolver:
        await resolver.resolve("a.example")
        for _ in range(times):
            clock.advance(2.5 * MINUTE)
            resolution = await resolver.resolve("a.example")
            assert not resolution.stale
            await all_landed(resolver)
    assert sum(isinstance(event, CacheHit) for event in told) == times
    assert 2 <= fed.request_counts["a.example", WELL_KNOWN] <= 4
