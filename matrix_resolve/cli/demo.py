"""A federation on this machine with a server for each step: each is resolved and sent a request.

Through real DNS and HTTPS; the servers tell what they saw.
"""

from collections.abc import Iterable, Mapping
from itertools import compress
from typing import Any

import aiohttp
from attrs import field, frozen
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from matrix_resolve.cli.names import Outcome, look_up
from matrix_resolve.core.names import parse_ip_literal
from matrix_resolve.core.resolution import Resolution
from matrix_resolve.errors import MatrixResolveError, ServiceNotOfferedError
from matrix_resolve.federation import FederationClient
from matrix_resolve.policy import Policy
from matrix_resolve.testing import (
    Certificate,
    DnsFault,
    LoopbackFederation,
    Redirect,
    Reply,
    Silent,
)
from matrix_resolve.testing.loopback.declarations import WELL_KNOWN

# The silent server keeps us waiting for this long (seconds); the demo need not wait for ten.
_TIMEOUT = 3.0
# The columns of the table, and how wide a terminal must be to have room for them.
_COLUMNS = {
    "": 0,
    "server name": 0,
    "step": 0,
    "connect to": 0,
    "Host": 100,
    "certificate": 80,
    "addresses": 140,
    "server saw: Host, SNI": 0,
    "what it is": 120,
}


@frozen(kw_only=True)
class _Case:
    """A server name, what stands behind it, and the step it must come to (None: not offered).

    `answers` tells whether a request must come through.
    """

    name: str
    about: str
    step: str | None
    answers: bool = True
    declared: Mapping[str, Any] = field(factory=dict)


_CASES = (
    _Case(name="127.0.0.1", about="an IP literal", step="1"),
    _Case(name="own.test:8450", about="a port of its own", step="2"),
    _Case(
        name="wk-ip.test",
        about="delegates to IP literal",
        step="3.1",
        declared={"delegates_to": "[::1]:8451"},
    ),
    _Case(
        name="wk-port.test",
        about="delegates to host, port",
        step="3.2",
        declared={"delegates_to": "hs.test:443"},
    ),
    _Case(
        name="wk-srv.test",
        about="delegates to SRV",
        step="3.3",
        declared={"delegates_to": "fed.test"},
    ),
    _Case(
        name="wk-old.test",
        about="delegates to old SRV",
        step="3.4",
        declared={"delegates_to": "older.test"},
    ),
    _Case(
        name="wk-host.test",
        about="delegates to a host",
        step="3.5",
        declared={"delegates_to": "hs.test"},
    ),
    _Case(
        name="srv.test",
        about="SRV records",
        step="4",
        declared={"srv": [("a.test", 8452), ("b.test", 8453)]},
    ),
    _Case(
        name="old.test",
        about="old SRV records",
        step="5",
        declared={"legacy_srv": [("a.test", 8454)]},
    ),
    _Case(name="plain.test", about="nothing but port 8448", step="6"),
    _Case(
        name="json.test",
        about="well-known is no JSON",
        step="6",
        declared={"well_known": b"<html>"},
    ),
    _Case(
        name="503.test",
        about="well-known fails (503)",
        step="6",
        declared={"well_known": Reply(503)},
    ),
    _Case(
        name="mute.test",
        about="well-known is silent",
        step="6",
        declared={"well_known": Silent()},
    ),
    _Case(
        name="loop.test",
        about="well-known loops",
        step="6",
        declared={"well_known": Redirect(WELL_KNOWN)},
    ),
    _Case(
        name="tls.test",
        about="expired certificate",
        step="6",
        answers=False,
        declared={
            "delegates_to": "hs.test:443",
            "certificate": Certificate.EXPIRED,
        },
    ),
    _Case(
        name="dns.test",
        about="SRV fails: degraded",
        step="6",
        declared={"dns": {"SRV": DnsFault.SERVFAIL}},
    ),
    _Case(
        name="none.test",
        about="sole SRV target is '.'",
        step=None,
        answers=False,
        declared={"srv": [(".", 0)]},
    ),
)


