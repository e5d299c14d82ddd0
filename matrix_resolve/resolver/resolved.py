"""Resolved names as they are kept, each until something that it rests on would be asked again."""

import math
import random
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Final

from attrs import define, evolve

from matrix_resolve.core.generations import Generations
from matrix_resolve.core.invalidations import Invalidations
from matrix_resolve.core.names import ServerName, parse_ip_literal
from matrix_resolve.core.procedure import Decision
from matrix_resolve.core.questions import AskAddresses, Question, SrvFailed
from matrix_resolve.core.resolution import Resolution, Target
from matrix_resolve.core.srv import in_order
from matrix_resolve.core.story import TrailEntry
from matrix_resolve.interfaces import Clock
from matrix_resolve.policy import Policy
from matrix_resolve.resolver.found import Found

# The hot path reads the monotonic clock alone; after so long (seconds) both are looked at again, so
# that one that was set forward, or slept, is noticed.
_HOT_FOR: Final = 60.0
# So many targets take about as much memory as the rest of a resolved name.
_TARGETS_PER_WEIGHT = 4


@define
class Resolved:
    """A resolved name, what its targets are drawn from, and until when it stands.

    Until `until` by the wall clock (Unix seconds), and until `ends_at` by the monotonic one, so
    that one that is set back prolongs nothing. Until `hot_until` (monotonic) it may be given as
    it is; that is never so where the order is drawn anew. In `epoch` none of the answers that it
    rests on was outdated.
    """

    resolution: Resolution
    candidates: tuple[Target, ...]
    until: float
    ends_at: float
    hot_until: float = -math.inf
    epoch: int = 0

    def confirm(self, now: float, epoch: int, *, may_be_hot: bool) -> None:
        """Note that it stands at a moment of the monotonic clock, and in an epoch."""
        self.epoch = epoch
        if may_be_hot and len(self.candidates) == 1:
            self.hot_until = min(self.ends_at, now + _HOT_FOR)

    def questions(self) -> Iterator[Question]:
        """Yield the questions that it rests on."""
        return (entry.question for entry in self.resolution.trail)


def _weight(resolved: Resolved) -> int:
    """Return about how many ordinary names take as much memory."""
    return 1 + len(resolved.candidates) // _TARGETS_PER_WEIGHT


class ResolvedNames:
    """The resolved names of one resolver. It makes their resolutions, and draws their targets.

    `outdated` notes the questions whose answers may not be given again as they were. `is_told`:
    each resolve is told to hooks, so none takes the hot path.
    """

    def __init__(
        self,
        outdated: Invalidations,
        *,
        policy: Policy,
        clock: Clock,
        rng: random.Random,
        is_told: bool,
    ) -> None:
        self._outdated = outdated
        self._max_targets = policy.max_targets
        self._clock = clock
        self._rng = rng
        self._is_told = is_told
        self._kept = Generations[str, Resolved](policy.max_resolved, _weight)
        outdated.subscribe(lambda _: self._kept.cool())
        self.hot = self._kept.young
        """What may be given until `hot_until` without another look: emptied when that changes."""

    def __len__(self) -> int:
        return len(self._kept)

    def resolved(
        self, name: ServerName, decision: Decision, found: Mapping[Question, Found]
    ) -> Resolved:
        """Return a name with its resolution, which stands until something would be asked again."""
        now = self._clock.time()
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
        monotonic = self._clock.monotonic()
        resolved = Resolved(resolution, candidates, until, monotonic + (until - now))
        resolved.confirm(monotonic, self._outdated.epoch, may_be_hot=not self._is_told)
        return resolved

    def get(self, name: ServerName) -> Resolved | None:
        """Return a name that is kept, as long as nothing that it rests on would be asked."""
        resolved = self._kept.get(str(name))
        if resolved is None:
            return None
        monotonic = self._clock.monotonic()
        if (
            self._clock.time() >= resolved.until
            or monotonic >= resolved.ends_at
            or self._outdated.since(resolved.epoch, *resolved.questions())
        ):
            self._kept.delete(str(name))
            return None
        resolved.confirm(monotonic, self._outdated.epoch, may_be_hot=not self._is_told)
        return resolved

    def put(self, name: ServerName, resolved: Resolved, *, since: int) -> None:
        """Keep a name, unless an answer that it rests on was outdated since that epoch."""
        if not self._outdated.since(since, *resolved.questions()):
            self._kept.put(str(name), resolved)

    def questions(self, name: ServerName) -> Iterator[Question]:
        """Yield the questions that a name rests on if it is kept, be it outdated or not.

        Those for the addresses of its targets are among them.
        """
        resolved = self._kept.look(str(name))  # what is outdated must not become hot
        if resolved is not None:
            yield from resolved.questions()
            for target in resolved.candidates:
                if parse_ip_literal(target.host) is None:
                    yield AskAddresses(target.host)

    def clear(self) -> None:
        """Delete all names."""
        self._kept.clear()

    def drawn_anew(self, resolved: Resolved) -> Resolution:
        """Return the resolution, its targets in an order of their own (RFC 2782)."""
        if len(resolved.candidates) == 1:
            return resolved.resolution
        return evolve(resolved.resolution, targets=self._drawn(resolved.candidates))

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
