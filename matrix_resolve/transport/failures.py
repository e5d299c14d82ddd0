"""Why an address could not be connected to, and whose trouble that is."""

import errno
from collections.abc import Collection
from http import HTTPStatus
from typing import Final

import aiohttp
from attrs import frozen

from matrix_resolve.errors import is_own_trouble
from matrix_resolve.transport.words import in_words

# For want of these no other address could have been dialled either.
_RESOURCES: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


@frozen
class Failure:
    """Why an address could not be connected to, in words.

    `is_own`: that was trouble of our own. `is_general`: no other address would have been better.
    """

    reason: str
    is_own: bool = False
    is_general: bool = False

    @classmethod
    def of(cls, error: BaseException) -> "Failure":
        """Return the failure that aiohttp tells."""
        if _is_of_proxy(error):
            return cls(_of_proxy(error), is_own=True, is_general=True)
        is_own = is_own_trouble(error)
        cause = error.__cause__
        is_general = is_own and isinstance(cause, OSError) and cause.errno in _RESOURCES
        return cls(in_words(error), is_own, is_general)


def _is_of_proxy(error: BaseException) -> bool:
    """Return whether our own proxy was not found, not reached, or asks for another password.

    Other statuses of a proxy's are about the server. Names of servers are never asked by aiohttp.
    """
    if isinstance(error, aiohttp.ClientHttpProxyError):
        return error.status == HTTPStatus.PROXY_AUTHENTICATION_REQUIRED
    return isinstance(error, aiohttp.ClientProxyConnectionError | aiohttp.ClientConnectorDNSError)


def _of_proxy(error: BaseException) -> str:
    told = in_words(error)
    return told if isinstance(error, aiohttp.ClientHttpProxyError) else f"the proxy: {told}"


def are_own(failures: Collection[Failure]) -> bool:
    """Return whether these say nothing about the other side.

    That some address has no route here (there may be no IPv6) says nothing either, unless it is
    the only one.
    """
    if any(failure.is_general for failure in failures):
        return True
    return bool(failures) and all(failure.is_own for failure in failures)
