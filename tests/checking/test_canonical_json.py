"""JSON that can be signed: what is read and told of others', and what is written."""

import json
import math
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from matrix_resolve.checking.canonical_json import (
    LARGEST_INTEGER,
    MOST_BYTES,
    MOST_NESTED,
    Deviation,
    canonical_json,
    read_json,
)

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-LARGEST_INTEGER, LARGEST_INTEGER)
    | st.text(st.characters(exclude_categories=["Cs"]))
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner) | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner)
    ),
    max_leaves=20,
)
# The specification's own examples, and the escapes of its grammar.
WRITTEN: list[tuple[Any, str]] = [
    ({}, "{}"),
    ({"one": 1, "two": "Two"}, '{"one":1,"two":"Two"}'),
    ({"b": "2", "a": "1"}, '{"a":"1","b":"2"}'),
    ({"auth": {"success": True, "mxid": "@j:e"}}, '{"auth":{"mxid":"@j:e","success":true}}'),
    ({"a": "日本語"}, '{"a":"日本語"}'),
    ({"本": 2, "日": 1}, '{"日":1,"本":2}'),
    ({"a": None}, '{"a":null}'),
    ({"\U0001f600": 1, "\uffee": 2}, '{"\uffee":2,"\U0001f600":1}'),  # not as UTF-16 sorts
    (["/", "\\", '"', "\x7f", "\u2028"], '["/","\\\\","\\"","\x7f","\u2028"]'),
    (["\b\f\n\r\t", "\x00\x1f\x0b"], '["\\b\\f\\n\\r\\t","\\u0000\\u001f\\u000b"]'),
    ([LARGEST_INTEGER, -LARGEST_INTEGER, 0], "[9007199254740991,-9007199254740991,0]"),
]
CONTAINS_ITSELF: list[Any] = []
CONTAINS_ITSELF.append(CONTAINS_ITSELF)
DEEP: Any = []
for _ in range(100_000):
    DEEP = [DEEP]
