"""A real Synapse on loopback, from a virtual environment of its own."""

import json
import os
import secrets
import ssl
from base64 import b64encode
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from http.client import HTTPException, HTTPSConnection
from pathlib import Path
from typing import Any

import trustme
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from programs import IP, Server, not_installed

KEY_ID = "ed25519:test"

_VENV = Path(__file__).parents[2] / ".venv-synapse"


class Synapse(Server):
    """A homeserver named `name`, over TLS, with a certificate for that name, `IP` and "localhost".

    It publishes `/.well-known/matrix/server`, trusts no key server, and lets nobody register.
    """

    def __init__(self, python: Path, directory: Path, name: str) -> None:
        super().__init__(directory)
        self._python = python
        self.name = name
        authority = trustme.CA()
        self.ca_pem = authority.cert_pem.bytes()
        certificate = authority.issue_cert(name, "localhost", IP)
        certificate.private_key_and_cert_chain_pem.write_to_path(directory / "tls.pem")
        seed = secrets.token_bytes(32)
        (directory / "signing.key").write_text(f"{KEY_ID.replace(':', ' ')} {_base64(seed)}\n")
        key = Ed25519PrivateKey.from_private_bytes(seed).public_key()
        self.public_key = _base64(key.public_bytes_raw())

    def command(self) -> Sequence[str]:
        config = self.directory / "homeserver.yaml"
        config.write_text(json.dumps(self._settings()))  # JSON is YAML
        # Isolated (-I): nothing of the project's own environment is to be found.
        options = ["-I", "-m", "synapse.app.homeserver", "--config-path", str(config)]
        return [str(self._python), *options]

    def _settings(self) -> dict[str, Any]:
        ip, port = self.address
        listener = {
            "type": "http",
            "bind_addresses": [ip],
            "port": port,
            "tls": True,
            # Without "client" it does not serve anything under /.well-known.
            "resources": [{"names": ["client", "federation"]}],
        }
        return {
            "server_name": self.name,
            "serve_server_wellknown": True,
            "listeners": [listener],
            "tls_certificate_path": str(self.directory / "tls.pem"),
            "tls_private_key_path": str(self.directory / "tls.pem"),
            "signing_key_path": str(self.directory / "signing.key"),
            "database": {"name": "sqlite3", "args": {"database": str(self.directory / "sqlite")}},
            "enable_media_repo": False,
            "enable_registration": False,
            "macaroon_secret_key": secrets.token_hex(),
            "form_secret": secrets.token_hex(),
            "report_stats": False,
            "trusted_key_servers": [],
        }

    def is_ready(self) -> bool:
        context = ssl.create_default_context(cadata=self.ca_pem.decode("ascii"))
        connection = HTTPSConnection(*self.address, timeout=5, context=context)
        try:
            with suppress(OSError, HTTPException):
                connection.request("GET", "/health")
                return connection.getresponse().status == 200
        finally:
            connection.close()
        return False


def synapse_python() -> Path:
    """Return the interpreter of Synapse: `SYNAPSE_PYTHON`, else that of `.venv-synapse` here.

    Without one installed the test is skipped, in CI it fails.
    """
    # Absolute, as Synapse runs in a directory of its own; not resolved: a link is the environment.
    python = Path(os.environ.get("SYNAPSE_PYTHON") or _VENV / "bin" / "python").absolute()
    if not python.exists():
        not_installed("Synapse")
    return python


@contextmanager
def running_synapse(directory: Path, name: str) -> Iterator[Synapse]:
    """Run a Synapse."""
    synapse = Synapse(synapse_python(), directory, name)
    try:
        synapse.start()
        yield synapse
    finally:
        synapse.stop()


def _base64(octets: bytes) -> str:
    """Return unpadded base64, as Matrix has it."""
    return b64encode(octets).decode().rstrip("=")
