"""The log of a resolver: one safe line per event, at the level that an operator expects."""

import asyncio
import logging
import random
import re
from logging.handlers import BufferingHandler
from typing import Any

import pytest
from attrs import evolve
from worlds import FED, HOUR, OLD, Gate, settled

from matrix_resolve import (
    AskAddresses,
    AskSrv,
    AskWellKnown,
    CacheEntry,
    CacheError,
    HttpResponse,
    MemoryCache,
    Policy,
    Question,
    Resolver,
    ServerName,
    SrvLookupError,
    SrvRecord,
    Step,
    Target,
    WellKnownFetchError,
)
from matrix_resolve.core.questions import Addresses, NotDelegated, SrvFailed
from matrix_resolve.hooks.events import (
    CacheFailed,
    CacheHit,
    DegradedServed,
    LegacySrvUsed,
    QuestionAborted,
    QuestionAnswered,
    QuestionAsked,
    Refreshed,
    RequestAnswered,
    RequestBegun,
    RequestFailed,
    ResolveBegun,
    Resolved,
    ResolveFailed,
    ResolverEvent,
    StaleServed,
    TargetFailed,
    TaskFailed,
)
from matrix_resolve.hooks.logging import LoggingHook
from matrix_resolve.testing import FakeAddresses, FakeClock, FakeSrv, FakeWellKnown

DOCUMENT = "https://a.example/.well-known/matrix/server"
NAME = ServerName.parse("a.example")
TARGET = Target(host="2001:db8::1", port=8448)

Lines = list[tuple[str, str]]
"""What a resolver has logged: (level, line) each."""


@pytest.fixture
def clock() -> FakeClock:
    """A clock that stands still."""
    return FakeClock()


@pytest.fixture
def parts(clock: FakeClock) -> dict[str, Any]:
    """The arguments of a resolver over fakes that find nothing yet, with the hook under test."""
    return {
        "well_known": FakeWellKnown(),
        "srv": FakeSrv(),
        "addresses": FakeAddresses(),
        "cache": MemoryCache(clock=clock),
        "policy": Policy(srv_head_start=False, jitter=0.0),
        "clock": clock,
        "rng": random.Random(1),
        "hooks": [LoggingHook()],
    }


@pytest.fixture(autouse=True)
def _every_level(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, logger="matrix_resolve")


def _lines(caplog: pytest.LogCaptureFixture) -> Lines:
    """Return what has been logged since the last call."""
    lines = [
        (record.levelname, record.getMessage())
        for record in caplog.records
        if record.name == "matrix_resolve"
    ]
    caplog.clear()
    return lines


# What a resolver makes of it


async def test_a_cold_name_and_a_hit(
    parts: dict[str, Any], caplog: pytest.LogCaptureFixture, clock: FakeClock
) -> None:
    """Each question has a line before and after, with its time; so has the whole in the end."""

    def answering(_: str) -> dict[str, str]:
        clock.advance(0.25)
        return {"m.server": "b.example:1"}

    parts["well_known"].answers["a.example"] = answering
    async with Resolver(**parts) as resolver:
        await resolver.resolve("a.example")
        assert _lines(caplog) == [
            ("DEBUG", f"{DOCUMENT}: asking, after 0 ms of waiting for a slot"),
            ("DEBUG", f"{DOCUMENT}: found after 250 ms: 'delegates to b.example:1 ({DOCUMENT})'"),
            ("DEBUG", "a.example: resolved after 250 ms, by step 3.2"),
        ]
        await resolver.resolve("a.example")
        assert _lines(caplog) == [
            ("DEBUG", "a.example: from cache"),
            ("DEBUG", "a.example: resolved after 0 ms, by step 3.2"),
        ]


async def test_stale(
    parts: dict[str, Any], caplog: pytest.LogCaptureFixture, clock: FakeClock
) -> None:
    """A stale answer is worth a line to an operator, and the failure behind it is in the log."""
    parts["well_known"].answers["a.example"] = {"m.server": "b.example:1"}
    async with Resolver(**parts) as resolver:
        await resolver.resolve("a.example")
        clock.advance(25 * HOUR)
        parts["well_known"].answers["a.example"] = WellKnownFetchError("no route")
        caplog.clear()
        assert (await resolver.resolve("a.example")).stale
    assert _lines(caplog)[1:] == [
        ("DEBUG", f"{DOCUMENT}: failed after 0 ms: 'nothing usable: no route'"),
        ("INFO", "a.example: a stale answer was given, as asking again has failed or is slow"),
        ("DEBUG", "a.example: resolved after 0 ms, by step 3.2"),
    ]


