"""The well-known document: what a response says, and where a redirect leads.

https://spec.matrix.org/latest/server-server-api/#getwell-knownmatrixserver
"""

import json
import re
from typing import NoReturn

from matrix_resolve.core.names import ServerName
from matrix_resolve.core.questions import Delegated, NotDelegated
from matrix_resolve.core.replies import HttpResponse
from matrix_resolve.core.urls import HttpsUrl, resolved
from matrix_resolve.errors import InvalidServerNameError, WellKnownFetchError, shown

# No server that is meant to be reached redirects to a longer URL.
_MAX_LOCATION = 8 * 1024

REDIRECTS = frozenset({301, 302, 303, 307, 308})

# A server in trouble rather than one that says no: a proxy or a protection against bots in front of
# it, a time-out, too early, too many requests.
_TEMPORARY = frozenset({401, 403, 408, 425, 429})

# Not in a URI reference as it stands (RFC 3986, 2): controls, spaces, non-ASCII, some marks.
_NOT_IN_A_REFERENCE = re.compile(r"""[^\x21-\x7e]|["<>\\^`{|}]""")


def read_well_known(response: HttpResponse, *, max_body: int) -> Delegated | NotDelegated:
    """Return what the response to a well-known request says.

    Usable is status 200 exactly, at most `max_body` bytes of UTF-8 (a BOM is tolerated) that are a
    JSON object, whatever its Content-Type, with a server name in `m.server`. All else is "nothing
    usable", with the reason; never an error.
    """

    url = response.url

    def unusable(reason: str, *, temporary: bool = False) -> NotDelegated:
        return NotDelegated(reason, temporary=temporary, url=url)

    if response.status != 200:
        temporary = response.status in _TEMPORARY or 500 <= response.status <= 599
        return unusable(f"status {response.status}", temporary=temporary)
    if len(response.body) > max_body:
        return unusable(f"the body is longer than {max_body} bytes", temporary=True)
    try:
        text = response.body.decode().removeprefix("\ufeff")
    except UnicodeDecodeError:
        return unusable("the body is not UTF-8")
    try:
        document = _DECODER.decode(text)
    except (ValueError, RecursionError):  # an integer of 5,000 digits is a plain ValueError
        return unusable("the body is not JSON")
    if not isinstance(document, dict):
        return unusable("the document is not a JSON object")
    if "m.server" not in document:
        return unusable("the document has no m.server")
    try:
        return Delegated(ServerName.parse(document["m.server"]), url)
    except InvalidServerNameError as error:
        return unusable(f"m.server: {error}")


def _refuse_constant(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


_DECODER = json.JSONDecoder(parse_constant=_refuse_constant)


def next_hop(url: str, status: int, location: str | None) -> str | None:
    """Return the URL that a response redirects to, or None if it is the final one.

        next_hop("https://a.example/x", 301, "/y")  # "https://a.example/y"
        next_hop("https://a.example/x", 200, None)  # None

    `url` is what was asked, `location` the `Location` header if there was one. References are
    resolved as RFC 3986, 5.2 says, the fragment is left out; `matrix_resolve.core.urls.HttpsUrl`
    takes the URL apart. Raises `WellKnownFetchError` (not temporary) for a redirect that must not
    be followed: no or a malformed `Location`, another scheme than https, userinfo, a host that is
    no host name or an IP address in disguise. The caller counts hops and notices loops.
    """
    if status not in REDIRECTS:
        return None
    if not location:
        raise _refused("a redirect without Location")
    if len(location) > _MAX_LOCATION:
        raise _refused(f"a redirect to a URL of over {_MAX_LOCATION} characters")
    if _NOT_IN_A_REFERENCE.search(location):
        raise _refused(f"a redirect to {shown(location)}, which is no URL")
    leads_to = resolved(url, location)
    if not leads_to.lower().startswith("https://"):
        raise _refused(f"a redirect to {shown(leads_to)}, which is not https")
    try:
        return str(HttpsUrl.parse(leads_to))
    except ValueError as error:
        raise _refused(f"a redirect to {shown(leads_to)}, whose host is refused") from error


def _refused(reason: str) -> WellKnownFetchError:
    return WellKnownFetchError(reason, temporary=False)
