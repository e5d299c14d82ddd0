"""`matrix-resolve explain`: the story of a name."""

import asyncio
import io
import json
import re
from functools import partial
from pathlib import Path

import pytest
from command_line import Command
from rich.console import Console

from matrix_resolve import AddressPolicy, AskAddresses, MatrixResolveError, Policy
from matrix_resolve.cli import main, names
from matrix_resolve.cli.explain import story_json, story_tree
from matrix_resolve.cli.heard import Heard
from matrix_resolve.cli.names import Outcome, look_up
from matrix_resolve.compose import compose_resolver
from matrix_resolve.core.questions import Addresses
from matrix_resolve.hooks import QuestionAnswered
from matrix_resolve.testing import DnsFault, LoopbackFederation, Redirect
from matrix_resolve.testing.loopback.declarations import WELL_KNOWN


async def test_explain(command: Command) -> None:
    """`explain` tells each step, what was answered, and the addresses; plain in a pipe."""
    status, out, err = await command("explain", "srv.example")
    assert (status, err) == (0, "")
    told = re.sub(r"asked, \d+ ms", "asked", out)
    assert "\x1b" not in out
    assert told.splitlines() == [
        "srv.example",
        "├── step 1, passed over: the hostname is no IP literal",
        "├── step 2, passed over: the server name has no port",
        "├── step 3: nothing usable: srv.example: "
        + told.partition("usable: srv.example: ")[2].partition("\n")[0],
        "│   └── https://srv.example/.well-known/matrix/server: asked, kept for"
        + told.partition("server: asked, kept for")[2].partition("\n")[0],
        "├── step 4, taken: SRV records: a.example:8450 (priority 1, weight 0), b.example:443"
        " (priority 2, weight 0)",
        "│   └── SRV _matrix-fed._tcp.srv.example: asked, kept for 5 min",
        "└── so",
        "    ├── connect to a.example:8450, b.example:443",
        "    ├── Host: srv.example",
        "    ├── certificate for srv.example",
        "    ├── addresses of a.example:8450: ::1, 127.0.0.1",
        "    └── addresses of b.example:443: ::1, 127.0.0.1",
    ]


async def test_explain_without_addresses(command: Command) -> None:
    """Of each target it is told whether it has addresses, and of an error the status tells."""
    command.federation.add("a.example", addresses=[])
    command.federation.add("b.example", dns={"A": DnsFault.SERVFAIL, "AAAA": DnsFault.SERVFAIL})
    command.federation.add("srv.example", srv=[(f"{each}.example", 443) for each in "abc"])
    status, out, _ = await command("--timeout", "3", "explain", "srv.example")
    assert "├── addresses of a.example:443: none\n" in out
    assert "├── addresses of b.example:443: unknown, " in out
    assert "└── addresses of c.example:443: ::1, 127.0.0.1\n" in out
    assert status == 0
    status, out, _ = await command("explain", "a.example:1")
    assert "└── no addresses exist for a.example\n" in out
    assert status == 1


async def test_explain_as_json(command: Command) -> None:
    """`explain --json` has the addresses, and the error in their place."""
    command.federation.add("a.example", addresses=[])
    status, out, _ = await command("--json", "explain", "srv.example", "a.example:1")
    found, missing = map(json.loads, out.splitlines())
    assert (status, found["addresses"], missing["addresses"]) == (1, "found", "none")
    assert (found["aliases"], found["redirects"]) == ({}, [])
    assert "error" not in found
    assert found["endpoints"] == [
        {"address": "::1", "port": 443, "target": "b.example"},
        {"address": "127.0.0.1", "port": 443, "target": "b.example"},
    ]
    assert missing["error"]["type"] == "AddressLookupError"


