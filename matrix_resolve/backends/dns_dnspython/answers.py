"""What a name server sends back, as the lookup needs it; read in pieces that hold nothing up.

dnspython reads a message at one go, and 64 kB of records take it 150 ms. A thread would be no way
out, as it keeps the interpreter's lock for 5 ms at a time from each system call of the event loop.
"""

import asyncio
import struct
from collections.abc import Iterator, Sequence
from math import inf
from typing import Any, Final, NamedTuple

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.opcode
import dns.rcode
import dns.rdata
import dns.rdataclass
import dns.rdtypes.ANY.CNAME  # dnspython would import these when it reads the first of a kind
import dns.rdtypes.ANY.SOA
import dns.rdtypes.IN.A
import dns.rdtypes.IN.AAAA
import dns.rdtypes.IN.SRV
from attrs import Factory, frozen, mutable
from dns.message import QueryMessage
from dns.rdatatype import RdataType

from matrix_resolve.core.chains import MAX_LINKS
from matrix_resolve.interfaces import SrvRecord

# Rcodes that tell of records, or that there are none; all others are failures.
_TELLING: Final = {dns.rcode.NOERROR, dns.rcode.NXDOMAIN}
# How servers that do not know EDNS refuse it (RFC 6891, 7); BADVERS: they know a later one only.
_WITHOUT_EDNS: Final = {dns.rcode.FORMERR, dns.rcode.NOTIMP, dns.rcode.BADVERS}
_HEADER: Final = 12  # octets
_ANSWER, _AUTHORITY, _ADDITIONAL = range(3)
# After so many seconds of reading the event loop has its turn.
_PIECE: Final = 0.002

# A name's labels in lower case, for comparing.
Labels = tuple[bytes, ...]


@frozen(kw_only=True)
class Answer:
    """What was answered to one question.

    `problem` says why it tells neither of records nor that there are none, "" if it does;
    `canonical_name` is that of an alias. Records of SRV are `SrvRecord`s, addresses are text.
    """

    problem: str = ""
    records: Sequence[Any] = ()
    ttl: float | None = None
    canonical_name: str | None = None
    is_truncated: bool = False
    has_edns: bool = True
    refuses_edns: bool = False


async def read_answer(request: QueryMessage, wire: bytes) -> Answer | None:
    """Return what `wire` answers to `request`, None if it is the answer to something else.

    Raises `DNSException` if it is no message.
    """
    try:
        return await _read(request, wire)
    except (struct.error, ValueError, LookupError) as error:
        raise dns.exception.FormError from error


async def _read(request: QueryMessage, wire: bytes) -> Answer | None:
    head = dns.message.from_wire(wire, question_only=True)
    if not request.is_response(head):
        return None
    if head.flags & dns.flags.TC:
        return Answer(problem="truncated", is_truncated=True)
    rcode = head.rcode()
    message = _Message()
    if rcode in _TELLING:  # else what follows may be anything
        asked = request.question[0]
        message = _Message(asked=_labels(asked.name), kind=asked.rdtype)
        clock = asyncio.get_running_loop().time
        until = clock() + _PIECE
        for record in _records(wire):
            message.take(record)
            if clock() > until:
                await asyncio.sleep(0)
                until = clock() + _PIECE
        rcode = dns.rcode.from_flags(head.flags, message.edns or 0)
    if rcode not in _TELLING:
        return Answer(problem=dns.rcode.to_text(rcode), refuses_edns=rcode in _WITHOUT_EDNS)
    return message.answer(rcode)


class _Record(NamedTuple):
    section: int
    owner: dns.name.Name
    rdclass: int
    kind: int
    ttl: int
    wire: bytes
    begin: int
    size: int

    def data(self) -> Any:
        """Read what is in it."""
        return dns.rdata.from_wire(
            dns.rdataclass.IN, RdataType(self.kind), self.wire, self.begin, self.size
        )


