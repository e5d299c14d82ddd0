"""Looks at servers, and reports."""

import ssl
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import Any, Final

from matrix_resolve.checking.collecting import Collection, Parts, Progress
from matrix_resolve.checking.documents import DocumentReader
from matrix_resolve.checking.facts import ServerFacts
from matrix_resolve.checking.places import Places
from matrix_resolve.checking.probing import EndpointProber
from matrix_resolve.checking.report import Report
from matrix_resolve.compose import compose_resolver
from matrix_resolve.core.addresses import AddressPolicy
from matrix_resolve.core.names import ServerName
from matrix_resolve.interfaces import AddressLookup, SrvLookup
from matrix_resolve.transport.attempts import SocketAddress
from matrix_resolve.transport.tls import default_ssl_context

# Seconds that a check takes at most.
TIMEOUT: Final = 60.0


class Checker:
    """Checks servers; `open_checker()` gives one. It remembers nothing between two checks."""

    def __init__(self, parts: Parts, *, timeout: float) -> None:
        self._parts = parts
        self._timeout = timeout

    async def check(
        self,
        server_name: str | ServerName,
        *,
        expect_closed: bool = False,
        progress: Progress = lambda _: None,
    ) -> Report:
        """Return a report on a server, within the checker's `timeout`, whatever that does.

        With `expect_closed` the server is to be private: that it answers is the fault. `progress`
        hears what is under way. Raises `InvalidServerNameError`.
        """
        facts = await self.look(server_name, progress=progress)
        return Report.of(facts, expect_closed=expect_closed)

    async def look(
        self, server_name: str | ServerName, *, progress: Progress = lambda _: None
    ) -> ServerFacts:
        """Return what is seen of a server, not judged; all else as of `check`."""
        if isinstance(server_name, str):
            server_name = ServerName.parse(server_name)
        return await Collection(server_name, self._parts, progress).facts(self._timeout)


@asynccontextmanager
async def open_checker(
    *,
    addresses: AddressLookup | None = None,
    srv: SrvLookup | None = None,
    address_policy: AddressPolicy | None = None,
    nameservers: Sequence[str] | None = None,
    ssl_context: ssl.SSLContext | None = None,
    connect_to: Mapping[SocketAddress, SocketAddress] | None = None,
    timeout: float = TIMEOUT,  # noqa: ASYNC109  # of each check, not of this
) -> AsyncIterator[Checker]:
    """Open a `Checker`, which looks at servers as other servers see them.

    `addresses` and `srv` are the lookups (default: `AiodnsLookup`, which asks `nameservers` where
    they are given), `address_policy` says which addresses are looked at, `ssl_context` whom peers
    trust (default: whom the system trusts). `connect_to` maps (host, port), or (IP address, port),
    to the (IP address, port) to dial in its place: a server can be tried before DNS points to it.
    A check takes at most `timeout` seconds.
    """
    address_policy = AddressPolicy() if address_policy is None else address_policy
    ssl_context = default_ssl_context() if ssl_context is None else ssl_context
    places = Places({} if connect_to is None else connect_to)
    async with AsyncExitStack() as opened:
        if addresses is None or srv is None:
            from matrix_resolve.backends.dns_aiodns import AiodnsLookup

            lookup = await opened.enter_async_context(AiodnsLookup(nameservers=nameservers))
            addresses = lookup if addresses is None else addresses
            srv = lookup if srv is None else srv
        parts = Parts(
            open_resolver=partial(
                compose_resolver,
                addresses=addresses,
                srv=srv,
                address_policy=address_policy,
                ssl_context=ssl_context,
                connect_to=places.connect_to,
            ),
            addresses=addresses,
            srv=srv,
            address_policy=address_policy,
            reader=DocumentReader(addresses, address_policy, ssl_context, places),
            prober=EndpointProber(places, address_policy, ssl_context),
        )
        yield Checker(parts, timeout=timeout)


async def check_server(
    server_name: str | ServerName,
    *,
    checker: Checker | None = None,
    expect_closed: bool = False,
    **settings: Any,
) -> Report:
    """Check one server: open a checker with `settings`, check, close it.

    `settings` are the arguments of `open_checker()`. For more than one server, open a checker once:
    with `checker` that one is used, and no `settings` may be given (`TypeError`). Raises what
    `Checker.check` raises.
    """
    if checker is not None:
        if settings:
            raise TypeError(f"checker is given, so {', '.join(settings)} may not be")
        return await checker.check(server_name, expect_closed=expect_closed)
    async with open_checker(**settings) as opened:
        return await opened.check(server_name, expect_closed=expect_closed)
