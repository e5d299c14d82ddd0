"""For tests of DNS lookups: servers that send what they are told to, and a few words."""

import asyncio
import io
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.resolver
import dns.rrset
import pytest

from matrix_resolve.errors import AddressLookupError, SrvLookupError
from matrix_resolve.interfaces import AddressReply, SrvReply
from matrix_resolve.testing import LoopbackFederation

SRV = "_matrix-fed._tcp."
QUESTION = "example.org"
# What is awaited ends at once; if it ever hangs, the test fails after so many seconds.
HANGS = 10.0
# For what ends only with the time that a lookup has.
SHORT = 0.3

BOTH = pytest.mark.parametrize(
    ("kind", "failure"), [("SRV", SrvLookupError), ("addresses", AddressLookupError)]
)


def either(lookup: Any, kind: str) -> Callable[[str], Any]:
    """The SRV or the address lookup, for what both do alike."""
    ask: Callable[[str], Any] = lookup.lookup_srv if kind == "SRV" else lookup.lookup_addresses
    return ask


def addresses(*texts: str, ttl: float | None = 300, alias_of: str | None = None) -> AddressReply:
    """A reply with these addresses."""
    return AddressReply(texts, ttl, alias_of)


def empty(kind: str, ttl: float | None = None) -> SrvReply | AddressReply:
    """A reply that there is none."""
    return SrvReply([], ttl) if kind == "SRV" else AddressReply([], ttl)


async def until(true: Callable[[], Any]) -> None:
    """Wait for something to become true."""
    async with asyncio.timeout(HANGS):
        while not true():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


Answers = Callable[[dns.message.Message], list[Any]]
"""Query -> the datagrams that come back: messages, or bytes that may be none."""


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, answers: Answers, late: Mapping[str, float]) -> None:
        self._answers = answers
        self._late = late
        self.timers: list[asyncio.TimerHandle] = []

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        query = dns.message.from_wire(data)
        wires = _wires(self._answers(query))
        delay = self._late.get(asked_type(query), 0.0)
        send = asyncio.get_running_loop().call_later(delay, self._send, wires, addr)
        self.timers.append(send)

    def _send(self, wires: list[bytes], addr: Any) -> None:
        for wire in wires:
            self._transport.sendto(wire, addr)


class _Stream(asyncio.Protocol):
    def __init__(self, answers: Answers, open_: set[asyncio.Transport]) -> None:
        self._answers = answers
        self._open = open_
        self._received = b""

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        self._open.add(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._open.discard(self._transport)

    def data_received(self, data: bytes) -> None:
        self._received += data
        while len(self._received) >= 2 + (length := int.from_bytes(self._received[:2])) > 2:
            query = dns.message.from_wire(self._received[2 : 2 + length])
            self._received = self._received[2 + length :]
            for wire in _wires(self._answers(query)):
                self._transport.write(len(wire).to_bytes(2) + wire)


def _wires(answers: list[Any]) -> list[bytes]:
    return [
        answer if isinstance(answer, bytes) else answer.to_wire(max_size=65535)
        for answer in answers
    ]


@asynccontextmanager
async def handmade(
    answers: Answers,
    ip: str = "127.0.0.1",
    *,
    late: Mapping[str, float] | None = None,
    over_tcp: Answers | None = None,
) -> AsyncIterator[str]:
    """Give the address of a server that sends what `answers` returns for a query, over UDP.

    `late`: how many seconds answers about a type of records are held back. `over_tcp`: what is sent
    over TCP; None refuses it.
    """
    loop = asyncio.get_running_loop()
    opened: set[asyncio.Transport] = set()
    for attempt in range(20):
        transport, protocol = await loop.create_datagram_endpoint(
            lambda: _Datagrams(answers, late or {}), local_addr=(ip, 0)
        )
        host, port = transport.get_extra_info("sockname")[:2]
        if over_tcp is None:
            listener = None
            break
        made = partial(_Stream, over_tcp, opened)
        try:
            listener = await loop.create_server(made, host, port)
            break
        except OSError:  # the other protocol has that port already
            transport.close()
            if attempt == 19:
                raise
    try:
        yield f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    finally:
        transport.close()
        for timer in protocol.timers:
            timer.cancel()
        if listener is not None:
            for _ in range(5):  # what has come is accepted first: asyncio would leave it open
                await asyncio.sleep(0)
            listener.close()
            for connection in [*opened]:
                connection.abort()
            await until(lambda: not opened)


def answer(
    query: dns.message.Message,
    *records: str,
    authority: tuple[str, ...] = (),
    rcode: dns.rcode.Rcode = dns.rcode.NOERROR,
) -> dns.message.Message:
    """An answer with records as in a zone file: "example.org. 60 IN A 192.0.2.1"."""
    response = dns.message.make_response(query, recursion_available=True)
    response.set_rcode(rcode)
    for section, texts in ((response.answer, records), (response.authority, authority)):
        for text in texts:
            owner, ttl, of, kind, data = text.split(" ", 4)
            section.append(dns.rrset.from_text(owner, int(ttl), of, kind, data))
    return response


def cut_short(query: dns.message.Message) -> dns.message.Message:
    """The hint that the answer is longer than a datagram: ask by TCP."""
    response = answer(query)
    response.flags |= dns.flags.TC
    return response


def asked_name(query: dns.message.Message) -> str:
    """The name that a query is about, without its last dot."""
    return query.question[0].name.to_text(omit_final_dot=True)


def asked_type(query: dns.message.Message) -> str:
    """The type of the records that a query is for."""
    return dns.rdatatype.to_text(query.question[0].rdtype)


def resolv_conf(
    monkeypatch: pytest.MonkeyPatch, text: str | None, federation: LoopbackFederation | None = None
) -> None:
    """Let the system's resolv.conf be this, and its servers listen where the federation's does."""
    read = dns.resolver.BaseResolver.read_resolv_conf

    def replaced(self: dns.resolver.BaseResolver, file: Any) -> None:
        if federation is not None:
            self.port = int(federation.nameserver.rpartition(":")[2])
        read(self, "/nonexistent/resolv.conf" if text is None else io.StringIO(text))

    monkeypatch.setattr(dns.resolver.BaseResolver, "read_resolv_conf", replaced)