REFUSED = [
    pytest.param(value, id=name)
    for name, value in {
        "float": [1.0],
        "minus zero": {"a": {"b": -0.0}},
        "nan": math.nan,
        "infinity": -math.inf,
        "large": LARGEST_INTEGER + 1,
        "small": ({"a": -LARGEST_INTEGER - 1},),
        "5,000 digits": 10**5000,
        "key": {1: 2},
        "keys": {1: 2, "1": 2},
        "surrogate": "\ud800",
        "surrogate in a key": {"\udfff": 1},
        "bytes": b"",
        "set": {"a": {1}},
        "itself": CONTAINS_ITSELF,
        "deep": DEEP,
    }.items()
]
DIGITS = "9" * 5000
DEVIATIONS = [
    ("1.5", Deviation("float", "'1.5'")),
    ("1.0", Deviation("float", "'1.0'")),
    ("1e3", Deviation("float", "'1e3'")),
    ("1E400", Deviation("float", "'1E400'")),
    ("-0.0", Deviation("float", "'-0.0'")),
    ("-0", Deviation("negative_zero", "'-0'")),
    ("9007199254740992", Deviation("integer_out_of_range", "'9007199254740992'")),
    ("-9007199254740992", Deviation("integer_out_of_range", "'-9007199254740992'")),
    (DIGITS, Deviation("integer_out_of_range", "'" + "9" * 36 + "...")),
    ("-" + DIGITS, Deviation("integer_out_of_range", "'-" + "9" * 35 + "...")),
    ("NaN", Deviation("not_a_number", "'NaN'")),
    ("-Infinity", Deviation("not_a_number", "'-Infinity'")),
    ('{"a":1,"b":2,"\\u0061":1}', Deviation("duplicate_key", "'a'")),
    ('{"\\u001b[31m":1,"\\u001b[31m":1}', Deviation("duplicate_key", "'\\x1b[31m'")),
    (r'"\ud800"', Deviation("lone_surrogate", r"'\ud800'")),
    (r'{"\uDFFF":1}', Deviation("lone_surrogate", r"'\udfff'")),
]
NO_JSON = [
    (b"", "Expecting value at character 0"),
    (b"{", "Expecting property name"),
    (b"<html>", "Expecting value"),
    (b"{'a': 1}", "Expecting property name"),
    (b"[1,]", "at character"),
    (b"[01]", "at character 2"),
    (b"[] []", "Extra data at character 3"),
    (b'"\x1b"', "Invalid control character"),
    (b'"', "Unterminated string"),
    (b'"\\', "Unterminated string"),
    (b"\xef\xbb\xbf{}", "byte order mark"),
    ("{}".encode("utf-16"), "UTF-16"),
    ("{}".encode("utf-16-le"), "UTF-16"),
    ("{}".encode("utf-32-be"), "UTF-32"),
    (b'{"a": "\xff"}', "not UTF-8 at byte 7"),
    (b'"\xed\xa0\x80"', "not UTF-8 at byte 1"),
    (b"1".ljust(MOST_BYTES + 1), "longer than 512 KiB"),
    (b"[" * (MOST_NESTED + 1) + b"]" * (MOST_NESTED + 1), "nested deeper than 64"),
    (b"[" * MOST_BYTES, "nested deeper than 64"),
    (b'{"a":' * 80_000, "nested deeper than 64"),
]
# What takes long if anything of it is looked at more than once.
LARGE = [
    b'"' + b'\\"' * (MOST_BYTES // 2 - 1),
    b'"' * MOST_BYTES,
    b"\\" * MOST_BYTES,
    b"[" + b"[]," * 170_000 + b"0]",
    b"9" * MOST_BYTES,
    b"1." + b"9" * (MOST_BYTES - 2),
    b"1e" + b"9" * (MOST_BYTES - 2),
    b"[" + b"1.5," * 130_000 + b"0]",
    b"{" + b'"a":1,' * 80_000 + b'"b":1}',
    json.dumps({str(number): number for number in range(25_000)}).encode(),
    b'["' + b"\\ud800" * 80_000 + b'"]',
]


@pytest.mark.parametrize(("value", "text"), WRITTEN)
def test_written(value: object, text: str) -> None:
    """Sorted by code points, without spaces, escaped only where it must be."""
    assert canonical_json(value) == text.encode()


@pytest.mark.parametrize("value", REFUSED)
def test_refused(value: object) -> None:
    """What JSON that is signed does not have, and what is no JSON."""
    with pytest.raises(ValueError):  # noqa: PT011
        canonical_json(value)


@given(VALUES)
def test_what_is_written_is_read(value: object) -> None:
    """Canonical JSON has no deviations, and nothing is lost in it; other spellings are the same."""
    written = canonical_json(value)
    read = read_json(written)
    assert (read.value, read.deviations) == (value, ())
    assert canonical_json(read.value) == written
    loose = read_json(json.dumps(value, indent=2, ensure_ascii=True).encode())
    assert (loose.value, loose.deviations) == (value, ())


@pytest.mark.parametrize(("text", "deviation"), DEVIATIONS, ids=lambda value: str(value)[:20])
@pytest.mark.parametrize("around", ["{}", '{{"a": [{}]}}', '{{"a": {{"b": {0}}}, "c": {0}}}'])
def test_deviations(text: str, deviation: Deviation, around: str) -> None:
    """Each is told once, wherever it stands."""
    read = read_json(around.format(text).encode())
    assert read.deviations == (deviation,)


@pytest.mark.parametrize("text", [text for text, _ in DEVIATIONS if text[0] not in "{"])
def test_numbers_that_are_not_canonical_stay_so(text: str) -> None:
    """No number is taken for another one that could be signed."""
    with pytest.raises(ValueError):  # noqa: PT011
        canonical_json(read_json(text.encode()).value)


def test_all_deviations_are_told() -> None:
    """Of several kinds each is told."""
    text = b'{"a": [1.5, -0, 9007199254740992, NaN, "\\udc00"], "b": 1, "\\u0062": 2}'
    kinds = [each.kind for each in read_json(text).deviations]
    assert read_json(b"[1.5, 2.5]").deviations == (Deviation("float", "'1.5'"),)
    assert sorted(kinds) == sorted({deviation.kind for _, deviation in DEVIATIONS})
    assert read_json(b'{"a":1,"a":2}').value == {"a": 2}


@pytest.mark.parametrize(("body", "reason"), NO_JSON, ids=lambda value: str(value)[:20])
def test_no_json(body: bytes, reason: str) -> None:
    """It is said why, and, where that helps, at which place."""
    with pytest.raises(ValueError, match=reason):
        read_json(body)


def test_bounds() -> None:
    """What is just within them is read. Brackets in a string nest nothing."""
    assert read_json(b'"' + b"a" * (MOST_BYTES - 2) + b'"').value == "a" * (MOST_BYTES - 2)
    read_json(b'{"a":' * MOST_NESTED + b"1" + b"}" * MOST_NESTED)
    text = '"]' + "[{" * 1000
    assert read_json(json.dumps([text]).encode()).value == [text]


@pytest.mark.timeout(30)
@pytest.mark.parametrize("body", LARGE, ids=lambda body: repr(body[:12]))
def test_large_documents_take_no_long(body: bytes) -> None:
    """Each takes a fraction of a second, or minutes if anything in it is looked at again."""
    assert len(body) <= MOST_BYTES
    with suppress(ValueError):
        read_json(body)


@given(st.binary() | st.text().map(lambda text: text.encode("utf-8", "surrogatepass")))
@example(b"\x00")
@example(b"[1e5,")
def test_anything(body: bytes) -> None:
    """What can be read is what Python reads; the rest is a ValueError, short and printable."""
    told = ""
    try:
        read = read_json(body)
    except ValueError as error:
        told = str(error)
    else:
        assert repr(read.value) == repr(json.loads(body)) or read.deviations
    assert told.isascii()
    assert told.isprintable()
    assert len(told) < 200
