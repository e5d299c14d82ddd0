"""A resolver from default parts, for one name or for as long as you like."""

import random
import ssl
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

from attrs import frozen

from matrix_resolve.core.addresses import AddressPolicy
from matrix_resolve.core.closeable import Opening
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
    nameservers: Sequence[str] | None = None,
    ssl_context: ssl.SSLContext | None = None,
) -> Opening[Resolver]:
    """Open a `Resolver`, with default parts for those that are not given.

        async with open_resolver() as resolver:
            print(await resolver.resolve("example.org"))

    Or `resolver = await open_resolver()`, and in the end `await resolver.aclose()`.

    The defaults are `AiohttpWellKnownFetcher` (which looks addresses up through `addresses` and
    obeys `address_policy`), `AiodnsLookup` for both lookups, and `MemoryCache`, with their
    settings from `policy`. `nameservers` are for that lookup, as IP addresses or ADDRESS:PORT
    (None: the system's), `ssl_context` says whom that fetcher trusts (None: whom the system
    trusts). What is opened here is closed at the end; what is given keeps its owner.

    Raises `TypeError` for settings of a part that is not opened here, and for a part without its
    method; that as soon as it is opened.
    """
    return compose_resolver(
        well_known=well_known,
        srv=srv,
        addresses=addresses,
        cache=cache,
        policy=policy,
        address_policy=address_policy,
        hooks=hooks,
        nameservers=nameservers,
        ssl_context=ssl_context,
    )


def compose_resolver(
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
) -> Opening[Resolver]:
    """Do what `open_resolver` does, with more to say about the default parts."""
    check_nameservers(nameservers, srv, addresses)
    if ssl_context is not None and well_known is not None:
        raise TypeError("ssl_context is for the default fetcher, but well_known is given")
    policy = Policy() if policy is None else policy
    address_policy = AddressPolicy() if address_policy is None else address_policy
    settings = {
        "address_policy": address_policy,
        "ssl_context": ssl_context,
        "connect_to": connect_to,
        "redirected": redirected,
    }

    async def opened(parts: AsyncExitStack) -> Resolver:
        lookups = await open_lookups(
            parts, srv, addresses, nameservers=nameservers, timeout=policy.dns_timeout
        )
        fetcher = well_known
        if fetcher is None:
            default = _default_fetcher(policy, addresses=lookups.addresses, **settings)
            fetcher = await parts.enter_async_context(default)
        return _ComposedResolver(
            parts,
            well_known=fetcher,
            srv=lookups.srv,
            addresses=lookups.addresses,
            cache=_default_cache(policy, clock) if cache is None else cache,
            policy=policy,
            address_policy=address_policy,
            hooks=hooks,
            clock=clock,
            rng=rng,
        )

    return Opening(opened)


class _ComposedResolver(Resolver):
    """A resolver that closes the parts that were opened for it, after itself."""

    def __init__(self, parts: AsyncExitStack, **settings: Any) -> None:
        super().__init__(**settings)
        self._parts = parts

    async def aclose(self) -> None:
        """End what is under way and wait for it, and close what was opened with this."""
        try:
            await super().aclose()
        finally:
            if self._closed:  # else this is another's event loop or process
                await self._parts.aclose()


@frozen
class Lookups:
    """The lookups of a resolver, which may be one."""

    srv: SrvLookup
    addresses: AddressLookup


async def open_lookups(
    parts: AsyncExitStack,
    srv: SrvLookup | None,
    addresses: AddressLookup | None,
    *,
    nameservers: Sequence[str] | None,
    timeout: float,  # noqa: ASYNC109  # of each lookup, not of this
) -> Lookups:
    """Return both lookups; one default, opened in `parts`, stands in for what is not given."""
    if srv is not None and addresses is not None:
        return Lookups(srv, addresses)
    from matrix_resolve.backends.dns_aiodns import AiodnsLookup

    default = AiodnsLookup(nameservers=nameservers, timeout=timeout)
    await parts.enter_async_context(default)
    return Lookups(
        default if srv is None else srv,
        default if addresses is None else addresses,
    )


def check_nameservers(
    nameservers: Sequence[str] | None, srv: SrvLookup | None, addresses: AddressLookup | None
) -> None:
    """Raise `TypeError` for nameservers that nobody would ask, or that are not a sequence."""
    if nameservers is None:
        return
    if isinstance(nameservers, str):
        raise TypeError(f"nameservers must be a sequence of strings, not {nameservers!r} alone")
    if srv is not None and addresses is not None:
        raise TypeError("nameservers are for the default lookup, but srv and addresses are given")


def _default_cache(policy: Policy, clock: Clock) -> AnswerCache:
    from matrix_resolve.backends.cache_cachetools import MemoryCache

    return MemoryCache(max_answers=policy.max_answers, clock=clock)


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

        resolution = await resolve_server_name("example.org")

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
