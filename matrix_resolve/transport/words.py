"""Errors in words: what strangers send is part of them."""

import ssl
from collections.abc import Iterable
from typing import Final

import aiohttp

from matrix_resolve.transport.tls_words import tls_in_words

# Characters: a reason is kept in caches and written to logs.
_MOST: Final = 200


def in_words(error: BaseException) -> str:
    """Return a reason for a person: the cause that aiohttp wraps, short, on one line of ASCII."""
    if isinstance(error, aiohttp.ClientConnectorError) and isinstance(error.__cause__, Exception):
        error = error.__cause__
    told = error.message if isinstance(error, aiohttp.ClientResponseError) else str(error)
    if isinstance(error, ssl.SSLError):
        told = tls_in_words(error)
    if isinstance(error, aiohttp.ClientHttpProxyError):
        told = f"the proxy answered {error.status} {told}"
    if isinstance(error, aiohttp.ServerDisconnectedError):
        told = "Server disconnected"  # or the repr of a head that was cut short
    line = " ".join(told.split()) or type(error).__name__
    return ascii(line[:_MOST])[1:-1]


def together(reasons: Iterable[str]) -> str:
    """Return what `in_words` told of several errors as one reason, no longer than each of them."""
    return "; ".join(dict.fromkeys(reasons))[:_MOST]
