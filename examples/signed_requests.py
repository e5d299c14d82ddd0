"""Sends requests that are signed as federation wants it, by an `Authorization: X-Matrix` header.

    pip install cryptography
    python examples/signed_requests.py matrix.org '@alice:matrix.org'

That asks another server for the profile of a user. It is answered with 401, as nobody can fetch the
keys of `ORIGIN`; put your server's name and key there. What is signed is the path exactly as it is
sent, and the body as canonical JSON (specification, "Request Authentication").
"""

import asyncio
import base64
import json
import sys
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any
from urllib.parse import quote

import aiohttp
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from matrix_resolve import (
    FederationClient,
    MatrixResolveError,
    Resolver,
    ServerName,
    open_federation_client,
    open_resolver,
)

ORIGIN = "example.org"
KEY_ID = "ed25519:1"


def canonical(value: Any) -> bytes:
    """Return canonical JSON; that `value` has no floats and no huge integers is for the caller."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True)
    return text.encode()


def authorization(
    key: Ed25519PrivateKey, destination: str, method: str, path: str, content: Any = None
) -> str:
    """Return the header for one request; `content` is the body as JSON has it, None for none."""
    signed = {"method": method, "uri": path, "origin": ORIGIN, "destination": destination}
    if content is not None:
        signed["content"] = content
    signature = base64.b64encode(key.sign(canonical(signed))).decode().rstrip("=")
    return (
        f'X-Matrix origin="{ORIGIN}",destination="{destination}",key="{KEY_ID}",sig="{signature}"'
    )


async def send(
    client: FederationClient,
    key: Ed25519PrivateKey,
    name: str,
    method: str,
    path: str,
    content: Any = None,
) -> tuple[int, Any]:
    """Send a signed request; return the status and the JSON of the answer, None if it has none."""
    name = str(ServerName.parse(name))  # what stands in the header must be a server name
    headers = {"Authorization": authorization(key, name, method, path, content)}
    body = None
    if content is not None:
        body = canonical(content)
        headers["Content-Type"] = "application/json"
    async with client.request(method, name, path, headers=headers, data=body) as response:
        try:
            return response.status, json.loads(await response.read())
        except (ValueError, RecursionError):
            return response.status, None


async def main(
    name: str,
    user_id: str,
    key: Ed25519PrivateKey,
    open_resolver: Callable[[], AbstractAsyncContextManager[Resolver]] = open_resolver,
    open_client: Callable[
        [Resolver], AbstractAsyncContextManager[FederationClient]
    ] = open_federation_client,
) -> None:
    """Ask for a profile; a test opens other parts."""
    path = f"/_matrix/federation/v1/query/profile?user_id={quote(user_id, safe='')}"
    async with open_resolver() as resolver, open_client(resolver) as client:
        try:
            status, answer = await send(client, key, name, "GET", path)
        except (MatrixResolveError, aiohttp.ClientError, TimeoutError) as error:
            print(f"{name}: {error}")
        else:
            print(f"{name}: {status} {json.dumps(answer)[:200]}")


if __name__ == "__main__":
    _, name, user_id = sys.argv
    asyncio.run(main(name, user_id, Ed25519PrivateKey.generate()))
