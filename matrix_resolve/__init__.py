"""Find where a Matrix server name leads: what to connect to, which `Host` and certificate.

Everything public is imported from here. What is more than values and Protocols is loaded when it is
first used; names of an extra that is not installed are left out of `__all__`, and importing one by
its name says what to install.
"""

from typing import TYPE_CHECKING, Any

from matrix_resolve.core.addresses import DEFAULT_BLOCK, AddressPolicy
from matrix_resolve.core.entries import CacheEntry
from matrix_resolve.core.lazy import LazyNames
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
from matrix_resolve.core.resolution import Endpoint, Resolution, Step, Target
from matrix_resolve.core.story import TrailEntry
from matrix_resolve.core.well_known import next_hop, read_well_known
from matrix_resolve.errors import (
    AddressLookupError,
    AddressNotAllowedError,
    BackendError,
    CacheError,
    ConnectError,
    InvalidServerNameError,
    MatrixResolveError,
    ResponseTooLargeError,
    ServiceNotOfferedError,
    SrvLookupError,
    WellKnownFetchError,
)
from matrix_resolve.interfaces import (
    AddressLookup,
    AnswerCache,
    Clock,
    InvalidationFeed,
    Lease,
    LeasingCache,
    PeekableCache,
    SrvLookup,
    WellKnownFetcher,
    heard_from_peer,
)
from matrix_resolve.policy import Policy

if TYPE_CHECKING:
    from matrix_resolve.backends.cache_cachetools import MemoryCache
    from matrix_resolve.backends.cache_redis import RedisCache
    from matrix_resolve.backends.cache_sqlite import SqliteCache
    from matrix_resolve.backends.cache_tiered import TieredCache
    from matrix_resolve.backends.dns_aiodns import AiodnsLookup
    from matrix_resolve.backends.dns_dnspython import DnspythonLookup
    from matrix_resolve.backends.well_known_aiohttp import AiohttpWellKnownFetcher
    from matrix_resolve.checking.checker import Checker, check_server, open_checker
    from matrix_resolve.checking.findings import Finding, Level
    from matrix_resolve.checking.report import Report
    from matrix_resolve.compose import open_resolver, resolve_server_name
    from matrix_resolve.core.procedure import Decision, decide
    from matrix_resolve.core.srv import read_srv_reply
    from matrix_resolve.federation import (
        Attempt,
        FederationClient,
        HttpxTransport,
        open_federation_client,
    )
    from matrix_resolve.hooks import (
        CacheFailed,
        CacheHit,
        DegradedServed,
        LegacySrvUsed,
        LoggingHook,
        OpenTelemetryHook,
        PrometheusHook,
        QuestionAborted,
        QuestionAnswered,
        QuestionAsked,
        Refreshed,
        RequestAnswered,
        RequestBegun,
        RequestFailed,
        ResolveBegun,
        Resolved,
        ResolveFailed,
        ResolverEvent,
        ResolverHook,
        StaleServed,
        TargetFailed,
        TaskFailed,
    )
    from matrix_resolve.resolver import Resolver
    from matrix_resolve.serving import (
        SupportContact,
        WellKnownDocument,
        client_well_known_document,
        support_well_known_document,
        well_known_document,
        well_known_routes,
    )

    __version__: str

