"""A Redis, and processes that share it."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from processes import Process, Start
from servers import RedisServer, running_redis

# Seconds for one test: real servers and processes start slowly on a busy machine.
_LIMIT = 600


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give the tests in this folder more time."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.timeout(_LIMIT))


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    """A Redis of the test's own."""
    with running_redis(tmp_path) as server:
        yield server


@pytest.fixture
def start(server: RedisServer) -> Iterator[Start]:
    """Start so many processes that share the Redis, with these settings, and wait for them."""
    with ExitStack() as started:

        def start(count: int, **settings: Any) -> list[Process]:
            processes = [Process(port=server.port, **settings) for _ in range(count)]
            for process in processes:
                started.callback(process.end)
            for process in processes:
                assert process.answer() == "open"
            return processes

        yield start
