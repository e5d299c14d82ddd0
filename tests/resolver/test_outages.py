"""Answers through good times and bad: refreshed ahead, stale meanwhile, backed off, recovered."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from fuzzing import SkippingLoop
from worlds import DAY, FED, HANGS, HOUR, MINUTE, OLD, Gate, SlowToEnd, World, settled

from matrix_resolve import (
    AddressLookupError,
    AskAddresses,
    AskSrv,
    AskWellKnown,
    HttpResponse,
    Policy,
    Resolution,
    Resolver,
    SrvLookupError,
    SrvRecord,
    SrvReply,
    Step,
    WellKnownFetchError,
)
from matrix_resolve.core.questions import Delegated
from matrix_resolve.hooks.events import QuestionAborted, Refreshed, StaleServed, TaskFailed

NAME = "a.example"
OLD_DOC, NEW_DOC = {"m.server": "old.example:1"}, {"m.server": "new.example:1"}
DOWN = WellKnownFetchError("connection refused")
REFUSED = HttpResponse(404, (), b"", "")


def said(resolution: Resolution) -> str:
    """A resolution in a word: where it leads, and "stale" if it is."""
    return resolution.host_header.partition(".")[0] + (" stale" if resolution.stale else "")


@pytest.fixture
def world() -> World:
    """A world in which the name is delegated to `old.example:1`."""
    world = World()
    world.well_known.answers[NAME] = OLD_DOC
    return world


@pytest.fixture
async def resolver(world: World) -> AsyncIterator[Resolver]:
    """A resolver over `world`, without jitter, whose stale answers wait for 20 ms."""
    async with world.resolver() as resolver:
        yield resolver


# One question through days of ups and downs.
#
# Each row: hours since the last, what the fetcher says from now on, what is answered, fetches
# made, and for how many minutes what is known then holds.
WALK = [
    (0, OLD_DOC, "old", 1, 24 * 60, "first asked"),
    (19, OLD_DOC, "old", 0, 5 * 60, "fresh: nothing is asked"),
    (0.5, NEW_DOC, "old", 1, 24 * 60, "the last fifth: answered at once, refreshed behind"),
    (0.01, NEW_DOC, "new", 0, 24 * 60 - 0.6, "the refreshed answer"),
    (23, DOWN, "new", 1, 59.4, "refreshed ahead in vain: the answer keeps its lifetime"),
    (0.01, DOWN, "new", 0, 58.8, "backing off for a minute"),
    (0.02, DOWN, "new", 1, 57.6, "asked again behind the scenes"),
    (1, DOWN, "new stale", 1, 4, "past its lifetime: stale, asked for the third time"),
    (0.05, DOWN, "new stale", 0, 1, "backing off, four minutes now"),
    (0.05, DOWN, "new stale", 1, 8, "asked again: eight minutes"),
    (1, NEW_DOC, "new", 1, 24 * 60, "recovered"),
    (30, DOWN, "new stale", 1, 1, "down again, the row of failures begins anew"),
    (17.9, DOWN, "new stale", 1, 2, "the last of the reserve"),
    (0.2, DOWN, "a", 1, 4, "the reserve is used up: step 6"),
    (2, OLD_DOC, "old", 1, 24 * 60, "recovered"),
    (20, REFUSED, "old", 1, 4 * 60, "refused ahead of its end: keeps its lifetime"),
    (3.9, REFUSED, "old", 1, 6, "refused again in vain"),
    (0.2, REFUSED, "a", 1, 4, "refused after it: gone, and asked again soon"),
    (0.05, REFUSED, "a", 0, 1, "backing off"),
    (0.05, REFUSED, "a", 1, 8, "still refused: doubling"),
    (0.2, DOWN, "a", 1, 1, "in trouble after a refusal: what was refused stays gone"),
    (0.5, NEW_DOC, "new", 1, 24 * 60, "recovered"),
]


async def test_one_question_through_days(world: World, resolver: Resolver) -> None:
    """At each moment: what is answered, whether it is asked, and until when it is kept."""
    for hours, answer, expected, fetches, minutes, moment in WALK:
        world.clock.advance(hours * HOUR)
        world.well_known.answers[NAME] = answer
        world.well_known.asked.clear()
        resolution = await resolver.resolve(NAME)
        await settled()
        assert said(resolution) == expected, moment
        assert len(world.well_known.asked) == fetches, moment
        now = world.clock.time()
        entry = await world.cache.get(AskWellKnown(NAME))
        assert entry.given(now).until - now == pytest.approx(minutes * MINUTE, abs=1), moment


# Refresh ahead


async def test_refresh_ahead_answers_at_once(world: World, resolver: Resolver) -> None:
    """In the last fifth a hit does not wait for the refresh, and many hits make one."""
    await resolver.resolve(NAME)
    gate = world.well_known.answers[NAME] = Gate(NEW_DOC)
    world.clock.advance(0.81 * DAY)
    assert {said(await resolver.resolve(NAME)) for _ in range(20)} == {"old"}
    await settled()
    assert (gate.waiting, len(world.well_known.asked)) == (1, 2)
    gate.opened.set()
    await settled()
    assert said(await resolver.resolve(NAME)) == "new"
    assert len(world.well_known.asked) == 2


async def test_refresh_ahead_asks_nothing_beside(world: World, resolver: Resolver) -> None:
    """Nothing waits for the document, so nothing has a head start on it."""
    world.well_known.answers[NAME] = {"m.server": "old.example"}
    await resolver.resolve(NAME)
    await world.cache.delete(AskSrv(FED + NAME))
    world.well_known.answers[NAME] = Gate(NEW_DOC)
    world.clock.advance(0.81 * DAY)
    world.srv.asked.clear()
    await resolver.resolve(NAME)
    assert FED + NAME not in world.srv.asked


async def test_refresh_goes_on_when_its_caller_is_gone(world: World, resolver: Resolver) -> None:
    """Nobody waits for a refresh in the background, so nobody's leaving ends it."""
    await resolver.resolve(NAME)
    gate = world.well_known.answers[NAME] = Gate(NEW_DOC)
    world.clock.advance(0.81 * DAY)
    task = asyncio.create_task(resolver.resolve(NAME))
    await task
    assert gate.waiting == 1
    gate.opened.set()
    await settled()
    assert resolver.peek(NAME).host_header == "new.example:1"  # type: ignore[union-attr]


