"""`matrix-resolve check`: what it prints, in which form, and how it ends."""

import asyncio
import io
import json
import re
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from homeservers import homeserver
from prometheus_client.parser import text_string_to_metric_families
from rich.console import Console
from signing import SigningKey

from matrix_resolve.checking.findings import CATALOGUE
from matrix_resolve.checking.report import Report
from matrix_resolve.cli import main
from matrix_resolve.cli.check_output import tap
from matrix_resolve.cli.check_progress import Progress
from matrix_resolve.cli.check_view import view
from matrix_resolve.cli.check_watch import changes, watch
from matrix_resolve.cli.connect_to import Place, hosts, to_dial
from matrix_resolve.cli.parsing import parse
from matrix_resolve.testing import Certificate, LoopbackFederation

NAME = "example.org"
Ran = tuple[int, str, str]


class Command:
    """Runs `matrix-resolve check` in a thread, so that the federation can answer it."""

    def __init__(
        self, federation: LoopbackFederation, capsys: pytest.CaptureFixture[str], ca: Path
    ) -> None:
        self.federation = federation
        self._capsys = capsys
        ca.write_bytes(federation.ca_pem)
        self._ca = ca

    def reach(self, *names: str) -> list[str]:
        """Return the arguments that lead to hosts, at the ports of documents and of federation."""
        places = []
        for name in names:
            for port in (443, 8448):
                ip, to = self.federation.connect_to[name, port]
                places += ["--connect-to", f"{name}:{port}:{ip}:{to}"]
        return [*places, "--nameserver", self.federation.nameserver, "--ca", str(self._ca)]

    async def __call__(self, *arguments: str) -> Ran:
        """Return the exit status, and what was printed to the two outputs."""
        names = [word for word in arguments if re.fullmatch(r"[a-z.]+\.org", word)]
        status = await asyncio.to_thread(_status, ["check", *self.reach(*names), *arguments])
        return (status, *self._capsys.readouterr())


def _status(argv: list[str]) -> int:
    try:
        return main(argv)
    except SystemExit as stop:
        return int(stop.code or 0)


