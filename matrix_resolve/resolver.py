"""`Resolver`: drives names through the steps, and keeps what came out."""

import asyncio
import math
import os
import random
import threading
import time
from collections.abc import Iterable
from datetime import UTC, datetime
from types import TracebackType
from typing import Self
from weakref import WeakSet

from attrs import define, evolve

from matrix_resolve.answering import Answering, Found
from matrix_resolve.asking import Asking
from matrix_resolve.core.addresses import AddressPolicy
from matrix_resolve.core.names import ServerName
from matrix_resolve.core.procedure import Decision
from matrix_resolve.core.questions import Question, SrvFailed
from matrix_resolve.core.resolution import Endpoint, Resolution, Target, TrailEntry
from matrix_resolve.core.srv import in_order
from matrix_resolve.driving import drive
from matrix_resolve.endpoints import find_endpoints
from matrix_resolve.generations import Generations
from matrix_resolve.hooks import Hooks, ResolverHook
from matrix_resolve.interfaces import (
    AddressLookup,
    AnswerCache,
    Clock,
    SrvLookup,
    WellKnownFetcher,
)
from matrix_resolve.policy import Policy


@define
class _Kept:
    """A resolved name, what its targets are drawn from, and until when (Unix seconds) it stands.

    Until `hot_until` it may be given as it is; that is never so where the order is drawn anew.
    """

    resolution: Resolution
    candidates: tuple[Target, ...]
    until: float
    hot_until: float


class Resolver:
    """Resolves server names; long-lived, so that answers are kept and shared.

    Every part is explicit here; `open_resolver()` fills in the defaults. It owns no component,
    but it owns its tasks: use it with `async with`, or call `aclose()`. It belongs to the event
    loop and the process that it was first used in, and raises `RuntimeError` elsewhere. Not
    thread-safe. `clock` is anything with `time()` and `monotonic()`, `rng` draws SRV weights and
    jitter.
    """

    def __init__(
        self,
        *,
        well_known: WellKnownFetcher,
        srv: SrvLookup,
        addresses: AddressLookup,
        cache: AnswerCache,
        policy: Policy = Policy(),
        address_policy: AddressPolicy = AddressPolicy(),
        hooks: Iterable[ResolverHook] = (),
        clock: Clock = time,
        rng: random.Random | None = None,
    ) -> None:
        self._policy = policy
        self._address_policy = address_policy
        self._rng = random.Random() if rng is None else rng
        self._clock = clock
        self._now = clock.time
        asking = Asking(
            well_known=well_known, srv=srv, addresses=addresses, policy=policy, clock=clock
        )
        self._answering = Answering(
            asking=asking,
            cache=cache,
            policy=policy,
            hooks=Hooks(hooks),
            clock=clock,
            rng=self._rng,
        )
        self._resolved = Generations[str, _Kept](policy.max_resolved)
        self._own = threading.local()
        self._loop: asyncio.AbstractEventLoop
        self._pid = 0  # until the first use
        self._closed = False

    async def __aenter__(self) -> Self:
        self._check_usable()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """End what is under way and wait for it; who waits on it gets `RuntimeError`. Idempotent.

        Afterwards every other method raises `RuntimeError`.
        """
        if self._pid:
            self._check_owner()
        self._closed = True
        self._resolved.clear()  # the hot path does not look whether it is closed
        await self._answering.aclose()

    async def resolve(self, name: str | ServerName) -> Resolution:
        """Find where `name` leads, by "Resolving server names" of the specification.

        Ends within `well_known_timeout + dns_timeout` once it has its slots. A repeated answer may
        be the same object; the order of several targets is drawn anew each time. Raises
        `InvalidServerNameError`, `ServiceNotOfferedError`, and with `srv_failure="raise"`
        `SrvLookupError`.
        """
        # The hot path. That it is our loop which runs follows from our thread (others have no
        # `hot`) and from its running at all; asking for the running loop costs a system call on
        # Python 3.11. Closing and forking empty the dictionary.
        try:
            kept: _Kept = self._own.hot[name]
        except (KeyError, AttributeError, TypeError):
            pass
        else:
            if self._now() < kept.hot_until and self._loop.is_running():
                return kept.resolution
        return await self._resolve(name)

    async def _resolve(self, name: str | ServerName) -> Resolution:
        self._check_usable()
        if not isinstance(name, ServerName):
            name = ServerName.parse(name)
        kept = self._resolved.get(str(name))
        if kept is None or self._now() >= kept.until:
            kept = self._concluded(name, *await drive(name, self._answering, self._policy))
            if not self._closed:
                self._resolved.put(str(name), kept)
            return kept.resolution
        return self._drawn_anew(kept)

    def _drawn_anew(self, kept: _Kept) -> Resolution:
        if len(kept.candidates) == 1:
            return kept.resolution
        return evolve(kept.resolution, targets=self._drawn(kept.candidates))

    def _drawn(self, candidates: tuple[Target, ...]) -> tuple[Target, ...]:
        return in_order(candidates, self._rng)[: self._policy.max_targets]

    def _concluded(
        self, name: ServerName, decision: Decision, found: dict[Question, Found]
    ) -> _Kept:
        now = self._now()
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
        until = min([*ends, *(seen.ask_again_at for seen in found.values())], default=math.inf)
        return _Kept(resolution, candidates, until, until if len(candidates) == 1 else 0.0)

    async def endpoints(self, resolution: Resolution) -> tuple[Endpoint, ...]:
        """Return the IP addresses to dial, in order: those of the first target first.

        Targets are looked up at once; the addresses of each have IPv6 and IPv4 in turn (RFC 8305),
        at most `max_targets` of them, without those that the address policy forbids. Raises
        `AddressNotAllowedError` when it forbids all there are, `AddressLookupError` when there are
        none.
        """
        self._check_usable()
        return await find_endpoints(
            resolution, self._answering, self._address_policy, self._policy.max_targets
        )

    def _check_usable(self) -> None:
        if self._closed:
            raise RuntimeError("the resolver is closed")
        self._check_owner()

    def _check_owner(self) -> None:
        loop = asyncio.get_running_loop()
        if not self._pid:
            self._loop, self._pid = loop, os.getpid()
            self._own.hot = self._resolved.young
            _in_use.add(self)
        elif self._loop is not loop or self._pid != os.getpid():
            raise RuntimeError("a resolver belongs to the event loop and process of its first use")


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


_in_use: WeakSet[Resolver] = WeakSet()


def _forget_in_child() -> None:
    """Empty what the hot path reads, so that after a fork every call meets the owner's check."""
    for resolver in _in_use:
        resolver._resolved.clear()


if hasattr(os, "register_at_fork"):  # not on Windows, which can't fork
    os.register_at_fork(after_in_child=_forget_in_child)
