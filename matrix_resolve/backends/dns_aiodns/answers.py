"""What a name server answered, as the lookup needs it."""

from collections.abc import Sequence
from typing import Any, Final

import pycares
from attrs import frozen

from matrix_resolve.core.chains import follow, plain

KINDS: Final = {
    "A": pycares.ARecordData,
    "AAAA": pycares.AAAARecordData,
    "SRV": pycares.SRVRecordData,
}


class NoAnswerError(Exception):
    """It is neither an answer nor that there is none; says why, on one line."""


@frozen
class Found:
    """The data of the records that were asked for, their least TTL, the name behind an alias."""

    data: Sequence[Any] = ()
    ttl: float | None = None
    canonical_name: str | None = None


def read_answer(name: str, kind: str, answer: Sequence[pycares.DNSRecord]) -> Found:
    """Return what an answer says of `name`; raise `NoAnswerError` if that is nothing.

    `kind` is one of `KINDS`. What belongs to other names, classes and types is passed over.
    """
    if not answer:
        # "None" is told in another way: this is how pycares hands on an rcode that c-ares has no
        # error for (NOTAUTH, YXDOMAIN, BADVERS, ...).
        raise NoAnswerError("a response code that is no answer")
    ours = [
        (plain(text(record.name)), record)
        for record in answer
        if record.record_class == pycares.QUERY_CLASS_IN
    ]
    if plain(name) not in {owner for owner, _ in ours}:
        raise NoAnswerError("an answer about something else")
    asked = [(owner, record) for owner, record in ours if isinstance(record.data, KINDS[kind])]
    owners = {owner for owner, _ in asked}
    aliases = {
        owner: (text(record.data.cname), record.ttl)
        for owner, record in reversed(ours)  # of two with one owner, the first holds
        if isinstance(record.data, pycares.CNAMERecordData) and owner not in owners
    }
    chain = follow(name, ((owner, target) for owner, (target, _) in aliases.items()))
    if chain is None:
        raise NoAnswerError("the chain of aliases has no end")
    found = [record for owner, record in asked if owner == chain[-1]]
    if not found:  # an alias of a name that has none
        return Found()
    ttls = [*(aliases[owner][1] for owner in chain[:-1]), *(record.ttl for record in found)]
    return Found(
        [record.data for record in found],
        min(ttl if ttl < 2**31 else 0 for ttl in ttls),  # longer is none at all (RFC 2181, 8)
        chain[-1] if len(chain) > 1 else None,
    )


def text(value: str | bytes) -> str:
    """Return a name as text; names that are not ASCII come as bytes."""
    return value if isinstance(value, str) else value.decode("ascii", "backslashreplace")
