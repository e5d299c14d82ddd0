"""What is told of a request of the federation client: that it begins, and how it went."""

import asyncio
from typing import Literal

from attrs import frozen

from matrix_resolve.core.names import ServerName
from matrix_resolve.core.resolution import Target
from matrix_resolve.errors import AddressNotAllowedError, ConnectError, MatrixResolveError

Answered = Literal["2xx", "3xx", "4xx", "5xx", "other"]
NotAnswered = Literal["unreachable", "forbidden", "unresolved", "timed_out", "cancelled", "failed"]

_BY_STATUS: dict[int, Answered] = {2: "2xx", 3: "3xx", 4: "4xx", 5: "5xx"}


@frozen(kw_only=True)
class RequestBegun:
    """A request of the federation client begins: told in its caller's context, as is its end.

    One `RequestAnswered` or `RequestFailed` follows, and what is resolved for it is told between.
    """

    server_name: ServerName
    method: str


@frozen(kw_only=True)
class RequestAnswered:
    """`target` has answered a request: the head of the response is there.

    `duration` seconds after it began, waiting for its turn, resolving and connecting included.
    `reused`: on a connection that an earlier request had opened.
    """

    server_name: ServerName
    method: str
    target: Target
    status: int
    duration: float
    reused: bool

    @property
    def outcome(self) -> Answered:
        """The status in one word: "2xx", "3xx", "4xx", "5xx" or "other"."""
        return _BY_STATUS.get(self.status // 100, "other")


@frozen(kw_only=True)
class TargetFailed:
    """No connection to `target` came about within `duration` seconds; the next one is tried.

    `reason` tells why, of each address. `own_trouble`: for want of something of our own (DNS that
    can't be asked, descriptors, a route).
    """

    server_name: ServerName
    target: Target
    reason: str
    duration: float
    own_trouble: bool


@frozen(kw_only=True)
class RequestFailed:
    """A request has raised `error`, `duration` seconds after it began, before any response.

    That is `CancelledError` if its caller has given it up.
    """

    server_name: ServerName
    method: str
    error: BaseException
    duration: float

    @property
    def outcome(self) -> NotAnswered:
        """In one word, why.

        "unreachable" (`ConnectError`), "forbidden" (by the address policy), "unresolved" (what
        `resolve()` raises), "timed_out", "cancelled", or "failed": on a connection, and all else.
        """
        match self.error:
            case ConnectError():
                return "unreachable"
            case AddressNotAllowedError():
                return "forbidden"
            case MatrixResolveError():
                return "unresolved"
            case TimeoutError():
                return "timed_out"
            case asyncio.CancelledError():
                return "cancelled"
            case _:
                return "failed"
