"""Servers in trouble, and we ourselves: what it costs, and what is made of it.

    python tests/benchmarks/trouble.py [--scenario NAME]

Prints figures for the fetcher and the federation client against servers that are mute, that never
say farewell in TLS or that pay no heed to `Connection: close`, with DNS down and with few file
descriptors. The servers have a process of their own. It uses public names only, so that another
checkout can be measured with it (`PYTHONPATH`).
"""

import argparse
import asyncio
import json
import multiprocessing
import os
import resource
import socket
import ssl
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable
from contextlib import asynccontextmanager, suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Final

from matrix_resolve import (
    AddressPolicy,
    AiodnsLookup,
    AiohttpWellKnownFetcher,
    ConnectError,
    Policy,
    open_federation_client,
    open_resolver,
)
from matrix_resolve.testing import Certificate, FakeAddresses, FakeSrv, FakeWellKnown
from matrix_resolve.testing.loopback.certificates import Certificates

GOOD, MUTE = "127.0.0.2", "127.0.0.3"
FDS: Final = Path("/proc/self/fd")
BODY: Final = json.dumps({"m.server": "host.test:8448"}).encode()
ANSWER: Final = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(BODY), BODY)


class Server:
    """Answers each request, closes nothing, and never says farewell; or says nothing at all."""

    def __init__(self, context: ssl.SSLContext | None, address: tuple[str, int]) -> None:
        self.context = context
        self.listener = socket.create_server(address, backlog=4096)
        self.count = 0
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self) -> None:
        """Serve whoever connects."""
        while True:
            sock, _ = self.listener.accept()
            self.count += 1
            threading.Thread(target=self.serve, args=(sock,), daemon=True).start()

    def serve(self, sock: socket.socket) -> None:
        """Go on until the client has closed the connection."""
        with sock:
            try:
                while self.context is None and sock.recv(65536):
                    pass
                if self.context is not None:
                    self.answer(sock, self.context)
            except OSError:
                return

    def answer(self, sock: socket.socket, context: ssl.SSLContext) -> None:
        """Speak TLS by hand: Python would answer a farewell."""
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = context.wrap_bio(incoming, outgoing, server_side=True)
        hello = False
        while data := sock.recv(65536):
            incoming.write(data)
            try:
                if not hello:
                    tls.do_handshake()
                    hello = True
                while tls.read(65536):
                    tls.write(ANSWER)
            except ssl.SSLWantReadError:
                pass
            sock.sendall(outgoing.read())


def serve(pipe: Connection) -> None:
    """Run a good and a mute server on one port; tell how often each was connected to."""
    certificates = Certificates()
    good = Server(certificates.server_context("host.test", Certificate.VALID), (GOOD, 0))
    port = good.listener.getsockname()[1]
    mute = Server(None, (MUTE, port))
    pipe.send((certificates.ca_pem, port))
    while pipe.recv() is not None:
        pipe.send((good.count, mute.count))
        good.count = mute.count = 0