async def test_refresh_ahead_can_be_off(world: World) -> None:
    """`refresh_ahead=0` asks at the end of the lifetime only."""
    async with world.resolver(policy=Policy(jitter=0, refresh_ahead=0)) as resolver:
        await resolver.resolve(NAME)
        world.clock.advance(DAY - 1)
        await resolver.resolve(NAME)
        await settled()
    assert len(world.well_known.asked) == 1


async def test_each_answer_is_refreshed_ahead_of_its_own_end(
    world: World, resolver: Resolver
) -> None:
    """SRV records near their end are refreshed; the document, which is not, is left alone."""
    world.well_known.answers[NAME] = {"m.server": "host.example"}
    world.srv.answers[FED + "host.example"] = SrvReply([SrvRecord(0, 0, 1, "t.example")], 1000)
    await resolver.resolve(NAME)
    world.clock.advance(850)
    asked = len(world.srv.asked)
    await resolver.resolve(NAME)
    await settled()
    assert world.srv.asked[asked:] == [FED + "host.example"]
    assert len(world.well_known.asked) == 1


async def test_a_bug_in_a_refresh_reaches_nobody_who_asked(world: World) -> None:
    """What a plug-in raises by mistake in the background goes to the hooks and to the loop."""
    contexts: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: contexts.append(context))
    async with world.resolver(hooks=[world.told.append]) as resolver:
        await resolver.resolve(NAME)
        world.clock.advance(0.9 * DAY)
        error = world.well_known.answers[NAME] = ZeroDivisionError("bug")
        assert said(await resolver.resolve(NAME)) == "old"
        await settled()
    assert [context["exception"] for context in contexts] == [error]
    assert TaskFailed(question=AskWellKnown(NAME), error=error) in world.told


# Stale meanwhile


async def test_slow_refresh_gives_the_stale_answer(world: World) -> None:
    """A refresh that takes long goes on behind the stale answer, whose successor it brings."""
    async with world.resolver(hooks=[world.told.append]) as resolver:
        await resolver.resolve(NAME)
        gate = world.well_known.answers[NAME] = Gate(NEW_DOC)
        world.clock.advance(25 * HOUR)
        assert said(await resolver.resolve(NAME)) == "old stale"
        assert said(await resolver.resolve(NAME)) == "old stale"
        assert gate.waiting == 1
        gate.opened.set()
        await settled()
        assert said(await resolver.resolve(NAME)) == "new"
    assert len(world.well_known.asked) == 2
    assert sum(isinstance(event, StaleServed) for event in world.told) == 2
    (refreshed,) = [event for event in world.told if isinstance(event, Refreshed)]
    assert refreshed.question == AskWellKnown(NAME)
    assert isinstance(refreshed.answer, Delegated)


