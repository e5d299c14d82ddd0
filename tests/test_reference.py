"""Every public name says what it is, and the API reference can be built of that."""

import ast
import inspect
import re
import subprocess
import sys
import textwrap
from importlib import import_module
from itertools import pairwise
from pathlib import Path

import pytest

import matrix_resolve

ROOT = Path(__file__).parent.parent
# These are values, of which Python keeps no docstring: it stands below them.
VALUES = {
    "Answer": "matrix_resolve.core.questions",
    "DEFAULT_BLOCK": "matrix_resolve.core.addresses",
    "Question": "matrix_resolve.core.questions",
    "ResolverEvent": "matrix_resolve.hooks.events",
}
EACH_NAME = pytest.mark.parametrize("name", matrix_resolve.__all__)


def docstring(name: str) -> str:
    """Return the docstring of a public name's own, none that it inherits."""
    if name not in VALUES:
        found = getattr(matrix_resolve, name)
        return inspect.cleandoc(vars(found).get("__doc__") or found.__doc__ or "")
    module = import_module(VALUES[name])
    body = ast.parse(inspect.getsource(module)).body
    for statement, after in pairwise(body):
        if isinstance(statement, ast.Assign | ast.AnnAssign) and isinstance(after, ast.Expr):
            targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
            if name in map(ast.unparse, targets) and isinstance(after.value, ast.Constant):
                return str(after.value.value)
    return ""


def examples(text: str) -> list[str]:
    """Return the lines of use of a docstring: what is indented below an empty line."""
    found = re.findall(r"\n\n((?: {4}.*(?:\n|$)|\n(?= {4}))+)", text)
    return [textwrap.dedent(block) for block in found]


@EACH_NAME
def test_every_public_name_has_a_docstring(name: str) -> None:
    """And so has each of its public methods."""
    assert len(docstring(name)) > 20
    found = getattr(matrix_resolve, name)
    if name in VALUES or not inspect.isclass(found):
        return
    for attribute, value in vars(found).items():
        function = value.fget if isinstance(value, property) else getattr(value, "__func__", value)
        if inspect.isfunction(function) and not attribute.startswith("_"):
            assert inspect.getdoc(function), attribute


@EACH_NAME
def test_lines_of_use_are_python(name: str) -> None:
    """They compile, and the public names that they call by are there."""
    for text in examples(docstring(name)):
        tree = compile(
            text,
            name,
            "exec",
            ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT,
            dont_inherit=True,
        )
        called = {
            node.func.id
            for node in ast.walk(tree)
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
        }
        ours = {word for word in called if word[0].isupper() or word.startswith("open_")}
        assert ours <= {*matrix_resolve.__all__, "Redis", "CollectorRegistry"}


def test_there_are_lines_of_use() -> None:
    """Where most people begin, there are some."""
    for name in ("open_resolver", "FederationClient", "HttpxTransport", "ServerName", "Policy"):
        assert examples(docstring(name)), name


def test_the_reference_can_be_built(tmp_path: Path) -> None:
    """The command of the README writes it without a warning, lazy names included."""
    pytest.importorskip("pdoc")
    (command,) = re.findall(r"`python (\.ci/reference\.py) \S+`", (ROOT / "README.md").read_text())
    built = subprocess.run(
        [sys.executable, ROOT / command, tmp_path], capture_output=True, text=True, timeout=100
    )
    assert (built.returncode, built.stderr) == (0, "")
    page = (tmp_path / "matrix_resolve.html").read_text()
    assert [name for name in matrix_resolve.__all__ if f'id="{name}"' not in page] == []
    assert (tmp_path / "matrix_resolve" / "testing.html").exists()
