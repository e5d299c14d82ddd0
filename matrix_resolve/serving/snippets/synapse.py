"""Synapse's own setting, in homeserver.yaml.

It publishes `<server_name>:443` and nothing else, and only on a listener with the resource
`client`: with `federation` alone the setting does nothing, and nothing says so.
"""

import json
from collections.abc import Mapping
from typing import Any

from matrix_resolve.core.names import parse_ip_literal
from matrix_resolve.serving.arguments import HTTPS_PORT
from matrix_resolve.serving.documents import CLIENT_PATH, SERVER_PATH, WellKnownDocument
from matrix_resolve.serving.setup import Homeserver, Setup, VirtualHost


def document_lines(host: VirtualHost, document: WellKnownDocument) -> list[str]:
    """Return the settings by which Synapse serves the document, or the comment that none does."""
    content = json.loads(document.body)
    if document.path == SERVER_PATH:
        own = f"{host.host}:{HTTPS_PORT}"
        if content["m.server"].lower() == own:
            return ["serve_server_wellknown: true"]
        return [
            f"# {SERVER_PATH}: Synapse can publish {own} and nothing else, so leave",
            "# serve_server_wellknown off and have the web server publish the document.",
        ]
    if document.path == CLIENT_PATH:
        return _client_lines(content)
    return [f"# {document.path}: Synapse has no setting for it; the web server publishes it."]


def proxy_lines(_: VirtualHost, homeserver: Homeserver) -> list[str]:
    """Return a listener for the web server to hand requests on to."""
    return [
        "listeners:",
        "  - type: http",
        f"    port: {homeserver.port}",
        f"    bind_addresses: {_yaml(_addresses(homeserver))}",
        f"    tls: {_yaml(homeserver.is_https)}",
        "    x_forwarded: true",
        "    resources:",
        "      # Without client nothing under /.well-known is served, and nothing says so.",
        "      - names: [client, federation]",
    ]


def site_lines(setup: Setup) -> list[str]:
    """Return the settings for all documents, and the listener."""
    own = setup.hosts[0]
    lines = []
    for document in setup.documents:
        lines += document_lines(own, document)
    if setup.homeserver is not None:
        lines += proxy_lines(own, setup.homeserver)
    else:
        lines += ['# One of the listeners must have "client" among the names of its resources.']
    return [
        *lines,
        f"# https://{own.host}/.well-known/matrix/ must lead to that listener: what",
        "# Synapse serves is not to be served by the web server too.",
    ]


def _client_lines(content: Mapping[str, Any]) -> list[str]:
    base_url = content["m.homeserver"]["base_url"]
    extra = {key: value for key, value in content.items() if key != "m.homeserver"}
    lines = [f"public_baseurl: {_yaml(base_url)}"]
    if extra:
        lines.append(f"extra_well_known_client_content: {_yaml(extra)}")
    return lines


def _addresses(homeserver: Homeserver) -> list[str]:
    """Return the addresses to listen at, to be reached by that name."""
    host = homeserver.host.strip("[]")
    if parse_ip_literal(host) is not None:
        return [host]
    return ["::1", "127.0.0.1"] if host.lower() == "localhost" else ["::", "0.0.0.0"]


def _yaml(value: object) -> str:
    return json.dumps(value)  # JSON is YAML
