"""What plug-ins return: values that are cut off from the lists they were made of."""

from ipaddress import IPv4Address
from typing import Any

import pytest

from matrix_resolve.core.replies import AddressReply, HttpResponse, SrvRecord, SrvReply


def test_reply_is_cut_off_from_what_it_was_made_of() -> None:
    """A plug-in may reuse its lists: a reply holds tuples of its own."""
    headers = [["Age", "1"]]
    records = [SrvRecord(0, 0, 8448, "a.example")]
    addresses = [IPv4Address("192.0.2.1")]
    response = HttpResponse(200, headers, b"{}", "https://example.org/")  # type: ignore[arg-type]
    srv, found = SrvReply(records), AddressReply(addresses)
    headers[0][1] = "2"
    records.clear()
    addresses.clear()
    assert response.headers == (("Age", "1"),)
    assert srv == SrvReply((SrvRecord(0, 0, 8448, "a.example"),), ttl=None)
    assert found == AddressReply((IPv4Address("192.0.2.1"),), ttl=None, canonical_name=None)


def test_body_stays_out_of_the_repr() -> None:
    """A stranger's bytes do not reach a log through the repr of a response."""
    response = HttpResponse(200, (), b"\x1b[31mred", "https://example.org/")
    assert "red" not in repr(response)
    assert "status=200" in repr(response)


GOOD: dict[str, Any] = {"status": 200, "headers": (), "body": b"{}", "url": "https://example.org/"}


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"status": "200"}, "status must be of type int, not str"),
        ({"headers": {"Age": "1"}}, "headers must be (name, value) pairs, as a mapping's items()"),
        ({"headers": ["Age", "1"]}, "headers must be (name, value) pairs of str"),
        ({"headers": [("Age", "1", "2")]}, "headers must be (name, value) pairs of str"),
        ({"headers": [(b"Age", b"1")]}, "headers must be (name, value) pairs of str"),
        ({"body": "{}"}, "body must be of type bytes, not str"),
        ({"body": None}, "body must be of type bytes, not NoneType"),
        ({"url": object()}, "url must be of type str, not object; give str(url)"),
    ],
)
def test_responses_of_other_types(wrong: dict[str, Any], told: str) -> None:
    """A response that can't be read says so when it is made."""
    assert HttpResponse(**GOOD).status == 200
    with pytest.raises(TypeError) as caught:
        HttpResponse(**(GOOD | wrong))
    assert str(caught.value).startswith(told)


def test_lookups_of_other_types() -> None:
    """So does a reply of a lookup whose records or addresses are none."""
    wrong: Any = [(0, 0, 8448, "a.example")]
    with pytest.raises(TypeError, match="each of records must be of type SrvRecord, not tuple"):
        SrvReply(wrong)
    with pytest.raises(TypeError, match="a sequence of addresses, not one alone"):
        AddressReply("192.0.2.1")  # type: ignore[arg-type]
