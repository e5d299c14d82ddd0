"""The specification's tables, through real DNS, real TLS and the default backends."""

from typing import Any

import pytest
from attrs import field, frozen

from matrix_resolve import InvalidServerNameError, Policy, ServerName, SrvRecord, Step, Target
from matrix_resolve.testing import LoopbackFederation


@frozen(kw_only=True)
class Row:
    """A server name, what is published, and what must come out."""

    name: str
    step: Step
    targets: list[tuple[str, int]]
    host: str
    certificate: str
    hosts: dict[str, dict[str, Any]] = field(factory=dict)
    delegated_to: str | None = None
    policy: Policy = field(factory=Policy)


def row(label: str, **fields: Any) -> Any:
    """Return a table row with its name in the specification's words."""
    return pytest.param(Row(**fields), id=label)


STEPS = [
    row(
        "1 IPv4 literal",
        name="127.0.0.1",
        step=Step.IP_LITERAL,
        targets=[("127.0.0.1", 8448)],
        host="127.0.0.1",
        certificate="127.0.0.1",
    ),
    row(
        "1 IPv4 literal with a port",
        name="127.0.0.1:443",
        step=Step.IP_LITERAL,
        targets=[("127.0.0.1", 443)],
        host="127.0.0.1:443",
        certificate="127.0.0.1",
    ),
    row(
        "1 IPv6 literal, Host keeps the spelling",
        name="[2001:DB8:0::1]",
        step=Step.IP_LITERAL,
        targets=[("2001:db8::1", 8448)],
        host="[2001:DB8:0::1]",
        certificate="2001:db8::1",
    ),
    row(
        "1 IPv6 literal with a port",
        name="[::1]:8450",
        step=Step.IP_LITERAL,
        targets=[("::1", 8450)],
        host="[::1]:8450",
        certificate="::1",
    ),
    row(
        "2 explicit port",
        name="example.org:8450",
        step=Step.EXPLICIT_PORT,
        targets=[("example.org", 8450)],
        host="example.org:8450",
        certificate="example.org",
        hosts={"example.org": {"delegates_to": "not.asked"}},
    ),
    row(
        "2 explicit port 443",
        name="example.org:443",
        step=Step.EXPLICIT_PORT,
        targets=[("example.org", 443)],
        host="example.org:443",
        certificate="example.org",
    ),
    row(
        "3.1 delegated to an IPv4 literal",
        name="example.org",
        step=Step.WELL_KNOWN_IP_LITERAL,
        targets=[("127.0.0.2", 8448)],
        host="127.0.0.2",
        certificate="127.0.0.2",
        delegated_to="127.0.0.2",
        hosts={"example.org": {"delegates_to": "127.0.0.2"}},
    ),
    row(
        "3.1 delegated to an IPv6 literal with a port",
        name="example.org",
        step=Step.WELL_KNOWN_IP_LITERAL,
        targets=[("::1", 443)],
        host="[::1]:443",
        certificate="::1",
        delegated_to="[::1]:443",
        hosts={"example.org": {"delegates_to": "[::1]:443"}},
    ),
    row(
        "3.2 delegated to a port",
        name="example.org",
        step=Step.WELL_KNOWN_EXPLICIT_PORT,
        targets=[("matrix.example.org", 443)],
        host="matrix.example.org:443",
        certificate="matrix.example.org",
        delegated_to="matrix.example.org:443",
        hosts={"example.org": {"delegates_to": "matrix.example.org:443"}},
    ),
    row(
        "3.3 delegated to a host with SRV",
        name="example.org",
        step=Step.WELL_KNOWN_SRV,
        targets=[("a.example.net", 8450), ("b.example.net", 8451)],
        host="matrix.example.org",
        certificate="matrix.example.org",
        delegated_to="matrix.example.org",
        hosts={
            "example.org": {"delegates_to": "matrix.example.org", "srv": [("wrong.example", 1)]},
            "matrix.example.org": {
                "srv": [("a.example.net", 8450), ("b.example.net", 8451)],
                "legacy_srv": [("wrong.example", 1)],
                "delegates_to": "wrong.example:1",
            },
        },
    ),
    row(
        "3.4 delegated to a host with deprecated SRV",
        name="example.org",
        step=Step.WELL_KNOWN_LEGACY_SRV,
        targets=[("a.example.net", 8450)],
        host="matrix.example.org",
        certificate="matrix.example.org",
        delegated_to="matrix.example.org",
        hosts={
            "example.org": {"delegates_to": "matrix.example.org"},
            "matrix.example.org": {"legacy_srv": [("a.example.net", 8450)]},
        },
    ),
    row(
        "3.5 delegated to a host without SRV",
        name="example.org",
        step=Step.WELL_KNOWN_DEFAULT_PORT,
        targets=[("matrix.example.org", 8448)],
        host="matrix.example.org",
        certificate="matrix.example.org",
        delegated_to="matrix.example.org",
        hosts={
            "example.org": {
                "delegates_to": "matrix.example.org",
                "legacy_srv": [("wrong.example", 1)],
            }
        },
    ),
    row(
        "3.5 deprecated SRV not wanted",
        name="example.org",
        step=Step.WELL_KNOWN_DEFAULT_PORT,
        targets=[("matrix.example.org", 8448)],
        host="matrix.example.org",
        certificate="matrix.example.org",
        delegated_to="matrix.example.org",
        hosts={
            "example.org": {"delegates_to": "matrix.example.org"},
            "matrix.example.org": {"legacy_srv": [("wrong.example", 1)]},
        },
        policy=Policy(legacy_srv=False),
    ),
    row(
        "4 SRV, priority before weight",
        name="example.org",
        step=Step.SRV,
        targets=[("first.example.net", 443), ("second.example.net", 8450)],
        host="example.org",
        certificate="example.org",
        hosts={
            "example.org": {
                "srv": [
                    SrvRecord(20, 65535, 8450, "second.example.net"),
                    SrvRecord(10, 0, 443, "first.example.net"),
                ],
                "legacy_srv": [("wrong.example", 1)],
            }
        },
    ),
    row(
        "5 deprecated SRV",
        name="example.org",
        step=Step.LEGACY_SRV,
        targets=[("a.example.net", 8450)],
        host="example.org",
        certificate="example.org",
        hosts={"example.org": {"legacy_srv": [("a.example.net", 8450)]}},
    ),
    row(
        "6 nothing published",
        name="example.org",
        step=Step.DEFAULT_PORT,
        targets=[("example.org", 8448)],
        host="example.org",
        certificate="example.org",
        hosts={"example.org": {}},
    ),
    row(
        "6 no such host",
        name="example.org",
        step=Step.DEFAULT_PORT,
        targets=[("example.org", 8448)],
        host="example.org",
        certificate="example.org",
    ),
]

