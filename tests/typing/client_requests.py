"""Type checkers see what `request()` takes, and what its errors hold."""

from ipaddress import IPv4Address, IPv6Address
from typing import assert_type

import aiohttp

from matrix_resolve import (
    ConnectError,
    FederationClient,
    Resolution,
    open_federation_client,
    open_resolver,
)


async def use(client: FederationClient) -> None:
    """What is right passes, and what is misspelt or refused does not."""
    async with client.request("PUT", "example.org", "/", json={}, timeout=5.0) as response:
        assert_type(response, aiohttp.ClientResponse)
    headers = {"Authorization": "X-Matrix"}
    client.request("GET", "example.org", "/", headers=headers, timeout=aiohttp.ClientTimeout(5))
    client.request("GET", "example.org", "/", tiemout=5)  # type: ignore[call-arg]
    client.request("GET", "example.org", "/", params={})  # type: ignore[call-arg]
    client.request("GET", "example.org", "/", chunked="yes")  # type: ignore[arg-type]


def reasons(error: ConnectError) -> list[tuple[str, int, IPv4Address | IPv6Address | None, str]]:
    """Return what each attempt says."""
    return [
        (attempt.target.host, attempt.target.port, attempt.address, attempt.reason)
        for attempt in error.attempts
    ]


async def opened() -> None:
    """What is opened has its type, either way."""
    resolver = await open_resolver(nameservers=["192.0.2.53"])
    async with open_federation_client(resolver) as client:
        assert_type(client, FederationClient)
    assert_type(await open_federation_client(resolver), FederationClient)
    assert_type(await resolver.refresh("example.org"), Resolution)
    await resolver.aclose()
