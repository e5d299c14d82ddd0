"""Every example runs, against a loopback federation where it goes out."""

import asyncio
import importlib.util
import json
import math
import re
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx2
import pytest
import pytest_asyncio
from aiohttp.test_utils import TestClient, TestServer
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from signedjson.key import decode_verify_key_bytes
from signedjson.sign import verify_signed_json
from signing import unpadded
from unpaddedbase64 import decode_base64

from matrix_resolve import (
    AddressPolicy,
    AskWellKnown,
    CacheError,
    MemoryCache,
    Question,
    SrvLookup,
    WellKnownFetcher,
)
from matrix_resolve.core.questions import Answer
from matrix_resolve.core.srv import read_srv_reply
from matrix_resolve.core.well_known import read_well_known
from matrix_resolve.testing import (
    Certificate,
    CutShort,
    Endless,
    LoopbackFederation,
    Raw,
    Reply,
    Request,
    Slow,
)
from matrix_resolve.testing.contract import SrvLookupContract, WellKnownFetcherContract
from matrix_resolve.testing.loopback.declarations import WELL_KNOWN

EXAMPLES = Path(__file__).parent.parent / "examples"
TESTED = {
    "asgi_app",
    "custom_cache",
    "custom_fetcher",
    "custom_srv",
    "drive_the_core",
    "federation_bot",
    "homeserver",
    "own_http_stack",
    "resolve",
    "signed_requests",
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


async def test_homeserver(federation: LoopbackFederation, monkeypatch: pytest.MonkeyPatch) -> None:
    """`homeserver.py` finds and asks others with one resolver and client for all requests."""
    federation.add("none.example", srv=[(".", 0)])
    federation.add("dead.example", ports=())
    federation.add("page.example", serves=b"<html>")
    federation.add("deep.example", serves=b"[" * 60_000)
    federation.add("endless.example", serves=Endless())
    federation.add("cut.example", serves=CutShort())
    federation.add("slow.example", serves=Slow(math.inf))
    module = example("homeserver")
    app = module.make_app(federation.resolver, federation.client)
    async with TestClient(TestServer(app)) as client:

        async def get(path: str) -> tuple[int, Any]:
            async with client.get(path) as response:
                return response.status, await response.json()

        status, resolution = await get("/resolve/example.org")
        assert (status, resolution["host_header"]) == (200, "matrix.example.org:443")
        status, answer = await get("/ask/example.org")
        assert (status, answer["status"]) == (200, 200)
        assert answer["says"]["server"] == {"name": "loopback", "version": "1"}
        assert answer["says"]["host"] == "matrix.example.org:443"
        assert answer["says"]["sni"] == "matrix.example.org"
        assert federation.request_counts["example.org", WELL_KNOWN] == 1
        for path, told in (
            ("/resolve/1.2.3", (400, "the last label is a number")),
            ("/ask/1.2.3", (400, "the last label is a number")),
            ("/resolve/none.example", (502, "the only SRV record")),
            ("/ask/none.example", (502, "the only SRV record")),
            ("/ask/dead.example", (502, "dead.example can't be reached")),
            ("/ask/page.example", (502, "no JSON")),
            ("/ask/deep.example", (502, "no JSON")),
            ("/ask/endless.example", (502, "too long")),
            ("/ask/cut.example", (502, "")),
        ):
            status, answer = await get(path)
            assert (path, status) == (path, told[0])
            assert told[1] in answer["error"]
        monkeypatch.setattr(module, "TIMEOUT", 0.2)
        assert (await get("/ask/slow.example"))[0] == 504


async def test_homeserver_can_be_found(federation: LoopbackFederation) -> None:
    """`homeserver.py` serves documents by which a resolver finds it, and clients too."""
    module = example("homeserver")
    app = module.make_app(federation.resolver, federation.client)
    async with TestClient(TestServer(app)) as client:
        async with client.get(WELL_KNOWN) as response:
            federation.add("served.example", well_known=await response.read())
        async with client.get("/.well-known/matrix/client") as response:
            assert response.headers["Access-Control-Allow-Origin"] == "*"
            document = await response.json()
    assert document == {"m.homeserver": {"base_url": "https://matrix.example.org"}}
    async with federation.resolver() as resolver:
        resolution = await resolver.resolve("served.example")
    assert str(resolution.delegated_to) == module.DELEGATE_TO


def bot_answers(software: object, keys: object) -> Callable[[Request], object]:
    """Return the behaviour of a server that answers the bot's two questions."""
    return lambda request: software if request.path.endswith("/version") else keys


async def run_bot(
    module: ModuleType,
    federation: LoopbackFederation,
    capsys: pytest.CaptureFixture[str],
    *names: str,
) -> dict[str, list[str]]:
    """Let the bot ask, and return the cells of each line by the first; empty ones are left out."""
    await module.main(names, federation.resolver, federation.client)
    out, err = capsys.readouterr()
    assert not err
    assert all(character == "\n" or character.isprintable() for character in out)
    lines = [re.split(r"\s{2,}", line.strip()) for line in out.splitlines()]
    assert [line[0] for line in lines if line[0] in names] == list(names)
    return {line[0]: line[1:] for line in lines}


@pytest.fixture
def bot(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The bot, in a terminal that is wide enough for every line."""
    monkeypatch.setenv("COLUMNS", "250")
    return example("federation_bot")


GOOD = {"server": {"name": "Ŝynapse", "version": "1.2 (main)"}}
KEYS = {"verify_keys": {"ed25519:a": {"key": "x"}, "ed25519:b": {"key": "y"}}}


async def test_federation_bot(
    bot: ModuleType, federation: LoopbackFederation, capsys: pytest.CaptureFixture[str]
) -> None:
    """`federation_bot.py` tells software and keys in the order given, by one connection each."""
    federation.add("matrix.example.org", serves=bot_answers(GOOD, KEYS))
    federation.add("other.example", serves=bot_answers(GOOD, KEYS))
    table = await run_bot(bot, federation, capsys, "other.example", "example.org", "127.0.0.1")
    assert table["example.org"] == ["3.2", "Ŝynapse 1.2 (main)", "ed25519:a, ed25519:b"]
    assert table["other.example"] == ["6", "Ŝynapse 1.2 (main)", "ed25519:a, ed25519:b"]
    assert table["127.0.0.1"] == ["1", "loopback 1", "(not what it should be)"]
    seen = [
        (request.host, request.sni, request.path)
        for request in federation.requests
        if request.target == ("matrix.example.org", 443)
    ]
    assert seen == [
        ("matrix.example.org:443", "matrix.example.org", "/_matrix/federation/v1/version"),
        ("matrix.example.org:443", "matrix.example.org", "/_matrix/key/v2/server"),
    ]
    assert federation.connections["matrix.example.org", 443] == 1


async def test_federation_bot_shows_hostile_text_as_text(
    bot: ModuleType, loopback_federation: LoopbackFederation, capsys: pytest.CaptureFixture[str]
) -> None:
    """No markup, control character or endless text of a stranger reaches the terminal as such."""
    hostile = "\x1b[2J[red]evil[/red]\r\n\x9b\u202e" + "x" * 10_000
    loopback_federation.add(
        "hostile.example",
        serves=bot_answers(
            {"server": {"name": hostile, "version": "1"}}, {"verify_keys": {hostile: {}}}
        ),
    )
    table = await run_bot(bot, loopback_federation, capsys, "hostile.example")
    shown = ("\ufffd[2J[red]evil[/red]" + "\ufffd" * 4).ljust(bot.MAX_SHOWN - 1, "x") + "…"
    assert table["hostile.example"] == ["6", shown, shown]


@pytest.mark.parametrize(
    ("declared", "told"),
    [
        ({"serves": bot_answers(GOOD, None)}, ["6", "Ŝynapse 1.2 (main)", "(status 404)"]),
        ({"serves": bot_answers(Reply(500), KEYS)}, ["6", "(status 500)", "ed25519:a, ed25519:b"]),
        ({"serves": bot_answers(b"<html>", b"\xff")}, ["6", *["(not what it should be)"] * 2]),
        (
            {"serves": bot_answers(b"[" * 60_000, {"verify_keys": ["a"]})},
            ["6", *["(not what it should be)"] * 2],
        ),
        (
            {"serves": bot_answers({"server": {"name": 1, "version": []}}, {"verify_keys": {}})},
            ["6", *["(not what it should be)"] * 2],
        ),
        ({"serves": Endless()}, ["6", "the answer is too long"]),
        (
            {"serves": bot_answers(GOOD, Endless())},
            ["6", "Ŝynapse 1.2 (main)", "the answer is too long"],
        ),
        ({"serves": Slow(math.inf)}, ["6", "timed out"]),
        ({"serves": CutShort()}, ["6", "Response payload is not completed..."]),
        ({"serves": Raw(b"SSH-2.0-OpenSSH\r\n")}, ["6", "400, message=..."]),
        ({"ports": ()}, ["6", "unreachable: [Errno ..."]),
        ({"addresses": []}, ["6", "unreachable: no addresses exist for bad.example"]),
        (
            {"certificate": Certificate.EXPIRED},
            ["6", "unreachable: the certificate has expired..."],
        ),
        ({"srv": [(".", 0)]}, ["the only SRV record of ..."]),
    ],
)
async def test_federation_bot_in_trouble(
    bot: ModuleType,
    loopback_federation: LoopbackFederation,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    declared: dict[str, Any],
    told: list[str],
) -> None:
    """Whatever one server does is told in its line, and the others go on."""
    if isinstance(declared.get("serves"), Slow):
        monkeypatch.setattr(bot, "TIMEOUT", 0.5)
    loopback_federation.add("bad.example", **declared)
    table = await run_bot(bot, loopback_federation, capsys, "bad.example", "127.0.0.1", "1.2.3")
    *exact, last = told
    assert table["bad.example"][:-1] == exact
    assert table["bad.example"][-1].startswith(last.removesuffix("..."))
    assert "127.0.0.1" in table
    assert table["1.2.3"][0].startswith("no server name: the last label is a number")


async def test_federation_bot_asks_many_at_once(
    bot: ModuleType,
    loopback_federation: LoopbackFederation,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As many servers as allowed are asked at once, and no more."""
    monkeypatch.setattr(bot, "AT_ONCE", 2)
    all_there = asyncio.Barrier(2)
    under_way: set[tuple[str, int]] = set()
    most = 0

    async def serve(request: Request) -> object:
        nonlocal most
        under_way.add(request.target)
        most = max(most, len(under_way))
        await all_there.wait()  # for ever, if the bot asked one after another
        under_way.remove(request.target)
        return bot_answers(GOOD, KEYS)(request)

    names = [f"s{number}.example" for number in range(6)]
    for name in names:
        loopback_federation.add(name, serves=serve)
    table = await run_bot(bot, loopback_federation, capsys, *names)
    assert all(table[name][-1] == "ed25519:a, ed25519:b" for name in names)
    assert most == 2


class ToLoopback(httpx2.AsyncBaseTransport):
    """Dials the sockets of a federation in the place of addresses, and remembers those."""

    def __init__(self, federation: LoopbackFederation, inner: httpx2.AsyncBaseTransport) -> None:
        self._federation = federation
        self._inner = inner
        self.dialled: list[str] = []

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        self.dialled.append(str(request.url))
        at = (request.url.host, request.url.port or 443)
        host, port = self._federation.connect_to[at]
        request.url = request.url.copy_with(host=host, port=port)
        return await self._inner.handle_async_request(request)

    async def aclose(self) -> None:
        await self._inner.aclose()


async def run_own_stack(
    federation: LoopbackFederation, capsys: pytest.CaptureFixture[str], *names: str
) -> tuple[list[str], list[str]]:
    """Return what was printed, line by line, and the URLs that were dialled."""
    module = example("own_http_stack")
    inner = ToLoopback(federation, module.https(federation.client_ssl_context()))
    await module.main(names, federation.resolver, inner)
    return capsys.readouterr().out.splitlines(), inner.dialled


async def test_own_http_stack(
    federation: LoopbackFederation, capsys: pytest.CaptureFixture[str]
) -> None:
    """`own_http_stack.py` dials the addresses, with the Host and SNI that belong to the name."""
    federation.add("own.example", addresses=["192.0.3.1"])
    path = "/_matrix/federation/v1/version"
    names = ("example.org", "own.example:443", "[::1]:8451", "1.2.3", "a b", "\n")
    out, dialled = await run_own_stack(federation, capsys, *names)
    assert dialled == [
        f"https://[::1]{path}",
        f"https://192.0.3.1{path}",
        f"https://[::1]:8451{path}",
    ]
    seen = [(request.host, request.sni) for request in federation.requests if request.path == path]
    assert seen == [
        ("matrix.example.org:443", "matrix.example.org"),
        ("own.example:443", "own.example"),
        ("[::1]:8451", None),
    ]
    assert out[0].startswith('example.org: 200 \'{"server": {"name": "loopback"')
    assert [": 200 '{" in line for line in out[:3]] == [True] * 3
    assert "is not a server name" in out[3]
    assert "is not a server name" in out[4]
    assert "non-printable" in out[6]


async def test_own_http_stack_goes_on(
    loopback_federation: LoopbackFederation, capsys: pytest.CaptureFixture[str]
) -> None:
    """After an address that refuses and one with a bad certificate comes the next target."""
    loopback_federation.add("example.org", srv=[("a.example", 8450), ("b.example", 8451)])
    loopback_federation.add("a.example", addresses=["192.0.3.1", "192.0.3.2"])
    loopback_federation.add("b.example", addresses=["192.0.3.3"])
    loopback_federation.add("192.0.3.1", ports=())
    loopback_federation.add("192.0.3.2", certificate=Certificate.WRONG_NAME)
    (line,), dialled = await run_own_stack(loopback_federation, capsys, "example.org")
    assert [url.partition("/_matrix")[0] for url in dialled] == [
        "https://192.0.3.1:8450",
        "https://192.0.3.2:8450",
        "https://192.0.3.3:8451",
    ]
    assert line.startswith("example.org: 200 ")


async def test_own_http_stack_tells_the_resolver(
    loopback_federation: LoopbackFederation, capsys: pytest.CaptureFixture[str]
) -> None:
    """When every target has failed, the next request finds the server anew."""
    loopback_federation.add("moved.example", delegates_to="gone.example:443")
    loopback_federation.add("gone.example", addresses=["192.0.3.1"])
    loopback_federation.add("192.0.3.1", ports=())
    out, _ = await run_own_stack(loopback_federation, capsys, "moved.example", "moved.example")
    assert [line.partition(": ")[2].partition(": ")[0] for line in out] == [
        "moved.example can't be reached"
    ] * 2
    assert loopback_federation.request_counts["moved.example", WELL_KNOWN] == 2


async def test_own_http_stack_lends_no_connection(
    loopback_federation: LoopbackFederation, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of two names at one address each has to show its own certificate."""
    loopback_federation.add("good.example", addresses=["192.0.3.1"])
    loopback_federation.add(
        "bad.example", addresses=["192.0.3.1"], certificate=Certificate.UNTRUSTED
    )
    (good, bad), _ = await run_own_stack(loopback_federation, capsys, "good.example", "bad.example")
    assert good.startswith("good.example: 200 ")
    assert bad.startswith("bad.example: bad.example can't be reached: ")
    assert "certificate" in bad


async def test_own_http_stack_common_names(
    loopback_federation: LoopbackFederation, capsys: pytest.CaptureFixture[str]
) -> None:
    """A certificate that has its name only as the subject's common name is none."""
    loopback_federation.add("cn.example", certificate=Certificate.COMMON_NAME_ONLY)
    (line,), _ = await run_own_stack(loopback_federation, capsys, "cn.example")
    assert "certificate" in line


async def test_own_http_stack_takes_no_more_than_it_shows(
    loopback_federation: LoopbackFederation, capsys: pytest.CaptureFixture[str]
) -> None:
    """An endless answer is cut, and shown without its control characters."""
    loopback_federation.add("endless.example", addresses=["192.0.3.1"])
    loopback_federation.add("192.0.3.1", serves=Endless())
    loopback_federation.add("hostile.example", addresses=["192.0.3.2"])
    loopback_federation.add("192.0.3.2", serves=b"\x1b[2J\xff")
    (endless, hostile), _ = await run_own_stack(
        loopback_federation, capsys, "endless.example", "hostile.example"
    )
    assert endless.startswith("endless.example: 200 ")
    assert len(endless) < 300
    assert hostile == r"hostile.example: 200 '\x1b[2J\ufffd'"


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


class TestCustomFetcher(WellKnownFetcherContract):
    """`custom_fetcher.py` does what every fetcher must, for what is not in its table."""

    @pytest_asyncio.fixture
    async def fetcher(
        self, loopback_federation: LoopbackFederation, time_limit: float
    ) -> AsyncIterator[WellKnownFetcher]:
        async with self.opened(loopback_federation, timeout=time_limit) as fetcher:
            yield fetcher

    @pytest_asyncio.fixture
    async def guarded_fetcher(
        self, loopback_federation: LoopbackFederation
    ) -> AsyncIterator[WellKnownFetcher]:
        async with self.opened(loopback_federation, address_policy=AddressPolicy()) as fetcher:
            yield fetcher

    @asynccontextmanager
    async def opened(
        self, federation: LoopbackFederation, **settings: Any
    ) -> AsyncIterator[WellKnownFetcher]:
        """Open one around a fetcher with these settings."""
        async with (
            federation.dns_lookup() as dns,
            federation.well_known_fetcher(addresses=dns, **settings) as web_fetcher,
        ):
            yield example("custom_fetcher").FixedDelegations({"fixed.example": "x:1"}, web_fetcher)


class TestCustomSrv(SrvLookupContract):
    """`custom_srv.py` does what every SRV lookup must, but for what only DNS has."""

    test_failure = test_silence = test_cancelled = test_alias = test_odd_targets = None

    @pytest.fixture
    def lookup(self) -> SrvLookup:
        lines = [
            f"{name} {reply.ttl} {each.priority} {each.weight} {each.port} {each.target}"
            for name, reply in self.records.items()
            for each in reply.records
        ]
        zone: SrvLookup = example("custom_srv").ZoneText(lines)
        return zone


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
            cache = module.TableCache(database)
            async with federation.resolver(cache=cache) as resolver:
                resolution = await resolver.resolve("example.org")
    assert resolution.host_header == "matrix.example.org:443"
    assert resolution.trail[0].from_cache
    assert len(federation.requests) == 1
    with closing(sqlite3.connect(":memory:")) as database:
        cache = module.TableCache(database)
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


async def test_asgi_app(federation: LoopbackFederation, monkeypatch: pytest.MonkeyPatch) -> None:
    """`asgi_app.py` opens its resolver at start-up, and closes it at shutdown."""
    module = example("asgi_app")
    monkeypatch.setattr(module, "RedisCache", lambda redis: MemoryCache())
    federation.add("none.example", srv=[(".", 0)])
    app = module.App(federation.resolver)
    events: asyncio.Queue[Any] = asyncio.Queue()
    sent: asyncio.Queue[Any] = asyncio.Queue()
    living = asyncio.create_task(app({"type": "lifespan"}, events.get, sent.put))

    async def get(path: str) -> tuple[int, Any]:
        await app({"type": "http", "path": path}, events.get, sent.put)
        return (await sent.get())["status"], json.loads((await sent.get())["body"])

    await events.put({"type": "lifespan.startup"})
    assert await sent.get() == {"type": "lifespan.startup.complete"}
    for _ in range(2):
        status, resolution = await get("/resolve/example.org")
        assert (status, resolution["host_header"]) == (200, "matrix.example.org:443")
    assert federation.request_counts["example.org", WELL_KNOWN] == 1
    assert [(await get(path))[0] for path in ("/", "/resolve/1.2.3", "/resolve/none.example")] == [
        404,
        400,
        502,
    ]
    await events.put({"type": "lifespan.shutdown"})
    assert await sent.get() == {"type": "lifespan.shutdown.complete"}
    await living
    with pytest.raises(RuntimeError, match="closed"):
        await get("/resolve/example.org")


async def test_signed_requests(
    federation: LoopbackFederation, capsys: pytest.CaptureFixture[str]
) -> None:
    """`signed_requests.py` signs what the other server sees, by the word of another library."""
    module = example("signed_requests")
    key = Ed25519PrivateKey.generate()
    public = unpadded(key.public_key().public_bytes_raw())
    verify_key = decode_verify_key_bytes(module.KEY_ID, decode_base64(public))

    def serve(request: Request) -> object:
        (header,) = (value for name, value in request.headers if name.lower() == "authorization")
        says = dict(re.findall(r'(\w+)="([^"]*)"', header))
        signed = {
            "method": request.method,
            "uri": request.path,
            "origin": says["origin"],
            "destination": says["destination"],
            "signatures": {says["origin"]: {says["key"]: says["sig"]}},
        }
        if request.body:
            signed["content"] = json.loads(request.body)
        verify_signed_json(signed, module.ORIGIN, verify_key)
        return {"destination": says["destination"]}

    federation.add("matrix.example.org", serves=serve)
    await module.main(
        "example.org", "@alice:example.org", key, federation.resolver, federation.client
    )
    assert capsys.readouterr().out == 'example.org: 200 {"destination": "example.org"}\n'
    async with federation.resolver() as resolver, federation.client(resolver) as client:
        content = {"b": [1, None], "a": "\u20ac"}
        for body in (content, None):
            sent = module.send(client, key, "example.org", "PUT", "/send/%40a?b=c", body)
            assert await sent == (200, {"destination": "example.org"})
        assert federation.requests[-2].body == '{"a":"\u20ac","b":[1,null]}'.encode()
        federation.add("page.example", serves=b"<html>")
        assert await module.send(client, key, "page.example", "GET", "/") == (200, None)
    await module.main("1.2.3", "@alice:1.2.3", key, federation.resolver, federation.client)
    assert "is not a server name" in capsys.readouterr().out
