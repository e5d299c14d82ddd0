"""TLS handshakes to look at: what a server shows, and why a peer would not go on."""

import asyncio
import socket
import ssl
from contextlib import suppress
from typing import Final

from attrs import evolve

from matrix_resolve.checking.certificates import read_certificate
from matrix_resolve.checking.facts import VERSION_PATH, Certificate, TlsFacts, TlsProblem
from matrix_resolve.transport.attempts import SocketAddress
from matrix_resolve.transport.words import in_words

# Verification results of OpenSSL (x509_vfy.h) that have a name here.
_NOT_YET_VALID: Final = 9
_EXPIRED: Final = 10
_SELF_SIGNED: Final = 18
_UNKNOWN_ISSUER: Final = frozenset({2, 19, 20, 21})
_OTHER_NAME: Final = frozenset({62, 64})

_TOO_OLD: Final = frozenset({"SSLv3", "TLSv1", "TLSv1.1"})
# What OpenSSL says of bytes that are no TLS, and of a server that has no version in common with us.
_NOT_TLS: Final = frozenset(
    {
        "WRONG_VERSION_NUMBER",
        "RECORD_LAYER_FAILURE",
        "PACKET_LENGTH_TOO_LONG",
        "HTTP_REQUEST",
        "UNEXPECTED_EOF_WHILE_READING",
    }
)
# How OpenSSL's names of alerts begin that the other side has sent.
_ALERTS: Final = ("SSLV3_ALERT", "TLSV1_", "TLSV13_ALERT")
# Bytes to take in at once.
_PIECE: Final = 16 * 1024
# Seconds for an answer without TLS.
_PLAIN_SECONDS: Final = 2.0


class TlsInspector:
    """Looks at what a server shows in the handshake. `ssl_context` is what peers verify by."""

    def __init__(self, ssl_context: ssl.SSLContext) -> None:
        self._verifying = ssl_context
        self._trusting = _trusting_context()

    async def look(self, at: SocketAddress, name: str, *, seconds: float) -> TlsFacts:
        """Return what is shown to who asks for `name` at an IP address and port.

        `name` is a DNS name or an IP address, which is not sent. A certificate that does not pass
        is read on a second connection; on neither anything is sent after the handshake.
        """
        try:
            version, certificate = await _handshake(at, self._verifying, name, seconds)
        except ssl.SSLCertVerificationError as error:
            shown = await self._read(at, name, seconds)
            problem = _of_certificate(error.verify_code, name, shown.certificate)
            return TlsFacts(
                server_hostname=name,
                version=shown.version,
                problem=problem,
                reason=in_words(error),
                certificate=shown.certificate,
            )
        except (OSError, TimeoutError) as error:
            return await self._without(at, name, error, seconds)
        return TlsFacts(server_hostname=name, version=version, certificate=certificate)

    async def look_without_name(self, at: SocketAddress, *, seconds: float) -> TlsFacts:
        """Return what is shown to who names no server. Nothing is verified."""
        return await self._read(at, None, seconds)

    async def _read(self, at: SocketAddress, name: str | None, seconds: float) -> TlsFacts:
        try:
            version, certificate = await _handshake(at, self._trusting, name, seconds)
        except (OSError, TimeoutError) as error:
            problem = _of_handshake(error)
            return TlsFacts(server_hostname=name, problem=problem, reason=_told(error))
        return TlsFacts(server_hostname=name, version=version, certificate=certificate)

    async def _without(
        self, at: SocketAddress, name: str, error: OSError, seconds: float
    ) -> TlsFacts:
        """Return why there was no handshake to the end."""
        problem = _of_handshake(error)
        if problem is not TlsProblem.TIMEOUT:
            shown = await self._read(at, name, seconds)
            if shown.version in _TOO_OLD:
                return evolve(shown, problem=TlsProblem.TOO_OLD, reason=_told(error))
        if problem is not TlsProblem.ALERT and await _speaks_http(at):
            problem = TlsProblem.PLAIN_HTTP
        return TlsFacts(server_hostname=name, problem=problem, reason=_told(error))


