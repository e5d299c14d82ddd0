"""`matrix-resolve bulk` over a loopback federation: its rate, its memory, and what a kill costs.

    python -m tests.benchmarks.bulk [--names 20000] [--rounds 3] [--concurrency N] [--json FILE]

Rate: by the clock, against a bare `gather` over `resolve()` of the same names in a process of its
own, in turn. Memory: resident, while the output grows. A kill: SIGKILL in the middle, the last
line cut in half, then `--resume`; each name must be there once. Exit status 1 if the rate is below
0.8 of that of `gather`, or a name is missing or there twice.
"""

import argparse
import json
import os
import random
import signal
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from attrs import define, field

from tests.benchmarks.network import Network, serving
from tests.benchmarks.network_server import ZONE

# Of a hundred names: nothing published but addresses, documents of all kinds, SRV records alone.
_MIX: Final = {
    "none": 45,
    "port": 25,
    "literal": 3,
    "dfed": 5,
    "dold": 2,
    "dnone": 5,
    "fed": 10,
    "old": 5,
}
_LEAST: Final = 0.8
_MIB: Final = 2**20
_ROOT: Final = Path(__file__).parents[2]


def names_of(count: int, seed: int) -> list[str]:
    """Return so many names of the mix."""
    kinds = random.Random(seed).choices(list(_MIX), list(_MIX.values()), k=count)
    return [f"{kind}-{number}.{ZONE}" for number, kind in enumerate(kinds)]


@define
class Run:
    """A worker under way."""

    process: "subprocess.Popen[str]"
    output: Path
    resident: list[tuple[int, float]] = field(factory=list)
    cpu: float = 0.0
    _read: int = 0
    _lines: int = 0

    def lines(self) -> int:
        """Return how many lines the output has; only what is new is read."""
        if self.output.exists():
            with self.output.open("rb") as file:
                file.seek(self._read)
                new = file.read()
            self._read += len(new)
            self._lines += new.count(b"\n")
        return self._lines

    def watch(self, until: Callable[[], bool]) -> None:
        """Note the resident memory, in MiB, by the lines that are there."""
        statm = Path(f"/proc/{self.process.pid}/statm")
        while not until():
            time.sleep(0.2)
            if statm.exists() and (figures := statm.read_text().split()):
                resident = int(figures[1]) * os.sysconf("SC_PAGE_SIZE") / _MIB
                if resident:
                    self.resident.append((self.lines(), resident))

    def has_ended(self) -> bool:
        """Return whether it has ended, and then take its CPU time."""
        if self.process.returncode is None:
            pid, status, usage = os.wait4(self.process.pid, os.WNOHANG)
            if pid:
                self.process.returncode = os.waitstatus_to_exitcode(status)
                self.cpu = usage.ru_utime + usage.ru_stime
        return self.process.returncode is not None


def started(network: Network, output: Path, *words: str) -> Run:
    """Start a worker."""
    told = json.dumps({"dns": network.dns, "web": network.web, "authority": network.authority})
    command = [sys.executable, "-m", "tests.benchmarks.bulk_worker", told, *words]
    return Run(subprocess.Popen(command, cwd=_ROOT, stdout=subprocess.PIPE, text=True), output)


def gathered(network: Network, names: Path) -> tuple[float, float]:
    """Return the seconds by the clock and of CPU time that a bare `gather` takes."""
    run = started(network, names, "gather", str(names))
    run.watch(run.has_ended)
    out, _ = run.process.communicate()
    return float(out), run.cpu


def bulked(
    network: Network, names: Path, output: Path, *options: str, kill_at: int | None = None
) -> tuple[dict[str, Any], Run]:
    """Return the summary of a run of the command, empty if it was killed."""
    summary = output.with_suffix(".summary")
    words = ("bulk", str(names), "--output", str(output), "--summary", str(summary), *options)
    run = started(network, output, *words)
    if kill_at is not None:
        run.watch(lambda: run.lines() >= kill_at or run.has_ended())
        run.process.send_signal(signal.SIGKILL)
    run.watch(run.has_ended)
    run.process.communicate()
    if kill_at is not None:
        return {}, run
    assert run.process.returncode == 0, run.process.returncode
    return json.loads(summary.read_text()), run


