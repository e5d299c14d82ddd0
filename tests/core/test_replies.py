"""What plug-ins return: values that are cut off from the lists they were made of."""

from ipaddress import IPv4Address

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
