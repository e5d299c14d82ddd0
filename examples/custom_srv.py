"""An SRV lookup of one's own: records from a text as zone files have them.

For a closed network without DNS, or for tests. Each line is a name, a TTL in seconds, priority,
weight, port and target:

    _matrix-fed._tcp.example.org  3600  10 5 8448  matrix.example.org
"""

import asyncio
from collections.abc import Iterable

from matrix_resolve import SrvRecord, SrvReply, resolve_server_name

ZONE = """
_matrix-fed._tcp.example.org  3600  10 5 8448  matrix.example.org
_matrix-fed._tcp.example.org  3600  20 0 443   backup.example.net
"""


class ZoneText:
    """Answers from the lines of a text; what is not in it does not exist."""

    def __init__(self, lines: Iterable[str]) -> None:
        self._replies: dict[str, SrvReply] = {}
        for line in filter(str.strip, lines):
            name, ttl, priority, weight, port, target = line.split()
            record = SrvRecord(int(priority), int(weight), int(port), target)
            before = self._replies.get(name.lower(), SrvReply([], float(ttl)))
            reply = SrvReply([*before.records, record], min(before.ttl or 0.0, float(ttl)))
            self._replies[name.lower()] = reply

    async def lookup_srv(self, name: str, /) -> SrvReply:
        """Return the records of `name`; raise `SrvLookupError` only if that can't be known."""
        return self._replies.get(name, SrvReply([]))


async def main() -> None:
    """Resolve a name of the zone; its well-known document is asked for all the same."""
    print(await resolve_server_name("example.org", srv=ZoneText(ZONE.splitlines())))


if __name__ == "__main__":
    asyncio.run(main())
