"""The loopback HTTPS servers, asked by a client of a few lines."""

import asyncio
import math
import ssl
from typing import Any

import pytest
from clients import WELL_KNOWN, document, exchange, status
from fuzzing import SkippingLoop

from matrix_resolve.testing import (
    Certificate,
    CutShort,
    Dripping,
    Endless,
    LoopbackFederation,
    Raw,
    Redirect,
    Refused,
    Reply,
    Request,
    Silent,
    Slow,
)
from matrix_resolve.testing.loopback.behaviours import Answer
from matrix_resolve.testing.loopback.ports import MAX_OWN_PORTS


async def test_well_known_documents(loopback_federation: LoopbackFederation) -> None:
    """A host delegates if it was declared so, and has no document otherwise."""
    loopback_federation.add("delegating.example", delegates_to="matrix.example:443")
    loopback_federation.add("plain.example")
    received = await exchange(loopback_federation, "delegating.example")
    assert (status(received), document(received)) == (200, {"m.server": "matrix.example:443"})
    assert b"Content-Type: application/json" in received
    for host in ("plain.example", "matrix.example"):
        assert status(await exchange(loopback_federation, host)) == 404


async def test_servers_tell_what_they_saw(loopback_federation: LoopbackFederation) -> None:
    """Other paths answer with a version document and the request, its path byte for byte."""
    loopback_federation.add("srv.example", srv=[("target.example", 8450)])
    path = "/_matrix/federation/v1/version?x=%40a%3Ab%2Fc"
    received = await exchange(
        loopback_federation, "target.example", 8450, path=path, name="srv.example"
    )
    assert document(received) == {
        "server": {"name": "loopback", "version": "1"},
        "target": ["target.example", 8450],
        "host": "srv.example",
        "sni": "srv.example",
        "method": "GET",
        "path": path,
        "body": "",
    }


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        pytest.param("Content-Length: 5", "hello", id="by length"),
        pytest.param(
            "Transfer-Encoding: chunked", "2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n", id="chunked"
        ),
    ],
)
async def test_bodies_are_read(
    loopback_federation: LoopbackFederation, headers: str, body: str
) -> None:
    """The server sees the whole body, however it is framed."""
    loopback_federation.add("x")
    head = f"PUT /send HTTP/1.1\r\nHost: x\r\n{headers}\r\n\r\n{body}"
    assert document(await exchange(loopback_federation, "x", head=head))["body"] == "hello"
    (request,) = loopback_federation.requests
    assert (request.method, request.body, request.host) == ("PUT", b"hello", "x")


async def test_requests_that_are_no_http(loopback_federation: LoopbackFederation) -> None:
    """What can't be read is answered with 400 and counts as no request."""
    loopback_federation.add("x")
    assert status(await exchange(loopback_federation, "x", head="nonsense\r\n\r\n")) == 400
    assert not loopback_federation.requests


async def test_connections_are_kept_open(loopback_federation: LoopbackFederation) -> None:
    """One connection serves many requests, and connections are counted by target."""
    loopback_federation.add("x")
    reader, writer = await asyncio.open_connection(
        *loopback_federation.connect_to["x", 8448],
        ssl=loopback_federation.client_ssl_context(),
        server_hostname="x",
    )
    for _ in range(3):
        writer.write(b"GET /y HTTP/1.1\r\nHost: x\r\n\r\n")
        head = await reader.readuntil(b"\r\n\r\n")
        await reader.readexactly(int(head.partition(b"Content-Length: ")[2].split()[0]))
    writer.close()
    await writer.wait_closed()
    assert loopback_federation.connections == {("x", 8448): 1}
    assert loopback_federation.request_counts == {("x", "/y"): 3}
    loopback_federation.reset_counts()
    assert not loopback_federation.requests
    assert not loopback_federation.connections


@pytest.mark.parametrize("literal", ["127.0.0.1", "127.0.0.2", "::1", "192.0.2.7", "2001:db8::7"])
async def test_ip_literals_are_served(
    loopback_federation: LoopbackFederation, literal: str
) -> None:
    """Any literal leads to a server on loopback with a certificate for it, and sends no SNI."""
    received = await exchange(loopback_federation, literal, 8448, path="/x")
    assert document(received)["sni"] is None
    assert document(received)["target"] == [literal, 8448]
    ip, _ = loopback_federation.connect_to[f"[{literal}]" if ":" in literal else literal, 8448]
    assert ip == ("::1" if ":" in literal else "127.0.0.1")


