"""What the fuzz of the resolver is made of: time that skips, others who err, caches that err."""

import asyncio
import json
import random
import selectors
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import contextmanager
from ipaddress import IPv4Address
from typing import Any

from attrs import evolve, frozen
from worlds import DAY, HOUR, MINUTE

from matrix_resolve import (
    AddressLookupError,
    AddressReply,
    AskAddresses,
    AskSrv,
    AskWellKnown,
    CacheEntry,
    CacheError,
    HttpResponse,
    Lease,
    MemoryCache,
    Question,
    SrvLookupError,
    SrvRecord,
    SrvReply,
    WellKnownFetchError,
)
from matrix_resolve.core.entries import reconciled
from matrix_resolve.core.questions import Addresses, Answer, Delegated, NotDelegated, SrvRecords
from matrix_resolve.testing import FakeClock

NAMES = ("a.example", "b.example", "c.example", "d.example", "e.example:1")
HOSTS = ("host.example", "other.example", "direct.example:1", "a.example", "192.0.3.1")
TARGETS = ("t.example", "u.example")
_FIRST_ADDRESS = int(IPv4Address("9.0.0.0"))


class SkippingLoop(asyncio.SelectorEventLoop):
    """An event loop whose time passes only when nothing else is left to do, and then at once."""

    def __init__(self) -> None:
        self._now = 0.0
        super().__init__(_NoWaiting(self))

    def time(self) -> float:
        """Return the seconds since it began."""
        return self._now

    def skip(self, seconds: float) -> None:
        """Let so much time pass."""
        self._now += seconds


class _NoWaiting(selectors.SelectSelector):
    """Has a loop skip the time for which it would wait."""

    def __init__(self, loop: SkippingLoop) -> None:
        super().__init__()
        self._skipping = loop

    def select(self, timeout: float | None = None) -> list[Any]:
        """Wait for nothing."""
        assert timeout is not None, "nothing will ever happen again"
        self._skipping.skip(max(0.0, timeout))
        return []


def timers_of_ours() -> list[asyncio.TimerHandle]:
    """Return the timers that would still call something of the package."""
    scheduled: list[asyncio.TimerHandle] = asyncio.get_running_loop()._scheduled  # type: ignore[attr-defined]
    waiting = [timer for timer in scheduled if not timer.cancelled()]
    return [t for t in waiting if str(t._callback.__module__).startswith("matrix_resolve")]


class TickingClock(FakeClock):
    """Goes with the running loop, can be put forward, and never tells the same moment twice."""

    def time(self) -> float:
        """Return Unix seconds."""
        self.advance(1e-5)
        return super().time() + asyncio.get_running_loop().time()

    def monotonic(self) -> float:
        """Return the seconds since the beginning."""
        self.advance(1e-5)
        return super().monotonic() + asyncio.get_running_loop().time()


def _later(function: Callable[[], None], steps: int = 6) -> None:
    """Call a function when what has just ended has been noticed by those who wait for it."""
    loop = asyncio.get_running_loop()
    loop.call_soon(*((_later, function, steps - 1) if steps else (function,)))


class Bug(Exception):
    """What no plug-in may raise."""


@frozen
class Temper:
    """How a question is answered: what it `says`, and how long that takes (seconds).

    When it is cancelled it goes on for a while, and does then what `cancelled` says.
    """

    says: str
    takes: float
    goes_on: float
    cancelled: str


