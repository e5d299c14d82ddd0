"""How much a cached `resolve()` costs, against a coroutine that reads a dictionary.

    python tests/benchmarks/hot_path.py

Prints nanoseconds and their ratio, the two taken in turn in one run. Look at the ratio: the
nanoseconds are the machine's.
"""

import asyncio
import statistics
import time

from matrix_resolve import HttpResponse, MemoryCache, Resolver
from matrix_resolve.testing import FakeAddresses, FakeSrv, FakeWellKnown

CALLS = 10_000
ROUNDS = 201
NAME = "example.org"


class Plain:
    """The least that a cache can do: read a dictionary, compare an expiry."""

    def __init__(self) -> None:
        self.entries = {NAME: (time.time() + 3600, object())}

    async def resolve(self, name: str) -> object:
        """Return the entry while it has not expired."""
        entry = self.entries.get(name)
        if entry is not None and time.time() < entry[0]:
            return entry[1]
        raise LookupError(name)


async def nanoseconds(resolver: Plain | Resolver) -> float:
    """Return what one call costs, on the average of many."""
    resolve = resolver.resolve
    started = time.perf_counter_ns()
    for _ in range(CALLS):
        await resolve(NAME)
    return (time.perf_counter_ns() - started) / CALLS


async def main() -> None:
    """Take both in turn, and print medians and the median ratio."""
    document = HttpResponse(200, [], b'{"m.server": "matrix.example.org:443"}', "")
    async with Resolver(
        well_known=FakeWellKnown({NAME: document}),
        srv=FakeSrv(),
        addresses=FakeAddresses(),
        cache=MemoryCache(),
    ) as resolver:
        await resolver.resolve(NAME)
        plain = Plain()
        pairs = [(await nanoseconds(plain), await nanoseconds(resolver)) for _ in range(ROUNDS)]
    plain_ns, resolver_ns = (statistics.median(column) for column in zip(*pairs, strict=True))
    ratios = sorted(ours / theirs for theirs, ours in pairs)
    print(f"dictionary read, awaited   {plain_ns:7.0f} ns")
    print(f"cached resolve()           {resolver_ns:7.0f} ns")
    print(f"ratio {statistics.median(ratios):.2f} (from {ratios[0]:.2f} to {ratios[-1]:.2f})")


if __name__ == "__main__":
    asyncio.run(main())
