"""The well-known fetcher's handling of HTTP, in tables; the network is in test_well_known_aiohttp.

aioresponses stands in for it, so neither sockets nor TLS nor limits are exercised here.
"""

import ssl
from collections.abc import AsyncIterator
from itertools import pairwise
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from aioresponses import aioresponses
from multidict import CIMultiDict
from yarl import URL

from matrix_resolve.backends.well_known_aiohttp import AiohttpWellKnownFetcher
from matrix_resolve.errors import WellKnownFetchError
from matrix_resolve.testing import FakeAddresses

PATH = "/.well-known/matrix/server"
START = f"https://example.org{PATH}"
PUBLIC = "192.0.33.8"  # of www.example.com; nothing is dialled
BLOCKED = "10.0.0.1"
NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # quicker to make than one that is used


@pytest_asyncio.fixture
async def fetcher() -> AsyncIterator[AiohttpWellKnownFetcher]:
    """A fetcher that follows two redirects."""
    addresses = FakeAddresses(
        {
            "example.org": [PUBLIC],
            "a.example": [PUBLIC],
            "my_site.a.example": [PUBLIC],
            "xn--j6w193g.example": [PUBLIC],
            "inside.example": [BLOCKED],
        }
    )
    async with AiohttpWellKnownFetcher(
        addresses=addresses, ssl_context=NO_TLS, max_redirects=2
    ) as opened:
        yield opened


def asked(mocked: aioresponses) -> list[str]:
    """The URLs that were requested."""
    return [str(url) for (_, url), calls in mocked.requests.items() for _ in calls]


@pytest.mark.parametrize(
    "status",
    [200, 201, 204, 206, 300, 304, 305, 306, 400, 401, 404, 410, 418, 429, 500, 503, 599, 999],
)
async def test_final_status(
    mocked: aioresponses, fetcher: AiohttpWellKnownFetcher, status: int
) -> None:
    """Any status but the five redirects is the final response, whatever `Location` it has."""
    mocked.get(START, status=status, body=b"as is", headers={"Location": "https://a.example/"})
    response = await fetcher.fetch("example.org")
    body = b"as is" if status == 200 else b""  # no other one is of use
    assert (response.status, response.body, response.url) == (status, body, START)
    assert asked(mocked) == [START]


async def test_headers_are_given_raw(
    mocked: aioresponses, fetcher: AiohttpWellKnownFetcher
) -> None:
    """Headers keep their order, spelling and repeats."""
    sent = [("CACHE-control", "no-cache"), ("Age", "7"), ("cache-CONTROL", "max-age=60"), ("X", "")]
    mocked.get(START, headers=CIMultiDict(sent))
    response = await fetcher.fetch("example.org")
    assert [pair for pair in response.headers if pair[0] != "Content-Type"] == sent


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_redirect_status(
    mocked: aioresponses, fetcher: AiohttpWellKnownFetcher, status: int
) -> None:
    """Five statuses are followed, all with a GET; headers and body are the final response's."""
    mocked.get(START, status=status, headers={"Location": "https://a.example/b", "Age": "9"})
    mocked.get("https://a.example/b", body=b"{}", headers={"Age": "1"})
    response = await fetcher.fetch("example.org")
    assert (response.status, response.body, response.url) == (200, b"{}", "https://a.example/b")
    assert [value for name, value in response.headers if name == "Age"] == ["1"]


LOCATIONS = [
    # Location, the URL that is asked next
    pytest.param("https://a.example/b", "https://a.example/b", id="absolute"),
    pytest.param("HTTPS://A.Example/B", "https://a.example/B", id="upper case"),
    pytest.param("https://a.example", "https://a.example/", id="no path"),
    pytest.param("https://a.example?b=c", "https://a.example/?b=c", id="query without a path"),
    pytest.param("https://a.example:8443/b", "https://a.example:8443/b", id="another port"),
    pytest.param("https://a.example/b#c", "https://a.example/b", id="a fragment is dropped"),
    pytest.param("//a.example/b", "https://a.example/b", id="without a scheme"),
    pytest.param("/b", "https://example.org/b", id="a path"),
    pytest.param("b", "https://example.org/.well-known/matrix/b", id="relative"),
    pytest.param("../b?c", "https://example.org/.well-known/b?c", id="relative, upwards"),
    pytest.param("?b", f"{START}?b", id="a query"),
    pytest.param("https://192.0.33.9/b", "https://192.0.33.9/b", id="an IPv4 literal"),
    pytest.param(
        "https://[2606:4700::6810:1]/b", "https://[2606:4700::6810:1]/b", id="an IPv6 literal"
    ),
    pytest.param(
        "https://a.example/%7Eb%2Fc?d=%40e:f", "https://a.example/%7Eb%2Fc?d=%40e:f", id="quoting"
    ),
    pytest.param("https://xn--j6w193g.example/", "https://xn--j6w193g.example/", id="an A-label"),
    pytest.param("https://my_site.a.example/", "https://my_site.a.example/", id="an underscore"),
    pytest.param("https://a.example:/b", "https://a.example/b", id="an empty port"),
]


