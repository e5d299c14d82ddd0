"""What a check is doing, on the error output while it does."""

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from matrix_resolve.errors import readable

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

_EVERY: Final = 5  # drawings a second
_MOST: Final = 6  # lines of what is under way


class Progress:
    """What is under way for each name."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._under_way: dict[str, Sequence[str]] = {}

    def tell(self, name: str, under_way: Sequence[str]) -> None:
        """Hear what is under way for a name."""
        self._under_way[name] = under_way

    def __rich__(self) -> "RenderableType":
        from rich.text import Text

        doing = [
            f"{name}: {what}" if len(self._under_way) > 1 else what
            for name, under_way in self._under_way.items()
            for what in under_way
        ]
        lines = [f"checking for {time.monotonic() - self._began:.0f} s"]
        lines += [f"  {readable(what, 200)}" for what in doing[:_MOST]]
        if len(doing) > _MOST:
            lines.append(f"  and {len(doing) - _MOST} more")
        return Text("\n".join(lines), style="dim", no_wrap=True, overflow="ellipsis")


@contextmanager
def shown(console: "Console | None") -> Iterator[Progress]:
    """Show what is under way while in this context, and nothing of it afterwards."""
    progress = Progress()
    if console is None:
        yield progress
        return
    from rich.live import Live

    with Live(
        progress,
        console=console,
        refresh_per_second=_EVERY,
        transient=True,
        redirect_stdout=False,
        redirect_stderr=False,
    ):
        yield progress


def terminal(*, no_color: bool) -> "Console | None":
    """Return the error output where somebody looks at it and rich is there, else None."""
    if sys.stderr is None or not sys.stderr.isatty():
        return None
    try:
        from matrix_resolve.cli.output import console

        return console(sys.stderr, no_color=no_color)
    except ImportError:
        return None
