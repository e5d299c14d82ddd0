"""What the writers of all web servers share: documents as text that is safe in any configuration.

No two web servers quote alike, and most replace variables inside quotes (`$host`, `%[src]`,
`{path}`). So nothing that any of them could read as more than text is left in a document: JSON
lets each character of a string be written as an escape, and then only the backslashes are to
be thought of.
"""

import json
import re
from collections.abc import Iterable
from typing import Final

from matrix_resolve.errors import shown
from matrix_resolve.serving.documents import WellKnownDocument
from matrix_resolve.serving.setup import Setup, VirtualHost

INDENT: Final = "    "
AUTHORITIES: Final = "/etc/ssl/certs/ca-certificates.crt"
"""Where Debian and its kin keep the certificate authorities that the machine trusts."""
# nginx takes no word of over 4 kB.
LONGEST_TEXT: Final = 3500

_JSON_STRING = re.compile(r'"(?:[^"\\]|\\.)*"')
_NOT_PLAIN = re.compile(r"[^A-Za-z0-9 @:/?=&+,._~\[\]-]")
_NAME = re.compile(r"[A-Za-z-]+")
_VALUE = re.compile(r"[A-Za-z0-9 ,:;=*/._-]+")
_PATH = re.compile(r"/[A-Za-z0-9/._-]+")


def body_text(document: WellKnownDocument) -> str:
    """Return the document as JSON whose strings hold letters, digits, escapes and
    ` @:/?=&+,._~[]-`.

    It says the same as `document.body`, and is the same if that is as plain. `ValueError` for one
    that is too long to stand in a configuration, or that is no JSON.
    """
    text = json.dumps(json.loads(document.body))
    text = _JSON_STRING.sub(lambda found: f'"{_escaped(json.loads(found[0]))}"', text)
    if len(text) > LONGEST_TEXT:
        raise ValueError(f"{document.path} is too long for a configuration: serve it as a file")
    return text


def _escaped(text: str) -> str:
    return _NOT_PLAIN.sub(lambda found: "".join(map(_escape, _utf16(found[0]))), text)


def _escape(unit: int) -> str:
    return f"\\u{unit:04x}"


def _utf16(character: str) -> Iterable[int]:
    data = character.encode("utf-16-be", "surrogatepass")
    return (int.from_bytes(data[place : place + 2]) for place in range(0, len(data), 2))


def content_type(document: WellKnownDocument) -> str:
    """Return the type of the document."""
    return next(value for name, value in document.headers if name == "Content-Type")


def other_headers(document: WellKnownDocument) -> list[tuple[str, str]]:
    """Return all headers but the type."""
    return [header for header in document.headers if header[0] != "Content-Type"]


def checked(document: WellKnownDocument) -> WellKnownDocument:
    """Return a document of which path and headers can stand in any configuration."""
    if not _PATH.fullmatch(document.path):
        raise ValueError(f"the path {shown(document.path)} can't stand in a configuration")
    for name, value in document.headers:
        if not _NAME.fullmatch(name) or not _VALUE.fullmatch(value):
            raise ValueError(f"the header {shown(name)} can't stand in a configuration")
    if "Content-Type" not in dict(document.headers):
        raise ValueError(f"{document.path} has no Content-Type")
    return document


def by_precedence(setup: Setup) -> list[VirtualHost]:
    """Return the hosts, an IP address first: who connects to one sends no name in TLS.

    Without a name web servers present the certificate of the first host that they know.
    """
    return sorted(setup.hosts, key=lambda host: not host.is_ip_literal)


def indented(lines: Iterable[str], by: str = INDENT) -> list[str]:
    """Return the lines, further to the right."""
    return [f"{by}{line}" if line else line for line in lines]


def text_of(lines: Iterable[str]) -> str:
    """Return the lines as a text that ends with one newline."""
    return "\n".join(lines).strip("\n") + "\n"