async def test_quick_refresh_leaves_nothing_stale(world: World) -> None:
    """A refresh that comes within the delay is what the caller gets."""
    policy = Policy(jitter=0, stale_answer_delay=60)
    async with world.resolver(policy=policy) as resolver:
        await resolver.resolve(NAME)
        world.well_known.answers[NAME] = NEW_DOC
        world.well_known.delay = 0.01
        world.clock.advance(25 * HOUR)
        assert said(await resolver.resolve(NAME)) == "new"


def test_the_delay_counts_once_for_a_resolve(world: World) -> None:
    """When the document has used the delay up, stale records are given without another wait."""
    with asyncio.Runner(loop_factory=SkippingLoop) as runner:  # so that time is exact
        runner.run(_the_delay_counts_once(world))


async def _the_delay_counts_once(world: World) -> None:
    world.well_known.answers[NAME] = {"m.server": "host.example"}
    world.srv.answers[FED + "host.example"] = [SrvRecord(0, 0, 1, "t.example")]
    policy = Policy(jitter=0, stale_answer_delay=0.2)
    async with world.resolver(policy=policy) as resolver:
        await resolver.resolve(NAME)
        world.clock.advance(24.5 * HOUR)
        world.well_known.answers[NAME] = Gate()
        gate = world.srv.answers[FED + "host.example"] = Gate()
        loop = asyncio.get_running_loop()
        started = loop.time()
        assert (await resolver.resolve(NAME)).stale
        assert loop.time() - started == pytest.approx(0.2)  # and not 0.2 for each of the two
        await settled()
        assert gate.waiting == 1


async def test_stale_addresses(world: World, resolver: Resolver) -> None:
    """While their lookup fails, the addresses that a target had are given."""
    world.addresses.answers["old.example"] = ["192.0.3.1"]
    resolution = await resolver.resolve(NAME)
    first = await resolver.endpoints(resolution)
    world.addresses.answers["old.example"] = AddressLookupError("SERVFAIL")
    world.clock.advance(2 * HOUR)
    assert await resolver.endpoints(resolution) == first
    gate = world.addresses.answers["old.example"] = Gate(["192.0.3.2"])
    world.clock.advance(2 * HOUR)
    assert await resolver.endpoints(resolution) == first
    gate.opened.set()
    await settled()
    assert [str(e.address) for e in await resolver.endpoints(resolution)] == ["192.0.3.2"]


async def test_stale_addresses_are_refreshed_side_by_side(world: World) -> None:
    """Those of all targets are asked again at once, not one after another."""
    hosts = [f"t{number}.example" for number in range(4)]
    world.well_known.answers.clear()
    world.srv.answers[FED + NAME] = SrvReply([SrvRecord(n, 0, 1, hosts[n]) for n in range(4)], DAY)
    world.addresses.answers = {host: ["192.0.3.1"] for host in hosts}
    policy = Policy(jitter=0, stale_answer_delay=HANGS)
    async with world.resolver(policy=policy) as resolver:
        resolution = await resolver.resolve(NAME)
        await resolver.endpoints(resolution)
        world.clock.advance(2 * HOUR)
        gate: Any = Gate(["192.0.3.2"])
        world.addresses.answers = dict.fromkeys(hosts, gate)
        asking = asyncio.create_task(resolver.endpoints(resolution))
        await settled()
        assert gate.waiting == 4
        gate.opened.set()
        assert {str(endpoint.address) for endpoint in await asking} == {"192.0.3.2"}


async def test_closing_ends_refreshes(world: World) -> None:
    """A refresh under way in the background is cancelled and waited for when closing."""
    resolver = world.resolver()
    await resolver.resolve(NAME)
    gate = world.well_known.answers[NAME] = Gate()
    world.clock.advance(0.9 * DAY)
    await resolver.resolve(NAME)
    await settled()
    assert gate.waiting == 1
    await resolver.aclose()
    assert gate.waiting == 0
    entry = await world.cache.get(AskWellKnown(NAME))
    assert (entry.failures, len(world.well_known.asked)) == (0, 2)


