"""ed25519 signatures and base64 (specification, appendices "Signing Details", "Unpadded Base64").

To verify needs the extra `check`, which is loaded when the first signature is verified.
"""

import base64
import re
from typing import Final

from matrix_resolve.core.lazy import MissingExtraError, needs

_BASE64: Final = re.compile(r"[A-Za-z0-9+/_-]*+={0,2}")

# The y of each point whose order divides 8, as it may be written (RFC 8032, section 5.1.2; those
# that libsodium refuses). With such a key, signatures can be made without a secret, and OpenSSL
# takes them.
_P: Final = 2**255 - 19
_Y8: Final = 0x7A03AC9277FDC74EC6CC392CFA53202A0F67100D760B3CBA4FD84D3D706A17C7
_WEAK: Final = frozenset({0, 1, _Y8, _P - _Y8, _P - 1, _P, _P + 1})


class Unverifiable(Exception):
    """Nothing can be said of a signature, for want of something here; says what."""


def decoded(text: object) -> bytes | None:
    """Return the bytes of base64 in either alphabet, padded or not; None if it is not that.

    The specification wants it unpadded, and servers read the other forms as well.
    """
    if not isinstance(text, str) or not _BASE64.fullmatch(text):
        return None
    digits = text.rstrip("=")
    if len(digits) % 4 == 1 or (digits != text and len(text) % 4):
        return None
    padded = digits + "=" * (-len(digits) % 4)
    return base64.b64decode(padded.translate({ord("-"): "+", ord("_"): "/"}))


def is_weak(public_key: bytes) -> bool:
    """Return whether anybody can sign with an ed25519 key, since it is a point of small order."""
    y = int.from_bytes(public_key, "little") & (2**255 - 1)  # the last bit is the sign of x
    return y in _WEAK


def is_signed(content: bytes, signature: bytes, public_key: bytes) -> bool:
    """Return whether `signature` is one of `content` by the holder of an ed25519 key of 32 bytes.

    Raises `Unverifiable` if that can't be found out here.
    """
    try:
        with needs("check", "verifying signatures"):
            from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
            from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    except MissingExtraError as error:
        raise Unverifiable(str(error)) from error
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, content)
    except UnsupportedAlgorithm as error:  # an OpenSSL without ed25519
        raise Unverifiable("OpenSSL here has no ed25519") from error
    except (InvalidSignature, ValueError):  # or the key is no point of the curve
        return False
    return True
