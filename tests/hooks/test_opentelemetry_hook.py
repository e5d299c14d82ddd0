"""The spans of a resolver and a client: what they are of, and under which they hang."""

import asyncio
import contextvars
import random
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode
from worlds import FED, HANGS, HOUR, OLD, Gate, settled

from matrix_resolve import (
    ConnectError,
    MemoryCache,
    OpenTelemetryHook,
    Policy,
    Resolver,
    ServiceNotOfferedError,
    SrvLookupError,
    SrvRecord,
    WellKnownFetchError,
)
from matrix_resolve.testing import (
    FakeAddresses,
    FakeClock,
    FakeSrv,
    FakeWellKnown,
    LoopbackFederation,
    Reply,
)

DOCUMENT = "https://a.example/.well-known/matrix/server"
PATH = "/_matrix/federation/v1/version"


class Traces:
    """A provider that keeps the spans that have ended, in that order."""

    def __init__(self) -> None:
        self._exporter = InMemorySpanExporter()
        self.provider = TracerProvider(shutdown_on_exit=False)
        self.provider.add_span_processor(SimpleSpanProcessor(self._exporter))
        self.tracer = self.provider.get_tracer("caller")

    @property
    def spans(self) -> tuple[ReadableSpan, ...]:
        """What has ended."""
        return self._exporter.get_finished_spans()

    def tree(self) -> set[tuple[str, str | None]]:
        """Return the (name, name of the span above) of each."""
        names = {span.context.span_id: span.name for span in self.spans if span.context}
        return {
            (span.name, None if span.parent is None else names[span.parent.span_id])
            for span in self.spans
        }

    def one(self, name: str) -> ReadableSpan:
        """Return the one span of a name."""
        (span,) = (span for span in self.spans if span.name == name)
        return span


def said(span: ReadableSpan) -> dict[str, Any]:
    """Return the attributes of a span, without our prefix."""
    return {
        name.removeprefix("matrix_resolve."): value
        for name, value in (span.attributes or {}).items()
    }


@pytest.fixture
def traces() -> Iterator[Traces]:
    """Spans of nobody yet."""
    traces = Traces()
    yield traces
    traces.provider.shutdown()


@pytest.fixture
def parts(traces: Traces) -> dict[str, Any]:
    """The arguments of a resolver over fakes that find nothing yet, with the hook under test."""
    clock = FakeClock()
    return {
        "well_known": FakeWellKnown(),
        "srv": FakeSrv(),
        "addresses": FakeAddresses(),
        "cache": MemoryCache(clock=clock),
        "policy": Policy(srv_head_start=False, jitter=0.0),
        "clock": clock,
        "rng": random.Random(1),
        "hooks": [OpenTelemetryHook(traces.provider)],
    }


async def test_a_resolve_and_its_questions(parts: dict[str, Any], traces: Traces) -> None:
    """The resolve hangs under the caller's span, and each question under the resolve."""
    parts["srv"].answers[FED + "a.example"] = [SrvRecord(0, 0, 8450, "b.example")]
    async with Resolver(**parts) as resolver:
        with traces.tracer.start_as_current_span("caller") as caller:
            await resolver.resolve("a.example")
            assert trace.get_current_span() is caller
            await resolver.resolve("a.example")
    assert traces.tree() == {
        ("caller", None),
        ("resolve", "caller"),
        ("ask well_known", "resolve"),
        ("ask srv", "resolve"),
    }
    first, second = (span for span in traces.spans if span.name == "resolve")
    asked = [span for span in traces.spans if span.name.startswith("ask")]
    assert {span.parent and span.parent.span_id for span in asked} == {first.context.span_id}
    assert said(first) == {
        "server_name": "a.example",
        "step": "4",
        "outcome": "asked",
        "stale": False,
        "degraded": False,
    }
    assert said(second)["outcome"] == "cached"
    assert said(traces.one("ask well_known")) == {
        "question": DOCUMENT,
        "waited": 0.0,
        "outcome": "none",
        "answer": "nothing usable: status 404",
    }
    assert traces.one("ask well_known").kind is SpanKind.CLIENT
    assert {span.status.status_code for span in traces.spans} == {StatusCode.UNSET}


