"""Name servers of dnspython's lookup: how they are spelled, and real DoT and DoH servers."""

import asyncio
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import dns.asyncquery
import dns.message
import dns.rcode
import pytest
import trustme
from aiohttp import web
from dns_lookups import BOTH, HANGS, SHORT, addresses, answer, either, resolv_conf, until
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import DataReceived, RequestReceived, StreamEnded

from matrix_resolve.backends.dns_dnspython import DnspythonLookup
from matrix_resolve.backends.dns_dnspython.nameservers import read_nameserver
from matrix_resolve.backends.dns_dnspython.servers import HttpsServer, PlainServer, TlsServer
from matrix_resolve.errors import AddressLookupError, BackendError, SrvLookupError
from matrix_resolve.interfaces import SrvReply
from matrix_resolve.testing import LoopbackFederation

Exchange = Callable[[bytes], Awaitable[bytes]]


def asking(*servers: str, timeout: float = HANGS, ca_file: Path | None = None) -> DnspythonLookup:
    """A lookup that asks these servers."""
    return DnspythonLookup(nameservers=servers, timeout=timeout, ca_file=ca_file)


# Spellings


SPELLINGS = [
    # as given, where it leads
    ("192.0.2.1", ("Do53", "192.0.2.1", 53)),
    ("192.0.2.1:5353", ("Do53", "192.0.2.1", 5353)),
    ("2001:DB8::1", ("Do53", "2001:db8::1", 53)),
    ("[2001:db8::1]", ("Do53", "2001:db8::1", 53)),
    ("[2001:db8::1]:5353", ("Do53", "2001:db8::1", 5353)),
    ("tls://192.0.2.1", ("DoT", "192.0.2.1", 853, "192.0.2.1")),
    ("tls://192.0.2.1:8853#dns.example", ("DoT", "192.0.2.1", 8853, "dns.example")),
    ("tls://2001:db8::1#dns.example", ("DoT", "2001:db8::1", 853, "dns.example")),
    ("tls://[2001:db8::1]:8853", ("DoT", "2001:db8::1", 8853, "2001:db8::1")),
    ("tls://192.0.2.1#2001:DB8::1", ("DoT", "192.0.2.1", 853, "2001:db8::1")),
    ("https://dns.example/dns-query", ("DoH", "https://dns.example/dns-query", None)),
    ("https://dns.example:8443/", ("DoH", "https://dns.example:8443/", None)),
    ("https://[2001:db8::1]/q?a=b", ("DoH", "https://[2001:db8::1]/q?a=b", "2001:db8::1")),
    ("https://dns.example/q#192.0.2.1", ("DoH", "https://dns.example/q", "192.0.2.1")),
    ("https://dns.example/q#2001:db8::1", ("DoH", "https://dns.example/q", "2001:db8::1")),
]


@pytest.mark.parametrize(("text", "leads_to"), SPELLINGS, ids=[text for text, _ in SPELLINGS])
def test_spellings_of_nameservers(text: str, leads_to: tuple[Any, ...]) -> None:
    """Plain, over TLS and over HTTPS, with and without port, and name or address."""
    match read_nameserver(text, None):
        case TlsServer() as server:
            found: tuple[Any, ...] = ("DoT", server.address, server.port, server.name)
        case HttpsServer() as server:
            found = ("DoH", server.url, server.address)
        case PlainServer() as server:
            found = ("Do53", server.address, server.port)
    assert found == leads_to


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "dns.example",
        "127.1",
        "192.0.2.1:",
        "192.0.2.1:0",
        "192.0.2.1:65536",
        "192.0.2.1:x",
        "192.0.2.1/24",
        "192.0.2.1#dns.example",
        "[192.0.2.1",
        "[]:53",
        "192.0.2.1, 192.0.2.2",
        "tls://",
        "tls://dns.example",
        "tls://192.0.2.1#",
        "tls://192.0.2.1#dns.example:853",
        "tls://192.0.2.1#dns..example",
        "tls://192.0.2.1#a#b",
        "tls://192.0.2.1/",
        "https://",
        "https:///dns-query",
        "https://dns.example",
        "https://dns.example:0/",
        "https://user:password@dns.example/",
        "https://dns.example/dns query",
        "https://dns.example/\n",
        "https://bücher.example/",
        "https://dns.example/#dns.example",
        "https://dns.example/#192.0.2.1:443",
        "https://dns.example/#",
        "http://dns.example/dns-query",
        "quic://192.0.2.1",
        "udp:192.0.2.1",
        None,
        53,
        b"192.0.2.1",
    ],
    ids=ascii,
)
def test_misspelled_nameservers(text: Any) -> None:
    """What is no nameserver is refused where it is given."""
    with pytest.raises(ValueError, match=r"is neither ADDRESS\[:PORT\] nor tls://") as caught:
        DnspythonLookup(nameservers=["192.0.2.1", text])
    assert str(caught.value).isprintable()


