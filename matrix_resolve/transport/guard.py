"""TLS that is bounded in what it takes in, silent while nothing is asked, and quick to part."""

import socket
import ssl
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

from matrix_resolve.transport.attempts import Attempt, Budget

_T = TypeVar("_T")


class GuardedTls:
    """An `ssl.SSLObject` as asyncio and uvloop use it, under guard.

    What breaks a rule is an `OSError`, so that the event loop gives up the connection:

    - What is received is counted as it arrives, before anything is decrypted, and taken off
      `budget`: handshakes, key updates, interim responses and bodies alike.
    - Nothing may arrive while nothing is asked: before the first request and after `rest()`. It
      would be taken for the response to the next request.

    Closing sends our farewell and does not wait for the other side's (RFC 8446, 6.1). asyncio
    would wait 30 s for it, with an open socket.
    """

    def __init__(self, tls: ssl.SSLObject, incoming: ssl.MemoryBIO, budget: Budget) -> None:
        self._tls = tls
        self._incoming = incoming
        self._counted = 0
        self._is_asked = False
        self.budget = budget
        self.socket: socket.socket | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._tls, name)

    def do_handshake(self) -> None:
        """Go on with the handshake."""
        self._taking(self._tls.do_handshake)

    def read(self, *args: Any) -> Any:
        """Return what has arrived of the response, or its length when it went into a buffer."""
        data = self._taking(self._tls.read, *args)
        if data and not self._is_asked:
            raise OSError("the server sent something that was not asked for")
        return data

    def write(self, data: bytes) -> int:
        """Send a part of a request."""
        self._is_asked = True
        return self._tls.write(data)

    def rest(self) -> None:
        """Expect nothing until something is asked."""
        self._is_asked = False

    def unwrap(self) -> None:
        """Say farewell."""
        with suppress(ssl.SSLWantReadError):  # for the other side's
            self._tls.unwrap()

    def _taking(self, operation: Callable[..., _T], *args: Any) -> _T:
        arrived = self._incoming.pending - self._counted
        self.budget.left -= arrived
        if self.budget.left < 0:
            raise OSError("the server sent too much")
        try:
            return operation(*args)
        finally:
            self._counted = self._incoming.pending


class GuardedContext(ssl.SSLContext):
    """Does what `context` does, which may be anybody's, with every connection under guard."""

    _context: ssl.SSLContext

    def __new__(cls, context: ssl.SSLContext) -> "GuardedContext":  # noqa: D102
        guarded = super().__new__(cls, ssl.PROTOCOL_TLS_CLIENT)
        guarded._context = context
        return guarded

    def wrap_bio(  # type: ignore[override]  # asyncio and uvloop ask for no more than GuardedTls has
        self, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO, *args: Any, **kwargs: Any
    ) -> GuardedTls:
        """Return what asyncio and uvloop speak TLS with."""
        attempt = Attempt.current()
        attempt.has_tcp = True
        tls = self._context.wrap_bio(incoming, outgoing, *args, **kwargs)
        return GuardedTls(tls, incoming, attempt.budget)