_MODULES = {
    "AiodnsLookup": "matrix_resolve.backends.dns_aiodns",
    "AiohttpWellKnownFetcher": "matrix_resolve.backends.well_known_aiohttp",
    "Attempt": "matrix_resolve.federation",
    "CacheFailed": "matrix_resolve.hooks",
    "CacheHit": "matrix_resolve.hooks",
    "Checker": "matrix_resolve.checking.checker",
    "Decision": "matrix_resolve.core.procedure",
    "DegradedServed": "matrix_resolve.hooks",
    "DnspythonLookup": "matrix_resolve.backends.dns_dnspython",
    "FederationClient": "matrix_resolve.federation",
    "Finding": "matrix_resolve.checking.findings",
    "HttpxTransport": "matrix_resolve.federation.httpx",
    "LegacySrvUsed": "matrix_resolve.hooks",
    "Level": "matrix_resolve.checking.findings",
    "LoggingHook": "matrix_resolve.hooks.logging",
    "MemoryCache": "matrix_resolve.backends.cache_cachetools",
    "OpenTelemetryHook": "matrix_resolve.hooks.opentelemetry",
    "PrometheusHook": "matrix_resolve.hooks.prometheus",
    "QuestionAborted": "matrix_resolve.hooks",
    "QuestionAnswered": "matrix_resolve.hooks",
    "QuestionAsked": "matrix_resolve.hooks",
    "RedisCache": "matrix_resolve.backends.cache_redis",
    "Refreshed": "matrix_resolve.hooks",
    "Report": "matrix_resolve.checking.report",
    "RequestAnswered": "matrix_resolve.hooks",
    "RequestBegun": "matrix_resolve.hooks",
    "RequestFailed": "matrix_resolve.hooks",
    "ResolveBegun": "matrix_resolve.hooks",
    "ResolveFailed": "matrix_resolve.hooks",
    "Resolved": "matrix_resolve.hooks",
    "Resolver": "matrix_resolve.resolver",
    "ResolverEvent": "matrix_resolve.hooks",
    "ResolverHook": "matrix_resolve.hooks",
    "SqliteCache": "matrix_resolve.backends.cache_sqlite",
    "StaleServed": "matrix_resolve.hooks",
    "SupportContact": "matrix_resolve.serving",
    "TargetFailed": "matrix_resolve.hooks",
    "TaskFailed": "matrix_resolve.hooks",
    "TieredCache": "matrix_resolve.backends.cache_tiered",
    "WellKnownDocument": "matrix_resolve.serving",
    "check_server": "matrix_resolve.checking.checker",
    "client_well_known_document": "matrix_resolve.serving",
    "decide": "matrix_resolve.core.procedure",
    "open_checker": "matrix_resolve.checking.checker",
    "open_federation_client": "matrix_resolve.federation",
    "open_resolver": "matrix_resolve.compose",
    "read_srv_reply": "matrix_resolve.core.srv",
    "resolve_server_name": "matrix_resolve.compose",
    "support_well_known_document": "matrix_resolve.serving",
    "well_known_document": "matrix_resolve.serving",
    "well_known_routes": "matrix_resolve.serving",
}
_EXTRAS = {
    "Checker": "check",
    "DnspythonLookup": "dnspython",
    "HttpxTransport": "httpx",
    "OpenTelemetryHook": "opentelemetry",
    "PrometheusHook": "prometheus",
    "RedisCache": "redis",
    "check_server": "check",
    "open_checker": "check",
}

__all__ = [
    "DEFAULT_BLOCK",
    "AddressLookup",
    "AddressLookupError",
    "AddressNotAllowedError",
    "AddressPolicy",
    "AddressReply",
    "Addresses",
    "AddressesFailed",
    "AiodnsLookup",
    "AiohttpWellKnownFetcher",
    "Answer",
    "AnswerCache",
    "AskAddresses",
    "AskSrv",
    "AskWellKnown",
    "Attempt",
    "BackendError",
    "CacheEntry",
    "CacheError",
    "CacheFailed",
    "CacheHit",
    "Checker",
    "Clock",
    "ConnectError",
    "Decision",
    "DegradedServed",
    "Delegated",
    "DnspythonLookup",
    "Endpoint",
    "FederationClient",
    "Finding",
    "HttpResponse",
    "HttpxTransport",
    "InvalidServerNameError",
    "InvalidationFeed",
    "Lease",
    "LeasingCache",
    "LegacySrvUsed",
    "Level",
    "LoggingHook",
    "MatrixResolveError",
    "MemoryCache",
    "NoSrvRecords",
    "NotDelegated",
    "OpenTelemetryHook",
    "PeekableCache",
    "Policy",
    "PrometheusHook",
    "Question",
    "QuestionAborted",
    "QuestionAnswered",
    "QuestionAsked",
    "RedisCache",
    "Refreshed",
    "Report",
    "RequestAnswered",
    "RequestBegun",
    "RequestFailed",
    "Resolution",
    "ResolveBegun",
    "ResolveFailed",
    "Resolved",
    "Resolver",
    "ResolverEvent",
    "ResolverHook",
    "ResponseTooLargeError",
    "ServerName",
    "ServiceNotOffered",
    "ServiceNotOfferedError",
    "SqliteCache",
    "SrvFailed",
    "SrvLookup",
    "SrvLookupError",
    "SrvRecord",
    "SrvRecords",
    "SrvReply",
    "StaleServed",
    "Step",
    "SupportContact",
    "Target",
    "TargetFailed",
    "TaskFailed",
    "TieredCache",
    "TrailEntry",
    "WellKnownDocument",
    "WellKnownFetchError",
    "WellKnownFetcher",
    "check_server",
    "client_well_known_document",
    "decide",
    "heard_from_peer",
    "next_hop",
    "open_checker",
    "open_federation_client",
    "open_resolver",
    "read_srv_reply",
    "read_well_known",
    "resolve_server_name",
    "support_well_known_document",
    "well_known_document",
    "well_known_routes",
]


_lazy = LazyNames(__name__, _MODULES, _EXTRAS)
_lazy.drop_missing(__all__)


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version  # takes longer than all the rest

        return version("matrix-resolve")
    return _lazy.get(name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
