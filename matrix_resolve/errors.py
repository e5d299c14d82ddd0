"""Every error that this package raises on purpose.

MatrixResolveError
├── InvalidServerNameError (also ValueError)   the caller's name is no server name
├── ServiceNotOfferedError                     the server says: no federation here
├── AddressNotAllowedError                     the address policy forbids every address
├── ConnectError                               no target could be reached
├── ResponseTooLargeError                      a federation response is longer than `max_body`
└── BackendError                               what plug-ins raise: "no answer"
    ├── WellKnownFetchError                    -> the decision goes on at step 4
    ├── SrvLookupError                         -> see Policy.srv_failure
    ├── AddressLookupError                     -> no endpoints; of a fetch, step 4
    └── CacheError                             -> treated as a miss

The first branch is the caller's to mend, the next two are facts about the other server, and a
`BackendError` blames the network or the plug-in that met it.
"""

import errno
from collections.abc import Callable, Sequence
from ipaddress import IPv4Address, IPv6Address
from typing import Any, Final, Protocol

_OWN_TROUBLE: Final = frozenset(
    {
        errno.EMFILE,
        errno.ENFILE,
        errno.ENOBUFS,
        errno.ENOMEM,
        errno.ENETDOWN,
        errno.ENETUNREACH,
        errno.EADDRNOTAVAIL,
        errno.EACCES,
        errno.EPERM,
    }
)
# Errors cause each other in a row of so many at most.
_CAUSES: Final = 16

# A host may have thousands of addresses: so many stand in an error, and in its text.
_MOST_LISTED = 256
_MOST_TOLD = 8


class MatrixResolveError(Exception):
    """The root: catch this to catch everything that a resolution can end in."""


class InvalidServerNameError(MatrixResolveError, ValueError):
    """The text is no Matrix server name (specification, appendix "Server Name").

    `server_name` is the text as it was given, `reason` says what is wrong with it, `suggestion` is
    the server name that was meant, where that can be guessed.
    """

    def __init__(self, server_name: object, reason: str, suggestion: str | None = None) -> None:
        super().__init__(server_name, reason, suggestion)
        self.server_name = server_name
        self.reason = reason
        self.suggestion = suggestion

    def __str__(self) -> str:
        told = f"{shown(self.server_name)} is not a server name: {self.reason}"
        if self.suggestion is not None:
            told += f"; did you mean {shown(self.suggestion)}?"
        return told


class ServiceNotOfferedError(MatrixResolveError):
    """The only SRV record has the target ".": the service is decidedly not offered (RFC 2782)."""


class AddressNotAllowedError(MatrixResolveError):
    """The address policy forbids every address that there is.

    `addresses` lists the first of them, at most 256; `count` says how many there are.
    """

    def __init__(
        self,
        host: str,
        addresses: Sequence[IPv4Address | IPv6Address],
        count: int | None = None,
    ) -> None:
        self.host = host
        self.addresses = tuple(addresses[:_MOST_LISTED])
        self.count = len(addresses) if count is None else count
        super().__init__(host, self.addresses, self.count)

    def __str__(self) -> str:
        told = self.addresses[:_MOST_TOLD]
        listed = ", ".join(map(str, told))
        more = f" and {self.count - len(told):,} more" if self.count > len(told) else ""
        return f"the address policy forbids every address of {self.host}: {listed}{more}"


class FailedTarget(Protocol):
    """Where an attempt went; the client's are `Target`s."""

    @property
    def host(self) -> str:
        """A host name or IP address."""
        ...

    @property
    def port(self) -> int:
        """A TCP port."""
        ...


class FailedAttempt(Protocol):
    """What was tried in vain; the client's are `Attempt`s."""

    @property
    def target(self) -> FailedTarget:
        """Where it went."""
        ...

    @property
    def address(self) -> IPv4Address | IPv6Address | None:
        """The address that was dialled; None if it is the target as a whole that failed."""
        ...

    @property
    def reason(self) -> str:
        """Why it failed, in words."""
        ...


