"""What every well-known fetcher sends and gives, how it fails, and whom it dials."""

import asyncio
import math
from typing import TYPE_CHECKING, Any

import pytest

from matrix_resolve.errors import AddressLookupError, WellKnownFetchError
from matrix_resolve.testing.contract.base import may_be_given, nothing_left_open
from matrix_resolve.testing.contract.fetching import DOCUMENT, NAME, FetchingContract
from matrix_resolve.testing.loopback.behaviours import (
    CutShort,
    Dripping,
    Raw,
    Refused,
    Reply,
    Request,
    Silent,
    Slow,
)
from matrix_resolve.testing.loopback.declarations import WELL_KNOWN, DnsFault

if TYPE_CHECKING:
    from matrix_resolve.testing.loopback.federation import LoopbackFederation

_TROUBLE = {
    "connection refused": {"well_known": Refused()},
    "closed without an answer": {"well_known": Raw(b"")},
    "body cut short": {"well_known": CutShort()},
    "SSH inside TLS": {"well_known": Raw()},
    "SSH instead of TLS": {"well_known": Raw(tls=False)},
    "a length that is none": {"well_known": Reply(headers=[("Content-Length", "x")])},
    "not the encoding that is claimed": {
        "well_known": Reply(headers=[("Content-Encoding", "gzip")], body=b"no gzip")
    },
}
_MUTE: dict[str, Any] = {
    "no answer": Slow(math.inf),
    "no TLS": Silent(),
    "a body that drips": Dripping(body=b" " * 10**4),
}
_FORBIDDEN = [
    "127.0.0.1",
    "::1",
    "10.1.2.3",
    "169.254.169.254",
    "::ffff:127.0.0.1",
    "::ffff:10.1.2.3",
    "64:ff9b::7f00:1",
    "2002:7f00:1::",
    "fe80::1",
    "0.0.0.0",
    "::",
]


