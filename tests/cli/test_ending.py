"""How the command ends: pipes that nobody reads, full disks, interrupts."""

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from matrix_resolve.testing import DnsFault, LoopbackFederation


def run_with_output_to(output: int, arguments: list[str]) -> tuple[int, bytes]:
    """Return the exit status and what is told on the error output.

    The output is buffered, so that something is left to be written at the end.
    """
    command = [sys.executable, "-W", "error", "-m", "matrix_resolve", *arguments]
    buffered = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    ended = subprocess.run(
        command, stdout=output, stderr=subprocess.PIPE, timeout=60, check=False, env=buffered
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
