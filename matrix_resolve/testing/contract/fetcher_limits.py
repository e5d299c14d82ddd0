"""What every well-known fetcher must do on its way: redirects, certificates, limits."""

import tracemalloc
import zlib
from asyncio import StreamWriter
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest

from matrix_resolve.core.urls import HttpsUrl
from matrix_resolve.core.well_known import REDIRECTS, next_hop
from matrix_resolve.errors import WellKnownFetchError
from matrix_resolve.testing.contract.fetching import DOCUMENT, NAME, FetchingContract
from matrix_resolve.testing.loopback.behaviours import Redirect, Reply, Request
from matrix_resolve.testing.loopback.declarations import WELL_KNOWN, Certificate

if TYPE_CHECKING:
    from matrix_resolve.testing.loopback.federation import LoopbackFederation

_START = f"https://{NAME}{WELL_KNOWN}"
_LOCATIONS = [
    "https://www.example.net/x",
    "HTTPS://WWW.Example.net/X",
    "https://www.example.net",
    "https://www.example.net?b=c",
    "https://www.example.net:8443/a%2Fb?c=%40d:e#f",
    "https://www.example.net./x",
    "https://www.example.net:/x",
    "https://www.example.net/a/../x",
    "https://www.example.net//x?",
    "https://www.example.net?",
    "https://www.example.net/x??",
    "//www.example.net/x",
    "/x",
    "x",
    "../x?y",
    "?x",
    "https://192.0.2.7/x",
    "https://[2001:db8::7]:8448/x",
]
_REFUSED = [
    None,
    "http://www.example.net/",
    "ftp://www.example.net/",
    "file:///etc/passwd",
    "https:///x",
    "https://user:secret@www.example.net/",
    "https://www.example.net:0/",
    "https://2130706433/",
    "https://0x7f.1/",
    "https://www.example.net\\@example.com/",
]
_BAD = [
    Certificate.WRONG_NAME,
    Certificate.EXPIRED,
    Certificate.NOT_YET_VALID,
    Certificate.UNTRUSTED,
    Certificate.SELF_SIGNED,
    Certificate.WITHOUT_CHAIN,
    Certificate.FOR_CLIENTS,
    Certificate.COMMON_NAME_ONLY,
]
_MAX_BODY = 50 * 1024  # the default of `Policy.max_body`
_MEGABYTE = 10**6
_UNPACKED = 64 * _MEGABYTE


class _Flood:
    """A response whose body goes on as long as it is read; it counts what it has sent."""

    def __init__(self, status: int) -> None:
        self.sent = 0
        self._head = (
            b"HTTP/1.1 %d X\r\nLocation: /next\r\nContent-Length: 9999999999\r\n\r\n" % status
        )

    async def write(self, stream: StreamWriter, /) -> bool:
        """Write until nobody reads any more; after 64 MB that has gone on for too long."""
        stream.write(self._head)
        while self.sent < _UNPACKED:
            stream.write(bytes(2**14))
            await stream.drain()
            self.sent += 2**14
        return False


