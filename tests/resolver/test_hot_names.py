"""When an answer is outdated the names cool that rest on it, however spelled, and no others."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncGenerator, Collection, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from worlds import FED, OLD, World, settled

from matrix_resolve import (
    AskAddresses,
    AskSrv,
    AskWellKnown,
    MemoryCache,
    Policy,
    Question,
    Resolution,
    Resolver,
    ServerName,
    SrvRecord,
)
from matrix_resolve.core.questions import question_of
from matrix_resolve.resolver import hot

SHARING = ("a.example", "b.example", "A.Example")  # delegated to host.example, as it is
OTHERS = (
    "port.example",  # delegated with a port
    "PORT.example",
    "own.example",  # delegated to a host of its own
    "fed.example",  # with SRV records of its own
    "Fed.example",
    "plain.example",  # nothing published
    "host.example",  # others are delegated to it
    "a.example:8448",
    "192.0.2.1",
)
SEVERAL = "several.example"  # targets


class Told(MemoryCache):
    """A cache that tells what a test lets it tell."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.words = asyncio.Queue[str | None]()

    async def invalidations(self) -> AsyncGenerator[str | None, None]:
        """Tell what others have deleted."""
        while True:
            yield await self.words.get()

    async def tell(self, word: str | None) -> None:
        """Tell that, and wait until it was heard."""
        self.words.put_nowait(word)
        await settled()


def made_world() -> World:
    """All names, and a cache with a feed."""
    world = World()
    world.cache = Told(clock=world.clock)
    world.well_known.answers.update(
        {
            "a.example": {"m.server": "host.example"},
            "b.example": {"m.server": "host.example"},
            "port.example": {"m.server": "plain.example:443"},
            "own.example": {"m.server": "Matrix.own.example"},
        }
    )
    world.srv.answers[OLD + "host.example"] = [SrvRecord(0, 0, 1, "t.example")]
    world.srv.answers[FED + "fed.example"] = [SrvRecord(0, 0, 1, "t.example")]
    several = [SrvRecord(0, 1, 1, "t.example"), SrvRecord(0, 1, 1, "u.example")]
    world.srv.answers[FED + SEVERAL] = several
    return world


@pytest.fixture
def world() -> World:
    """The world of all names."""
    return made_world()


async def heated(resolver: Resolver, *names: str) -> dict[Any, Resolution]:
    """Resolve names until they are hot, and return what is given of them."""
    for name in names:
        for _ in range(2):
            await resolver.resolve(name)
        assert name in resolver._names.hot
    return dict(resolver._names.hot)


RESTS_ON = [
    # the question that is outdated, and the names that rest on it
    (AskWellKnown("a.example"), {"a.example", "A.Example"}),
    (AskWellKnown("b.example"), {"b.example"}),
    (AskWellKnown("own.example"), {"own.example"}),
    (AskWellKnown("port.example"), {"port.example", "PORT.example"}),
    (AskWellKnown("host.example"), {"host.example"}),
    (AskWellKnown("plain.example"), {"plain.example"}),
    (AskSrv(FED + "host.example"), {*SHARING, "host.example"}),
    (AskSrv(OLD + "host.example"), {*SHARING, "host.example"}),
    (AskSrv(FED + "matrix.own.example"), {"own.example"}),
    (AskSrv(OLD + "matrix.own.example"), {"own.example"}),
    (AskSrv(FED + "own.example"), set[str]()),
    (AskSrv(FED + "fed.example"), {"fed.example", "Fed.example"}),
    (AskSrv(OLD + "fed.example"), set[str]()),  # not asked
    (AskSrv(FED + "plain.example"), {"plain.example"}),
    (AskAddresses("host.example"), set[str]()),  # no answer of `resolve()` rests on addresses
]


