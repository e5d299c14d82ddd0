"""What a plug-in author needs: four Protocols, the values that they exchange, the errors to raise.

Three more Protocols are optional: what a cache may be able to do besides. The answers are what an
entry of a cache holds, and what hooks hear of. All of it can be imported from here.

A plug-in inherits nothing; it has the one method (a cache three) and returns raw facts, which the
core parses and judges. Time-outs, slots, caching, coalescing and backoff are the resolver's part.
Only the documented error means "no answer": any other exception counts as a bug in the plug-in
and reaches the callers who wait. Methods may be cancelled at any `await`.

Whether a plug-in keeps to what is said here is found out by tests: those classes that the Protocols
name, of `matrix_resolve.testing.contract`, to be subclassed in pytest.
"""

from collections.abc import AsyncGenerator, Callable
from contextvars import ContextVar
from types import MethodType
from typing import Any, Protocol, TypeVar, runtime_checkable

from attrs import frozen

from matrix_resolve.core.addresses import AddressPolicy
from matrix_resolve.core.entries import CacheEntry
from matrix_resolve.core.names import ServerName
from matrix_resolve.core.questions import (
    Addresses,
    AddressesFailed,
    Answer,
    AskAddresses,
    AskSrv,
    AskWellKnown,
    Delegated,
    NoSrvRecords,
    NotDelegated,
    Question,
    ServiceNotOffered,
    SrvFailed,
    SrvRecords,
)
from matrix_resolve.core.replies import AddressReply, HttpResponse, SrvRecord, SrvReply
from matrix_resolve.core.well_known import next_hop
from matrix_resolve.errors import (
    AddressLookupError,
    BackendError,
    CacheError,
    SrvLookupError,
    WellKnownFetchError,
)

__all__ = [
    "AddressLookup",
    "AddressLookupError",
    "AddressPolicy",
    "AddressReply",
    "Addresses",
    "AddressesFailed",
    "Answer",
    "AnswerCache",
    "AskAddresses",
    "AskSrv",
    "AskWellKnown",
    "BackendError",
    "CacheEntry",
    "CacheError",
    "Clock",
    "Delegated",
    "HttpResponse",
    "InvalidationFeed",
    "Lease",
    "LeasingCache",
    "NoSrvRecords",
    "NotDelegated",
    "PeekableCache",
    "Question",
    "ServerName",
    "ServiceNotOffered",
    "SrvFailed",
    "SrvLookup",
    "SrvLookupError",
    "SrvRecord",
    "SrvRecords",
    "SrvReply",
    "WellKnownFetchError",
    "WellKnownFetcher",
    "heard_from_peer",
    "next_hop",
]


class WellKnownFetcher(Protocol):
    """Fetches `https://<hostname>/.well-known/matrix/server`: see `WellKnownFetcherContract`."""

    async def fetch(self, hostname: str, /) -> HttpResponse:
        """Return the final response after redirects, whatever its status.

        `hostname` is a DNS name in lower case. Certificates MUST be checked, each redirect MUST go
        where `next_hop()` says. A fetcher MUST hold the address policy itself: nobody else sees
        what it dials, so it looks each host up, of each hop too, and dials an address that
        `AddressPolicy.allows()`, that very one. A body longer than the resolver accepts may be cut
        off anywhere past that. Whoever is cancelled leaves no socket open, in the midst of a TLS
        handshake either.

        Raises `WellKnownFetchError(reason, temporary=...)`; may let `AddressLookupError` through
        when the host's addresses could not be found out. Definite (`temporary=False`) are a
        redirect that `next_hop()` refuses, too many redirects, and a host all of whose addresses
        are forbidden. All other trouble is temporary: no address, no connection, a bad certificate,
        a time-out, a broken response.
        """
        ...


listener: ContextVar[Callable[[], None]] = ContextVar("listener", default=lambda: None)
"""Who hears what a fetcher tells: set by those who call fetchers."""


def heard_from_peer() -> None:
    """Tell that something has come in; a `WellKnownFetcher` calls it while it fetches, if it can.

    A fetch that has heard nothing for a second, or is not done after two, leaves its slot
    (`Policy.max_well_known_fetches`) to others and goes on without one. Outside a resolver's fetch
    it does nothing.
    """
    listener.get()()


class SrvLookup(Protocol):
    """Looks SRV records up: see `SrvLookupContract`."""

    async def lookup_srv(self, name: str, /) -> SrvReply:
        """Return the records published under `name`, an absolute DNS name without final dot.

        A reply without records says that none are published (no such name, or no such record).
        Raises `SrvLookupError` when that could not be found out: SERVFAIL, REFUSED, time-out.
        """
        ...


class AddressLookup(Protocol):
    """Looks the IP addresses of a host up: see `AddressLookupContract`."""

    async def lookup_addresses(self, hostname: str, /) -> AddressReply:
        """Return the addresses of `hostname`, an absolute DNS name, both families.

        A reply without addresses says that none exist. Raises `AddressLookupError` when that
        could not be found out. When only one family failed, the other's addresses will do, if it
        has any.
        """
        ...


