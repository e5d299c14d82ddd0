"""The command line, against the DNS server of a loopback federation."""

import asyncio
import io
import json
import os
import re
import shlex
import signal
import ssl
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import trustme
from attrs import evolve
from rich.console import Console

import matrix_resolve.testing
from matrix_resolve import AddressPolicy, AskAddresses, MatrixResolveError, Policy, ServerName, Step
from matrix_resolve.cli import main, tour
from matrix_resolve.cli.explain import story_json, story_tree
from matrix_resolve.cli.heard import Heard
from matrix_resolve.cli.names import Outcome, look_up
from matrix_resolve.cli.parsing import COMMANDS, parse
from matrix_resolve.compose import compose_resolver
from matrix_resolve.core.questions import Addresses
from matrix_resolve.hooks import QuestionAnswered
from matrix_resolve.testing import Certificate, DnsFault, LoopbackFederation, Redirect
from matrix_resolve.testing.loopback.declarations import WELL_KNOWN
from matrix_resolve.testing.steps import STEPS


class Command:
    """Runs `matrix-resolve` in a thread of its own, so that the federation can answer it."""

    def __init__(self, federation: LoopbackFederation, capsys: pytest.CaptureFixture[str]) -> None:
        self.federation = federation
        self._capsys = capsys

    async def __call__(self, *arguments: str) -> tuple[int, str, str]:
        """Return the exit status, and what was printed to the two outputs."""
        reach = ("--nameserver", self.federation.nameserver, "--allow-private")
        status = await asyncio.to_thread(_exit_status, [*reach, *arguments])
        return (status, *self._capsys.readouterr())


def _exit_status(argv: list[str]) -> int:
    try:
        return main(argv)
    except SystemExit as stop:
        return int(stop.code or 0)


@pytest.fixture
def command(
    loopback_federation: LoopbackFederation,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> Command:
    """The command, in a federation where `srv.example` has SRV records."""
    monkeypatch.delenv("NO_COLOR", raising=False)
    loopback_federation.add("host.example")
    loopback_federation.add("srv.example", srv=[("a.example", 8450), ("b.example", 443)])
    return Command(loopback_federation, capsys)


async def test_one_line_a_name(command: Command) -> None:
    """Names are told one a line, in the order given, with all that is needed to connect."""
    assert await command("srv.example", "[::1]:443", "host.example:8450") == (
        0,
        "srv.example: connect to a.example:8450, b.example:443, Host srv.example,"
        " certificate for srv.example (step 4)\n"
        "[::1]:443: connect to [::1]:443, Host [::1]:443, certificate for ::1 (step 1)\n"
        "host.example:8450: connect to host.example:8450, Host host.example:8450,"
        " certificate for host.example (step 2)\n",
        "",
    )


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("example..org", "the hostname has an empty label (a dot too many)"),
        ("example.org:99999", "the port must be a number from 1 to 65535"),
        ("\x1b[31mred", "brackets belong around an IPv6 address only"),
        ("", "it is empty"),
    ],
)
async def test_an_invalid_name(command: Command, name: str, reason: str) -> None:
    """An invalid name gets one clear line on the error output, and status 1; others go on."""
    status, out, err = await command("--", name, "127.0.0.1")
    assert (status, out.count("\n")) == (1, 1)
    assert err == f"matrix-resolve: {name!a} is not a server name: {reason}\n"


async def test_a_name_that_begins_with_a_hyphen(command: Command) -> None:
    """After "--" everything is a name, a command's word too."""
    status, out, _ = await command("--", "-a.example:1", "demo:1")
    assert (status, out.count("step 2")) == (0, 2)


async def test_not_offered(command: Command) -> None:
    """A service that is not offered is told in one line, with status 1."""
    command.federation.add("no.example", srv=[(".", 0)])
    status, out, err = await command("no.example")
    assert (status, out) == (1, "")
    assert err == (
        'matrix-resolve: the only SRV record of _matrix-fed._tcp.no.example has the target "."\n'
    )


