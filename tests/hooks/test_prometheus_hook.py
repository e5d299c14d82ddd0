"""The metrics of a resolver: what is counted, timed, and there from the start."""

import asyncio
import random
from contextlib import suppress
from inspect import signature
from typing import Any, NoReturn
from urllib.request import urlopen

import pytest
from aiohttp import ServerDisconnectedError, ServerTimeoutError
from prometheus_client import REGISTRY, CollectorRegistry, start_http_server
from worlds import FED, HANGS, HOUR, OLD, Gate, settled

from matrix_resolve import (
    AddressNotAllowedError,
    CacheEntry,
    CacheError,
    ConnectError,
    InvalidServerNameError,
    MemoryCache,
    Policy,
    Question,
    Resolver,
    ServerName,
    ServiceNotOfferedError,
    SrvLookupError,
    SrvRecord,
    Target,
    WellKnownFetchError,
)
from matrix_resolve.hooks.events import CacheHit, RequestAnswered, RequestFailed, TargetFailed
from matrix_resolve.hooks.prometheus import PrometheusHook
from matrix_resolve.testing import (
    FakeAddresses,
    FakeClock,
    FakeSrv,
    FakeWellKnown,
    LoopbackFederation,
    Raw,
)

NAME = ServerName.parse("a.example")

KINDS = ("well_known", "srv", "addresses")
OUTCOMES = ("found", "none", "failed")
REQUESTS = {"2xx", "3xx", "4xx", "5xx", "other", "unreachable", "forbidden", "unresolved"} | {
    "timed_out",
    "cancelled",
    "failed",
}


@pytest.fixture
def clock() -> FakeClock:
    """A clock that stands still."""
    return FakeClock()


@pytest.fixture
def registry() -> CollectorRegistry:
    """A registry without any metric yet."""
    return CollectorRegistry()


@pytest.fixture
def parts(clock: FakeClock, registry: CollectorRegistry) -> dict[str, Any]:
    """The arguments of a resolver over fakes that find nothing yet, with the hook under test."""
    return {
        "well_known": FakeWellKnown(),
        "srv": FakeSrv(),
        "addresses": FakeAddresses(),
        "cache": MemoryCache(clock=clock),
        "policy": Policy(srv_head_start=False, jitter=0.0),
        "clock": clock,
        "rng": random.Random(1),
        "hooks": [PrometheusHook(registry)],
    }


def _value(registry: CollectorRegistry, name: str, **labels: str) -> float:
    value = registry.get_sample_value(f"matrix_resolve_{name}", labels)
    assert value is not None, (name, labels)
    return value


def _series(registry: CollectorRegistry) -> dict[str, float]:
    """Return all series as text -> value, without buckets and the times of their making."""
    return {
        " ".join((sample.name.removeprefix("matrix_resolve_"), *sample.labels.values())): (
            sample.value
        )
        for metric in registry.collect()
        for sample in metric.samples
        if not sample.name.endswith(("_bucket", "_created"))
    }


def _moved(registry: CollectorRegistry) -> dict[str, float]:
    """Return the series that are not 0, without sums of times."""
    return {
        name: value
        for name, value in _series(registry).items()
        if value and "_seconds_sum" not in name
    }


def test_all_series_are_there_from_the_start(registry: CollectorRegistry) -> None:
    """Every series is 0 before the first event, so that its first one shows in a rate."""
    PrometheusHook(registry)
    expected = {
        "cache_hits_total",
        "stale_answers_total",
        "degraded_answers_total",
        "legacy_srv_answers_total 3.4",
        "legacy_srv_answers_total 5",
        "cache_failures_total",
        "task_failures_total",
        "request_duration_seconds_count",
        "request_duration_seconds_sum",
        "reused_connections_total",
        "target_failures_total true",
        "target_failures_total false",
    }
    expected |= {f"requests_total {word}" for word in REQUESTS}
    for word in ("cached", "asked", "computed", "failed", "cancelled"):
        expected |= {f"resolves_total {word}", f"resolve_duration_seconds_count {word}"}
        expected |= {f"resolve_duration_seconds_sum {word}"}
    for kind in KINDS:
        expected |= {f"questions_total {kind} {word}" for word in (*OUTCOMES, "aborted")}
        expected |= {f"refreshes_total {kind} {word}" for word in OUTCOMES}
        expected |= {f"question_{time}_seconds_count {kind}" for time in ("duration", "wait")}
        expected |= {f"question_{time}_seconds_sum {kind}" for time in ("duration", "wait")}
        expected |= {f"questions_in_flight {kind}"}
    assert _series(registry) == dict.fromkeys(expected, 0.0)


