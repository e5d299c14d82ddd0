"""What a well-known document costs at least: bare GETs of it, each on a fresh connection."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Final

import aiodns
import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from tests.benchmarks.network import Network

Get = Callable[[str], Awaitable[bytes]]

_PATH: Final = "/.well-known/matrix/server"
# ARES_AI_NOSORT, which pycares does not export: c-ares would open a socket to each address.
_NO_SORT: Final = 1 << 7


class _Addresses(AbstractResolver):
    """A resolver for aiohttp that asks aiodns once, for both families, and keeps nothing."""

    def __init__(self, network: Network) -> None:
        self._aiodns = aiodns.DNSResolver(nameservers=[network.nameserver])
        self._port = network.web

    async def addresses(self, host: str) -> list[str]:
        """Return the addresses of a host."""
        found = await self._aiodns.getaddrinfo(
            host, family=socket.AF_UNSPEC, type=socket.SOCK_STREAM, flags=_NO_SORT
        )
        return [node.addr[0].decode() for node in found.nodes]

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Return the addresses of a host, as aiohttp wants them."""
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=self._port,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=0,
                flags=socket.AI_NUMERICHOST,
            )
            for address in await self.addresses(host)
        ]

    async def close(self) -> None:
        """Close what asks."""
        await self._aiodns.close()


@asynccontextmanager
async def aiohttp_get(network: Network) -> AsyncIterator[Get]:
    """Give a GET by a shared aiohttp session, addresses by aiodns."""
    addresses = _Addresses(network)
    connector = aiohttp.TCPConnector(
        resolver=addresses,
        ssl=network.ssl_context,
        force_close=True,
        use_dns_cache=False,
        limit=0,
    )

    async with aiohttp.ClientSession(
        connector=connector, cookie_jar=aiohttp.DummyCookieJar()
    ) as session:

        async def get(host: str) -> bytes:
            async with session.get(f"https://{host}{_PATH}", allow_redirects=False) as response:
                return await response.read()

        yield get
    await addresses.close()


class _OneResponse(asyncio.Protocol):
    """Sends a request, and gives the body that comes back."""

    def __init__(self, host: str) -> None:
        self._host = host
        self._received = b""
        self._transport: Any = None
        self.body: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._transport.write(f"GET {_PATH} HTTP/1.1\r\nHost: {self._host}\r\n\r\n".encode())

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, end, body = self._received.partition(b"\r\n\r\n")
        if end and len(body) == int(head.rpartition(b"Content-Length: ")[2]):
            self._transport.abort()
            self.body.set_result(body)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.body.done():
            self.body.set_exception(exc or ConnectionResetError())


@asynccontextmanager
async def asyncio_get(network: Network) -> AsyncIterator[Get]:
    """Give a GET by nothing but asyncio's TLS, addresses by aiodns."""
    addresses, loop = _Addresses(network), asyncio.get_running_loop()
    context: ssl.SSLContext = network.ssl_context

    async def get(host: str) -> bytes:
        (address,) = await addresses.addresses(host)
        _, response = await loop.create_connection(
            lambda: _OneResponse(host), address, network.web, ssl=context, server_hostname=host
        )
        return await response.body

    yield get
    await addresses.close()
