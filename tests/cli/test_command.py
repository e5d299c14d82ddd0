"""The command line, against the DNS server of a loopback federation."""

import asyncio
import io
import json
import subprocess
import sys

import pytest
from command_line import Command

from matrix_resolve.cli import main
from matrix_resolve.testing import DnsFault


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


async def test_a_nameserver_that_says_nothing(command: Command) -> None:
    """--timeout bounds the whole, and a lookup that failed is told as degraded."""
    command.federation.dns_faults["*", "*"] = DnsFault.SILENT
    status, out, _ = await asyncio.wait_for(command("--timeout", "0.6", "silent.example"), 10)
    assert (status, "(step 6, degraded)" in out) == (0, True)


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
