"""A well-known fetcher of one's own: delegations fixed by the operator come before the web.

A server whose web site is broken, or that is reached through a private network, can be given a
delegation by hand. A fetcher has one method and inherits nothing.
"""

import asyncio
import json
from collections.abc import Mapping

from matrix_resolve import (
    AiodnsLookup,
    AiohttpWellKnownFetcher,
    HttpResponse,
    WellKnownFetcher,
    open_resolver,
)


class FixedDelegations:
    """Answers from a table, and for all other hosts passes the question on."""

    def __init__(self, delegations: Mapping[str, str], otherwise: WellKnownFetcher) -> None:
        self._delegations = delegations
        self._otherwise = otherwise

    async def fetch(self, hostname: str, /) -> HttpResponse:
        """Return the document that the table gives, as if it had been fetched."""
        if hostname not in self._delegations:
            return await self._otherwise.fetch(hostname)
        body = json.dumps({"m.server": self._delegations[hostname]}).encode()
        headers = [("Cache-Control", "max-age=300")]
        return HttpResponse(status=200, headers=headers, body=body, url="the operator's table")


async def main() -> None:
    """Resolve a name that the table knows."""
    async with (
        AiodnsLookup() as dns,
        AiohttpWellKnownFetcher(addresses=dns) as web,
        open_resolver(
            well_known=FixedDelegations({"broken.example": "matrix.broken.example:443"}, web),
            srv=dns,
            addresses=dns,
        ) as resolver,
    ):
        print(await resolver.resolve("broken.example"))


if __name__ == "__main__":
    asyncio.run(main())
