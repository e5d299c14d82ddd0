"""The other side: the documents under `/.well-known/matrix/` that a server publishes of itself.

documents.py   for peers and for clients
support.py     whom to ask about the server
routes.py      the documents as routes of aiohttp
setup.py       which document belongs where, and whether one is needed
snippets/      all that as configuration of nginx, Caddy, Apache httpd, HAProxy, Synapse
arguments.py   what is given, checked

All that can be wrong is refused when a document or route is made, so when the server starts.
"""

from matrix_resolve.serving.documents import (
    CLIENT_MAX_AGE,
    CLIENT_PATH,
    SERVER_MAX_AGE,
    SERVER_PATH,
    WellKnownDocument,
    client_well_known_document,
    well_known_document,
)
from matrix_resolve.serving.routes import document_routes, well_known_routes
from matrix_resolve.serving.setup import Setup, VirtualHost, plan_setup
from matrix_resolve.serving.snippets import (
    Program,
    Snippet,
    client_document_snippet,
    proxy_snippet,
    server_document_snippet,
    site_snippet,
)
from matrix_resolve.serving.support import (
    ADMIN_ROLE,
    SECURITY_ROLE,
    SUPPORT_MAX_AGE,
    SUPPORT_PATH,
    SupportContact,
    support_well_known_document,
)

__all__ = [
    "ADMIN_ROLE",
    "CLIENT_MAX_AGE",
    "CLIENT_PATH",
    "SECURITY_ROLE",
    "SERVER_MAX_AGE",
    "SERVER_PATH",
    "SUPPORT_MAX_AGE",
    "SUPPORT_PATH",
    "Program",
    "Setup",
    "Snippet",
    "SupportContact",
    "VirtualHost",
    "WellKnownDocument",
    "client_document_snippet",
    "client_well_known_document",
    "document_routes",
    "plan_setup",
    "proxy_snippet",
    "server_document_snippet",
    "site_snippet",
    "support_well_known_document",
    "well_known_document",
    "well_known_routes",
]
