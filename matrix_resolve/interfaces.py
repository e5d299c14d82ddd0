"""What a plug-in author needs: four Protocols, and the values that they exchange.

A plug-in inherits nothing; it has the one method (a cache three) and returns raw facts, which the
core parses and judges. Time-outs, slots, caching, coalescing and backoff are the resolver's part.
Only the documented error means "no answer": any other exception counts as a bug in the plug-in
and reaches the callers who wait. Methods may be cancelled at any `await`.
"""

from typing import Protocol

from matrix_resolve.core.entries import CacheEntry
from matrix_resolve.core.questions import Question
from matrix_resolve.core.replies import AddressReply, HttpResponse, SrvRecord, SrvReply

__all__ = [
    "AddressLookup",
    "AddressReply",
    "AnswerCache",
    "CacheEntry",
    "Clock",
    "HttpResponse",
    "Question",
    "SrvLookup",
    "SrvRecord",
    "SrvReply",
    "WellKnownFetcher",
]


class WellKnownFetcher(Protocol):
    """Fetches `https://<hostname>/.well-known/matrix/server`."""

    async def fetch(self, hostname: str, /) -> HttpResponse:
        """Return the final response after redirects, whatever its status.

        `hostname` is a DNS name in lower case. Certificates MUST be checked, each redirect MUST go
        where `next_hop()` says. A body longer than the resolver accepts may be cut off anywhere
        past that. Raises `WellKnownFetchError(reason, temporary=...)`; may let
        `AddressLookupError` through when the host's addresses could not be found out.
        """
        ...


class SrvLookup(Protocol):
    """Looks SRV records up."""

    async def lookup_srv(self, name: str, /) -> SrvReply:
        """Return the records published under `name`, an absolute DNS name without final dot.

        A reply without records says that none are published (no such name, or no such record).
        Raises `SrvLookupError` when that could not be found out: SERVFAIL, REFUSED, time-out.
        """
        ...


class AddressLookup(Protocol):
    """Looks the IP addresses of a host up."""

    async def lookup_addresses(self, hostname: str, /) -> AddressReply:
        """Return the addresses of `hostname`, an absolute DNS name, both families.

        A reply without addresses says that none exist. Raises `AddressLookupError` when that
        could not be found out.
        """
        ...


class AnswerCache(Protocol):
    """Remembers entries by question. `question.key` is a stable text to store them under.

    An entry past its `keep_until` MUST NOT be returned. Raises `CacheError` when it can't do what
    was asked; the resolver then goes on as if nothing had been cached. So it does when a call
    takes longer than a second, or gives what is no entry for the question.
    """

    async def get(self, question: Question, /) -> CacheEntry | None:
        """Return what is kept about `question`, None if nothing is."""
        ...

    async def put(self, question: Question, entry: CacheEntry, /) -> None:
        """Keep `entry`, at most until its `keep_until`; it may be dropped before."""
        ...

    async def delete(self, question: Question, /) -> None:
        """Forget what is kept about `question`, if anything is."""
        ...


class Clock(Protocol):
    """Tells the time; the standard library's `time` module is one."""

    def time(self) -> float:
        """Return Unix seconds: lifetimes are counted in these, so that processes can share them."""
        ...

    def monotonic(self) -> float:
        """Return seconds that never go back: durations are measured in these."""
        ...
