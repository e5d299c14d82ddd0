"""One name server: how it is asked over UDP and TCP, TLS and HTTPS, and what is known of it."""

import asyncio
import socket
import ssl
from abc import ABC, abstractmethod
from contextlib import nullcontext, suppress
from typing import Any, Final

import dns.asyncbackend
import dns.exception
import dns.message
import dns.query
from dns.message import QueryMessage
from dns.name import Name
from dns.rdatatype import RdataType

from matrix_resolve.backends.dns_dnspython.answers import Answer, read_answer
from matrix_resolve.transport.tls_words import tls_error_behind, tls_in_words

# Octets that a datagram holds without being cut in pieces on its way (DNS Flag Day 2020).
_PAYLOAD: Final = 1232
_LONGEST: Final = 65535  # octets of a message
# How long it is remembered that a server was silent, or does without EDNS, in seconds.
_SILENT_FOR: Final = 30.0
_PLAIN_FOR: Final = 300.0


class Server(ABC):
    """A name server.

    `patience`, in seconds, is after how long without an answer a question may have been lost.
    """

    def __init__(self) -> None:
        self._silent_until: float | None = None
        self._plain_until = 0.0
        # Large answers are read one after another: each piece of that is a pause.
        self._reading = asyncio.Lock()

    async def ask(self, name: Name, kind: RdataType, patience: float) -> Answer:
        """Return the answer, however late it comes; without EDNS if the server refuses that.

        Raises `OSError`, `EOFError` or `DNSException` if the server can't be asked.
        """
        now = asyncio.get_running_loop().time
        request = dns.message.make_query(name, kind)
        with_edns = self._plain_until <= now()
        if with_edns:
            request.use_edns(0, payload=_PAYLOAD)
        answer = await self._exchange(request, patience)
        if answer.refuses_edns and with_edns:
            request.use_edns(False)
            answer = await self._exchange(request, patience)
        if with_edns and request.edns < 0 and not answer.has_edns and not answer.problem:
            self._plain_until = now() + _PLAIN_FOR
        self._silent_until = None
        return answer

    def comes_last(self) -> bool:
        """Return whether others had better be asked first, for they answer and this one does not.

        When that is over, one question finds out, and those beside it still hold to it.
        """
        now = asyncio.get_running_loop().time()
        if self._silent_until is None:
            return False
        if self._silent_until > now:
            return True
        self._silent_until = now + _SILENT_FOR
        return False

    def was_silent(self) -> None:
        """Note that another server has answered where this one has not."""
        self._silent_until = asyncio.get_running_loop().time() + _SILENT_FOR

    @abstractmethod
    async def _exchange(self, request: QueryMessage, patience: float) -> Answer: ...

    async def _read(self, request: QueryMessage, wire: bytes) -> Answer | None:
        async with self._reading if len(wire) > _PAYLOAD else nullcontext():
            return await read_answer(request, wire)

    async def _over_stream(
        self, request: QueryMessage, address: str, port: int, **tls: Any
    ) -> Answer:
        reader, writer = await asyncio.open_connection(address, port, **tls)
        try:
            writer.write(request.to_wire(prepend_length=True))
            length = int.from_bytes(await reader.readexactly(2))
            wire = await reader.readexactly(length)
        finally:
            writer.transport.abort()  # close() would wait for the server to agree
        return _responding(await self._read(request, wire))


def _responding(answer: Answer | None) -> Answer:
    if answer is None:
        raise dns.query.BadResponse
    return answer


class PlainServer(Server):
    """DNS over UDP, and over TCP what is too long for that."""

    def __init__(self, address: str, port: int = 53) -> None:
        super().__init__()
        self.address = address
        self.port = port

    def __str__(self) -> str:
        return f"Do53:{self.address}@{self.port}"

    async def _exchange(self, request: QueryMessage, patience: float) -> Answer:
        answer = await self._over_udp(request, patience)
        if answer.is_truncated:
            return await self._over_stream(request, self.address, self.port)
        return answer

    async def _over_udp(self, request: QueryMessage, patience: float) -> Answer:
        """Ask by one socket, so that a late answer to the first try is still an answer."""
        loop = asyncio.get_running_loop()
        ((family, kind, protocol, _, destination), *_) = socket.getaddrinfo(
            self.address, self.port, type=socket.SOCK_DGRAM, flags=socket.AI_NUMERICHOST
        )
        with socket.socket(family, kind, protocol) as sock:
            sock.setblocking(False)
            # The system then tells when nobody listens, and keeps away what others send.
            sock.connect(destination)
            resend = _Resending(sock, request, patience)
            try:
                while True:
                    wire = await loop.sock_recv(sock, _LONGEST)
                    with suppress(dns.exception.DNSException):
                        if wire.startswith(request.id.to_bytes(2)):
                            answer = await self._read(request, wire)
                            if answer is not None:
                                return answer
                    # While more has come already, `sock_recv` does not wait, and nothing else runs.
                    await asyncio.sleep(0)
            finally:
                resend.stop()