# Servers


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    """Who signs the servers' certificates."""
    return trustme.CA()


@pytest.fixture(scope="module")
def ca_file(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file that tells clients to trust it."""
    path = tmp_path_factory.mktemp("ca") / "ca.pem"
    authority.cert_pem.write_to_path(str(path))
    return path


def server_context(certificate: trustme.LeafCert, *protocols: str) -> ssl.SSLContext:
    """The TLS settings of a server."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    if protocols:
        context.set_alpn_protocols(list(protocols))
    return context


def relay_to(federation: LoopbackFederation) -> Exchange:
    """Have the federation's DNS server answer."""
    host, _, port = federation.nameserver.rpartition(":")

    async def exchange(wire: bytes) -> bytes:
        query = dns.message.from_wire(wire)
        return (await dns.asyncquery.tcp(query, host, HANGS, int(port))).to_wire()

    return exchange


Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter, Exchange], Awaitable[None]]


@asynccontextmanager
async def streaming(
    serve: Serve, exchange: Exchange, context: ssl.SSLContext | None
) -> AsyncIterator[int]:
    """Give the port of a server on 127.0.0.1 whose connections `serve` serves."""
    writers: list[asyncio.StreamWriter] = []
    tasks: list[asyncio.Task[None]] = []

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        task = asyncio.current_task()
        assert task is not None
        tasks.append(task)
        try:
            await serve(reader, writer, exchange)
        except (asyncio.IncompleteReadError, ConnectionError, ssl.SSLError):
            pass
        except asyncio.CancelledError:  # asyncio's streams would tell the loop of it
            pass
        finally:
            writer.transport.abort()

    server = await asyncio.start_server(connected, "127.0.0.1", 0, ssl=context)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks)
        for writer in writers:
            writer.transport.abort()


async def serve_dot(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, exchange: Exchange
) -> None:
    """Serve DNS over TLS."""
    assert writer.get_extra_info("ssl_object").selected_alpn_protocol() == "dot"
    while True:
        (length,) = struct.unpack("!H", await reader.readexactly(2))
        response = await exchange(await reader.readexactly(length))
        writer.write(struct.pack("!H", len(response)) + response)
        await writer.drain()


async def serve_doh(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, exchange: Exchange
) -> None:
    """Serve DNS over HTTPS, in HTTP/2."""
    assert writer.get_extra_info("ssl_object").selected_alpn_protocol() == "h2"
    connection = H2Connection(H2Configuration(client_side=False))
    connection.initiate_connection()
    body = b""
    while True:
        writer.write(connection.data_to_send())
        for event in connection.receive_data(await reader.read(65535) or b""):
            if isinstance(event, RequestReceived):
                headers = dict(event.headers or [])
                assert headers[b":path"] == b"/dns-query"
                assert headers[b"content-type"] == b"application/dns-message"
            elif isinstance(event, DataReceived):
                body += event.data
            elif isinstance(event, StreamEnded):
                response = await exchange(body)
                connection.send_headers(
                    event.stream_id,
                    [(":status", "200"), ("content-type", "application/dns-message")],
                )
                connection.send_data(event.stream_id, response, end_stream=True)
        if reader.at_eof():
            return


@asynccontextmanager
async def doh_1(exchange: Exchange, context: ssl.SSLContext) -> AsyncIterator[int]:
    """Give the port of a server of DNS over HTTPS, in HTTP/1.1."""

    async def handle(request: web.Request) -> web.Response:
        assert request.headers["Accept"] == "application/dns-message"
        body = await exchange(await request.read())
        return web.Response(body=body, content_type="application/dns-message")

    app = web.Application()
    app.router.add_post("/dns-query", handle)
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context)
        await site.start()
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


