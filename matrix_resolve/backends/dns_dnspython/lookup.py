"""SRV records and addresses, by dnspython."""

import asyncio
import os
from collections.abc import Sequence

import dns.exception
import dns.name
from dns.rdatatype import RdataType

from matrix_resolve.backends.dns_dnspython.answers import Answer
from matrix_resolve.backends.dns_dnspython.asking import NoAnswerError, Servers
from matrix_resolve.backends.dns_dnspython.nameservers import read_nameserver, system_nameservers
from matrix_resolve.core.closeable import Closeable
from matrix_resolve.core.names import MAX_HOSTNAME
from matrix_resolve.errors import AddressLookupError, BackendError, SrvLookupError, shown
from matrix_resolve.interfaces import AddressReply, SrvReply


class DnspythonLookup(Closeable):
    """Looks up SRV records and addresses with dnspython: a `SrvLookup` and an `AddressLookup`.

        async with DnspythonLookup(nameservers=["tls://192.0.2.1#dns.example"]) as lookup:
            async with open_resolver(srv=lookup, addresses=lookup) as resolver:
                ...

    Unlike `AiodnsLookup` it tells the zone's exact negative TTL (RFC 2308, section 5), and it can
    ask over TLS and HTTPS. `nameservers` are asked in the order given, each spelled as

    - "ADDRESS[:PORT]": DNS over UDP, and over TCP what is too long for that
    - "tls://ADDRESS[:PORT][#NAME]": DNS over TLS (RFC 7858). The certificate must be for NAME;
      without a NAME, for ADDRESS: "tls://192.0.2.1#dns.example"
    - "https://HOST[:PORT]/PATH[#ADDRESS]": DNS over HTTPS (RFC 8484), connected to at ADDRESS:
      "https://dns.example/dns-query#192.0.2.1". Without an ADDRESS, the system's servers are
      asked for that of HOST, for each question anew

    with brackets around an IPv6 address that has a port or stands in a URL. None means the
    system's, as resolv.conf names them now: it is not read again. One that was silent while another
    answered is asked last for half a minute, one that refuses EDNS is asked without for five.

    `timeout` in seconds is for one question, retries included: an answer may take nearly all of it.
    `ca_file` is a PEM file with the certificate authorities to trust instead of the system's.
    Raises `ValueError` if a nameserver is misspelled or there is none, or `timeout` is no time,
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
        self._closed = False
        if nameservers is None:
            servers = system_nameservers()
        else:
            servers = [read_nameserver(text, ca_file) for text in nameservers]
        if not servers:
            raise ValueError("there is no nameserver")
        if not timeout > 0:
            raise ValueError(f"timeout must be above 0: {timeout!r}")
        self._servers = Servers(servers, timeout)

    async def aclose(self) -> None:
        """Refuse further lookups, with a `RuntimeError`; idempotent."""
        self._closed = True

    async def lookup_srv(self, name: str, /) -> SrvReply:
        """Return the SRV records of `name`; raise `SrvLookupError` if the lookup fails."""
        if len(name) > MAX_HOSTNAME:
            return SrvReply([])
        found = await self._ask(name, RdataType.SRV, SrvLookupError)
        return SrvReply(found.records, found.ttl)

    async def lookup_addresses(self, hostname: str, /) -> AddressReply:
        """Return the addresses of `hostname`; raise `AddressLookupError` if the lookup fails."""
        if len(hostname) > MAX_HOSTNAME:
            return AddressReply([])
        families = await asyncio.gather(
            self._ask(hostname, RdataType.A, AddressLookupError),
            self._ask(hostname, RdataType.AAAA, AddressLookupError),
            return_exceptions=True,
        )
        answered = [family for family in families if isinstance(family, Answer)]
        found = [family for family in answered if family.records]
        for failed in families:
            # One family will do; but that there are no addresses, both must have said.
            excused = found and isinstance(failed, AddressLookupError)
            if isinstance(failed, BaseException) and not excused:
                raise failed
        told = found or answered
        return AddressReply(
            [address for family in told for address in family.records],
            min((family.ttl for family in told if family.ttl is not None), default=None),
            next((family.canonical_name for family in told if family.canonical_name), None),
        )

    async def _ask(self, name: str, kind: RdataType, failure: type[BackendError]) -> Answer:
        if self._closed:
            raise RuntimeError("the lookup is closed")
        try:
            asked = _absolute(name)
        except (ValueError, dns.exception.DNSException) as error:
            raise failure(f"{shown(name)} is no DNS name", temporary=False) from error
        try:
            return await self._servers.ask(asked, kind)
        except NoAnswerError as error:
            raise failure(str(error)) from error


def _absolute(name: str) -> dns.name.Name:
    """Return `name` to the letter, for `dns.name.from_text` knows escapes and "@".

    It ends with the root, so that no search domain is added.
    """
    if "\0" in name:
        raise ValueError("NUL")
    return dns.name.Name([*name.encode("ascii").split(b"."), b""])
