"""Entries and trails as bytes, for this process's memory.

They are small, and nothing that the garbage collector has to look at. Only what this very process
has packed may be unpacked: between processes there is JSON.
"""

import marshal
from ipaddress import ip_address
from typing import Any, Final, assert_never

from matrix_resolve.core.entries import CacheEntry, Reserve
from matrix_resolve.core.moments import Timescale
from matrix_resolve.core.names import IPAddress, ServerName
from matrix_resolve.core.questions import (
    Addresses,
    AddressesFailed,
    Answer,
    Delegated,
    NoSrvRecords,
    NotDelegated,
    ServiceNotOffered,
    SrvFailed,
    SrvRecords,
    question_of,
)
from matrix_resolve.core.replies import SrvRecord

# Without back references, which take room and bring nothing here.
_FORMAT: Final = 2

Packable = tuple[Any, ...]
"""Numbers, texts and tuples of such."""


def pack(values: Packable) -> bytes:
    """Return values as bytes."""
    return marshal.dumps(values, _FORMAT)


def unpack(packed: bytes) -> Packable:
    """Return the values that were packed."""
    values: Packable = marshal.loads(packed)
    return values


def entry_packed(key: str, entry: CacheEntry, scale: Timescale) -> bytes:
    """Return an entry, to be kept under `key`, as bytes, with the scale that its times are by."""
    reserve = entry.reserve
    return pack(
        (
            None if entry.key == key else entry.key,
            from_answer(key, entry.outcome),
            float(entry.asked_at),
            float(entry.fresh_until),
            float(entry.keep_until),
            int(entry.failures),
            None if reserve is None else _from_reserve(key, reserve),
            float(scale.ahead),
        )
    )


def entry_unpacked(key: str, packed: bytes, clock: object) -> CacheEntry:
    """Return the entry that was packed, and kept under `key`; `clock` is that of its scale."""
    other, outcome, asked_at, fresh_until, keep_until, failures, reserve, ahead = unpack(packed)
    return CacheEntry(
        key=key if other is None else other,
        outcome=to_answer(key, *outcome),
        asked_at=asked_at,
        fresh_until=fresh_until,
        keep_until=keep_until,
        failures=failures,
        reserve=None if reserve is None else _to_reserve(key, *reserve),
        scale=Timescale(clock, ahead),
    )


def _from_reserve(key: str, reserve: Reserve) -> Packable:
    times = reserve.asked_at, reserve.fresh_until, reserve.stale_until
    return from_answer(key, reserve.answer), *map(float, times)


def _to_reserve(
    key: str, answer: Packable, asked_at: float, fresh_until: float, stale_until: float
) -> Reserve:
    return Reserve(
        answer=to_answer(key, *answer),
        asked_at=asked_at,
        fresh_until=fresh_until,
        stale_until=stale_until,
    )


_KINDS: Final[tuple[type[Answer], ...]] = (
    Delegated,
    NotDelegated,
    SrvRecords,
    NoSrvRecords,
    ServiceNotOffered,
    SrvFailed,
    Addresses,
    AddressesFailed,
)
_NUMBERS: Final = {kind: number for number, kind in enumerate(_KINDS)}


def from_answer(key: str, answer: Answer) -> Packable:
    """Return the number of an answer's kind, and what its class is made with, packable.

    `key` is the question's.
    """
    number = _NUMBERS[type(answer)]
    match answer:
        case Delegated(to=to, url=url):
            return number, _from_url(key, url), str(to)
        case NotDelegated(reason=reason, temporary=temporary, own_trouble=own_trouble, url=url):
            return number, _from_url(key, url), reason, temporary, own_trouble
        case SrvRecords(records=records):
            return number, *map(_from_record, records)
        case NoSrvRecords(reason=text) | SrvFailed(reason=text) | AddressesFailed(reason=text):
            return number, text
        case ServiceNotOffered():
            return (number,)
        case Addresses(addresses=addresses, canonical_name=alias):
            return number, alias, *map(_from_address, addresses)
        case _:
            assert_never(answer)


def _from_url(key: str, url: str | None) -> str | bool | None:
    return True if url == _own_url(key) else url  # most documents are found where they are asked


def _to_url(key: str, url: str | bool | None) -> str | None:
    return url if url is None or isinstance(url, str) else _own_url(key)


def _own_url(key: str) -> str:
    return str(question_of(key))


def _from_address(address: IPAddress) -> str | bytes:
    return address.packed if getattr(address, "scope_id", None) is None else str(address)


def _from_record(record: SrvRecord) -> Packable:
    # What a plug-in gave may be subclasses of numbers and of text.
    numbers = record.priority, record.weight, record.port
    return *map(int, numbers), str.__str__(record.target)


def to_answer(key: str, number: int, *parts: Any) -> Answer:
    """Return the answer that these are the number and the parts of; `key` is the question's."""
    kind = _KINDS[number]
    if kind is Delegated:
        url, to = parts
        return Delegated(ServerName.parse(to), _to_url(key, url) or "")
    if kind is NotDelegated:
        url, reason, temporary, own_trouble = parts
        return NotDelegated(reason, temporary, own_trouble, _to_url(key, url))
    if kind is SrvRecords:
        return SrvRecords(tuple(SrvRecord(*record) for record in parts))
    if kind is Addresses:
        alias, *addresses = parts
        return Addresses(tuple(map(ip_address, addresses)), alias)
    return kind(*parts)
