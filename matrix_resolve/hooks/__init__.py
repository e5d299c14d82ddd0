"""What a resolver, and a client with it, tell of their work, and hooks that listen.

`PrometheusHook` needs the extra `prometheus`, `OpenTelemetryHook` the extra `opentelemetry`; each
is loaded when it is first used.
"""

from typing import TYPE_CHECKING, Any

from matrix_resolve.core.lazy import LazyNames
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
    RequestBegun,
    RequestFailed,
    ResolveBegun,
    Resolved,
    ResolveFailed,
    ResolverEvent,
    ResolverHook,
    StaleServed,
    TargetFailed,
    TaskFailed,
)
from matrix_resolve.hooks.logging import LoggingHook

if TYPE_CHECKING:
    from matrix_resolve.hooks.opentelemetry import OpenTelemetryHook
    from matrix_resolve.hooks.prometheus import PrometheusHook

__all__ = [
    "CacheFailed",
    "CacheHit",
    "DegradedServed",
    "LegacySrvUsed",
    "LoggingHook",
    "OpenTelemetryHook",
    "PrometheusHook",
    "QuestionAborted",
    "QuestionAnswered",
    "QuestionAsked",
    "Refreshed",
    "RequestAnswered",
    "RequestBegun",
    "RequestFailed",
    "ResolveBegun",
    "ResolveFailed",
    "Resolved",
    "ResolverEvent",
    "ResolverHook",
    "StaleServed",
    "TargetFailed",
    "TaskFailed",
]


_lazy = LazyNames(
    __name__,
    {
        "OpenTelemetryHook": "matrix_resolve.hooks.opentelemetry",
        "PrometheusHook": "matrix_resolve.hooks.prometheus",
    },
    {"OpenTelemetryHook": "opentelemetry", "PrometheusHook": "prometheus"},
)
_lazy.drop_missing(__all__)


def __getattr__(name: str) -> Any:
    return _lazy.get(name)


def __dir__() -> list[str]:
    return __all__
