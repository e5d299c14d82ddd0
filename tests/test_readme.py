"""What the README shows is true: its code runs, its commands are there, its table is complete."""

import asyncio
import functools
import inspect
import math
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, get_args

import attrs
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from prometheus_client import CollectorRegistry, generate_latest
from proxies import proxy

import matrix_resolve
from matrix_resolve import (
    AddressPolicy,
    DnspythonLookup,
    MemoryCache,
    OpenTelemetryHook,
    Policy,
    PrometheusHook,
    ResolverEvent,
    open_checker,
    open_resolver,
    resolve_server_name,
)
from matrix_resolve.testing import (
    Certificate,
    CutShort,
    DnsFault,
    Dripping,
    FakeAddresses,
    FakeSrv,
    FakeWellKnown,
    LoopbackFederation,
    Reply,
    Slow,
    contract,
)

README = (Path(__file__).parent.parent / "README.md").read_text()


def blocks(language: str) -> list[str]:
    """Return the code blocks in a language, in order."""
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def block(language: str, holding: str) -> str:
    """Return the one block that holds a text."""
    (found,) = [text for text in blocks(language) if holding in text]
    return found


def run(code: str) -> dict[str, Any]:
    """Run a block, and return its names."""
    names: dict[str, Any] = {}
    exec(compile(code, "README.md", "exec"), names)
    return names


def fakes() -> dict[str, Any]:
    """Parts that know the README's `example.org`, and that never leave this process."""
    return {
        "well_known": FakeWellKnown({"example.org": {"m.server": "matrix.example.org:443"}}),
        "srv": FakeSrv(),
        "addresses": FakeAddresses({"matrix.example.org": ["192.0.3.7"]}),
    }