class AnswersContract(FetchingContract):
    """What is sent, what comes back, and which errors tell that nothing does."""

    guarded_fetcher: Any = may_be_given(
        "give the same fetcher with the address policy of a homeserver, `AddressPolicy()`:"
        " which addresses are dialled is the fetcher's part"
    )

    # What is sent, and what comes back

    async def test_request(self, fetcher: Any, loopback_federation: "LoopbackFederation") -> None:
        """One GET for the document, with its host in `Host` and SNI, and nothing of anybody's."""
        loopback_federation.add(NAME, well_known=DOCUMENT)
        await self.fetched(fetcher)
        (request,) = loopback_federation.requests
        assert (request.method, request.path, request.body) == ("GET", WELL_KNOWN, b"")
        assert (request.target, request.host, request.sni) == ((NAME, 443), NAME, NAME)
        sent = {name.lower() for name, _ in request.headers}
        assert not sent & {"cookie", "authorization", "referer"}

    async def test_response(self, fetcher: Any, loopback_federation: "LoopbackFederation") -> None:
        """Status, headers in their order with repeats, body and URL come as they were sent."""
        sent = [("cache-control", "no-cache"), ("X", "a"), ("Cache-Control", "max-age=1")]
        loopback_federation.add(NAME, well_known=Reply(200, sent, b"\x00\xff\r\n{"))
        response = await self.fetched(fetcher)
        assert response.status == 200
        received = [(name.lower(), value) for name, value in response.headers]
        assert [(name.lower(), value) for name, value in sent] == [
            (name, value) for name, value in received if name in ("cache-control", "x")
        ]
        assert response.body == b"\x00\xff\r\n{"
        assert response.url == f"https://{NAME}{WELL_KNOWN}"

    @pytest.mark.parametrize("status", [201, 206, 304, 403, 404, 410, 429, 500, 503])
    async def test_statuses(
        self, fetcher: Any, loopback_federation: "LoopbackFederation", status: int
    ) -> None:
        """Whatever its status, what is no redirect is the response: the core judges it."""
        headers = [("Retry-After", "77"), ("Location", "https://elsewhere.example/")]
        loopback_federation.add(NAME, well_known=Reply(status, headers))
        response = await self.fetched(fetcher)
        assert response.status == status
        assert "77" in [value for name, value in response.headers if name.lower() == "retry-after"]
        assert len(loopback_federation.requests) == 1

    # Errors

    @pytest.mark.parametrize("trouble", _TROUBLE)
    async def test_failures(
        self, fetcher: Any, loopback_federation: "LoopbackFederation", trouble: str
    ) -> None:
        """Trouble with a server is the documented error, and temporary."""
        declared: Any = _TROUBLE[trouble]
        loopback_federation.add(NAME, **declared)
        assert (await self.failed(fetcher)).temporary

    @pytest.mark.parametrize("fault", [DnsFault.NODATA, DnsFault.SERVFAIL])
    async def test_no_addresses(
        self, fetcher: Any, loopback_federation: "LoopbackFederation", fault: DnsFault
    ) -> None:
        """A host without addresses can't be fetched from, nor one whose can't be found out.

        The latter may be told by the address lookup's own error.
        """
        loopback_federation.add(NAME, well_known=DOCUMENT, dns=fault)
        with pytest.raises((WellKnownFetchError, AddressLookupError)) as caught:
            await self.fetched(fetcher)
        assert caught.value.temporary

    @pytest.mark.parametrize("time_limit", [0.5])
    @pytest.mark.parametrize("mute", _MUTE)
    async def test_silence(
        self, fetcher: Any, loopback_federation: "LoopbackFederation", mute: str, time_limit: float
    ) -> None:
        """Of a server that says nothing nothing comes.

        Either the fetch gives up by itself, or it goes on until it is cancelled.
        """
        loopback_federation.add(NAME, well_known=_MUTE[mute])
        fetch = asyncio.ensure_future(fetcher.fetch(NAME))
        await asyncio.wait([fetch], timeout=self.patience)
        if fetch.done():
            with pytest.raises(WellKnownFetchError) as caught:
                await fetch
            assert caught.value.temporary
        else:
            await self.ended(fetch)
            assert fetch.cancelled()

    @pytest.mark.parametrize("moment", _MUTE)
    async def test_cancelled(
        self, fetcher: Any, loopback_federation: "LoopbackFederation", moment: str
    ) -> None:
        """Who is cancelled ends at once, as cancelled, and the fetcher goes on as before."""
        loopback_federation.add("mute.example", well_known=_MUTE[moment])
        loopback_federation.add(NAME, well_known=DOCUMENT)
        fetch = asyncio.ensure_future(fetcher.fetch("mute.example"))
        await self.happens(lambda: loopback_federation.connections or fetch.done())
        await self.ended(fetch)
        assert fetch.cancelled()
        assert (await self.fetched(fetcher)).status == 200

    @pytest.mark.parametrize("moment", _MUTE)
    async def test_nothing_is_left_open(
        self, fetcher: Any, loopback_federation: "LoopbackFederation", moment: str
    ) -> None:
        """Who is cancelled closes the connection, be it in the midst of a TLS handshake."""
        loopback_federation.add(NAME, well_known=_MUTE[moment])
        with nothing_left_open():
            await self._given_up(fetcher, loopback_federation)

    async def _given_up(self, fetcher: Any, federation: "LoopbackFederation") -> None:
        """Cancel a fetch where it waits; its task goes with this, as do the frames in it."""
        fetch = asyncio.ensure_future(fetcher.fetch(NAME))
        await self.happens(lambda: federation.connections or fetch.done())
        await asyncio.sleep(0.05)  # to where it has to wait
        await self.ended(fetch)

    async def test_many_at_once(
        self, fetcher: Any, loopback_federation: "LoopbackFederation"
    ) -> None:
        """Fetches at the same time each get their own document."""
        names = [f"host-{number}.example" for number in range(30)]
        all_have_come = asyncio.Barrier(len(names))

        async def answer(request: Request) -> bytes:
            await all_have_come.wait()
            return request.host.encode()

        for name in names:
            loopback_federation.add(name, well_known=answer)
        async with asyncio.timeout(self.patience):
            responses = await asyncio.gather(*map(fetcher.fetch, names))
        assert [response.body.decode() for response in responses] == names

    # Which addresses are dialled

    @pytest.mark.parametrize("place", ["first hop", "after a redirect", "a literal"])
    @pytest.mark.parametrize("ip", _FORBIDDEN)
    async def test_forbidden_addresses(
        self,
        guarded_fetcher: Any,
        loopback_federation: "LoopbackFederation",
        ip: str,
        place: str,
    ) -> None:
        """A host at an address that the policy forbids is a definite failure, and never dialled."""
        literal = f"[{ip}]" if ":" in ip else ip
        inside = literal if place == "a literal" else "inside.example"
        add = loopback_federation.add
        add("inside.example", addresses=[ip], well_known=DOCUMENT)
        add(ip, well_known=DOCUMENT)
        add(NAME, addresses=["192.0.33.8"], redirects_to=f"https://{inside}{WELL_KNOWN}")
        failed = await self.failed(
            guarded_fetcher, "inside.example" if place == "first hop" else NAME
        )
        assert not failed.temporary
        reached = set() if place == "first hop" else {(NAME, 443)}
        assert set(loopback_federation.connections) == reached
