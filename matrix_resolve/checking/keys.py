"""The signing keys that a server publishes (server-server API, "Publishing Keys").

`read_key_document` is given what a server has sent for `GET /_matrix/key/v2/server`, and never
raises for it. Whatever comes out is short printable ASCII, or a number: anybody may have written
the document.
"""

import hashlib
import json
import re
from collections.abc import Iterator
from typing import Any, Final

from attrs import field, frozen

from matrix_resolve.checking.canonical_json import MOST_BYTES, canonical_json, read_json
from matrix_resolve.checking.key_document import (
    MOST_KEYS,
    KeyDocument,
    KeyFault,
    OldVerifyKey,
    VerifyKey,
)
from matrix_resolve.checking.signatures import Unverifiable, decoded, is_signed, is_weak
from matrix_resolve.errors import readable, shown

_HOUR: Final = 3600
_ED25519: Final = "ed25519"
_KEY_BYTES: Final = 32
_SIGNATURE_BYTES: Final = 64
_KEY_ID: Final = re.compile(r"[a-z0-9_]+:[A-Za-z0-9_]+")
_MOST_TOLD: Final = 255  # characters of a name or an id


def read_key_document(body: bytes, server_name: str, now: float) -> KeyDocument:
    """Read and verify what the server `server_name` has sent at `now` (Unix seconds).

    At most `MOST_KEYS` keys are read and `MOST_BYTES` of body. Signatures are looked for under the
    name that the document gives itself. To verify them needs the extra `check`.
    """
    if len(body) > MOST_BYTES:
        return _unread("too_large", f"{len(body)} bytes")
    try:
        read = read_json(body)
    except ValueError as error:
        return _unread("not_json", readable(error))
    if not isinstance(read.value, dict):
        return _unread("not_an_object", _told(read.value))
    reading = _Reading(read.value, server_name, now)
    for deviation in read.deviations:
        kind = deviation.kind.replace("_", " ")
        reading.fault("not_canonical", f"{kind}: {deviation.example}")
    return reading.read()


def _unread(code: str, detail: str) -> KeyDocument:
    return KeyDocument(
        not_verified_because="the document can't be read", faults=(KeyFault(code, detail),)
    )