async def test_degraded(parts: dict[str, Any], caplog: pytest.LogCaptureFixture) -> None:
    """A failed SRV lookup that is made do with is told of for information."""
    parts["srv"].answers[FED + "a.example"] = SrvLookupError("SERVFAIL")
    async with Resolver(**parts) as resolver:
        assert (await resolver.resolve("a.example")).degraded
    assert _lines(caplog)[-2] == (
        "INFO",
        "a.example: an SRV lookup failed and was treated as no records",
    )


async def test_legacy_srv(parts: dict[str, Any], caplog: pytest.LogCaptureFixture) -> None:
    """The deprecated records are told, with the step, where nobody is bothered by it."""
    parts["srv"].answers[OLD + "a.example"] = [SrvRecord(0, 0, 8450, "b.example")]
    async with Resolver(**parts) as resolver:
        assert (await resolver.resolve("a.example")).step is Step.LEGACY_SRV
    assert _lines(caplog)[-2] == (
        "DEBUG",
        "a.example: decided by deprecated _matrix._tcp records (step 5)",
    )


async def test_refreshed_ahead(
    parts: dict[str, Any], caplog: pytest.LogCaptureFixture, clock: FakeClock
) -> None:
    """What is refreshed in the last fifth of its lifetime is told after the hit that it was."""
    parts["well_known"].answers["a.example"] = {"m.server": "b.example:1"}
    async with Resolver(**parts) as resolver:
        await resolver.resolve("a.example")
        clock.advance(22 * HOUR)
        gate = parts["well_known"].answers["a.example"] = Gate({"m.server": "c.example:1"})
        caplog.clear()
        await resolver.resolve("a.example")
        gate.opened.set()
        await settled()
    said = f"'delegates to c.example:1 ({DOCUMENT})'"
    assert _lines(caplog) == [
        ("DEBUG", f"{DOCUMENT}: asking, after 0 ms of waiting for a slot"),
        ("DEBUG", "a.example: from cache"),
        ("DEBUG", "a.example: resolved after 0 ms, by step 3.2"),
        ("DEBUG", f"{DOCUMENT}: found after 0 ms: {said}"),
        ("DEBUG", f"{DOCUMENT}: refreshed in the background: found: {said}"),
    ]


async def test_aborted(
    parts: dict[str, Any], caplog: pytest.LogCaptureFixture, clock: FakeClock
) -> None:
    """A question that nobody waits for any more is told to have ended without an answer."""
    parts["well_known"].answers["a.example"] = Gate()
    async with Resolver(**parts) as resolver:
        task = asyncio.create_task(resolver.resolve("a.example"))
        await settled()
        clock.advance(0.5)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await settled()
    assert _lines(caplog)[1:] == [
        ("DEBUG", "a.example: not resolved, after 500 ms: CancelledError: ''"),
        ("DEBUG", f"{DOCUMENT}: aborted after 500 ms"),
    ]


async def test_a_bug_in_the_background(
    parts: dict[str, Any], caplog: pytest.LogCaptureFixture, clock: FakeClock
) -> None:
    """A bug that no caller hears of is an error, with the traceback."""
    asyncio.get_running_loop().set_exception_handler(lambda _, context: None)
    parts["well_known"].answers["a.example"] = {"m.server": "b.example:1"}
    async with Resolver(**parts) as resolver:
        await resolver.resolve("a.example")
        clock.advance(22 * HOUR)
        error = ZeroDivisionError("a bug")
        gate = parts["well_known"].answers["a.example"] = Gate(error)
        await resolver.resolve("a.example")
        gate.opened.set()
        await settled()
    failed = caplog.records[-1]
    assert failed.exc_info is not None
    assert failed.exc_info[1] is error
    assert _lines(caplog)[-1] == (
        "ERROR",
        f"{DOCUMENT}: failed in the background, most likely a bug: ZeroDivisionError: 'a bug'",
    )


NEWS = {
    "stale": (StaleServed(server_name=NAME), {"stale": True, "degraded": False}),
    "degraded": (DegradedServed(server_name=NAME), {"stale": False, "degraded": True}),
}


