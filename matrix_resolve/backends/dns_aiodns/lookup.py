"""SRV records and addresses, by aiodns."""

import asyncio
import os
from collections.abc import Coroutine, Sequence
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Final, TypeVar

from matrix_resolve.backends.dns_aiodns.answers import Found, NoAnswerError, text
from matrix_resolve.backends.dns_aiodns.hosts import HostsFile, system_hosts_file
from matrix_resolve.backends.dns_aiodns.servers import Servers, read_nameserver
from matrix_resolve.core.chains import plain
from matrix_resolve.core.closeable import Closeable
from matrix_resolve.core.names import MAX_HOSTNAME, IPAddress, parse_ip_literal
from matrix_resolve.errors import AddressLookupError, BackendError, SrvLookupError, shown
from matrix_resolve.interfaces import AddressReply, SrvRecord, SrvReply

# Of the time of a question; the rest is for telling what was found out by then.
_SHARE: Final = 0.97
# So long the addresses of one family wait for those of the other.
_OTHER_FAMILY: Final = 0.5
# So many addresses of a family are given; a message holds 4,000, and few of them are ever dialled.
_MOST: Final = 256
_LOOPBACK: Final = (ip_address("127.0.0.1"), ip_address("::1"))

T = TypeVar("T")


class AiodnsLookup(Closeable):
    """Looks up SRV records and addresses with aiodns: a `SrvLookup` and an `AddressLookup`.

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
        self._timeout = timeout
        self._closed = False

    async def aclose(self) -> None:
        """Close the sockets; idempotent."""
        self._closed = True
        await self._servers.aclose()

    async def lookup_srv(self, name: str, /) -> SrvReply:
        """Return the SRV records of `name`; raise `SrvLookupError` if the lookup fails."""
        if len(name) > MAX_HOSTNAME:
            return SrvReply([])
        self._check(name, SrvLookupError)
        found = await self._in_time(self._servers.ask(name, "SRV"), SrvLookupError)
        records = [
            SrvRecord(data.priority, data.weight, data.port, text(data.target) or ".")
            for data in found.data
        ]
        return SrvReply(records, found.ttl)

    async def lookup_addresses(self, hostname: str, /) -> AddressReply:
        """Return the addresses of `hostname`; raise `AddressLookupError` if the lookup fails."""
        if len(hostname) > MAX_HOSTNAME:
            return AddressReply([])
        self._check(hostname, AddressLookupError)
        if local := await self._local_addresses(hostname):
            return AddressReply(local, 0)
        families = [
            asyncio.create_task(
                self._in_time(self._servers.ask(hostname, family), AddressLookupError)
            )
            for family in ("A", "AAAA")
        ]
        try:
            done, waiting = await asyncio.wait(families, timeout=self._timeout * _OTHER_FAMILY)
            if waiting and not any(_has_addresses(family) for family in done):
                await asyncio.wait(waiting)
        finally:
            for family in families:
                family.cancel()
            await asyncio.gather(*families, return_exceptions=True)
        return _reply(families)

    async def _local_addresses(self, hostname: str) -> Sequence[IPAddress]:
        """Return what is known of `hostname` without asking DNS."""
        name = plain(hostname)
        if (literal := parse_ip_literal(name)) is not None:
            return (literal,)
        if name.endswith(".onion"):  # is never found (RFC 7686); c-ares asks nobody
            return ()
        found = await self._in_time(self._hosts.find(name), AddressLookupError)
        if name == "localhost" or name.endswith(".localhost"):
            return [address for address in found if address.is_loopback] or _LOOPBACK
        return found

    def _check(self, name: str, failure: type[BackendError]) -> None:
        if self._closed:
            raise RuntimeError("the lookup is closed")
        # c-ares would cut the name at a NUL, and read a backslash as an escape.
        if "\0" in name or "\\" in name or not name.isascii():
            raise failure(f"{shown(name)} is no DNS name", temporary=False)

    async def _in_time(self, asking: Coroutine[Any, Any, T], failure: type[BackendError]) -> T:
        """Return what is found within the time of a question."""
        try:
            async with asyncio.timeout(self._timeout * _SHARE):
                return await asking
        except TimeoutError as error:
            raise failure(f"no answer within {self._timeout:g} s") from error
        except NoAnswerError as error:
            raise failure(str(error)) from error


def _has_addresses(family: asyncio.Task[Found]) -> bool:
    return not family.cancelled() and family.exception() is None and bool(family.result().data)


def _reply(families: Sequence[asyncio.Task[Found]]) -> AddressReply:
    """Return what both families have. One will do; that there is none, both must have said."""
    found = [family.result() for family in families if _has_addresses(family)]
    if not found:
        for family in families:
            family.result()  # raises what went wrong
        return AddressReply([])
    for family in families:
        bug = None if family.cancelled() else family.exception()
        if bug is not None and not isinstance(bug, AddressLookupError):
            raise bug
    return AddressReply(
        dict.fromkeys(ip_address(text(data.addr)) for one in found for data in one.data[:_MOST]),
        min((one.ttl for one in found if one.ttl is not None), default=None),
        next((one.canonical_name for one in found if one.canonical_name), None),
    )
