"""What every plug-in must do, as pytest classes to subclass: are all its rules kept?

    class TestMyCache(AnswerCacheContract):
        @pytest.fixture
        def cache(self, clock):
            return MyCache(clock=clock)

| a plug-in that is | subclass | fixtures to give |
|---|---|---|
| an `AnswerCache` | `AnswerCacheContract` | `cache`; `broken_cache` if it can fail |
| and a `PeekableCache` | `PeekableCacheContract` | the same |
| and shared by processes | `SharedCacheContract` | and `elsewhere` |
| and a `LeasingCache` | `LeasingCacheContract` | the same |
| and an `InvalidationFeed` | `InvalidationFeedContract` | the same |
| an `SrvLookup` | `SrvLookupContract` | `lookup` |
| an `AddressLookup` | `AddressLookupContract` | `lookup` |
| a `WellKnownFetcher` | `WellKnownFetcherContract` | `fetcher`, `guarded_fetcher` |

Several may be bases of one class. Lookups and fetchers are tried against the `loopback_federation`
of the test, which needs `pip install 'matrix-resolve[testing]'`; a cache needs no extra. All need
pytest and pytest-asyncio, in whichever mode. A rule that can't apply to a plug-in is left out by
`test_that_rule = None` in the subclass.
"""

from matrix_resolve.testing.contract.abilities import (
    InvalidationFeedContract,
    LeasingCacheContract,
    PeekableCacheContract,
    SharedCacheContract,
)
from matrix_resolve.testing.contract.address_lookups import AddressLookupContract
from matrix_resolve.testing.contract.base import Contract
from matrix_resolve.testing.contract.caches import AnswerCacheContract
from matrix_resolve.testing.contract.fetchers import WellKnownFetcherContract
from matrix_resolve.testing.contract.srv_lookups import SrvLookupContract

__all__ = [
    "AddressLookupContract",
    "AnswerCacheContract",
    "Contract",
    "InvalidationFeedContract",
    "LeasingCacheContract",
    "PeekableCacheContract",
    "SharedCacheContract",
    "SrvLookupContract",
    "WellKnownFetcherContract",
]
