"""Measure everything that the package promises about speed and memory, and print one table.

    python -m tests.benchmarks [--only GROUP ...] [--rounds N] [--loop uvloop] [--json FILE]

Floors are measured in the same process and in turn with ours: look at the ratios, all else is the
machine's. Ratios are "min" (the least of ours over the least of the floor), and "median" and
"range" of the ratios of the rounds. A bound says which of them it holds.

`--against DIRECTORY` measures the package of another checkout in turn with this one's.

`--peers` names environments in which other resolvers are installed (resolvematrix, matrix-synapse),
one in each: interpreters, environments, or a directory of environments. Those called .venv-synapse
and .venv-resolvematrix beside this package need not be named.
"""

import argparse
import asyncio
import functools
import importlib
import json
import platform
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from attrs import evolve

from tests.benchmarks.figures import Figure, Scale, table

GROUPS: Final = (
    "cached",
    "cold",
    "own",
    "latency",
    "weight",
    "pauses",
    "kept",
    "pooled",
    "imports",
    "peers",
)
_ROOT: Final = Path(__file__).parents[2]
# Seconds. No group takes longer, whatever went wrong.
_LONGEST: Final = 1800.0
# Times that checkouts which are compared take turns.
_TURNS: Final = 3


def _loop_factory(name: str) -> Callable[[], asyncio.AbstractEventLoop]:
    if name == "uvloop":
        import uvloop

        factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
        return factory
    return asyncio.new_event_loop


def _measure(arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """Measure one group in this process, with the package of the checkout that is wanted."""
    sys.path.insert(0, str(arguments.checkout))
    import matrix_resolve

    assert Path(matrix_resolve.__file__).is_relative_to(arguments.checkout)
    scale = Scale(rounds=arguments.rounds, quick=arguments.quick, peers=tuple(arguments.peers))
    (group,) = arguments.only
    module = importlib.import_module(f"tests.benchmarks.{group}")
    with asyncio.Runner(loop_factory=_loop_factory(arguments.loop)) as runner:
        figures = runner.run(module.measure(scale))
    return [evolve(figure, is_quick=scale.quick).to_dict() for figure in figures]


def _measured(arguments: argparse.Namespace, group: str, rounds: int, root: Path) -> list[Figure]:
    """Measure one group in a process of its own; if that fails, no figures."""
    command = [sys.executable, "-m", "tests.benchmarks", "--child", "--only", group]
    command += ["--checkout", str(root), "--rounds", str(rounds), "--loop", arguments.loop]
    command += ["--quick"] * arguments.quick + [f"--peers={each}" for each in arguments.peers]
    try:
        run = subprocess.run(
            command, cwd=_ROOT, stdout=subprocess.PIPE, timeout=_LONGEST, check=True
        )
    except subprocess.SubprocessError as error:
        print(f"{group}: {error}", file=sys.stderr, flush=True)
        return []
    told = json.loads(run.stdout)
    derived = ("min", "median", "low", "high", "met")
    return [Figure(**{key: each[key] for key in each if key not in derived}) for each in told]


def _together(runs: Sequence[list[Figure]]) -> list[Figure]:
    """Return the figures of several runs of a group, each with the rounds of all."""
    if not all(runs):
        return []
    return [functools.reduce(Figure.with_rounds_of, same) for same in zip(*runs, strict=True)]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--only", nargs="+", choices=GROUPS, default=GROUPS, metavar="GROUP")
    parser.add_argument("--rounds", type=int, help="of each figure (default: 9; 2 with --quick)")
    parser.add_argument("--loop", choices=("asyncio", "uvloop"), default="asyncio")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything there too")
    parser.add_argument("--quick", action="store_true", help="small numbers: does it run?")
    parser.add_argument("--against", type=Path, metavar="DIRECTORY", help="another checkout")
    parser.add_argument(
        "--peers",
        action="extend",
        nargs="+",
        default=[],
        metavar="PATH",
        help="where other resolvers are installed",
    )
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--checkout", type=Path, default=_ROOT, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.rounds is None:
        arguments.rounds = 2 if arguments.quick else 9
    return arguments


def _one_group(arguments: argparse.Namespace, group: str) -> list[list[Figure]]:
    """Measure one group, of this checkout and of the other one if there is one."""
    roots = [_ROOT]
    turns = 1
    if arguments.against is not None:
        roots.append(arguments.against.resolve())
        turns = min(_TURNS, arguments.rounds)
    rounds = -(-arguments.rounds // turns)
    runs = [[_measured(arguments, group, rounds, root) for root in roots] for _ in range(turns)]
    return [_together(of_a_root) for of_a_root in zip(*runs, strict=True)]


def main() -> int:
    """Measure, print the table, write the JSON; return the exit status."""
    arguments = _arguments()
    if arguments.child:
        print(json.dumps(_measure(arguments)))
        return 0
    figures: list[Figure] = []
    others: list[Figure] = []
    failed = []
    for group in arguments.only:
        print(f"measuring: {group}", file=sys.stderr, flush=True)
        ours, *theirs = _one_group(arguments, group)
        figures += ours
        others += [figure for found in theirs for figure in found]
        if not ours:
            failed.append(group)
    machine = f"Python {platform.python_version()}, {arguments.loop}, {platform.machine()}"
    if arguments.quick:
        machine += "; numbers are smaller than named, and tell nothing of the bounds"
    print(machine, table(figures, others), sep="\n")
    if arguments.json is not None:
        told = {
            "python": platform.python_version(),
            "loop": arguments.loop,
            "figures": [figure.to_dict() for figure in figures],
            "against": [figure.to_dict() for figure in others],
        }
        arguments.json.write_text(json.dumps(told, indent=1))
    if failed:
        print("failed:", *failed)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