@asynccontextmanager
async def encrypted(
    transport: str, exchange: Exchange, certificate: trustme.LeafCert
) -> AsyncIterator[int]:
    """Give the port of a server of DNS over TLS or HTTPS ("DoT", "DoH/1", "DoH/2")."""
    opened = {
        "DoT": lambda: streaming(serve_dot, exchange, server_context(certificate, "dot")),
        "DoH/1": lambda: doh_1(exchange, server_context(certificate)),
        "DoH/2": lambda: streaming(serve_doh, exchange, server_context(certificate, "h2")),
    }[transport]
    async with opened() as port:
        yield port


def spelled(transport: str, port: int, name: str | None) -> str:
    """A nameserver at 127.0.0.1, its certificate for `name`, or else for the address."""
    if transport == "DoT":
        return f"tls://127.0.0.1:{port}" + (f"#{name}" if name else "")
    if name:
        return f"https://{name}:{port}/dns-query#127.0.0.1"
    return f"https://127.0.0.1:{port}/dns-query"


ENCRYPTED = pytest.mark.parametrize("transport", ["DoT", "DoH/1", "DoH/2"])


# Over TLS and HTTPS


@ENCRYPTED
@pytest.mark.parametrize("name", ["dns.example", None], ids=["for a name", "for the address"])
async def test_encrypted(
    loopback_federation: LoopbackFederation,
    authority: trustme.CA,
    ca_file: Path,
    transport: str,
    name: str | None,
) -> None:
    """Records, addresses and negative TTLs come over TLS and HTTPS as they do over UDP."""
    records = [f"{number} 0 8448 host-{number}.example" for number in range(300)]
    loopback_federation.add("example.org", addresses=["192.0.2.1"], negative_ttl=77)
    loopback_federation.add_records("many.example", "SRV", *records)
    certificate = authority.issue_cert(name or "127.0.0.1")
    async with encrypted(transport, relay_to(loopback_federation), certificate) as port:
        server = spelled(transport, port, name)
        async with asking(server, ca_file=ca_file) as lookup:
            assert await lookup.lookup_addresses("example.org") == addresses("192.0.2.1")
            assert await lookup.lookup_srv("example.org") == SrvReply([], 77)
            assert len((await lookup.lookup_srv("many.example")).records) == 300


WRONG = [
    # what the certificate is for, its common name, the name that is asked for
    pytest.param("wrong.example", None, "dns.example", id="another name"),
    pytest.param("dns.example", None, None, id="a name, not the address"),
    pytest.param("127.0.0.1", None, "dns.example", id="the address, not the name"),
    pytest.param("127.0.0.2", None, None, id="another address"),
    pytest.param("a@wrong.example", "dns.example", "dns.example", id="common name only"),
]


@ENCRYPTED
@pytest.mark.parametrize(("identity", "common_name", "name"), WRONG)
async def test_wrong_certificate(
    loopback_federation: LoopbackFederation,
    authority: trustme.CA,
    ca_file: Path,
    transport: str,
    identity: str,
    common_name: str | None,
    name: str | None,
) -> None:
    """Nothing is asked of a server whose certificate is for somebody else."""
    certificate = authority.issue_cert(identity, common_name=common_name)
    async with (
        encrypted(transport, relay_to(loopback_federation), certificate) as port,
        asking(spelled(transport, port, name), ca_file=ca_file) as lookup,
    ):
        with pytest.raises(SrvLookupError, match="wrong name: ") as caught:
            await lookup.lookup_srv("example.org")
    assert caught.value.temporary
    assert not loopback_federation.dns_questions


@ENCRYPTED
async def test_untrusted_certificate(
    loopback_federation: LoopbackFederation, authority: trustme.CA, transport: str, tmp_path: Path
) -> None:
    """Whom `ca_file` does not name, and without it whom the system does not, is not trusted."""
    trustme.CA().cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    certificate = authority.issue_cert("dns.example")
    async with encrypted(transport, relay_to(loopback_federation), certificate) as port:
        for ca_file in (tmp_path / "ca.pem", None):
            async with asking(spelled(transport, port, "dns.example"), ca_file=ca_file) as lookup:
                with pytest.raises(
                    AddressLookupError, match="self-signed, or the chain is incomplete"
                ):
                    await lookup.lookup_addresses("example.org")
    assert not loopback_federation.dns_questions


