"""An aiohttp application that federates: it finds others, asks them, and is found itself.

    python examples/homeserver.py
    curl http://127.0.0.1:8080/resolve/matrix.org
    curl http://127.0.0.1:8080/ask/matrix.org
    curl http://127.0.0.1:8080/.well-known/matrix/server

The resolver and the client are opened when the application starts and closed when it stops, so
that all requests share their caches and connections.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager

import aiohttp
from aiohttp import web
from aiohttp.typedefs import Handler

from matrix_resolve import (
    FederationClient,
    InvalidServerNameError,
    MatrixResolveError,
    Resolver,
    open_federation_client,
    open_resolver,
    well_known_routes,
)

SERVER_NAME = "example.org"
DELEGATE_TO = "matrix.example.org:443"  # where this application is, behind TLS
RESOLVER = web.AppKey("resolver", Resolver)
CLIENT = web.AppKey("client", FederationClient)
TIMEOUT = 20.0  # seconds for a request to another server
MAX_BODY = 64 * 1024


@web.middleware
async def in_json(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn what goes wrong with another server into an answer for ours."""
    try:
        return await handler(request)
    except InvalidServerNameError as error:
        reason, status = str(error), 400
    except TimeoutError:  # aiohttp's too
        reason, status = "the other server is too slow", 504
    except (MatrixResolveError, aiohttp.ClientError) as error:
        reason, status = str(error), 502
    return web.json_response({"error": reason}, status=status)


async def resolve(request: web.Request) -> web.Response:
    """Tell where the server name in the path leads."""
    resolution = await request.app[RESOLVER].resolve(request.match_info["name"])
    return web.json_response(resolution.to_dict())


async def ask(request: web.Request) -> web.Response:
    """Ask the server in the path for its version, and pass on what it says."""
    name, path = request.match_info["name"], "/_matrix/federation/v1/version"
    async with request.app[CLIENT].request("GET", name, path, timeout=TIMEOUT) as response:
        body = await body_of(response)
    try:
        says = json.loads(body)
    except (ValueError, RecursionError):
        raise aiohttp.ClientPayloadError("the other server sent no JSON") from None
    return web.json_response({"status": response.status, "says": says})


async def body_of(response: aiohttp.ClientResponse) -> bytes:
    """Return the body; `response.read()` would let a stranger fill our memory."""
    try:
        await response.content.readexactly(MAX_BODY + 1)
    except asyncio.IncompleteReadError as all_of_it:
        return all_of_it.partial
    raise aiohttp.ClientPayloadError("the other server's answer is too long")


def make_app(
    open_resolver: Callable[[], AbstractAsyncContextManager[Resolver]] = open_resolver,
    open_client: Callable[
        [Resolver], AbstractAsyncContextManager[FederationClient]
    ] = open_federation_client,
) -> web.Application:
    """Return the application; a test gives other ways to open a resolver and a client."""

    async def keep_open(app: web.Application) -> AsyncIterator[None]:
        async with open_resolver() as resolver, open_client(resolver) as client:
            app[RESOLVER], app[CLIENT] = resolver, client
            yield

    app = web.Application(middlewares=[in_json])
    app.cleanup_ctx.append(keep_open)
    app.router.add_get("/resolve/{name}", resolve)
    app.router.add_get("/ask/{name}", ask)
    # These two belong at the root of https://example.org, wherever the rest is.
    app.add_routes(
        well_known_routes(SERVER_NAME, DELEGATE_TO, homeserver_url="https://matrix.example.org")
    )
    return app


if __name__ == "__main__":
    web.run_app(make_app(), host="127.0.0.1")
