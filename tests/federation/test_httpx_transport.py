"""Requests by httpx: the same ways, connections and errors as the federation client's."""

import asyncio
import gzip
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import pytest

from matrix_resolve import (
    AddressNotAllowedError,
    AddressPolicy,
    ConnectError,
    HttpxTransport,
    InvalidServerNameError,
    ResponseTooLargeError,
    Step,
)
from matrix_resolve.testing import (
    Certificate,
    CutShort,
    Endless,
    LoopbackFederation,
    Raw,
    Reply,
    Request,
    Slow,
)
from matrix_resolve.testing.steps import STEPS, StepRow

VERSION = "/_matrix/federation/v1/version"


@asynccontextmanager
async def opened(
    federation: LoopbackFederation, *, client: Any = None, **settings: Any
) -> AsyncIterator[httpx2.AsyncClient]:
    """Open an httpx client that reaches a federation; `client` has the federation client's."""
    async with (
        federation.resolver() as resolver,
        federation.client(resolver, **(client or {})) as by,
        httpx2.AsyncClient(
            mounts={"matrix-federation://": HttpxTransport(by, **settings)}, trust_env=False
        ) as httpx,
    ):
        yield httpx


def header(request: Request, name: str) -> list[str]:
    """Return the values of a header of a request that came in."""
    return [value for key, value in request.headers if key.lower() == name]


@pytest.mark.parametrize("row", STEPS, ids=lambda row: row.label)
async def test_step(loopback_federation: LoopbackFederation, row: StepRow) -> None:
    """For each step the server that is meant sees the right port, `Host` and SNI."""
    for host, declared in row.hosts.items():
        loopback_federation.add(host, **declared)
    async with opened(loopback_federation) as client:
        seen = (await client.get(f"matrix-federation://{row.server_name}{VERSION}")).json()
    host, port = row.targets[0]
    assert seen["target"] == [host.lower(), port]
    assert seen["host"].lower() == row.host_header.lower()
    literal = row.step in (Step.IP_LITERAL, Step.WELL_KNOWN_IP_LITERAL)
    assert seen["sni"] == (None if literal else row.tls_name.lower())
    assert seen["path"] == VERSION


async def test_a_port_of_https_is_part_of_the_name(loopback_federation: LoopbackFederation) -> None:
    """`:443` goes out, and other schemes are refused, of which httpx would leave it out."""
    loopback_federation.add("example.org", delegates_to="elsewhere.example:8450")
    async with opened(loopback_federation) as client:
        response = await client.get("matrix-federation://example.org:443/")
        assert response.json()["host"] == "example.org:443"
        transport = client._mounts[next(iter(client._mounts))]
        assert transport is not None
        with pytest.raises(httpx2.UnsupportedProtocol):
            await transport.handle_async_request(httpx2.Request("GET", "https://example.org:443"))


async def test_connections_are_kept(loopback_federation: LoopbackFederation) -> None:
    """Requests one after another share a connection, and a name of its own has its own."""
    for name in ("one.example", "two.example"):
        loopback_federation.add(name, addresses=["192.0.3.1"])
    loopback_federation.add("untrusted.example", certificate=Certificate.UNTRUSTED)
    async with opened(loopback_federation) as client:
        for _ in range(3):
            for name in ("one.example", "two.example"):
                response = await client.get(f"matrix-federation://{name}{VERSION}")
                assert response.json()["sni"] == name
        with pytest.raises(ConnectError, match="certificate"):
            await client.get("matrix-federation://untrusted.example/")
    assert loopback_federation.connections["one.example", 8448] == 1
    assert loopback_federation.connections["two.example", 8448] == 1


async def test_the_next_target(loopback_federation: LoopbackFederation) -> None:
    """Targets are tried in order."""
    loopback_federation.add("example.org", srv=[("a.example", 8450), ("b.example", 8451)])
    loopback_federation.add("a.example", certificate=Certificate.WRONG_NAME, ports=())
    async with opened(loopback_federation) as client:
        response = await client.get("matrix-federation://example.org/")
    assert response.json()["target"] == ["b.example", 8451]
    assert response.json()["host"] == "example.org"


async def test_what_is_sent(loopback_federation: LoopbackFederation) -> None:
    """Path, query, headers and body are httpx's; the client frames the body and says `Host`."""
    loopback_federation.add("example.org")
    url = "matrix-federation://example.org:8450/_matrix/a/%40b%3Ac/../d?q=%7E&q=1"

    headers = [("X-A", "1"), ("X-A", "2"), ("Accept-Encoding", "x-unknown")]

    async def pieces() -> AsyncIterator[bytes]:
        yield b"one, "
        yield b"two"

    async with opened(loopback_federation) as client:
        for content, framed in (({"json": {"a": 1}}, "7"), ({"content": pieces()}, None)):
            request = client.build_request("PUT", url, headers=headers, **content)
            response = await client.send(request)
            assert response.json()["method"] == "PUT"
            assert response.json()["path"] == request.url.raw_path.decode()
            seen = loopback_federation.requests[-1]
            assert header(seen, "x-a") == ["1", "2"]
            assert header(seen, "host") == ["example.org:8450"]
            assert header(seen, "user-agent")[0].startswith("python-httpx")
            assert len(header(seen, "accept")) == 1
            assert "x-unknown" not in header(seen, "accept-encoding")[0]
            assert header(seen, "content-length") == ([framed] if framed else [])
            assert seen.body == (b'{"a":1}' if framed else b"one, two")
        await client.get(url)
        assert header(loopback_federation.requests[-1], "content-type") == []


