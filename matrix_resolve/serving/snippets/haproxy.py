"""HAProxy 2.4 and newer: https://docs.haproxy.org/."""

from typing import Final

from matrix_resolve.core.names import parse_ip_literal
from matrix_resolve.serving.documents import WellKnownDocument
from matrix_resolve.serving.setup import Homeserver, Setup, VirtualHost
from matrix_resolve.serving.snippets.lines import (
    AUTHORITIES,
    body_text,
    by_precedence,
    content_type,
    indented,
    other_headers,
)

_BACKEND: Final = "matrix_homeserver"


def document_lines(host: VirtualHost, document: WellKnownDocument) -> list[str]:
    """Return a rule of a frontend that answers with the document; single quotes keep all as is."""
    headers = " ".join(f"hdr {name} '{value}'" for name, value in other_headers(document))
    return [
        f"http-request return status 200 content-type '{content_type(document)}' {headers}"
        f" string '{body_text(document)}' if {{ path {document.path} }} {_is_for(host)}"
    ]


def proxy_lines(host: VirtualHost, homeserver: Homeserver) -> list[str]:
    """Return the rule of the frontend and, as lines not to be put into it, the backend."""
    return [
        _use_backend(host),
        "",
        "# This is a section of its own:",
        *_backend(homeserver),
    ]


def site_lines(setup: Setup) -> list[str]:
    """Return one frontend for all hosts, and the backend."""
    ports = sorted({port for host in setup.hosts for port in host.ports})
    rules = [
        "mode http",
        *[f"bind :::{port} v4v6 ssl crt /etc/haproxy/certs/ alpn h2,http/1.1" for port in ports],
        "timeout client 120s",
    ]
    for host in setup.hosts:
        for document in host.documents:
            rules += document_lines(host, document)
    rules += [_use_backend(host) for host in setup.hosts if host.homeserver is not None]
    lines = [
        "# In a frontend that you have for the same ports, only the rules are new: http-request",
        "# and use_backend. A .pem holds chain and key.",
        "frontend matrix",
        *indented(rules),
    ]
    homeserver = next(
        (host.homeserver for host in setup.hosts if host.homeserver is not None), None
    )
    if homeserver is not None:
        lines += ["", *_backend(homeserver)]
    return lines


def _certificates(setup: Setup, port: int) -> str:
    hosts = [host for host in by_precedence(setup) if port in host.ports]
    return " ".join(f"crt /etc/haproxy/certs/{host.bare_host}.pem" for host in hosts)


def _use_backend(host: VirtualHost) -> str:
    return f"use_backend {_BACKEND} if {{ path_beg /_matrix/ }} {_is_for(host)}"


def _is_for(host: VirtualHost) -> str:
    """Return the condition that a request is for this host, whatever port it names."""
    names = " ".join([host.host, *[f"{host.host}:{port}" for port in host.ports]])
    return f"{{ req.hdr(host) -i {names} }}"


def _backend(homeserver: Homeserver) -> list[str]:
    tls = ""
    if homeserver.is_https:
        tls = f" ssl verify required ca-file {AUTHORITIES}"
        if parse_ip_literal(homeserver.host.strip("[]")) is None:
            tls += f" sni str({homeserver.host})"
    return [
        f"backend {_BACKEND}",
        *indented(
            [
                "mode http",
                "option forwardfor",
                "http-request set-header X-Forwarded-Proto https",
                "timeout connect 5s",
                "timeout server 120s",
                f"server homeserver {homeserver.address}{tls}",
            ]
        ),
    ]
