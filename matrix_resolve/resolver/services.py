"""What the flights of one resolver share."""

from attrs import frozen

from matrix_resolve.core.entries import CacheEntry, Given
from matrix_resolve.core.invalidations import Invalidations
from matrix_resolve.core.questions import Question
from matrix_resolve.hooks.events import Hooks
from matrix_resolve.interfaces import Clock
from matrix_resolve.resolver.found import Found
from matrix_resolve.resolver.store import Store
from matrix_resolve.resolver.upstream import Upstream


@frozen(kw_only=True)
class Services:
    """Where a flight looks up and learns, where it asks, and whom it tells."""

    store: Store
    upstream: Upstream
    invalidations: Invalidations
    outdated: Invalidations
    hooks: Hooks
    clock: Clock

    def counted_now(self, question: Question, entry: CacheEntry, read_in: int) -> CacheEntry:
        """Return `entry`, which was read or learned in an epoch of `outdated`, as it counts now.

        Its times are by the clock as it is set now, and past if it was outdated since.
        """
        now, scale = self.store.now()
        entry = entry.on_scale(scale)
        return entry.expired(now) if self.outdated.since(read_in, question.key) else entry

    def found_meanwhile(self, given: Given, *, asked_since: float) -> Found:
        """Return a good answer given while it is asked again, since a moment as for `found`."""
        now, scale = self.store.now()
        waited = self.clock.monotonic() - asked_since
        return Found(given, settled_until=now, from_cache=True, duration=waited, scale=scale)

    def found(self, entry: CacheEntry, *, asked_since: float | None = None) -> Found:
        """Return what an entry gives that was remembered, or that was asked since a moment.

        The moment is of the monotonic clock, in seconds.
        """
        just_asked = asked_since is not None
        now, scale = self.store.now()
        entry = entry.on_scale(scale)
        return Found(
            given=entry.given(now, just_asked=just_asked),
            settled_until=self.store.settled_until(entry),
            from_cache=not just_asked,
            duration=0.0 if asked_since is None else self.clock.monotonic() - asked_since,
            scale=scale,
        )
