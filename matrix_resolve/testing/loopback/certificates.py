"""A throwaway certificate authority, and what it makes of a wish for a bad certificate."""

import ssl
from datetime import UTC, datetime, timedelta
from functools import cached_property
from ipaddress import ip_address
from pathlib import Path
from tempfile import TemporaryDirectory

import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID

from matrix_resolve.testing.loopback.declarations import Certificate, is_ip_literal

_BEGINNING = datetime(2000, 1, 1, tzinfo=UTC)
_LONG_AGO = datetime(2001, 1, 1, tzinfo=UTC)
_FAR_AWAY = datetime(2998, 1, 1, tzinfo=UTC)
_END = datetime(2999, 1, 1, tzinfo=UTC)
_SOON = timedelta(days=7)
_MAX_COMMON_NAME = 64  # characters (X.520)


class Certificates:
    """Makes the TLS settings of servers, each when it is first needed."""

    def __init__(self) -> None:
        self._made: dict[tuple[str, Certificate], ssl.SSLContext] = {}

    @cached_property
    def _authority(self) -> trustme.CA:
        return trustme.CA()

    @cached_property
    def _stranger(self) -> trustme.CA:
        return trustme.CA()

    @cached_property
    def _intermediate(self) -> trustme.CA:
        return self._authority.create_child_ca()

    @property
    def ca_pem(self) -> bytes:
        """The certificate of the authority, for clients to trust."""
        return self._authority.cert_pem.bytes()

    def client_context(self) -> ssl.SSLContext:
        """Return the TLS settings of a client that trusts this authority and no other."""
        # With `cadata` the system's trust store is not loaded.
        context = ssl.create_default_context(cadata=self.ca_pem.decode("ascii"))
        context.hostname_checks_common_name = False
        context.set_alpn_protocols(["http/1.1"])
        return context

    def server_context(self, name: str, kind: Certificate) -> ssl.SSLContext:
        """Return the TLS settings of a server that presents a certificate for `name`."""
        context = self._made.get((name, kind))
        if context is None:
            context = new_server_context()
            pem = self._issue(name, kind) + self._key.private_bytes(
                Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
            )
            with TemporaryDirectory() as folder:  # OpenSSL reads it from nowhere else
                path = Path(folder, "certificate.pem")
                path.write_bytes(pem)
                context.load_cert_chain(path)
            self._made[name, kind] = context
        return context

    @cached_property
    def _key(self) -> ec.EllipticCurvePrivateKey:
        """The key of every server."""
        return ec.generate_private_key(ec.SECP256R1())

    def _issue(self, name: str, kind: Certificate) -> bytes:
        """Return a certificate for `name`, or one that is bad in the wished way, in PEM.

        Not by trustme: it refuses names that IDNA does not admit, such as those with emoji or with
        a hyphen in a wrong place, which servers have all the same.
        """
        named = _general_name(name)
        subject = []
        if kind is Certificate.WRONG_NAME:
            named = _general_name("192.0.2.99" if is_ip_literal(name) else "wrong-name.invalid")
        elif kind is Certificate.COMMON_NAME_ONLY:
            # An empty list of alternative names would be refused for being empty.
            named = x509.RFC822Name("nobody@wrong-name.invalid")
            common_name = name[:_MAX_COMMON_NAME]
            subject = [x509.NameAttribute(x509.NameOID.COMMON_NAME, common_name)]
        elif kind is Certificate.SELF_SIGNED:
            # Its issuer has to be somebody.
            subject = [x509.NameAttribute(x509.NameOID.ORGANIZATION_NAME, "Self-signed")]
        issuer, signing = self._issuer(kind, x509.Name(subject))
        begins, ends = _validity(kind)
        key = self._key.public_key()
        made = (
            x509.CertificateBuilder()
            .subject_name(x509.Name(subject))
            .issuer_name(issuer)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(begins)
            .not_valid_after(ends)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(signing.public_key()), False
            )
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), False)
            .add_extension(x509.SubjectAlternativeName([named]), critical=True)
        )
        if kind is Certificate.FOR_CLIENTS:
            usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH])
            made = made.add_extension(usage, critical=False)
        return made.sign(signing, hashes.SHA256()).public_bytes(Encoding.PEM)

    def _issuer(
        self, kind: Certificate, subject: x509.Name
    ) -> tuple[x509.Name, ec.EllipticCurvePrivateKey]:
        """Return the name and the key of who issues a certificate."""
        if kind is Certificate.SELF_SIGNED:
            return subject, self._key
        authority = self._authority
        if kind is Certificate.UNTRUSTED:
            authority = self._stranger
        elif kind is Certificate.WITHOUT_CHAIN:
            authority = self._intermediate
        signing = load_pem_private_key(authority.private_key_pem.bytes(), None)
        assert isinstance(signing, ec.EllipticCurvePrivateKey)
        return x509.load_pem_x509_certificate(authority.cert_pem.bytes()).subject, signing


def _validity(kind: Certificate) -> tuple[datetime, datetime]:
    """Return when a certificate begins and ends to be valid."""
    if kind is Certificate.EXPIRED:
        return _BEGINNING, _LONG_AGO
    if kind is Certificate.NOT_YET_VALID:
        return _FAR_AWAY, _END
    return _BEGINNING, datetime.now(UTC) + _SOON if kind is Certificate.ENDS_SOON else _END


def _general_name(name: str) -> x509.GeneralName:
    return x509.IPAddress(ip_address(name)) if is_ip_literal(name) else x509.DNSName(name)


def new_server_context() -> ssl.SSLContext:
    """Return the TLS settings of a server, without a certificate yet."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_alpn_protocols(["http/1.1"])
    return context
