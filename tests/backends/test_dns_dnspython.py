"""SRV records and addresses by dnspython, asked of real DNS, DoT and DoH servers on loopback."""

import asyncio
import io
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, closing
from ipaddress import ip_address
from itertools import pairwise
from pathlib import Path
from typing import Any

import dns.asyncquery
import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.nameserver
import dns.rcode
import dns.resolver
import dns.rrset
import pytest
import pytest_asyncio
import trustme
from aiohttp import web
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import DataReceived, RequestReceived, StreamEnded

from matrix_resolve import Policy, Step
from matrix_resolve.backends.dns_dnspython import lookup as dns_dnspython
from matrix_resolve.backends.dns_dnspython.lookup import DnspythonLookup
from matrix_resolve.errors import AddressLookupError, BackendError, SrvLookupError
from matrix_resolve.interfaces import AddressReply, SrvRecord, SrvReply
from matrix_resolve.testing import DnsFault, FakeClock, LoopbackFederation

SRV = "_matrix-fed._tcp."
# What is awaited ends at once; if it ever hangs, the test fails after so many seconds.
HANGS = 10.0
# For what ends only with the time that a lookup has.
SHORT = 0.3
QUESTION = "example.org"

Exchange = Callable[[bytes], Awaitable[bytes]]


def addresses(*texts: str, ttl: float | None = 300, alias_of: str | None = None) -> AddressReply:
    """A reply with these addresses."""
    return AddressReply(texts, ttl, alias_of)


def empty(kind: str, ttl: float | None) -> SrvReply | AddressReply:
    """A reply that there is none."""
    return SrvReply([], ttl) if kind == "SRV" else AddressReply([], ttl)


def either(lookup: DnspythonLookup, kind: str) -> Callable[[str], Any]:
    """The SRV or the address lookup, for what both do alike."""
    return lookup.lookup_srv if kind == "SRV" else lookup.lookup_addresses


BOTH = pytest.mark.parametrize(
    ("kind", "failure"), [("SRV", SrvLookupError), ("addresses", AddressLookupError)]
)


@pytest_asyncio.fixture
async def dns_(loopback_federation: LoopbackFederation) -> AsyncIterator[DnspythonLookup]:
    """A lookup that asks the loopback DNS server."""
    async with asking(loopback_federation.nameserver) as lookup:
        yield lookup


def asking(*servers: str, timeout: float = HANGS, ca_file: Path | None = None) -> DnspythonLookup:
    """A lookup that asks these servers."""
    return DnspythonLookup(nameservers=servers, timeout=timeout, ca_file=ca_file)


async def until(true: Callable[[], Any]) -> None:
    """Wait for something to become true."""
    async with asyncio.timeout(HANGS):
        while not true():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


# Servers


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, answers: Callable[[dns.message.Message], list[Any]]) -> None:
        self._answers = answers

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        for answer in self._answers(dns.message.from_wire(data)):
            wire = answer if isinstance(answer, bytes) else answer.to_wire(max_size=65535)
            self._transport.sendto(wire, addr)


@asynccontextmanager
async def handmade(
    answers: Callable[[dns.message.Message], list[Any]], ip: str = "127.0.0.1"
) -> AsyncIterator[str]:
    """Give the address of a server that sends what `answers` returns for a query, over UDP."""
    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
        lambda: _Datagrams(answers), local_addr=(ip, 0)
    )
    with closing(transport):
        host, port = transport.get_extra_info("sockname")[:2]
        yield f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def answer(
    query: dns.message.Message,
    *records: str,
    authority: tuple[str, ...] = (),
    rcode: dns.rcode.Rcode = dns.rcode.NOERROR,
) -> dns.message.Message:
    """An answer with records as in a zone file: "example.org. 60 IN A 192.0.2.1"."""
    response = dns.message.make_response(query, recursion_available=True)
    response.set_rcode(rcode)
    for section, texts in ((response.answer, records), (response.authority, authority)):
        for text in texts:
            owner, ttl, of, kind, data = text.split(" ", 4)
            section.append(dns.rrset.from_text(owner, int(ttl), of, kind, data))
    return response


def of_type(query: dns.message.Message, kind: str) -> bool:
    """Whether the query is for records of that type."""
    return dns.rdatatype.to_text(query.question[0].rdtype) == kind


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


# SRV


async def test_srv_records(loopback_federation: LoopbackFederation, dns_: DnspythonLookup) -> None:
    """All records come with their four fields, and their TTL, after one question."""
    published = [SrvRecord(10, 5, 8448, "a.example"), SrvRecord(20, 65535, 443, "b.example")]
    loopback_federation.add("example.org", srv=published, ttl=77)
    assert await dns_.lookup_srv(f"{SRV}example.org") == SrvReply(published, 77)
    assert loopback_federation.dns_questions == {(f"{SRV}example.org", "SRV"): 1}


@pytest.mark.parametrize(
    ("ttls", "least"), [((50, 7, 30), 7), ((5, 70, 30), 5), ((50, 70, 3), 3), ((50, 0, 30), 0)]
)
async def test_srv_ttl_is_the_least_of_the_chain(
    loopback_federation: LoopbackFederation,
    dns_: DnspythonLookup,
    ttls: tuple[int, int, int],
    least: int,
) -> None:
    """Through two aliases the records are found, and live as long as the shortest link."""
    add = loopback_federation.add_records
    add(f"{SRV}a.example", "CNAME", f"{SRV}b.example", ttl=ttls[0])
    add(f"{SRV}b.example", "CNAME", "srv.c.example", ttl=ttls[1])
    add("srv.c.example", "SRV", "1 2 8448 hs.example", ttl=ttls[2])
    reply = await dns_.lookup_srv(f"{SRV}a.example")
    assert reply == SrvReply([SrvRecord(1, 2, 8448, "hs.example")], least)


