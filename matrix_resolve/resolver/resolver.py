"""`Resolver`: drives names through the steps, and keeps what came out."""

import asyncio
import os
import random
import sys
import threading
import time
from asyncio import _get_running_loop
from collections.abc import Iterable
from typing import Final, Self
from weakref import WeakSet

from matrix_resolve.core.addresses import AddressPolicy
from matrix_resolve.core.bounded import Bounded
from matrix_resolve.core.closeable import Closeable
from matrix_resolve.core.invalidations import Invalidations
from matrix_resolve.core.names import ServerName, parse_ip_literal
from matrix_resolve.core.parts import check_type
from matrix_resolve.core.questions import Answer, AskAddresses, Question
from matrix_resolve.core.resolution import Endpoint, Resolution
from matrix_resolve.hooks.events import Hooks, ResolverHook
from matrix_resolve.interfaces import (
    AddressLookup,
    AnswerCache,
    Clock,
    SrvLookup,
    WellKnownFetcher,
)
from matrix_resolve.policy import Policy
from matrix_resolve.resolver.driver import decide_from_memory, drive, questions_behind
from matrix_resolve.resolver.endpoints import find_endpoints
from matrix_resolve.resolver.parts import check_parts
from matrix_resolve.resolver.refresh import drive_anew
from matrix_resolve.resolver.resolved import ResolvedNames
from matrix_resolve.resolver.source import AnswerSource
from matrix_resolve.resolver.telling import Telling
from matrix_resolve.resolver.upstream import Upstream
from matrix_resolve.timeouts import LeftBehind


