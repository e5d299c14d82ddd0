"""The servers of the benchmarks, HTTPS and DNS on loopback; a process of their own runs them.

    python -m tests.benchmarks.network_server [--dns-delay SECONDS] [--web-delay SECONDS]

Every name is `KIND-NUMBER.bench.example`; the kind says what is published about it. All have the
address 127.0.0.1. They are as lean as they can be, and end with their standard input.
"""

import argparse
import asyncio
import json
import re
import ssl
import struct
import sys
from typing import Any, Final

import trustme

ZONE: Final = "bench.example"
# What the document delegates to; kinds that are not here have none (404).
_DELEGATIONS: Final = {
    "port": f"m-%s.{ZONE}:8448",
    "literal": "127.0.0.1:8448",
    "dfed": f"fed-%s.{ZONE}",
    "dold": f"old-%s.{ZONE}",
    "dnone": f"none-%s.{ZONE}",
}
# The service under which a kind has one SRV record.
_SERVICES: Final = {"fed": "_matrix-fed", "old": "_matrix"}
_A, _SRV = 1, 33
_NAME_ERROR: Final = 3
_TTL: Final = 3600
_HOST: Final = re.compile(rb"\r\nhost: *([a-z]+)-([0-9]+)", re.IGNORECASE)


def _response(head: bytes) -> bytes:
    """Return the response to a request."""
    found, body, status = _HOST.search(head), b"{}", "200 OK"
    if head.startswith(b"GET /.well-known/matrix/server "):
        kind, number = (part.decode() for part in found.groups()) if found else ("", "")
        delegation = _DELEGATIONS.get(kind, "").replace("%s", number)
        body = json.dumps({"m.server": delegation}).encode()
        if not delegation:
            body, status = b'{"errcode": "M_NOT_FOUND"}', "404 Not Found"
    headers = f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    return f"HTTP/1.1 {status}\r\n{headers}\r\n".encode() + body


class Web(asyncio.Protocol):
    """Answers every request, `delay` seconds after it has come."""

    def __init__(self, delay: float) -> None:
        self._delay = delay
        self._received = b""
        self._transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        if self._received.endswith(b"\r\n\r\n"):  # no bodies here
            response, self._received = _response(self._received), b""
            if self._delay:
                asyncio.get_running_loop().call_later(self._delay, self._transport.write, response)
            else:
                self._transport.write(response)


def _dns_answer(query: bytes) -> bytes:
    """Return the answer to a question about any name."""
    labels, at = [], 12
    while length := query[at]:
        labels.append(query[at + 1 : at + 1 + length].decode().lower())
        at += 1 + length
    kind_of, records, code = labels[-3].partition("-"), b"", 0
    (asked,) = struct.unpack("!H", query[at + 1 : at + 3])
    if asked == _A:
        records = struct.pack("!HHHIH", 0xC00C, _A, 1, _TTL, 4) + b"\x7f\0\0\1"
    elif asked == _SRV and _SERVICES.get(kind_of[0]) == labels[0]:
        target = ["t-" + kind_of[2], *labels[-2:], ""]
        name = b"".join(bytes([len(label)]) + label.encode() for label in target)
        data = struct.pack("!HHH", 0, 0, 8448) + name
        records = struct.pack("!HHHIH", 0xC00C, _SRV, 1, _TTL, len(data)) + data
    elif asked == _SRV:
        code = _NAME_ERROR
    flags = struct.pack("!5H", 0x8180 | code, 1, bool(records), 0, 0)
    return query[:2] + flags + query[12 : at + 5] + records


class Dns(asyncio.DatagramProtocol):
    """Answers every question, `delay` seconds after it has come."""

    def __init__(self, delay: float) -> None:
        self._delay = delay
        self._transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        answer = _dns_answer(data)
        if self._delay:
            loop = asyncio.get_running_loop()
            loop.call_later(self._delay, self._transport.sendto, answer, addr)
        else:
            self._transport.sendto(answer, addr)


async def serve(dns_delay: float, web_delay: float) -> None:
    """Run the servers until standard input ends; tell the ports and who vouches for them."""
    loop = asyncio.get_running_loop()
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(f"*.{ZONE}", "127.0.0.1").configure_cert(context)
    web = await loop.create_server(
        lambda: Web(web_delay), "127.0.0.1", 0, ssl=context, backlog=1024
    )
    dns, _ = await loop.create_datagram_endpoint(
        lambda: Dns(dns_delay), local_addr=("127.0.0.1", 0)
    )
    told = {
        "web": web.sockets[0].getsockname()[1],
        "dns": dns.get_extra_info("sockname")[1],
        "authority": authority.cert_pem.bytes().decode(),
    }
    print(json.dumps(told), flush=True)
    lines = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    await lines.read()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--dns-delay", type=float, default=0.0)
    parser.add_argument("--web-delay", type=float, default=0.0)
    asyncio.run(serve(**vars(parser.parse_args())))
