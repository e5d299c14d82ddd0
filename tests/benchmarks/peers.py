"""Cold names a second, against other resolvers in environments of their own.

Each has a process of its own (peer.py), the servers are the same, and blocks of names are taken in
turn. The rate by the clock is what is promised; on a busy machine it tells of others' work too,
which the CPU time of a name does not.
"""

import asyncio
import json
import subprocess
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final

from tests.benchmarks.cold import AT_ONCE
from tests.benchmarks.figures import Figure, Scale
from tests.benchmarks.network import Network, new_names, serving

_BLOCK: Final = 300
# Module to look for -> the package's name, and by kind of name how many times its rate is ours.
_PEERS: Final = {
    "synapse": ("matrix-synapse", {"port": 1.6, "none": 1.45}),
    "resolvematrix": ("resolvematrix", {"port": 2.2, "none": 2.2}),
}
_KINDS: Final = {"port": "well-known with a port", "none": "nothing published"}
_ROOT: Final = Path(__file__).parents[2]
_HAS: Final = "import importlib.util, sys; sys.exit(importlib.util.find_spec(sys.argv[1]) is None)"

Taken = tuple[float, float]
Block = Callable[[Sequence[str]], Awaitable[Taken]]


def _interpreters(paths: Sequence[str]) -> Iterator[str]:
    """Find the interpreters of what was named, and of the environments beside the package."""
    for path in (*map(Path, paths), *_ROOT.glob(".venv-*")):
        if path.is_file():
            yield str(path)
        for found in (*path.glob("bin/python"), *path.glob("*/bin/python")):
            yield str(found)


def _found(module: str, interpreters: Sequence[str]) -> str | None:
    """Return the first interpreter that has a module, if any does."""
    for interpreter in interpreters:
        command = [interpreter, "-P", "-c", _HAS, module]
        if subprocess.run(command, cwd="/", env={}, check=False).returncode == 0:
            return interpreter
    return None


@contextmanager
def _peer(interpreter: str, module: str, network: Network) -> Iterator[Block]:
    """Start a peer; give what has it resolve a block of names."""
    script = str(Path(__file__).with_name("peer.py"))
    process = subprocess.Popen(
        [interpreter, script, module, str(network.dns), str(network.web)],
        env={},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    asked, answers = process.stdin, process.stdout

    async def block(names: Sequence[str]) -> Taken:
        print(json.dumps(names), file=asked, flush=True)
        clock, cpu = json.loads(await asyncio.to_thread(answers.readline))
        return clock, cpu

    try:
        print(json.dumps(network.authority), file=asked, flush=True)
        yield block
    finally:
        process.kill()
        process.wait()
        asked.close()
        answers.close()


def _ours(resolve: Callable[[str], Awaitable[Any]]) -> Block:
    """Return the same of our own resolver, in this process."""

    async def block(names: Sequence[str]) -> Taken:
        clock, cpu = time.perf_counter(), time.process_time()
        for first in range(0, len(names), AT_ONCE):
            await asyncio.gather(*map(resolve, names[first : first + AT_ONCE]))
        return time.perf_counter() - clock, time.process_time() - cpu

    return block


async def _against(
    theirs: dict[str, Block], ours: Block, scale: Scale
) -> dict[tuple[str, str], list[Taken]]:
    """Take blocks in turn; return the seconds of each, by resolver ("" is ours) and kind."""
    taken: dict[tuple[str, str], list[Taken]] = {}
    count = scale.of(_BLOCK, AT_ONCE)
    for number in range(scale.rounds + 1):
        for kind in _KINDS:
            for who, block in {"": ours, **theirs}.items():
                seconds = await block(new_names(kind, count))
                if number:  # in the first round much is done for the first time
                    clock, cpu = (each / count for each in seconds)
                    taken.setdefault((who, kind), []).append((clock, cpu))
    return taken


def _figures(module: str, taken: dict[tuple[str, str], list[Taken]]) -> Iterator[Figure]:
    package, bounds = _PEERS[module]
    for kind, what in _KINDS.items():
        title = f"cold, {what}: names a second, times {package}'s"
        if (module, kind) not in taken:
            reason = f"no environment with {package} (see --peers)"
            yield Figure(name=title, skipped=reason)
            continue
        ours, theirs = taken["", kind], taken[module, kind]
        yield Figure(
            name=title,
            unit="/s",
            ours=[1 / clock for clock, _ in ours],
            floor=[1 / clock for clock, _ in theirs],
            bound=bounds[kind],
            at_least=True,
        )
        yield Figure(
            name=f"cold, {what}: CPU against {package}",
            unit="us",
            ours=[cpu * 1e6 for _, cpu in ours],
            floor=[cpu * 1e6 for _, cpu in theirs],
        )


async def measure(scale: Scale) -> list[Figure]:
    """Measure against those that are there."""
    interpreters = list(_interpreters(scale.peers))
    with ExitStack() as opened:
        network = opened.enter_context(serving())
        peers = {
            module: opened.enter_context(_peer(interpreter, module, network))
            for module in _PEERS
            if (interpreter := _found(module, interpreters)) is not None
        }
        async with network.resolver() as resolver:
            ours = _ours(resolver.resolve)
            taken = await _against(peers, ours, scale) if peers else {}
    return [figure for module in _PEERS for figure in _figures(module, taken)]
