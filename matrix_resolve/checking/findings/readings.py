"""What each response for the document says, as peers read it."""

import json
from enum import Enum, auto
from typing import Final

from attrs import frozen

from matrix_resolve.checking.facts import Fetched
from matrix_resolve.core.names import ServerName, is_hostname
from matrix_resolve.core.questions import Delegated, NotDelegated
from matrix_resolve.core.replies import HttpResponse
from matrix_resolve.core.urls import resolved
from matrix_resolve.core.well_known import REDIRECTS, next_hop, read_well_known
from matrix_resolve.errors import InvalidServerNameError, WellKnownFetchError, readable, shown
from matrix_resolve.policy import Policy
from matrix_resolve.serving import well_known_document

POLICY: Final = Policy()

_KINDS: Final = {
    str: "a text",
    int: "a number",
    float: "a number",
    bool: "true or false",
    list: "a list",
    dict: "an object",
    type(None): "null",
}


class Kind(Enum):
    """What came of asking for a document."""

    USABLE = auto()
    ABSENT = auto()
    """404 or 410: there is none, and none is meant."""
    INVALID = auto()
    """It was meant as a document, and peers can't read it."""
    NO_DOCUMENT = auto()
    """Something else came, that may have nothing to do with Matrix."""
    OWN = auto()
    """Trouble of our own: nothing is known."""


@frozen(kw_only=True)
class Reading:
    """What one response says: `code` and `fact` are those of the finding, if it is one."""

    place: str
    kind: Kind
    code: str = ""
    fact: str = ""
    response: HttpResponse | None = None
    hops: tuple[HttpResponse, ...] = ()
    to: ServerName | None = None
    meant: str | None = None
    """What stands in `m.server`, or a better spelling of that, where it was to be a server name."""

    @property
    def told(self) -> str:
        """What it says in a few words."""
        if self.to is not None:
            return f"delegates to {self.to}"
        return self.fact.rstrip(".") if self.fact else "no document"


def read_document(fetched: Fetched) -> Reading:
    """Return what a response for the document says."""
    place = fetched.url if fetched.address is None else f"{fetched.url} at {fetched.address}"
    failure, response = fetched.failure, fetched.response
    if failure is not None:
        if failure.is_own:
            return Reading(place=place, kind=Kind.OWN, fact=readable(failure.reason))
        if failure.is_refused:
            code, fact = _refused(fetched, failure.reason)
        else:
            code = "document-unreachable"
            fact = f"The document can't be fetched: {readable(failure.reason, 300)}."
        return Reading(place=place, kind=Kind.NO_DOCUMENT, code=code, fact=fact, hops=fetched.hops)
    if response is None:
        return Reading(place=place, kind=Kind.OWN, fact="there was no time to fetch it")
    answer = read_well_known(response, max_body=POLICY.max_body)
    kind, code, fact, meant = Kind.USABLE, "", "", None
    if isinstance(answer, NotDelegated):
        kind, code, fact, meant = _unusable(response, answer.reason)
    return Reading(
        place=place,
        kind=kind,
        code=code,
        fact=fact,
        response=response,
        hops=fetched.hops,
        to=answer.to if isinstance(answer, Delegated) else None,
        meant=meant,
    )


def of_answer(url: str, answer: NotDelegated) -> Reading:
    """Return the reading of a fetch of which only the resolver's answer is known."""
    kind = Kind.OWN if answer.own_trouble else Kind.NO_DOCUMENT
    fact = f"The document can't be read: {answer.reason}."
    if answer.reason in ("status 404", "status 410"):
        return Reading(place=url, kind=Kind.ABSENT)
    return Reading(place=url, kind=kind, code="document-unreachable", fact=fact)


def is_page(response: HttpResponse) -> bool:
    """Return whether a response is a web page for people."""
    return response.body[:200].lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<")


