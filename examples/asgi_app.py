"""An ASGI application in several workers, which share what they know through Redis.

    pip install 'matrix-resolve[redis]' uvicorn gunicorn
    redis-server --port 6379 --save "" --appendonly no
    uvicorn --workers 4 --app-dir examples asgi_app:app
    gunicorn --workers 4 --worker-class asgi --pythonpath examples asgi_app:app
    curl http://127.0.0.1:8000/resolve/matrix.org

Each worker opens its own resolver, when the server tells it to start up: that is after the fork and
in the event loop that requests run in. Frameworks such as Starlette and FastAPI hand this on as
`lifespan`.
"""

import json
import os
from collections.abc import Awaitable, Callable, MutableMapping
from contextlib import AsyncExitStack
from typing import Any

from redis.asyncio import Redis

from matrix_resolve import (
    InvalidServerNameError,
    MatrixResolveError,
    MemoryCache,
    RedisCache,
    Resolver,
    TieredCache,
    open_resolver,
)

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
REDIS = os.environ.get("REDIS", "redis://127.0.0.1:6379")


class App:
    """Answers `/resolve/NAME` with where a server name leads."""

    def __init__(self, open_resolver: Callable[..., Any] = open_resolver) -> None:
        self._open_resolver = open_resolver
        self._opened = AsyncExitStack()
        self._resolver: Resolver | None = None

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Do what the server asks."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        elif scope["type"] == "http":
            status, answer = await self._answer(scope["path"])
            headers = [(b"content-type", b"application/json")]
            await send({"type": "http.response.start", "status": status, "headers": headers})
            await send({"type": "http.response.body", "body": json.dumps(answer).encode()})

    async def _live(self, receive: Receive, send: Send) -> None:
        while True:
            event = (await receive())["type"]
            if event == "lifespan.startup":
                redis = await self._opened.enter_async_context(Redis.from_url(REDIS))
                cache = TieredCache(MemoryCache(), RedisCache(redis))
                opening = self._open_resolver(cache=cache)
                self._resolver = await self._opened.enter_async_context(opening)
            elif event == "lifespan.shutdown":
                await self._opened.aclose()
            await send({"type": f"{event}.complete"})
            if event == "lifespan.shutdown":
                return

    async def _answer(self, path: str) -> tuple[int, dict[str, Any]]:
        name = path.removeprefix("/resolve/")
        if name == path or self._resolver is None:
            return 404, {"error": "there is only /resolve/NAME"}
        try:
            resolution = await self._resolver.resolve(name)
        except MatrixResolveError as error:
            status = 400 if isinstance(error, InvalidServerNameError) else 502
            return status, {"error": str(error)}
        return 200, resolution.to_dict()


app = App()
