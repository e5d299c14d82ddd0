"""What the rules of fetchers need."""

import asyncio
from typing import Any

import pytest

from matrix_resolve.errors import WellKnownFetchError
from matrix_resolve.interfaces import HttpResponse
from matrix_resolve.testing.contract.base import Contract, to_be_given

NAME = "example.org"
DOCUMENT = {"m.server": "hs.example.org:443"}


class FetchingContract(Contract):
    """What the rules of fetchers need."""

    fetcher: Any = to_be_given("the fetcher to try, which reaches `loopback_federation`")

    @pytest.fixture
    def time_limit(self) -> float:
        """Seconds after which a fetch should give up by itself, if it can be told to."""
        return 5.0

    async def fetched(self, fetcher: Any, hostname: str = NAME) -> HttpResponse:
        """Return the response, which has to come."""
        async with asyncio.timeout(self.patience):
            response = await fetcher.fetch(hostname)
        assert isinstance(response, HttpResponse)
        return response

    async def failed(self, fetcher: Any, hostname: str = NAME) -> WellKnownFetchError:
        """Return the documented error that the fetch has to end with."""
        with pytest.raises(WellKnownFetchError) as caught:
            await self.fetched(fetcher, hostname)
        return caught.value
