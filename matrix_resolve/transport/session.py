"""The only kind of aiohttp session there is here."""

import encodings.idna  # noqa: F401  # else the first name does, which needs a descriptor
import ssl
from typing import Any, Final

import aiohttp
from aiohttp.client_proto import ResponseHandler

from matrix_resolve.transport.attempts import ConnectionAttempt
from matrix_resolve.transport.connections import Connections
from matrix_resolve.transport.exchange import MAX_HEADERS, Request, Response
from matrix_resolve.transport.guard import GuardedContext, GuardedTls, Turn
from matrix_resolve.transport.pinning import PinnedResolver
from matrix_resolve.transport.tls import default_ssl_context

PIECE: Final = 8 * 1024
"""Bytes to take in at once, by socket and by `read_bufsize`, where a flood must hold up nobody."""


class Connector(aiohttp.TCPConnector):
    """Tells an attempt when what it dials has been reached; a proxy has to connect us then.

    And a socket, when a request on its connection is done with.
    """

    async def _create_direct_connection(self, *args: Any, **kwargs: Any) -> Any:
        connected = await super()._create_direct_connection(*args, **kwargs)
        transport, _ = connected
        ConnectionAttempt.current().reached(transport)
        return connected

    def _release(self, key: Any, protocol: ResponseHandler, *, should_close: bool = False) -> None:
        transport = protocol.transport
        # Before aiohttp may close it: asyncio's has none once it has been closed twice.
        tls = None if transport is None else transport.get_extra_info("ssl_object")
        super()._release(key, protocol, should_close=should_close)
        if transport is not None and isinstance(tls, GuardedTls) and tls.socket is not None:
            tls.socket.released(transport)


def open_session(
    connections: Connections,
    *,
    ssl_context: ssl.SSLContext | None = None,
    turn: Turn | None = None,
    force_close: bool = False,
    keepalive_timeout: float | None = None,
    response_class: type[Response] = Response,
    max_header_lines: int = MAX_HEADERS,
    **settings: Any,
) -> aiohttp.ClientSession:
    """Open a session that dials what an attempt may, by `connections`, and keeps no cookies.

    `ssl_context` None means the system's trust store. `turn` is that of
    `GuardedContext`. A response may have `max_header_lines`. `settings` are `ClientSession`'s.
    """
    connector = Connector(
        resolver=PinnedResolver(),
        use_dns_cache=False,  # it ignores TTLs, and would keep what is no longer pinned
        ssl=GuardedContext(ssl_context or default_ssl_context(), turn),
        force_close=force_close,
        keepalive_timeout=keepalive_timeout,
        limit=0,  # how many at once is for `connections` to say
        socket_factory=connections,
    )
    return aiohttp.ClientSession(
        connector=connector,
        cookie_jar=aiohttp.DummyCookieJar(),
        request_class=Request,
        response_class=response_class,
        # All header fields together have a limit, in whatever lines they come.
        max_line_size=MAX_HEADERS,
        max_field_size=MAX_HEADERS,
        max_headers=max_header_lines,
        **settings,
    )
