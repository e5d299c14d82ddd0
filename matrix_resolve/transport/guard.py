"""TLS that is bounded in what it takes in, silent while nothing is asked, and quick to part."""

import asyncio
import math
import ssl
from contextlib import suppress
from time import perf_counter
from typing import Any, Final

from matrix_resolve.transport.attempts import Budget, ConnectionAttempt
from matrix_resolve.transport.connections import Socket
from matrix_resolve.transport.tls_words import note_names

# Seconds of a turn of the event loop.
_SHARE: Final = 0.02
# Bytes of TLS.
_UNREAD: Final = 16 * 1024


class Turn:
    """How much of a turn of the event loop reading may take.

    When that is over, connections wait for the next turn, so that a hundred of them together hold
    up nothing else for long.
    """

    def __init__(self) -> None:
        self._until: float | None = None
        self._waiting: list[asyncio.Transport] = []

    def is_over(self) -> bool:
        """Return whether there is no more time in this turn."""
        now = perf_counter()
        if self._until is None:
            self._until = now + _SHARE
            asyncio.get_running_loop().call_soon(self._end)
        return now > self._until

    def finish(self) -> None:
        """Let no other connection read in this turn; without effect if none has begun to."""
        if self._until is not None:
            self._until = -math.inf

    def postpone(self, transport: asyncio.Transport) -> None:
        """Have a connection go on reading in the next turn."""
        transport.pause_reading()
        self._waiting.append(transport)

    def _end(self) -> None:
        self._until = None
        waiting, self._waiting = self._waiting, []
        for transport in waiting:
            if not transport.is_closing():
                transport.resume_reading()


class GuardedTls:
    """An `ssl.SSLObject` as asyncio and uvloop use it, under guard.

    What breaks a rule is an `OSError`, so that the event loop gives up the connection:

    - What is received is counted as it arrives, before anything is decrypted, and taken off
      `budget`: handshakes, key updates, interim responses and bodies alike.
    - A connection with a request under way reads when it is its `turn`, if there is one.
    - Nothing may arrive while nothing is asked: before the first request and after `rest()`. It
      would be taken for the response to the next request.

    Closing sends our farewell and does not wait for the other side's (RFC 8446, 6.1). asyncio
    would wait 30 s for it, with an open socket.
    """

    def __init__(
        self, tls: ssl.SSLObject, incoming: ssl.MemoryBIO, budget: Budget, turn: Turn | None
    ) -> None:
        self._tls = tls
        self._turn = turn
        self._incoming = incoming
        self._counted = 0
        self._is_asked = False
        self.budget = budget
        self.socket: Socket | None = None
        self._transport: asyncio.Transport | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._tls, name)

    def do_handshake(self) -> None:
        """Go on with the handshake."""
        self._count()
        try:
            self._tls.do_handshake()
        except ssl.SSLCertVerificationError as error:
            note_names(error, self._tls)
            raise
        finally:
            self._counted = self._incoming.pending

    def getpeercert(self, binary_form: bool = False) -> Any:
        """Return the certificate, as a dictionary only once a request has gone out.

        Event loops ask for one before, and keep it: a megabyte if it has thousands of names.
        """
        if self.socket is None and not binary_form:
            return {}
        return self._tls.getpeercert(binary_form)

    def read(self, *args: Any) -> Any:
        """Return what has arrived of the response, or its length when it went into a buffer."""
        if not self._incoming.pending and not self._tls.pending():
            raise ssl.SSLWantReadError  # event loops read until then; OpenSSL's takes longer
        if self._turn is not None and self._transport is not None and self._turn.is_over():
            self._turn.postpone(self._transport)
            raise ssl.SSLWantReadError
        self._count()
        try:
            data = self._tls.read(*args)
        finally:
            self._counted = self._incoming.pending
        if data and not self._is_asked:
            raise OSError("the server sent something that was not asked for")
        return data

    def write(self, data: bytes) -> int:
        """Send a part of a request."""
        self._is_asked = True
        return self._tls.write(data)

    def asks(self, transport: asyncio.Transport, budget: Budget) -> None:
        """Hear that a request goes out on this connection."""
        self.budget = budget
        if self._turn is not None and self._transport is None:
            # Both event loops have it. While we wait for our turn, no more is taken in than this.
            transport.set_read_buffer_limits(high=_UNREAD)  # type: ignore[attr-defined]
            self._transport = transport

    def rest(self) -> None:
        """Expect nothing until something is asked."""
        self._is_asked = False

    def unwrap(self) -> None:
        """Say farewell."""
        self._transport = None  # which holds us in turn
        self._incoming.read()  # what is unread is not read any more
        with suppress(ssl.SSLWantReadError):  # for the other side's
            self._tls.unwrap()

    def _count(self) -> None:
        """Take what has arrived off the budget."""
        self.budget.left -= self._incoming.pending - self._counted
        if self.budget.left < 0:
            if self._turn is not None:  # what aiohttp then does takes as long as reading
                self._turn.finish()
            raise OSError("the server sent too much")


class GuardedContext(ssl.SSLContext):
    """Does what `context` does, which may be anybody's, with every connection under guard.

    With a `turn` connections wait for it, which overrides aiohttp's own pauses: what is received
    must have a bound.
    """

    _context: ssl.SSLContext
    _turn: Turn | None

    def __new__(cls, context: ssl.SSLContext, turn: Turn | None = None) -> "GuardedContext":
        """Wrap `context`; an `ssl.SSLContext` has no `__init__` to do that in."""
        guarded = super().__new__(cls, ssl.PROTOCOL_TLS_CLIENT)
        guarded._context = context
        guarded._turn = turn
        return guarded

    def wrap_bio(  # type: ignore[override]  # asyncio and uvloop ask for no more than GuardedTls has
        self, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO, *args: Any, **kwargs: Any
    ) -> GuardedTls:
        """Return what asyncio and uvloop speak TLS with."""
        attempt = ConnectionAttempt.current()
        attempt.has_tcp = True
        tls = self._context.wrap_bio(incoming, outgoing, *args, **kwargs)
        return GuardedTls(tls, incoming, attempt.budget, self._turn)
