"""Checked by mypy and pyright, never run: which classes satisfy the plug-in Protocols."""

import time
from typing import assert_type

from redis.asyncio import Redis

from matrix_resolve import (
    AddressLookup,
    AddressReply,
    AiodnsLookup,
    AiohttpWellKnownFetcher,
    AnswerCache,
    CacheEntry,
    Clock,
    DnspythonLookup,
    HttpResponse,
    InvalidationFeed,
    LeasingCache,
    LoggingHook,
    MemoryCache,
    PeekableCache,
    PrometheusHook,
    Question,
    RedisCache,
    Resolution,
    ResolverHook,
    SqliteCache,
    SrvLookup,
    SrvReply,
    TieredCache,
    WellKnownFetcher,
    open_resolver,
    resolve_server_name,
)
from matrix_resolve.testing import FakeAddresses, FakeClock, FakeSrv, FakeWellKnown

# The default backends.
default_dns = AiodnsLookup()
default_srv: SrvLookup = default_dns
default_addresses: AddressLookup = default_dns
default_well_known: WellKnownFetcher = AiohttpWellKnownFetcher(addresses=default_dns)
default_cache: AnswerCache = MemoryCache()
default_clock: Clock = time

# The optional ones, and what they can do besides.
dnspython = DnspythonLookup()
dnspython_srv: SrvLookup = dnspython
dnspython_addresses: AddressLookup = dnspython
default_peekable: PeekableCache = MemoryCache()
redis_cache = RedisCache(Redis())
redis_answers: AnswerCache = redis_cache
redis_feed: InvalidationFeed = redis_cache
redis_leases: LeasingCache = redis_cache
sqlite_cache = SqliteCache("answers.sqlite")
sqlite_answers: AnswerCache = sqlite_cache
sqlite_feed: InvalidationFeed = sqlite_cache
tiered_cache = TieredCache(MemoryCache(), redis_cache)
tiered_answers: AnswerCache = tiered_cache
tiered_feed: InvalidationFeed = tiered_cache
tiered_leases: LeasingCache = tiered_cache
tiered_peekable: PeekableCache = tiered_cache
logging_hook: ResolverHook = LoggingHook()
prometheus_hook: ResolverHook = PrometheusHook()

# The fakes.
fake_well_known: WellKnownFetcher = FakeWellKnown()
fake_srv: SrvLookup = FakeSrv()
fake_addresses: AddressLookup = FakeAddresses()
fake_clock: Clock = FakeClock()


# A third party's, the least there can be: nothing inherited, arguments named at will.
class Fetcher:
    """The least fetcher."""

    async def fetch(self, host: str) -> HttpResponse:
        """Answer."""
        return HttpResponse(status=404, headers=[], body=b"", url=f"https://{host}/")


class Dns:
    """The least lookup of both kinds."""

    async def lookup_srv(self, name: str) -> SrvReply:
        """Answer."""
        return SrvReply(records=[], ttl=None)

    async def lookup_addresses(self, name: str) -> AddressReply:
        """Answer."""
        return AddressReply(addresses=[], ttl=60)


class Cache:
    """The least cache."""

    def __init__(self) -> None:
        self.entries: dict[str, CacheEntry] = {}

    async def get(self, question: Question) -> CacheEntry | None:
        """Look it up."""
        return self.entries.get(question.key)

    async def put(self, question: Question, entry: CacheEntry) -> None:
        """Keep it."""
        self.entries[question.key] = entry

    async def delete(self, question: Question) -> None:
        """Delete it."""
        self.entries.pop(question.key, None)


def hook(event: object) -> None:
    """The least hook."""


their_fetcher: WellKnownFetcher = Fetcher()
their_srv: SrvLookup = Dns()
their_addresses: AddressLookup = Dns()
their_cache: AnswerCache = Cache()
their_hook: ResolverHook = hook


async def use() -> None:
    """The functions take them, and give what they say."""
    async with open_resolver(
        well_known=Fetcher(), srv=Dns(), addresses=Dns(), cache=Cache(), hooks=[hook]
    ) as resolver:
        assert_type(await resolver.resolve("example.org"), Resolution)
    assert_type(await resolve_server_name("example.org", srv=Dns()), Resolution)
