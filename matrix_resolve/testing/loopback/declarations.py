"""What a test says about one host of a loopback federation."""

from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from enum import Enum
from ipaddress import ip_address

from attrs import field, frozen

from matrix_resolve.core.names import ServerName
from matrix_resolve.errors import InvalidServerNameError
from matrix_resolve.interfaces import SrvRecord
from matrix_resolve.testing.loopback.behaviours import Behaviour, Raw, Refused, Request, Silent

WELL_KNOWN = "/.well-known/matrix/server"
WELL_KNOWN_PORT = 443

SrvTargets = Sequence[SrvRecord | tuple[str, int]]
DnsFaults = Mapping[str, "DnsFault"]


class Certificate(Enum):
    """Which certificate a host presents; only the first passes a check."""

    VALID = "valid"
    """For the name that the client sent, or the IP literal that it connected to."""
    WRONG_NAME = "wrong name"
    """For another name."""
    EXPIRED = "expired"
    """Past its end."""
    UNTRUSTED = "untrusted"
    """From an authority that the client does not know, as a self-signed one is."""
    COMMON_NAME_ONLY = "common name only"
    """Without a host among its alternative names, so that RFC 9525 finds it is for none."""


class DnsFault(Enum):
    """How the DNS server fails a question."""

    SERVFAIL = "SERVFAIL"
    REFUSED = "REFUSED"
    NXDOMAIN = "NXDOMAIN"
    """No such name, whatever was declared."""
    NODATA = "NODATA"
    """No such record, whatever was declared."""
    SILENT = "silent"
    """No answer."""
    TRUNCATED = "truncated"
    """Over UDP only a hint to ask again over TCP, where the answer is the true one."""
    GARBAGE = "garbage"
    """Bytes that are no DNS message."""


@frozen(kw_only=True)
class Host:
    """One declared host; the fields are the arguments of `LoopbackFederation.add`."""

    name: str
    well_known: Behaviour = None
    serves: Behaviour = field(default=Request.seen)
    srv: tuple[SrvRecord, ...] = ()
    legacy_srv: tuple[SrvRecord, ...] = ()
    addresses: tuple[str, ...] = ()
    alias_of: str | None = None
    ttl: int = 300
    negative_ttl: int = 60
    certificate: Certificate = Certificate.VALID
    ports: Collection[int] | None = None
    dns: DnsFaults = field(factory=dict)

    def behaviour_at(self, port: int) -> Behaviour:
        """Return what happens to whole connections to `port`, None if they are served."""
        if self.ports is not None and port not in self.ports:
            return Refused()
        behaviour = self.well_known if port == WELL_KNOWN_PORT else self.serves
        if isinstance(behaviour, Silent | Refused):
            return behaviour
        return behaviour if isinstance(behaviour, Raw) and not behaviour.tls else None

    def behaviour_for(self, path: str) -> Behaviour:
        """Return what happens to a request for `path`."""
        return self.well_known if path == WELL_KNOWN else self.serves

    def mentions(self) -> set[str]:
        """Return the hosts that this one names: what it delegates to, SRV targets, an alias."""
        names = {plain_host(record.target) for record in (*self.srv, *self.legacy_srv)} - {"."}
        if self.alias_of is not None:
            names.add(self.alias_of)
        if isinstance(self.well_known, Mapping):
            with suppress(InvalidServerNameError):
                delegated = ServerName.parse(self.well_known.get("m.server", ""))
                names.add(delegated.canonical_host.lower())
        return names


def srv_records(targets: SrvTargets) -> tuple[SrvRecord, ...]:
    """Return `targets` as records; (host, port) pairs get priorities in the order given."""
    return tuple(
        target if isinstance(target, SrvRecord) else SrvRecord(place, 0, target[1], target[0])
        for place, target in enumerate(targets, 1)
    )


def plain_host(host: str) -> str:
    """Return `host` as it is looked up: lower case, no final dot, an IP literal canonical."""
    text = host.removeprefix("[").removesuffix("]").lower()
    try:
        return str(ip_address(text))
    except ValueError:
        return text.removesuffix(".") or "."


def is_ip_literal(host: str) -> bool:
    """Return whether a plain host is an IP address."""
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
