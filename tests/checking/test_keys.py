"""A server's key document: what stands there, and each fault that it can have."""

import base64
import hashlib
import json
import sys
from collections.abc import Callable
from typing import Any

import pytest
from attrs import asdict
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ed25519
from hypothesis import given
from hypothesis import strategies as st
from signing import DAY_MS, NAME, NOW, SigningKey, key_document, unpadded

from matrix_resolve.checking.canonical_json import MOST_BYTES
from matrix_resolve.checking.key_document import KEY_FAULTS, MOST_KEYS, KeyDocument
from matrix_resolve.checking.keys import read_key_document

NOW_MS = int(NOW * 1000)
KEY, OTHER = SigningKey("a_1"), SigningKey("b")
GOOD = key_document([KEY])
CURVE = unpadded(b"c" * 32)


def read(document: object) -> KeyDocument:
    """What is read in a document, now."""
    return read_key_document(json.dumps(document).encode(), NAME, NOW)


def codes(document: KeyDocument) -> list[str]:
    """The codes of the faults that were found."""
    return [fault.code for fault in document.faults]


def signed(**members: Any) -> dict[str, Any]:
    """A document that is good but for some members, `...` for one that is left out."""
    return key_document([KEY], **members)


def with_keys(**entries: Any) -> dict[str, Any]:
    """A document with the entries in `verify_keys` beside the good one, all signed by `KEY`."""
    keys = {KEY.id: {"key": unpadded(KEY.public)}}
    return signed(verify_keys=keys | {name.replace("__", ":"): entries[name] for name in entries})


def with_signatures(signatures: Any) -> dict[str, Any]:
    """The good document with other signatures."""
    return GOOD | {"signatures": signatures}


def signature(text: Any) -> dict[str, Any]:
    """The good document with another signature."""
    return with_signatures({NAME: {KEY.id: text}})


