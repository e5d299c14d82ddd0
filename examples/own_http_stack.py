"""An HTTP stack of one's own: httpx learns to federate, by one transport of some thirty lines.

`HttpxTransport` of the package does that too, with connections that are kept; this one shows what
there is to do, without the federation client.

    pip install httpx2
    python examples/own_http_stack.py matrix.org

A client in which it is mounted takes URLs such as `matrix-federation://example.org:8448/path`, and
all else that httpx can do stays as it is. (For the older httpx import that in place of httpx2.)
What any other stack has to do is the same: dial the addresses that `endpoints()` gives, in order,
demand a certificate for `tls_name`, send `host_header` as `Host`.
"""

import asyncio
import ssl
import sys
from collections.abc import Callable, Iterable
from contextlib import AbstractAsyncContextManager

import httpx2

from matrix_resolve import MatrixResolveError, Resolver, open_resolver

MAX_BODY = 64 * 1024
MAX_SHOWN = 200


class MatrixTransport(httpx2.AsyncBaseTransport):
    """Sends requests where their server name leads; raises `MatrixResolveError` beside httpx's.

    `inner` is what connects, given an address. It must not keep connections for later: httpx
    lends them by address alone, and at one address there may be several names, of which each has
    a certificate to show.
    """

    def __init__(self, resolver: Resolver, inner: httpx2.AsyncBaseTransport) -> None:
        self._resolver = resolver
        self._inner = inner

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send the request to the first address that can be connected to."""
        resolution = await self._resolver.resolve(request.url.netloc.decode("ascii"))
        error: Exception | None = None
        for endpoint in await self._resolver.endpoints(resolution):
            # As an IP address stands in the URL, httpx looks nothing up.
            url = request.url.copy_with(
                scheme="https", host=str(endpoint.address), port=endpoint.port
            )
            headers = request.headers.copy()
            headers["Host"] = resolution.host_header
            try:
                return await self._inner.handle_async_request(
                    httpx2.Request(
                        request.method,
                        url,
                        headers=headers,
                        stream=request.stream,
                        # Checked against the certificate, and sent unless it is an IP address.
                        extensions={**request.extensions, "sni_hostname": resolution.tls_name},
                    )
                )
            except (httpx2.ConnectError, httpx2.ConnectTimeout) as failed:
                error = failed  # nothing was sent: the next address, and then the next target
        await self._resolver.report_unreachable(resolution)
        raise httpx2.ConnectError(f"{resolution.server_name} can't be reached: {error}")

    async def aclose(self) -> None:
        """Close what connects."""
        await self._inner.aclose()


def https(context: ssl.SSLContext) -> httpx2.AsyncBaseTransport:
    """Return what connects: without keep-alive, and blind to common names as RFC 9525 demands."""
    context.hostname_checks_common_name = False
    return httpx2.AsyncHTTPTransport(
        verify=context, limits=httpx2.Limits(max_keepalive_connections=0)
    )


async def version(client: httpx2.AsyncClient, name: str) -> str:
    """Return what the server answers, as printable text; of a long answer the beginning."""
    body = b""
    url = f"matrix-federation://{name}/_matrix/federation/v1/version"
    async with client.stream("GET", url) as response:
        async for chunk in response.aiter_bytes():
            body += chunk
            if len(body) > MAX_BODY:
                break
    return f"{response.status_code} {body[:MAX_SHOWN].decode(errors='replace')!a}"


async def main(
    names: Iterable[str],
    open_resolver: Callable[[], AbstractAsyncContextManager[Resolver]] = open_resolver,
    inner: httpx2.AsyncBaseTransport | None = None,
) -> None:
    """Print what each server says of its version; a test reaches other servers."""
    async with (
        open_resolver() as resolver,
        httpx2.AsyncClient(
            mounts={
                "matrix-federation://": MatrixTransport(
                    resolver, inner or https(ssl.create_default_context())
                )
            },
            timeout=httpx2.Timeout(20, connect=5),  # seconds; connect is for each address
        ) as client,
    ):
        for name in names:
            try:
                print(f"{name}: {await version(client, name)}")
            except (MatrixResolveError, httpx2.HTTPError, httpx2.InvalidURL) as error:
                print(f"{name}: {error}")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:] or ["matrix.org"]))