@frozen(kw_only=True)
class _Seen:
    """What a server saw of a request, or why none came through."""

    host: str = ""
    sni: str | None = None
    target: tuple[str, int] | None = None
    error: str = ""

    def agrees_with(self, resolution: Resolution) -> bool:
        """Return whether the request was as the resolution says that it must be."""
        name = resolution.tls_name
        return (
            self.host == resolution.host_header
            and self.sni == (None if parse_ip_literal(name) else name)
            and self.target in [(target.host, target.port) for target in resolution.targets]
        )

    def __str__(self) -> str:
        return self.error or f"{self.host}, {self.sni or 'no SNI'}"


async def demo(out: Console) -> int:
    """Try every case, print the table, and return 0 if all came to what they should."""
    policy = Policy(well_known_timeout=_TIMEOUT)
    rows = []
    right = 0
    async with LoopbackFederation() as federation:
        federation.add("fed.test", srv=[("a.test", 8455)])
        federation.add("older.test", legacy_srv=[("b.test", 8456)])
        for case in _CASES:
            federation.add(case.name.partition(":")[0], **case.declared)
        async with (
            federation.resolver(policy=policy) as resolver,
            federation.client(resolver) as client,
        ):
            for case in _CASES:
                outcome = await look_up(resolver, case.name, endpoints=True)
                seen = None if outcome.endpoints is None else await _send(client, case.name)
                right += _as_expected(case, outcome, seen)
                rows.append(_row(case, outcome, seen))
        asked = federation.dns_questions.total()
        fetched = sum(request.path == WELL_KNOWN for request in federation.requests)
        sent = len(federation.requests) - fetched
    out.print(_table(rows, out.width))
    all_right = right == len(_CASES)
    out.print(
        f"{right} of {len(_CASES)} as the specification says", style="green" if all_right else "red"
    )
    out.print(
        f"{asked} DNS questions, {fetched} well-known and {sent} federation requests,"
        " all on loopback"
    )
    return 0 if all_right else 1


async def _send(client: FederationClient, name: str) -> _Seen:
    """Ask a server for its version, which tells what the server saw."""
    try:
        async with client.request("GET", name, "/_matrix/federation/v1/version") as response:
            told = await response.json()
    except (MatrixResolveError, aiohttp.ClientError, TimeoutError) as error:
        reason = str(error) or type(error).__name__
        # Of a certificate that it refuses OpenSSL says why in the middle of a long message.
        return _Seen(error=reason.partition("verify failed: ")[2].partition(" (")[0] or reason)
    return _Seen(host=told["host"], sni=told["sni"], target=tuple(told["target"]))


def _as_expected(case: _Case, outcome: Outcome, seen: _Seen | None) -> bool:
    resolution = outcome.resolution
    if resolution is None or seen is None:
        return case.step is None and isinstance(outcome.error, ServiceNotOfferedError)
    answered = not seen.error
    return (
        resolution.step.value == case.step
        and answered == case.answers
        and (not answered or seen.agrees_with(resolution))
    )


def _row(case: _Case, outcome: Outcome, seen: _Seen | None) -> list[Text]:
    """Return the cells of all columns; where there are several targets, with a line for each."""
    right = _as_expected(case, outcome, seen)
    mark = Text("ok", style="green") if right else Text("WRONG", style="red")
    resolution = outcome.resolution
    cells = ["", "not offered" if right else str(outcome.error), *[""] * 4]
    if resolution is not None:
        ends = outcome.endpoints or ()
        at = [(target.host, target.port) for target in resolution.targets]
        reached = at.index(seen.target) if seen is not None and seen.target in at else 0
        cells = [
            resolution.step.value,
            "\n".join(map(str, resolution.targets)),
            resolution.host_header,
            resolution.tls_name,
            "\n".join(
                " ".join(str(end.address) for end in ends if end.target == target)
                for target in resolution.targets
            ),
            "\n" * reached + str(seen or outcome.error),
        ]
    *plain, saw = map(Text, cells)
    if seen is not None:
        saw.stylize("green" if right and not seen.error else "yellow" if right else "red")
    return [mark, Text(case.name), *plain, saw, Text(case.about, style="dim")]


def _table(rows: Iterable[list[Text]], width: int) -> Table:
    """Return the columns that there is room for."""
    table = Table(
        title="A federation on this machine",
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        pad_edge=False,
    )
    fitting = [least <= width for least in _COLUMNS.values()]
    for column in compress(_COLUMNS, fitting):
        table.add_column(column, no_wrap=True)
    for row in rows:
        table.add_row(*compress(row, fitting))
    return table
