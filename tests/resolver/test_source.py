"""One question, one answer: coalescing, asking ahead, limits, what fails, hooks."""

import asyncio
import errno
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import pytest
from worlds import FED, HANGS, OLD, Gate, World, settled

from matrix_resolve import (
    AddressLookupError,
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
    SrvRecord,
    Step,
    WellKnownFetchError,
)
from matrix_resolve.core.entries import Reserve
from matrix_resolve.core.questions import (
    Delegated,
    NoSrvRecords,
    NotDelegated,
    SrvFailed,
    SrvRecords,
)
from matrix_resolve.hooks.events import (
    CacheFailed,
    CacheHit,
    Hooks,
    QuestionAnswered,
    QuestionAsked,
    ResolveBegun,
    Resolved,
    TaskFailed,
)
from matrix_resolve.hooks.logging import LoggingHook
from matrix_resolve.resolver import store, tasks
from matrix_resolve.testing import FakeAddresses, FakeClock, FakeSrv, FakeWellKnown


@pytest.fixture
def well_known() -> FakeWellKnown:
    """A fetcher that finds nothing yet."""
    return FakeWellKnown()


@pytest.fixture
def srv() -> FakeSrv:
    """An SRV lookup that finds nothing yet."""
    return FakeSrv()


@pytest.fixture
def parts(well_known: FakeWellKnown, srv: FakeSrv) -> dict[str, Any]:
    """The arguments of a resolver over these fakes."""
    return {
        "well_known": well_known,
        "srv": srv,
        "addresses": FakeAddresses(),
        "cache": MemoryCache(),
    }


@pytest.fixture
async def resolver(parts: dict[str, Any]) -> AsyncIterator[Resolver]:
    """A resolver over these fakes, with the default policy."""
    async with Resolver(**parts) as resolver:
        yield resolver


# Coalescing


async def test_many_callers_make_one_fetch(
    resolver: Resolver, well_known: FakeWellKnown, srv: FakeSrv
) -> None:
    """A thousand callers of one cold name share one fetch and two SRV lookups."""
    well_known.delay = srv.delay = 0.01
    results = await asyncio.gather(*(resolver.resolve("cold.example") for _ in range(1000)))
    assert {resolution.step for resolution in results} == {Step.DEFAULT_PORT}
    assert well_known.asked == ["cold.example"]
    assert sorted(srv.asked) == [FED + "cold.example", OLD + "cold.example"]


async def test_cancelled_waiters_disturb_nobody(
    resolver: Resolver, well_known: FakeWellKnown
) -> None:
    """Of 20 waiters 10 are cancelled, and the other 10 are served by the one fetch."""
    gate = well_known.answers["a.example"] = Gate({"m.server": "b.example:1"})
    tasks = [asyncio.create_task(resolver.resolve("a.example")) for _ in range(20)]
    await settled()
    for task in tasks[::2]:
        task.cancel()
    await settled()
    gate.opened.set()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert [isinstance(result, asyncio.CancelledError) for result in results] == [True, False] * 10
    assert well_known.asked == ["a.example"]


async def test_a_flight_without_waiters_is_cancelled(
    resolver: Resolver, well_known: FakeWellKnown
) -> None:
    """When the only waiter goes, the fetch is cancelled, and the next caller gets a new one."""
    gate = well_known.answers["a.example"] = Gate({"m.server": "b.example:1"})
    task = asyncio.create_task(resolver.resolve("a.example"))
    await settled()
    assert gate.waiting == 1
    task.cancel()
    next_caller = asyncio.create_task(resolver.resolve("a.example"))
    await settled()
    assert (gate.waiting, len(well_known.asked)) == (1, 2)
    gate.opened.set()
    assert (await next_caller).host_header == "b.example:1"


# Asking ahead


