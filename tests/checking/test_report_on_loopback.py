"""Whole checks in a loopback federation: good servers of each step, and servers with one fault."""

import errno
import json
import os
import socket
import ssl
from collections import ChainMap
from collections.abc import Callable
from typing import Any

import pytest
import trustme
from declared import (
    HOME,
    Declare,
    alone,
    at_addresses,
    complaints,
    delegating,
    report,
)
from homeservers import homeserver
from houses import Blackhole, House, on_linux
from loopback_faults import FAULTS, PECULIARITIES, V4, V4_TOO, WEAKNESSES
from tls_servers import context_of, serving, too_old_context

from matrix_resolve.checking import probing
from matrix_resolve.checking.findings import CATALOGUE, Level
from matrix_resolve.checking.tls import connect
from matrix_resolve.core.resolution import Target
from matrix_resolve.testing import Certificate, DnsFault, LoopbackFederation
from matrix_resolve.testing.steps import STEPS, StepRow


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait for the mute no longer than a test can."""
    monkeypatch.setattr(probing, "_CONNECT", 0.3)
    monkeypatch.setattr(probing, "_HANDSHAKE", 1.0)
    monkeypatch.setattr("matrix_resolve.checking.tls._PLAIN_SECONDS", 0.3)


@pytest.mark.parametrize("row", STEPS, ids=[row.label for row in STEPS])
async def test_good_servers(row: StepRow, loopback_federation: LoopbackFederation) -> None:
    """A good server of each step is reached, and nothing is to be changed."""
    name = str(row.server_name)
    first = Target(host=row.targets[0][0], port=row.targets[0][1])
    is_address = row.server_name.is_ip_literal
    serves = homeserver(name, client_api=None if is_address else f"https://{first}/")
    hosts = {host: {} for host, _ in row.targets} | dict(row.hosts)
    for host, declared in hosts.items():
        loopback_federation.add(host, **declared, serves=serves)
    found = await report(loopback_federation, name)
    assert complaints(found) == {}
    assert (found.answers.reach.value, found.exit_status) == ("yes", 0)
    assert found.answers.document is None


@pytest.mark.parametrize(("code", "declare"), FAULTS, ids=[code for code, _ in FAULTS])
async def test_one_fault(
    code: str, declare: Declare, loopback_federation: LoopbackFederation
) -> None:
    """The finding that names the fault is there, and no other error."""
    settings = declare(loopback_federation) or {}
    found = await report(loopback_federation, **settings)
    errors = [each for each, level in complaints(found).items() if level is Level.ERROR]
    assert errors == [code]
    assert (found.answers.reach.value, found.exit_status) == ("no", 1)
    assert json.loads(json.dumps(found.to_dict())) == found.to_dict()


@pytest.mark.parametrize(("code", "declare"), WEAKNESSES, ids=[code for code, _ in WEAKNESSES])
async def test_one_weakness(
    code: str, declare: Declare, loopback_federation: LoopbackFederation
) -> None:
    """What is no error yet is a warning, and there is no other."""
    loopback_federation.add("none.example.org", addresses=())
    loopback_federation.add("dead.example.org", ports=())
    settings = declare(loopback_federation) or {}
    found = await report(loopback_federation, **settings)
    assert complaints(found) == {code: Level.WARNING}
    assert found.exit_status == 0


@pytest.mark.parametrize(("code", "declare"), PECULIARITIES, ids=[c for c, _ in PECULIARITIES])
async def test_one_peculiarity(
    code: str, declare: Declare, loopback_federation: LoopbackFederation
) -> None:
    """What is good to know is noted, and nothing is to be changed."""
    settings = declare(loopback_federation) or {}
    found = await report(loopback_federation, **settings)
    assert complaints(found) == {}
    assert code in {each.code for each in found.findings}
    assert (found.answers.reach.value, found.exit_status) == ("yes", 0)


async def test_dns_that_can_not_be_asked(loopback_federation: LoopbackFederation) -> None:
    """Trouble of our own is no fault of the server's: nothing can be told."""
    alone(dns=DnsFault.SERVFAIL)(loopback_federation)
    found = await report(loopback_federation)
    assert complaints(found) == {"dns-failed": Level.WARNING}
    assert (found.answers.reach.value, found.exit_status) == ("unknown", 3)


