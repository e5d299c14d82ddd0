"""A million servers that are not there, and what each one answers."""

import asyncio
import math
from bisect import bisect
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from enum import Enum
from ipaddress import IPv4Address, IPv6Address
from itertools import accumulate
from typing import Final, TypeVar

from attrs import frozen

from matrix_resolve import (
    AddressReply,
    HttpResponse,
    SrvLookupError,
    SrvRecord,
    SrvReply,
    WellKnownFetchError,
)
from tests.benchmarks.load import DAY, HOUR, MINUTE, Hour, name_of, number_of

_T = TypeVar("_T")

FED: Final = "_matrix-fed._tcp."
OLD: Final = "_matrix._tcp."

# Seconds that an answer takes, and after which a server that is mute is given up.
_WEB_DELAY, _DNS_DELAY, _MUTE = 0.15, 0.03, 5.0

# The share of each kind of server. These shares, and those below, are guesses at a federation in
# the wild, where most names are small servers and many are gone.
KINDS: Final = {
    "port": 0.40,  # a document with a port
    "host": 0.08,  # a document without one, and for half of them an SRV record behind it
    "srv": 0.07,  # no document, but an SRV record
    "nothing": 0.20,  # neither
    "gone": 0.10,  # not in DNS
    "mute": 0.10,  # in DNS, and no answer
    "failing": 0.05,  # a document with a port, half of the time
}
# What responses say of their lifetime: nothing, as hosting services do, or to keep it not at all.
_DOCUMENT_HEADERS: Final = {
    "": 0.55,
    "max-age=600": 0.15,
    "max-age=3600": 0.10,
    "max-age=14400": 0.10,
    "max-age=86400": 0.05,
    "no-cache": 0.05,
}
_NOT_FOUND_HEADERS: Final = {"": 0.60, "no-cache": 0.20, "max-age=600": 0.10, "max-age=14400": 0.10}
_TTLS: Final = {300.0: 0.25, 600.0: 0.25, 1800.0: 0.25, 3600.0: 0.25}
# How often a living server or its DNS is in trouble, for an hour; and one that fails, for six.
_WEB_TROUBLE, _DNS_TROUBLE, _FAILING = 0.01, 0.005, 0.5


class Trait(float, Enum):
    """What a server has by its number: multiples of these, less their whole parts.

    They are spread evenly among any numbers that follow each other (that of the golden ratio most
    evenly), and independently, so a small sample has the same mix as the whole.
    """

    KIND = (math.sqrt(5) - 1) / 2
    HEADER = math.sqrt(2)
    TTL = math.sqrt(3)
    ADDRESS_TTL = math.sqrt(7)


def trait(seed: int, number: int, which: Trait) -> float:
    """Return a number from 0 to 1, always the same one."""
    return (0.5 + seed * math.e + number * which) % 1


def chance(seed: int, *about: int) -> float:
    """Return a number from 0 to 1 that looks drawn, always the same one."""
    mixed = hash((seed, *about, seed)) * 0x9E3779B97F4A7C15 & 0xFFFFFFFFFFFFFFFF
    return (mixed ^ mixed >> 29) / 2**64


@frozen
class Asked:
    """A question as the network saw it: when it was answered, and for how long that stands."""

    question: str
    at: float
    lifetime: float


def _ignore(_: Asked) -> None: ...


