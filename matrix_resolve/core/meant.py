"""What people write where a server name belongs, and the name that is meant.

User and room identifiers and links to them, URLs, mail addresses, IPv6 without brackets, names with
characters that are not ASCII, a dot or a space too many.
"""

import re
from collections.abc import Iterator
from typing import Final
from unicodedata import normalize

# Characters: nobody writes more by mistake.
_LONGEST: Final = 1000
_LONGEST_HOSTNAME: Final = 253

# Common identifier format: a sigil, a local part, a colon, a server name.
SIGILS: Final = ("@", "#", "!", "$")

# https://matrix.to/#/@alice:example.org, and matrix:u/alice:example.org.
_LINK = re.compile(
    r"(?:https?://matrix\.to/#/|matrix:(?:u|user|r|room|roomid)/)([^/?]+).*",
    re.DOTALL | re.IGNORECASE,
)
# A URL as far as it is one; anything is, if only a host.
_LIKE_A_URL = re.compile(
    r"(?:(?:[A-Za-z][A-Za-z0-9+.-]*:)?//)*(?:[^/?#]*@)?([^/?#@]*)(?:[/?#].*)?", re.DOTALL
)
_HOST_AND_PORT = re.compile(r"(.*?)\.?(:[0-9]*)?", re.DOTALL)


def meant_by(text: str) -> Iterator[str]:
    """Yield what may be meant by `text`, the likeliest first; a server name is not each of them."""
    if len(text) > _LONGEST:
        return
    text = text.strip()
    link = _LINK.fullmatch(text)
    if link is not None:
        from urllib.parse import unquote  # which takes a while to load

        text = unquote(link[1]).partition(":")[2]
    elif text.startswith(SIGILS):
        text = text.partition(":")[2] or text[1:].partition("@")[2]
    host = _LIKE_A_URL.sub(r"\1", text, count=1).strip()
    name, port = _HOST_AND_PORT.fullmatch(host).groups(default="")  # type: ignore[union-attr]
    yield in_ascii(name) + (port if port != ":" else "")
    yield f"[{host}]"


def what_it_is(text: str) -> str | None:
    """Say what it is that holds the name, where that is plainer than what is wrong with it."""
    text = text.strip()
    if text.startswith(SIGILS):
        return "it is an identifier that holds one"
    if "//" in text or text.lower().startswith("matrix:"):
        return "it is a URL"
    if "[" not in text and text.count(":") > 1:
        return "an IPv6 address belongs in brackets"
    return None


def in_ascii(hostname: str) -> str:
    """Return an internationalised name in its `xn--` form, as it is where that can't be told.

    The standard library knows IDNA 2003 (RFC 3490). Where the present one says something else, of
    "ß" for example, which it took for "ss", the name does not come back the same.
    """
    if hostname.isascii() or len(hostname) > _LONGEST_HOSTNAME:
        return hostname
    try:
        encoded = hostname.encode("idna")
        same = encoded.decode("idna") == normalize("NFC", hostname).lower()
    except UnicodeError:
        return hostname
    return encoded.decode("ascii") if same else hostname
