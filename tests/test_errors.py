"""The errors: one tree, readable texts, and a way between processes."""

import copy
import errno
import inspect
import pickle
import socket
import ssl
from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from matrix_resolve import errors
from matrix_resolve.errors import (
    AddressLookupError,
    AddressNotAllowedError,
    BackendError,
    CacheError,
    ConnectError,
    InvalidServerNameError,
    MatrixResolveError,
    ResponseTooLargeError,
    ServiceNotOfferedError,
    SrvLookupError,
    WellKnownFetchError,
    is_own_trouble,
    readable,
    shown,
    written,
)

TREE = {
    MatrixResolveError: (Exception,),
    InvalidServerNameError: (MatrixResolveError, ValueError),
    ServiceNotOfferedError: (MatrixResolveError,),
    AddressNotAllowedError: (MatrixResolveError,),
    ConnectError: (MatrixResolveError,),
    ResponseTooLargeError: (MatrixResolveError,),
    BackendError: (MatrixResolveError,),
    WellKnownFetchError: (BackendError,),
    SrvLookupError: (BackendError,),
    AddressLookupError: (BackendError,),
    CacheError: (BackendError,),
}


def defined() -> set[type]:
    """Every error that the module defines."""
    classes = [each for each in vars(errors).values() if inspect.isclass(each)]
    return {
        each
        for each in classes
        if each.__module__ == errors.__name__ and issubclass(each, BaseException)
    }


def test_tree_is_the_one_that_is_promised() -> None:
    """The module defines these errors with these bases, and no others."""
    assert {error: error.__bases__ for error in defined()} == TREE


def test_tree_is_drawn_in_the_docstring() -> None:
    """The drawing names every error once, indented under its base, in the order of the tree."""
    drawn = []
    for line in (errors.__doc__ or "").splitlines():
        name = line.lstrip("│├└─ ").partition(" ")[0]
        if hasattr(errors, name):
            depth = (len(line) - len(line.lstrip("│├└─ "))) // 4
            drawn.append((name, depth))
    assert drawn == [(error.__name__, len(error.__mro__) - base(error)) for error in TREE]


def base(error: type) -> int:
    """How many classes of an error's line stand above or beside the tree."""
    return len(MatrixResolveError.__mro__) + issubclass(error, ValueError)