def test_the_first_screen(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The first block of code prints what the block below it says, and has five lines."""

    async def resolve(name: str) -> Any:
        return await resolve_server_name(name, **fakes())

    monkeypatch.setattr(matrix_resolve, "resolve_server_name", resolve)
    first = blocks("python")[0]
    assert len(list(filter(None, first.splitlines()))) == 5
    run(first)
    assert capsys.readouterr().out == blocks("text")[0]


async def test_in_a_homeserver(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The long-lived resolver resolves, tells errors, and gives addresses."""
    monkeypatch.setattr(matrix_resolve, "open_resolver", lambda: open_resolver(**fakes()))
    main = run(block("python", "endpoints = await"))["main"]
    await main(["example.org", "1.2.3"])
    out = capsys.readouterr().out
    assert "192.0.3.7 port 443\n" in out
    assert "1.2.3: '1.2.3' is not a server name" in out


async def test_connecting(
    loopback_federation: LoopbackFederation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The hand-made request reaches the server that the resolution names."""
    loopback_federation.add("example.org", srv=[("dead.example", 8450), ("live.example", 8451)])
    loopback_federation.add("dead.example", ports=())
    dial = asyncio.open_connection
    ports = {
        target[1]: loopback_federation.connect_to[target]
        for target in (("dead.example", 8450), ("live.example", 8451))
    }

    async def mapped(host: str, port: int, **settings: Any) -> Any:
        return await dial(*ports[port], **settings)

    monkeypatch.setattr(asyncio, "open_connection", mapped)
    version = run(block("python", "asyncio.open_connection"))["version"]
    async with loopback_federation.resolver() as resolver:
        response = await version(resolver, "example.org", loopback_federation.client_ssl_context())
    assert response.startswith(b"HTTP/1.1 200")
    (request,) = [seen for seen in loopback_federation.requests if "federation" in seen.path]
    assert (request.host, request.sni) == ("example.org", "example.org")


async def test_sending_requests(
    loopback_federation: LoopbackFederation,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The federation client asks a delegated server, and tells what can't be reached."""
    loopback_federation.add("example.org", delegates_to="matrix.example.org:443")
    loopback_federation.add("dead.example", ports=())
    loopback_federation.add("page.example", serves=Reply(404, body=b"<html>"))
    loopback_federation.add("deep.example", serves=b"[" * 100_000)
    loopback_federation.add("cut.example", serves=CutShort())
    monkeypatch.setattr(matrix_resolve, "open_resolver", loopback_federation.resolver)
    monkeypatch.setattr(matrix_resolve, "open_federation_client", loopback_federation.client)
    ask_version = run(block("python", "def ask_version"))["ask_version"]
    for name in ("example.org", "dead.example", "page.example", "deep.example", "cut.example"):
        await ask_version(name)
    answered, refused, page, deep, cut = capsys.readouterr().out.splitlines()
    assert answered.startswith("200 {'server': {'name': 'loopback'")
    assert refused.startswith("dead.example can't be reached: ")
    assert page == "page.example: status 404, and no JSON"
    assert deep == "deep.example: status 200, and no JSON"
    assert cut.startswith("cut.example: ")


async def test_a_slow_server(
    loopback_federation: LoopbackFederation,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """It is told of like the others, be it slow with its head or its body."""
    loopback_federation.add("slow.example", serves=Slow(math.inf))
    loopback_federation.add("drip.example", serves=Dripping(interval=60))
    monkeypatch.setattr(matrix_resolve, "open_resolver", loopback_federation.resolver)
    monkeypatch.setattr(matrix_resolve, "open_federation_client", loopback_federation.client)
    code = block("python", "def ask_version").replace("timeout=20", "timeout=0.5")
    ask_version = run(code)["ask_version"]
    for name in ("slow.example", "drip.example"):
        await ask_version(name)
    slow, drip = capsys.readouterr().out.splitlines()
    assert slow.startswith("slow.example: slow.example: no response from ")
    assert drip.startswith("drip.example: drip.example: no ")


async def test_httpx(
    loopback_federation: LoopbackFederation,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """httpx reaches a delegated server."""
    loopback_federation.add("example.org", delegates_to="matrix.example.org:443")
    monkeypatch.setattr(matrix_resolve, "open_resolver", loopback_federation.resolver)
    monkeypatch.setattr(matrix_resolve, "open_federation_client", loopback_federation.client)
    await run(block("python", "HttpxTransport("))["main"]("example.org")
    assert '"host": "matrix.example.org:443"' in capsys.readouterr().out


def test_the_clients_arguments() -> None:
    """The table has all arguments of `open_federation_client()` but those for tests."""
    table = README.partition("| argument of `open_federation_client()` |")[2].partition("\n\n")[0]
    listed = set(re.findall(r"`(\w+)`", table.replace("`read()`", "")))
    arguments = inspect.signature(matrix_resolve.open_federation_client).parameters
    assert set(arguments) - {"resolver", "connect_to"} <= listed


def test_synchronous_code(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One resolver serves calls one after another, without a loop that runs between."""
    monkeypatch.setattr(
        matrix_resolve, "open_resolver", functools.partial(open_resolver, **fakes())
    )
    run(block("python", "asyncio.Runner()"))
    assert [line.partition(":")[0] for line in capsys.readouterr().out.splitlines()] == [
        "example.org",
        "192.0.2.1",
    ]


def test_twisted() -> None:
    """The recipe runs under Twisted's reactor, in a process of its own."""
    pytest.importorskip("twisted")
    parts = (
        "import functools, matrix_resolve as m\n"
        "from matrix_resolve.testing import FakeAddresses, FakeSrv, FakeWellKnown\n"
        "m.open_resolver = functools.partial(m.open_resolver, srv=FakeSrv(),"
        " addresses=FakeAddresses(),"
        ' well_known=FakeWellKnown({"example.org": {"m.server": "matrix.example.org:443"}}))\n'
    )
    code = parts + block("python", "asyncioreactor.install(")
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert "connect to matrix.example.org:443" in ended.stdout


async def test_behind_a_proxy(
    loopback_federation: LoopbackFederation,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The document and the request go through the proxy, SRV questions do not."""
    loopback_federation.add("example.org", delegates_to="example.net")
    loopback_federation.add("example.net", srv=[("a.example", 8450)])
    fetcher = loopback_federation.well_known_fetcher
    monkeypatch.setattr(matrix_resolve, "AiodnsLookup", loopback_federation.dns_lookup)
    monkeypatch.setattr(matrix_resolve, "AiohttpWellKnownFetcher", fetcher)
    monkeypatch.setattr(matrix_resolve, "open_federation_client", loopback_federation.client)
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    async with proxy(loopback_federation) as (port, log):
        monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{port}")
        await run(block("python", "trust_env=True"))["main"]("example.org")
    assert log == ["CONNECT example.org:443 HTTP/1.1", "CONNECT a.example:8450 HTTP/1.1"]
    assert capsys.readouterr().out.startswith("200 ")


async def test_checking(
    loopback_federation: LoopbackFederation,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The checker tells what is wrong, and what to do."""
    loopback_federation.add("example.org", ports={443})
    monkeypatch.setattr(
        matrix_resolve,
        "open_checker",
        lambda: open_checker(
            nameservers=[loopback_federation.nameserver],
            ssl_context=loopback_federation.client_ssl_context(),
            connect_to=loopback_federation.connect_to,
            address_policy=AddressPolicy.allow_all(),
        ),
    )
    await run(block("python", "open_checker"))["main"]("example.org")
    reach, error = capsys.readouterr().out.splitlines()
    assert reach.startswith("example.org no 1 error and 1 warning; first of all: There is no")
    assert error.startswith("delegation-missing If the homeserver is behind https://example.org")


async def test_another_lookup(
    loopback_federation: LoopbackFederation,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The other DNS plug-in takes the settings that are shown; here it asks a plain server."""
    loopback_federation.add("example.org", srv=[("a.example.org", 8450)])

    def lookup(nameservers: list[str]) -> DnspythonLookup:
        DnspythonLookup(nameservers=nameservers)
        return DnspythonLookup(nameservers=[loopback_federation.nameserver])

    monkeypatch.setattr(matrix_resolve, "DnspythonLookup", lookup)
    monkeypatch.setattr(matrix_resolve, "open_resolver", loopback_federation.resolver)
    await run(block("python", "DnspythonLookup"))["main"]("example.org")
    assert "connect to a.example.org:8450" in capsys.readouterr().out


async def test_several_workers(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The two levels are put together as shown; another cache stands for the one in Redis."""
    monkeypatch.setattr(matrix_resolve, "RedisCache", lambda redis: MemoryCache())
    parts = fakes()
    monkeypatch.setattr(
        matrix_resolve, "open_resolver", lambda cache: open_resolver(cache=cache, **parts)
    )
    await run(block("python", "TieredCache("))["worker"](["example.org"])
    assert "connect to matrix.example.org:443" in capsys.readouterr().out


async def test_watching_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Both hooks are taken together."""
    monkeypatch.setattr(
        matrix_resolve, "PrometheusHook", lambda: PrometheusHook(CollectorRegistry())
    )
    monkeypatch.setattr(
        matrix_resolve, "open_resolver", lambda hooks: open_resolver(hooks=hooks, **fakes())
    )
    await run(block("python", "LoggingHook()"))["main"]("example.org")
    assert "connect to matrix.example.org:443" in capsys.readouterr().out


async def test_tracing_it(
    loopback_federation: LoopbackFederation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The spans hang together as they are drawn."""
    loopback_federation.add("example.org", srv=[("matrix.example.org", 8450)])
    loopback_federation.add("matrix.example.org")
    provider, ended = TracerProvider(shutdown_on_exit=False), InMemorySpanExporter()
    provider.add_span_processor(SimpleSpanProcessor(ended))
    monkeypatch.setattr(trace, "get_tracer", provider.get_tracer)
    monkeypatch.setattr(matrix_resolve, "OpenTelemetryHook", lambda: OpenTelemetryHook(provider))
    monkeypatch.setattr(matrix_resolve, "open_resolver", loopback_federation.resolver)
    monkeypatch.setattr(matrix_resolve, "open_federation_client", loopback_federation.client)
    await run(block("python", "OpenTelemetryHook"))["send"]("example.org", "/")
    provider.shutdown()
    spans = {span.context.span_id: span for span in ended.get_finished_spans() if span.context}

    def way(span: ReadableSpan) -> tuple[str, ...]:
        above = () if span.parent is None else way(spans[span.parent.span_id])
        return (*above, span.name)

    drawn, above = set(), [""] * 4
    for line in block("text", "ask well_known").splitlines():
        name = line.lstrip("│├└─ ")
        depth = (len(line) - len(name)) // 4
        above[depth] = name
        drawn.add(tuple(above[: depth + 1]))
    assert {way(span) for span in spans.values()} == drawn


def test_metrics_that_are_asked_for() -> None:
    """Every series in the questions to Prometheus is there, with such labels."""
    registry = CollectorRegistry()
    PrometheusHook(registry)
    page = generate_latest(registry).decode()
    watching = README.partition("## Watching it")[2].partition("##")[0]
    asked = re.findall(r'(matrix_resolve_\w+)(?:{(\w+=)~?("\w+))?', watching)
    assert len(asked) == 7
    for name, label, value in asked:
        assert re.search(f"^{name}.*{label}{value}", page, re.MULTILINE), name


async def test_serving_delegation() -> None:
    """The application serves both files."""
    app = run(block("python", "app.add_routes(well_known_routes("))["app"]
    async with TestClient(TestServer(app)) as client:
        server = await client.get("/.well-known/matrix/server")
        assert await server.json() == {"m.server": "example.org:443"}
        users = await client.get("/.well-known/matrix/client")
        assert (await users.json())["m.homeserver"] == {"base_url": "https://matrix.example.org"}


async def test_serving_support() -> None:
    """The application serves the document that names the contacts."""
    app = web.Application()
    app.add_routes(run(block("python", "SupportContact("))["routes"])
    async with TestClient(TestServer(app)) as client:
        support = await (await client.get("/.well-known/matrix/support")).json()
    assert [contact["role"] for contact in support["contacts"]] == [
        "m.role.admin",
        "m.role.security",
    ]
    assert support["support_page"] == "https://example.org/support"


def test_every_event_is_named() -> None:
    """The section on hooks names all events, and the ready hooks."""
    watching = README.partition("## Watching it")[2].partition("##")[0]
    for event in get_args(ResolverEvent):
        assert f"`{event.__name__}`" in watching


def test_a_part_of_ones_own(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The SRV lookup of the plug-in section works as it stands."""

    def opened(**parts: Any) -> Any:
        return open_resolver(**(fakes() | {"well_known": FakeWellKnown()} | parts))

    monkeypatch.setattr(matrix_resolve, "open_resolver", opened)
    run(block("python", "class MyRecords"))
    assert "connect to a.example.org:8448, Host example.org," in capsys.readouterr().out


async def test_testing_ones_own_code(loopback_federation: LoopbackFederation) -> None:
    """The test that the README shows passes."""
    test = run(block("python", "async def test_delegation"))["test_delegation"]
    assert inspect.iscoroutinefunction(test)
    await test(loopback_federation)


def test_testing_a_plugin(tmp_path: Path) -> None:
    """The dictionary of the README passes as it stands, in both modes of pytest-asyncio."""
    (tmp_path / "test_it.py").write_text(block("python", "class TestDictionaryCache"))
    for mode in ("strict", "auto"):
        command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-o"]
        run = subprocess.run(
            [*command, f"asyncio_mode={mode}"], cwd=tmp_path, capture_output=True, text=True
        )
        assert re.search(r"\d\d passed, 1 skipped in", run.stdout), run.stdout + run.stderr


def test_every_fault_is_named() -> None:
    """The section on tests names all that servers can do badly, and every contract."""
    section = README.partition("## Testing your own code")[2].partition("\n## ")[0]
    faults = {*Certificate, *DnsFault} - {Certificate.VALID}
    names = {*(fault.name for fault in faults), *contract.__all__} - {"Contract"}
    names |= {"Slow", "Dripping", "Endless", "CutShort", "Raw", "Silent", "Refused", "Redirect"}
    assert names <= set(re.findall(r"\w+", section))


async def test_mocking_with_aioresponses(monkeypatch: pytest.MonkeyPatch) -> None:
    """The recipe for aioresponses works with the aiohttp that is installed."""
    await run(block("python", "aioresponses"))["test_redirect"](monkeypatch)


def test_two_commands_for_a_fresh_machine() -> None:
    """The first two shell blocks are one command line each, with an environment of its own."""
    demo, tests = blocks("sh")[:2]
    for command in (demo, tests):
        assert command.count("\n") == 1
        assert command.startswith("python3 -m venv .venv")
    assert demo.endswith("/matrix-resolve demo\n")
    assert "-m pytest" in tests


def test_the_policy_table_is_complete() -> None:
    """Every field of `Policy` stands in the table."""
    listed = set(re.findall(r"`(\w+)`", README.partition("## Policy")[2].partition("##")[0]))
    assert {attribute.name for attribute in attrs.fields(Policy)} <= listed


def test_the_tree_is_that_of_the_code() -> None:
    """The section on how it is built lists all that stands in the package, and no more."""
    package, _, rest = block("text", "__main__.py").partition("\ntests/")
    listed = set(re.findall(r"^  (\S+)", package, re.MULTILINE))
    root = Path(matrix_resolve.__file__).parent
    folders = {f"{path.parent.name}/" for path in root.glob("*/__init__.py")}
    assert listed == folders | {path.name for path in root.glob("*.py")}
    named = re.findall(r"(\w+)/", f"tests/{rest}")
    assert len(named) > 1
    for folder in named:
        assert (root.parent / folder).is_dir() or (root.parent / "tests" / folder).is_dir()


def test_what_is_linked_is_there() -> None:
    """Links into the repository lead to files that exist."""
    links = re.findall(r"\]\((?!https?:)([^)]+)\)", README)
    assert links
    for link in links:
        assert (Path(__file__).parent.parent / link).exists(), link


async def test_over_a_restart(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """What was resolved once is there the second time, though nobody publishes it any more."""
    main = run(block("python", "SqliteCache"))["main"]
    for published in (fakes(), {"well_known": FakeWellKnown(), "srv": FakeSrv()}):
        parts = {"addresses": FakeAddresses(), **published}
        opens = functools.partial(open_resolver, **parts)
        monkeypatch.setitem(main.__globals__, "open_resolver", opens)
        await main("example.org", tmp_path / "answers.sqlite")
        assert "matrix.example.org:443" in capsys.readouterr().out
