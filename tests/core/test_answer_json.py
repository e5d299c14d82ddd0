"""Answers as JSON-ready values: a form that other processes and versions can read."""

import json
from ipaddress import IPv4Address, IPv6Address
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from matrix_resolve.core.answer_json import answer_from_dict, answer_to_dict
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
from matrix_resolve.core.replies import SrvRecord

FORMS = [
    # answer, its form
    pytest.param(
        Delegated(ServerName.parse("Hs.example.net:443"), "https://example.org/"),
        {"kind": "delegated", "to": "Hs.example.net:443", "url": "https://example.org/"},
        id="delegated",
    ),
    pytest.param(
        NotDelegated("status 404", url="https://example.org/"),
        {
            "kind": "not_delegated",
            "reason": "status 404",
            "temporary": False,
            "own_trouble": False,
            "url": "https://example.org/",
        },
        id="not delegated",
    ),
    pytest.param(
        NotDelegated("no addresses", temporary=True, own_trouble=True),
        {
            "kind": "not_delegated",
            "reason": "no addresses",
            "temporary": True,
            "own_trouble": True,
            "url": None,
        },
        id="not delegated, without a response",
    ),
    pytest.param(
        SrvRecords((SrvRecord(1, 2, 3, "a.example"), SrvRecord(4, 5, 6, "b.example"))),
        {"kind": "srv_records", "records": [[1, 2, 3, "a.example"], [4, 5, 6, "b.example"]]},
        id="SRV records",
    ),
    pytest.param(
        NoSrvRecords("no records"),
        {"kind": "no_srv_records", "reason": "no records"},
        id="no SRV records",
    ),
    pytest.param(ServiceNotOffered(), {"kind": "service_not_offered"}, id="not offered"),
    pytest.param(
        SrvFailed("SERVFAIL"), {"kind": "srv_failed", "reason": "SERVFAIL"}, id="SRV failed"
    ),
    pytest.param(
        Addresses((IPv6Address("2001:db8::1"), IPv4Address("192.0.2.1")), "alias.example"),
        {
            "kind": "addresses",
            "addresses": ["2001:db8::1", "192.0.2.1"],
            "canonical_name": "alias.example",
        },
        id="addresses of an alias",
    ),
    pytest.param(
        Addresses(()),
        {"kind": "addresses", "addresses": [], "canonical_name": None},
        id="no addresses",
    ),
    pytest.param(
        AddressesFailed("SERVFAIL"),
        {"kind": "addresses_failed", "reason": "SERVFAIL"},
        id="addresses failed",
    ),
]


@pytest.mark.parametrize(("answer", "form"), FORMS)
def test_form_of_an_answer(answer: Answer, form: dict[str, Any]) -> None:
    """Each kind of answer has this form, which JSON carries and which reads back as the answer."""
    assert answer_to_dict(answer) == form
    assert answer_from_dict(json.loads(json.dumps(form))) == answer


def test_every_kind_of_answer_has_a_form() -> None:
    """No kind of answer is left out of the table above."""
    assert {type(param.values[0]) for param in FORMS} == set(get_args(Answer))


