"""The faults of a key document as findings."""

from collections.abc import Iterator
from typing import Final

from matrix_resolve.checking.key_document import KEY_FAULTS, KeyDocument
from matrix_resolve.checking.texts import listed, moment

_HOMESERVER: Final = "This is the homeserver's own doing: update it, and tell its authors."
_OTHER: Final = (
    'Set the homeserver\'s server name to "{name}", or have the proxy pass /_matrix on to the '
    "homeserver of that name."
)
_ROUTES: Final = "Have the proxy pass /_matrix/key on to the homeserver, unchanged and uncached."

# Code of a `KeyFault` -> (code of the finding, whether peers refuse the keys for it, advice).
FINDING_OF: Final = {
    "too_large": ("keys-too-large", True, _HOMESERVER),
    "not_json": ("keys-not-json", True, _ROUTES),
    "not_an_object": ("keys-not-json", True, _ROUTES),
    "not_canonical": ("keys-not-canonical", False, _HOMESERVER),
    "server_name_missing": ("keys-no-server-name", True, _HOMESERVER),
    "server_name_differs": ("keys-other-server", True, _OTHER),
    "valid_until_missing": ("keys-valid-until", True, _HOMESERVER),
    "valid_until_not_integer": ("keys-valid-until", True, _HOMESERVER),
    "valid_until_past": (
        "keys-expired",
        True,
        "Set the clock of the homeserver right, and have no cache in front of /_matrix/key.",
    ),
    "valid_until_soon": (
        "keys-expire-soon",
        False,
        "Let the homeserver say a day or more: peers ask again whenever it is over.",
    ),
    "no_ed25519_key": (
        "keys-no-ed25519",
        True,
        "Give the homeserver an ed25519 signing key: peers know no other.",
    ),
    "too_many_keys": (
        "keys-too-many",
        False,
        "Publish the keys in use only; old ones need not stay for ever.",
    ),
    "key_id_malformed": ("keys-bad-key-id", False, "Name keys like ed25519:a_1."),
    "key_malformed": ("keys-bad-key", True, _HOMESERVER),
    "key_wrong_length": ("keys-bad-key", True, _HOMESERVER),
    "key_weak": ("keys-bad-key", True, "Make a new signing key: anybody can sign with this one."),
    "old_key_malformed": (
        "keys-bad-old-key",
        False,
        "Correct the old keys in the homeserver's settings: key and expired_ts.",
    ),
    "signature_missing": ("keys-unsigned", True, _HOMESERVER),
    "signature_malformed": ("keys-bad-signature", True, _HOMESERVER),
    "signature_wrong": (
        "keys-bad-signature",
        True,
        "Nothing between homeserver and peers may change the document; if nothing does, look at "
        "the signing key in the homeserver's settings.",
    ),
}

# Without any of these it is another document.
_NO_DOCUMENT: Final = {"server_name_missing", "valid_until_missing", "no_ed25519_key"}

# A number that is no integer is not canonical either.
_IMPLIED: Final = {"not_canonical": "valid_until_not_integer"}


def key_faults(
    document: KeyDocument, server_name: str, at: float
) -> Iterator[tuple[str, str, str, bool]]:
    """Yield code, fact, advice and whether it is fatal, of each fault."""
    seen = {fault.code for fault in document.faults}
    if seen >= _NO_DOCUMENT:
        fact = "What comes is a JSON object, but no key document: it has neither a server name nor "
        yield "keys-no-document", f"{fact}keys.", _ROUTES, True
        return
    for kind in dict.fromkeys(fault.code for fault in document.faults):
        if _IMPLIED.get(kind) in seen:
            continue
        code, is_fatal, advice = FINDING_OF[kind]
        details = [fault.detail for fault in document.faults if fault.code == kind]
        meaning = KEY_FAULTS[kind].replace("`", '"')
        fact = f"Of the key document: {meaning} ({listed(details)})."
        until = document.valid_until_ts
        if kind in ("valid_until_past", "valid_until_soon") and until is not None:
            # Each endpoint is asked at a moment of its own; the fact is one.
            fact = f'Of the key document: "valid_until_ts" is {moment(until / 1000)}, '
            fact += f"and it is {moment(at)} now."
        yield code, fact, advice.replace("{name}", server_name), is_fatal
