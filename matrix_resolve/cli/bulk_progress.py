"""A bar on the error output while names are looked up."""

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

from attrs import frozen

if TYPE_CHECKING:
    from rich.progress import Progress

_EVERY: Final = 0.2  # seconds


@frozen(kw_only=True)
class Count:
    """How many names are done; how many there are in all, None if nobody knows."""

    done: int
    total: int | None


def is_wanted() -> bool:
    """Return whether there is a terminal to show a bar on, and rich to draw it."""
    if sys.stderr is None or not sys.stderr.isatty():
        return False
    try:
        import rich.progress  # noqa: F401
    except ImportError:
        return False
    return True


@asynccontextmanager
async def shown(count: Callable[[], Count], *, no_color: bool) -> AsyncIterator[None]:
    """Show a bar while in this context, and nothing of it afterwards."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn

    from matrix_resolve.cli.output import console

    bar = Progress(
        SpinnerColumn(),
        BarColumn(bar_width=None),
        MofNCompleteColumn(),
        TextColumn("{task.fields[pace]}"),
        console=console(sys.stderr, no_color=no_color),
        auto_refresh=False,  # the loop does it: a thread would take turns with it
        redirect_stdout=False,
        redirect_stderr=False,
        transient=True,
        expand=True,
    )
    with bar:
        drawing = asyncio.create_task(_draw(bar, count))
        try:
            yield
        finally:
            drawing.cancel()
            await asyncio.wait([drawing])


async def _draw(bar: "Progress", count: Callable[[], Count]) -> None:
    began = time.monotonic()
    task = bar.add_task("", total=None, pace="")
    while True:
        now = count()
        pace = told_pace(now, time.monotonic() - began)
        bar.update(task, completed=now.done, total=now.total, pace=pace, refresh=True)
        await asyncio.sleep(_EVERY)


def told_pace(count: Count, seconds: float) -> str:
    """Return the rate so far, and the time that is left if that goes on."""
    rate = count.done / max(seconds, 0.001)
    if count.total is None or not rate:
        return f"{rate:,.0f}/s"
    left = round(max(count.total - count.done, 0) / rate)
    minutes, rest = divmod(left, 60)
    hours, minutes = divmod(minutes, 60)
    clock = f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
    return f"{rate:,.0f}/s, {clock} left"
