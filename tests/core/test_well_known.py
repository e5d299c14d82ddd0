"""The well-known document: which responses are usable, and where redirects lead."""

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from matrix_resolve.core.names import ServerName
from matrix_resolve.core.questions import Delegated, NotDelegated
from matrix_resolve.core.replies import HttpResponse
from matrix_resolve.core.urls import HttpsUrl
from matrix_resolve.core.well_known import REDIRECTS, next_hop, read_well_known
from matrix_resolve.errors import WellKnownFetchError

URL = "https://example.org/.well-known/matrix/server"
PLACE = "https://example.org/.well-known/matrix/"
MAX_BODY = 50 * 1024
GOOD = b'{"m.server": "hs.example.net:443"}'


def read(body: bytes, status: int = 200, *headers: tuple[str, str]) -> Delegated | NotDelegated:
    """Read a response from `URL` within the default limit."""
    return read_well_known(HttpResponse(status, headers, body, URL), max_body=MAX_BODY)


def document(value: Any, **json_options: Any) -> bytes:
    """A document with this `m.server`."""
    return json.dumps({"m.server": value}, **json_options).encode()


NOT_UTF8, NOT_JSON = "the body is not UTF-8", "the body is not JSON"
NO_OBJECT, NO_FIELD = "the document is not a JSON object", "the document has no m.server"
NO_NAME = "m.server: "