@pytest.mark.parametrize(
    ("question", "resting"), [pytest.param(*row, id=row[0].key) for row in RESTS_ON]
)
@pytest.mark.parametrize("how", ["told by the feed", "expired", "invalidated"])
async def test_those_cool_that_rest_on_it(
    world: World, question: Question, resting: set[str], how: str
) -> None:
    """They are decided anew, whatever their spelling; others stay as hot as they were."""
    async with world.resolver() as resolver:
        before = await heated(resolver, *SHARING, *OTHERS)
        await settled()
        if how == "told by the feed":
            await world.cache.tell(question.key)
        elif how == "expired":
            await resolver._source.expire({question: None})
        else:
            await resolver._source.invalidate([question])
        assert {*before} - {*resolver._names.hot} == resting
        for name, resolution in before.items():
            assert (await resolver.resolve(name) is resolution) is (name not in resting)


async def test_invalidate_by_name(world: World) -> None:
    """What a delegated name rests on is what others that are delegated so rest on."""
    async with world.resolver() as resolver:
        await heated(resolver, *SHARING, *OTHERS)
        world.srv.answers[OLD + "host.example"] = [SrvRecord(0, 0, 2, "t.example")]
        await resolver.invalidate(ServerName.parse("A.example"))
        assert {*OTHERS} - {*resolver._names.hot} == {"host.example"}
        for name in SHARING:
            for spelled in (name, ServerName.parse(name)):
                assert (await resolver.resolve(spelled)).targets[0].port == 2
        asked = world.asked
        await heated(resolver, *SHARING, *OTHERS)
        assert world.asked <= asked + 3  # for host.example alone


async def test_report_unreachable_by_another_spelling(world: World) -> None:
    """A report about one of the names cools all that rest on the same answers."""
    async with world.resolver() as resolver:
        before = await heated(resolver, *SHARING, *OTHERS)
        await resolver.report_unreachable(before["b.example"])
        cooled = {*before} - {*resolver._names.hot}
        assert cooled == {*SHARING, "host.example"}


async def test_all_cool_when_the_feed_was_deaf(world: World) -> None:
    """Word of anything may have been missed."""
    async with world.resolver() as resolver:
        before = await heated(resolver, *SHARING, *OTHERS)
        await world.cache.tell(None)
        assert not resolver._names.hot
        for name, resolution in before.items():
            assert await resolver.resolve(name) is not resolution


