"""What a hostile server can take of `matrix-resolve check`: time, CPU, memory.

    python -m tests.benchmarks.hostile_check [--timeout 60] [--kind KIND ...]

For each kind of `tests/hostile_servers.py` the command checks a server with 64 endpoints. Prints
how long that took, the most memory that the process had beyond what the
check of a good server takes, and how it ended. Exit status 1 if a check was not over 5 s after its
deadline, took more than 50 MB, crashed, or printed anything but printable text.
"""

import argparse
import asyncio
import re
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from attrs import frozen

sys.path.insert(0, str(Path(__file__).parents[1]))  # as pytest has it

from homeservers import homeserver
from hostile_servers import KINDS, NAME, Kind, Running, running

_ROOT: Final = Path(__file__).parents[2]
_MOST: Final = 50.0  # MB
_GRACE: Final = 5.0  # seconds for starting, and for what comes after the deadline
_GOOD: Final = Kind(serves=homeserver(NAME))


@frozen
class Run:
    """How a check ended."""

    seconds: float
    megabytes: float
    status: int
    output: str


def _most_resident(pid: int) -> float:
    """Return the most that a process has had in memory, in MB; 0 if it has ended."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0.0
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    return int(found[1]) * 1024 / 1e6 if found else 0.0


def _run(there: Running, timeout: float, form: str) -> Run:
    """Run the command against a server."""
    with TemporaryDirectory() as folder:
        ca, out = Path(folder, "ca.pem"), Path(folder, "out")
        ca.write_bytes(there.ca_pem)
        ip, port = there.documents
        arguments = ["--nameserver", there.nameserver, "--allow-private", "--ca", str(ca)]
        arguments += ["--connect-to", f"{NAME}:443:{ip}:{port}", "--timeout", str(timeout), form]
        command = [sys.executable, "-m", "matrix_resolve", "check", *arguments, NAME]
        began, resident = time.monotonic(), 0.0
        with out.open("wb") as file:
            process = subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT, cwd=_ROOT)
            while process.poll() is None:
                resident = _most_resident(process.pid) or resident
                time.sleep(0.02)
        return Run(
            seconds=time.monotonic() - began,
            megabytes=resident,
            status=process.returncode,
            output=out.read_text(encoding="utf-8", errors="surrogateescape"),
        )


async def check(kind: Kind, timeout: float, form: str) -> Run:  # noqa: ASYNC109
    """Run the command against a server of a kind."""
    async with running(kind) as there:
        return await asyncio.to_thread(_run, there, timeout, form)


async def main() -> int:
    """Check each kind, and print what it took."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--timeout", type=float, default=60.0)
    parser.add_argument("--kind", action="append", choices=list(KINDS))
    parser.add_argument("--form", default="--json")
    arguments = parser.parse_args()
    good = await check(_GOOD, arguments.timeout, arguments.form)
    print(f"{'':28} {'seconds':>8} {'MB more':>8} {'status':>7}")
    print(f"{'a good server':28} {good.seconds:8.1f} {0:8.1f} {good.status:7}")
    failed = good.status not in (0, 1)
    for name in arguments.kind or KINDS:
        run = await check(KINDS[name], arguments.timeout, arguments.form)
        more = run.megabytes - good.megabytes
        text = run.output.replace("\n", "")
        bad = [
            word
            for word, is_bad in (
                ("late", run.seconds > arguments.timeout + _GRACE),
                ("large", more > _MOST),
                ("crashed", run.status not in (0, 1, 3)),
                ("unescaped", not (text.isascii() and text.isprintable())),
            )
            if is_bad
        ]
        failed |= bool(bad)
        print(
            f"{name:28} {run.seconds:8.1f} {more:8.1f} {run.status:7} {' '.join(bad)}",
            flush=True,
        )
    return int(failed)


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