async def test_both_service_names_are_asked_at_once(
    resolver: Resolver, well_known: FakeWellKnown, srv: FakeSrv
) -> None:
    """Of a delegated host both SRV names are under way together."""
    well_known.answers["a.example"] = {"m.server": "b.example"}
    gates = [Gate(), Gate([SrvRecord(0, 0, 1, "c.example")])]
    srv.answers[FED + "b.example"], srv.answers[OLD + "b.example"] = gates
    task = asyncio.create_task(resolver.resolve("a.example"))
    await settled()
    assert [gate.waiting for gate in gates] == [1, 1]
    for gate in gates:
        gate.opened.set()
    assert (await task).step is Step.WELL_KNOWN_LEGACY_SRV


async def test_what_is_not_needed_is_cancelled(resolver: Resolver, srv: FakeSrv) -> None:
    """With an answer under the new service name, nobody waits for the old one."""
    srv.answers[FED + "a.example"] = [SrvRecord(0, 0, 1, "b.example")]
    gate = srv.answers[OLD + "a.example"] = Gate()
    assert (await resolver.resolve("a.example")).step is Step.SRV
    await settled()
    assert gate.waiting == 0


async def test_head_start(resolver: Resolver, well_known: FakeWellKnown, srv: FakeSrv) -> None:
    """While little is in flight, the SRV lookups of steps 4 and 5 run beside the fetch."""
    gate = well_known.answers["a.example"] = Gate()
    task = asyncio.create_task(resolver.resolve("a.example"))
    await settled()
    assert sorted(srv.asked) == [FED + "a.example", OLD + "a.example"]
    gate.opened.set()
    assert (await task).step is Step.DEFAULT_PORT
    assert len(srv.asked) == 2


async def test_no_head_start_under_load(
    resolver: Resolver, well_known: FakeWellKnown, srv: FakeSrv
) -> None:
    """With ten fetches begun, further names ask SRV only once that is needed."""
    gate = Gate({"m.server": "b.example:1"})
    names = [f"n{number}.example" for number in range(15)]
    well_known.answers |= dict.fromkeys(names, gate)
    tasks = [asyncio.create_task(resolver.resolve(name)) for name in names]
    await settled()
    assert {name.removeprefix(FED).removeprefix(OLD) for name in srv.asked} == set(names[:10])
    gate.opened.set()
    await asyncio.gather(*tasks)
    assert len(srv.asked) == 20
    gate = well_known.answers["later.example"] = Gate({"m.server": "b.example:1"})
    later = asyncio.create_task(resolver.resolve("later.example"))
    await settled()
    assert FED + "later.example" in srv.asked  # those that have ended count no more
    gate.opened.set()
    await later


async def test_head_start_can_be_off(parts: dict[str, Any], srv: FakeSrv) -> None:
    """`srv_head_start=False`: a delegated name asks no SRV records of its own."""
    parts["well_known"].answers["a.example"] = {"m.server": "b.example:1"}
    async with Resolver(**parts, policy=Policy(srv_head_start=False)) as resolver:
        await resolver.resolve("a.example")
    assert srv.asked == []


async def test_head_start_leaves_what_is_remembered(
    parts: dict[str, Any], well_known: FakeWellKnown, srv: FakeSrv
) -> None:
    """A cached document gives nothing a head start; nor is asked ahead what is remembered."""
    well_known.answers["a.example"] = {"m.server": "b.example:1"}
    for _ in range(2):
        async with Resolver(**parts) as resolver:
            await resolver.resolve("a.example")
        srv.asked.clear()
    assert well_known.asked == ["a.example"]


# Limits


async def test_slots(parts: dict[str, Any], well_known: FakeWellKnown, srv: FakeSrv) -> None:
    """No more fetches and lookups are under way at once than the policy says."""
    fetches, lookups = Gate(), Gate()
    names = [f"n{number}.example" for number in range(20)]
    well_known.answers |= dict.fromkeys(names, fetches)
    srv.answers |= dict.fromkeys([s + name for s in (FED, OLD) for name in names], lookups)
    policy = Policy(max_well_known_fetches=3, max_dns_lookups=4)
    async with Resolver(**parts, policy=policy) as resolver:
        tasks = [asyncio.create_task(resolver.resolve(name)) for name in names]
        await settled()
        fetches.opened.set()
        await settled()
        lookups.opened.set()
        await asyncio.gather(*tasks)
    assert (fetches.most, lookups.most) == (3, 4)