RIGHT: str = GOOD["signatures"][NAME][KEY.id]
FAULTS: list[tuple[str, Any, str, str]] = [
    # what is wrong, the document, the code, what the detail tells
    ("a list", [GOOD], "not_an_object", "an array"),
    ("null", None, "not_an_object", "null"),
    ("text", "\x1b[31m", "not_an_object", r"'\x1b[31m'"),
    ("no server_name", signed(server_name=...), "server_name_missing", "no server_name"),
    ("server_name null", signed(server_name=None), "server_name_missing", "is null"),
    ("server_name a list", signed(server_name=[NAME]), "server_name_missing", "is an array"),
    ("another's", signed(server_name="other.example"), "server_name_differs", "'other.example'"),
    ("capitals", signed(server_name="Example.org"), "server_name_differs", "not 'example.org'"),
    ("surrogate", signed(server_name="a\x1b\u202e"), "server_name_differs", r"'a\x1b\u202e'"),
    ("no valid_until", signed(valid_until_ts=...), "valid_until_missing", "no valid_until_ts"),
    ("until null", signed(valid_until_ts=None), "valid_until_not_integer", "is null"),
    ("until true", signed(valid_until_ts=True), "valid_until_not_integer", "is true"),
    ("until text", signed(valid_until_ts="9"), "valid_until_not_integer", "is '9'"),
    ("until 0", signed(valid_until_ts=0), "valid_until_past", "0 ms"),
    ("until now", signed(valid_until_ts=NOW_MS), "valid_until_past", "0 s ago"),
    ("until long ago", signed(valid_until_ts=-(2**53) + 1), "valid_until_past", "s ago"),
    ("seconds", signed(valid_until_ts=NOW_MS // 1000), "valid_until_past", "s ago"),
    ("until soon", signed(valid_until_ts=NOW_MS + 3_599_000), "valid_until_soon", "in 3599 s"),
    ("no verify_keys", signed(verify_keys=...), "no_ed25519_key", "no verify_keys"),
    ("verify_keys a list", signed(verify_keys=[KEY.id]), "no_ed25519_key", "is an array"),
    ("verify_keys empty", signed(verify_keys={}), "no_ed25519_key", "an object of 0"),
    ("curve", signed(verify_keys={"curve25519:a": {"key": CURVE}}), "no_ed25519_key", "of 1"),
    (
        "id",
        with_keys(x25519__a={"key": CURVE}, **{"x:é": {"key": ""}}),
        "key_id_malformed",
        r"\xe9",
    ),
    ("no version", with_keys(sha={"key": CURVE}), "key_id_malformed", "'sha'"),
    ("hyphen", with_keys(**{"x25519:a-b": {"key": CURVE}}), "key_id_malformed", "'x25519:a-b'"),
    ("key text", with_keys(ed25519__b=CURVE), "key_malformed", f"'ed25519:b': '{CURVE}'"),
    ("key null", with_keys(ed25519__b=None), "key_malformed", "'ed25519:b': null"),
    ("no key", with_keys(ed25519__b={}), "key_malformed", "no key"),
    ("key 1", with_keys(ed25519__b={"key": 1}), "key_malformed", "key is 1"),
    ("hex", with_keys(ed25519__b={"key": "!" * 43}), "key_malformed", "key is '!!!"),
    ("41", with_keys(ed25519__b={"key": "A" * 41}), "key_malformed", "key is 'AAA"),
    ("padding", with_keys(ed25519__b={"key": "A" * 43 + "=="}), "key_malformed", "AA=="),
    ("newline", with_keys(ed25519__b={"key": CURVE + "\n"}), "key_malformed", r"\n"),
    ("curve key", with_keys(curve25519__b={"key": "?"}), "key_malformed", "key is '?'"),
    ("31", with_keys(ed25519__b={"key": unpadded(b"a" * 31)}), "key_wrong_length", "31 bytes"),
    ("64", with_keys(ed25519__b={"key": unpadded(b"a" * 64)}), "key_wrong_length", "64 bytes"),
    ("empty", with_keys(ed25519__b={"key": ""}), "key_wrong_length", "0 bytes"),
    ("weak", with_keys(ed25519__b={"key": unpadded(bytes(32))}), "key_weak", "'ed25519:b': 00"),
    (
        "many",
        with_keys(**{f"x25519__{n}": {"key": CURVE} for n in range(MOST_KEYS)}),
        "too_many_keys",
        "33 in verify_keys",
    ),
    (
        "many old",
        signed(old_verify_keys={f"x:{n}": {"key": CURVE, "expired_ts": n} for n in range(33)}),
        "too_many_keys",
        "33 in old_verify_keys",
    ),
    ("old list", signed(old_verify_keys=[]), "old_key_malformed", "is an array"),
    ("old text", signed(old_verify_keys={"ed25519:0": "a"}), "old_key_malformed", "'ed25519:0'"),
    (
        "old without end",
        signed(old_verify_keys={"ed25519:0": {"key": CURVE}}),
        "old_key_malformed",
        "no expired_ts",
    ),
    (
        "old of 1 byte",
        signed(old_verify_keys={"ed25519:0": {"key": "AA", "expired_ts": 1}}),
        "old_key_malformed",
        "1 bytes",
    ),
    (
        "not signed",
        GOOD | {"signatures": {}},
        "signature_missing",
        "'ed25519:a_1' of 'example.org'",
    ),
    ("no signatures", {k: GOOD[k] for k in GOOD if k != "signatures"}, "signature_missing", KEY.id),
    ("other signer", with_signatures({"b.c": {KEY.id: RIGHT}}), "signature_missing", NAME),
    ("other id", with_signatures({NAME: {"ed25519:b": RIGHT}}), "signature_missing", KEY.id),
    ("null signature", signature(None), "signature_missing", KEY.id),
    ("one of two", with_keys(ed25519__b={"key": CURVE}), "signature_missing", "ed25519:b"),
    ("signatures text", with_signatures(RIGHT), "signature_malformed", RIGHT[:9]),
    ("signatures null", with_signatures(None), "signature_malformed", "null"),
    ("signer text", with_signatures({NAME: RIGHT}), "signature_malformed", RIGHT[:9]),
    ("signature list", signature([RIGHT]), "signature_malformed", "an array"),
    ("signature no base64", signature("\x1b"), "signature_malformed", r"'\x1b'"),
    ("signature short", signature(RIGHT[:-4]), "signature_malformed", "61 bytes"),
    ("of another key", signature(OTHER.sign(GOOD)), "signature_wrong", KEY.id),
    ("of another content", GOOD | {"more": 1}, "signature_wrong", KEY.id),
    ("zeros", signature(unpadded(bytes(64))), "signature_wrong", KEY.id),
]
UNREADABLE: list[tuple[bytes, str]] = [
    (b"<html>", "not_json"),
    (b"", "not_json"),
    (b"\xff\xfe{\0}\0", "not_json"),
    (b"[" * 100_000, "not_json"),
    (b'{"server_name":' * 20_000, "not_json"),
    (json.dumps(GOOD).encode().ljust(MOST_BYTES + 1), "too_large"),
    (json.dumps({"verify_keys": {f"ed25519:{n}": {} for n in range(10**6)}}).encode(), "too_large"),
]
UNCANONICAL = ["1.5", "1.0", "-0", "9007199254740992", "-" + "9" * 5000, "NaN", r'"\udead"']


@pytest.mark.parametrize(
    ("document", "code", "detail"), [row[1:] for row in FAULTS], ids=[row[0] for row in FAULTS]
)
def test_faults(document: Any, code: str, detail: str) -> None:
    """One fault each, and no other that follows from it."""
    found = read(document)
    assert codes(found) == [code]
    assert detail in found.faults[0].detail
    if code.startswith("signature_"):
        assert found.signatures == "faulty"
        assert found.not_verified_because is None
    elif code in ("server_name_missing", "server_name_differs") or code.startswith("valid_"):
        assert found.signatures == "verified"


@pytest.mark.parametrize(("body", "code"), UNREADABLE, ids=lambda value: str(value)[:20])
def test_what_can_not_be_read(body: bytes, code: str) -> None:
    """Of what is no document nothing is told but that."""
    found = read_key_document(body, NAME, NOW)
    assert codes(found) == [code]
    assert (found.signatures, found.verify_keys) == ("not verified", ())
    assert found.not_verified_because == "the document can't be read"


@pytest.mark.parametrize("text", UNCANONICAL)
def test_not_canonical(text: str) -> None:
    """It is told which way, and the signature is not judged: nobody knows what was signed."""
    body = json.dumps(signed(more="HERE")).replace('"HERE"', text).encode()
    found = read_key_document(body, NAME, NOW)
    assert codes(found) == ["not_canonical"]
    assert found.signatures == "not verified"
    assert found.verify_keys[0].signature == "not verified"
    assert found.not_verified_because == "what is signed is not canonical JSON"


def test_doubled_and_unsigned_members() -> None:
    """Of doubled members the last counts; a float that nobody signs hinders no signature."""
    doubled = b'{"server_name": "a", ' + json.dumps(GOOD).encode()[1:]
    unsigned = json.dumps(GOOD | {"unsigned": {"age": 1.5}}).encode()
    for body, detail in ((doubled, "duplicate key: 'server_name'"), (unsigned, "float: '1.5'")):
        found = read_key_document(body, NAME, NOW)
        assert [(each.code, each.detail) for each in found.faults] == [("not_canonical", detail)]
        assert found.signatures == "verified"


def test_valid_until_that_is_not_canonical() -> None:
    """A number that is no integer of JSON's is told both ways."""
    for text in ("1.5e12", "1" * 5000):
        body = json.dumps(signed(valid_until_ts="HERE")).replace('"HERE"', text).encode()
        found = read_key_document(body, NAME, NOW)
        assert codes(found) == ["not_canonical", "valid_until_not_integer"]
        assert found.valid_until_ts is None


def test_every_fault_has_a_row() -> None:
    """The table has each code that there is, and there is each that it has."""
    shown = {code for _, _, code, _ in FAULTS} | {code for _, code in UNREADABLE}
    assert shown | {"not_canonical"} == set(KEY_FAULTS)


def test_a_good_document() -> None:
    """Everything that stands there is told."""
    old = {"ed25519:0ldk3y": {"key": unpadded(OTHER.public), "expired_ts": 1532645052628}}
    document = key_document([KEY, OTHER], old_verify_keys=old, more={"日本": ["語", None, True]})
    found = asdict(read(document))
    fingerprints = [hashlib.sha256(key.public).hexdigest() for key in (KEY, OTHER)]
    assert found == {
        "server_name": NAME,
        "valid_until_ts": NOW_MS + DAY_MS,
        "verify_keys": tuple(
            {"id": id_, "algorithm": "ed25519", "fingerprint": print_, "signature": "verified"}
            for id_, print_ in zip(["ed25519:a_1", "ed25519:b"], fingerprints, strict=True)
        ),
        "old_verify_keys": (
            {
                "id": "ed25519:0ldk3y",
                "algorithm": "ed25519",
                "fingerprint": fingerprints[1],
                "expired_ts": 1532645052628,
            },
        ),
        "signatures": "verified",
        "not_verified_because": None,
        "faults": (),
    }


def test_the_largest_document() -> None:
    """One of just so many bytes is read."""
    body = json.dumps(GOOD).encode().ljust(MOST_BYTES)
    assert read_key_document(body, NAME, NOW) == read(GOOD)


def test_good_ones_of_other_looks() -> None:
    """An hour is enough; keys of other algorithms need not sign, nor do old keys."""
    for document in (
        signed(valid_until_ts=NOW_MS + 3_600_000),
        signed(valid_until_ts=2**53 - 1),
        signed(old_verify_keys=...),
        with_keys(curve25519__b={"key": CURVE}, x__1={"key": "AA"}),
        GOOD | {"unsigned": {"age": 1}},
        with_signatures({NAME: {KEY.id: RIGHT, "ed25519:z": "?"}, "b.c": None}),
    ):
        found = read(document)
        assert (found.faults, found.signatures) == ((), "verified")


@pytest.mark.parametrize(
    "spell",
    [
        lambda raw: base64.b64encode(raw).decode(),
        lambda raw: base64.b64encode(raw).decode().rstrip("="),
        lambda raw: base64.urlsafe_b64encode(raw).decode(),
        lambda raw: base64.urlsafe_b64encode(raw).decode().rstrip("="),
    ],
    ids=["standard", "unpadded", "URL-safe", "URL-safe unpadded"],
)
def test_base64(spell: Callable[[bytes], str]) -> None:
    """Both alphabets are taken, padded or not, in keys and in signatures."""
    for _ in range(20):  # nearly every signature has one of the characters that differ
        key = SigningKey()
        document = key_document([key], verify_keys={key.id: {"key": spell(key.public)}})
        raw = base64.b64decode(document["signatures"][NAME][key.id] + "==")
        document["signatures"][NAME][key.id] = spell(raw)
        found = read(document)
        assert (found.faults, found.signatures) == ((), "verified")


def test_each_key_has_to_sign() -> None:
    """What is wrong with one key hides nothing of the others."""
    keys = [SigningKey(version) for version in ("good", "missing", "wrong", "malformed")]
    document = key_document(keys)
    signatures = document["signatures"][NAME]
    del signatures["ed25519:missing"]
    signatures |= {"ed25519:wrong": signatures["ed25519:good"], "ed25519:malformed": ""}
    found = read(document)
    expected = ["verified", "missing", "wrong", "malformed"]
    assert [key.signature for key in found.verify_keys] == expected
    assert codes(found) == ["signature_missing", "signature_wrong", "signature_malformed"]
    assert found.signatures == "faulty"


def test_too_many_keys() -> None:
    """Of hundreds of keys some dozen are verified, so "verified" is not said of the document."""
    keys = [SigningKey(str(number)) for number in range(200)]
    assert read(key_document(keys[:MOST_KEYS])).signatures == "verified"
    assert read(key_document(keys[: MOST_KEYS + 1])).signatures == "not verified"
    found = read(key_document(keys))
    assert codes(found) == ["too_many_keys"]
    assert [key.signature for key in found.verify_keys] == ["verified"] * MOST_KEYS
    assert found.signatures == "not verified"
    assert found.not_verified_because == "not every key was looked at"


def test_keys_that_can_not_be_read() -> None:
    """A good key beside a bad one does not make the document verified."""
    found = read(with_keys(ed25519__b={"key": "AAAA"}))
    assert [key.signature for key in found.verify_keys] == ["verified", "not verified"]
    assert found.signatures == "not verified"
    assert found.not_verified_because == "an ed25519 key can't be used"
    nobody = read(signed(verify_keys={}))
    assert nobody.not_verified_because == "there is no ed25519 key"


def test_without_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is held against the server, and all that needs no verifying is still found."""
    for name in ("exceptions", "hazmat.primitives.asymmetric.ed25519"):
        monkeypatch.setitem(sys.modules, f"cryptography.{name}", None)
    for document in (GOOD, GOOD | {"more": 1}):
        found = read(document)
        assert (found.faults, found.signatures) == ((), "not verified")
        assert found.verify_keys[0].signature == "not verified"
        assert "pip install 'matrix-resolve[check]'" in (found.not_verified_because or "")
    assert codes(read(GOOD | {"signatures": {}})) == ["signature_missing"]


def test_without_ed25519(monkeypatch: pytest.MonkeyPatch) -> None:
    """An OpenSSL that lacks the algorithm is no fault of the server's either."""

    class Lacking:
        @staticmethod
        def from_public_bytes(data: bytes) -> None:
            raise UnsupportedAlgorithm("ed25519 is not supported")

    monkeypatch.setattr(ed25519, "Ed25519PublicKey", Lacking)
    found = read(GOOD)
    assert (found.faults, found.signatures) == ((), "not verified")
    assert found.not_verified_because == "OpenSSL here has no ed25519"


TEXTS = st.text(max_size=8) | st.sampled_from(["\x1b[2J", "\u202e", "\ud800", "é" * 9999, RIGHT])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXTS,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(TEXTS | st.sampled_from([KEY.id, NAME, "key"]), inner, max_size=4)
    ),
    max_leaves=12,
)
KEY_IDS = st.sampled_from([KEY.id, "ed25519:", "x:1"]) | TEXTS.map("ed25519:".__add__) | TEXTS
ENTRIES = JSON | st.fixed_dictionaries({"key": TEXTS}, optional={"expired_ts": JSON})
DOCUMENTS = st.fixed_dictionaries(
    {},
    optional={
        "server_name": st.just(NAME) | JSON,
        "valid_until_ts": st.integers() | JSON,
        "verify_keys": st.dictionaries(KEY_IDS, ENTRIES, max_size=5) | JSON,
        "old_verify_keys": st.dictionaries(KEY_IDS, ENTRIES, max_size=5) | JSON,
        "signatures": st.dictionaries(st.just(NAME), st.dictionaries(KEY_IDS, JSON)) | JSON,
        "unsigned": JSON,
    },
)