A4, A6 = IPv4Address("127.0.0.1"), IPv6Address("::1")
ERRORS = [
    # error, text, attributes
    pytest.param(
        InvalidServerNameError("a b", "it holds a space"),
        "'a b' is not a server name: it holds a space",
        {"server_name": "a b", "reason": "it holds a space", "suggestion": None},
        id="InvalidServerNameError",
    ),
    pytest.param(
        InvalidServerNameError("a/", "it holds a slash", "a"),
        "'a/' is not a server name: it holds a slash; did you mean 'a'?",
        {"server_name": "a/", "reason": "it holds a slash", "suggestion": "a"},
        id="InvalidServerNameError with a suggestion",
    ),
    pytest.param(
        InvalidServerNameError(None, "it is not a string"),
        "a NoneType is not a server name: it is not a string",
        {"server_name": None},
        id="InvalidServerNameError of another type",
    ),
    pytest.param(
        ServiceNotOfferedError("not offered"), "not offered", {}, id="ServiceNotOfferedError"
    ),
    pytest.param(
        AddressNotAllowedError("a.example", [A4, A6]),
        "the address policy forbids every address of a.example: 127.0.0.1, ::1",
        {"host": "a.example", "addresses": (A4, A6)},
        id="AddressNotAllowedError",
    ),
    pytest.param(
        AddressNotAllowedError("a.example", [A4 + n for n in range(8)]),
        "the address policy forbids every address of a.example: "
        + ", ".join(str(A4 + n) for n in range(8)),
        {"count": 8},
        id="AddressNotAllowedError, as many as are named",
    ),
    pytest.param(
        AddressNotAllowedError("a.example", [A4 + n for n in range(4096)]),
        "the address policy forbids every address of a.example: "
        + ", ".join(str(A4 + n) for n in range(8))
        + " and 4,088 more",
        {"addresses": tuple(A4 + n for n in range(256)), "count": 4096},
        id="AddressNotAllowedError, very many",
    ),
    pytest.param(
        AddressNotAllowedError("a.example", [A4, A6], 65_536),
        "the address policy forbids every address of a.example: 127.0.0.1, ::1 and 65,534 more",
        {"addresses": (A4, A6), "count": 65_536},
        id="AddressNotAllowedError, counted elsewhere",
    ),
    pytest.param(
        ConnectError("no target could be reached", ["first", "second"]),
        "no target could be reached",
        {"attempts": ("first", "second")},
        id="ConnectError",
    ),
    pytest.param(
        ResponseTooLargeError("over 9 bytes"), "over 9 bytes", {}, id="ResponseTooLargeError"
    ),
    pytest.param(
        ConnectError("nothing"), "nothing", {"attempts": ()}, id="ConnectError without attempts"
    ),
    *(
        pytest.param(
            kind("time-out", temporary=temporary),
            "time-out",
            {"reason": "time-out", "temporary": temporary},
            id=f"{kind.__name__}, {'temporary' if temporary else 'definite'}",
        )
        for kind in (
            BackendError,
            WellKnownFetchError,
            SrvLookupError,
            AddressLookupError,
            CacheError,
        )
        for temporary in (True, False)
    ),
    pytest.param(
        WellKnownFetchError("no descriptor", own_trouble=True),
        "no descriptor",
        {"temporary": True, "own_trouble": True},
        id="WellKnownFetchError, own trouble",
    ),
    pytest.param(
        WellKnownFetchError("refused"),
        "refused",
        {"own_trouble": False},
        id="WellKnownFetchError, the other side's",
    ),
]


@pytest.mark.parametrize(("error", "text", "attributes"), ERRORS)
def test_error_has_a_text_and_attributes(
    error: MatrixResolveError, text: str, attributes: dict
) -> None:
    """Each error tells people and programs what happened."""
    assert str(error) == text
    assert {name: getattr(error, name) for name in attributes} == attributes


@pytest.mark.parametrize(("error", "text", "attributes"), ERRORS)
@pytest.mark.parametrize(
    "way", [lambda e: pickle.loads(pickle.dumps(e)), copy.copy], ids=["pickle", "copy"]
)
def test_error_survives(way, error: MatrixResolveError, text: str, attributes: dict) -> None:
    """An error that crosses a process or is copied is the same afterwards."""
    again = way(error)
    assert again is not error
    assert type(again) is type(error)
    assert (str(again), again.args) == (text, error.args)
    assert {name: getattr(again, name) for name in attributes} == attributes


def test_every_error_has_a_row() -> None:
    """No error but the root is left out of the tables above."""
    assert {type(param.values[0]) for param in ERRORS} == set(TREE) - {MatrixResolveError}


def test_what_a_plug_in_raises_is_temporary_unless_said() -> None:
    """Asking again may help, so far as anybody knows."""
    assert WellKnownFetchError("time-out").temporary is True


def caused(error: Exception, *causes: Exception) -> Exception:
    """Return `error`, each of these caused by the next."""
    for effect, cause in zip((error, *causes), causes, strict=False):
        effect.__cause__ = cause
    return error


class Numbered(OSError):
    """An error whose numbers are not the system's."""