@pytest.mark.parametrize(("event", "flags"), NEWS.values(), ids=NEWS)
def test_an_outage_is_told_once_a_name(
    event: ResolverEvent, flags: dict[str, bool], caplog: pytest.LogCaptureFixture
) -> None:
    """What goes on is news once; it is again after a resolve that shows that it was over."""
    ended = Resolved(server_name=NAME, step=Step.SRV, duration=0.0, from_cache=False, **flags)
    fine = evolve(ended, stale=False, degraded=False)
    other = evolve(event, server_name=ServerName.parse("b.example"))
    upper = evolve(event, server_name=ServerName.parse("A.example"))
    hook = LoggingHook()
    levels = []
    for each in (event, ended, upper, ended, other, event, fine, event, event):
        hook(each)
        levels += [level for level, line in _lines(caplog) if "resolved" not in line]
    assert levels == ["INFO", "DEBUG", "INFO", "DEBUG", "INFO", "DEBUG"]


async def test_an_outage_of_dns(
    parts: dict[str, Any], caplog: pytest.LogCaptureFixture, clock: FakeClock
) -> None:
    """A hundred resolves of a name during an outage have one line in a log of INFO."""
    caplog.set_level(logging.INFO, logger="matrix_resolve")
    parts["srv"].answers[FED + "a.example"] = SrvLookupError("SERVFAIL")
    async with Resolver(**parts) as resolver:
        for _ in range(100):
            assert (await resolver.resolve("a.example")).degraded
            clock.advance(2.0)
        parts["srv"].answers.clear()
        clock.advance(HOUR)
        assert not (await resolver.resolve("a.example")).degraded
        parts["srv"].answers[FED + "a.example"] = SrvLookupError("SERVFAIL")
        await resolver.invalidate("a.example")
        assert (await resolver.resolve("a.example")).degraded
    line = "a.example: an SRV lookup failed and was treated as no records"
    assert _lines(caplog) == [("INFO", line)] * 2


def test_outages_without_number(caplog: pytest.LogCaptureFixture) -> None:
    """However many names are degraded, what is known of them is bounded."""
    hook = LoggingHook()
    names = (ServerName.parse(f"n{number}.example") for number in range(30_000))
    logging.getLogger("matrix_resolve").setLevel(logging.WARNING)
    for name in names:
        hook(DegradedServed(server_name=name))
    assert sum(map(len, hook._outages.values())) <= 10_000


class BrokenCache:
    """A cache that can do nothing."""

    def __init__(self, reason: str) -> None:
        self._reason = reason

    async def get(self, question: Question, /) -> CacheEntry | None:
        """Fail."""
        raise CacheError(self._reason)

    async def put(self, question: Question, entry: CacheEntry, /) -> None:
        """Fail."""
        raise CacheError(self._reason)

    async def delete(self, question: Question, /) -> None:
        """Fail."""
        raise CacheError(self._reason)


async def test_a_broken_cache(parts: dict[str, Any], caplog: pytest.LogCaptureFixture) -> None:
    """A failure of the cache is a warning that says for which question, and why."""
    parts["cache"] = BrokenCache("no connection")
    async with Resolver(**parts) as resolver:
        await resolver.resolve("a.example")
    assert _lines(caplog)[0] == ("WARNING", f"{DOCUMENT}: the cache failed: 'no connection'")


# Levels

