"""From a decision and what was found out to a `Resolution`, and what is kept of it."""

import math
import random
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime

from attrs import define, evolve

from matrix_resolve.core.names import ServerName
from matrix_resolve.core.procedure import Decision
from matrix_resolve.core.questions import Question, SrvFailed
from matrix_resolve.core.resolution import Resolution, Target, TrailEntry
from matrix_resolve.core.srv import in_order
from matrix_resolve.resolver.flights import Found

# So many targets take about as much memory as the rest of a resolved name.
_TARGETS_PER_WEIGHT = 4


@define
class Kept:
    """A resolved name, what its targets are drawn from, and until when (Unix seconds) it stands.

    Until `hot_until` it may be given as it is; that is never so where the order is drawn anew.
    In `epoch` none of the answers that it rests on had been forgotten.
    """

    resolution: Resolution
    candidates: tuple[Target, ...]
    until: float
    hot_until: float
    epoch: int

    def questions(self) -> Iterator[Question]:
        """Yield the questions that it rests on."""
        return (entry.question for entry in self.resolution.trail)

    @staticmethod
    def weight(kept: "Kept") -> int:
        """Return about how many ordinary names take as much memory."""
        return 1 + len(kept.candidates) // _TARGETS_PER_WEIGHT


class Concluding:
    """Makes resolutions: adds times, and the order of targets, which is drawn each time."""

    def __init__(self, max_targets: int, rng: random.Random) -> None:
        self._max_targets = max_targets
        self._rng = rng

    def conclude(
        self,
        name: ServerName,
        decision: Decision,
        found: Mapping[Question, Found],
        *,
        now: float,
        epoch: int,
    ) -> Kept:
        """Return the resolution, to be kept until something would be asked again."""
        trail = tuple(_trail_entry(question, seen, now) for question, seen in found.items())
        ends = [seen.given.until for seen in found.values()]
        candidates = decision.candidates
        resolution = Resolution(
            server_name=name,
            step=decision.step,
            host_header=decision.host_header,
            tls_name=decision.tls_name,
            targets=self._drawn(candidates),
            delegated_to=decision.delegated_to,
            expires_at=datetime.fromtimestamp(max(min(ends), now), UTC) if ends else None,
            stale=any(entry.stale for entry in trail),
            degraded=any(isinstance(entry.answer, SrvFailed) for entry in trail),
            trail=trail,
        )
        until = min([*ends, *(seen.settled_until for seen in found.values())], default=math.inf)
        hot_until = until if len(candidates) == 1 else 0.0
        return Kept(resolution, candidates, until, hot_until, epoch)

    def drawn_anew(self, kept: Kept) -> Resolution:
        """Return what is kept, its targets in an order of their own (RFC 2782)."""
        if len(kept.candidates) == 1:
            return kept.resolution
        return evolve(kept.resolution, targets=self._drawn(kept.candidates))

    def _drawn(self, candidates: tuple[Target, ...]) -> tuple[Target, ...]:
        return in_order(candidates, self._rng)[: self._max_targets]


def _trail_entry(question: Question, found: Found, now: float) -> TrailEntry:
    given = found.given
    return TrailEntry(
        question=question,
        answer=given.answer,
        from_cache=found.from_cache,
        duration=found.duration,
        kept_for=max(given.until - now, 0.0),
        stale=given.stale,
        failure=given.failure,
    )
