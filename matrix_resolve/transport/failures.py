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
    `is_lookup`: the addresses could not be looked up, be it the fault of whose DNS it may.
    """

    reason: str
    is_own: bool = False
    is_general: bool = False
    is_lookup: bool = False

    @classmethod
    def of(cls, error: BaseException) -> "Failure":
        """Return the failure that aiohttp tells."""
        is_own = is_own_trouble(error)
        cause = error.__cause__
        is_general = is_own and isinstance(cause, OSError) and cause.errno in _RESOURCES
        return cls(in_words(error), is_own, is_general)

    @classmethod
    def of_proxy(cls, error: BaseException, *, is_reached: bool) -> "Failure":
        """Return the failure of a proxy to be reached, or else to connect us.

        Its answers, and its silence, are about the server: it tries to connect. What is no answer
        is not, nor is that it asks for another password.
        """
        if isinstance(error, aiohttp.ClientHttpProxyError):
            is_own = error.status == HTTPStatus.PROXY_AUTHENTICATION_REQUIRED
            return cls(in_words(error), is_own, is_general=is_own)
        is_own = not is_reached or not isinstance(error, TimeoutError)
        return cls(f"the proxy: {in_words(error)}", is_own, is_general=not is_reached)


def are_own(failures: Collection[Failure]) -> bool:
    """Return whether these say nothing about the other side.

    That some address has no route here (there may be no IPv6) says nothing either, unless it is
    the only one.
    """
    if any(failure.is_general for failure in failures):
        return True
    return bool(failures) and all(failure.is_own for failure in failures)
