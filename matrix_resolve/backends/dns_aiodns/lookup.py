"""SRV records and addresses, by aiodns."""

import os
from collections.abc import Sequence
from ipaddress import ip_address
from pathlib import Path
from typing import Final

from matrix_resolve.backends.dns_aiodns.answers import Found, NoAnswerError, text
from matrix_resolve.backends.dns_aiodns.hosts import HostsFile, system_hosts_file
from matrix_resolve.backends.dns_aiodns.servers import Servers, read_nameserver
from matrix_resolve.backends.dns_aiodns.tries import Tries
from matrix_resolve.core.chains import plain
from matrix_resolve.core.closeable import Closeable
from matrix_resolve.core.names import MAX_HOSTNAME, IPAddress, parse_ip_literal
from matrix_resolve.errors import AddressLookupError, BackendError, SrvLookupError, shown
from matrix_resolve.interfaces import AddressReply, SrvRecord, SrvReply, punctual
from matrix_resolve.timeouts import within

# Of the time of a lookup, how much the hosts file may take, so that this is told.
_FOR_HOSTS: Final = 0.9
# So many addresses of a family are given; a message holds 4,000, and few of them are ever dialled.
_MOST: Final = 256
_LOOPBACK: Final = (ip_address("127.0.0.1"), ip_address("::1"))


class AiodnsLookup(Closeable):
    """Looks up SRV records and addresses with aiodns: a `SrvLookup` and an `AddressLookup`.

        async with AiodnsLookup(nameservers=["192.0.2.53"]) as lookup:
            async with open_resolver(srv=lookup, addresses=lookup) as resolver:
                ...

    `nameservers` are asked in the order given, each spelled as an IP address, or ADDRESS:PORT with
    brackets around IPv6; None means the system's, followed as they change. One that was silent
    while another answered is asked last for half a minute. `timeout` in seconds is for one
    question, retries included: an answer may take nearly all of it. EDNS is off, so what is longer
    than 512 octets comes over TCP. aiodns does not tell the zone's negative TTL, so empty replies
    have none.

    Addresses are looked for in `hosts_file` first (None: the system's), which is read again when it
    changes. "localhost" and what is under it is this machine (RFC 6761). Of each family the first
    256 that are answered are given.

    Raises `ValueError` if a nameserver is misspelled or there is none, or `timeout` is no time. It
    belongs to the event loop that it is first used in. Close it with `aclose()` or `async with`;
    lookups that are still under way then fail.
    """

    def __init__(
        self,
        *,
        nameservers: Sequence[str] | None = None,
        timeout: float = 5.0,
        hosts_file: str | os.PathLike[str] | None = None,
    ) -> None:
        if nameservers is not None and not nameservers:
            raise ValueError("there is no nameserver")
        if not timeout > 0:
            raise ValueError(f"timeout must be above 0: {timeout!r}")
        given = None if nameservers is None else [read_nameserver(one) for one in nameservers]
        self._servers = Servers(given, timeout)
        self._hosts = HostsFile(system_hosts_file() if hosts_file is None else Path(hosts_file))
        self.timeout: Final = timeout
        """Seconds of one question."""
        self._closed = False

    async def aclose(self) -> None:
        """Close the sockets; idempotent."""
        self._closed = True
        await self._servers.aclose()

    @punctual
    async def lookup_srv(self, name: str, /) -> SrvReply:
        """Return the SRV records of `name`; raise `SrvLookupError` if the lookup fails."""
        if len(name) > MAX_HOSTNAME:
            return SrvReply([])
        self._check(name, SrvLookupError)
        try:
            found = await self._servers.ask(name, "SRV")
        except NoAnswerError as error:
            raise SrvLookupError(str(error)) from error
        records = [
            SrvRecord(data.priority, data.weight, data.port, text(data.target) or ".")
            for data in found.data
        ]
        return SrvReply(records, found.ttl)

    @punctual
    async def lookup_addresses(self, hostname: str, /) -> AddressReply:
        """Return the addresses of `hostname`; raise `AddressLookupError` if the lookup fails."""
        if len(hostname) > MAX_HOSTNAME:
            return AddressReply([])
        self._check(hostname, AddressLookupError)
        if self._hosts.is_being_read():
            return await within(self.timeout, self._found(hostname), AddressLookupError)
        return await self._found(hostname)

    async def _found(self, hostname: str) -> AddressReply:
        if local := await self._local_addresses(hostname):
            return AddressReply(local, 0)
        try:
            return _reply(await self._both_families(hostname))
        except NoAnswerError as error:
            raise AddressLookupError(str(error)) from error

    async def _both_families(self, hostname: str) -> Sequence[Found]:
        """Return what is found of each. One will do; that there is none, both must have said."""
        found: list[Found] = []
        failures: list[NoAnswerError] = []
        families: list[Tries] = []
        try:
            for kind in ("A", "AAAA"):
                families.append(self._servers.begin(hostname, kind))
            first, second = families
            first.beside(second)
            second.beside(first)
            for family in families:
                try:
                    found.append(await family.answer)
                except NoAnswerError as error:
                    # With its traceback it would hold this frame, which holds it.
                    failures.append(error.with_traceback(None))
        finally:
            await self._servers.end(*families)
        if failures and not any(one.data for one in found):
            raise NoAnswerError(str(failures[0]))
        return found

    async def _local_addresses(self, hostname: str) -> Sequence[IPAddress]:
        """Return what is known of `hostname` without asking DNS."""
        name = plain(hostname)
        if (literal := parse_ip_literal(name)) is not None:
            return (literal,)
        if name.endswith(".onion"):  # is never found (RFC 7686); c-ares asks nobody
            return ()
        try:
            found = await self._hosts.find(name, within=self.timeout * _FOR_HOSTS)
        except TimeoutError as error:
            told = f"the hosts file could not be read within {self.timeout:g} s"
            raise AddressLookupError(told) from error
        if name == "localhost" or name.endswith(".localhost"):
            return [address for address in found if address.is_loopback] or _LOOPBACK
        return found

    def _check(self, name: str, failure: type[BackendError]) -> None:
        if self._closed:
            raise RuntimeError("the lookup is closed")
        # c-ares would cut the name at a NUL, and read a backslash as an escape.
        if "\0" in name or "\\" in name or not name.isascii():
            raise failure(f"{shown(name)} is no DNS name", temporary=False)


def _reply(families: Sequence[Found]) -> AddressReply:
    found = [one for one in families if one.data]
    return AddressReply(
        dict.fromkeys(ip_address(text(data.addr)) for one in found for data in one.data[:_MOST]),
        min((one.ttl for one in found if one.ttl is not None), default=None),
        next((one.canonical_name for one in found if one.canonical_name), None),
    )
