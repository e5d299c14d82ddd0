"""Answers as JSON-ready values and back.

The form crosses process and version borders, so it names kinds and fields itself instead of
following the classes, and reading it trusts nothing. Counts and texts are cut as in what plug-ins
reply.
"""

from ipaddress import ip_address
from typing import Any, assert_never

from matrix_resolve.core.addresses import MAX_KEPT
from matrix_resolve.core.names import ServerName
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
from matrix_resolve.core.replies import SrvRecord, SrvReply
from matrix_resolve.core.srv import is_usable, read_srv_reply


def answer_to_dict(answer: Answer) -> dict[str, Any]:
    """Return `answer` as JSON-ready values; "kind" tells which answer it is."""
    match answer:
        case Delegated(to=to, url=url):
            return {"kind": "delegated", "to": str(to), "url": url}
        case NotDelegated(reason=reason, temporary=temporary, own_trouble=own_trouble, url=url):
            return {
                "kind": "not_delegated",
                "reason": reason,
                "temporary": temporary,
                "own_trouble": own_trouble,
                "url": url,
            }
        case SrvRecords(records=records):
            listed = [[r.priority, r.weight, r.port, r.target] for r in records]
            return {"kind": "srv_records", "records": listed}
        case NoSrvRecords(reason=reason):
            return {"kind": "no_srv_records", "reason": reason}
        case ServiceNotOffered():
            return {"kind": "service_not_offered"}
        case SrvFailed(reason=reason):
            return {"kind": "srv_failed", "reason": reason}
        case Addresses(addresses=addresses, canonical_name=alias):
            return {
                "kind": "addresses",
                "addresses": [str(address) for address in addresses],
                "canonical_name": alias,
            }
        case AddressesFailed(reason=reason):
            return {"kind": "addresses_failed", "reason": reason}
        case _:
            assert_never(answer)


def answer_from_dict(data: Any) -> Answer:
    """Return the answer that `answer_to_dict` wrote.

    Raises `ValueError`, `TypeError` or `KeyError` for anything else.
    """
    match data["kind"]:
        case "delegated":
            return Delegated(ServerName.parse(data["to"]), _text(data["url"]))
        case "not_delegated":
            return NotDelegated(
                _text(data["reason"]),
                temporary=_flag(data["temporary"]),
                own_trouble=_flag(data["own_trouble"]),
                url=None if data["url"] is None else _text(data["url"]),
            )
        case "srv_records":
            records = [_srv_record(*fields) for fields in data["records"]]
            read = read_srv_reply(SrvReply(records))
            if not isinstance(read, SrvRecords):
                raise ValueError("SRV records are never empty")
            return read
        case "no_srv_records":
            return NoSrvRecords(_text(data["reason"]))
        case "service_not_offered":
            return ServiceNotOffered()
        case "srv_failed":
            return SrvFailed(_text(data["reason"]))
        case "addresses":
            alias = data["canonical_name"]
            return Addresses(
                tuple(ip_address(_text(each)) for each in data["addresses"][:MAX_KEPT]),
                None if alias is None else _text(alias),
            )
        case "addresses_failed":
            return AddressesFailed(_text(data["reason"]))
        case _:
            raise ValueError("unknown kind of answer")


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("not a string")
    return value


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise TypeError("not a boolean")
    return value


def _srv_record(priority: Any, weight: Any, port: Any, target: Any) -> SrvRecord:
    record = SrvRecord(priority, weight, port, _text(target))
    if not is_usable(record):
        raise ValueError("not a usable SRV record")
    return record