def is_harmless(value: Any) -> bool:
    """Whether all that is in a value is a number, or printable ASCII that is not long."""
    if isinstance(value, dict):
        return all(map(is_harmless, value.values()))
    if isinstance(value, list):
        return all(map(is_harmless, value))
    if isinstance(value, str):
        return value.isascii() and value.isprintable() and len(value) <= 400
    return value is None or abs(value) < 2**53


@pytest.mark.parametrize("text", ["\x1b[2J\u202e\r\n", "\ud800", "é" * 999, "a" * 9999])
def test_hostile_text_in_every_field(text: str) -> None:
    """It is cut and escaped wherever it comes out."""
    entries = {text: text, f"ed25519:{text}": {"key": text}, f"{text}:1": {"key": CURVE}}
    good = {KEY.id: {"key": unpadded(KEY.public)}}
    document = {
        "server_name": text,
        "valid_until_ts": text,
        "verify_keys": entries | good,
        "old_verify_keys": entries | {text + ":2": {"key": CURVE, "expired_ts": text}},
        "signatures": {text: {KEY.id: text, text: text}},
        text: 1.5,
    }
    found = read(document)
    assert is_harmless(json.loads(json.dumps(asdict(found))))
    assert found.server_name is not None
    assert len(found.server_name) <= 255
    seen = {"server_name_differs", "valid_until_not_integer", "key_id_malformed", "key_malformed"}
    assert set(codes(found)) >= {*seen, "old_key_malformed", "signature_malformed", "not_canonical"}


