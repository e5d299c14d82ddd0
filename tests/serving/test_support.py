"""The support document: whom it names, and what is refused."""

import json
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from matrix_resolve import (
    SupportContact,
    WellKnownDocument,
    support_well_known_document,
    well_known_document,
    well_known_routes,
)
from matrix_resolve.core.http_caching import stated_lifetime

SUPPORT = "/.well-known/matrix/support"
PAGE = "https://example.org/support.html"
ADMIN = SupportContact(matrix_id="@admin:example.org", email_address="admin@example.org")
SECURITY = SupportContact(email_address="security@example.org", role="m.role.security")
CORS = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Methods": "GET, POST, PUT, DELETE, OPTIONS",
    "Access-Control-Allow-Headers": "X-Requested-With, Content-Type, Authorization",
}


def test_the_example_of_the_specification() -> None:
    """The document of the specification's example comes out, in its order, for a day."""
    document = support_well_known_document([ADMIN, SECURITY], PAGE)
    assert document.path == SUPPORT
    assert json.loads(document.body) == {
        "contacts": [
            {
                "matrix_id": "@admin:example.org",
                "email_address": "admin@example.org",
                "role": "m.role.admin",
            },
            {"email_address": "security@example.org", "role": "m.role.security"},
        ],
        "support_page": PAGE,
    }
    assert document.headers == (
        ("Content-Type", "application/json"),
        ("Cache-Control", "max-age=86400"),
        *CORS.items(),
    )


@pytest.mark.parametrize(
    ("arguments", "content"),
    [
        pytest.param(([ADMIN],), {"contacts": [ADMIN.to_dict()]}, id="contacts alone"),
        pytest.param(((ADMIN,), None), {"contacts": [ADMIN.to_dict()]}, id="a tuple"),
        pytest.param((iter([ADMIN]),), {"contacts": [ADMIN.to_dict()]}, id="an iterator"),
        pytest.param(((), PAGE), {"support_page": PAGE}, id="a page alone"),
        pytest.param(
            ((), f"{PAGE}?a=b#c"), {"support_page": f"{PAGE}?a=b#c"}, id="with query, fragment"
        ),
    ],
)
def test_one_of_the_two_is_enough(arguments: Any, content: dict[str, Any]) -> None:
    """What is not given is not in the document."""
    assert json.loads(support_well_known_document(*arguments).body) == content


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        pytest.param((), "contacts or a support_page", id="neither"),
        pytest.param(([], None), "contacts or a support_page", id="no contact"),
        pytest.param((["@a:example.org"],), "list of SupportContact", id="a string in the list"),
        pytest.param((ADMIN,), "list of SupportContact", id="a contact, no list"),
        pytest.param(("admin@example.org",), "list of SupportContact", id="a string"),
        pytest.param((5,), "list of SupportContact", id="a number"),
        pytest.param((None, PAGE), "list of SupportContact", id="None"),
        pytest.param(((), "example.org/support"), "support_page .* begin with", id="no scheme"),
        pytest.param(((), "mailto:a@example.org"), "support_page .* begin with", id="mailto"),
        pytest.param(((), ""), "support_page .* begin with", id="empty"),
        pytest.param(((), "https://"), "no valid host", id="no host"),
        pytest.param(((), "https://u:p@example.org"), "no valid host", id="userinfo"),
        pytest.param(((), "https://example.org/a b"), "no URL has", id="a space"),
        pytest.param(((), b"https://example.org"), "is no string", id="bytes"),
    ],
)
def test_what_is_no_support_is_refused(arguments: Any, reason: str) -> None:
    """Nothing to say, or a page that nobody can open, is refused at once."""
    with pytest.raises(ValueError, match=reason):
        support_well_known_document(*arguments)


@pytest.mark.parametrize("max_age", [-1, 1.5, True, None, "3600"])
def test_max_age_is_a_whole_number(max_age: Any) -> None:
    """As for the other documents."""
    with pytest.raises(ValueError, match="max_age is a whole number of seconds"):
        support_well_known_document([ADMIN], max_age=max_age)


def test_max_age() -> None:
    """The lifetime is what was asked for."""
    document = support_well_known_document([ADMIN], max_age=60)
    assert stated_lifetime(document.headers, received_at=0.0) == 60


GOOD = [
    {"matrix_id": "@admin:example.org"},
    {"matrix_id": "@Old/ID!#:example.org:8448"},
    {"matrix_id": "@a:[2001:db8::1]:8448"},
    {"matrix_id": f"@{'a' * 242}:example.org"},
    {"email_address": "admin@example.org"},
    {"email_address": "first.last+matrix@a.example.org"},
    {"email_address": "root@localhost"},
    {"email_address": "żółw@xn--w-uga1v8h.example"},
    {"email_address": f"{'a' * 64}@example.org"},
    {"email_address": "a@example.org", "role": "org.example.role.billing"},
    {"email_address": "a@example.org", "role": "m.role.security"},
]


@pytest.mark.parametrize("fields", GOOD, ids=[str(fields)[:60] for fields in GOOD])
def test_contacts(fields: dict[str, str]) -> None:
    """Every address that the specification and mail know is published as it was given."""
    contact = SupportContact(**fields)
    assert contact.to_dict() == {"role": "m.role.admin", **fields}
    (published,) = json.loads(support_well_known_document([contact]).body)["contacts"]
    assert published == contact.to_dict()