def _records(wire: bytes) -> Iterator[_Record]:
    """Yield the records of a message; raise `DNSException` or `struct.error` where it is none."""
    questions, *counts = struct.unpack_from("!4H", wire, 4)
    place = _HEADER
    for _ in range(questions):
        place += dns.name.from_wire(wire, place)[1] + 4
    for section, count in enumerate(counts):
        for _ in range(count):
            owner, length = dns.name.from_wire(wire, place)
            kind, rdclass, ttl, size = struct.unpack_from("!HHIH", wire, place + length)
            begin = place + length + 10
            place = begin + size
            if place > len(wire):
                raise dns.exception.FormError
            yield _Record(section, owner, rdclass, kind, ttl, wire, begin, size)
    if place != len(wire):
        raise dns.message.TrailingJunk


@mutable
class _Rrset:
    ttl: float = inf
    data: dict[Any, None] = Factory(dict)  # in order, none twice

    def add(self, ttl: int, data: Any) -> None:
        self.ttl = min(self.ttl, ttl if ttl < 2**31 else 0)  # RFC 2181, 8
        self.data[data] = None


@mutable
class _Message:
    """The records of a message that matter; `edns` is the TTL of its OPT record."""

    asked: Labels = ()
    kind: int = 0
    edns: int | None = None
    is_empty: bool = True
    is_ours: bool = False
    rrsets: dict[tuple[Labels, int], _Rrset] = Factory(dict)
    negative_ttls: dict[Labels, int] = Factory(dict)

    def take(self, record: _Record) -> None:
        """Keep what matters of a record."""
        if record.section == _ADDITIONAL:
            if record.kind == RdataType.OPT:
                self.edns = record.ttl
            return
        owner = _labels(record.owner)
        is_internet = record.rdclass == dns.rdataclass.IN
        if record.section == _ANSWER:
            self.is_empty = False
            self.is_ours = self.is_ours or (is_internet and owner == self.asked)
            if is_internet and record.kind in (self.kind, RdataType.CNAME):
                rrset = self.rrsets.setdefault((owner, record.kind), _Rrset())
                rrset.add(record.ttl, _value(record.data()))
        elif is_internet and record.kind == RdataType.SOA:
            self.negative_ttls[owner] = min(record.ttl, record.data().minimum)

    def answer(self, rcode: int) -> Answer:
        """Follow the aliases, in whatever order they came, to the records or to their absence."""
        name, canonical_name, ttl = self.asked, None, inf
        for _ in range(MAX_LINKS + 1):
            found = self.rrsets.get((name, self.kind))
            alias = self.rrsets.get((name, RdataType.CNAME))
            if found is not None or alias is None:
                break
            ttl = min(ttl, alias.ttl)
            target = next(iter(alias.data))
            name, canonical_name = _labels(target), _text(target)
        else:
            return Answer(problem="the chain is too long")
        if not self.is_empty and not self.is_ours:
            return Answer(problem="an answer about something else")
        if found is None:
            negative = self._negative_ttl(name)
            return Answer(
                ttl=None if negative is None else min(ttl, negative),
                canonical_name=canonical_name,
                has_edns=self.edns is not None,
            )
        if rcode == dns.rcode.NXDOMAIN:
            return Answer(problem="the rcode is NXDOMAIN but there are records")
        return Answer(
            records=tuple(found.data),
            ttl=min(ttl, found.ttl),
            canonical_name=canonical_name,
            has_edns=self.edns is not None,
        )

    def _negative_ttl(self, name: Labels) -> int | None:
        """Return that of the closest zone that `name` is in, None if none was told."""
        zones = [zone for zone in self.negative_ttls if name[-len(zone) :] == zone]
        return self.negative_ttls[max(zones, key=len)] if zones else None


def _value(data: Any) -> Any:
    match data.rdtype:
        case RdataType.SRV:
            return SrvRecord(data.priority, data.weight, data.port, _text(data.target))
        case RdataType.CNAME:
            return data.target
        case _:
            return data.address


def _labels(name: dns.name.Name) -> Labels:
    return tuple(label.lower() for label in name.labels)


def _text(name: dns.name.Name) -> str:
    """Return `name` without its final dot, odd bytes escaped; the root is a dot."""
    return name.to_text(omit_final_dot=True)
