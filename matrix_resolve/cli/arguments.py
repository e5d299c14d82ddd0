"""What the command line says."""

import argparse
import ssl
import sys
from collections.abc import Sequence
from importlib.metadata import version

from matrix_resolve.core.names import ServerName
from matrix_resolve.errors import InvalidServerNameError
from matrix_resolve.transport.tls import default_ssl_context

COMMANDS = ("resolve", "explain", "demo")
DNS_PORT = 53

_EPILOG = """\
commands:
  resolve NAME...  one line a name: where to connect, Host, certificate, step (the default, so
                   the word may be left out)
  explain NAME...  the story: each question, what was answered and by whom, how long it took,
                   how long it may be kept, why a step was passed over, and the addresses
  demo             start a loopback federation with a server for each step of the specification
                   and a few broken ones, and resolve all of them through real DNS and HTTPS

exit status: 0, 1 if a name could not be resolved, 2 for wrong usage
"""


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """Return the arguments, with `command` and `names`; exit with status 2 if they are wrong."""
    parser = argparse.ArgumentParser(
        prog="matrix-resolve",
        usage="%(prog)s [options] [resolve | explain] NAME...\n       %(prog)s [options] demo",
        description="Find where Matrix server names lead.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("words", nargs="*", metavar="NAME", help=argparse.SUPPRESS)
    parser.add_argument("--json", action="store_true", help="print one JSON object a line")
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
    parser.add_argument(
        "--timeout",
        type=_seconds,
        default=15.0,
        metavar="SECONDS",
        help="the most that resolving a name may take: two thirds of it for the well-known"
        " request, one third for a DNS question (default: %(default)g)",
    )
    parser.add_argument(
        "--no-color", action="store_true", help="no colours; NO_COLOR does the same"
    )
    parser.add_argument(
        "--version", action="version", version=f"%(prog)s {version('matrix-resolve')}"
    )
    # Only before a "--" is there a command, and are there options: a name may begin with a hyphen.
    given = list(sys.argv[1:] if argv is None else argv)
    end = given.index("--") if "--" in given else len(given)
    arguments = parser.parse_intermixed_args(given[:end])
    words, names = arguments.words, given[end + 1 :]
    arguments.command = words.pop(0) if words and words[0] in COMMANDS else "resolve"
    arguments.names = [*words, *names]
    if arguments.command == "demo":
        if arguments.names or arguments.json:
            parser.error("demo takes no names and no --json")
    elif not arguments.names:
        parser.error(f"{arguments.command} takes at least one name")
    return arguments


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


def _trusting(path: str) -> ssl.SSLContext:
    context = default_ssl_context()
    try:
        context.load_verify_locations(path)
    except (OSError, ssl.SSLError) as error:
        raise argparse.ArgumentTypeError(f"{path!r} can't be used: {error}") from error
    return context


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds <= 3600:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds from 0 to 3600")
    return seconds
