"""A real Synapse takes the settings of its snippet, and publishes what was meant."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from http.client import HTTPConnection, HTTPException
from pathlib import Path

import attrs
import pytest
from programs import IP
from synapse_server import Synapse, synapse_python

from matrix_resolve.serving import (
    CLIENT_PATH,
    SERVER_PATH,
    Program,
    Setup,
    client_well_known_document,
    plan_setup,
    site_snippet,
)

NAME = "example.org"
EXTRA = {"org.example.setting": ["żółw: {a} # 'b'", 1, None]}


class SnippetSynapse(Synapse):
    """A Synapse that gets its listener, and what it publishes, from the snippet alone."""

    delegate_to: str | None = None

    def setup(self) -> Setup:
        """What is to be published, by a homeserver at the port that it has been given."""
        homeserver = "http://{}:{}".format(*self.address)
        setup = plan_setup(self.name, self.delegate_to, homeserver=homeserver)
        client = client_well_known_document(setup.client_url, EXTRA)
        return attrs.evolve(setup, documents=(setup.documents[0], client))

    def command(self) -> Sequence[str]:
        command = super().command()
        base = self.directory / "homeserver.yaml"
        settings = json.loads(base.read_text())
        for own in ("serve_server_wellknown", "listeners"):
            del settings[own]
        base.write_text(json.dumps(settings))
        snippet = self.directory / "snippet.yaml"
        snippet.write_text(site_snippet(Program.SYNAPSE, self.setup()).text)
        return [*command, "--config-path", str(snippet)]

    def get(self, path: str) -> tuple[int, bytes]:
        """Ask as a web server in front of it does."""
        connection = HTTPConnection(*self.address, timeout=5)
        try:
            headers = {"Host": self.name, "X-Forwarded-For": IP, "X-Forwarded-Proto": "https"}
            connection.request("GET", path, headers=headers)
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()

    def is_ready(self) -> bool:
        with suppress(OSError, HTTPException):
            return self.get("/health")[0] == 200
        return False


@contextmanager
def running(directory: Path, delegate_to: str | None) -> Iterator[SnippetSynapse]:
    """Run a Synapse that has been told to publish this delegation."""
    synapse = SnippetSynapse(synapse_python(), directory, NAME)
    synapse.delegate_to = delegate_to
    try:
        synapse.start()
        yield synapse
    finally:
        synapse.stop()


@pytest.mark.parametrize("delegate_to", [None, "hs.example.org:443"])
def test_synapse_publishes_what_it_can(tmp_path: Path, delegate_to: str | None) -> None:
    """Its own name at port 443 if that is meant, and else no delegation; and what clients need."""
    with running(tmp_path, delegate_to) as synapse:
        server, client = synapse.setup().documents
        status, body = synapse.get(SERVER_PATH)
        if delegate_to is None:
            assert (status, json.loads(body)) == (200, json.loads(server.body))
        else:
            assert status == 404
        status, body = synapse.get(CLIENT_PATH)
        assert status == 200
        published, wanted = json.loads(body), json.loads(client.body)
        wanted["m.homeserver"]["base_url"] += "/"  # which Synapse adds
        assert published == wanted
        assert synapse.get("/_matrix/client/versions")[0] == 200
        assert synapse.get("/_matrix/federation/v1/version")[0] == 200
