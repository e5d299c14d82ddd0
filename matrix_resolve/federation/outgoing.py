"""A request that is to be sent: what, and until when."""

import asyncio
import io
import math
import re
from collections.abc import Mapping
from typing import Any, Final

import aiohttp
from attrs import evolve, frozen
from multidict import CIMultiDict

from matrix_resolve.core.names import ServerName
from matrix_resolve.core.resolution import Target
from matrix_resolve.errors import shown

_REFUSED: Final = frozenset(
    {"params", "allow_redirects", "server_hostname", "ssl", "proxy"}
    | {"ssl_context", "verify_ssl", "fingerprint"}  # what `ssl` was called before
    | {"proxy_auth", "proxy_headers"}
)
# A path and query that can go out as they are: no space, control, or fragment, no empty query.
_PATH: Final = re.compile(r"/[\x21\x22\x24-\x3e\x40-\x7e]*(\?[\x21\x22\x24-\x7e]+)?")
# RFC 9110, 5.6.2: what methods and the names of header fields consist of.
_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
# Those of nearly all requests, which need no look at their letters.
_METHODS: Final = frozenset({"GET", "PUT", "POST", "DELETE"})
_NOT_IN_VALUES: Final = re.compile(r"[\r\n\0]")


@frozen
class Limits:
    """How many seconds a request may take, None without a limit.

    In all, for connecting, and on a connection, where aiohttp sees to it.
    """

    total: float | None
    connect: float | None
    on_connection: aiohttp.ClientTimeout

    @classmethod
    def of(cls, given: Any) -> "Limits":
        """Return what aiohttp's `timeout` says; `ValueError` for what is no time."""
        if not isinstance(given, aiohttp.ClientTimeout):
            given = aiohttp.ClientTimeout(total=given)
        connecting = _limit(given.connect), _limit(given.sock_connect)
        return cls(
            _limit(given.total),
            min((seconds for seconds in connecting if seconds is not None), default=None),
            aiohttp.ClientTimeout(
                total=None, sock_read=_limit(given.sock_read), ceil_threshold=given.ceil_threshold
            ),
        )

    def connecting(self, seconds: float | None) -> aiohttp.ClientTimeout:
        """Return aiohttp's limits, of which so many seconds are for connecting."""
        if seconds is None:
            return self.on_connection
        return evolve(self.on_connection, connect=seconds)


class Outgoing:
    """What is to be sent to a server, and until when.

    Raises `TypeError` and `ValueError` for what can't be sent as it stands.
    """

    def __init__(
        self,
        server_name: str | ServerName,
        method: str,
        path: str,
        kwargs: dict[str, Any],
        *,
        limits: Limits,
        max_body: int,
    ) -> None:
        if not _REFUSED.isdisjoint(kwargs):
            refused = ", ".join(sorted(_REFUSED & kwargs.keys()))
            raise TypeError(f"{refused}: not for a federation request")
        if not _PATH.fullmatch(path):
            raise ValueError(f"not a path that can be sent as it stands: {shown(path)}")
        is_method = method in _METHODS or _TOKEN.fullmatch(method)
        if not is_method or method.upper() == "CONNECT":
            raise ValueError(f"not a method of a federation request: {shown(method)}")
        self.server_name: Final = server_name
        self.method: Final = method
        self.path: Final = path
        self.headers: Final = _headers(kwargs.pop("headers", None))
        self.max_body: Final = max_body
        self.limits: Final = Limits.of(kwargs.pop("timeout")) if "timeout" in kwargs else limits
        if "data" in kwargs:
            kwargs["data"] = _repeatable(kwargs["data"])
        self.kwargs: Final = kwargs
        self.waits_for("turn to be sent")
        self._loop = asyncio.get_running_loop()
        self._began = self._loop.time()
        total = self.limits.total
        self.ends_at = None if total is None else self._began + total

    def is_late(self) -> bool:
        """Return whether the time of the request is used up."""
        return self.ends_at is not None and self._loop.time() >= self.ends_at

    def waits_for(self, what: str, target: Target | None = None) -> None:
        """Note what is awaited now, at which target; a time-out tells that."""
        self._awaited = what, target

    def told(self, error: TimeoutError) -> TimeoutError:
        """Return a time-out that tells which server did not give what, after how many seconds."""
        kind = type(error) if isinstance(error, aiohttp.ServerTimeoutError) else TimeoutError
        what, target = self._awaited
        at = "" if target is None else f" {target}"
        return kind(f"{self.server_name}: no {what}{at} after {self.seconds():.3g} s")

    def seconds(self) -> float:
        """Return for how many seconds it has been under way."""
        return self._loop.time() - self._began

    @property
    def has_one_try(self) -> bool:
        """Whether the body is an open file, which aiohttp closes (in a while) at any failure."""
        return "data" in self.kwargs and _has_file(self.kwargs["data"])


def _repeatable(data: Any) -> Any:
    """Return `data` so that it can be sent again, if it isn't an open file."""
    if isinstance(data, io.BytesIO | io.StringIO):
        return data.read()  # aiohttp would read on where it, or the attempt before, came to
    if isinstance(data, Mapping | list | tuple):
        data = aiohttp.FormData(data)
    return data() if isinstance(data, aiohttp.FormData) else data


def _has_file(data: Any) -> bool:
    if isinstance(data, aiohttp.MultipartWriter):
        return any(_has_file(part) for part, *_ in data)
    if isinstance(data, aiohttp.payload.IOBasePayload):
        data = data._value
    return isinstance(data, io.IOBase) and not isinstance(data, io.BytesIO | io.StringIO)


def _headers(given: Any) -> CIMultiDict[str]:
    headers = CIMultiDict[str](given or ())
    for name, value in headers.items():
        if not _TOKEN.fullmatch(name):
            raise ValueError(f"invalid name of a header field: {shown(name)}")
        if isinstance(value, str) and _NOT_IN_VALUES.search(value):
            raise ValueError(f"invalid value of a header field: {shown(value)}")
    if "Host" in headers:
        raise TypeError("the Host header follows from the server name")
    return headers


def _limit(seconds: float | None) -> float | None:
    if seconds is None or seconds == math.inf:
        return None
    if not seconds >= 0:
        raise ValueError(f"a time-out of {seconds!r} s")
    return seconds or None  # 0 is no limit, as aiohttp has it