USABLE = [
    # body, the name that it delegates to
    pytest.param(GOOD, "hs.example.net:443", id="plain"),
    pytest.param(document("hs.example.net"), "hs.example.net", id="no port"),
    pytest.param(document("192.0.2.1"), "192.0.2.1", id="IPv4"),
    pytest.param(document("[2001:db8::1]:443"), "[2001:db8::1]:443", id="IPv6 with port"),
    pytest.param(document("Hs.Example.NET"), "Hs.Example.NET", id="upper case"),
    pytest.param(b"\xef\xbb\xbf" + GOOD, "hs.example.net:443", id="byte order mark"),
    pytest.param(b"\r\n\t " + GOOD + b"\n\n", "hs.example.net:443", id="whitespace around"),
    pytest.param(
        b'{"m.server": "first.example", "m.server": "last.example"}',
        "last.example",
        id="a key twice: the last",
    ),
    pytest.param(b'{"m\\u002eserver": "\\u0061.example"}', "a.example", id="escapes"),
    pytest.param(
        b'{"\\ud800": "\\udc00", "m.server": "a.example"}', "a.example", id="surrogates elsewhere"
    ),
    pytest.param(
        '{"note": "żółw 🐢", "m.server": "a.example"}'.encode(), "a.example", id="other fields"
    ),
    pytest.param(b'{"n": 1e999, "m.server": "a.example"}', "a.example", id="a number too large"),
    pytest.param(GOOD + b" " * (MAX_BODY - len(GOOD)), "hs.example.net:443", id="longest allowed"),
]
UNUSABLE = [
    # body, what the reason begins with
    pytest.param(b"", NOT_JSON, id="empty"),
    pytest.param(b" \n", NOT_JSON, id="whitespace"),
    pytest.param(b"\x00", NOT_JSON, id="NUL"),
    pytest.param(b"<!DOCTYPE html><html></html>", NOT_JSON, id="HTML"),
    pytest.param(b"hs.example.net:443", NOT_JSON, id="bare name"),
    pytest.param(b"{'m.server': 'a.example'}", NOT_JSON, id="single quotes"),
    pytest.param(b'{m.server: "a.example"}', NOT_JSON, id="key without quotes"),
    pytest.param(b'{"m.server": "a.example",}', NOT_JSON, id="comma at the end"),
    pytest.param(GOOD[:-1], NOT_JSON, id="cut short"),
    pytest.param(GOOD + GOOD, NOT_JSON, id="two documents"),
    pytest.param(GOOD + b"\x00", NOT_JSON, id="NUL at the end"),
    pytest.param(b"// note\n" + GOOD, NOT_JSON, id="comment"),
    pytest.param(b'{"m.server": "a\nb"}', NOT_JSON, id="raw newline in a string"),
    pytest.param(b'{"m.server": "\\x61"}', NOT_JSON, id="unknown escape"),
    pytest.param(b'{"m.server": NaN}', NOT_JSON, id="NaN"),
    pytest.param(b'{"m.server": "a.example", "x": NaN}', NOT_JSON, id="NaN elsewhere"),
    pytest.param(b'{"m.server": "a.example", "x": Infinity}', NOT_JSON, id="Infinity elsewhere"),
    pytest.param(b'{"m.server": "a.example", "x": -Infinity}', NOT_JSON, id="-Infinity elsewhere"),
    pytest.param(
        b'{"m.server": "a.example", "x": ' + b"9" * 5000 + b"}", NOT_JSON, id="5,000-digit integer"
    ),
    pytest.param(b"\xef\xbb\xbf\xef\xbb\xbf" + GOOD, NOT_JSON, id="two byte order marks"),
    pytest.param(b"\xef\xbb\xbf", NOT_JSON, id="byte order mark alone"),
    pytest.param(GOOD.decode().encode("utf-16"), NOT_UTF8, id="UTF-16 with mark"),
    pytest.param(GOOD.decode().encode("utf-16-le"), NOT_JSON, id="UTF-16 without mark"),
    pytest.param(GOOD.decode().encode("utf-32-be"), NOT_JSON, id="UTF-32 without mark"),
    pytest.param('{"m.server": "münchen.example"}'.encode("latin-1"), NOT_UTF8, id="Latin-1"),
    pytest.param(b'{"m.server": "\xed\xa0\x80"}', NOT_UTF8, id="surrogate in UTF-8"),
    pytest.param(b'{"m.server": "\xc0\xae"}', NOT_UTF8, id="overlong UTF-8"),
    pytest.param(b"\x1f\x8b\x08\x00", NOT_UTF8, id="gzip"),
    pytest.param(b"null", NO_OBJECT, id="null document"),
    pytest.param(b"true", NO_OBJECT, id="boolean document"),
    pytest.param(b"1", NO_OBJECT, id="number document"),
    pytest.param(b'"m.server"', NO_OBJECT, id="string document"),
    pytest.param(b"[" + GOOD + b"]", NO_OBJECT, id="array document"),
    pytest.param(b'["m.server"]', NO_OBJECT, id="array of the key"),
    pytest.param(b"{}", NO_FIELD, id="empty object"),
    pytest.param(b'{"M.Server": "a.example"}', NO_FIELD, id="key in upper case"),
    pytest.param(b'{"m": {"server": "a.example"}}', NO_FIELD, id="nested key"),
    pytest.param(b'{"m.homeserver": {"base_url": "https://a"}}', NO_FIELD, id="client document"),
    pytest.param(document(None), NO_NAME, id="m.server null"),
    pytest.param(document(True), NO_NAME, id="m.server boolean"),
    pytest.param(document(443), NO_NAME, id="m.server number"),
    pytest.param(document(["a.example"]), NO_NAME, id="m.server array"),
    pytest.param(document({"host": "a.example"}), NO_NAME, id="m.server object"),
    pytest.param(document(""), NO_NAME, id="m.server empty"),
    pytest.param(document(" a.example"), NO_NAME, id="m.server with leading space"),
    pytest.param(document("a.example\n"), NO_NAME, id="m.server with newline"),
    pytest.param(document("a.example\0"), NO_NAME, id="m.server with NUL"),
    pytest.param(document("a.example:0"), NO_NAME, id="m.server with port 0"),
    pytest.param(document("a.example:"), NO_NAME, id="m.server with empty port"),
    pytest.param(document("a.example:65536"), NO_NAME, id="m.server with port 65536"),
    pytest.param(document("https://a.example"), NO_NAME, id="m.server with scheme"),
    pytest.param(document("a.example/path"), NO_NAME, id="m.server with path"),
    pytest.param(document("a.example:443/"), NO_NAME, id="m.server with port and path"),
    pytest.param(document("a.example."), NO_NAME, id="m.server with trailing dot"),
    pytest.param(document("a_b.example"), NO_NAME, id="m.server with underscore"),
    pytest.param(document("münchen.example"), NO_NAME, id="m.server not ASCII"),
    pytest.param(document("\ud800"), NO_NAME, id="m.server a lone surrogate"),
    pytest.param(document("2001:db8::1"), NO_NAME, id="m.server IPv6 without brackets"),
    pytest.param(document("0x7f.1"), NO_NAME, id="m.server an address in disguise"),
    pytest.param(document("a" * 40_000), NO_NAME, id="m.server of 40,000 letters"),
    pytest.param(document("\x1b[2J"), NO_NAME, id="m.server a terminal escape"),
]


