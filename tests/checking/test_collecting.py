"""What is seen of a server in a loopback federation: real DNS, real TLS, real documents."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from ipaddress import ip_address
from typing import Any

import pytest
from homeservers import CLIENT, KEYS, VERSION, homeserver, with_answer

from matrix_resolve.checking.checker import Checker, open_checker
from matrix_resolve.checking.facts import ServerFacts, TcpProblem, TlsProblem
from matrix_resolve.core.addresses import AddressPolicy
from matrix_resolve.testing import (
    DnsFault,
    Endless,
    FakeAddresses,
    FakeSrv,
    LoopbackFederation,
    Refused,
    Silent,
    Slow,
)

NAME = "example.org"
HOME = "hs.example.org"


@asynccontextmanager
async def checking(federation: LoopbackFederation, **settings: Any) -> AsyncIterator[Checker]:
    """Open a checker that reaches a loopback federation."""
    settings.setdefault("address_policy", AddressPolicy.allow_all())
    settings.setdefault("connect_to", federation.connect_to)
    async with open_checker(
        nameservers=[federation.nameserver],
        ssl_context=federation.client_ssl_context(),
        **settings,
    ) as checker:
        yield checker


async def seen(federation: LoopbackFederation, name: str = NAME, **settings: Any) -> ServerFacts:
    """What is seen of a server."""
    async with checking(federation, **settings) as checker, asyncio.timeout(20):
        return await checker.look(name)


async def test_awaited(loopback_federation: LoopbackFederation) -> None:
    """A checker may be opened by `await`, and closed by `aclose()` with its lookup."""
    loopback_federation.add(NAME)
    checker = await open_checker(
        nameservers=[loopback_federation.nameserver],
        ssl_context=loopback_federation.client_ssl_context(),
        address_policy=AddressPolicy.allow_all(),
        connect_to=loopback_federation.connect_to,
    )
    assert (await checker.look(NAME)).resolution is not None
    await checker.aclose()
    await checker.aclose()
    with pytest.raises(RuntimeError, match="closed"):
        await checker.look(NAME)


def test_settings_of_a_lookup_that_is_not_opened() -> None:
    """Nameservers beside lookups of one's own would be asked by nobody."""
    with pytest.raises(TypeError, match="nameservers"):
        open_checker(nameservers=["192.0.2.53"], srv=FakeSrv(), addresses=FakeAddresses())


async def test_delegated_server(loopback_federation: LoopbackFederation) -> None:
    """The whole of a good server: documents, hosts, records, endpoints, keys, what clients find."""
    serves = homeserver(NAME, client_api=f"https://{HOME}/")
    loopback_federation.add(NAME, delegates_to=f"{HOME}:443", serves=serves)
    loopback_federation.add(HOME, serves=serves)
    facts = await seen(loopback_federation)
    assert facts.resolution is not None
    assert facts.resolution.step.value == "3.2"
    assert [host.hostname for host in facts.hosts] == [NAME, HOME]
    assert [each.name for each in facts.srv] == [
        f"_matrix-fed._tcp.{NAME}",
        f"_matrix._tcp.{NAME}",
    ]
    assert [document.address for document in facts.documents] == ["::1", "127.0.0.1"]
    assert all(document.response.status == 200 for document in facts.documents if document.response)
    assert facts.delegated_document is not None
    assert [str(endpoint.address) for endpoint in facts.endpoints] == ["::1", "127.0.0.1"]
    for endpoint in facts.endpoints:
        assert endpoint.tls is not None
        assert (endpoint.tls.problem, endpoint.tls.version) == (None, "TLSv1.3")
        assert endpoint.version is not None
        assert endpoint.version.response is not None
        assert endpoint.key_document is not None
        assert endpoint.key_document.faults == ()
        assert endpoint.key_document.signatures == "verified"
    assert [str(each.target) for each in facts.direct] == [f"{NAME}:8448"] * 2
    assert facts.client is not None
    assert facts.client.versions is not None
    assert facts.client.versions.url == f"https://{HOME}/_matrix/client/versions"
    assert facts.client.support.response is not None
    assert facts.unfinished == ()


async def test_requests_are_those_of_peers(loopback_federation: LoopbackFederation) -> None:
    """`Host` and SNI are the server name's where SRV records lead elsewhere."""
    loopback_federation.add(NAME, srv=[("srv.example.net", 8450)])
    loopback_federation.add("srv.example.net", serves=homeserver(NAME))
    await seen(loopback_federation)
    asked = {
        (each.host, each.sni, each.path)
        for each in loopback_federation.requests
        if each.target == ("srv.example.net", 8450)
    }
    assert asked == {(NAME, NAME, VERSION), (NAME, NAME, KEYS)}


