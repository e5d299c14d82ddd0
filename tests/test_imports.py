"""The house in order: imports go one way, rooms have one door, modules stay short and cheap."""

import ast
import subprocess
import sys
from functools import cache
from graphlib import TopologicalSorter
from importlib.metadata import version
from pathlib import Path
from typing import get_args

import pytest

import matrix_resolve
from matrix_resolve import errors, hooks, interfaces
from matrix_resolve.core import questions

PACKAGE = Path(matrix_resolve.__file__).parent

# A module may import what stands in its own layer or in one before it.
LAYERS = (
    ("errors", "policy"),
    ("core",),
    ("interfaces", "timeouts"),
    ("hooks", "transport", "backends"),
    ("resolver",),
    ("compose",),
    ("federation", "serving", "checking"),
    ("testing",),
    ("cli", "__main__"),
)
# `compose` opens the default backends where they are needed; the package hands names on.
FACE = "__init__"
# Folders of which others import nothing but the folder itself.
DOORS = (
    "resolver",
    "federation",
    "serving",
    "backends.cache_redis",
    "backends.cache_sqlite",
    "backends.dns_aiodns",
    "backends.dns_dnspython",
    "checking.findings",
)


def _layer(module: str) -> int:
    return next(place for place, names in enumerate(LAYERS) if module in names)


@cache
def _modules() -> list[tuple[str, Path]]:
    return [
        (".".join(path.relative_to(PACKAGE).with_suffix("").parts), path)
        for path in sorted(PACKAGE.rglob("*.py"))
    ]


def _imported(path: Path, *, everywhere: bool = True) -> set[str]:
    """Return the modules of ours that a file imports, without the package's name."""
    tree = ast.parse(path.read_text())
    nodes = ast.walk(tree) if everywhere else tree.body
    found = set()
    for node in nodes:
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, "modules are imported by their whole names"
            origin, *rest = (node.module or "").split(".")
            if origin == PACKAGE.name:
                found |= {_module(*rest, alias.name) for alias in node.names}
        elif isinstance(node, ast.Import):
            assert not any(alias.name.startswith(PACKAGE.name) for alias in node.names)
    return found


def _module(*parts: str) -> str:
    """Return the module that is imported with a name: the name is a module's, or stands in one."""
    name = ".".join(parts)
    is_module = any(module in (name, f"{name}.{FACE}") for module, _ in _modules())
    return name if is_module else ".".join(parts[:-1]) or FACE


EACH_MODULE = pytest.mark.parametrize(
    ("module", "path"), _modules(), ids=[module for module, _ in _modules()]
)


@EACH_MODULE
def test_imports_go_one_way(module: str, path: Path) -> None:
    """Nothing imports what stands above it."""
    top = module.partition(".")[0]
    if module == FACE:
        return
    for imported in _imported(path):
        assert imported != FACE, "modules import each other, not the package's face"
        assert _layer(imported.partition(".")[0]) <= _layer(top), imported


def test_backends_are_strangers_to_each_other() -> None:
    """No backend imports another; one that is a folder may import its own parts."""
    for module, path in _modules():
        if module.startswith("backends."):
            own = ".".join(module.split(".")[:2])
            for name in _imported(path):
                assert not name.startswith("backends") or f"{name}.".startswith(f"{own}."), module


def test_rooms_have_one_door() -> None:
    """What is behind a door is imported by its own room only."""
    for module, path in _modules():
        for imported in _imported(path):
            for door in DOORS:
                behind = imported.startswith(f"{door}.")
                assert not behind or module.startswith(f"{door}."), (module, imported)


def test_no_circle_of_imports() -> None:
    """No module imports itself by way of others, not for its types either."""
    modules = dict(_modules())
    faces = {name.removesuffix(".__init__"): name for name in modules if "." in name}
    imports = {
        module: {faces.get(name, name) for name in _imported(path)}
        for module, path in modules.items()
        if module != FACE
    }
    order = TopologicalSorter(imports)
    order.prepare()  # raises CycleError, which names the circle


def test_the_listing_is_short() -> None:
    """The root has at most eighteen files and folders, and there are at most nine layers."""
    files = [path for path in PACKAGE.iterdir() if path.is_file()]
    folders = [path for path in PACKAGE.iterdir() if (path / "__init__.py").exists()]
    assert len(files) + len(folders) <= 18, files + folders
    assert len(LAYERS) <= 9