class Resolver(Closeable):
    """Resolves server names; long-lived, so that answers are kept and shared.

    Every part is explicit here; `open_resolver()` fills in the defaults. It owns no component,
    but it owns its tasks: use it with `async with`, or call `aclose()`. It belongs to the event
    loop and the process that it was first used in, and raises `RuntimeError` elsewhere. Not
    thread-safe. `clock` is anything with `time()` and `monotonic()`, `rng` draws SRV weights and
    jitter. A part that lacks a method, or is a class where an instance is wanted, is a `TypeError`.
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
        check_parts(well_known=well_known, srv=srv, addresses=addresses, cache=cache, clock=clock)
        check_type("policy", policy, Policy)
        check_type("address_policy", address_policy, AddressPolicy)
        self._policy = policy
        self._address_policy = address_policy
        self.hooks: Final = Hooks(hooks)
        """Who hears what is done here; a federation client that uses this resolver tells them."""
        self._is_told = bool(self.hooks)
        self._clock = clock
        self._monotonic = clock.monotonic
        rng = random.Random() if rng is None else rng
        self._outdated = Invalidations()
        left = LeftBehind()
        self._names = ResolvedNames(
            self._outdated, policy=policy, clock=clock, rng=rng, is_told=self._is_told
        )
        self._source = AnswerSource(
            upstream=Upstream(
                well_known=well_known,
                srv=srv,
                addresses=addresses,
                policy=policy,
                clock=clock,
                left=left,
            ),
            cache=cache,
            outdated=self._outdated,
            policy=policy,
            hooks=self.hooks,
            clock=clock,
            rng=rng,
            left=left,
        )
        self._hot = self._names.hot
        self._reported = Bounded[str, float](policy.max_resolved)
        self._own = threading.local()
        self._loop: asyncio.AbstractEventLoop
        self._pid = 0  # until the first use
        self._closed = False

    async def __aenter__(self) -> Self:
        self._check_usable()
        return self

    async def aclose(self) -> None:
        """End what is under way and wait for it; who waits on it gets `RuntimeError`. Idempotent.

        Afterwards every other method raises `RuntimeError`.
        """
        if self._pid:
            self._check_owner()
        self._closed = True
        self._names.clear()  # the hot path does not look whether it is closed
        await self._source.aclose()

    if sys.version_info >= (3, 12):

        async def resolve(self, name: str | ServerName) -> Resolution:
            """Find where `name` leads, by "Resolving server names" of the specification.

            Ends within `well_known_timeout + dns_timeout` once it has its slots; where workers
            share a cache, one that waits for another to ask has none yet. A repeated answer may be
            the same object; the order of several targets is drawn anew each time. Raises
            `InvalidServerNameError`, `ServiceNotOfferedError`, and with `srv_failure="raise"`
            `SrvLookupError`.
            """
            # The hot path. Closing empties the dictionary.
            try:
                resolution = self._hot[name]
            except (KeyError, TypeError):
                pass
            else:
                if self._monotonic() < self._names.hot_until and _get_running_loop() is self._loop:
                    return resolution
            return await self._resolve(name)

    else:  # there it costs a system call to ask which loop runs

        async def resolve(self, name: str | ServerName) -> Resolution:
            """Find where `name` leads, by "Resolving server names" of the specification.

            As described for later versions of Python.
            """
            # That it is our loop which runs follows from our thread (others have no `hot`, nor has
            # a forked process) and from its running at all.
            try:
                resolution: Resolution = self._own.hot[name]
            except (KeyError, AttributeError, TypeError):
                pass
            else:
                if self._monotonic() < self._names.hot_until and self._loop.is_running():
                    return resolution
            return await self._resolve(name)

    async def _resolve(self, name: str | ServerName) -> Resolution:
        self._check_usable()
        resolved = self._names.get(_text(name))
        if resolved is None:
            return await self._resolved(_parsed(name))
        resolution = self._names.drawn_anew(resolved)
        if self._is_told:
            with Telling(self.hooks, resolution.server_name, self._monotonic) as telling:
                telling.resolved(resolution)
        return resolution

    async def _resolved(self, name: ServerName, *, anew: bool = False) -> Resolution:
        epoch = self._outdated.epoch
        driven = drive_anew if anew else drive
        with Telling(self.hooks, name, self._monotonic) as telling:
            decision, found = await driven(name, self._source, self._policy)
            resolved = self._names.resolved(name, decision, found)
            if not self._closed:
                self._names.put(str(name), resolved, since=epoch)
            telling.resolved(resolved.resolution, found.values())
        return resolved.resolution

    async def refresh(self, name: str | ServerName) -> Resolution:
        """Ask now what the answer about `name` rests on, and return where it leads by that.

        For a peer that has shown a sign of life, or an admin's "try again": neither lifetimes nor
        failures' waits count. What is known stays in reserve meanwhile, and is given, `stale`, if
        asking fails; this waits for it as long as asking takes. Addresses are asked anew when they
        are next needed. Callers share what is under way, and nothing is asked so more than once in
        10 s: then this gives what is known. Raises what `resolve()` raises.
        """
        self._check_usable()
        return await self._resolved(_parsed(name), anew=True)

    def peek(self, name: str | ServerName) -> Resolution | None:
        """Return where `name` leads if this process's memory knows, without any I/O, else None.

        Gives what is fresh, or usable though `stale`; steps 1 and 2 are always known. A cache of
        your own takes part if it is a `PeekableCache`; without that, only names that were
        resolved here are known. Asks nothing and refreshes nothing. Raises
        `InvalidServerNameError`, and `ServiceNotOfferedError` when that is what is known.
        """
        self._check_usable()
        parsed = _parsed(name)
        resolved = self._names.get(str(parsed))
        if resolved is not None:
            return self._names.drawn_anew(resolved)
        decided = decide_from_memory(parsed, self._source, self._policy)
        return None if decided is None else self._names.resolved(parsed, *decided).resolution

    async def invalidate(self, name: str | ServerName) -> None:
        """Invalidate everything that the answer about `name` rests on, addresses included.

        Here, in the cache, and if that is shared, in other processes. What is under way goes to
        those who wait for it, and is not kept. Other names that rest on the same answers are
        decided anew too. What a cache fails to delete it may give again; the hooks hear of that
        (`CacheFailed`). Raises `InvalidServerNameError`.
        """
        self._check_usable()
        parsed = _parsed(name)
        kept = tuple(self._names.questions(str(parsed)))  # the cache may know less of it by now
        known = await questions_behind(parsed, self._source, self._policy)
        await self._source.invalidate(tuple(dict.fromkeys((*kept, *known))))

    async def report_unreachable(self, resolution: Resolution) -> None:
        """Tell that every target of `resolution` has failed.

        The answers in its trail and the targets' addresses then count as expired, here and in a
        shared cache: they are asked again when they are next needed, and stay in reserve as stale
        ones. A failure's wait goes on, and for one name no more than one report in
        `failure_min_ttl` has effect, so that a dead server can't make a storm.
        """
        self._check_usable()
        name, now = str(resolution.server_name).lower(), self._clock.monotonic()
        last = self._reported.get(name)
        if last is not None and now - last < self._policy.failure_min_ttl:
            return
        self._reported.put(name, now)
        answers: dict[Question, Answer | None] = {
            entry.question: entry.answer for entry in resolution.trail
        }
        for target in resolution.targets:
            if parse_ip_literal(target.host) is None:
                answers[AskAddresses(target.host)] = None
        try:
            await self._source.expire(answers)
        except BaseException:
            self._reported.delete(name)
            raise

    async def endpoints(self, resolution: Resolution) -> tuple[Endpoint, ...]:
        """Return the IP addresses to dial, in order: those of the first target first.

        Targets are looked up at once; the addresses of each have IPv6 and IPv4 in turn (RFC 8305),
        at most `max_targets` of them, without those that the address policy forbids. Raises
        `AddressNotAllowedError` when it forbids all there are, `AddressLookupError` when there are
        none.
        """
        self._check_usable()
        return await find_endpoints(resolution, self._source, self._address_policy, self._policy)

    def _check_usable(self) -> None:
        if self._closed:
            raise RuntimeError("the resolver is closed")
        if not (hasattr(self._own, "hot") and self._loop.is_running()):  # as the hot path does
            self._check_owner()

    def _disown(self) -> None:
        """Forget whose it is, for the check."""
        self._own = threading.local()

    def _check_owner(self) -> None:
        loop = asyncio.get_running_loop()
        if not self._pid:
            self._loop, self._pid = loop, os.getpid()
            self._own.hot = self._hot
            _in_use.add(self)
            self._source.start()
        elif self._loop is not loop or self._pid != os.getpid():
            raise RuntimeError("a resolver belongs to the event loop and process of its first use")


def _parsed(name: str | ServerName) -> ServerName:
    return name if isinstance(name, ServerName) else ServerName.parse(name)


def _text(name: str | ServerName) -> str:
    """Return the text that `name` may be kept under; it need not be parsed for that."""
    return str.__str__(name) if isinstance(name, str) else str(_parsed(name))


_in_use: WeakSet[Resolver] = WeakSet()


def _disown_in_child() -> None:
    """Let every call meet the owner's check after a fork."""
    for resolver in _in_use:
        resolver._disown()


if hasattr(os, "register_at_fork"):  # not on Windows, which can't fork
    os.register_at_fork(after_in_child=_disown_in_child)
