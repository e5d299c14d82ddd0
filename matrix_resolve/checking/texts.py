"""How values are written in sentences."""

import math
from collections.abc import Collection, Iterable, Sequence
from datetime import UTC, datetime
from ipaddress import IPv6Address

from matrix_resolve.core.names import IPAddress
from matrix_resolve.errors import readable
from matrix_resolve.serving import WellKnownDocument

_MOST_LISTED = 8


def listed(values: Iterable[object]) -> str:
    """Return values one after another, the first few of them if there are many."""
    texts = [readable(value if isinstance(value, str) else str(value), 200) for value in values]
    more = len(texts) - _MOST_LISTED
    return ", ".join(texts[:_MOST_LISTED]) + (f" and {more} more" if more > 0 else "")


def are(values: Collection[object], one: str, many: str) -> str:
    """Return the form of a verb or noun for so many."""
    return one if len(values) == 1 else many


def socket_address(address: IPAddress, port: int) -> str:
    """Return "192.0.2.1:8448" or "[2001:db8::1]:8448"."""
    return f"[{address}]:{port}" if isinstance(address, IPv6Address) else f"{address}:{port}"


def moment(seconds: float) -> str:
    """Return Unix seconds as a person reads them."""
    at = as_datetime(seconds)
    return "a time beyond the calendar" if at is None else f"{at:%Y-%m-%d %H:%M} UTC"


def as_datetime(seconds: float) -> datetime | None:
    """Return Unix seconds as a moment, None if the calendar has no such."""
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):
        return None


def span(seconds: float) -> str:
    """Return a duration as people say it."""
    if not math.isfinite(seconds):
        return "a time without end"
    for unit, length in (("days", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s"


def header(headers: Sequence[tuple[str, str]], wanted: str) -> str | None:
    """Return the first header of a name, None if there is none."""
    return next((value.strip() for name, value in headers if name.lower() == wanted), None)


def media_type(headers: Sequence[tuple[str, str]]) -> str:
    """Return the Content-Type without its parameters, in lower case."""
    return (header(headers, "content-type") or "").partition(";")[0].strip().lower()


def sentence(text: str) -> str:
    """Return a reason of others as the end of a sentence."""
    return readable(text, 300).rstrip(". ") or "no reason given"


def to_serve(server_name: str, document: WellKnownDocument) -> str:
    """Return the words "serve this there"."""
    return f"serve {document.body.decode()} at https://{server_name}{document.path}"
