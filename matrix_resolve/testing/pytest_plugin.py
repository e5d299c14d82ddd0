"""The pytest plug-in: the fixture `loopback_federation`, a running `LoopbackFederation` per test.

Found by pytest of itself once `matrix-resolve[testing]` is installed:

    async def test_it_federates(loopback_federation):
        loopback_federation.add("example.org", delegates_to="matrix.example.org:443")
        async with loopback_federation.resolver() as resolver:
            ...

The fixture is asynchronous: it runs in the event loop of the test, so the test has to be a
coroutine function run by pytest-asyncio (or by anyio's plug-in). Everyone who has this package
installed loads this module with every run of pytest, so it imports next to nothing.
"""

from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from matrix_resolve.testing.loopback.federation import LoopbackFederation

# Failures of its assertions are explained as those in tests are.
pytest.register_assert_rewrite("matrix_resolve.testing.contract")

_fixture: Callable[..., Any]
try:
    # In its strict mode pytest-asyncio runs only the asynchronous fixtures that it made itself.
    from pytest_asyncio import fixture as _fixture
except ImportError:
    _fixture = pytest.fixture


@_fixture
async def loopback_federation() -> "AsyncIterator[LoopbackFederation]":
    """Give a running `LoopbackFederation` without any server; `add()` those that you need."""
    try:
        from matrix_resolve.testing import LoopbackFederation
    except ImportError as error:
        pytest.skip(str(error))
    async with LoopbackFederation() as federation:
        yield federation
