"""What OpenSSL says, in words: real handshakes in memory, and the alerts that servers send."""

import ssl
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import trustme

from matrix_resolve.transport.tls_words import note_names, tls_in_words

UNKNOWN_ISSUER = "the certificate's issuer is not known: self-signed, or the chain is incomplete"
NO_TLS = "no TLS is spoken there"


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    """The authority that the client trusts."""
    return trustme.CA()


def client_of(authority: trustme.CA) -> ssl.SSLContext:
    """Return the TLS settings of a client."""
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


def server_with(certificate: trustme.LeafCert) -> ssl.SSLContext:
    """Return the TLS settings of a server."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    return context


def failed_handshake(client: ssl.SSLContext, server: ssl.SSLContext) -> ssl.SSLError:
    """Return the client's error, as the guard passes it on."""
    received, sent = ssl.MemoryBIO(), ssl.MemoryBIO()
    asking = client.wrap_bio(received, sent, server_hostname="a.example")
    serving = server.wrap_bio(sent, received, server_side=True)
    for _ in range(3):
        try:
            asking.do_handshake()
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLError as error:
            if isinstance(error, ssl.SSLCertVerificationError):
                note_names(error, asking)
            return error
        try:
            serving.do_handshake()
        except ssl.SSLError:  # its alert is what the client hears
            continue
    try:  # in TLS 1.3 servers look at our certificate later
        asking.read(1)
    except ssl.SSLError as error:
        return error
    raise AssertionError("the handshake did not fail")


def failed_with(answer: bytes) -> ssl.SSLError:
    """Return the client's error when a server answers so."""
    received = ssl.MemoryBIO()
    tls = ssl.create_default_context().wrap_bio(received, ssl.MemoryBIO(), server_hostname="a.test")
    received.write(answer)
    received.write_eof()
    with pytest.raises(ssl.SSLError) as caught:
        tls.do_handshake()
    return caught.value


def in_days(days: int) -> datetime:
    """Return a moment for a certificate's lifetime."""
    return datetime.now(UTC) + timedelta(days=days)


@pytest.mark.parametrize(
    ("names", "told"),
    [
        (["b.example"], "b.example"),
        (["*.b.example", "192.0.2.1"], "*.b.example, 192.0.2.1"),
        ([f"n{number}.example" for number in range(9)], "n0.example, n1.example, n2.example and 6"),
        # Too long to be read on behalf of a stranger.
        ([f"{number}.example" for number in range(2000)], None),
    ],
)
def test_a_wrong_name(authority: trustme.CA, names: list[str], told: str | None) -> None:
    """It says whose certificate it is."""
    error = failed_handshake(client_of(authority), server_with(authority.issue_cert(*names)))
    whole = tls_in_words(error)
    begun, _, rest = whole.partition(", ")
    assert begun == "wrong name: the certificate is not valid for 'a.example'"
    if told is None:
        assert rest == ""
    else:
        assert rest.startswith(f"it is for {told}")


def test_a_certificate_for_nobody(authority: trustme.CA) -> None:
    """One without names of hosts says so; a common name is none."""
    certificate = authority.issue_cert("who@a.example", common_name="a.example")
    client = client_of(authority)
    client.hostname_checks_common_name = False
    told = tls_in_words(failed_handshake(client, server_with(certificate)))
    assert told.endswith(", it is for no host")


class Shown:
    """An `ssl.SSLObject` whose peer has presented a certificate with this content."""

    def __init__(self, **content: Any) -> None:
        self._content = content

    @property
    def _sslobj(self) -> "Shown":
        return self

    def get_unverified_chain(self) -> list["Shown"]:
        return [self]

    def public_bytes(self) -> str:
        return "PEM"

    def get_info(self) -> dict[str, Any]:
        return self._content


def mismatch() -> ssl.SSLCertVerificationError:
    """Return an error as the module `ssl` makes it."""
    error = ssl.SSLCertVerificationError(1, "verify failed: Hostname mismatch, certificate is bad")
    error.verify_code = 62
    error.verify_message = "Hostname mismatch, certificate is not valid for 'a.example'."
    return error


def test_hostile_names() -> None:
    """Nothing of a stranger's certificate is told as it is, and not all of it."""
    error = mismatch()
    alternatives = (("DNS", "\x1b[2J\u202e"), ("DNS", "x" * 1000), ("URI", "b.example"))
    note_names(error, Shown(subjectAltName=alternatives))
    told = tls_in_words(error)
    assert told.endswith(r"it is for \x1b[2J\u202e, " + "x" * 97 + "...")