@pytest.mark.parametrize(("body", "to"), USABLE)
def test_usable_document(body: bytes, to: str) -> None:
    """A JSON object with a server name in `m.server` delegates to it."""
    assert read(body) == Delegated(ServerName.parse(to), URL)


@pytest.mark.parametrize(("body", "reason"), UNUSABLE)
def test_unusable_document_is_a_definite_no(body: bytes, reason: str) -> None:
    """Anything else is nothing usable, for good, and the reason is one line of printable ASCII."""
    said = read(body)
    assert isinstance(said, NotDelegated)
    assert said.reason.startswith(reason)
    assert said.reason.isprintable()
    assert said.reason.isascii()
    assert len(said.reason) < 250
    assert (said.temporary, said.own_trouble, said.url) == (False, False, URL)


NESTED = [
    pytest.param(b'{"m.server": ' + b"[" * 400 + b"]" * 400 + b"}", id="400 arrays in m.server"),
    pytest.param(b"[" * 25_000 + b"]" * 25_000, id="25,000 arrays"),
    pytest.param(b"[" * MAX_BODY, id="arrays that never end"),
    pytest.param(b'{"":' * 10_000 + b"1" + b"}" * 10_000, id="10,000 objects"),
    pytest.param(
        b'{"m.server":' + b"[" * 25_000 + b"]" * 25_000 + b"}", id="25,000 arrays in m.server"
    ),
]


@pytest.mark.parametrize("body", NESTED)
def test_deep_nesting_is_a_definite_no(body: bytes) -> None:
    """However deep a document goes, which Python may or may not parse, it is nothing usable."""
    said = read(body)
    assert isinstance(said, NotDelegated)
    assert said.reason.startswith((NOT_JSON, NO_OBJECT, NO_FIELD, NO_NAME))
    assert (len(said.reason) < 250, said.temporary) == (True, False)


def test_content_type_does_not_matter() -> None:
    """Many servers send the document as something else than JSON."""
    said = read(GOOD, 200, ("Content-Type", "text/html; charset=iso-8859-1"))
    assert said == Delegated(ServerName.parse("hs.example.net:443"), URL)


@pytest.mark.parametrize("over", [1, 10_000_000], ids=["by one byte", "by far"])
def test_document_that_is_too_large_is_temporary(over: int) -> None:
    """A body past the limit is not read, however good, and asked for again soon."""
    said = read(GOOD.ljust(MAX_BODY + over))
    assert said == NotDelegated("the body is longer than 51200 bytes", temporary=True, url=URL)


STATUSES = [
    # status, temporary
    pytest.param(0, False, id="0"),
    pytest.param(100, False, id="100"),
    pytest.param(201, False, id="201"),
    pytest.param(203, False, id="203"),
    pytest.param(204, False, id="204"),
    pytest.param(206, False, id="206"),
    pytest.param(299, False, id="299"),
    pytest.param(301, False, id="301"),
    pytest.param(304, False, id="304"),
    pytest.param(400, False, id="400"),
    pytest.param(401, True, id="401"),
    pytest.param(403, True, id="403"),
    pytest.param(404, False, id="404"),
    pytest.param(410, False, id="410"),
    pytest.param(418, False, id="418"),
    pytest.param(408, True, id="408"),
    pytest.param(425, True, id="425"),
    pytest.param(429, True, id="429"),
    pytest.param(500, True, id="500"),
    pytest.param(502, True, id="502"),
    pytest.param(503, True, id="503"),
    pytest.param(504, True, id="504"),
    pytest.param(599, True, id="599"),
    pytest.param(600, False, id="600"),
]