REFUSED = [
    # form, what reading it raises
    pytest.param(None, TypeError, id="null"),
    pytest.param(1, TypeError, id="number"),
    pytest.param("delegated", TypeError, id="string"),
    pytest.param(["kind"], TypeError, id="array"),
    pytest.param({}, KeyError, id="no kind"),
    pytest.param({"kind": "delegate"}, ValueError, id="unknown kind"),
    pytest.param({"kind": None}, ValueError, id="kind null"),
    pytest.param({"kind": ["delegated"]}, ValueError, id="kind an array"),
    pytest.param({"kind": "delegated", "url": ""}, KeyError, id="delegated to nothing"),
    pytest.param({"kind": "delegated", "to": "a"}, KeyError, id="delegated from nowhere"),
    pytest.param({"kind": "delegated", "to": "a:0", "url": ""}, ValueError, id="to a bad name"),
    pytest.param({"kind": "delegated", "to": 1, "url": ""}, ValueError, id="to a number"),
    pytest.param({"kind": "delegated", "to": "a", "url": None}, TypeError, id="from null"),
    pytest.param({"kind": "srv_records", "records": []}, ValueError, id="empty SRV records"),
    pytest.param({"kind": "srv_records", "records": None}, TypeError, id="SRV records null"),
    pytest.param({"kind": "srv_records", "records": [1]}, TypeError, id="SRV record a number"),
    pytest.param({"kind": "srv_records", "records": [[1, 2, 3]]}, TypeError, id="SRV cut short"),
    pytest.param(
        {"kind": "srv_records", "records": [[1, 2, 3, "a", 4]]}, TypeError, id="SRV too long"
    ),
    pytest.param({"kind": "srv_records", "records": [[1, 2, 0, "a"]]}, ValueError, id="SRV port 0"),
    pytest.param({"kind": "srv_records", "records": [[1, 2, 3, "."]]}, ValueError, id="SRV to ."),
    pytest.param(
        {"kind": "srv_records", "records": [[1, 2, 3, None]]}, TypeError, id="SRV to null"
    ),
    pytest.param(
        {"kind": "srv_records", "records": [[1, 2, 3.5, "a"]]}, ValueError, id="SRV port 3.5"
    ),
    pytest.param({"kind": "no_srv_records", "reason": 1}, TypeError, id="reason a number"),
    pytest.param({"kind": "srv_failed"}, KeyError, id="no reason"),
    pytest.param({"kind": "addresses_failed", "reason": None}, TypeError, id="reason null"),
    pytest.param(
        {"kind": "addresses", "addresses": ["a"], "canonical_name": None},
        ValueError,
        id="address that is a name",
    ),
    pytest.param(
        {"kind": "addresses", "addresses": [2130706433], "canonical_name": None},
        TypeError,
        id="address that is a number",
    ),
    pytest.param(
        {"kind": "addresses", "addresses": None, "canonical_name": None},
        TypeError,
        id="addresses null",
    ),
    pytest.param(
        {"kind": "addresses", "addresses": [], "canonical_name": 1}, TypeError, id="alias a number"
    ),
]
NOT_DELEGATED = FORMS[1].values[1]
REFUSED += [
    pytest.param({**NOT_DELEGATED, "reason": None}, TypeError, id="no reason given"),
    pytest.param({**NOT_DELEGATED, "temporary": 1}, TypeError, id="temporary a number"),
    pytest.param({**NOT_DELEGATED, "own_trouble": None}, TypeError, id="own_trouble null"),
    pytest.param({**NOT_DELEGATED, "url": 1}, TypeError, id="url a number"),
]


@pytest.mark.parametrize(("form", "error"), REFUSED)
def test_what_is_no_form_of_an_answer_is_refused(form: Any, error: type[Exception]) -> None:
    """Reading trusts nothing: another shape, type or range is one of three errors."""
    with pytest.raises(error):
        answer_from_dict(form)


TEXTS = [
    pytest.param(param.values[1], key, id=f"{key} of {param.id}")
    for param in FORMS
    for key, value in param.values[1].items()
    if isinstance(value, str)
]


@pytest.mark.parametrize("value", [1, 1.5, True, ["a"], {"a": "b"}, []])
@pytest.mark.parametrize(("form", "key"), TEXTS)
def test_text_that_is_none_is_refused(form: dict[str, Any], key: str, value: Any) -> None:
    """Wherever a form has text nothing else will do, in the reason of a failure neither."""
    with pytest.raises((ValueError, TypeError)):
        answer_from_dict({**form, key: value})


SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4)
VALUES = SCALARS | st.lists(SCALARS | st.lists(SCALARS, max_size=5), max_size=3)
SPOILT = st.builds(
    lambda param, key, value: {**param.values[1], key: value},
    st.sampled_from(FORMS),
    st.sampled_from(sorted({key for param in FORMS for key in param.values[1]})),
    VALUES,
)


@given(VALUES | SPOILT)
def test_reading_raises_nothing_else(form: Any) -> None:
    """Whatever a cache holds, it is an answer or one of the three documented errors."""
    try:
        answer = answer_from_dict(form)
    except (ValueError, TypeError, KeyError):
        return
    assert answer_from_dict(answer_to_dict(answer)) == answer