async def test_all_cool_when_very_many_share_a_host(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To look through them all would hold others up."""
    monkeypatch.setattr(hot, "_MOST_LOOKED_THROUGH", len(SHARING))
    async with world.resolver() as resolver:
        await heated(resolver, *SHARING, *OTHERS)
        await world.cache.tell(f"srv:{FED}host.example")
        assert "plain.example" in resolver._names.hot
        monkeypatch.setattr(hot, "_MOST_LOOKED_THROUGH", len(SHARING) - 1)
        await heated(resolver, *SHARING, *OTHERS)
        await world.cache.tell(f"srv:{FED}host.example")
        assert not resolver._names.hot
        assert not resolver._names._hot._elsewhere


async def test_a_name_that_is_kept_anew_cools(world: World) -> None:
    """What `refresh()` has found takes the place of what is hot."""
    async with world.resolver() as resolver:
        await resolver.refresh("a.example")
        hot = await heated(resolver, "a.example")
        refreshed = await resolver.refresh("a.example")  # so soon that nothing is asked
        assert await resolver.resolve("a.example") is refreshed is not hot["a.example"]


async def test_a_name_that_is_not_kept_any_more_cools(world: World) -> None:
    """What is hot is kept: after very many invalidations a look finds it too old for the log."""
    async with world.resolver() as resolver:
        await heated(resolver, *SHARING)
        resolver._outdated.note([AskWellKnown(f"{number}.example") for number in range(20_000)])
        for name in SHARING:
            assert name in resolver._names.hot
            resolver.peek(name)
            assert name not in resolver._names.hot
            check_index(resolver)


async def test_drawn_orders_are_those_of_the_answer(world: World) -> None:
    """Orders are kept while another name is invalidated, and not given once theirs was."""
    async with world.resolver() as resolver:
        drawn = {id(r): r for r in [await resolver.resolve(SEVERAL) for _ in range(30)][1:]}
        await heated(resolver, "plain.example")
        await resolver.invalidate("plain.example")
        for _ in range(30):
            assert id(await resolver.resolve(SEVERAL)) in drawn
        await resolver.invalidate(SEVERAL)
        for _ in range(30):
            assert id(await resolver.resolve(SEVERAL)) not in drawn
        world.clock.advance(10)
        await resolver.resolve("plain.example")
        assert not resolver._names._draws


def keys_of(resolution: Resolution) -> set[str]:
    """Return the keys of what it rests on, as it tells it."""
    return {entry.question.key for entry in resolution.trail}


@contextmanager
def watched(resolver: Resolver) -> Iterator[None]:
    """Check at every note that what rests on it is hot no more, and all else as before."""
    names, before = resolver._names, dict[Any, Resolution]()

    def look(_: Collection[Question] | None) -> None:
        before.clear()
        before.update(names.hot)

    def check(questions: Collection[Question] | None) -> None:
        noted = None if questions is None else {question.key for question in questions}
        assert names.hot == {
            name: resolution
            for name, resolution in before.items()
            if noted is not None and noted.isdisjoint(keys_of(resolution))
        }

    resolver._outdated._subscribers.insert(0, look)
    resolver._outdated.subscribe(check)
    yield


def check_index(resolver: Resolver) -> None:
    """Check that what is noted of hot names follows from what they rest on, and is no more."""
    names = resolver._names
    expected = defaultdict[int, set[Any]](set)
    for name, resolution in names.hot.items():
        kept = names._kept.look(str(name))
        assert kept is not None
        assert kept.resolution is resolution
        for key in keys_of(resolution):
            question = question_of(key)
            host = question.name.split(".", 2)[2] if isinstance(question, AskSrv) else key[3:]
            if host != name:
                expected[hash(host) % hot._PLACES].add(name)
    assert names._hot._elsewhere == expected


NAMES = (*SHARING, *OTHERS, SEVERAL)
ANY = st.sampled_from(NAMES)
STEPS = st.one_of(
    st.tuples(st.just("resolve"), ANY, st.booleans()),
    st.tuples(st.just("resolve"), ANY, st.booleans()),
    st.tuples(st.sampled_from(["peek", "invalidate", "refresh", "report", "publish"]), ANY),
    st.tuples(
        st.just("hear"), st.none() | st.sampled_from([row[0].key for row in RESTS_ON if row[1]])
    ),
    st.tuples(st.just("advance"), st.sampled_from([1.0, 6.0, 100.0, 4000.0])),
)


async def take(world: World, resolver: Resolver, do: str, *given: Any) -> None:
    """Take a step, and check what it must bring."""
    match do, *given:
        case "resolve", name, parsed:
            await resolver.resolve(ServerName.parse(name) if parsed else name)
        case "peek", name:
            resolver.peek(name)
        case "invalidate", name:
            earlier = await resolver.resolve(name)
            await resolver.invalidate(name)
            for spelled in NAMES:
                if spelled.lower() == name.lower() and earlier.trail:
                    assert spelled not in resolver._names.hot
                    again = await resolver.resolve(spelled)
                    document = world.well_known.answers.get(name.lower())
                    assert str(again.delegated_to) == str(document and document["m.server"])
        case "refresh", name:
            await resolver.refresh(name)
        case "report", name:
            await resolver.report_unreachable(await resolver.resolve(name))
        case "publish", name:  # something else than before
            documents, name = world.well_known.answers, ServerName.parse(name).hostname.lower()
            was = documents.pop(name, None)
            if was != {"m.server": "host.example"}:
                documents[name] = {"m.server": "host.example"}
        case "hear", word:
            await world.cache.tell(word)
        case "advance", seconds:
            world.clock.advance(seconds)


@given(st.lists(STEPS, max_size=40), st.sampled_from([4, 7, 100]))
def test_nothing_outdated_is_hot(steps: list[Any], max_resolved: int) -> None:
    """Whatever happens, in whatever order: what rests on an outdated answer is not hot."""

    async def run() -> None:
        world = made_world()
        policy = Policy(jitter=0, stale_answer_delay=0.02, max_resolved=max_resolved)
        async with world.resolver(policy=policy) as resolver:
            for name in NAMES * 2:
                await resolver.resolve(name)
            await settled()
            with watched(resolver):
                for step in steps:
                    await take(world, resolver, *step)
                    check_index(resolver)

    asyncio.run(run())
