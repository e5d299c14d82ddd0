"""`matrix-resolve serve NAME`: what to publish of a server, and how; or publish it for a try."""

import argparse
import json
from typing import TYPE_CHECKING, Any, Final

from matrix_resolve.cli.arguments import UsageError
from matrix_resolve.cli.output import print_json
from matrix_resolve.errors import readable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from aiohttp import web

    from matrix_resolve.serving import Setup, Snippet, WellKnownDocument

SUMMARY: Final = "print what to publish so that others find your server, and how web servers do it"
EXAMPLES: Final = """
matrix-resolve serve example.org --homeserver http://127.0.0.1:8008
matrix-resolve serve example.org --delegate-to matrix.example.org:443 --for nginx
matrix-resolve serve example.org --admin @me:example.net --security security@example.net
matrix-resolve serve example.org --listen 8080
"""

_PROGRAMS: Final = ("nginx", "caddy", "apache", "haproxy", "synapse")
_LOOPBACK: Final = "127.0.0.1"


def configure(parser: argparse.ArgumentParser) -> None:
    """Take a name, and what is to be published of it."""
    parser.add_argument("name", metavar="NAME", help="the server name")
    parser.add_argument(
        "--delegate-to",
        metavar="HOST[:PORT]",
        help="where other servers are to connect to (default: port 443 of NAME)",
    )
    parser.add_argument(
        "--homeserver",
        metavar="URL",
        help="where the homeserver listens behind the web server, as http://127.0.0.1:8008: the"
        " snippets then hand requests on to it",
    )
    parser.add_argument(
        "--client-url",
        metavar="URL",
        help="what clients are told (default: https:// and the host that servers are led to)",
    )
    parser.add_argument(
        "--admin",
        action="append",
        default=[],
        metavar="ADDRESS",
        help="publish whom to ask: a user ID or a mail address; may be repeated",
    )
    parser.add_argument(
        "--security",
        action="append",
        default=[],
        metavar="ADDRESS",
        help="publish whom to tell what is not for everybody's eyes; may be repeated",
    )
    parser.add_argument("--support-page", metavar="URL", help="publish where users find help")
    parser.add_argument(
        "--for",
        action="append",
        choices=_PROGRAMS,
        dest="programs",
        help="snippets for this program, not for all; may be repeated",
    )
    parser.add_argument(
        "--listen",
        type=_port,
        metavar="PORT",
        help="serve the documents for a try, until Ctrl-C: plain HTTP, which nobody but a web"
        " server before it can use; 0 is any free port",
    )
    parser.add_argument(
        "--bind", metavar="ADDRESS", help=f"with --listen: at this address (default: {_LOOPBACK})"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")


async def run(arguments: argparse.Namespace) -> int:
    """Tell what is to be published, or serve it; return the exit status."""
    from matrix_resolve.serving import Program, site_snippet

    if arguments.bind is not None and arguments.listen is None:
        raise UsageError("--bind is for --listen")
    try:
        setup = _setup(arguments)
        # Who tries the documents has no need for snippets, unless they are asked for.
        chosen = arguments.programs or (() if arguments.listen is not None else _PROGRAMS)
        snippets = [site_snippet(Program(name), setup) for name in dict.fromkeys(chosen)]
    except ValueError as error:
        raise UsageError(str(error)) from None
    if arguments.json:
        print_json(_as_dict(setup, snippets))
    else:
        _tell(setup, snippets)
    if arguments.listen is not None:
        await _serve(setup, arguments.bind or _LOOPBACK, arguments.listen, arguments.json)
    return 0


def _setup(arguments: argparse.Namespace) -> "Setup":
    from matrix_resolve.serving import (
        ADMIN_ROLE,
        SECURITY_ROLE,
        SupportContact,
        plan_setup,
        support_well_known_document,
    )

    contacts = [
        SupportContact(role=role, **{_kind_of(address): address})
        for role, addresses in ((ADMIN_ROLE, arguments.admin), (SECURITY_ROLE, arguments.security))
        for address in addresses
    ]
    support = None
    if contacts or arguments.support_page is not None:
        support = support_well_known_document(contacts, arguments.support_page)
    return plan_setup(
        arguments.name,
        arguments.delegate_to,
        homeserver=arguments.homeserver,
        client_url=arguments.client_url,
        support=support,
    )


def _kind_of(address: str) -> str:
    return "matrix_id" if address.startswith("@") else "email_address"


def _tell(setup: "Setup", snippets: "list[Snippet]") -> None:
    """Print all that a person reads: why, what, where, how."""
    print(setup.reason)
    for document in setup.documents:
        print(f"\n{_url(setup, document)}")
        for name, value in document.headers:
            print(f"    {name}: {value}")
        print(f"\n    {_ascii(document)}")
    for snippet in snippets:
        print(f"\n--- {snippet.program.label}: {snippet.path}\n")
        for path, content in snippet.files:
            print(f"# {path} holds: {content.decode('ascii', 'backslashreplace')}")
        print(snippet.text, end="", flush=True)


def _as_dict(setup: "Setup", snippets: "list[Snippet]") -> dict[str, Any]:
    return {
        "version": 1,
        "server_name": str(setup.server_name),
        "delegation": {"needed": setup.needs_document, "reason": setup.reason},
        "documents": [
            {
                "url": _url(setup, document),
                "path": document.path,
                "headers": [list(header) for header in document.headers],
                "body": document.body.decode(),
            }
            for document in setup.documents
        ],
        "snippets": [
            {
                "program": snippet.program.value,
                "path": snippet.path,
                "text": snippet.text,
                "files": [
                    {"path": path, "content": content.decode()} for path, content in snippet.files
                ],
            }
            for snippet in snippets
        ],
    }


def _url(setup: "Setup", document: "WellKnownDocument") -> str:
    return f"https://{setup.hosts[0].host}{document.path}"


def _ascii(document: "WellKnownDocument") -> str:
    """Return the document as any terminal shows it; an escape in JSON says the same."""
    return json.dumps(json.loads(document.body))


async def _serve(setup: "Setup", address: str, port: int, is_json: bool) -> None:
    """Serve the documents until the command is interrupted."""
    import asyncio

    from aiohttp import web

    from matrix_resolve.serving import document_routes

    app = web.Application(middlewares=[] if is_json else [_telling()])
    app.add_routes(document_routes(setup.documents))
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True)
    await runner.setup()
    try:
        await web.TCPSite(runner, address, port).start()
        if not is_json:
            _tell_where(setup, *runner.addresses[0][:2])
        await asyncio.Event().wait()
    finally:
        await runner.cleanup()


def _tell_where(setup: "Setup", address: str, port: int) -> None:
    host = f"[{address}]" if ":" in address else address
    print("\nServed for a try, until Ctrl-C:")
    for document in setup.documents:
        print(f"    http://{host}:{port}{document.path}")
    print(
        "This is plain HTTP. Servers and clients use https:// only, so before it must stand a web"
        f" server\nwith a certificate for {setup.hosts[0].bare_host}.",
        flush=True,
    )


def _telling() -> "Any":
    from aiohttp import web

    @web.middleware
    async def tell(
        request: web.Request,
        handler: "Callable[[web.Request], Awaitable[web.StreamResponse]]",
    ) -> web.StreamResponse:
        status = 500
        try:
            response = await handler(request)
            status = response.status
        except web.HTTPException as error:
            status = error.status
            raise
        finally:
            print(readable(f"{request.method} {request.path_qs} {status}"), flush=True)
        return response

    return tell


def _port(text: str) -> int:
    port = int(text) if text.isascii() and text.isdigit() and len(text) <= 5 else -1
    if not 0 <= port <= 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port from 0 to 65535")
    return port
