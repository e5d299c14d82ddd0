"""One address of a server: does it take connections, what does it show, what does it answer?"""

import asyncio
import errno
import ssl
import time
from collections.abc import Sequence
from typing import Final

import aiohttp
from attrs import evolve, frozen

from matrix_resolve.checking.canonical_json import MOST_BYTES
from matrix_resolve.checking.facts import (
    KEYS_PATH,
    VERSION_PATH,
    EndpointFacts,
    Fetched,
    FetchFailure,
    TcpProblem,
)
from matrix_resolve.checking.kept import MOST_HEADER_LINES, outlined
from matrix_resolve.checking.keys import read_key_document
from matrix_resolve.checking.places import Places
from matrix_resolve.checking.tls import TlsInspector, connect
from matrix_resolve.core.addresses import AddressPolicy
from matrix_resolve.core.names import IPAddress
from matrix_resolve.core.replies import HttpResponse
from matrix_resolve.core.resolution import Target
from matrix_resolve.errors import is_own_trouble
from matrix_resolve.transport.attempts import Budget, SocketAddress
from matrix_resolve.transport.connections import Connections
from matrix_resolve.transport.dialling import Dialling
from matrix_resolve.transport.exchange import read_body
from matrix_resolve.transport.guard import Turn
from matrix_resolve.transport.race import Dialler
from matrix_resolve.transport.session import PIECE, open_session
from matrix_resolve.transport.words import in_words, together

# Seconds for a connection, for a handshake, and for a whole request.
_CONNECT: Final = 5.0
_HANDSHAKE: Final = 5.0
_REQUEST: Final = 10.0
# Bytes of a version document, and of all else that comes with a response.
_MAX_VERSION: Final = 16 * 1024
_BESIDES: Final = 160 * 1024
# Of a key document that has been read.
_MOST_KEPT: Final = 1024
_TRIES: Final = 2

_UNREACHABLE: Final = frozenset({errno.EHOSTUNREACH, errno.EHOSTDOWN})


@frozen(kw_only=True)
class AskedAs:
    """As whom a server is asked: `server_name` is what its keys are for."""

    server_name: str
    host_header: str
    tls_name: str


class EndpointProber:
    """Looks at addresses one by one, as peers that trust `ssl_context` would."""

    def __init__(
        self, places: Places, address_policy: AddressPolicy, ssl_context: ssl.SSLContext
    ) -> None:
        self._places = places
        self._address_policy = address_policy
        self._ssl_context = ssl_context
        self._inspector = TlsInspector(ssl_context)

    async def probe(self, target: Target, address: IPAddress, asked: AskedAs) -> EndpointFacts:
        """Return what is found at one address of a target."""
        facts = EndpointFacts(target=target, address=address)
        if not self._address_policy.allows(address):
            return evolve(facts, is_forbidden=True)
        at = self._places.of(target.host, target.port, address)
        problem: OSError | None = None
        for tries in range(1, _TRIES + 1):
            try:
                (await connect(at, seconds=_CONNECT)).close()
            except OSError as error:  # a TimeoutError is one
                problem = error
            else:
                facts, problem = evolve(facts, tries=tries), None
                break
        if problem is not None:
            return evolve(
                facts, tries=_TRIES, problem=_of_tcp(problem), reason=_tcp_reason(problem)
            )
        tls = await self._inspector.look(at, asked.tls_name, seconds=_HANDSHAKE)
        facts = evolve(facts, tls=tls)
        return facts if tls.problem else await self._answers(facts, at, asked)

    async def _answers(
        self, facts: EndpointFacts, at: SocketAddress, asked: AskedAs
    ) -> EndpointFacts:
        """Return the facts with what is answered where the certificate is good."""
        # One after the other: a connection to who has thousands of names costs a megabyte.
        without_sni = await self._inspector.look_without_name(at, seconds=_HANDSHAKE)
        async with _Requests(facts, at, asked, self._ssl_context) as requests:
            version = await requests.get(VERSION_PATH, _MAX_VERSION)
            keys = await requests.get(KEYS_PATH, MOST_BYTES)
        document = None
        if keys.response is not None and keys.response.status == 200:
            document = read_key_document(keys.response.body, asked.server_name, time.time())
        return evolve(
            facts,
            without_sni=without_sni,
            version=_outlined(version, _MAX_VERSION + 1),
            keys=_outlined(keys, _MOST_KEPT),
            key_document=document,
        )


def _outlined(fetched: Fetched, most: int) -> Fetched:
    if fetched.response is None:
        return fetched
    return evolve(fetched, response=outlined(fetched.response, most))


class _Requests:
    """Requests to one address, as peers send them, on a session that knows no other address."""

    def __init__(
        self, facts: EndpointFacts, at: SocketAddress, asked: AskedAs, ssl_context: ssl.SSLContext
    ) -> None:
        self._target = facts.target
        self._address = str(facts.address)
        self._at = at
        self._asked = asked
        self._ssl_context = ssl_context

    async def __aenter__(self) -> "_Requests":
        connections = Connections(_TRIES, receive_buffer=PIECE)
        self._session = open_session(
            connections,
            ssl_context=self._ssl_context,
            turn=Turn(),
            headers={"Accept": "application/json", "Accept-Encoding": "identity"},
            read_bufsize=PIECE,
            max_header_lines=MOST_HEADER_LINES,
        )
        place = {(self._target.host.lower(), self._target.port): self._at}
        self._dialler = Dialler(self._session, connections, place)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def get(self, path: str, max_body: int) -> Fetched:
        """Return what is answered; redirects are not followed."""
        started = time.perf_counter()
        response, failure = None, None
        try:
            async with asyncio.timeout(_REQUEST):
                response = await self._response(path, max_body)
        except TimeoutError:
            failure = FetchFailure(reason=f"no response within {_REQUEST:g} s")
        except (aiohttp.ClientError, OSError, ValueError) as error:
            failure = FetchFailure(reason=in_words(error), is_own=is_own_trouble(error))
        return Fetched(
            url=self._url(path),
            address=self._address,
            response=response,
            failure=failure,
            seconds=time.perf_counter() - started,
        )

    def _url(self, path: str) -> str:
        return f"https://{self._target}{path}"

    async def _response(self, path: str, max_body: int) -> HttpResponse:
        async def found() -> Sequence[SocketAddress]:
            return [self._at]

        dialling = Dialling(
            self._dialler,
            self._target.host,
            self._target.port,
            found,
            connect_timeout=_CONNECT + _HANDSHAKE,
            budget=Budget(_BESIDES + max_body),
        )
        response = await dialling.request(
            "GET",
            path,
            headers={"Host": self._asked.host_header},
            server_hostname=self._asked.tls_name,
            limits=lambda connect: aiohttp.ClientTimeout(total=None, connect=connect),
        )
        if response is None:
            raise OSError(together(failure.reason for failure in dialling.failures.values()))
        async with response:
            body = await read_body(response, max_body + 1)
            headers = tuple(response.headers.items())
            return HttpResponse(response.status, headers, body, self._url(path))


def _of_tcp(error: OSError) -> TcpProblem:
    if isinstance(error, TimeoutError):
        return TcpProblem.TIMEOUT
    if is_own_trouble(error):
        return TcpProblem.OWN
    if error.errno in _UNREACHABLE:
        return TcpProblem.UNREACHABLE
    return TcpProblem.REFUSED


def _tcp_reason(error: OSError) -> str:
    return (
        f"no connection within {_CONNECT:g} s"
        if isinstance(error, TimeoutError)
        else in_words(error)
    )
