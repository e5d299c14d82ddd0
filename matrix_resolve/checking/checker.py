"""Looks at servers, and reports."""

import ssl
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from functools import partial
from typing import Any, Final

from matrix_resolve.checking.collecting import Collection, Parts, Progress
from matrix_resolve.checking.documents import DocumentReader
from matrix_resolve.checking.facts import ServerFacts
from matrix_resolve.checking.places import Places
from matrix_resolve.checking.probing import EndpointProber
from matrix_resolve.checking.report import Report
from matrix_resolve.compose import check_nameservers, compose_resolver, open_lookups
from matrix_resolve.core.addresses import AddressPolicy
from matrix_resolve.core.closeable import Closeable, Opening
from matrix_resolve.core.names import ServerName
from matrix_resolve.interfaces import AddressLookup, SrvLookup
from matrix_resolve.transport.attempts import SocketAddress
from matrix_resolve.transport.tls import default_ssl_context

# Seconds that a check takes at most.
TIMEOUT: Final = 60.0
# Seconds of one DNS question.
_DNS_TIMEOUT: Final = 5.0


class Checker(Closeable):
    """Checks servers; `open_checker()` gives one. It remembers nothing between two checks."""

    def __init__(self, parts: Parts, opened: AsyncExitStack, *, timeout: float) -> None:
        self._parts = parts
        self._opened = opened
        self._timeout = timeout
        self._closed = False

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

    async def aclose(self) -> None:
        """Close what was opened with this; idempotent."""
        self._closed = True
        await self._opened.aclose()

    async def look(
        self, server_name: str | ServerName, *, progress: Progress = lambda _: None
    ) -> ServerFacts:
        """Return what is seen of a server, not judged; all else as of `check`."""
        if self._closed:
            raise RuntimeError("the checker is closed")
        if isinstance(server_name, str):
            server_name = ServerName.parse(server_name)
        return await Collection(server_name, self._parts, progress).facts(self._timeout)


def open_checker(
    *,
    addresses: AddressLookup | None = None,
    srv: SrvLookup | None = None,
    address_policy: AddressPolicy | None = None,
    nameservers: Sequence[str] | None = None,
    ssl_context: ssl.SSLContext | None = None,
    connect_to: Mapping[SocketAddress, SocketAddress] | None = None,
    timeout: float = TIMEOUT,
) -> Opening[Checker]:
    """Open a `Checker`, which looks at servers as other servers see them.

    `addresses` and `srv` are the lookups (default: `AiodnsLookup`, which asks `nameservers` where
    they are given), `address_policy` says which addresses are looked at, `ssl_context` whom peers
    trust (default: whom the system trusts). `connect_to` maps (host, port), or (IP address, port),
    to the (IP address, port) to dial in its place: a server can be tried before DNS points to it.
    A check takes at most `timeout` seconds.

    For `async with`, or for `await` and `aclose()` in the end. Raises `TypeError` for `nameservers`
    beside lookups of one's own.
    """
    check_nameservers(nameservers, srv, addresses)
    policy = AddressPolicy() if address_policy is None else address_policy
    trusting = default_ssl_context() if ssl_context is None else ssl_context
    places = Places({} if connect_to is None else connect_to)

    async def made(opened: AsyncExitStack) -> Checker:
        lookups = await open_lookups(
            opened, srv, addresses, nameservers=nameservers, timeout=_DNS_TIMEOUT
        )
        parts = Parts(
            open_resolver=partial(
                compose_resolver,
                addresses=lookups.addresses,
                srv=lookups.srv,
                address_policy=policy,
                ssl_context=trusting,
                connect_to=places.connect_to,
            ),
            addresses=lookups.addresses,
            srv=lookups.srv,
            address_policy=policy,
            reader=DocumentReader(lookups.addresses, policy, trusting, places),
            prober=EndpointProber(places, policy, trusting),
        )
        return Checker(parts, opened, timeout=timeout)

    return Opening(made)


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
