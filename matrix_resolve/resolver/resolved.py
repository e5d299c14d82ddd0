"""Resolved names as they are kept, each until something that it rests on would be asked again."""

import math
import random
from collections.abc import Collection, Iterator, Mapping
from typing import Final

from attrs import define

from matrix_resolve.core.bounded import Bounded
from matrix_resolve.core.invalidations import Invalidations
from matrix_resolve.core.moments import Moments, Timescale
from matrix_resolve.core.names import ServerName, parse_ip_literal
from matrix_resolve.core.packed import from_answer, pack, unpack
from matrix_resolve.core.procedure import Decision
from matrix_resolve.core.questions import (
    AskAddresses,
    Question,
    SrvFailed,
    hostname_of,
    question_of,
)
from matrix_resolve.core.resolution import Resolution, Target
from matrix_resolve.core.srv import has_few_orders, in_order
from matrix_resolve.core.story import Row
from matrix_resolve.interfaces import Clock
from matrix_resolve.policy import Policy
from matrix_resolve.resolver.draws import Draws
from matrix_resolve.resolver.found import Found
from matrix_resolve.resolver.hot import HotNames

# For so long (seconds) names are hot together. Then both clocks are looked at again: the hot path
# reads the monotonic one alone, and the other may have been set forward.
_HOT_FOR: Final = 10.0
# No more names than so many are hot: a dictionary of twice as many grows in one long pause.
_MOST_HOT: Final = 120_000
# Of no more names are the orders of the targets kept: each takes up to 24 times as much memory.
_MOST_DRAWN: Final = 1000
# So many targets take about as much memory as the rest of a resolved name.
_TARGETS_PER_WEIGHT: Final = 4


