"""A hook that traces resolves, questions and requests (extra `opentelemetry`)."""

from collections.abc import Hashable, Mapping
from importlib.metadata import version
from typing import Final

from attrs import frozen
from opentelemetry import context as contexts
from opentelemetry.context import Context
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, TracerProvider, get_tracer
from opentelemetry.trace import set_span_in_context as with_span
from opentelemetry.util.types import AttributeValue

from matrix_resolve.core.story import describe
from matrix_resolve.errors import readable
from matrix_resolve.hooks.events import (
    QuestionAborted,
    QuestionAnswered,
    QuestionAsked,
    RequestAnswered,
    RequestBegun,
    RequestFailed,
    ResolveBegun,
    Resolved,
    ResolveFailed,
    ResolverEvent,
    TargetFailed,
)
from matrix_resolve.hooks.kinds import KINDS

_RESOLVE: Final = "resolve"
# Attributes of ours; the others are named by OpenTelemetry's semantic conventions for HTTP.
_OURS: Final = "matrix_resolve."
_Attributes = Mapping[str, AttributeValue]


@frozen
class _Begun:
    """A span under way, what it is of, and the context that it began in."""

    span: Span
    of: Hashable
    before: Context


class OpenTelemetryHook:
    """Traces by OpenTelemetry: a `ResolverHook`.

    Each `resolve()` is a span under its caller's current one; each question that it began to ask
    is a span under it ("ask well_known", "ask srv", "ask addresses"). A question that was under way
    already hangs under the resolve that began it alone. So does what goes on in the background, and
    may end after it. A request of the federation client is a span too, named by its method, until
    the head of the response is there: what is resolved for it, and the addresses that are asked
    for, hang under it, and each target that failed is an event of it.

    `tracer_provider` None means the one that the process has set. One hook is enough for any number
    of resolvers; no resolver may have two, which would get in each other's way. Names of servers
    stand in attributes (`matrix_resolve.server_name`, `matrix_resolve.question`, `server.address`),
    never in the names of spans; paths stand nowhere. What others say is cut, and printable ASCII.
    """

    def __init__(self, tracer_provider: TracerProvider | None = None) -> None:
        self._tracer = get_tracer("matrix_resolve", version("matrix-resolve"), tracer_provider)
        # A task has the context of the one that made it: so a question, asked in a task of its
        # own, finds the resolve that began it, and its own end finds its beginning.
        self._key = contexts.create_key("matrix_resolve")

    def __call__(self, event: ResolverEvent, /) -> None:
        """Begin or end a span with `event`, if it is of a kind that does."""
        match event:
            case ResolveBegun(server_name=name):
                self._begin(_RESOLVE, (_RESOLVE, name), {_OURS + "server_name": str(name)})
            case Resolved(server_name=name):
                self._end(
                    (_RESOLVE, name),
                    {
                        _OURS + "step": event.step.value,
                        _OURS + "outcome": event.outcome,
                        _OURS + "stale": event.stale,
                        _OURS + "degraded": event.degraded,
                    },
                )
            case ResolveFailed(server_name=name):
                self._end_failed((_RESOLVE, name), event)
            case QuestionAsked(question=question, waited=waited):
                asked: _Attributes = {_OURS + "question": str(question), _OURS + "waited": waited}
                self._begin(f"ask {KINDS[type(question)]}", question, asked, SpanKind.CLIENT)
            case QuestionAnswered(question=question, answer=answer):
                text = readable(describe(answer))
                failure = text if event.outcome == "failed" else None
                said = {_OURS + "outcome": event.outcome, _OURS + "answer": text}
                self._end(question, said, failure)
            case QuestionAborted(question=question):
                self._end(question, {_OURS + "outcome": "aborted"})
            case RequestBegun() | RequestAnswered() | RequestFailed() | TargetFailed():
                self._hear_of_request(event)

    def _hear_of_request(
        self, event: RequestBegun | RequestAnswered | RequestFailed | TargetFailed
    ) -> None:
        match event:
            case RequestBegun(server_name=name, method=method):
                said = {_OURS + "server_name": str(name), "http.request.method": method}
                self._begin(method, (method, name), said, SpanKind.CLIENT)
            case RequestAnswered(server_name=name, method=method, status=status, target=target):
                self._end(
                    (method, name),
                    {
                        _OURS + "outcome": event.outcome,
                        _OURS + "reused": event.reused,
                        "http.response.status_code": status,
                        "server.address": target.host,
                        "server.port": target.port,
                    },
                    f"status {status}" if status >= 400 else None,
                )
            case RequestFailed(server_name=name, method=method):
                self._end_failed((method, name), event)
            case TargetFailed(target=target, reason=reason):
                begun = contexts.get_value(self._key)
                if isinstance(begun, _Begun):
                    said = {_OURS + "target": str(target), _OURS + "reason": readable(reason)}
                    begun.span.add_event("target failed", said)

    def _begin(
        self,
        name: str,
        of: Hashable,
        attributes: _Attributes,
        kind: SpanKind = SpanKind.INTERNAL,
    ) -> None:
        """Begin a span, and let it be the current one."""
        before = contexts.get_current()
        span = self._tracer.start_span(name, before, kind, attributes)
        begun = _Begun(span, of, before)
        contexts.attach(contexts.set_value(self._key, begun, with_span(span, before)))

    def _begun(self, of: Hashable) -> _Begun | None:
        """Return the span that began last in this context, if it is of this."""
        begun = contexts.get_value(self._key)
        return begun if isinstance(begun, _Begun) and begun.of == of else None

    def _end(self, of: Hashable, attributes: _Attributes, failure: str | None = None) -> None:
        """End a span, and let the one be current that was before."""
        begun = self._begun(of)
        if begun is None:
            return
        begun.span.set_attributes(attributes)
        if failure is not None:
            begun.span.set_status(Status(StatusCode.ERROR, failure))
        begun.span.end()
        contexts.attach(begun.before)

    def _end_failed(self, of: Hashable, event: ResolveFailed | RequestFailed) -> None:
        if event.outcome == "cancelled":
            self._end(of, {_OURS + "outcome": event.outcome})
        else:
            failure = f"{type(event.error).__name__}: {readable(event.error)}"
            self._end(of, {_OURS + "outcome": event.outcome}, failure)
