"""The documents as routes of an aiohttp application."""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from matrix_resolve.core.names import ServerName
from matrix_resolve.serving.documents import (
    CLIENT_MAX_AGE,
    SERVER_MAX_AGE,
    Headers,
    WellKnownDocument,
    client_well_known_document,
    well_known_document,
)
from matrix_resolve.serving.support import SUPPORT_PATH

if TYPE_CHECKING:
    from aiohttp import web


def well_known_routes(
    server_name: str | ServerName,
    delegate_to: str | ServerName | None = None,
    *,
    homeserver_url: str | None = None,
    client_extra: Mapping[str, Any] | None = None,
    support: WellKnownDocument | None = None,
    max_age: int = SERVER_MAX_AGE,
    client_max_age: int = CLIENT_MAX_AGE,
) -> "list[web.RouteDef]":
    """Return aiohttp routes for the documents.

        app.add_routes(well_known_routes("example.org", homeserver_url="https://example.org"))

    They are for the application that answers at the root of `https://<server_name>`. `GET` and
    `HEAD` give the server document; with `homeserver_url` also the client document, with `support`
    (see `support_well_known_document`) that one, and `OPTIONS` the preflight of both. The
    arguments and errors are those of `well_known_document` and `client_well_known_document`;
    `client_extra` without `homeserver_url`, and a `support` that is another document, are a
    `ValueError`.
    """
    documents = [well_known_document(server_name, delegate_to, max_age=max_age)]
    if homeserver_url is not None:
        documents.append(
            client_well_known_document(homeserver_url, client_extra, max_age=client_max_age)
        )
    elif client_extra is not None:
        raise ValueError("client_extra is for the client document: give homeserver_url too")
    if support is not None:
        if not isinstance(support, WellKnownDocument) or support.path != SUPPORT_PATH:
            raise ValueError("support is what support_well_known_document() gives")
        documents.append(support)
    return document_routes(documents)


def document_routes(documents: Iterable[WellKnownDocument]) -> "list[web.RouteDef]":
    """Return aiohttp routes for these documents, and for the preflight of those that allow one."""
    from aiohttp import web

    routes = []
    for document in documents:
        routes.append(web.get(document.path, _answer(document.headers, document.body)))
        if document.has_preflight:
            routes.append(web.options(document.path, _answer(document.cors, status=204)))
    return routes


def _answer(
    headers: Headers, body: bytes | None = None, status: int = 200
) -> "Callable[[web.Request], Awaitable[web.Response]]":
    from aiohttp import web

    async def answer(_request: web.Request) -> web.Response:
        # A response object can be sent once only.
        return web.Response(status=status, headers=headers, body=body)

    return answer