async def test_time_outs(parts: dict[str, Any], well_known: FakeWellKnown, srv: FakeSrv) -> None:
    """Plug-ins that never answer are given up, and the decision goes on as the steps say."""
    well_known.answers["a.example"] = srv.answers[FED + "a.example"] = Gate()
    policy = Policy(well_known_timeout=0.05, dns_timeout=0.05)
    async with Resolver(**parts, policy=policy) as resolver:
        resolution = await resolver.resolve("a.example")
    assert (resolution.step, resolution.degraded) == (Step.DEFAULT_PORT, True)
    assert resolution.explain().count("no answer within 0.05 s") == 2


async def test_a_name_too_long_for_dns(resolver: Resolver, srv: FakeSrv) -> None:
    """A name over 253 octets with its SRV labels has no records, and nobody is asked."""
    name = ".".join(["a" * 60] * 4)
    resolution = await resolver.resolve(name)
    assert (resolution.step, resolution.degraded) == (Step.DEFAULT_PORT, False)
    assert srv.asked == []


async def test_max_body_holds_for_any_fetcher(
    resolver: Resolver, well_known: FakeWellKnown
) -> None:
    """A custom fetcher that returns too long a body gets nowhere with it."""
    body = b'{"m.server": "b.example:1", "x": "' + b"x" * 50 * 1024 + b'"}'
    well_known.answers["a.example"] = HttpResponse(200, (), body, "")
    assert (await resolver.resolve("a.example")).step is Step.DEFAULT_PORT


# Plug-ins that fail


@pytest.mark.parametrize("error", [ValueError("bug"), TimeoutError("bug"), KeyError("bug")])
async def test_bugs_reach_the_callers(
    resolver: Resolver, well_known: FakeWellKnown, error: Exception
) -> None:
    """What is not the documented error comes to all who wait, to nobody else, and is not kept."""
    contexts: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: contexts.append(context))
    well_known.answers["a.example"] = error
    tasks = [resolver.resolve("a.example") for _ in range(3)]
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert results == [error] * 3
    assert contexts == []
    well_known.answers["a.example"] = {"m.server": "b.example:1"}
    assert (await resolver.resolve("a.example")).host_header == "b.example:1"


async def test_a_bug_in_what_was_asked_ahead(
    parts: dict[str, Any], well_known: FakeWellKnown, srv: FakeSrv
) -> None:
    """A bug met by a lookup that turned out not to be needed goes to hooks and to the loop."""
    gate = well_known.answers["a.example"] = Gate({"m.server": "b.example:1"})
    srv.answers[FED + "a.example"] = error = ZeroDivisionError("bug")
    told: list[Any] = []
    contexts: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: contexts.append(context))
    async with Resolver(**parts, hooks=[told.append]) as resolver:
        task = asyncio.create_task(resolver.resolve("a.example"))
        await settled()
        gate.opened.set()
        assert (await task).host_header == "b.example:1"
    assert [context["exception"] for context in contexts] == [error]
    failed = [event for event in told if isinstance(event, TaskFailed)]
    assert failed == [TaskFailed(question=AskSrv(FED + "a.example"), error=error)]


async def test_a_bug_that_reaches_who_stays(resolver: Resolver, well_known: FakeWellKnown) -> None:
    """A bug of the moment when one of two is cancelled reaches the other, and is not told too."""
    contexts: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: contexts.append(context))
    error = ZeroDivisionError("bug")

    async def failing(_: str) -> None:
        leaving.cancel()
        raise error

    well_known.answers["a.example"] = failing
    leaving, staying = (asyncio.create_task(resolver.resolve("a.example")) for _ in range(2))
    results = await asyncio.gather(leaving, staying, return_exceptions=True)
    assert [type(result) for result in results] == [asyncio.CancelledError, ZeroDivisionError]
    assert contexts == []