class Network:
    """The plug-ins: they answer as the kind of a server says, after simulated time, and count.

    `told` hears of each answer with the least lifetime that the default policy gives it, apart
    from `jitter` and `refresh_ahead`.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        *,
        seed: int = 0,
        kind: str | None = None,
        told: Callable[[Asked], None] = _ignore,
    ) -> None:
        self._time = loop.time
        self._seed = seed
        self._kind = kind
        self._told = told
        self.hour = Hour()
        self.under_way = 0
        self.fetching = self.most_fetching = 0
        self.fetching_seconds = 0.0

    def kind_of(self, number: int) -> str:
        """Return of which kind a server is."""
        return self._kind or self._one_of(KINDS, number, Trait.KIND)

    async def fetch(self, hostname: str, /) -> HttpResponse:
        """Answer with a document or without, or fail.

        The addresses that a fetcher looks up count as a question of their own.
        """
        self.hour.fetches += 1
        self.hour.addresses += 1
        number = number_of(hostname)
        kind, url = self.kind_of(number), f"https://{hostname}/.well-known/matrix/server"
        with self._counted():
            if kind == "gone":
                await asyncio.sleep(_DNS_DELAY)
                raise self._failed(url, "the name has no addresses")
            if kind == "mute":
                await asyncio.sleep(_MUTE)
                raise self._failed(url, "no connection")
            await asyncio.sleep(_WEB_DELAY)
            if self._in_trouble(number, kind):
                self._tell(url, MINUTE)
                return HttpResponse(502, (), b"", url)
        if kind in ("srv", "nothing"):
            said = self._one_of(_NOT_FOUND_HEADERS, number, Trait.HEADER)
            self._tell(url, min(max(_seconds(said, HOUR), MINUTE), HOUR))
            return HttpResponse(404, _headers(said), b"", url)
        said = self._one_of(_DOCUMENT_HEADERS, number, Trait.HEADER)
        self._tell(url, max(_seconds(said, DAY), 5 * MINUTE))
        to = f"matrix.{hostname}" if kind == "host" else f"matrix.{hostname}:443"
        return HttpResponse(200, _headers(said), b'{"m.server": "%s"}' % to.encode(), url)

    async def lookup_srv(self, name: str, /) -> SrvReply:
        """Answer with the record, or that there is none, or fail."""
        self.hour.lookups += 1
        number = number_of(name)
        with self._under_way():
            await asyncio.sleep(_DNS_DELAY)
        if self._chance_at(HOUR, number, 1) < _DNS_TROUBLE:
            self._tell(name, 5.0)
            raise SrvLookupError("SERVFAIL")
        publishes = FED if number % 2 else OLD
        kind, host = self.kind_of(number), name.removeprefix(publishes)
        behind = kind == "host" and number % 4 < 2
        if host == name or not (kind == "srv" or (behind and host.startswith("matrix."))):
            self._tell(name, 15 * MINUTE)
            return SrvReply(())
        ttl = self._one_of(_TTLS, number, Trait.TTL)
        self._tell(name, ttl)
        return SrvReply((SrvRecord(10, 5, 8448, f"a.{name_of(number)}"),), ttl)

    async def lookup_addresses(self, hostname: str, /) -> AddressReply:
        """Answer with an address of each family, or that there are none."""
        self.hour.addresses += 1
        number = number_of(hostname)
        with self._under_way():
            await asyncio.sleep(_DNS_DELAY)
        if self.kind_of(number) == "gone":
            self._tell(hostname, 30.0)
            return AddressReply(())
        addresses = (
            IPv6Address((0x2A00_1450 << 96) + number),
            IPv4Address(0xC000_0300 + number % 256),
        )
        ttl = self._one_of(_TTLS, number, Trait.ADDRESS_TTL)
        self._tell(hostname, ttl)
        return AddressReply(addresses, ttl)

    @contextmanager
    def _under_way(self) -> Iterator[None]:
        self.under_way += 1
        try:
            yield
        finally:
            self.under_way -= 1

    @contextmanager
    def _counted(self) -> Iterator[None]:
        """Note how many fetches there are at once."""
        began = self._time()
        self.fetching += 1
        self.most_fetching = max(self.most_fetching, self.fetching)
        try:
            with self._under_way():
                yield
        finally:
            self.fetching -= 1
            self.fetching_seconds += self._time() - began

    def _in_trouble(self, number: int, kind: str) -> bool:
        if kind == "failing" and self._chance_at(6 * HOUR, number, 2) < _FAILING:
            return True
        return self._chance_at(HOUR, number, 3) < _WEB_TROUBLE

    def _failed(self, url: str, reason: str) -> WellKnownFetchError:
        self._tell(url, MINUTE)
        return WellKnownFetchError(reason)

    def _tell(self, question: str, lifetime: float) -> None:
        if self._told is not _ignore:
            self._told(Asked(question, self._time(), lifetime))

    def _chance_at(self, period: float, *about: int) -> float:
        return chance(self._seed, *about, int(self._time() // period))

    def _one_of(self, shares: Mapping[_T, float], number: int, which: Trait) -> _T:
        """Return one of those that are listed with their shares."""
        place = trait(self._seed, number, which) * sum(shares.values())
        return tuple(shares)[bisect(tuple(accumulate(shares.values())), place)]


def _headers(said: str) -> tuple[tuple[str, str], ...]:
    return (("Cache-Control", said),) if said else ()


def _seconds(said: str, unsaid: float) -> float:
    """Return the lifetime that a header says, `unsaid` where there is none."""
    return float(said.removeprefix("max-age=").replace("no-cache", "0") or unsaid)
