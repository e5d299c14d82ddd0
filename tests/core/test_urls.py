"""URI references (RFC 3986, 5), and what an https URL says to connect to."""

from ipaddress import ip_address

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from matrix_resolve.core.urls import HttpsUrl, resolved

BASE = "http://a/b/c/d;p?q"
# RFC 3986, 5.4.1 and 5.4.2, all of them; fragments are left out.
EXAMPLES = {
    "g:h": "g:h",
    "g": "http://a/b/c/g",
    "./g": "http://a/b/c/g",
    "g/": "http://a/b/c/g/",
    "/g": "http://a/g",
    "//g": "http://g",
    "?y": "http://a/b/c/d;p?y",
    "g?y": "http://a/b/c/g?y",
    "#s": "http://a/b/c/d;p?q",
    "g#s": "http://a/b/c/g",
    "g?y#s": "http://a/b/c/g?y",
    ";x": "http://a/b/c/;x",
    "g;x": "http://a/b/c/g;x",
    "g;x?y#s": "http://a/b/c/g;x?y",
    "": "http://a/b/c/d;p?q",
    ".": "http://a/b/c/",
    "./": "http://a/b/c/",
    "..": "http://a/b/",
    "../": "http://a/b/",
    "../g": "http://a/b/g",
    "../..": "http://a/",
    "../../": "http://a/",
    "../../g": "http://a/g",
    "../../../g": "http://a/g",
    "../../../../g": "http://a/g",
    "/./g": "http://a/g",
    "/../g": "http://a/g",
    "g.": "http://a/b/c/g.",
    ".g": "http://a/b/c/.g",
    "g..": "http://a/b/c/g..",
    "..g": "http://a/b/c/..g",
    "./../g": "http://a/b/g",
    "./g/.": "http://a/b/c/g/",
    "g/./h": "http://a/b/c/g/h",
    "g/../h": "http://a/b/c/h",
    "g;x=1/./y": "http://a/b/c/g;x=1/y",
    "g;x=1/../y": "http://a/b/c/y",
    "g?y/./x": "http://a/b/c/g?y/./x",
    "g?y/../x": "http://a/b/c/g?y/../x",
    "g#s/./x": "http://a/b/c/g",
    "g#s/../x": "http://a/b/c/g",
    "http:g": "http:g",
}


@pytest.mark.parametrize(("reference", "url"), EXAMPLES.items(), ids=[f"<{e}>" for e in EXAMPLES])
def test_examples_of_the_rfc(reference: str, url: str) -> None:
    """Every example of RFC 3986, 5.4, normal and abnormal, gives what stands there."""
    assert resolved(BASE, reference) == url


MORE = [
    # base, reference, URL
    pytest.param("https://a/", "https://e.com/foo/bar/../ton", "https://e.com/foo/ton", id="dots"),
    pytest.param(
        "https://web.archive.org/web/",
        "./https://github.com/x",
        "https://web.archive.org/web/https://github.com/x",
        id="an empty segment",
    ),
    pytest.param("https://a/d;p?q", "?", "https://a/d;p?", id="an empty query"),
    pytest.param("https://a/d;p?q", "#", "https://a/d;p?q", id="an empty fragment"),
    pytest.param("https://a/d;p?", "", "https://a/d;p?", id="an empty query of the base"),
    pytest.param("https://a/d;p?q#s", "g", "https://a/g", id="a base with a fragment"),
    pytest.param("https://a", "g", "https://a/g", id="a base without a path"),
    pytest.param("https://a?q", "g", "https://a/g", id="a base of host and query"),
    pytest.param("https://a?q/x", "../g", "https://a/g", id="a base with a slash in the query"),
    pytest.param("https://a/b//c", "g", "https://a/b//g", id="an empty segment of the base"),
    pytest.param("https://a/b//c", "../g", "https://a/b/g", id="an empty segment undone"),
    pytest.param("https://a/b/../c", "", "https://a/c", id="dots in the base"),
    pytest.param("https://a/b/../c", "g", "https://a/g", id="dots in the base, merged"),
    pytest.param("https://a/b", "//g/../h", "https://g/h", id="dots behind a host"),
    pytest.param("https://a/b", "/..//g", "https://a//g", id="dots before an empty segment"),
    pytest.param("https://a/b", "/.//g/h", "https://a//g/h", id="a host only in looks"),
    pytest.param("https://a/b", "/g/.../h", "https://a/g/.../h", id="three dots are a name"),
    pytest.param("https://a/b", "/%2e%2e/g", "https://a/%2e%2e/g", id="escapes are left alone"),
    pytest.param("https://a/b/c", "..", "https://a/", id="up to the root"),
]


