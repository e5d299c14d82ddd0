"""A thousand cold names at once, over real sockets: does a join storm hold up the living?

    python tests/benchmarks/storm.py [--arriving SECONDS] [--seed N] [--profile]

One resolver with the default policy, its own fetcher and aiodns in this process; a DNS server and
web servers in another, so that each has a core. DNS takes 30 ms to answer and the web 50 ms. Of
the names 93 % are alive, the others troubled in six ways. Prints latencies by kind of name, and
whether the targets are met; the exit status tells the same. `--arriving` spreads the names over
so many seconds. `--profile` tells where the resolver's time goes, and makes it slower.

Linux only: a blackholed name is a listening socket whose queue of connections is full, so that
Linux drops every further SYN. It needs no rights, no routes, and nothing leaves the loopback.
"""

import argparse
import asyncio
import cProfile
import json
import math
import os
import pstats
import random
import socket
import ssl
import struct
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, nullcontext, suppress
from ipaddress import ip_address
from typing import Any, Final, cast

import trustme
from attrs import define, field, frozen

from matrix_resolve import AddressPolicy, Resolution, Resolver
from matrix_resolve.compose import compose_resolver
from matrix_resolve.core.addresses import DEFAULT_BLOCK

DNS_DELAY: Final = 0.03
WEB_DELAY: Final = 0.05
DRIP: Final = 0.3

LIVING_WITHIN: Final = 5.0
LIVING_SHARE: Final = 0.99
LAST_WITHIN: Final = 22.0
QUESTIONS_PER_NAME: Final = 3.5

# Nothing goes on for longer (seconds), whatever went wrong.
_LONGEST: Final = 300.0
_ZONE: Final = "storm.example"
# Has only letters, so that it is the whole first label; the others are "kind-number".
_SHARED_HOST: Final = f"shared.{_ZONE}"

Address = tuple[str, int]


@frozen
class Kind:
    """How many names are of a kind, and the step that decides about them if they are alive."""

    count: int
    step: str | None = None


KINDS: Final = {
    "port": Kind(470, "3.2"),  # delegate to host:443
    "host": Kind(100, "3.5"),  # delegate each to a host of its own, which has no SRV records
    "shared": Kind(30, "3.5"),  # delegate to one and the same host
    "none": Kind(200, "6"),  # 404 and no SRV records
    "srv": Kind(90, "4"),  # 404 and a record under _matrix-fed
    "legacy": Kind(40, "5"),  # 404 and a record under _matrix
    "stalled": Kind(15),  # accepts TCP and stays silent
    "blackholed": Kind(15),  # never answers a SYN
    "dripping": Kind(10),  # a byte every 0.3 s, for ever
    "refusing": Kind(10),  # refuses TCP
    "dead": Kind(10),  # no answer to any DNS question about it
    "servfail": Kind(10),  # SERVFAIL to every DNS question about it
}


def names_of(kind: str, count: int) -> list[str]:
    """Return so many names of one kind."""
    return [f"{kind}-{number}.{_ZONE}" for number in range(count)]


def kind_of(hostname: str) -> str:
    """Return the kind of a name, with or without SRV labels before it."""
    return hostname.removesuffix(f".{_ZONE}").rpartition(".")[2].partition("-")[0]


# The servers, in a process of their own


@define
class Seen:
    """What the servers were asked, by kind of name."""

    questions: Counter[str] = field(factory=Counter)
    requests: Counter[str] = field(factory=Counter)
    connections: int = 0


