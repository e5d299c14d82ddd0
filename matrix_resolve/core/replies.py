"""What plug-ins return: raw facts, not yet judged. The core parses them."""

from collections.abc import Iterable, Sequence
from ipaddress import ip_address

from attrs import field, frozen

from matrix_resolve.core.names import IPAddress


def _headers(headers: Iterable[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    return tuple((name, value) for name, value in headers)


def _records(records: "Iterable[SrvRecord]") -> "tuple[SrvRecord, ...]":
    return tuple(records)


def _addresses(addresses: Iterable[IPAddress | str]) -> tuple[IPAddress, ...]:
    return tuple(ip_address(each) if isinstance(each, str) else each for each in addresses)


@frozen
class HttpResponse:
    """The final response to a well-known request, after redirects.

    `headers` in the order they came, repeated ones repeated, names in any letter case; `body`
    without transfer and content encoding; `url` is where the response came from in the end.
    """

    status: int
    headers: Sequence[tuple[str, str]] = field(converter=_headers)
    body: bytes = field(repr=False)
    url: str


@frozen
class SrvRecord:
    """One SRV record (RFC 2782). `target` "." says that the service is not offered."""

    priority: int
    weight: int
    port: int
    target: str


@frozen
class SrvReply:
    """The records published under one name; no records mean that none are published.

    `ttl` in seconds: the smallest in the chain, of an empty reply the zone's negative TTL
    (RFC 2308); None if unknown.
    """

    records: Sequence[SrvRecord] = field(converter=_records)
    ttl: float | None = None


@frozen
class AddressReply:
    """The IP addresses of a host, in the order they came; none mean that the host has none.

    They may be given as text, too.

    `ttl` as in `SrvReply`. `canonical_name` is what an alias leads to, None if it is no alias.
    """

    addresses: Sequence[IPAddress] = field(converter=_addresses)
    ttl: float | None = None
    canonical_name: str | None = None