@pytest.fixture
def command(
    loopback_federation: LoopbackFederation, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Command:
    """The command, with a good server and one whose certificate is for another name."""
    loopback_federation.add(NAME, serves=homeserver(NAME))
    loopback_federation.add(
        "bad.example.org",
        serves=homeserver("bad.example.org"),
        certificate=Certificate.WRONG_NAME,
    )
    return Command(loopback_federation, capsys, tmp_path / "ca.pem")


async def test_answers_come_first(command: Command) -> None:
    """A good server: the three answers at the top, status 0."""
    status, out, err = await command(NAME)
    assert (status, err) == (0, "")
    lines = out.splitlines()
    assert lines[0] == NAME
    assert lines[2:4] == [
        "Can other servers reach you?",
        f"    Yes: Loopback 1.0 answers at {NAME}:8448.",
    ]
    assert "Do you need delegation?" in lines
    assert "What should you change?" in lines


async def test_errors_are_status_1(command: Command) -> None:
    """Of several names each has its report, and the gravest status counts."""
    status, out, _ = await command(NAME, "bad.example.org")
    assert status == 1
    assert out.index(f"{NAME}\n") < out.index("bad.example.org\n") < out.index("tls-wrong-name")


async def test_json(command: Command) -> None:
    """An object a line for each name, in the order given."""
    status, out, _ = await command("--json", "bad.example.org", NAME)
    first, second = map(json.loads, out.splitlines())
    assert (status, first["server_name"], second["server_name"]) == (1, "bad.example.org", NAME)
    assert (first["version"], first["exit_status"], second["exit_status"]) == (1, 1, 0)
    assert [each["code"] for each in first["findings"] if each["level"] == "error"] == [
        "tls-wrong-name"
    ]


async def test_tap(command: Command) -> None:
    """A test for each code; what was found fails it."""
    status, out, _ = await command("--tap", "bad.example.org")
    assert status == 1
    lines = out.splitlines()
    assert lines[0] == "TAP version 14"
    tests = [line for line in lines if re.match(r"(not )?ok \d+ - ", line)]
    assert [int(re.sub(r"\D*(\d+) - .*", r"\1", line)) for line in tests] == [
        *range(1, len(tests) + 1)
    ]
    assert lines[-1] == f"1..{len(tests)}"
    failed = [line for line in tests if line.startswith("not ok") and "# TODO" not in line]
    assert [line.split()[-1] for line in failed] == ["tls-wrong-name"]


async def test_prometheus(command: Command, tmp_path: Path) -> None:
    """What a textfile collector reads: status, findings, certificate, keys."""
    path = tmp_path / "matrix.prom"
    await command("--prometheus", str(path), NAME, "bad.example.org")
    samples = {
        (sample.name.removeprefix("matrix_resolve_check_"), *sorted(sample.labels.values())): (
            sample.value
        )
        for family in text_string_to_metric_families(path.read_text())
        for sample in family.samples
    }
    assert (samples["status", NAME], samples["status", "bad.example.org"]) == (0, 1)
    assert samples["finding", "bad.example.org", "error", "tls-wrong-name"] == 1
    assert samples["findings", "bad.example.org", "error"] == 1
    assert samples["endpoint_up", "127.0.0.1", "8448", NAME] == 1
    assert samples["endpoint_up", "127.0.0.1", "8448", "bad.example.org"] == 0
    assert samples["certificate_end_seconds", "127.0.0.1", "8448", NAME] > 3e10
    assert samples["keys_valid_until_seconds", "127.0.0.1", "8448", NAME] > 1e9
    assert samples["software_info", "1.0", "127.0.0.1", "8448", "Loopback", NAME] == 1
    left = await asyncio.to_thread(lambda: sorted(each.name for each in tmp_path.iterdir()))
    assert left == ["ca.pem", "matrix.prom"]


async def test_expect_closed(command: Command) -> None:
    """A server that was to be private and answers is the error; one that is closed is good."""
    command.federation.add("closed.example.org", ports=())
    status, out, _ = await command("--expect-closed", NAME)
    assert (status, "federation-open" in out) == (1, True)
    assert (await command("--expect-closed", "closed.example.org"))[0] == 0


async def test_nothing_can_be_told(command: Command) -> None:
    """When our DNS says nothing that is no fault of the server's."""
    command.federation.dns_down = True
    status, out, _ = await command("--timeout", "3", "elsewhere.invalid")
    assert status == 3
    assert "can't be told" in out


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("https://example.org/", "did you mean 'example.org'"),
        ("@alice:example.org", "did you mean 'example.org'"),
    ],
)
async def test_what_is_no_server_name(command: Command, given: str, told: str) -> None:
    """Wrong usage, with a word on what to write instead."""
    status, out, err = await command("--", given)
    assert (status, out) == (2, "")
    assert told in err


