"""Plug-ins that do not end when they are cancelled hold up nobody."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import suppress
from typing import Any

import pytest
from worlds import FED, HANGS, World, settled

from matrix_resolve import (
    AddressLookupError,
    AskWellKnown,
    CacheEntry,
    MemoryCache,
    Policy,
    Question,
    Step,
    timeouts,
)
from matrix_resolve.hooks.events import CacheFailed, TaskFailed
from matrix_resolve.interfaces import Lease
from matrix_resolve.resolver import store, tasks

NAME = "a.example"
POLICY = Policy(well_known_timeout=0.02, dns_timeout=0.02, stale_answer_delay=0, jitter=0)


class Deafness:
    """Goes on when it is cancelled, until it may end."""

    def __init__(self) -> None:
        self.may_end = asyncio.Event()
        self.begun = 0

    async def __call__(self, *_: object) -> None:
        self.begun += 1
        while not self.may_end.is_set():
            with suppress(asyncio.CancelledError):
                await self.may_end.wait()


class DeafCache(MemoryCache):
    """A cache that leases, some of whose methods are deaf."""

    def __init__(self, deafness: Deafness, *deaf: str) -> None:
        super().__init__()
        self._deafness = deafness
        self._deaf = deaf

    async def _may_be_deaf(self, method: str) -> None:
        if method in self._deaf:
            await self._deafness()

    async def get(self, question: Question, /) -> CacheEntry | None:
        """Look."""
        await self._may_be_deaf("get")
        return await super().get(question)

    async def put(self, question: Question, entry: CacheEntry, /) -> None:
        """Keep."""
        await self._may_be_deaf("put")
        await super().put(question, entry)

    async def delete(self, question: Question, /) -> None:
        """Delete."""
        await self._may_be_deaf("delete")
        await super().delete(question)

    async def lease(self, question: Question, seconds: float, /) -> Lease:
        """Grant it."""
        await self._may_be_deaf("lease")
        return Lease(held=True)

    async def release(self, question: Question, /) -> None:
        """End it."""
        await self._may_be_deaf("release")

    async def invalidations(self) -> AsyncGenerator[str | None, None]:
        """Listen."""
        await self._may_be_deaf("invalidations")
        yield None
        await self._may_be_deaf("invalidations")


@pytest.fixture
async def contexts(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What the loop's exception handler is told, soon."""
    monkeypatch.setattr(timeouts, "LINGER", 0.02)
    monkeypatch.setattr(tasks, "LINGER", 0.02)
    monkeypatch.setattr(store, "_CACHE_TIMEOUT", 0.02)
    told: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))
    return told


@pytest.fixture
def deafness() -> Deafness:
    """What the deaf share."""
    return Deafness()


def deaf_fetcher(world: World, deafness: Deafness) -> None:
    """Make the fetcher deaf."""
    world.well_known.answers[NAME] = deafness


def deaf_srv(world: World, deafness: Deafness) -> None:
    """Make one SRV lookup deaf."""
    world.srv.answers[FED + NAME] = deafness


def deaf_cache(*methods: str) -> Callable[[World, Deafness], None]:
    """Return what makes a cache deaf."""

    def deafen(world: World, deafness: Deafness) -> None:
        world.cache = DeafCache(deafness, *methods)

    return deafen


DEAF = {
    "fetcher": deaf_fetcher,
    "SRV lookup": deaf_srv,
    "cache: get": deaf_cache("get"),
    "cache: put": deaf_cache("put"),
    "cache: lease": deaf_cache("lease"),
    "cache: release": deaf_cache("release"),
    "cache: feed": deaf_cache("invalidations"),
    "cache: everything": deaf_cache("get", "put", "delete", "lease", "release", "invalidations"),
}


@pytest.mark.parametrize("deafen", DEAF.values(), ids=DEAF)
async def test_a_caller_is_not_held_up(
    contexts: list[dict[str, Any]],
    deafness: Deafness,
    deafen: Callable[[World, Deafness], None],
) -> None:
    """It gets what can be found out without; closing ends too; the loop is told of who is deaf."""
    world = World()
    deafen(world, deafness)
    async with asyncio.timeout(HANGS):
        async with world.resolver(policy=POLICY) as resolver:
            assert (await resolver.resolve(NAME)).step is Step.DEFAULT_PORT
            assert deafness.begun
            assert resolver._source._flights._in_the_air == set()
        assert contexts
        for context in contexts:
            assert context["message"].endswith(" did not end when it was cancelled")
        assert len({context["task"] for context in contexts}) == len(contexts) == deafness.begun
        deafness.may_end.set()
        await asyncio.wait({context["task"] for context in contexts})


async def test_a_deaf_address_lookup(contexts: list[dict[str, Any]], deafness: Deafness) -> None:
    """Who wants endpoints is let go, and what is known of other targets is given."""
    world = World()
    world.addresses.answers["deaf.example"] = deafness
    async with asyncio.timeout(HANGS), world.resolver(policy=POLICY) as resolver:
        with pytest.raises(AddressLookupError, match=r"no answer within 0.02 s"):
            await resolver.endpoints(await resolver.resolve("deaf.example:1"))
    assert len(contexts) == 1
    deafness.may_end.set()
    await asyncio.wait({contexts[0]["task"]})