def killed_and_resumed(
    network: Network, names: Path, output: Path, count: int, options: list[str]
) -> dict[str, Any]:
    """Return what a run comes to that is killed in the middle, its last line torn."""
    _, run = bulked(network, names, output, *options, kill_at=count // 2)
    before = output.read_bytes()
    os.truncate(output, len(before) - len(before.splitlines()[-1]) // 2)
    kept = output.read_bytes().count(b"\n")
    summary, resumed = bulked(network, names, output, "--resume", *options)
    there = Counter(json.loads(line)["server_name"] for line in output.open())
    wanted = set(names.read_text().split())
    return {
        "status_of_the_killed": run.process.returncode,
        "lines_kept": kept,
        "lines_in_the_end": there.total(),
        "missing": len(wanted - set(there)),
        "more_than_once": sum(number > 1 for number in there.values()),
        "strange": len(set(there) - wanted),
        "earlier": summary["earlier"],
        "resident": resumed.resident,
    }


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    """Measure everything."""
    options = ["--concurrency", str(arguments.concurrency)] if arguments.concurrency else []
    rounds: list[dict[str, float]] = []
    with TemporaryDirectory() as directory, serving() as network:
        names = Path(directory, "names")
        names.write_text("\n".join(names_of(arguments.names, arguments.seed)))
        for number in range(arguments.rounds):
            clock, cpu = gathered(network, names)
            output = Path(directory, f"output-{number}")
            summary, run = bulked(network, names, output, *options)
            assert summary["names"] == run.lines() == arguments.names
            rounds.append(
                {
                    "gather": arguments.names / clock,
                    "bulk": arguments.names / summary["seconds"],
                    "gather_cpu": cpu / arguments.names * 1e6,
                    "bulk_cpu": run.cpu / arguments.names * 1e6,
                }
            )
            resident = run.resident
        killed = killed_and_resumed(
            network, names, Path(directory, "killed"), arguments.names, options
        )
    return {"rounds": rounds, "resident": resident, "killed": killed, "summary": summary}


def tell(figures: dict[str, Any], count: int) -> bool:
    """Print all figures; return whether they are as they must be."""
    for each in figures["rounds"]:
        print(
            f"gather {each['gather']:,.0f}/s, {each['gather_cpu']:,.0f} us of CPU a name;"
            f" bulk {each['bulk']:,.0f}/s, {each['bulk_cpu']:,.0f} us;"
            f" rate {each['bulk'] / each['gather']:.2f}"
        )
    rate = statistics.median(each["bulk"] / each["gather"] for each in figures["rounds"])
    print(f"rate against a bare gather, median: {rate:.2f} (at least {_LEAST})")
    cpu = statistics.median(each["gather_cpu"] / each["bulk_cpu"] for each in figures["rounds"])
    print(f"names for as much CPU time, against a bare gather, median: {cpu:.2f}")
    for part in (0.25, 0.5, 0.75, 1.0):
        sizes = [size for lines, size in figures["resident"] if lines <= part * count]
        print(f"resident at {part:4.0%} of the names: {sizes[-1] if sizes else 0:.0f} MiB")
    killed = figures["killed"]
    print(
        f"killed (status {killed['status_of_the_killed']}) and resumed: {killed['lines_kept']:,}"
        f" lines kept, {killed['lines_in_the_end']:,} in the end; missing {killed['missing']},"
        f" more than once {killed['more_than_once']}, strange {killed['strange']}"
    )
    whole = not (killed["missing"] or killed["more_than_once"] or killed["strange"])
    return whole and killed["lines_in_the_end"] == count and rate >= _LEAST


def main() -> int:
    """Measure and print; return the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--names", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--concurrency", type=int, help="of the command (its default)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures there")
    arguments = parser.parse_args()
    figures = measure(arguments)
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n")
    return 0 if tell(figures, arguments.names) else 1


if __name__ == "__main__":
    sys.exit(main())
