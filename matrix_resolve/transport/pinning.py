"""Has aiohttp dial the addresses that were looked up and checked, and no others."""

import socket
from collections.abc import Awaitable, Callable, Sequence
from contextvars import ContextVar

from aiohttp import ThreadedResolver
from aiohttp.abc import AbstractResolver, ResolveResult

SocketAddress = tuple[str, int]

Addresses = Callable[[], Awaitable[Sequence[SocketAddress]]]
"""Gives the (IP address, port) pairs to dial, in order."""

_to_dial: ContextVar[tuple[Addresses, str | None]] = ContextVar("to_dial")


def pin(addresses: Addresses, host: str | None = None) -> None:
    """Have the requests of this task dial these; they are asked for when there is need.

    Where a proxy may be dialled, `host` tells it from the host that these are the addresses of.
    """
    _to_dial.set((addresses, host))


class PinnedResolver(AbstractResolver):
    """Gives aiohttp the pinned addresses in place of looking any up.

    aiohttp asks only for names, and dials an IP literal as it stands in the URL.
    """

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Return what is to be dialled; the family is the address's."""
        addresses, pinned = _to_dial.get()
        if pinned is not None and host.lower() != pinned.lower():
            return await ThreadedResolver().resolve(host, port, family)
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=to_port,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=0,
                flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
            )
            for address, to_port in await addresses()
        ]

    async def close(self) -> None:
        """There is nothing to close."""