@pytest.mark.parametrize(("location", "url"), LOCATIONS)
async def test_redirect_leads_to(
    mocked: aioresponses, fetcher: AiohttpWellKnownFetcher, location: str, url: str
) -> None:
    """A redirect is followed to the URL that its `Location` means, seen from the URL asked."""
    mocked.get(START, status=302, headers={"Location": location})
    mocked.get(URL(url, encoded=True), body=b"{}")
    response = await fetcher.fetch("example.org")
    assert (response.body, response.url) == (b"{}", url)
    assert len(asked(mocked)) == 2


REFUSED = [
    # Location, why it is refused
    pytest.param(None, "without Location", id="no Location"),
    pytest.param("", "without Location", id="empty"),
    pytest.param("http://a.example/b", "not https", id="http"),
    pytest.param("ftp://a.example/b", "not https", id="ftp"),
    pytest.param("file:///etc/passwd", "not https", id="file"),
    pytest.param("https:a.example", "not https", id="a scheme without an authority"),
    pytest.param("https:///b", "host is refused", id="an empty host"),
    pytest.param("https://user@a.example/", "host is refused", id="a user"),
    pytest.param("https://user:secret@a.example/", "host is refused", id="user and password"),
    pytest.param("https://@a.example/", "host is refused", id="an empty user"),
    pytest.param("https://a.example:0/", "host is refused", id="port 0"),
    pytest.param("https://a.example:65536/", "host is refused", id="a port too large"),
    pytest.param("https://[::1/", "host is refused", id="a bracket missing"),
    pytest.param("https://2130706433/", "host is refused", id="an address as a number"),
    pytest.param("https://0x7f.1/", "host is refused", id="an address in hexadecimal"),
    pytest.param("https://a..example/", "host is refused", id="an empty label"),
    pytest.param("https://a%2eexample/", "host is refused", id="a quoted host"),
    pytest.param("https://a.example\\@b.example/", "no URL", id="a backslash"),
    pytest.param("https://a.example/ b", "no URL", id="a space"),
    pytest.param("https://ä.example/", "no URL", id="not ASCII"),
    pytest.param("https://10.0.0.1/", "forbids every address of 10.0.0.1", id="a private literal"),
    pytest.param("https://[::1]:8448/", "forbids every address of ::1", id="the loopback literal"),
    pytest.param(
        "https://[::ffff:10.0.0.1]/", "forbids every address", id="a private literal in IPv6"
    ),
    pytest.param(
        "https://inside.example/", "forbids every address of inside.example", id="a private host"
    ),
    pytest.param("https://10.0.0.1./", "host is refused", id="an address and a final dot"),
    pytest.param("https://inside.example./", "of inside.example", id="a private host and a dot"),
    pytest.param(START, "loop", id="to itself"),
    pytest.param(PATH, "loop", id="to itself, relative"),
    pytest.param(f"{START}#again", "loop", id="to itself but for the fragment"),
    pytest.param("https://EXAMPLE.org" + PATH, "loop", id="to itself in upper case"),
    pytest.param(f"https://example.org:{PATH}", "loop", id="to itself with an empty port"),
    pytest.param(f"/a/..{PATH}", "loop", id="to itself by dot segments"),
]


@pytest.mark.parametrize(("location", "reason"), REFUSED)
async def test_redirect_is_refused(
    mocked: aioresponses, fetcher: AiohttpWellKnownFetcher, location: str | None, reason: str
) -> None:
    """A redirect that must not be followed is a definite failure, and nothing else is asked."""
    mocked.get(START, status=302, headers={} if location is None else {"Location": location})
    with pytest.raises(WellKnownFetchError, match=reason) as caught:
        await fetcher.fetch("example.org")
    assert not caught.value.temporary
    assert asked(mocked) == [START]


