"""nginx: https://nginx.org/en/docs/http/ngx_http_core_module.html."""

from typing import Final

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

# A longer name does not fit the table of names that nginx has by default.
_LONGEST_NAME: Final = 46


def document_lines(_: VirtualHost, document: WellKnownDocument) -> list[str]:
    """Return a location that is the document; in single quotes nginx leaves \\u as it is."""
    headers = [f'add_header {name} "{value}" always;' for name, value in other_headers(document)]
    return [
        f"location = {document.path} {{",
        *indented(
            [
                f"default_type {content_type(document)};",
                *headers,
                f"return 200 '{body_text(document)}';",
            ]
        ),
        "}",
    ]


def proxy_lines(_: VirtualHost, homeserver: Homeserver) -> list[str]:
    """Return a location that hands requests on, their paths byte for byte."""
    directives = [
        "# No path after the port: signatures cover the path as it was sent.",
        f"proxy_pass {homeserver.url};",
        "proxy_http_version 1.1;",
        "proxy_set_header Host $http_host;",
        "proxy_set_header X-Forwarded-For $remote_addr;",
        "proxy_set_header X-Forwarded-Proto $scheme;",
        "# Transactions and uploads are larger than the 1 MB that nginx takes by default.",
        "client_max_body_size 50M;",
    ]
    if homeserver.is_https:
        directives += [
            "proxy_ssl_server_name on;",
            "proxy_ssl_verify on;",
            "proxy_ssl_verify_depth 3;",
            f"proxy_ssl_trusted_certificate {AUTHORITIES};",
        ]
    return ["location ^~ /_matrix/ {", *indented(directives), "}"]


def site_lines(setup: Setup) -> list[str]:
    """Return a server block for each host."""
    lines = [
        "# In a server block that you have for the same name and port, only the locations are new.",
    ]
    if any(len(host.host) > _LONGEST_NAME for host in setup.hosts):
        lines.append("server_names_hash_bucket_size 512;  # for so long a name")
    for host in by_precedence(setup):
        lines += ["", *_block(host)]
    return lines


def _block(host: VirtualHost) -> list[str]:
    directives = []
    for port in host.ports:
        directives += [f"listen {port} ssl;", f"listen [::]:{port} ssl;"]
    certificates = f"/etc/letsencrypt/live/{host.bare_host}"
    directives += [
        f"server_name {host.host};",
        f"ssl_certificate {certificates}/fullchain.pem;",
        f"ssl_certificate_key {certificates}/privkey.pem;",
    ]
    for document in host.documents:
        directives += ["", *document_lines(host, document)]
    if host.homeserver is not None:
        directives += ["", *proxy_lines(host, host.homeserver)]
    return ["server {", *indented(directives), "}"]
