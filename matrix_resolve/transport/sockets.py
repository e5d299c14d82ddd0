"""The sockets of a session: what each request has dialled, and how many are open."""

import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from matrix_resolve.transport.words import in_words

Record = dict[str, str | None]
"""IP address -> why it takes no TCP connection, None while that is not known."""

_record: ContextVar[Record] = ContextVar("record")


@contextmanager
def recording() -> Iterator[Record]:
    """Give a record of what requests of this task dial in this context.

    aiohttp opens sockets in a copy of the request's context, so the record itself is what it
    shares.
    """
    record: Record = {}
    token = _record.set(record)
    try:
        yield record
    finally:
        _record.reset(token)


class _Socket(socket.socket):
    """Notes why it could not be connected.

    aiohappyeyeballs tells only of a whole race, but it closes each socket while it handles that
    one's error. A socket that was given up because another came first is closed by a cancellation,
    and one that had been connected, whatever TLS makes of it, by its transport. Should any of this
    change nothing is noted, and the address is dialled once more.
    """

    _noting: tuple[Record, str, BaseException | None] | None = None

    def note(self, record: Record, address: str) -> None:
        """Note in `record` why `address` took no connection, if that is what comes of it."""
        # Who runs an event loop may be handling an error meanwhile: that is none of ours.
        self._noting = (record, address, sys.exception())

    def close(self) -> None:
        """Close the socket."""
        error = sys.exception()
        if self._noting is not None:
            record, address, of_others = self._noting
            if isinstance(error, OSError | RuntimeError) and error is not of_others:
                record[address] = in_words(error)
            self._noting = None
        super().close()


class Sockets:
    """Opens the sockets of one session, for aiohttp's `socket_factory`, and counts those open."""

    def __init__(self) -> None:
        self._opened = set[socket.socket]()

    def __call__(self, address_info: tuple[Any, ...]) -> socket.socket:
        """Open a socket for what `getaddrinfo` might have returned."""
        family, kind, protocol, _, (address, *_) = address_info
        record = _record.get({})
        record.setdefault(address, None)
        sock = _Socket(family, kind, protocol)
        sock.note(record, address)
        self._opened.add(sock)
        return sock

    def open_at_least(self, most: int) -> bool:
        """Return whether so many or more are open."""
        if len(self._opened) >= most:  # unless some of them are closed by now
            self._opened.difference_update([s for s in self._opened if s.fileno() == -1])
        return len(self._opened) >= most