async def connect(at: SocketAddress, *, seconds: float) -> socket.socket:
    """Return a TCP connection to an IP address and port. Raises `OSError`, `TimeoutError`."""
    family = socket.AF_INET6 if ":" in at[0] else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        sock.setblocking(False)
        async with asyncio.timeout(seconds):
            await asyncio.get_running_loop().sock_connect(sock, at)
    except BaseException:
        sock.close()
        raise
    return sock


async def _handshake(
    at: SocketAddress, context: ssl.SSLContext, name: str | None, seconds: float
) -> tuple[str | None, Certificate | None]:
    """Return the version and the certificate of a handshake, and hang up.

    Not by a transport: of those each keeps a large buffer until the next collection of garbage.
    """
    received, to_send = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context.wrap_bio(received, to_send, server_hostname=name)
    sock = await connect(at, seconds=seconds)
    with sock:
        async with asyncio.timeout(seconds):
            await _shake_hands(tls, sock, received, to_send)
    der = tls.getpeercert(binary_form=True)
    return tls.version(), None if der is None else read_certificate(der)


async def _shake_hands(
    tls: ssl.SSLObject, sock: socket.socket, received: ssl.MemoryBIO, to_send: ssl.MemoryBIO
) -> None:
    loop = asyncio.get_running_loop()
    while True:
        try:
            tls.do_handshake()
            break
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLError:
            with suppress(OSError):  # the alert tells the server what is wrong
                await loop.sock_sendall(sock, to_send.read())
            raise
        await loop.sock_sendall(sock, to_send.read())
        data = await loop.sock_recv(sock, _PIECE)
        if not data:
            raise ConnectionResetError("the server hung up in the TLS handshake")
        received.write(data)
    await loop.sock_sendall(sock, to_send.read())


async def _speaks_http(at: SocketAddress) -> bool:
    """Return whether a request without TLS is answered."""
    loop = asyncio.get_running_loop()
    request = f"GET {VERSION_PATH} HTTP/1.1\r\nHost: {at[0]}\r\nConnection: close\r\n\r\n"
    with suppress(OSError, TimeoutError):
        sock = await connect(at, seconds=_PLAIN_SECONDS)
        with sock:
            async with asyncio.timeout(_PLAIN_SECONDS):
                await loop.sock_sendall(sock, request.encode())
                return (await loop.sock_recv(sock, 16)).startswith(b"HTTP/")
    return False


def _of_handshake(error: OSError) -> TlsProblem:
    if isinstance(error, TimeoutError):
        return TlsProblem.TIMEOUT
    if isinstance(error, ssl.SSLError) and error.reason not in _NOT_TLS:
        return TlsProblem.ALERT if str(error.reason).startswith(_ALERTS) else TlsProblem.OTHER
    return TlsProblem.NO_TLS


def _of_certificate(code: int, name: str, certificate: Certificate | None) -> TlsProblem:
    if code in _OTHER_NAME:
        subject = None if certificate is None else certificate.common_name
        in_subject = subject is not None and subject.lower() == name
        return TlsProblem.COMMON_NAME_ONLY if in_subject else TlsProblem.WRONG_NAME
    if code in _UNKNOWN_ISSUER:
        return TlsProblem.UNKNOWN_ISSUER
    named = {
        _NOT_YET_VALID: TlsProblem.NOT_YET_VALID,
        _EXPIRED: TlsProblem.EXPIRED,
        _SELF_SIGNED: TlsProblem.SELF_SIGNED,
    }
    return named.get(code, TlsProblem.OTHER)


def _told(error: BaseException) -> str:
    return "no TLS handshake in time" if isinstance(error, TimeoutError) else in_words(error)


def _trusting_context() -> ssl.SSLContext:
    """Return settings that take whatever a server shows, to read it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.set_alpn_protocols(["http/1.1"])
    return context
