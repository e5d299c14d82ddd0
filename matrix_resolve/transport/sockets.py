"""The sockets of a session: what each request has dialled, and how many are open."""

import socket
from contextvars import ContextVar
from typing import Any

_dialled: ContextVar[list[str]] = ContextVar("dialled")


def new_record() -> list[str]:
    """Return a list to which the IP addresses are added that this task dials from now on.

    aiohttp opens sockets in a copy of the request's context, so the list itself is what it shares.
    """
    record: list[str] = []
    _dialled.set(record)
    return record


class Sockets:
    """Opens the sockets of one session, for aiohttp's `socket_factory`, and counts those open."""

    def __init__(self) -> None:
        self._opened = set[socket.socket]()

    def __call__(self, address_info: tuple[Any, ...]) -> socket.socket:
        """Open a socket for what `getaddrinfo` might have returned."""
        family, kind, protocol, _, (address, *_) = address_info
        _dialled.get([]).append(address)
        sock = socket.socket(family, kind, protocol)
        self._opened.add(sock)
        return sock

    def open_at_least(self, most: int) -> bool:
        """Return whether so many or more are open."""
        if len(self._opened) >= most:  # unless some of them are closed by now
            self._opened.difference_update([s for s in self._opened if s.fileno() == -1])
        return len(self._opened) >= most
