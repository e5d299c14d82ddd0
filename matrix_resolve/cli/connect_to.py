"""`--connect-to HOST:PORT:ADDRESS:PORT`: a server where DNS does not show it, or not yet."""

import argparse
import re
from collections.abc import Iterable
from typing import Final

from attrs import frozen

from matrix_resolve.core.names import IPAddress, ServerName, parse_ip_literal
from matrix_resolve.errors import InvalidServerNameError

_PLACES: Final = re.compile(r"(?P<at>.+:[0-9]+):(?P<to>(?:\[[^\]]*\]|[^:\[\]]+):[0-9]+)")


@frozen
class Place:
    """The address and port to dial in the place of a host and port."""

    host: str
    port: int
    address: IPAddress
    to_port: int


def add_connect_to(parser: argparse.ArgumentParser) -> None:
    """Add `connect_to`, a list of places."""
    parser.add_argument(
        "--connect-to",
        action="append",
        default=[],
        type=_place,
        metavar="HOST:PORT:ADDRESS:PORT",
        help="connect to this IP address and port in the place of that host and port, as curl"
        " does: to try a server before DNS points to it, or in a network of one's own; DNS is"
        " not asked where the host is, and the address is allowed; may be repeated",
    )


def _place(text: str) -> Place:
    parts = _PLACES.fullmatch(text)
    at, to = (None, None) if parts is None else (_server(parts["at"]), _server(parts["to"]))
    if at is None or at.port is None or to is None or to.port is None or to.ip_address is None:
        wanted = "HOST:PORT:ADDRESS:PORT, with an IP address (IPv6 in brackets)"
        raise argparse.ArgumentTypeError(f"{text!r} is not {wanted}")
    return Place(at.canonical_host.lower(), at.port, to.ip_address, to.port)


def _server(text: str) -> ServerName | None:
    try:
        return ServerName.parse(text)
    except InvalidServerNameError:
        return None


def hosts(places: Iterable[Place]) -> dict[str, list[IPAddress]]:
    """Return the addresses of the hosts that are no IP literals."""
    found: dict[str, list[IPAddress]] = {}
    for place in places:
        if parse_ip_literal(place.host) is None and place.address not in found.setdefault(
            place.host, []
        ):
            found[place.host].append(place.address)
    return found


def to_dial(places: Iterable[Place]) -> dict[tuple[str, int], tuple[str, int]]:
    """Return the places as components take them: (host, port) -> (IP address, port)."""
    return {(each.host, each.port): (str(each.address), each.to_port) for each in places}
