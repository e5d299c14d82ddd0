"""Name servers as they are spelled, and those that are asked over TLS and HTTPS."""

import asyncio
import os
import re
import ssl
from typing import Any, Final

import dns.asyncquery
import dns.exception
import dns.nameserver
import dns.query
from dns.message import Message, QueryMessage, from_wire

from matrix_resolve.core.names import ServerName
from matrix_resolve.errors import shown

_SPELLING: Final = re.compile(r"(?:(tls|https)://)?([^/#]+)(/[$-~!]*)?(?:#(.+))?")


def read_nameserver(text: str, ca_file: str | os.PathLike[str] | None) -> dns.nameserver.Nameserver:
    """Return the server that `text` spells; raise `ValueError` if it spells none.

    `ca_file`: the authorities to trust instead of the system's; `OSError` if it can't be used.
    """
    wrong = ValueError(
        f"{shown(text)} is neither ADDRESS[:PORT] nor tls://ADDRESS[:PORT][#NAME]"
        " nor https://HOST[:PORT]/PATH[#ADDRESS]"
    )
    parts = _SPELLING.fullmatch(text)
    if parts is None:
        raise wrong
    scheme, where, path, extra = parts.groups()
    try:
        server = _host(where)
        more = _host(extra) if extra else None
    except ValueError as error:
        raise wrong from error
    address = str(server.ip_address or "")
    if more is not None and more.port is not None:
        raise wrong
    if scheme is None and address and not path and more is None:
        return dns.nameserver.Do53Nameserver(address, server.port or 53)
    if scheme == "tls" and address and not path:
        name = address if more is None else more.canonical_host
        return _DotServer(address, server.port or 853, name, _ssl_context(ca_file))
    if scheme == "https" and path and (more is None or more.is_ip_literal):
        address = address if more is None else more.canonical_host
        return _DohServer(f"https://{server}{path}", address or None, _ssl_context(ca_file))
    raise wrong


def _host(text: str) -> ServerName:
    return ServerName.parse(f"[{text}]" if text.count(":") > 1 and "[" not in text else text)


def _ssl_context(ca_file: str | os.PathLike[str] | None) -> Any:
    """Return the TLS settings for one server; they can't be shared, as httpx2 changes them.

    They may stand for `verify` in dnspython, though its type there does not say so.
    """
    context = ssl.create_default_context(cafile=ca_file)
    context.hostname_checks_common_name = False
    return context


class _DotServer(dns.nameserver.DoTNameserver):
    """DNS over TLS. dnspython's own makes an `SSLContext` for each question: 20 ms."""

    def __init__(self, address: str, port: int, name: str, context: ssl.SSLContext) -> None:
        super().__init__(address, port, name)
        self._context = context
        context.set_alpn_protocols(["dot"])

    async def async_query(self, request: QueryMessage, *_: Any, **settings: Any) -> Message:
        try:
            async with asyncio.timeout(settings["timeout"]):
                reader, writer = await asyncio.open_connection(
                    self.address, self.port, ssl=self._context, server_hostname=self.hostname
                )
                try:
                    writer.write(request.to_wire(prepend_length=True))
                    length = int.from_bytes(await reader.readexactly(2))
                    response = from_wire(await reader.readexactly(length))
                finally:
                    writer.transport.abort()  # close() would wait for the server to agree
        except TimeoutError as error:  # an OSError: dnspython would not ask this server again
            raise dns.exception.Timeout from error
        if not request.is_response(response):
            raise dns.query.BadResponse
        return response


class _DohServer(dns.nameserver.DoHNameserver):
    """DNS over HTTPS. dnspython's own would ask a server that fails until the time is over.

    Nor does httpx2 close its socket when it is cancelled amid a TLS handshake; that is done here.
    """

    async def async_query(self, request: QueryMessage, *_: Any, **settings: Any) -> Message:
        import httpx2

        connected: list[Any] = []

        async def note(event: str, info: dict[str, Any]) -> None:
            if event.endswith("connect_tcp.complete"):
                connected.append(info["return_value"])

        async def trace(request: httpx2.Request) -> None:
            request.extensions["trace"] = note

        try:
            transport = settings["backend"].get_transport_class()(
                http2=True, verify=self.verify, bootstrap_address=self.bootstrap_address
            )
            async with httpx2.AsyncClient(
                transport=transport, event_hooks={"request": [trace]}, timeout=None, trust_env=False
            ) as client:
                return await dns.asyncquery.https(
                    request, self.url, settings["timeout"], client=client
                )
        except dns.exception.Timeout:
            raise
        except Exception as error:  # its first line: what the server sent may be below it
            raise OSError(str(error).partition("\n")[0] or type(error).__name__) from error
        finally:
            for stream in connected:
                await stream.aclose()