@frozen
class _Reading:
    """One document while it is read."""

    content: dict[str, Any]
    expected: str
    now: float
    faults: list[KeyFault] = field(factory=list)
    unverifiable: list[str] = field(factory=list)

    def fault(self, code: str, detail: str) -> None:
        self.faults.append(KeyFault(code, detail))

    def read(self) -> KeyDocument:
        server_name = self._server_name()
        valid_until = self._valid_until()
        keys = tuple(self._verify_keys(self.expected if server_name is None else server_name))
        old = tuple(self._old_verify_keys())
        judged = {key.signature for key in keys if key.algorithm == _ED25519}
        if judged & {"wrong", "malformed", "missing"}:
            signatures = "faulty"
        else:
            signatures = "not verified" if self.unverifiable else "verified"
        return KeyDocument(
            server_name=None if server_name is None else readable(server_name, _MOST_TOLD),
            valid_until_ts=valid_until,
            verify_keys=keys,
            old_verify_keys=old,
            signatures=signatures,
            not_verified_because=self.unverifiable[0] if signatures == "not verified" else None,
            faults=tuple(self.faults),
        )

    def _server_name(self) -> str | None:
        name = self.content.get("server_name")
        if not isinstance(name, str):
            self.fault("server_name_missing", _member_told(self.content, "server_name"))
            return None
        if name != self.expected:
            self.fault("server_name_differs", f"{shown(name)}, not {shown(self.expected)}")
        return name

    def _valid_until(self) -> int | None:
        if "valid_until_ts" not in self.content:
            self.fault("valid_until_missing", _member_told(self.content, "valid_until_ts"))
            return None
        until = self.content["valid_until_ts"]
        if type(until) is not int:
            self.fault("valid_until_not_integer", _member_told(self.content, "valid_until_ts"))
            return None
        left = until / 1000 - self.now
        if left <= 0:
            self.fault("valid_until_past", f"{until} ms was {-left:.0f} s ago")
        elif left < _HOUR:
            self.fault("valid_until_soon", f"{until} ms is in {left:.0f} s")
        return until

    def _verify_keys(self, signer: str) -> Iterator[VerifyKey]:
        keys = self.content.get("verify_keys")
        if not isinstance(keys, dict) or not any(_algorithm(each) == _ED25519 for each in keys):
            self.fault("no_ed25519_key", _member_told(self.content, "verify_keys"))
            self.unverifiable.append("there is no ed25519 key")
        elif len(keys) > MOST_KEYS:
            self.unverifiable.append("not every key was looked at")
        signed = self._signed_bytes()
        for key_id, entry in self._first("verify_keys"):
            if not _KEY_ID.fullmatch(key_id):
                self.fault("key_id_malformed", shown(key_id))
            raw, algorithm = _key_bytes(entry), _algorithm(key_id)
            signature = "not verified"
            if raw is None:
                self.fault("key_malformed", f"{shown(key_id)}: {_member_told(entry, 'key')}")
            elif algorithm == _ED25519 and len(raw) != _KEY_BYTES:
                self.fault("key_wrong_length", f"{shown(key_id)} has {len(raw)} bytes")
            elif algorithm == _ED25519 and is_weak(raw):
                self.fault("key_weak", f"{shown(key_id)}: {raw.hex()}")
            elif algorithm == _ED25519:
                signature = self._signature(signer, key_id, raw, signed)
            if algorithm == _ED25519 and signature == "not verified":
                self.unverifiable.append("an ed25519 key can't be used")
            yield VerifyKey(
                id=readable(key_id, _MOST_TOLD),
                algorithm=readable(algorithm, _MOST_TOLD),
                fingerprint=_fingerprint(raw),
                signature=signature,
            )

    def _old_verify_keys(self) -> Iterator[OldVerifyKey]:
        if not isinstance(self.content.get("old_verify_keys", {}), dict):
            self.fault("old_key_malformed", _member_told(self.content, "old_verify_keys"))
        for key_id, entry in self._first("old_verify_keys"):
            raw, algorithm = _key_bytes(entry), _algorithm(key_id)
            expired = entry.get("expired_ts") if isinstance(entry, dict) else None
            if raw is None:
                self.fault("old_key_malformed", f"{shown(key_id)}: {_member_told(entry, 'key')}")
            elif algorithm == _ED25519 and len(raw) != _KEY_BYTES:
                self.fault("old_key_malformed", f"{shown(key_id)} has {len(raw)} bytes")
            elif type(expired) is not int:
                detail = f"{shown(key_id)}: {_member_told(entry, 'expired_ts')}"
                self.fault("old_key_malformed", detail)
            yield OldVerifyKey(
                id=readable(key_id, _MOST_TOLD),
                algorithm=readable(algorithm, _MOST_TOLD),
                fingerprint=_fingerprint(raw),
                expired_ts=expired if type(expired) is int else None,
            )

    def _first(self, where: str) -> list[tuple[str, Any]]:
        """Return the keys that are looked at."""
        keys = self.content.get(where)
        if not isinstance(keys, dict):
            return []
        if len(keys) > MOST_KEYS:
            self.fault("too_many_keys", f"{len(keys)} in {where}")
        return list(keys.items())[:MOST_KEYS]

    def _signed_bytes(self) -> bytes | None:
        """Return what the server has signed, None if that can't be told."""
        unsigned = {"signatures", "unsigned"}
        try:
            return canonical_json({k: v for k, v in self.content.items() if k not in unsigned})
        except ValueError:
            self.unverifiable.append("what is signed is not canonical JSON")
            return None

    def _signature(self, signer: str, key_id: str, raw: bytes, signed: bytes | None) -> str:
        """Return how the key `key_id` has signed."""
        by_signer = self.content.get("signatures", {})
        by_key = by_signer.get(signer, {}) if isinstance(by_signer, dict) else by_signer
        if not isinstance(by_key, dict):
            self.fault("signature_malformed", f"those of {shown(signer)} are {_told(by_key)}")
            return "malformed"
        text = by_key.get(key_id)
        if text is None:
            self.fault("signature_missing", f"{shown(key_id)} of {shown(signer)}")
            return "missing"
        signature = decoded(text)
        if signature is None or len(signature) != _SIGNATURE_BYTES:
            seen = _told(text) if signature is None else f"{len(signature)} bytes"
            self.fault("signature_malformed", f"{shown(key_id)} of {shown(signer)}: {seen}")
            return "malformed"
        if signed is None:
            return "not verified"
        try:
            if is_signed(signed, signature, raw):
                return "verified"
        except Unverifiable as reason:
            self.unverifiable.append(str(reason))
            return "not verified"
        self.fault("signature_wrong", f"{shown(key_id)} of {shown(signer)}")
        return "wrong"


def _algorithm(key_id: str) -> str:
    return key_id.partition(":")[0]


def _key_bytes(entry: object) -> bytes | None:
    return decoded(entry.get("key")) if isinstance(entry, dict) else None


def _fingerprint(raw: bytes | None) -> str | None:
    return None if raw is None else hashlib.sha256(raw).hexdigest()


def _member_told(content: object, member: str) -> str:
    """Return what stands in a member of an object, in words."""
    if not isinstance(content, dict):
        return _told(content)
    return f"{member} is {_told(content[member])}" if member in content else f"no {member}"


def _told(value: object) -> str:
    match value:
        case dict():
            return f"an object of {len(value)}"
        case list():
            return "an array"
        case None | bool():
            return json.dumps(value)
        case int() | float():
            return readable(value, 40)
        case _:
            return shown(value)
