"""Whose trouble it is that an address could not be connected to."""

import errno
import os
import ssl

import aiohttp
import pytest
from test_words import not_connected

from matrix_resolve.transport.failures import Failure, are_own


def failed(number: int) -> Failure:
    """The failure that aiohttp tells for an error number of the system's."""
    return Failure.of(not_connected(OSError(number, os.strerror(number))))


REFUSED, TIMED_OUT = failed(errno.ECONNREFUSED), Failure("no connection within 5 s")
CERTIFICATE = Failure.of(not_connected(ssl.SSLCertVerificationError(1, "wrong name")))
RESOURCES = [failed(n) for n in (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)]
ROUTES = [
    failed(n)
    for n in (
        errno.ENETDOWN,
        errno.ENETUNREACH,
        errno.EADDRNOTAVAIL,
        errno.EACCES,
        errno.EPERM,
    )
]


@pytest.mark.parametrize("own", [*RESOURCES, *ROUTES], ids=lambda own: own.reason)
def test_alone(own: Failure) -> None:
    """Nothing was learned about the other side."""
    assert are_own([own])
    assert are_own([own, own])


@pytest.mark.parametrize("theirs", [REFUSED, TIMED_OUT, CERTIFICATE], ids=lambda f: f.reason)
def test_the_other_sides(theirs: Failure) -> None:
    """What says something about the other side is not our own, though we may have no IPv6."""
    assert not are_own([theirs])
    for route in ROUTES:
        assert not are_own([route, theirs])
    for resource in RESOURCES:  # or else the other address might have answered
        assert are_own([theirs, resource])


def test_nothing_failed() -> None:
    """Then nothing is anybody's trouble."""
    assert not are_own([])


def test_words() -> None:
    """A failure is told by its cause."""
    assert failed(errno.EMFILE).reason == "[Errno 24] Too many open files"
    assert Failure.of(aiohttp.ClientError("x")).reason == "x"
