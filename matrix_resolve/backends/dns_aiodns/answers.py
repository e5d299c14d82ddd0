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


Owned = tuple[str, pycares.DNSRecord]
"""The name that has a record, as names are compared, and the record."""


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
    asked = plain(name)
    owned = [
        (plain(text(record.name)), record)
        for record in answer
        if record.record_class == pycares.QUERY_CLASS_IN
    ]
    if all(owner == asked and isinstance(record.data, KINDS[kind]) for owner, record in owned):
        if not owned:
            raise NoAnswerError("an answer about something else")
        return _found([record for _, record in owned])
    return _behind_aliases(asked, kind, owned)


def _behind_aliases(asked: str, kind: str, owned: Sequence[Owned]) -> Found:
    """Return what is found where there are other records too."""
    if asked not in {owner for owner, _ in owned}:
        raise NoAnswerError("an answer about something else")
    wanted = [(owner, record) for owner, record in owned if isinstance(record.data, KINDS[kind])]
    owners = {owner for owner, _ in wanted}
    aliases = {
        owner: (text(record.data.cname), record.ttl)
        for owner, record in reversed(owned)  # of two with one owner, the first holds
        if isinstance(record.data, pycares.CNAMERecordData) and owner not in owners
    }
    chain = follow(asked, ((owner, target) for owner, (target, _) in aliases.items()))
    if chain is None:
        raise NoAnswerError("the chain of aliases has no end")
    found = [record for owner, record in wanted if owner == chain[-1]]
    return _found(found, [aliases[owner][1] for owner in chain[:-1]], chain[-1])


def _found(
    records: Sequence[pycares.DNSRecord],
    alias_ttls: Sequence[int] = (),
    canonical_name: str | None = None,
) -> Found:
    if not records:  # an alias of a name that has none
        return Found()
    ttls = [*alias_ttls, *(record.ttl for record in records)]
    return Found(
        [record.data for record in records],
        min(ttl if ttl < 2**31 else 0 for ttl in ttls),  # longer is none at all (RFC 2181, 8)
        canonical_name if alias_ttls else None,
    )


def text(value: str | bytes) -> str:
    """Return a name as text; names that are not ASCII come as bytes."""
    return value if isinstance(value, str) else value.decode("ascii", "backslashreplace")