@pytest.mark.parametrize("server", ["tls://192.0.2.1", "https://192.0.2.1/"])
def test_unusable_ca_file(server: str, tmp_path: Path) -> None:
    """A file of authorities that is missing or holds none is refused where it is given."""
    (tmp_path / "empty").touch()
    for name in ("missing", "empty"):
        with pytest.raises(OSError):  # noqa: PT011
            DnspythonLookup(nameservers=[server], ca_file=tmp_path / name)


async def says_garbage(wire: bytes) -> bytes:
    """No DNS message."""
    return b"\xff" * 11


async def says_another_answer(wire: bytes) -> bytes:
    """An answer to another question."""
    query = dns.message.make_query("other.example", "SRV")
    query.id = dns.message.from_wire(wire).id
    return answer(query).to_wire()


async def says_nothing(wire: bytes) -> bytes:
    """No answer ever."""
    await asyncio.Event().wait()
    raise AssertionError


async def breaks(wire: bytes) -> bytes:
    """The connection is closed; a web server says 500."""
    raise ConnectionError


BAD = [
    # what the server does, what is told of DoT, DoH/1, DoH/2
    (says_garbage, ("too short", "too short", "too short")),
    (says_another_answer, ("does not respond to the question",) * 3),
    (says_nothing, (r"^no answer within 0\.3 s$",) * 3),
    (breaks, ("bytes read", "status code 500$", "disconnected")),
]


@ENCRYPTED
@pytest.mark.parametrize(("exchange", "told"), BAD, ids=[bad.__name__ for bad, _ in BAD])
async def test_bad_encrypted_server(
    authority: trustme.CA,
    ca_file: Path,
    transport: str,
    exchange: Exchange,
    told: tuple[str, str, str],
) -> None:
    """What a server of DNS over TLS or HTTPS does wrong is a temporary failure, shortly told."""
    match = told[["DoT", "DoH/1", "DoH/2"].index(transport)]
    async with encrypted(transport, exchange, authority.issue_cert("127.0.0.1")) as port:
        server = spelled(transport, port, None)
        timeout = SHORT if exchange is says_nothing else HANGS
        async with asking(server, ca_file=ca_file, timeout=timeout) as lookup:
            with pytest.raises(SrvLookupError, match=match) as caught:
                await lookup.lookup_srv("example.org")
    assert caught.value.temporary
    assert caught.value.reason.isprintable()
    assert len(caught.value.reason) <= 200


@BOTH
@pytest.mark.parametrize("server", ["tls://{}", "https://{}/dns-query"])
async def test_nobody_listens(kind: str, failure: type[BackendError], server: str) -> None:
    """Without a DNS server the lookup fails."""
    async with asking(server.format("127.0.0.1:9"), timeout=SHORT) as lookup:
        with pytest.raises(failure) as caught:
            await either(lookup, kind)("example.org")
    assert caught.value.temporary


async def test_endless_response(authority: trustme.CA, ca_file: Path) -> None:
    """No more than a message is taken from a web server."""

    async def says_too_much(wire: bytes) -> bytes:
        return b"\0" * 65536

    certificate = authority.issue_cert("127.0.0.1")
    async with (
        encrypted("DoH/1", says_too_much, certificate) as port,
        asking(spelled("DoH/1", port, None), ca_file=ca_file) as lookup,
    ):
        with pytest.raises(SrvLookupError, match="more than a message"):
            await lookup.lookup_srv("example.org")


@ENCRYPTED
async def test_server_without_edns(authority: trustme.CA, ca_file: Path, transport: str) -> None:
    """Over TLS and HTTPS too, a server that refuses EDNS is asked without."""
    asked = []

    async def exchange(wire: bytes) -> bytes:
        query = dns.message.from_wire(wire)
        asked.append(query.edns)
        rcode = dns.rcode.FORMERR if query.edns >= 0 else dns.rcode.NOERROR
        return answer(query, rcode=rcode).to_wire()

    certificate = authority.issue_cert("127.0.0.1")
    async with (
        encrypted(transport, exchange, certificate) as port,
        asking(spelled(transport, port, None), ca_file=ca_file) as lookup,
    ):
        for _ in range(2):
            assert await lookup.lookup_srv("example.org") == SrvReply([])
    assert asked == [0, -1, -1]