_RESOLVEMATRIX_DEV = [
    row(
        "2",
        name="2.s.resolvematrix.dev:7652",
        step=Step.EXPLICIT_PORT,
        targets=[("2.s.resolvematrix.dev", 7652)],
        host="2.s.resolvematrix.dev:7652",
        certificate="2.s.resolvematrix.dev",
    ),
    row(
        "3b",
        name="3b.s.resolvematrix.dev",
        step=Step.WELL_KNOWN_EXPLICIT_PORT,
        targets=[("wk.3b.s.resolvematrix.dev", 7753)],
        host="wk.3b.s.resolvematrix.dev:7753",
        certificate="wk.3b.s.resolvematrix.dev",
        delegated_to="wk.3b.s.resolvematrix.dev:7753",
    ),
    row(
        "3c",
        name="3c.s.resolvematrix.dev",
        step=Step.WELL_KNOWN_LEGACY_SRV,
        targets=[("srv.wk.3c.s.resolvematrix.dev", 7754)],
        host="wk.3c.s.resolvematrix.dev",
        certificate="wk.3c.s.resolvematrix.dev",
        delegated_to="wk.3c.s.resolvematrix.dev",
    ),
    row(
        "3c.msc4040",
        name="3c.msc4040.s.resolvematrix.dev",
        step=Step.WELL_KNOWN_SRV,
        targets=[("srv.wk.3c.msc4040.s.resolvematrix.dev", 7053)],
        host="wk.3c.msc4040.s.resolvematrix.dev",
        certificate="wk.3c.msc4040.s.resolvematrix.dev",
        delegated_to="wk.3c.msc4040.s.resolvematrix.dev",
    ),
    row(
        "3d",
        name="3d.s.resolvematrix.dev",
        step=Step.WELL_KNOWN_DEFAULT_PORT,
        targets=[("wk.3d.s.resolvematrix.dev", 8448)],
        host="wk.3d.s.resolvematrix.dev",
        certificate="wk.3d.s.resolvematrix.dev",
        delegated_to="wk.3d.s.resolvematrix.dev",
    ),
    row(
        "4",
        name="4.s.resolvematrix.dev",
        step=Step.LEGACY_SRV,
        targets=[("srv.4.s.resolvematrix.dev", 7855)],
        host="4.s.resolvematrix.dev",
        certificate="4.s.resolvematrix.dev",
    ),
    row(
        "4.msc4040",
        name="4.msc4040.s.resolvematrix.dev",
        step=Step.SRV,
        targets=[("srv.4.msc4040.s.resolvematrix.dev", 7054)],
        host="4.msc4040.s.resolvematrix.dev",
        certificate="4.msc4040.s.resolvematrix.dev",
    ),
    row(
        "5",
        name="5.s.resolvematrix.dev",
        step=Step.DEFAULT_PORT,
        targets=[("5.s.resolvematrix.dev", 8448)],
        host="5.s.resolvematrix.dev",
        certificate="5.s.resolvematrix.dev",
    ),
]


