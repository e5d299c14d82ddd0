"""An optional DNS plug-in: SRV records and addresses, by dnspython (extra `dnspython`)."""

import asyncio
import os
import re
import ssl
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Final, Self

import dns.asyncquery
import dns.asyncresolver
import dns.exception
import dns.name
import dns.nameserver
import dns.query
import dns.rdataclass
import dns.resolver
from attrs import frozen
from dns.message import Message, QueryMessage, from_wire
from dns.rdatatype import RdataType

from matrix_resolve.core.names import MAX_HOSTNAME, ServerName
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
_SPELLING: Final = re.compile(r"(?:(tls|https)://)?([^/#]+)(/[$-~!]*)?(?:#(.+))?")


@frozen
class _Found:
    """The answer to one question: records, or none; `canonical_name` if the name is an alias."""

    records: Sequence[Any]
    ttl: float | None
    canonical_name: str | None


class DnspythonLookup:
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
            self._resolver.nameservers = [_server(text, ca_file) for text in nameservers]
        if not self._resolver.nameservers:
            raise ValueError("there is no nameserver")
        # From here on resolv.conf's options are overruled.
        self._resolver.lifetime = timeout * _SHARE
        self._resolver.timeout = timeout * _SHARE / _TRIES
        self._resolver.rotate = False
        self._resolver.use_edns(payload=_PAYLOAD)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

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
    return name.to_text(omit_final_dot=name != dns.name.root)


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


class _DotServer(dns.nameserver.DoTNameserver):
    """DNS over TLS. dnspython's own makes an `SSLContext` for each question: 20 ms."""

    def __init__(self, address: str, port: int, name: str, context: ssl.SSLContext) -> None:
        super().__init__(address, port, name)
        self._context = context
        context.set_alpn_protocols(["dot"])

    async def async_query(self, request: QueryMessage, *_: Any, **settings: Any) -> Message:
        try:
            async with asyncio.timeout(settings["timeout"]):
                reader, writer = await asyncio.open_connection(
                    self.address, self.port, ssl=self._context, server_hostname=self.hostname
                )
                try:
                    writer.write(request.to_wire(prepend_length=True))
                    length = int.from_bytes(await reader.readexactly(2))
                    response = from_wire(await reader.readexactly(length))
                finally:
                    writer.transport.abort()  # close() would wait for the server to agree
        except TimeoutError as error:  # an OSError: dnspython would not ask this server again
            raise dns.exception.Timeout from error
        if not request.is_response(response):
            raise dns.query.BadResponse
        return response


class _DohServer(dns.nameserver.DoHNameserver):
    """DNS over HTTPS. dnspython's own would ask a server that fails until the time is over.

    Nor does httpx2 close its socket when it is cancelled amid a TLS handshake; that is done here.
    """

    async def async_query(self, request: QueryMessage, *_: Any, **settings: Any) -> Message:
        import httpx2

        connected: list[Any] = []

        async def note(event: str, info: dict[str, Any]) -> None:
            if event.endswith("connect_tcp.complete"):
                connected.append(info["return_value"])

        async def trace(request: httpx2.Request) -> None:
            request.extensions["trace"] = note

        try:
            transport = settings["backend"].get_transport_class()(
                http2=True, verify=self.verify, bootstrap_address=self.bootstrap_address
            )
            async with httpx2.AsyncClient(
                transport=transport, event_hooks={"request": [trace]}, timeout=None, trust_env=False
            ) as client:
                return await dns.asyncquery.https(
                    request, self.url, settings["timeout"], client=client
                )
        except dns.exception.Timeout:
            raise
        except Exception as error:  # its first line: what the server sent may be below it
            raise OSError(str(error).partition("\n")[0] or type(error).__name__) from error
        finally:
            for stream in connected:
                await stream.aclose()


def _server(text: str, ca_file: str | os.PathLike[str] | None) -> dns.nameserver.Nameserver:
    """Return the server that `text` spells; raise `ValueError` if it spells none."""
    wrong = ValueError(
        f"{shown(text)} is neither ADDRESS[:PORT] nor tls://ADDRESS[:PORT][#NAME]"
        " nor https://HOST[:PORT]/PATH[#ADDRESS]"
    )
    parts = _SPELLING.fullmatch(text)
    if parts is None:
        raise wrong
    scheme, where, path, extra = parts.groups()
    try:
        server = _host(where)
        more = _host(extra) if extra else None
    except ValueError as error:
        raise wrong from error
    address = str(server.ip_address or "")
    if more is not None and more.port is not None:
        raise wrong
    if scheme is None and address and not path and more is None:
        return dns.nameserver.Do53Nameserver(address, server.port or 53)
    if scheme == "tls" and address and not path:
        name = address if more is None else more.canonical_host
        return _DotServer(address, server.port or 853, name, _ssl_context(ca_file))
    if scheme == "https" and path and (more is None or more.is_ip_literal):
        address = address if more is None else more.canonical_host
        return _DohServer(f"https://{server}{path}", address or None, _ssl_context(ca_file))
    raise wrong


def _host(text: str) -> ServerName:
    return ServerName.parse(f"[{text}]" if text.count(":") > 1 and "[" not in text else text)


def _ssl_context(ca_file: str | os.PathLike[str] | None) -> Any:
    """Return the TLS settings for one server; they can't be shared, as httpx2 changes them.

    They may stand for `verify` in dnspython, though its type there does not say so.
    """
    context = ssl.create_default_context(cafile=ca_file)
    context.hostname_checks_common_name = False
    return context
