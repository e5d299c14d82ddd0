"""What the hooks are told of a `resolve()`."""

from collections.abc import Callable, Collection
from types import TracebackType
from typing import Self

from matrix_resolve.core.names import ServerName
from matrix_resolve.core.resolution import Resolution, Step
from matrix_resolve.hooks.events import (
    CacheHit,
    DegradedServed,
    Hooks,
    LegacySrvUsed,
    ResolveBegun,
    Resolved,
    ResolveFailed,
    StaleServed,
)
from matrix_resolve.resolver.found import Found


class Telling:
    """A `resolve()` of a name, of which `hooks`, if there are any, are told while it lasts.

    `monotonic` tells seconds that never go back.
    """

    def __init__(self, hooks: Hooks, name: ServerName, monotonic: Callable[[], float]) -> None:
        self._hooks = hooks
        self._name = name
        self._monotonic = monotonic
        self._began = 0.0

    def __enter__(self) -> Self:
        if self._hooks:
            self._began = self._monotonic()
            self._hooks.tell(ResolveBegun(server_name=self._name))
        return self

    def resolved(self, resolution: Resolution, found: Collection[Found] = ()) -> None:
        """Tell what comes out, as the last thing in this context, and by what was found out now."""
        if not self._hooks:
            return
        tell, name = self._hooks.tell, resolution.server_name
        is_computed = resolution.expires_at is None
        from_cache = not is_computed and all(seen.from_cache for seen in found)
        if from_cache:
            tell(CacheHit(server_name=name))
        if resolution.stale:
            tell(StaleServed(server_name=name))
        if resolution.degraded:
            tell(DegradedServed(server_name=name))
        if resolution.step in (Step.LEGACY_SRV, Step.WELL_KNOWN_LEGACY_SRV):
            tell(LegacySrvUsed(server_name=name, step=resolution.step))
        tell(
            Resolved(
                server_name=name,
                step=resolution.step,
                duration=self._duration(),
                from_cache=from_cache,
                stale=resolution.stale,
                degraded=resolution.degraded,
            )
        )

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._hooks and error is not None:
            took = self._duration()
            self._hooks.tell(ResolveFailed(server_name=self._name, error=error, duration=took))

    def _duration(self) -> float:
        return self._monotonic() - self._began
