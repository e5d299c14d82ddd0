"""Arguments that several commands take, and what they mean."""

import argparse
import sys
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from matrix_resolve.core.names import ServerName
from matrix_resolve.errors import InvalidServerNameError

if TYPE_CHECKING:
    import ssl

DNS_PORT = 53


class UsageError(Exception):
    """The arguments are no good together; the text says why. Ends in exit status 2."""


def add_names(parser: argparse.ArgumentParser) -> None:
    """Add `names`: at least one; `-` among them reads more from standard input."""
    parser.add_argument(
        "names",
        nargs="*",
        metavar="NAME",
        help="a server name; - reads names from standard input, one a line, and passes over blank"
        " lines and those that begin with #",
    )


def add_output_arguments(parser: argparse.ArgumentParser) -> None:
    """Add `json` and `no_color`."""
    add_json(parser)
    add_no_color(parser)


def add_json(parser: "argparse._ActionsContainer") -> None:
    """Add `json`."""
    parser.add_argument("--json", action="store_true", help="print one JSON object a line")


def add_no_color(parser: argparse.ArgumentParser) -> None:
    """Add `no_color`."""
    parser.add_argument(
        "--no-color", action="store_true", help="no colours; NO_COLOR does the same"
    )


def add_resolver_arguments(parser: argparse.ArgumentParser) -> None:
    """Add `nameserver`, `ssl_context`, `allow_private` and `timeout`, for `names.resolver_for`."""
    add_network_arguments(parser)
    parser.add_argument(
        "--timeout",
        type=seconds,
        default=15.0,
        metavar="SECONDS",
        help="the most that it may take to find where a name leads: two thirds of it for the"
        " well-known request, one third for a DNS question; and a third more for the addresses"
        " (default: %(default)g)",
    )


def add_network_arguments(parser: argparse.ArgumentParser) -> None:
    """Add `nameserver`, `ssl_context` and `allow_private`."""
    parser.add_argument(
        "--nameserver",
        action="append",
        type=_nameserver,
        metavar="HOST[:PORT]",
        help="ask this DNS server, an IP address, not the system's; may be repeated",
    )
    parser.add_argument(
        "--ca",
        type=_trusting,
        dest="ssl_context",
        metavar="FILE",
        help="trust the certificate authorities in this PEM file as well",
    )
    parser.add_argument(
        "--allow-private", action="store_true", help="allow private and loopback addresses"
    )


def names_given(words: Iterable[str]) -> list[str]:
    """Return the names of a command line: those of standard input in the place of a `-`."""
    return [name for word in words for name in ([word] if word != "-" else read_names())]


def read_names() -> Iterator[str]:
    """Yield the names on standard input: no blank lines, none that begin with `#`."""
    try:
        for line in sys.stdin or ():
            name = line.strip()
            if name and not name.startswith("#"):
                yield name
    except UnicodeDecodeError as error:
        raise UsageError(f"standard input is not text: {error}") from error


def seconds(text: str) -> float:
    """Read a number of seconds, over 0 and at most an hour."""
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number <= 3600:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds from 0 to 3600")
    return number


def _nameserver(text: str) -> str:
    try:
        server = ServerName.parse(f"[{text}]" if text.count(":") > 1 and "[" not in text else text)
    except InvalidServerNameError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is not HOST[:PORT]") from error
    if server.ip_address is None:
        raise argparse.ArgumentTypeError(f"{text!r} is not an IP address")
    host = server.canonical_host
    return (
        f"[{host}]:{server.port or DNS_PORT}"
        if ":" in host
        else f"{host}:{server.port or DNS_PORT}"
    )


def _trusting(path: str) -> "ssl.SSLContext":
    import ssl

    from matrix_resolve.transport.tls import default_ssl_context
    from matrix_resolve.transport.tls_words import tls_in_words

    context = default_ssl_context()
    try:
        context.load_verify_locations(path)
    except OSError as error:
        told = tls_in_words(error) if isinstance(error, ssl.SSLError) else error.strerror
        raise argparse.ArgumentTypeError(f"{path!r} can't be used: {told}") from error
    return context