def _refuse(*_: object) -> int:
    return ssl.ALERT_DESCRIPTION_UNRECOGNIZED_NAME


HANDSHAKES: dict[str, Callable[[], ssl.SSLContext]] = {
    "tls-too-old": lambda: too_old_context(trustme.CA(), HOME),
    "tls-alert": lambda: context_of(trustme.CA(), HOME, sni_callback=_refuse),
}


@pytest.mark.parametrize("code", HANDSHAKES)
async def test_handshakes_that_fail(code: str, loopback_federation: LoopbackFederation) -> None:
    """They are told apart."""
    delegating()(loopback_federation)
    with serving(HANDSHAKES[code]()) as at:
        connect_to = ChainMap({(HOME, 443): at}, loopback_federation.connect_to)
        found = await report(loopback_federation, connect_to=connect_to)
    assert complaints(found) == {code: Level.ERROR}
    assert found.exit_status == 1


@on_linux
async def test_ports_that_swallow_connections(loopback_federation: LoopbackFederation) -> None:
    """A firewall that drops what comes is told as a time-out."""
    delegating()(loopback_federation)
    house = House({"127.0.0.2": Blackhole()})
    try:
        connect_to = ChainMap(
            {(HOME, 443): ("127.0.0.2", house.port)}, loopback_federation.connect_to
        )
        found = await report(loopback_federation, connect_to=connect_to)
    finally:
        await house.aclose()
    assert complaints(found) == {"tcp-timeout": Level.ERROR}


async def test_a_second_try(
    loopback_federation: LoopbackFederation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A connection that comes about at the second try only is a warning."""
    tried: set[Any] = set()

    async def lossy(at: tuple[str, int], *, seconds: float) -> socket.socket:
        if at not in tried:
            tried.add(at)
            raise TimeoutError
        return await connect(at, seconds=seconds)

    monkeypatch.setattr(probing, "connect", lossy)
    alone()(loopback_federation)
    found = await report(loopback_federation)
    assert complaints(found) == {"tcp-second-try": Level.WARNING}


@pytest.mark.parametrize(
    ("number", "code", "level", "status"),
    [
        (errno.EHOSTUNREACH, "tcp-unreachable", Level.ERROR, 1),
        (errno.ENETUNREACH, "own-network", Level.WARNING, 3),
    ],
)
async def test_addresses_without_a_route(
    number: int,
    code: str,
    level: Level,
    status: int,
    loopback_federation: LoopbackFederation,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A router that says so is the server's trouble, having no network at all is our own."""

    async def unreachable(*_: object, **__: object) -> socket.socket:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(probing, "connect", unreachable)
    delegating()(loopback_federation)
    found = await report(loopback_federation)
    assert complaints(found) == {code: level}
    assert found.exit_status == status


async def test_certificates_that_differ(loopback_federation: LoopbackFederation) -> None:
    """Two addresses, two certificates for the same name."""
    servers: dict[str, dict[str, Any]] = {V4: {}, V4_TOO: {"certificate": Certificate.ENDS_SOON}}
    settings = at_addresses(servers)(loopback_federation) or {}
    found = await report(loopback_federation, **settings)
    assert set(complaints(found)) == {"certificates-differ", "tls-ends-soon"}


async def test_server_that_was_to_be_closed(loopback_federation: LoopbackFederation) -> None:
    """That it answers is the only fault."""
    alone()(loopback_federation)
    found = await report(loopback_federation, expect_closed=True)
    assert complaints(found) == {"federation-open": Level.ERROR}
    assert found.exit_status == 1


def test_every_code_is_found() -> None:
    """Each code of the catalogue is in one of the tables, or has a test of its own."""
    alone_ = {"own-network", "federation-open", "certificates-differ", *HANDSHAKES}
    alone_ |= {"tcp-timeout", "tcp-unreachable", "tcp-second-try", "unfinished"}
    told = {code for table in (FAULTS, WEAKNESSES, PECULIARITIES) for code, _ in table}
    assert told | alone_ == CATALOGUE.keys()
    assert not told & alone_
    assert len({code for code, _ in FAULTS}) >= 50
