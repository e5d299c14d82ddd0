"""A federation request on a pooled connection, against the same GET by a bare aiohttp session."""

import gc
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final

import aiohttp

from matrix_resolve import open_federation_client
from tests.benchmarks.figures import Figure, Scale
from tests.benchmarks.network import LOOPBACK, new_names, serving

_CALLS: Final = 500
_BOUND: Final = 1.27
_PATH: Final = "/_matrix/federation/v1/version"


async def _cpu(ask: Callable[[], Awaitable[Any]], calls: int) -> float:
    """Return the microseconds of CPU time that each request took."""
    gc.collect()
    started = time.process_time()
    for _ in range(calls):
        await ask()
    return (time.process_time() - started) / calls * 1e6


async def measure(scale: Scale) -> list[Figure]:
    """Take blocks of requests in turn."""
    calls = scale.of(_CALLS, 20)
    ours: list[float] = []
    floor: list[float] = []
    with serving() as network:
        connector = aiohttp.TCPConnector(ssl=network.ssl_context)
        async with (
            network.resolver() as resolver,
            open_federation_client(
                resolver, ssl_context=network.ssl_context, connect_to=network.connect_to
            ) as client,
            aiohttp.ClientSession(connector=connector) as session,
        ):
            (name,) = new_names("port", 1)

            async def request() -> None:
                async with client.request("GET", name, _PATH) as response:
                    assert await response.read() == b"{}"

            async def get() -> None:
                async with session.get(f"https://{LOOPBACK}:{network.web}{_PATH}") as response:
                    assert await response.read() == b"{}"

            for _ in range(2):  # much is done for the first time
                await request()
                await get()
            for number in range(scale.rounds):
                for ask, taken in ((request, ours), (get, floor))[:: 1 if number % 2 else -1]:
                    taken.append(await _cpu(ask, calls))
    name = "client.request() against session.get(), pooled: CPU"
    return [Figure(name=name, unit="us", ours=ours, floor=floor, bound=_BOUND)]