@pytest.mark.parametrize(("base", "reference", "url"), MORE)
def test_references(base: str, reference: str, url: str) -> None:
    """What the examples leave open: empty segments and queries, bases of any form."""
    assert resolved(base, reference) == url


def test_many_dot_segments() -> None:
    """Dot segments by the thousand are no trouble."""
    assert resolved("https://a/", "/b" + "/../b" * 10_000) == "https://a/b"
    assert resolved("https://a/" + "b/" * 10_000, "../" * 10_000 + "c") == "https://a/c"


URLS = [
    # URL, host, port, Host, target
    pytest.param("https://a.test", "a.test", 443, "a.test", "/", id="host alone"),
    pytest.param("https://a.test?q", "a.test", 443, "a.test", "/?q", id="query without a path"),
    pytest.param("HTTPS://A.Test/X?Y#Z", "a.test", 443, "a.test", "/X?Y", id="upper case"),
    pytest.param("https://a.test:/x", "a.test", 443, "a.test", "/x", id="empty port"),
    pytest.param("https://a.test:443/x", "a.test", 443, "a.test", "/x", id="default port"),
    pytest.param("https://a.test:8448/x", "a.test", 8448, "a.test:8448", "/x", id="port"),
    pytest.param("https://a.test./x", "a.test", 443, "a.test.", "/x", id="final dot"),
    pytest.param("https://a.test.:1/x", "a.test", 1, "a.test.:1", "/x", id="final dot and port"),
    pytest.param(
        "https://my_site.test/", "my_site.test", 443, "my_site.test", "/", id="underscore"
    ),
    pytest.param("https://a.test/x?", "a.test", 443, "a.test", "/x?", id="empty query"),
    pytest.param("https://a.test//x", "a.test", 443, "a.test", "//x", id="empty segment"),
    pytest.param("https://192.0.2.1/", "192.0.2.1", 443, "192.0.2.1", "/", id="IPv4"),
    pytest.param(
        "https://[2001:DB8:0::1]:1/", "2001:db8::1", 1, "[2001:db8:0::1]:1", "/", id="IPv6"
    ),
]


@pytest.mark.parametrize(("text", "host", "port", "header", "target"), URLS)
def test_url(text: str, host: str, port: int, header: str, target: str) -> None:
    """Names go without their final dot to DNS and TLS, and with it into `Host`."""
    url = HttpsUrl.parse(text)
    assert (url.host, url.port, url.host_header, url.target) == (host, port, header, target)
    literal = host[0].isdigit()
    assert url.ip_address == (ip_address(host) if literal else None)
    assert HttpsUrl.parse(str(url)) == url


NO_URLS = ["", "a.test", "//a.test/", "/x", "http://a.test/", "https:a.test", "https:/a.test"]
NO_URLS += ["https://", "https:///x", "https://@a.test/", "https://a.test:0/", "https://a.test:x/"]
NO_URLS += ["https://a.test:65536/", "https://1.2.3/", "https://127.0.0.1./", "https://[::1"]
NO_URLS += ["https://[]/", "https://[127.0.0.1]/", "https://::1/", "https://a..test/"]


@pytest.mark.parametrize("text", NO_URLS)
def test_no_url(text: str) -> None:
    """What names no host to connect to by https is a `ValueError`."""
    with pytest.raises(ValueError, match=r"."):
        HttpsUrl.parse(text)


TEXTS = st.text() | st.text("htps:/?#[]@%.;aA0-1_ ", max_size=24)


@given(TEXTS, TEXTS)
@example("https://[", "//[")
def test_taking_apart_never_fails_otherwise(base: str, reference: str) -> None:
    """Whatever the text, it is resolved without a fragment, and is a URL or a `ValueError`."""
    url = resolved(f"https://a.test/{base}", reference)
    assert "#" not in url
    try:
        parts = HttpsUrl.parse(url)
    except ValueError:
        return
    assert HttpsUrl.parse(str(parts)) == parts