async def test_a_cold_name_and_hits(parts: dict[str, Any], registry: CollectorRegistry) -> None:
    """Questions count by kind and outcome, one begun early too; resolves without any are hits."""
    parts["srv"].answers[FED + "a.example"] = [SrvRecord(0, 0, 8450, "b.example")]
    parts["srv"].answers[OLD + "a.example"] = Gate()  # not needed, so given up
    parts["addresses"].answers["b.example"] = ["1.2.3.4"]
    async with Resolver(**parts) as resolver:
        resolution = await resolver.resolve("a.example")
        await resolver.endpoints(resolution)
        assert _value(registry, "cache_hits_total") == 0
        for _ in range(3):
            await resolver.resolve("a.example")
    assert _moved(registry) == {
        "cache_hits_total": 3,
        "resolves_total asked": 1,
        "resolves_total cached": 3,
        "resolve_duration_seconds_count asked": 1,
        "resolve_duration_seconds_count cached": 3,
        "questions_total well_known none": 1,
        "questions_total srv found": 1,
        "questions_total srv aborted": 1,
        "questions_total addresses found": 1,
        "question_wait_seconds_count well_known": 1,
        "question_wait_seconds_count srv": 2,
        "question_wait_seconds_count addresses": 1,
        "question_duration_seconds_count well_known": 1,
        "question_duration_seconds_count srv": 1,
        "question_duration_seconds_count addresses": 1,
    }


async def test_in_flight_and_times(
    parts: dict[str, Any], registry: CollectorRegistry, clock: FakeClock
) -> None:
    """In flight is who has a slot; the time to get one and the time to the answer are apart."""
    gates = [Gate({"m.server": "z.example:1"}) for _ in range(2)]
    names = ("a.example", "b.example")
    parts["well_known"].answers |= zip(names, gates, strict=True)
    parts["policy"] = Policy(max_well_known_fetches=1, srv_head_start=False)
    of = {"kind": "well_known"}
    async with Resolver(**parts) as resolver:
        tasks = [asyncio.create_task(resolver.resolve(name)) for name in names]
        await settled()
        assert _value(registry, "questions_in_flight", **of) == 1
        clock.advance(3.0)
        gates[0].opened.set()
        await settled()
        assert _value(registry, "questions_in_flight", **of) == 1
        clock.advance(0.2)
        gates[1].opened.set()
        await asyncio.gather(*tasks)
    assert _value(registry, "questions_in_flight", **of) == 0
    for series in ("question_wait_seconds", "question_duration_seconds"):
        assert _value(registry, f"{series}_count", **of) == 2
    assert _value(registry, "question_wait_seconds_sum", **of) == pytest.approx(3.0)
    assert _value(registry, "question_duration_seconds_sum", **of) == pytest.approx(3.2)
    least = [
        _value(registry, "question_duration_seconds_bucket", le=le, **of)
        for le in ("0.005", "0.1", "0.25", "2.5", "5.0", "10.0")
    ]
    assert least == [0, 0, 1, 1, 2, 2]


