"""What others wrote into a shared cache: cleaned or a miss, never an error of `resolve()`."""

import json
from typing import Any

import pytest
from worlds import DAY, FED, HOUR, World

from matrix_resolve import CacheEntry, MemoryCache, Question, Resolver, SrvRecord, Step
from matrix_resolve.backends.cache_tiered import TieredCache
from matrix_resolve.core.questions import AskSrv, AskWellKnown
from matrix_resolve.hooks.events import CacheFailed

NAME = "a.example"
WELL_KNOWN, SRV = AskWellKnown(NAME), AskSrv(FED + NAME)
YEAR_9999 = 253402300799


class Texts:
    """A cache of texts that others write: what a Redis is to the resolver."""

    def __init__(self) -> None:
        self.kept: dict[str, bytes] = {}

    async def get(self, question: Question, /) -> CacheEntry | None:
        """Read what is kept."""
        kept = self.kept.get(question.key)
        return None if kept is None else CacheEntry.from_json(kept)

    async def put(self, question: Question, entry: CacheEntry, /) -> None:
        """Write it."""
        self.kept[question.key] = entry.to_json()

    async def delete(self, question: Question, /) -> None:
        """Drop it."""
        self.kept.pop(question.key, None)


def form(question: Question, outcome: Any, asked_at: float, **fields: Any) -> dict[str, Any]:
    """An entry that says it lasts until the year 9999."""
    return {
        "version": 1,
        "key": question.key,
        "outcome": outcome,
        "asked_at": asked_at,
        "fresh_until": YEAR_9999,
        "keep_until": YEAR_9999,
        "failures": 0,
        "reserve": None,
        **fields,
    }


DELEGATED = {"kind": "delegated", "to": "evil.example:443", "url": "https://a.example/\x1b[2J"}
DOWN = {
    "kind": "not_delegated",
    "reason": "\x1b[2J\x00" + "x" * 9999,
    "temporary": True,
    "own_trouble": False,
    "url": None,
}


@pytest.fixture
def world() -> World:
    """The right answer for `a.example` is `good.example:443`; the cache holds texts."""
    world = World()
    world.well_known.answers[NAME] = {"m.server": "good.example:443"}
    world.cache = Texts()
    return world


async def host(resolver: Resolver) -> str:
    """Where the name leads, and nothing about it is unprintable."""
    resolution = await resolver.resolve(NAME)
    assert json.loads(json.dumps(resolution.to_dict()))["targets"]
    assert "\x1b" not in resolution.explain()
    assert "\x00" not in resolution.explain()
    return resolution.host_header


@pytest.mark.parametrize("tiered", [False, True], ids=["shared", "tiered"])
async def test_an_entry_until_the_year_9999(world: World, tiered: bool) -> None:
    """It is believed as long as one of ours could last, and no longer once it is deleted."""
    texts = world.cache
    if tiered:
        world.cache = TieredCache(MemoryCache(clock=world.clock), texts, clock=world.clock)
    texts.kept[WELL_KNOWN.key] = json.dumps(form(WELL_KNOWN, DELEGATED, world.clock.time()))
    async with world.resolver() as resolver:
        assert await host(resolver) == "evil.example:443"
        assert (await resolver.resolve(NAME)).expires_at is not None
        texts.kept.clear()
        world.clock.advance(2 * DAY - 1)
        await host(resolver)
        world.clock.advance(2)
        assert await host(resolver) == "good.example:443"
    async with world.resolver() as resolver:
        assert await host(resolver) == "good.example:443"


async def test_a_failure_until_the_year_9999(world: World) -> None:
    """Nor does a failure keep a name from being asked for longer than an hour."""
    world.cache.kept[WELL_KNOWN.key] = json.dumps(
        form(WELL_KNOWN, DOWN, world.clock.time(), failures=10**9)
    )
    async with world.resolver() as resolver:
        assert await host(resolver) == NAME
        world.clock.advance(HOUR)
        assert await host(resolver) == "good.example:443"