class Dns(asyncio.DatagramProtocol):
    """Answers about the names, by hand: a library would take longer than the resolver asks."""

    _A, _SOA, _AAAA, _SRV = 1, 6, 28, 33
    _NXDOMAIN, _SERVFAIL = 3, 2

    def __init__(self, seen: Seen) -> None:
        self._seen = seen
        self._loop = asyncio.get_running_loop()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: Any) -> None:
        labels, end = [], 12
        while length := data[end]:
            labels.append(data[end + 1 : end + 1 + length].decode().lower())
            end += 1 + length
        name, (asked,) = ".".join(labels), struct.unpack_from("!H", data, end + 1)
        kind = kind_of(name)
        self._seen.questions[kind] += 1
        if kind == "dead":
            return
        records, code = [], 0
        if kind == "servfail":
            code = self._SERVFAIL
        elif asked == self._SRV:
            if (kind, labels[0]) in (("srv", "_matrix-fed"), ("legacy", "_matrix")):
                labels = ["target", *_ZONE.split(".")]
                target = b"".join(bytes([len(label)]) + label.encode() for label in labels)
                records = [struct.pack("!HHH", 0, 0, 8448) + target + b"\0"]
            else:
                code = self._NXDOMAIN
        elif asked in (self._A, self._AAAA):
            records = [ip_address("127.0.0.1" if asked == self._A else "::1").packed]
        answer = struct.pack("!HHHHHH", *struct.unpack_from("!H", data), 0x8180 | code, 1,
                             len(records), int(not records), 0)  # fmt: skip
        answer += data[12 : end + 5]
        for record in records:
            answer += struct.pack("!HHHIH", 0xC00C, asked, 1, 300, len(record)) + record
        if not records:
            soa = b"\0\0" + struct.pack("!IIIII", 1, 3600, 600, 86400, 60)
            answer += b"\0" + struct.pack("!HHIH", self._SOA, 1, 60, len(soa)) + soa
        self._loop.call_later(DNS_DELAY, self._transport.sendto, answer, addr)


class Web(asyncio.Protocol):
    """Answers one request for a well-known document, and leaves the closing to the client."""

    def __init__(self, seen: Seen) -> None:
        self._seen = seen
        self._loop = asyncio.get_running_loop()
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._received += data
        if not self._received.endswith(b"\r\n\r\n"):
            return
        _, *headers = self._received.decode().split("\r\n")
        host = next(h.partition(":")[2].strip() for h in headers if h.lower().startswith("host:"))
        kind = kind_of(host)
        self._seen.requests[kind] += 1
        delegated = {
            "port": f"matrix.{host}:443",
            "host": f"delegated-{host}",
            "shared": _SHARED_HOST,
        }.get(kind)
        body = b"" if delegated is None else json.dumps({"m.server": delegated}).encode()
        status = "404 Not Found" if delegated is None else "200 OK"
        head = f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n\r\n".encode()
        if kind == "dripping":
            head = b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n"
            self._loop.call_later(DRIP, self._drip)
        self._loop.call_later(WEB_DELAY, self._transport.write, head + body)

    def _drip(self) -> None:
        if not self._transport.is_closing():
            self._transport.write(b" ")
            self._loop.call_later(DRIP, self._drip)


class Mute(asyncio.Protocol):
    """Accepts, and says nothing."""

    def __init__(self, seen: Seen) -> None:
        seen.connections += 1