@EACH_MODULE
def test_modules_are_short(module: str, path: Path) -> None:
    """No module has over 300 lines, no function over 60."""
    text = path.read_text()
    assert len(text.splitlines()) <= 300
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno is not None
            assert node.end_lineno - node.lineno < 60, node.name


def test_a_flight_is_written_by_itself() -> None:
    """In the resolver's room nobody assigns to an attribute of anything but `self`."""
    written = {
        (module, ast.unparse(node))
        for module, path in _modules()
        if module.startswith("resolver.")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute) and not isinstance(node.ctx, ast.Load)
        if ast.unparse(node.value) != "self"
    }
    assert written <= {("resolver.resolver", "self._own.hot")}


def test_fakes_stand_on_the_interfaces() -> None:
    """The fakes and the pytest plug-in load nothing above `interfaces`."""
    for module, path in _modules():
        if module in ("testing.fakes", "testing.pytest_plugin"):
            for imported in _imported(path, everywhere=False):
                assert _layer(imported.partition(".")[0]) <= _layer("interfaces"), imported


def test_the_core_is_pure() -> None:
    """`core` imports the standard library and attrs, and nothing that waits, ticks or dials."""
    impure = {"asyncio", "time", "socket", "ssl", "threading", "os", "logging"}
    for module, path in _modules():
        if not module.startswith("core"):
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            names = (
                [alias.name for alias in node.names]
                if isinstance(node, ast.Import)
                else [node.module or ""]
                if isinstance(node, ast.ImportFrom)
                else []
            )
            for name in (name.partition(".")[0] for name in names):
                assert name not in impure, (module, name)
                assert name in sys.stdlib_module_names | {"attrs", "matrix_resolve"}, (module, name)


def _loaded_by(code: str) -> set[str]:
    """Return the top-level modules that a new interpreter has loaded after `code`."""
    code += "\nimport sys\nprint(*{name.partition('.')[0] for name in sys.modules})"
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    return set(run.stdout.split())


LIGHT = ("hooks", "interfaces", "testing.fakes", "testing.steps", "checking.keys")


@pytest.mark.parametrize(
    "module", ["matrix_resolve", *(f"matrix_resolve.{name}" for name in LIGHT)]
)
def test_importing_loads_no_backend(module: str) -> None:
    """Importing the package loads none of the libraries that only backends need."""
    heavy = {"aiohttp", "aiodns", "pycares", "cachetools", "rich", "dns", "trustme", "redis"} | {
        "prometheus_client",
        "opentelemetry",
        "cryptography",
    }
    assert not heavy & _loaded_by(f"import {module}")


def test_every_public_name_can_be_had() -> None:
    """All that `__all__` lists is there, lazy names too, and nothing else is handed out."""
    assert len(set(matrix_resolve.__all__)) == len(matrix_resolve.__all__)
    for name in matrix_resolve.__all__:
        assert getattr(matrix_resolve, name).__doc__ is not None or name == "DEFAULT_BLOCK"
    assert matrix_resolve.__version__ == version("matrix-resolve")
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        matrix_resolve.nonsense  # noqa: B018


def test_a_plug_in_author_needs_one_module() -> None:
    """`interfaces` has all errors to raise, all answers, and is part of what the package has."""
    needed = {error.__name__ for error in errors.BackendError.__subclasses__()} | {"BackendError"}
    needed |= {
        each.__name__ for each in (*get_args(questions.Answer), *get_args(questions.Question))
    }
    assert needed <= {*interfaces.__all__} <= {*matrix_resolve.__all__}
    for name in interfaces.__all__:
        assert getattr(interfaces, name) is getattr(matrix_resolve, name)


def test_examples_use_public_names() -> None:
    """No example reaches behind the package's face; what is for tests has a face of its own."""
    faces = {"matrix_resolve", "matrix_resolve.testing", "matrix_resolve.hooks"}
    for path in (PACKAGE.parent / "examples").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and str(node.module).startswith(PACKAGE.name):
                assert node.module in faces, path.name


def test_hooks_are_handed_out_in_their_room_too() -> None:
    """`matrix_resolve.hooks` has what the package hands out of it, lazy names too."""
    events = {each.__name__ for each in get_args(hooks.ResolverEvent)}
    rest = {"ResolverEvent", "ResolverHook", "LoggingHook", "OpenTelemetryHook", "PrometheusHook"}
    assert {*hooks.__all__} == {*dir(hooks)} == events | rest
    for name in hooks.__all__:
        assert getattr(hooks, name) is getattr(matrix_resolve, name)
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        hooks.nonsense  # noqa: B018
