"""Which loopback port stands for which (host, port) of a federation."""

import socket
from collections.abc import Callable, Iterable, Iterator, Mapping

from matrix_resolve.testing.loopback.behaviours import Refused
from matrix_resolve.testing.loopback.declarations import Host, is_ip_literal, plain_host
from matrix_resolve.testing.loopback.https_server import HttpsServer
from matrix_resolve.testing.loopback.listeners import Connections, Listener, address_of, bound

Target = tuple[str, int]
SocketAddress = tuple[str, int]

# So many targets get a port of their own before others share one; descriptors are limited.
MAX_OWN_PORTS = 200
# Of a machine's free ports, and so of descriptors where those are not limited.
_MAX_DESCRIPTORS = 20_000


class ConnectTo(Mapping[Target, SocketAddress]):
    """A live mapping of (host, port) to the socket address that serves it.

    Every target is in it: one that is not served, or of an unknown host, maps to an address that
    refuses, so that nothing ever leaves the machine. A port is opened when it is first looked up,
    one for each target, so that the server knows what the client meant to reach. Iteration gives
    those that are open. It is true even while none is: it is a mapping that was given, not "none".
    """

    def __init__(
        self,
        find: Callable[[str], Host | None],
        server: HttpsServer,
        connections: Connections,
    ) -> None:
        self._find = find
        self._server = server
        self._connections = connections
        self._listeners: dict[tuple[str, Target], Listener] = {}
        self._refusing: dict[str, socket.socket] = {}
        self._named_by_srv: set[Target] = set()
        self._closed = False
        self._has_ipv6 = _has_ipv6()

    def __getitem__(self, target: Target) -> SocketAddress:
        if self._closed:
            raise RuntimeError("the loopback federation is closed")
        name, port = plain_host(target[0]), target[1]
        host = self._find(name)
        if host is None:
            return self._refusing_address("127.0.0.1")
        ip = self._loopback_of(host)
        behaviour = host.behaviour_at(port)
        if isinstance(behaviour, Refused):
            return self._refusing_address(ip)
        # Hosts beyond the limit share a port with others, told apart by the name in the handshake,
        # which literals do not send, for which troubled connections do not wait, and which is
        # another's at the target of an SRV record.
        many = len(self._listeners) >= MAX_OWN_PORTS
        told_apart = behaviour is None and not is_ip_literal(name)
        shared = many and told_apart and (name, port) not in self._named_by_srv
        own = (ip, (name, port))
        key = (ip, ("", port)) if shared and own not in self._listeners else own
        if key not in self._listeners:
            served = key[1]
            self._listeners[key] = Listener(
                ip, lambda connection: self._server.serve(connection, served), self._connections
            )
        return self._listeners[key].address

    def __iter__(self) -> Iterator[Target]:
        return iter(dict.fromkeys(target for _, target in self._listeners if target[0]))

    def __len__(self) -> int:
        return len(list(iter(self)))

    def __bool__(self) -> bool:
        return True

    def reserve(self, targets: Iterable[Target]) -> None:
        """Have each of these served at a port of its own, as SRV records name them.

        Raises `ValueError` when half of what this process may open does not suffice; the other
        half is for connections.
        """
        named = self._named_by_srv.union(targets)
        most = _descriptors() // 2
        if len(named) > most:
            raise ValueError(
                f"SRV records name {len(named)} targets, and there are descriptors for {most}:"
                " raise the limit of open files (ulimit -n)"
            )
        self._named_by_srv = named

    def close(self) -> None:
        """Close every port."""
        self._closed = True
        for listener in self._listeners.values():
            listener.close()
        for sock in self._refusing.values():
            sock.close()

    def _loopback_of(self, host: Host) -> str:
        """Return the loopback address of a family that the host has addresses of."""
        own = (host.name,) if is_ip_literal(host.name) else host.addresses
        only_ipv6 = bool(own) and all(":" in address for address in own)
        return "::1" if only_ipv6 and self._has_ipv6 else "127.0.0.1"

    def _refusing_address(self, ip: str) -> SocketAddress:
        if ip not in self._refusing:
            self._refusing[ip] = bound(ip)  # and nobody ever listens
        return address_of(self._refusing[ip])


def _descriptors() -> int:
    """Return how many descriptors this process may have open."""
    try:
        from resource import RLIM_INFINITY, RLIMIT_NOFILE, getrlimit
    except ImportError:  # Windows
        return _MAX_DESCRIPTORS
    soft, _ = getrlimit(RLIMIT_NOFILE)
    return _MAX_DESCRIPTORS if soft == RLIM_INFINITY else min(soft, _MAX_DESCRIPTORS)


def _has_ipv6() -> bool:
    try:
        bound("::1").close()
    except OSError:
        return False
    return True
