"""A response whose body has a limit, and whose time-outs say what they are of."""

import math

from aiohttp.connector import Connection

from matrix_resolve.errors import ResponseTooLargeError
from matrix_resolve.federation.outgoing import Outgoing
from matrix_resolve.transport.attempts import ConnectionAttempt
from matrix_resolve.transport.exchange import Response


class FederationResponse(Response):
    """An `aiohttp.ClientResponse` whose `read()`, `text()` and `json()` have a limit.

    They raise `ResponseTooLargeError` for a longer body, after decompression. The stream,
    `content`, has no limit.
    """

    outgoing: Outgoing

    async def start(self, connection: Connection) -> "FederationResponse":
        """Receive the head of the response."""
        await super().start(connection)
        ConnectionAttempt.current().budget.left = math.inf  # the body is the caller's to bound
        return self

    async def read(self) -> bytes:
        """Return the body.

        Raises `ResponseTooLargeError`, `TimeoutError`, and aiohttp's errors.
        """
        if self._body is None:  # where aiohttp keeps it
            self.outgoing.awaits = "rest of the response"
            try:
                self._body = await self._read_all(self.outgoing.max_body)
            except BaseException as error:
                self.close()
                if isinstance(error, TimeoutError):
                    raise self.outgoing.told(error) from error
                raise
        return await super().read()

    async def _read_all(self, most: int) -> bytes:
        pieces, size = [], 0
        while piece := await self.content.readany():
            pieces.append(piece)
            size += len(piece)
            if size > most:
                raise ResponseTooLargeError(
                    f"the response of {self.outgoing.server_name} is over {most} bytes"
                )
        return b"".join(pieces)
