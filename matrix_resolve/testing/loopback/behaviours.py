"""What a loopback server does with a request: answer well, badly, late, or not at all.

A behaviour may be any of these; so may what a function of the `Request` (a coroutine function
too) returns:

- a dictionary, or anything else that JSON has: sent as JSON with status 200
- bytes: sent as they are, with status 200
- None: a 404
- `Reply`, `Redirect`: any status, headers and body
- `Slow`, `Dripping`, `Endless`, `CutShort`, `Raw`: answers that trouble a client
- `Silent`, `Refused`, `Raw(..., tls=False)`: trouble before there is TLS
"""

import asyncio
import json
import math
from asyncio import StreamWriter
from collections.abc import Sequence
from http import HTTPStatus
from inspect import isawaitable
from typing import Any, Protocol, TypeAlias, runtime_checkable

from attrs import field, frozen

Headers = Sequence[tuple[str, str]]
Behaviour: TypeAlias = Any
"""One of those that this module's docstring lists."""


@frozen(kw_only=True)
class Request:
    """What a server saw.

    `target` is what the client meant to connect to, (host, port); `sni` the name in the TLS
    handshake, None if there was none; `path` the path and query, byte for byte as they came.
    """

    target: tuple[str, int]
    sni: str | None
    method: str
    path: str
    headers: tuple[tuple[str, str], ...]
    body: bytes = field(default=b"", repr=False)

    @property
    def host(self) -> str:
        """The `Host` header, "" if there was none."""
        return self._first("host")

    @property
    def closes(self) -> bool:
        """Whether the client asks for the connection to be closed after the answer."""
        return self._first("connection").lower() == "close"

    def _first(self, wanted: str) -> str:
        return next((value for name, value in self.headers if name.lower() == wanted), "")

    def seen(self) -> dict[str, Any]:
        """Return the version document that servers answer with, and in it what they saw."""
        return {
            "server": {"name": "loopback", "version": "1"},
            "target": list(self.target),
            "host": self.host,
            "sni": self.sni,
            "method": self.method,
            "path": self.path,
            "body": self.body.decode("utf-8", "replace"),
        }


@runtime_checkable
class Answer(Protocol):
    """Writes one answer; what the classes below have in common."""

    async def write(self, stream: StreamWriter, /) -> bool:
        """Write the answer; return whether the connection can be used for another request."""
        ...


@frozen
class Reply:
    """An answer with any status, headers and body.

    `body` is bytes, or else sent as JSON. `Content-Length` and, for JSON, `Content-Type` are added
    unless `headers` has them; no other header is.
    """

    status: int = 200
    headers: Headers = ()
    body: Any = b""

    def head_and_body(self, length: int | None = None) -> tuple[bytes, bytes]:
        """Return the bytes before the body, and the body; `length` is claimed if it is given."""
        headers = list(self.headers)
        given = {name.lower() for name, _ in headers}
        body = self.body
        if not isinstance(body, bytes):
            body = json.dumps(body).encode()
            if "content-type" not in given:
                headers.append(("Content-Type", "application/json"))
        if not given & {"content-length", "transfer-encoding"}:
            headers.append(("Content-Length", str(len(body) if length is None else length)))
        try:
            phrase = HTTPStatus(self.status).phrase
        except ValueError:
            phrase = "Unknown"
        lines = [f"HTTP/1.1 {self.status} {phrase}", *(f"{n}: {v}" for n, v in headers), "", ""]
        return "\r\n".join(lines).encode("latin-1"), body

    async def write(self, stream: StreamWriter, /) -> bool:
        """Write all of it at once."""
        stream.write(b"".join(self.head_and_body()))
        await stream.drain()
        return not any(n.lower() == "connection" and "close" in v for n, v in self.headers)


@frozen
class Redirect:
    """A redirect to `location`, which None leaves out.

    To its own path it makes a loop (`Redirect("/.well-known/matrix/server")`).
    """

    location: str | None
    status: int = 302

    async def write(self, stream: StreamWriter, /) -> bool:
        """Write a reply without a body."""
        headers = () if self.location is None else (("Location", self.location),)
        return await Reply(self.status, headers).write(stream)


@frozen
class Slow:
    """Reads the request and answers after `seconds`, with `math.inf` never.

    `then` is any behaviour that is no function.
    """

    seconds: float
    then: Behaviour = None

    async def write(self, stream: StreamWriter, /) -> bool:
        """Wait, then do as `then` says."""
        if math.isinf(self.seconds):
            await asyncio.Event().wait()
        await asyncio.sleep(self.seconds)
        return await static_answer(self.then).write(stream)


@frozen
class Dripping:
    """Answers at once, but the body comes a byte at a time, `interval` seconds apart."""

    body: Any = field(factory=lambda: {"m.server": "dripping.example:443"})
    interval: float = 0.1

    async def write(self, stream: StreamWriter, /) -> bool:
        """Write the head, then drip."""
        head, body = Reply(body=self.body).head_and_body()
        stream.write(head)
        for at in range(len(body)):
            await asyncio.sleep(self.interval)
            stream.write(body[at : at + 1])
            await stream.drain()
        return True


@frozen
class Endless:
    """A body that goes on as long as the client reads."""

    piece: bytes = b" " * 16384

    async def write(self, stream: StreamWriter, /) -> bool:
        """Write pieces until the client has had enough."""
        stream.write(Reply(headers=[("Transfer-Encoding", "chunked")]).head_and_body()[0])
        while True:
            stream.write(b"%x\r\n%b\r\n" % (len(self.piece), self.piece))
            await stream.drain()
            await asyncio.sleep(0)  # drain() need not pause: others must have their turn


@frozen
class CutShort:
    """Claims a body that is `missing` bytes longer than what is sent before it closes."""

    body: Any = b'{"m.server": "'
    missing: int = 100

    async def write(self, stream: StreamWriter, /) -> bool:
        """Write what there is, and close."""
        reply = Reply(body=self.body)
        _, body = reply.head_and_body()
        stream.write(b"".join(reply.head_and_body(len(body) + self.missing)))
        await stream.drain()
        return False


@frozen
class Raw:
    """Sends bytes that need not be HTTP, and closes. With `tls=False` instead of any TLS."""

    data: bytes = b"SSH-2.0-OpenSSH_9.9\r\n"
    tls: bool = True

    async def write(self, stream: StreamWriter, /) -> bool:
        """Write the bytes, and close."""
        stream.write(self.data)
        await stream.drain()
        return False


@frozen
class Silent:
    """Accepts the connection and never says anything, in TLS neither."""


@frozen
class Refused:
    """Refuses the connection, as if nobody listened."""


def static_answer(behaviour: Behaviour) -> Answer:
    """Return what writes the answer of a behaviour that is no function."""
    if behaviour is None:
        return Reply(404, body={"errcode": "M_NOT_FOUND", "error": "Not found"})
    if isinstance(behaviour, Silent | Refused):  # decided too late to keep the connection out
        return Slow(math.inf) if isinstance(behaviour, Silent) else Raw(b"")
    return behaviour if isinstance(behaviour, Answer) else Reply(body=behaviour)


async def answer_to(request: Request, behaviour: Behaviour) -> Answer:
    """Return what writes the answer to `request`; functions are called until none is left."""
    while callable(behaviour) or isawaitable(behaviour):
        asked: Any = behaviour  # or else pyright narrows it to something that is never called
        behaviour = await asked if isawaitable(asked) else asked(request)
    return static_answer(behaviour)
