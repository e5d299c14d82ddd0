"""For the backends' tests: a lookup, a Redis, and aioresponses on aiohttp 3.14."""

from collections.abc import AsyncIterator, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import ClientResponse
from aioresponses import aioresponses, core
from redis.asyncio import Redis
from servers import RedisServer, running_redis

from matrix_resolve.backends.dns_aiodns import AiodnsLookup
from matrix_resolve.testing import LoopbackFederation


@pytest_asyncio.fixture
async def dns(loopback_federation: LoopbackFederation) -> AsyncIterator[AiodnsLookup]:
    """A lookup that asks the loopback DNS server."""
    async with loopback_federation.dns_lookup() as lookup:
        yield lookup


@pytest.fixture(scope="session")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """One Redis for all tests that need one."""
    with running_redis(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture
def server(running: RedisServer) -> Iterator[RedisServer]:
    """That Redis, up at the beginning and at the end."""
    yield running
    running.ensure_running()


@pytest_asyncio.fixture
async def redis_client(server: RedisServer) -> AsyncIterator[Redis]:
    """A client of it; it is empty."""
    async with server.client() as client:
        await client.flushall()
        yield client


class _Response(ClientResponse):
    """What aioresponses 0.7.9 makes: it does not know the argument that aiohttp 3.14 added."""

    def __init__(self, *args: Any, **options: Any) -> None:
        options.setdefault("stream_writer", SimpleNamespace(output_size=0))
        super().__init__(*args, **options)


@pytest.fixture
def mocked(monkeypatch: pytest.MonkeyPatch) -> Iterator[aioresponses]:
    """Let aioresponses answer in place of the network."""
    monkeypatch.setattr(core, "ClientResponse", _Response)
    with aioresponses() as responses:
        yield responses