FETCH_FAILED = "no connection"
OWN = [
    "EMFILE",
    "ENFILE",
    "ENOBUFS",
    "ENOMEM",
    "ENETDOWN",
    "ENETUNREACH",
    "EADDRNOTAVAIL",
    "EACCES",
    "EPERM",
]
THEIRS = [
    "ECONNREFUSED",
    "ECONNRESET",
    "ETIMEDOUT",
    "EHOSTUNREACH",
    "EHOSTDOWN",
    "EPIPE",
    "ECONNABORTED",
]
BLAMED = [
    # error, is it our own trouble?
    *(pytest.param(OSError(getattr(errno, name), "x"), True, id=name) for name in OWN),
    *(pytest.param(OSError(getattr(errno, name), "x"), False, id=name) for name in THEIRS),
    pytest.param(OSError("EMFILE"), False, id="OSError without a number"),
    pytest.param(TimeoutError(), False, id="time-out"),
    pytest.param(ssl.SSLError(errno.EPERM, "handshake"), False, id="TLS, whose 1 is not EPERM"),
    pytest.param(socket.gaierror(errno.EPERM, "x"), False, id="getaddrinfo, whose 1 is not EPERM"),
    pytest.param(Numbered(errno.EMFILE, "x"), False, id="numbered by somebody"),
    pytest.param(AddressLookupError("SERVFAIL"), True, id="a lookup that failed"),
    pytest.param(WellKnownFetchError(FETCH_FAILED), False, id="a fetch that failed"),
    pytest.param(WellKnownFetchError(FETCH_FAILED, own_trouble=True), True, id="one that says so"),
    *(
        pytest.param(
            caused(WellKnownFetchError(FETCH_FAILED), OSError(getattr(errno, name), "x")),
            name in OWN,
            id=f"a fetch that failed for {name}",
        )
        for name in (*OWN, *THEIRS)
    ),
    pytest.param(
        caused(WellKnownFetchError(FETCH_FAILED), AddressLookupError("SERVFAIL")),
        True,
        id="a fetch that failed for a lookup",
    ),
    pytest.param(
        caused(
            WellKnownFetchError(FETCH_FAILED),
            Numbered(errno.ECONNREFUSED, "x"),
            OSError(errno.EMFILE, "x"),
        ),
        True,
        id="two causes deep",
    ),
]


@pytest.mark.parametrize(("error", "own"), BLAMED)
def test_own_trouble(error: Exception, own: bool) -> None:
    """What we lack ourselves blames nobody else; other libraries' numbers are not the system's."""
    assert is_own_trouble(error) is own


def test_own_trouble_of_errors_that_cause_each_other() -> None:
    """A ring of causes ends."""
    first, second = ValueError(), ValueError()
    first.__cause__, second.__cause__ = second, first
    assert not is_own_trouble(first)


SHOWN = [
    # value, text
    pytest.param("example.org", "'example.org'", id="plain"),
    pytest.param("", "''", id="empty"),
    pytest.param("it's", '"it\'s"', id="quote"),
    pytest.param("münchen", "'m\\xfcnchen'", id="not ASCII"),
    pytest.param("\x1b[2J\n", "'\\x1b[2J\\n'", id="terminal escape and newline"),
    pytest.param("\ud800", "'\\ud800'", id="lone surrogate"),
    pytest.param(r"\x1b[2J", r"'\x1b[2J'", id="escaped before"),
    pytest.param("a\\b\n", r"'a\\b\n'", id="a backslash beside what is escaped"),
    pytest.param("a" * 78, f"'{'a' * 78}'", id="as long as fits"),
    pytest.param("a" * 79, f"'{'a' * 76}...", id="one too long"),
    pytest.param("a" * 10**6, f"'{'a' * 76}...", id="a million"),
    pytest.param(b"a", "a bytes", id="bytes"),
    pytest.param(None, "a NoneType", id="None"),
    pytest.param([[]], "a list", id="list"),
]


@pytest.mark.parametrize(("value", "text"), SHOWN)
def test_shown(value: object, text: str) -> None:
    """A stranger's value is quoted, cut, and made printable."""
    assert shown(value) == text


@given(st.text(), st.integers(10, 100))
def test_shown_is_short_printable_ascii(text: str, limit: int) -> None:
    """Nothing of a stranger's reaches a log or terminal raw, however it is made."""
    quoted = shown(text, limit)
    assert quoted.isascii()
    assert quoted.isprintable()
    assert len(quoted) <= limit


class Unreadable:
    """A value whose texts can't be had, for this reason."""

    def __init__(self, error: type[BaseException]) -> None:
        self.error = error

    def __str__(self) -> str:
        raise self.error

    __repr__ = __str__


