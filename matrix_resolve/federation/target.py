"""One request, and its way to one target of a resolution."""

from collections.abc import Hashable, Iterable, Sequence
from ipaddress import ip_address
from typing import Any, Final, cast

from attrs import frozen

from matrix_resolve.core.names import IPAddress
from matrix_resolve.core.resolution import Resolution, Target
from matrix_resolve.errors import AddressLookupError, AddressNotAllowedError
from matrix_resolve.federation.outgoing import Outgoing
from matrix_resolve.federation.response import FederationResponse
from matrix_resolve.resolver import Resolver
from matrix_resolve.timeouts import within
from matrix_resolve.transport.attempts import Budget, SocketAddress
from matrix_resolve.transport.dialling import Dialling
from matrix_resolve.transport.exchange import MAX_HEADERS
from matrix_resolve.transport.failures import Failure
from matrix_resolve.transport.race import Dialler

# Bytes that may be received before the head of a response is complete: TLS, the header fields, and
# what is read at once after them.
_BEFORE_BODY = MAX_HEADERS + 384 * 1024


@frozen(kw_only=True)
class Attempt:
    """A target, or one address of it, that was not reached, and why."""

    target: Target
    address: IPAddress | None
    reason: str

    def __str__(self) -> str:
        at = "" if self.address is None else f" at {self.address}"
        return f"{self.target}{at}: {self.reason}"


def told_of(attempts: Iterable[Attempt]) -> str:
    """Return what is told of attempts, each once."""
    return "; ".join(dict.fromkeys(map(str, attempts)))


class TargetRequest:
    """A request on its way to one target of a resolution.

    `tried` are the ways that have failed, and need not be gone again. `failures` tells why each
    address, or None for the target as a whole, could not be connected to.
    """

    def __init__(
        self,
        resolver: Resolver,
        dialler: Dialler,
        resolution: Resolution,
        target: Target,
        outgoing: Outgoing,
        *,
        tried: set[Hashable],
        connect_timeout: float,
        proxy: dict[str, Any],
    ) -> None:
        self._resolver = resolver
        self._dialler = dialler
        self._outgoing = outgoing
        self.target: Final = target
        self._resolution = resolution
        self._tried = tried
        self._proxy = proxy
        self._connect_timeout = min(connect_timeout, outgoing.limits.connect or connect_timeout)
        self.failures: dict[str | None, Failure] = {}

    async def response(self) -> FederationResponse | None:
        """Return the response, None if the target can't be connected to.

        Raises `AddressNotAllowedError`, and what happens on a connection.
        """
        outgoing = self._outgoing
        outgoing.headers["Host"] = self._resolution.host_header
        if self._proxy and not self._is_new(None):
            return None
        dialling = Dialling(
            self._dialler,
            self.target.host,
            self.target.port,
            self._addresses,
            connect_timeout=self._connect_timeout,
            budget=Budget(_BEFORE_BODY),
            proxy=self._proxy,
            connected=self._connected,
            failures=self.failures,
        )
        try:
            response = await dialling.request(
                outgoing.method,
                outgoing.path,
                headers=outgoing.headers,
                server_hostname=self._resolution.tls_name.lower(),
                limits=outgoing.limits.connecting,
                can_repeat=not outgoing.has_one_try,
                **outgoing.kwargs,
            )
            return cast(FederationResponse | None, response)
        except AddressLookupError as error:
            # That there are none is known; that they could not be asked for is our own trouble.
            if error.temporary:
                host = self.target.host
                reason = f"the addresses of {host} could not be looked up: {error.reason}"
                self.failures[None] = Failure(reason, is_own=True, is_lookup=True)
            else:
                self.failures[None] = Failure(error.reason)
            return None
        except AddressNotAllowedError as error:
            forbidden = Failure("the address policy forbids it")
            self.failures |= {str(address): forbidden for address in error.addresses}
            raise

    def _connected(self) -> None:
        self._outgoing.waits_for("response from", self.target)

    @property
    def attempts(self) -> list[Attempt]:
        """Each address that could not be connected to, or None for the whole target, and why."""
        return [
            Attempt(
                target=self.target,
                address=None if at is None else ip_address(at),
                reason=failure.reason,
            )
            for at, failure in self.failures.items()
        ]

    async def _addresses(self) -> Sequence[SocketAddress]:
        """Return the addresses to dial: looked up, allowed, in order."""
        to_one = self._resolution.with_targets((self.target,))
        lookup = self._resolver.endpoints(to_one)
        endpoints = await within(self._connect_timeout, lookup, AddressLookupError)
        found = [(str(endpoint.address), endpoint.port) for endpoint in endpoints]
        return [address for address in found if self._is_new(address)]

    def _is_new(self, address: SocketAddress | None) -> bool:
        """Return whether this way has not been gone yet; it has now."""
        to = self._resolution
        way = to.host_header, to.tls_name, self.target.host, self.target.port, address
        is_new = way not in self._tried
        self._tried.add(way)
        return is_new
