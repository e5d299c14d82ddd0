"""A hook that counts and times what a resolver does, for Prometheus (extra `prometheus`)."""

from collections.abc import Mapping
from typing import Final

from attrs import frozen
from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram

from matrix_resolve.core.questions import AskAddresses, AskSrv, AskWellKnown, Question
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
    ResolverEvent,
    StaleServed,
    TaskFailed,
)

_NAMESPACE: Final = "matrix_resolve"

# No label may ever hold a server name, nor anything else that strangers choose: each value makes
# a time series that lives as long as the process, and there are more names than memory.
_KINDS: Final[Mapping[type[Question], str]] = {
    AskWellKnown: "well_known",
    AskSrv: "srv",
    AskAddresses: "addresses",
}
_OUTCOMES: Final = ("found", "none", "failed")
_ABORTED: Final = "aborted"
_LEGACY: Final = (Step.WELL_KNOWN_LEGACY_SRV, Step.LEGACY_SRV)

# Seconds: from a DNS server next door to the most that the default policy waits for a document.
# A fetch that timed out took a little longer, so those alone are beyond the last.
_DURATIONS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
# Seconds: mostly there is a slot at once; when thousands of servers are joined, after a while.
_WAITS: Final = (0.005, 0.025, 0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)


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

    - `cache_hits_total`: resolves that waited for no question
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
    """

    def __init__(self, registry: CollectorRegistry = REGISTRY) -> None:
        def counter(name: str, meaning: str, *labels: str) -> Counter:
            return Counter(name, meaning, labels, namespace=_NAMESPACE, registry=registry)

        def seconds(name: str, meaning: str, buckets: tuple[float, ...]) -> Histogram:
            return Histogram(
                name,
                meaning,
                ("kind",),
                namespace=_NAMESPACE,
                unit="seconds",
                registry=registry,
                buckets=buckets,
            )

        self._hits = counter("cache_hits_total", "Resolves that waited for no question.")
        self._stale = counter(
            "stale_answers_total", "Resolves that rest on an answer past its lifetime."
        )
        self._degraded = counter(
            "degraded_answers_total", "Resolves that treated a failed SRV lookup as no records."
        )
        legacy = counter(
            "legacy_srv_answers_total", "Resolves decided by deprecated _matrix._tcp.", "step"
        )
        self._cache_failures = counter("cache_failures_total", "Failures of the cache.")
        self._task_failures = counter(
            "task_failures_total", "Bugs met by work that nobody waited for."
        )
        ended = counter("questions_total", "Questions that a plug-in was asked.", "kind", "outcome")
        refreshed = counter(
            "refreshes_total", "Questions answered in the background.", "kind", "outcome"
        )
        duration = seconds(
            "question_duration_seconds", "Time from a question to its answer.", _DURATIONS
        )
        waited = seconds("question_wait_seconds", "Time until a question had a slot.", _WAITS)
        in_flight = Gauge(
            "questions_in_flight",
            "Questions that a plug-in is being asked now.",
            ("kind",),
            namespace=_NAMESPACE,
            registry=registry,
            multiprocess_mode="livesum",  # a dead process asks nothing any more
        )
        # All children are made here: a series that begins with its first event has no rate then.
        self._legacy = {step: legacy.labels(step.value) for step in _LEGACY}
        self._of = {
            asked: _Metrics(
                waited=waited.labels(kind),
                in_flight=in_flight.labels(kind),
                duration=duration.labels(kind),
                ended={word: ended.labels(kind, word) for word in (*_OUTCOMES, _ABORTED)},
                refreshed={word: refreshed.labels(kind, word) for word in _OUTCOMES},
            )
            for asked, kind in _KINDS.items()
        }

    def __call__(self, event: ResolverEvent, /) -> None:
        """Count `event`, if it is of a kind that this version knows."""
        match event:
            case CacheHit():
                self._hits.inc()
            case QuestionAsked(question=question, waited=waited):
                metrics = self._of[type(question)]
                metrics.waited.observe(waited)
                metrics.in_flight.inc()
            case QuestionAnswered(question=question, duration=duration):
                metrics = self._of[type(question)]
                metrics.in_flight.dec()
                metrics.duration.observe(duration)
                metrics.ended[event.outcome].inc()
            case QuestionAborted(question=question):
                metrics = self._of[type(question)]
                metrics.in_flight.dec()
                metrics.ended[_ABORTED].inc()
            case Refreshed(question=question):
                self._of[type(question)].refreshed[event.outcome].inc()
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
