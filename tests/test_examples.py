"""Every example runs, against a loopback federation where it goes out."""

import asyncio
import importlib.util
import json
import sqlite3
from contextlib import closing
from pathlib import Path
from types import ModuleType
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from matrix_resolve import AskWellKnown, CacheError, Question
from matrix_resolve.core.questions import Answer
from matrix_resolve.core.srv import read_srv_reply
from matrix_resolve.core.well_known import read_well_known
from matrix_resolve.testing import LoopbackFederation

EXAMPLES = Path(__file__).parent.parent / "examples"
TESTED = {
    "custom_cache",
    "custom_fetcher",
    "custom_srv",
    "drive_the_core",
    "homeserver",
    "resolve",
}


def example(name: str) -> ModuleType:
    """Import the example without running its main part."""
    spec = importlib.util.spec_from_file_location(f"example_{name}", EXAMPLES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def federation(loopback_federation: LoopbackFederation) -> LoopbackFederation:
    """A federation in which `example.org` delegates."""
    loopback_federation.add("example.org", delegates_to="matrix.example.org:443")
    return loopback_federation


def test_every_example_is_tested() -> None:
    """No example is left out here."""
    assert {path.stem for path in EXAMPLES.glob("*.py")} == TESTED


async def test_resolve(
    federation: LoopbackFederation,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """`resolve.py` prints each name with its addresses, and errors in their place."""
    module = example("resolve")
    monkeypatch.setattr(module, "open_resolver", federation.resolver)
    await module.main(["example.org", "example..org"])
    assert capsys.readouterr().out.splitlines() == [
        "example.org: connect to matrix.example.org:443, Host matrix.example.org:443,"
        " certificate for matrix.example.org (step 3.2)",
        "    ::1 port 443",
        "    127.0.0.1 port 443",
        "example..org: 'example..org' is not a server name: the hostname has an empty label"
        " (a dot too many)",
    ]


async def test_homeserver(federation: LoopbackFederation) -> None:
    """`homeserver.py` answers over HTTP with one resolver for all requests."""
    runner = web.AppRunner(example("homeserver").make_app(federation.resolver))
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        url = f"http://127.0.0.1:{runner.addresses[0][1]}/resolve/"
        async with aiohttp.ClientSession() as client:
            for _ in range(2):
                async with client.get(url + "example.org") as response:
                    assert (await response.json())["host_header"] == "matrix.example.org:443"
            async with client.get(url + "1.2.3") as response:
                assert response.status == 400
    finally:
        await runner.cleanup()
    assert len(federation.requests) == 1


async def test_custom_fetcher(federation: LoopbackFederation) -> None:
    """`custom_fetcher.py` prefers its table, and passes on what is not in it."""
    async with (
        federation.dns_lookup() as dns,
        federation.well_known_fetcher(addresses=dns) as web_fetcher,
    ):
        fixed = example("custom_fetcher").FixedDelegations({"fixed.example": "x:1"}, web_fetcher)
        async with federation.resolver(well_known=fixed) as resolver:
            assert (await resolver.resolve("fixed.example")).host_header == "x:1"
            resolution = await resolver.resolve("example.org")
    assert resolution.host_header == "matrix.example.org:443"


async def test_custom_srv(loopback_federation: LoopbackFederation) -> None:
    """`custom_srv.py` gives the records of its text, in the order of their priorities."""
    module = example("custom_srv")
    zone = module.ZoneText(module.ZONE.splitlines())
    async with loopback_federation.resolver(srv=zone) as resolver:
        resolution = await resolver.resolve("example.org")
    assert list(map(str, resolution.targets)) == [
        "matrix.example.org:8448",
        "backup.example.net:443",
    ]


async def test_custom_cache(federation: LoopbackFederation, tmp_path: Path) -> None:
    """`custom_cache.py` answers from its file after a restart; a foreign value is an error."""
    module = example("custom_cache")
    for _ in range(2):
        with closing(sqlite3.connect(tmp_path / "answers.sqlite")) as database:
            cache = module.SqliteCache(database)
            async with federation.resolver(cache=cache) as resolver:
                resolution = await resolver.resolve("example.org")
    assert resolution.host_header == "matrix.example.org:443"
    assert resolution.trail[0].from_cache
    assert len(federation.requests) == 1
    with closing(sqlite3.connect(":memory:")) as database:
        cache = module.SqliteCache(database)
        question = AskWellKnown("example.org")
        database.execute("INSERT INTO answers VALUES (?, 'foreign', 9e9)", (question.key,))
        with pytest.raises(CacheError):
            await cache.get(question)
        await cache.delete(question)
        assert await cache.get(question) is None


async def test_drive_the_core(federation: LoopbackFederation) -> None:
    """`drive_the_core.py` reaches the decision from a thread, with answers of the federation."""
    module = example("drive_the_core")
    loop = asyncio.get_running_loop()
    async with (
        federation.dns_lookup() as dns,
        federation.well_known_fetcher(addresses=dns) as fetcher,
    ):

        async def answer(question: Question) -> Answer:
            if isinstance(question, AskWellKnown):
                response = await fetcher.fetch(question.hostname)
                return read_well_known(response, max_body=50 * 1024)
            return read_srv_reply(await dns.lookup_srv(getattr(question, "name", "")))

        def ask(question: Question) -> Answer:
            return asyncio.run_coroutine_threadsafe(answer(question), loop).result(10)

        decision = await asyncio.to_thread(module.resolve, "example.org", ask)
    assert decision.host_header == "matrix.example.org:443"


def test_drive_the_core_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    """A person who types answers comes to the decision too."""
    module = example("drive_the_core")
    typed: Any = iter([json.dumps({"m.server": "b.example"}), "", "10 1 8450 c.example"])
    monkeypatch.setattr("builtins.input", lambda _: next(typed))
    decision = module.resolve("a.example", module.ask_a_person)
    assert (decision.step.value, str(decision.candidates[0])) == ("3.4", "c.example:8450")
