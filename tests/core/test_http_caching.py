"""What the headers of a response say of its lifetime."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from matrix_resolve.core.http_caching import retry_after, stated_lifetime
from matrix_resolve.policy import Policy

Pairs = list[tuple[str, str]]

DATE = "Sun, 06 Nov 1994 08:49:37 GMT"
DATED = 784111777.0
TEN_MINUTES_LATER = "Sun, 06 Nov 1994 08:59:37 GMT"
RECEIVED = DATED + 10
"""When the response came, by our clock: ten seconds past what the server's `Date` says."""


def control(*values: str) -> Pairs:
    """One `Cache-Control` line for each value."""
    return [("Cache-Control", value) for value in values]


STATED = [
    # headers, seconds
    pytest.param([], None, id="no headers"),
    pytest.param([("Content-Type", "application/json")], None, id="other headers"),
    pytest.param([("Age", "100"), ("Date", DATE)], None, id="Age and Date alone"),
    pytest.param(control(""), None, id="empty Cache-Control"),
    pytest.param(control("x, " * 31 + "max-age=9"), 9, id="the 32nd directive"),
    pytest.param(control("x, " * 32 + "max-age=9"), None, id="the 33rd directive"),
    pytest.param(control("@, " * 32 + "max-age=9"), None, id="after 32 that can't be read"),
    pytest.param(control("x") * 32 + control("max-age=9"), None, id="after 32 lines"),
    pytest.param(control("," * 9999 + "max-age=9"), 9, id="after commas"),
    pytest.param([("Pragma", "no-cache")], None, id="Pragma is not Cache-Control"),
    pytest.param([("X-Cache-Control", "max-age=5")], None, id="a header that only resembles"),
    pytest.param(control("public, must-revalidate"), None, id="directives without a lifetime"),
    pytest.param(control("s-maxage=5"), None, id="s-maxage is for shared caches"),
    pytest.param(control("x-max-age=5, max-agent=6"), None, id="names that only resemble"),
    pytest.param(control("x-no-store, no-storex"), None, id="no-store only resembled"),
    pytest.param(control("max-age=600"), 600, id="max-age"),
    pytest.param(control("max-age=0"), 0, id="max-age=0"),
    pytest.param(control("max-age=000600"), 600, id="leading zeros"),
    pytest.param(control("public,max-age=600"), 600, id="no space after the comma"),
    pytest.param(control("\tpublic ,\t max-age=600 "), 600, id="whitespace around elements"),
    pytest.param(control(",, ,max-age=600,"), 600, id="empty elements"),
    pytest.param(control("=, ;=5, max-age=600"), 600, id="elements that are no directives"),
    pytest.param([("CACHE-CONTROL", "Max-Age=600")], 600, id="case-insensitive"),
    pytest.param([("cache-control", "MAX-AGE=600")], 600, id="lower-case header"),
    pytest.param(control('max-age="600"'), 600, id="quoted"),
    pytest.param(control('public="x, y", max-age="600"'), 600, id="quoted after quoted"),
    pytest.param(control("public", "max-age=600"), 600, id="several header lines"),
    pytest.param(control("max-age=600, max-age=5"), 600, id="several max-age: the first"),
    pytest.param(
        control("max-age=600", "max-age=5"), 600, id="max-age in several lines: the first"
    ),
    pytest.param(control("max-age=x, max-age=5"), 0, id="several max-age, the first unreadable"),
    pytest.param(control("no-store"), 0, id="no-store"),
    pytest.param(control("No-Store"), 0, id="no-store in upper case"),
    pytest.param(control("no-cache"), 0, id="no-cache"),
    pytest.param(control('no-cache="Set-Cookie"'), 0, id="no-cache of a field"),
    pytest.param(control("max-age=600, no-store"), 0, id="no-store after max-age"),
    pytest.param(control("no-store, max-age=600"), 0, id="no-store before max-age"),
    pytest.param(control("max-age=600", "no-store"), 0, id="no-store in a later line"),
    pytest.param(control("max-age=600, no-cache"), 0, id="no-cache after max-age"),
    pytest.param(control('x="a, no-store", max-age=600'), 600, id="comma inside quotes"),
    pytest.param(control('x="\\", no-store", max-age=600'), 600, id="escaped quote inside quotes"),
    pytest.param(control('max-age="600'), 0, id="unclosed quote"),
    pytest.param(control('max-age="600, no-store'), 0, id="unclosed quote before a comma"),
    pytest.param(control('x="a, max-age=600'), None, id="unclosed quote takes the rest"),
    pytest.param(control('max-age=600, x="\\'), 600, id="backslash at the end"),
    pytest.param(control("max-age"), 0, id="max-age without a value"),
    pytest.param(control("max-age="), 0, id="max-age with an empty value"),
    pytest.param(control('max-age=""'), 0, id="max-age with empty quotes"),
    pytest.param(control("max-age=ten"), 0, id="max-age unreadable"),
    pytest.param(control("max-age=-600"), 0, id="max-age negative"),
    pytest.param(control("max-age=+600"), 0, id="max-age with a sign"),
    pytest.param(control("max-age=600.5"), 0, id="max-age with a fraction"),
    pytest.param(control("max-age=1e3"), 0, id="max-age with an exponent"),
    pytest.param(control("max-age = 600"), 0, id="max-age with spaces"),
    pytest.param(control("max-age=600;public"), 0, id="max-age with a semicolon"),
    pytest.param(control("max-age='600'"), 0, id="max-age in single quotes"),
    pytest.param(control("max-age=６００"), 0, id="max-age in full-width digits"),
    pytest.param([*control("max-age=600"), ("Age", "100")], 500, id="Age counts"),
    pytest.param([("age", " 100 "), *control("max-age=600")], 500, id="Age first, with spaces"),
    pytest.param([*control("max-age=600"), ("Age", "600")], 0, id="Age of the whole lifetime"),
    pytest.param([*control("max-age=600"), ("Age", "601")], 0, id="Age past the lifetime"),
    pytest.param([*control("max-age=600"), ("Age", "old")], 600, id="Age unreadable"),
    pytest.param([*control("max-age=600"), ("Age", "")], 600, id="Age empty"),
    pytest.param([*control("max-age=600"), ("Age", "-5")], 600, id="Age negative"),
    pytest.param([*control("max-age=600"), ("Age", "1.5")], 600, id="Age with a fraction"),
    pytest.param([*control("max-age=600"), ("Age", "100, 5")], 500, id="Age a list: the first"),
    pytest.param(
        [*control("max-age=600"), ("Age", "100"), ("Age", "5")], 500, id="Age twice: the first"
    ),
    pytest.param([("Expires", TEN_MINUTES_LATER), ("Date", DATE)], 600, id="Expires less Date"),
    pytest.param([("Expires", TEN_MINUTES_LATER)], 590, id="Expires without Date"),
    pytest.param([("Expires", TEN_MINUTES_LATER), ("Date", "?")], 590, id="Date unreadable"),
    pytest.param(
        [("EXPIRES", TEN_MINUTES_LATER), ("DATE", DATE), ("AGE", "100")], 500, id="Expires and Age"
    ),
    pytest.param([("Expires", DATE), ("Date", DATE)], 0, id="Expires at once"),
    pytest.param([("Expires", DATE), ("Date", TEN_MINUTES_LATER)], 0, id="Expires in the past"),
    pytest.param([("Expires", "0"), ("Date", DATE)], 0, id="Expires 0"),
    pytest.param([("Expires", "-1"), ("Date", DATE)], 0, id="Expires -1"),
    pytest.param([("Expires", ""), ("Date", DATE)], 0, id="Expires empty"),
    pytest.param([("Expires", "never")], 0, id="Expires no date"),
    pytest.param([("Expires", "Sun, 99 Nov 1994 08:49:37 GMT")], 0, id="Expires on no day"),
    pytest.param([("Expires", "Sun, 06 Nov 1994 99:49:37 GMT")], 0, id="Expires at no hour"),
    pytest.param([("Expires", f"Sun, 06 Nov {'9' * 30} 08:49:37 GMT")], 0, id="Expires too far"),
    pytest.param(
        [("Expires", "0"), ("Expires", TEN_MINUTES_LATER)], 0, id="Expires twice: the first"
    ),
    pytest.param(
        [("Expires", "Sunday, 06-Nov-94 08:59:37 GMT"), ("Date", DATE)], 600, id="RFC 850 date"
    ),
    pytest.param([("Expires", "Sun Nov  6 08:59:37 1994"), ("Date", DATE)], 600, id="asctime date"),
    pytest.param(
        [("Expires", TEN_MINUTES_LATER), ("Date", "Sun Nov  6 08:49:37 1994")],
        600,
        id="Date in another form than Expires",
    ),
    pytest.param(
        [("Expires", TEN_MINUTES_LATER), ("Date", DATE), *control("max-age=60")],
        60,
        id="max-age wins over Expires",
    ),
    pytest.param(
        [("Expires", TEN_MINUTES_LATER), ("Date", DATE), *control("max-age=x")],
        0,
        id="unreadable max-age wins over Expires",
    ),
    pytest.param(
        [("Expires", TEN_MINUTES_LATER), ("Date", DATE), *control("no-cache")],
        0,
        id="no-cache wins over Expires",
    ),
    pytest.param(
        [("Expires", TEN_MINUTES_LATER), ("Date", DATE), *control("public")],
        600,
        id="Expires beside other directives",
    ),
]


