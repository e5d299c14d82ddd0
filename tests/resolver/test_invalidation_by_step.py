"""`invalidate` and `report_unreachable` at each step: all that the answer rests on, asked anew."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from worlds import FED, OLD, World

from matrix_resolve import (
    AskSrv,
    AskWellKnown,
    Question,
    Resolution,
    ServiceNotOfferedError,
    SrvLookupError,
    SrvRecord,
    WellKnownFetchError,
)

NAME = "a.example"
DOC, NEW, LEGACY = AskWellKnown(NAME), AskSrv(FED + NAME), AskSrv(OLD + NAME)
NEW_HOST, LEGACY_HOST = AskSrv(FED + "host.example"), AskSrv(OLD + "host.example")
RECORDS = [SrvRecord(0, 0, 1, "t.example")]
DOWN, SERVFAIL = WellKnownFetchError("down"), SrvLookupError("SERVFAIL")

STEPS = [
    # name, document, what is published in SRV, step, target's host, what it rests on
    pytest.param("192.0.3.7", None, {}, "1", "192.0.3.7", (), id="1"),
    pytest.param("a.example:80", None, {}, "2", NAME, (), id="2"),
    pytest.param(NAME, "192.0.3.9", {}, "3.1", "192.0.3.9", (DOC,), id="3.1"),
    pytest.param(NAME, "host.example:1", {}, "3.2", "host.example", (DOC,), id="3.2"),
    pytest.param(
        NAME, "host.example", {NEW_HOST: RECORDS}, "3.3", "t.example", (DOC, NEW_HOST), id="3.3"
    ),
    pytest.param(
        NAME,
        "host.example",
        {LEGACY_HOST: RECORDS},
        "3.4",
        "t.example",
        (DOC, NEW_HOST, LEGACY_HOST),
        id="3.4",
    ),
    pytest.param(
        NAME, "host.example", {}, "3.5", "host.example", (DOC, NEW_HOST, LEGACY_HOST), id="3.5"
    ),
    pytest.param(NAME, None, {NEW: RECORDS}, "4", "t.example", (DOC, NEW), id="4"),
    pytest.param(NAME, None, {LEGACY: RECORDS}, "5", "t.example", (DOC, NEW, LEGACY), id="5"),
    pytest.param(NAME, None, {}, "6", NAME, (DOC, NEW, LEGACY), id="6"),
    pytest.param(NAME, DOWN, {NEW: RECORDS}, "4", "t.example", (DOC, NEW), id="4, fetch failed"),
    pytest.param(
        NAME,
        None,
        {NEW: SERVFAIL, LEGACY: SERVFAIL},
        "6",
        NAME,
        (DOC, NEW, LEGACY),
        id="6, lookups failed",
    ),
]


def world_of(document: Any, published: dict[AskSrv, Any]) -> World:
    """A world in which this is published of `a.example`, and hosts have addresses."""
    world = World()
    if isinstance(document, str):
        document = {"m.server": document}
    world.well_known.answers[NAME] = document
    world.srv.answers = {question.name: answer for question, answer in published.items()}
    world.addresses.answers = {host: ["192.0.3.1"] for host in (NAME, "host.example", "t.example")}
    return world


def asked_of(world: World) -> list[str]:
    """The keys of the questions that the plug-ins have seen since the last time."""
    kinds = {"wk": world.well_known, "srv": world.srv, "addr": world.addresses}
    keys = [f"{kind}:{name}" for kind, fake in kinds.items() for name in fake.asked]
    for fake in kinds.values():
        fake.asked.clear()
    return keys


@pytest.mark.parametrize("kept", [True, False], ids=["kept", "known to the cache only"])
@pytest.mark.parametrize(("name", "document", "published", "step", "host", "rests_on"), STEPS)
async def test_invalidate_at_each_step(
    name: str,
    document: Any,
    published: dict[AskSrv, Any],
    step: str,
    host: str,
    rests_on: Sequence[Question],
    kept: bool,
) -> None:
    """Document, records and addresses are forgotten and asked anew, whichever step decided."""
    world = world_of(document, published)
    async with world.resolver() as resolver:
        resolution = await resolver.resolve(name)
        assert (resolution.step.value, resolution.targets[0].host) == (step, host)
        await resolver.endpoints(resolution)
        asked_of(world)
        if not kept:
            resolver._names.clear()
        await resolver.invalidate(name)
        for question in rests_on:
            assert await world.cache.get(question) is None
        assert asked_of(world) == []
        again = await resolver.resolve(name)
        await resolver.endpoints(again)
        assert again == resolution
        asked = asked_of(world)
        addresses = [] if host[0].isdigit() else [f"addr:{host}"]
        assert {question.key for question in rests_on} <= set(asked)
        assert [key for key in asked if key.startswith("addr:")] == addresses


async def test_invalidate_what_is_not_offered() -> None:
    """That a service is not offered is forgotten like any answer."""
    world = world_of(None, {NEW: [SrvRecord(0, 0, 0, ".")]})
    async with world.resolver() as resolver:
        with pytest.raises(ServiceNotOfferedError):
            await resolver.resolve(NAME)
        await resolver.invalidate(NAME)
        world.srv.answers[NEW.name] = RECORDS
        assert (await resolver.resolve(NAME)).targets[0].host == "t.example"


async def test_invalidate_a_name_of_which_nothing_is_known() -> None:
    """It disturbs nobody and asks nothing."""
    world = world_of(None, {})
    async with world.resolver() as resolver:
        await resolver.invalidate(NAME)
    assert world.asked == 0


# What is gone when it is reported


@pytest.mark.parametrize("gone", [DOC, NEW_HOST, LEGACY_HOST], ids=["first", "second", "last"])
async def test_report_of_an_answer_that_is_gone(gone: Question) -> None:
    """When one of the answers is not there any more, all the others expire all the same."""
    world = world_of("host.example", {LEGACY_HOST: RECORDS})
    async with world.resolver() as resolver:
        resolution = await resolver.resolve(NAME)
        await resolver.endpoints(resolution)
        asked_of(world)
        await world.cache.delete(gone)
        await resolver.report_unreachable(resolution)
        for question in {DOC, NEW_HOST, LEGACY_HOST} - {gone}:
            entry = await world.cache.get(question)
            assert not entry.is_fresh(world.clock.time())
        assert await world.cache.get(gone) is None
        await resolver.endpoints(await resolver.resolve(NAME))
        wanted = {DOC.key, NEW_HOST.key, LEGACY_HOST.key, "addr:t.example"}
        assert wanted <= set(asked_of(world))


async def test_report_of_an_answer_that_is_replaced_expires_the_rest() -> None:
    """A document that has been asked since is left alone, the records that have failed are not."""
    world = world_of("host.example", {NEW_HOST: RECORDS})
    async with world.resolver() as resolver:
        old: Resolution = await resolver.resolve(NAME)
        await world.cache.delete(DOC)
        resolver._names.clear()
        world.well_known.answers[NAME] = {"m.server": "HOST.example"}
        await resolver.resolve(NAME)
        await resolver.report_unreachable(old)
        fresh = [
            (await world.cache.get(question)).is_fresh(world.clock.time())
            for question in (DOC, NEW_HOST)
        ]
        assert fresh == [True, False]


async def test_reports_of_many_at_once() -> None:
    """Each name's report has effect, whichever comes first."""
    world = world_of("host.example", {NEW_HOST: RECORDS})
    names = [f"n{number}.example" for number in range(5)]
    world.well_known.answers = {name: {"m.server": "host.example"} for name in names}
    async with world.resolver() as resolver:
        resolutions = [await resolver.resolve(name) for name in names]
        asked_of(world)
        await asyncio.gather(*map(resolver.report_unreachable, resolutions))
        for name in names:
            await resolver.resolve(name)
    assert sorted(world.well_known.asked) == names