@pytest.mark.parametrize("tls", [object(), Shown(subjectAltName=None), Shown(subjectAltName=[1])])
def test_where_names_can_not_be_seen(tls: object) -> None:
    """Then the rest is told."""
    error = mismatch()
    note_names(error, tls)
    assert tls_in_words(error) == "wrong name: the certificate is not valid for 'a.example'"


def test_certificates_that_are_refused(authority: trustme.CA) -> None:
    """Each says in words what is wrong with it."""
    client = client_of(authority)
    certificates = {
        "the certificate has expired": authority.issue_cert("a.example", not_after=in_days(-1)),
        "the certificate is not valid yet": authority.issue_cert(
            "a.example", not_before=in_days(1), not_after=in_days(2)
        ),
        UNKNOWN_ISSUER: trustme.CA().issue_cert("a.example"),
    }
    for told, certificate in certificates.items():
        assert tls_in_words(failed_handshake(client, server_with(certificate))) == told


@pytest.mark.parametrize(
    ("code", "message", "told"),
    [
        (18, "self-signed certificate", "the certificate is self-signed"),
        (
            19,
            "self-signed certificate in certificate chain",
            "the certificate comes from an authority that is not trusted",
        ),
        (20, "unable to get local issuer certificate", UNKNOWN_ISSUER),
        (21, "unable to verify the first certificate", UNKNOWN_ISSUER),
        (
            64,
            "IP address mismatch, certificate is not valid for '192.0.2.1'.",
            "wrong name: the certificate is not valid for '192.0.2.1'",
        ),
        (
            66,
            "EE certificate key too weak",
            "the certificate is refused: EE certificate key too weak",
        ),
    ],
)
def test_codes_of_verification(code: int, message: str, told: str) -> None:
    """What OpenSSL finds is told in words; what is rare, in its own."""
    error = ssl.SSLCertVerificationError(1, f"[SSL] failed: {message} (_ssl.c:1006)")
    error.verify_code, error.verify_message = code, message
    assert tls_in_words(error) == told


def test_an_error_of_somebody_elses() -> None:
    """What is no error of OpenSSL's own has a text at least."""
    error = ssl.SSLCertVerificationError(1, "[SSL: FAILED] it failed (_ssl.c:1006)")
    assert tls_in_words(error) == "the certificate is refused: it failed"
    assert tls_in_words(ssl.SSLError(1, "[SSL] no reason (_ssl.c:1)")) == "no reason"


def test_nothing_in_common(authority: trustme.CA) -> None:
    """Where versions or ciphers differ, or we have no certificate, that is told."""
    old = server_with(authority.issue_cert("a.example"))
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    new = client_of(authority)
    new.minimum_version = ssl.TLSVersion.TLSv1_3
    assert tls_in_words(failed_handshake(new, old)) == "no TLS version in common"
    curious = server_with(authority.issue_cert("a.example"))
    curious.verify_mode = ssl.CERT_REQUIRED
    told = tls_in_words(failed_handshake(client_of(authority), curious))
    assert told == "the server demands a certificate of ours"


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", NO_TLS),
        (b"SSH-2.0-OpenSSH_9.2p1\r\n", NO_TLS),
        (b"", "the server broke off in the middle of TLS"),
        (b"\x16\x03", "the server broke off in the middle of TLS"),
    ],
)
def test_what_is_no_tls(answer: bytes, told: str) -> None:
    """A server that speaks something else, or nothing."""
    assert tls_in_words(failed_with(answer)) == told


@pytest.mark.parametrize(
    ("alert", "told"),
    [
        (10, "the server refuses: unexpected message (TLS alert)"),
        (
            40,
            "the server refuses: no TLS version or cipher in common,"
            " or no certificate for this name",
        ),
        (42, "the server demands a certificate of ours"),
        (49, "the server refuses: access denied (TLS alert)"),
        (70, "no TLS version in common"),
        (80, "the server failed in TLS: it may have no certificate for this name"),
        (112, "the server has no certificate for this name"),
        (116, "the server demands a certificate of ours"),
    ],
)
def test_alerts(alert: int, told: str) -> None:
    """What a server says of why it breaks off (RFC 8446, 6)."""
    assert tls_in_words(failed_with(bytes([21, 3, 3, 0, 2, 2, alert]))) == told
