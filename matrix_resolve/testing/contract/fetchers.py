"""What every well-known fetcher must do."""

from matrix_resolve.testing.contract.fetcher_answers import AnswersContract
from matrix_resolve.testing.contract.fetcher_limits import LimitsContract


class WellKnownFetcherContract(AnswersContract, LimitsContract):
    """The rules of every `WellKnownFetcher`.

        class TestMyFetcher(WellKnownFetcherContract):
            @pytest_asyncio.fixture
            async def fetcher(self, loopback_federation, time_limit):
                async with MyFetcher(
                    nameserver=loopback_federation.nameserver,
                    connect_to=loopback_federation.connect_to,
                    ssl_context=loopback_federation.client_ssl_context(),
                    address_policy=AddressPolicy.allow_all(),
                    timeout=time_limit,
                ) as fetcher:
                    yield fetcher

    What the servers need of a fetcher: that it looks hosts up at `nameserver`, dials what
    `connect_to` holds for (host, port) in place of the addresses, and trusts that authority alone.

    One that is given an `AddressLookup` in place of a name server takes that of
    `async with loopback_federation.dns_lookup() as addresses`. `time_limit` (seconds) is for the
    whole fetch.

    `guarded_fetcher` is the same with `AddressPolicy()`; without it, the rule about forbidden
    addresses is skipped.
    """
