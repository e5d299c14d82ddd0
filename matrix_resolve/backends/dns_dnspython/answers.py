"""What a name server sends back, as the lookup needs it: pure, so that a thread can do it."""

from collections.abc import Sequence
from typing import Any, Final

import dns.exception
import dns.message
import dns.name
import dns.rcode
import dns.rdataclass
from attrs import frozen
from dns.message import Message, QueryMessage
from dns.rdatatype import RdataType

from matrix_resolve.interfaces import SrvRecord

# Rcodes that tell of records, or that there are none; all others are failures.
_TELLING: Final = {dns.rcode.NOERROR, dns.rcode.NXDOMAIN}
# How servers that do not know EDNS refuse it (RFC 6891, 7); BADVERS: they know a later one only.
_WITHOUT_EDNS: Final = {dns.rcode.FORMERR, dns.rcode.NOTIMP, dns.rcode.BADVERS}


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


def read_answer(request: QueryMessage, wire: bytes) -> Answer | None:
    """Return what `wire` answers to `request`, None if it is the answer to something else.

    Raises `DNSException` if it is no message.
    """
    try:
        response: Message = dns.message.from_wire(wire, raise_on_truncation=True)
    except dns.message.Truncated as error:
        response = error.kwargs["message"]
    except dns.exception.DNSException:
        raise
    except Exception as error:  # some records' data is read without regard for what may be wrong
        raise dns.exception.FormError from error
    if not request.is_response(response) or not isinstance(response, QueryMessage):
        return None
    has_edns = response.edns >= 0
    if response.flags & dns.flags.TC:
        return Answer(problem="truncated", is_truncated=True, has_edns=has_edns)
    rcode = response.rcode()
    if rcode not in _TELLING:
        return Answer(
            problem=dns.rcode.to_text(rcode),
            has_edns=has_edns,
            refuses_edns=rcode in _WITHOUT_EDNS,
        )
    try:
        return _told(response, has_edns)
    except dns.exception.DNSException as error:
        return Answer(problem=str(error), has_edns=has_edns)


def _told(response: QueryMessage, has_edns: bool) -> Answer:
    question = response.question[0]
    chain = response.resolve_chaining()
    if response.answer and not any(
        (rrset.name, rrset.rdclass) == (question.name, question.rdclass)
        for rrset in response.answer
    ):
        return Answer(problem="an answer about something else", has_edns=has_edns)
    records: list[Any] = list(chain.answer or ())
    return Answer(
        records=[
            SrvRecord(record.priority, record.weight, record.port, _text(record.target))
            if record.rdtype == RdataType.SRV
            else record.address
            for record in records
        ],
        # The least of the chain; where there is no SOA, dnspython counts it as 300.
        ttl=chain.minimum_ttl if records or _has_soa(response) else None,
        canonical_name=_text(chain.canonical_name) if chain.cnames else None,
        has_edns=has_edns,
    )


def _text(name: dns.name.Name) -> str:
    """Return `name` without its final dot, odd bytes escaped; the root is a dot."""
    return name.to_text(omit_final_dot=True)


def _has_soa(response: QueryMessage) -> bool:
    """Return whether there is the SOA record of a zone that what was asked for is in."""
    name = response.canonical_name()
    return any(
        (rrset.rdclass, rrset.rdtype) == (dns.rdataclass.IN, RdataType.SOA)
        and name.is_subdomain(rrset.name)
        for rrset in response.authority
    )
