"""A server that does what it can against who checks it: 64 endpoints, and a fault in each answer.

Linux only: all of 127/8 is on the loopback there, so that one listener is at many addresses.
"""

import json
import random
import ssl
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from typing import Any, Final

import trustme
from attrs import frozen
from floods import Flood
from homeservers import KEYS
from houses import filled
from signing import SigningKey, key_document, unpadded

from matrix_resolve.testing import (
    Dripping,
    Endless,
    LoopbackFederation,
    Redirect,
    Reply,
    Request,
    Silent,
    Slow,
)
from matrix_resolve.testing.loopback.certificates import Certificates, new_server_context
from matrix_resolve.testing.loopback.declarations import Certificate, Host
from matrix_resolve.testing.loopback.https_server import HttpsServer
from matrix_resolve.testing.loopback.listeners import Connections, Listener, bound

NAME: Final = "hostile.test"
TARGETS: Final = [f"t{number}.{NAME}" for number in range(8)]
ADDRESSES: Final = [f"127.1.0.{number}" for number in range(1, 17)]
# Escape sequences, bidi marks, controls, ends of lines, lone surrogates.
TEXT: Final = "\x1b[2J\x1b]0;owned\x07\u202e\u2066\u200b\x9b31m\r\nERROR: \x00\x7f\ud800"
_OK: Final = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
# A little less than what is read of a key document.
_MUCH: Final = 500_000
_LATER: Final = int(time.time() * 1000) + 86_400_000


@frozen(kw_only=True)
class Kind:
    """What the server does: to who asks for its document, and to who asks for anything else."""

    serves: Any
    well_known: Any = None
    swallows: bool = False
    """The port of federation answers no SYN."""
    names: int = 1
    """So many names stand in its certificate."""


def _keys(**members: Any) -> dict[str, Any]:
    """Return a key document, and no version beside it."""
    return key_document([_KEY], server_name=NAME, **({"valid_until_ts": _LATER} | members))


_KEY: Final = SigningKey()
_VERSION: Final = {"server": {"name": "Hostile", "version": "1"}}


def _giving(keys: Any) -> Callable[[Request], Any]:
    """Return a behaviour that gives this for keys, and a good version, so that keys are read."""
    return lambda request: keys if request.path == KEYS else _VERSION


def _everywhere(body: Any) -> Kind:
    """Return a kind that answers all with the same bytes."""
    return Kind(well_known=Reply(body=body), serves=_giving(Reply(body=body)))