EVENTS: dict[str, tuple[ResolverEvent, str, str]] = {
    "a hit": (CacheHit(server_name=NAME), "DEBUG", "a.example: from cache"),
    "stale": (StaleServed(server_name=NAME), "INFO", "a.example: a stale answer was given"),
    "degraded": (DegradedServed(server_name=NAME), "INFO", "a.example: an SRV lookup failed"),
    "resolved": (
        Resolved(
            server_name=NAME,
            step=Step.SRV,
            duration=0.0123,
            from_cache=False,
            stale=False,
            degraded=False,
        ),
        "DEBUG",
        "a.example: resolved after 12 ms, by step 4",
    ),
    "not resolved": (
        ResolveFailed(server_name=NAME, error=SrvLookupError("SERVFAIL"), duration=0.5),
        "DEBUG",
        "a.example: not resolved, after 500 ms: SrvLookupError: 'SERVFAIL'",
    ),
    "a request answered": (
        RequestAnswered(
            server_name=NAME, method="PUT", target=TARGET, status=403, duration=0.5, reused=False
        ),
        "DEBUG",
        "a.example: PUT: status 403 from [2001:db8::1]:8448 after 500 ms",
    ),
    "a request answered on a kept connection": (
        RequestAnswered(
            server_name=NAME, method="PUT", target=TARGET, status=200, duration=0.5, reused=True
        ),
        "DEBUG",
        "a.example: PUT: status 200 from [2001:db8::1]:8448 after 500 ms, on a connection that was",
    ),
    "a target that failed": (
        TargetFailed(
            server_name=NAME, target=TARGET, reason="refused", duration=0.5, own_trouble=False
        ),
        "DEBUG",
        "a.example: a target could not be reached, after 500 ms: 'refused'",
    ),
    "a request that failed": (
        RequestFailed(server_name=NAME, method="PUT", error=TimeoutError("late"), duration=60.0),
        "DEBUG",
        "a.example: PUT: failed after 60000 ms: TimeoutError: 'late'",
    ),
    "legacy": (
        LegacySrvUsed(server_name=NAME, step=Step.WELL_KNOWN_LEGACY_SRV),
        "DEBUG",
        "a.example: decided by deprecated _matrix._tcp records (step 3.4)",
    ),
    "asked": (
        QuestionAsked(question=AskAddresses("a.example"), waited=1.5),
        "DEBUG",
        "addresses of a.example: asking, after 1500 ms",
    ),
    "answered": (
        QuestionAnswered(question=AskAddresses("a.example"), answer=Addresses(()), duration=0.0123),
        "DEBUG",
        "addresses of a.example: none after 12 ms: 'no addresses'",
    ),
    "aborted": (
        QuestionAborted(question=AskSrv(FED + "a.example"), duration=2.0),
        "DEBUG",
        "SRV _matrix-fed._tcp.a.example: aborted after 2000 ms",
    ),
    "refreshed": (
        Refreshed(question=AskWellKnown("a.example"), answer=NotDelegated("status 404")),
        "DEBUG",
        f"{DOCUMENT}: refreshed in the background: none: 'nothing usable: status 404'",
    ),
    "a cache that failed": (
        CacheFailed(question=AskWellKnown("a.example"), error=CacheError("refused")),
        "WARNING",
        f"{DOCUMENT}: the cache failed: 'refused'",
    ),
    "a feed that was cut off": (
        CacheFailed(question=None, error=CacheError("refused")),
        "WARNING",
        "the feed of invalidations: the cache failed: 'refused'",
    ),
    "a task that failed": (
        TaskFailed(question=AskWellKnown("a.example"), error=KeyError("bug")),
        "ERROR",
        f"{DOCUMENT}: failed in the background, most likely a bug: KeyError: ",
    ),
    "a feed with a bug": (
        TaskFailed(question=None, error=ValueError("bug")),
        "ERROR",
        "the feed of invalidations: failed in the background, most likely a bug: ValueError: 'bug'",
    ),
}


