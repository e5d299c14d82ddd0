"""A federation on this machine with a server for each step: each is resolved and sent a request.

Through real DNS and HTTPS; the servers tell what they saw.
"""

from collections.abc import Mapping, Sequence
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
from matrix_resolve.core.resolution import Resolution, Step
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
from matrix_resolve.testing.steps import STEPS, StepRow

# The silent server keeps us waiting for this long (seconds); the demo need not wait for ten.
_TIMEOUT = 3.0
# Columns: no table is as wide.
_ANY_WIDTH = 10_000
# The columns of the table, and when each is left out for want of room: the last first, 0 never.
_COLUMNS = {
    "": 0,
    "server name": 0,
    "step": 0,
    "connect to": 0,
    "Host": 3,
    "certificate": 1,
    "addresses": 4,
    "server saw: Host, SNI": 0,
    "what it is": 2,
}

_ABOUT = {
    Step.IP_LITERAL: "an IP literal",
    Step.EXPLICIT_PORT: "a port of its own",
    Step.WELL_KNOWN_IP_LITERAL: "delegates to IP literal",
    Step.WELL_KNOWN_EXPLICIT_PORT: "delegates to host, port",
    Step.WELL_KNOWN_SRV: "delegates to SRV",
    Step.WELL_KNOWN_LEGACY_SRV: "delegates to old SRV",
    Step.WELL_KNOWN_DEFAULT_PORT: "delegates to a host",
    Step.SRV: "SRV records",
    Step.LEGACY_SRV: "old SRV records",
    Step.DEFAULT_PORT: "nothing but port 8448",
}


@frozen(kw_only=True)
class _Case:
    """A server name, what is declared for it, and the step it must come to (None: not offered).

    `answers` tells whether a request must come through. A `row` of the table of steps says all
    that must come out.
    """

    name: str
    about: str
    step: str | None
    answers: bool = True
    hosts: Mapping[str, Mapping[str, Any]] = field(factory=dict)
    row: StepRow | None = None


def _step_case(step: Step) -> _Case:
    """Return the first row of the table of steps for `step`."""
    row = next(row for row in STEPS if row.step is step)
    return _Case(
        name=str(row.server_name),
        about=_ABOUT[step],
        step=step.value,
        hosts=row.hosts,
        row=row,
    )


def _troubled(
    name: str, about: str, step: str | None = "6", *, answers: bool = True, **declared: Any
) -> _Case:
    return _Case(name=name, about=about, step=step, answers=answers, hosts={name: declared})


_CASES = (
    *map(_step_case, Step),
    _troubled("json.test", "well-known is no JSON", well_known=b"<html>"),
    _troubled("503.test", "well-known fails (503)", well_known=Reply(503)),
    _troubled("mute.test", "well-known is silent", well_known=Silent()),
    _troubled("loop.test", "well-known loops", well_known=Redirect(WELL_KNOWN)),
    _troubled(
        "tls.test",
        "expired certificate",
        answers=False,
        delegates_to="hs.test:443",
        certificate=Certificate.EXPIRED,
    ),
    _troubled("dns.test", "SRV fails: degraded", dns={"SRV": DnsFault.SERVFAIL}),
    _troubled("none.test", "sole SRV target is '.'", None, answers=False, srv=[(".", 0)]),
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


async def tour(out: Console) -> int:
    """Try every case, print the table, and return 0 if all came to what they should."""
    policy = Policy(well_known_timeout=_TIMEOUT)
    rows = []
    right = 0
    async with LoopbackFederation() as federation:
        for case in _CASES:
            for host, declared in case.hosts.items():
                federation.add(host, **declared)
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
    out.print(_table(rows, out))
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
        reasons = [attempt.reason for attempt in getattr(error, "attempts", ())]
        told = "; ".join(dict.fromkeys(reasons)) or str(error) or type(error).__name__
        return _Seen(error=told.removeprefix("the "))
    return _Seen(host=told["host"], sni=told["sni"], target=tuple(told["target"]))


def _as_expected(case: _Case, outcome: Outcome, seen: _Seen | None) -> bool:
    resolution = outcome.resolution
    if resolution is None or seen is None:
        return case.step is None and isinstance(outcome.error, ServiceNotOfferedError)
    answered = not seen.error
    return (
        resolution.step.value == case.step
        and (case.row is None or case.row.agrees_with(resolution))
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


def _table(rows: Sequence[list[Text]], out: Console) -> Table:
    """Return the table with the columns that there is room for."""
    options = out.options.update_width(_ANY_WIDTH)
    for last in range(max(_COLUMNS.values()), 0, -1):
        table = _table_of(rows, last)
        if out.measure(table, options=options).maximum <= out.width:
            return table
    return _table_of(rows, 0)


def _table_of(rows: Sequence[list[Text]], last: int) -> Table:
    """Return the columns up to this one; on a terminal that is too narrow, cells are folded."""
    table = Table(
        title="A federation on this machine",
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        pad_edge=False,
    )
    chosen = [place <= last for place in _COLUMNS.values()]
    for column in compress(_COLUMNS, chosen):
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*compress(row, chosen))
    return table
