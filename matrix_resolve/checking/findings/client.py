"""Findings of what clients look for: admins set both at once."""

from collections.abc import Iterator
from typing import Final
from urllib.parse import urlsplit

from matrix_resolve.checking.canonical_json import read_json
from matrix_resolve.checking.facts import ClientFacts, Fetched
from matrix_resolve.checking.findings.finding import Finding, found
from matrix_resolve.checking.findings.seen import State
from matrix_resolve.checking.findings.situation import Situation
from matrix_resolve.checking.texts import header, media_type, sentence
from matrix_resolve.core.replies import HttpResponse
from matrix_resolve.core.urls import HttpsUrl
from matrix_resolve.errors import shown

_VERSIONS: Final = "/_matrix/client/versions"


def client_findings(situation: Situation) -> Iterator[Finding]:
    """Yield what is to be said of the documents for clients, and the API that they lead to."""
    client = situation.facts.client
    if client is None:
        return
    yield from _document(situation, client)
    yield from _support(client.support)


def _is_own(fetched: Fetched) -> bool:
    return fetched.failure is not None and fetched.failure.is_own


def _is_absent(fetched: Fetched) -> bool:
    response, failure = fetched.response, fetched.failure
    if failure is not None:
        return not (failure.is_refused and fetched.hops)
    return response is None or response.status in (404, 410)


def _document(situation: Situation, client: ClientFacts) -> Iterator[Finding]:
    fetched, host = client.document, situation.name.hostname
    example = f'{{"m.homeserver": {{"base_url": "https://{host}"}}}}'
    advice = f"Serve {example} at {fetched.url}, with the base_url of your homeserver."
    if _is_own(fetched):
        return
    if _is_absent(fetched):
        why = "404" if fetched.failure is None else sentence(fetched.failure.reason)
        fact = f"There is no document for clients ({why}), so they need the homeserver's URL."
        yield found("client-document-missing", fact, advice, fetched.url)
        return
    response = fetched.response
    if fetched.failure is not None or response is None:
        reason = "no response" if fetched.failure is None else sentence(fetched.failure.reason)
        fact = f"The document for clients can't be fetched: {reason}."
        yield found("client-document-wrong", fact, advice, fetched.url)
        return
    wrong = _wrong(response)
    if wrong is not None:
        yield found("client-document-wrong", f"{wrong}.", advice, fetched.url)
        return
    yield from _around(fetched, response)
    if client.versions is not None and not _is_told(situation, client.versions.url):
        yield from _api(client.versions)


def _is_told(situation: Situation, url: str) -> bool:
    """Return whether a URL leads to what is told not to work, as a host or an endpoint."""
    try:
        at = HttpsUrl.parse(url)
    except ValueError:
        return False
    host = situation.facts.host(at.host)
    if host is not None and not host.addresses:
        return True
    return any(
        (each.endpoint.target.host.lower(), each.endpoint.target.port) == (at.host, at.port)
        for each in situation.endpoints
        if each.state in (State.BROKEN, State.DEAD)
    )


def _wrong(response: HttpResponse) -> str | None:
    """Return why the document is of no use to clients, None if it is of use."""
    if response.status != 200:
        return f"The document for clients is answered with status {response.status}"
    try:
        content = read_json(response.body).value
    except ValueError as error:
        return f"The document for clients is no JSON: {sentence(str(error))}"
    homeserver = content.get("m.homeserver") if isinstance(content, dict) else None
    if not isinstance(homeserver, dict):
        return 'The document for clients has no "m.homeserver" that is an object'
    if "base_url" not in homeserver:
        return 'The document for clients has no "base_url" in "m.homeserver"'
    url = homeserver["base_url"]
    if not isinstance(url, str):
        return f'"base_url" in the document for clients is {shown(url)}, where a text belongs'
    if not url.lower().startswith("https://"):
        return f'"base_url" in the document for clients is {shown(url)}, which is not https'
    if "?" in url or "#" in url:
        return f'"base_url" in the document for clients is {shown(url)}, with a query or fragment'
    try:
        has_host = bool(urlsplit(url).hostname)
    except ValueError:
        has_host = False
    return None if has_host else f'"base_url" in the document for clients is {shown(url)}, no URL'