@pytest.mark.parametrize(("status", "temporary"), STATUSES)
def test_only_status_200_is_usable(status: int, temporary: bool) -> None:
    """A good document with another status is nothing usable; a server in trouble is temporary."""
    assert read(GOOD, status) == NotDelegated(f"status {status}", temporary=temporary, url=URL)


BODIES = st.binary(max_size=60) | st.text(max_size=60).map(str.encode)
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=8,
)
SERVERS = JSON_VALUES | st.sampled_from(["a", "A.example:1", "[::1]:0", "[::1]", "1.2.3"])
DOCUMENTS = st.dictionaries(st.sampled_from(["m.server", "x"]), JSON_VALUES) | (
    st.fixed_dictionaries({"m.server": SERVERS}, optional={"x": JSON_VALUES})
)


@given(
    BODIES | DOCUMENTS.map(json.dumps).map(str.encode), st.sampled_from([200, 200, 200, 404, 500])
)
@example(b"\xff\xfe" + GOOD, 200)
@example(GOOD, 200)
def test_reading_never_raises(body: bytes, status: int) -> None:
    """Whatever a server sends, it delegates or it does not."""
    said = read(body, status)
    assert said.url == URL
    if isinstance(said, Delegated):
        assert status == 200
        assert json.loads(body.decode("utf-8-sig"))["m.server"] == str(said.to)


