"""A hook that counts and times what a resolver does, for Prometheus (extra `prometheus`)."""

from collections.abc import Mapping
from typing import Final, get_args

from attrs import frozen
from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram

from matrix_resolve.core.questions import Question
from matrix_resolve.core.resolution import Step
from matrix_resolve.hooks.events import (
    CacheFailed,
    CacheHit,
    DegradedServed,
    LegacySrvUsed,
    QuestionAborted,
    QuestionAnswered,
    QuestionAsked,
    Refreshed,
    RequestAnswered,
    RequestFailed,
    Resolved,
    ResolveFailed,
    ResolverEvent,
    StaleServed,
    TargetFailed,
    TaskFailed,
)
from matrix_resolve.hooks.kinds import KINDS
from matrix_resolve.hooks.request_events import Answered, NotAnswered
from matrix_resolve.hooks.resolve_events import ResolveOutcome

_NAMESPACE: Final = "matrix_resolve"

# No label may ever hold a server name, nor anything else that strangers choose: each value makes
# a time series that lives as long as the process, and there are more names than memory.
_OUTCOMES: Final = ("found", "none", "failed")
_ABORTED: Final = "aborted"
_OF_RESOLVES: Final = get_args(ResolveOutcome)
_OF_REQUESTS: Final = (*get_args(Answered), *get_args(NotAnswered))
_LEGACY: Final = (Step.WELL_KNOWN_LEGACY_SRV, Step.LEGACY_SRV)

