"""Key documents as a server makes them, signed by code that owes nothing to what is tested."""

import base64
import json
from collections.abc import Iterable
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

NAME = "example.org"
NOW = 1_795_665_600.0
DAY_MS = 86_400_000


def unpadded(raw: bytes) -> str:
    """Return unpadded base64, as the specification wants it."""
    return base64.b64encode(raw).decode().rstrip("=")


class SigningKey:
    """A key of a server's, made for one test."""

    def __init__(self, version: str = "a_1") -> None:
        self.id = f"ed25519:{version}"
        self._key = Ed25519PrivateKey.generate()
        self.public = self._key.public_key().public_bytes_raw()

    def sign(self, content: dict[str, Any]) -> str:
        """Return the signature of an object, as the specification's own code makes it."""
        rest = {key: content[key] for key in content if key not in ("signatures", "unsigned")}
        text = json.dumps(rest, ensure_ascii=False, separators=(",", ":"), sort_keys=True)
        return unpadded(self._key.sign(text.encode()))


def key_document(keys: Iterable[SigningKey], **members: Any) -> dict[str, Any]:
    """Return a good document with `keys`, or one with other members, signed with each key."""
    keys = list(keys)
    content = {
        "server_name": NAME,
        "valid_until_ts": int(NOW * 1000) + DAY_MS,
        "verify_keys": {key.id: {"key": unpadded(key.public)} for key in keys},
        "old_verify_keys": {},
    } | members
    content = {name: value for name, value in content.items() if value is not ...}
    signer = content.get("server_name")
    signer = signer if isinstance(signer, str) else NAME
    return {"signatures": {signer: {key.id: key.sign(content) for key in keys}}} | content