@contextmanager
def blackhole() -> Iterator[socket.socket]:
    """Listen so that no connection is ever answered: the queue is full and nobody accepts."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listening, socket.socket() as filling:
        filling.connect(listening.getsockname())
        with socket.socket() as probing:
            probing.settimeout(0.2)
            with suppress(TimeoutError):
                probing.connect(listening.getsockname())
                raise RuntimeError("a full queue does not keep connections out here")
        yield listening


def port_of(listening: Any) -> int:
    """Return the port of a socket."""
    return cast(int, listening.getsockname()[1])


async def serve() -> None:
    """Run the servers until standard input ends; each line there asks for what was seen."""
    seen = Seen()
    loop = asyncio.get_running_loop()
    authority = trustme.CA()
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.set_alpn_protocols(["http/1.1"])
    authority.issue_cert(f"*.{_ZONE}").configure_cert(tls)
    dns, _ = await loop.create_datagram_endpoint(lambda: Dns(seen), ("127.0.0.1", 0))
    dns.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
    web = await loop.create_server(lambda: Web(seen), "127.0.0.1", 0, ssl=tls, backlog=2048)
    mute = await loop.create_server(lambda: Mute(seen), "127.0.0.1", 0, backlog=2048)
    lines = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    with blackhole() as dropping, socket.socket() as refusing:
        refusing.bind(("127.0.0.1", 0))  # and nobody ever listens
        answer: dict[str, Any] = {
            "nameserver": dns.get_extra_info("sockname")[1],
            "authority": authority.cert_pem.bytes().decode(),
            "ports": {
                "stalled": port_of(mute.sockets[0]),
                "blackholed": port_of(dropping),
                "refusing": port_of(refusing),
                "others": port_of(web.sockets[0]),
            },
        }
        while True:
            print(json.dumps(answer), flush=True)
            if not await lines.readline():
                return
            answer = {
                "questions": seen.questions,
                "requests": seen.requests,
                "connections": seen.connections,
                "cpu": time.process_time(),
            }


class Servers:
    """The servers in their process, as the resolver's side knows them."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, __file__, "--serve"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._where = self._read()

    def _read(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError("the servers have ended")
        return cast(dict[str, Any], json.loads(line))

    def seen(self) -> dict[str, Any]:
        """Return what the servers were asked until now, and the CPU seconds that they took."""
        assert self._process.stdin is not None
        self._process.stdin.write("seen\n")
        self._process.stdin.flush()
        return self._read()

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()

    def connect_to(self, names: Sequence[str]) -> Mapping[Address, Address]:
        """Return for each name's web server the address of the one that stands for it."""
        ports = self._where["ports"]
        return {
            (name, 443): ("127.0.0.1", ports.get(kind_of(name), ports["others"])) for name in names
        }

    def resolver(self, names: Sequence[str]) -> Any:
        """Open a resolver as `open_resolver` does, that reaches the servers."""
        context = ssl.create_default_context(cadata=self._where["authority"])
        context.hostname_checks_common_name = False
        context.set_alpn_protocols(["http/1.1"])
        loopback = (ip_address("127.0.0.1"), ip_address("::1"))
        return compose_resolver(
            nameservers=[f"127.0.0.1:{self._where['nameserver']}"],
            ssl_context=context,
            connect_to=self.connect_to(names),
            # As costly as the default one.
            address_policy=AddressPolicy(
                block=[net for net in DEFAULT_BLOCK if not any(ip in net for ip in loopback)]
            ),
        )


@contextmanager
def servers() -> Iterator[Servers]:
    """Run the servers; they end with this process, whatever becomes of it."""
    opened = Servers()
    try:
        yield opened
    finally:
        opened.close()


# The storm


@frozen
class Outcome:
    """What became of a name: how many seconds it took and when it was over, and the answer."""

    name: str
    seconds: float
    ended_at: float
    answer: Resolution | Exception

    @property
    def is_right(self) -> bool:
        """Whether it is what a living name should be answered."""
        step = KINDS[kind_of(self.name)].step
        return (
            isinstance(self.answer, Resolution)
            and self.answer.step.value == step
            and not self.answer.degraded
        )


async def resolve_all(
    resolver: Resolver, names: Sequence[str], arriving: float = 0.0
) -> list[Outcome]:
    """Resolve `names` at once, or spread over so many seconds, in that order."""
    began = time.perf_counter()

    async def resolve(place: int, name: str) -> Outcome:
        if arriving:
            await asyncio.sleep(arriving * place / len(names))
        started = time.perf_counter()
        answer: Resolution | Exception
        try:
            answer = await resolver.resolve(name)
        except Exception as error:
            answer = error
        ended = time.perf_counter()
        return Outcome(name, ended - started, ended - began, answer)

    async with asyncio.timeout(_LONGEST):
        return await asyncio.gather(*(resolve(place, name) for place, name in enumerate(names)))


@asynccontextmanager
async def longest_stall() -> AsyncIterator[Callable[[], float]]:
    """Watch the event loop; the function tells for how long it was away at most, in seconds."""
    longest = 0.0

    async def watch() -> None:
        nonlocal longest
        while True:
            before = time.perf_counter()
            await asyncio.sleep(0.01)
            longest = max(longest, time.perf_counter() - before - 0.01)

    watching = asyncio.create_task(watch())
    try:
        yield lambda: longest
    finally:
        watching.cancel()


def at_share(values: Sequence[float], share: float) -> float:
    """Return the least of `values` that so large a share of them does not exceed."""
    ordered = sorted(values)
    return ordered[max(math.ceil(share * len(ordered)) - 1, 0)]


def table(outcomes: Sequence[Outcome], questions: Mapping[str, int]) -> None:
    """Print the latencies of each kind of name."""
    print(f"{'':12}{'names':>6}{'median':>9}{'99 %':>9}{'max':>9}  DNS questions a name")
    kinds = {kind: [o for o in outcomes if kind_of(o.name) == kind] for kind in KINDS}
    living = [o for o in outcomes if KINDS[kind_of(o.name)].step is not None]
    for kind, those in {**kinds, "all living": living, "all": list(outcomes)}.items():
        seconds = [outcome.seconds for outcome in those]
        row = "".join(f"{at_share(seconds, share):7.2f} s" for share in (0.5, 0.99, 1.0))
        asked = questions.get(kind, 0) + (questions.get("delegated", 0) if kind == "host" else 0)
        rate = f"{asked / len(those):8.2f}" if kind in kinds else ""
        print(f"{kind:12}{len(those):6}{row}{rate}")


def verdict(what: str, figure: str, met: bool) -> bool:
    """Print one target and whether it is met, and return that."""
    print(f"{'PASS' if met else 'FAIL'}  {what}: {figure}")
    return met


async def storm(
    opened: Servers, arriving: float, seed: int, profiler: cProfile.Profile | None
) -> bool:
    """Make the storm, print what became of it, and return whether all targets are met."""
    names = [name for kind, of in KINDS.items() for name in names_of(kind, of.count)]
    random.Random(seed).shuffle(names)
    async with opened.resolver(names) as resolver, longest_stall() as stall:
        cpu = time.process_time()
        servers_cpu = opened.seen()["cpu"]
        with nullcontext() if profiler is None else profiler:
            outcomes = await resolve_all(resolver, names, arriving)
        cpu = time.process_time() - cpu
        stalled = stall()
        seen = opened.seen()
    table(outcomes, seen["questions"])
    living = [o for o in outcomes if KINDS[kind_of(o.name)].step is not None]
    answered = sum(o.is_right and o.seconds <= LIVING_WITHIN for o in living) / len(living)
    raised = [o for o in outcomes if isinstance(o.answer, Exception)]
    wrong = [o for o in living if not o.is_right and o not in raised]
    last = max(outcome.ended_at for outcome in outcomes)
    last_living = max(outcome.ended_at for outcome in living)
    questions = sum(seen["questions"].values()) / len(names)
    print(
        f"\nlast of the living after {last_living:.2f} s; requests served"
        f" {sum(seen['requests'].values())}, connections that stalled {seen['connections']}\n"
        f"CPU: resolver {cpu:.2f} s, servers {seen['cpu'] - servers_cpu:.2f} s;"
        f" event loop away at most {1000 * stalled:.0f} ms\n"
    )
    for outcome in [*raised, *wrong][:5]:
        print(f"  {outcome.name}: {outcome.answer!r}")
    share, last_within = f"{LIVING_SHARE:.0%}", LAST_WITHIN + arriving
    return all(
        [
            verdict(
                f"{share} of the living answered rightly within {LIVING_WITHIN:g} s",
                f"{answered:.2%}",
                answered >= LIVING_SHARE,
            ),
            verdict(f"all over within {last_within:g} s", f"{last:.2f} s", last <= last_within),
            verdict(
                f"at most {QUESTIONS_PER_NAME} DNS questions a name, tries again included",
                f"{questions:.2f}",
                questions <= QUESTIONS_PER_NAME,
            ),
            verdict("nothing raised", f"{len(raised)}", not raised),
        ]
    )


def main() -> int:
    """Run what the command line says; return the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--arriving", type=float, default=0.0, metavar="SECONDS")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--profile", action="store_true")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve:
        with suppress(TimeoutError, KeyboardInterrupt):
            asyncio.run(asyncio.wait_for(serve(), _LONGEST))
        return 0
    # The servers inherit this: two cores in all, on larger machines too.
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:2])
    profiler = cProfile.Profile() if arguments.profile else None
    with servers() as opened:
        met = asyncio.run(storm(opened, arguments.arriving, arguments.seed, profiler))
    if profiler is not None:
        pstats.Stats(profiler).sort_stats("tottime").print_stats(40)
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