async def test_unknown_hosts_are_refused(loopback_federation: LoopbackFederation) -> None:
    """No client that dials by the mapping leaves the machine."""
    loopback_federation.add("gone.example")
    loopback_federation.remove("gone.example")
    for host in ("unknown.example", "gone.example"):
        with pytest.raises(ConnectionRefusedError):
            await exchange(loopback_federation, host)


async def test_address_families(loopback_federation: LoopbackFederation) -> None:
    """A host with IPv6 addresses only is served on IPv6."""
    loopback_federation.add("six.example", addresses=["2001:db8::1"])
    loopback_federation.add("both.example")
    assert loopback_federation.connect_to["six.example", 443][0] == "::1"
    assert loopback_federation.connect_to["both.example", 443][0] == "127.0.0.1"
    assert status(await exchange(loopback_federation, "six.example")) == 404


async def test_ports_that_accept(loopback_federation: LoopbackFederation) -> None:
    """A host with a list of ports refuses at all others."""
    loopback_federation.add("x", ports=[8450])
    assert status(await exchange(loopback_federation, "x", 8450)) == 404
    with pytest.raises(ConnectionRefusedError):
        await exchange(loopback_federation, "x", 443)


async def test_the_mapping_lists_what_is_open(loopback_federation: LoopbackFederation) -> None:
    """A target keeps its address, and is listed once it was looked up."""
    loopback_federation.add("x")
    mapping = loopback_federation.connect_to
    assert not list(mapping)
    assert mapping["x", 443] == mapping["X.", 443] != mapping["x", 8448]
    assert sorted(mapping) == [("x", 443), ("x", 8448)]
    assert len(mapping) == 2


async def test_many_hosts_share_ports(loopback_federation: LoopbackFederation) -> None:
    """A thousand hosts need a few hundred descriptors, and are still told apart by SNI."""
    for number in range(1000):
        loopback_federation.add(f"h{number}", delegates_to=f"to{number}:1")
    addresses = {loopback_federation.connect_to[f"h{number}", 443] for number in range(1000)}
    assert len(addresses) == MAX_OWN_PORTS + 1
    for number in (3, 998, 999):
        received = await exchange(loopback_federation, f"h{number}")
        assert document(received) == {"m.server": f"to{number}:1"}
    assert loopback_federation.requests[-1].target == ("h999", 443)


async def presented_error(federation: LoopbackFederation, host: str, name: str) -> str:
    """Return why the handshake failed."""
    with pytest.raises(ssl.SSLCertVerificationError) as caught:
        await exchange(federation, host, 8448, path="/", name=name)
    return caught.value.verify_message


@pytest.mark.parametrize("name", ["bad.example", "127.0.0.3"])
@pytest.mark.parametrize(
    ("certificate", "message"),
    [
        (Certificate.WRONG_NAME, "mismatch"),
        (Certificate.EXPIRED, "expired"),
        (Certificate.NOT_YET_VALID, "not yet valid"),
        (Certificate.UNTRUSTED, "unable to get local issuer"),
        (Certificate.WITHOUT_CHAIN, "unable to get local issuer"),
        (Certificate.SELF_SIGNED, "self-signed certificate"),
        (Certificate.FOR_CLIENTS, "purpose"),
        (Certificate.COMMON_NAME_ONLY, "mismatch"),
    ],
)
async def test_bad_certificates(
    loopback_federation: LoopbackFederation, name: str, certificate: Certificate, message: str
) -> None:
    """A bad certificate shows at the host itself, where its name is sent, and who serves by it."""
    loopback_federation.add(name, certificate=certificate)
    loopback_federation.add("good.example")
    assert message in await presented_error(loopback_federation, name, name)
    if name == "bad.example":  # a literal is not sent
        assert message in await presented_error(loopback_federation, "good.example", name)
    assert message in await presented_error(loopback_federation, name, "good.example")
    loopback_federation.add(name)
    assert status(await exchange(loopback_federation, name)) == 404


async def test_certificate_of_the_host_itself(loopback_federation: LoopbackFederation) -> None:
    """It is good for who asks by the host's name, and for nobody else."""
    loopback_federation.add("own.example", certificate=Certificate.OWN_NAME)
    loopback_federation.add("good.example")
    assert status(await exchange(loopback_federation, "own.example")) == 404
    told = await presented_error(loopback_federation, "own.example", "good.example")
    assert "mismatch" in told


