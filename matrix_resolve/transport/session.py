"""The only kind of aiohttp session there is here."""

import ssl
from typing import Any

import aiohttp

from matrix_resolve.transport.pinning import PinnedResolver
from matrix_resolve.transport.sockets import Sockets
from matrix_resolve.transport.tls import default_ssl_context


def open_session(
    sockets: Sockets,
    *,
    ssl_context: ssl.SSLContext | None = None,
    force_close: bool = False,
    **settings: Any,
) -> aiohttp.ClientSession:
    """Open a session that dials what is pinned, through `sockets`, and keeps no cookies.

    `ssl_context` None means the system's trust store. `settings` are `ClientSession`'s.
    """
    connector = aiohttp.TCPConnector(
        resolver=PinnedResolver(),
        use_dns_cache=False,  # it ignores TTLs, and would keep what is no longer pinned
        ssl=ssl_context or default_ssl_context(),
        force_close=force_close,
        limit=0,  # how many at once is for the callers to say
        socket_factory=sockets,
    )
    return aiohttp.ClientSession(
        connector=connector, cookie_jar=aiohttp.DummyCookieJar(), **settings
    )