@given(JSON | DOCUMENTS | DOCUMENTS.map(GOOD.__or__))
def test_whatever_stands_there(document: Any) -> None:
    """Nothing is raised; what comes out is JSON, harmless to a terminal, and of known codes."""
    found = read(document)
    assert is_harmless(json.loads(json.dumps(asdict(found), allow_nan=False)))
    assert set(codes(found)) <= KEY_FAULTS.keys()
    assert (found.signatures == "not verified") == (found.not_verified_because is not None)
    if found.signatures == "verified":
        judged = [key.signature for key in found.verify_keys if key.algorithm == "ed25519"]
        assert judged
        assert set(judged) == {"verified"}


@given(st.binary(), st.integers(0, 2000), st.integers(0, 8))
def test_damaged_documents(inserted: bytes, at: int, lost: int) -> None:
    """Wherever bytes are lost or put in: nothing raised, and never another content "verified"."""
    body = json.dumps(GOOD).encode()
    damaged = body[:at] + inserted + body[at + lost :]
    found = read_key_document(damaged, NAME, NOW)
    assert is_harmless(json.loads(json.dumps(asdict(found), allow_nan=False)))
    if found.signatures == "verified":
        without = {"signatures": None, "unsigned": None}
        assert json.loads(damaged) | without == GOOD | without
