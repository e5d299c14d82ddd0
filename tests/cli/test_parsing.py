"""What the words of a command line mean."""

import re
import shlex
import ssl
import subprocess
import sys
from pathlib import Path

import pytest
import trustme
from command_line import exit_status

import matrix_resolve.testing
from matrix_resolve.cli.parsing import COMMANDS, parse


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
        (["--ca", "/nowhere", "a"], "'/nowhere' can't be used: No such file or directory"),
        (["--ca", "/dev/null", "a"], "'/dev/null' can't be used: no certificate"),
        (["--frobnicate", "a"], "unrecognized arguments"),
    ],
)
def test_wrong_usage(
    arguments: list[str], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Wrong usage is told on the error output, with status 2."""
    assert exit_status(arguments) == 2
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
    assert exit_status(given.split()) == 2
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


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_has_help_with_examples(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """`COMMAND --help` ends in examples, each of which is a command line that is understood."""
    for arguments in ([command, "--help"], ["--help", command]):
        assert exit_status(arguments) == 0
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
        assert exit_status(arguments) == 0
        told = capsys.readouterr().out
        for name, command in COMMANDS.items():
            summary = " ".join(told.partition(f"\n    {name} ")[2].split())
            assert summary.startswith(command.SUMMARY)


@pytest.mark.parametrize("arguments", [["--version"], ["explain", "--version"]])
def test_version(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """`--version` tells which."""
    assert exit_status(arguments) == 0
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