TARGETS = [
    # in the zone file, as it is given
    pytest.param(".", ".", id="not offered"),
    pytest.param("hs.example.", "hs.example", id="without the final dot"),
    pytest.param("HS.Example", "HS.Example", id="upper case"),
    pytest.param("_hs.example", "_hs.example", id="underscore"),
    pytest.param(r"a\000b.example", r"a\000b.example", id="NUL"),
    pytest.param(r"\255\128.example", r"\255\128.example", id="not ASCII"),
    pytest.param(r"a\.b.example", r"a\.b.example", id="a dot within a label"),
    pytest.param(r"a\010b.example", r"a\010b.example", id="line break"),
    pytest.param(r"a\032b.example", r"a\032b.example", id="space"),
    pytest.param("xn--bcher-kva.example", "xn--bcher-kva.example", id="IDN"),
    pytest.param("127.0.0.1", "127.0.0.1", id="an address"),
    pytest.param(
        f"{'a' * 63}.{'b' * 63}.{'c' * 63}.{'d' * 61}",
        f"{'a' * 63}.{'b' * 63}.{'c' * 63}.{'d' * 61}",
        id="the longest",
    ),
]


@pytest.mark.parametrize(("published", "given"), TARGETS)
async def test_srv_target(
    loopback_federation: LoopbackFederation, dns_: DnspythonLookup, published: str, given: str
) -> None:
    """Targets come as they are, odd bytes escaped; the root is a dot."""
    loopback_federation.add_records(f"{SRV}example.org", "SRV", f"0 0 1 {published}", ttl=9)
    reply = await dns_.lookup_srv(f"{SRV}example.org")
    assert reply == SrvReply([SrvRecord(0, 0, 1, given)], 9)


async def test_many_srv_records(
    loopback_federation: LoopbackFederation, dns_: DnspythonLookup
) -> None:
    """An answer too large for UDP comes over TCP, all of it."""
    records = [f"{number} 0 8448 host-{number}.example" for number in range(1000)]
    loopback_federation.add_records(f"{SRV}example.org", "SRV", *records)
    reply = await dns_.lookup_srv(f"{SRV}example.org")
    assert [record.priority for record in reply.records] == list(range(1000))
    assert loopback_federation.dns_questions == {(f"{SRV}example.org", "SRV"): 2}


async def test_answers_of_a_kilobyte_come_over_udp(
    loopback_federation: LoopbackFederation, dns_: DnspythonLookup
) -> None:
    """EDNS is on: what does not fit into 512 octets takes no second question over TCP."""
    records = [f"{number} 0 8448 host-{number}.example" for number in range(25)]
    loopback_federation.add_records(f"{SRV}example.org", "SRV", *records)
    assert len((await dns_.lookup_srv(f"{SRV}example.org")).records) == 25
    assert loopback_federation.dns_questions == {(f"{SRV}example.org", "SRV"): 1}


async def test_edns_payload() -> None:
    """Answers of 1232 octets are asked for: larger datagrams are cut in pieces on some ways."""
    queries: list[dns.message.Message] = []

    def answers(query: dns.message.Message) -> list[Any]:
        queries.append(query)
        return [answer(query)]

    async with handmade(answers) as server, asking(server) as lookup:
        await lookup.lookup_srv(QUESTION)
    assert [(query.edns, query.payload) for query in queries] == [(0, 1232)]


# None, and for how long


NONE = [
    # fault, what is declared, the zone's negative TTL
    pytest.param(None, False, 60, id="no such name"),
    pytest.param(None, True, 77, id="no such record"),
    pytest.param(DnsFault.NXDOMAIN, True, 77, id="NXDOMAIN"),
    pytest.param(DnsFault.NODATA, True, 77, id="NODATA"),
]


@BOTH
@pytest.mark.parametrize(("fault", "declared", "ttl"), NONE)
async def test_none(
    loopback_federation: LoopbackFederation,
    dns_: DnspythonLookup,
    kind: str,
    failure: type[BackendError],
    fault: DnsFault | None,
    declared: bool,
    ttl: int,
) -> None:
    """No such name or record is an empty reply with the zone's negative TTL, asked but once."""
    if declared:
        loopback_federation.add("example.org", addresses=[], dns=fault, negative_ttl=77)
    assert await either(dns_, kind)("example.org") == empty(kind, ttl)
    types = ("SRV",) if kind == "SRV" else ("A", "AAAA")
    assert loopback_federation.dns_questions == {("example.org", of): 1 for of in types}


ALIASES_OF_NOTHING = [
    # TTLs of the two aliases, negative TTL of the zone at their end, what is given
    pytest.param((100, 90), 80, 80, id="the zone's negative TTL"),
    pytest.param((70, 90), 80, 70, id="the first alias"),
    pytest.param((100, 60), 80, 60, id="the second alias"),
]


