"""Names that a package hands out and loads when they are first used, some only with an extra.

Where an extra is missing its names are not there for `hasattr()`, `dir()`, `import *` and `help()`,
while `from package import Name` says what to install.
"""

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Final

# Extra -> what is imported of it, as far as we import it ourselves.
_LIBRARIES: Final[Mapping[str, Sequence[str]]] = {
    "check": ("cryptography",),
    "cli": ("rich", "shtab"),
    "dnspython": ("dns",),
    "httpx": ("httpx2",),
    "opentelemetry": ("opentelemetry",),
    "prometheus": ("prometheus_client",),
    "redis": ("redis",),
    "testing": ("cryptography", "dns", "trustme"),
}
_OURS: Final = __name__.partition(".")[0]


class MissingExtraError(ImportError):
    """Something can't be imported because an extra is not installed; says which."""


@contextmanager
def needs(extra: str | None, what: str) -> Iterator[None]:
    """Have imports in this block that fail for want of `extra` name it, as what `what` needs."""
    try:
        yield
    except ImportError as error:
        ours = (error.name or "").partition(".")[0] == _OURS  # a mistake, no missing library
        if extra is None or ours or isinstance(error, MissingExtraError):
            raise
        hint = f"{what} needs more ({error}): pip install 'matrix-resolve[{extra}]'"
        raise MissingExtraError(hint, name=error.name) from error


def is_installed(extra: str) -> bool:
    """Return whether the libraries of `extra` are there, without loading them."""
    try:
        return all(find_spec(library) is not None for library in _LIBRARIES[extra])
    except ImportError:
        return False


class LazyNames:
    """The lazy names of one package.

    `modules`: name -> the module that it is loaded from. `extras`: name -> the extra that it needs.
    """

    def __init__(self, package: str, modules: Mapping[str, str], extras: Mapping[str, str]) -> None:
        self._package = package
        self._modules = modules
        self._extras = extras

    def drop_missing(self, names: list[str]) -> None:
        """Take out of `names`, an `__all__`, those whose extra is not installed."""
        extras = {extra: is_installed(extra) for extra in set(self._extras.values())}
        names[:] = [name for name in names if extras.get(self._extras.get(name, ""), True)]

    def get(self, name: str) -> Any:
        """Return what `name` is; `AttributeError` if it is nothing, or its extra is missing."""
        if name not in self._modules:
            raise AttributeError(f"module {self._package!r} has no attribute {name!r}")
        try:
            return self._load(name)
        except MissingExtraError as error:
            if self not in sys.meta_path:
                sys.meta_path.append(self)
            raise AttributeError(str(error)) from error

    def find_spec(self, fullname: str, path: object = None, target: object = None) -> None:
        """Find no module, but say for a missing name what to install.

        `from package import Name` looks for a module of that name when there is no such attribute,
        and an `AttributeError` never comes out of it.
        """
        package, _, name = fullname.rpartition(".")
        if package == self._package and name in self._modules:
            self._load(name)

    def _load(self, name: str) -> Any:
        with needs(self._extras.get(name), name):
            return getattr(import_module(self._modules[name]), name)
