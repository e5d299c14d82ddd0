"""What stands in a certificate, whoever made it."""

from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa

from matrix_resolve.checking.facts import Certificate
from matrix_resolve.errors import readable

# A certificate may have thousands of names: so many are told.
_MOST_NAMES: Final = 100
_UNREADABLE: Final = (ValueError, TypeError, UnsupportedAlgorithm, x509.DuplicateExtension)


def read_certificate(der: bytes) -> Certificate | None:
    """Return what a certificate says, None for what is none. Nothing of it is verified."""
    try:
        read = x509.load_der_x509_certificate(der)
        return Certificate(
            subject=_in_words(read.subject),
            names=_names(read),
            common_name=_common_name(read.subject),
            issuer=_in_words(read.issuer),
            not_before=read.not_valid_before_utc.timestamp(),
            not_after=read.not_valid_after_utc.timestamp(),
            sha256=read.fingerprint(hashes.SHA256()).hex(),
            key=_key(read),
            is_self_signed=read.issuer == read.subject,
        )
    except _UNREADABLE:
        return None


def _in_words(name: x509.Name) -> str:
    return readable(name.rfc4514_string(), 200)


def _common_name(name: x509.Name) -> str | None:
    names = name.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
    return readable(names[-1].value) if names else None


def _names(certificate: x509.Certificate) -> tuple[str, ...]:
    try:
        extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except (*_UNREADABLE, x509.ExtensionNotFound):
        return ()
    kinds = (x509.DNSName, x509.IPAddress)
    named = [name for name in extension.value if isinstance(name, kinds)]
    return tuple(readable(str(name.value)) for name in named[:_MOST_NAMES])


def _key(certificate: x509.Certificate) -> str:
    try:
        key = certificate.public_key()
    except _UNREADABLE:
        return "unknown"
    match key:
        case rsa.RSAPublicKey():
            return f"RSA {key.key_size}"
        case ec.EllipticCurvePublicKey():
            return f"EC {key.curve.name}"
        case ed25519.Ed25519PublicKey():
            return "Ed25519"
        case ed448.Ed448PublicKey():
            return "Ed448"
        case _:
            return "unknown"
