"""Name servers as they are spelled."""

import os
import re
import ssl
from typing import Final

import dns.exception
import dns.resolver

from matrix_resolve.backends.dns_dnspython.servers import (
    HttpsServer,
    PlainServer,
    Server,
    TlsServer,
)
from matrix_resolve.core.names import ServerName
from matrix_resolve.errors import shown

_SPELLING: Final = re.compile(r"(?:(tls|https)://)?([^/#]+)(/[$-~!]*)?(?:#(.+))?")


def read_nameserver(text: str, ca_file: str | os.PathLike[str] | None) -> Server:
    """Return the server that `text` spells; raise `ValueError` if it spells none.

    `ca_file`: the authorities to trust instead of the system's; `OSError` if it can't be used.
    """
    wrong = ValueError(
        f"{shown(text)} is neither ADDRESS[:PORT] nor tls://ADDRESS[:PORT][#NAME]"
        " nor https://HOST[:PORT]/PATH[#ADDRESS]"
    )
    parts = _SPELLING.fullmatch(text) if isinstance(text, str) else None
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
        return PlainServer(address, server.port or 53)
    if scheme == "tls" and address and not path:
        name = address if more is None else more.canonical_host
        return TlsServer(address, server.port or 853, name, _ssl_context(ca_file))
    if scheme == "https" and path and (more is None or more.is_ip_literal):
        address = address if more is None else more.canonical_host
        return HttpsServer(f"https://{server}{path}", address or None, _ssl_context(ca_file))
    raise wrong


def system_nameservers() -> list[Server]:
    """Return the servers that the system names; raise `ValueError` if they can't be told."""
    try:
        system = dns.resolver.Resolver()
    except dns.exception.DNSException as error:
        raise ValueError(f"the system's DNS servers can't be told: {error}") from error
    return [PlainServer(str(address), system.port) for address in system.nameservers]


def _host(text: str) -> ServerName:
    return ServerName.parse(f"[{text}]" if text.count(":") > 1 and "[" not in text else text)


def _ssl_context(ca_file: str | os.PathLike[str] | None) -> ssl.SSLContext:
    """Return the TLS settings for one server; they can't be shared, as httpx2 changes them."""
    context = ssl.create_default_context(cafile=ca_file)
    context.hostname_checks_common_name = False
    return context
