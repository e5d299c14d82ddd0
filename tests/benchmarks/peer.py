"""Another resolver, measured in an environment of its own; `peers.py` starts it there.

    INTERPRETER tests/benchmarks/peer.py synapse|resolvematrix DNS-PORT WEB-PORT

Lines of JSON come on standard input: the authority of the servers, and then lists of names, which
are resolved, 50 at once, and the seconds told: [clock, CPU]. The addresses of the hosts of
documents, which both take from the operating system, come from the benchmark's DNS server by the
leanest client there is, which asks for both families at once.
"""

import json
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, Final

AT_ONCE: Final = 50
_ZONE: Final = "bench.example"
_A, _AAAA = 1, 28
# Of resolvematrix, which blocks: it was fastest with so many.
_THREADS: Final = 8

Resolve = Callable[[Sequence[str]], None]


class Addresses:
    """Stands for `getaddrinfo`: asks the DNS server, over a socket of each thread."""

    def __init__(self, dns: int, web: int) -> None:
        self._server = ("127.0.0.1", dns)
        self._web = web
        self._own = threading.local()

    def __call__(self, host: Any, *rest: Any) -> list[Any]:
        """Return what `getaddrinfo` does; the port is that of the web server."""
        name = host if isinstance(host, str) else host.decode()
        if not hasattr(self._own, "socket"):
            self._own.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            self._own.socket.settimeout(5)
        labels = b"".join(bytes([len(part)]) + part.encode() for part in name.split("."))
        header = struct.pack("!6H", 1, 0x0100, 1, 0, 0, 0)
        for kind in (_A, _AAAA):
            question = header + labels + b"\0" + struct.pack("!2H", kind, 1)
            self._own.socket.sendto(question, self._server)
        found = []
        for _ in (_A, _AAAA):
            answer = self._own.socket.recv(512)
            if answer[7]:  # records, of which the A has one
                found.append(socket.inet_ntoa(answer[-4:]))
        stream = (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "")
        return [(*stream, (address, self._web)) for address in found]


def _check(kind: str, destination: tuple[str, int]) -> None:
    """See that a name leads where it should."""
    host, port = destination
    expected = {"port": "m-", "none": "none-"}[kind]
    assert port == 8448, destination
    assert host.startswith(expected), destination


# resolvematrix


def resolvematrix(dns: int, web: int, authority: str) -> Resolve:
    """Return what resolves names by resolvematrix; it blocks, so by threads."""
    import ssl
    from concurrent.futures import ThreadPoolExecutor

    import httpcore
    import httpx
    from dns.resolver import Resolver
    from resolvematrix import ServerResolver

    lookup = Addresses(dns, web)

    class Network(httpcore.SyncBackend):
        def connect_tcp(self, host: str, port: int, *rest: Any, **more: Any) -> Any:
            ((*_, (address, to)),) = lookup(host)
            return super().connect_tcp(address, to, *rest, **more)

    transport = httpx.HTTPTransport(verify=ssl.create_default_context(cadata=authority))
    # No connection is of use twice, but the pool would keep some.
    transport._pool = httpcore.ConnectionPool(
        ssl_context=ssl.create_default_context(cadata=authority),
        max_keepalive_connections=0,
        network_backend=Network(),
    )
    resolver = Resolver(configure=False)
    resolver.nameservers, resolver.port = ["127.0.0.1"], dns
    found = ServerResolver(httpx.Client(transport=transport, timeout=30), dns_resolver=resolver)
    pool = ThreadPoolExecutor(_THREADS)

    def one(name: str) -> None:
        host, _, port = found.resolve(name).hostname.partition(":")
        _check(name.partition("-")[0], (host, int(port)))

    def resolve(names: Sequence[str]) -> None:
        list(pool.map(one, names))

    return resolve


# Synapse


