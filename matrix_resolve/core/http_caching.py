"""What the headers of an HTTP response say of a lifetime, in seconds (RFC 9111).

Read as a private cache reads them. What the policy makes of it is in `lifetimes`.
"""

import re
from collections.abc import Iterator, Sequence
from itertools import islice

from matrix_resolve.core.http_dates import read_http_date

Headers = Sequence[tuple[str, str]]

# Nobody has more to say; what a server writes after these is not looked at.
_MOST_DIRECTIVES = 32

# One element of a Cache-Control list: everything up to a comma that is not inside quotes.
_ELEMENT = re.compile(r'(?:[^,"]|"(?:[^"\\]|\\.)*"?)+')
_DIRECTIVE = re.compile(r"""([!#$%&'*+.^_`|~0-9A-Za-z-]+)(?:=("?)(.*)\2)?""", re.DOTALL)
_SECONDS = re.compile(r"[0-9]+")


def stated_lifetime(headers: Headers, received_at: float) -> float | None:
    """Return the seconds that a response says it may be kept, None if it says nothing.

    `received_at` is Unix seconds. `no-store`, `no-cache` and a `max-age` that can't be read say 0;
    `max-age` wins over `Expires`; `Age` counts; of several headers or directives of one name the
    first holds (RFC 9111, 4.2 and 5.2).
    """
    max_age: float | None = None
    for name, value in islice(_cache_control(headers), _MOST_DIRECTIVES):
        if name in ("no-store", "no-cache"):
            return 0.0
        if name == "max-age" and max_age is None:
            max_age = _seconds(value) or 0.0
    if max_age is None:
        expires = _first(headers, "expires")
        if expires is None:
            return None
        end = read_http_date(expires, received_at)
        if end is None:  # it means "already expired" (RFC 9111, 5.3)
            return 0.0
        made = read_http_date(_first(headers, "date") or "", received_at)
        max_age = end - (received_at if made is None else made)
    age = _seconds((_first(headers, "age") or "").split(",")[0].strip()) or 0.0
    return max(max_age - age, 0.0)


def retry_after(headers: Headers, received_at: float) -> float:
    """Return the seconds that `Retry-After` asks to wait, 0 if it is missing or can't be read."""
    value = _first(headers, "retry-after")
    if not value:
        return 0.0
    seconds = _seconds(value)
    if seconds is not None:
        return seconds
    date = read_http_date(value, received_at)
    return 0.0 if date is None else max(date - received_at, 0.0)


def _first(headers: Headers, wanted: str) -> str | None:
    return next((value.strip(" \t") for name, value in headers if name.lower() == wanted), None)


def _cache_control(headers: Headers) -> Iterator[tuple[str, str]]:
    """Yield (name, value) of each directive, the value unquoted, "" for what can't be read."""
    for header, field in headers:
        if header.lower() != "cache-control":
            continue
        for found in _ELEMENT.finditer(field):
            element = found[0].strip()
            directive = _DIRECTIVE.match(element)
            is_whole = directive is not None and directive.end() == len(element)
            if directive is None:
                yield "", ""
            else:
                yield directive[1].lower(), (directive[3] or "") if is_whole else ""


def _seconds(text: str) -> float | None:
    """Read delta-seconds; what is too large counts as 2^31 (RFC 9111, 1.2.2)."""
    return min(float(text), 2.0**31) if _SECONDS.fullmatch(text) else None
