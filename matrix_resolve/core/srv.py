"""SRV records: which can be used, and the order to try them in (RFC 2782)."""

import math
import random
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from operator import attrgetter, itemgetter
from typing import Final, Protocol, TypeVar

from matrix_resolve.core.names import is_hostname
from matrix_resolve.core.questions import NoSrvRecords, ServiceNotOffered, SrvRecords
from matrix_resolve.core.replies import SrvRecord, SrvReply

MAX_KEPT = 64
"""Usable records kept of one answer: more than anyone publishes, less than hurts to keep."""

# So many have four records of one priority.
_MOST_ORDERS: Final = 24


class Weighted(Protocol):
    """Whatever has the priority and weight of an SRV record."""

    @property
    def priority(self) -> int:
        """Lower ones are tried first."""
        ...

    @property
    def weight(self) -> int:
        """The share of the draws within a priority."""
        ...


_W = TypeVar("_W", bound=Weighted)


def read_srv_reply(reply: SrvReply) -> SrvRecords | NoSrvRecords | ServiceNotOffered:
    """Return the usable records, lowest priorities first, at most `MAX_KEPT`.

    A record that can't be used (port 0, a target that is no host name) is passed over. A sole
    record with the target "." says that the service is not offered; beside others it is passed
    over.
    """
    if not reply.records:
        return NoSrvRecords("no records")
    if len(reply.records) == 1 and reply.records[0].target in (".", ""):
        return ServiceNotOffered()
    usable = [record for record in map(_plain, reply.records) if is_usable(record)]
    if not usable:
        return NoSrvRecords("no usable record")
    usable.sort(key=attrgetter("priority"))
    return SrvRecords(tuple(usable[:MAX_KEPT]))


def is_usable(record: SrvRecord) -> bool:
    """Return whether a connection can be made to what the record says."""
    numbers = (record.priority, record.weight, record.port)
    return (
        all(isinstance(n, int) and type(n) is not bool and 0 <= n <= 65535 for n in numbers)
        and record.port != 0
        and isinstance(record.target, str)
        and is_hostname(record.target)
    )


def _plain(record: SrvRecord) -> SrvRecord:
    """Return a record without a final dot, and as one of ours: others may give subclasses."""
    target = record.target
    if not isinstance(target, str):
        return record
    if type(record) is SrvRecord and type(target) is str and not target.endswith("."):
        return record
    text = str.__str__(target).removesuffix(".")
    return SrvRecord(record.priority, record.weight, record.port, text)


def in_order(records: Iterable[_W], rng: random.Random) -> tuple[_W, ...]:
    """Return `records` in the order to try them, drawn afresh on each call (RFC 2782).

    Lowest priority first; within one, a weighted random order without replacement: sorting by
    exponential variates whose rates are the weights gives exactly that (Efraimidis and Spirakis).
    In the RFC's running sums the weights 0 of a priority share a chance of 1 in (sum + 1); so here
    they weigh 1 together. That draws them seldom, and evenly when there is nothing else.
    """
    records = tuple(records)
    if len(records) == 1:
        return records
    drawn = [(record.priority, rng.expovariate(rate), record) for rate, record in _rated(records)]
    return tuple(record for *_, record in sorted(drawn, key=itemgetter(0, 1)))


def has_few_orders(records: Iterable[Weighted]) -> bool:
    """Return whether the orders that `in_order` may draw are so few that all can be kept."""
    together = Counter(record.priority for record in records)
    return math.prod(map(math.factorial, together.values())) <= _MOST_ORDERS


def every_order(records: Iterable[_W]) -> list[tuple[float, tuple[_W, ...]]]:
    """Return each order that `in_order` may draw, after its probability."""
    return list(_orders(_rated(records)))


def _rated(records: Iterable[_W]) -> list[tuple[float, _W]]:
    """Return each record after its rate: how often it is drawn, among those of its priority."""
    records = tuple(records)
    without = [record.priority for record in records if not record.weight]
    zeros = Counter(without) if without else {}
    return [(record.weight or 1 / zeros[record.priority], record) for record in records]


def _orders(left: Sequence[tuple[float, _W]]) -> Iterator[tuple[float, tuple[_W, ...]]]:
    if not left:
        yield 1.0, ()
        return
    lowest = min(record.priority for _, record in left)
    total = sum(rate for rate, record in left if record.priority == lowest)
    for at, (rate, first) in enumerate(left):
        if first.priority == lowest:
            for chance, rest in _orders([*left[:at], *left[at + 1 :]]):
                yield rate / total * chance, (first, *rest)
