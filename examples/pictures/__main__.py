"""Draws what `check`, `explain`, `bulk` and `demo` print, each as an SVG.

    pip install 'matrix-resolve[cli,testing,check]'
    python -m examples.pictures [DIRECTORY]

The commands run as they are, on a terminal of 80 columns, against servers on this machine. What no
two runs have in common is replaced (`steady.py`), so that the words are the same each time, and a
test holds the pictures that are kept here to them.
"""

import asyncio
import re
import sys
from contextlib import chdir
from pathlib import Path
from tempfile import TemporaryDirectory

from matrix_resolve.cli import main as matrix_resolve
from matrix_resolve.testing import LoopbackFederation

from . import federations
from .steady import reaching
from .terminal import Terminal, picture, terminals

# A bar is drawn anew in its place: what moves the cursor there comes between two drawings.
_CURSOR = re.compile(r"\r|\x1b\[\??[0-9]*[A-HJKhl]")
# The spinner's dots turn with the time.
_SPINNER = re.compile(r"[⠀-⣿]")


def main() -> None:
    """Write all pictures to the directory that is named, or beside this file."""
    directory = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent
    for name, printed in asyncio.run(_all_printed()).items():
        (directory / f"{name.split()[0]}.svg").write_text(
            picture(f"matrix-resolve {name}", printed)
        )


async def _all_printed() -> dict[str, str]:
    """Return what each command prints, by its arguments."""
    bulk = "bulk names.txt --output names.jsonl"
    explain, check = "explain example.org", "check example.org"
    printed = {}
    async with LoopbackFederation() as federation:
        federations.redirected(federation)
        printed[explain] = await _printed(explain, federation)
    async with LoopbackFederation() as federation:
        federations.without_delegation(federation)
        printed[check] = await _printed(check, federation)
        printed["demo"] = await _printed("demo", federation)
    printed[bulk] = await _bulk_printed(bulk)
    return printed


async def _printed(arguments: str, federation: LoopbackFederation) -> str:
    with reaching(federation), terminals() as (out, _):
        await asyncio.to_thread(matrix_resolve, arguments.split())
    return out.getvalue()


async def _bulk_printed(arguments: str) -> str:
    """Return the bar when it stood before the late names, and the summary."""
    with TemporaryDirectory() as folder, chdir(folder), terminals() as (_, err):
        async with LoopbackFederation() as federation:

            async def bar_is_drawn() -> None:
                while not _bar(err, early):  # noqa: ASYNC110  # another thread draws
                    await asyncio.sleep(0.02)

            names = federations.many(federation, bar_is_drawn)
            early = f"{len(names) - federations.LATE}/{len(names)}"
            await asyncio.to_thread(Path("names.txt").write_text, "\n".join(names))
            with reaching(federation):
                await asyncio.to_thread(matrix_resolve, arguments.split())
    summary = _CURSOR.split(err.getvalue())[-1]
    return f"{_SPINNER.sub('⠹', _bar(err, early))}\n{summary}"


def _bar(err: Terminal, count: str) -> str:
    """Return the bar as it was drawn with this count, empty if it was not."""
    drawn = _CURSOR.split(err.getvalue())
    return next((each.strip("\n") for each in drawn if count in each), "")


if __name__ == "__main__":
    main()
