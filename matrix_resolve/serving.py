"""The other side: the documents under `/.well-known/matrix/` that a server publishes of itself.

https://spec.matrix.org/latest/server-server-api/#getwell-knownmatrixserver
https://spec.matrix.org/latest/client-server-api/#getwell-knownmatrixclient

All that can be wrong is refused when a document or route is made, so when the server starts.
"""

import json
import re
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from attrs import frozen

from matrix_resolve.core.names import ServerName
from matrix_resolve.errors import InvalidServerNameError, shown

if TYPE_CHECKING:
    from aiohttp import web

Headers = tuple[tuple[str, str], ...]

SERVER_MAX_AGE: Final = 24 * 3600
"""One day: the default that the specification recommends to peers when a response says nothing.

Less brings a move to their notice sooner, but then more of them feel an outage of the web server.
"""
CLIENT_MAX_AGE: Final = 3600
"""One hour: clients ask at login and have no other source, so a browser must not hold on for long
to a URL that has moved."""

_HTTPS_PORT: Final = 443
_JSON: Final = ("Content-Type", "application/json")

# What browsers need to be told (client-server API, "Web Browser Clients"). The server document is
# for peers; one line lets web pages that check a server read it too, and gives nothing away.
_ANY_ORIGIN: Final = ("Access-Control-Allow-Origin", "*")
_CLIENT_CORS: Final[Headers] = (
    _ANY_ORIGIN,
    ("Access-Control-Allow-Methods", "GET, POST, PUT, DELETE, OPTIONS"),
    ("Access-Control-Allow-Headers", "X-Requested-With, Content-Type, Authorization"),
)

_NOT_IN_A_URL = re.compile(r"""[^\x21-\x7e]|["<>\\^`{|}]""")


@frozen(kw_only=True)
class WellKnownDocument:
    """A document to serve with status 200 at `path`, with `body` and `headers` as they are.

    `headers` are those that belong to the content: type, caching, CORS. The framework adds
    `Content-Length` and `Date`.
    """

    path: str
    body: bytes
    headers: Headers


def well_known_document(
    server_name: str | ServerName,
    delegate_to: str | ServerName | None = None,
    *,
    max_age: int = SERVER_MAX_AGE,
) -> WellKnownDocument:
    """Return what to serve at `https://<server_name>/.well-known/matrix/server`, in any framework.

    `delegate_to` is the host, with or without a port, that peers shall use instead of
    `server_name`, and whose name the certificate there must bear. With a port they connect to just
    that; without, they look for SRV records and else take port 8448. The default is
    `<server_name>:443`, right when `https://<server_name>` reaches the homeserver; a server name
    with a port of its own stays as it is.

    Peers ask for no document of a name that has a port or is an IP address (steps 1 and 2); it is
    made all the same, so that a test server needs no case of its own.

    `max_age` is for how many seconds peers may keep the answer; most hold it between 5 minutes
    and 48 hours. Before a planned move, lower it for as long as it was.

    Raises `InvalidServerNameError` (a `ValueError`), whose `suggestion` is what to write instead if
    that can be guessed; `ValueError` for a `max_age` that is no whole number of at least 0.
    """
    name = _parsed(server_name, "server_name")
    if delegate_to is not None:
        target = str(_parsed(delegate_to, "delegate_to"))
    else:
        target = str(name) if name.port is not None else f"{name}:{_HTTPS_PORT}"
    return WellKnownDocument(
        path="/.well-known/matrix/server",
        body=_json({"m.server": target}),
        headers=(_JSON, _cache_control(max_age), _ANY_ORIGIN),
    )


def client_well_known_document(
    homeserver_url: str,
    extra: Mapping[str, Any] | None = None,
    *,
    max_age: int = CLIENT_MAX_AGE,
) -> WellKnownDocument:
    """Return what to serve at `https://<server_name>/.well-known/matrix/client`.

    `homeserver_url` is where clients find the homeserver, an http or https URL before
    `/_matrix/client`; it is published as it is, with or without a slash at the end. `extra` holds
    more top-level fields, such as `m.identity_server`; those that the specification does not
    define are named like Java packages (`org.example.setting`). `max_age` is in seconds.

    Answer `OPTIONS` with the same `Access-Control-...` headers, as browsers may ask first.

    Raises `ValueError` for a URL without scheme or host or with userinfo, query or fragment; for
    `extra` that is not JSON or has `m.homeserver`; for a `max_age` as `well_known_document` does.
    """
    content = {"m.homeserver": {"base_url": _checked_url(homeserver_url)}}
    if extra is not None:
        if not isinstance(extra, Mapping) or not all(isinstance(key, str) for key in extra):
            raise ValueError("the extra content is no mapping of strings to JSON")
        if "m.homeserver" in extra:
            raise ValueError("m.homeserver is made of homeserver_url: leave it out of the extra")
        content.update(extra)
    return WellKnownDocument(
        path="/.well-known/matrix/client",
        body=_json(content),
        headers=(_JSON, _cache_control(max_age), *_CLIENT_CORS),
    )