async def test_json(command: Command) -> None:
    """With --json each name is one JSON object on a line, failures too."""
    status, out, err = await command("--json", "srv.example", "example..org")
    good, bad = map(json.loads, out.splitlines())
    assert (status, err) == (1, "")
    assert (good["version"], good["step"], good["targets"][0]["port"]) == (1, "4", 8450)
    assert bad == {
        "version": 1,
        "server_name": "example..org",
        "error": {
            "type": "InvalidServerNameError",
            "message": "'example..org' is not a server name: the hostname has an empty label"
            " (a dot too many)",
        },
    }


async def test_explain(command: Command) -> None:
    """`explain` tells each step, what was answered, and the addresses; plain in a pipe."""
    status, out, err = await command("explain", "srv.example")
    assert (status, err) == (0, "")
    told = re.sub(r"asked, \d+ ms", "asked", out)
    assert "\x1b" not in out
    assert told.splitlines() == [
        "srv.example",
        "├── step 1, passed over: the hostname is no IP literal",
        "├── step 2, passed over: the server name has no port",
        "├── step 3: nothing usable: srv.example: "
        + told.partition("usable: srv.example: ")[2].partition("\n")[0],
        "│   └── https://srv.example/.well-known/matrix/server: asked, kept for"
        + told.partition("server: asked, kept for")[2].partition("\n")[0],
        "├── step 4, taken: SRV records: a.example:8450 (priority 1, weight 0), b.example:443"
        " (priority 2, weight 0)",
        "│   └── SRV _matrix-fed._tcp.srv.example: asked, kept for 5 min",
        "└── so",
        "    ├── connect to a.example:8450, b.example:443",
        "    ├── Host: srv.example",
        "    ├── certificate for srv.example",
        "    ├── addresses of a.example:8450: ::1, 127.0.0.1",
        "    └── addresses of b.example:443: ::1, 127.0.0.1",
    ]


async def test_explain_without_addresses(command: Command) -> None:
    """Of each target it is told whether it has addresses, and of an error the status tells."""
    command.federation.add("a.example", addresses=[])
    command.federation.add("b.example", dns={"A": DnsFault.SERVFAIL, "AAAA": DnsFault.SERVFAIL})
    command.federation.add("srv.example", srv=[(f"{each}.example", 443) for each in "abc"])
    status, out, _ = await command("--timeout", "3", "explain", "srv.example")
    assert "├── addresses of a.example:443: none\n" in out
    assert "├── addresses of b.example:443: unknown, " in out
    assert "└── addresses of c.example:443: ::1, 127.0.0.1\n" in out
    assert status == 0
    status, out, _ = await command("explain", "a.example:1")
    assert "└── no addresses exist for a.example\n" in out
    assert status == 1


async def test_resolve_tells_of_missing_addresses(command: Command) -> None:
    """A word at the end of the line, or a key, says that a name has no addresses."""
    command.federation.add("a.example", addresses=[])
    command.federation.add("b.example", dns={"A": DnsFault.SERVFAIL, "AAAA": DnsFault.SERVFAIL})
    names = ("a.example:1", "b.example:1", "host.example:1")
    status, out, err = await command("--timeout", "3", *names)
    assert [line.partition("(step 2)")[2] for line in out.splitlines()] == [
        ", no addresses",
        ", addresses unknown (our DNS could not answer)",
        "",
    ]
    assert (status, err) == (0, "")
    status, out, _ = await command("--timeout", "3", "--json", *names)
    told = [json.loads(line) for line in out.splitlines()]
    assert [each["addresses"] for each in told] == ["none", "unknown", "found"]
    assert not any("error" in each for each in told)
    assert status == 0


async def test_explain_as_json(command: Command) -> None:
    """`explain --json` has the addresses, and the error in their place."""
    command.federation.add("a.example", addresses=[])
    status, out, _ = await command("--json", "explain", "srv.example", "a.example:1")
    found, missing = map(json.loads, out.splitlines())
    assert (status, found["addresses"], missing["addresses"]) == (1, "found", "none")
    assert (found["aliases"], found["redirects"]) == ({}, [])
    assert "error" not in found
    assert found["endpoints"] == [
        {"address": "::1", "port": 443, "target": "b.example"},
        {"address": "127.0.0.1", "port": 443, "target": "b.example"},
    ]
    assert missing["error"]["type"] == "AddressLookupError"


