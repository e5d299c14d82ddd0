"""`matrix-resolve serve`: what it prints, and what it serves for a try."""

import asyncio
import json
import re
import signal
import socket
import sys
from typing import Any

import aiohttp
import pytest

from matrix_resolve.cli import main
from matrix_resolve.serving import Program, plan_setup, site_snippet

NAME = "example.org"
SERVER, CLIENT = "/.well-known/matrix/server", "/.well-known/matrix/client"
SUPPORT = "/.well-known/matrix/support"


def serve(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    """Run the command; return its exit status, and what was printed to the two outputs."""
    try:
        status = main(["serve", *arguments])
    except SystemExit as stop:
        status = int(stop.code or 0)
    return (status, *capsys.readouterr())


def served(capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    """Run the command with `--json`; return what it has told."""
    status, out, err = serve(capsys, *arguments, "--json")
    assert (status, err, out.count("\n")) == (0, "", 1)
    return json.loads(out)


def test_all_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    """Whether, what, where, and how with each program, the text as the library gives it."""
    status, out, err = serve(capsys, NAME, "--homeserver", "http://127.0.0.1:8008")
    assert (status, err) == (0, "")
    setup = plan_setup(NAME, homeserver="http://127.0.0.1:8008")
    assert out.startswith(f"{setup.reason}\n\nhttps://{NAME}{SERVER}\n")
    for document in setup.documents:
        assert f"https://{NAME}{document.path}\n" in out
        assert f"\n\n    {document.body.decode()}\n" in out
        for name, value in document.headers:
            assert f"    {name}: {value}\n" in out
    for program in Program:
        snippet = site_snippet(program, setup)
        assert f"\n--- {program.label}: {snippet.path}\n" in out
        assert snippet.text in out
    assert '# /var/www/matrix/example.org/server.json holds: {"m.server": "example.org:443"}' in out
    assert out.endswith("\n")
    assert not out.endswith("\n\n")


@pytest.mark.parametrize(
    ("arguments", "programs"),
    [
        ((), [program.value for program in Program]),
        (("--for", "nginx"), ["nginx"]),
        (("--for", "haproxy", "--for", "caddy", "--for", "haproxy"), ["haproxy", "caddy"]),
    ],
)
def test_snippets_that_are_asked_for(
    capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], programs: list[str]
) -> None:
    """All of them, or those that are named, once each."""
    told = served(capsys, NAME, *arguments)
    assert [snippet["program"] for snippet in told["snippets"]] == programs


def test_json(capsys: pytest.CaptureFixture[str]) -> None:
    """One object with all of it."""
    told = served(capsys, NAME, "--delegate-to", "hs.example.org:443", "--for", "apache")
    assert (told["version"], told["server_name"]) == (1, NAME)
    assert told["delegation"]["needed"] is True
    server, client = told["documents"]
    assert server == {
        "url": f"https://{NAME}{SERVER}",
        "path": SERVER,
        "headers": [
            ["Content-Type", "application/json"],
            ["Cache-Control", "max-age=86400"],
            ["Access-Control-Allow-Origin", "*"],
        ],
        "body": '{"m.server": "hs.example.org:443"}',
    }
    assert json.loads(client["body"]) == {"m.homeserver": {"base_url": "https://hs.example.org"}}
    (snippet,) = told["snippets"]
    assert snippet["path"].startswith("/etc/apache2/")
    assert snippet["files"][0] == {
        "path": "/var/www/matrix/example.org/server.json",
        "content": server["body"],
    }


@pytest.mark.parametrize(
    ("arguments", "needed", "told", "paths"),
    [
        ((NAME,), True, "Delegation is needed unless", [SERVER, CLIENT]),
        ((NAME, "--delegate-to", NAME), False, "No delegation is needed", [SERVER, CLIENT]),
        ((f"{NAME}:8448",), False, "No delegation is possible", [CLIENT]),
        (("[2001:db8::1]",), False, "No delegation is possible", [CLIENT]),
    ],
)
def test_whether_delegation_is_needed(
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
    needed: bool,
    told: str,
    paths: list[str],
) -> None:
    """It is said first, and where nobody asks for the document there is none."""
    assert serve(capsys, *arguments)[1].startswith(told)
    answer = served(capsys, *arguments)
    assert answer["delegation"]["needed"] is needed
    assert answer["delegation"]["reason"].startswith(told)
    assert [document["path"] for document in answer["documents"]] == paths


def test_support(capsys: pytest.CaptureFixture[str]) -> None:
    """Contacts of each kind, and a page, make one more document; in ASCII where it is shown."""
    arguments = [NAME, "--admin", "@me:example.net", "--security", "żółw@example.net"]
    arguments += ["--admin", "me@example.net", "--support-page", "https://example.org/help"]
    support = served(capsys, *arguments)["documents"][2]
    assert support["path"] == SUPPORT
    assert json.loads(support["body"]) == {
        "contacts": [
            {"matrix_id": "@me:example.net", "role": "m.role.admin"},
            {"email_address": "me@example.net", "role": "m.role.admin"},
            {"email_address": "żółw@example.net", "role": "m.role.security"},
        ],
        "support_page": "https://example.org/help",
    }
    _, out, _ = serve(capsys, *arguments)
    assert out.isascii()
    assert r"\u017c\u00f3\u0142w@example.net" in out


def test_where_clients_go(capsys: pytest.CaptureFixture[str]) -> None:
    """The URL that they are told can be given."""
    told = served(capsys, NAME, "--client-url", "https://chat.example.org")
    assert told["documents"][1]["body"] == (
        '{"m.homeserver": {"base_url": "https://chat.example.org"}}'
    )


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ((), "required: NAME"),
        ((NAME, "other.example"), "unrecognized arguments: other.example"),
        (("https://example.org",), "did you mean 'example.org'?"),
        ((NAME, "--delegate-to", "https://hs.example.org/"), "did you mean 'hs.example.org:443'?"),
        ((NAME, "--homeserver", "127.0.0.1:8008"), "homeserver '127.0.0.1:8008' does not begin"),
        ((NAME, "--homeserver", "http://a/_matrix"), "has more than a host and a port"),
        ((NAME, "--client-url", "hs"), "does not begin with https://"),
        ((NAME, "--admin", "me"), "email_address 'me' is no address"),
        ((NAME, "--security", "@me"), "matrix_id '@me' is no user ID"),
        ((NAME, "--support-page", "help"), "support_page 'help' does not begin"),
        ((NAME, "--for", "iis"), "invalid choice: 'iis'"),
        ((NAME, "--listen", "65536"), "is not a port"),
        ((NAME, "--listen", "http"), "is not a port"),
        ((NAME, "--bind", "::"), "--bind is for --listen"),
        ((NAME, "--delegate-to", "\x1b[31m"), "\\x1b[31m"),
        ((NAME, *("--admin", "a@example.org") * 100), "too long for a configuration"),
    ],
)
def test_wrong_usage(
    capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], reason: str
) -> None:
    """What can't be meant is told with the usage, and nothing else is printed."""
    status, out, err = serve(capsys, *arguments)
    assert (status, out) == (2, "")
    assert err.startswith("usage: matrix-resolve serve ")
    assert reason in err.splitlines()[-1]
    assert "\x1b" not in err


