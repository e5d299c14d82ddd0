"""Starts the servers of the benchmarks, and makes a real resolver that reaches them."""

import itertools
import json
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Final

from attrs import frozen

from matrix_resolve import (
    AddressPolicy,
    AiodnsLookup,
    AiohttpWellKnownFetcher,
    AnswerCache,
    MemoryCache,
    Policy,
    Resolver,
)
from tests.benchmarks.network_server import ZONE

_ROOT: Final = Path(__file__).parents[2]
_numbers: Final = itertools.count(10_000)
LOOPBACK: Final = "127.0.0.1"


class _Everywhere(Mapping[tuple[str, int], tuple[str, int]]):
    """Maps whatever is dialled to one socket address."""

    def __init__(self, address: tuple[str, int]) -> None:
        self._address = address

    def __getitem__(self, _: tuple[str, int]) -> tuple[str, int]:
        return self._address

    def __iter__(self) -> Iterator[tuple[str, int]]:
        return iter(())

    def __len__(self) -> int:
        return 1  # true: it is given


@frozen(kw_only=True)
class Network:
    """Where the servers are; `ssl_context` trusts them."""

    dns: int
    web: int
    authority: str
    ssl_context: ssl.SSLContext

    @property
    def nameserver(self) -> str:
        """The name server, as aiodns takes it."""
        return f"{LOOPBACK}:{self.dns}"

    @property
    def connect_to(self) -> Mapping[tuple[str, int], tuple[str, int]]:
        """Where to dial in place of any host."""
        return _Everywhere((LOOPBACK, self.web))

    @classmethod
    def told(cls, dns: int, web: int, authority: str) -> "Network":
        """Return the network that the servers have told of."""
        context = ssl.create_default_context(cadata=authority)
        context.hostname_checks_common_name = False
        context.set_alpn_protocols(["http/1.1"])
        return cls(dns=dns, web=web, authority=authority, ssl_context=context)

    @asynccontextmanager
    async def resolver(
        self, policy: Policy | None = None, cache: AnswerCache | None = None
    ) -> AsyncIterator[Resolver]:
        """Open a resolver of default parts and their settings but for the policy and the cache."""
        address_policy = AddressPolicy(allow=["127.0.0.0/8"])
        async with (
            AiodnsLookup(nameservers=[self.nameserver]) as lookup,
            AiohttpWellKnownFetcher(
                addresses=lookup,
                address_policy=address_policy,
                ssl_context=self.ssl_context,
                connect_to=self.connect_to,
            ) as fetcher,
            Resolver(
                well_known=fetcher,
                srv=lookup,
                addresses=lookup,
                cache=MemoryCache() if cache is None else cache,
                policy=Policy() if policy is None else policy,
                address_policy=address_policy,
            ) as resolver,
        ):
            yield resolver


def new_names(kind: str, count: int) -> list[str]:
    """Return so many names of a kind, none of which was ever asked for."""
    return [f"{kind}-{number}.{ZONE}" for number in itertools.islice(_numbers, count)]


@contextmanager
def serving(*, dns_delay: float = 0.0, web_delay: float = 0.0) -> Iterator[Network]:
    """Run the servers in a process of their own."""
    command = [sys.executable, "-m", "tests.benchmarks.network_server"]
    command += ["--dns-delay", str(dns_delay), "--web-delay", str(web_delay)]
    process = subprocess.Popen(
        command, cwd=_ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield Network.told(**json.loads(process.stdout.readline()))
    finally:
        process.stdin.close()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()
