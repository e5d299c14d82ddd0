"""What was seen of a server: plain values, without a judgement. `findings` makes that of them.

Texts that came from others are cut and printable (`readable`) where they are kept here; bodies are
bytes, bounded. Times are Unix seconds, durations seconds.
"""

from enum import Enum
from typing import Final

from attrs import frozen

from matrix_resolve.checking.key_document import KeyDocument
from matrix_resolve.core.names import IPAddress, ServerName
from matrix_resolve.core.replies import HttpResponse, SrvRecord
from matrix_resolve.core.resolution import Resolution, Target

VERSION_PATH: Final = "/_matrix/federation/v1/version"
KEYS_PATH: Final = "/_matrix/key/v2/server"


@frozen(kw_only=True)
class HostFacts:
    """What DNS says of a host that is to be connected to, or serves a document.

    `addresses` are all that it has, `forbidden` those of them that the address policy forbids.
    `failure` is why nothing could be found out, which is no fault of the host's as far as can be
    told. `canonical_name` is what it is an alias of.
    """

    hostname: str
    addresses: tuple[IPAddress, ...] = ()
    forbidden: tuple[IPAddress, ...] = ()
    canonical_name: str | None = None
    ttl: float | None = None
    failure: str | None = None


@frozen(kw_only=True)
class SrvFacts:
    """The SRV records under one name as they are published, those that can't be used among them.

    `failure` is why nothing could be found out.
    """

    name: str
    records: tuple[SrvRecord, ...] = ()
    ttl: float | None = None
    failure: str | None = None


@frozen(kw_only=True)
class FetchFailure:
    """Why there is no response. `is_own`: trouble of our own. `is_refused`: we would not go on."""

    reason: str
    is_own: bool = False
    is_refused: bool = False


@frozen(kw_only=True)
class Fetched:
    """What came of one GET. `hops` are the responses that redirected, in the order they came.

    The last of them may be one that must not be followed. `address` is the IP address that was
    asked first, None if that was not fixed. `response` has at most as much of the body as was asked
    for, one byte more where there was more.
    """

    url: str
    address: str | None = None
    hops: tuple[HttpResponse, ...] = ()
    response: HttpResponse | None = None
    failure: FetchFailure | None = None
    seconds: float = 0.0


@frozen(kw_only=True)
class Certificate:
    """A certificate as a server shows it, whether it is of use or not.

    `names` are its alternative names (DNS names and IP addresses), `key` is like "EC secp256r1" or
    "RSA 2048", `sha256` the fingerprint in hex.
    """

    subject: str
    names: tuple[str, ...]
    common_name: str | None
    issuer: str
    not_before: float
    not_after: float
    sha256: str
    key: str
    is_self_signed: bool


class TlsProblem(Enum):
    """Why a peer would not go on after (or in) the TLS handshake."""

    PLAIN_HTTP = "plain HTTP"
    """The port speaks HTTP without TLS."""
    NO_TLS = "no TLS"
    """What came is no TLS, or the connection was closed in the handshake."""
    TIMEOUT = "time-out"
    """TCP connected, and the handshake did not end."""
    ALERT = "alert"
    """The server refused the handshake by an alert, as one that knows no such name does."""
    TOO_OLD = "below TLS 1.2"
    SELF_SIGNED = "self-signed"
    UNKNOWN_ISSUER = "unknown issuer"
    """An intermediate certificate is missing, or the authority is not one that peers trust."""
    EXPIRED = "expired"
    NOT_YET_VALID = "not yet valid"
    WRONG_NAME = "wrong name"
    COMMON_NAME_ONLY = "common name only"
    """The name stands in the subject, where nobody looks any more (RFC 9525, 2)."""
    OTHER = "other"


@frozen(kw_only=True)
class TlsFacts:
    """One handshake. `version` is like "TLSv1.3", None if there was none.

    With a `problem` in the certificate this is what was read without trusting it, and nothing was
    sent. `reason` is OpenSSL's, in words.
    """

    server_hostname: str | None
    version: str | None = None
    problem: TlsProblem | None = None
    reason: str = ""
    certificate: Certificate | None = None


class TcpProblem(Enum):
    """Why there was no connection."""

    REFUSED = "refused"
    TIMEOUT = "time-out"
    UNREACHABLE = "unreachable"
    """A router said so."""
    OWN = "trouble of our own"
    """No route, no descriptor: nothing is known about the server."""


@frozen(kw_only=True)
class EndpointFacts:
    """One address of one target (or of the name itself at port 8448), and what answered there.

    `is_forbidden`: the address policy forbids it, so nothing was tried. `tries`: how often TCP was
    tried. `without_sni` is a handshake that names no server. What could not be reached is None.
    """

    target: Target
    address: IPAddress
    is_forbidden: bool = False
    tries: int = 1
    problem: TcpProblem | None = None
    reason: str = ""
    tls: TlsFacts | None = None
    without_sni: TlsFacts | None = None
    version: Fetched | None = None
    keys: Fetched | None = None
    key_document: KeyDocument | None = None


@frozen(kw_only=True)
class ClientFacts:
    """What clients find: the documents beside the server's, and the API that they lead to.

    `versions` is `/_matrix/client/versions` at the document's `base_url`, None if that is not one.
    """

    document: Fetched
    support: Fetched
    versions: Fetched | None = None


@frozen(kw_only=True)
class ServerFacts:
    """All that was seen of a server, at the moment `at`.

    `resolution` is what peers make of it now, None with `not_offered` (SRV ".").
    `hosts` are the name's own host, the delegated one and the targets; `srv` the four names that
    records may stand under. `documents` are the well-known document as each address of the host
    gives it, `delegated_document` what stands at the same path on the delegated host. `endpoints`
    are those of the resolution, `direct` those at port 8448 of the name itself where that is
    another place. `unfinished` says what the deadline cut off.
    """

    server_name: ServerName
    at: float
    resolution: Resolution | None = None
    not_offered: bool = False
    hosts: tuple[HostFacts, ...] = ()
    srv: tuple[SrvFacts, ...] = ()
    documents: tuple[Fetched, ...] = ()
    delegated_document: Fetched | None = None
    endpoints: tuple[EndpointFacts, ...] = ()
    direct: tuple[EndpointFacts, ...] = ()
    client: ClientFacts | None = None
    unfinished: tuple[str, ...] = ()

    def host(self, hostname: str) -> HostFacts | None:
        """Return what is known of a host."""
        wanted = hostname.lower()
        return next((host for host in self.hosts if host.hostname == wanted), None)
