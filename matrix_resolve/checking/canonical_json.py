"""JSON that can be signed (specification, appendices "Canonical JSON" and "Signing JSON").

Servers of other kinds read numbers and doubled keys each in their own way, so canonical JSON has
none that could be read differently. What others send is read all the same, and told about.
"""

import codecs
import json
import re
from collections import Counter
from typing import Any, Final

from attrs import frozen

from matrix_resolve.errors import readable, shown

MOST_BYTES: Final = 512 * 1024
"""A longer document is not read: one with thirty keys has less than 8 KiB."""

MOST_NESTED: Final = 64
"""A document with more objects and arrays in each other is not read; a key document has three."""

LARGEST_INTEGER: Final = 2**53 - 1
"""The largest integer that every reader of JSON gets right; the smallest is its negative."""

_DIGITS: Final = len(str(LARGEST_INTEGER))
# A string with what it escapes, or a bracket. A string without an end lasts to the document's, so
# that no character is looked at twice.
_STRING_OR_BRACKET: Final = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)|[\[\]{}]', re.DOTALL)


@frozen
class Deviation:
    """A way in which a document is not canonical JSON.

    `kind` is one of "float", "negative_zero", "integer_out_of_range", "not_a_number",
    "duplicate_key" and "lone_surrogate"; `example` is the first that there is, printable and short.
    """

    kind: str
    example: str


@frozen
class Json:
    """What a document holds, and each way in which it is not canonical, once.

    Each number that is not canonical is a float in `value`, so `canonical_json` refuses it. Of
    equal keys the last counts.
    """

    value: object
    deviations: tuple[Deviation, ...] = ()


def read_json(body: bytes) -> Json:
    """Read a document.

    Raises `ValueError` if it is not JSON in UTF-8 without a byte order mark (RFC 8259, section
    8.1), longer than `MOST_BYTES` or nested deeper than `MOST_NESTED`. NaN and infinities are no
    JSON, yet are read, since there are servers that do so.
    """
    if len(body) > MOST_BYTES:
        raise ValueError(f"longer than {MOST_BYTES // 1024} KiB")
    text = _decoded(body)
    _check_depth(text)
    notes = _Notes()
    try:
        value = json.loads(
            text,
            parse_int=notes.read_integer,
            parse_float=notes.read_float,
            parse_constant=notes.read_constant,
            object_pairs_hook=notes.read_object,
        )
        if "\\u" in text:
            notes.look_for_surrogates(value)
    except json.JSONDecodeError as error:
        raise ValueError(f"{readable(error.msg)} at character {error.pos}") from None
    except RecursionError:  # the caller's stack may be nearly used up
        raise ValueError("nested too deep") from None
    return Json(value, tuple(notes.found.values()))


def canonical_json(value: object) -> bytes:
    """Return `value` as canonical JSON.

    Raises `ValueError` for what that can't be: floats, integers beyond `LARGEST_INTEGER`, keys that
    are no strings, lone surrogates, other types, too deep a nesting.
    """
    try:
        # Python compares strings by code points, and escapes no more than the grammar does.
        text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True)
    except (TypeError, RecursionError) as error:
        raise ValueError(f"not JSON: {readable(error)}") from None
    _refuse_others(value)  # after `dumps`, which raises for what contains itself
    return text.encode()


def _refuse_others(value: object) -> None:
    """Raise `ValueError` for what `json.dumps` takes but canonical JSON does not have."""
    left = [value]
    while left:
        match left.pop():
            case float():
                raise ValueError("canonical JSON has no floats")
            case int(number) if abs(number) > LARGEST_INTEGER:
                raise ValueError("canonical JSON has no integers beyond 2^53-1")
            case dict(members):
                if not all(isinstance(key, str) for key in members):
                    raise ValueError("the keys of an object are strings")
                left.extend(members.values())
            case list(items) | tuple(items):
                left.extend(items)


def _decoded(body: bytes) -> str:
    if body.startswith(codecs.BOM_UTF8):
        raise ValueError("it begins with a byte order mark")
    if body.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) or 0 in body[:4]:
        raise ValueError("not UTF-8, but UTF-16 or UTF-32")
    try:
        return body.decode()
    except UnicodeDecodeError as error:
        raise ValueError(f"not UTF-8 at byte {error.start}") from None


def _check_depth(text: str) -> None:
    depth = 0
    for found in _STRING_OR_BRACKET.finditer(text):
        match text[found.start()]:
            case "[" | "{":
                depth += 1
                if depth > MOST_NESTED:
                    raise ValueError(f"nested deeper than {MOST_NESTED}")
            case "]" | "}":
                depth -= 1


class _Notes:
    """Reads the parts of a document, and notes the first of each kind that is not canonical."""

    def __init__(self) -> None:
        self.found: dict[str, Deviation] = {}

    def read_integer(self, text: str) -> int | float:
        if text == "-0":
            self._note("negative_zero", text)
            return -0.0
        # Measured first: a number of 5,000 digits is not made.
        if len(text.lstrip("-")) > _DIGITS or abs(int(text)) > LARGEST_INTEGER:
            self._note("integer_out_of_range", text)
            return float(text)
        return int(text)

    def read_float(self, text: str) -> float:
        self._note("float", text)
        return float(text)

    def read_constant(self, text: str) -> float:
        self._note("not_a_number", text)
        return float(text)

    def read_object(self, members: list[tuple[str, Any]]) -> dict[str, Any]:
        made = dict(members)
        if len(made) < len(members) and "duplicate_key" not in self.found:
            counts = Counter(key for key, _ in members)
            self._note("duplicate_key", next(key for key in counts if counts[key] > 1))
        return made

    def look_for_surrogates(self, value: object) -> None:
        try:
            json.dumps(value, ensure_ascii=False).encode()
        except UnicodeEncodeError as error:
            self._note("lone_surrogate", error.object[error.start])

    def _note(self, kind: str, example: str) -> None:
        if kind not in self.found:
            self.found[kind] = Deviation(kind, shown(example, 40))
