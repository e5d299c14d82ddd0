"""One long-lived resolver in an aiohttp application, as a homeserver has it.

    python examples/homeserver.py
    curl http://127.0.0.1:8080/resolve/matrix.org

The resolver is opened when the application starts and closed when it stops, so that all requests
share its cache and its running questions.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager

from aiohttp import web

from matrix_resolve import (
    InvalidServerNameError,
    MatrixResolveError,
    Resolver,
    open_resolver,
)

RESOLVER = web.AppKey("resolver", Resolver)


async def resolve(request: web.Request) -> web.Response:
    """Tell where the server name in the path leads."""
    try:
        resolution = await request.app[RESOLVER].resolve(request.match_info["name"])
    except InvalidServerNameError as error:
        return web.json_response({"error": str(error)}, status=400)
    except MatrixResolveError as error:
        return web.json_response({"error": str(error)}, status=502)
    return web.json_response(resolution.to_dict())


def make_app(
    open_resolver: Callable[[], AbstractAsyncContextManager[Resolver]] = open_resolver,
) -> web.Application:
    """Return the application; a test gives another way to open a resolver."""

    async def keep_resolver(app: web.Application) -> AsyncIterator[None]:
        async with open_resolver() as resolver:
            app[RESOLVER] = resolver
            yield

    app = web.Application()
    app.cleanup_ctx.append(keep_resolver)
    app.router.add_get("/resolve/{name}", resolve)
    return app


if __name__ == "__main__":
    web.run_app(make_app(), host="127.0.0.1")
