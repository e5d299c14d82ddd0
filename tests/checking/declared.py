"""Servers of a loopback federation as a test declares them, and whole checks of them."""

import asyncio
from collections import ChainMap
from collections.abc import Callable, Mapping
from typing import Any

from homeservers import homeserver, with_answer

from matrix_resolve.checking.checker import open_checker
from matrix_resolve.checking.findings import Level
from matrix_resolve.checking.report import Report
from matrix_resolve.core.addresses import AddressPolicy
from matrix_resolve.testing import LoopbackFederation, Reply

NAME, HOME = "example.org", "hs.example.org"
WELL_KNOWN = "/.well-known/matrix/server"
SERVES = homeserver(NAME, client_api=f"https://{HOME}/")
OWN = homeserver(NAME, client_api=f"https://{NAME}/")

Declare = Callable[[LoopbackFederation], dict[str, Any] | None]
"""Declares a server; what it returns is how the checker is to be opened."""


async def report(
    federation: LoopbackFederation,
    name: str = NAME,
    *,
    expect_closed: bool = False,
    **settings: Any,
) -> Report:
    """Check a server that a loopback federation has."""
    settings.setdefault("address_policy", AddressPolicy.allow_all())
    settings.setdefault("connect_to", federation.connect_to)
    settings.setdefault("ssl_context", federation.client_ssl_context())
    checking = open_checker(nameservers=[federation.nameserver], **settings)
    async with checking as checker, asyncio.timeout(60):
        return await checker.check(name, expect_closed=expect_closed)


def complaints(found: Report) -> dict[str, Level]:
    """Return the codes of errors and warnings."""
    return {each.code: each.level for each in found.findings if each.level is not Level.NOTE}


def delegating(**changes: Any) -> Declare:
    """Declare a server that delegates to another host, which is as said."""

    def declare(federation: LoopbackFederation) -> None:
        federation.add(NAME, delegates_to=f"{HOME}:443", serves=SERVES, ports={443})
        federation.add(HOME, **({"serves": SERVES} | changes))

    return declare


def alone(**changes: Any) -> Declare:
    """Declare a server that answers at port 8448 of its own name, as said."""

    def declare(federation: LoopbackFederation) -> None:
        federation.add(NAME, **({"serves": OWN} | changes))

    return declare


def also(host: str, serves: Any) -> Declare:
    """Declare another host."""

    def declare(federation: LoopbackFederation) -> None:
        federation.add(host, serves=serves)

    return declare


def at_addresses(servers: Mapping[str, Mapping[str, Any]]) -> Declare:
    """Declare a server with several addresses, each of which is a server of its own."""

    def declare(federation: LoopbackFederation) -> dict[str, Any]:
        federation.add(NAME, addresses=list(servers))
        connect_to = {}
        for place, (address, declared) in enumerate(servers.items()):
            host = f"{place}.at.test"
            federation.add(host, **({"serves": OWN} | declared))
            for port in (443, 8448):
                connect_to[address, port] = federation.connect_to[host, port]
        connect_to[HOME, 443] = federation.connect_to[HOME, 443]
        return {"connect_to": connect_to}

    return declare


def both(*declared: Declare) -> Declare:
    """Declare one thing after another."""

    def declare(federation: LoopbackFederation) -> dict[str, Any]:
        settings = [each(federation) for each in declared]
        return dict(ChainMap(*filter(None, settings)))

    return declare


def answering(path: str, answer: Any) -> Declare:
    """Declare a server that answers one path as said."""
    return alone(serves=with_answer(OWN, path, answer))


def by_srv(*records: str, service: str = "_matrix-fed", **changes: Any) -> Declare:
    """Declare a server with SRV records, and nothing at port 8448 of its own name."""

    def declare(federation: LoopbackFederation) -> None:
        federation.add(NAME, serves=OWN, ports={443})
        federation.add_records(f"{service}._tcp.{NAME}", "SRV", *records)
        federation.add(HOME, **({"serves": OWN} | changes))

    return declare


def published(body: Any, status: int = 200, **changes: Any) -> Declare:
    """Declare a server that is reached by its document only, which is as said."""
    return alone(well_known=Reply(status, body=body), ports={443}, **changes)


def with_key_document(**members: Any) -> Declare:
    """Declare a server whose key document has other members; `...` leaves one out."""
    return alone(serves=homeserver(NAME, client_api=f"https://{NAME}/", **members))
