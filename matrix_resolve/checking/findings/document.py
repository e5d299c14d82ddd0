"""Findings of the document: each address's answer, what it says, and what is around it."""

from collections import Counter
from collections.abc import Iterator
from typing import Final

from matrix_resolve.checking.findings.catalogue import CATALOGUE, Level
from matrix_resolve.checking.findings.finding import Finding, found
from matrix_resolve.checking.findings.readings import POLICY, Kind, Reading
from matrix_resolve.checking.findings.situation import Blame, Situation
from matrix_resolve.checking.findings.wanted import serve_it
from matrix_resolve.checking.texts import header, listed, media_type, span
from matrix_resolve.core.http_caching import stated_lifetime
from matrix_resolve.core.replies import HttpResponse
from matrix_resolve.errors import shown

# Bytes. What web servers and clients take by default (nginx, aiohttp, Twisted): 8 KiB in a line.
_MOST_IN_A_LINE: Final = 8190
_MOST_IN_ALL: Final = 16 * 1024
# What peers follow without complaint; some stop at five.
_MOST_HOPS: Final = 5
_ONCE: Final = frozenset(
    {"content-type", "content-length", "content-encoding", "date", "age", "expires", "location"}
    | {"server", "etag", "last-modified", "retry-after"}
)

_STATUS: Final = {
    401: "A login is asked for",
    403: "A proxy or bot protection stands in front",
    429: "A limit of requests is in the way",
}


def document_findings(situation: Situation) -> Iterator[Finding]:
    """Yield what is to be said of the document as it is served."""
    if situation.blame is Blame.NOT_OFFERED or not situation.asks_document:
        return
    if not _can_be_asked(situation):
        return
    for reading in situation.readings:
        if reading.kind in (Kind.INVALID, Kind.NO_DOCUMENT):
            yield _of_no_use(situation, reading)
    yield from _differences(situation)
    for reading in situation.readings:
        if reading.response is not None and reading.kind in (Kind.USABLE, Kind.INVALID):
            yield from _content_type(reading, reading.response)
        if reading.response is not None and reading.kind is Kind.USABLE:
            yield from _redirects(reading)
            yield from _lifetime(reading, reading.response, situation.facts.at)
            yield from _headers(reading, reading.response)


def _can_be_asked(situation: Situation) -> bool:
    """Return whether the host has addresses: else that is the fault, and told elsewhere."""
    host = situation.facts.host(situation.name.hostname)
    return host is None or any(address not in host.forbidden for address in host.addresses)


def _of_no_use(situation: Situation, reading: Reading) -> Finding:
    """Tell of something that peers can't use; how grave that is depends on what else works."""
    usable = any(each.kind is Kind.USABLE for each in situation.readings)
    levels = CATALOGUE[reading.code].levels
    if reading.kind is Kind.INVALID or situation.blame is Blame.DOCUMENT:
        level = Level.WARNING if usable else Level.ERROR
    else:
        is_needed = usable or Level.NOTE not in levels
        level = Level.WARNING if is_needed else Level.NOTE
    fact, advice = reading.fact, _advice(situation, reading)
    if level is Level.ERROR and reading.kind is Kind.NO_DOCUMENT:
        fact += f" And nothing answers at port 8448 of {situation.name} either."
    if level is Level.NOTE:
        advice = "Peers go on without one, so nothing needs to be done."
    return found(reading.code, fact, advice, reading.place, level=level)


def _advice(situation: Situation, reading: Reading) -> str:
    serve = serve_it(situation)
    if reading.code == "document-status" and reading.response is not None:
        status = reading.response.status
        why = _STATUS.get(status, "The web server is in trouble" if status >= 500 else "")
        way = "let everybody read /.well-known/matrix/"
        return f"{why}: {way}. Peers want status 200; {serve}." if why else f"{_upper(serve)}."
    if reading.code == "document-unreachable":
        return (
            f"Mend the web server at https://{situation.name.hostname} (port 443, with a "
            f"certificate for {situation.name.hostname}), and {serve}."
        )
    if reading.code.startswith("document-redirect"):
        return f"Best without a redirect, and never by way of http: {serve}."
    if reading.code == "document-too-large":
        return f"A document has some 50 bytes: {serve}."
    return f"In its place, {serve}, with Content-Type: application/json."


def _upper(text: str) -> str:
    return text[:1].upper() + text[1:]


