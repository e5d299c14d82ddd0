"""`matrix-resolve bulk` as a process of its own: signals, pipes, terminals, and what it writes."""

import asyncio
import contextlib
import json
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from matrix_resolve.testing import DnsFault, LoopbackFederation

NAMES = 150
COMMAND = [sys.executable, "-m", "matrix_resolve"]
ROOM = 20_000
RUN = "import sys; from matrix_resolve.cli import main; sys.exit(main())"
WITHOUT_RICH = f"import sys; sys.modules['rich'] = None; {RUN}"
WITH_LITTLE_ROOM = (
    f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, ({ROOM}, {ROOM})); {RUN}"
)


class Bulk:
    """Starts the command, in a federation where each question takes a moment."""

    def __init__(self, federation: LoopbackFederation, directory: Path) -> None:
        self.federation = federation
        self.names = directory / "names"
        self.output = directory / "output"
        self.summary = directory / "summary"
        self._started: list[Process] = []

    async def start(self, *arguments: object, command: Any = COMMAND, **options: Any) -> Process:
        """Start it with these arguments."""
        reach = ("--nameserver", self.federation.nameserver, "--allow-private")
        environment = {**os.environ, "TERM": "xterm", "COLUMNS": "100"}
        options = {"stdin": PIPE, "stdout": PIPE, "stderr": PIPE, "env": environment, **options}
        process = await asyncio.create_subprocess_exec(
            *command, "bulk", *reach, *map(str, arguments), **options
        )
        self._started.append(process)
        return process

    async def run(self, *arguments: object, given: str = "") -> tuple[int | None, str, str]:
        """Return the exit status and both outputs."""
        process = await self.start(*arguments)
        out, err = await process.communicate(given.encode())
        return process.returncode, out.decode(), err.decode()

    def records(self) -> list[dict[str, Any]]:
        """Return what the output file holds."""
        return [json.loads(line) for line in self.output.read_bytes().splitlines()]

    async def has_lines(self, count: int) -> None:
        """Wait until the output file has so many lines."""
        while True:
            await asyncio.sleep(0.01)
            if self.output.exists() and self.output.read_bytes().count(b"\n") >= count:
                return

    async def aclose(self) -> None:
        """End what a failed test has left."""
        for process in self._started:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()


@pytest.fixture
async def bulk(loopback_federation: LoopbackFederation, tmp_path: Path) -> AsyncIterator[Bulk]:
    """The command, and a file with names of all kinds, some of them twice."""
    loopback_federation.add("srv.test", srv=[("a.test", 8450)])
    loopback_federation.add("old.test", legacy_srv=[("b.test", 8451)], addresses=["127.0.0.9"])
    bulk = Bulk(loopback_federation, tmp_path)
    names = [f"n{number}.test" for number in range(NAMES)]
    names[3:3] = ["srv.test", "n1.TEST", "[::1]", "bad..name", "", "# none", "N2.test"]
    bulk.names.write_text("\n".join(names))
    yield bulk
    await bulk.aclose()


