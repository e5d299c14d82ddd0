"""Where hosts are, other than DNS says."""

from collections import ChainMap
from collections.abc import Mapping, MutableMapping, Sequence
from typing import cast

from attrs import frozen

from matrix_resolve.core.names import IPAddress
from matrix_resolve.core.replies import AddressReply
from matrix_resolve.interfaces import AddressLookup
from matrix_resolve.transport.attempts import SocketAddress


@frozen
class Places:
    """Maps (host, port), or (IP address, port), to the (IP address, port) to dial in its place."""

    connect_to: Mapping[SocketAddress, SocketAddress]

    def of(self, host: str, port: int, address: IPAddress) -> SocketAddress:
        """Return what to dial for an address of a host."""
        at = str(address), port
        mapped = self.connect_to.get((host.lower(), port)) or self.connect_to.get(at)
        return mapped or at

    def pinned(
        self, host: str, port: int, address: IPAddress
    ) -> Mapping[SocketAddress, SocketAddress]:
        """Return the same with one address alone for a host and port."""
        place = {(host.lower(), port): self.of(host, port, address)}
        # A chain is for writing too, but nobody writes here.
        return ChainMap(place, cast(MutableMapping[SocketAddress, SocketAddress], self.connect_to))


@frozen
class KnownAddresses:
    """An `AddressLookup` that knows some hosts (in lower case) itself, and asks for all others."""

    lookup: AddressLookup
    hosts: Mapping[str, Sequence[IPAddress]]

    async def lookup_addresses(self, hostname: str, /) -> AddressReply:
        """Return the addresses of a host."""
        known = self.hosts.get(hostname.lower())
        return AddressReply(known) if known else await self.lookup.lookup_addresses(hostname)