async def test_certificate_that_ends_soon(loopback_federation: LoopbackFederation) -> None:
    """It is good for another few days."""
    loopback_federation.add("soon.example", certificate=Certificate.ENDS_SOON)
    assert status(await exchange(loopback_federation, "soon.example")) == 404


async def test_common_names_are_all_that_is_wrong(
    loopback_federation: LoopbackFederation,
) -> None:
    """A client that still looks at common names accepts a certificate that has nothing else."""
    loopback_federation.add("old.example", certificate=Certificate.COMMON_NAME_ONLY)
    context = loopback_federation.client_ssl_context()
    context.hostname_checks_common_name = True
    assert status(await exchange(loopback_federation, "old.example", context=context)) == 404


async def test_foreign_names_get_the_hosts_certificate(
    loopback_federation: LoopbackFederation,
) -> None:
    """A server that is asked for a name that nobody declared presents its own."""
    loopback_federation.add("x.example")
    assert "mismatch" in await presented_error(loopback_federation, "x.example", "y.example")


@pytest.mark.parametrize(
    ("well_known", "expected"),
    [
        pytest.param(b"{", b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n{", id="bad JSON"),
        pytest.param(
            Reply(418, [("Cache-Control", "no-store"), ("Age", "1")], b"tea"),
            b"HTTP/1.1 418 I'm a Teapot\r\nCache-Control: no-store\r\nAge: 1\r\n"
            b"Content-Length: 3\r\n\r\ntea",
            id="any status and headers",
        ),
        pytest.param(
            Reply(299, [("content-type", "text/html")], ["x"]),
            b'HTTP/1.1 299 Unknown\r\ncontent-type: text/html\r\nContent-Length: 5\r\n\r\n["x"]',
            id="JSON under another name",
        ),
        pytest.param(
            Redirect("https://[::1]:8/x", 308),
            b"HTTP/1.1 308 Permanent Redirect\r\nLocation: https://[::1]:8/x\r\n"
            b"Content-Length: 0\r\n\r\n",
            id="redirect",
        ),
        pytest.param(
            Redirect(None), b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n", id="no Location"
        ),
        pytest.param(
            CutShort(b"{}", missing=3),
            b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n{}",
            id="cut short",
        ),
        pytest.param(Raw(b"SSH-2.0\r\n"), b"SSH-2.0\r\n", id="not HTTP"),
        pytest.param(Raw(b""), b"", id="closes without a word"),
    ],
)
async def test_answers_byte_for_byte(
    loopback_federation: LoopbackFederation, well_known: object, expected: bytes
) -> None:
    """What a behaviour sends is this and nothing else."""
    loopback_federation.add("x", well_known=well_known)
    assert await exchange(loopback_federation, "x") == expected


async def test_redirects_by_url(loopback_federation: LoopbackFederation) -> None:
    """The short form of a redirect; only one thing can be said of the document."""
    loopback_federation.add("x", redirects_to="https://y/z")
    assert b"\r\nLocation: https://y/z\r\n" in await exchange(loopback_federation, "x")
    with pytest.raises(TypeError, match="only one of"):
        loopback_federation.add("x", redirects_to="https://y/z", delegates_to="y")


async def test_functions_decide_by_request(loopback_federation: LoopbackFederation) -> None:
    """A function of the request, or a coroutine function, may return any behaviour."""

    async def well_known(request: Request) -> object:
        await asyncio.sleep(0)
        return {"m.server": request.host}

    loopback_federation.add("x", well_known=well_known, serves=lambda request: Reply(201))
    assert document(await exchange(loopback_federation, "x")) == {"m.server": "x"}
    assert status(await exchange(loopback_federation, "x", path="/other")) == 201


@pytest.mark.parametrize("behaviour", [Silent(), Slow(math.inf), Slow(60)])
async def test_servers_that_do_not_answer(
    loopback_federation: LoopbackFederation, behaviour: object
) -> None:
    """The connection is made and nothing comes; only a slow one reads the request."""
    loopback_federation.add("x", well_known=behaviour)
    with pytest.raises(TimeoutError):
        await exchange(loopback_federation, "x", within=0.1)
    assert loopback_federation.connections == {("x", 443): 1}
    assert len(loopback_federation.requests) == (0 if behaviour == Silent() else 1)


@pytest.mark.parametrize(
    "late",
    [
        pytest.param(Slow(0.01, {"a": 1}), id="slow"),
        pytest.param(Dripping({"a": 1}, interval=0.001), id="dripping"),
    ],
)
async def test_late_answers_come(loopback_federation: LoopbackFederation, late: object) -> None:
    """What comes late comes whole, if one waits for it."""
    loopback_federation.add("x", well_known=late)
    assert document(await exchange(loopback_federation, "x")) == {"a": 1}


class Written(list[tuple[float, bytes]]):
    """Stands for a `StreamWriter`, and lists when what was written."""

    def write(self, data: bytes) -> None:
        self.append((asyncio.get_running_loop().time(), data))

    async def drain(self) -> None:
        pass


HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 8\r\n\r\n"
BODY = [bytes([byte]) for byte in b'{"a": 1}']


@pytest.mark.parametrize(
    ("late", "expected"),
    [
        pytest.param(Slow(60, {"a": 1}), [(60, HEAD + b"".join(BODY))], id="slow"),
        pytest.param(
            Dripping({"a": 1}, interval=7),
            [(0, HEAD), *((7 * place, byte) for place, byte in enumerate(BODY, 1))],
            id="dripping",
        ),
    ],
)
def test_when_late_answers_come(late: Answer, expected: list[tuple[float, bytes]]) -> None:
    """A slow server answers after its time; a dripping one waits before each byte of the body."""
    written: Any = Written()
    with asyncio.Runner(loop_factory=SkippingLoop) as runner:
        assert runner.run(late.write(written))
    assert written == [(pytest.approx(at), data) for at, data in expected]


async def test_endless_bodies(loopback_federation: LoopbackFederation) -> None:
    """The body goes on until the client has had enough, and others are served meanwhile."""
    loopback_federation.add("x", well_known=Endless())
    loopback_federation.add("y")
    endless = asyncio.create_task(exchange(loopback_federation, "x", within=0.3))
    assert status(await exchange(loopback_federation, "y")) == 404
    with pytest.raises(TimeoutError):
        await endless


@pytest.mark.parametrize(
    ("behaviour", "error"),
    [
        pytest.param(Refused(), ConnectionRefusedError, id="refused"),
        pytest.param(Raw(b"HTTP/1.1 200 OK\r\n\r\n", tls=False), ssl.SSLError, id="no TLS"),
        pytest.param(Raw(b"", tls=False), OSError, id="closes at once"),
        pytest.param(Silent(), TimeoutError, id="silent"),
    ],
)
@pytest.mark.parametrize("as_well_known", [True, False])
async def test_trouble_before_tls(
    loopback_federation: LoopbackFederation,
    behaviour: object,
    error: type[Exception],
    as_well_known: bool,
) -> None:
    """Said of the document it holds for port 443, said of the rest for all other ports."""
    if as_well_known:
        loopback_federation.add("x", well_known=behaviour)
    else:
        loopback_federation.add("x", serves=behaviour)
    troubled, fine = (443, 8448) if as_well_known else (8448, 443)
    with pytest.raises(error):
        await exchange(loopback_federation, "x", troubled, within=0.3)
    path = "/other" if as_well_known else WELL_KNOWN
    assert status(await exchange(loopback_federation, "x", fine, path=path)) in (200, 404)


@pytest.mark.parametrize(("decided", "ended"), [(Refused(), b""), (Silent(), TimeoutError)])
async def test_trouble_decided_after_the_request(
    loopback_federation: LoopbackFederation, decided: object, ended: object
) -> None:
    """It is too late to refuse then: the connection is closed, or stays silent, unanswered."""
    loopback_federation.add("x", well_known=lambda _: decided)
    if ended is TimeoutError:
        with pytest.raises(TimeoutError):
            await exchange(loopback_federation, "x", within=0.1)
    else:
        assert await exchange(loopback_federation, "x") == ended
    assert loopback_federation.request_counts == {("x", WELL_KNOWN): 1}


async def test_declarations_change_while_running(loopback_federation: LoopbackFederation) -> None:
    """A server goes down and comes back at the same target."""
    loopback_federation.add("x", delegates_to="one:1")
    assert document(await exchange(loopback_federation, "x")) == {"m.server": "one:1"}
    loopback_federation.add("x", well_known=Refused())
    with pytest.raises(ConnectionRefusedError):
        await exchange(loopback_federation, "x")
    loopback_federation.add("x", delegates_to="two:2")
    assert document(await exchange(loopback_federation, "x")) == {"m.server": "two:2"}
