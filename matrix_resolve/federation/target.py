"""One request, and its way to one target of a resolution."""

import asyncio
import io
from collections.abc import Mapping, Sequence
from ipaddress import ip_address
from typing import Any

import aiohttp
from attrs import evolve, frozen
from multidict import CIMultiDict

from matrix_resolve.core.names import IPAddress
from matrix_resolve.core.resolution import Resolution, Target
from matrix_resolve.errors import AddressLookupError, AddressNotAllowedError
from matrix_resolve.resolver import Resolver
from matrix_resolve.transport.dialling import Dialling
from matrix_resolve.transport.pinning import SocketAddress


@frozen(kw_only=True)
class Attempt:
    """A target, or one address of it, that was not reached, and why."""

    target: Target
    address: IPAddress | None
    reason: str

    def __str__(self) -> str:
        at = "" if self.address is None else f" at {self.address}"
        return f"{self.target}{at}: {self.reason}"


class Outgoing:
    """What is to be sent, and until when."""

    def __init__(
        self,
        method: str,
        path: str,
        headers: CIMultiDict[str],
        timeout: aiohttp.ClientTimeout,
        kwargs: Mapping[str, Any],
    ) -> None:
        self.method = method
        self.path = path
        self.headers = headers
        self.kwargs = kwargs
        self.connect_timeout = timeout.connect
        self._timeout = timeout
        now = asyncio.get_running_loop().time()
        # 0 is no limit, as aiohttp has it.
        self._ends_at = now + timeout.total if timeout.total else None

    def in_time(self) -> asyncio.Timeout:
        """Return what raises `TimeoutError` when the time of the request is used up."""
        return asyncio.timeout_at(self._ends_at)

    def timeout(self, connect: float) -> aiohttp.ClientTimeout:
        """Return the time that is left, of which `connect` seconds are for connecting."""
        total = None
        if self._ends_at is not None:
            total = self._ends_at - asyncio.get_running_loop().time()
            if total <= 0:
                raise TimeoutError("the time of the request is used up")
        given = self._timeout
        return aiohttp.ClientTimeout(
            total=total,
            connect=connect,
            sock_read=given.sock_read,
            sock_connect=given.sock_connect,
            ceil_threshold=given.ceil_threshold,
        )

    @property
    def has_one_try(self) -> bool:
        """Whether the body is an open file, which aiohttp closes (in a while) at any failure."""
        data = self.kwargs.get("data")
        return isinstance(data, io.IOBase) and not isinstance(data, io.BytesIO | io.StringIO)


class TargetRequest:
    """A request on its way to one target of a resolution."""

    def __init__(
        self,
        resolver: Resolver,
        session: aiohttp.ClientSession,
        resolution: Resolution,
        target: Target,
        outgoing: Outgoing,
        *,
        connect_timeout: float,
        connect_to: Mapping[SocketAddress, SocketAddress],
    ) -> None:
        self._resolver = resolver
        self._outgoing = outgoing
        self._target = target
        self._to_one = evolve(resolution, targets=(target,))
        self._dialling = Dialling(
            session,
            target.host,
            target.port,
            self._addresses,
            connect_timeout=min(connect_timeout, outgoing.connect_timeout or connect_timeout),
            connect_to=connect_to,
        )
        self._failures: dict[str | None, str] = {}

    async def response(self) -> aiohttp.ClientResponse | None:
        """Return the response, None if the target can't be connected to.

        Raises `AddressNotAllowedError`, and what happens on a connection.
        """
        outgoing = self._outgoing
        headers = outgoing.headers.copy()
        headers["Host"] = self._to_one.host_header
        try:
            return await self._dialling.request(
                outgoing.method,
                outgoing.path,
                headers=headers,
                server_hostname=self._to_one.tls_name.lower(),
                limits=outgoing.timeout,
                can_repeat=not outgoing.has_one_try,
                **outgoing.kwargs,
            )
        except AddressLookupError as error:
            self._failures[None] = error.reason
            return None
        except AddressNotAllowedError as error:
            forbidden = "the address policy forbids it"
            self._failures |= {str(address): forbidden for address in error.addresses}
            raise

    @property
    def attempts(self) -> list[Attempt]:
        """Each address that could not be connected to, or None for the whole target, and why."""
        failures = self._failures | self._dialling.failures
        return [
            Attempt(
                target=self._target, address=None if at is None else ip_address(at), reason=reason
            )
            for at, reason in failures.items()
        ]

    async def _addresses(self) -> Sequence[SocketAddress]:
        """Return the addresses to dial: looked up, allowed, in order."""
        endpoints = await self._resolver.endpoints(self._to_one)
        return [(str(endpoint.address), endpoint.port) for endpoint in endpoints]