@pytest.mark.parametrize("method", ["get", "delete"])
async def test_who_invalidates_is_not_held_up(
    contexts: list[dict[str, Any]], deafness: Deafness, method: str
) -> None:
    """That a cache could not be asked is told, and goes no further."""
    world = World()
    world.cache = DeafCache(deafness, method)
    hooks = [world.told.append]
    async with asyncio.timeout(HANGS), world.resolver(policy=POLICY, hooks=hooks) as resolver:
        await resolver.invalidate(NAME)
    assert AskWellKnown(NAME) in {e.question for e in world.told if isinstance(e, CacheFailed)}
    deafness.may_end.set()
    await asyncio.wait({context["task"] for context in contexts})


async def test_slots_of_who_is_deaf_are_free_again(
    contexts: list[dict[str, Any]], deafness: Deafness
) -> None:
    """A deaf plug-in keeps no slot for longer than its limit, though all who asked have gone."""
    world = World()
    names = [f"n{number}.example" for number in range(5)]
    for name in names:
        world.well_known.answers[name] = world.srv.answers[FED + name] = deafness
    policy = Policy(
        well_known_timeout=0.02, dns_timeout=0.02, max_well_known_fetches=1, max_dns_lookups=1
    )
    async with asyncio.timeout(HANGS), world.resolver(policy=policy) as resolver:
        given_up = [asyncio.create_task(resolver.resolve(name)) for name in names]
        await settled()
        for task in given_up:
            task.cancel()
        await asyncio.gather(*given_up, return_exceptions=True)
        world.well_known.answers[NAME] = {"m.server": "b.example:1"}
        assert (await resolver.resolve(NAME)).host_header == "b.example:1"
        assert (await resolver.resolve("c.example")).step is Step.DEFAULT_PORT
    deafness.may_end.set()
    await settled()


async def test_what_is_said_too_late_is_not_kept(
    contexts: list[dict[str, Any]], deafness: Deafness
) -> None:
    """The failure stands that was learned at the limit, whatever is said after that."""
    world = World()

    async def late(name: str) -> dict[str, str]:
        await deafness(name)
        return {"m.server": "late.example:1"}

    world.well_known.answers[NAME] = late
    async with asyncio.timeout(HANGS), world.resolver(policy=POLICY) as resolver:
        await resolver.resolve(NAME)
        deafness.may_end.set()
        await settled()
        assert (await resolver.resolve(NAME)).step is Step.DEFAULT_PORT
    assert world.well_known.asked == [NAME]


async def test_a_lease_granted_to_who_has_gone(deafness: Deafness) -> None:
    """A lease that comes when nobody wants it any more is given back."""
    world = World()

    class Leasing(DeafCache):
        """A cache that grants late, and notes what is given back."""

        def __init__(self) -> None:
            super().__init__(deafness, "lease")
            self.released: list[Question] = []

        async def release(self, question: Question, /) -> None:
            """Note it."""
            self.released.append(question)

    world.cache = Leasing()
    async with asyncio.timeout(HANGS), world.resolver() as resolver:
        given_up = asyncio.create_task(resolver.resolve(NAME))
        await settled()
        given_up.cancel()
        await settled()
        assert world.cache.released == []
        deafness.may_end.set()
        await settled()
        assert AskWellKnown(NAME) in world.cache.released
    assert world.well_known.asked == []


class CancelsItself(MemoryCache):
    """A cache whose feed cancels itself at first."""

    def __init__(self) -> None:
        super().__init__()
        self.listening = 0

    async def invalidations(self) -> AsyncGenerator[str | None, None]:
        """Fail, and listen the next time."""
        self.listening += 1
        if self.listening == 1:
            raise asyncio.CancelledError
        yield None
        await asyncio.get_running_loop().create_future()


async def test_a_feed_that_cancels_itself(
    contexts: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """That is its bug: it is told, and the feed is listened to again."""
    monkeypatch.setattr("matrix_resolve.resolver.feed._AGAIN_AFTER", 0.01)
    world = World()
    world.cache = CancelsItself()
    async with asyncio.timeout(HANGS):
        async with world.resolver(hooks=[world.told.append]) as resolver:
            while world.cache.listening < 2:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            assert (await resolver.resolve(NAME)).step is Step.DEFAULT_PORT
    assert [type(e.error) for e in world.told if isinstance(e, TaskFailed)] == [
        asyncio.CancelledError
    ]
    assert [context["message"] for context in contexts] == [
        "the feed of invalidations cancelled itself"
    ]


async def test_what_is_prompt_has_no_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Our cache in memory costs neither a timer nor a task; one that overrides it has a limit."""
    limited: list[type[Exception]] = []

    async def counting(seconds: float, asked: Any, failure: Any, left: Any) -> Any:
        limited.append(failure)
        return await asked

    monkeypatch.setattr(store, "within", counting)
    world = World()
    async with world.resolver() as resolver:
        await resolver.resolve(NAME)
        assert limited == []
    world.cache = DeafCache(Deafness())
    async with world.resolver() as resolver:
        await resolver.resolve(NAME)
    assert limited


async def test_a_deaf_feed_that_goes_on(contexts: list[dict[str, Any]]) -> None:
    """One that goes on telling is no longer listened to when the resolver has been closed."""

    class Telling(MemoryCache):
        """Tells all the time."""

        async def invalidations(self) -> AsyncGenerator[str | None, None]:
            """Tell."""
            while True:
                with suppress(asyncio.CancelledError):
                    await asyncio.sleep(0.001)
                yield "wk:b.example"

    world = World()
    world.cache = Telling()
    async with asyncio.timeout(HANGS), world.resolver() as resolver:
        await resolver.resolve(NAME)
    assert contexts == []