async def test_what_ends_as_it_should_is_told_to_nobody(world: World) -> None:
    """Neither a fetch that is given up nor a refresh that is closed is a bug."""
    contexts: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: contexts.append(context))
    async with world.resolver(hooks=[world.told.append]) as resolver:
        await resolver.resolve(NAME)
        world.well_known.answers = dict.fromkeys((NAME, "b.example"), Gate())
        task = asyncio.create_task(resolver.resolve("b.example"))
        await settled()
        task.cancel()
        world.clock.advance(0.81 * DAY)
        await resolver.resolve(NAME)
        await settled()
    assert contexts == []
    assert len([event for event in world.told if isinstance(event, QuestionAborted)]) >= 2
    assert not any(isinstance(event, TaskFailed) for event in world.told)


async def test_the_reserve_ends_when_it_ends(world: World, resolver: Resolver) -> None:
    """A stale answer that is kept ready is not given past `stale_for`, however long the backoff."""
    await resolver.resolve(NAME)
    world.well_known.answers[NAME] = DOWN
    world.clock.advance(DAY)
    for _ in range(7):
        await resolver.resolve(NAME)
        entry = await world.cache.get(AskWellKnown(NAME))
        world.clock.advance(entry.fresh_until - world.clock.time())
    entry = await world.cache.get(AskWellKnown(NAME))
    world.clock.advance(entry.reserve.stale_until - world.clock.time() - 600)
    resolution = await resolver.resolve(NAME)
    assert said(resolution) == "old stale"
    assert resolution.expires_at is not None
    assert resolution.expires_at.timestamp() - world.clock.time() == pytest.approx(600, abs=1)
    world.clock.advance(601)
    assert said(await resolver.resolve(NAME)) == "a"


async def test_a_plug_in_that_cancels_itself_in_a_refresh(world: World, resolver: Resolver) -> None:
    """Its cancellation is told to the loop as the bug that it is."""
    contexts: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: contexts.append(context))
    await resolver.resolve(NAME)

    async def cancelling(_: str) -> None:
        raise asyncio.CancelledError

    world.well_known.answers[NAME] = cancelling
    world.clock.advance(0.9 * DAY)
    assert said(await resolver.resolve(NAME)) == "old"
    await settled()
    assert [str(context["exception"]) for context in contexts] == ["a plug-in cancelled itself"]


# Outages


@pytest.mark.parametrize(
    "trouble",
    [HttpResponse(503, (), b"", ""), DOWN, AddressLookupError("SERVFAIL")],
    ids=["503", "refused", "its addresses unknown"],
)
async def test_an_hour_without_the_web_server(
    world: World, resolver: Resolver, trouble: Any
) -> None:
    """Every resolve gives the last good answer, stale once it is; fetches back off."""
    await resolver.resolve(NAME)
    world.clock.advance(DAY - 10 * MINUTE)
    world.well_known.answers[NAME] = trouble
    world.well_known.asked.clear()
    given = []
    for _ in range(360):
        given.append(said(await resolver.resolve(NAME)))
        world.clock.advance(10)
        await settled()
    assert given == ["old"] * 60 + ["old stale"] * 300
    # With our own DNS in trouble about once a minute, else less and less often.
    times = len(world.well_known.asked)
    assert times in ((61, 62, 63) if isinstance(trouble, AddressLookupError) else (6,))


async def test_srv_failure_after_a_good_answer(world: World, resolver: Resolver) -> None:
    """SERVFAIL past the lifetime of records gives the records, stale; not `degraded`."""
    world.well_known.answers.clear()
    world.srv.answers[FED + NAME] = SrvReply([SrvRecord(0, 0, 1, "t.example")], 600)
    await resolver.resolve(NAME)
    world.srv.answers[FED + NAME] = SrvLookupError("SERVFAIL")
    world.clock.advance(601)
    resolution = await resolver.resolve(NAME)
    assert (resolution.step, resolution.stale, resolution.degraded) == (Step.SRV, True, False)