async def test_a_shared_question(parts: dict[str, Any], traces: Traces) -> None:
    """Callers at once have a resolve each under their own spans; who began the question has it."""
    gate = parts["well_known"].answers["a.example"] = Gate({"m.server": "b.example:1"})

    async def call(name: str) -> None:
        with traces.tracer.start_as_current_span(name):
            await resolver.resolve("a.example")

    async with Resolver(**parts) as resolver:
        calls = [asyncio.create_task(call(name)) for name in ("first", "second")]
        await settled()
        gate.opened.set()
        await asyncio.gather(*calls)
    assert traces.tree() == {
        ("first", None),
        ("second", None),
        ("resolve", "first"),
        ("resolve", "second"),
        ("ask well_known", "resolve"),
    }
    of = {span.context.span_id: span for span in traces.spans if span.context}
    question = traces.one("ask well_known")
    assert question.parent
    resolve = of[question.parent.span_id]
    assert resolve.parent
    assert of[resolve.parent.span_id].name == "first"


async def test_names_at_once(parts: dict[str, Any], traces: Traces) -> None:
    """However they take turns, each question hangs under the resolve of its own name."""
    names = [f"n{number}.example" for number in range(20)]
    async with Resolver(**parts) as resolver:
        with traces.tracer.start_as_current_span("caller"):
            await asyncio.gather(*map(resolver.resolve, names))
    resolves = {
        span.context.span_id: said(span)["server_name"]
        for span in traces.spans
        if span.name == "resolve"
    }
    assert sorted(resolves.values()) == sorted(names)
    asked = [span for span in traces.spans if span.name.startswith("ask")]
    assert len(asked) == 60
    for span in asked:
        assert span.parent
        assert resolves[span.parent.span_id] in said(span)["question"]


async def test_what_a_plug_in_traces(parts: dict[str, Any], traces: Traces) -> None:
    """While a plug-in is asked, its question is the current span: its own hang under that."""

    def answering(_: str) -> dict[str, str]:
        with traces.tracer.start_as_current_span("plug-in"):
            return {"m.server": "b.example:1"}

    parts["well_known"].answers["a.example"] = answering
    async with Resolver(**parts) as resolver:
        await resolver.resolve("a.example")
    assert ("plug-in", "ask well_known") in traces.tree()


async def test_in_the_background(parts: dict[str, Any], traces: Traces) -> None:
    """A refresh ends after the resolve that began it, and hangs under it all the same."""
    parts["well_known"].answers["a.example"] = {"m.server": "b.example:1"}
    async with Resolver(**parts) as resolver:
        await resolver.resolve("a.example")
        parts["clock"].advance(22 * HOUR)
        gate = parts["well_known"].answers["a.example"] = Gate(WellKnownFetchError("no route"))
        await resolver.resolve("a.example")
        resolve = traces.spans[-1]
        gate.opened.set()
        await settled()
    question = traces.spans[-1]
    assert (resolve.name, question.name) == ("resolve", "ask well_known")
    assert question.parent
    assert question.parent.span_id == resolve.context.span_id
    assert said(question)["outcome"] == "failed"
    assert question.status.status_code is StatusCode.ERROR
    assert question.status.description == "nothing usable: no route"


@pytest.mark.parametrize(
    ("answer", "error", "text"),
    [
        ([SrvRecord(0, 0, 8448, ".")], ServiceNotOfferedError, "ServiceNotOfferedError: "),
        (SrvLookupError("\x1b[31m"), SrvLookupError, r"SrvLookupError: .*\\x1b\[31m"),
        (ZeroDivisionError("bug"), ZeroDivisionError, "ZeroDivisionError: bug"),
    ],
)
async def test_a_resolve_that_fails(
    parts: dict[str, Any],
    traces: Traces,
    answer: Any,
    error: type[Exception],
    text: str,
) -> None:
    """It is an error, told in printable text."""
    parts["srv"].answers |= {FED + "a.example": answer, OLD + "a.example": answer}
    parts["policy"] = Policy(srv_failure="raise")
    async with Resolver(**parts) as resolver:
        with traces.tracer.start_as_current_span("caller") as caller:
            with pytest.raises(error):
                await resolver.resolve("a.example")
            assert trace.get_current_span() is caller
    span = traces.one("resolve")
    assert span.status.status_code is StatusCode.ERROR
    assert span.status.description is not None
    assert re.match(text, span.status.description)
    assert said(span)["outcome"] == "failed"