@define(weakref_slot=False)
class Resolved:
    """A resolved name, what its targets are drawn from, and until when it stands.

    Until `until` (Unix seconds) by the wall clock as it was set then: `scale`. `trail` is packed;
    in `epoch` none of the answers in it was outdated. `about_itself`: all its questions are about
    the host that the name, as it is spelled, is.
    """

    resolution: Resolution
    candidates: tuple[Target, ...]
    trail: bytes
    until: float
    scale: Timescale
    epoch: int
    about_itself: bool

    def stands_in(self, epoch: int) -> None:
        """Note that it stands in an epoch."""
        self.epoch = epoch

    @property
    def ends_at(self) -> float:
        """The end by the monotonic clock."""
        return self.until - self.scale.ahead

    def keys(self) -> list[str]:
        """Return the keys of the questions that it rests on."""
        keys, _ = unpack(self.trail)
        return str(keys).split()


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
        self._moments = Moments(clock)
        self._rng = rng
        self._is_told = is_told
        self._hot = HotNames(self._keys)
        self.hot = self._hot.given
        """What may be given without another look."""
        self.hot_until = -math.inf
        """Until when that is so, by the monotonic clock."""
        self._draws: dict[str, Draws] = {}  # of names with several targets, until all cool
        self._hot_scale: Timescale | None = None  # how the clock was set when that began
        # Hits in `hot` don't count as use there, so what is hot is spared, once (CLOCK).
        # A hot name is kept as it was when it became hot: whoever deletes it lets it cool before.
        self._kept = Bounded[str, Resolved](policy.max_resolved, _weight, spare=self._hot.delete)
        outdated.subscribe(self._cool)

    def __len__(self) -> int:
        return len(self._kept)

    def resolved(
        self, name: ServerName, decision: Decision, found: Mapping[Question, Found]
    ) -> Resolved:
        """Return a name with its resolution, which stands until something would be asked again."""
        now, scale = self._moments.now()
        found = {question: seen.on_scale(scale) for question, seen in found.items()}
        ends = [seen.given.until for seen in found.values()]
        candidates = decision.candidates
        rows = tuple(_row(question, seen, now) for question, seen in found.items())
        trail = pack((" ".join(question.key for question in found), pack(rows)))
        resolution = Resolution(
            server_name=name,
            step=decision.step,
            host_header=decision.host_header,
            tls_name=decision.tls_name,
            targets=self._drawn(candidates),
            delegated_to=decision.delegated_to and str(decision.delegated_to),
            expires_at=max(min(ends), now) if ends else None,
            stale=any(seen.given.stale for seen in found.values()),
            degraded=any(isinstance(seen.given.answer, SrvFailed) for seen in found.values()),
            trail=trail,
        )
        until = min([*ends, *(seen.settled_until for seen in found.values())], default=math.inf)
        return Resolved(
            resolution,
            resolution.targets if len(candidates) == 1 else candidates,
            trail=trail,
            until=until,
            scale=scale,
            epoch=self._outdated.epoch,
            about_itself=all(hostname_of(question.key) == str(name) for question in found),
        )

    def get(self, name: str) -> Resolved | None:
        """Return a name that is kept, as long as nothing that it rests on would be asked."""
        resolved = self._kept.look(name)
        if resolved is None:
            return None
        monotonic, epoch = self._clock.monotonic(), self._outdated.epoch
        if monotonic >= self.hot_until or len(self.hot) >= _MOST_HOT:
            self._cool()
            self.hot_until = monotonic + _HOT_FOR
            _, self._hot_scale = self._moments.now()
        stands = resolved.scale is self._hot_scale and resolved.ends_at >= self.hot_until
        if not (stands or self._stands_now(resolved)) or (
            resolved.epoch != epoch and self._outdated.since(resolved.epoch, *resolved.keys())
        ):
            self._hot.delete(name)  # it may be that, where the log of what is outdated began afresh
            self._kept.delete(name)
            return None
        resolved.stands_in(epoch)
        if self._is_told or not stands or len(resolved.candidates) > 1:
            # It counts as used, under the text of it that is kept already.
            self._kept.get(str(resolved.resolution.server_name))
        elif name not in self.hot:
            keys = () if resolved.about_itself else resolved.keys()
            self._hot.put(name, resolved.resolution, keys)
        return resolved

    def _stands_now(self, resolved: Resolved) -> bool:
        """Return whether its end has not come, by the clock as it is set now."""
        now, scale = self._moments.now()
        return now < resolved.until and not scale.set_back_since(resolved.scale)

    def put(self, name: str, resolved: Resolved, *, since: int) -> None:
        """Keep a name, unless an answer that it rests on was outdated since that epoch."""
        if since == self._outdated.epoch or not self._outdated.since(since, *resolved.keys()):
            self._hot.delete(name)
            self._kept.put(name, resolved)

    def questions(self, name: str) -> Iterator[Question]:
        """Yield the questions that a name rests on if it is kept, be it outdated or not.

        Those for the addresses of its targets are among them.
        """
        resolved = self._kept.look(name)
        if resolved is not None:
            yield from filter(None, map(question_of, resolved.keys()))
            for target in resolved.candidates:
                if parse_ip_literal(target.host) is None:
                    yield AskAddresses(target.host)

    def clear(self) -> None:
        """Delete all names."""
        self._cool()
        self._kept.clear()

    def drawn_anew(self, resolved: Resolved) -> Resolution:
        """Return the resolution, its targets in an order of their own (RFC 2782)."""
        if len(resolved.candidates) == 1:
            return resolved.resolution
        resolution, candidates = resolved.resolution, resolved.candidates
        name = str(resolution.server_name)
        draws = self._draws.get(name)
        if draws is None or draws.resolution is not resolution:
            if len(self._draws) >= _MOST_DRAWN or not has_few_orders(candidates):
                return resolution.with_targets(self._drawn(candidates))
            draws = self._draws[name] = Draws(resolution, candidates, self._max_targets)
        return draws.drawn(self._rng.random())

    def _cool(self, questions: Collection[Question] | None = None) -> None:
        """Let the names cool that rest on one of `questions`; None stands for all."""
        if questions is None:
            self._hot.clear()
            self._draws.clear()
        else:  # what was drawn of a name that is decided anew is not given again
            self._hot.cool(questions)

    def _keys(self, name: str) -> list[str]:
        resolved = self._kept.look(name)
        return [] if resolved is None else resolved.keys()

    def _drawn(self, candidates: tuple[Target, ...]) -> tuple[Target, ...]:
        return in_order(candidates, self._rng)[: self._max_targets]


def _weight(resolved: Resolved) -> int:
    """Return about how many ordinary names take as much memory."""
    return 1 + len(resolved.candidates) // _TARGETS_PER_WEIGHT


def _row(question: Question, found: Found, now: float) -> Row:
    given = found.given
    return (
        from_answer(question.key, given.answer),
        found.from_cache,
        float(found.duration),  # clocks and plug-ins may give subclasses of numbers
        max(float(given.until - now), 0.0),
        given.stale,
        given.failure,
    )