class _Resending:
    """Sends a question, and again after `patience` seconds, after twice that, and so on.

    Again without EDNS, for there are ways on which only that is lost.
    """

    def __init__(self, sock: socket.socket, request: QueryMessage, patience: float) -> None:
        self._sock = sock
        self._request = request
        self._pause = patience
        sock.send(request.to_wire())
        self._timer = asyncio.get_running_loop().call_later(patience, self._again)

    def _again(self) -> None:
        self._pause *= 2
        self._timer = asyncio.get_running_loop().call_later(self._pause, self._again)
        self._request.use_edns(False)
        with suppress(OSError):  # as if it had been lost; who receives hears of what stays so
            self._sock.send(self._request.to_wire())

    def stop(self) -> None:
        self._timer.cancel()


class TlsServer(Server):
    """DNS over TLS. dnspython's own makes an `SSLContext` for each question: 20 ms."""

    def __init__(self, address: str, port: int, name: str, context: ssl.SSLContext) -> None:
        super().__init__()
        self.address = address
        self.port = port
        self.name = name
        self._context = context
        context.set_alpn_protocols(["dot"])

    def __str__(self) -> str:
        return f"DoT:{self.address}@{self.port}"

    async def _exchange(self, request: QueryMessage, patience: float) -> Answer:
        return await self._over_stream(
            request, self.address, self.port, ssl=self._context, server_hostname=self.name
        )


class HttpsServer(Server):
    """DNS over HTTPS, at `address` if that is given.

    httpx2 does not close its socket when it is cancelled amid a TLS handshake; that is done here.
    """

    def __init__(self, url: str, address: str | None, context: ssl.SSLContext) -> None:
        super().__init__()
        self.url = url
        self.address = address
        self._context = context

    def __str__(self) -> str:
        return self.url

    async def _exchange(self, request: QueryMessage, patience: float) -> Answer:
        connected: list[Any] = []
        try:
            wire = await self._post(request.to_wire(), connected)
        except Exception as error:  # its first line: what the server sent may be below it
            tls_error = tls_error_behind(error)
            told = str(error) if tls_error is None else tls_in_words(tls_error)
            raise OSError(told.partition("\n")[0] or type(error).__name__) from error
        finally:
            for stream in connected:
                await stream.aclose()
        return _responding(await self._read(request, wire))

    async def _post(self, wire: bytes, connected: list[Any]) -> bytes:
        """Return the body of the response; put the open connections into `connected`."""
        import httpx2

        async def note(event: str, info: dict[str, Any]) -> None:
            if event.endswith("connect_tcp.complete"):
                connected.append(info["return_value"])

        backend: Any = dns.asyncbackend.get_backend("asyncio")
        transport = backend.get_transport_class()(
            http2=True, verify=self._context, bootstrap_address=self.address
        )
        kind = "application/dns-message"
        extensions: dict[str, Any] = {"trace": note}
        async with (
            httpx2.AsyncClient(transport=transport, timeout=None, trust_env=False) as client,
            client.stream(
                "POST",
                self.url,
                content=wire,
                headers={"Accept": kind, "Content-Type": kind, "Accept-Encoding": "identity"},
                extensions=extensions,
            ) as response,
        ):
            if not response.is_success:
                raise OSError(f"{self.url} responded with status code {response.status_code}")
            body = b""
            async for piece in response.aiter_raw():
                body += piece
                if len(body) > _LONGEST:
                    raise OSError(f"{self.url} responded with more than a message")
            return body
