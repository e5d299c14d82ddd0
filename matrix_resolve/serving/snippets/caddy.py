"""Caddy 2: https://caddyserver.com/docs/caddyfile."""

from typing import Final

from matrix_resolve.serving.arguments import HTTPS_PORT
from matrix_resolve.serving.documents import WellKnownDocument
from matrix_resolve.serving.setup import Homeserver, Setup, VirtualHost
from matrix_resolve.serving.snippets.lines import (
    body_text,
    by_precedence,
    content_type,
    indented,
    other_headers,
)

_TAB: Final = "\t"


def document_lines(_: VirtualHost, document: WellKnownDocument) -> list[str]:
    """Return a handler of the path that is the document; nothing is special within backticks."""
    headers = [("Content-Type", content_type(document)), *other_headers(document)]
    return [
        f"handle {document.path} {{",
        *indented([f'header {name} "{value}"' for name, value in headers], _TAB),
        *indented([f"respond `{body_text(document)}` 200"], _TAB),
        "}",
    ]


def proxy_lines(_: VirtualHost, homeserver: Homeserver) -> list[str]:
    """Return a handler that hands requests on; Caddy keeps Host and path, and has no limit."""
    return [
        "handle /_matrix/* {",
        *indented([f"reverse_proxy {homeserver.url}"], _TAB),
        "}",
    ]


def site_lines(setup: Setup) -> list[str]:
    """Return a site for each host; Caddy gets certificates by itself."""
    lines = ["# In a site that you have for the same address, only the handlers are new."]
    for host in by_precedence(setup):
        addresses = ", ".join(
            f"https://{host.host}" + ("" if port == HTTPS_PORT else f":{port}")
            for port in host.ports
        )
        handlers = []
        for document in host.documents:
            handlers += document_lines(host, document)
        if host.homeserver is not None:
            handlers += proxy_lines(host, host.homeserver)
        lines += ["", f"{addresses} {{", *indented(handlers, _TAB), "}"]
    return lines
