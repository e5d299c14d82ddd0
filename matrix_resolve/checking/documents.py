"""Documents as each address of a host gives them."""

import ssl
import time
from collections.abc import Mapping
from typing import Final

from attrs import frozen

from matrix_resolve.backends.well_known_aiohttp import AiohttpWellKnownFetcher
from matrix_resolve.checking.facts import Fetched, FetchFailure
from matrix_resolve.checking.kept import MOST_HEADER_LINES, outlined
from matrix_resolve.checking.places import KnownAddresses, Places
from matrix_resolve.core.addresses import AddressPolicy
from matrix_resolve.core.names import IPAddress
from matrix_resolve.core.replies import HttpResponse
from matrix_resolve.errors import AddressLookupError, WellKnownFetchError, is_own_trouble
from matrix_resolve.interfaces import AddressLookup
from matrix_resolve.transport.attempts import SocketAddress

_HTTPS_PORT: Final = 443


@frozen
class DocumentReader:
    """Reads documents as peers do: redirects followed, certificates and addresses checked."""

    addresses: AddressLookup
    address_policy: AddressPolicy
    ssl_context: ssl.SSLContext
    places: Places

    async def read(self, url: str) -> Fetched:
        """Return what stands at a URL, wherever its host is."""
        async with self._fetcher(self.addresses, self.places.connect_to) as fetcher:
            return await _get(fetcher, url, None)

    async def read_at(self, hostname: str, path: str, address: IPAddress) -> Fetched:
        """Return what stands at a path of a host, as one of its addresses gives it."""
        lookup = KnownAddresses(self.addresses, {hostname.lower(): [address]})
        connect_to = self.places.pinned(hostname, _HTTPS_PORT, address)
        async with self._fetcher(lookup, connect_to) as fetcher:
            return await _get(fetcher, f"https://{hostname}{path}", str(address))

    def _fetcher(
        self, addresses: AddressLookup, connect_to: Mapping[SocketAddress, SocketAddress]
    ) -> AiohttpWellKnownFetcher:
        return AiohttpWellKnownFetcher(
            addresses=addresses,
            address_policy=self.address_policy,
            ssl_context=self.ssl_context,
            connect_to=connect_to,
            max_header_lines=MOST_HEADER_LINES,
        )


async def _get(fetcher: AiohttpWellKnownFetcher, url: str, address: str | None) -> Fetched:
    hops: list[HttpResponse] = []
    response, failure = None, None
    started = time.perf_counter()
    try:
        response = await fetcher.get(url, redirected=lambda hop: hops.append(outlined(hop)))
    except (WellKnownFetchError, AddressLookupError) as error:
        is_refused = isinstance(error, WellKnownFetchError) and not error.temporary
        failure = FetchFailure(
            reason=error.reason, is_own=is_own_trouble(error), is_refused=is_refused
        )
    return Fetched(
        url=url,
        address=address,
        hops=tuple(hops),
        response=response,
        failure=failure,
        seconds=time.perf_counter() - started,
    )
