"""The specification's tables, through real DNS, real TLS and the default backends."""

import asyncio

import pytest

from matrix_resolve import InvalidServerNameError, Policy, Step, Target
from matrix_resolve.testing import LoopbackFederation
from matrix_resolve.testing.steps import RESOLVEMATRIX_DEV, STEPS, StepRow


@pytest.mark.parametrize("row", [*STEPS, *RESOLVEMATRIX_DEV], ids=lambda row: row.label)
async def test_step(loopback_federation: LoopbackFederation, row: StepRow) -> None:
    """Each row of the tables comes out right through real sockets."""
    for host, declared in row.hosts.items():
        loopback_federation.add(host, **declared)
    async with loopback_federation.resolver() as resolver:
        resolution = await resolver.resolve(str(row.server_name))
    assert resolution.step is row.step
    assert tuple((target.host, target.port) for target in resolution.targets) == row.targets
    assert resolution.host_header == row.host_header
    assert resolution.tls_name == row.tls_name
    assert resolution.server_name == row.server_name
    assert resolution.delegated_to == row.delegated_to
    assert not resolution.stale
    assert not resolution.degraded


def test_every_step_has_a_row() -> None:
    """No step of the specification is without a row in the table."""
    assert {row.step for row in STEPS} == set(Step)


async def test_one_federation_holds_all_rows(loopback_federation: LoopbackFederation) -> None:
    """No name is in two rows, so that all of them come out right side by side too."""
    rows = [*STEPS, *RESOLVEMATRIX_DEV]
    hosts = [(host.lower(), declared) for row in rows for host, declared in row.hosts.items()]
    assert len(dict(hosts)) == len(hosts)
    for host, declared in hosts:
        loopback_federation.add(host, **declared)
    async with loopback_federation.resolver() as resolver:
        found = await asyncio.gather(*(resolver.resolve(str(row.server_name)) for row in rows))
    pairs = zip(rows, found, strict=True)
    assert not [row.label for row, resolution in pairs if not row.agrees_with(resolution)]


async def test_deprecated_records_that_are_not_wanted(
    loopback_federation: LoopbackFederation,
) -> None:
    """With `legacy_srv=False` step 3.5 follows where 3.4 would have been."""
    loopback_federation.add("example.org", delegates_to="matrix.example.org")
    loopback_federation.add("matrix.example.org", legacy_srv=[("wrong.example", 1)])
    async with loopback_federation.resolver(policy=Policy(legacy_srv=False)) as resolver:
        resolution = await resolver.resolve("example.org")
    assert resolution.step is Step.WELL_KNOWN_DEFAULT_PORT


async def test_no_such_host(loopback_federation: LoopbackFederation) -> None:
    """A name that does not exist at all comes to step 6 too."""
    async with loopback_federation.resolver() as resolver:
        resolution = await resolver.resolve("example.org")
    assert (resolution.step, resolution.degraded) == (Step.DEFAULT_PORT, False)


async def test_endpoints_are_looked_up_in_dns(loopback_federation: LoopbackFederation) -> None:
    """The addresses of every target are found, IPv6 first, targets in their order."""
    loopback_federation.add("example.org", srv=[("a.example.net", 8450), ("b.example.net", 443)])
    loopback_federation.add("b.example.net", addresses=["127.0.0.3"])
    async with loopback_federation.resolver() as resolver:
        endpoints = await resolver.endpoints(await resolver.resolve("example.org"))
    assert [(str(e.address), e.port, e.target.host) for e in endpoints] == [
        ("::1", 8450, "a.example.net"),
        ("127.0.0.1", 8450, "a.example.net"),
        ("127.0.0.3", 443, "b.example.net"),
    ]
    assert endpoints[0].target == Target(host="a.example.net", port=8450, priority=1, weight=0)


async def test_an_invalid_name_asks_nothing(loopback_federation: LoopbackFederation) -> None:
    """What is no server name is refused before anything is asked."""
    async with loopback_federation.resolver() as resolver:
        with pytest.raises(InvalidServerNameError, match="empty label"):
            await resolver.resolve("example..org")
    assert not loopback_federation.dns_questions


async def test_names_are_asked_as_absolute(
    loopback_federation: LoopbackFederation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a search domain and ndots:5 in force, the server sees just the names themselves."""
    monkeypatch.setenv("LOCALDOMAIN", "cluster.local example.com")
    monkeypatch.setenv("RES_OPTIONS", "ndots:5")
    loopback_federation.add("example.org", delegates_to="matrix.example.org")
    async with loopback_federation.resolver() as resolver:
        for name in ("example.org", "nowhere.example.org", "single"):
            resolution = await resolver.resolve(name)
            if name == "example.org":
                await resolver.endpoints(resolution)
    hosts = {"example.org", "matrix.example.org", "nowhere.example.org", "single"}
    services = {f"{service}._tcp.{h}" for service in ("_matrix-fed", "_matrix") for h in hosts}
    assert {name for name, _ in loopback_federation.dns_questions} == hosts | services
