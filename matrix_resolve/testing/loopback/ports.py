"""Which loopback port stands for which (host, port) of a federation."""

import socket
from collections.abc import Callable, Iterator, Mapping

from matrix_resolve.testing.loopback.behaviours import Refused
from matrix_resolve.testing.loopback.declarations import Host, is_ip_literal, plain_host
from matrix_resolve.testing.loopback.https_server import HttpsServer
from matrix_resolve.testing.loopback.listeners import Connections, Listener, address_of, bound

Target = tuple[str, int]
SocketAddress = tuple[str, int]

# So many targets get a port of their own; descriptors are limited.
MAX_OWN_PORTS = 200


class ConnectTo(Mapping[Target, SocketAddress]):
    """A live mapping of (host, port) to the socket address that serves it.

    Every target is in it: one that is not served, or of an unknown host, maps to an address that
    refuses, so that nothing ever leaves the machine. A port is opened when it is first looked up,
    one for each target, so that the server knows what the client meant to reach. Iteration gives
    those that are open.
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
        # which literals do not send, and for which troubled connections do not wait.
        many = len(self._listeners) >= MAX_OWN_PORTS
        shared = many and behaviour is None and not is_ip_literal(name)
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


def _has_ipv6() -> bool:
    try:
        bound("::1").close()
    except OSError:
        return False
    return True