@pytest.mark.parametrize("write", [str, repr])
def test_written(write) -> None:
    """A value is written by its own code if that does; who would end the process may."""
    assert written("it's", write) == write("it's")
    for error in (ZeroDivisionError, RecursionError, GeneratorExit):
        assert written(Unreadable(error), write) == "a Unreadable"
    for end in (KeyboardInterrupt, SystemExit):
        with pytest.raises(end):
            written(Unreadable(end), write)


class Unprintable(Exception):
    """An exception whose text can't be had."""

    def __str__(self) -> str:
        raise RuntimeError("no text")


class Disguised(str):
    """A text that prints as another."""

    def __str__(self) -> str:
        return "\x1b[2J"


READABLE = [
    # value, text
    pytest.param("no connection", "no connection", id="plain"),
    pytest.param('it\'s \\ "so"', 'it\'s \\ "so"', id="quotes and a backslash"),
    pytest.param("Zeit\xfcberschreitung", r"Zeit\xfcberschreitung", id="not ASCII"),
    pytest.param("\x1b[31m\u202e\ud800\x00", r"\x1b[31m\u202e\ud800\x00", id="controls"),
    pytest.param("one\r\ntwo\tthree", r"one\r\ntwo\tthree", id="on several lines"),
    pytest.param("a" * 400, "a" * 400, id="as long as fits"),
    pytest.param("a" * 401, "a" * 397 + "...", id="one too long"),
    pytest.param("a" * 10**7, "a" * 397 + "...", id="ten million"),
    pytest.param("\n" * 400, r"\n" * 198 + "\\" + "...", id="long once it is escaped"),
    pytest.param(OSError(111, "refused"), "[Errno 111] refused", id="an exception"),
    pytest.param(ValueError("\n" + "a" * 999), r"\n" + "a" * 395 + "...", id="a long exception"),
    pytest.param(Unprintable(), "a Unprintable", id="an exception without a text"),
    pytest.param(404, "404", id="a number"),
    pytest.param(10**5000, "a int", id="a number of 5,001 digits"),
    pytest.param(1.5, "1.5", id="a fraction"),
    pytest.param(None, "a NoneType", id="None"),
    pytest.param(b"no", "a bytes", id="bytes"),
    pytest.param(["no"] * 10**6, "a list", id="a long list"),
    pytest.param({"no": {}}, "a dict", id="a dictionary"),
    pytest.param(Disguised("plain"), "plain", id="a text that prints as another"),
]


@pytest.mark.parametrize(("value", "text"), READABLE)
def test_readable(value: object, text: str) -> None:
    """A plug-in's reason of any type and length is cut and made printable, where it is told too."""
    assert readable(value) == text
    error = WellKnownFetchError(value)
    assert (error.reason, str(error), error.args) == (text, text, (text,))
    assert type(error.reason) is str


@pytest.mark.parametrize("empty", [TimeoutError(), WellKnownFetchError(TimeoutError()), ""])
def test_no_error_is_without_a_text(empty: object) -> None:
    """Where there is no reason, the error says what it is, or that."""
    told = "no reason was given" if empty == "" else "TimeoutError"
    for error in (WellKnownFetchError(empty), CacheError(empty)):
        assert (error.reason, str(error)) == (told, told)


@given(st.text(), st.integers(10, 100))
def test_readable_is_short_printable_ascii(text: str, limit: int) -> None:
    """Whatever it is made of, it stands by itself on a line, and is left alone from then on."""
    told = readable(text, limit)
    assert told.isascii()
    assert told.isprintable() or not told
    assert len(told) <= limit
    assert readable(told, limit) == told


@pytest.mark.parametrize(("given", "kept"), [(1, True), (0, False), (None, False), ("x", True)])
def test_temporary_is_a_flag(given: object, kept: bool) -> None:
    """What a plug-in says of itself crosses processes as a boolean."""
    assert SrvLookupError("no", temporary=given).temporary is kept  # type: ignore[arg-type]
