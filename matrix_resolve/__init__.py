"""Find where a Matrix server name leads: what to connect to, which `Host` and certificate.

Everything public is imported from here. Names that need a third-party library beyond attrs load
it when they are first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from matrix_resolve.compose import open_resolver, resolve_server_name
from matrix_resolve.core.addresses import DEFAULT_BLOCK, AddressPolicy
from matrix_resolve.core.entries import CacheEntry
from matrix_resolve.core.names import ServerName
from matrix_resolve.core.questions import AskAddresses, AskSrv, AskWellKnown, Question
from matrix_resolve.core.replies import AddressReply, HttpResponse, SrvRecord, SrvReply
from matrix_resolve.core.resolution import Endpoint, Resolution, Step, Target, TrailEntry
from matrix_resolve.core.well_known import next_hop
from matrix_resolve.errors import (
    AddressLookupError,
    AddressNotAllowedError,
    BackendError,
    CacheError,
    ConnectError,
    InvalidServerNameError,
    MatrixResolveError,
    ServiceNotOfferedError,
    SrvLookupError,
    WellKnownFetchError,
)
from matrix_resolve.hooks import ResolverHook
from matrix_resolve.interfaces import (
    AddressLookup,
    AnswerCache,
    Clock,
    SrvLookup,
    WellKnownFetcher,
)
from matrix_resolve.policy import Policy
from matrix_resolve.resolver import Resolver

if TYPE_CHECKING:
    from matrix_resolve.backends.cache_cachetools import MemoryCache
    from matrix_resolve.backends.dns_aiodns import AiodnsLookup
    from matrix_resolve.backends.well_known_aiohttp import AiohttpWellKnownFetcher

_LAZY = {
    "AiodnsLookup": "matrix_resolve.backends.dns_aiodns",
    "AiohttpWellKnownFetcher": "matrix_resolve.backends.well_known_aiohttp",
    "MemoryCache": "matrix_resolve.backends.cache_cachetools",
}

__all__ = [
    "DEFAULT_BLOCK",
    "AddressLookup",
    "AddressLookupError",
    "AddressNotAllowedError",
    "AddressPolicy",
    "AddressReply",
    "AiodnsLookup",
    "AiohttpWellKnownFetcher",
    "AnswerCache",
    "AskAddresses",
    "AskSrv",
    "AskWellKnown",
    "BackendError",
    "CacheEntry",
    "CacheError",
    "Clock",
    "ConnectError",
    "Endpoint",
    "HttpResponse",
    "InvalidServerNameError",
    "MatrixResolveError",
    "MemoryCache",
    "Policy",
    "Question",
    "Resolution",
    "Resolver",
    "ResolverHook",
    "ServerName",
    "ServiceNotOfferedError",
    "SrvLookup",
    "SrvLookupError",
    "SrvRecord",
    "SrvReply",
    "Step",
    "Target",
    "TrailEntry",
    "WellKnownFetchError",
    "WellKnownFetcher",
    "next_hop",
    "open_resolver",
    "resolve_server_name",
]


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_LAZY[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
