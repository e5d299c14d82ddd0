"""Errors in words: short, on one line, and nothing of a stranger's raw."""

import ssl

import aiohttp
import pytest
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from matrix_resolve.transport.words import in_words, together

KEY = aiohttp.client_reqrep.ConnectionKey("a.test", 443, True, True, None, None, None)
INFO = aiohttp.RequestInfo(URL("https://a.test/"), "GET", CIMultiDictProxy(CIMultiDict()))


def caused(error: Exception, cause: BaseException | None) -> Exception:
    """An error as aiohttp raises it from another one."""
    error.__cause__ = cause
    return error


def not_connected(cause: BaseException | None) -> Exception:
    """What aiohttp raises when it can't connect."""
    return caused(aiohttp.ClientConnectorError(KEY, OSError(111, "Connect call failed")), cause)


WORDS = [
    pytest.param(ValueError("plain"), "plain", id="plain"),
    pytest.param(ConnectionResetError(), "ConnectionResetError", id="without a text"),
    pytest.param(ValueError("a\r\n  b\tc"), "a b c", id="on several lines"),
    pytest.param(ValueError("\x1b[31m\u202e\ud800"), r"\x1b[31m\u202e\ud800", id="controls"),
    pytest.param(ValueError("x" * 1000), "x" * 200, id="long"),
    pytest.param(not_connected(OSError(111, "no")), "[Errno 111] no", id="cause of a connector"),
    pytest.param(
        not_connected(ConnectionResetError()), "ConnectionResetError", id="cause without a text"
    ),
    pytest.param(
        not_connected(ssl.SSLError(1, "[SSL: A] no (_ssl.c:1)")), "no", id="cause by OpenSSL"
    ),
    pytest.param(
        caused(ValueError("told"), OSError("not told")), "told", id="cause of another error"
    ),
    pytest.param(
        aiohttp.ClientResponseError(INFO, (), status=407, message="Authentication"),
        "Authentication",
        id="a response",
    ),
    pytest.param(
        aiohttp.ServerDisconnectedError(object()),  # type: ignore[arg-type]  # a head cut short
        "Server disconnected",
        id="a head cut short",
    ),
]


@pytest.mark.parametrize(("error", "told"), WORDS)
def test_in_words(error: Exception, told: str) -> None:
    """The reason is what a person can read."""
    assert in_words(error) == told


def test_connector_error_without_a_cause() -> None:
    """An error that aiohttp makes up itself tells its own text."""
    assert "a.test" in in_words(not_connected(None))


def test_together() -> None:
    """Several reasons are told each once, in their order, and are as short as one."""
    assert together([]) == ""
    assert together(["b", "a", "b"]) == "b; a"
    assert together(str(number) * 50 for number in range(10)) == "; ".join(
        [str(number) * 50 for number in range(3)] + ["3" * 44]
    )
