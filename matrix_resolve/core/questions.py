"""The questions that a resolution asks, and the answers to them.

A question is frozen and hashable, so it is the cache key as well. An answer is what the core has
made of a plug-in's reply: a small value that says only what the decision needs. Whoever made it,
its texts are short and printable.
"""

from attrs import Factory, field, frozen
from attrs.converters import optional

from matrix_resolve.core.names import IPAddress, ServerName
from matrix_resolve.core.replies import SrvRecord
from matrix_resolve.errors import readable

# A URL that redirects led to is kept for people to read; a longer one is cut.
_MAX_URL = 200


def _url(url: object) -> str:
    return readable(url, _MAX_URL)


def _lowered(name: str) -> str:
    return name.lower()


class _Keyed:
    """A question: equal to, and as a key the same as, any other with its `key`.

    That is a stable text in lower case, for caches.
    """

    __slots__ = ()

    key: str

    def __eq__(self, other: object) -> bool:
        return self.key == other.key if isinstance(other, _Keyed) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.key)


@frozen(eq=False, weakref_slot=False)
class AskWellKnown(_Keyed):
    """Ask for `https://<hostname>/.well-known/matrix/server` (step 3)."""

    hostname: str = field(converter=_lowered)
    key: str = field(
        init=False,
        repr=False,
        default=Factory(lambda self: f"wk:{self.hostname}", takes_self=True),
    )

    def __str__(self) -> str:
        return f"https://{self.hostname}/.well-known/matrix/server"


@frozen(eq=False, weakref_slot=False)
class AskSrv(_Keyed):
    """Ask for the SRV records of `name`, service labels included (steps 3.3, 3.4, 4 and 5)."""

    name: str = field(converter=_lowered)
    key: str = field(
        init=False,
        repr=False,
        default=Factory(lambda self: f"srv:{self.name}", takes_self=True),
    )

    def __str__(self) -> str:
        return f"SRV {self.name}"


@frozen(eq=False, weakref_slot=False)
class AskAddresses(_Keyed):
    """Ask for the IP addresses of `hostname`. Not part of the decision; never in a shared cache."""

    hostname: str = field(converter=_lowered)
    key: str = field(
        init=False,
        repr=False,
        default=Factory(lambda self: f"addr:{self.hostname}", takes_self=True),
    )

    def __str__(self) -> str:
        return f"addresses of {self.hostname}"


Question = AskWellKnown | AskSrv | AskAddresses
"""What a plug-in is asked; `key` is a stable text for it, `wk:example.org` for example."""


def question_of(key: str) -> Question | None:
    """Return the question whose `key` this is, None if it is nobody's."""
    kind, _, name = key.partition(":")
    kinds: dict[str, type[Question]] = {"wk": AskWellKnown, "srv": AskSrv, "addr": AskAddresses}
    return kinds[kind](name) if kind in kinds and name else None


def hostname_of(key: str) -> str:
    """Return the hostname that the question with this `key` is about, without service labels."""
    return key.rpartition("._tcp.")[2].rpartition(":")[2]


@frozen
class Delegated:
    """The document names another server; `url` is where it was found in the end."""

    to: ServerName
    url: str = field(converter=_url)


@frozen
class NotDelegated:
    """The well-known request gave nothing usable, and `reason` says why.

    `temporary` tells a server in trouble from one that says no. `own_trouble`: nothing was learned
    about it, as its addresses could not be found out, or we lacked descriptors or a route.
    `url` is where the response came from, None if there was none.
    """

    reason: str = field(converter=readable)
    temporary: bool = field(default=False, converter=bool)
    own_trouble: bool = field(default=False, converter=bool)
    url: str | None = field(default=None, converter=optional(_url))


@frozen
class SrvRecords:
    """The usable records, lowest priorities first; never empty."""

    records: tuple[SrvRecord, ...]


@frozen
class NoSrvRecords:
    """No usable SRV record is published, and `reason` says what there is instead."""

    reason: str = field(converter=readable)


@frozen
class ServiceNotOffered:
    """The only record has the target "." (RFC 2782)."""


@frozen
class SrvFailed:
    """The lookup failed: nothing is known about the records."""

    reason: str = field(converter=readable)


@frozen
class Addresses:
    """The IP addresses of a host, none if it has none, and what it is an alias of."""

    addresses: tuple[IPAddress, ...]
    canonical_name: str | None = field(default=None, converter=optional(readable))


@frozen
class AddressesFailed:
    """The lookup failed: nothing is known about the addresses."""

    reason: str = field(converter=readable)


Answer = (
    Delegated
    | NotDelegated
    | SrvRecords
    | NoSrvRecords
    | ServiceNotOffered
    | SrvFailed
    | Addresses
    | AddressesFailed
)
"""What the core learns of a reply to a question, or of its failure; `decide()` goes on by it."""
