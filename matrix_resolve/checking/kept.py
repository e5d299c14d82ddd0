"""What of a response is kept: little, since a server may have hundreds of addresses."""

from typing import Final

from attrs import evolve

from matrix_resolve.core.replies import HttpResponse

MOST_HEADER_LINES: Final = 1000
"""So many header lines are taken in: each costs some hundred bytes, however short it is."""

# Headers that something is to be said of, and bytes of each: no URL is longer.
_JUDGED: Final = frozenset({"content-type", "location", "access-control-allow-origin"})
_MOST_IN_A_HEADER: Final = 8 * 1024


def outlined(response: HttpResponse, most: int = 0) -> HttpResponse:
    """Return a response with `most` bytes of its body, and the headers that are judged, once."""
    first: dict[str, tuple[str, str]] = {}
    for name, value in response.headers:
        if name.lower() in _JUDGED:
            first.setdefault(name.lower(), (name, value[:_MOST_IN_A_HEADER]))
    return evolve(response, headers=tuple(first.values()), body=response.body[:most])
