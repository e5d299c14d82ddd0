"""How the records that c-ares hands on are read, in whatever order they come."""

from itertools import permutations
from typing import Any

import pycares
import pytest

from matrix_resolve.backends.dns_aiodns.answers import Found, NoAnswerError, read_answer

IN, CHAOS = 1, 3


def record(name: str | bytes, data: Any, ttl: int = 60, record_class: int = IN) -> Any:
    """A record as pycares gives it."""
    return pycares.DNSRecord(name=name, type=0, record_class=record_class, ttl=ttl, data=data)


def alias(name: str, of: str, ttl: int = 60, record_class: int = IN) -> Any:
    """A CNAME record."""
    return record(name, pycares.CNAMERecordData(cname=of), ttl, record_class)


def a(name: str | bytes, ip: str = "192.0.2.1", ttl: int = 60, record_class: int = IN) -> Any:
    """An A record."""
    return record(name, pycares.ARecordData(addr=ip), ttl, record_class)


IP, OTHER = pycares.ARecordData(addr="192.0.2.1"), pycares.ARecordData(addr="192.0.2.66")

ANSWERS = [
    # records in answer to a question for A of a.example, what they say
    pytest.param([a("a.example")], Found([IP], 60), id="its own"),
    pytest.param([a("A.EXAMPLE")], Found([IP], 60), id="ignoring case"),
    pytest.param(
        [a("a.example"), a("a.example", "192.0.2.66", 30)], Found([IP, OTHER], 30), id="two"
    ),
    pytest.param([a("a.example", ttl=0)], Found([IP], 0), id="TTL 0"),
    pytest.param([a("a.example", ttl=2**31 - 1)], Found([IP], 2**31 - 1), id="the longest TTL"),
    pytest.param([a("a.example", ttl=2**31)], Found([IP], 0), id="a TTL that is none"),
    pytest.param(
        [alias("a.example", "B.Example", 50), a("b.example", ttl=70)],
        Found([IP], 50, "b.example"),
        id="by an alias",
    ),
    pytest.param(
        [alias("a.example", "b.example", 2**32 - 1), a("b.example")],
        Found([IP], 0, "b.example"),
        id="by an alias whose TTL is none",
    ),
    pytest.param(
        [a("x.example", "192.0.2.66", 1), alias("y.example", "x.example", 1), a("a.example")],
        Found([IP], 60),
        id="TTLs of strangers do not count",
    ),
    pytest.param(
        [a("a.example", "192.0.2.66", 1, CHAOS), a("a.example")], Found([IP], 60), id="class CHAOS"
    ),
    pytest.param(
        [alias("a.example", "x.example", 60, CHAOS), a("a.example")],
        Found([IP], 60),
        id="an alias of class CHAOS",
    ),
    pytest.param(
        [alias("a.example", "x.example"), a("a.example"), a("x.example", "192.0.2.66")],
        Found([IP], 60),
        id="an alias beside records, which can't be",
    ),
    pytest.param([a(b"a.example")], Found([IP], 60), id="a name in bytes"),
    # None
    pytest.param([alias("a.example", "b.example")], Found(), id="an alias that leads nowhere"),
    pytest.param(
        [alias("a.example", "b.example"), a("x.example")], Found(), id="nor to a stranger"
    ),
    pytest.param(
        [record("a.example", pycares.TXTRecordData(data=b"x"))], Found(), id="of another type only"
    ),
]


@pytest.mark.parametrize(("answer", "found"), ANSWERS)
def test_answers(answer: list[Any], found: Found) -> None:
    """What belongs to the question is found; what does not is passed over."""
    assert read_answer("a.example", "A", answer) == found
    assert read_answer("A.example.", "A", answer) == found


NEITHER = [
    # answer, what is told of it
    pytest.param([], "response code", id="empty, which is not how none is told"),
    pytest.param([a("x.example")], "something else", id="another owner"),
    pytest.param([alias("x.example", "a.example")], "something else", id="that leads here"),
    pytest.param([a("a.example", record_class=CHAOS)], "something else", id="class CHAOS"),
    pytest.param([alias("a.example", "a.example")], "no end", id="an alias of itself"),
    pytest.param(
        [alias("a.example", "b.example"), alias("b.example", "a.example")], "no end", id="circle"
    ),
]


@pytest.mark.parametrize(("answer", "told"), NEITHER)
def test_what_is_no_answer(answer: list[Any], told: str) -> None:
    """What says nothing of the question is not taken for "none"."""
    with pytest.raises(NoAnswerError, match=told):
        read_answer("a.example", "A", answer)


@pytest.mark.parametrize("kind", ["A", "AAAA", "SRV"])
def test_aliases_in_any_order(kind: str) -> None:
    """The end of the chain is found, and its name, in whatever order the links come."""
    data: dict[str, Any] = {
        "A": IP,
        "AAAA": pycares.AAAARecordData(addr="2001:db8::1"),
        "SRV": pycares.SRVRecordData(priority=0, weight=0, port=1, target="hs.example"),
    }
    records = [
        alias("a.example", "b.example", 50),
        alias("b.example", "c.example", 40),
        alias("c.example", "d.example", 30),
        record("d.example", data[kind], 70),
    ]
    for answer in permutations(records):
        assert read_answer("a.example", kind, answer) == Found([data[kind]], 30, "d.example")
