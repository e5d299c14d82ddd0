"""A federation on this machine with a server for each step, resolved through real DNS and HTTPS."""

from collections.abc import Mapping
from typing import Any

from attrs import field, frozen
from rich import box
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
_TIMEOUT = 3.0
# With so many columns a terminal has room for what each server is.
_WIDE = 120


@frozen(kw_only=True)
class _Case:
    """A server name, what stands behind it, and the step it must come to (None: not offered)."""

    name: str
    about: str
    step: str | None
    declared: Mapping[str, Any] = field(factory=dict)


_CASES = (
    _Case(name="127.0.0.1", about="an IP literal", step="1"),
    _Case(name="own.test:8450", about="a port of its own", step="2"),
    _Case(
        name="wk-ip.test",
        about="delegates to an IP literal",
        step="3.1",
        declared={"delegates_to": "[::1]:8451"},
    ),
    _Case(
        name="wk-port.test",
        about="delegates to a host and port",
        step="3.2",
        declared={"delegates_to": "hs.test:443"},
    ),
    _Case(
        name="wk-srv.test",
        about="delegates to a host with SRV records",
        step="3.3",
        declared={"delegates_to": "fed.test"},
    ),
    _Case(
        name="wk-old.test",
        about="delegates to a host with old SRV records",
        step="3.4",
        declared={"delegates_to": "legacy.test"},
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
        about="a document that is no JSON",
        step="6",
        declared={"well_known": b"<html>"},
    ),
    _Case(
        name="503.test",
        about="a web server in trouble (503)",
        step="6",
        declared={"well_known": Reply(503)},
    ),
    _Case(
        name="mute.test",
        about="a web server that says nothing",
        step="6",
        declared={"well_known": Silent()},
    ),
    _Case(
        name="loop.test",
        about="redirects in a loop",
        step="6",
        declared={"well_known": Redirect(_LOOP)},
    ),
    _Case(
        name="tls.test",
        about="an expired certificate",
        step="6",
        declared={
            "delegates_to": "hs.test:443",
            "certificate": Certificate.EXPIRED,
        },
    ),
    _Case(
        name="dns.test",
        about="DNS fails for its SRV records: degraded",
        step="6",
        declared={"dns": {"SRV": DnsFault.SERVFAIL}},
    ),
    _Case(
        name="none.test",
        about="the sole SRV target is '.'",
        step=None,
        declared={"srv": [(".", 0)]},
    ),
)


async def demo(out: Console) -> int:
    """Resolve every case, print the table, and return 0 if all came to the right step."""
    policy = Policy(well_known_timeout=_TIMEOUT)
    table = Table(
        title="A federation on this machine",
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        pad_edge=False,
    )
    table.add_column()
    for column in ("server name", "step", "connect to", "Host", "certificate"):
        table.add_column(column, no_wrap=True)
    table.add_column("addresses", min_width=9)
    if out.width >= _WIDE:
        table.add_column("what it is", style="dim")
    right = 0
    async with LoopbackFederation() as federation:
        federation.add("fed.test", srv=[("a.test", 8455)])
        federation.add("legacy.test", legacy_srv=[("b.test", 8456)])
        for case in _CASES:
            federation.add(case.name.partition(":")[0], **case.declared)
        async with federation.resolver(policy=policy) as resolver:
            for case in _CASES:
                outcome = await look_up(resolver, case.name, endpoints=True)
                right += _as_expected(case, outcome)
                table.add_row(*_row(case, outcome)[: len(table.columns)])
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
    mark = Text("ok", style="green") if _as_expected(case, outcome) else Text("WRONG", style="red")
    resolution = outcome.resolution
    if resolution is None:
        not_offered = isinstance(outcome.error, ServiceNotOfferedError)
        cells = ["", "not offered" if not_offered else str(outcome.error), "", "", ""]
    else:
        cells = [
            resolution.step.value,
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
    return [mark, *map(Text, (case.name, *cells, case.about))]
