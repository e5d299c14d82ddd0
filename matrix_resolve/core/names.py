"""Server names (specification, appendix "Server Name"), stricter on purpose.

The grammar admits any run of letters, digits, "-" and "." as a DNS name. Here it must also be a
name that DNS can ask for (labels of 1 to 63, 253 in all, RFC 1035), and must not be an IPv4
address in disguise: C libraries and browsers read `2130706433` and `0x7f.1` as 127.0.0.1.
"""

import re
from contextlib import suppress
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from typing import Self

from attrs import field, frozen

from matrix_resolve.core.meant import SIGILS, meant_by, what_it_is
from matrix_resolve.errors import InvalidServerNameError

IPAddress = IPv4Address | IPv6Address

# Longest name in octets as dotted text without the final dot: 255 on the wire (RFC 1035, 2.3.4).
MAX_HOSTNAME = 253

_HOST_AND_PORT = re.compile(r"(\[[^\]]*\]|[^:\[\]]*)(?::(.*))?", re.DOTALL)
_PORT = re.compile(r"[0-9]{1,5}")
_IPV4 = re.compile(r"[0-9]+(?:\.[0-9]+){3}")
_IPV6 = re.compile(r"[0-9A-Fa-f:.]{2,45}")
_LABEL = re.compile(r"[0-9A-Za-z-]{1,63}")
# What the URL standard calls "ends in a number": such a host is parsed as an IPv4 address.
_NUMBER = re.compile(r"[0-9]+|0[xX][0-9A-Fa-f]*")
_HOSTNAME = re.compile(rf"(?:{_LABEL.pattern}\.)*(?!(?:{_NUMBER.pattern})\Z){_LABEL.pattern}")


@frozen(kw_only=True, weakref_slot=False)
class ServerName:
    """A parsed server name. Make one with `ServerName.parse`; `str()` gives the text back.

        ServerName.parse("example.org:8448").port  # 8448
        str(ServerName.of("@alice:example.org"))  # "example.org"

    `hostname` is the name or the IP literal (IPv6 without brackets) as it was spelled, `port` the
    port if it had one, `ip_address` the parsed literal, None for a DNS name. Names that differ
    only in letter case are equal neither here nor in `Host`; questions ignore case.
    """

    hostname: str = field(eq=False)
    port: int | None = field(default=None, eq=False)
    ip_address: IPAddress | None = field(default=None, eq=False)
    _text: str = field(alias="text", repr=False)

    @property
    def is_ip_literal(self) -> bool:
        """Whether the hostname is an IPv4 or IPv6 address."""
        return self.ip_address is not None

    @property
    def canonical_host(self) -> str:
        """The hostname to connect to and to check: an IP literal in its canonical spelling."""
        return self.hostname if self.ip_address is None else str(self.ip_address)

    def __str__(self) -> str:
        return self._text

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse `text`; raise `InvalidServerNameError` for anything that is no server name.

        Its `suggestion` is the server name that was meant, where that can be guessed.
        """
        try:
            return cls._parse(text)
        except InvalidServerNameError as error:
            meant = _suggestion(text) if isinstance(text, str) else None
            reason = error.reason if meant is None else what_it_is(text) or error.reason
            raise InvalidServerNameError(text, reason, meant) from None

    @classmethod
    def of(cls, identifier: str) -> Self:
        """Return the server name in an identifier of a user, room, room alias or event.

        It is what follows the first colon (specification, appendix "Identifier Grammar"); the local
        part before it is not looked at. Raises `InvalidServerNameError` for anything else, and for
        identifiers without one: of rooms since room version 12, of events since version 3.
        """
        if not isinstance(identifier, str):
            raise InvalidServerNameError(identifier, "it is not a string")
        if not identifier.startswith(SIGILS):
            raise InvalidServerNameError(
                identifier, "it is no identifier of a user, room, room alias or event"
            )
        _, colon, name = identifier.partition(":")
        if not colon:
            raise InvalidServerNameError(identifier, "this identifier holds no server name")
        return cls.parse(name)

    @classmethod
    def _parse(cls, text: str) -> Self:
        def invalid(reason: str) -> InvalidServerNameError:
            return InvalidServerNameError(text, reason)

        if not isinstance(text, str):
            raise invalid("it is not a string")
        text = str.__str__(text)  # a subclass may print as something else
        if not text:
            raise invalid("it is empty")
        if not text.isascii():
            raise invalid("it holds characters that are not ASCII (an IDN is written as xn--...)")
        parts = _HOST_AND_PORT.fullmatch(text)
        if parts is None:
            raise invalid("brackets belong around an IPv6 address only")
        host, port_text = parts.groups()
        port = None
        if port_text is not None:
            port = int(port_text) if _PORT.fullmatch(port_text) else 0
            if not 1 <= port <= 65535:
                raise invalid("the port must be a number from 1 to 65535")
        if host.startswith("["):
            hostname = host[1:-1]
            ip: IPAddress | None = _parse_ipv6(hostname)
            if ip is None:
                raise invalid("the brackets hold no IPv6 address (zones are not allowed)")
        else:
            hostname = host if port_text else text  # one text takes half the memory
            ip = _parse_ipv4(hostname)
            if ip is None and (fault := _hostname_fault(hostname)):
                raise invalid(fault)
        return cls(hostname=hostname, port=port, ip_address=ip, text=text)


def _suggestion(text: str) -> str | None:
    """Return the server name that is meant by what is none, None if that can't be told."""
    for candidate in meant_by(str.__str__(text)):
        with suppress(InvalidServerNameError):
            return str(ServerName._parse(candidate))
    return None


def is_hostname(text: str) -> bool:
    """Return whether `text` is a DNS host name in the server name grammar, and no IP literal."""
    return _hostname_fault(text) is None and _parse_ipv4(text) is None


def parse_ip_literal(text: str) -> IPAddress | None:
    """Return the address that `text` spells, IPv6 without brackets; None if it spells none."""
    return _parse_ipv4(text) or _parse_ipv6(text)


def _parse_ipv4(text: str) -> IPv4Address | None:
    if not _IPV4.fullmatch(text):
        return None
    try:
        return IPv4Address(text)  # refuses leading zeros, which C libraries read as octal
    except AddressValueError:
        return None


def _parse_ipv6(text: str) -> IPv6Address | None:
    if not _IPV6.fullmatch(text):
        return None
    try:
        return IPv6Address(text)
    except AddressValueError:
        return None


def _hostname_fault(text: str) -> str | None:
    """Say why `text` is no DNS host name, or None if it is one."""
    if len(text) <= MAX_HOSTNAME and _HOSTNAME.fullmatch(text):
        return None
    if not text:
        return "it has no hostname"
    if len(text) > MAX_HOSTNAME:
        return f"the hostname has more than {MAX_HOSTNAME} characters"
    labels = text.split(".")
    for label in labels:
        if not label:
            return "the hostname has an empty label (a dot too many)"
        if len(label) > 63:
            return "a label has more than 63 characters"
        if not _LABEL.fullmatch(label):
            return "the hostname holds characters other than letters, digits, '-' and '.'"
    return "the last label is a number, so it may be read as an IPv4 address"