class ConnectError(MatrixResolveError):
    """No target could be reached; `attempts`, each an `Attempt`, says for each address why."""

    def __init__(self, message: str, attempts: Sequence[FailedAttempt] = ()) -> None:
        super().__init__(message, tuple(attempts))
        self.attempts = tuple(attempts)

    def __str__(self) -> str:
        return str(self.args[0])


class ResponseTooLargeError(MatrixResolveError):
    """The body of a federation response is longer than the client's `max_body`."""


class BackendError(MatrixResolveError):
    """A plug-in has no answer.

    `temporary` tells whether asking again soon may help (no connection, a time-out) or the
    answer is definite (a refused redirect, for example). It decides how long the failure is
    remembered. `reason` is kept as `readable` makes it: cut, and printable.
    """

    def __init__(self, reason: object, *, temporary: bool = True) -> None:
        self.reason = readable(reason) or "no reason was given"
        self.temporary = bool(temporary)
        super().__init__(self.reason)


class WellKnownFetchError(BackendError):
    """The well-known document could not be fetched.

    `own_trouble`: nothing is known about the other side, since we lacked something ourselves:
    descriptors, buffers, any route. It must not outlast itself, so it is remembered as briefly as
    a failed lookup, as temporary, whatever `temporary` says. One that is raised `from` such an
    `OSError` need not say so; see `is_own_trouble`.
    """

    def __init__(
        self, reason: object, *, temporary: bool = True, own_trouble: bool = False
    ) -> None:
        super().__init__(reason, temporary=temporary)
        self.own_trouble = own_trouble


class SrvLookupError(BackendError):
    """An SRV lookup failed: SERVFAIL, REFUSED, time-out. "No records" is an answer, not this."""


class AddressLookupError(BackendError):
    """The addresses of a host could not be found out, or, from `endpoints()`, there are none."""


class CacheError(BackendError):
    """A cache could not be read or written, or a cached value is not one of ours."""


def is_own_trouble(error: BaseException) -> bool:
    """Return whether `error`, or what it was raised from, blames nobody but ourselves.

    So do a lookup that failed, a `WellKnownFetchError` that says so, and an `OSError` of the
    system's for want of descriptors, buffers, a route or a permission.
    """
    cause: BaseException | None = error
    for _ in range(_CAUSES):
        if cause is None:
            break
        if isinstance(cause, AddressLookupError) or getattr(cause, "own_trouble", False) is True:
            return True
        # Others number theirs differently: an `ssl.SSLError` has 1, which is EPERM.
        is_systems = type(cause) in (OSError, PermissionError)
        if is_systems and getattr(cause, "errno", None) in _OWN_TROUBLE:
            return True
        cause = cause.__cause__
    return False


def shown(value: object, limit: int = 80) -> str:
    """Return `value` quoted for a message: printable ASCII on one line, at most `limit` long.

    Names and documents come from strangers; none of their bytes reaches a log or terminal raw.
    """
    if not isinstance(value, str):  # the repr of a deeply nested list may exhaust the stack
        return f"a {type(value).__name__}"
    # Cut before quoting, so that a megabyte of text is not escaped only to be thrown away.
    text = ascii(value[:limit])
    if value[:limit].isascii() and value[:limit].isprintable():  # `readable` may have escaped it
        text = text.replace("\\\\", "\\")
    return text if len(text) <= limit else text[: limit - 3] + "..."


def written(value: object, write: Callable[[Any], str] = str) -> str:
    """Return what `write` makes of a value of somebody's, be its own code for that broken."""
    try:
        return write(value)
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException:
        return f"a {type(value).__name__}"


def readable(value: object, limit: int = 400) -> str:
    """Return a reason or a URL of a stranger's as it may be kept and told, without quotes.

    Like what `shown` gives it is printable ASCII on one line, at most `limit` long.
    """
    if isinstance(value, str):
        text = str.__str__(value)  # a subclass may print as something else
    elif isinstance(value, BaseException | int | float):
        # An exception of others, which may have no text; a number of 5,000 digits.
        text = written(value) or type(value).__name__
    else:
        text = shown(value)
    text = text[: limit + 1]
    if not (text.isascii() and text.isprintable()):
        text = "".join(char if " " <= char <= "~" else ascii(char)[1:-1] for char in text)
    return text if len(text) <= limit else text[: limit - 3] + "..."