class Figures:
    """Prints what is measured, against the servers at `port`."""

    def __init__(self, pipe: Connection, context: ssl.SSLContext, port: int) -> None:
        self.pipe = pipe
        self.context = context
        self.port = port

    def connections(self) -> tuple[int, int]:
        """How often the good and the mute server were connected to since this was last asked."""
        self.pipe.send("counts")
        counts: tuple[int, int] = self.pipe.recv()
        return counts

    @asynccontextmanager
    async def client(
        self, addresses: Iterable[str], policy: Policy | None = None, **settings: Any
    ) -> AsyncIterator[Any]:
        """A client that finds every host at these addresses."""
        async with (
            open_resolver(
                well_known=FakeWellKnown(),
                srv=FakeSrv(),
                addresses=Everywhere(addresses),
                address_policy=AddressPolicy.allow_all(),
                policy=policy,
            ) as resolver,
            open_federation_client(resolver, ssl_context=self.context, **settings) as client,
        ):
            yield client

    async def mute_address(self) -> None:
        """Line 1: a host with a mute address and a good one."""
        for first, second in ((MUTE, GOOD), (GOOD, MUTE)):
            async with self.client([first, second]) as client:
                times = [await timed(self.get(client, f"host.test:{self.port}")) for _ in range(2)]
            print(f"client, addresses {first}, {second}: {', '.join(times)}")
            fetcher = self.fetcher([f"h{n}.test" for n in range(2)], [first, second])
            async with fetcher:
                times = [await timed(fetched(fetcher, f"h{n}.test")) for n in range(2)]
            print(f"fetcher, addresses {first}, {second}: {', '.join(times)}")

    def fetcher(self, names: list[str], addresses: list[str]) -> AiohttpWellKnownFetcher:
        """A fetcher that reaches a redirect's port directly."""
        return PortFetcher(
            self.port,
            addresses=Everywhere(addresses),
            address_policy=AddressPolicy.allow_all(),
            ssl_context=self.context,
        )

    async def get(self, client: Any, name: str) -> str:
        """Send a request; the status or the error."""
        try:
            async with client.request("GET", name, "/") as response:
                await response.read()
                return str(response.status)
        except (ConnectError, OSError, TimeoutError) as error:
            return f"{type(error).__name__}: {str(error)[:150]}"

    async def no_farewell(self) -> None:
        """Line 2: 119 names one after another, at a server that never says farewell in TLS."""
        before = sockets()
        names = [f"h{n}.test" for n in range(119)]
        fetcher = self.mapped_fetcher(names)
        policy = Policy(max_well_known_fetches=4)
        async with (
            fetcher,
            open_resolver(
                well_known=fetcher, srv=FakeSrv(), addresses=FakeAddresses(), policy=policy
            ) as resolver,
        ):
            for name in names:
                assert (await resolver.resolve(name)).delegated_to is not None
            at_once = sockets() - before
            await asyncio.sleep(1)
            print(f"119 names: {at_once} sockets open then, {sockets() - before} a second later")

    def mapped_fetcher(self, names: list[str]) -> AiohttpWellKnownFetcher:
        """A fetcher that finds these names at the good server."""
        return AiohttpWellKnownFetcher(
            addresses=Everywhere([GOOD]),
            address_policy=AddressPolicy.allow_all(),
            ssl_context=self.context,
            connect_to={(name, 443): (GOOD, self.port) for name in names},
        )

    async def bound(self) -> None:
        """Line 3: 60 names with `max_connections=5`, at a server that closes nothing."""
        before, most = sockets(), 0
        async with self.client([GOOD], max_connections=5) as client:

            async def ask(number: int) -> None:
                nonlocal most
                await self.get(client, f"h{number}.test:{self.port}")
                most = max(most, sockets() - before)

            await asyncio.gather(*map(ask, range(60)))
            print(f"60 names with max_connections=5: {most} sockets at most")
            self.connections()
            for _ in range(3):
                async with client.request(
                    "GET", f"h0.test:{self.port}", "/", headers={"Connection": "close"}
                ) as response:
                    await response.read()
            print(f"3 requests with Connection: close: {self.connections()[0]} connections")

    async def dead(self) -> None:
        """Line 17: a mute server, with `connect_timeout=1`."""
        self.connections()
        async with self.client([MUTE], connect_timeout=1.0) as client:
            times = [await timed(self.get(client, f"host.test:{self.port}")) for _ in range(3)]
        print(f"{', '.join(times)}; {self.connections()[1]} connections")

    async def no_dns(self) -> None:
        """Line 18: our own name server is down."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
            silent.bind(("127.0.0.1", 0))
            nameserver = f"127.0.0.1:{silent.getsockname()[1]}"
            well_known = FakeWellKnown({"a.test": {"m.server": "host.test:8448"}})
            async with (
                AiodnsLookup(nameservers=[nameserver]) as lookup,
                open_resolver(
                    well_known=well_known,
                    srv=lookup,
                    addresses=lookup,
                    address_policy=AddressPolicy.allow_all(),
                ) as resolver,
                open_federation_client(resolver, ssl_context=self.context) as client,
            ):
                await resolver.resolve("a.test")
                print(await timed(self.get(client, "a.test")))
                await resolver.resolve("a.test")
                print(f"the document was fetched {len(well_known.asked)} times")

    async def descriptors(self) -> None:
        """Lines 5 and 32: 256 descriptors; 2,000 names 20 at once; and none left for a fetch."""
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
        async with self.client([GOOD]) as client:
            numbers = iter(range(2000))
            told: dict[str, int] = {}

            async def worker() -> None:
                for number in numbers:
                    result = await self.get(client, f"h{number}.test:{self.port}")
                    told[result[:60]] = told.get(result[:60], 0) + 1

            await asyncio.gather(*(worker() for _ in range(20)))
            print(f"2,000 names with 256 descriptors: {told}")
        fetcher = self.mapped_fetcher(["full.test"])
        async with (
            fetcher,
            open_resolver(
                well_known=fetcher,
                srv=FakeSrv(),
                addresses=FakeAddresses(),
                policy=Policy(jitter=0.0),
            ) as resolver,
        ):
            await resolver.resolve("other.test")
            lowest = os.dup(0)
            os.close(lowest)
            resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, hard))
            resolution = await resolver.resolve("full.test")
            resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
            assert resolution.expires_at is not None
            seconds = resolution.expires_at.timestamp() - time.time()
            print(f"no descriptor left for a fetch: remembered for {seconds:.0f} s")


class Everywhere:
    """Finds every host at the same addresses."""

    def __init__(self, addresses: Iterable[str]) -> None:
        self._found = FakeAddresses({"host": list(addresses)})

    async def lookup_addresses(self, hostname: str, /) -> Any:
        """Return them."""
        return await self._found.lookup_addresses("host")


class PortFetcher(AiohttpWellKnownFetcher):
    """Fetches from another port than 443, at the addresses that were found."""

    def __init__(self, port: int, **settings: Any) -> None:
        super().__init__(**settings)
        self._port_instead = port

    async def fetch(self, hostname: str, /) -> Any:
        """Fetch."""
        return await super().fetch(f"{hostname}:{self._port_instead}")


async def fetched(fetcher: AiohttpWellKnownFetcher, name: str) -> str:
    """Fetch a document; the status or the error."""
    try:
        return str((await fetcher.fetch(name)).status)
    except Exception as error:
        return str(error)[:100]


async def timed(asked: Coroutine[Any, Any, str]) -> str:
    """What comes of it, and after how many seconds."""
    began = time.perf_counter()
    result = await asked
    return f"{result} after {time.perf_counter() - began:.2f} s"


def sockets() -> int:
    """How many sockets this process has open."""
    found = 0
    for number in FDS.iterdir():
        with suppress(OSError):
            found += str(number.readlink()).startswith("socket:")
    return found


def main() -> int:
    """Run the scenarios."""
    scenarios: dict[str, Callable[[Figures], Coroutine[Any, Any, None]]] = {
        "mute": Figures.mute_address,
        "farewell": Figures.no_farewell,
        "bound": Figures.bound,
        "dead": Figures.dead,
        "dns": Figures.no_dns,
        "descriptors": Figures.descriptors,
    }
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scenario", choices=scenarios)
    chosen = parser.parse_args().scenario
    here, there = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=serve, args=(there,))
    process.start()
    ca_pem, port = here.recv()
    context = ssl.create_default_context(cadata=ca_pem.decode())
    context.check_hostname = False
    figures = Figures(here, context, port)
    for name, scenario in scenarios.items():
        if chosen in (None, name):
            print(f"\n{name}: {scenario.__doc__}", flush=True)
            asyncio.run(asyncio.wait_for(scenario(figures), 120))
    here.send(None)
    process.join()
    return 0


if __name__ == "__main__":
    sys.exit(main())
