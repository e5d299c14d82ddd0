"""Which IP addresses may be dialled, and in which order."""

from bisect import bisect_right
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Network, collapse_addresses, ip_network
from itertools import zip_longest
from typing import Self

from attrs import Factory, field, frozen

from matrix_resolve.core.names import IPAddress

IPNetwork = IPv4Network | IPv6Network

MAX_KEPT = 4096
"""Addresses kept of one host: as many as a DNS answer can hold."""


def _networks(networks: Iterable[str | IPNetwork]) -> tuple[IPNetwork, ...]:
    if isinstance(networks, str | bytes | IPv4Network | IPv6Network):
        raise TypeError(f"a sequence of networks is wanted, not {networks!r} alone")
    return tuple(ip_network(network) for network in networks)


DEFAULT_BLOCK: tuple[IPNetwork, ...] = _networks(
    # What is not on the public Internet, by the IANA special-purpose registries; of IPv6 also what
    # IANA has not given out, which is all but 2000::/3. An explicit list: what `is_global` says
    # differs between versions of Python, and passes some of these.
    (
        "0.0.0.0/8",  # this network
        "10.0.0.0/8",  # private (RFC 1918)
        "100.64.0.0/10",  # shared, carrier-grade NAT (RFC 6598)
        "127.0.0.0/8",  # loopback
        "168.63.129.16/32",  # Azure's host service, reached from inside only
        "169.254.0.0/16",  # link-local; cloud metadata services
        "172.16.0.0/12",  # private (RFC 1918)
        "192.0.0.0/24",  # IETF protocol assignments (RFC 6890)
        "192.0.2.0/24",  # documentation (RFC 5737)
        "192.88.99.0/24",  # 6to4 relays, deprecated (RFC 7526)
        "192.168.0.0/16",  # private (RFC 1918)
        "198.18.0.0/15",  # benchmarking (RFC 2544)
        "198.51.100.0/24",  # documentation (RFC 5737)
        "203.0.113.0/24",  # documentation (RFC 5737)
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, broadcast
        "::/3",  # ::1, IPv4-compatible, 64:ff9b:1::/48, 100::/64; see `AddressPolicy` on the rest
        "2001::/23",  # IETF protocol assignments, Teredo among them
        "2001:db8::/32",  # documentation (RFC 3849)
        "2002::/16",  # 6to4: IPv4 of any kind inside
        "3fff::/20",  # documentation (RFC 9637)
        "4000::/2",  # 5f00::/16, segment routing (RFC 9602), among them
        "8000::/1",  # fc00::/7, fe80::/10, fec0::/10, ff00::/8 among them
    )
)
"""What is not on the public Internet: the networks that `AddressPolicy` blocks by default."""


class _Spans:
    """Networks as sorted ranges of numbers: a host may have thousands of addresses to judge."""

    def __init__(self, networks: Iterable[IPNetwork]) -> None:
        networks = tuple(networks)
        merged: list[IPNetwork] = [
            *collapse_addresses(n for n in networks if isinstance(n, IPv4Network)),
            *collapse_addresses(n for n in networks if isinstance(n, IPv6Network)),
        ]
        self._starts: dict[int, list[int]] = {4: [], 6: []}
        self._ends: dict[int, list[int]] = {4: [], 6: []}
        for network in merged:
            self._starts[network.version].append(int(network.network_address))
            self._ends[network.version].append(int(network.broadcast_address))

    def __contains__(self, address: IPAddress) -> bool:
        number, version = int(address), address.version
        place = bisect_right(self._starts[version], number)
        return place > 0 and number <= self._ends[version][place - 1]


# IPv6 that stands for one IPv4 address: mapped (RFC 4291) and translated by NAT64 (RFC 6052).
_EMBEDDING = _Spans(_networks(("::ffff:0:0/96", "64:ff9b::/96")))
# In a block it is meant without those two ranges, which lie in it: it is what the rest is not.
_AROUND_EMBEDDING = ip_network("::/3")


@frozen
class AddressPolicy:
    """Which IP addresses may be dialled: all but those in `block`, `allow` winning over it.

        AddressPolicy(allow=["10.0.0.0/8"])  # a private federation

    Networks are given as strings or `ipaddress` networks. An IPv6 address that stands for an IPv4
    address (`::ffff:0:0/96`, `64:ff9b::/96`) is judged by that; `::/3` in `block`, as it stands in
    `DEFAULT_BLOCK`, leaves these two ranges out, any other network holds for them too. Blocked by
    default is what is not on the public Internet, so that a stranger's DNS can't point at your own
    network (SSRF).
    """

    allow: tuple[IPNetwork, ...] = field(default=(), converter=_networks)
    block: tuple[IPNetwork, ...] = field(default=DEFAULT_BLOCK, converter=_networks)
    _allowed: _Spans = field(
        default=Factory(lambda self: _Spans(self.allow), takes_self=True),
        init=False,
        eq=False,
        repr=False,
    )
    _blocked: _Spans = field(
        default=Factory(lambda self: _Spans(self.block), takes_self=True),
        init=False,
        eq=False,
        repr=False,
    )
    _blocked_embedding: _Spans = field(
        default=Factory(
            lambda self: _Spans(n for n in self.block if n != _AROUND_EMBEDDING), takes_self=True
        ),
        init=False,
        eq=False,
        repr=False,
    )

    @classmethod
    def allow_all(cls) -> Self:
        """Return a policy that allows every address, for tests and private networks."""
        return cls(block=())

    def allows(self, address: IPAddress) -> bool:
        """Return whether `address` may be dialled."""
        if address.version == 4 or address not in _EMBEDDING:
            return address in self._allowed or address not in self._blocked
        inside = IPv4Address(int(address) & 0xFFFFFFFF)
        if address in self._allowed or inside in self._allowed:
            return True
        return address not in self._blocked_embedding and inside not in self._blocked


def interleaved(addresses: Iterable[IPAddress]) -> tuple[IPAddress, ...]:
    """Return `addresses` without repeats, IPv6 and IPv4 in turn, IPv6 first (RFC 8305, 4)."""
    unique = dict.fromkeys(addresses)
    pairs = zip_longest(
        (address for address in unique if address.version == 6),
        (address for address in unique if address.version == 4),
    )
    return tuple(address for pair in pairs for address in pair if address is not None)
