"""What is imported from `matrix_resolve.testing`, and what that costs."""

import subprocess
import sys

import pytest

import matrix_resolve.testing


def run(code: str) -> str:
    """Run `code` in a fresh interpreter and return what it prints."""
    command = [sys.executable, "-W", "error", "-c", code]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize("name", matrix_resolve.testing.__all__)
def test_every_public_name_is_there(name: str) -> None:
    """Each name in `__all__` can be had, is called that, and is documented."""
    found = getattr(matrix_resolve.testing, name)
    assert (found.__name__, bool(found.__doc__)) == (name, True)
    assert name in dir(matrix_resolve.testing)


def test_other_names_are_not() -> None:
    """An unknown name is an `AttributeError`, as of any module."""
    with pytest.raises(AttributeError, match="has no attribute 'Nonsense'"):
        matrix_resolve.testing.Nonsense  # noqa: B018


def test_fakes_need_no_extra() -> None:
    """Fakes, behaviours and declarations load without dnspython and trustme."""
    printed = run(
        "import sys\n"
        "for name in ('dns', 'trustme', 'cryptography'): sys.modules[name] = None\n"
        "from matrix_resolve.testing import FakeClock, FakeWellKnown, Reply, Certificate\n"
        "print(FakeClock().time())"
    )
    assert float(printed) > 0


@pytest.mark.parametrize("missing", ["dns", "trustme"])
def test_missing_extra_is_named(missing: str) -> None:
    """Without the extra the error says what to install."""
    printed = run(
        f"import sys; sys.modules[{missing!r}] = None\n"
        "try: from matrix_resolve.testing import LoopbackFederation\n"
        "except ImportError as error: print(error)"
    )
    assert "pip install 'matrix-resolve[testing]'" in printed


def test_plugin_loads_next_to_nothing() -> None:
    """Every run of pytest loads the plug-in: neither aiohttp nor dnspython come with it."""
    printed = run(
        "import sys, pytest, matrix_resolve; before = set(sys.modules)\n"
        "import matrix_resolve.testing.pytest_plugin\n"
        "print(*sorted(set(sys.modules) - before))"
    )
    ours = [name for name in printed.split() if name.startswith("matrix_resolve")]
    assert ours == ["matrix_resolve.testing", "matrix_resolve.testing.pytest_plugin"]
    heavy = {"aiohttp", "dns", "trustme", "cryptography", "pycares"}
    assert not heavy & {name.partition(".")[0] for name in printed.split()}
