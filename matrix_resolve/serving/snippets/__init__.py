"""How to publish the documents with the programs of others, as text to copy.

lines.py                                  documents as text that is safe in any configuration
nginx.py caddy.py apache.py haproxy.py    one web server each: a document, the way to the
                                          homeserver, a whole site
synapse.py                                Synapse's own setting
"""

from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Any, Final

from attrs import frozen

from matrix_resolve.core.names import ServerName
from matrix_resolve.serving.arguments import parsed_name
from matrix_resolve.serving.documents import (
    WellKnownDocument,
    client_well_known_document,
    well_known_document,
)
from matrix_resolve.serving.setup import Homeserver, Setup, VirtualHost, in_brackets
from matrix_resolve.serving.snippets import apache, caddy, haproxy, nginx, synapse
from matrix_resolve.serving.snippets.lines import checked, text_of


class Program(StrEnum):
    """The programs that there are snippets for."""

    NGINX = "nginx"
    CADDY = "caddy"
    APACHE = "apache"
    HAPROXY = "haproxy"
    SYNAPSE = "synapse"

    @property
    def label(self) -> str:
        """The name as its makers write it."""
        return _LABELS[self]


_LABELS: Final = {
    Program.NGINX: "nginx",
    Program.CADDY: "Caddy",
    Program.APACHE: "Apache httpd",
    Program.HAPROXY: "HAProxy",
    Program.SYNAPSE: "Synapse",
}


@frozen(kw_only=True)
class Snippet:
    """Configuration of `program`: `text` belongs into the file `path`, customarily.

    `files`, (path, content) pairs, have to be there too: Apache httpd serves files only.
    """

    program: Program
    path: str
    text: str
    files: tuple[tuple[str, bytes], ...] = ()


@frozen(kw_only=True)
class _Writer:
    """What writes for one program."""

    path: str
    document: Callable[[VirtualHost, WellKnownDocument], list[str]]
    proxy: Callable[[VirtualHost, Homeserver], list[str]]
    site: Callable[[Setup], list[str]]


_WRITERS: Final[Mapping[Program, _Writer]] = {
    Program.NGINX: _Writer(
        path="/etc/nginx/conf.d/matrix.conf",
        document=nginx.document_lines,
        proxy=nginx.proxy_lines,
        site=nginx.site_lines,
    ),
    Program.CADDY: _Writer(
        path="/etc/caddy/Caddyfile",
        document=caddy.document_lines,
        proxy=caddy.proxy_lines,
        site=caddy.site_lines,
    ),
    Program.APACHE: _Writer(
        path="/etc/apache2/sites-available/matrix.conf",
        document=apache.document_lines,
        proxy=apache.proxy_lines,
        site=apache.site_lines,
    ),
    Program.HAPROXY: _Writer(
        path="/etc/haproxy/haproxy.cfg",
        document=haproxy.document_lines,
        proxy=haproxy.proxy_lines,
        site=haproxy.site_lines,
    ),
    Program.SYNAPSE: _Writer(
        path="/etc/matrix-synapse/homeserver.yaml",
        document=synapse.document_lines,
        proxy=synapse.proxy_lines,
        site=synapse.site_lines,
    ),
}


def site_snippet(program: Program, setup: Setup) -> Snippet:
    """Return the whole configuration that `setup` asks of a program, from the certificate on.

    Certificates are named as Let's Encrypt's client does it. `ValueError` for a document that
    can't stand in a configuration: one of over 3.5 kB, or with headers of another kind than ours.
    """
    own = setup.hosts[0]
    documents = [checked(document) for document in setup.documents]
    files = [
        (apache.document_file(own, document), document.body)
        for document in documents
        if program is Program.APACHE
    ]
    writer = _WRITERS[program]
    return Snippet(
        program=program,
        path=writer.path,
        text=text_of(writer.site(setup)),
        files=tuple(files),
    )


def server_document_snippet(
    program: Program, server_name: str | ServerName, delegate_to: str | ServerName | None = None
) -> str:
    """Return what to add to the site of `server_name` so that it serves the server document.

    The arguments and errors are those of `well_known_document`.
    """
    return _document_snippet(program, server_name, well_known_document(server_name, delegate_to))


def client_document_snippet(
    program: Program,
    server_name: str | ServerName,
    homeserver_url: str,
    extra: Mapping[str, Any] | None = None,
) -> str:
    """Return what to add to the site of `server_name` so that it serves the client document.

    The arguments and errors are those of `client_well_known_document`.
    """
    document = client_well_known_document(homeserver_url, extra)
    return _document_snippet(program, server_name, document)


def proxy_snippet(program: Program, host: str | ServerName, homeserver: str) -> str:
    """Return what to add to the site of `host` so that `/_matrix/` goes on to the homeserver.

    `host` is where peers connect to, with the port if it has one; `homeserver` the URL behind the
    web server, as `http://127.0.0.1:8008`. `ValueError` for one that has a path.
    """
    name = parsed_name(host, "host")
    ports = (name.port,) if name.port is not None else ()
    at = VirtualHost(host=in_brackets(name).lower(), ports=ports)
    return text_of(_WRITERS[program].proxy(at, Homeserver.parse(homeserver)))


def _document_snippet(
    program: Program, server_name: str | ServerName, document: WellKnownDocument
) -> str:
    host = VirtualHost(host=in_brackets(parsed_name(server_name, "server_name")).lower())
    lines = _WRITERS[program].document(host, checked(document))
    if program is Program.APACHE:
        file = apache.document_file(host, document)
        lines = [f"# {file} holds: {document.body.decode()}", *lines]
    return text_of(lines)