def _without_descriptors() -> WellKnownFetchError:
    error = WellKnownFetchError("connecting failed", temporary=False)
    error.__cause__ = OSError(errno.EMFILE, "too many open files")
    return error


OWN_TROUBLE = {
    "DNS": AddressLookupError("SERVFAIL"),
    "said": WellKnownFetchError("no descriptor", temporary=False, own_trouble=True),
    "found in the cause": _without_descriptors(),
}


@pytest.mark.parametrize("trouble", OWN_TROUBLE.values(), ids=OWN_TROUBLE)
async def test_our_own_trouble_does_not_outlast_itself(trouble: Exception) -> None:
    """What failed for want of something of our own is remembered for 5 to 60 s.

    It is temporary whatever its error says, and a row of its own: the peer's doubling is not it.
    """
    world = World()
    world.well_known.answers["a.example"] = trouble
    waits = []
    async with world.resolver() as resolver:
        for _ in range(5):
            resolution = await resolver.resolve("a.example")
            assert resolution.step is Step.DEFAULT_PORT
            answer = resolution.trail[0].answer
            assert isinstance(answer, NotDelegated)
            assert answer.temporary
            waits.append(resolution.trail[0].kept_for)
            world.clock.advance(waits[-1])
        world.well_known.answers["a.example"] = WellKnownFetchError("refused")
        waits.append((await resolver.resolve("a.example")).trail[0].kept_for)
    assert waits == [5, 10, 20, 40, 60, 60]


# Caches that fail, and hooks


class BrokenCache:
    """A cache that can do nothing."""

    async def get(self, question: Question, /) -> CacheEntry | None:
        """Fail."""
        raise CacheError("no connection")

    async def put(self, question: Question, entry: CacheEntry, /) -> None:
        """Fail."""
        raise CacheError("no connection")

    async def delete(self, question: Question, /) -> None:
        """Fail."""
        raise CacheError("no connection")


async def test_a_broken_cache_is_no_cache(parts: dict[str, Any], srv: FakeSrv) -> None:
    """Every failure of the cache counts as a miss and is told; each question is asked once."""
    told: list[Any] = []
    async with Resolver(**(parts | {"cache": BrokenCache()}), hooks=[told.append]) as resolver:
        assert (await resolver.resolve("a.example")).step is Step.DEFAULT_PORT
    assert sorted(srv.asked) == [FED + "a.example", OLD + "a.example"]
    failures = Counter(event.question for event in told if isinstance(event, CacheFailed))
    questions = (AskWellKnown("a.example"), AskSrv(FED + "a.example"), AskSrv(OLD + "a.example"))
    assert failures == dict.fromkeys(questions, 2)  # one told of reading, one of keeping


async def test_hooks_hear_what_is_asked(parts: dict[str, Any]) -> None:
    """Every question that a plug-in is asked is told before and after, and each hit as one."""
    told: list[Any] = []
    async with Resolver(**parts, hooks=[told.append]) as resolver:
        await resolver.resolve("a.example")
        await resolver.resolve("a.example")
    questions = Counter(
        [AskWellKnown("a.example"), AskSrv(FED + "a.example"), AskSrv(OLD + "a.example")]
    )
    asked = [event.question for event in told if isinstance(event, QuestionAsked)]
    answered = [event.question for event in told if isinstance(event, QuestionAnswered)]
    assert Counter(asked) == Counter(answered) == questions
    assert [event for event in told if isinstance(event, CacheHit)] == [
        CacheHit(server_name=ServerName.parse("a.example"))
    ]


