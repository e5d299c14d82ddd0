"""Apache httpd 2.4: https://httpd.apache.org/docs/2.4/. It has no way to answer with a text,
so documents are files."""

from matrix_resolve.serving.arguments import HTTPS_PORT
from matrix_resolve.serving.documents import WellKnownDocument
from matrix_resolve.serving.setup import Homeserver, Setup, VirtualHost
from matrix_resolve.serving.snippets.lines import (
    AUTHORITIES,
    by_precedence,
    content_type,
    indented,
    other_headers,
)


def document_file(host: VirtualHost, document: WellKnownDocument) -> str:
    """Return the path of the file that holds the document."""
    return f"/var/www/matrix/{host.bare_host}/{document.path.rpartition('/')[2]}.json"


def document_lines(host: VirtualHost, document: WellKnownDocument) -> list[str]:
    """Return where the file is to be seen, and its headers."""
    directives = [
        f"ForceType {content_type(document)}",
        *[f'Header always set {name} "{value}"' for name, value in other_headers(document)],
        "Require all granted",
    ]
    return [
        f'Alias "{document.path}" "{document_file(host, document)}"',
        f'<Location "{document.path}">',
        *indented(directives),
        "</Location>",
    ]


def proxy_lines(_: VirtualHost, homeserver: Homeserver) -> list[str]:
    """Return what hands requests on, their paths byte for byte."""
    if homeserver.is_https:
        way = [
            "# With On the homeserver's certificate would have to be for the Host of the request.",
            "ProxyPreserveHost Off",
            "SSLProxyEngine On",
            "SSLProxyVerify require",
            "SSLProxyVerifyDepth 3",
            f"SSLProxyCACertificateFile {AUTHORITIES}",
        ]
    else:
        way = ["ProxyPreserveHost On"]
    return [
        "# NoDecode and nocanon: signatures cover the path as it was sent.",
        "AllowEncodedSlashes NoDecode",
        *way,
        'RequestHeader set X-Forwarded-Proto "https"',
        f'ProxyPass "/_matrix/" "{homeserver.url}/_matrix/" nocanon',
        f'ProxyPassReverse "/_matrix/" "{homeserver.url}/_matrix/"',
    ]


def site_lines(setup: Setup) -> list[str]:
    """Return a virtual host for each host."""
    modules = "headers ssl"
    if any(host.homeserver is not None for host in setup.hosts):
        modules += " proxy proxy_http"
    lines = [
        f"# Modules: a2enmod {modules}",
        "# In a <VirtualHost> that you have for the same name and port, only what stands below",
        '# the certificate is new; before any ProxyPass of "/".',
    ]
    ports = sorted({port for host in setup.hosts for port in host.ports} - {HTTPS_PORT})
    lines += [f"Listen {port}" for port in ports]
    for host in by_precedence(setup):
        lines += ["", *_block(host)]
    return lines


def _block(host: VirtualHost) -> list[str]:
    certificates = f"/etc/letsencrypt/live/{host.bare_host}"
    named = "ServerAlias" if ":" in host.host else "ServerName"  # which takes no IPv6 address
    directives = [
        f"{named} {host.host}",
        "SSLEngine On",
        f'SSLCertificateFile "{certificates}/fullchain.pem"',
        f'SSLCertificateKeyFile "{certificates}/privkey.pem"',
    ]
    for document in host.documents:
        directives += ["", *document_lines(host, document)]
    if host.homeserver is not None:
        directives += ["", *proxy_lines(host, host.homeserver)]
    addresses = " ".join(f"*:{port}" for port in host.ports)
    return [f"<VirtualHost {addresses}>", *indented(directives), "</VirtualHost>"]