@BOTH
@pytest.mark.parametrize("end", ["no such name", "no such record"])
@pytest.mark.parametrize(("ttls", "negative", "least"), ALIASES_OF_NOTHING)
async def test_alias_of_a_name_that_has_none(
    loopback_federation: LoopbackFederation,
    dns_: DnspythonLookup,
    kind: str,
    failure: type[BackendError],
    end: str,
    ttls: tuple[int, int],
    negative: int,
    least: int,
) -> None:
    """That an alias leads to nothing holds as long as each link, and as the "none" at its end."""
    name = "c.example" if end == "no such record" else "nowhere.c.example"
    loopback_federation.add("c.example", addresses=[], negative_ttl=negative)
    loopback_federation.add_records("a.example", "CNAME", "b.example", ttl=ttls[0])
    loopback_federation.add_records("b.example", "CNAME", name, ttl=ttls[1])
    reply = await either(dns_, kind)("a.example")
    if kind == "SRV":
        assert reply == SrvReply([], least)
    else:
        assert reply == AddressReply([], least, name)


SOA = "SOA ns.invalid. hostmaster.invalid. 1 3600 600 86400"
NEGATIVE_TTLS = [
    # rcode, answer, authority, TTL
    pytest.param("NXDOMAIN", (), (f"org. 50 IN {SOA} 90",), 50, id="NXDOMAIN, the SOA's own"),
    pytest.param("NXDOMAIN", (), (f"org. 90 IN {SOA} 50",), 50, id="NXDOMAIN, its minimum"),
    pytest.param("NOERROR", (), (f"org. 50 IN {SOA} 90",), 50, id="NODATA, the SOA's own"),
    pytest.param("NOERROR", (), (f"org. 90 IN {SOA} 50",), 50, id="NODATA, its minimum"),
    pytest.param("NOERROR", (), (f"org. 0 IN {SOA} 50",), 0, id="zero"),
    pytest.param("NOERROR", (), (f"org. 9999 IN {SOA} 9000",), 9000, id="hours"),
    pytest.param("NOERROR", (), (f". 50 IN {SOA} 90",), 50, id="of the root zone"),
    pytest.param("NOERROR", (), (f"EXAMPLE.ORG. 50 IN {SOA} 90",), 50, id="upper case"),
    pytest.param("NXDOMAIN", (), (), None, id="NXDOMAIN, no SOA"),
    pytest.param("NOERROR", (), (), None, id="NODATA, no SOA"),
    pytest.param("NOERROR", (), ("org. 50 IN NS ns.org.",), None, id="only NS records"),
    pytest.param("NOERROR", (), (f"net. 50 IN {SOA} 90",), None, id="the SOA of another zone"),
    pytest.param("NOERROR", (), (f"a.example.org. 50 IN {SOA} 9",), None, id="of a zone below"),
    pytest.param("NOERROR", (), (f"org. 50 CH {SOA} 90",), None, id="of another class"),
    pytest.param("NOERROR", ("example.org. 40 IN CNAME a.net.",), (), None, id="an alias, no SOA"),
    pytest.param(
        "NXDOMAIN",
        ("example.org. 40 IN CNAME a.net.",),
        (f"org. 50 IN {SOA} 90",),
        None,
        id="an alias, the SOA of the zone that it leaves",
    ),
]


@BOTH
@pytest.mark.parametrize(("rcode", "records", "authority", "ttl"), NEGATIVE_TTLS)
async def test_negative_ttl(
    kind: str,
    failure: type[BackendError],
    rcode: str,
    records: tuple[str, ...],
    authority: tuple[str, ...],
    ttl: int | None,
) -> None:
    """It is the lesser of the SOA record's own TTL and its minimum (RFC 2308, 5), or unknown."""

    def answers(query: dns.message.Message) -> list[Any]:
        code = dns.rcode.from_text(rcode)
        return [answer(query, *records, authority=authority, rcode=code)]

    async with handmade(answers) as server, asking(server) as lookup:
        reply = await either(lookup, kind)(QUESTION)
    assert not (reply.records if kind == "SRV" else reply.addresses)
    assert reply.ttl == ttl


@pytest.mark.parametrize(
    ("ttls", "least"), [((50, 60), 50), ((70, 60), 60), ((50, None), 50), ((None, None), None)]
)
async def test_negative_ttl_of_two_families(
    ttls: tuple[int | None, int | None], least: int | None
) -> None:
    """That there are no addresses holds as long as it does for either family."""

    def answers(query: dns.message.Message) -> list[Any]:
        ttl = ttls[of_type(query, "AAAA")]
        return [answer(query, authority=() if ttl is None else (f"org. {ttl} IN {SOA} 900",))]

    async with handmade(answers) as server, asking(server) as lookup:
        assert await lookup.lookup_addresses(QUESTION) == AddressReply([], least)


@BOTH
async def test_nothing_is_kept(
    loopback_federation: LoopbackFederation,
    dns_: DnspythonLookup,
    kind: str,
    failure: type[BackendError],
) -> None:
    """Each lookup asks: lifetimes are the resolver's."""
    ask = either(dns_, kind)
    loopback_federation.add("example.org", addresses=[], negative_ttl=3600)
    assert await ask("example.org") == empty(kind, 3600)
    loopback_federation.add_records("example.org", "SRV", "0 0 1 a.example", ttl=3600)
    loopback_federation.add_records("example.org", "A", "192.0.2.1", ttl=3600)
    assert await ask("example.org") != empty(kind, 3600)
    loopback_federation.remove("example.org")
    assert await ask("example.org") == empty(kind, 60)