FOLLOWED = [
    # Location, where that leads
    pytest.param("https://hs.example.net/w", "https://hs.example.net/w", id="absolute"),
    pytest.param("https://hs.example.net", "https://hs.example.net/", id="absolute without path"),
    pytest.param("https://hs.example.net?q", "https://hs.example.net/?q", id="query without path"),
    pytest.param("https://hs.example.net:8443/w", "https://hs.example.net:8443/w", id="a port"),
    pytest.param("https://hs.example.net:1/", "https://hs.example.net:1/", id="any port"),
    pytest.param("/w", "https://example.org/w", id="absolute path"),
    pytest.param("w", "https://example.org/.well-known/matrix/w", id="relative path"),
    pytest.param("./w", "https://example.org/.well-known/matrix/w", id="relative path with a dot"),
    pytest.param("../../w", "https://example.org/w", id="relative path upwards"),
    pytest.param("../../../../w", "https://example.org/w", id="relative path beyond the root"),
    pytest.param("1a:b", "https://example.org/.well-known/matrix/1a:b", id="colon, but no scheme"),
    pytest.param("?a=b", f"{URL}?a=b", id="query only"),
    pytest.param("#top", URL, id="fragment only"),
    pytest.param("//hs.example.net/w", "https://hs.example.net/w", id="scheme-relative"),
    pytest.param("//hs.example.net", "https://hs.example.net/", id="scheme-relative without path"),
    pytest.param("//hs.example.net:8443/w", "https://hs.example.net:8443/w", id="relative, port"),
    pytest.param("/.//hs.example.net", "https://example.org//hs.example.net", id="dots and slash"),
    pytest.param("https://hs.example.net/w#top", "https://hs.example.net/w", id="fragment dropped"),
    pytest.param("/w?a=b#c?d", "https://example.org/w?a=b", id="query kept, fragment dropped"),
    pytest.param(
        "/w?u=https://x.example", "https://example.org/w?u=https://x.example", id="URL in query"
    ),
    pytest.param("/%2e%2E/%c3%a9", "https://example.org/%2e%2E/%c3%a9", id="escapes stay as given"),
    pytest.param("HTTPS://HS.Example.NET/Path", "https://hs.example.net/Path", id="upper case"),
    pytest.param("//HS.Example.NET/Path", "https://hs.example.net/Path", id="upper case, relative"),
    pytest.param("https://192.0.2.1/w", "https://192.0.2.1/w", id="IPv4"),
    pytest.param("https://[2001:DB8::1]/w", "https://[2001:db8::1]/w", id="IPv6"),
    pytest.param("https://[2001:db8::1]:8443/w", "https://[2001:db8::1]:8443/w", id="IPv6, port"),
    pytest.param("https://hs.example.net:/w", "https://hs.example.net/w", id="empty port"),
    pytest.param("https://[2001:db8::1]:/w", "https://[2001:db8::1]/w", id="IPv6, empty port"),
    pytest.param("https://hs.example.net:0443/w", "https://hs.example.net:443/w", id="port, zeros"),
    pytest.param("https://hs.example.net./w", "https://hs.example.net./w", id="final dot"),
    pytest.param("https://hs.example.net.:1/", "https://hs.example.net.:1/", id="final dot, port"),
    pytest.param("https://my_site.example.net/w", "https://my_site.example.net/w", id="underscore"),
    pytest.param("https://_a.example_.net/", "https://_a.example_.net/", id="_ at ends"),
    pytest.param("https://localhost/", "https://localhost/", id="one label"),
    pytest.param(
        f"https://{'a' * 63}.example./", f"https://{'a' * 63}.example./", id="label of 63"
    ),
    pytest.param(
        "https://hs.example.net/foo/bar/../ton", "https://hs.example.net/foo/ton", id="dots inside"
    ),
    pytest.param("https://hs.example.net/..", "https://hs.example.net/", id="dots at the end"),
    pytest.param("https://hs.example.net/a//b", "https://hs.example.net/a//b", id="empty segment"),
    pytest.param(
        "./https://github.com/x",
        "https://example.org/.well-known/matrix/https://github.com/x",
        id="empty segment, relative",
    ),
    pytest.param("?", f"{URL}?", id="empty query"),
    pytest.param("/w?#top", "https://example.org/w?", id="empty query and a fragment"),
    pytest.param("/w?a/../b", "https://example.org/w?a/../b", id="dots in the query"),
    pytest.param("/w[1]?a[]=b'", "https://example.org/w[1]?a[]=b'", id="marks that servers use"),
]
REFUSED = [
    # Location, what the reason says
    pytest.param(None, "without Location", id="missing"),
    pytest.param("/" * 8193, "over 8192 characters", id="very long"),
    pytest.param("", "without Location", id="empty"),
    pytest.param("http://example.org/w", "not https", id="http"),
    pytest.param("HTTP://example.org/w", "not https", id="http in upper case"),
    pytest.param("ftp://example.org/w", "not https", id="ftp"),
    pytest.param("httpss://example.org/w", "not https", id="scheme that begins with https"),
    pytest.param("file:///etc/passwd", "not https", id="file"),
    pytest.param("javascript:alert(1)", "not https", id="javascript"),
    pytest.param("data:application/json,1", "not https", id="data"),
    pytest.param("mailto:a@example.org", "not https", id="mailto"),
    pytest.param("https:", "not https", id="https: alone"),
    pytest.param("https:w", "not https", id="https: and a path"),
    pytest.param("https:/hs.example.net/w", "not https", id="https: and one slash"),
    pytest.param("https:\\\\hs.example.net\\w", "no URL", id="https: and backslashes"),
    pytest.param("https://", "host is refused", id="https:// alone"),
    pytest.param("https:///w", "host is refused", id="https: and three slashes"),
    pytest.param("https:////hs.example.net/w", "host is refused", id="https: and four slashes"),
    pytest.param("///hs.example.net/w", "host is refused", id="three slashes"),
    pytest.param("//", "host is refused", id="two slashes alone"),
    pytest.param("https://?q", "host is refused", id="query instead of a host"),
    pytest.param("https://:443/w", "host is refused", id="port instead of a host"),
    pytest.param("https://user@hs.example.net/w", "host is refused", id="user"),
    pytest.param("https://user:pass@hs.example.net/w", "host is refused", id="user and password"),
    pytest.param("https://@hs.example.net/w", "host is refused", id="empty userinfo"),
    pytest.param("//user@hs.example.net/w", "host is refused", id="userinfo, scheme-relative"),
    pytest.param("https://example.org\\@hs.example.net/", "no URL", id="backslash and @"),
    pytest.param("https://hs.example.net\\w", "no URL", id="backslash after the host"),
    pytest.param("//\\hs.example.net/w", "no URL", id="backslash before the host"),
    pytest.param("/\\hs.example.net/w", "no URL", id="backslash for the second slash"),
    pytest.param("\\/hs.example.net", "no URL", id="backslash for the first slash"),
    pytest.param("/<w>", "no URL", id="angle brackets"),
    pytest.param("/\tw", "no URL", id="tab"),
    pytest.param("/w\n", "no URL", id="newline at the end"),
    pytest.param("\r\nhttps://hs.example.net/", "no URL", id="newline at the beginning"),
    pytest.param("/\x00w", "no URL", id="NUL"),
    pytest.param("/\x7f", "no URL", id="DEL"),
    pytest.param("ht\ntps://hs.example.net/", "no URL", id="newline in the scheme"),
    pytest.param("/a b", "no URL", id="raw space"),
    pytest.param(" /w", "no URL", id="leading space"),
    pytest.param(" ", "no URL", id="space alone"),
    pytest.param("/münchen", "no URL", id="path not ASCII"),
    pytest.param("https://münchen.example/", "no URL", id="host not ASCII"),
    pytest.param("https://hs。example/", "no URL", id="ideographic full stop"),
    pytest.param("/\udce9", "no URL", id="surrogate escape"),
    pytest.param("https://hs.example.net:0/w", "host is refused", id="port 0"),
    pytest.param("https://hs.example.net:65536/w", "host is refused", id="port 65536"),
    pytest.param("https://hs.example.net:https/w", "host is refused", id="port by name"),
    pytest.param("https://hs.example.net:-1/w", "host is refused", id="negative port"),
    pytest.param("https://[2001:db8::1/w", "host is refused", id="bracket not closed"),
    pytest.param("https://[2001:db8::1]x/w", "host is refused", id="text after the bracket"),
    pytest.param("https://[fe80::1%25eth0]/w", "host is refused", id="zone"),
    pytest.param("https://[]/w", "host is refused", id="empty brackets"),
    pytest.param("//[", "host is refused", id="bracket alone"),
    pytest.param("https://2001:db8::1/w", "host is refused", id="IPv6 without brackets"),
    pytest.param("https://2130706433/", "host is refused", id="address in disguise"),
    pytest.param("https://0x7f.1/", "host is refused", id="hexadecimal address in disguise"),
    pytest.param("https://127.1/", "host is refused", id="short address in disguise"),
    pytest.param("https://1.2.3/", "host is refused", id="three numbers"),
    pytest.param("https://1.2.3./", "host is refused", id="three numbers and a final dot"),
    pytest.param("https://127.0.0.1./", "host is refused", id="IPv4 and a final dot"),
    pytest.param("https://2130706433./", "host is refused", id="a number and a final dot"),
    pytest.param("https://0x7f.1./", "host is refused", id="hexadecimal and a final dot"),
    pytest.param("https://017700000001/", "host is refused", id="octal address in disguise"),
    pytest.param("https://127.0.0.01/", "host is refused", id="IPv4 with a leading zero"),
    pytest.param("https://127.0.0.256/", "host is refused", id="IPv4 beyond its range"),
    pytest.param("https://hs.example.0x7f/", "host is refused", id="hexadecimal last label"),
    pytest.param("https://%31%32%37.0.0.1/", "host is refused", id="escaped address"),
    pytest.param("https://[127.0.0.1]/", "host is refused", id="IPv4 in brackets"),
    pytest.param("https://[v1.a]/", "host is refused", id="address of the future"),
    pytest.param("https://[2001:db8::1]./", "host is refused", id="IPv6 and a final dot"),
    pytest.param("https://./", "host is refused", id="a dot alone"),
    pytest.param("https://../", "host is refused", id="two dots alone"),
    pytest.param("https://hs.example.net../", "host is refused", id="two final dots"),
    pytest.param("https://.hs.example.net/", "host is refused", id="a dot before it"),
    pytest.param("https://a,b.example/", "host is refused", id="a mark that no host name has"),
    pytest.param("https://hs.example.net::443/", "host is refused", id="two colons"),
    pytest.param("https://:@hs.example.net/", "host is refused", id="empty user and password"),
    pytest.param("https://hs.example.net:9999999/", "host is refused", id="port of 7 digits"),
    pytest.param("https://hs..example.net/w", "host is refused", id="empty label"),
    pytest.param("https://hs%2eexample.net/w", "host is refused", id="escaped host"),
    pytest.param(f"https://{'a' * 64}.example/w", "host is refused", id="label of 64"),
]