async def test_each_address_is_looked_at(loopback_federation: LoopbackFederation) -> None:
    """Two addresses of one host, one of them dead, one with another document."""
    for host, to in (("one.test", "a.test:443"), ("two.test", "b.test:443")):
        loopback_federation.add(host, delegates_to=to, serves=homeserver(NAME))
    loopback_federation.add("dead.test", well_known=Refused(), serves=Refused())
    addresses = {"192.0.2.1": "one.test", "192.0.2.2": "two.test", "192.0.2.3": "dead.test"}
    loopback_federation.add(NAME, addresses=list(addresses))
    connect_to = {
        (address, port): loopback_federation.connect_to[host, port]
        for address, host in addresses.items()
        for port in (443, 8448)
    }
    for host in ("a.test", "b.test"):
        connect_to[host, 443] = loopback_federation.connect_to[host, 443]
    facts = await seen(loopback_federation, connect_to=connect_to)
    bodies = {each.address: each.response and each.response.body for each in facts.documents}
    assert bodies == {
        "192.0.2.1": b'{"m.server": "a.test:443"}',
        "192.0.2.2": b'{"m.server": "b.test:443"}',
        "192.0.2.3": None,
    }
    problems = {str(each.address): each.problem for each in facts.direct}
    assert problems == {"192.0.2.1": None, "192.0.2.2": None, "192.0.2.3": TcpProblem.REFUSED}
    assert {each.tries for each in facts.direct if each.problem} == {2}


async def test_forbidden_addresses_are_left_alone(loopback_federation: LoopbackFederation) -> None:
    """What the policy forbids is told, and not connected to."""
    loopback_federation.add(NAME, serves=homeserver(NAME))
    facts = await seen(loopback_federation, address_policy=AddressPolicy())
    assert all(endpoint.is_forbidden for endpoint in facts.endpoints)
    assert facts.hosts[0].forbidden == (ip_address("127.0.0.1"), ip_address("::1"))
    assert facts.documents == ()
    assert not loopback_federation.connections


async def test_dns_that_fails(loopback_federation: LoopbackFederation) -> None:
    """That nothing could be found out is told apart from that there is nothing."""
    fails = dict.fromkeys(("A", "AAAA"), DnsFault.SERVFAIL)
    loopback_federation.add(NAME, dns=fails)
    facts = await seen(loopback_federation)
    assert facts.hosts[0].failure is not None
    assert (facts.srv[0].failure, facts.unfinished) == (None, ())
    gone = await seen(loopback_federation, "gone.example.org")
    assert (gone.hosts[0].failure, gone.hosts[0].addresses) == (None, ())


async def test_service_that_is_not_offered(loopback_federation: LoopbackFederation) -> None:
    """A sole SRV record "." is the server's own word."""
    loopback_federation.add(NAME)
    loopback_federation.add_records(f"_matrix-fed._tcp.{NAME}", "SRV", "0 0 0 .")
    facts = await seen(loopback_federation)
    assert (facts.not_offered, facts.resolution) == (True, None)


async def test_deadline(loopback_federation: LoopbackFederation) -> None:
    """What there was no time for is told; what was seen until then stays."""
    serves = with_answer(homeserver(NAME), KEYS, Slow(60))
    loopback_federation.add(NAME, serves=serves)
    facts = await seen(loopback_federation, timeout=1.0)
    assert facts.resolution is not None
    assert facts.endpoints == ()
    assert f"connecting to {NAME}:8448 at 127.0.0.1" in facts.unfinished
    assert len(facts.documents) == 2


async def test_progress(loopback_federation: LoopbackFederation) -> None:
    """Who waits hears what is under way, and that nothing is any more."""
    loopback_federation.add(NAME, serves=homeserver(NAME))
    heard: list[Sequence[str]] = []
    async with checking(loopback_federation) as checker:
        await checker.look(NAME, progress=heard.append)
    assert any(f"looking up the addresses of {NAME}" in told for told in heard)
    assert any(f"connecting to {NAME}:8448 at ::1" in told for told in heard)
    assert heard[-1] == ()


async def test_flood(loopback_federation: LoopbackFederation) -> None:
    """Bodies without end are cut, wherever they come."""
    serves = with_answer(with_answer(homeserver(NAME), KEYS, Endless()), CLIENT, Endless())
    loopback_federation.add(NAME, well_known=Endless(), serves=serves)
    facts = await seen(loopback_federation)
    fetched = [facts.endpoints[0].keys, facts.documents[0], facts.client and facts.client.document]
    for each in fetched:
        assert each is not None
        assert each.response is not None
        assert len(each.response.body) < 60_000


async def test_mute_server(
    loopback_federation: LoopbackFederation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A port that takes connections and says nothing is no more than that."""
    monkeypatch.setattr("matrix_resolve.checking.probing._HANDSHAKE", 0.3)
    loopback_federation.add(NAME, serves=Silent())
    facts = await seen(loopback_federation)
    assert {each.tls and each.tls.problem for each in facts.endpoints} == {TlsProblem.TIMEOUT}


async def test_address_as_name(loopback_federation: LoopbackFederation) -> None:
    """An IP literal is connected to, and publishes nothing."""
    loopback_federation.add("192.0.2.7", serves=homeserver("192.0.2.7"))
    facts = await seen(loopback_federation, "192.0.2.7")
    assert (facts.documents, facts.srv, facts.client) == ((), (), None)
    assert facts.endpoints[0].key_document is not None
    assert facts.endpoints[0].key_document.faults == ()
