"""`LoopbackFederation`: a federation on this machine, and the clients that reach it."""

import random
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from matrix_resolve.interfaces import AddressLookup, AnswerCache, Clock, SrvLookup, WellKnownFetcher
from matrix_resolve.testing.loopback.servers import LoopbackServers

if TYPE_CHECKING:
    from matrix_resolve.backends.dns_aiodns import AiodnsLookup
    from matrix_resolve.backends.well_known_aiohttp import AiohttpWellKnownFetcher
    from matrix_resolve.core.addresses import AddressPolicy
    from matrix_resolve.core.closeable import Opening
    from matrix_resolve.federation import FederationClient
    from matrix_resolve.hooks import ResolverHook
    from matrix_resolve.policy import Policy
    from matrix_resolve.resolver import Resolver


class LoopbackFederation(LoopbackServers):
    """A small federation on this machine: real DNS, real TLS, no Internet, no root.

        async with LoopbackFederation() as federation:
            federation.add("example.org", delegates_to="matrix.example.org:443")
            async with federation.resolver() as resolver:
                resolution = await resolver.resolve("example.org")

    Hosts are declared with `add()`, before or while clients run. A host that another one names
    (as delegation, SRV target or alias) need not be declared if nothing about it is special. All
    ports are above 1024 and free ones; clients find them by `nameserver` and `connect_to`.

    `connect_to` maps every (host, port) to the socket address that serves it. A declared host is
    served at every port, and answers requests other than the well-known one with a version
    document that tells what the server saw (`Request.seen`). IP literals are served too. All that
    is unknown is refused: clients that dial by `connect_to` never leave the machine.

    At the end every connection is cut. An exception that a behaviour raised by mistake comes out
    of `async with` then.
    """

    def dns_lookup(self, *, timeout: float = 5.0) -> "AiodnsLookup":
        """Return an `AiodnsLookup` that asks this DNS server; to be closed by who asked for it."""
        from matrix_resolve.backends.dns_aiodns import AiodnsLookup

        return AiodnsLookup(nameservers=[self.nameserver], timeout=timeout)

    def well_known_fetcher(
        self, *, addresses: AddressLookup, **settings: Any
    ) -> "AiohttpWellKnownFetcher":
        """Return an `AiohttpWellKnownFetcher` that reaches these servers; to be closed likewise.

        Every address is allowed. `settings` are its arguments, and win.
        """
        from matrix_resolve.backends.well_known_aiohttp import AiohttpWellKnownFetcher
        from matrix_resolve.core.addresses import AddressPolicy

        settings.setdefault("address_policy", AddressPolicy.allow_all())
        settings.setdefault("ssl_context", self.client_ssl_context())
        settings.setdefault("connect_to", self.connect_to)
        return AiohttpWellKnownFetcher(addresses=addresses, **settings)

    def resolver(
        self,
        *,
        well_known: WellKnownFetcher | None = None,
        srv: SrvLookup | None = None,
        addresses: AddressLookup | None = None,
        cache: AnswerCache | None = None,
        policy: "Policy | None" = None,
        address_policy: "AddressPolicy | None" = None,
        hooks: "Iterable[ResolverHook]" = (),
        clock: Clock = time,
        rng: random.Random | None = None,
    ) -> "Opening[Resolver]":
        """Open a `Resolver` that reaches this federation by real sockets, as `open_resolver` does.

        The parts that are not given are the real ones, with their settings from `policy`; every
        address is allowed unless `address_policy` says otherwise. Lifetimes count by `clock`, for
        which a `FakeClock` will do; but what c-ares keeps of its last answers is repeated for up
        to a second of real time.
        """
        from matrix_resolve.compose import compose_resolver
        from matrix_resolve.core.addresses import AddressPolicy

        if address_policy is None:
            address_policy = AddressPolicy.allow_all()
        return compose_resolver(
            well_known=well_known,
            srv=srv,
            addresses=addresses,
            cache=cache,
            policy=policy,
            address_policy=address_policy,
            hooks=hooks,
            clock=clock,
            rng=rng,
            nameservers=[self.nameserver] if srv is None or addresses is None else None,
            ssl_context=self.client_ssl_context() if well_known is None else None,
            connect_to=self.connect_to,
        )

    def client(self, resolver: "Resolver", **settings: Any) -> "Opening[FederationClient]":
        """Open a `FederationClient` that reaches these servers.

        `settings` are the arguments of `open_federation_client()`, and win.
        """
        from matrix_resolve.federation import open_federation_client

        settings.setdefault("ssl_context", self.client_ssl_context())
        settings.setdefault("connect_to", self.connect_to)
        return open_federation_client(resolver, **settings)
