"""What can be declared is served, whatever it is called and however much; the rest is refused."""

import resource
from collections import Counter
from typing import Any

import dns.asyncquery
import pytest
from clients import ask, document, exchange, texts

from matrix_resolve import FederationClient, SrvRecord, Step
from matrix_resolve.testing import Certificate, LoopbackFederation, Reply
from matrix_resolve.testing.loopback.ports import MAX_OWN_PORTS

LABEL = 63 * "a"
# Names that servers have, and that IDNA 2008 does not admit.
ODD = [
    "xn--ls8h.test",  # an emoji
    "xn--i-7iq.test",  # a heart and a letter
    "xn--a.test",  # stands for nothing
    "xn--.test",
    "ab--cd.test",
    "-lead.test",
    "trail-.test",
    "-.test",
    "a.-b-.c--d.test",
    "--",
    f"{LABEL}.test",
    f"{LABEL}.{LABEL}.{LABEL}.{61 * 'a'}",
]


async def seen_by(client: FederationClient, name: str) -> tuple[str, str, str]:
    """Return which host a request to `name` reached, with which `Host` and SNI."""
    async with client.request("GET", name, "/") as response:
        seen = await response.json()
    return seen["target"][0], seen["host"], seen["sni"]


@pytest.mark.parametrize("name", ODD)
async def test_odd_names(loopback_federation: LoopbackFederation, name: str) -> None:
    """Whatever a server is called, it is served: at its name, delegated to, by SRV, as an alias."""
    loopback_federation.add(name, ports=[443, 8448, 8450])
    loopback_federation.add("to.test", delegates_to=f"{name}:8450")
    loopback_federation.add("by.test", srv=[(name, 8450)])
    loopback_federation.add("alias.test", alias_of=name)
    loopback_federation.add("hop.test", redirects_to=f"https://{name}/x")
    async with (
        loopback_federation.resolver() as resolver,
        loopback_federation.client(resolver) as client,
    ):
        assert await seen_by(client, name) == (name, name, name)
        assert await seen_by(client, "to.test") == (name, f"{name}:8450", name)
        assert await seen_by(client, "by.test") == (name, "by.test", "by.test")
        assert await seen_by(client, "alias.test") == ("alias.test", "alias.test", "alias.test")
        await resolver.resolve("hop.test")
    assert loopback_federation.request_counts[name, "/x"] == 1


@pytest.mark.parametrize("kind", [kind for kind in Certificate if kind.is_refused])
@pytest.mark.parametrize("name", ["-lead.test", "xn--ls8h.test", ODD[-1], "::1"])
async def test_bad_certificates_of_odd_names(
    loopback_federation: LoopbackFederation, name: str, kind: Certificate
) -> None:
    """Each kind of bad certificate can be made for each name, and is refused for what it is."""
    loopback_federation.add(name, certificate=kind)
    with pytest.raises(OSError, match="certificate verify failed"):
        await exchange(loopback_federation, name)


@pytest.mark.parametrize(
    ("name", "plain"),
    [
        ("💩.test", "xn--ls8h.test"),
        ("I❤.test.", "xn--i-7iq.test"),
        ("MÜNCHEN.test", "xn--mnchen-3ya.test"),
        ("x。test", "x.test"),
    ],
)
async def test_names_in_unicode(
    loopback_federation: LoopbackFederation, name: str, plain: str
) -> None:
    """A name may be declared as people write it; servers and clients know it as `xn--`."""
    loopback_federation.add(name, srv=[(name, 8450)])
    loopback_federation.add_records(f"_x.{name}", "TXT", '"y"')
    async with (
        loopback_federation.resolver() as resolver,
        loopback_federation.client(resolver) as client,
    ):
        assert await seen_by(client, plain) == (plain, plain, plain)
    assert texts(await ask(loopback_federation, f"_x.{plain}", "TXT")) == ['"y"']
    loopback_federation.remove(name)
    assert not loopback_federation._hosts


async def test_underscores(loopback_federation: LoopbackFederation) -> None:
    """They are in no server name, but a redirect may lead to them."""
    loopback_federation.add("my_site.test", delegates_to="to.test:1")
    assert document(await exchange(loopback_federation, "my_site.test")) == {
        "m.server": "to.test:1"
    }