async def test_resolves(
    parts: dict[str, Any], registry: CollectorRegistry, clock: FakeClock
) -> None:
    """Each `resolve()` counts once, by how it ended, and so does the time that it took."""

    def answering(_: str) -> dict[str, str]:
        clock.advance(0.25)
        return {"m.server": "b.example:1"}

    parts["well_known"].answers |= {"a.example": answering, "bug.example": ZeroDivisionError()}
    async with Resolver(**parts) as resolver:
        for name in ("a.example", "a.example", "a.example", "a.example:8448", "192.0.2.1"):
            await resolver.resolve(name)
        with pytest.raises(ZeroDivisionError):
            await resolver.resolve("bug.example")
        with pytest.raises(InvalidServerNameError):
            await resolver.resolve("no name")
    counted = {"asked": 1, "cached": 2, "computed": 2, "failed": 1, "cancelled": 0}
    for outcome, count in counted.items():
        assert _value(registry, "resolves_total", outcome=outcome) == count
        assert _value(registry, "resolve_duration_seconds_count", outcome=outcome) == count
    took = _value(registry, "resolve_duration_seconds_sum", outcome="asked")
    assert took == pytest.approx(0.25)


TARGET = Target(host="b.example", port=8448)
FAILURES: dict[str, tuple[BaseException, str]] = {
    "dead": (ConnectError("dead"), "unreachable"),
    "forbidden": (AddressNotAllowedError("a.example", ()), "forbidden"),
    "no such service": (ServiceNotOfferedError("a.example"), "unresolved"),
    "late": (TimeoutError(), "timed_out"),
    "late, as aiohttp tells it": (ServerTimeoutError(), "timed_out"),
    "given up": (asyncio.CancelledError(), "cancelled"),
    "cut off": (ServerDisconnectedError(), "failed"),
}


@pytest.mark.parametrize(("error", "outcome"), FAILURES.values(), ids=FAILURES)
def test_failed_requests(registry: CollectorRegistry, error: BaseException, outcome: str) -> None:
    """A request without a response counts by why, and its time does not."""
    failed = RequestFailed(server_name=NAME, method="GET", error=error, duration=1.0)
    PrometheusHook(registry)(failed)
    assert _moved(registry) == {f"requests_total {outcome}": 1}


@pytest.mark.parametrize(
    ("status", "outcome"), [(200, "2xx"), (302, "3xx"), (404, "4xx"), (503, "5xx"), (999, "other")]
)
def test_answered_requests(registry: CollectorRegistry, status: int, outcome: str) -> None:
    """A response counts by its status, of which there are few kinds, whatever a server sends."""
    hook = PrometheusHook(registry)
    for reused in (False, True, True):
        answered = RequestAnswered(
            server_name=NAME,
            method="GET",
            target=TARGET,
            status=status,
            duration=0.2,
            reused=reused,
        )
        hook(answered)
    assert _moved(registry) == {
        f"requests_total {outcome}": 3,
        "request_duration_seconds_count": 3,
        "reused_connections_total": 2,
    }


def test_failed_targets(registry: CollectorRegistry) -> None:
    """Our own trouble is told apart from that of others."""
    hook = PrometheusHook(registry)
    for own in (True, False, False):
        failed = TargetFailed(
            server_name=NAME, target=TARGET, reason="refused", duration=0.2, own_trouble=own
        )
        hook(failed)
    assert _moved(registry) == {"target_failures_total true": 1, "target_failures_total false": 2}