@pytest.mark.parametrize(("headers", "seconds"), STATED)
def test_stated_lifetime(headers: Pairs, seconds: float | None) -> None:
    """A response's own lifetime is read as RFC 9111 says."""
    assert stated_lifetime(headers, RECEIVED) == seconds


BEYOND = [
    pytest.param(control(f"max-age={10**30}"), id="max-age 10^30"),
    pytest.param(control("max-age=" + "9" * 5000), id="max-age of 5,000 digits"),
    pytest.param([*control(f"max-age={10**30}"), ("Age", "100")], id="and Age"),
    pytest.param([("Expires", "Fri, 31 Dec 9999 23:59:59 GMT")], id="Expires in 9999"),
]


@pytest.mark.parametrize("headers", BEYOND)
def test_lifetime_too_large_to_hold_is_very_long(headers: Pairs) -> None:
    """A number that overflows means the longest that there is, not an error and not nothing."""
    stated = stated_lifetime(headers, RECEIVED)
    assert stated is not None
    assert stated > Policy().well_known_max_ttl


def test_age_too_large_to_hold_leaves_nothing() -> None:
    """An `Age` beyond all numbers ends any lifetime, one beyond all numbers too."""
    endless = "9" * 5000
    headers = [*control(f"max-age={endless}"), ("Age", endless)]
    assert stated_lifetime(headers, RECEIVED) == 0
    assert stated_lifetime([*control("max-age=600"), ("Age", endless)], RECEIVED) == 0


