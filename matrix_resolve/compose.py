"""A resolver from default parts, for one name or for as long as you like."""

import random
import ssl
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any

from matrix_resolve.core.addresses import AddressPolicy
from matrix_resolve.core.names import ServerName
from matrix_resolve.core.replies import HttpResponse
from matrix_resolve.core.resolution import Resolution
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
    from matrix_resolve.backends.well_known_aiohttp import AiohttpWellKnownFetcher


def open_resolver(
    *,
    well_known: WellKnownFetcher | None = None,
    srv: SrvLookup | None = None,
    addresses: AddressLookup | None = None,
    cache: AnswerCache | None = None,
    policy: Policy | None = None,
    address_policy: AddressPolicy | None = None,
    hooks: Iterable[ResolverHook] = (),
) -> AbstractAsyncContextManager[Resolver]:
    """Open a `Resolver`, with default parts for those that are not given.

    The defaults are `AiohttpWellKnownFetcher` (which looks addresses up through `addresses` and
    obeys `address_policy`), `AiodnsLookup` for both lookups, and `MemoryCache`, with their
    settings from `policy`. What is opened here is closed at the end; what is given keeps its owner.
    """
    return compose_resolver(
        well_known=well_known,
        srv=srv,
        addresses=addresses,
        cache=cache,
        policy=policy,
        address_policy=address_policy,
        hooks=hooks,
    )


@asynccontextmanager
async def compose_resolver(
    *,
    well_known: WellKnownFetcher | None = None,
    srv: SrvLookup | None = None,
    addresses: AddressLookup | None = None,
    cache: AnswerCache | None = None,
    policy: Policy | None = None,
    address_policy: AddressPolicy | None = None,
    hooks: Iterable[ResolverHook] = (),
    clock: Clock = time,
    rng: random.Random | None = None,
    nameservers: Sequence[str] | None = None,
    ssl_context: ssl.SSLContext | None = None,
    connect_to: Mapping[tuple[str, int], tuple[str, int]] | None = None,
    redirected: Callable[[HttpResponse], None] | None = None,
) -> AsyncIterator[Resolver]:
    """Do what `open_resolver` does, with more to say about the default parts."""
    policy = Policy() if policy is None else policy
    address_policy = AddressPolicy() if address_policy is None else address_policy
    async with AsyncExitStack() as opened:
        if srv is None or addresses is None:
            from matrix_resolve.backends.dns_aiodns import AiodnsLookup

            lookup = await opened.enter_async_context(
                AiodnsLookup(nameservers=nameservers, timeout=policy.dns_timeout)
            )
            srv = lookup if srv is None else srv
            addresses = lookup if addresses is None else addresses
        if well_known is None:
            fetcher = _default_fetcher(
                policy,
                addresses=addresses,
                address_policy=address_policy,
                ssl_context=ssl_context,
                connect_to=connect_to,
                redirected=redirected,
            )
            well_known = await opened.enter_async_context(fetcher)
        if cache is None:
            from matrix_resolve.backends.cache_cachetools import MemoryCache

            cache = MemoryCache(max_answers=policy.max_answers, clock=clock)
        resolver = Resolver(
            well_known=well_known,
            srv=srv,
            addresses=addresses,
            cache=cache,
            policy=policy,
            address_policy=address_policy,
            hooks=hooks,
            clock=clock,
            rng=rng,
        )
        yield await opened.enter_async_context(resolver)


def _default_fetcher(policy: Policy, **settings: Any) -> "AiohttpWellKnownFetcher":
    from matrix_resolve.backends.well_known_aiohttp import AiohttpWellKnownFetcher

    return AiohttpWellKnownFetcher(
        timeout=policy.well_known_timeout,
        connect_timeout=policy.well_known_connect_timeout,
        dns_timeout=policy.dns_timeout,
        max_redirects=policy.max_redirects,
        max_body=policy.max_body,
        max_addresses=policy.max_targets,
        **settings,
    )


async def resolve_server_name(
    server_name: str | ServerName,
    *,
    resolver: Resolver | None = None,
    well_known: WellKnownFetcher | None = None,
    srv: SrvLookup | None = None,
    addresses: AddressLookup | None = None,
    cache: AnswerCache | None = None,
    policy: Policy | None = None,
    address_policy: AddressPolicy | None = None,
) -> Resolution:
    """Resolve one name: open what is not given, resolve, close what was opened.

    For more than one name, open a resolver once and keep it: see `open_resolver()`. With
    `resolver` that one is used, and nothing else may be given (`TypeError`). Raises what
    `Resolver.resolve` raises.
    """
    parts = {
        "well_known": well_known,
        "srv": srv,
        "addresses": addresses,
        "cache": cache,
        "policy": policy,
        "address_policy": address_policy,
    }
    if resolver is not None:
        beside = [name for name, part in parts.items() if part is not None]
        if beside:
            raise TypeError(f"resolver is given, so {', '.join(beside)} may not be")
        return await resolver.resolve(server_name)
    async with open_resolver(
        well_known=well_known,
        srv=srv,
        addresses=addresses,
        cache=cache,
        policy=policy,
        address_policy=address_policy,
    ) as opened:
        return await opened.resolve(server_name)