async def test_srv_failure_without_a_good_answer(world: World, resolver: Resolver) -> None:
    """SERVFAIL from the first is `degraded`, and healthy within a minute of the recovery."""
    world.well_known.answers.clear()
    world.srv.answers[FED + NAME] = SrvLookupError("SERVFAIL")
    for _ in range(120):
        assert (await resolver.resolve(NAME)).degraded
        world.clock.advance(30)
    world.srv.answers[FED + NAME] = [SrvRecord(0, 0, 1, "t.example")]
    world.clock.advance(30)
    assert (await resolver.resolve(NAME)).step is Step.SRV


async def test_our_own_dns_down_for_an_hour(world: World, resolver: Resolver) -> None:
    """100 names that were first met without DNS are each right within a minute of its recovery."""
    names = [f"n{number}.example" for number in range(100)]
    world.well_known.answers = dict.fromkeys(names, AddressLookupError("time-out"))
    for name in names:
        world.srv.answers[FED + name] = world.srv.answers[OLD + name] = SrvLookupError("time-out")
    for _ in range(120):
        for name in names:
            assert (await resolver.resolve(name)).degraded
        world.clock.advance(30)
    world.well_known.answers = {name: {"m.server": f"hs.{name}:1"} for name in names}
    world.srv.answers.clear()
    world.clock.advance(60)
    for name in names:
        resolution = await resolver.resolve(name)
        assert (resolution.host_header, resolution.degraded) == (f"hs.{name}:1", False)


# Callers with little patience


async def test_fetches_that_all_give_up(world: World, resolver: Resolver) -> None:
    """20 callers, each giving up after 3 s on a silent server, make few fetches in 5 minutes."""
    world.well_known.answers[NAME] = Gate()
    fetched_at = []
    for _ in range(20):
        task = asyncio.create_task(resolver.resolve(NAME))
        before = len(world.well_known.asked)
        await settled()
        if len(world.well_known.asked) > before:
            fetched_at.append(world.clock.monotonic())
        world.clock.advance(3)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        world.clock.advance(12)
    assert fetched_at == [0.0, 75.0, 210.0]


@pytest.mark.parametrize(("seconds", "remembered"), [(1.9, False), (2.0, True)])
async def test_giving_up_early_says_nothing(world: World, seconds: float, remembered: bool) -> None:
    """A fetch that was cancelled within 2 s is asked anew; after that it has failed."""
    world.well_known.answers[NAME] = Gate()
    async with world.resolver(hooks=[world.told.append]) as resolver:
        task = asyncio.create_task(resolver.resolve(NAME))
        await settled()
        world.clock.advance(seconds)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        world.well_known.answers[NAME] = OLD_DOC
        resolution = await resolver.resolve(NAME)
    assert said(resolution) == ("a" if remembered else "old")
    if remembered:
        assert f"given up after {seconds} s" in resolution.explain()
    aborted = [event for event in world.told if isinstance(event, QuestionAborted)]
    assert AskWellKnown(NAME) in {event.question for event in aborted}


async def test_giving_up_while_waiting_for_a_slot_says_nothing(world: World) -> None:
    """Who was never asked has not failed, however long the queue was, nor was it aborted."""
    policy = Policy(max_well_known_fetches=1, srv_head_start=False)
    gate = world.well_known.answers["busy.example"] = Gate()
    async with world.resolver(policy=policy, hooks=[world.told.append]) as resolver:
        busy = asyncio.create_task(resolver.resolve("busy.example"))
        await settled()
        queued = asyncio.create_task(resolver.resolve(NAME))
        await settled()
        world.clock.advance(30)
        queued.cancel()
        await settled()
        gate.opened.set()
        await busy
        assert said(await resolver.resolve(NAME)) == "old"
    assert not [event for event in world.told if isinstance(event, QuestionAborted)]


async def leads_to(resolver: Resolver) -> list[str]:
    """The addresses that `a.example` leads to in the end."""
    endpoints = await resolver.endpoints(await resolver.resolve(NAME))
    return [str(endpoint.address) for endpoint in endpoints]


