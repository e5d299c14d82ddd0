"""What TLS failed of, in words: OpenSSL's own are for who knows OpenSSL."""

import re
import ssl
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final

from matrix_resolve.errors import readable

# The codes of X509_verify_cert (openssl-verification-options).
_NOT_YET_VALID: Final = 9
_EXPIRED: Final = 10
_SELF_SIGNED: Final = 18
_SELF_SIGNED_IN_CHAIN: Final = 19
_NO_LOCAL_ISSUER: Final = 20
_NO_FIRST_SIGNATURE: Final = 21

_UNKNOWN_ISSUER: Final = (
    "the certificate's issuer is not known: self-signed, or the chain is incomplete"
)
_REFUSED: Final[Mapping[int, str]] = {
    _NOT_YET_VALID: "the certificate is not valid yet",
    _EXPIRED: "the certificate has expired",
    _SELF_SIGNED: "the certificate is self-signed",
    _SELF_SIGNED_IN_CHAIN: "the certificate comes from an authority that is not trusted",
    _NO_LOCAL_ISSUER: _UNKNOWN_ISSUER,
    _NO_FIRST_SIGNATURE: _UNKNOWN_ISSUER,
}

_NO_TLS: Final = "no TLS is spoken there"
_NOTHING_IN_COMMON: Final = (
    "the server refuses: no TLS version or cipher in common, or no certificate for this name"
)
_NO_VERSION: Final = "no TLS version in common"
_WANTS_OURS: Final = "the server demands a certificate of ours"
# By the names of OpenSSL's reasons, those of alerts without what they begin with.
_FAILED: Final[Mapping[str, str]] = {
    "WRONG_VERSION_NUMBER": _NO_TLS,
    "UNKNOWN_PROTOCOL": _NO_TLS,
    "HTTP_REQUEST": _NO_TLS,
    "PACKET_LENGTH_TOO_LONG": _NO_TLS,
    "RECORD_LAYER_FAILURE": _NO_TLS,
    "UNEXPECTED_EOF_WHILE_READING": "the server broke off in the middle of TLS",
    "UNSUPPORTED_PROTOCOL": _NO_VERSION,
    "HANDSHAKE_FAILURE": _NOTHING_IN_COMMON,
    "INSUFFICIENT_SECURITY": _NOTHING_IN_COMMON,
    "PROTOCOL_VERSION": _NO_VERSION,
    "INTERNAL_ERROR": "the server failed in TLS: it may have no certificate for this name",
    "UNRECOGNIZED_NAME": "the server has no certificate for this name",
    "BAD_CERTIFICATE": _WANTS_OURS,
    "CERTIFICATE_REQUIRED": _WANTS_OURS,
}
_ALERT: Final = re.compile(r"(?:SSLV3|TLSV1|TLSV13)_(?:ALERT_)?(\w+)")
# "[SSL: REASON] reason in words (_ssl.c:1006)"
_AROUND: Final = re.compile(r"^\[[^\]]*\] | \(_ssl\.c:\d+\)$")

# The kinds of names that count (RFC 9525).
_KINDS: Final = ("DNS", "IP Address")
_NAMES_TOLD: Final = 3
# Bytes of a certificate that is read for its names.
_LONGEST: Final = 16 * 1024


def tls_in_words(error: ssl.SSLError) -> str:
    """Return a reason for a person."""
    if isinstance(error, ssl.SSLCertVerificationError):
        told = _REFUSED.get(getattr(error, "verify_code", 0))
        if told is None:  # "Hostname mismatch, certificate is not valid for 'a.example'."
            message = getattr(error, "verify_message", "") or _plain(error)
            kind, comma, rest = message.removesuffix(".").partition(" mismatch, ")
            told = f"wrong name: the {rest}" if comma else f"the certificate is refused: {kind}"
        return ", ".join([told, *getattr(error, "__notes__", ())])
    reason = getattr(error, "reason", None) or ""  # none in one that is not OpenSSL's own
    alert = _ALERT.fullmatch(reason)
    told = _FAILED.get(reason if alert is None else alert[1])
    if told is None and alert is not None:
        told = f"the server refuses: {alert[1].lower().replace('_', ' ')} (TLS alert)"
    return _plain(error) if told is None else told


def tls_error_behind(error: BaseException | None) -> ssl.SSLError | None:
    """Return the error of TLS that others were raised from, if there is one."""
    while error is not None and not isinstance(error, ssl.SSLError):
        error = error.__cause__ or error.__context__
    return error


def _plain(error: ssl.SSLError) -> str:
    return _AROUND.sub("", str(error))


def note_names(error: ssl.SSLCertVerificationError, tls: Any) -> None:
    """Have an error of a wrong name tell whose certificate it is, if that can be seen.

    The certificate is a stranger's, and nothing of it has been verified. Only in new versions is
    there a public way to it.
    """
    if " mismatch, " not in str(error):
        return
    with suppress(AttributeError, LookupError, TypeError, ValueError, ssl.SSLError):
        certificate = tls._sslobj.get_unverified_chain()[0]
        if len(certificate.public_bytes()) > _LONGEST:
            return
        alternatives = certificate.get_info().get("subjectAltName", ())
        names = [readable(name, 100) for kind, name in alternatives if kind in _KINDS]
        more = f" and {len(names) - _NAMES_TOLD} more" if len(names) > _NAMES_TOLD else ""
        told = ", ".join(names[:_NAMES_TOLD]) or "no host"
        error.add_note(f"it is for {told}{more}")