async def _resolves(federation: LoopbackFederation, row: Row) -> None:
    async with federation.resolver(policy=row.policy) as resolver:
        resolution = await resolver.resolve(row.name)
    assert resolution.step is row.step
    assert [(target.host, target.port) for target in resolution.targets] == row.targets
    assert resolution.host_header == row.host
    assert resolution.tls_name == row.certificate
    assert resolution.server_name == ServerName.parse(row.name)
    delegated = resolution.delegated_to
    assert (None if delegated is None else str(delegated)) == row.delegated_to
    assert not resolution.stale
    assert not resolution.degraded


@pytest.mark.parametrize("row", STEPS)
async def test_step(loopback_federation: LoopbackFederation, row: Row) -> None:
    """Each row of the table of steps comes out right through real sockets."""
    for name, declared in row.hosts.items():
        loopback_federation.add(name, **declared)
    await _resolves(loopback_federation, row)


def test_every_step_has_a_row() -> None:
    """No step of the specification is without a row in the table."""
    assert {param.values[0].step for param in STEPS} == set(Step)


@pytest.mark.parametrize("row", _RESOLVEMATRIX_DEV)
async def test_resolvematrix_dev(loopback_federation: LoopbackFederation, row: Row) -> None:
    """The public test names, their zones replicated, lead where that service says."""
    add, zone = loopback_federation.add, "s.resolvematrix.dev"
    add(f"2.{zone}")
    add(f"3b.{zone}", delegates_to=f"wk.3b.{zone}:7753")
    add(f"3c.{zone}", delegates_to=f"wk.3c.{zone}")
    add(f"wk.3c.{zone}", legacy_srv=[(f"srv.wk.3c.{zone}", 7754)])
    add(f"3c.msc4040.{zone}", delegates_to=f"wk.3c.msc4040.{zone}")
    add(f"wk.3c.msc4040.{zone}", srv=[(f"srv.wk.3c.msc4040.{zone}", 7053)])
    add(f"3d.{zone}", delegates_to=f"wk.3d.{zone}")
    add(f"4.{zone}", legacy_srv=[(f"srv.4.{zone}", 7855)])
    add(f"4.msc4040.{zone}", srv=[(f"srv.4.msc4040.{zone}", 7054)])
    add(f"5.{zone}", well_known=b"this is not JSON")
    await _resolves(loopback_federation, row)


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