async def test_a_caller_that_gives_up(parts: dict[str, Any], traces: Traces) -> None:
    """Its resolve is cancelled and its question aborted, which are no errors; both end."""
    parts["well_known"].answers["a.example"] = Gate()
    async with Resolver(**parts) as resolver:
        task = asyncio.create_task(resolver.resolve("a.example"))
        await settled()
        assert traces.spans == ()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await settled()
    ends = {span.name: said(span)["outcome"] for span in traces.spans}
    assert ends == {"resolve": "cancelled", "ask well_known": "aborted"}
    assert {span.status.status_code for span in traces.spans} == {StatusCode.UNSET}


async def test_a_coroutine_that_is_thrown_away(parts: dict[str, Any], traces: Traces) -> None:
    """One that is closed elsewhere than it was run leaves the spans there as they are."""
    parts["well_known"].answers["a.example"] = Gate()
    async with Resolver(**parts) as resolver:
        first, second = (resolver.resolve("a.example") for _ in range(2))
        for thrown_away in (first, second):
            contextvars.copy_context().run(thrown_away.send, None)
        parts["well_known"].answers["b.example"] = lambda _: second.close()
        with traces.tracer.start_as_current_span("caller") as caller:
            first.close()
            assert trace.get_current_span() is caller
            await resolver.resolve("b.example")
        await settled()
    assert Counter((span.name, said(span).get("outcome")) for span in traces.spans) == {
        ("ask well_known", "none"): 1,
        ("ask well_known", "aborted"): 1,  # nobody waits for the answer any more
        ("ask srv", "none"): 2,
        ("resolve", "asked"): 1,
        ("caller", None): 1,
    }


async def test_a_request(loopback_federation: LoopbackFederation, traces: Traces) -> None:
    """A request hangs under its caller, and all that is resolved and asked for it under it."""
    federation = loopback_federation
    federation.add("a.example", srv=[("dead.example", 8450), ("live.example", 8451)])
    federation.add("dead.example", ports=())
    hook = OpenTelemetryHook(traces.provider)
    async with (
        asyncio.timeout(HANGS),
        federation.resolver(hooks=[hook]) as resolver,
        federation.client(resolver) as client,
    ):
        with traces.tracer.start_as_current_span("caller") as caller:
            async with client.request("GET", "a.example", PATH) as response:
                assert trace.get_current_span() is caller
                await response.read()
    assert traces.tree() == {
        ("caller", None),
        ("GET", "caller"),
        ("resolve", "GET"),
        ("ask well_known", "resolve"),
        ("ask srv", "resolve"),
        ("ask addresses", "GET"),
    }
    span = traces.one("GET")
    assert span.kind is SpanKind.CLIENT
    assert said(span) == {
        "server_name": "a.example",
        "http.request.method": "GET",
        "http.response.status_code": 200,
        "server.address": "live.example",
        "server.port": 8451,
        "outcome": "2xx",
        "reused": False,
    }
    (failed,) = span.events
    assert failed.name == "target failed"
    assert failed.attributes is not None
    assert failed.attributes["matrix_resolve.target"] == "dead.example:8450"


async def test_requests_that_fail(loopback_federation: LoopbackFederation, traces: Traces) -> None:
    """A status of 400 and above is an error, as is a server that can't be reached."""
    federation = loopback_federation
    federation.add("a.example", serves=Reply(status=404))
    federation.add("dead.example", ports=())
    async with (
        asyncio.timeout(HANGS),
        federation.resolver(hooks=[OpenTelemetryHook(traces.provider)]) as resolver,
        federation.client(resolver) as client,
    ):
        async with client.request("GET", "a.example", PATH):
            pass
        with pytest.raises(ConnectError):
            async with client.request("PUT", "dead.example", PATH):
                pass
    answered, failed = traces.one("GET"), traces.one("PUT")
    assert answered.status.description == "status 404"
    assert failed.status.description is not None
    assert failed.status.description.startswith("ConnectError: dead.example can't be reached")
    assert answered.status.status_code is failed.status.status_code is StatusCode.ERROR
    assert said(failed)["outcome"] == "unreachable"
