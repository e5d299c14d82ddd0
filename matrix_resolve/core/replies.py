"""What plug-ins return: raw facts, not yet judged. The core parses them."""

from collections.abc import Iterable, Mapping, Sequence
from ipaddress import ip_address
from typing import cast

from attrs import field, frozen

from matrix_resolve.core.names import IPAddress
from matrix_resolve.core.parts import check_type


def _headers(headers: Iterable[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    if isinstance(headers, Mapping):
        raise TypeError("headers must be (name, value) pairs, as a mapping's items() are")
    pairs = tuple(map(tuple, headers))
    for pair in pairs:
        if not (len(pair) == 2 and isinstance(pair[0], str) and isinstance(pair[1], str)):
            raise TypeError("headers must be (name, value) pairs of str")
    return cast(tuple[tuple[str, str], ...], pairs)


def _records(records: "Iterable[SrvRecord]") -> "tuple[SrvRecord, ...]":
    records = tuple(records)
    for record in records:
        check_type("each of records", record, SrvRecord)
    return records


def _addresses(addresses: Iterable[IPAddress | str]) -> tuple[IPAddress, ...]:
    if isinstance(addresses, str):
        raise TypeError("addresses must be a sequence of addresses, not one alone")
    return tuple(ip_address(each) if isinstance(each, str) else each for each in addresses)


@frozen
class HttpResponse:
    """The final response to a well-known request, after redirects.

    `headers` in the order they came, repeated ones repeated, names in any letter case; `body`
    without transfer and content encoding; `url` is where the response came from in the end.
    `TypeError` for values of other types, when it is made.
    """

    status: int
    headers: Sequence[tuple[str, str]] = field(converter=_headers)
    body: bytes = field(repr=False)
    url: str

    def __attrs_post_init__(self) -> None:
        check_type("status", self.status, int)
        check_type("body", self.body, bytes)
        check_type("url", self.url, str, "give str(url)")


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

    `ttl` as in `SrvReply`, the smaller one of both families; while one has addresses, the negative
    TTL of the other does not count. `canonical_name` is what an alias leads to, None if it is no
    alias.
    """

    addresses: Sequence[IPAddress] = field(converter=_addresses)
    ttl: float | None = None
    canonical_name: str | None = None
