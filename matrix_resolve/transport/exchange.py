"""A request and its response on a connection: what aiohttp is made to do besides."""

import asyncio
from typing import Final, cast

import aiohttp
from aiohttp.connector import Connection

from matrix_resolve.interfaces import heard_from_peer
from matrix_resolve.transport.attempts import ConnectionAttempt
from matrix_resolve.transport.connections import Socket
from matrix_resolve.transport.guard import GuardedTls

# Bytes of all header fields of a response, in any number of lines.
MAX_HEADERS: Final = 64 * 1024
# Bytes of a body that are taken in at once: few, so that a flood holds up nobody else.
_BITE: Final = 1024


class Request(aiohttp.ClientRequest):
    """Goes out only if its attempt has not been overtaken, and on a connection under guard."""

    async def send(self, conn: Connection) -> aiohttp.ClientResponse:
        """Send the request; what it raises closes the connection."""
        heard_from_peer()
        attempt = ConnectionAttempt.current()
        protocol, transport = conn.protocol, conn.transport
        assert protocol is not None
        if transport is None:
            raise aiohttp.ServerDisconnectedError
        attempt.claim()
        tls = cast(GuardedTls, transport.get_extra_info("ssl_object"))
        tls.asks(transport, attempt.budget)
        if tls.socket is None:  # those that lost a race for TCP are closed by now
            sock = sorted(attempt.sockets, key=lambda sock: sock.fileno() >= 0)[-1]
            assert isinstance(sock, Socket)
            tls.socket = sock
        tls.socket.used(attempt.key)
        if "close" in self.headers.get("Connection", "").lower():
            protocol.force_close()  # aiohttp looks for it in the response only (RFC 9112, 9.6)

        conn.add_callback(tls.rest)
        return await super().send(conn)


class Response(aiohttp.ClientResponse):
    """Has a limit for its headers."""

    async def start(self, connection: Connection) -> "Response":
        """Receive the head of the response."""
        attempt = ConnectionAttempt.current()
        try:
            await super().start(connection)
        except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
            attempt.failure = error
            raise
        if sum(len(name) + len(value) for name, value in self.raw_headers) > MAX_HEADERS:
            raise aiohttp.ClientResponseError(
                self.request_info, (), status=400, message=f"headers over {MAX_HEADERS} bytes"
            )
        return self


async def read_body(response: aiohttp.ClientResponse, limit: int) -> bytes:
    """Return the first `limit` bytes of a body, or all of it."""
    body = bytearray()
    while len(body) < limit:
        chunk = await response.content.read(min(_BITE, limit - len(body)))
        if not chunk:
            break
        heard_from_peer()
        body += chunk
        if response.content.at_eof():
            break
        await asyncio.sleep(0)  # a body may come in thousands of chunks, all there already
    return bytes(body)