def _page(port: int) -> dict[str, float]:
    """Return what a Prometheus that scrapes the page would see: the series as they stand there."""
    with urlopen(f"http://127.0.0.1:{port}/metrics", timeout=HANGS) as page:
        lines = page.read().decode().splitlines()
    series = (line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    return {name.removeprefix("matrix_resolve_"): float(value) for name, value in series}


async def test_the_page_that_prometheus_reads(
    loopback_federation: LoopbackFederation, registry: CollectorRegistry
) -> None:
    """Hit ratio, latencies, outcomes and stale answers stand on the page, of real requests."""
    clock = FakeClock()
    federation = loopback_federation
    federation.add("a.example", delegates_to="b.example:8450")
    federation.add("b.example", ports=(8450,))
    federation.add("dead.example", ports=())
    server, thread = start_http_server(0, addr="127.0.0.1", registry=registry)
    try:
        async with (
            federation.resolver(clock=clock, hooks=[PrometheusHook(registry)]) as resolver,
            federation.client(resolver) as client,
        ):
            for _ in range(4):
                async with client.request("GET", "a.example", "/") as response:
                    await response.read()
            with pytest.raises(ConnectError):
                async with client.request("GET", "dead.example:1", "/"):
                    pass
            clock.advance(30 * HOUR)
            federation.add("a.example", well_known=Raw(b"no HTTP"))
            assert (await resolver.resolve("a.example")).stale
        page = await asyncio.to_thread(_page, server.server_port)
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
    cached = page['resolves_total{outcome="cached"}']
    asked = page['resolves_total{outcome="asked"}']
    assert (cached, asked) == (3, 2)
    assert cached / (cached + asked) == 0.6
    assert page["stale_answers_total"] == 1
    assert page['resolve_duration_seconds_bucket{le="+Inf",outcome="cached"}'] == 3
    assert page['resolve_duration_seconds_sum{outcome="asked"}'] >= 0
    outcomes = {word: page[f'requests_total{{outcome="{word}"}}'] for word in REQUESTS}
    assert outcomes == dict.fromkeys(REQUESTS, 0) | {"2xx": 4, "unreachable": 1}
    assert page["request_duration_seconds_count"] == 4
    assert 0 < page["request_duration_seconds_sum"] < 4 * HANGS
    assert page["reused_connections_total"] == 3
    assert page['target_failures_total{own_trouble="false"}'] == 1


async def test_stale(parts: dict[str, Any], registry: CollectorRegistry, clock: FakeClock) -> None:
    """A stale answer counts as one, each time that it is given, and its failed question once."""
    parts["well_known"].answers["a.example"] = {"m.server": "b.example:1"}
    async with Resolver(**parts) as resolver:
        await resolver.resolve("a.example")
        clock.advance(25 * HOUR)
        parts["well_known"].answers["a.example"] = WellKnownFetchError("no route")
        for _ in range(2):
            assert (await resolver.resolve("a.example")).stale
    assert _value(registry, "stale_answers_total") == 2
    assert _value(registry, "questions_total", kind="well_known", outcome="failed") == 1
    assert _value(registry, "refreshes_total", kind="well_known", outcome="failed") == 0


async def test_degraded(parts: dict[str, Any], registry: CollectorRegistry) -> None:
    """A resolve that took a failed lookup for no records counts as degraded."""
    parts["srv"].answers |= dict.fromkeys(
        (FED + "a.example", OLD + "a.example"), SrvLookupError("SERVFAIL")
    )
    async with Resolver(**parts) as resolver:
        assert (await resolver.resolve("a.example")).degraded
    assert _value(registry, "degraded_answers_total") == 1
    assert _value(registry, "questions_total", kind="srv", outcome="failed") == 2


@pytest.mark.parametrize(
    ("document", "step", "other"), [({"m.server": "b.example"}, "3.4", "5"), (None, "5", "3.4")]
)
async def test_legacy_srv(
    parts: dict[str, Any], registry: CollectorRegistry, document: Any, step: str, other: str
) -> None:
    """A resolve that deprecated records decided counts under its step."""
    parts["well_known"].answers["a.example"] = document
    host = "a.example" if document is None else "b.example"
    parts["srv"].answers[OLD + host] = [SrvRecord(0, 0, 8450, "c.example")]
    async with Resolver(**parts) as resolver:
        assert (await resolver.resolve("a.example")).step.value == step
    assert _value(registry, "legacy_srv_answers_total", step=step) == 1
    assert _value(registry, "legacy_srv_answers_total", step=other) == 0


REFRESHED: dict[str, tuple[Any, str]] = {
    "the same": ({"m.server": "b.example:1"}, "found"),
    "gone": (None, "none"),
    "in trouble": (WellKnownFetchError("no route"), "failed"),
}


@pytest.mark.parametrize(("answer", "outcome"), REFRESHED.values(), ids=REFRESHED)
async def test_refreshed_ahead(
    parts: dict[str, Any],
    registry: CollectorRegistry,
    clock: FakeClock,
    answer: Any,
    outcome: str,
) -> None:
    """In the last fifth of a lifetime a hit refreshes behind it, and that counts by outcome."""
    parts["well_known"].answers["a.example"] = {"m.server": "b.example:1"}
    parts["policy"] = Policy(srv_head_start=False, jitter=0.0, refresh_ahead=0.2)
    async with Resolver(**parts) as resolver:
        await resolver.resolve("a.example")
        clock.advance(22 * HOUR)
        gate = parts["well_known"].answers["a.example"] = Gate(answer)
        assert not (await resolver.resolve("a.example")).stale
        await settled()
        assert _value(registry, "questions_in_flight", kind="well_known") == 1
        gate.opened.set()
        await settled()
    assert _value(registry, "cache_hits_total") == 1
    refreshed = {
        word: _value(registry, "refreshes_total", kind="well_known", outcome=word)
        for word in OUTCOMES
    }
    assert refreshed == dict.fromkeys(OUTCOMES, 0) | {outcome: 1}
    assert _value(registry, "questions_in_flight", kind="well_known") == 0


async def test_aborted(
    parts: dict[str, Any], registry: CollectorRegistry, clock: FakeClock
) -> None:
    """A question without an answer is in flight no longer, and its time is not counted."""
    parts["well_known"].answers["a.example"] = Gate()
    async with Resolver(**parts) as resolver:
        task = asyncio.create_task(resolver.resolve("a.example"))
        await settled()
        clock.advance(1.0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await settled()
    assert _moved(registry) == {
        "resolves_total cancelled": 1,
        "resolve_duration_seconds_count cancelled": 1,
        "questions_total well_known aborted": 1,
        "question_wait_seconds_count well_known": 1,
    }


async def test_closing(parts: dict[str, Any], registry: CollectorRegistry) -> None:
    """A resolver that is closed leaves nothing in flight."""
    gate = Gate()
    for name in ("a.example", FED + "b.example", OLD + "b.example"):
        parts["well_known" if name == "a.example" else "srv"].answers[name] = gate
    async with Resolver(**parts) as resolver:
        tasks = [asyncio.create_task(resolver.resolve(f"{name}.example")) for name in "ab"]
        await settled()
        assert _value(registry, "questions_in_flight", kind="well_known") == 1
        assert _value(registry, "questions_in_flight", kind="srv") == 2
    await asyncio.gather(*tasks, return_exceptions=True)
    assert {_value(registry, "questions_in_flight", kind=kind) for kind in KINDS} == {0}
    assert _value(registry, "questions_total", kind="srv", outcome="aborted") == 2


async def test_a_bug_that_callers_hear_of(
    parts: dict[str, Any], registry: CollectorRegistry
) -> None:
    """A bug in a plug-in is no answer; it is nobody's failed task while somebody waited."""
    parts["well_known"].answers["a.example"] = ZeroDivisionError("bug")
    async with Resolver(**parts) as resolver:
        with pytest.raises(ZeroDivisionError):
            await resolver.resolve("a.example")
    assert _moved(registry) == {
        "resolves_total failed": 1,
        "resolve_duration_seconds_count failed": 1,
        "questions_total well_known aborted": 1,
        "question_wait_seconds_count well_known": 1,
    }


async def test_a_bug_in_the_background(
    parts: dict[str, Any], registry: CollectorRegistry, clock: FakeClock
) -> None:
    """A bug that no caller hears of counts as a failed task."""
    asyncio.get_running_loop().set_exception_handler(lambda _, context: None)
    parts["well_known"].answers["a.example"] = {"m.server": "b.example:1"}
    async with Resolver(**parts) as resolver:
        await resolver.resolve("a.example")
        clock.advance(22 * HOUR)
        parts["well_known"].answers["a.example"] = ZeroDivisionError("bug")
        await resolver.resolve("a.example")
        await settled()
    assert _value(registry, "task_failures_total") == 1
    assert _value(registry, "questions_in_flight", kind="well_known") == 0


class BrokenCache:
    """A cache that can do nothing, and counts how often."""

    def __init__(self) -> None:
        self.failures = 0

    def _fail(self) -> NoReturn:
        self.failures += 1
        raise CacheError("no connection")

    async def get(self, question: Question, /) -> CacheEntry | None:
        """Fail."""
        self._fail()

    async def put(self, question: Question, entry: CacheEntry, /) -> None:
        """Fail."""
        self._fail()

    async def delete(self, question: Question, /) -> None:
        """Fail."""
        self._fail()


async def test_a_broken_cache(parts: dict[str, Any], registry: CollectorRegistry) -> None:
    """Every failure of the cache counts."""
    cache = parts["cache"] = BrokenCache()
    async with Resolver(**parts) as resolver:
        await resolver.resolve("a.example")
    assert _value(registry, "cache_failures_total") == cache.failures > 0


# Registries, labels, versions


async def test_one_hook_for_all_resolvers(
    parts: dict[str, Any], registry: CollectorRegistry, clock: FakeClock
) -> None:
    """Resolvers that share a hook count together."""
    others: dict[str, Any] = parts | {"cache": MemoryCache(clock=clock)}
    async with Resolver(**parts) as one, Resolver(**others) as another:
        await one.resolve("a.example")
        await another.resolve("a.example")
    assert _value(registry, "questions_total", kind="well_known", outcome="none") == 2


def test_a_second_hook_on_one_registry(registry: CollectorRegistry) -> None:
    """A second hook is refused at once, and does the first no harm."""
    hook = PrometheusHook(registry)
    before = _series(registry)
    with pytest.raises(ValueError, match="matrix_resolve_"):
        PrometheusHook(registry)
    assert _series(registry) == before
    hook(CacheHit(server_name=ServerName.parse("a.example")))
    assert _value(registry, "cache_hits_total") == 1


async def test_no_name_becomes_a_label(
    parts: dict[str, Any], registry: CollectorRegistry, clock: FakeClock
) -> None:
    """However many names are resolved, and however, there are as many series as at the start."""
    before = set(_series(registry))
    draw = random.Random(7)
    asyncio.get_running_loop().set_exception_handler(lambda _, context: None)
    documents: tuple[Any, ...] = (
        None,
        {"m.server": "b.example"},
        WellKnownFetchError("no route"),
        ZeroDivisionError("bug"),
    )
    lookups: tuple[Any, ...] = (
        None,
        SrvLookupError("SERVFAIL"),
        [SrvRecord(0, 0, 8450, "c.example")],
    )
    async with Resolver(**parts) as resolver:
        for number in range(50):
            name = f"n{number}.example"
            parts["well_known"].answers[name] = draw.choice(documents)
            for service in (FED, OLD):
                parts["srv"].answers[service + name] = draw.choice(lookups)
            for _ in range(2):
                with suppress(ZeroDivisionError):
                    await resolver.resolve(name)
                clock.advance(22 * HOUR)
    assert len(_moved(registry)) > 10
    assert set(_series(registry)) == before


def test_the_default_registry() -> None:
    """Without a registry the metrics go where `prometheus_client` exports them from."""
    assert signature(PrometheusHook).parameters["registry"].default is REGISTRY


def test_unknown_events(registry: CollectorRegistry) -> None:
    """An event of a later version is passed over."""
    hook = PrometheusHook(registry)
    later: Any = object()
    hook(later)
    assert _moved(registry) == {}