@pytest.mark.parametrize(("event", "level", "line"), EVENTS.values(), ids=EVENTS)
def test_levels(
    event: ResolverEvent, level: str, line: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Each event has its level, and a line that begins with what it is about."""
    LoggingHook()(event)
    ((logged_level, logged),) = _lines(caplog)
    assert logged_level == level
    assert logged.startswith(line)


@pytest.mark.parametrize(("event", "level", "line"), EVENTS.values(), ids=EVENTS)
def test_below_the_level(
    event: ResolverEvent, level: str, line: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A logger that is set to a higher level hears nothing."""
    logging.getLogger("matrix_resolve").setLevel(logging.getLevelNamesMapping()[level] + 1)
    LoggingHook()(event)
    assert _lines(caplog) == []


def test_no_text_is_built_in_vain(caplog: pytest.LogCaptureFixture) -> None:
    """An answer is put into words only for a log that has room for it."""

    class Unspeakable:
        """No answer: whoever describes it fails."""

    answer: Any = Unspeakable()
    event = QuestionAnswered(question=AskWellKnown("a.example"), answer=answer, duration=0.0)
    logging.getLogger("matrix_resolve").setLevel(logging.INFO)
    LoggingHook()(event)
    logging.getLogger("matrix_resolve").setLevel(logging.DEBUG)
    with pytest.raises(AssertionError):
        LoggingHook()(event)


@pytest.mark.parametrize(
    "event", [ResolveBegun(server_name=NAME), RequestBegun(server_name=NAME, method="GET")]
)
def test_beginnings(event: ResolverEvent, caplog: pytest.LogCaptureFixture) -> None:
    """How it ended says all that a beginning could."""
    LoggingHook()(event)
    assert _lines(caplog) == []


def test_unknown_events(caplog: pytest.LogCaptureFixture) -> None:
    """An event of a later version is passed over."""
    later: Any = object()
    LoggingHook()(later)
    assert _lines(caplog) == []


def test_a_logger_of_ones_own(caplog: pytest.LogCaptureFixture) -> None:
    """The events go to the logger that was given, and to no other."""
    caplog.set_level(logging.DEBUG, logger="elsewhere")
    LoggingHook(logging.getLogger("elsewhere"))(CacheHit(server_name=NAME))
    assert caplog.record_tuples == [("elsewhere", logging.DEBUG, "a.example: from cache")]


# What strangers say

HOSTILE = "no\r\n2027-01-01 ERROR forged \x1b[31m\x00\x85\u2028\u202eend\ud800"


@pytest.mark.parametrize(
    "event",
    [
        QuestionAnswered(question=AskSrv("a.example"), answer=SrvFailed(HOSTILE), duration=0.0),
        Refreshed(question=AskWellKnown("a.example"), answer=NotDelegated(HOSTILE)),
        CacheFailed(question=AskWellKnown("a.example"), error=CacheError(HOSTILE)),
        TaskFailed(question=AskWellKnown("a.example"), error=ValueError(HOSTILE)),
        ResolveFailed(server_name=NAME, error=ValueError(HOSTILE), duration=0.0),
        RequestFailed(server_name=NAME, method="GET", error=OSError(HOSTILE), duration=0.0),
        TargetFailed(
            server_name=NAME, target=TARGET, reason=HOSTILE, duration=0.0, own_trouble=False
        ),
    ],
    ids=lambda event: type(event).__name__,
)
def test_hostile_texts(event: ResolverEvent) -> None:
    """No line feed, control character or odd letter of a stranger's reaches a line raw."""
    # A logger apart: pytest-xdist can't pass on what it would capture of a traceback's text.
    logger, kept = logging.Logger("apart"), BufferingHandler(capacity=10)
    logger.addHandler(kept)
    LoggingHook(logger)(event)
    (record,) = kept.buffer
    line = record.getMessage()
    assert re.fullmatch(r"[ -~]+", line)
    assert r"no\r\n2027-01-01 ERROR forged \x1b[31m" in line


async def test_hostile_servers(parts: dict[str, Any], caplog: pytest.LogCaptureFixture) -> None:
    """The URL and the reasons that plug-ins pass on are as safe in the log as any other."""
    parts["well_known"].answers |= {
        "a.example": HttpResponse(200, (), b'{"m.server": "b.example:1"}', HOSTILE),
        "c.example": HttpResponse(200, (), b'{"m.server": "\\u001b[31m\\n"}', HOSTILE),
        "d.example": WellKnownFetchError(HOSTILE),
    }
    parts["srv"].answers[FED + "d.example"] = SrvLookupError(HOSTILE)
    parts["cache"] = BrokenCache(HOSTILE)
    async with Resolver(**parts) as resolver:
        for name in ("a.example", "c.example", "d.example"):
            await resolver.resolve(name)
    lines = _lines(caplog)
    assert sum("forged" in line for _, line in lines) >= 3
    assert [line for _, line in lines if not re.fullmatch(r"[ -~]+", line)] == []


def test_long_texts(caplog: pytest.LogCaptureFixture) -> None:
    """A reason of a megabyte is cut."""
    error = CacheError("x" * 1_000_000)
    LoggingHook()(CacheFailed(question=AskWellKnown("a.example"), error=error))
    ((_, line),) = _lines(caplog)
    assert len(line) < 400


def test_a_cache_that_is_down(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One warning in ten seconds tells of it; the other failures are there for those who dig."""
    now = 1000.0
    monkeypatch.setattr("matrix_resolve.hooks.logging.time.monotonic", lambda: now)
    caplog.set_level(logging.DEBUG)
    hook = LoggingHook()
    levels = []
    for seconds in (0.0, 0.1, 9.8, 0.2, 5.0):
        now += seconds
        hook(CacheFailed(question=AskWellKnown("a.example"), error=CacheError("refused")))
        levels += [level for level, _ in _lines(caplog)]
    assert levels == ["WARNING", "DEBUG", "DEBUG", "WARNING", "DEBUG"]
