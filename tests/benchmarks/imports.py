"""Importing the package, against importing what it can't do without: attrs and asyncio."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

import matrix_resolve
from tests.benchmarks.figures import Figure, Scale

_BOUND: Final = 1.5
_CHILD: Final = """
import sys, time
sys.path.insert(0, {root!r})
started = time.process_time()
import {modules}
print(time.process_time() - started)
"""


def _taken(modules: str, compiled: str) -> float:
    """Return the milliseconds of CPU time that importing takes in a new process."""
    root = str(Path(matrix_resolve.__file__).parents[1])
    code = _CHILD.format(root=root, modules=modules)
    environment = {**os.environ, "PYTHONPYCACHEPREFIX": compiled}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    run = subprocess.run(
        [sys.executable, "-c", code], env=environment, check=True, capture_output=True, text=True
    )
    return float(run.stdout) * 1e3


async def measure(scale: Scale) -> list[Figure]:
    """Take both in turn."""
    pairs = []
    with tempfile.TemporaryDirectory() as compiled:
        for number in range(scale.rounds + 1):
            pair = [_taken(modules, compiled) for modules in ("matrix_resolve", "attrs, asyncio")]
            if number:  # the first ones compile
                pairs.append(pair)
    ours, floor = zip(*pairs, strict=True)
    name = "import matrix_resolve, against attrs and asyncio: CPU"
    return [Figure(name=name, unit="ms", ours=ours, floor=floor, bound=_BOUND)]