async def test_resolver_asks_again_when_the_negative_ttl_has_ended(
    loopback_federation: LoopbackFederation, dns_: DnspythonLookup
) -> None:
    """SRV records published after "none" was answered are seen as soon as the zone allows."""
    clock = FakeClock()
    policy = Policy(jitter=0, refresh_ahead=0, legacy_srv=False)
    loopback_federation.add("example.org", negative_ttl=120)
    async with loopback_federation.resolver(
        srv=dns_, addresses=dns_, policy=policy, clock=clock
    ) as resolver:
        assert (await resolver.resolve("example.org")).step is Step("6")
        loopback_federation.add("example.org", srv=[("a.example", 8450)])
        clock.advance(119)
        assert (await resolver.resolve("example.org")).step is Step("6")
        clock.advance(1)
        resolution = await resolver.resolve("example.org")
        (endpoint, *_) = await resolver.endpoints(resolution)
    assert resolution.step is Step("4")
    assert (endpoint.target.host, endpoint.port) == ("a.example", 8450)


# Failed


FAULTS = [
    # fault, what is told
    pytest.param(DnsFault.SERVFAIL, "127.0.0.1@[0-9]+: SERVFAIL$", id="SERVFAIL"),
    pytest.param(DnsFault.REFUSED, "127.0.0.1@[0-9]+: REFUSED$", id="REFUSED"),
    pytest.param(DnsFault.GARBAGE, r"^no answer within 0\.3 s$", id="garbage"),
    pytest.param(DnsFault.SILENT, r"^no answer within 0\.3 s$", id="silent"),
]


@BOTH
@pytest.mark.parametrize(("fault", "told"), FAULTS)
async def test_failure(
    loopback_federation: LoopbackFederation,
    kind: str,
    failure: type[BackendError],
    fault: DnsFault,
    told: str,
) -> None:
    """What is neither an answer nor "none" is a temporary failure, within the time-out."""
    loopback_federation.add("example.org")
    loopback_federation.dns_faults["example.org", "*"] = fault
    timeout = HANGS if fault in (DnsFault.SERVFAIL, DnsFault.REFUSED) else SHORT
    async with (
        asking(loopback_federation.nameserver, timeout=timeout) as lookup,
        asyncio.timeout(HANGS),
    ):
        with pytest.raises(failure, match=told) as caught:
            await either(lookup, kind)("example.org")
    assert caught.value.temporary


def chain(length: int) -> tuple[str, ...]:
    """So many aliases that begin with example.org."""
    names = ["example.org.", *(f"{number}.example." for number in range(length))]
    return tuple(f"{one} 60 IN CNAME {next_}" for one, next_ in pairwise(names))


USELESS = [
    # answer, rcode, what is told of it; with nothing told it is as if there were none
    pytest.param(("example.org. 60 IN CNAME example.org.",), 0, "chain is too long", id="itself"),
    pytest.param(
        ("example.org. 60 IN CNAME a.example.", "a.example. 60 IN CNAME example.org."),
        0,
        "chain is too long",
        id="aliases in a circle",
    ),
    pytest.param(chain(300), 0, "chain is too long", id="an endless chain"),
    pytest.param(
        ("example.org. 60 IN SRV 0 0 1 a.example.", "example.org. 60 IN A 192.0.2.1"),
        3,
        "is NXDOMAIN but",
        id="a record, and NXDOMAIN",
    ),
    pytest.param((), 6, "too long after DNAME", id="YXDOMAIN"),
    pytest.param((), 1, "FORMERR", id="FORMERR"),
    pytest.param((), 4, "NOTIMP", id="NOTIMP"),
    pytest.param((), 9, "NOTAUTH", id="NOTAUTH"),
    pytest.param((), 0xF0, "240", id="an unknown rcode"),
    pytest.param(
        ("other.example. 60 IN SRV 0 0 1 a.example.", "other.example. 60 IN A 192.0.2.1"),
        0,
        None,
        id="records of another name",
    ),
    pytest.param(
        ("example.org. 60 CH TXT x", "example.org. 60 IN TXT x", "example.org. 60 CH TYPE33 \\# 0"),
        0,
        None,
        id="records of another class and type",
    ),
]


@BOTH
@pytest.mark.parametrize(("records", "rcode", "told"), USELESS)
async def test_useless_answers(
    kind: str,
    failure: type[BackendError],
    records: tuple[str, ...],
    rcode: int,
    told: str | None,
) -> None:
    """Answers that contradict themselves are failures; what was not asked for is passed over."""

    def answers(query: dns.message.Message) -> list[Any]:
        return [answer(query, *records, rcode=dns.rcode.Rcode(rcode))]

    async with handmade(answers) as server, asking(server) as lookup, asyncio.timeout(HANGS):
        if told is None:
            assert await either(lookup, kind)(QUESTION) == empty(kind, None)
            return
        with pytest.raises(failure, match=told) as caught:
            await either(lookup, kind)(QUESTION)
    assert caught.value.temporary
    assert caught.value.reason.isprintable()
    assert len(caught.value.reason) <= 200


def spoofs(query: dns.message.Message) -> list[Any]:
    """What may come in place of the answer: another ID, another question, no response, noise."""
    lie = ["example.org. 60 IN SRV 0 0 1 evil.example.", "example.org. 60 IN A 192.0.2.66"]
    wrong_id = answer(query, *lie)
    wrong_id.id ^= 1
    wrong_question = answer(query, *lie)
    wrong_question.question = dns.message.make_query("other.example", "A").question
    no_response = answer(query, *lie)
    no_response.flags &= ~dns.flags.QR
    noise = [b"", b"\0", b"\xff" * 40, answer(query, *lie).to_wire()[:-1]]
    return [wrong_id, wrong_question, no_response, *noise]


