"""What people write for a server name: what is suggested, and that it is a server name."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from matrix_resolve.core.names import ServerName
from matrix_resolve.errors import InvalidServerNameError

LABEL_63 = "a" * 63
LONG = f"{LABEL_63}.{LABEL_63}.{LABEL_63}.{LABEL_63[2:]}"

MEANT = [
    # what was given, what was meant
    ("@alice:a.example", "a.example"),
    ("@alice:a.example:8448", "a.example:8448"),
    ("@alice:[::1]", "[::1]"),
    ("@:a.example", "a.example"),
    ("#room:a.example", "a.example"),
    ("#a/b?c@d:a.example", "a.example"),
    ("!id:a.example", "a.example"),
    ("$event:a.example", "a.example"),
    (" @alice:a.example. ", "a.example"),
    ("@alice@a.example", "a.example"),
    ("alice@a.example", "a.example"),
    ("https://matrix.to/#/@alice:a.example", "a.example"),
    ("https://matrix.to/#/%23room%3Aa.example:8448?via=b.example", "a.example:8448"),
    ("https://matrix.to/#/!id:a.example/$event:b.example", "a.example"),
    ("HTTPS://MATRIX.TO/#/@alice:a.example", "a.example"),
    ("matrix:u/alice:a.example?action=chat", "a.example"),
    ("matrix:roomid/id:a.example/e/event", "a.example"),
    ("https://a.example", "a.example"),
    ("https://a.example/", "a.example"),
    ("HTTPS://a.example/_matrix", "a.example"),
    ("https://a.example:8448", "a.example:8448"),
    ("https://[2001:db8::1]", "[2001:db8::1]"),
    ("http://a.example", "a.example"),
    ("matrix://a.example", "a.example"),
    ("//a.example", "a.example"),
    ("https://https://a.example", "a.example"),
    ("a.example/", "a.example"),
    ("a.example/path", "a.example"),
    ("a.example:443/path", "a.example:443"),
    ("a.example?b#c", "a.example"),
    ("user:word@a.example", "a.example"),
    ("https://u@a.example/p?q#f", "a.example"),
    ("a.example:", "a.example"),
    ("[::1]:", "[::1]"),
    ("a.example.", "a.example"),
    ("A.EXAMPLE.", "A.EXAMPLE"),
    ("a.example.:8448", "a.example:8448"),
    ("192.0.2.1.", "192.0.2.1"),
    (" a.example\n", "a.example"),
    ("\u3000a.example:1\t", "a.example:1"),
    ("::1", "[::1]"),
    ("2001:db8::1", "[2001:db8::1]"),
    ("https://::1/", "[::1]"),
    ("192.0.2.1/", "192.0.2.1"),
    ("münchen.example", "xn--mnchen-3ya.example"),
    ("MÜNCHEN.example.:443", "xn--mnchen-3ya.example:443"),
    ("mu\u0308nchen.example", "xn--mnchen-3ya.example"),
    ("\u212aelvin.example", "kelvin.example"),
    ("https://a.日本/", "a.xn--wgv71a"),
    ("@alice:münchen.example", "xn--mnchen-3ya.example"),
]
NOT_TO_BE_TOLD = [
    "",
    " ",
    "/path",
    "https://",
    "https:///path",
    ":8448",
    "@",
    "@alice",
    "@alice:",
    "!room-of-version-12",
    "https://matrix.to/#/alice",
    "a..b",
    ".a.example",
    "a b.example",
    "a_b.example",
    "*.a.example",
    "a.example:0",
    "a.example:https",
    "2130706433",
    "https://0x7f.1/",
    "[fe80::1%eth0]",
    "fe80::1%eth0",
    "a.example\x1b[2J",
    # IDNA 2003 makes other names of these: fass.example, a dot of its own, a digit.
    "faß.example",
    "a。example",
    "１.2.3.4",
    # What the codec refuses.
    "é..example",
    "é" * 64 + ".example",
    "é" * 254,
    "\udcff.example",
    "a" * 64 + "/",
    LONG + "b.",
    # Nobody writes so much by mistake.
    "https://a.example/" + "a" * 1000,
]


def suggested(text: object) -> str | None:
    """What is suggested for what is no server name."""
    with pytest.raises(InvalidServerNameError) as caught:
        ServerName.parse(text)  # type: ignore[arg-type]
    assert caught.value.server_name is text
    return caught.value.suggestion


@pytest.mark.parametrize(("given_text", "meant"), MEANT)
def test_what_is_meant(given_text: str, meant: str) -> None:
    """What people write is told with the server name that they mean."""
    assert suggested(given_text) == meant
    assert str(ServerName.parse(meant)) == meant


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("@alice:a.example", "it is an identifier that holds one"),
        (" #room:a.example", "it is an identifier that holds one"),
        ("https://a.example/", "it is a URL"),
        ("//a.example", "it is a URL"),
        ("Matrix:u/alice:a.example", "it is a URL"),
        ("::1", "an IPv6 address belongs in brackets"),
        ("a.example.", "the hostname has an empty label (a dot too many)"),
        ("[::1]:", "the port must be a number from 1 to 65535"),
        # Where nothing can be suggested, it is told what is wrong.
        ("@alice", "the hostname holds characters other than letters, digits, '-' and '.'"),
        ("https://", "the port must be a number from 1 to 65535"),
        ("a:b:c", "the port must be a number from 1 to 65535"),
    ],
)
def test_the_reason_says_what_it_is(text: str, reason: str) -> None:
    """What is plainly something else is told as that."""
    with pytest.raises(InvalidServerNameError) as caught:
        ServerName.parse(text)
    assert caught.value.reason == reason


@pytest.mark.parametrize("text", NOT_TO_BE_TOLD)
def test_what_can_not_be_told(text: str) -> None:
    """Nothing is suggested where it would be a guess, or is no server name either."""
    assert suggested(text) is None


def test_the_longest_name() -> None:
    """A name as long as DNS has them is suggested; the limit is that of a server name."""
    assert suggested(f"https://{LONG}/") == LONG


@pytest.mark.parametrize("value", [None, b"https://a.example", 8448, ["https://a.example"]])
def test_what_is_no_string(value: object) -> None:
    """Nothing is suggested for what is no text."""
    assert suggested(value) is None


def test_a_string_that_lies() -> None:
    """What counts is what a string holds, not what its class makes of it."""

    class Lying(str):
        def strip(self, _chars: str | None = None, /) -> str:
            return "b.example"

    assert suggested(Lying("https://a.example")) == "a.example"


@given(st.text(st.sampled_from("@#!$:/?.[]%- aAé１ß\udcff0xn"), max_size=40) | st.text())
def test_what_is_suggested_is_a_server_name(text: str) -> None:
    """Whatever is given: a name, or an error whose suggestion is a name."""
    suggestion = None
    try:
        ServerName.parse(text)
    except InvalidServerNameError as error:
        suggestion = error.suggestion
    assert suggestion is None or str(ServerName.parse(suggestion)) == suggestion != text
