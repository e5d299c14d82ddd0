"""The door to checks: open a checker, check servers, close it; what is refused, what is limited."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from declared import NAME, OWN, alone, complaints
from homeservers import KEYS, with_answer

import matrix_resolve
from matrix_resolve import (
    AddressPolicy,
    Checker,
    Finding,
    InvalidServerNameError,
    Level,
    Report,
    ServerName,
    check_server,
    open_checker,
)
from matrix_resolve.testing import FakeAddresses, FakeSrv, LoopbackFederation, Request, Slow


@pytest.fixture
def settings(loopback_federation: LoopbackFederation) -> dict[str, Any]:
    """What leads a checker to a good server."""
    alone()(loopback_federation)
    return {
        "nameservers": [loopback_federation.nameserver],
        "ssl_context": loopback_federation.client_ssl_context(),
        "connect_to": loopback_federation.connect_to,
        "address_policy": AddressPolicy.allow_all(),
    }


async def test_one_check(settings: dict[str, Any]) -> None:
    """A checker is opened, used once, and closed."""
    report = await check_server(NAME, **settings)
    assert isinstance(report, Report)
    assert all(isinstance(each, Finding) for each in report.findings)
    assert complaints(report) == {}
    assert str(report).startswith(NAME)


async def test_several_checks(settings: dict[str, Any]) -> None:
    """One checker checks any number of servers, at once too; nothing is kept between two."""
    async with open_checker(**settings) as checker:
        assert isinstance(checker, Checker)
        names = [NAME, ServerName.parse(NAME), "gone.example.org"]
        first, second, gone = await asyncio.gather(*map(checker.check, names))
        assert (first.exit_status, second.exit_status, gone.exit_status) == (0, 0, 1)
        assert complaints(gone) == {"no-addresses": Level.ERROR}


async def test_nothing_is_remembered(
    loopback_federation: LoopbackFederation, settings: dict[str, Any]
) -> None:
    """A server that is mended between two checks passes the second."""
    async with open_checker(**settings) as checker:
        alone(serves=with_answer(OWN, KEYS, None))(loopback_federation)
        assert complaints(await checker.check(NAME)) == {"keys-not-found": Level.ERROR}
        alone()(loopback_federation)
        assert complaints(await checker.check(NAME)) == {}


async def test_a_checker_that_is_given(settings: dict[str, Any]) -> None:
    """It is used and left open; what it was opened with can't be changed."""
    async with open_checker(**settings) as checker:
        for _ in range(2):
            assert (await check_server(NAME, checker=checker)).exit_status == 0
        closed = await check_server(NAME, checker=checker, expect_closed=True)
        assert complaints(closed) == {"federation-open": Level.ERROR}
        with pytest.raises(TypeError, match="nameservers, timeout may not be"):
            await check_server(NAME, checker=checker, nameservers=["192.0.2.1"], timeout=1)


@pytest.mark.parametrize("name", ["", "@alice:example.org", "https://example.org/", "a" * 300])
async def test_what_is_no_server_name(name: str) -> None:
    """It is refused before anything is asked."""
    srv, addresses = FakeSrv(), FakeAddresses()
    with pytest.raises(InvalidServerNameError):
        await check_server(name, srv=srv, addresses=addresses)
    assert (srv.asked, addresses.asked) == ([], [])


async def test_lookups_of_ones_own(loopback_federation: LoopbackFederation) -> None:
    """They are asked in the place of the default ones, and stay the caller's."""
    alone()(loopback_federation)
    report = await check_server(
        NAME,
        srv=FakeSrv(),
        addresses=FakeAddresses({NAME: ["127.0.0.1"]}),
        ssl_context=loopback_federation.client_ssl_context(),
        connect_to=loopback_federation.connect_to,
        address_policy=AddressPolicy.allow_all(),
    )
    assert complaints(report) == {}
    assert not loopback_federation.dns_questions


async def test_private_addresses_are_refused(settings: dict[str, Any]) -> None:
    """Unless the caller says otherwise, what peers would not dial is not dialled."""
    del settings["address_policy"]
    report = await check_server(NAME, **settings)
    assert complaints(report) == {"addresses-private": Level.ERROR}


async def test_the_time_is_limited(
    loopback_federation: LoopbackFederation, settings: dict[str, Any]
) -> None:
    """When it is over the report has what was seen until then, and says what was not."""
    alone(serves=with_answer(OWN, KEYS, Slow(3600)))(loopback_federation)
    async with asyncio.timeout(30):
        report = await check_server(NAME, timeout=1.0, **settings)
    assert report.exit_status == 3
    assert report.facts.documents
    assert "unfinished" in {each.code for each in report.findings}


async def test_progress(settings: dict[str, Any]) -> None:
    """Who waits hears what is under way."""
    heard: list[Sequence[str]] = []
    async with open_checker(**settings) as checker:
        await checker.check(NAME, progress=heard.append)
    assert heard[-1] == ()
    assert any("resolving the name" in told for told in heard)


async def test_cancelling(
    loopback_federation: LoopbackFederation, settings: dict[str, Any]
) -> None:
    """A check that nobody waits for any more leaves nothing behind."""
    asked = asyncio.Event()

    def serves(_: Request) -> Slow:
        asked.set()
        return Slow(3600)

    alone(serves=serves)(loopback_federation)
    async with open_checker(**settings) as checker:
        task = asyncio.create_task(checker.check(NAME))
        await asked.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


def test_public_names() -> None:
    """They are imported from the package itself."""
    wanted = {"open_checker", "check_server", "Checker", "Report", "Finding", "Level"}
    assert wanted <= set(matrix_resolve.__all__)