@BOTH
async def test_what_is_not_the_answer_is_passed_over(kind: str, failure: type[Any]) -> None:
    """Datagrams that are no answer to the question do not keep the true one out."""

    def answers(query: dns.message.Message) -> list[Any]:
        true = {"SRV": "SRV 0 0 1 true.example.", "A": "A 192.0.2.1", "AAAA": "AAAA 2001:db8::1"}
        of = dns.rdatatype.to_text(query.question[0].rdtype)
        return [*spoofs(query), answer(query, f"example.org. 60 IN {true[of]}")]

    async with handmade(answers) as server, asking(server) as lookup:
        reply = await either(lookup, kind)(QUESTION)
    if kind == "SRV":
        assert reply == SrvReply([SrvRecord(0, 0, 1, "true.example")], 60)
    else:
        assert reply == addresses("192.0.2.1", "2001:db8::1", ttl=60)


@BOTH
@pytest.mark.parametrize("server", ["{}", "tls://{}", "https://{}/dns-query"])
async def test_nobody_listens(kind: str, failure: type[BackendError], server: str) -> None:
    """Without a DNS server the lookup fails."""
    async with asking(server.format("127.0.0.1:9"), timeout=SHORT) as lookup:
        with pytest.raises(failure) as caught:
            await either(lookup, kind)("example.org")
    assert caught.value.temporary


@BOTH
async def test_lost_datagrams(kind: str, failure: type[BackendError]) -> None:
    """A question that gets no answer is asked again within the time of the lookup."""
    asked: list[int] = []

    def answers(query: dns.message.Message) -> list[Any]:
        asked.append(query.question[0].rdtype)
        return [answer(query)] if asked.count(asked[-1]) > 1 else []

    async with handmade(answers) as server, asking(server, timeout=1.5) as lookup:
        assert await either(lookup, kind)(QUESTION) == empty(kind, None)


async def test_second_nameserver(loopback_federation: LoopbackFederation) -> None:
    """When the first nameserver does not answer, or fails, the second is asked."""
    loopback_federation.add("example.org", addresses=["192.0.2.1"])

    def answers(query: dns.message.Message) -> list[Any]:
        return [answer(query, rcode=dns.rcode.SERVFAIL)]

    async with handmade(answers) as failing:
        servers = [failing, "127.0.0.1:9", loopback_federation.nameserver]
        async with asking(*servers, timeout=3) as lookup:
            assert await lookup.lookup_addresses("example.org") == addresses("192.0.2.1")


@BOTH
async def test_each_failed_server_is_told(kind: str, failure: type[BackendError]) -> None:
    """The reason names each server, and how it failed."""

    def refuses(query: dns.message.Message) -> list[Any]:
        return [answer(query, rcode=dns.rcode.REFUSED)]

    def fails(query: dns.message.Message) -> list[Any]:
        return [answer(query, rcode=dns.rcode.SERVFAIL)]

    async with (
        handmade(refuses) as one,
        handmade(fails) as two,
        asking(one, two) as lookup,
    ):
        with pytest.raises(failure) as caught:
            await either(lookup, kind)(QUESTION)
    one, two = (f"Do53:{server.replace(':', '@')}" for server in (one, two))
    assert caught.value.reason == f"{one}: REFUSED; {two}: SERVFAIL"


@BOTH
async def test_failure_is_told_when_others_are_silent(
    kind: str, failure: type[BackendError]
) -> None:
    """The time of the lookup does not run out before it can be told which server failed how."""

    def refuses(query: dns.message.Message) -> list[Any]:
        return [answer(query, rcode=dns.rcode.REFUSED)]

    async with (
        handmade(refuses) as one,
        handmade(lambda _: []) as silent,
        asking(one, silent, silent, silent, timeout=2) as lookup,
    ):
        with pytest.raises(failure, match=r"^Do53:127\.0\.0\.1@[0-9]+: REFUSED$"):
            await either(lookup, kind)(QUESTION)


