"""Entries and trails as bytes: what was packed comes back equal, and as values of ours."""

from ipaddress import ip_address
from typing import Any

import pytest

from matrix_resolve.core.entries import CacheEntry, Reserve
from matrix_resolve.core.moments import Timescale
from matrix_resolve.core.names import ServerName
from matrix_resolve.core.packed import entry_packed, entry_unpacked, from_answer, to_answer
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
)
from matrix_resolve.core.replies import SrvRecord

KEY = "wk:a.example"
OWN_URL = "https://a.example/.well-known/matrix/server"
HOST = ServerName.parse("Host.example:1")
LONGEST = f"{120 * 'ab.'}example"


class Seconds(float):
    """A float of somebody's, as those of numpy are."""

    __slots__ = ()


ANSWERS: list[Answer] = [
    Delegated(HOST, OWN_URL),
    Delegated(HOST, "https://b.example/"),
    Delegated(HOST, ""),
    NotDelegated("down", temporary=True),
    NotDelegated("no DNS", temporary=True, own_trouble=True),
    NotDelegated("status 404", url=OWN_URL),
    NotDelegated("status 404", url="https://b.example/"),
    SrvRecords((SrvRecord(1, 2, 3, "A.example"),)),
    SrvRecords(tuple(SrvRecord(port, 65535, port + 1, LONGEST) for port in range(64))),
    NoSrvRecords("no records"),
    ServiceNotOffered(),
    SrvFailed("SERVFAIL"),
    Addresses(()),
    Addresses((ip_address("192.0.2.1"), ip_address("::ffff:192.0.2.1")), "alias.example"),
    Addresses((ip_address("fe80::1%eth0"), ip_address("fe80::1"))),
    AddressesFailed("SERVFAIL"),
]


@pytest.mark.parametrize("answer", ANSWERS, ids=str)
def test_every_answer_comes_back(answer: Answer) -> None:
    """It is equal, as the outcome of an entry, in its reserve, and by itself."""
    assert to_answer(KEY, *from_answer(KEY, answer)) == answer
    clock = object()
    for key in (KEY, "wk:another.example"):
        entry = CacheEntry(
            key=key,
            outcome=answer,
            asked_at=1.5,
            fresh_until=2.5,
            keep_until=3.5,
            failures=4,
            reserve=Reserve(answer=answer, asked_at=5.5, fresh_until=6.5, stale_until=7.5),
        )
        unpacked = entry_unpacked(KEY, entry_packed(KEY, entry, Timescale(clock, 8.5)), clock)
        assert unpacked == entry
        assert unpacked.scale == Timescale(clock, 8.5)


def test_numbers_of_others() -> None:
    """Clocks and plug-ins may give subclasses of numbers: plain ones come back."""
    times: dict[str, Any] = dict.fromkeys(("asked_at", "fresh_until"), Seconds(1))
    reserve = Reserve(answer=ServiceNotOffered(), **times, stale_until=Seconds(1))
    entry = CacheEntry(
        key=KEY, outcome=SrvFailed("no"), **times, keep_until=Seconds(1), reserve=reserve
    )
    unpacked = entry_unpacked(KEY, entry_packed(KEY, entry, Timescale(KEY, Seconds(2))), KEY)
    assert unpacked == entry
    assert unpacked.scale is not None
    assert unpacked.reserve is not None
    numbers = unpacked.asked_at, unpacked.keep_until, unpacked.reserve.stale_until
    assert {type(number) for number in (*numbers, unpacked.scale.ahead)} == {float}
