"""A federation on this machine with a server for each step, resolved through real DNS and HTTPS."""

from collections.abc import Mapping
from typing import Any

from attrs import field, frozen
from rich.console import Console
from rich.table import Table
from rich.text import Text

from matrix_resolve.cli.telling import Outcome, look_up
from matrix_resolve.errors import ServiceNotOfferedError
from matrix_resolve.policy import Policy
from matrix_resolve.testing import (
    Certificate,
    DnsFault,
    LoopbackFederation,
    Redirect,
    Reply,
    Silent,
)

_LOOP = "/.well-known/matrix/server"
# The silent server keeps us waiting for this long (seconds); the demo need not wait for ten.
_TIMEOUT = 1.0


@frozen(kw_only=True)
class _Case:
    """A server name, what stands behind it, and the step it must come to (None: not offered)."""

    name: str
    about: str
    step: str | None
    declared: Mapping[str, Any] = field(factory=dict)


_CASES = (
    _Case(name="127.0.0.1", about="an IP literal", step="1"),
    _Case(name="port.example:8450", about="a port of its own", step="2"),
    _Case(
        name="wk-ip.example",
        about="delegates to an IP literal",
        step="3.1",
        declared={"delegates_to": "[::1]:8451"},
    ),
    _Case(
        name="wk-port.example",
        about="delegates to a host and port",
        step="3.2",
        declared={"delegates_to": "matrix.wk-port.example:443"},
    ),
    _Case(
        name="wk-srv.example",
        about="delegates to a host with SRV records",
        step="3.3",
        declared={"delegates_to": "fed.wk-srv.example"},
    ),
    _Case(
        name="wk-legacy.example",
        about="delegates to a host with deprecated SRV records",
        step="3.4",
        declared={"delegates_to": "legacy.wk-legacy.example"},
    ),
    _Case(
        name="wk-host.example",
        about="delegates to a host",
        step="3.5",
        declared={"delegates_to": "matrix.wk-host.example"},
    ),
    _Case(
        name="srv.example",
        about="SRV records",
        step="4",
        declared={"srv": [("a.srv.example", 8452), ("b.srv.example", 8453)]},
    ),
    _Case(
        name="legacy.example",
        about="deprecated SRV records",
        step="5",
        declared={"legacy_srv": [("matrix.legacy.example", 8454)]},
    ),
    _Case(name="plain.example", about="nothing but port 8448", step="6"),
    _Case(
        name="bad-json.example",
        about="a document that is no JSON",
        step="6",
        declared={"well_known": b"<html>"},
    ),
    _Case(
        name="trouble.example",
        about="a web server in trouble (503)",
        step="6",
        declared={"well_known": Reply(503)},
    ),
    _Case(
        name="silent.example",
        about="a web server that says nothing",
        step="6",
        declared={"well_known": Silent()},
    ),
    _Case(
        name="loop.example",
        about="redirects in a loop",
        step="6",
        declared={"well_known": Redirect(_LOOP)},
    ),
    _Case(
        name="expired.example",
        about="an expired certificate",
        step="6",
        declared={
            "delegates_to": "matrix.expired.example:443",
            "certificate": Certificate.EXPIRED,
        },
    ),
    _Case(
        name="servfail.example",
        about="DNS fails for its SRV records: degraded",
        step="6",
        declared={"dns": {"SRV": DnsFault.SERVFAIL}},
    ),
    _Case(
        name="not-offered.example",
        about="the sole SRV target is '.'",
        step=None,
        declared={"srv": [(".", 0)]},
    ),
)


async def demo(out: Console) -> int:
    """Resolve every case, print the table, and return 0 if all came to the right step."""
    policy = Policy(well_known_timeout=_TIMEOUT)
    columns = ("server name", "step", "connect to", "Host", "certificate for", "addresses", "")
    table = Table(*columns, title="A federation on this machine")
    right = 0
    async with LoopbackFederation() as federation:
        federation.add("fed.wk-srv.example", srv=[("target.wk-srv.example", 8455)])
        federation.add("legacy.wk-legacy.example", legacy_srv=[("target.wk-legacy.example", 8456)])
        for case in _CASES:
            federation.add(case.name.partition(":")[0], **case.declared)
        async with federation.resolver(policy=policy) as resolver:
            for case in _CASES:
                outcome = await look_up(resolver, case.name, endpoints=True)
                right += _as_expected(case, outcome)
                table.add_row(*_row(case, outcome))
        asked = federation.dns_questions.total()
        fetched = len(federation.requests)
    out.print(table)
    summary = (
        f"{right} of {len(_CASES)} as the specification says; "
        f"{asked} DNS questions and {fetched} HTTPS requests, all on loopback"
    )
    out.print(summary, style="green" if right == len(_CASES) else "red")
    return 0 if right == len(_CASES) else 1


def _as_expected(case: _Case, outcome: Outcome) -> bool:
    if case.step is None:
        return isinstance(outcome.error, ServiceNotOfferedError)
    resolution = outcome.resolution
    return resolution is not None and resolution.step.value == case.step and bool(outcome.endpoints)


def _row(case: _Case, outcome: Outcome) -> list[Text]:
    mark = Text("✓", style="green") if _as_expected(case, outcome) else Text("✗", style="red")
    resolution = outcome.resolution
    if resolution is None:
        cells = ["", f"{outcome.error}", "", "", ""]
    else:
        cells = [
            resolution.step.value + (", degraded" if resolution.degraded else ""),
            "\n".join(map(str, resolution.targets)),
            resolution.host_header,
            resolution.tls_name,
            "\n".join(
                " ".join(
                    str(end.address) for end in outcome.endpoints or () if end.target == target
                )
                for target in resolution.targets
            ),
        ]
    name = Text.assemble(case.name, "\n", (case.about, "dim"))
    return [name, *map(Text, cells), mark]