@pytest.mark.parametrize(
    ("question", "found"),
    [
        pytest.param(AskSrv(FED + NAME), [SrvRecord(0, 0, 1, "t.example")], id="records"),
        pytest.param(AskSrv(OLD + NAME), [SrvRecord(0, 0, 1, "t.example")], id="old records"),
        pytest.param(AskAddresses(NAME), ["192.0.3.2"], id="addresses"),
    ],
)
@pytest.mark.parametrize("seconds", [1.9, 2.0, 4.0])
async def test_lookups_that_are_given_up_are_not_failures(
    world: World, resolver: Resolver, question: Any, found: Any, seconds: float
) -> None:
    """Lookups do not back off because their callers went: the next one asks."""
    world.well_known.answers.clear()
    world.addresses.answers["t.example"] = ["192.0.3.2"]
    fake = world.addresses if isinstance(question, AskAddresses) else world.srv
    name = question.key.partition(":")[2]
    gate = fake.answers[name] = Gate()
    task = asyncio.create_task(leads_to(resolver))
    await settled()
    assert gate.waiting == 1
    world.clock.advance(seconds)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await settled()
    assert gate.waiting == 0
    assert await resolver._source.known(question) == ()
    fake.answers[name] = found
    assert await leads_to(resolver) == ["192.0.3.2"]
    assert fake.asked.count(name) == 2


async def test_a_fetcher_that_cancels_itself_late(world: World, resolver: Resolver) -> None:
    """Its bug is no failure of the server, however long it took."""

    async def cancelling(_: str) -> None:
        world.clock.advance(3)
        raise asyncio.CancelledError

    world.well_known.answers[NAME] = cancelling
    with pytest.raises(RuntimeError, match="cancelled itself"):
        await resolver.resolve(NAME)
    assert await world.cache.get(AskWellKnown(NAME)) is None


async def test_closing_is_no_failure_of_a_refresh(world: World) -> None:
    """What the fetcher of a background refresh makes of being closed is not remembered."""

    async def failing(_: str) -> None:
        try:
            await asyncio.sleep(3600)
        finally:
            raise DOWN

    async with world.resolver() as resolver:
        await resolver.resolve(NAME)
        world.clock.advance(0.81 * DAY)
        world.well_known.answers[NAME] = failing
        await resolver.resolve(NAME)
        await settled()
    entry = await world.cache.get(AskWellKnown(NAME))
    assert (entry.failures, len(world.well_known.asked)) == (0, 2)


async def test_closing_is_no_failure_of_the_server(world: World) -> None:
    """A fetch that ends because the resolver is closed is not held against anyone."""
    world.well_known.answers[NAME] = Gate()
    resolver = world.resolver()
    task = asyncio.create_task(resolver.resolve(NAME))
    await settled()
    world.clock.advance(9)
    await resolver.aclose()
    await asyncio.gather(task, return_exceptions=True)
    assert await world.cache.get(AskWellKnown(NAME)) is None


async def test_closing_is_no_failure_of_a_server_that_ends_late(world: World) -> None:
    """Nor is it when the fetch takes a while to end, and its callers have gone by then."""

    async def slow_to_end(_: str) -> None:
        try:
            await asyncio.sleep(3600)
        finally:
            await asyncio.sleep(0.02)

    world.well_known.answers[NAME] = slow_to_end
    resolver = world.resolver()
    task = asyncio.create_task(resolver.resolve(NAME))
    await settled()
    world.clock.advance(9)
    await resolver.aclose()
    await asyncio.gather(task, return_exceptions=True)
    assert await world.cache.get(AskWellKnown(NAME)) is None


async def test_who_comes_while_a_fetch_is_being_given_up(world: World, resolver: Resolver) -> None:
    """The next caller waits for it to end, and then knows of the failure."""
    fetch = world.well_known.answers[NAME] = SlowToEnd()
    given_up = asyncio.create_task(resolver.resolve(NAME))
    await settled()
    world.clock.advance(3)
    given_up.cancel()
    await asyncio.gather(given_up, return_exceptions=True)
    coming = asyncio.create_task(resolver.resolve(NAME))
    await settled()
    fetch.may_end.set()
    assert said(await coming) == "a"
    assert len(world.well_known.asked) == 1


async def test_a_name_in_use_survives_the_give_up_of_others(
    world: World, resolver: Resolver
) -> None:
    """600 resolves of three cached names ask nothing, one of them without anything published."""
    world.srv.answers[FED + "srv.example"] = [SrvRecord(0, 0, 1, "t.example")]
    names = (NAME, "srv.example", "nothing.example")
    for name in names:
        await resolver.resolve(name)
    asked = world.asked
    for _ in range(200):
        for name in names:
            await resolver.resolve(name)
    assert world.asked == asked