def _unusable(response: HttpResponse, reason: str) -> tuple[Kind, str, str, str | None]:
    """Return kind, code, fact and what was meant, of a response that peers can't use."""
    if response.status in (404, 410):
        return Kind.ABSENT, "", "", None
    if response.status != 200:
        fact = f"The document is answered with status {response.status}, where peers want 200."
        return Kind.NO_DOCUMENT, "document-status", fact, None
    if len(response.body) > POLICY.max_body:
        fact = f"The document is longer than {POLICY.max_body // 1024} KiB."
        return Kind.NO_DOCUMENT, "document-too-large", fact, None
    if reason in ("the body is not JSON", "the body is not UTF-8"):
        if is_page(response):
            fact = "A web page (HTML) stands where the document should, so peers find none."
            return Kind.NO_DOCUMENT, "document-page", fact, None
        begin = shown(response.body[:40].decode("latin-1"))
        fact = f"The document can't be read: {reason}; it begins with {begin}."
        return Kind.INVALID, "document-not-json", fact, None
    content = _content(response.body)
    if not isinstance(content, dict):
        fact = f"The document is no JSON object, but {_KINDS.get(type(content), 'something else')}."
        return Kind.INVALID, "document-not-an-object", fact, None
    if "m.server" not in content:
        keys = ", ".join(shown(key, 40) for key in list(content)[:5]) or "nothing"
        fact = f'The document has no "m.server"; it has {keys}.'
        return Kind.INVALID, "document-no-m-server", fact, None
    return _bad_name(content["m.server"])


def _content(body: bytes) -> object:
    try:
        return json.loads(body.decode().removeprefix("\ufeff"))
    except (ValueError, RecursionError):  # it has been read once, but with more of the stack left
        return None


def _bad_name(value: object) -> tuple[Kind, str, str, str | None]:
    try:
        ServerName.parse(value)  # type: ignore[arg-type]
    except InvalidServerNameError as error:
        if isinstance(value, str) and ("/" in value):
            fact = f'"m.server" is {shown(value)}: a URL or path, where a host and port belong.'
            return Kind.INVALID, "document-url", fact, _meant(value)
        seen = shown(value) if isinstance(value, str) else _KINDS.get(type(value), "no text")
        fact = f'"m.server" is {seen}, which is no server name: {error.reason}.'
        meant = _meant(value) if isinstance(value, str) else None
        return Kind.INVALID, "document-m-server", fact, meant
    raise AssertionError("it is a server name")  # or it would not be read here


def _meant(value: str) -> str | None:
    """Return the host and port that were meant, None if that can't be guessed."""
    try:
        well_known_document("example.org", value)
    except InvalidServerNameError as error:
        return error.suggestion
    return value


def _refused(fetched: Fetched, reason: str) -> tuple[str, str]:
    """Return code and fact of a fetch that peers would not go on with either."""
    last = fetched.response or (fetched.hops[-1] if fetched.hops else None)
    if last is None or last.status not in REDIRECTS:
        return "document-unreachable", f"The document can't be fetched: {readable(reason, 300)}."
    location = next((v for name, v in last.headers if name.lower() == "location"), None)
    try:
        to = next_hop(last.url, last.status, location)
    except WellKnownFetchError as error:
        to = resolved(last.url, location) if location else ""
        code = "document-redirect-refused"
        if to.lower().startswith("http://"):
            code = "document-redirect-http"
        return code, f"The document's place answers with {error.reason}."
    urls = [hop.url for hop in fetched.hops]
    if to in urls:
        return (
            "document-redirect-loop",
            f"The document's place redirects in a loop: {shown(to)} leads back to itself.",
        )
    if len(urls) > POLICY.max_redirects:
        fact = f"The document's place redirects more than {POLICY.max_redirects} times."
        return "document-redirects-many", fact
    fact = f"The document's place redirects to {shown(to)}: {readable(reason, 200)}."
    return "document-redirect-refused", fact


def is_localhost(name: ServerName) -> bool:
    """Return whether a name is one that every machine has for itself."""
    host = name.hostname.lower()
    return is_hostname(host) and (host == "localhost" or host.endswith(".localhost"))
