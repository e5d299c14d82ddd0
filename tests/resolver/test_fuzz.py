"""Resolvers fuzzed: resolve, refresh, cancel, peek, invalidate, report, close, time, in any order.

Each seed is a random walk in a world that errs, in a loop whose time skips; see `fuzzing`. What
must hold: nothing that was invalidated comes back, no answer is given longer than it may be, no
waiter hangs, nothing is raised but what may be, and at the end nothing is left. More walks by hand,
from a seed on, with the caches that `-k` says:

    FUZZ_SEEDS=5000 FUZZ_FROM=0 python -m pytest tests/resolver/test_fuzz.py -k tiered

A walk that failed begins with its seed the same way (nearly: sets of objects have no fixed order).
"""

import asyncio
import gc
import itertools
import os
import random
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from functools import partial
from typing import Any

import pytest
from fuzzing import (
    NAMES,
    Bug,
    Elsewhere,
    ErringCache,
    PeekableErringCache,
    Shared,
    SkippingLoop,
    TickingClock,
    View,
    serial_of,
    serial_of_address,
    timers_of_ours,
)
from worlds import DAY, HOUR, MINUTE

from matrix_resolve import (
    AddressPolicy,
    AskAddresses,
    MatrixResolveError,
    MemoryCache,
    Policy,
    Question,
    Resolution,
    Resolver,
    TieredCache,
)
from matrix_resolve.core.lifetimes import is_good
from matrix_resolve.core.names import parse_ip_literal
from matrix_resolve.core.questions import Answer

SEEDS = int(os.environ.get("FUZZ_SEEDS", "20"))
FIRST = int(os.environ.get("FUZZ_FROM", "0"))
HANGS = 2 * HOUR  # of the loop's time, which skips
SLACK = 20.0  # by which an answer may be given too late (seconds)
STALE_FOR = Policy().stale_for

KINDS: dict[str, dict[str, Any]] = {
    "memory": {},
    "slow": {},
    "slow and peekable": {},
    "late": {"late": True},
    "failing": {"fails": 0.1},
    "hanging": {"hangs": 0.1},
    "deaf": {"deaf": True, "hangs": 0.1},
    "tiered": {},
    "tiered, slow and peekable": {},
    "tiered, slow and peekable, hanging": {"hangs": 0.05},
    "tiered and failing": {"fails": 0.05, "hangs": 0.05},
}


class Subject:
    """A resolver, and what is known of it.

    `floors`: since when (in moments) an answer to a question must have been asked. `shown`: the
    latest moment of an answer that has been given. `reported`: answers that count as expired.
    """

    def __init__(self, resolver: Resolver, caches: list[Any]) -> None:
        self.resolver = resolver
        self.caches = caches
        self.views = [cache for cache in caches if isinstance(cache, View)]
        self.source: Any = resolver._source
        self.floors: dict[str, int] = {}
        self.coming: dict[str, int] = {}  # floors from when nothing is under way any more
        self.shown: dict[str, int] = {}
        self.reported: set[int | None] = set()
        self.given: deque[Resolution] = deque(maxlen=5)
        self.refreshes = 0  # begun
        self.refreshing = 0  # under way
        self.closing = False

    @property
    def flights(self) -> Any:
        """The flights of the resolver."""
        return self.source._flights

    def is_idle(self) -> bool:
        """Return whether nothing is under way."""
        return not (self.flights._in_the_air or self.is_busy())

    def is_busy(self) -> bool:
        """Return whether a cache is busy."""
        return any(getattr(cache, "busy", 0) for cache in self.caches)


