"""A response whose body has a limit, and whose time-outs say what they are of."""

import asyncio
import math
from types import TracebackType

import aiohttp
from aiohttp.connector import Connection
from aiohttp.helpers import BaseTimerContext, TimerContext

from matrix_resolve.core.resolution import Target
from matrix_resolve.errors import ResponseTooLargeError
from matrix_resolve.federation.outgoing import Outgoing
from matrix_resolve.transport.attempts import ConnectionAttempt
from matrix_resolve.transport.exchange import Response


class _BodyTimer(BaseTimerContext):
    """The time of a request while somebody waits for its body.

    aiohttp's would be set all the time, and raises an error without any text.
    """

    def __init__(self, outgoing: Outgoing, ends_at: float) -> None:
        self._outgoing = outgoing
        self._ends_at = ends_at
        self._has_all = False
        self._timer: asyncio.TimerHandle
        self._waiting: TimerContext

    def ended(self) -> None:
        """Hear that all of the body is there; if it is in time, it may be read at any time."""
        self._has_all = not self._outgoing.is_late()

    def assert_timeout(self) -> None:
        """Raise `TimeoutError` if the time is over."""
        if not self._has_all and self._outgoing.is_late():
            raise _told(self._outgoing, TimeoutError())

    def __enter__(self) -> BaseTimerContext:
        self.assert_timeout()
        loop = asyncio.get_running_loop()
        self._waiting = TimerContext(loop)
        self._timer = loop.call_at(self._ends_at, self._waiting.timeout)
        self._waiting.__enter__()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool | None:
        self._timer.cancel()
        try:
            return self._waiting.__exit__(exc_type, exc_value, traceback)
        except TimeoutError as error:
            raise _told(self._outgoing, error) from error


def _told(outgoing: Outgoing, error: TimeoutError) -> TimeoutError:
    """Return a time-out of a body that tells whose it is, after how many seconds."""
    outgoing.waits_for("rest of the response")
    return outgoing.told(error)


class FederationResponse(Response):
    """An `aiohttp.ClientResponse` whose `read()`, `text()` and `json()` have a limit.

    They raise `ResponseTooLargeError` for a longer body, after decompression. The stream,
    `content`, has no limit. It came from `target`; `reused`: on a connection that was open already.
    """

    _outgoing: Outgoing
    target: Target
    reused: bool

    async def start(self, connection: Connection) -> "FederationResponse":
        """Receive the head of the response."""
        await super().start(connection)
        attempt = ConnectionAttempt.current()
        attempt.budget.left = math.inf  # the body is the caller's to bound
        self.reused = not attempt.sockets
        return self

    def answers(self, outgoing: Outgoing) -> None:
        """Be the response to that; to be said before the body is read."""
        self._outgoing = outgoing
        if outgoing.ends_at is not None and not self.content.is_eof():
            self.content._timer = timer = _BodyTimer(outgoing, outgoing.ends_at)
            self.content.on_eof(timer.ended)

    async def read(self) -> bytes:
        """Return the body.

        Raises `ResponseTooLargeError`, `TimeoutError`, and aiohttp's errors.
        """
        if self._body is None:  # where aiohttp keeps it
            try:
                self._body = await self._read_all(self._outgoing)
            except BaseException as error:
                self.close()
                if isinstance(error, aiohttp.ServerTimeoutError):  # the timer tells of others
                    raise _told(self._outgoing, error) from error
                raise
        return await super().read()

    async def _read_all(self, outgoing: Outgoing) -> bytes:
        pieces, size = [], 0
        while piece := await self.content.readany():
            pieces.append(piece)
            size += len(piece)
            if size > outgoing.max_body:
                raise ResponseTooLargeError(
                    f"the response of {outgoing.server_name} is over {outgoing.max_body} bytes"
                )
        return b"".join(pieces)
