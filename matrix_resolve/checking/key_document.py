"""What a server publishes of its signing keys, and what can be wrong with that.

All texts are short printable ASCII, whoever wrote the document, and all values are JSON's.
"""

from collections.abc import Mapping
from typing import Final

from attrs import frozen

from matrix_resolve.checking.canonical_json import MOST_BYTES

MOST_KEYS: Final = 32
"""So many keys of a document are looked at, and so many old ones. Servers have one or two."""

KEY_FAULTS: Final[Mapping[str, str]] = {
    "too_large": f"the body is longer than {MOST_BYTES // 1024} KiB, and is not read",
    "not_json": "the body is not JSON in UTF-8 without a byte order mark, or nested too deep",
    "not_an_object": "the body is JSON, but no object",
    "not_canonical": "it holds what canonical JSON has not; servers read that in different ways",
    "server_name_missing": "`server_name` is missing, or no string",
    "server_name_differs": "`server_name` is another server's",
    "valid_until_missing": "`valid_until_ts` is missing",
    "valid_until_not_integer": "`valid_until_ts` is no integer",
    "valid_until_past": "the keys are valid no longer",
    "valid_until_soon": "the keys are valid for less than an hour",
    "no_ed25519_key": "`verify_keys` has no ed25519 key",
    "too_many_keys": f"there are more than {MOST_KEYS} keys; the rest was not looked at",
    "key_id_malformed": "a key's id is not `algorithm:version`, the version of A-Z a-z 0-9 _",
    "key_malformed": 'a key is not `{"key": ...}`, or not base64',
    "key_wrong_length": "an ed25519 key has not 32 bytes",
    "key_weak": "an ed25519 key is one that anybody can sign with (a point of small order)",
    "old_key_malformed": "an entry of `old_verify_keys` is no key with an integer `expired_ts`",
    "signature_missing": "the document is not signed with one of its ed25519 keys",
    "signature_malformed": "a signature is not base64 of 64 bytes",
    "signature_wrong": "a signature is not one of this document with this key",
}
"""Code of a fault -> what it means."""


@frozen
class KeyFault:
    """Something wrong with a key document: a code of `KEY_FAULTS`, and what was seen.

    `detail` is printable ASCII on one line.
    """

    code: str
    detail: str


@frozen(kw_only=True)
class VerifyKey:
    """A key that a server signs with.

    `fingerprint`: SHA-256 of the key's bytes in hexadecimal digits, None if they can't be read.
    `signature`, by it on the document: "verified", "wrong", "malformed", "missing", or "not
    verified" if it was not tried (see `KeyDocument.not_verified_because`).
    """

    id: str
    algorithm: str
    fingerprint: str | None
    signature: str = "not verified"


@frozen(kw_only=True)
class OldVerifyKey:
    """A key that a server has signed with until `expired_ts` (Unix milliseconds)."""

    id: str
    algorithm: str
    fingerprint: str | None
    expired_ts: int | None


@frozen(kw_only=True)
class KeyDocument:
    """What a key document says, and what is wrong with it.

    `valid_until_ts`: Unix milliseconds. `signatures`: "verified" if every ed25519 key in use has
    signed the document, "faulty" if one has not, else "not verified", with the reason in
    `not_verified_because`, which is no fault of the server's.
    """

    server_name: str | None = None
    valid_until_ts: int | None = None
    verify_keys: tuple[VerifyKey, ...] = ()
    old_verify_keys: tuple[OldVerifyKey, ...] = ()
    signatures: str = "not verified"
    not_verified_because: str | None = None
    faults: tuple[KeyFault, ...] = ()
