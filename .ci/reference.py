"""Writes the API reference as HTML: `python .ci/reference.py DIRECTORY`. Warnings are errors.

What the package loads lazily is loaded first, as pdoc looks for names where they are kept.
"""

import sys
import warnings
from importlib import import_module
from pathlib import Path

import pdoc

MODULES = (
    "matrix_resolve",
    "matrix_resolve.interfaces",
    "matrix_resolve.hooks",
    "matrix_resolve.serving",
    "matrix_resolve.checking.findings",
    "matrix_resolve.testing",
    "matrix_resolve.testing.steps",
)


def write(directory: Path) -> None:
    """Write the reference into a directory, which is made if need be."""
    for name in MODULES:
        module = import_module(name)
        public = getattr(module, "__all__", ())
        vars(module).update({each: getattr(module, each) for each in public})
    pdoc.render.configure(docformat="markdown", show_source=False)
    with warnings.catch_warnings(action="error"):
        pdoc.pdoc(*MODULES, output_directory=directory)


if __name__ == "__main__":
    (directory,) = sys.argv[1:]
    write(Path(directory))