async def test_very_many_records(world: World) -> None:
    """3,000 records are as many as those of a reply: the best 64."""
    del world.well_known.answers[NAME]
    records = [[n, 0, 8448, f"h{n}.example"] for n in range(3000)]
    outcome = {"kind": "srv_records", "records": records}
    world.cache.kept[SRV.key] = json.dumps(form(SRV, outcome, world.clock.time()))
    async with world.resolver() as resolver:
        resolution = await resolver.resolve(NAME)
        assert [each.host for each in resolution.targets] == [f"h{n}.example" for n in range(16)]
        (answer,) = (e.answer for e in resolution.trail if e.question == SRV)
        assert len(answer.records) == 64  # type: ignore[union-attr]


NOW = object()
MISSES = [
    # the text that is kept about the document; NOW stands for the time of the test
    pytest.param(b"", id="nothing"),
    pytest.param(b"\x80\x04\x95", id="a pickle"),
    pytest.param(b'"\\ud800"', id="a surrogate"),
    pytest.param(b"[" * 100_000, id="deep nesting"),
    pytest.param(b'{"version":1,"key":' + b"[" * 100_000, id="deep nesting inside"),
    pytest.param(b"9" * 4301, id="4,301 digits"),
    pytest.param(b" " * 10**6, id="a million spaces"),
    pytest.param({"asked_at": YEAR_9999}, id="asked in the year 9999"),
    pytest.param({"asked_at": NOW, "fresh_until": float("nan")}, id="NaN"),
    pytest.param({"asked_at": NOW, "keep_until": float("inf")}, id="Infinity"),
    pytest.param({"asked_at": True}, id="asked at true"),
    pytest.param({"asked_at": NOW, "failures": 10**4298}, id="failures of 4,299 digits"),
    pytest.param({"asked_at": NOW, "failures": True}, id="failures true"),
    pytest.param({"asked_at": NOW, "key": "wk:\ud800"}, id="a key with a surrogate"),
    pytest.param({"asked_at": NOW, "key": SRV.key}, id="another question's key"),
    pytest.param({"asked_at": NOW, "key": ["wk:a.example"]}, id="a key that is a list"),
    pytest.param({"asked_at": NOW, "outcome": {**DELEGATED, "to": "a\x00b"}}, id="NUL"),
    pytest.param({"asked_at": NOW, "outcome": {**DELEGATED, "to": "\ud800"}}, id="surrogate"),
    pytest.param({"asked_at": NOW, "outcome": {**DELEGATED, "url": 5}}, id="URL a number"),
    pytest.param({"asked_at": NOW, "outcome": {**DOWN, "reason": [[["x"]]]}}, id="nested reason"),
    pytest.param(
        {"asked_at": NOW, "outcome": {"kind": "srv_records", "records": [[1, 1, 1, "a"]]}},
        id="an answer of another kind",
    ),
]


@pytest.mark.parametrize("kept", MISSES)
async def test_what_can_not_be_believed_is_a_miss(world: World, kept: Any) -> None:
    """It is asked as if nothing had been cached, and the hooks hear of it."""
    if isinstance(kept, dict):
        fields = {key: world.clock.time() if v is NOW else v for key, v in kept.items()}
        outcome, asked_at = fields.pop("outcome", DELEGATED), fields.pop("asked_at")
        kept = json.dumps(form(WELL_KNOWN, outcome, asked_at, **fields)).encode()
    world.cache.kept[WELL_KNOWN.key] = kept
    async with world.resolver(hooks=[world.told.append]) as resolver:
        assert await host(resolver) == "good.example:443"
    failed = [event for event in world.told if isinstance(event, CacheFailed)]
    assert {event.question for event in failed} == {WELL_KNOWN}
    assert all(len(str(event.error)) <= 400 for event in failed)


@pytest.mark.parametrize("port", ["true", "8448.0", "1e3", '"8448"', "0", "65536", "9" * 4300])
async def test_a_port_that_is_none(world: World, port: str) -> None:
    """A record whose port is no number is not one of ours: DNS is asked."""
    del world.well_known.answers[NAME]
    world.srv.answers[SRV.name] = [SrvRecord(0, 0, 8450, "good.example")]
    outcome = {"kind": "srv_records", "records": [[0, 0, "PORT", "evil.example"]]}
    text = json.dumps(form(SRV, outcome, world.clock.time())).replace('"PORT"', port)
    world.cache.kept[SRV.key] = text
    async with world.resolver() as resolver:
        resolution = await resolver.resolve(NAME)
    assert (resolution.step, resolution.targets[0].host) == (Step.SRV, "good.example")