RETRY_AFTER = [
    # headers, seconds
    pytest.param([], 0, id="missing"),
    pytest.param([("Retry-After", "")], 0, id="empty"),
    pytest.param([("Retry-After", "120")], 120, id="seconds"),
    pytest.param([("RETRY-AFTER", " 120 ")], 120, id="upper case, with spaces"),
    pytest.param([("Retry-After", "0")], 0, id="zero"),
    pytest.param([("Retry-After", "-120")], 0, id="negative"),
    pytest.param([("Retry-After", "1.5")], 0, id="fraction"),
    pytest.param([("Retry-After", "soon")], 0, id="unreadable"),
    pytest.param([("Retry-After", "１２０")], 0, id="full-width digits"),
    pytest.param([("Retry-After", TEN_MINUTES_LATER)], 590, id="date"),
    pytest.param([("Retry-After", "Sunday, 06-Nov-94 08:59:37 GMT")], 590, id="RFC 850 date"),
    pytest.param([("Retry-After", "Sun Nov  6 08:59:37 1994")], 590, id="asctime date"),
    pytest.param([("Retry-After", DATE)], 0, id="date in the past"),
    pytest.param([("Retry-After", "5"), ("Retry-After", "9")], 5, id="twice: the first"),
]


@pytest.mark.parametrize(("headers", "seconds"), RETRY_AFTER)
def test_retry_after(headers: Pairs, seconds: float) -> None:
    """`Retry-After` is seconds or a date (RFC 9110, 10.2.3), and nothing else."""
    assert retry_after(headers, RECEIVED) == seconds


def test_retry_after_too_large_to_hold_is_very_long() -> None:
    """A number that overflows is a long wait, which the policy then limits."""
    assert retry_after([("Retry-After", "9" * 5000)], RECEIVED) > Policy().failure_max_ttl


DATE_WORDS = ["Sun,", "Sunday,", "06", "6", "Nov", "Dec", "1994", "94", "06-Nov-94", "08:49:37"]
DATE_WORDS += ["8:49", "24:61:61", "9999", "9" * 30, "GMT", "EST", "+9999", "-2400", "-0000"]
DATE_WORDS += ["0", ",", "-", "+", ":", ""]
DATE_TEXT = st.lists(st.sampled_from(DATE_WORDS), max_size=7).map(" ".join)
SAID = ["max-age=60", "max-age=0, private", "Sun, 06 Nov 2033 08:49:37 GMT", "60"]
VALUES = (
    st.sampled_from(SAID)
    | st.text()
    | DATE_TEXT
    | st.text('max-age=no store,"\\ 09-;\n', max_size=30)
)
NAMES = st.sampled_from(["Cache-Control", "Age", "Expires", "Date", "Retry-After"])


@given(st.lists(st.tuples(NAMES | st.text(max_size=3), VALUES), max_size=5), st.floats(0, 4e9))
@example([("Cache-Control", "max-age=" + "9" * 400), ("Age", "9" * 400)], 0.0)
def test_reading_headers_never_raises(headers: Pairs, received_at: float) -> None:
    """Whatever the headers hold, a lifetime and a wait are 0 or more seconds, or not stated."""
    stated = stated_lifetime(headers, received_at)
    assert stated is None or stated >= 0
    assert retry_after(headers, received_at) >= 0