async def test_names_from_standard_input(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """`-` stands for the names on standard input: one a line, without blank lines and comments."""
    monkeypatch.setattr("sys.stdin", io.StringIO("# a list\n\n 192.0.2.1 \n--json:1\n"))
    status, out, err = await command("192.0.2.2", "-", "192.0.2.3")
    assert [line.partition(":")[0] for line in out.splitlines()] == [
        "192.0.2.2",
        "192.0.2.1",
        "--json",
        "192.0.2.3",
    ]
    assert (status, err) == (0, "")
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"\xff\n"), "utf-8"))
    status, out, err = await command("-")
    assert (status, out) == (2, "")
    assert "matrix-resolve: standard input is not text: " in err


async def test_private_addresses_are_refused_by_default(
    loopback_federation: LoopbackFederation, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without --allow-private the explanation says that the addresses are forbidden."""
    loopback_federation.add("private.example")
    arguments = ["--nameserver", loopback_federation.nameserver, "explain", "private.example"]
    assert await asyncio.to_thread(main, arguments) == 1
    assert "the address policy forbids every address of private.example" in capsys.readouterr().out
    arguments[2] = "resolve"
    assert await asyncio.to_thread(main, arguments) == 0
    assert capsys.readouterr().out.endswith("(step 6), no address that is allowed\n")


async def test_a_nameserver_that_says_nothing(command: Command) -> None:
    """--timeout bounds the whole, and a lookup that failed is told as degraded."""
    command.federation.dns_faults["*", "*"] = DnsFault.SILENT
    status, out, _ = await asyncio.wait_for(command("--timeout", "0.6", "silent.example"), 10)
    assert (status, "(step 6, degraded)" in out) == (0, True)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ([], "usage: matrix-resolve COMMAND"),
        (["resolve"], "resolve takes at least one name"),
        (["--no-color"], "resolve takes at least one name"),
        (["explain", "--"], "explain takes at least one name"),
        (["demo", "example.org"], "unrecognized arguments: example.org"),
        (["--json", "demo"], "unrecognized arguments: --json"),
        (["--timeout", "never", "a"], "'never' is not a number of seconds"),
        (["--timeout", "-1", "a"], "'-1' is not a number of seconds"),
        (["--nameserver", "dns.example", "a"], "'dns.example' is not an IP address"),
        (["--nameserver", "1.1.1.1:x", "a"], "is not HOST[:PORT]"),
        (["--ca", "/nowhere", "a"], "'/nowhere' can't be used"),
        (["--frobnicate", "a"], "unrecognized arguments"),
    ],
)
def test_wrong_usage(
    arguments: list[str], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Wrong usage is told on the error output, with status 2."""
    assert _exit_status(arguments) == 2
    assert complaint in capsys.readouterr().err


@pytest.mark.parametrize(
    ("given", "taken"),
    [
        ("::1", "[::1]:53"),
        ("[::1]", "[::1]:53"),
        ("[::1]:5353", "[::1]:5353"),
        ("127.0.0.1", "127.0.0.1:53"),
        ("127.0.0.1:5353", "127.0.0.1:5353"),
    ],
)
def test_nameservers(given: str, taken: str) -> None:
    """Name servers are taken in every spelling."""
    assert parse(["--nameserver", given, "a.example"]).nameserver == [taken]


def test_certificate_authorities(tmp_path: Path) -> None:
    """--ca takes a PEM file, whose authorities are trusted beside the system's."""
    authority = trustme.CA().cert_pem
    authority.write_to_path(tmp_path / "ca.pem")
    arguments = parse(["--ca", str(tmp_path / "ca.pem"), "a.example"])
    trusted = arguments.ssl_context.get_ca_certs(binary_form=True)
    assert ssl.PEM_cert_to_DER_cert(authority.bytes().decode()) in trusted


async def _looked_up(federation: LoopbackFederation, name: str) -> Outcome:
    heard = Heard()
    async with compose_resolver(
        policy=Policy(dns_timeout=0.5),
        address_policy=AddressPolicy.allow_all(),
        hooks=[heard],
        nameservers=[federation.nameserver],
        ssl_context=federation.client_ssl_context(),
        connect_to=federation.connect_to,
        redirected=heard.redirected,
    ) as resolver:
        return await look_up(resolver, name, endpoints=True, heard=heard)


async def _printed_tree(federation: LoopbackFederation, name: str, **console: object) -> str:
    outcome = await _looked_up(federation, name)
    assert outcome.resolution is not None
    out = io.StringIO()
    settings = {"file": out, "width": 200, "highlight": False, "markup": False} | console
    Console(**settings).print(story_tree(outcome, outcome.resolution))  # type: ignore[arg-type]
    return out.getvalue()


async def test_the_story_of_a_delegation(loopback_federation: LoopbackFederation) -> None:
    """A delegation is told with where its document was found; colours go to terminals only."""
    add = loopback_federation.add
    add("example.org", redirects_to="https://www.example.org/.well-known/matrix/server")
    add("www.example.org", delegates_to="[red]matrix.example.org:443")
    add("www.example.org", delegates_to="matrix.example.org:443")
    told = await _printed_tree(loopback_federation, "example.org")
    assert (
        "step 3: delegates to matrix.example.org:443"
        " (https://www.example.org/.well-known/matrix/server)\n" in told
    )
    assert "step 3.2, taken: matrix.example.org:443 has a port\n" in told
    assert "── redirected (302) to https://www.example.org/.well-known/matrix/server\n" in told
    coloured = await _printed_tree(
        loopback_federation, "example.org", force_terminal=True, color_system="standard"
    )
    assert "\x1b[32mstep 3.2, taken" in coloured


async def test_hostile_text_is_shown_as_text(loopback_federation: LoopbackFederation) -> None:
    """Neither markup nor control characters of a stranger reach the terminal as such."""
    loopback_federation.add("a.example", well_known={"m.server": "\x1b[2J[bold]x[/bold]"})
    loopback_federation.add("b.example", well_known=Redirect("http://[bold]x"))
    told = await _printed_tree(loopback_federation, "a.example")
    assert "'\\x1b[2J[bold]x[/bold]'" in told
    assert "[bold]" in await _printed_tree(loopback_federation, "b.example")


async def test_degraded_is_told(loopback_federation: LoopbackFederation) -> None:
    """A resolution that rests on a failed lookup says so at its end."""
    loopback_federation.add("ill.example", dns={"SRV": DnsFault.SERVFAIL})
    told = await _printed_tree(loopback_federation, "ill.example")
    assert "degraded: an SRV lookup failed" in told


async def test_redirects_are_told(loopback_federation: LoopbackFederation) -> None:
    """Each redirect is told, those before one that must not be followed too."""
    add = loopback_federation.add
    add("a.example", redirects_to=f"https://b.example{WELL_KNOWN}")
    add("b.example", redirects_to=f"//c.example{WELL_KNOWN}")
    add("c.example", redirects_to="http://c.example/")
    outcome = await _looked_up(loopback_federation, "A.example")
    assert story_json(outcome)["redirects"] == [
        {"status": 302, "url": f"https://b.example{WELL_KNOWN}"},
        {"status": 302, "url": f"https://c.example{WELL_KNOWN}"},
    ]
    add("c.example", redirects_to=f"https://a.example{WELL_KNOWN}")
    outcome = await _looked_up(loopback_federation, "a.example")
    assert len(story_json(outcome)["redirects"]) == 3


async def test_aliases_are_told(loopback_federation: LoopbackFederation) -> None:
    """A target that is an alias is told; that of an SRV record must not be one."""
    loopback_federation.add("a.example", alias_of="b.example")
    loopback_federation.add("srv.example", srv=[("c.example", 1), ("a.example", 2)])
    outcome = await _looked_up(loopback_federation, "a.example:1")
    assert outcome.aliases_told() == ["a.example is an alias of b.example"]
    outcome = await _looked_up(loopback_federation, "srv.example")
    assert story_json(outcome)["aliases"] == {"a.example": "b.example"}
    told = await _printed_tree(loopback_federation, "srv.example")
    assert (
        "── a.example is an alias of b.example, which the target of an SRV record must not be\n"
        in told
    )


def test_a_hostile_alias() -> None:
    """What DNS says is told printable."""
    heard = Heard()
    answer = Addresses((), "\x1b[2J")
    heard(QuestionAnswered(question=AskAddresses("a.example"), answer=answer, duration=0.0))
    assert heard.alias_of("A.example") == r"\x1b[2J"


def test_no_addresses_told() -> None:
    """What was not looked up is not told, and an error is."""
    assert Outcome(name="x").addresses_told() == []
    assert Outcome(name="x").addresses is None
    assert Outcome(name="x", error=MatrixResolveError("why")).addresses is None
    assert Outcome(name="x", error=MatrixResolveError("why")).addresses_told() == ["why"]


def test_demo(capsys: pytest.CaptureFixture[str]) -> None:
    """The demo comes to the right step for every step there is, and every server tells so."""
    assert main(["demo"]) == 0
    out = capsys.readouterr().out
    assert "17 of 17 as the specification says" in out
    lines = [line.split() for line in out.splitlines()]
    told = {line[1]: line[2:] for line in lines if line[:1] == ["ok"]}
    assert len(told) == 17
    assert {cells[0] for cells in told.values()} >= {
        *("1", "2", "3.1", "3.2", "3.3", "3.4", "3.5", "4", "5", "6")
    }
    assert " ".join(told["a32.test"]).endswith(
        "::1 127.0.0.1 h32.test:443, h32.test delegates to host, port"
    )
    assert " ".join(told["a31.test"]).endswith("127.0.0.2, no SNI delegates to IP literal")
    assert "certificate has expired" in " ".join(told["tls.test"])
    assert told["none.test"][:2] == ["not", "offered"]
    assert re.search(
        r"^\d+ DNS questions, 13 well-known and 15 federation requests, all on loopback$",
        out,
        re.MULTILINE,
    )


async def test_demo_at_every_width() -> None:
    """From 80 columns on no line is broken and nothing is left out of a cell."""
    outs = {width: io.StringIO() for width in (80, 100, 120, 140)}
    outs[60] = io.StringIO()  # there cells are folded
    consoles = [Console(file=out, width=width) for width, out in outs.items()]
    assert set(await asyncio.gather(*map(tour.tour, consoles))) == {0}
    for width, out in outs.items():
        lines = out.getvalue().splitlines()
        assert max(map(len, lines)) <= width
        assert "…" not in out.getvalue()
        if width == 60:
            continue
        # A title, a head, 17 cases of which two have two targets, two lines of summary.
        assert len(list(filter(str.strip, lines))) == 1 + 2 + 19 + 2
    heads = {width: out.getvalue().splitlines()[2] for width, out in outs.items()}
    assert ["certificate" in heads[width] for width in (60, 80, 100)] == [False, True, True]
    assert ["what it is" in heads[width] for width in (80, 100, 120)] == [False, False, True]
    assert ["Host  " in heads[width] for width in (100, 120)] == [False, True]
    assert ["addresses" in heads[width] for width in (120, 140)] == [False, True]


def declaring(**declared: Any) -> dict[str, Any]:
    """A case of step 6 for which this is declared."""
    return {"name": "a.test", "step": "6", "hosts": {"a.test": declared}}


@pytest.mark.parametrize(
    ("case", "told"),
    [
        ({"name": "a.test", "step": "5"}, "a.test 6 a.test:8448"),
        ({"name": "a.test", "step": None, "answers": False}, "a.test 6 a.test:8448"),
        ({"name": "a.test", "step": "6", "answers": False}, "a.test, a.test"),
        (declaring(certificate=Certificate.EXPIRED), "certificate has expired"),
        (declaring(addresses=[]), "no addresses exist"),
        (declaring(ports=()), "Connect call failed"),
        (declaring(srv=[(".", 0)]), "the only SRV record"),
        (declaring(serves=b"<html>"), "unexpected mimetype"),
    ],
)
async def test_demo_finds_what_is_wrong(
    case: dict[str, Any], told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A case that comes to something else than it must is told, and ends in status 1."""
    good = tour._Case(name="good.test", about="", step="6", hosts={"good.test": {}})
    wrong = tour._Case(**{"about": "", "hosts": {"a.test": {}}} | case)
    monkeypatch.setattr(tour, "_CASES", (good, wrong))
    out = io.StringIO()
    assert await tour.tour(Console(file=out, width=300)) == 1
    lines = [" ".join(line.split()) for line in out.getvalue().splitlines()]
    assert [line for line in lines if line.startswith("ok good.test 6 ")]
    assert [line for line in lines if line.startswith("WRONG a.test") and told in line]
    assert "1 of 2 as the specification says" in lines


@pytest.mark.parametrize(
    "other",
    [
        {"step": Step.SRV},
        {"server_name": ServerName.parse("b.test")},
        {"delegated_to": ServerName.parse("a.test")},
        {"targets": (("a.test", 443),)},
        {"host_header": "a.test:8448"},
        {"tls_name": "b.test"},
    ],
)
async def test_demo_holds_a_case_to_its_row(
    other: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What comes out must be all that a row of the table of steps says."""
    row = next(row for row in STEPS if str(row.server_name) == "a6.test")
    for expected, status in ((row, 0), (evolve(row, **other), 1)):
        case = tour._Case(name="a6.test", about="", step="6", hosts=row.hosts, row=expected)
        monkeypatch.setattr(tour, "_CASES", (case,))
        assert await tour.tour(Console(file=io.StringIO(), width=300)) == status


@pytest.mark.parametrize(
    "seen",
    [
        {"host": "a.test:8448"},
        {"sni": None},
        {"sni": "b.test"},
        {"target": ["a.test", 443]},
    ],
)
async def test_demo_believes_the_server(
    seen: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that saw anything else than the resolution says makes the case wrong."""
    serves = {"host": "a.test", "sni": "a.test", "target": ["a.test", 8448]}
    for behaviour, status in ((serves, 0), (serves | seen, 1)):
        case = tour._Case(
            name="a.test", about="", step="6", hosts={"a.test": {"serves": behaviour}}
        )
        monkeypatch.setattr(tour, "_CASES", (case,))
        assert await tour.tour(Console(file=io.StringIO(), width=80)) == status


def test_as_a_module() -> None:
    """`python -m matrix_resolve` is the command, and leaves no warning behind at its end."""
    run = subprocess.run(
        [sys.executable, "-W", "error", "-m", "matrix_resolve", "192.0.2.1"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (run.returncode, run.stderr) == (0, "")
    assert run.stdout.startswith("192.0.2.1: connect to 192.0.2.1:8448, ")


def run_with_output_to(output: int, arguments: list[str], **more: Any) -> tuple[int, bytes]:
    """Return the exit status and what is told on the error output."""
    command = [sys.executable, "-W", "error", "-m", "matrix_resolve", *arguments]
    ended = subprocess.run(
        command, stdout=output, stderr=subprocess.PIPE, timeout=60, check=False, **more
    )
    return ended.returncode, ended.stderr


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        (["192.0.2.1"], 141),
        (["--json", "192.0.2.1"], 141),
        (["explain", "192.0.2.1"], 141),
        (["--help"], 0),
        (["--version"], 141),
    ],
)
def test_a_pipe_that_nobody_reads(arguments: list[str], status: int) -> None:
    """A broken pipe ends the command quietly, with the status of the signal."""
    reading, writing = os.pipe()
    os.close(reading)
    try:
        assert run_with_output_to(writing, arguments) == (status, b"")
    finally:
        os.close(writing)


async def test_an_interrupt(loopback_federation: LoopbackFederation) -> None:
    """Ctrl-C ends the command at once and without a word, with the status of the signal."""
    loopback_federation.dns_faults["*", "*"] = DnsFault.SILENT
    command = [sys.executable, "-W", "error", "-m", "matrix_resolve", "--timeout", "600"]
    running = await asyncio.create_subprocess_exec(
        *command,
        *("--nameserver", loopback_federation.nameserver, "a.example"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    async with asyncio.timeout(60):
        while not loopback_federation.dns_questions:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        running.send_signal(signal.SIGINT)
        assert await running.communicate() == (b"", b"")
    assert running.returncode == 130


@pytest.mark.parametrize("arguments", [["192.0.2.1"], ["explain", "--allow-private", "192.0.2.1"]])
def test_an_output_that_is_closed(arguments: list[str]) -> None:
    """Without an output there is the exit status."""
    command = [sys.executable, "-W", "error", "-m", "matrix_resolve", *arguments]
    for closed in (">&-", "2>&-", ">&- 2>&-"):
        ended = subprocess.run(
            ["/bin/sh", "-c", f'exec "$@" {closed}', "sh", *command],
            capture_output=True,
            timeout=60,
            check=False,
        )
        assert (ended.returncode, ended.stderr) == (0, b"")
        assert bool(ended.stdout) == (closed == "2>&-")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no full disk")
@pytest.mark.parametrize("arguments", [["192.0.2.1"], ["explain", "192.0.2.1"]])
def test_a_full_disk(arguments: list[str]) -> None:
    """What can't be written is told, once."""
    with Path("/dev/full").open("wb") as full:
        status, told = run_with_output_to(full.fileno(), arguments)
    assert (status, told) == (1, b"matrix-resolve: [Errno 28] No space left on device\n")


def test_no_color(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """--no-color and NO_COLOR take the colours out of a terminal too."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert main(["explain", "--allow-private", "127.0.0.1"]) == 0
    assert "\x1b[" in capsys.readouterr().out
    assert main(["explain", "--allow-private", "--no-color", "127.0.0.1"]) == 0
    assert "\x1b[" not in capsys.readouterr().out
    monkeypatch.setenv("NO_COLOR", "1")
    assert main(["explain", "--allow-private", "127.0.0.1"]) == 0
    assert "\x1b[" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("explian good.test", "explain"),
        ("explian", "explain"),
        ("--json explian good.test", "explain"),
        ("Explain good.test", "explain"),
        ("resovle a.example b.example", "resolve"),
        ("dmeo --no-color x", "demo"),
        ("completoin", "completion"),
        ("help", "--help"),
        ("help explain", "--help"),
        ("version", "--version"),
    ],
)
def test_a_mistyped_command(given: str, meant: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A word that is much like a command is told, and how to resolve it for all that."""
    assert _exit_status(given.split()) == 2
    word = next(word for word in given.split() if not word.startswith("-"))
    told = capsys.readouterr().err
    assert f"`{word}` is no name to resolve; did you mean `{meant}`?" in told
    assert f"`matrix-resolve resolve {word}`" in told
    assert parse(["resolve", word]).names == [word]


@pytest.mark.parametrize(
    "given",
    [
        "localhost",
        "localhost good.test",
        "matrix good.test",
        "synapse hs",
        "homeserver a",
        "conduit a",
        "explian.test a",
        "explian:8448 a",
        "a explian",
        "-- explian a",
        "resolve explian a",
    ],
)
def test_names_that_are_no_mistyped_commands(given: str) -> None:
    """What may well be a host's name is one."""
    words = [word for word in given.split() if word not in ("--", "resolve")]
    assert parse(given.split()).names == words


def test_without_rich() -> None:
    """Only what is drawn needs the extra, and says so: not lines, JSON, the version and help."""
    code = """
import sys
sys.modules["rich"] = None
from matrix_resolve.cli import main
statuses = []
for argv in (
    ["--version"], ["--help"], ["explain", "--help"], ["192.0.2.1"],
    ["explain", "--json", "--allow-private", "192.0.2.1"], ["explain", "192.0.2.1"], ["demo"],
):
    try: statuses.append(main(argv))
    except SystemExit as end: statuses.append(end.code)
print(statuses)
"""
    ended = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert ended.stdout.endswith("\n[0, 0, 0, 0, 0, 2, 2]\n")
    for command, line in zip(("explain", "demo"), ended.stderr.splitlines(), strict=True):
        assert line.startswith(f"matrix-resolve: matrix-resolve {command} needs more (")
        assert line.endswith("): pip install 'matrix-resolve[cli]'")


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_has_help_with_examples(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """`COMMAND --help` ends in examples, each of which is a command line that is understood."""
    for arguments in ([command, "--help"], ["--help", command]):
        assert _exit_status(arguments) == 0
        told = capsys.readouterr().out
        assert told.startswith(f"usage: matrix-resolve {command} ")
        examples = told.partition("\nexamples:\n")[2].splitlines()
        assert examples
        for line in examples:
            line = re.split(" [<>|] ", line)[0]  # what is the shell's
            word, *rest = shlex.split(line)
            assert word == "matrix-resolve"
            assert parse(rest).command == command


def test_help(capsys: pytest.CaptureFixture[str]) -> None:
    """The help of the whole names each command."""
    for arguments in (["--help"], ["-h"], ["--no-color", "--help"]):
        assert _exit_status(arguments) == 0
        told = capsys.readouterr().out
        for name, command in COMMANDS.items():
            summary = " ".join(told.partition(f"\n    {name} ")[2].split())
            assert summary.startswith(command.SUMMARY)


@pytest.mark.parametrize("arguments", [["--version"], ["explain", "--version"]])
def test_version(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """`--version` tells which."""
    assert _exit_status(arguments) == 0
    assert capsys.readouterr().out == f"matrix-resolve {matrix_resolve.__version__}\n"


def test_nothing_heavy_is_imported_for_help() -> None:
    """What `--help` needs loads neither rich nor asyncio, aiohttp and the like."""
    code = """
import sys
from matrix_resolve.cli import parsing
print(*sorted({"rich", "aiohttp", "aiodns", "asyncio", "ssl", "shtab"} & sys.modules.keys()))
"""
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert ended.stdout == "\n"


@pytest.mark.parametrize(
    ("given", "command", "names"),
    [
        ("a b", "resolve", ["a", "b"]),
        ("--json a explain", "resolve", ["a", "explain"]),
        ("--timeout 3 explain a --json b", "explain", ["a", "b"]),
        ("--timeout=3 --json explain a b", "explain", ["a", "b"]),
        ("--time 3 explain --json a b", "explain", ["a", "b"]),
        ("a --json --timeout 3 b", "resolve", ["a", "b"]),
        ("explain a --json -- --json -b", "explain", ["a", "--json", "-b"]),
        ("--json -- explain", "resolve", ["explain"]),
        ("explain -- -- a", "explain", ["--", "a"]),
    ],
)
def test_where_words_stand(given: str, command: str, names: list[str]) -> None:
    """Options come before, between and after names; after "--" all are names."""
    arguments = parse(given.split())
    assert (arguments.command, arguments.names) == (command, names)
    if "timeout" in given:
        assert (arguments.timeout, arguments.json) == (3, True)


async def test_demo_without_the_extra(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without the extra `testing` the demo says what to install; names resolve all the same."""
    monkeypatch.setattr("matrix_resolve.testing", matrix_resolve.testing)  # which is put back
    for name in list(sys.modules):
        if name.startswith(("matrix_resolve.testing", "matrix_resolve.cli.tour")):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "trustme", None)
    assert await asyncio.to_thread(main, ["demo"]) == 2
    assert "pip install 'matrix-resolve[testing]'" in capsys.readouterr().err
    assert await asyncio.to_thread(main, ["192.0.2.1"]) == 0