@pytest.mark.parametrize(
    ("number", "status"),
    [(signal.SIGKILL, -signal.SIGKILL), (signal.SIGINT, 130), (signal.SIGTERM, 130)],
)
async def test_each_name_once_after_a_signal(bulk: Bulk, number: int, status: int) -> None:
    """A run that is ended in the middle and resumed has each name once; what it had, it kept."""
    bulk.federation.dns_delay = 0.02
    common = (bulk.names, "--output", bulk.output, "--summary", bulk.summary, "--concurrency", 9)
    process = await bulk.start(*common)
    await bulk.has_lines(40)
    process.send_signal(number)
    _, err = await process.communicate()
    assert process.returncode == status
    lines = bulk.output.read_bytes().splitlines(keepends=True)
    assert 40 <= len(lines) < NAMES
    if number == signal.SIGKILL:
        os.truncate(bulk.output, bulk.output.stat().st_size - len(lines[-1]) // 2)
        del lines[-1]
    else:
        first = json.loads(bulk.summary.read_text())
        assert (first["names"], first["interrupted"]) == (len(lines), True)
        assert b"; interrupted\n" in err
        assert b"Traceback" not in err
    resumed, _, told = await bulk.run(*common, "--resume")
    assert resumed == 0
    assert bulk.output.read_bytes().startswith(b"".join(lines))
    names = sorted(record["server_name"].lower() for record in bulk.records())
    wanted = [f"n{number}.test" for number in range(NAMES)]
    assert names == sorted([*wanted, "srv.test", "[::1]", "bad..name"])
    summary = json.loads(bulk.summary.read_text())
    assert (summary["names"], summary["earlier"]) == (NAMES + 3, len(lines))
    assert (summary["steps"]["4"], summary["interrupted"]) == (1, False)
    assert f"{NAMES + 3} with those of earlier runs" in told


async def test_what_a_record_holds(bulk: Bulk) -> None:
    """It is the resolution with its duration and, if wanted, the endpoints; or the error."""
    given = "srv.test\nold.test\nbad..name\nno.test\ngone.test:8448"
    bulk.federation.add("no.test", srv=[(".", 0)])
    bulk.federation.add("a.test", addresses=["127.0.0.8"])
    status, out, err = await bulk.run("--endpoints", "--summary", bulk.summary, given=given)
    records = {record["server_name"]: record for record in map(json.loads, out.splitlines())}
    assert (status, [*map(len, (records, out.splitlines()))]) == (0, [5, 5])
    assert all(record["version"] == 1 and record["duration"] >= 0 for record in records.values())
    assert records["srv.test"]["step"] == "4"
    assert records["srv.test"]["endpoints"] == [
        {"address": "127.0.0.8", "port": 8450, "target": "a.test"}
    ]
    assert (records["old.test"]["step"], "error" in records["old.test"]) == ("5", False)
    assert records["gone.test:8448"]["step"] == "2"
    assert records["gone.test:8448"]["error"]["type"] == "AddressLookupError"
    assert records["no.test"]["error"]["type"] == "ServiceNotOfferedError"
    summary = json.loads(bulk.summary.read_text())
    steps = {step: count for step, count in summary["steps"].items() if count}
    assert steps == {"2": 1, "4": 1, "5": 1}
    assert (summary["legacy_srv_only"], len(summary["slowest"])) == (1, 5)
    assert summary["errors"] == {
        "AddressLookupError": 1,
        "InvalidServerNameError": 1,
        "ServiceNotOfferedError": 1,
    }
    assert "legacy SRV only  1 " in err


async def test_a_degraded_answer_is_counted(bulk: Bulk) -> None:
    """So is one in which an SRV lookup failed."""
    bulk.federation.add("dns.test", dns={"SRV": DnsFault.SERVFAIL})
    status, _, err = await bulk.run("--summary", bulk.summary, given="dns.test")
    assert (status, json.loads(bulk.summary.read_text())["degraded"]) == (0, 1)
    assert "stale, degraded  0, 1" in err


async def test_checks(bulk: Bulk) -> None:
    """With --check a record is a report, and the summary tells of reach and findings."""
    given = "srv.test\nbad..name\n"
    status, out, err = await bulk.run("--check", "--summary", bulk.summary, given=given)
    assert status == 0
    records = {record["server_name"]: record for record in map(json.loads, out.splitlines())}
    assert records["bad..name"]["error"]["type"] == "InvalidServerNameError"
    report = records["srv.test"]
    assert (report["version"], report["exit_status"], report["duration"] > 0) == (1, 1, True)
    codes = {finding["code"] for finding in report["findings"]}
    summary = json.loads(bulk.summary.read_text())
    assert summary["findings"] == dict.fromkeys(sorted(codes), 1)
    assert summary["reachable"] == {report["answers"]["reachable"]["answer"]: 1}
    assert (summary["steps"]["4"], summary["errors"]) == (1, {"InvalidServerNameError": 1})
    assert "  finding  " in err


async def test_names_are_read_as_they_come(bulk: Bulk) -> None:
    """A name from a pipe is looked up and told while the next one is not there yet."""
    process = await bulk.start()
    assert process.stdin is not None
    assert process.stdout is not None
    for name in ("a.test:1", "b.test:1"):
        process.stdin.write(f"{name}\n".encode())
        assert json.loads(await process.stdout.readline())["server_name"] == name
    process.stdin.close()
    assert await process.wait() == 0
    await process.communicate()


async def test_it_ends_while_it_waits_for_names(bulk: Bulk) -> None:
    """Who types names ends it by Ctrl-C, and has the summary."""
    process = await bulk.start()
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(b"a.test:1\n")
    await process.stdout.readline()
    process.send_signal(signal.SIGINT)
    assert process.stderr is not None
    assert b"1 names in" in await process.stderr.read()
    assert await process.wait() == 130
    process.stdin.close()


async def test_a_broken_pipe_is_quiet(bulk: Bulk) -> None:
    """Who reads no further ends it; nothing is said of that."""
    process = await bulk.start(bulk.names, "--concurrency", 2)
    assert process.stdout is not None
    await process.stdout.readline()
    process.stdout._transport.close()  # type: ignore[attr-defined]
    assert process.stderr is not None
    assert await process.stderr.read() == b""
    assert await process.wait() == 128 + signal.SIGPIPE


async def test_a_full_disk(bulk: Bulk) -> None:
    """It is told, with status 1; nothing follows the line that was torn, so it can be resumed."""
    common = (bulk.names, "--output", bulk.output)
    process = await bulk.start(*common, command=[sys.executable, "-c", WITH_LITTLE_ROOM])
    _, err = await process.communicate()
    assert (process.returncode, err) == (1, b"matrix-resolve: [Errno 27] File too large\n")
    *_, torn = bulk.output.read_bytes().split(b"\n")
    assert bulk.output.stat().st_size == ROOM
    assert torn
    resumed, _, _ = await bulk.run(*common, "--resume")
    assert resumed == 0
    assert len({record["server_name"].lower() for record in bulk.records()}) == NAMES + 3


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        (lambda bulk: [bulk.names, "--resume"], "--resume needs the --output"),
        (lambda bulk: [bulk.names, "--output", bulk.names], "is not empty: --resume goes on"),
        (lambda bulk: [bulk.names, "--output", bulk.names, "--resume"], "line 1: no line of an"),
        (lambda bulk: [bulk.names, "--output", os.devnull, "--resume"], "no file to go on with"),
        (lambda bulk: [bulk.names, "--output", bulk.names / "x"], "the output can't be written"),
        (lambda bulk: [bulk.names, "--summary", bulk.names / "x"], "the summary can't be written"),
        (lambda bulk: [bulk.output], "the names can't be read: "),
        (lambda bulk: [bulk.names.parent], "is a directory"),
        (lambda bulk: [bulk.names, "--concurrency", 0], "'0' is not a number from 1 to 10000"),
    ],
)
async def test_wrong_usage(bulk: Bulk, arguments: Callable[[Bulk], list[Any]], fault: str) -> None:
    """Wrong usage is told before anything is done, with status 2; no file is changed."""
    before = bulk.names.read_bytes()
    status, out, err = await bulk.run(*arguments(bulk))
    assert (status, out) == (2, "")
    assert fault in err
    assert bulk.names.read_bytes() == before


@pytest.mark.parametrize("command", [COMMAND, [sys.executable, "-c", WITHOUT_RICH]])
@pytest.mark.parametrize("given", ["file", "pipe"])
async def test_the_bar(bulk: Bulk, command: list[str], given: str) -> None:
    """A terminal shows a bar, if rich is there; the time left where the names can be counted."""
    bulk.federation.dns_delay = 0.01
    ours, theirs = os.openpty()
    names = bulk.names if given == "file" else "-"
    try:
        process = await bulk.start(names, "--output", bulk.output, command=command, stderr=theirs)
    finally:
        os.close(theirs)
    reading = asyncio.create_task(asyncio.to_thread(_all_of, ours))
    await process.communicate(bulk.names.read_bytes() if given == "pipe" else None)
    err = await reading
    assert process.returncode == 0
    assert f"{NAMES + 3} names in " in err
    assert ("/s" in err.partition(" names in ")[0]) == (command is COMMAND)
    assert (" left" in err) == (command is COMMAND and given == "file")


def _all_of(descriptor: int) -> str:
    read = b""
    with contextlib.suppress(OSError):  # so the end of a terminal is told
        while piece := os.read(descriptor, 65536):
            read += piece
    os.close(descriptor)
    return read.decode()
