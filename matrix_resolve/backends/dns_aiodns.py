"""The default DNS plug-in: SRV records and addresses, by aiodns (c-ares)."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from ipaddress import ip_address
from typing import Final

import aiodns
import pycares

from matrix_resolve.core.closeable import Closeable
from matrix_resolve.core.names import MAX_HOSTNAME
from matrix_resolve.errors import AddressLookupError, BackendError, SrvLookupError, shown
from matrix_resolve.interfaces import AddressReply, SrvRecord, SrvReply

# Every name is absolute: no search list, no host aliases. Passing flags at all turns EDNS off
# unless it is named.
_FLAGS: Final = pycares.ARES_FLAG_NOSEARCH | pycares.ARES_FLAG_NOALIASES | pycares.ARES_FLAG_EDNS
# ARES_AI_NOSORT, which pycares does not export: sorting opens a socket for each address.
_NO_SORT: Final = 1 << 7
# A datagram may be lost, and its answer too; all tries share the time of one question.
_TRIES: Final = 3
_NODATA, _NOT_FOUND = 1, 4  # ARES_ENODATA, ARES_ENOTFOUND

# c-ares keeps answers in a cache of its own, "no such record" for up to an hour, and pycares can't
# switch that off. So no channel is asked once it is this old (seconds): lifetimes are ours alone.
_CHANNEL_AGE: Final = 1.0


class _Channel:
    """A c-ares channel, when it was made, and how many questions are under way in it."""

    def __init__(self, resolver: aiodns.DNSResolver) -> None:
        self.resolver = resolver
        self.made_at = time.monotonic()
        self.asking = 0


class AiodnsLookup(Closeable):
    """Looks up SRV records and addresses with aiodns: a `SrvLookup` and an `AddressLookup`.

    `nameservers` as "HOST" or "HOST:PORT" (IPv6 in brackets when it has a port); None means the
    system's. The hosts file is honoured for addresses. `timeout` in seconds is for one question,
    retries included. aiodns does not tell the zone's negative TTL, so empty replies have none.

    It belongs to the event loop that it is first used in. Close it with `aclose()` or `async
    with`; lookups that are still under way then fail.
    """

    def __init__(self, *, nameservers: Sequence[str] | None = None, timeout: float = 5.0) -> None:
        self._nameservers = None if nameservers is None else list(nameservers)
        self._timeout = timeout
        self._channels: list[_Channel] = []  # the last one is current, the others are finishing
        self._closed = False

    async def aclose(self) -> None:
        """Close the sockets; idempotent."""
        self._closed = True
        channels, self._channels = self._channels, []
        for channel in channels:
            await channel.resolver.close()

    async def lookup_srv(self, name: str, /) -> SrvReply:
        """Return the SRV records of `name`; raise `SrvLookupError` if the lookup fails."""
        if len(name) > MAX_HOSTNAME:
            return SrvReply([])
        async with self._asking(name, SrvLookupError) as channel:
            try:
                result = await channel.query_dns(name, "SRV")
            except aiodns.error.DNSError as error:
                _raise_unless_none(error, SrvLookupError)
                return SrvReply([])
        owner = _end_of_aliases(name, result.answer)
        records = [
            SrvRecord(data.priority, data.weight, data.port, _text(data.target) or ".")
            for data in (rr.data for rr in result.answer if _text(rr.name).lower() == owner)
            if isinstance(data, pycares.SRVRecordData)
        ]
        if not records:  # an alias of a name that has none
            return SrvReply([])
        # The answer holds the chain of aliases too, if there is one: its TTLs count.
        return SrvReply(records, _least(record.ttl for record in result.answer))

    async def lookup_addresses(self, hostname: str, /) -> AddressReply:
        """Return the addresses of `hostname`; raise `AddressLookupError` if the lookup fails."""
        if len(hostname) > MAX_HOSTNAME:
            return AddressReply([])
        async with self._asking(hostname, AddressLookupError) as channel:
            try:
                result = await channel.getaddrinfo(hostname, flags=_NO_SORT)
            except aiodns.error.DNSError as error:
                _raise_unless_none(error, AddressLookupError)
                if error.args[0] == _NODATA:
                    await _confirm_no_addresses(channel, hostname)
                return AddressReply([])
        addresses = dict.fromkeys(ip_address(_text(node.addr[0])) for node in result.nodes)
        ttls = [node.ttl for node in result.nodes] + [alias.ttl for alias in result.cnames]
        return AddressReply(
            tuple(addresses),
            _least(ttls),
            _text(result.cnames[-1].name) if result.cnames else None,
        )

    @asynccontextmanager
    async def _asking(
        self, name: str, failure: type[BackendError]
    ) -> AsyncIterator[aiodns.DNSResolver]:
        """Give a channel to ask about `name` in; a time-out is a `failure`."""
        if "\0" in name or not name.isascii():  # c-ares would cut the name at the NUL
            raise failure(f"{shown(name)} is no DNS name", temporary=False)
        channel = await self._current_channel()
        channel.asking += 1
        try:
            async with asyncio.timeout(self._timeout):
                yield channel.resolver
        except TimeoutError as error:
            raise failure(f"no answer within {self._timeout:g} s") from error
        finally:
            channel.asking -= 1
            await self._close_finished()

    async def _current_channel(self) -> _Channel:
        if self._closed:
            raise RuntimeError("the lookup is closed")
        if not self._channels or time.monotonic() - self._channels[-1].made_at >= _CHANNEL_AGE:
            resolver = aiodns.DNSResolver(
                self._nameservers, timeout=self._timeout / _TRIES, tries=_TRIES, flags=_FLAGS
            )
            self._channels.append(_Channel(resolver))
            await self._close_finished()
        return self._channels[-1]

    async def _close_finished(self) -> None:
        """Close the channels that are no longer current once their last question has ended."""
        finished = [channel for channel in self._channels[:-1] if not channel.asking]
        for channel in finished:
            self._channels.remove(channel)
            await channel.resolver.close()


def _raise_unless_none(error: aiodns.error.DNSError, failure: type[BackendError]) -> None:
    code, *message = error.args
    if code not in (_NODATA, _NOT_FOUND):
        raise failure(str(message[0]) if message else f"c-ares error {code}") from error


async def _confirm_no_addresses(channel: aiodns.DNSResolver, hostname: str) -> None:
    """Raise `AddressLookupError` unless both families are known to be missing.

    When the question for one family fails and then the other is answered with "no such record",
    c-ares tells only the latter. What was answered is in its cache; what failed is asked again.
    """
    for family, kind in (("A", pycares.ARecordData), ("AAAA", pycares.AAAARecordData)):
        try:
            result = await channel.query_dns(hostname, family)
        except aiodns.error.DNSError as error:
            _raise_unless_none(error, AddressLookupError)
        else:
            if any(isinstance(record.data, kind) for record in result.answer):
                raise AddressLookupError("its addresses came only when asked for again")


def _end_of_aliases(name: str, answer: Iterable[pycares.DNSRecord]) -> str:
    """Return where the chain of aliases that begins with `name` leads, in lower case."""
    aliases = {
        _text(record.name).lower(): _text(record.data.cname).lower()
        for record in answer
        if isinstance(record.data, pycares.CNAMERecordData)
    }
    owner = name.lower()
    while owner in aliases:
        owner = aliases.pop(owner)  # taken out, so that a loop ends
    return owner


def _least(ttls: Iterable[int]) -> float | None:
    return min(ttls, default=None)


def _text(value: str | bytes) -> str:
    """Names that are not ASCII, and addresses, come as bytes."""
    return value if isinstance(value, str) else value.decode("ascii", "backslashreplace")
