"""Stalled servers ahead of living ones: do they hold up the living?

    python tests/benchmarks/stalled.py [--names N ...] [--kind stalled|blackholed|dripping]

Resolves 1,000 names whose web servers never answer and after them, in the same moment, 1,000 that
live, and then 2,000 and 2,000: once through a fetcher that is made up, so that nothing but the
resolver's own time-outs ends a fetch, and once over real sockets with the servers of `storm.py`.
Prints what share of the living is answered within 15 s, and whether that is enough; the exit status
tells the same.
"""

import argparse
import asyncio
import sys
from collections.abc import Sequence
from typing import Final

from storm import WEB_DELAY, Outcome, kind_of, names_of, resolve_all, servers, verdict

from matrix_resolve import HttpResponse, MemoryCache, Resolver
from matrix_resolve.testing import FakeAddresses, FakeSrv, FakeWellKnown

WITHIN: Final = 15.0
SHARE: Final = 0.95


async def made_up(names: Sequence[str]) -> list[Outcome]:
    """Resolve through a fetcher that for most of `names` never comes back."""

    async def fetched(hostname: str) -> HttpResponse | dict[str, str]:
        if kind_of(hostname) != "port":
            await asyncio.Event().wait()
        await asyncio.sleep(2 * WEB_DELAY)
        return {"m.server": f"matrix.{hostname}:443"}

    async with Resolver(
        well_known=FakeWellKnown(dict.fromkeys(names, fetched)),
        srv=FakeSrv(delay=0.03),
        addresses=FakeAddresses(),
        cache=MemoryCache(),
    ) as resolver:
        return await resolve_all(resolver, names)


async def by_sockets(names: Sequence[str]) -> list[Outcome]:
    """Resolve through real servers."""
    with servers() as opened:
        async with opened.resolver(names) as resolver:
            return await resolve_all(resolver, names)


def tell(how: str, outcomes: Sequence[Outcome]) -> bool:
    """Print what became of the names, and return whether enough of the living were answered."""
    living = [outcome for outcome in outcomes if kind_of(outcome.name) == "port"]
    right = sorted(outcome.seconds for outcome in living if outcome.is_right)
    share = sum(seconds <= WITHIN for seconds in right) / len(living)
    return verdict(
        f"{how}: {SHARE:.0%} of the living within {WITHIN:g} s",
        f"{share:.1%}; the first after {right[0]:.1f} s, the last after {right[-1]:.1f} s,"
        f" all over after {max(outcome.ended_at for outcome in outcomes):.1f} s",
        share >= SHARE,
    )


def main() -> int:
    """Resolve both ways; return the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--names", type=int, nargs="+", default=[1000, 2000])
    parser.add_argument("--kind", choices=("stalled", "blackholed", "dripping"), default="stalled")
    arguments = parser.parse_args()
    met = []
    for count in arguments.names:
        names = [*names_of(arguments.kind, count), *names_of("port", count)]
        met.append(tell(f"{count:,}, a fetcher made up", asyncio.run(made_up(names))))
        met.append(tell(f"{count:,}, over sockets", asyncio.run(by_sockets(names))))
    return 0 if all(met) else 1


if __name__ == "__main__":
    sys.exit(main())
