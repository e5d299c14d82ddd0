"""One go at connecting and sending: what aiohttp is to know of it, wherever it is."""

import asyncio
import errno
import math
import socket
from collections.abc import Awaitable, Callable, Hashable, Sequence
from contextvars import ContextVar
from typing import Final, Protocol

SocketAddress = tuple[str, int]

Find = Callable[[], Awaitable[Sequence[SocketAddress]]]
"""Gives the (IP address, port) pairs to dial, in order."""

_current: ContextVar["ConnectionAttempt"] = ContextVar("attempt")


class OvertakenError(Exception):
    """Another attempt has a connection already."""


class Budget:
    """How many bytes may still be received; several connections may share one."""

    def __init__(self, left: float = math.inf) -> None:
        self.left = left


class Claimed(Protocol):
    """What several attempts want to have."""

    def claim(self, attempt: "ConnectionAttempt", /) -> None:
        """Let `attempt` have it; raise `OvertakenError` if another one has it."""


class ConnectionAttempt:
    """What one request of aiohttp's may dial, and how far it has come.

    A host is dialled at `addresses`, unless a `proxy` is; with None only a connection may be used
    that is open already. `connected` is called when there is a connection. aiohttp shares the
    current attempt by the context of its task.
    """

    def __init__(
        self,
        key: Hashable,
        addresses: Sequence[SocketAddress] | None,
        budget: Budget,
        connected: Callable[[], None] = lambda: None,
        proxy: str | None = None,
    ) -> None:
        self.key: Final = key
        self.addresses: Final = addresses
        self.budget: Final = budget
        self._connected = connected
        self.proxy: Final = proxy
        self.has_room = False
        self.has_tcp = False
        self.has_sent = False
        self.transport: asyncio.Transport | None = None
        self.sockets: list[socket.socket] = []
        self.dialled: list[str] = []
        self.failure: Exception | None = None
        self.race: Claimed | None = None

    @staticmethod
    def current() -> "ConnectionAttempt":
        """Return the attempt that this task makes."""
        return _current.get()

    def begin(self) -> None:
        """Become the current attempt."""
        _current.set(self)

    def may_dial(self) -> None:
        """Raise `OSError` unless a socket may be opened.

        aiohttp repeats requests of some methods when a connection closes before the head of the
        response is complete. That of a new one would be no better (RFC 9112, 9.3.1).
        """
        if self.addresses is None or (self.has_sent and self.sockets):
            raise OSError(errno.ENOTCONN, "there is no connection to use again")

    def reached(self, transport: asyncio.Transport) -> None:
        """Hear that there is a connection to what was dialled."""
        self.transport = transport
        self.has_tcp = False  # the host's, if this is a proxy

    def ended(self) -> None:
        """Hear that this was all; aiohttp leaves a proxy's connection open if it was closed."""
        if self.transport is not None and not self.has_sent:
            self.transport.abort()
        # Cancelled timers hold this for a while, by their contexts, and the race holds its winner.
        self.transport = self.race = None

    def claim(self) -> None:
        """Hear that there is a connection; raise `OvertakenError` if it is not wanted any more."""
        if self.race is not None:
            self.race.claim(self)
        self.has_sent = True
        self._connected()