def _around(fetched: Fetched, response: HttpResponse) -> Iterator[Finding]:
    closed = [
        each.url
        for each in dict.fromkeys((*fetched.hops, response))
        if header(each.headers, "access-control-allow-origin") != "*"
    ]
    if closed:
        fact = "Without Access-Control-Allow-Origin: * on the document for clients, and on each "
        fact += "redirect to it, clients in a browser can't read it."
        advice = "Add that header there (with nginx: add_header Access-Control-Allow-Origin *;)."
        yield found("client-cors", fact, advice, *closed)
    seen = media_type(response.headers)
    if seen != "application/json":
        told = f"the Content-Type {shown(seen)}" if seen else "no Content-Type"
        fact = f"The document for clients comes with {told}."
        advice = "Serve it as application/json (with nginx: default_type application/json;)."
        yield found("client-content-type", fact, advice, fetched.url)


def _api(fetched: Fetched) -> Iterator[Finding]:
    if _is_own(fetched):
        return
    response = fetched.response
    if response is None or fetched.failure is not None:
        reason = "no response" if fetched.failure is None else sentence(fetched.failure.reason)
        fact = f"Clients can't reach {shown(fetched.url, 200)}: {reason}."
        advice = 'See that "base_url" is right, and that the server there answers with a '
        advice += "certificate for its name."
        yield found("client-api-failed", fact, advice, fetched.url)
        return
    if response.status != 200:
        fact = f"GET {_VERSIONS} at the base_url is answered with status {response.status}."
    elif not _has_versions(response.body):
        fact = f'GET {_VERSIONS} at the base_url gives no JSON object with an array "versions".'
    else:
        return
    advice = 'Name the homeserver in "base_url", and have the proxy pass everything under /_matrix '
    advice += "on to it."
    yield found("client-api-wrong", fact, advice, fetched.url)


def _has_versions(body: bytes) -> bool:
    try:
        content = read_json(body).value
    except ValueError:
        return False
    return isinstance(content, dict) and isinstance(content.get("versions"), list)


def _support(fetched: Fetched) -> Iterator[Finding]:
    if _is_own(fetched):
        return
    advice = 'Serve {"contacts": [{"role": "m.role.admin", "email_address": "..."}]} at '
    advice += f"{fetched.url}, so that others can reach you."
    response = fetched.response
    if _is_absent(fetched) or response is None:
        fact = "There is no support document (MSC1929)."
        yield found("support-missing", fact, advice, fetched.url)
        return
    wrong = _support_wrong(response)
    if wrong is not None:
        yield found("support-wrong", f"The support document {wrong}.", advice, fetched.url)


def _support_wrong(response: HttpResponse) -> str | None:
    if response.status != 200:
        return f"is answered with status {response.status}"
    try:
        content = read_json(response.body).value
    except ValueError as error:
        return f"is no JSON: {sentence(str(error))}"
    if not isinstance(content, dict):
        return "is JSON, but no object"
    page, contacts = content.get("support_page"), content.get("contacts")
    if page is None and not contacts:
        return 'has neither "contacts" nor a "support_page"'
    if page is not None and not (isinstance(page, str) and page.startswith("https://")):
        return f'has as "support_page" {shown(page)}, no https URL'
    if contacts is None:
        return None
    if not isinstance(contacts, list) or not all(map(_is_contact, contacts)):
        return 'has a contact without "role", or without "matrix_id" and "email_address"'
    return None


def _is_contact(contact: object) -> bool:
    if not isinstance(contact, dict) or not isinstance(contact.get("role"), str):
        return False
    return any(isinstance(contact.get(key), str) for key in ("matrix_id", "email_address"))
