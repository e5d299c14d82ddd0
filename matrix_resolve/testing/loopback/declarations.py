"""What a test says about one host of a loopback federation."""

import re
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from enum import Enum
from inspect import isawaitable
from ipaddress import ip_address
from typing import Any

from attrs import field, frozen
from attrs.validators import and_, deep_mapping, ge, instance_of, le

from matrix_resolve.core.names import MAX_HOSTNAME, ServerName
from matrix_resolve.errors import InvalidServerNameError, shown
from matrix_resolve.interfaces import SrvRecord
from matrix_resolve.testing.loopback.behaviours import (
    Behaviour,
    Raw,
    Refused,
    Reply,
    Request,
    Silent,
    static_answer,
)

# What servers are called, sensible or not: hyphens anywhere, underscores, any `xn--`.
_NAME = re.compile(r"[0-9a-z_-]{1,63}(\.[0-9a-z_-]{1,63})*")

WELL_KNOWN = "/.well-known/matrix/server"
WELL_KNOWN_PORT = 443

SrvTargets = Sequence[SrvRecord | tuple[str, int]]
DnsFaults = Mapping[str, "DnsFault"]


class Certificate(Enum):
    """Which certificate a host presents."""

    VALID = "valid"
    """For the name that the client sent, or the IP literal that it connected to."""
    WRONG_NAME = "wrong name"
    """For another name."""
    EXPIRED = "expired"
    """Past its end."""
    NOT_YET_VALID = "not yet valid"
    """Before its beginning."""
    ENDS_SOON = "ends soon"
    """Valid, but only for another week."""
    UNTRUSTED = "untrusted"
    """From an authority that the client does not know, as a self-signed one is."""
    SELF_SIGNED = "self-signed"
    """It vouches for itself."""
    WITHOUT_CHAIN = "without chain"
    """From an intermediate authority, whose own certificate the server does not send."""
    OWN_NAME = "own name"
    """For the host that was connected to, whatever name the client sent."""
    NEEDS_SNI = "needs SNI"
    """Valid; a client that sends no name is refused."""
    FOR_CLIENTS = "for clients"
    """Not for use by servers, as its extended key usage says."""
    COMMON_NAME_ONLY = "common name only"
    """Without a host among its alternative names, so that RFC 9525 finds it is for none."""

    @property
    def is_refused(self) -> bool:
        """Whether clients refuse it wherever it is shown."""
        some_take_it = (self.VALID, self.ENDS_SOON, self.OWN_NAME, self.NEEDS_SNI)
        return self not in some_take_it


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


def _sendable(_: object, __: object, behaviour: Behaviour) -> None:
    """Fail now what would fail when it is asked for: a body that is no JSON, a header no text."""
    if not callable(behaviour) and not isawaitable(behaviour):
        answer = static_answer(behaviour)
        if isinstance(answer, Reply):
            answer.head_and_body()


_ttl: Any = and_(instance_of(int), ge(0), le(2**31 - 1))  # RFC 2181, 8


@frozen(kw_only=True)
class Host:
    """One declared host; the fields are the arguments of `LoopbackFederation.add`.

    What can't be served fails here, so that it is told where it was declared.
    """

    name: str
    well_known: Behaviour = field(default=None, validator=_sendable)
    serves: Behaviour = field(default=Request.seen, validator=_sendable)
    srv: tuple[SrvRecord, ...] = ()
    legacy_srv: tuple[SrvRecord, ...] = ()
    addresses: tuple[str, ...] = ()
    alias_of: str | None = None
    ttl: int = field(default=300, validator=_ttl)
    negative_ttl: int = field(default=60, validator=_ttl)
    certificate: Certificate = field(default=Certificate.VALID, validator=instance_of(Certificate))
    ports: Collection[int] | None = None
    dns: DnsFaults = field(
        factory=dict, validator=deep_mapping(instance_of(str), instance_of(DnsFault))
    )

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

    def srv_targets(self) -> set[tuple[str, int]]:
        """Return the (host, port) pairs that its SRV records name."""
        return {(plain_host(each.target), each.port) for each in (*self.srv, *self.legacy_srv)}

    def mentions(self) -> set[str]:
        """Return the hosts that this one names: what it delegates to, SRV targets, an alias."""
        names = {name for name, _ in self.srv_targets() if _NAME.fullmatch(name)}
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
    """Return `host` as it is looked up.

    That is in lower case and ASCII (`xn--...`), without a final dot, an IP literal canonical.
    """
    text = host.removeprefix("[").removesuffix("]").lower()
    try:
        return str(ip_address(text))
    except ValueError:
        text = text if text.isascii() else text.encode("idna").decode("ascii")
        return text.removesuffix(".") or "."


def servable_host(host: str) -> str:
    """Return `host` as it is looked up; raise `ValueError` if DNS and TLS can't carry it."""
    plain = plain_host(host)
    if not is_ip_literal(plain) and not (_NAME.fullmatch(plain) and len(plain) <= MAX_HOSTNAME):
        raise ValueError(f"{shown(host)} is no host that a server can be at")
    return plain


def is_ip_literal(host: str) -> bool:
    """Return whether a plain host is an IP address."""
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