@pytest.mark.parametrize(("location", "leads_to"), FOLLOWED)
def test_redirect_that_is_followed(location: str, leads_to: str) -> None:
    """A redirect leads where RFC 3986 says, fragment left out, scheme and host in lower case."""
    assert next_hop(URL, 302, location) == leads_to


@pytest.mark.parametrize(("location", "reason"), REFUSED)
def test_redirect_that_is_refused(location: str | None, reason: str) -> None:
    """A redirect that must not be followed is a definite failure, told in printable ASCII."""
    with pytest.raises(WellKnownFetchError) as caught:
        next_hop(URL, 302, location)
    assert caught.value.temporary is False
    assert reason in caught.value.reason
    assert caught.value.reason.isprintable()
    assert caught.value.reason.isascii()


def test_relative_redirect_keeps_the_port() -> None:
    """A relative redirect stays at the port that was asked."""
    assert next_hop("https://example.org:8443/a/b", 302, "c") == "https://example.org:8443/a/c"


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_status_that_redirects(status: int) -> None:
    """Each of the five redirecting statuses is followed."""
    assert next_hop(URL, status, "/w") == "https://example.org/w"
    assert status in REDIRECTS


@pytest.mark.parametrize("status", [200, 201, 204, 300, 304, 305, 306, 309, 404, 503])
def test_status_that_does_not_redirect(status: int) -> None:
    """Any other response is the final one, whatever its Location says."""
    assert next_hop(URL, status, "https://hs.example.net/") is None
    assert next_hop(URL, status, "http://user@[") is None
    assert next_hop(URL, status, None) is None