@BOTH
async def test_time_is_up(
    dns_: DnspythonLookup, kind: str, failure: type[BackendError], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever dnspython may hang in, the lookup ends when its time is up."""

    async def hangs(*_: Any, **__: Any) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(dns_._resolver, "resolve", hangs)
    monkeypatch.setattr(dns_, "_timeout", SHORT)
    async with asyncio.timeout(HANGS):
        with pytest.raises(failure, match=r"^no answer within 0\.3 s$"):
            await either(dns_, kind)(QUESTION)


SILENCE = dns.exception.Timeout(timeout=1.0)
ERRORS = [
    # (server, how it failed), what is told
    pytest.param([], "", id="nothing"),
    pytest.param([("one", SILENCE), ("one", SILENCE)], "", id="no answer"),
    pytest.param([("one", SILENCE), ("two", "REFUSED")], "two: REFUSED", id="one of two"),
    pytest.param([("one", ValueError("bad")), ("one", SILENCE)], "", id="no answer in the end"),
    pytest.param([("one", SILENCE), ("one", EOFError())], "one: EOFError", id="no text"),
    pytest.param([("one", OSError("\n\x1b\u202e"))], r"one: \n\x1b\u202e", id="control characters"),
    pytest.param([("one", OSError("x" * 9999))], "one: " + "x" * 195, id="long"),
]


@pytest.mark.parametrize(("errors", "told"), ERRORS)
def test_reason(errors: list[tuple[str, Exception | str]], told: str) -> None:
    """What each server did last is told on one short line, unless it just did not answer."""
    trace = [(server, False, 53, what, None) for server, what in errors]
    assert dns_dnspython._reason(dns.resolver.LifetimeTimeout(timeout=1.0, errors=trace)) == told


async def test_truncated_answers_are_asked_for_over_tcp(
    loopback_federation: LoopbackFederation, dns_: DnspythonLookup
) -> None:
    """Where UDP gives only a hint, the answer is that of TCP."""
    loopback_federation.add("example.org", srv=[("hs.example", 1)], dns=DnsFault.TRUNCATED)
    loopback_federation.dns_faults[f"{SRV}example.org", "SRV"] = DnsFault.TRUNCATED
    assert (await dns_.lookup_srv(f"{SRV}example.org")).records == (
        SrvRecord(1, 0, 1, "hs.example"),
    )
    found = await dns_.lookup_addresses("example.org")
    assert set(found.addresses) == {ip_address("127.0.0.1"), ip_address("::1")}
    assert set(loopback_federation.dns_questions.values()) == {2}  # UDP, then TCP


@BOTH
async def test_truncated_and_no_tcp(kind: str, failure: type[BackendError]) -> None:
    """A server that gives the hint and refuses TCP has failed."""

    def answers(query: dns.message.Message) -> list[Any]:
        response = answer(query)
        response.flags |= dns.flags.TC
        return [response]

    async with handmade(answers) as server, asking(server) as lookup:
        with pytest.raises(failure, match="Connect call failed"):
            await either(lookup, kind)(QUESTION)


# Names


@BOTH
@pytest.mark.parametrize(
    "name",
    [
        "a\0b.example",
        "\0",
        "example.org\0.evil.example",
        "bücher.example",
        "a.example\u2024org",
        "",
        ".",
        "a..example",
        ".example",
        "example.org.",
        f"{'a' * 64}.example",
        "\udcff.example",
    ],
    ids=ascii,
)
async def test_no_dns_name(
    loopback_federation: LoopbackFederation,
    dns_: DnspythonLookup,
    kind: str,
    failure: type[BackendError],
    name: str,
) -> None:
    """A name with a NUL, beyond ASCII or with an impossible label is refused unasked, for good."""
    with pytest.raises(failure, match="no DNS name") as caught:
        await either(dns_, kind)(name)
    assert not caught.value.temporary
    assert caught.value.reason.isprintable()
    assert not loopback_federation.dns_questions


def name_of(length: int) -> str:
    """A host name of so many octets."""
    return ".".join(("a" * 63, "b" * 63, "c" * 63, "d" * (length - 192)))


@BOTH
async def test_longest_names(
    loopback_federation: LoopbackFederation,
    dns_: DnspythonLookup,
    kind: str,
    failure: type[BackendError],
) -> None:
    """A name of 253 octets is asked for; of longer ones it is known unasked that there is none."""
    for length in (254, 255, 1000):
        name = "e." * (length - 253) + name_of(253)
        assert await either(dns_, kind)(name) == empty(kind, None)
    assert not loopback_federation.dns_questions
    assert await either(dns_, kind)(name_of(253)) == empty(kind, 60)
    assert {name for name, _ in loopback_federation.dns_questions} == {name_of(253)}


@BOTH
@pytest.mark.parametrize("name", ["@", r"a\.b", r"\065.example", "a b.example", "(", "$.example"])
async def test_names_are_taken_to_the_letter(
    kind: str, failure: type[BackendError], name: str
) -> None:
    """What means something in a zone file means itself in a name."""
    labels = (*name.encode().split(b"."), b"")

    def answers(query: dns.message.Message) -> list[Any]:
        assert query.question[0].name.labels == labels
        return [answer(query)]

    async with handmade(answers) as server, asking(server) as lookup:
        assert await either(lookup, kind)(name) == empty(kind, None)


# Addresses


@pytest.mark.parametrize(
    "published",
    [
        ["192.0.2.1"],
        ["2001:db8::1"],
        ["192.0.2.9", "127.0.0.1", "10.0.0.1", "2001:db8::1", "::ffff:10.0.0.1", "::1"],
    ],
    ids=["IPv4", "IPv6", "both"],
)
async def test_addresses(
    loopback_federation: LoopbackFederation, dns_: DnspythonLookup, published: list[str]
) -> None:
    """The addresses of both families are found, in the order of the answers, with their TTL."""
    loopback_federation.add("example.org", addresses=published, ttl=77)
    assert await dns_.lookup_addresses("example.org") == addresses(*published, ttl=77)
    assert loopback_federation.dns_questions == {
        ("example.org", "A"): 1,
        ("example.org", "AAAA"): 1,
    }


async def test_families_are_asked_for_at_once(loopback_federation: LoopbackFederation) -> None:
    """Neither family waits for the other's answer."""
    loopback_federation.dns_down = True
    async with asking(loopback_federation.nameserver) as lookup:
        task = asyncio.create_task(lookup.lookup_addresses("example.org"))
        await until(lambda: len(loopback_federation.dns_questions) == 2)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


@pytest.mark.parametrize(
    ("ttls", "least"),
    [((9, 60, 60, 60), 9), ((60, 9, 60, 60), 9), ((60, 60, 9, 60), 9), ((60, 60, 60, 9), 9)],
    ids=["first alias", "second alias", "A", "AAAA"],
)
async def test_addresses_of_an_alias(
    loopback_federation: LoopbackFederation,
    dns_: DnspythonLookup,
    ttls: tuple[int, int, int, int],
    least: int,
) -> None:
    """An alias tells what it leads to in the end, and lives as long as the shortest link."""
    add = loopback_federation.add_records
    add("a.example", "CNAME", "b.example", ttl=ttls[0])
    add("b.example", "CNAME", "c.example", ttl=ttls[1])
    add("c.example", "A", "192.0.2.1", ttl=ttls[2])
    add("c.example", "AAAA", "2001:db8::1", ttl=ttls[3])
    reply = await dns_.lookup_addresses("a.example")
    assert reply == addresses("192.0.2.1", "2001:db8::1", ttl=least, alias_of="c.example")


async def test_repeated_addresses() -> None:
    """An address that the answer has twice is given once, with the lesser TTL."""

    def answers(query: dns.message.Message) -> list[Any]:
        if of_type(query, "AAAA"):
            return [answer(query)]
        return [answer(query, "example.org. 300 IN A 192.0.2.1", "EXAMPLE.org. 60 IN A 192.0.2.1")]

    async with handmade(answers) as server, asking(server) as lookup:
        assert await lookup.lookup_addresses(QUESTION) == addresses("192.0.2.1", ttl=60)


async def test_localhost(loopback_federation: LoopbackFederation, dns_: DnspythonLookup) -> None:
    """DNS is asked for localhost too: no hosts file is read."""
    loopback_federation.add("localhost", addresses=["192.0.2.1"])
    assert await dns_.lookup_addresses("localhost") == addresses("192.0.2.1")


ONE_FAMILY = [
    # the family that fails, what is published, what is given
    pytest.param("A", ["2001:db8::1"], addresses("2001:db8::1"), id="A, and there is AAAA"),
    pytest.param("AAAA", ["192.0.2.1"], addresses("192.0.2.1"), id="AAAA, and there is A"),
    pytest.param("A", [], None, id="A, and there is no AAAA"),
    pytest.param("AAAA", [], None, id="AAAA, and there is no A"),
    pytest.param("*", ["192.0.2.1", "2001:db8::1"], None, id="both"),
]


@pytest.mark.parametrize("fault", [DnsFault.SERVFAIL, DnsFault.REFUSED, DnsFault.SILENT])
@pytest.mark.parametrize(("failing", "published", "given"), ONE_FAMILY)
async def test_one_family_fails(
    loopback_federation: LoopbackFederation,
    failing: str,
    published: list[str],
    given: AddressReply | None,
    fault: DnsFault,
) -> None:
    """When one family fails, the other's addresses are used; if it has none, the lookup failed."""
    loopback_federation.add("example.org", addresses=published)
    loopback_federation.dns_faults["example.org", failing] = fault
    # In the shorter time a busy machine may not come to give the one that there is.
    timeout = HANGS if fault is not DnsFault.SILENT else SHORT if given is None else 1.0
    async with asking(loopback_federation.nameserver, timeout=timeout) as lookup:
        if given is not None:
            assert await lookup.lookup_addresses("example.org") == given
        else:
            with pytest.raises(AddressLookupError) as caught:
                await lookup.lookup_addresses("example.org")
            assert caught.value.temporary


# Which servers


def resolv_conf(
    monkeypatch: pytest.MonkeyPatch, text: str | None, federation: LoopbackFederation | None = None
) -> None:
    """Let the system's resolv.conf be this, and its servers listen where the federation's does."""
    read = dns.resolver.BaseResolver.read_resolv_conf

    def replaced(self: dns.resolver.BaseResolver, file: Any) -> None:
        if federation is not None:
            self.port = int(federation.nameserver.rpartition(":")[2])
        read(self, "/nonexistent/resolv.conf" if text is None else io.StringIO(text))

    monkeypatch.setattr(dns.resolver.BaseResolver, "read_resolv_conf", replaced)


@BOTH
@pytest.mark.parametrize(
    "name", ["example.org", "nodata.example", "nowhere.example", "synapse", "a.b.c.d.e.f.example"]
)
async def test_search_domains_never_apply(
    loopback_federation: LoopbackFederation,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
    failure: type[BackendError],
    name: str,
) -> None:
    """With a search domain and ndots:5, as in a cluster, the server sees just the name itself."""
    resolv_conf(
        monkeypatch,
        "search svc.cluster.local cluster.local\noptions ndots:5 rotate timeout:30\n"
        "nameserver 127.0.0.1\n",
        loopback_federation,
    )
    loopback_federation.add("example.org")
    loopback_federation.add("nodata.example", addresses=[])
    loopback_federation.add_records(f"{name}.svc.cluster.local", "SRV", "1 2 3 wrong.example")
    loopback_federation.add_records(f"{name}.svc.cluster.local", "A", "192.0.2.66")
    async with DnspythonLookup() as lookup:
        reply = await either(lookup, kind)(name)
    assert {asked for asked, _ in loopback_federation.dns_questions} == {name}
    if kind == "SRV":
        assert not reply.records
    else:
        assert bool(reply.addresses) is (name == "example.org")
        assert ip_address("192.0.2.66") not in reply.addresses


async def test_options_of_the_system_are_overruled(
    loopback_federation: LoopbackFederation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The time of a lookup is the one that was asked for."""
    text = "options timeout:60 rotate\nnameserver 127.0.0.1\n"
    resolv_conf(monkeypatch, text, loopback_federation)
    loopback_federation.dns_down = True
    async with DnspythonLookup(timeout=SHORT) as lookup, asyncio.timeout(HANGS):
        assert not lookup._resolver.rotate
        with pytest.raises(SrvLookupError, match=r"no answer within 0\.3 s"):
            await lookup.lookup_srv("example.org")
    assert loopback_federation.dns_questions["example.org", "SRV"] > 1


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (None, "cannot open /nonexistent/resolv.conf"),
        ("", "no nameservers"),
        ("search example.org\n# nameserver 127.0.0.1\n", "no nameservers"),
        ("nameserver dns.example\n", "nameserver dns.example is not"),
        ("search a..b\nnameserver 127.0.0.1\n", "the system's DNS servers can't be told"),
    ],
    ids=["none", "empty", "without nameservers", "a name for a nameserver", "bad search domain"],
)
def test_unusable_resolv_conf(monkeypatch: pytest.MonkeyPatch, text: str | None, told: str) -> None:
    """When the system has no nameserver, that is said at once."""
    resolv_conf(monkeypatch, text)
    with pytest.raises(ValueError, match=told):
        DnspythonLookup()
    with pytest.raises(ValueError, match="there is no nameserver"):
        DnspythonLookup(nameservers=[])


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
    (server,) = DnspythonLookup(nameservers=[text])._resolver.nameservers
    match server:
        case dns.nameserver.DoTNameserver():
            found: tuple[Any, ...] = ("DoT", server.address, server.port, server.hostname)
        case dns.nameserver.DoHNameserver():
            found = ("DoH", server.url, server.bootstrap_address)
        case dns.nameserver.Do53Nameserver():
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
    ],
    ids=ascii,
)
def test_misspelled_nameservers(text: str) -> None:
    """What is no nameserver is refused where it is given."""
    with pytest.raises(ValueError, match=r"is neither ADDRESS\[:PORT\] nor tls://") as caught:
        DnspythonLookup(nameservers=["192.0.2.1", text])
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("ip", ["127.0.0.1", "::1"])
async def test_nameserver_with_a_port(ip: str) -> None:
    """A nameserver is given as IPv4:PORT or [IPv6]:PORT."""

    def answers(query: dns.message.Message) -> list[Any]:
        return [answer(query, "example.org. 60 IN A 192.0.2.1")]

    async with handmade(answers, ip) as server, asking(server) as lookup:
        assert await lookup.lookup_addresses(QUESTION) == addresses("192.0.2.1", ttl=60)


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
        with pytest.raises(SrvLookupError, match="certificate verify failed") as caught:
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
                with pytest.raises(AddressLookupError, match="certificate verify failed"):
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


# Many, cancelled, closed


async def test_many_at_once(loopback_federation: LoopbackFederation, dns_: DnspythonLookup) -> None:
    """A hundred lookups at once all get their own answer."""
    names = [f"host-{number}.example" for number in range(100)]
    for number, name in enumerate(names):
        loopback_federation.add(name, srv=[("a.example", number + 1)], addresses=["192.0.2.1"])
    replies = await asyncio.gather(*(dns_.lookup_srv(SRV + name) for name in names))
    assert [reply.records[0].port for reply in replies] == list(range(1, 101))
    found = await asyncio.gather(*(dns_.lookup_addresses(name) for name in names))
    assert set(found) == {addresses("192.0.2.1")}


async def test_cancelled_lookups_leave_nothing_behind(
    loopback_federation: LoopbackFederation,
) -> None:
    """Lookups that nobody waits for any more do not keep the next from being answered."""
    loopback_federation.add("example.org", addresses=["192.0.2.1"])
    loopback_federation.dns_faults["silent.example", "*"] = DnsFault.SILENT
    async with asking(loopback_federation.nameserver) as lookup:
        tasks = [
            asyncio.create_task(either(lookup, kind)("silent.example"))
            for kind in ("SRV", "addresses") * 10
        ]
        await until(lambda: loopback_federation.dns_questions["silent.example", "SRV"])
        for task in tasks:
            task.cancel()
        ended = await asyncio.gather(*tasks, return_exceptions=True)
        assert {type(end) for end in ended} == {asyncio.CancelledError}
        assert await lookup.lookup_addresses("example.org") == addresses("192.0.2.1")


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


@BOTH
async def test_closing_with_lookups_under_way(
    loopback_federation: LoopbackFederation, kind: str, failure: type[BackendError]
) -> None:
    """Lookups under way end as they would, later ones are refused; closing twice is fine."""
    loopback_federation.dns_delay = 0.05
    lookup = asking(loopback_federation.nameserver)
    task = asyncio.create_task(either(lookup, kind)("example.org"))
    await until(lambda: loopback_federation.dns_questions)
    await lookup.aclose()
    await lookup.aclose()
    with pytest.raises(RuntimeError, match="closed"):
        await either(lookup, kind)("example.org")
    assert await task == empty(kind, 60)


async def test_closing_what_was_never_used() -> None:
    """A lookup that nothing was asked of opens nothing, and closes."""
    async with asking("192.0.2.1") as lookup:
        pass
    with pytest.raises(RuntimeError, match="closed"):
        await lookup.lookup_srv(f"{SRV}example.org")
