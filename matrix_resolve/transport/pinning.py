"""Has aiohttp dial the addresses that were looked up and checked, and no others."""

import socket
from collections.abc import Awaitable, Callable, Sequence
from contextvars import ContextVar

from aiohttp import ThreadedResolver
from aiohttp.abc import AbstractResolver, ResolveResult

SocketAddress = tuple[str, int]

Find = Callable[[], Awaitable[Sequence[SocketAddress]]]
"""Gives the (IP address, port) pairs to dial, in order."""

_pinned: ContextVar[tuple[Find, str]] = ContextVar("pinned")


def pin(find: Find, host: str) -> None:
    """Have the requests of this task dial what `find` gives in place of the addresses of `host`.

    `host` is in lower case. `find` is asked when there is need. Any other host is a proxy, which is
    looked up as usual.
    """
    _pinned.set((find, host))


class PinnedResolver(AbstractResolver):
    """Gives aiohttp the pinned addresses in place of looking any up.

    aiohttp asks only for names, and dials an IP literal as it stands in the URL.
    """

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Return what is to be dialled; the family is the address's."""
        find, pinned = _pinned.get()
        if host.lower() != pinned:
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
            for address, to_port in await find()
        ]

    async def close(self) -> None:
        """There is nothing to close."""