async def test_silence_before_tls(ca_file: Path) -> None:
    """A server that accepts the connection and says nothing costs the time of one lookup."""

    async def serve(*_: Any) -> None:
        await asyncio.Event().wait()

    async with streaming(serve, says_nothing, None) as port:
        for transport in ("DoT", "DoH"):
            server = spelled(transport, port, None)
            async with asking(server, ca_file=ca_file, timeout=SHORT) as lookup:
                with pytest.raises(SrvLookupError, match=r"^no answer within 0\.3 s$"):
                    await lookup.lookup_srv("example.org")


async def test_no_tls(ca_file: Path) -> None:
    """A server that does not speak TLS has failed."""

    async def serve(_: Any, writer: asyncio.StreamWriter, __: Any) -> None:
        writer.write(b"SSH-2.0-OpenSSH_9.9\r\n")
        await writer.drain()

    async with streaming(serve, says_nothing, None) as port:
        for transport in ("DoT", "DoH"):
            async with asking(spelled(transport, port, None), ca_file=ca_file) as lookup:
                with pytest.raises(SrvLookupError):
                    await lookup.lookup_srv("example.org")


async def test_address_of_a_web_server(
    loopback_federation: LoopbackFederation,
    authority: trustme.CA,
    ca_file: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """If the URL has a name and there is no address to it, the system's servers are asked."""
    resolv_conf(monkeypatch, "nameserver 127.0.0.1\n", loopback_federation)
    loopback_federation.add("dns.example", addresses=["127.0.0.1"])
    loopback_federation.add("example.org", addresses=["192.0.2.1"])
    certificate = authority.issue_cert("dns.example")
    async with encrypted("DoH/1", relay_to(loopback_federation), certificate) as port:
        server = f"https://dns.example:{port}/dns-query"
        async with asking(server, ca_file=ca_file) as lookup:
            assert await lookup.lookup_addresses("example.org") == addresses("192.0.2.1")
            loopback_federation.remove("dns.example")
            with pytest.raises(AddressLookupError, match=r"name does not exist: dns\.example"):
                await lookup.lookup_addresses("example.org")


def sockets() -> int:
    """How many sockets this process has open."""
    found = 0
    for entry in Path("/proc/self/fd").iterdir():
        try:
            found += str(entry.readlink()).startswith("socket:")
        except FileNotFoundError:  # the one that this very listing used
            continue
    return found


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="descriptors are listed on Linux")
async def test_connections_are_closed_without_asking(
    loopback_federation: LoopbackFederation, authority: trustme.CA, ca_file: Path
) -> None:
    """A server of DNS over TLS that does not agree to a close keeps no socket of ours open."""

    async def serve(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter, exchange: Exchange
    ) -> None:
        await reader.readexactly(2)
        response = await exchange(await reader.read(65535))
        writer.write(struct.pack("!H", len(response)) + response)
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        await asyncio.Event().wait()

    context = server_context(authority.issue_cert("127.0.0.1"))
    async with streaming(serve, relay_to(loopback_federation), context) as port:
        before = sockets()
        async with asking(f"tls://127.0.0.1:{port}", ca_file=ca_file) as lookup:
            await lookup.lookup_srv("example.org")
        # Only its own end of the connection is left.
        await until(lambda: sockets() <= before + 1)


@ENCRYPTED
@pytest.mark.parametrize("moment", ["connecting", "waiting"])
async def test_cancelled_encrypted_lookups_leave_nothing_behind(
    authority: trustme.CA, ca_file: Path, transport: str, moment: str
) -> None:
    """No socket and no task is left of a lookup that was cancelled over TLS or HTTPS."""
    asked = asyncio.Event()

    async def exchange(wire: bytes) -> bytes:
        asked.set()
        return await says_nothing(wire)

    async with (
        encrypted(transport, exchange, authority.issue_cert("127.0.0.1")) as port,
        asking(spelled(transport, port, None), ca_file=ca_file) as lookup,
    ):
        task = asyncio.create_task(lookup.lookup_srv("example.org"))
        if moment == "waiting":
            await asked.wait()
        else:
            await asyncio.sleep(0.001)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
