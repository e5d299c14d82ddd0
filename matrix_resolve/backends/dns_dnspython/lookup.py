"""SRV records and addresses, by dnspython."""

import asyncio
import os
from collections.abc import Sequence
from typing import Any, Final

import dns.asyncresolver
import dns.exception
import dns.name
import dns.rdataclass
import dns.resolver
from attrs import frozen
from dns.message import QueryMessage
from dns.rdatatype import RdataType

from matrix_resolve.backends.dns_dnspython.nameservers import read_nameserver
from matrix_resolve.core.closeable import Closeable
from matrix_resolve.core.names import MAX_HOSTNAME
from matrix_resolve.errors import AddressLookupError, BackendError, SrvLookupError, shown
from matrix_resolve.interfaces import AddressReply, SrvRecord, SrvReply

# A datagram may be lost, and its answer too; all tries share the time of one question.
_TRIES: Final = 3
# Of that time dnspython gets less, for it may overrun by a pause of 0.4 s. What it has found out by
# then must still be told: how a server failed, the addresses of one family without the other's.
_SHARE: Final = 0.8
# Octets that a datagram holds without being cut in pieces on its way (DNS Flag Day 2020).
_PAYLOAD: Final = 1232
_REASON: Final = 200  # characters


@frozen
class _Found:
    """The answer to one question: records, or none; `canonical_name` if the name is an alias."""

    records: Sequence[Any]
    ttl: float | None
    canonical_name: str | None


