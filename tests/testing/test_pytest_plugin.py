"""The fixture `loopback_federation` in somebody else's project, and this project's own guard."""

import re
import shutil
from pathlib import Path

import pytest
from projects import run_pytest

TEST = """
async def test_it(loopback_federation):
    loopback_federation.add("example.org", delegates_to="matrix.example.org:443")
    async with loopback_federation.resolver() as resolver:
        resolution = await resolver.resolve("example.org")
    assert resolution.host_header == "matrix.example.org:443"
"""
STRICT = "import pytest\npytestmark = pytest.mark.asyncio\n" + TEST
LEAKS = """
import asyncio, functools, socket, threading, time
from matrix_resolve.resolver.slots import FetchSlots
kept = []
async def test_task(): kept.append(asyncio.create_task(asyncio.sleep(9)))
def test_socket(): kept.append(socket.socket())
def test_thread(): threading.Thread(target=time.sleep, args=(2.5,)).start()
async def test_timer(): await FetchSlots(1).slot().__aenter__()
async def test_wrapped_timer():
    asyncio.get_running_loop().call_later(9, functools.partial(FetchSlots(1).leave))
async def test_nothing(): await asyncio.to_thread(time.sleep, 0)
async def test_cancelled_timer():
    async with FetchSlots(1).slot(): pass
async def test_timer_of_others(): asyncio.get_running_loop().call_later(9, print)
"""
HANGS = """
import asyncio, threading, time
from contextlib import suppress
import pytest
async def test_waits(): await asyncio.Event().wait()
async def test_serves(loopback_federation): await asyncio.Event().wait()
async def test_suppresses():
    while True:
        with suppress(Exception): await asyncio.sleep(0.01)
def test_sleeps(): time.sleep(60)
def test_waits_for_a_thread(): threading.Event().wait()
async def test_hides_it():
    async def hides():
        with suppress(BaseException): time.sleep(60)
    task = asyncio.create_task(hides())
    await asyncio.Event().wait()
@pytest.fixture
async def never_begins(): await asyncio.Event().wait()
async def test_never_begins(never_begins): pass
@pytest.fixture
async def never_ends():
    yield
    await asyncio.Event().wait()
async def test_never_ends(never_ends): pass
async def test_is_next(): pass
"""


@pytest.mark.parametrize(
    ("code", "arguments"),
    [
        pytest.param(TEST, ["-o", "asyncio_mode=auto"], id="auto mode"),
        pytest.param(STRICT, ["-o", "asyncio_mode=strict"], id="strict mode"),
    ],
)
def test_fixture_runs(tmp_path: Path, code: str, arguments: list[str]) -> None:
    """The fixture works in both modes of pytest-asyncio, without warnings."""
    assert "1 passed in" in run_pytest(tmp_path, code, "-W", "error", *arguments)


def test_missing_extra_skips(tmp_path: Path) -> None:
    """Without the extra the test is skipped, and the reason says what to install."""
    (tmp_path / "conftest.py").write_text("import sys; sys.modules['trustme'] = None")
    printed = run_pytest(tmp_path, TEST, "-o", "asyncio_mode=auto")
    assert "1 skipped" in printed
    assert "pip install 'matrix-resolve[testing]'" in printed


def test_every_test_has_a_time_limit(tmp_path: Path, pytestconfig: pytest.Config) -> None:
    """However a test hangs it fails, by its name, and the next one runs."""
    assert float(pytestconfig.getini("timeout")) > 0
    conftest = (Path(__file__).parents[1] / "conftest.py").read_text()
    assert "_AGAIN = 20.0" in conftest
    (tmp_path / "conftest.py").write_text(conftest.replace("_AGAIN = 20.0", "_AGAIN = 1.0"))
    printed = run_pytest(tmp_path, HANGS, "-o", "asyncio_mode=auto", "-o", "timeout=1", "-rA")
    hung = re.findall(r"^(?:FAILED|ERROR) test_it.py::(\w+)", printed, re.MULTILINE)
    assert set(hung) == {
        "test_waits",
        "test_serves",
        "test_suppresses",
        "test_sleeps",
        "test_waits_for_a_thread",
        "test_hides_it",
        "test_never_begins",
        "test_never_ends",
    }
    assert "PASSED test_it.py::test_is_next" in printed


def test_guard_finds_what_is_left_behind(tmp_path: Path) -> None:
    """This project's conftest fails each test that leaves something, and no other."""
    shutil.copy(Path(__file__).parents[1] / "conftest.py", tmp_path)
    printed = run_pytest(tmp_path, LEAKS, "-o", "asyncio_mode=auto")
    assert "8 passed, 5 errors" in printed
    assert printed.count("timers left behind") >= 2
    for trace in ("tasks left behind", "left behind: socket:", "left behind: Thread-"):
        assert trace in printed