def _bomb() -> Reply:
    """Return a body of 64 kB that unpacks to 64 MB."""
    packer = zlib.compressobj(wbits=31)
    packed = [packer.compress(bytes(_MEGABYTE)) for _ in range(_UNPACKED // _MEGABYTE)]
    body = b"".join([*packed, packer.flush()])
    return Reply(headers=[("Content-Encoding", "gzip")], body=body)


class LimitsContract(FetchingContract):
    """Where fetches lead, whom they trust, and what they take."""

    max_redirects: int = 10
    """How many redirects the fetcher follows at most."""

    # Redirects

    @pytest.mark.parametrize("status", sorted(REDIRECTS))
    async def test_redirect_statuses(
        self, fetcher: Any, loopback_federation: "LoopbackFederation", status: int
    ) -> None:
        """Five statuses are followed, with a GET; the headers are those of the final response."""
        headers = [("Location", "/x"), ("Age", "9")]
        loopback_federation.add(
            NAME, well_known=Reply(status, headers), serves=Reply(200, [("Age", "1")], b"{}")
        )
        response = await self.fetched(fetcher)
        assert (response.status, response.body) == (200, b"{}")
        assert response.url == f"https://{NAME}/x"
        assert [value for name, value in response.headers if name.lower() == "age"] == ["1"]
        assert [request.method for request in loopback_federation.requests] == ["GET", "GET"]

    @pytest.mark.parametrize("location", _LOCATIONS)
    async def test_redirects_lead_on(
        self, fetcher: Any, loopback_federation: "LoopbackFederation", location: str
    ) -> None:
        """A redirect is followed to where `next_hop` says, with that host's own `Host` and SNI."""
        leads_to = next_hop(_START, 302, location)
        assert leads_to is not None
        url = HttpsUrl.parse(leads_to)

        def serves(request: Request) -> Any:
            first = (request.target, request.path) == ((NAME, 443), WELL_KNOWN)
            return Redirect(location) if first else DOCUMENT

        for host in (NAME, "www.example.net", "192.0.2.7", "2001:db8::7"):
            loopback_federation.add(host, well_known=serves, serves=serves)
        response = await self.fetched(fetcher)
        assert (response.status, response.url) == (200, leads_to)
        _, request = loopback_federation.requests
        assert request.target == (url.host, url.port)
        assert request.sni == (None if url.ip_address else url.host)
        assert request.host == url.host_header
        assert request.path == url.target

    @pytest.mark.parametrize("location", _REFUSED)
    async def test_refused_redirects(
        self, fetcher: Any, loopback_federation: "LoopbackFederation", location: str | None
    ) -> None:
        """What `next_hop` refuses is a definite failure, and nothing else is asked."""
        with pytest.raises(WellKnownFetchError):
            next_hop(_START, 302, location)
        loopback_federation.add(NAME, well_known=Redirect(location))
        loopback_federation.add("www.example.net", serves=DOCUMENT)
        assert not (await self.failed(fetcher)).temporary
        assert len(loopback_federation.requests) == 1
        assert loopback_federation.connections.total() == 1

    @pytest.mark.parametrize("loops", [True, False], ids=["a loop", "a chain"])
    async def test_endless_redirects(
        self, fetcher: Any, loopback_federation: "LoopbackFederation", loops: bool
    ) -> None:
        """Redirects without end are a definite failure, after `max_redirects` at most."""

        def serves(_: Request) -> Redirect:
            return Redirect(WELL_KNOWN if loops else f"/{len(loopback_federation.requests)}")

        loopback_federation.add(NAME, well_known=serves, serves=serves)
        assert not (await self.failed(fetcher)).temporary
        assert len(loopback_federation.requests) <= self.max_redirects + 1

    async def test_cookies_are_not_kept(
        self, fetcher: Any, loopback_federation: "LoopbackFederation"
    ) -> None:
        """What `Set-Cookie` asks for is sent neither on the next hop nor in the next fetch."""
        cookie = ("Set-Cookie", "a=b; Path=/; Secure")
        loopback_federation.add(
            NAME, well_known=Reply(302, [cookie, ("Location", "/x")]), serves=Reply(200, [cookie])
        )
        for _ in range(2):
            await self.fetched(fetcher)
        sent = {name.lower() for each in loopback_federation.requests for name, _ in each.headers}
        assert len(loopback_federation.requests) == 4
        assert "cookie" not in sent

    # Certificates

    @pytest.mark.parametrize("place", ["first hop", "after a redirect"])
    @pytest.mark.parametrize("certificate", _BAD)
    async def test_certificates(
        self,
        fetcher: Any,
        loopback_federation: "LoopbackFederation",
        certificate: Certificate,
        place: str,
    ) -> None:
        """A bad certificate is a temporary failure, at each hop, and the host is sent nothing."""
        loopback_federation.add("bad.example", well_known=DOCUMENT, certificate=certificate)
        loopback_federation.add(NAME, redirects_to=f"https://bad.example{WELL_KNOWN}")
        failed = await self.failed(fetcher, "bad.example" if place == "first hop" else NAME)
        assert failed.temporary
        assert "bad.example" not in {request.host for request in loopback_federation.requests}

    @pytest.mark.parametrize("certificate", [Certificate.WRONG_NAME, Certificate.UNTRUSTED])
    async def test_certificates_of_literals(
        self, fetcher: Any, loopback_federation: "LoopbackFederation", certificate: Certificate
    ) -> None:
        """The certificate of an IP address that is redirected to has to be for that address."""
        loopback_federation.add(NAME, redirects_to="https://192.0.2.7/")
        loopback_federation.add("192.0.2.7", serves=DOCUMENT, certificate=certificate)
        assert (await self.failed(fetcher)).temporary
        assert len(loopback_federation.requests) == 1

    # Limits

    async def test_largest_document(
        self, fetcher: Any, loopback_federation: "LoopbackFederation"
    ) -> None:
        """A body of as many bytes as the policy allows comes whole."""
        body = bytes(range(256)) * (_MAX_BODY // 256)
        loopback_federation.add(NAME, well_known=body)
        assert (await self.fetched(fetcher)).body == body

    async def test_too_large_a_document(
        self, fetcher: Any, loopback_federation: "LoopbackFederation"
    ) -> None:
        """A body that was cut off is known as such: it is longer than allowed, or an error."""
        loopback_federation.add(NAME, well_known=b" " * (_MAX_BODY + 1000))
        try:
            response = await self.fetched(fetcher)
        except WellKnownFetchError:
            return
        assert len(response.body) > _MAX_BODY

    @pytest.mark.parametrize("status", [200, 302, 404])
    async def test_endless_body(
        self, fetcher: Any, loopback_federation: "LoopbackFederation", status: int
    ) -> None:
        """Of a body without end little is taken, a redirect's as well, and the fetch ends."""
        flood = _Flood(status)
        loopback_federation.add(NAME, well_known=flood, serves=DOCUMENT)
        with suppress(WellKnownFetchError):
            assert (await self.fetched(fetcher)).status in (200, status)
        assert flood.sent < 16 * _MEGABYTE  # most of it in the buffers of sockets

    async def test_compressed_bomb(
        self, fetcher: Any, loopback_federation: "LoopbackFederation"
    ) -> None:
        """What unpacks to far more than it was takes little memory all the same."""
        loopback_federation.add(NAME, well_known=_bomb())
        loopback_federation.add("warm.example", well_known=DOCUMENT)
        await self.fetched(fetcher, "warm.example")
        tracemalloc.start()
        try:
            await self.fetched(fetcher)
        except WellKnownFetchError:
            pass
        finally:
            _, peak = tracemalloc.get_traced_memory()
            tracemalloc.stop()
        assert peak < 16 * _MEGABYTE
