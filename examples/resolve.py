"""Resolve the server names on the command line, and look up where to connect.

python examples/resolve.py matrix.org example.org:8448
"""

import asyncio
import sys
from collections.abc import Iterable

from matrix_resolve import MatrixResolveError, Resolver, open_resolver


async def show(resolver: Resolver, name: str) -> None:
    """Print where one name leads, or why nowhere."""
    try:
        resolution = await resolver.resolve(name)
        print(resolution)
        for endpoint in await resolver.endpoints(resolution):
            print(f"    {endpoint.address} port {endpoint.port}")
    except MatrixResolveError as error:
        print(f"{name}: {error}")


async def main(names: Iterable[str]) -> None:
    """Resolve all names with one resolver, one after another."""
    async with open_resolver() as resolver:
        for name in names:
            await show(resolver, name)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:] or ["matrix.org"]))
