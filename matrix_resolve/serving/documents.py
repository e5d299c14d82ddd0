"""The documents for peers and for clients.

https://spec.matrix.org/latest/server-server-api/#getwell-knownmatrixserver
https://spec.matrix.org/latest/client-server-api/#getwell-knownmatrixclient
"""

from collections.abc import Mapping
from typing import Any, Final

from attrs import frozen

from matrix_resolve.core.names import ServerName
from matrix_resolve.serving.arguments import (
    HTTPS_PORT,
    cache_control,
    checked_url,
    json_bytes,
    parsed_name,
    refused,
)

Headers = tuple[tuple[str, str], ...]

SERVER_MAX_AGE: Final = 24 * 3600
"""One day: the default that the specification recommends to peers when a response says nothing.

Less brings a move to their notice sooner, but then more of them feel an outage of the web server.
"""
CLIENT_MAX_AGE: Final = 3600
"""One hour: clients ask at login and have no other source, so a browser must not hold on for long
to a URL that has moved."""

SERVER_PATH: Final = "/.well-known/matrix/server"
CLIENT_PATH: Final = "/.well-known/matrix/client"

JSON_TYPE: Final = ("Content-Type", "application/json")

# What browsers need to be told (client-server API, "Web Browser Clients"). The server document is
# for peers; one line lets web pages that check a server read it too, and gives nothing away.
_CORS_PREFIX: Final = "Access-Control-"
_ANY_ORIGIN: Final = ("Access-Control-Allow-Origin", "*")
CLIENT_CORS: Final[Headers] = (
    _ANY_ORIGIN,
    ("Access-Control-Allow-Methods", "GET, POST, PUT, DELETE, OPTIONS"),
    ("Access-Control-Allow-Headers", "X-Requested-With, Content-Type, Authorization"),
)


@frozen(kw_only=True)
class WellKnownDocument:
    """A document to serve with status 200 at `path`, with `body` and `headers` as they are.

    `headers` are those that belong to the content: type, caching, CORS. The framework adds
    `Content-Length` and `Date`. Where they allow methods to other origins (`has_preflight`),
    `OPTIONS` is to be answered with those of CORS alone.
    """

    path: str
    body: bytes
    headers: Headers

    @property
    def cors(self) -> Headers:
        """The headers for web pages of other origins."""
        return tuple(header for header in self.headers if header[0].startswith(_CORS_PREFIX))

    @property
    def has_preflight(self) -> bool:
        """Whether web browsers may ask with `OPTIONS` first."""
        return len(self.cors) > 1


def well_known_document(
    server_name: str | ServerName,
    delegate_to: str | ServerName | None = None,
    *,
    max_age: int = SERVER_MAX_AGE,
) -> WellKnownDocument:
    """Return what to serve at `https://<server_name>/.well-known/matrix/server`, in any framework.

        document = well_known_document("example.org", "matrix.example.org:443")

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
    name = parsed_name(server_name, "server_name")
    if delegate_to is not None:
        target = str(parsed_name(delegate_to, "delegate_to"))
    else:
        target = str(name) if name.port is not None else f"{name}:{HTTPS_PORT}"
    return WellKnownDocument(
        path=SERVER_PATH,
        body=json_bytes({"m.server": target}),
        headers=(JSON_TYPE, cache_control(max_age), _ANY_ORIGIN),
    )


def client_well_known_document(
    homeserver_url: str,
    extra: Mapping[str, Any] | None = None,
    *,
    max_age: int = CLIENT_MAX_AGE,
) -> WellKnownDocument:
    """Return what to serve at `https://<server_name>/.well-known/matrix/client`.

        document = client_well_known_document("https://matrix.example.org")

    `homeserver_url` is where clients find the homeserver, an http or https URL before
    `/_matrix/client`; it is published as it is, with or without a slash at the end. `extra` holds
    more top-level fields, such as `m.identity_server`; those that the specification does not
    define are named like Java packages (`org.example.setting`). `max_age` is in seconds.

    Answer `OPTIONS` with the same `Access-Control-...` headers, as browsers may ask first.

    Raises `ValueError` for a URL without scheme or host or with userinfo, query or fragment; for
    `extra` that is not JSON or has `m.homeserver`; for a `max_age` as `well_known_document` does.
    """
    checked_url(homeserver_url, "homeserver_url")
    if "?" in homeserver_url or "#" in homeserver_url:
        raise refused(
            homeserver_url,
            "homeserver_url",
            "has a query or fragment, to which clients can't add a path",
        )
    content: dict[str, Any] = {"m.homeserver": {"base_url": homeserver_url}}
    if extra is not None:
        if not isinstance(extra, Mapping) or not all(isinstance(key, str) for key in extra):
            raise ValueError("the extra content is no mapping of strings to JSON")
        if "m.homeserver" in extra:
            raise ValueError("m.homeserver is made of homeserver_url: leave it out of the extra")
        content.update(extra)
    return WellKnownDocument(
        path=CLIENT_PATH,
        body=json_bytes(content),
        headers=(JSON_TYPE, cache_control(max_age), *CLIENT_CORS),
    )