MANY = [(f"t{n}.test", 8448 + n % 3) for n in range(10_001)]
REFUSED: dict[str, tuple[str, dict[str, Any]]] = {
    "no name": ("", {}),
    "the root": (".", {}),
    "an empty label": ("a..test", {}),
    "an empty label, in Unicode": ("ü..test", {}),
    "a label too long": (f"{LABEL}a.test", {}),
    "a label too long once it is xn--": (f"{60 * 'ü'}.test", {}),
    "a name too long": (f"{LABEL}.{LABEL}.{LABEL}.{62 * 'a'}", {}),
    "a space": ("a b.test", {}),
    "an asterisk": ("*.test", {}),
    "a NUL": ("a\0.test", {}),
    "a port": ("a.test:8448", {}),
    "no name for an alias": ("a.test", {"alias_of": "b..test"}),
    "no address": ("a.test", {"addresses": ["localhost"]}),
    "a text of addresses": ("a.test", {"addresses": "127.0.0.1"}),
    "more addresses than an answer holds": (
        "a.test",
        {"addresses": [f"10.1.{n >> 8}.{n & 255}" for n in range(4096)]},
    ),
    "more AAAA than an answer holds": (
        "a.test",
        {"addresses": [f"2001:db8::{n:x}" for n in range(2341)]},
    ),
    "more records than an answer holds": ("a.test", {"srv": MANY[:4000]}),
    "old records too": ("a.test", {"legacy_srv": MANY[:4000]}),
    "more targets than there are descriptors": ("a.test", {"srv": MANY}),
    "a target that can't be written": ("a.test", {"srv": [("a b.test", 1)]}),
    "a target with an empty label": ("a.test", {"srv": [("a..test", 1)]}),
    "no room for a service's labels": (ODD[-1], {"srv": [("b.test", 1)]}),
    "a port too high": ("a.test", {"srv": [("b.test", 65536)]}),
    "a negative weight": ("a.test", {"srv": [SrvRecord(1, -1, 1, "b.test")]}),
    "a negative TTL": ("a.test", {"ttl": -1}),
    "a fraction of a TTL": ("a.test", {"ttl": 0.5}),
    "an endless TTL": ("a.test", {"negative_ttl": 2**31}),
    "a certificate in words": ("a.test", {"certificate": "expired"}),
    "a fault in words": ("a.test", {"dns": {"A": "SERVFAIL"}}),
    "no JSON": ("a.test", {"well_known": object()}),
    "no JSON in a reply": ("a.test", {"serves": Reply(200, (), {1j})}),
    "no header": ("a.test", {"serves": Reply(200, [("Name", "💩")])}),
}


@pytest.mark.parametrize(("name", "declared"), REFUSED.values(), ids=REFUSED)
async def test_what_cannot_be_served(
    loopback_federation: LoopbackFederation, name: str, declared: dict[str, Any]
) -> None:
    """It is an error where it is declared, and what was declared before still holds."""
    loopback_federation.add("a.test", delegates_to="old.test:1", addresses=["127.0.0.7"])
    with pytest.raises((ValueError, TypeError)):
        loopback_federation.add(name, **declared)
    assert texts(await ask(loopback_federation, "a.test", "A")) == ["127.0.0.7"]
    assert document(await exchange(loopback_federation, "a.test")) == {"m.server": "old.test:1"}


@pytest.mark.parametrize(
    ("owner", "kind", "text"),
    [
        ("a..test", "TXT", "x"),
        ("a.test", "A", "127.1"),
        ("a.test", "SRV", "1 2 3"),
        ("a.test", "NONSENSE", "x"),
    ],
)
async def test_records_that_cannot_be_published(
    loopback_federation: LoopbackFederation, owner: str, kind: str, text: str
) -> None:
    """So it is with records of any type."""
    with pytest.raises(ValueError, match=r"."):
        loopback_federation.add_records(owner, kind, text)


PAIRS = 300


def declare_pairs(federation: LoopbackFederation, *, by_records: bool) -> None:
    """Have so many names at an SRV target each, which says which it is."""
    for n in range(PAIRS):
        if by_records:
            federation.add(f"n{n}.test")
            federation.add_records(f"_matrix-fed._tcp.n{n}.test", "SRV", f"1 0 8450 T{n}.test")
        else:
            federation.add(f"n{n}.test", srv=[(f"t{n}.test", 8450)])
        federation.add(f"t{n}.test", serves={"at": n})


