"""Plain clients, so that the servers are tested with something other than our own."""

import asyncio
import contextlib
import json
import ssl
from typing import Any

import dns.asyncquery
import dns.message
import dns.rdatatype

from matrix_resolve.testing import LoopbackFederation

WELL_KNOWN = "/.well-known/matrix/server"


async def ask(
    federation: LoopbackFederation, name: str, kind: str, *, tcp: bool = False, edns: int = 1232
) -> dns.message.Message:
    """Ask the federation's DNS server one question."""
    query = dns.message.make_query(name, kind, use_edns=0 if edns else -1, payload=edns or 1232)
    ip, port = federation.nameserver.rsplit(":", 1)
    send = dns.asyncquery.tcp if tcp else dns.asyncquery.udp
    return await send(query, ip, port=int(port), timeout=5)


def texts(response: dns.message.Message) -> list[str]:
    """Return the answers as a zone file has them, without names."""
    return [rdata.to_text() for rrset in response.answer for rdata in rrset]


async def exchange(
    federation: LoopbackFederation,
    host: str,
    port: int = 443,
    *,
    path: str = WELL_KNOWN,
    name: str | None = None,
    head: str | None = None,
    within: float = 5.0,
    context: ssl.SSLContext | None = None,
) -> bytes:
    """Send one request to (host, port) as `name` and return all that comes back."""
    name = host if name is None else name
    if head is None:
        head = f"GET {path} HTTP/1.1\r\nHost: {name}\r\nConnection: close\r\n\r\n"
    async with asyncio.timeout(within):
        reader, writer = await asyncio.open_connection(
            *federation.connect_to[host, port],
            ssl=context or federation.client_ssl_context(),
            server_hostname=name,
        )
        try:
            writer.write(head.encode("latin-1"))
            received = b""
            # Until it closes; or, as these servers keep connections open, until the body is whole.
            while data := await reader.read(65536):
                received += data
                if whole(received):
                    break
            return received
        finally:
            writer.transport.abort()
            with contextlib.suppress(OSError):
                await writer.wait_closed()


def whole(received: bytes) -> bool:
    """Return whether a response with a Content-Length has come in full."""
    head, end, body = received.partition(b"\r\n\r\n")
    length = [line[15:] for line in head.split(b"\r\n") if line.startswith(b"Content-Length:")]
    return bool(end and length) and len(body) >= int(length[0])


def status(received: bytes) -> int:
    """Return the status of a response."""
    return int(received.split(b" ", 2)[1])


def document(received: bytes) -> Any:
    """Return the JSON body of a response."""
    return json.loads(received.partition(b"\r\n\r\n")[2])
