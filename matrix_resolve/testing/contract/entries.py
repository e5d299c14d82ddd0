"""Entries of every kind, for the contract of caches."""

import random
from ipaddress import ip_address

from matrix_resolve.core.entries import CacheEntry, remember
from matrix_resolve.core.lifetimes import Learned
from matrix_resolve.core.names import ServerName
from matrix_resolve.core.questions import (
    Addresses,
    AddressesFailed,
    Answer,
    AskAddresses,
    AskSrv,
    AskWellKnown,
    Delegated,
    NoSrvRecords,
    NotDelegated,
    Question,
    ServiceNotOffered,
    SrvFailed,
    SrvRecords,
)
from matrix_resolve.core.replies import SrvRecord
from matrix_resolve.policy import Policy
from matrix_resolve.testing.fakes import START

NOW = START
EXAMPLE = AskWellKnown("example.org")
OTHER = AskWellKnown("other.example")
SRV = AskSrv("_matrix-fed._tcp.example.org")
ADDRESSES = AskAddresses("example.org")

GOOD = Delegated(ServerName.parse("hs.example.net"), "https://example.org/")
BETTER = Delegated(ServerName.parse("new.example.net"), "https://example.org/")
DOWN = NotDelegated("status 503", temporary=True)
REFUSED = NotDelegated("status 404")
_MANY = tuple(SrvRecord(number, 5, 8448, f"{'a' * 60}.{number}.example") for number in range(64))
_BOTH_FAMILIES = (ip_address("192.0.2.1"), ip_address("2001:db8::1"))

ANSWERS: dict[str, tuple[Question, Answer]] = {
    "document": (EXAMPLE, GOOD),
    "document of an IPv6 address": (EXAMPLE, Delegated(ServerName.parse("[2001:DB8::1]:99"), "")),
    "refusal": (EXAMPLE, REFUSED),
    "temporary failure": (EXAMPLE, DOWN),
    "failed lookup": (EXAMPLE, NotDelegated("no DNS", temporary=True, own_trouble=True, url="")),
    "odd reason": (EXAMPLE, NotDelegated("\"'\\\0\n\u2028\U0001f600 \x7f {}", url="https://x/?'")),
    "SRV records": (SRV, SrvRecords((SrvRecord(10, 5, 8448, "A.example"),))),
    "many SRV records": (SRV, SrvRecords(_MANY)),
    "no SRV records": (SRV, NoSrvRecords("no such name")),
    "not offered": (SRV, ServiceNotOffered()),
    "failed SRV lookup": (SRV, SrvFailed("SERVFAIL")),
    "addresses": (ADDRESSES, Addresses(_BOTH_FAMILIES, "alias.example")),
    "no addresses": (ADDRESSES, Addresses(())),
    "failed address lookup": (ADDRESSES, AddressesFailed("REFUSED")),
}
"""Every kind of answer, with a question that it answers."""

QUESTIONS: list[Question] = [
    AskWellKnown("example.org"),
    AskWellKnown("xample.org"),
    AskWellKnown("example.or"),
    AskWellKnown("sub.example.org"),
    AskWellKnown("example-org"),
    AskWellKnown("a" * 63 + ".example"),
    AskWellKnown("a" * 62 + "b.example"),
    AskSrv("example.org"),
    AskSrv("_matrix-fed._tcp.example.org"),
    AskSrv("_matrix._tcp.example.org"),
    AskAddresses("example.org"),
    AskAddresses("_matrix._tcp.example.org"),
]
"""Questions that are like each other, and are others all the same."""

_ANSWER_TO: dict[type[Question], Answer] = {
    AskWellKnown: GOOD,
    AskSrv: ServiceNotOffered(),
    AskAddresses: Addresses(_BOTH_FAMILIES),
}


def entry(
    answer: Answer,
    question: Question = EXAMPLE,
    *,
    previous: CacheEntry | None = None,
    asked_at: float = NOW,
) -> CacheEntry:
    """Return the entry that follows `previous` when `answer` was learned."""
    return remember(
        question.key,
        previous,
        Learned(answer),
        asked_at=asked_at,
        now=asked_at,
        policy=Policy(jitter=0),
        rng=random.Random(0),
    )


def entry_about(question: Question) -> CacheEntry:
    """Return an entry with a good answer to any question."""
    return entry(_ANSWER_TO[type(question)], question)


def in_a_row(question: Question = EXAMPLE) -> dict[str, CacheEntry]:
    """Return entries about one question that may follow each other in any order."""

    def known(answer: Answer, age: float, previous: CacheEntry | None = None) -> CacheEntry:
        return entry(answer, question, previous=previous, asked_at=NOW - age)

    old, new = known(GOOD, 100), known(BETTER, 10)
    return {
        "an old answer": old,
        "a new answer": new,
        "an early failure": known(DOWN, 200),
        "a failure in between": known(DOWN, 50),
        "a failure in between, knowing the old": known(DOWN, 50, old),
        "a late failure": known(DOWN, 5),
        "a late failure, knowing the new": known(DOWN, 5, new),
        "a late refusal": known(REFUSED, 5),
        "a late refusal, knowing the old": known(REFUSED, 5, old),
        "the new answer, expired": new.expired(NOW - 1),
    }
