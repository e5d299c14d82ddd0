"""Has aiohttp dial the addresses that were looked up and checked, and no others."""

import socket

from aiohttp import ThreadedResolver
from aiohttp.abc import AbstractResolver, ResolveResult

from matrix_resolve.transport.attempts import ConnectionAttempt


class PinnedResolver(AbstractResolver):
    """Gives aiohttp the addresses of the current attempt; only a proxy's are looked up.

    aiohttp asks only for names, and dials an IP literal as it stands in the URL.
    """

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Return what is to be dialled; the family is the address's."""
        attempt = ConnectionAttempt.current()
        attempt.may_dial()
        if attempt.proxy is not None:
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
            for address, to_port in attempt.addresses or ()
        ]

    async def close(self) -> None:
        """There is nothing to close."""