@pytest.mark.parametrize("by_records", [False, True], ids=["add", "add_records"])
async def test_many_srv_pairs(loopback_federation: LoopbackFederation, by_records: bool) -> None:
    """Each of 300 SRV targets is served as declared, though the handshake has the name's name."""
    declare_pairs(loopback_federation, by_records=by_records)
    async with (
        loopback_federation.resolver() as resolver,
        loopback_federation.client(resolver) as client,
    ):
        for n in range(PAIRS):
            async with client.request("GET", f"n{n}.test", "/") as response:
                assert await response.json() == {"at": n}
    assert loopback_federation.connections[f"t{PAIRS - 1}.test", 8450] == 1
    assert sum(loopback_federation.connections.values()) == 2 * PAIRS  # the document, the request
    assert all(host for host, _ in loopback_federation.connections)


async def test_many_ports_of_one_srv_target(loopback_federation: LoopbackFederation) -> None:
    """A target is a host and a port: 300 ports of one host are told apart."""
    for n in range(PAIRS):
        loopback_federation.add(f"n{n}.test", srv=[("t.test", 9000 + n)])
    loopback_federation.add("t.test", serves=lambda request: {"at": request.target[1]})
    async with (
        loopback_federation.resolver() as resolver,
        loopback_federation.client(resolver) as client,
    ):
        for n in range(PAIRS):
            async with client.request("GET", f"n{n}.test", "/") as response:
                assert await response.json() == {"at": 9000 + n}


async def test_many_targets_of_one_name(loopback_federation: LoopbackFederation) -> None:
    """Of 400 targets in one answer each can be reached, and DNS tells them all."""
    records = [SrvRecord(1, 0, 8450, f"t{n}.test") for n in range(400)]
    loopback_federation.add("x.test", srv=records)
    for n in range(400):
        loopback_federation.add(f"t{n}.test", serves={"at": n})
    response = await ask(loopback_federation, "_matrix-fed._tcp.x.test", "SRV", tcp=True)
    assert len(texts(response)) == 400
    for n in (0, 200, 399):
        answer = await exchange(loopback_federation, f"t{n}.test", 8450, path="/", name="x.test")
        assert document(answer) == {"at": n}


async def test_many_addresses_of_one_host(loopback_federation: LoopbackFederation) -> None:
    """As many as one answer holds are told, and cost nothing more."""
    addresses = [f"10.1.{n >> 8}.{n & 255}" for n in range(4090)]
    loopback_federation.add("x.test", addresses=addresses)
    query = dns.message.make_query("x.test", "A")
    ip, port = loopback_federation.nameserver.rsplit(":", 1)
    response = await dns.asyncquery.tcp(query, ip, port=int(port), timeout=5)
    assert sorted(texts(response)) == sorted(addresses)
    assert document(await exchange(loopback_federation, "x.test", path="/"))["target"][1] == 443
    assert len(loopback_federation.connect_to) == 1


async def test_connections_of_those_that_share(loopback_federation: LoopbackFederation) -> None:
    """Beyond the ports of their own, connections are counted by target all the same."""
    names = [f"n{n}.test" for n in range(MAX_OWN_PORTS + 5)]
    for name in names:
        loopback_federation.add(name)
        await exchange(loopback_federation, name)
    assert loopback_federation.connections == Counter((name, 443) for name in names)


async def test_descriptors_bound_the_srv_targets(
    loopback_federation: LoopbackFederation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half of the descriptors are for targets; nobody is told later that there are none left."""
    monkeypatch.setattr(resource, "getrlimit", lambda _: (256, 4096))
    loopback_federation.add("x.test", srv=[("t.test", 1000 + n) for n in range(128)])
    loopback_federation.add("y.test", srv=[("t.test", 1000)])  # the same again
    with pytest.raises(ValueError, match=r"129 targets, .* descriptors for 128: .*ulimit -n"):
        loopback_federation.add("y.test", srv=[("t.test", 2000)])
    monkeypatch.setattr(resource, "getrlimit", lambda _: (resource.RLIM_INFINITY, 4096))
    loopback_federation.add("y.test", srv=[("t.test", 2000)])
    async with loopback_federation.resolver() as resolver:
        assert (await resolver.resolve("y.test")).step is Step.SRV


async def test_a_mapping_is_never_none_given(loopback_federation: LoopbackFederation) -> None:
    """Before anything is declared `connect_to or {}` is the mapping, and sends nobody outside."""
    mapping = loopback_federation.connect_to
    assert len(mapping) == 0
    assert (mapping or {}) is mapping
    with pytest.raises(ConnectionRefusedError):
        await exchange(loopback_federation, "unknown.test")
