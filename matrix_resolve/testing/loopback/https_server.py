"""HTTPS on loopback: TLS with the right, or wrongly right, certificate, then HTTP/1.1."""

import asyncio
import socket
import ssl
from asyncio import StreamReader, StreamReaderProtocol, StreamWriter
from collections import Counter
from collections.abc import Callable
from weakref import WeakKeyDictionary

from matrix_resolve.testing.loopback.behaviours import Raw, Reply, Request, Silent, answer_to
from matrix_resolve.testing.loopback.certificates import Certificates, new_server_context
from matrix_resolve.testing.loopback.declarations import Certificate, Host, plain_host

Target = tuple[str, int]

# A client that does not answer our farewell does not hold us up for longer, in seconds.
_TLS_SHUTDOWN = 0.5
_MAX_HEAD = 1024 * 1024


class HttpsServer:
    """Serves the connections that clients meant for any target.

    `find` gives the declaration of a host. `requests` lists what was asked, `request_counts`
    counts it by (`Host` header, path), `connections` by target. `errors` are those that were met
    in a handshake and are no fault that was asked for.
    """

    def __init__(self, find: Callable[[str], Host | None], certificates: Certificates) -> None:
        self._find = find
        self._certificates = certificates
        self._sni: WeakKeyDictionary[ssl.SSLObject, str | None] = WeakKeyDictionary()
        self.requests: list[Request] = []
        self.request_counts: Counter[tuple[str, str]] = Counter()
        self.connections: Counter[Target] = Counter()
        self.errors: list[Exception] = []

    async def serve(self, connection: socket.socket, target: Target) -> None:
        """Serve one connection until the client or the behaviour ends it.

        A target with the host "" shares its port with others: the name in the TLS handshake tells
        which is meant.
        """
        if target[0]:
            self.connections[target] += 1
        host = self._find(target[0])
        match None if host is None else host.behaviour_at(target[1]):
            case Silent():
                await _swallow(connection)
                return
            case Raw(data):
                await asyncio.get_running_loop().sock_sendall(connection, data)
                connection.close()
                return
        reader = StreamReader(limit=_MAX_HEAD)
        protocol = StreamReaderProtocol(reader)
        loop = asyncio.get_running_loop()
        transport, _ = await loop.connect_accepted_socket(
            lambda: protocol,
            connection,
            ssl=self._context(target),
            ssl_shutdown_timeout=_TLS_SHUTDOWN,
        )
        writer = StreamWriter(transport, protocol, reader, loop)
        try:
            sni = self._sni.get(transport.get_extra_info("ssl_object"))
            await self._serve_http(reader, writer, (target[0] or sni or "", target[1]), sni)
            writer.close()
            await writer.wait_closed()
        finally:
            transport.abort()  # without effect once it is closed

    def _context(self, target: Target) -> ssl.SSLContext:
        """Return TLS settings that put off the choice of the certificate to the handshake."""
        target_host, port = target

        def choose(tls: ssl.SSLObject, sni: str | None, _: ssl.SSLContext) -> int | None:
            if not target_host and tls not in self._sni:
                self.connections[plain_host(sni or ""), port] += 1
            self._sni[tls] = sni
            name = target_host if sni is None else plain_host(sni)
            wished = self._certificate(target_host, name)
            if sni is None and wished is Certificate.NEEDS_SNI:
                return ssl.ALERT_DESCRIPTION_UNRECOGNIZED_NAME
            is_known = self._find(name) is not None and wished is not Certificate.OWN_NAME
            presented = name if is_known else target_host
            try:
                made = self._certificates.server_context(presented or "unnamed.invalid", wished)
            except Exception as error:  # OpenSSL, which calls this, would lose it
                self.errors.append(error)
                return ssl.ALERT_DESCRIPTION_INTERNAL_ERROR
            tls.context = made
            return None

        context = new_server_context()
        context.sni_callback = choose
        return context

    def _certificate(self, *names: str) -> Certificate:
        """Return the first bad kind that was declared for the server or the name it is asked as."""
        hosts = filter(None, map(self._find, names))
        bad = (h.certificate for h in hosts if h.certificate is not Certificate.VALID)
        return next(bad, Certificate.VALID)

    async def _serve_http(
        self, reader: StreamReader, writer: StreamWriter, target: Target, sni: str | None
    ) -> None:
        reusable = True
        while reusable:
            try:
                request = await _read_request(reader, target, sni)
            except (ValueError, asyncio.LimitOverrunError):
                await Reply(400, body=b"that is no HTTP/1.1 request").write(writer)
                return
            self.requests.append(request)
            self.request_counts[request.host, request.path] += 1
            host = self._find(plain_host(target[0]))
            behaviour = None if host is None else host.behaviour_for(request.path)
            answer = await answer_to(request, behaviour)
            reusable = await answer.write(writer) and not request.closes


async def _swallow(connection: socket.socket) -> None:
    """Read until the client gives up, and say nothing."""
    loop = asyncio.get_running_loop()
    while await loop.sock_recv(connection, 65536):
        pass
    connection.close()


async def _read_request(reader: StreamReader, target: Target, sni: str | None) -> Request:
    """Read one request. Raises `EOFError` at the end of the connection."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    start, *lines = head.removesuffix("\r\n\r\n").split("\r\n")
    method, path, _ = start.split(" ", 2)
    pairs = (line.partition(":") for line in lines)
    headers = tuple((name, value.strip()) for name, _, value in pairs)
    lower = {name.lower(): value for name, value in headers}
    if lower.get("transfer-encoding", "").lower() == "chunked":
        body = await _read_chunks(reader)
    else:
        body = await reader.readexactly(int(lower.get("content-length", "0")))
    return Request(target=target, sni=sni, method=method, path=path, headers=headers, body=body)


async def _read_chunks(reader: StreamReader) -> bytes:
    body = b""
    while size := int((await reader.readline()).partition(b";")[0], 16):
        body += await reader.readexactly(size)
        await reader.readline()
    while (await reader.readline()).strip():
        pass  # trailers
    return body