class Raising:
    """A hook that raises, and whose repr does."""

    def __init__(self, error: BaseException) -> None:
        self.error = error

    def __call__(self, event: object, /) -> None:
        """Raise."""
        raise self.error.with_traceback(None)

    def __repr__(self) -> str:
        raise self.error.with_traceback(None)


class Textless(Exception):
    """An error without a text."""

    def __str__(self) -> str:
        raise ZeroDivisionError

    __repr__ = __str__


class Odd(BaseException):
    """Neither an `Exception` nor a wish to end the process."""


@pytest.mark.parametrize(
    "error",
    [ZeroDivisionError(), asyncio.CancelledError(), GeneratorExit(), Textless(), Odd()],
    ids=lambda error: type(error).__name__,
)
async def test_a_hook_that_raises(
    parts: dict[str, Any], error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    """A hook that raises, whatever it is, breaks nothing: the loop's exception handler hears."""
    told: list[Any] = []
    async with Resolver(**parts, hooks=[Raising(error), told.append]) as resolver:
        assert (await resolver.resolve("a.example")).step is Step.DEFAULT_PORT
    assert len(told) == 8
    messages = [record.getMessage() for record in caplog.records]
    assert messages == ["a resolver hook failed: a Raising"] * 8


@pytest.mark.parametrize("end", [KeyboardInterrupt, SystemExit])
def test_a_hook_may_end_the_process(end: type[BaseException]) -> None:
    """Who presses Ctrl-C while a hook runs is heard."""
    with pytest.raises(end):
        Hooks([Raising(end())]).tell(CacheHit(server_name=ServerName.parse("a.example")))


async def test_a_bug_without_a_text(
    parts: dict[str, Any], well_known: FakeWellKnown, caplog: pytest.LogCaptureFixture
) -> None:
    """A plug-in's error whose text can't be had is told all the same, in the background too."""
    document = HttpResponse(200, [("Cache-Control", "max-age=600")], b'{"m.server": "b.c:1"}', "")
    well_known.answers["a.example"] = document
    clock = FakeClock()
    parts |= {"cache": MemoryCache(clock=clock), "clock": clock}
    async with Resolver(**parts, hooks=[LoggingHook()]) as resolver:
        await resolver.resolve("a.example")
        clock.advance(590)
        well_known.answers["a.example"] = Textless()
        assert (await resolver.resolve("a.example")).host_header == "b.c:1"
        await settled()
    messages = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
    question = AskWellKnown("a.example")
    assert messages == [
        f"{question}: failed in the background, most likely a bug: Textless: 'a Textless'",
        f"asking failed unheard: {question}",
    ]


async def test_the_old_answer_and_the_failure_are_told(
    resolver: Resolver, well_known: FakeWellKnown
) -> None:
    """A temporary failure tells its reason in the trail."""
    well_known.answers["a.example"] = WellKnownFetchError("connection refused")
    entry = (await resolver.resolve("a.example")).trail[0]
    assert entry.question == AskWellKnown("a.example")
    assert "connection refused" in repr(entry.answer)


class SlowCache(MemoryCache):
    """A cache whose reading or writing takes as long as it is told."""

    get_delay = put_delay = 0.0

    async def get(self, question: Question, /) -> CacheEntry | None:
        """Wait, then look."""
        await asyncio.sleep(self.get_delay)
        return await super().get(question)

    async def put(self, question: Question, entry: CacheEntry, /) -> None:
        """Wait, then keep."""
        await asyncio.sleep(self.put_delay)
        await super().put(question, entry)


async def test_a_cache_that_hangs(parts: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """A cache that never answers counts as none; closing ends who waits on it."""
    monkeypatch.setattr(store, "_CACHE_TIMEOUT", 0.02)
    cache = parts["cache"] = SlowCache()
    cache.get_delay = cache.put_delay = 3600
    told: list[Any] = []
    async with Resolver(**parts, hooks=[told.append]) as resolver:
        resolution = await asyncio.wait_for(resolver.resolve("a.example"), 10)
        assert resolution.step is Step.DEFAULT_PORT
        assert {type(event) for event in told} >= {CacheFailed}
        monkeypatch.setattr(store, "_CACHE_TIMEOUT", 3600)
        waiting = asyncio.ensure_future(resolver.resolve("b.example"))
        await asyncio.sleep(0.01)
    with pytest.raises(RuntimeError, match="closed"):
        await asyncio.wait_for(waiting, 10)


async def test_each_question_is_read_once(parts: dict[str, Any]) -> None:
    """A resolve reads each of its questions from the cache once, and side by side."""
    reads: list[Question] = []

    class Counting(MemoryCache):
        async def get(self, question: Question, /) -> CacheEntry | None:
            """Count, and look."""
            reads.append(question)
            return await super().get(question)

    parts["well_known"].answers["a.example"] = {"m.server": "b.example"}
    parts["cache"] = Counting()
    for _ in range(2):
        reads.clear()
        async with Resolver(**parts) as resolver:
            await resolver.resolve("a.example")
        assert len(reads) == len(set(reads))
    assert set(reads) == {
        AskWellKnown("a.example"),
        AskSrv(FED + "b.example"),
        AskSrv(OLD + "b.example"),
    }


KEY = f"srv:{FED}a.example"
FOREIGN = {
    "no entry": "nonsense",
    "an answer to another kind of question": CacheEntry(
        key=KEY,
        outcome=Delegated(ServerName.parse("evil.example:1"), ""),
        asked_at=0,
        fresh_until=2e9,
        keep_until=2e9,
    ),
    "a good answer to another question": CacheEntry(
        key=KEY,
        outcome=SrvFailed("none"),
        asked_at=0,
        fresh_until=2e9,
        keep_until=2e9,
        reserve=Reserve(
            answer=Delegated(ServerName.parse("evil.example:1"), ""),
            asked_at=0,
            fresh_until=2e9,
            stale_until=2e9,
        ),
    ),
    "an answer to the same kind of question about another name": CacheEntry(
        key=f"srv:{FED}b.example",
        outcome=SrvRecords((SrvRecord(0, 0, 1, "evil.example"),)),
        asked_at=0,
        fresh_until=2e9,
        keep_until=2e9,
    ),
    "no answer": CacheEntry(
        key=KEY,
        outcome=None,  # type: ignore[arg-type]
        asked_at=0,
        fresh_until=2e9,
        keep_until=2e9,
    ),
    "an answer asked in the future": CacheEntry(
        key=KEY, outcome=NoSrvRecords("none"), asked_at=3e9, fresh_until=4e9, keep_until=4e9
    ),
    "a time without end": CacheEntry(
        key=KEY, outcome=NoSrvRecords("none"), asked_at=0, fresh_until=float("inf"), keep_until=2e9
    ),
}


@pytest.mark.parametrize("foreign", FOREIGN.values(), ids=FOREIGN)
async def test_foreign_entries(parts: dict[str, Any], srv: FakeSrv, foreign: Any) -> None:
    """What is no entry for the question counts as a failure of the cache, and is asked."""

    class Foreign(MemoryCache):
        async def get(self, question: Question, /) -> CacheEntry | None:
            """Give what does not belong here."""
            return foreign if isinstance(question, AskSrv) else None

    srv.answers[OLD + "a.example"] = [SrvRecord(0, 0, 8450, "b.example")]
    parts["cache"] = Foreign()
    told: list[Any] = []
    async with Resolver(**parts, hooks=[told.append]) as resolver:
        assert (await resolver.resolve("a.example")).step is Step.LEGACY_SRV
    failed = [event for event in told if isinstance(event, CacheFailed)]
    questions = [AskSrv(FED + "a.example"), AskSrv(OLD + "a.example")]
    assert Counter(event.question for event in failed) == Counter(questions)  # each told once
    assert {str(event.error) for event in failed} == {
        "what was cached is no entry of this question"
    }


async def test_both_service_names_are_asked_at_once_again(
    parts: dict[str, Any], well_known: FakeWellKnown, srv: FakeSrv
) -> None:
    """Names whose records are remembered but past their lifetime are asked together too."""
    clock = parts["clock"] = FakeClock()
    parts["cache"] = MemoryCache(clock=clock)
    async with Resolver(**parts) as resolver:
        await resolver.resolve("a.example")
        clock.advance(7 * 3600)
        gates = [Gate(), Gate()]
        srv.answers[FED + "a.example"], srv.answers[OLD + "a.example"] = gates
        fetch = well_known.answers["a.example"] = Gate()
        task = asyncio.create_task(resolver.resolve("a.example"))
        await settled()
        # Remembered, so not asked ahead of need, but both at once when the need is there.
        assert [fetch.waiting, *(gate.waiting for gate in gates)] == [1, 0, 0]
        fetch.opened.set()
        await settled()
        assert [gate.waiting for gate in gates] == [1, 1]
        for gate in gates:
            gate.opened.set()
        assert (await task).step is Step.DEFAULT_PORT


async def test_a_plug_in_that_does_not_end(
    parts: dict[str, Any], well_known: FakeWellKnown, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Closing ends who waits on a plug-in that ignores its cancellation, and tells of it."""
    monkeypatch.setattr(tasks, "LINGER", 0.02)
    contexts: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: contexts.append(context))
    enough = asyncio.Event()

    async def stubborn(_: str) -> None:
        while not enough.is_set():
            with suppress(asyncio.CancelledError):
                await enough.wait()

    well_known.answers["a.example"] = stubborn
    resolver = Resolver(**parts)
    waiting = asyncio.ensure_future(resolver.resolve("a.example"))
    await settled()
    await asyncio.wait_for(resolver.aclose(), 10)
    with pytest.raises(RuntimeError, match="closed"):
        await waiting
    assert "wk:a.example did not end" in contexts[0]["message"]
    left = contexts[0]["task"]
    enough.set()
    await asyncio.wait((left,))


async def test_a_plug_in_that_ends_in_its_own_time(
    parts: dict[str, Any], well_known: FakeWellKnown
) -> None:
    """Closing cancels a plug-in once, though its callers go too: it may tidy up."""
    tidied = []

    async def tidy(_: str) -> None:
        try:
            await asyncio.sleep(3600)
        finally:
            await settled()
            tidied.append("a.example")

    well_known.answers["a.example"] = tidy
    resolver = Resolver(**parts)
    waiting = asyncio.ensure_future(resolver.resolve("a.example"))
    await settled()
    await resolver.aclose()
    with pytest.raises(RuntimeError, match="closed"):
        await waiting
    assert tidied == ["a.example"]


async def test_a_cache_that_does_not_end(
    parts: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Closing ends who waits on a cache that ignores its cancellation, before that ends."""
    monkeypatch.setattr(tasks, "LINGER", 0.02)
    contexts: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: contexts.append(context))
    may_end = asyncio.Event()

    class Stubborn(MemoryCache):
        async def get(self, question: Question, /) -> CacheEntry | None:
            """Wait, and go on waiting."""
            while not may_end.is_set():
                with suppress(asyncio.CancelledError):
                    await may_end.wait()
            return None

    resolver = Resolver(**(parts | {"cache": Stubborn()}))
    waiting = asyncio.ensure_future(resolver.resolve("a.example"))
    await settled()
    try:
        await asyncio.wait_for(resolver.aclose(), HANGS)
        with pytest.raises(RuntimeError, match="closed"):
            await asyncio.wait_for(waiting, HANGS)
    finally:
        may_end.set()
    await asyncio.wait([context["task"] for context in contexts])


async def test_what_is_made_of_a_cancellation_is_no_answer(
    parts: dict[str, Any], well_known: FakeWellKnown
) -> None:
    """A plug-in that turns its cancellation into its documented error has said nothing."""

    async def giving_up(_: str) -> None:
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            raise WellKnownFetchError("cancelled") from None

    well_known.answers["a.example"] = giving_up
    async with Resolver(**parts) as resolver:
        task = asyncio.create_task(resolver.resolve("a.example"))
        await settled()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        well_known.answers["a.example"] = {"m.server": "b.example:1"}
        assert (await resolver.resolve("a.example")).host_header == "b.example:1"


async def test_a_cache_that_is_deaf_to_cancellation(
    parts: dict[str, Any], well_known: FakeWellKnown
) -> None:
    """When all have given up while a cache did not end at once, nothing is asked after that."""

    class Deaf(MemoryCache):
        async def get(self, question: Question, /) -> CacheEntry | None:
            """Wait, and go on when that is cancelled."""
            with suppress(asyncio.CancelledError):
                await asyncio.sleep(3600)
            return None

    async with Resolver(**(parts | {"cache": Deaf()})) as resolver:
        task = asyncio.create_task(resolver.resolve("a.example"))
        await settled()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await settled()
    assert well_known.asked == []


async def test_a_bug_on_cancellation_is_told(
    parts: dict[str, Any], well_known: FakeWellKnown
) -> None:
    """What a plug-in raises when nobody waits any more goes to hooks and to the loop."""
    error = ZeroDivisionError("bug")

    async def failing(_: str) -> None:
        try:
            await asyncio.sleep(3600)
        finally:
            raise error

    told: list[Any] = []
    contexts: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: contexts.append(context))
    well_known.answers["a.example"] = failing
    async with Resolver(**parts, hooks=[told.append]) as resolver:
        task = asyncio.create_task(resolver.resolve("a.example"))
        await settled()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await settled()
    assert TaskFailed(question=AskWellKnown("a.example"), error=error) in told
    assert [context["exception"] for context in contexts] == [error]


async def test_a_plug_in_that_cancels_itself(resolver: Resolver, well_known: FakeWellKnown) -> None:
    """A plug-in's own `CancelledError` is told as its bug, not as a cancellation of the caller."""

    async def cancelling(_: str) -> None:
        raise asyncio.CancelledError

    well_known.answers["a.example"] = cancelling
    with pytest.raises(RuntimeError, match="cancelled itself"):
        await resolver.resolve("a.example")


@pytest.mark.skipif(sys.version_info < (3, 12), reason="eager tasks came with Python 3.12")
def test_eager_tasks(parts: dict[str, Any], well_known: FakeWellKnown) -> None:
    """With a loop that begins tasks eagerly everything goes on as without."""
    well_known.answers["a.example"] = {"m.server": "b.example:1"}

    async def resolve() -> Any:
        asyncio.get_running_loop().set_task_factory(asyncio.eager_task_factory)
        async with Resolver(**parts) as resolver:
            return await resolver.resolve("a.example"), await resolver.resolve("plain.example")

    delegated, plain = asyncio.run(resolve())
    assert (delegated.host_header, plain.step) == ("b.example:1", Step.DEFAULT_PORT)


@pytest.mark.parametrize("name", ["192.0.2.1", "[2001:db8::1]:80", "a.example:8448"])
async def test_steps_without_questions_are_no_hits(parts: dict[str, Any], name: str) -> None:
    """What rests on no question was not answered from the cache, the first time or later."""
    told: list[Any] = []
    async with Resolver(**parts, hooks=[told.append]) as resolver:
        for _ in range(3):
            await resolver.resolve(name)
            resolver.peek(name)
        assert [type(event) for event in told] == [ResolveBegun, Resolved] * 3
        assert {event.outcome for event in told[1::2]} == {"computed"}
        for _ in range(3):
            await resolver.resolve("plain.example")
    hits = [event for event in told if isinstance(event, CacheHit)]
    assert hits == [CacheHit(server_name=ServerName.parse("plain.example"))] * 2