URL_TEXT = st.text("hts:/\\?#[]@%.;aA0-1_ \t\n\x00é", max_size=24)
LOCATIONS = st.text() | URL_TEXT | URL_TEXT.map("https://".__add__) | URL_TEXT.map("//".__add__)


def followed(location: str | None, status: int) -> str | WellKnownFetchError | None:
    """Where a redirect from `URL` leads, or why it is refused."""
    try:
        return next_hop(URL, status, location)
    except WellKnownFetchError as refused:
        return refused


@given(st.none() | LOCATIONS, st.sampled_from(sorted(REDIRECTS)))
@example("https://[::1", 302)
@example("https://[v1.a]/", 302)
def test_next_hop_is_a_clean_https_url_or_refused(location: str | None, status: int) -> None:
    """Whatever `Location` holds, the next hop is a clean https URL, or a definite refusal."""
    outcome = followed(location, status)
    if isinstance(outcome, WellKnownFetchError):
        assert outcome.temporary is False
        return
    assert outcome is not None
    assert outcome.startswith("https://")
    assert "#" not in outcome
    assert outcome.isascii()
    assert outcome.isprintable()
    assert " " not in outcome
    parts = HttpsUrl.parse(outcome)
    assert str(parts) == outcome
    ServerName.parse(parts.host.replace("_", "-") if ":" not in parts.host else f"[{parts.host}]")
    assert not {".", ".."} & set(parts.target.partition("?")[0].split("/"))
    assert next_hop(URL, status, outcome) == outcome
