"""What an administrator gives, checked: names, URLs, lifetimes, JSON."""

import json
import re
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import SplitResult, urlsplit

from matrix_resolve.core.names import ServerName
from matrix_resolve.errors import InvalidServerNameError, shown

HTTPS_PORT: Final = 443

_NOT_IN_A_URL = re.compile(r"""[^\x21-\x7e]|["<>\\^`{|}]""")


def parsed_name(name: str | ServerName, argument: str) -> ServerName:
    """Parse a name from somebody's settings; an error says what was meant, where one can tell."""
    try:
        return ServerName.parse(str(name) if isinstance(name, ServerName) else name)
    except InvalidServerNameError as error:
        meant = error.suggestion
        # A server name is an identity: only of where to connect does "https" tell the port.
        if meant is not None and argument == "delegate_to" and _is_https(name):
            bare = ServerName.parse(meant).port is None
            meant = f"{meant}:{HTTPS_PORT}" if bare else meant
        raise InvalidServerNameError(name, f"{argument}: {error.reason}", meant) from None


def _is_https(name: object) -> bool:
    return isinstance(name, str) and name.lstrip().lower().startswith("https://")


def checked_url(url: str, argument: str) -> SplitResult:
    """Return the parts of an http or https URL with a valid host, and without userinfo."""
    if not isinstance(url, str):
        raise refused(url, argument, "is no string")
    if _NOT_IN_A_URL.search(url):
        raise refused(url, argument, "holds characters that no URL has (write an IDN as xn--...)")
    if not url.lower().startswith(("https://", "http://")):
        raise refused(url, argument, "does not begin with https:// (or http://)")
    try:
        parts = urlsplit(url)
        ServerName.parse(parts.netloc)  # a host and a port, and no userinfo
    except ValueError as error:
        fault = error.reason if isinstance(error, InvalidServerNameError) else error
        raise refused(url, argument, f"has no valid host and port: {fault}") from None
    return parts


def refused(value: object, argument: str, reason: str) -> ValueError:
    """Return the error that says what is wrong with an argument."""
    return ValueError(f"{argument} {shown(value)} {reason}")


def cache_control(max_age: int) -> tuple[str, str]:
    """Return the header that lets a response be kept for `max_age` seconds."""
    if not isinstance(max_age, int) or isinstance(max_age, bool) or max_age < 0:
        raise ValueError(f"max_age is a whole number of seconds, at least 0, not {max_age!r}")
    return "Cache-Control", f"max-age={max_age}"


def json_bytes(content: Mapping[str, Any]) -> bytes:
    """Return `content` as JSON in UTF-8."""
    try:
        # A lone surrogate is no UTF-8: a ValueError too.
        return json.dumps(content, ensure_ascii=False, allow_nan=False).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"the extra content is not JSON: {error}") from error