async def test_loop_of_two(mocked: aioresponses, fetcher: AiohttpWellKnownFetcher) -> None:
    """Two hosts that redirect to each other are left after each was asked once."""
    mocked.get(START, status=302, headers={"Location": "https://a.example/"}, repeat=True)
    mocked.get("https://a.example/", status=302, headers={"Location": START}, repeat=True)
    with pytest.raises(WellKnownFetchError, match="loop") as caught:
        await fetcher.fetch("example.org")
    assert not caught.value.temporary
    assert asked(mocked) == [START, "https://a.example/"]


@pytest.mark.parametrize("limit", [0, 1, 3])
async def test_redirects_are_counted(mocked: aioresponses, limit: int) -> None:
    """As many redirects as are allowed are followed, and one more is a definite failure."""
    urls = [START, *(f"https://example.org/{number}" for number in range(1, limit + 2))]
    for url, following in pairwise(urls):
        mocked.get(url, status=302, headers={"Location": following}, repeat=True)
    addresses = FakeAddresses({"example.org": [PUBLIC]})
    async with AiohttpWellKnownFetcher(addresses=addresses, max_redirects=limit) as fetcher:
        with pytest.raises(WellKnownFetchError, match=f"more than {limit} redirects") as caught:
            await fetcher.fetch("example.org")
        assert not caught.value.temporary
        assert asked(mocked) == urls[:-1]
        mocked.get(urls[-1], body=b"{}")
    async with AiohttpWellKnownFetcher(addresses=addresses, max_redirects=limit + 1) as fetcher:
        response = await fetcher.fetch("example.org")
        assert (response.body, response.url) == (b"{}", urls[-1])


FAILURES = [
    # what aiohttp raises, what is told
    pytest.param(aiohttp.ClientError(), "ClientError", id="an error without a text"),
    pytest.param(aiohttp.ClientPayloadError("cut\r\n short"), "cut short", id="on two lines"),
    pytest.param(aiohttp.ServerDisconnectedError(), "Server disconnected", id="disconnected"),
    pytest.param(aiohttp.ConnectionTimeoutError(), "no connection", id="a time-out of aiohttp"),
    pytest.param(ConnectionResetError("reset by peer"), "reset by peer", id="a bare OSError"),
    pytest.param(UnicodeError("label too long"), "label too long", id="a bare UnicodeError"),
    pytest.param(aiohttp.ClientError("\x1b[31m\u202eź"), r"\\x1b\[31m\\u202e", id="controls"),
]


@pytest.mark.parametrize(("raised", "told"), FAILURES)
async def test_failed_request(
    mocked: aioresponses, fetcher: AiohttpWellKnownFetcher, raised: Exception, told: str
) -> None:
    """What aiohttp raises becomes a temporary failure that names the host and the cause."""
    mocked.get(START, exception=raised)
    with pytest.raises(WellKnownFetchError, match=told) as caught:
        await fetcher.fetch("example.org")
    assert caught.value.temporary
    assert "example.org" in caught.value.reason
    assert caught.value.reason.isascii()
    assert caught.value.reason.isprintable()


@pytest.mark.parametrize("bug", [TimeoutError("not ours"), RuntimeError("a bug"), KeyError("k")])
async def test_other_exceptions_come_through(
    mocked: aioresponses, fetcher: AiohttpWellKnownFetcher, bug: Exception
) -> None:
    """What is no failure of the request, but a bug, comes out as it is."""
    mocked.get(START, exception=bug)
    with pytest.raises(type(bug)) as caught:
        await fetcher.fetch("example.org")
    assert caught.value is bug


async def test_closed_in_the_middle(mocked: aioresponses, fetcher: AiohttpWellKnownFetcher) -> None:
    """What aiohttp tells by a RuntimeError, when it is closed in the middle, is a failure too."""

    async def close(*_: Any, **__: Any) -> None:
        try:
            await fetcher.aclose()
        finally:
            raise RuntimeError("Connection closed.")

    mocked.get(START, callback=close)
    with pytest.raises(WellKnownFetchError, match="the fetcher was closed") as caught:
        await fetcher.fetch("example.org")
    assert caught.value.temporary


async def test_body_is_cut(mocked: aioresponses) -> None:
    """Of a body too large, one byte more than allowed is kept, by which it is known as such."""
    mocked.get(START, body=b"x" * 1000)
    addresses = FakeAddresses({"example.org": [PUBLIC]})
    async with AiohttpWellKnownFetcher(addresses=addresses, max_body=10) as fetcher:
        assert (await fetcher.fetch("example.org")).body == b"x" * 11