def test_codes_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    """`--list` needs no name."""
    assert _status(["check", "--list"]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == [*CATALOGUE]


PLACES = [
    # as given, host, port, address, port
    ("example.org:8448:192.0.2.7:443", "example.org", 8448, "192.0.2.7", 443),
    ("Example.ORG:443:[2001:db8::7]:8443", "example.org", 443, "2001:db8::7", 8443),
    ("[2001:db8::1]:8448:192.0.2.7:8448", "2001:db8::1", 8448, "192.0.2.7", 8448),
]


@pytest.mark.parametrize(("given", "host", "port", "address", "to_port"), PLACES)
def test_where_to_connect_to(given: str, host: str, port: int, address: str, to_port: int) -> None:
    """As curl's option, with IPv6 in brackets."""
    arguments = parse(["check", "--connect-to", given, NAME])
    assert arguments.connect_to == [Place(host, port, ip_address(address), to_port)]


@pytest.mark.parametrize(
    "given", ["", "a:1:b:2", "a:1:192.0.2.1", "a:192.0.2.1:2", "a:1:192.0.2.1:99999", "a:1:::1:2"]
)
def test_where_nobody_can_connect_to(given: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Anything else is wrong usage."""
    with pytest.raises(SystemExit):
        parse(["check", "--connect-to", given, NAME])
    assert "HOST:PORT:ADDRESS:PORT" in capsys.readouterr().err


def test_places_of_one_host() -> None:
    """Ports of one host may be at several addresses; IP literals need no lookup."""
    one, other, third = map(ip_address, ("192.0.2.1", "192.0.2.2", "192.0.2.3"))
    places = [
        Place("a", 1, one, 5),
        Place("a", 2, one, 6),
        Place("a", 3, other, 7),
        Place("192.0.2.9", 1, third, 8),
    ]
    assert hosts(places) == {"a": [one, other]}
    assert to_dial(places)["a", 2] == ("192.0.2.1", 6)


async def report_of(federation: LoopbackFederation) -> Report:
    """The report on the server of a federation."""
    from matrix_resolve.checking.checker import open_checker
    from matrix_resolve.core.addresses import AddressPolicy

    async with open_checker(
        nameservers=[federation.nameserver],
        ssl_context=federation.client_ssl_context(),
        connect_to=federation.connect_to,
        address_policy=AddressPolicy.allow_all(),
    ) as checker:
        return await checker.check(NAME)


async def test_what_comes_and_goes(loopback_federation: LoopbackFederation) -> None:
    """Keys, certificate, delegation and findings that change are told, and nothing else."""
    loopback_federation.add(NAME, serves=homeserver(NAME), addresses=["127.0.0.1"])
    before = await report_of(loopback_federation)
    assert [*changes(before, await report_of(loopback_federation))] == []
    loopback_federation.add(
        NAME,
        delegates_to="hs.example.org:443",
        serves=homeserver(NAME, SigningKey("b_2")),
        addresses=["127.0.0.1"],
    )
    now = await report_of(loopback_federation)
    told = [*changes(before, now)]
    assert "- delegation: none" in told
    assert "+ delegation: to hs.example.org:443" in told
    assert any(line.startswith("- keys: ed25519:a_1") for line in told)
    assert any(line.startswith("+ error keys-") for line in told)


async def test_watching(
    loopback_federation: LoopbackFederation, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each change is printed with the moment; it goes on until it is ended."""
    loopback_federation.add(NAME, serves=homeserver(NAME))
    good = await report_of(loopback_federation)
    loopback_federation.add(NAME, serves=homeserver(NAME), certificate=Certificate.EXPIRED)
    bad = await report_of(loopback_federation)
    coming = iter([[good], [bad], [bad], [good]])

    async def check() -> list[Report]:
        try:
            return next(coming)
        except StopIteration:
            raise KeyboardInterrupt from None

    with pytest.raises(KeyboardInterrupt):
        await watch(check, [good], 0.001, None)
    lines = capsys.readouterr().out.splitlines()
    kinds = [line.split(": ", 1)[1][0] for line in lines if "tls-expired" in line]
    assert kinds == ["+", "-"]
    assert all(re.match(rf"\d{{4}}-\d\d-\d\d \d\d:\d\d:\d\d {NAME}: ", line) for line in lines)


HOSTILE = "\x1b[31mred\u202etxet\x07\n::error::"


async def test_hostile_text_reaches_no_terminal(loopback_federation: LoopbackFederation) -> None:
    """Whatever a server says, what is printed is printable ASCII, but for our own lines."""

    def serves(request: Any) -> Any:
        return {
            "server": {"name": HOSTILE, "version": HOSTILE},
            "server_name": HOSTILE,
            "verify_keys": {HOSTILE: {"key": HOSTILE}},
            "m.homeserver": {"base_url": HOSTILE},
        }

    loopback_federation.add(NAME, well_known={"m.server": HOSTILE}, serves=serves)
    report = await report_of(loopback_federation)
    out = io.StringIO()
    Console(file=out, width=100, color_system=None).print(view(report))
    drawn = set("├└│─")
    printed = [str(report), out.getvalue(), "\n".join(tap([report])), json.dumps(report.to_dict())]
    for text in printed:
        odd = {char for char in text if not (" " <= char <= "~" or char == "\n")} - drawn
        assert odd == set()
        assert "\n::error" not in text


@pytest.mark.parametrize("width", [80, 120])
async def test_it_fits(loopback_federation: LoopbackFederation, width: int) -> None:
    """Nothing is cut, and no line is longer than the terminal is wide."""
    loopback_federation.add(NAME, serves=homeserver(NAME), certificate=Certificate.WRONG_NAME)
    report = await report_of(loopback_federation)
    out = io.StringIO()
    Console(file=out, width=width, color_system=None).print(view(report))
    lines = out.getvalue().splitlines()
    assert max(map(len, lines)) <= width
    assert "…" not in out.getvalue()
    for finding in report.findings:
        assert finding.code in out.getvalue()


def test_progress() -> None:
    """What is under way is shown, a few lines of it, hostile names escaped."""
    progress = Progress()
    progress.tell(NAME, [f"connecting to \x1b[31m{n}" for n in range(20)])
    out = io.StringIO()
    Console(file=out, width=80, color_system=None).print(progress)
    lines = out.getvalue().splitlines()
    assert lines[0].startswith("checking for 0 s")
    assert lines[-1] == "  and 14 more"
    assert "\x1b" not in out.getvalue()