class Elsewhere:
    """All that plug-ins ask: it errs, and is slow.

    Each answer has a serial number, by which it is known from then on: the moment when it was
    asked, counted by `moments`.
    """

    def __init__(self, rng: random.Random, clock: FakeClock, moments: Iterator[int]) -> None:
        self._rng = rng
        self._clock = clock
        self._moments = moments
        self._tempers: dict[str, Temper] = {}
        self.keys: dict[int, str] = {}  # what was asked, by serial numbers
        self.ends: dict[int, float] = {}  # when the lifetimes end
        self.bugs: set[Bug] = set()
        self.stubborn = 0  # so many are going on though they were cancelled
        self.cancelled_themselves = 0
        self.unread = 0  # so many replies are there, but have not been read

    def change(self) -> None:
        """Answer some questions in another way from now on."""
        for key in self._rng.sample(sorted(self._tempers), len(self._tempers) // 3):
            del self._tempers[key]

    def _temper(self, key: str) -> Temper:
        if key not in self._tempers:
            rng = self._rng
            says = rng.choice([*["good"] * 8, *["down"] * 3, "no", "no", "own", "bug", "cancels"])
            takes = rng.choice([0, 0, 0, 0.3, 1.5, 3, 30])
            goes_on = rng.choice([0, 0, 0, 0.5, 1.9, 4, 11])
            cancelled = rng.choice(["ends"] * 4 + ["answers", "fails", "bug"])
            self._tempers[key] = Temper(says, takes, goes_on, cancelled)
        return self._tempers[key]

    async def _asked(self, question: Question, failure: Callable[[str], Exception]) -> Any:
        """Return a serial number and a lifetime, None for the answer that there is nothing."""
        serial = next(self._moments)
        self.keys[serial] = question.key
        temper = self._temper(question.key)
        try:
            await asyncio.sleep(temper.takes)
        except asyncio.CancelledError:
            self.stubborn += 1
            await asyncio.sleep(temper.goes_on)
            self.stubborn -= 1
            if temper.cancelled == "ends":
                raise
            temper = evolve(
                temper, says={"answers": "good", "fails": "down"}.get(temper.cancelled, "bug")
            )
        lifetime = self._rng.choice([10 * MINUTE, HOUR, DAY])
        self.unread += 1
        _later(self._has_been_read)
        self.ends[serial] = self._clock.time() + lifetime
        match temper.says:
            case "down":
                raise failure(f"down {serial}")
            case "own":
                raise (
                    AddressLookupError("no DNS") if failure is WellKnownFetchError else failure("")
                )
            case "bug":
                bug = Bug(f"{question.key} {serial}")
                self.bugs.add(bug)
                raise bug
            case "cancels":
                self.cancelled_themselves += 1
                raise asyncio.CancelledError
        return serial, lifetime, temper.says == "good"

    def _has_been_read(self) -> None:
        self.unread -= 1

    async def fetch(self, hostname: str, /) -> HttpResponse:
        """Fetch a document."""
        serial, lifetime, good = await self._asked(AskWellKnown(hostname), WellKnownFetchError)
        headers = [("Cache-Control", f"max-age={lifetime:.0f}")]
        url = f"https://{hostname}/{serial}"
        if not good:
            return HttpResponse(404, headers, b"", url)
        document = {"m.server": self._rng.choice(HOSTS)}
        return HttpResponse(200, headers, json.dumps(document).encode(), url)

    async def lookup_srv(self, name: str, /) -> SrvReply:
        """Look SRV records up."""
        serial, lifetime, good = await self._asked(AskSrv(name), SrvLookupError)
        targets = self._rng.sample(TARGETS, self._rng.randint(1, 2)) if good else ()
        return SrvReply([SrvRecord(serial, 0, 1, target) for target in targets], lifetime)

    async def lookup_addresses(self, hostname: str, /) -> AddressReply:
        """Look addresses up."""
        serial, lifetime, good = await self._asked(AskAddresses(hostname), AddressLookupError)
        return AddressReply([IPv4Address(_FIRST_ADDRESS + serial)] if good else [], lifetime)


def serial_of(answer: Answer) -> int | None:
    """Return the serial number of an answer, None if it carries none."""
    match answer:
        case Delegated(url=url) | NotDelegated(url=str(url)):
            return int(url.rpartition("/")[2])
        case SrvRecords(records=records):
            return records[0].priority
        case Addresses(addresses=(address, *_)):
            return serial_of_address(address)
    return None


def serial_of_address(address: Any) -> int:
    """Return the serial number of an answer that had this address."""
    return int(address) - _FIRST_ADDRESS


class Erring:
    """What erring caches share: how long anything takes, and whether it works.

    `undeleted` is called with the key of a question whose deletion has failed.
    """

    def __init__(
        self,
        rng: random.Random,
        undeleted: Callable[[str], None],
        *,
        slow: bool = True,
        fails: float = 0.0,
        hangs: float = 0.0,
        deaf: bool = False,
    ) -> None:
        self._rng = rng
        self._undeleted = undeleted
        self._slow = slow
        self._fails = fails
        self._hangs = hangs
        self._deaf = deaf
        self.busy = 0  # with so many calls

    async def pause(self) -> None:
        """Take some steps, or far too long; fail, or not; and be deaf to a cancellation, or not."""
        steps = self._rng.randrange(4) if self._slow else 0
        try:
            for _ in range(steps):
                await asyncio.sleep(0)
            if self._rng.random() < self._hangs:
                await asyncio.sleep(self._rng.choice([0.4, 3]))
        except asyncio.CancelledError:
            if not self._deaf:
                raise
        if self._rng.random() < self._fails:
            raise CacheError("down")

    @contextmanager
    def working(self) -> Iterator[None]:
        """Be busy in this context."""
        self.busy += 1
        try:
            yield
        finally:
            _later(self._is_done)

    def _is_done(self) -> None:
        self.busy -= 1

    @contextmanager
    def deleting(self, question: Question) -> Iterator[None]:
        """Tell if a deletion fails."""
        try:
            yield
        except BaseException:
            self._undeleted(question.key)
            raise


class ErringCache(Erring):
    """A cache of one process; what is put while it is deleted goes too, unless that is `late`."""

    def __init__(self, clock: FakeClock, *args: Any, late: bool = False, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self._kept = MemoryCache(clock=clock)
        self._late = late
        self._deletions: dict[Question, int] = {}

    async def get(self, question: Question, /) -> CacheEntry | None:
        """Look it up at some moment."""
        with self.working():
            await self.pause()
            entry = self._kept.peek(question)
            await self.pause()
            return entry

    async def put(self, question: Question, entry: CacheEntry, /) -> None:
        """Keep it at some moment."""
        with self.working():
            deletions = self._deletions.get(question)
            await self.pause()
            if self._late or deletions == self._deletions.get(question):
                await self._kept.put(question, entry)
            await self.pause()

    async def delete(self, question: Question, /) -> None:
        """Delete it at some moment."""
        with self.working(), self.deleting(question):
            await self.pause()
            self._deletions[question] = self._deletions.get(question, 0) + 1
            await self._kept.delete(question)
            await self.pause()


class PeekableErringCache(ErringCache):
    """One into which can be looked."""

    def peek(self, question: Question, /) -> CacheEntry | None:
        """Look."""
        return self._kept.peek(question)


class Shared:
    """What several processes share, each through a `View`, as with Redis."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.kept = MemoryCache(clock=clock)
        self.tombstones: dict[Question, float] = {}
        self.leases: dict[Question, tuple[View, float]] = {}
        self.views: list[View] = []


class View(Erring):
    """One process's way to what is shared. `heard` is called with each word that it has heeded."""

    def __init__(
        self,
        shared: Shared,
        moments: Iterator[int],
        heard: "Callable[[View, str, int], None]",
        *args: Any,
        **settings: Any,
    ) -> None:
        super().__init__(*args, **settings)
        self._shared = shared
        self._moments = moments
        self._heard = heard
        self._words: asyncio.Queue[tuple[str, int] | None] | None = None
        self.held: set[Question] = set()
        shared.views.append(self)

    async def get(self, question: Question, /) -> CacheEntry | None:
        """Look it up."""
        with self.working():
            await self.pause()
            entry = self._shared.kept.peek(question)
            await self.pause()
            return entry

    async def put(self, question: Question, entry: CacheEntry, /) -> None:
        """Keep what of it was not asked before the last deletion."""
        with self.working():
            await self.pause()
            deleted_at = self._shared.tombstones.get(question, 0.0)
            if entry.reserve is not None and entry.reserve.asked_at < deleted_at:
                entry = evolve(entry, reserve=None)
            if entry.asked_at >= deleted_at:
                kept = self._shared.kept
                await kept.put(question, reconciled(kept.peek(question), entry))
            await self.pause()

    async def delete(self, question: Question, /) -> None:
        """Delete it, and tell the others."""
        with self.working(), self.deleting(question):
            shared = self._shared
            moment, deleted_at = next(self._moments), shared.clock.time()
            await self.pause()
            await shared.kept.delete(question)
            shared.leases.pop(question, None)
            shared.tombstones[question] = max(deleted_at, shared.tombstones.get(question, 0.0))
            for view in shared.views:
                if view is not self and view._words is not None:
                    view._words.put_nowait((question.key, moment))
            await self.pause()

    async def lease(self, question: Question, seconds: float, /) -> Lease:
        """Grant it if no other has it."""
        with self.working():
            await self.pause()
            time = asyncio.get_running_loop().time()
            holder, until = self._shared.leases.get(question, (self, 0.0))
            held = holder is self or time >= until
            if held:
                self._shared.leases[question] = self, time + seconds
            entry = self._shared.kept.peek(question)
            await self.pause()
            if held:
                self.held.add(question)
            return Lease(held=held, entry=entry)

    async def release(self, question: Question, /) -> None:
        """End it; if that fails it ends by itself."""
        with self.working():
            self.held.discard(question)
            await self.pause()
            if self._shared.leases.get(question, (None, 0.0))[0] is self:
                del self._shared.leases[question]
            await self.pause()

    def cut_off(self) -> None:
        """Lose what is on its way here, and be cut off."""
        if self._words is not None:
            words, self._words = self._words, None
            while not words.empty():
                words.get_nowait()
            words.put_nowait(None)

    async def invalidations(self) -> AsyncGenerator[str | None, None]:
        """Tell what the others delete."""
        await self.pause()
        words = self._words = asyncio.Queue()
        yield None
        while (word := await words.get()) is not None:
            for _ in range(self._rng.randrange(4)):
                await asyncio.sleep(0)
            yield word[0]
            self._heard(self, *word)
        raise CacheError("cut off")