class Walk:
    """One random walk."""

    def __init__(self, seed: int, kind: str) -> None:
        self.rng = rng = random.Random(f"{kind} {seed}")
        self.kind = kind
        self.moments = itertools.count(1)
        self.clock = TickingClock()
        self.elsewhere = Elsewhere(rng, self.clock, self.moments)
        self.log = deque[str](maxlen=40)
        self.tasks = set[asyncio.Task[None]]()
        self.contexts: list[dict[str, Any]] = []
        self.heard: set[BaseException] = set()  # bugs that have reached a caller
        self.invalidated: set[str] = set()  # the keys of the last invalidation
        self.shared = Shared(self.clock)
        self.subjects = [self._subject() for _ in range(2 if "tiered" in kind else 1)]
        self.fails = not KINDS[kind].keys().isdisjoint(["fails", "hangs"])
        # Writers of one entry may come between each other where a cache is slow ...
        self.is_slow = kind != "memory"
        # ... and where nothing reconciles what they write, one of them is lost.
        self.loses_updates = kind not in ("memory", "tiered")

    def _subject(self) -> Subject:
        rng = self.rng
        cache, parts = self._cache()
        resolver = Resolver(
            well_known=self.elsewhere,
            srv=self.elsewhere,
            addresses=self.elsewhere,
            cache=cache,
            policy=Policy(
                jitter=0,
                max_well_known_fetches=rng.choice([1, 3, 100]),
                max_dns_lookups=rng.choice([1, 3, 100]),
                srv_head_start=rng.random() < 0.7,
                srv_failure=rng.choice(["fallback", "raise"]),
            ),
            address_policy=AddressPolicy.allow_all(),
            hooks=rng.choice([(), (lambda _: None,)]),
            clock=self.clock,
            rng=rng,
        )
        subject = Subject(resolver, parts)
        self._watch(subject)
        return subject

    def _cache(self) -> tuple[Any, list[Any]]:
        """Return a cache of this kind, and the caches that it is made of."""
        settings = KINDS[self.kind]
        if self.kind == "memory":
            return MemoryCache(clock=self.clock), []
        peekable = "slow and peekable" in self.kind
        made = PeekableErringCache if peekable else ErringCache
        erring = made(self.clock, self.rng, self._undeleted, **settings)
        if "tiered" not in self.kind:
            return erring, [erring]
        near: Any = erring if peekable else MemoryCache(clock=self.clock)
        far = View(self.shared, self.moments, self._heard, self.rng, self._undeleted, **settings)
        return TieredCache(near, far, clock=self.clock), [near, far]

    def _watch(self, subject: Subject) -> None:
        """Take note of what is invalidated and reported."""
        invalidate = subject.source.invalidate

        async def watched(questions: Any) -> None:
            began = next(self.moments)
            self.invalidated = keys = {question.key for question in questions}
            for key in keys:
                subject.floors.setdefault(key, 0)
            await invalidate(questions)
            floors = subject.coming if self.kind == "late" else subject.floors
            for key in keys & subject.floors.keys():  # the others could not be deleted
                floors[key] = max(began, floors.get(key, 0))

        expire = subject.source.expire

        async def expiring(answers: Any) -> None:
            invalidations = subject.source._invalidations
            epoch = invalidations.epoch
            await expire(answers)
            subject.reported |= {
                serial_of(answer)
                for question, answer in answers.items()
                if answer is not None and not invalidations.forbids(epoch, question)
            }

        subject.source.invalidate, subject.source.expire = watched, expiring

    def _heard(self, view: View, key: str, moment: int) -> None:
        """Take note that a resolver has heard of a deletion that was begun elsewhere then."""
        for subject in self.subjects:
            if view in subject.caches:
                subject.floors[key] = max(moment, subject.floors.get(key, 0))

    def _undeleted(self, key: str) -> None:
        """Take note that a deletion failed: what is in the cache then may come out again."""
        for subject in self.subjects:
            subject.floors.pop(key, None)
            subject.coming.pop(key, None)

    # What is done

    async def run(self) -> None:
        """Walk, and see what is left at the end."""
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: self.contexts.append(context))
        async with asyncio.timeout(HANGS):
            for _ in range(self.rng.randint(50, 90)):
                await self.act()
            await self.end()

    async def act(self) -> None:
        """Do one thing."""
        rng, subject = self.rng, self.rng.choice(self.subjects)
        name = rng.choice(NAMES)
        what = rng.choices(
            ["resolve", "refresh", "cancel", "peek", "endpoints", "invalidate", "report",
             "invalidate last", "step", "wait", "advance", "change", "settle", "cut off", "close"],
            [8, 3, 6, 2, 3, 3, 2, 2, 4, 3, 3, 3, 1, 0.5, 0.1],
        )[0]  # fmt: skip
        self.log.append(f"{self.subjects.index(subject)} {what} {name}")
        match what:
            case "resolve":
                for _ in range(rng.choice([1, 1, 3])):
                    self.go(self.resolve(subject, name))
            case "refresh":
                self.go(self.maybe_cancelled(self.refresh(subject, name)))
            case "cancel":
                self.go(self.cancelled(self.resolve(subject, name)))
            case "peek":
                await self.guarded(subject, partial(self.peek, subject, name))
            case "endpoints":
                self.go(self.maybe_cancelled(self.endpoints(subject)))
            case "invalidate":
                doing = self.guarded(subject, partial(subject.resolver.invalidate, name))
                self.go(self.maybe_cancelled(doing))
            case "report" if subject.given:
                resolution = rng.choice(subject.given)
                doing = self.guarded(
                    subject, partial(subject.resolver.report_unreachable, resolution)
                )
                self.go(self.maybe_cancelled(doing))
            case "invalidate last":
                await self.invalidate_last(subject, name)
            case "step":
                for _ in range(rng.randrange(8)):
                    await asyncio.sleep(0)
            case "wait":
                await asyncio.sleep(rng.choice([0.1, 0.5, 2, 5, 20]))
            case "advance":
                await self.advance(
                    rng.choice([1, 3, MINUTE, 8 * MINUTE, 55 * MINUTE, DAY, 2 * DAY])
                )
            case "change":
                self.elsewhere.change()
            case "settle":
                await self.settle()
            case "cut off":
                for view in subject.views:
                    view.cut_off()
            case "close":
                self.go(self.close(subject))

    def go(self, doing: Coroutine[Any, Any, None]) -> None:
        """Do it beside all else."""
        task = asyncio.create_task(doing)
        self.tasks.add(task)

    async def settle(self) -> None:
        """Wait for all that was begun."""
        while self.tasks:
            await asyncio.gather(*(tasks := tuple(self.tasks)))
            self.tasks.difference_update(tasks)

    async def advance(self, seconds: float) -> None:
        """Put the clock forward; not by much while an answer is on its way from asker to cache."""
        while seconds > SLACK:
            await asyncio.sleep(0.01)
            if not (self.elsewhere.unread or any(s.is_busy() for s in self.subjects)):
                break
        self.clock.advance(seconds)

    async def cancelled(self, doing: Coroutine[Any, Any, None]) -> None:
        """Do it, and cancel it after some steps or seconds."""
        task = asyncio.create_task(doing)
        if self.rng.random() < 0.5:
            for _ in range(self.rng.randrange(12)):
                await asyncio.sleep(0)
        else:
            await asyncio.sleep(self.rng.choice([0.3, 1.5, 2, 3.5]))
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task

    async def maybe_cancelled(self, doing: Coroutine[Any, Any, None]) -> None:
        """Do it, and cancel it now and then."""
        await (self.cancelled(doing) if self.rng.random() < 0.2 else doing)

    async def guarded(self, subject: Subject, do: Callable[[], Awaitable[Any]]) -> None:
        """Do it; let through only what nothing may raise."""
        try:
            await do()
        except MatrixResolveError:
            pass
        except Bug as bug:
            self.heard.add(bug)
        except RuntimeError as error:
            closed = "closed" in str(error) and subject.closing
            itself = "cancelled itself" in str(error) and self.elsewhere.cancelled_themselves
            if not (closed or itself):
                raise

    async def resolve(self, subject: Subject, name: str) -> None:
        """Resolve, and look at what comes."""

        async def resolve() -> None:
            check = self.check_from_now(subject)
            check(await subject.resolver.resolve(name))

        await self.guarded(subject, resolve)

    async def refresh(self, subject: Subject, name: str) -> None:
        """Refresh, and look at what comes: what is not stale has been asked since."""

        async def refresh() -> None:
            check, began = self.check_from_now(subject), next(self.moments)
            refreshes = subject.source._refreshes
            last, now = refreshes._last, self.clock.monotonic()
            before = {
                question.key: last.look(question) for part in last._parts for question in part
            }
            resolution = await subject.resolver.refresh(name)
            check(resolution)
            if not is_alone or subject.refreshes > place or "tiered" in self.kind:
                return  # another one, or another process, may have asked
            for entry in resolution.trail:
                when, serial = before.get(entry.question.key), serial_of(entry.answer)
                if serial is None or entry.stale or (when is not None and now - when < 11):
                    continue
                assert serial > began, f"{entry.question.key}: {serial} was not asked since {began}"

        subject.refreshes += 1
        subject.refreshing += 1
        place, is_alone = subject.refreshes, subject.refreshing == 1
        try:
            await self.guarded(subject, refresh)
        finally:
            subject.refreshing -= 1

    async def peek(self, subject: Subject, name: str) -> None:
        """Peek, and look at what is there."""
        check = self.check_from_now(subject)
        resolution = subject.resolver.peek(name)
        if resolution is not None:
            check(resolution)

    async def endpoints(self, subject: Subject) -> None:
        """Look up the addresses of what was given."""

        async def look_up() -> None:
            floors, now = self.floors_from_now(subject), self.clock.time()
            resolution = self.rng.choice(subject.given)
            for endpoint in await subject.resolver.endpoints(resolution):
                host = endpoint.target.host
                if parse_ip_literal(host) is None:
                    serial = serial_of_address(endpoint.address)
                    self.check(subject, floors, now, AskAddresses(host), serial)

        if subject.given:
            await self.guarded(subject, look_up)

    async def invalidate_last(self, subject: Subject, name: str) -> None:
        """With nothing else under way, invalidate what was given just now: all that it rests on."""
        await self.settle()
        subject.given.clear()
        await self.resolve(subject, name)
        if not subject.given or subject.closing or self.fails:
            return
        (resolution,) = subject.given
        if not subject.is_idle() or subject.resolver.peek(name) != resolution:
            return  # it may have moved since
        await self.guarded(subject, partial(subject.resolver.invalidate, name))
        hosts = [target.host for target in resolution.targets]
        questions: list[Question] = [entry.question for entry in resolution.trail]
        questions += [AskAddresses(host) for host in hosts if parse_ip_literal(host) is None]
        missed = {question.key for question in questions} - self.invalidated
        assert not missed, f"not invalidated with {name}: {missed}"

    async def close(self, subject: Subject) -> None:
        """Close it."""
        subject.closing = True
        async with asyncio.timeout(10):
            await subject.resolver.aclose()

    # What must hold

    def floors_from_now(self, subject: Subject) -> dict[str, int]:
        """Return the floors of what begins now."""
        if subject.coming and subject.is_idle():
            for key, floor in subject.coming.items():
                subject.floors[key] = max(floor, subject.floors.get(key, 0))
            subject.coming.clear()
        return dict(subject.floors)

    def check_from_now(self, subject: Subject) -> Any:
        """Return what checks a resolution whose resolving begins now."""
        floors, now, shown = self.floors_from_now(subject), self.clock.time(), dict(subject.shown)
        reported = set(subject.reported)
        invalidations = subject.source._invalidations
        epoch = invalidations.epoch

        def check(resolution: Resolution) -> None:
            subject.given.append(resolution)
            for entry in resolution.trail:
                serial = serial_of(entry.answer)
                if serial is None:
                    continue
                self.check(subject, floors, now, entry.question, serial, entry.answer, entry.stale)
                if is_good(entry.answer) and not (entry.stale or self.is_slow):
                    assert serial not in reported, f"{serial} was reported, and is given as fresh"
                key = entry.question.key
                if not self.loses_updates:
                    assert serial >= shown.get(key, 0), f"{key}: {serial} after {shown[key]}"
                if not invalidations.since(epoch, key):  # else it is not kept
                    subject.shown[key] = max(serial, subject.shown.get(key, 0))

        return check

    def check(
        self,
        subject: Subject,
        floors: dict[str, int],
        now: float,
        question: Question,
        serial: int,
        answer: Answer | None = None,
        stale: bool = True,
    ) -> None:
        """Look at one answer that was given to who began to ask at `now`."""
        key = question.key
        assert self.elsewhere.keys[serial] == key, f"{key}: an answer to another question"
        if key in subject.floors:  # else a deletion has failed meanwhile
            assert serial >= floors.get(key, 0), f"{key}: {serial} was invalidated at {floors[key]}"
        if answer is None or is_good(answer):
            end = self.elsewhere.ends[serial] + (STALE_FOR if stale else 0)
            assert now <= end + SLACK, f"{key}: {serial} is given {now - end} s too late, {stale=}"

    async def end(self) -> None:
        """End everything; nothing must be left."""
        await self.settle()
        for subject in self.subjects:
            await self.close(subject)
            await self.close(subject)
        await asyncio.sleep(MINUTE)
        left = asyncio.all_tasks() - {asyncio.current_task()}
        assert not left, f"tasks are left: {left}"
        timers = timers_of_ours()
        assert not timers, f"timers are left: {timers}"
        for subject in self.subjects:
            flights = subject.flights
            assert subject.source.fetches == 0
            assert (flights._flights, flights._ending, flights._in_the_air) == ({}, {}, set())
            upstream, policy = flights._services.upstream, subject.resolver._policy
            assert upstream._fetch_slots._free == policy.max_well_known_fetches
            assert upstream._fetch_slots._without == 0
            assert upstream._dns_slots._value == policy.max_dns_lookups
            # One that was granted to who is cancelled before it is told ends by itself.
            held = [view.held for view in subject.views if "peekable" not in self.kind]
            assert not any(held), f"leases are left: {held}"
        self.check_told()

    def check_told(self) -> None:
        """Each bug has come to a caller or was told, not both; and nothing else was told."""
        told = [context.get("exception") for context in self.contexts]
        others = [
            context["message"]
            for context, error in zip(self.contexts, told, strict=True)
            if not isinstance(error, Bug)
            and "did not end when it was cancelled" not in context["message"]
            and not ("cancelled itself" in str(error) and self.elsewhere.cancelled_themselves)
        ]
        assert not others, f"told: {others}"
        bugs = [error for error in told if isinstance(error, Bug)]
        assert len({*bugs}) == len(bugs), "a bug was told twice"
        assert self.heard.isdisjoint(bugs), f"told though it was heard: {self.heard & {*bugs}}"
        lost = self.elsewhere.bugs - self.heard - {*bugs}
        # Who is given up while it releases its lease has nothing to tell any more.
        assert not lost or "tiered" in self.kind, f"neither told nor heard: {lost}"


@pytest.mark.timeout(120 + 10 * SEEDS)
@pytest.mark.parametrize("kind", KINDS)
def test_walks(kind: str) -> None:
    """Wherever it goes, what must hold holds."""
    told: list[list[dict[str, Any]]] = []
    for seed in range(FIRST, FIRST + SEEDS):
        walk = Walk(seed, kind)
        told.append(walk.contexts)
        try:
            with asyncio.Runner(loop_factory=SkippingLoop) as runner:
                runner.run(walk.run())
        except BaseException as error:
            error.add_note(f"FUZZ_FROM={seed}, {kind}; the last actions:\n" + "\n".join(walk.log))
            raise
    del walk
    counts = [len(contexts) for contexts in told]
    gc.collect()  # tells of exceptions that nobody has looked at
    assert [len(contexts) for contexts in told] == counts
