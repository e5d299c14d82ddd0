"""A process that looks names up on the network of a benchmark, by `bulk` or by a bare `gather`.

    python -m tests.benchmarks.bulk_worker NETWORK bulk ARGUMENT...
    python -m tests.benchmarks.bulk_worker NETWORK gather FILE

NETWORK is the JSON of `Network.told`. `gather` prints how many seconds it took; `bulk` is the
command, with a resolver that dials the servers of the benchmark.
"""

import argparse
import asyncio
import json
import sys
import time
from pathlib import Path

from matrix_resolve import MatrixResolveError, Policy
from matrix_resolve.cli import bulk
from matrix_resolve.cli.bulk_lookups import policy_settings, resolving
from matrix_resolve.cli.bulk_run import process
from tests.benchmarks.network import Network


async def gather(network: Network, names: list[str]) -> float:
    """Return the seconds that all names take, side by side."""
    async with network.resolver() as resolver:
        began = time.monotonic()
        results = await asyncio.gather(*map(resolver.resolve, names), return_exceptions=True)
        seconds = time.monotonic() - began
    for result in results:
        if isinstance(result, BaseException) and not isinstance(result, MatrixResolveError):
            raise result
    return seconds


async def by_bulk(network: Network, arguments: argparse.Namespace) -> int:
    """Return the exit status of the command."""
    opened = network.resolver(Policy(**policy_settings(arguments.concurrency)))
    return await process(arguments, resolving(opened, endpoints=arguments.endpoints))


def main() -> int:
    """Do what the arguments say."""
    told, how, *argv = sys.argv[1:]
    network = Network.told(**json.loads(told))
    if how == "gather":
        print(asyncio.run(gather(network, Path(argv[0]).read_text().split())))
        return 0
    parser = argparse.ArgumentParser()
    bulk.configure(parser)
    parser.set_defaults(concurrency=200)
    return asyncio.run(by_bulk(network, parser.parse_args(argv)))


if __name__ == "__main__":
    sys.exit(main())