class AnswerCache(Protocol):
    """Remembers entries by question: see `AnswerCacheContract`.

    `question.key` is a stable text to store them under.
    An entry past its `keep_until` MUST NOT be returned. Raises `CacheError` when it can't do what
    was asked; the resolver then goes on as if nothing had been cached. So it does when a call
    takes longer than a second, or gives what is no entry for the question.
    """

    async def get(self, question: Question, /) -> CacheEntry | None:
        """Return what is kept about `question`, None if nothing is."""
        ...

    async def put(self, question: Question, entry: CacheEntry, /) -> None:
        """Keep `entry`, at most until its `keep_until`; it may be deleted before.

        It takes the place of the one before. Where processes share a store their entries come in
        any order: there the better one of both may be kept, as
        `matrix_resolve.core.entries.reconciled` chooses, so that the failure of one does not take
        the place of a good answer that another has just put.
        """
        ...

    async def delete(self, question: Question, /) -> None:
        """Delete what is kept about `question`, if anything is, or is being put just now.

        A store with several connections may see a `put` that began earlier only after this: it
        notes when it deleted, and keeps no entry whose `asked_at` is not later, or else does one
        after the other.
        """
        ...


# Optional abilities of a cache, which has one by having its methods.


@runtime_checkable
class PeekableCache(Protocol):
    """A cache that can look into this process's memory without waiting.

    See `PeekableCacheContract`.
    """

    def peek(self, question: Question, /) -> CacheEntry | None:
        """Return what memory holds about `question`, None if nothing. No I/O, and no error."""
        ...


@runtime_checkable
class InvalidationFeed(Protocol):
    """A shared cache that tells what other processes have deleted: see `InvalidationFeedContract`.

    The resolver listens for as long as it is open, and invalidates the same in this process.
    """

    def invalidations(self) -> AsyncGenerator[str | None, None]:
        """Yield None once it listens, and then the `key` of each question deleted elsewhere.

        None says that word may have been missed before: everything is decided anew, from what the
        cache has then. Raises `CacheError` when it is cut off; the resolver begins anew a second
        later.
        """
        ...


@frozen(kw_only=True)
class Lease:
    """Whether one may ask (`held`), and what the shared cache keeps about the question now."""

    held: bool
    entry: CacheEntry | None = None


@runtime_checkable
class LeasingCache(Protocol):
    """A shared cache that lets one process ask a question while the others wait for its answer.

    See `LeasingCacheContract`.

    Both methods raise `CacheError` when they can't do what was asked; everybody asks then.
    """

    async def lease(self, question: Question, seconds: float, /) -> Lease:
        """Try to become the one who asks, for so many seconds at most. Does not wait."""
        ...

    async def release(self, question: Question, /) -> None:
        """Let another one ask; without effect if the lease is not held here any more."""
        ...


_Method = TypeVar("_Method", bound=Callable[..., Any])


def prompt(method: _Method) -> _Method:
    """Mark `get` or `put` of a cache as one that never waits, so it needs no time limit.

    For caches in this process's memory. One that overrides or wraps it is not marked.
    """
    method.__dict__["_is_prompt"] = method
    return method


def is_prompt(method: Callable[..., Any]) -> bool:
    """Return whether a method is marked by `prompt`."""
    return _is_marked(method, "_is_prompt")


def punctual(method: _Method) -> _Method:
    """Mark a fetcher's or a lookup's method that is over in time, and at once when cancelled.

    That is within `timeout` seconds, an attribute of the plug-in, whatever the other side does. A
    resolver that would wait as long then needs no task and no timer of its own around it. One
    that overrides or wraps it is not marked, nor is that of a subclass, which may change what it
    calls.
    """
    method.__dict__["_is_punctual"] = method
    return method


def is_punctual(method: Callable[..., Any], seconds: float) -> bool:
    """Return whether a method is marked by `punctual`, and over within so many seconds."""
    if not _is_marked(method, "_is_punctual"):
        return False
    plugin: Any = getattr(method, "__self__", None)
    is_of_its_class = method.__name__ in vars(type(plugin))
    return is_of_its_class and plugin.timeout is not None and plugin.timeout <= seconds


def _is_marked(method: Callable[..., Any], mark: str) -> bool:
    """Return whether this method was marked, and is no wrapper that took its attributes over."""
    function = getattr(method, "__func__", None)
    return type(method) is MethodType and getattr(function, mark, None) is function


class Clock(Protocol):
    """Tells the time; the standard library's `time` module is one."""

    def time(self) -> float:
        """Return Unix seconds: lifetimes are counted in these, so that processes can share them."""
        ...

    def monotonic(self) -> float:
        """Return seconds that never go back: no lifetime grows when `time` is set back."""
        ...
