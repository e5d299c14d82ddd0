"""What somebody else gives is looked at when it is given, so that mistakes show where they are."""

import inspect
from collections.abc import Awaitable
from typing import Any, TypeVar

_T = TypeVar("_T")


def check_part(name: str, part: object, *methods: str) -> None:
    """Raise `TypeError` unless `part`, an argument called `name`, has these methods.

    A class has them too, but what is wanted is an instance of it.
    """
    if isinstance(part, type):
        raise TypeError(f"{name} is the class {part.__name__}: an instance of it is wanted")
    for method in methods:
        if not callable(getattr(part, method, None)):
            raise TypeError(f"{name}: {type(part).__name__} has no method {method}()")


def check_type(name: str, value: object, wanted: type[Any], hint: str = "") -> None:
    """Raise `TypeError` unless `value`, called `name`, is a `wanted`; `hint`: how to get one."""
    if isinstance(value, wanted):
        return
    given = f"the class {value.__name__}" if isinstance(value, type) else type(value).__name__
    raise TypeError(f"{name} must be of type {wanted.__name__}, not {given}{hint and f'; {hint}'}")


def check_awaitable(part: object, method: str, coming: Awaitable[_T]) -> Awaitable[_T]:
    """Return what a method of a part has returned, if it can be awaited; else `TypeError`."""
    if not inspect.isawaitable(coming):
        raise TypeError(f"{_returned(part, method, coming)}: it must be an async method")
    return coming


def check_reply(part: object, method: str, reply: _T, wanted: type[_T]) -> _T:
    """Return what a method of a part has replied, if it is a `wanted`; else `TypeError`."""
    if not isinstance(reply, wanted):
        raise TypeError(f"{_returned(part, method, reply)}, not {wanted.__name__}")
    return reply


def _returned(part: object, method: str, value: object) -> str:
    given = "None" if value is None else type(value).__name__
    return f"{type(part).__name__}.{method}() returned {given}"
