"""What a resolver tells of its work, and hooks that listen.

`PrometheusHook` needs the extra `prometheus`, and loads it when it is first used.
"""

from typing import TYPE_CHECKING, Any

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
    ResolverHook,
    StaleServed,
    TaskFailed,
)
from matrix_resolve.hooks.logging import LoggingHook

if TYPE_CHECKING:
    from matrix_resolve.hooks.prometheus import PrometheusHook

__all__ = [
    "CacheFailed",
    "CacheHit",
    "DegradedServed",
    "LegacySrvUsed",
    "LoggingHook",
    "PrometheusHook",
    "QuestionAborted",
    "QuestionAnswered",
    "QuestionAsked",
    "Refreshed",
    "ResolverEvent",
    "ResolverHook",
    "StaleServed",
    "TaskFailed",
]


def __getattr__(name: str) -> Any:
    if name != "PrometheusHook":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from matrix_resolve.hooks.prometheus import PrometheusHook

    return PrometheusHook


def __dir__() -> list[str]:
    return __all__
