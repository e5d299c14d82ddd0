"""Plug-ins that answer about any name at once, and keep nothing of what they were asked."""

import asyncio
import json
import time
from typing import Final

from matrix_resolve import (
    AddressLookupError,
    AddressReply,
    HttpResponse,
    MemoryCache,
    Resolver,
    SrvRecord,
    SrvReply,
)
from matrix_resolve.interfaces import Clock
from matrix_resolve.policy import Policy

ZONE: Final = "example.org"
_URL: Final = "https://%s/.well-known/matrix/server"
_HEADERS: Final = (("Content-Type", "application/json"), ("Server", "bench"))


class Strangers:
    """All three plug-ins, for names as `KIND-NUMBER.example.org`; `asked` counts the questions.

    The kinds: "port" delegates to a name with a port, "srv" to one that has SRV records, "fed" has
    some itself, and "none" has nothing. A digit after "srv" or "fed" is their number, 1 without.
    `delay` is what a document takes, in seconds, while all else is answered at once.
    """

    def __init__(self, delay: float = 0.0) -> None:
        self.asked = 0
        self._delay = delay

    async def fetch(self, hostname: str, /) -> HttpResponse:
        """Return the document of a name."""
        self.asked += 1
        if self._delay:
            await asyncio.sleep(self._delay)
        url = _URL % hostname
        if hostname.startswith("port"):
            delegation = f"matrix.{hostname}:443"
        elif hostname.startswith("srv"):
            delegation = f"matrix.{hostname}"
        else:
            return HttpResponse(404, _HEADERS, b"", url)
        return HttpResponse(200, _HEADERS, json.dumps({"m.server": delegation}).encode(), url)

    async def lookup_srv(self, name: str, /) -> SrvReply:
        """Return the records of a name under the new service."""
        self.asked += 1
        service, _, host = name.partition("._tcp.")
        kind = host.removeprefix("matrix.").partition("-")[0]
        has_records = kind[:3] == "fed" or (kind[:3] == "srv" and host.startswith("matrix."))
        if service != "_matrix-fed" or not has_records:
            return SrvReply(())
        count = int(kind[3:] or 1)
        return SrvReply([SrvRecord(0, 0, 8448, f"t{n}.{host}") for n in range(count)], 3600.0)

    async def lookup_addresses(self, hostname: str, /) -> AddressReply:
        """Tell that nobody asks for addresses here."""
        raise AddressLookupError(hostname)

    def resolver(self, *, policy: Policy = Policy(), clock: Clock = time) -> Resolver:
        """Return a resolver that asks nobody else, with the default cache."""
        return Resolver(
            well_known=self,
            srv=self,
            addresses=self,
            cache=MemoryCache(max_answers=policy.max_answers, clock=clock),
            policy=policy,
            clock=clock,
        )


def names_of(kind: str, first: int, count: int) -> list[str]:
    """Return so many names of a kind."""
    return [f"{kind}-{number:06}.{ZONE}" for number in range(first, first + count)]
