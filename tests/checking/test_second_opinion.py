"""`signedjson`, which Synapse signs and verifies with, judges documents as we do."""

import copy
import json
import random
from typing import Any

import pytest
from canonicaljson import encode_canonical_json
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from signedjson.key import decode_verify_key_bytes, generate_signing_key, get_verify_key
from signedjson.sign import SignatureVerifyException, sign_json, verify_signed_json
from signing import NAME, NOW, SigningKey, key_document, unpadded
from unpaddedbase64 import decode_base64

from matrix_resolve.checking.keys import read_key_document

KEY = SigningKey("a")
CONTENTS: list[dict[str, Any]] = [
    {},
    {"unsigned": {"age": 1}},
    {"a": {"\U0001f600": 1, "\uffee": 2, "": 3, "A": '/\\"\x00\x1f\x7f\u2028\n'}},
    {"n": [2**53 - 1, -(2**53) + 1, 0, True, False, None, [], {}, ""]},
]


def is_verified(document: dict[str, Any]) -> bool:
    """What we say."""
    found = read_key_document(json.dumps(document).encode(), NAME, NOW)
    assert found.signatures in ("verified", "faulty")
    return found.signatures == "verified"


def is_verified_by_signedjson(document: dict[str, Any]) -> bool:
    """What signedjson says, asked for each key."""
    for key_id, entry in document["verify_keys"].items():
        key = decode_verify_key_bytes(key_id, decode_base64(entry["key"]))
        try:
            verify_signed_json(copy.deepcopy(document), NAME, key)
        except SignatureVerifyException:
            return False
    return True


@pytest.mark.parametrize("content", CONTENTS, ids=range(len(CONTENTS)))
def test_good_documents(content: dict[str, Any]) -> None:
    """Ours are good to signedjson, and its own are good to us."""
    document = key_document([KEY, SigningKey("b")], **content)
    assert is_verified_by_signedjson(document)
    assert is_verified(document)

    theirs = generate_signing_key("c")
    public = unpadded(get_verify_key(theirs).encode())
    verify_keys = {"ed25519:c": {"key": public}}
    document = key_document([], verify_keys=verify_keys, **content)
    del document["signatures"]
    document = sign_json(document, NAME, theirs)
    assert is_verified(document)
    document["more"] = 1
    assert not is_verified(document)


@pytest.mark.parametrize("content", CONTENTS, ids=range(len(CONTENTS)))
def test_wrong_signatures(content: dict[str, Any]) -> None:
    """One bit of the signature or of the key is another, or the content is."""
    document = key_document([KEY], **content)
    draw = random.Random(11)
    raw = decode_base64(document["signatures"][NAME][KEY.id])
    wrong = [document | {"valid_until_ts": document["valid_until_ts"] + 1}, document | {"b": 1}]
    for _ in range(50):
        signature = unpadded(_flipped(raw, draw))
        wrong.append(document | {"signatures": {NAME: {KEY.id: signature}}})
        public = unpadded(_flipped(KEY.public, draw))
        wrong.append(document | {"verify_keys": {KEY.id: {"key": public}}})
    wrong.append(document | {"signatures": {NAME: {KEY.id: "AAAA"}}})
    wrong.append(document | {"signatures": {NAME: {}}})
    wrong.append(document | {"signatures": {}})
    for each in wrong:
        assert not is_verified_by_signedjson(each)
        assert not is_verified(each)


P = 2**255 - 19
Y8 = 0x05FC536D880238B13933C6D305ACDFD5F098EFF289F4C345B027B2C28F95E826
SMALL = [y | sign << 255 for y in (0, 1, Y8, P - Y8, P - 1, P, P + 1) for sign in (0, 1)]


@pytest.mark.parametrize("point", SMALL, ids=hex)
def test_keys_of_small_order(point: int) -> None:
    """A signature that nobody's secret has made is one by such a key, and still not believed."""
    key = point.to_bytes(32, "little")
    for more in range(100):  # each R fits about one content in eight
        document = key_document([], verify_keys={KEY.id: {"key": unpadded(key)}}, more=more)
        content = {name: document[name] for name in document if name != "signatures"}
        for r in SMALL:
            raw = r.to_bytes(32, "little") + bytes(32)
            try:
                Ed25519PublicKey.from_public_bytes(key).verify(raw, encode_canonical_json(content))
            except InvalidSignature:
                continue
            document["signatures"] = {NAME: {KEY.id: unpadded(raw)}}
            found = read_key_document(json.dumps(document).encode(), NAME, NOW)
            assert [fault.code for fault in found.faults] == ["key_weak"]
            assert found.signatures == "not verified"
            assert not is_verified_by_signedjson(document)
            return
    pytest.fail("no signature was found")


def _flipped(raw: bytes, draw: random.Random) -> bytes:
    bit = draw.randrange(len(raw) * 8)
    return (int.from_bytes(raw) ^ 1 << bit).to_bytes(len(raw))