def _many_keys() -> bytes:
    """Return a document with as many keys as there is room for."""
    keys = ",".join(f'"ed25519:{number:x}":{{}}' for number in range(_MUCH // 22))
    return f'{{"server_name":"{NAME}","verify_keys":{{{keys}}}}}'.encode()


def _forged_keys() -> dict[str, Any]:
    """Return a document signed by a thousand keys that are not those it has."""
    rng = random.Random(7)
    ids = [f"ed25519:{number}" for number in range(1000)]
    return _keys(
        verify_keys={each: {"key": unpadded(rng.randbytes(32))} for each in ids},
        signatures={NAME: {each: unpadded(rng.randbytes(64)) for each in ids}},
    )


def _escapes(request: Request) -> Any:
    """Answer with hostile text wherever there is room for text."""
    text = {TEXT: TEXT, "server_name": TEXT, "m.server": TEXT, "contacts": [{TEXT: TEXT}]}
    server = {"server": {"name": TEXT, "version": TEXT}, "support_page": TEXT}
    client = {"m.homeserver": {"base_url": f"https://{TEXT}"}}
    keys = {"verify_keys": {TEXT: {"key": TEXT}}, "old_verify_keys": {TEXT: TEXT}}
    signed = {"signatures": {TEXT: {TEXT: TEXT}}, "valid_until_ts": _LATER}
    headers = [("Content-Type", "\x1b[2J\x9b31m"), ("Server", "\x1b]0;x\x07")]
    if request.path == KEYS and request.target[1] % 2:
        server = {}
    body = json.dumps({**text, **server, **client, **keys, **signed}).encode()
    return Reply(headers=headers, body=body)


def _hops(request: Request) -> Any:
    """Redirect on and on, each time with as many headers as are read."""
    at = int(request.path.rpartition("=")[2] or 0) if "=" in request.path else 0
    headers = [("Location", f"/.well-known/matrix/server?at={at + 1}")]
    headers += [(f"X-{number}", "x" * 1000) for number in range(60)]
    return Reply(302, headers=headers)


_SHORT_HEADERS: Final = _OK + b"Content-Length: 2\r\n" + b"a:b\r\n" * 12_000 + b"\r\n{}"
_LONG_HEADERS: Final = (
    _OK + b"Content-Length: 2\r\n" + b"".join(b"X: %s\r\n" % (b"x" * 8000) for _ in range(7))
) + b"\r\n{}"

KINDS: Final[Mapping[str, Kind]] = {
    "bodies without end": Kind(well_known=Endless(), serves=Endless()),
    "large version and keys": _everywhere(b'{"x":"' + b"x" * (_MUCH - 8) + b'"}'),
    "deep arrays": _everywhere(b"[" * _MUCH),
    "deep objects": _everywhere(b'{"a":' * (_MUCH // 5)),
    "empty arrays": _everywhere(b"[" + b"[]," * (_MUCH // 3) + b"[]]"),
    "empty objects": _everywhere(b"[" + b"{}," * (_MUCH // 3) + b"{}]"),
    "short members": _everywhere(
        b"{" + b",".join(b'"%x":1.5' % number for number in range(_MUCH // 12)) + b"}"
    ),
    "long numbers": _everywhere(b"[" + b"9" * (_MUCH - 2) + b"]"),
    "surrogates": _everywhere(b'["' + b"\\ud800" * (_MUCH // 6) + b'"]'),
    "keys by the ten thousand": Kind(serves=_giving(Reply(body=_many_keys()))),
    "forged keys": Kind(serves=_giving(_forged_keys())),
    "slow drips": Kind(well_known=Dripping(interval=0.5), serves=Dripping(interval=0.5)),
    "no answers": Kind(well_known=Slow(float("inf")), serves=Slow(float("inf"))),
    "no handshakes": Kind(well_known=Silent(), serves=Silent()),
    "swallowed connections": Kind(well_known=Silent(), serves=Silent(), swallows=True),
    "short header lines": Kind(well_known=Flood(_SHORT_HEADERS), serves=Flood(_SHORT_HEADERS)),
    "header lines without end": Kind(
        well_known=Flood(_OK, b"a:b\r\n" * 1000), serves=Flood(_OK, b"a:b\r\n" * 1000)
    ),
    "long header lines": Kind(well_known=Flood(_LONG_HEADERS), serves=Flood(_LONG_HEADERS)),
    "interim responses": Kind(
        well_known=Flood(b"", b"HTTP/1.1 100 C\r\n\r\n" * 100),
        serves=Flood(b"", b"HTTP/1.1 100 C\r\n\r\n" * 100),
    ),
    "redirects with headers": Kind(well_known=_hops, serves=_hops),
    "redirects to everywhere": Kind(
        well_known=Redirect(f"https://{'a' * 60}.test/"), serves=Redirect("//\x1b[2J/")
    ),
    "escape sequences": Kind(well_known=_escapes, serves=_escapes),
    "certificates of 4,000 names": Kind(serves=_giving(_keys()), names=4_000),
    "certificates of 10,000 names": Kind(serves=_giving(_keys()), names=10_000),
}


class _OfManyNames(Certificates):
    """One certificate for whatever is asked for."""

    def __init__(self, authority: trustme.CA, count: int) -> None:
        super().__init__()
        self._context = new_server_context()
        more = [f"n{number}.{NAME}" for number in range(count - 1)]
        authority.issue_cert(NAME, *more).configure_cert(self._context)

    def server_context(self, name: str, kind: Certificate) -> ssl.SSLContext:
        return self._context


@frozen(kw_only=True)
class Running:
    """Where a hostile server is: what a checker needs to get there."""

    nameserver: str
    ca_pem: bytes
    federation: LoopbackFederation
    documents: tuple[str, int]


@asynccontextmanager
async def running(kind: Kind, *, targets: int = 8, records: int = 1000) -> AsyncIterator[Running]:
    """Run a hostile server of a kind. It has so many SRV records, and as many addresses.

    The first `targets` have addresses, of which 16 are looked at each.
    """
    async with AsyncExitStack() as open_:
        federation = await open_.enter_async_context(LoopbackFederation())
        authority = trustme.CA()
        certificates = _OfManyNames(authority, kind.names)
        host = Host(name=NAME, serves=kind.serves, well_known=kind.well_known)
        server = HttpsServer(lambda _: host, certificates)
        connections = Connections()
        open_.push_async_callback(connections.aclose)
        ports = []
        for port in (443, 8450):
            listening = bound("0.0.0.0")
            ports.append(listening.getsockname()[1])
            if port == 8450 and kind.swallows:
                full = open_.enter_context(ExitStack())
                full.callback(listening.close)
                full.enter_context(filled(listening))
                continue

            async def serve(connection: Any, port: int = port) -> None:
                await server.serve(connection, (NAME, port))

            open_.callback(Listener("0.0.0.0", serve, connections, listening).close)
        federation.add(NAME, addresses=ADDRESSES)
        many = [f"127.2.{number // 250}.{number % 250 + 1}" for number in range(records)]
        for target in TARGETS:
            federation.add(target, addresses=[*ADDRESSES, *many])
        srv = [f"0 {n} {ports[1]} {target}." for n, target in enumerate(TARGETS[:targets])]
        srv += [f"9 {number} {ports[1]} x{number}.{NAME}." for number in range(records)]
        federation.add_records(f"_matrix-fed._tcp.{NAME}", "SRV", *srv)
        yield Running(
            nameserver=federation.nameserver,
            ca_pem=authority.cert_pem.bytes(),
            federation=federation,
            documents=("127.0.0.1", ports[0]),
        )