@pytest.mark.parametrize("size", [1000, 1001])
async def test_long_and_coded_bodies(loopback_federation: LoopbackFederation, size: int) -> None:
    """A body is bounded as it is after decompression, which has been done."""
    coded = Reply(
        200, body=gzip.compress(b"x" * size), headers=[("Content-Encoding", "gzip"), ("X-A", "b")]
    )
    loopback_federation.add("example.org", serves=coded)
    async with opened(loopback_federation, max_body=1000) as client:
        if size > 1000:
            with pytest.raises(ResponseTooLargeError, match="over 1000 bytes"):
                await client.get("matrix-federation://example.org/")
        else:
            response = await client.get("matrix-federation://example.org/")
            assert response.text == "x" * size
            assert "content-encoding" not in response.headers
            assert response.headers["x-a"] == "b"


async def test_streams(loopback_federation: LoopbackFederation) -> None:
    """A body without end is given piece by piece, and leaving it closes the connection."""
    loopback_federation.add("endless.example", serves=Endless())
    async with opened(loopback_federation, client={"max_connections": 1}, max_body=None) as client:
        for _ in range(2):
            async with client.stream("GET", "matrix-federation://endless.example/") as response:
                async for piece in response.aiter_bytes():
                    assert piece
                    break
    assert loopback_federation.connections["endless.example", 8448] == 2


@pytest.mark.parametrize(
    ("declared", "settings", "error"),
    [
        ({"ports": ()}, {}, ConnectError),
        ({"serves": Slow(math.inf)}, {"timeout": 0.2}, httpx2.ReadTimeout),
        ({"serves": CutShort()}, {}, httpx2.RemoteProtocolError),
        ({"serves": Raw(b"SSH-2.0-OpenSSH\r\n")}, {}, httpx2.RemoteProtocolError),
        ({"serves": Raw(b"")}, {}, httpx2.ReadError),
    ],
)
async def test_errors(
    loopback_federation: LoopbackFederation,
    declared: dict[str, Any],
    settings: dict[str, Any],
    error: type[Exception],
) -> None:
    """Before a connection stands errors are ours, on it httpx's; none keeps a turn."""
    loopback_federation.add("bad.example", **declared)
    loopback_federation.add("good.example")
    async with opened(loopback_federation, client={"max_connections": 1}, **settings) as client:
        with pytest.raises(error) as raised:
            await client.get("matrix-federation://bad.example/")
        if isinstance(raised.value, ConnectError):
            assert raised.value.attempts
        assert (await client.get("matrix-federation://good.example/")).status_code == 200


async def test_time_outs_of_httpx(loopback_federation: LoopbackFederation) -> None:
    """What httpx says of reading holds, and the error tells which server was waited for."""
    loopback_federation.add("slow.example", serves=Slow(math.inf))
    async with opened(loopback_federation) as client:
        with pytest.raises(httpx2.ReadTimeout, match=r"slow\.example: no response"):
            await client.get(
                "matrix-federation://slow.example/", timeout=httpx2.Timeout(5, read=0.2)
            )


async def test_what_is_refused(loopback_federation: LoopbackFederation) -> None:
    """No server name, no path as it stands, no address that is allowed."""
    async with opened(loopback_federation) as client:
        with pytest.raises(InvalidServerNameError):
            await client.get("matrix-federation://1.2.3/")
        with pytest.raises(httpx2.LocalProtocolError, match="header"):
            await client.get("matrix-federation://example.org/", headers={b"X Y": b"1"})
    async with (
        loopback_federation.resolver(address_policy=AddressPolicy()) as resolver,
        loopback_federation.client(resolver) as by,
        httpx2.AsyncClient(transport=HttpxTransport(by)) as client,
    ):
        with pytest.raises(AddressNotAllowedError):
            await client.get("matrix-federation://127.0.0.1/")


async def test_cancelled(loopback_federation: LoopbackFederation) -> None:
    """A request that is cancelled leaves its turn to the next one."""
    asked = asyncio.Event()

    def hold(_: Request) -> Slow:
        asked.set()
        return Slow(math.inf)

    loopback_federation.add("slow.example", serves=hold)
    loopback_federation.add("good.example")
    async with opened(loopback_federation, client={"max_connections": 1}) as client:
        task = asyncio.create_task(client.get("matrix-federation://slow.example:8450/"))
        await asked.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert (await client.get("matrix-federation://good.example/")).status_code == 200