def _differences(situation: Situation) -> Iterator[Finding]:
    readings = situation.readings
    usable = [each for each in readings if each.kind is Kind.USABLE]
    absent = [each for each in readings if each.kind is Kind.ABSENT]
    said = dict.fromkeys(each.to for each in usable)
    level = Level.ERROR if situation.blame is Blame.DOCUMENT else Level.WARNING
    advice = "Let every address of the host give the same document: peers ask any one of them."
    if len(said) > 1 or (usable and absent):
        told = [f"one delegates to {each}" for each in said]
        told += ["one has none (404)"] if absent else []
        fact = f"The addresses of {situation.name} give different documents: {listed(told)}."
        yield found("document-differs", fact, advice, *_places(usable, absent), level=level)
    elif usable and len(usable) == len(readings) and level is Level.ERROR:
        fact = "The document can be read now, but could not when the name was resolved."
        yield found("document-differs", fact, advice, *_places(usable), level=level)


def _places(*readings: list[Reading]) -> list[str]:
    return [reading.place for each in readings for reading in each]


def _content_type(reading: Reading, response: HttpResponse) -> Iterator[Finding]:
    seen = media_type(response.headers)
    if seen != "application/json":
        told = f"the Content-Type {shown(seen)}" if seen else "no Content-Type"
        fact = f"The document comes with {told}; peers read it all the same."
        advice = "Serve it as application/json (with nginx: default_type application/json;)."
        yield found("document-content-type", fact, advice, reading.place)


def _redirects(reading: Reading) -> Iterator[Finding]:
    count, response = len(reading.hops), reading.response
    if not count or response is None:
        return
    times = "once" if count == 1 else f"{count} times"
    fact = f"The document's place redirects {times}, to {shown(response.url, 200)}."
    if count > _MOST_HOPS:
        advice = f"Redirect at most {_MOST_HOPS} times, best not at all: some peers give up."
        yield found("document-redirects-many", fact, advice, reading.place, level=Level.WARNING)
        return
    advice = "Peers follow that; without it, one server less has to work."
    yield found("document-redirected", fact, advice, reading.place)


def _lifetime(reading: Reading, response: HttpResponse, at: float) -> Iterator[Finding]:
    said = stated_lifetime(response.headers, at)
    least, most = POLICY.well_known_min_ttl, POLICY.well_known_max_ttl
    age = header(response.headers, "age")
    aged = f" (a cache has had it already for {shown(age, 20)} s of that)" if age else ""
    if said is None:
        fact = "The document does not say how long it may be kept, so peers keep it for about "
        fact += f"{span(POLICY.well_known_default_ttl)}."
    elif said < least:
        fact = f"The document may be kept for {span(said)}{aged}; most peers keep it for "
        fact += f"{span(least)} at least."
    elif said > most:
        fact = f"The document may be kept for {span(said)}{aged}; peers keep it for {span(most)} "
        fact += "at most."
    else:
        return
    advice = "Cache-Control: max-age=86400 (a day) suits most; less before a move."
    yield found("document-lifetime", fact, advice, reading.place)


def _headers(reading: Reading, response: HttpResponse) -> Iterator[Finding]:
    encoding = (header(response.headers, "content-encoding") or "").lower()
    if encoding not in ("", "identity"):
        fact = f"The document comes compressed ({shown(encoding, 40)}), though not asked for so."
        advice = "Compress for those only who send Accept-Encoding; so small a file, for nobody."
        yield found("document-compressed", fact, advice, reading.place)
    sizes = [len(name) + len(value) + 4 for name, value in response.headers]
    if sum(sizes) > _MOST_IN_ALL or max(sizes, default=0) > _MOST_IN_A_LINE:
        fact = f"There are {sum(sizes)} bytes of headers around the document, "
        fact += f"{max(sizes)} in the longest line."
        advice = "Leave out what a document does not need (cookies, policies): some peers refuse "
        advice += "more than 8 KiB in a line, or 16 KiB in all."
        yield found("document-headers", fact, advice, reading.place)
    counts = Counter(name.lower() for name, _ in response.headers)
    doubled = sorted(name for name in _ONCE if counts[name] > 1)
    if doubled:
        fact = f"A header stands there more than once: {listed(doubled)}."
        advice = "Set it in one place only, web server or proxy: some peers refuse such responses."
        yield found("document-headers-doubled", fact, advice, reading.place)
