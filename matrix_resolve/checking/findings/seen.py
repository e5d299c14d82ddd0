"""What is wrong at each endpoint: TCP, then TLS, then the API; the first of them hides the rest."""

from enum import Enum, auto

from attrs import frozen

from matrix_resolve.checking.facts import EndpointFacts, TcpProblem
from matrix_resolve.checking.findings.api import is_own, keys_faults, version_faults
from matrix_resolve.checking.findings.fault import Fault
from matrix_resolve.checking.findings.tls import tls_fault
from matrix_resolve.checking.texts import socket_address


class State(Enum):
    """What peers find at an endpoint."""

    WORKS = auto()
    BROKEN = auto()
    """It connects, and then something is wrong."""
    DEAD = auto()
    """It does not connect."""
    FORBIDDEN = auto()
    """Peers will not connect to such an address."""
    UNKNOWN = auto()
    """Trouble of our own, or no time was left."""


@frozen(kw_only=True)
class Seen:
    """An endpoint as it was judged."""

    endpoint: EndpointFacts
    state: State
    faults: tuple[Fault, ...] = ()
    software: tuple[str, str] | None = None

    @property
    def place(self) -> str:
        """Its address and port."""
        return socket_address(self.endpoint.address, self.endpoint.target.port)


def see(
    endpoint: EndpointFacts, server_name: str, tls_name: str, at: float, *, by_srv: bool
) -> Seen:
    """Return what is to be said of an endpoint; `by_srv`: SRV records led there."""
    place = socket_address(endpoint.address, endpoint.target.port)
    if endpoint.is_forbidden:
        return Seen(endpoint=endpoint, state=State.FORBIDDEN)
    if endpoint.problem is not None:
        ours = endpoint.problem is TcpProblem.OWN
        return Seen(endpoint=endpoint, state=State.UNKNOWN if ours else State.DEAD)
    if endpoint.tls is None:
        return Seen(endpoint=endpoint, state=State.UNKNOWN)
    problem = tls_fault(endpoint, tls_name, place, by_srv=by_srv)
    if problem is not None:
        return Seen(endpoint=endpoint, state=State.BROKEN, faults=(problem,))
    if endpoint.version is None or is_own(endpoint.version):
        return Seen(endpoint=endpoint, state=State.UNKNOWN)
    faults, software = version_faults(endpoint.version, place)
    if not any(fault.is_fatal for fault in faults):
        faults += keys_faults(endpoint, server_name, at, place)
    is_broken = any(fault.is_fatal for fault in faults)
    return Seen(
        endpoint=endpoint,
        state=State.BROKEN if is_broken else State.WORKS,
        faults=tuple(faults),
        software=software,
    )
