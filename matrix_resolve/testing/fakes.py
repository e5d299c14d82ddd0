"""In-memory plug-ins and a clock that stands still, for tests of what is built on a resolver.

Each plug-in answers from a dictionary, `answers`, that may be changed while the resolver runs, and
lists in `asked` what it was asked, in order. It waits `delay` seconds before each answer. An
answer may also be an exception to raise, or a function of the name (a coroutine function too) that
returns any of the others.
"""

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from inspect import isawaitable
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from matrix_resolve.interfaces import AddressReply, HttpResponse, SrvRecord, SrvReply

if TYPE_CHECKING:
    from matrix_resolve.interfaces import AddressLookup, Clock, SrvLookup, WellKnownFetcher

START = 1_800_000_000.0
"""Where a `FakeClock` begins, in Unix seconds: in January 2027."""

_Answer = TypeVar("_Answer")


class _Fake(Generic[_Answer]):
    """What the three plug-ins share: the answers, the list of questions, the delay."""

    def __init__(self, answers: Mapping[str, _Answer] | None, delay: float) -> None:
        self.answers: dict[str, _Answer] = dict(answers or {})
        self.asked: list[str] = []
        self.delay = delay

    async def _answer(self, name: str) -> Any:
        """Return what is to be answered, None for an unknown name; raise if that is wanted."""
        self.asked.append(name)
        if self.delay:
            await asyncio.sleep(self.delay)
        answer: Any = self.answers.get(name)
        while callable(answer) or isawaitable(answer):
            answer = await answer if isawaitable(answer) else answer(name)
        if isinstance(answer, Exception):
            # The same instance is raised again and again: its traceback must not grow.
            raise answer.with_traceback(None)
        return answer


class FakeWellKnown(_Fake[Any]):
    """A `WellKnownFetcher` that answers from memory.

    `answers`: hostname -> the document. A dictionary (or anything else that JSON has) is sent as
    JSON and bytes as they are, both with status 200; an `HttpResponse` says all by itself. A name
    without an answer gets a 404.

        FakeWellKnown({"example.org": {"m.server": "matrix.example.org:443"}})
    """

    def __init__(self, answers: Mapping[str, Any] | None = None, *, delay: float = 0.0) -> None:
        super().__init__(answers, delay)

    async def fetch(self, hostname: str, /) -> HttpResponse:
        """Return the response for `hostname`, or raise the exception that stands in its place."""
        document = await self._answer(hostname)
        url = f"https://{hostname}/.well-known/matrix/server"
        if isinstance(document, HttpResponse):
            return document
        if document is None:
            return HttpResponse(404, (), b"", url)
        body = document if isinstance(document, bytes) else json.dumps(document).encode()
        return HttpResponse(200, [("Content-Type", "application/json")], body, url)


class FakeSrv(_Fake[SrvReply | Sequence[SrvRecord] | Exception | Callable[[str], Any]]):
    """An `SrvLookup` that answers from memory.

    `answers`: the full name (`_matrix-fed._tcp.example.org`) -> its records, which get the given
    `ttl`, or an `SrvReply` with a TTL of its own. A name without an answer has no records, with
    an unknown TTL.
    """

    def __init__(
        self,
        answers: Mapping[str, SrvReply | Sequence[SrvRecord] | Exception | Callable[[str], Any]]
        | None = None,
        *,
        ttl: float | None = 3600.0,
        delay: float = 0.0,
    ) -> None:
        super().__init__(answers, delay)
        self.ttl = ttl

    async def lookup_srv(self, name: str, /) -> SrvReply:
        """Return the records under `name`, or raise the exception that stands in their place."""
        answer = await self._answer(name)
        if isinstance(answer, SrvReply):
            return answer
        return SrvReply(answer, self.ttl) if answer else SrvReply(())


class FakeAddresses(
    _Fake[
        AddressReply | Sequence[str | IPv4Address | IPv6Address] | Exception | Callable[[str], Any]
    ]
):
    """An `AddressLookup` that answers from memory.

    `answers`: host name -> its addresses, as text or `ipaddress` objects, which get the given
    `ttl`, or an `AddressReply` with a TTL of its own. A name without an answer has no addresses.
    """

    def __init__(
        self,
        answers: Mapping[
            str,
            AddressReply
            | Sequence[str | IPv4Address | IPv6Address]
            | Exception
            | Callable[[str], Any],
        ]
        | None = None,
        *,
        ttl: float | None = 3600.0,
        delay: float = 0.0,
    ) -> None:
        super().__init__(answers, delay)
        self.ttl = ttl

    async def lookup_addresses(self, hostname: str, /) -> AddressReply:
        """Return the addresses, or raise the exception that stands in their place."""
        answer = await self._answer(hostname)
        if isinstance(answer, AddressReply):
            return answer
        if not answer:
            return AddressReply(())
        if isinstance(answer, str):  # would be read as a sequence of letters
            answer = [answer]
        return AddressReply([ip_address(address) for address in answer], self.ttl)


class FakeClock:
    """A clock that stands still until it is told how much time has passed.

    A `Resolver` with it counts all lifetimes by it; its time-outs stay real, as the event loop's
    own time does.
    """

    def __init__(self, start: float = START) -> None:
        self._start = start
        self._passed = 0.0

    def time(self) -> float:
        """Return Unix seconds."""
        return self._start + self._passed

    def monotonic(self) -> float:
        """Return the seconds since the clock was made."""
        return self._passed

    def advance(self, seconds: float) -> None:
        """Let `seconds` pass at once."""
        if seconds < 0:
            raise ValueError(f"time does not go back: {seconds!r}")
        self._passed += seconds


if TYPE_CHECKING:
    _fetcher: WellKnownFetcher = FakeWellKnown()
    _srv: SrvLookup = FakeSrv()
    _addresses: AddressLookup = FakeAddresses()
    _clock: Clock = FakeClock()