# Seconds: from a DNS server next door to the most that the default policy waits for a document.
# A fetch that timed out took a little longer, so those alone are beyond the last.
_DURATIONS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
# Seconds: mostly there is a slot at once; when thousands of servers are joined, after a while.
_WAITS: Final = (0.005, 0.025, 0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
# Seconds: from a name that is kept (none at all, nearly) to the most that a resolve takes.
_OF_RESOLVE: Final = (0.0001, 0.001, *_DURATIONS, 15.0)
# Seconds: from a connection that is open, and a server next door, to the usual time-out.
_OF_REQUEST: Final = (*_DURATIONS, 30.0, 60.0)


@frozen
class _Metrics:
    """What is measured of questions of one kind; the counters by outcome."""

    waited: Histogram
    in_flight: Gauge
    duration: Histogram
    ended: Mapping[str, Counter]
    refreshed: Mapping[str, Counter]


class PrometheusHook:
    """Keeps metrics in `registry`: a `ResolverHook`.

    Make one hook and give it to every resolver of the process, which then count together: a
    second one on the same registry raises `ValueError`, as metrics are registered once.

        hook = PrometheusHook()
        async with open_resolver(hooks=[hook]) as one, open_resolver(hooks=[hook]) as another:
            ...

    The names begin with `matrix_resolve_`. `kind` is "well_known", "srv" or "addresses", `outcome`
    "found", "none" (a definite no) or "failed", and all series are there from the start.

    - `resolves_total{outcome}`: calls of `resolve()`; `outcome` is "cached" (waited for no
      question), "asked", "computed" (steps 1 and 2, which need no answer), "failed" or "cancelled".
      So the hit ratio is that of "cached" to "cached" and "asked"
    - `resolve_duration_seconds{outcome}`: a histogram of the time that these took
    - `cache_hits_total`: the resolves that were "cached"
    - `stale_answers_total`, `degraded_answers_total`: resolves that rest on an answer past its
      lifetime, on an SRV lookup that failed
    - `legacy_srv_answers_total{step}`: resolves decided by deprecated records, step "3.4" or "5"
    - `questions_total{kind,outcome}`: questions that a plug-in was asked; `outcome` may also be
      "aborted", which a lookup is that was begun early and turned out not to be needed
    - `question_duration_seconds{kind}`: a histogram of the time to an answer, aborted ones left out
    - `question_wait_seconds{kind}`: a histogram of the time to a free slot, before that
    - `questions_in_flight{kind}`: a gauge of those that a plug-in is being asked now
    - `refreshes_total{kind,outcome}`: questions answered in the background, which
      `questions_total` counts too
    - `cache_failures_total`: failures of the cache, its feed of invalidations included
    - `task_failures_total`: bugs met by work that nobody waited for

    And of federation clients, which tell the hooks of their resolver:

    - `requests_total{outcome}`: requests; `outcome` is the response's status ("2xx", "3xx", "4xx",
      "5xx", "other"), or why there was none: "unreachable", "forbidden" (by the address policy),
      "unresolved", "timed_out", "cancelled", "failed" (on a connection, and all else)
    - `request_duration_seconds`: a histogram of the time to the head of a response, waiting for
      its turn, resolving and connecting included; requests without a response are left out
    - `reused_connections_total`: requests answered on a connection that was open already
    - `target_failures_total{own_trouble}`: targets that could not be connected to; `own_trouble` is
      "true" where that was for want of something of our own (DNS, descriptors, a route)
    """

    def __init__(self, registry: CollectorRegistry = REGISTRY) -> None:
        make = _Maker(registry)
        # All children are made here: a series that begins with its first event has no rate then.
        resolves = make.counter("resolves_total", "Calls of resolve().", "outcome")
        self._resolves = {word: resolves.labels(word) for word in _OF_RESOLVES}
        took = make.seconds(
            "resolve_duration_seconds", "Time that a resolve took.", _OF_RESOLVE, "outcome"
        )
        self._resolve_took = {word: took.labels(word) for word in _OF_RESOLVES}
        self._hits = make.counter("cache_hits_total", "Resolves that waited for no question.")
        self._stale = make.counter(
            "stale_answers_total", "Resolves that rest on an answer past its lifetime."
        )
        self._degraded = make.counter(
            "degraded_answers_total", "Resolves that treated a failed SRV lookup as no records."
        )
        legacy = make.counter(
            "legacy_srv_answers_total", "Resolves decided by deprecated _matrix._tcp.", "step"
        )
        self._legacy = {step: legacy.labels(step.value) for step in _LEGACY}
        self._cache_failures = make.counter("cache_failures_total", "Failures of the cache.")
        self._task_failures = make.counter(
            "task_failures_total", "Bugs met by work that nobody waited for."
        )
        self._of = _of_questions(make)
        requests = make.counter("requests_total", "Requests of federation clients.", "outcome")
        self._requests = {word: requests.labels(word) for word in _OF_REQUESTS}
        self._request_took = make.seconds(
            "request_duration_seconds", "Time to the head of a response.", _OF_REQUEST
        )
        self._reused = make.counter(
            "reused_connections_total", "Requests answered on a connection that was open already."
        )
        targets = make.counter(
            "target_failures_total", "Targets that could not be connected to.", "own_trouble"
        )
        self._targets = {own: targets.labels(str(own).lower()) for own in (True, False)}

    def __call__(self, event: ResolverEvent, /) -> None:
        """Count `event`, if it is of a kind that this version knows."""
        match event:
            case Resolved(duration=duration) | ResolveFailed(duration=duration):
                self._resolves[event.outcome].inc()
                self._resolve_took[event.outcome].observe(duration)
            case CacheHit():
                self._hits.inc()
            case StaleServed():
                self._stale.inc()
            case DegradedServed():
                self._degraded.inc()
            case LegacySrvUsed(step=step):
                self._legacy[step].inc()
            case CacheFailed():
                self._cache_failures.inc()
            case TaskFailed():
                self._task_failures.inc()
            case RequestAnswered(duration=duration, reused=reused):
                self._requests[event.outcome].inc()
                self._request_took.observe(duration)
                self._reused.inc(reused)
            case RequestFailed():
                self._requests[event.outcome].inc()
            case TargetFailed(own_trouble=own):
                self._targets[own].inc()
            case QuestionAsked() | QuestionAnswered() | QuestionAborted() | Refreshed():
                self._count_question(event)

    def _count_question(
        self, event: QuestionAsked | QuestionAnswered | QuestionAborted | Refreshed
    ) -> None:
        metrics = self._of[type(event.question)]
        match event:
            case QuestionAsked(waited=waited):
                metrics.waited.observe(waited)
                metrics.in_flight.inc()
            case QuestionAnswered(duration=duration):
                metrics.in_flight.dec()
                metrics.duration.observe(duration)
                metrics.ended[event.outcome].inc()
            case QuestionAborted():
                metrics.in_flight.dec()
                metrics.ended[_ABORTED].inc()
            case Refreshed():
                metrics.refreshed[event.outcome].inc()


@frozen
class _Maker:
    """Makes metrics in one registry."""

    registry: CollectorRegistry

    def counter(self, name: str, meaning: str, *labels: str) -> Counter:
        return Counter(name, meaning, labels, namespace=_NAMESPACE, registry=self.registry)

    def seconds(
        self, name: str, meaning: str, buckets: tuple[float, ...], *labels: str
    ) -> Histogram:
        return Histogram(
            name,
            meaning,
            labels,
            namespace=_NAMESPACE,
            unit="seconds",
            registry=self.registry,
            buckets=buckets,
        )

    def in_flight(self, name: str, meaning: str, *labels: str) -> Gauge:
        return Gauge(
            name,
            meaning,
            labels,
            namespace=_NAMESPACE,
            registry=self.registry,
            multiprocess_mode="livesum",  # a dead process asks nothing any more
        )


def _of_questions(make: _Maker) -> Mapping[type[Question], _Metrics]:
    ended = make.counter(
        "questions_total", "Questions that a plug-in was asked.", "kind", "outcome"
    )
    refreshed = make.counter(
        "refreshes_total", "Questions answered in the background.", "kind", "outcome"
    )
    duration = make.seconds(
        "question_duration_seconds", "Time from a question to its answer.", _DURATIONS, "kind"
    )
    waited = make.seconds(
        "question_wait_seconds", "Time until a question had a slot.", _WAITS, "kind"
    )
    in_flight = make.in_flight(
        "questions_in_flight", "Questions that a plug-in is being asked now.", "kind"
    )
    return {
        asked: _Metrics(
            waited=waited.labels(kind),
            in_flight=in_flight.labels(kind),
            duration=duration.labels(kind),
            ended={word: ended.labels(kind, word) for word in (*_OUTCOMES, _ABORTED)},
            refreshed={word: refreshed.labels(kind, word) for word in _OUTCOMES},
        )
        for asked, kind in KINDS.items()
    }