def well_known_routes(
    server_name: str | ServerName,
    delegate_to: str | ServerName | None = None,
    *,
    homeserver_url: str | None = None,
    client_extra: Mapping[str, Any] | None = None,
    max_age: int = SERVER_MAX_AGE,
    client_max_age: int = CLIENT_MAX_AGE,
) -> "list[web.RouteDef]":
    """Return aiohttp routes for both documents.

        app.add_routes(well_known_routes("example.org", homeserver_url="https://example.org"))

    They are for the application that answers at the root of `https://<server_name>`. `GET` and
    `HEAD` give the server document; with `homeserver_url` also the client document, and `OPTIONS`
    the preflight of that. The arguments and errors are those of `well_known_document` and
    `client_well_known_document`; `client_extra` without `homeserver_url` is a `ValueError`.
    """
    from aiohttp import web

    server = well_known_document(server_name, delegate_to, max_age=max_age)
    routes = [web.get(server.path, _answer(server.headers, server.body))]
    if homeserver_url is not None:
        client = client_well_known_document(homeserver_url, client_extra, max_age=client_max_age)
        routes.append(web.get(client.path, _answer(client.headers, client.body)))
        routes.append(web.options(client.path, _answer(_CLIENT_CORS, status=204)))
    elif client_extra is not None:
        raise ValueError("client_extra is for the client document: give homeserver_url too")
    return routes


def _answer(
    headers: Headers, body: bytes | None = None, status: int = 200
) -> "Callable[[web.Request], Awaitable[web.Response]]":
    from aiohttp import web

    async def answer(_request: web.Request) -> web.Response:
        # A response object can be sent once only.
        return web.Response(status=status, headers=headers, body=body)

    return answer


def _parsed(name: str | ServerName, argument: str) -> ServerName:
    """Parse a name from somebody's settings; an error says what was meant, where one can tell."""
    try:
        return ServerName.parse(str(name) if isinstance(name, ServerName) else name)
    except InvalidServerNameError as error:
        meant = error.suggestion
        # A server name is an identity: only of where to connect does "https" tell the port.
        if meant is not None and argument == "delegate_to" and _is_https(name):
            bare = ServerName.parse(meant).port is None
            meant = f"{meant}:{_HTTPS_PORT}" if bare else meant
        raise InvalidServerNameError(name, f"{argument}: {error.reason}", meant) from None


def _is_https(name: object) -> bool:
    return isinstance(name, str) and name.lstrip().lower().startswith("https://")


def _checked_url(url: str) -> str:
    """Return `url` if clients can use it as a base URL."""

    def refused(reason: str) -> ValueError:
        return ValueError(f"homeserver_url {shown(url)} {reason}")

    if not isinstance(url, str):
        raise refused("is no string")
    if _NOT_IN_A_URL.search(url):
        raise refused("holds characters that no URL has (write an IDN as xn--...)")
    if not url.lower().startswith(("https://", "http://")):
        raise refused("does not begin with https:// (or http://)")
    if "?" in url or "#" in url:
        raise refused("has a query or fragment, to which clients can't add a path")
    try:
        parts = urlsplit(url)
        ServerName.parse(parts.netloc)  # a host and a port, and no userinfo
    except ValueError as error:
        fault = error.reason if isinstance(error, InvalidServerNameError) else error
        raise refused(f"has no valid host and port: {fault}") from None
    return url


def _cache_control(max_age: int) -> tuple[str, str]:
    if not isinstance(max_age, int) or isinstance(max_age, bool) or max_age < 0:
        raise ValueError(f"max_age is a whole number of seconds, at least 0, not {max_age!r}")
    return "Cache-Control", f"max-age={max_age}"


def _json(content: Mapping[str, Any]) -> bytes:
    try:
        # A lone surrogate is no UTF-8: a ValueError too.
        return json.dumps(content, ensure_ascii=False, allow_nan=False).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"the extra content is not JSON: {error}") from error