def _synapse_agent(dns: int, web: int, authority: str) -> Any:
    """Return the agent of a homeserver, with the settings that it has by default."""
    from types import SimpleNamespace

    from netaddr import IPSet
    from synapse.config.server import DEFAULT_IP_RANGE_BLOCKLIST
    from synapse.crypto.context_factory import FederationPolicyForHTTPS
    from synapse.http.federation.matrix_federation_agent import MatrixFederationAgent
    from synapse.http.federation.srv_resolver import SrvResolver
    from synapse.util.clock import Clock
    from twisted.internet import reactor
    from twisted.internet._resolver import GAIResolver
    from twisted.internet.ssl import Certificate, trustRootFromCertificates
    from twisted.names import client

    loop: Any = reactor
    resolver = GAIResolver(loop, loop.getThreadPool, Addresses(dns, web))
    loop.installNameResolver(resolver)
    tls = SimpleNamespace(
        federation_ca_trust_root=trustRootFromCertificates([Certificate.loadPEM(authority)]),
        federation_client_minimum_tls_version="1",
        federation_verify_certificates=True,
        federation_certificate_verification_whitelist=[],
    )
    agent = MatrixFederationAgent(
        server_name=_ZONE,
        reactor=loop,
        clock=Clock(loop, _ZONE),
        tls_client_options_factory=FederationPolicyForHTTPS(SimpleNamespace(tls=tls)),
        user_agent=b"Synapse",
        ip_allowlist=IPSet(["127.0.0.0/8"]),
        ip_blocklist=IPSet(DEFAULT_IP_RANGE_BLOCKLIST),
        _srv_resolver=SrvResolver(client.Resolver(servers=[("127.0.0.1", dns)])),
    )
    agent._pool.persistent = False  # no connection is of use twice
    return agent


def synapse(dns: int, web: int, authority: str) -> Resolve:
    """Return what resolves names by Synapse, in its reactor, 50 at once."""
    from synapse.http.federation.well_known_resolver import WellKnownResolver
    from synapse.logging.context import LoggingContext
    from twisted.internet import defer, reactor
    from twisted.web.client import URI

    agent, loop = _synapse_agent(dns, web, authority), reactor
    well_known: WellKnownResolver = agent._well_known_resolver
    endpoints = agent._agent._endpointFactory

    async def one(name: str) -> None:
        with LoggingContext(name=name, server_name=_ZONE):  # as every request has
            await resolve_one(name)

    async def resolve_one(name: str) -> None:
        known = await well_known.get_well_known(name.encode())
        host = known.delegated_server or name.encode()
        uri = URI.fromBytes(b"matrix-federation://" + host + b"/")
        (server,) = await endpoints.endpointForURI(uri)._resolve_server()
        _check(name.partition("-")[0], (server.host.decode(), server.port))

    async def everyone(names: Sequence[str]) -> None:
        for first in range(0, len(names), AT_ONCE):
            chunk = names[first : first + AT_ONCE]
            await defer.gatherResults([defer.ensureDeferred(one(name)) for name in chunk])

    failures: list[Any] = []

    def resolve(names: Sequence[str]) -> None:
        def begin() -> None:
            done = defer.ensureDeferred(everyone(names))
            done.addErrback(failures.append)
            done.addBoth(lambda _: loop.crash())

        loop.callWhenRunning(begin)
        loop.run(installSignalHandlers=False)
        if failures:
            failures[0].raiseException()

    return resolve


def main() -> None:
    """Answer one line after another."""
    kind, dns, web = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    authority = json.loads(sys.stdin.readline())
    resolve = {"resolvematrix": resolvematrix, "synapse": synapse}[kind](dns, web, authority)
    for line in sys.stdin:
        names = json.loads(line)
        clock, cpu = time.perf_counter(), time.process_time()
        resolve(names)
        taken = [time.perf_counter() - clock, time.process_time() - cpu]
        print(json.dumps(taken), flush=True)


if __name__ == "__main__":
    main()
