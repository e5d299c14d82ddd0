"""How much memory a resolver takes at most, whatever strangers publish.

    python tests/benchmarks/memory.py [--names N] [SHAPE ...]

For each shape of answer a process of its own resolves 100,000 names, and then another 100,000,
through plug-ins that are made up, with the default policy. Prints its memory on the way, and
whether the second half has added any: by then everything must be at its bound. A shape called
"ordinary" is there to compare with. As many processes run at once as there are cores; what runs
by default takes a few minutes, and a GiB each.
"""

import argparse
import asyncio
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from ipaddress import IPv4Address
from pathlib import Path
from typing import Final

from attrs import frozen

from matrix_resolve import (
    AddressPolicy,
    AddressReply,
    HttpResponse,
    MemoryCache,
    Policy,
    Resolver,
    SrvRecord,
    SrvReply,
    WellKnownFetchError,
)

AT_ONCE: Final = 200
# What the second half may add: dictionaries that are full and go on changing grow once more.
GROWTH: Final = 0.1
_MIB: Final = 2**20
_ADDRESSES: Final = 4096
# Names of each half whose targets' addresses are looked up, if the shape has that: 16 hosts each,
# which together weigh more than may be kept.
_ENDPOINTS_OF: Final = 7
_REASON: Final = 200  # what the default fetcher keeps of a message
# The end of a name that with SRV labels before it has the 253 octets that DNS can ask for.
_LONG: Final = f"{'x' * 26}.{'.'.join(['x' * 63] * 3)}.example"
_NUMBER: Final = re.compile("[0-9]{7}")


@frozen(kw_only=True)
class Shape:
    """What is published about each name.

    Half of the names delegate; the fetches of the others fail, with a long reason. `records` SRV
    records stand under both service names. `endpoints`: a host has 4,096 addresses.
    """

    records: int
    is_long: bool = True
    endpoints: bool = False

    def host(self, label: str, number: str) -> str:
        """Return a host name of its own for `number`."""
        return f"{label}{number}.{_LONG if self.is_long else 'example'}"


SHAPES: Final = {
    # As large as an answer is kept: it counts as many.
    "records": Shape(records=64, endpoints=True),
    # The most that counts as one entry, and the most that counts as one name.
    "three": Shape(records=3),
    "seven": Shape(records=7),
    "none": Shape(records=0),
    "ordinary": Shape(records=1, is_long=False),
}


class Strangers:
    """All three plug-ins: what is published about any name, made when it is asked for."""

    def __init__(self, shape: Shape) -> None:
        self._shape = shape

    async def fetch(self, name: str, /) -> HttpResponse:
        """Return a delegation, or fail."""
        number = _number(name)
        url = f"https://{name}/.well-known/matrix/server"
        if int(number) % 2 == 0:
            document = {"m.server": self._shape.host("d-", number)}
            return HttpResponse(200, (), json.dumps(document).encode(), url)
        if self._shape.is_long:
            raise WellKnownFetchError(number.ljust(_REASON, "x"))
        return HttpResponse(404, (), b"", url)

    async def lookup_srv(self, name: str, /) -> SrvReply:
        """Return records with targets of their own."""
        service, number, host = name.index("._tcp"), _number(name), self._shape.host
        targets = [host(f"{service}{n:02}-", number) for n in range(self._shape.records)]
        return SrvReply([SrvRecord(n, 0, 8448, target) for n, target in enumerate(targets)], 3600)

    async def lookup_addresses(self, name: str, /) -> AddressReply:
        """Return as many addresses as are kept."""
        first = 0x08000000 + int(_number(name)) * 64
        return AddressReply([IPv4Address(first + n) for n in range(_ADDRESSES)], 3600)


def _number(name: str) -> str:
    """Return the number in a name of ours."""
    found = _NUMBER.search(name)
    assert found is not None
    return found[0]


def resident() -> int:
    """Return how many bytes of memory this process has (Linux)."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


async def fill(shape: Shape, count: int, told: Callable[[str], None]) -> bool:
    """Resolve twice `count` names, telling of memory; return whether the second half added any."""
    plug_ins, cache = Strangers(shape), MemoryCache(max_answers=Policy().max_answers)
    async with Resolver(
        well_known=plug_ins,
        srv=plug_ins,
        addresses=plug_ins,
        cache=cache,
        address_policy=AddressPolicy.allow_all(),
    ) as resolver:
        before = resident()
        told(f"{0:9,} names: {before / _MIB:6.0f} MiB")
        above: dict[int, int] = {}
        longest, done = 0.0, 0
        for quarters in range(1, 9):
            mark = count * quarters // 4
            while done < mark:
                numbers = range(done, min(done + AT_ONCE, mark))
                names = [shape.host("n-", f"{number:07}") for number in numbers]
                results = await asyncio.gather(*map(resolver.resolve, names))
                done = numbers.stop
                if shape.endpoints and done * _ENDPOINTS_OF % count < len(names) * _ENDPOINTS_OF:
                    began = time.perf_counter()
                    await resolver.endpoints(results[0])
                    longest = max(longest, time.perf_counter() - began)
            above[quarters] = resident() - before
            told(
                f"{done:9,} names: {(before + above[quarters]) / _MIB:6.0f} MiB; kept"
                f" {len(cache):,} answers, {len(resolver._names):,} names,"
                f" {len(resolver._source._store._addresses):,} hosts' addresses"
            )
        if shape.endpoints:
            told(f"endpoints() of one name took {1000 * longest:.0f} ms at most")
    told(f"the bound is about {max(above.values()):,} bytes, {before:,} of the process aside")
    met = above[8] <= above[4] * (1 + GROWTH)
    told(
        f"{'PASS' if met else 'FAIL'}  the second half added {(above[8] - above[4]) / _MIB:.0f} MiB"
    )
    return met


def main() -> int:
    """Run each shape in a process of its own; return the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("shapes", nargs="*", metavar="SHAPE", help=", ".join(SHAPES))
    parser.add_argument("--names", type=int, default=100_000)
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    shapes = arguments.shapes or ["records", "ordinary"]
    if arguments.child:
        (shape,) = shapes

        def told(line: str) -> None:
            print(f"{shape:10} {line}", flush=True)

        return 0 if asyncio.run(fill(SHAPES[shape], arguments.names, told)) else 1
    command = [sys.executable, __file__, "--child", "--names", str(arguments.names)]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return max(pool.map(lambda shape: subprocess.call([*command, shape]), shapes))


if __name__ == "__main__":
    sys.exit(main())
