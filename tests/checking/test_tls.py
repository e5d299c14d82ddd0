"""What is seen in handshakes with good, bad and odd servers, over real sockets."""

import ssl
from pathlib import Path
from typing import Any

import pytest
import trustme
from tls_servers import context_of, serving, too_old_context

from matrix_resolve.checking.facts import TlsProblem
from matrix_resolve.checking.tls import TlsInspector, connect
from matrix_resolve.testing import Certificate, LoopbackFederation, Raw, Request, Silent

NAME = "example.org"
SECONDS = 1.0

LOOKS = [
    # how the server is declared, the problem, is a certificate read
    pytest.param({}, None, True, id="good"),
    pytest.param({"certificate": Certificate.WRONG_NAME}, TlsProblem.WRONG_NAME, True, id="name"),
    pytest.param({"certificate": Certificate.EXPIRED}, TlsProblem.EXPIRED, True, id="expired"),
    pytest.param(
        {"certificate": Certificate.UNTRUSTED}, TlsProblem.UNKNOWN_ISSUER, True, id="untrusted"
    ),
    pytest.param(
        {"certificate": Certificate.COMMON_NAME_ONLY},
        TlsProblem.COMMON_NAME_ONLY,
        True,
        id="common name",
    ),
    pytest.param(
        {"serves": Raw(b"HTTP/1.1 400 Bad Request\r\n\r\n", tls=False)},
        TlsProblem.PLAIN_HTTP,
        False,
        id="HTTP",
    ),
    pytest.param({"serves": Raw(tls=False)}, TlsProblem.NO_TLS, False, id="SSH"),
    pytest.param({"serves": Raw(b"", tls=False)}, TlsProblem.NO_TLS, False, id="closed at once"),
    pytest.param({"serves": Silent()}, TlsProblem.TIMEOUT, False, id="mute"),
]


@pytest.mark.parametrize(("declared", "problem", "has_certificate"), LOOKS)
async def test_what_is_shown(
    loopback_federation: LoopbackFederation,
    declared: dict[str, Any],
    problem: TlsProblem | None,
    has_certificate: bool,
) -> None:
    """The problem is named, and a certificate that does not pass is read all the same."""
    loopback_federation.add(NAME, **declared)
    inspector = TlsInspector(loopback_federation.client_ssl_context())
    seen = await inspector.look(loopback_federation.connect_to[NAME, 8448], NAME, seconds=SECONDS)
    assert seen.problem is problem
    assert bool(seen.reason) is (problem is not None)
    assert (seen.certificate is not None) is has_certificate
    assert (seen.version is not None) is has_certificate
    assert loopback_federation.requests == []


async def test_certificate_is_described(loopback_federation: LoopbackFederation) -> None:
    """What stands in it is told, in words and numbers."""
    loopback_federation.add(NAME)
    inspector = TlsInspector(loopback_federation.client_ssl_context())
    seen = await inspector.look(loopback_federation.connect_to[NAME, 8448], NAME, seconds=SECONDS)
    certificate = seen.certificate
    assert certificate is not None
    assert certificate.names == (NAME,)
    assert certificate.not_before < certificate.not_after
    assert (len(certificate.sha256), certificate.key) == (64, "EC secp256r1")
    assert "trustme" in certificate.issuer
    assert not certificate.is_self_signed


async def test_address_as_name(loopback_federation: LoopbackFederation) -> None:
    """A certificate for an IP address is looked for by that, and no name is sent."""
    loopback_federation.add("192.0.2.7")
    inspector = TlsInspector(loopback_federation.client_ssl_context())
    at = loopback_federation.connect_to["192.0.2.7", 8448]
    seen = await inspector.look(at, "192.0.2.7", seconds=SECONDS)
    assert seen.problem is None
    assert seen.certificate is not None
    assert seen.certificate.names == ("192.0.2.7",)


async def test_without_a_name(loopback_federation: LoopbackFederation) -> None:
    """Who names nobody sees what the server shows then: here that of the target."""
    loopback_federation.add(NAME, srv=[("srv.example.net", 8450)])
    inspector = TlsInspector(loopback_federation.client_ssl_context())
    at = loopback_federation.connect_to["srv.example.net", 8450]
    named = await inspector.look(at, NAME, seconds=SECONDS)
    unnamed = await inspector.look_without_name(at, seconds=SECONDS)
    assert named.certificate is not None
    assert unnamed.certificate is not None
    assert named.certificate.names == (NAME,)
    assert unnamed.certificate.names == ("srv.example.net",)


async def test_plain_http_that_waits_for_a_line(loopback_federation: LoopbackFederation) -> None:
    """Some servers take a handshake for the beginning of a request, and wait for the rest."""
    inspector = TlsInspector(loopback_federation.client_ssl_context())
    with serving(None, b"HTTP/1.1 200 OK\r\n\r\n") as at:
        assert (await inspector.look(at, NAME, seconds=0.2)).problem is TlsProblem.PLAIN_HTTP


async def test_too_old(loopback_federation: LoopbackFederation) -> None:
    """A server that knows nothing newer than TLS 1.1 is told from one that knows no TLS."""
    context = too_old_context(trustme.CA(), NAME)
    inspector = TlsInspector(loopback_federation.client_ssl_context())
    with serving(context) as at:
        seen = await inspector.look(at, NAME, seconds=SECONDS)
    assert (seen.problem, seen.version) == (TlsProblem.TOO_OLD, "TLSv1.1")
    assert seen.certificate is not None


async def test_self_signed(loopback_federation: LoopbackFederation, tmp_path: Path) -> None:
    """A certificate that vouches for itself is told from one whose issuer is not known."""
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    pem = tmp_path / "own.pem"
    pem.write_bytes(authority.cert_pem.bytes() + authority.private_key_pem.bytes())
    context.load_cert_chain(pem)
    inspector = TlsInspector(loopback_federation.client_ssl_context())
    with serving(context) as at:
        seen = await inspector.look(at, NAME, seconds=SECONDS)
    assert seen.problem in (TlsProblem.SELF_SIGNED, TlsProblem.UNKNOWN_ISSUER)
    assert seen.certificate is not None
    assert seen.certificate.is_self_signed


async def test_alert(loopback_federation: LoopbackFederation) -> None:
    """A server that knows no such name may refuse the handshake."""

    def refuse(*_: object) -> int:
        return ssl.ALERT_DESCRIPTION_UNRECOGNIZED_NAME

    inspector = TlsInspector(loopback_federation.client_ssl_context())
    with serving(context_of(trustme.CA(), NAME, sni_callback=refuse)) as at:
        seen = await inspector.look(at, NAME, seconds=SECONDS)
    assert seen.problem is TlsProblem.ALERT


async def test_nothing_is_sent_where_the_certificate_is_bad(
    loopback_federation: LoopbackFederation,
) -> None:
    """Two handshakes, and not a byte of a request."""
    requests: list[Request] = []
    loopback_federation.add(NAME, certificate=Certificate.EXPIRED, serves=requests.append)
    inspector = TlsInspector(loopback_federation.client_ssl_context())
    await inspector.look(loopback_federation.connect_to[NAME, 8448], NAME, seconds=SECONDS)
    assert loopback_federation.connections[NAME, 8448] == 2
    assert requests == []


async def test_connection_that_is_refused(loopback_federation: LoopbackFederation) -> None:
    """That nobody listens is an error of the system's."""
    with pytest.raises(ConnectionRefusedError):
        await connect(loopback_federation.connect_to["nobody.test", 8448], seconds=SECONDS)