async def test_private_addresses_are_refused_by_default(
    loopback_federation: LoopbackFederation, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without --allow-private the explanation says that the addresses are forbidden."""
    loopback_federation.add("private.example")
    arguments = ["--nameserver", loopback_federation.nameserver, "explain", "private.example"]
    assert await asyncio.to_thread(main, arguments) == 1
    assert "the address policy forbids every address of private.example" in capsys.readouterr().out
    arguments[2] = "resolve"
    assert await asyncio.to_thread(main, arguments) == 0
    assert capsys.readouterr().out.endswith("(step 6), no address that is allowed\n")


async def _looked_up(federation: LoopbackFederation, name: str) -> Outcome:
    heard = Heard()
    async with compose_resolver(
        policy=Policy(dns_timeout=0.5),
        address_policy=AddressPolicy.allow_all(),
        hooks=[heard],
        nameservers=[federation.nameserver],
        ssl_context=federation.client_ssl_context(),
        connect_to=federation.connect_to,
        redirected=heard.redirected,
    ) as resolver:
        return await look_up(resolver, name, endpoints=True, heard=heard)


async def _printed_tree(federation: LoopbackFederation, name: str, **console: object) -> str:
    outcome = await _looked_up(federation, name)
    assert outcome.resolution is not None
    out = io.StringIO()
    settings = {"file": out, "width": 200, "highlight": False, "markup": False} | console
    Console(**settings).print(story_tree(outcome, outcome.resolution))  # type: ignore[arg-type]
    return out.getvalue()


async def test_the_story_of_a_delegation(loopback_federation: LoopbackFederation) -> None:
    """A delegation is told with where its document was found; colours go to terminals only."""
    add = loopback_federation.add
    add("example.org", redirects_to="https://www.example.org/.well-known/matrix/server")
    add("www.example.org", delegates_to="[red]matrix.example.org:443")
    add("www.example.org", delegates_to="matrix.example.org:443")
    told = await _printed_tree(loopback_federation, "example.org")
    assert (
        "step 3: delegates to matrix.example.org:443"
        " (https://www.example.org/.well-known/matrix/server)\n" in told
    )
    assert "step 3.2, taken: matrix.example.org:443 has a port\n" in told
    assert "── redirected (302) to https://www.example.org/.well-known/matrix/server\n" in told
    coloured = await _printed_tree(
        loopback_federation, "example.org", force_terminal=True, color_system="standard"
    )
    assert "\x1b[32mstep 3.2, taken" in coloured
    narrow = await _printed_tree(loopback_federation, "example.org", width=75)
    assert re.search(
        r"── https://example\.org/\.well-known/matrix/server:\s*\n"
        r"│   │   asked, \d+ ms, kept for \d+ h\s*\n",
        narrow,
    )
    narrowest = await _printed_tree(loopback_federation, "example.org", width=30)
    assert "…" not in narrowest
    assert max(map(len, narrowest.splitlines())) <= 30


async def test_hostile_text_is_shown_as_text(loopback_federation: LoopbackFederation) -> None:
    """Neither markup nor control characters of a stranger reach the terminal as such."""
    loopback_federation.add("a.example", well_known={"m.server": "\x1b[2J[bold]x[/bold]"})
    loopback_federation.add("b.example", well_known=Redirect("http://[bold]x"))
    told = await _printed_tree(loopback_federation, "a.example")
    assert "'\\x1b[2J[bold]x[/bold]'" in told
    assert "[bold]" in await _printed_tree(loopback_federation, "b.example")


async def test_degraded_is_told(loopback_federation: LoopbackFederation) -> None:
    """A resolution that rests on a failed lookup says so at its end."""
    loopback_federation.add("ill.example", dns={"SRV": DnsFault.SERVFAIL})
    told = await _printed_tree(loopback_federation, "ill.example")
    assert "degraded: an SRV lookup failed" in told


async def test_redirects_are_told(loopback_federation: LoopbackFederation) -> None:
    """Each redirect is told, those before one that must not be followed too."""
    add = loopback_federation.add
    add("a.example", redirects_to=f"https://b.example{WELL_KNOWN}")
    add("b.example", redirects_to=f"//c.example{WELL_KNOWN}")
    add("c.example", redirects_to="http://c.example/")
    outcome = await _looked_up(loopback_federation, "A.example")
    assert story_json(outcome)["redirects"] == [
        {"status": 302, "url": f"https://b.example{WELL_KNOWN}"},
        {"status": 302, "url": f"https://c.example{WELL_KNOWN}"},
    ]
    add("c.example", redirects_to=f"https://a.example{WELL_KNOWN}")
    outcome = await _looked_up(loopback_federation, "a.example")
    assert len(story_json(outcome)["redirects"]) == 3


async def test_the_command_tells_redirects(
    command: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The command line hears of redirects; only ports are others here."""
    federation = command.federation
    federation.add("a.example", redirects_to=f"https://b.example{WELL_KNOWN}")
    federation.add("b.example", delegates_to="c.example")
    (tmp_path / "ca.pem").write_bytes(federation.ca_pem)
    on_loopback = partial(compose_resolver, connect_to=federation.connect_to)
    monkeypatch.setattr(names, "compose_resolver", on_loopback)
    status, out, _ = await command("--ca", str(tmp_path / "ca.pem"), "explain", "a.example")
    assert (status, "step 3.5, taken" in out) == (0, True)
    assert f"── redirected (302) to https://b.example{WELL_KNOWN}\n" in out


async def test_aliases_are_told(loopback_federation: LoopbackFederation) -> None:
    """A target that is an alias is told; that of an SRV record must not be one."""
    loopback_federation.add("a.example", alias_of="b.example")
    loopback_federation.add("srv.example", srv=[("c.example", 1), ("a.example", 2)])
    outcome = await _looked_up(loopback_federation, "a.example:1")
    assert outcome.aliases_told() == ["a.example is an alias of b.example"]
    outcome = await _looked_up(loopback_federation, "srv.example")
    assert story_json(outcome)["aliases"] == {"a.example": "b.example"}
    told = await _printed_tree(loopback_federation, "srv.example")
    assert (
        "── a.example is an alias of b.example, which the target of an SRV record must not be\n"
        in told
    )


def test_a_hostile_alias() -> None:
    """What DNS says is told printable."""
    heard = Heard()
    answer = Addresses((), "\x1b[2J")
    heard(QuestionAnswered(question=AskAddresses("a.example"), answer=answer, duration=0.0))
    assert heard.alias_of("A.example") == r"\x1b[2J"


def test_no_addresses_told() -> None:
    """What was not looked up is not told, and an error is."""
    assert Outcome(name="x").addresses_told() == []
    assert Outcome(name="x").addresses is None
    assert Outcome(name="x", error=MatrixResolveError("why")).addresses is None
    assert Outcome(name="x", error=MatrixResolveError("why")).addresses_told() == ["why"]
