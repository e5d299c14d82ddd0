"""Time limits around what others wrote."""

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

from matrix_resolve.errors import BackendError

_T = TypeVar("_T")


async def within(seconds: float, asked: Awaitable[_T], failure: type[BackendError]) -> _T:
    """Await `asked`; raise `failure` after so many seconds. Its own TimeoutError is its bug."""
    limit = asyncio.timeout(seconds)
    try:
        async with limit:
            return await asked
    except TimeoutError as error:
        if not limit.expired():
            raise
        raise failure(f"no answer within {seconds:g} s") from error
