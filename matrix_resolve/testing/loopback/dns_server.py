"""A DNS server on loopback, UDP and TCP on one port, that can fail as real ones do."""

import asyncio
import errno
import socket
import struct
from collections import Counter
from collections.abc import Callable

import dns.exception
import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype

from matrix_resolve.testing.loopback.declarations import DnsFault, Host
from matrix_resolve.testing.loopback.listeners import Connections, Listener, address_of, bound
from matrix_resolve.testing.loopback.zone import MAX_ANSWER, Zone, as_text

_GARBAGE = b"\xff" * 11  # one byte short of a header
_PLAIN_UDP = 512  # octets, without EDNS (RFC 1035, 4.2.1)


class DnsServer:
    """Answers from `zone`, unless `down`, `faults` or the host's declaration say otherwise.

    `find` gives the declaration of a host. `faults`: (name, type) -> fault; "*" stands for any
    name or any type. `questions` counts what was asked, by (name, type), whether it was answered
    or not. `delay` is in seconds.
    """

    def __init__(self, zone: Zone, find: Callable[[str], Host | None]) -> None:
        self._zone = zone
        self._find = find
        self.faults: dict[tuple[str, str], DnsFault] = {}
        self.down = False
        self.delay = 0.0
        self.questions: Counter[tuple[str, str]] = Counter()
        self._connections = Connections()
        self._listener: Listener | None = None
        self._udp: socket.socket | None = None
        self._late: set[asyncio.TimerHandle] = set()

    @property
    def address(self) -> tuple[str, int]:
        """The (IP address, port) of the server; of both UDP and TCP."""
        if self._listener is None:
            raise RuntimeError("the DNS server is not running")
        return self._listener.address

    @property
    def errors(self) -> list[Exception]:
        """What went wrong in here, and is no fault that was asked for."""
        return self._connections.errors

    def open(self) -> None:
        """Start answering."""
        self._udp, tcp = _one_port("127.0.0.1")
        self._listener = Listener("127.0.0.1", self._serve_tcp, self._connections, tcp)
        asyncio.get_running_loop().add_reader(self._udp, self._receive)

    async def aclose(self) -> None:
        """Stop answering."""
        for answer in self._late:
            answer.cancel()
        if self._udp is not None:
            asyncio.get_running_loop().remove_reader(self._udp)
            self._udp.close()
            self._udp = None
        if self._listener is not None:
            self._listener.close()
        await self._connections.aclose()

    def _receive(self) -> None:
        """Answer the datagrams that have come."""
        while self._udp is not None:
            try:
                data, client = self._udp.recvfrom(65535)
            except OSError:  # none is waiting any more; or the last answer found nobody
                return
            try:
                answer = self._answer(data, udp=True)
            except Exception as error:
                self.errors.append(error)
                continue
            if answer is None:
                continue
            if self.delay:
                self._send_late(answer, client)
            else:
                self._send(answer, client)

    def _send_late(self, answer: bytes, client: tuple[str, int]) -> None:
        def send() -> None:
            self._late.discard(timer)
            self._send(answer, client)

        timer = asyncio.get_running_loop().call_later(self.delay, send)
        self._late.add(timer)

    def _send(self, answer: bytes, client: tuple[str, int]) -> None:
        if self._udp is not None:
            try:
                self._udp.sendto(answer, client)
            except OSError as error:  # a full buffer loses datagrams, like any network
                if error.errno not in (errno.EAGAIN, errno.ECONNREFUSED, errno.ENOBUFS):
                    self.errors.append(error)

    async def _serve_tcp(self, connection: socket.socket) -> None:
        """Answer the questions of one connection, each with its length before it."""
        loop = asyncio.get_running_loop()
        received = b""
        while data := await loop.sock_recv(connection, 65535):
            received += data
            while len(received) >= 2:
                (length,) = struct.unpack("!H", received[:2])
                if len(received) < 2 + length:
                    break
                query, received = received[2 : 2 + length], received[2 + length :]
                answer = self._answer(query, udp=False)
                if answer is not None:
                    await asyncio.sleep(self.delay)
                    await loop.sock_sendall(connection, struct.pack("!H", len(answer)) + answer)
        connection.close()

    def _answer(self, data: bytes, *, udp: bool) -> bytes | None:
        """Return the answer to one message; None if there is to be none."""
        try:
            query = dns.message.from_wire(data)
        except (dns.exception.DNSException, ValueError):
            return None
        if not isinstance(query, dns.message.QueryMessage) or len(query.question) != 1:
            return None
        name = as_text(query.question[0].name)
        kind = dns.rdatatype.to_text(query.question[0].rdtype)
        self.questions[name, kind] += 1
        fault = DnsFault.SILENT if self.down else self._fault(name, kind)
        match fault:
            case DnsFault.SILENT:
                return None
            case DnsFault.GARBAGE:
                return _GARBAGE
            case DnsFault.SERVFAIL | DnsFault.REFUSED:
                response = dns.message.make_response(query, recursion_available=True)
                response.set_rcode(dns.rcode.from_text(fault.value))
            case DnsFault.NXDOMAIN | DnsFault.NODATA:
                no_such_name = fault is DnsFault.NXDOMAIN
                response = self._zone.denial(query, no_such_name=no_such_name)
            case DnsFault.TRUNCATED if udp:
                return _truncated(query)
            case _:
                response = self._zone.answer(query)
        wire = response.to_wire(max_size=MAX_ANSWER, want_shuffle=False)
        if udp and len(wire) > max(query.payload if query.edns >= 0 else 0, _PLAIN_UDP):
            return _truncated(query)
        return wire

    def _fault(self, name: str, kind: str) -> DnsFault | None:
        host = self._find(name.removeprefix("_matrix-fed._tcp.").removeprefix("_matrix._tcp."))
        declared = {} if host is None else {(name, of): fault for of, fault in host.dns.items()}
        faults = {**declared, **self.faults}
        keys = ((name, kind), (name, "*"), ("*", kind), ("*", "*"))
        return next((faults[key] for key in keys if key in faults), None)


def _truncated(query: dns.message.QueryMessage) -> bytes:
    response = dns.message.make_response(query, recursion_available=True)
    response.flags |= dns.flags.TC
    return response.to_wire()


def _one_port(ip: str) -> tuple[socket.socket, socket.socket]:
    """Return a UDP and a TCP socket on the same port."""
    for attempt in range(20):
        tcp = bound(ip)
        try:
            return bound(ip, address_of(tcp)[1], socket.SOCK_DGRAM), tcp
        except OSError:  # the other protocol has that port already
            tcp.close()
            if attempt == 19:
                raise
    raise AssertionError
