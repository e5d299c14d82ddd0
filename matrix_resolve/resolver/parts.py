"""The parts of a resolver, looked at when it is made."""

from typing import Final

from matrix_resolve.core.parts import check_part

_METHODS: Final = {
    "well_known": ("fetch",),
    "srv": ("lookup_srv",),
    "addresses": ("lookup_addresses",),
    "cache": ("get", "put", "delete"),
    "clock": ("time", "monotonic"),
}


def check_parts(**parts: object) -> None:
    """Raise `TypeError` for a part that lacks a method, or is a class in place of an instance."""
    for name, part in parts.items():
        check_part(name, part, *_METHODS[name])