class DnspythonLookup(Closeable):
    """Looks up SRV records and addresses with dnspython: a `SrvLookup` and an `AddressLookup`.

    Unlike `AiodnsLookup` it tells the zone's exact negative TTL (RFC 2308, section 5), and it can
    ask over TLS and HTTPS. `nameservers` are asked in the order given, each spelled as

    - "ADDRESS[:PORT]": DNS over UDP, and over TCP what is too long for that
    - "tls://ADDRESS[:PORT][#NAME]": DNS over TLS (RFC 7858). The certificate must be for NAME;
      without a NAME, for ADDRESS: "tls://192.0.2.1#dns.example"
    - "https://HOST[:PORT]/PATH[#ADDRESS]": DNS over HTTPS (RFC 8484), connected to at ADDRESS:
      "https://dns.example/dns-query#192.0.2.1". Without an ADDRESS, the system's servers are
      asked for that of HOST, for each question anew

    with brackets around an IPv6 address that has a port or stands in a URL. None means the
    system's, as resolv.conf names them now: it is not read again. `timeout` in seconds is for one
    question, retries included. `ca_file` is a PEM file with the certificate authorities to trust
    instead of the system's. Raises `ValueError` if a nameserver is misspelled or there is none,
    `OSError` if `ca_file` can't be used.

    The hosts file is not read: every name is asked of DNS, "localhost" too. Nothing is kept from
    one question to the next, connections neither. Close it with `aclose()` or `async with`;
    lookups that are still under way then go on to their end.
    """

    def __init__(
        self,
        *,
        nameservers: Sequence[str] | None = None,
        timeout: float = 5.0,
        ca_file: str | os.PathLike[str] | None = None,
    ) -> None:
        self._timeout = timeout
        self._closed = False
        try:
            self._resolver = dns.asyncresolver.Resolver(configure=nameservers is None)
        except dns.exception.DNSException as error:
            raise ValueError(f"the system's DNS servers can't be told: {error}") from error
        if nameservers is not None:
            self._resolver.nameservers = [read_nameserver(text, ca_file) for text in nameservers]
        if not self._resolver.nameservers:
            raise ValueError("there is no nameserver")
        # From here on resolv.conf's options are overruled.
        self._resolver.lifetime = timeout * _SHARE
        self._resolver.timeout = timeout * _SHARE / _TRIES
        self._resolver.rotate = False
        self._resolver.use_edns(payload=_PAYLOAD)

    async def aclose(self) -> None:
        """Refuse further lookups, with a `RuntimeError`; idempotent."""
        self._closed = True

    async def lookup_srv(self, name: str, /) -> SrvReply:
        """Return the SRV records of `name`; raise `SrvLookupError` if the lookup fails."""
        if len(name) > MAX_HOSTNAME:
            return SrvReply([])
        found = await self._ask(name, RdataType.SRV, SrvLookupError)
        records = [
            SrvRecord(record.priority, record.weight, record.port, _text(record.target))
            for record in found.records
        ]
        return SrvReply(records, found.ttl)

    async def lookup_addresses(self, hostname: str, /) -> AddressReply:
        """Return the addresses of `hostname`; raise `AddressLookupError` if the lookup fails."""
        if len(hostname) > MAX_HOSTNAME:
            return AddressReply([])
        families = await asyncio.gather(
            self._ask(hostname, RdataType.A, AddressLookupError),
            self._ask(hostname, RdataType.AAAA, AddressLookupError),
            return_exceptions=True,
        )
        answered = [family for family in families if isinstance(family, _Found)]
        found = [family for family in answered if family.records]
        for failed in families:
            # One family will do; but that there are no addresses, both must have said.
            excused = found and isinstance(failed, AddressLookupError)
            if isinstance(failed, BaseException) and not excused:
                raise failed
        told = found or answered
        return AddressReply(
            [record.address for family in told for record in family.records],
            min((family.ttl for family in told if family.ttl is not None), default=None),
            next((family.canonical_name for family in told if family.canonical_name), None),
        )

    async def _ask(self, name: str, kind: RdataType, failure: type[BackendError]) -> _Found:
        if self._closed:
            raise RuntimeError("the lookup is closed")
        try:
            asked = _absolute(name)
        except (ValueError, dns.exception.DNSException) as error:
            raise failure(f"{shown(name)} is no DNS name", temporary=False) from error
        try:
            async with asyncio.timeout(self._timeout):
                answer = await self._resolver.resolve(asked, kind, raise_on_no_answer=False)
            response = answer.response
        except dns.resolver.NXDOMAIN as error:
            response = error.kwargs["responses"][asked]
        except (dns.exception.DNSException, TimeoutError) as error:
            raise failure(_reason(error) or f"no answer within {self._timeout:g} s") from error
        chain = response.resolve_chaining()
        return _Found(
            records=list(chain.answer or ()),
            # The least of the chain; where there is no SOA, dnspython counts it as 300.
            ttl=chain.minimum_ttl if chain.answer or _has_soa(response) else None,
            canonical_name=_text(chain.canonical_name) if chain.cnames else None,
        )


def _absolute(name: str) -> dns.name.Name:
    """Return `name` to the letter, for `dns.name.from_text` knows escapes and "@".

    It ends with the root, so that no search domain is added.
    """
    if "\0" in name:
        raise ValueError("NUL")
    return dns.name.Name([*name.encode("ascii").split(b"."), b""])


def _text(name: dns.name.Name) -> str:
    """Return `name` without its final dot, odd bytes escaped; the root is a dot."""
    return name.to_text(omit_final_dot=True)


def _has_soa(response: QueryMessage) -> bool:
    """Return whether there is the SOA record of a zone that what was asked for is in."""
    name = response.canonical_name()
    return any(
        (rrset.rdclass, rrset.rdtype) == (dns.rdataclass.IN, RdataType.SOA)
        and name.is_subdomain(rrset.name)
        for rrset in response.authority
    )


def _reason(error: Exception) -> str:
    """Say how each server failed in the end, on one line; "" if none has answered at all."""
    if not isinstance(error, dns.resolver.NoNameservers | dns.resolver.LifetimeTimeout):
        return str(error)
    last = {server: what for server, _, _, what, _ in error.kwargs["errors"]}
    told = [
        f"{server}: {str(what) or type(what).__name__}"
        for server, what in last.items()
        if not isinstance(what, dns.exception.Timeout)
    ]
    return ascii("; ".join(told))[1:-1][:_REASON]
