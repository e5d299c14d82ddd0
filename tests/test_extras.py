"""An installation without extras: all that can be had is there, and the rest says how to get it."""

import subprocess
import sys
from importlib import import_module

import pytest

import matrix_resolve

# What the extras bring, as far as we import it. `cryptography` and the like come with these.
LIBRARIES = [
    "cryptography",
    "dns",
    "httpx2",
    "opentelemetry",
    "prometheus_client",
    "redis",
    "rich",
    "shtab",
    "trustme",
]
NAMES = [
    ("matrix_resolve", "RedisCache", "redis"),
    ("matrix_resolve", "DnspythonLookup", "dnspython"),
    ("matrix_resolve", "PrometheusHook", "prometheus"),
    ("matrix_resolve", "Checker", "check"),
    ("matrix_resolve", "check_server", "check"),
    ("matrix_resolve", "open_checker", "check"),
    ("matrix_resolve", "HttpxTransport", "httpx"),
    ("matrix_resolve.federation", "HttpxTransport", "httpx"),
    ("matrix_resolve", "OpenTelemetryHook", "opentelemetry"),
    ("matrix_resolve.hooks", "OpenTelemetryHook", "opentelemetry"),
    ("matrix_resolve.hooks", "PrometheusHook", "prometheus"),
    ("matrix_resolve.testing", "LoopbackFederation", "testing"),
    ("matrix_resolve.backends.cache_redis", "RedisCache", "redis"),
    ("matrix_resolve.backends.dns_dnspython", "DnspythonLookup", "dnspython"),
]
PACKAGES = {module for module, _, _ in NAMES if "backends" not in module}
EACH_PACKAGE = pytest.mark.parametrize("package", sorted(PACKAGES))
# How imports fail: there is no such library, or something keeps it from being loaded.
WAYS = {
    "missing": "raise ModuleNotFoundError(f'No module named {name!r}', name=name)",
    "blocked": "raise ImportError('blocked')",
}
EACH_WAY = pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)


def run(code: str, way: str = WAYS["missing"]) -> str:
    """Run `code` in an interpreter where no extra can be imported; return what it prints."""
    blocked = f"""
import sys
from importlib import import_module
class Blocked:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name.partition('.')[0] in {LIBRARIES!r}:
            {way}
sys.meta_path.insert(0, Blocked)
"""
    command = [sys.executable, "-W", "error", "-c", f"{blocked}\n{code}"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


@EACH_WAY
@pytest.mark.parametrize(("module", "name", "extra"), NAMES)
def test_importing_a_name(module: str, name: str, extra: str, way: str) -> None:
    """`from ... import Name` is an `ImportError` that says what to install, at each try."""
    code = f"""
for _ in range(2):
    try:
        from {module} import {name}
    except ImportError as error:
        print(error)
"""
    first, second = run(code, way).splitlines()
    assert first == second
    assert first.startswith(f"{name} needs more (")
    assert first.endswith(f"): pip install 'matrix-resolve[{extra}]'")


@EACH_WAY
@EACH_PACKAGE
def test_looking_around(package: str, way: str) -> None:
    """`import *`, `help()`, `dir()`, `hasattr()` and `getmembers()` work, without those names."""
    missing = [name for module, name, _ in NAMES if module == package]
    code = f"""
import inspect, pydoc, {package} as package
missing = {missing}
names = {{}}
exec("from {package} import *", names)
members = dict(inspect.getmembers(package))
assert not any(hasattr(package, name) for name in missing)
assert set(package.__all__) <= names.keys() & set(dir(package)) & members.keys()
assert not {{*missing}} & {{*package.__all__, *dir(package), *members, *names}}
text = pydoc.render_doc(package)
for name in missing:
    assert getattr(package, name, None) is None
    try: getattr(package, name)
    except AttributeError as error: assert "pip install 'matrix-resolve[" in str(error)
print(len(package.__all__))
"""
    there = vars(import_module(package))["__all__"]
    assert int(run(code, way)) == len(there) - len(missing)


@EACH_WAY
def test_the_rest_works(way: str) -> None:
    """Who has no extra can resolve, and has fakes, the command's advice and the pytest plug-in."""
    printed = run(
        """
import asyncio
from matrix_resolve import AiodnsLookup, AiohttpWellKnownFetcher, MemoryCache, TieredCache
from matrix_resolve import open_federation_client, resolve_server_name
from matrix_resolve.testing import FakeWellKnown, Reply, Certificate
import matrix_resolve.testing.pytest_plugin, matrix_resolve.testing.steps
print((asyncio.run(resolve_server_name("192.0.2.1:1"))).host_header)
from matrix_resolve.cli import main
import contextlib, sys
with contextlib.redirect_stderr(sys.stdout): print(main(["explain", "example.org"]))
""",
        way,
    )
    name, advice, status = printed.splitlines()
    assert (name, status) == ("192.0.2.1:1", "2")
    assert advice.startswith("matrix-resolve: matrix-resolve explain needs more (")
    assert advice.endswith("): pip install 'matrix-resolve[cli]'")


def test_running_the_package() -> None:
    """`python -m matrix_resolve` without its extra resolves, and else says what to install."""
    printed = run("""
import contextlib, runpy, sys
for words in (["--allow-private", "192.0.2.1"], ["explain", "192.0.2.1"]):
    sys.argv[1:] = words
    try:
        with contextlib.redirect_stderr(sys.stdout): runpy.run_module("matrix_resolve")
    except SystemExit as end: print(end.code)
""")
    assert "(step 1)\n0\n" in printed
    assert printed.endswith("pip install 'matrix-resolve[cli]'\n2\n")


def test_mistakes_of_our_own_are_no_missing_extra() -> None:
    """A module of ours that can't be imported is not blamed on an extra, nor is a wrong name."""
    printed = run("""
import sys
from importlib import import_module
sys.modules["matrix_resolve.backends.dns_dnspython.lookup"] = None
sys.modules["matrix_resolve.interfaces"] = None
for name in ("DnspythonLookup", "Nonsense"):
    try: exec(f"from matrix_resolve import {name}")
    except ImportError as error: print(error)
""")
    assert "pip install" not in printed


def test_with_all_extras_nothing_is_left_out() -> None:
    """Here every extra is installed, and `import *` gives every name."""
    names: dict[str, object] = {}
    exec("from matrix_resolve import *", names)
    assert {name for module, name, _ in NAMES if module == "matrix_resolve"} <= names.keys()
    assert set(matrix_resolve.__all__) <= names.keys()
