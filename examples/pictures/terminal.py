"""A terminal of 80 columns that commands print on, and pictures of what they printed."""

import io
import os
import re
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from unittest.mock import patch

from rich.console import Console
from rich.segment import Segment, Segments
from rich.terminal_theme import SVG_EXPORT_THEME
from rich.text import Text

WIDTH = 80
# rich's own format brings a web font, which no picture in a page is allowed to load.
_FORMAT = """\
<svg viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg">
<style>
.{unique_id}-matrix {{
    font: {char_height}px/{line_height}px "DejaVu Sans Mono", Menlo, Consolas, monospace;
}}
.{unique_id}-title {{ font: bold 18px sans-serif; }}
{styles}
</style>
<defs>
<clipPath id="{unique_id}-clip-terminal">
<rect x="0" y="0" width="{terminal_width}" height="{terminal_height}" />
</clipPath>
{lines}
</defs>
{chrome}
<g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}
<g class="{unique_id}-matrix">
{matrix}
</g>
</g>
</svg>
"""


_ASPECT = 0.602  # width to height of DejaVu Sans Mono and Menlo
_GAPS = re.compile(r"(^ +| {2,}| +$)")


class Terminal(io.StringIO):
    """An output that says that it is a terminal."""

    def isatty(self) -> bool:
        """Return True: so there are colours, and bars."""
        return True


@contextmanager
def terminals() -> Iterator[tuple[Terminal, Terminal]]:
    """Have what is printed go to two terminals, standard output's and the error output's."""
    out, err = Terminal(), Terminal()
    looks = {"TERM": "xterm-256color", "COLORTERM": "truecolor", "COLUMNS": str(WIDTH)}
    unwanted = ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE")
    environment = {name: value for name, value in os.environ.items() if name not in unwanted}
    with (
        patch.dict(os.environ, environment | looks, clear=True),
        patch.object(sys, "stdin", io.StringIO()),
        redirect_stdout(out),
        redirect_stderr(err),
    ):
        yield out, err


def picture(command: str, printed: str) -> str:
    """Return the SVG of a terminal in which a command was typed and printed this."""
    console = Console(
        file=io.StringIO(),
        record=True,
        width=WIDTH,
        force_terminal=True,
        color_system="truecolor",
        legacy_windows=False,
        highlight=False,
    )
    console.print(Text.assemble(("$ ", "bold green"), (command, "bold")))
    for line in _folded(printed.splitlines()):
        console.print(Segments([*_apart(line.render(console)), Segment.line()]), soft_wrap=True)
    drawn = console.export_svg(
        title="",
        theme=SVG_EXPORT_THEME,
        code_format=_FORMAT,
        font_aspect_ratio=_ASPECT,
        unique_id="t",
    )
    return "\n".join(line.strip() for line in drawn.splitlines() if line.strip()) + "\n"


def _folded(lines: Iterable[str]) -> Iterator[Text]:
    """Yield lines as a terminal shows them, which goes on in the next one."""
    for line in lines:
        text = Text.from_ansi(line)
        yield from text.divide(range(WIDTH, len(text), WIDTH))


def _apart(segments: Iterable[Segment]) -> Iterator[Segment]:
    """Part text from the gaps around it, which not all that draws SVG gives their width."""
    for text, style, _ in segments:
        yield from (Segment(part, style) for part in _GAPS.split(text) if part)