BAD = [
    ({}, "a matrix_id or an email_address"),
    ({"role": "m.role.security"}, "a matrix_id or an email_address"),
    ({"matrix_id": ""}, "user ID like"),
    ({"matrix_id": "admin:example.org"}, "user ID like"),
    ({"matrix_id": "@admin"}, "user ID like"),
    ({"matrix_id": "@:example.org"}, "user ID like"),
    ({"matrix_id": "#room:example.org"}, "user ID like"),
    ({"matrix_id": "https://matrix.to/#/@a:example.org"}, "user ID like"),
    ({"matrix_id": " @admin:example.org"}, "user ID like"),
    ({"matrix_id": "@żółw:example.org"}, "user ID like"),
    ({"matrix_id": "@admin:"}, "no valid server name: it is empty"),
    ({"matrix_id": "@admin:a_b.example"}, "no valid server name"),
    ({"matrix_id": "@admin:example.org\n"}, "no valid server name"),
    ({"matrix_id": f"@{'a' * 243}:example.org"}, "more than 255"),
    ({"matrix_id": 5}, "is no string"),
    ({"email_address": ""}, "address like"),
    ({"email_address": "example.org"}, "address like"),
    ({"email_address": "@example.org"}, "address like"),
    ({"email_address": "mailto:admin@example.org"}, "address like"),
    ({"email_address": "Admin <admin@example.org>"}, "address like"),
    ({"email_address": "a@b@example.org"}, "address like"),
    ({"email_address": ".a@example.org"}, "address like"),
    ({"email_address": "a..b@example.org"}, "address like"),
    ({"email_address": "a b@example.org"}, "address like"),
    ({"email_address": "a\u202eb@example.org"}, "address like"),
    ({"email_address": "a\x00@example.org"}, "address like"),
    ({"email_address": "admin@"}, "no valid domain"),
    ({"email_address": "admin@example.org\n"}, "no valid domain"),
    ({"email_address": "admin@żółw.example"}, "xn--"),
    ({"email_address": "admin@example.org:25"}, "no valid domain"),
    ({"email_address": f"{'a' * 65}@example.org"}, "longer than"),
    ({"email_address": f"{'ż' * 33}@example.org"}, "longer than"),
    ({"email_address": f"a@{'a.' * 126}example"}, "domain|longer than"),
    ({"email_address": b"a@example.org"}, "is no string"),
    ({"email_address": "a@example.org", "role": "admin"}, "is written 'm.role.admin'"),
    ({"email_address": "a@example.org", "role": "security"}, "is written 'm.role.security'"),
    ({"email_address": "a@example.org", "role": "m.role.amdin"}, "none of the specification's"),
    ({"email_address": "a@example.org", "role": "billing"}, "Java package"),
    ({"email_address": "a@example.org", "role": "Org.example"}, "Java package"),
    ({"email_address": "a@example.org", "role": "org.exämple"}, "Java package"),
    ({"email_address": "a@example.org", "role": f"a.{'a' * 254}"}, "Java package"),
    ({"email_address": "a@example.org", "role": ""}, "Java package"),
    ({"email_address": "a@example.org", "role": None}, "is no string"),
]


@pytest.mark.parametrize(("fields", "reason"), BAD, ids=[str(fields)[:60] for fields, _ in BAD])
def test_what_is_no_contact_is_refused(fields: Any, reason: str) -> None:
    """A contact that nobody can use is refused when it is made, in printable words."""
    with pytest.raises(ValueError, match=reason) as caught:
        SupportContact(**fields)
    assert str(caught.value).isprintable()


def serving(**settings: Any) -> TestClient[web.Request, web.Application]:
    """A client of an application with the routes."""
    app = web.Application()
    app.add_routes(well_known_routes("example.org", **settings))
    return TestClient(TestServer(app, host="127.0.0.1"))


async def test_routes_serve_it() -> None:
    """`GET` gives it, `OPTIONS` the preflight; without it nothing is there."""
    document = support_well_known_document([ADMIN])
    async with serving(support=document) as client:
        response = await client.get(SUPPORT)
        assert (response.status, await response.read()) == (200, document.body)
        assert {name: response.headers[name] for name, _ in document.headers} == dict(
            document.headers
        )
        response = await client.options(SUPPORT)
        assert response.status == 204
        assert {name: response.headers[name] for name in CORS} == CORS
        assert "Content-Type" not in response.headers
        assert (await client.options("/.well-known/matrix/server")).status == 405
    async with serving() as client:
        assert (await client.get(SUPPORT)).status == 404


@pytest.mark.parametrize(
    "support",
    [
        pytest.param(ADMIN, id="a contact"),
        pytest.param(well_known_document("example.org"), id="another document"),
    ],
)
def test_routes_refuse_what_is_no_support_document(support: Any) -> None:
    """Only the document for support goes to its path."""
    assert not isinstance(support, WellKnownDocument) or support.path != SUPPORT
    with pytest.raises(ValueError, match="support_well_known_document"):
        well_known_routes("example.org", support=support)