def test_all_programs_can_be_named() -> None:
    """The command offers just the programs that there are snippets for."""
    from matrix_resolve.cli.serve import _PROGRAMS

    assert tuple(_PROGRAMS) == tuple(Program)


class Listening:
    """`matrix-resolve serve --listen 0` in a process of its own."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.told = ""

    async def until(self, pattern: str) -> str:
        """Read what it prints until the pattern is there; return what matches it."""
        assert self._process.stdout is not None
        while not (found := re.search(pattern, self.told)):
            line = await self._process.stdout.readline()
            assert line, self.told
            self.told += line.decode()
        return found[0]

    async def interrupted(self) -> tuple[int, str]:
        """End it by Ctrl-C; return the exit status and what it complained of."""
        self._process.send_signal(signal.SIGINT)
        out, err = await self._process.communicate()
        self.told += out.decode()
        assert self._process.returncode is not None
        return self._process.returncode, err.decode()


async def listening(*arguments: str) -> Listening:
    """Start the command on a free port."""
    command = [sys.executable, "-m", "matrix_resolve", "serve", *arguments, "--listen", "0"]
    pipe = asyncio.subprocess.PIPE
    return Listening(await asyncio.create_subprocess_exec(*command, stdout=pipe, stderr=pipe))


async def test_listen() -> None:
    """The documents are served as they are until Ctrl-C; requests are told, and made harmless."""
    setup = plan_setup(NAME, "hs.example.org:443")
    command = await listening(NAME, "--delegate-to", "hs.example.org:443")
    try:
        base = await command.until(r"http://127\.0\.0\.1:\d+")
        await command.until("This is plain HTTP.*\n.*certificate for example.org")
        async with aiohttp.ClientSession() as session:
            for document in setup.documents:
                async with session.get(base + document.path) as response:
                    assert (response.status, await response.read()) == (200, document.body)
                    for name, value in document.headers:
                        assert response.headers.getall(name) == [value]
            async with session.options(base + CLIENT) as response:
                assert response.status == 204
            async with session.get(f"{base}/%1b[31m?\u202e") as response:
                assert response.status == 404
        await command.until(r"GET /\S* 404\n")
    finally:
        status, err = await command.interrupted()
    assert (status, err) == (130, "")
    assert f"GET {SERVER} 200\n" in command.told
    assert f"OPTIONS {CLIENT} 204\n" in command.told
    assert "---" not in command.told  # no snippets
    assert command.told.replace("\n", "").isprintable()
    assert command.told.isascii()


async def test_listen_with_json() -> None:
    """Nothing but the object is printed."""
    command = await listening("[::1]", "--json")
    try:
        told = json.loads(await command.until(r"\{.*\n"))
    finally:
        status, err = await command.interrupted()
    assert (status, err) == (130, "")
    assert told["snippets"] == []
    assert command.told.count("\n") == 1


def test_a_port_that_is_taken(capsys: pytest.CaptureFixture[str]) -> None:
    """It is told in a line."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        status, _, err = serve(capsys, NAME, "--listen", str(taken.getsockname()[1]))
    assert status == 1
    assert err.startswith("matrix-resolve: ")
    assert "address already in use" in err
    assert err.count("\n") == 1
