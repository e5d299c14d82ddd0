"""A transport by which httpx sends requests to servers by their Matrix names.

It is httpx to its user and a `FederationClient` to other servers, so that connections, their
certificates and their limits are one thing, whoever asks.
"""

from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from typing import Any, Final

import aiohttp
import httpx2

from matrix_resolve.errors import MatrixResolveError, ResponseTooLargeError, readable
from matrix_resolve.federation.client import FederationClient

_SCHEME: Final = "matrix-federation"
# What the client says by itself: where the request goes, how its body is framed, and which codings
# it undoes.
_CLIENTS: Final = frozenset({"host", "transfer-encoding", "accept-encoding"})
# What is no longer true of a body whose coding has been undone.
_OF_CODED: Final = frozenset({"content-encoding", "content-length"})


class HttpxTransport(httpx2.AsyncBaseTransport):
    """Has httpx send requests by a `FederationClient`, which keeps its owner.

        async with open_resolver() as resolver, open_federation_client(resolver) as federation:
            mounts = {"matrix-federation://": HttpxTransport(federation)}
            async with httpx2.AsyncClient(mounts=mounts) as client:
                url = "matrix-federation://example.org:8448/_matrix/federation/v1/version"
                print((await client.get(url)).json())

    What stands for the host in the URL is the server name, in lower case as httpx writes it. Any
    scheme but `matrix-federation` is `httpx2.UnsupportedProtocol`: of `https://example.org:443`
    httpx would leave the port out, and that is another server name. The path goes out as
    `request.url.raw_path` has it, which is what a signature has to cover.

    `timeout` in seconds is for a whole request, from waiting for its turn to the end of the body
    (None: no such limit). Of httpx's time-outs `read` holds as well, and `connect` for each target
    if it is shorter than the client's; `pool` and `write` do not. A body over `max_body` bytes,
    after decompression, is a `ResponseTooLargeError` (None: any length). Bodies come decompressed,
    from the codings that aiohttp knows; the client says which in `Accept-Encoding`.

    Raises what `FederationClient.request()` raises if it is a `MatrixResolveError` (`ConnectError`
    when no target could be reached), and httpx's errors for what happens on a connection.
    """

    def __init__(
        self,
        client: FederationClient,
        *,
        timeout: float | None = 60.0,
        max_body: int | None = 100 * 1024 * 1024,
    ) -> None:
        self._client = client
        self._timeout = timeout
        self._max_body = max_body

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send a request, and give the response, whose body is still to come."""
        if request.url.scheme != _SCHEME:
            raise httpx2.UnsupportedProtocol(f"this is a transport for {_SCHEME}:// alone")
        with _httpx_errors():
            context = self._client.request(
                request.method,
                request.url.netloc.decode("ascii"),
                request.url.raw_path.decode("ascii"),
                headers=[
                    (name.decode("latin-1"), value.decode("latin-1"))
                    for name, value in request.headers.raw
                    if name.lower().decode("latin-1") not in _CLIENTS
                ],
                skip_auto_headers=("Accept", "Content-Type", "User-Agent"),
                data=_body(request),
                timeout=self._limits(request.extensions.get("timeout", {})),
            )
            response = await context.__aenter__()
        is_coded = "Content-Encoding" in response.headers
        return httpx2.Response(
            response.status,
            headers=[
                (name, value)
                for name, value in response.raw_headers
                if not (is_coded and name.lower().decode("latin-1") in _OF_CODED)
            ],
            stream=_Body(context, response, self._max_body),
            extensions={
                "http_version": b"HTTP/1.1",
                "reason_phrase": (response.reason or "").encode("latin-1", "replace"),
            },
        )

    def _limits(self, given: dict[str, float | None]) -> aiohttp.ClientTimeout:
        return aiohttp.ClientTimeout(
            total=self._timeout, sock_connect=given.get("connect"), sock_read=given.get("read")
        )


class _Body(httpx2.AsyncByteStream):
    """The body of a response, which is taken as it comes, up to a limit."""

    def __init__(
        self,
        context: AbstractAsyncContextManager[aiohttp.ClientResponse],
        response: aiohttp.ClientResponse,
        limit: int | None,
    ) -> None:
        self._context = context
        self._response = response
        self._limit = limit

    async def __aiter__(self) -> AsyncIterator[bytes]:
        size = 0
        with _httpx_errors():
            async for piece in self._response.content.iter_any():
                size += len(piece)
                if self._limit is not None and size > self._limit:
                    name = self._response.url.raw_authority
                    raise ResponseTooLargeError(
                        f"the response of {name} is over {self._limit} bytes"
                    )
                yield piece

    async def aclose(self) -> None:
        await self._context.__aexit__(None, None, None)


def _body(request: httpx2.Request) -> Any:
    """Return the body of a request, whole if it is there, so that it can be sent again."""
    try:
        return request.content or None
    except httpx2.RequestNotRead:
        return request.stream


@contextmanager
def _httpx_errors() -> Iterator[None]:
    """Raise aiohttp's errors as httpx's."""
    try:
        yield
    except MatrixResolveError:
        raise
    except TimeoutError as error:
        raise httpx2.ReadTimeout(readable(error) or "timed out") from error
    except aiohttp.ClientConnectionError as error:
        raise httpx2.ReadError(readable(error)) from error
    except aiohttp.ClientError as error:
        raise httpx2.RemoteProtocolError(readable(error)) from error
    except ValueError as error:
        raise httpx2.LocalProtocolError(readable(error)) from error
