"""The document that says whom to ask about a server (MSC1929).

https://spec.matrix.org/latest/client-server-api/#getwell-knownmatrixsupport
"""

import re
from collections.abc import Iterable
from typing import Final

from attrs import frozen

from matrix_resolve.core.names import ServerName, is_hostname
from matrix_resolve.errors import InvalidServerNameError
from matrix_resolve.serving.arguments import cache_control, checked_url, json_bytes, refused
from matrix_resolve.serving.documents import CLIENT_CORS, JSON_TYPE, WellKnownDocument

SUPPORT_PATH: Final = "/.well-known/matrix/support"
SUPPORT_MAX_AGE: Final = 24 * 3600
"""One day: people seldom change, and nobody's traffic depends on them."""

ADMIN_ROLE: Final = "m.role.admin"
SECURITY_ROLE: Final = "m.role.security"
_ROLES: Final = (ADMIN_ROLE, SECURITY_ROLE)
# Appendix "Common Namespaced Identifier Grammar".
_ROLE = re.compile(r"[a-z][a-z0-9_.-]{0,254}")

_NO_CONTACTS: Final = "contacts is a list of SupportContact"

# Appendix "User Identifiers", with those of old that still are in use.
_LOCALPART = re.compile(r"[\x21-\x39\x3b-\x7e]+")
_LONGEST_USER_ID: Final = 255

# RFC 5321 and 5322, without quoted local parts; letters of any script (RFC 6531).
_ATOM = r"""[^\s"(),.:;<>@\[\\\]]+"""
_LOCAL = re.compile(rf"{_ATOM}(?:\.{_ATOM})*")
_LONGEST_LOCAL: Final = 64
_LONGEST_EMAIL: Final = 254


@frozen(kw_only=True)
class SupportContact:
    """Somebody to reach: by `matrix_id`, by `email_address`, or by both.

    `role` says what for: `m.role.admin` for anything, `m.role.security` for what is not for
    everybody's eyes; others are named like Java packages (`org.example.role.billing`). An address
    that works when the server is down is best: a Matrix account on another server, an e-mail
    address of another domain.

    Raises `ValueError` for an address or a role that can't be meant, and when there is no address.
    """

    matrix_id: str | None = None
    email_address: str | None = None
    role: str = ADMIN_ROLE

    def __attrs_post_init__(self) -> None:
        if self.matrix_id is None and self.email_address is None:
            raise ValueError("a contact has a matrix_id or an email_address")
        if self.matrix_id is not None:
            _check_matrix_id(self.matrix_id)
        if self.email_address is not None:
            _check_email_address(self.email_address)
        _check_role(self.role)

    def to_dict(self) -> dict[str, str]:
        """Return the contact as it stands in the document."""
        fields = {
            "matrix_id": self.matrix_id,
            "email_address": self.email_address,
            "role": self.role,
        }
        return {name: value for name, value in fields.items() if value is not None}


def support_well_known_document(
    contacts: Iterable[SupportContact] = (),
    support_page: str | None = None,
    *,
    max_age: int = SUPPORT_MAX_AGE,
) -> WellKnownDocument:
    """Return what to serve at `https://<server_name>/.well-known/matrix/support`.

        support_well_known_document([SupportContact(email_address="admin@example.org")])

    `contacts` are the people, in the order to try; `support_page` is the http or https URL of a
    page that helps the server's users. There is at least one of the two. `max_age` is in seconds.

    The document is for everybody, so for web pages too: answer `OPTIONS` as for the client
    document.

    Raises `ValueError` for a `contacts` that holds anything else, for a URL without scheme or host
    or with userinfo, for neither of them, and for a `max_age` as `well_known_document` does.
    """
    if not isinstance(contacts, Iterable):
        raise ValueError(_NO_CONTACTS)
    listed = tuple(contacts)
    if not all(isinstance(contact, SupportContact) for contact in listed):
        raise ValueError(_NO_CONTACTS)
    if not listed and support_page is None:
        raise ValueError("a support document has contacts or a support_page")
    content: dict[str, object] = {}
    if listed:
        content["contacts"] = [contact.to_dict() for contact in listed]
    if support_page is not None:
        checked_url(support_page, "support_page")
        content["support_page"] = support_page
    return WellKnownDocument(
        path=SUPPORT_PATH,
        body=json_bytes(content),
        headers=(JSON_TYPE, cache_control(max_age), *CLIENT_CORS),
    )


def _check_matrix_id(matrix_id: str) -> None:
    if not isinstance(matrix_id, str):
        raise refused(matrix_id, "matrix_id", "is no string")
    sigil, (localpart, colon, server_name) = matrix_id[:1], matrix_id[1:].partition(":")
    if sigil != "@" or not colon or not _LOCALPART.fullmatch(localpart):
        raise refused(matrix_id, "matrix_id", "is no user ID like @admin:example.org")
    if len(matrix_id) > _LONGEST_USER_ID:
        raise refused(matrix_id, "matrix_id", f"has more than {_LONGEST_USER_ID} characters")
    try:
        ServerName.parse(server_name)
    except InvalidServerNameError as error:
        reason = f"has no valid server name: {error.reason}"
        raise refused(matrix_id, "matrix_id", reason) from None


def _check_email_address(address: str) -> None:
    if not isinstance(address, str):
        raise refused(address, "email_address", "is no string")
    local, at, domain = address.rpartition("@")
    if not at or not _LOCAL.fullmatch(local) or not local.isprintable():
        raise refused(address, "email_address", "is no address like admin@example.org")
    if not is_hostname(domain):
        raise refused(address, "email_address", "has no valid domain (an IDN is written xn--...)")
    if len(local.encode()) > _LONGEST_LOCAL or len(address.encode()) > _LONGEST_EMAIL:
        raise refused(address, "email_address", "is longer than an address can be")


def _check_role(role: str) -> None:
    if not isinstance(role, str):
        raise refused(role, "role", "is no string")
    if role in _ROLES:
        return
    if f"m.role.{role}" in _ROLES:
        raise refused(role, "role", f"is written 'm.role.{role}'")
    if role.startswith("m."):
        raise refused(role, "role", f"is none of the specification's: {', '.join(_ROLES)}")
    if not _ROLE.fullmatch(role) or "." not in role:
        raise refused(role, "role", "is not named like a Java package (org.example.role.billing)")
