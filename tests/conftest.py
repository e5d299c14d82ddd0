"""For all tests: none hangs or leaves anything behind, and hypothesis behaves on a busy machine."""

import asyncio
import functools
import gc
import inspect
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from hypothesis import settings

# A deadline measures the machine, not the code. In CI the examples are the same in every run.
settings.register_profile("default", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "default")

_DESCRIPTORS = Path("/proc/self/fd")  # Linux; elsewhere descriptors go unchecked
# c-ares closes its channels in a thread of its own, a moment after they are told to.
_GRACE = 2.0

_BEFORE = pytest.StashKey[tuple[set[threading.Thread], Counter[str]]]()


# Seconds after its time-out that a test, or what it does to end, is failed again.
_AGAIN = 20.0


@pytest.hookimpl(wrapper=True)
def pytest_timeout_set_timer(settings: Any) -> Iterator[Any]:
    """Have the time-out of a test strike again until it has ended.

    It is an exception in whatever runs at the moment. That may be some other task than the test's,
    in which it is lost; and the end of a test may hang as well.
    """
    result = yield
    if signal.getitimer(signal.ITIMER_REAL)[0]:  # else pytest-timeout uses a thread
        signal.setitimer(signal.ITIMER_REAL, settings.timeout, _AGAIN)
    return result


@pytest_asyncio.fixture
async def _no_tasks_left() -> AsyncIterator[None]:
    before = asyncio.all_tasks()
    yield
    left = [task for task in asyncio.all_tasks() - before if task is not asyncio.current_task()]
    assert not left, f"tasks left behind: {left}"
    timers = _timers_of_ours(asyncio.get_running_loop())
    assert not timers, f"timers left behind: {timers}"


def _timers_of_ours(loop: asyncio.AbstractEventLoop) -> list[asyncio.TimerHandle]:
    """Return the timers that would still call something of this package."""
    scheduled: list[asyncio.TimerHandle] = getattr(loop, "_scheduled", [])  # asyncio's own loops
    return [timer for timer in scheduled if not timer.cancelled() and _is_ours(timer._callback)]


def _is_ours(callback: Any) -> bool:
    while isinstance(callback, functools.partial):
        callback = callback.func
    return str(getattr(callback, "__module__", "")).partition(".")[0] == "matrix_resolve"


@pytest.fixture
def _uncollected() -> Iterator[None]:
    """Collect what others have left, and then nothing."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.fixture(autouse=True)
def _nothing_left_behind(request: pytest.FixtureRequest) -> None:
    """Fail the test that leaves a task, a timer of ours, a thread or an open descriptor behind.

    As the first of a test's fixtures it is ended last. That is still before the event loop is
    closed, so threads and descriptors are looked at when all fixtures are gone.
    """
    request.node.stash[_BEFORE] = (_threads(), _descriptors())
    if inspect.iscoroutinefunction(getattr(request.node, "obj", None)):
        request.getfixturevalue("_no_tasks_left")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item) -> Iterator[None]:
    """Compare threads and descriptors with those before the test."""
    yield
    if _BEFORE not in item.stash:
        return
    threads, descriptors = item.stash[_BEFORE]
    until = time.monotonic() + _GRACE
    while (left := _left(threads, descriptors)) and time.monotonic() < until:
        time.sleep(0.01)
    if left:
        pytest.fail(f"left behind: {', '.join(left)}", pytrace=False)


def _left(threads: set[threading.Thread], descriptors: Counter[str]) -> list[str]:
    return [
        *(thread.name for thread in _threads() - threads),
        *(_descriptors() - descriptors).elements(),
    ]


def _threads() -> set[threading.Thread]:
    # pycares keeps one daemon thread for as long as the process lives.
    return {thread for thread in threading.enumerate() if not thread.daemon}


def _descriptors() -> Counter[str]:
    """Count the open sockets, selectors and the like.

    Files are opened by whatever is imported; pipes come and go with pytest's capture.
    """
    found: Counter[str] = Counter()
    if not _DESCRIPTORS.is_dir():
        return found
    for entry in _DESCRIPTORS.iterdir():
        try:
            name = str(entry.readlink())
        except FileNotFoundError:  # the one that this very listing used
            continue
        if name.startswith(("socket:", "anon_inode:")):
            found[name] += 1
    return found
