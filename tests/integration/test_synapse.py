"""A real Synapse is found and asked, whichever step of the specification leads to it."""

from collections.abc import Iterator
from typing import Any

import pytest
from programs import IP, reaching
from synapse_server import KEY_ID, Synapse, running_synapse

from matrix_resolve import ConnectError, ServerName, Step
from matrix_resolve.core.questions import Delegated
from matrix_resolve.testing import FakeClock, LoopbackFederation
from matrix_resolve.testing.fakes import START

NAME = "synapse.example"
HTTPS, DEFAULT_PORT = (NAME, 443), (NAME, 8448)
HOST = ("host.example", 8450)
VERSION = "/_matrix/federation/v1/version"
KEYS = "/_matrix/key/v2/server"
HOURS = 3600


@pytest.fixture(scope="module")
def synapse(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Synapse]:
    """One Synapse for all tests, which leave nothing in it."""
    with running_synapse(tmp_path_factory.mktemp("synapse"), NAME) as synapse:
        yield synapse


@pytest.fixture(autouse=True)
def _log(synapse: Synapse, request: pytest.FixtureRequest) -> Iterator[None]:
    """Show what Synapse has to say with a test that fails."""
    yield
    request.node.add_report_section("teardown", "Synapse's log", synapse.told())


@pytest.mark.parametrize(
    ("step", "server_name", "hosts", "target", "host_header"),
    [
        ("1", IP, {}, (IP, 8448), IP),
        ("2", f"{NAME}:8450", {}, (NAME, 8450), f"{NAME}:8450"),
        ("3.1", "x.example", {"x.example": {"delegates_to": IP}}, (IP, 8448), IP),
        ("3.2", NAME, {}, HTTPS, f"{NAME}:443"),  # Synapse serves the document itself
        ("3.3", "x.example", {NAME: {"srv": [HOST]}}, HOST, NAME),
        ("3.4", "x.example", {NAME: {"legacy_srv": [HOST]}}, HOST, NAME),
        ("3.5", "x.example", {}, DEFAULT_PORT, NAME),
        ("4", NAME, {NAME: {"srv": [HOST]}}, HOST, NAME),
        ("5", NAME, {NAME: {"legacy_srv": [HOST]}}, HOST, NAME),
        ("6", NAME, {}, DEFAULT_PORT, NAME),
    ],
)
async def test_each_step_of_the_specification(
    synapse: Synapse,
    loopback_federation: LoopbackFederation,
    step: str,
    server_name: str,
    hosts: dict[str, dict[str, Any]],
    target: tuple[str, int],
    host_header: str,
) -> None:
    """Synapse answers at the target, with its own certificate, to the Host that is demanded."""
    for name, said in {"x.example": {"delegates_to": NAME}, NAME: {}, **hosts}.items():
        loopback_federation.add(name, **said)
    there = {target: synapse.address}
    async with reaching(loopback_federation, there, synapse.ca_pem) as (resolver, client):
        resolution = await resolver.resolve(server_name)
        async with client.request("GET", server_name, VERSION) as response:
            assert response.status == 200
            assert response.request_info.headers["Host"] == host_header
            version = await response.json()
        async with client.request("GET", server_name, KEYS) as response:
            assert response.status == 200
            keys = await response.json()
    assert (resolution.step, resolution.host_header) == (Step(step), host_header)
    assert [(each.host, each.port) for each in resolution.targets] == [target]
    assert version["server"]["name"] == "Synapse"
    assert keys["server_name"] == NAME
    assert keys["verify_keys"][KEY_ID]["key"] == synapse.public_key


async def test_document_of_synapse_itself(
    synapse: Synapse, loopback_federation: LoopbackFederation
) -> None:
    """What Synapse publishes of itself says nothing of its lifetime, so a day is taken."""
    loopback_federation.add(NAME)
    there = {HTTPS: synapse.address}
    async with reaching(loopback_federation, there, synapse.ca_pem, clock=FakeClock()) as (
        resolver,
        _,
    ):
        resolution = await resolver.resolve(NAME)
    url = f"https://{NAME}/.well-known/matrix/server"
    assert resolution.trail[0].answer == Delegated(ServerName.parse(f"{NAME}:443"), url)
    assert resolution.delegated_to == ServerName.parse(f"{NAME}:443")
    assert resolution.tls_name == NAME
    assert resolution.expires_at is not None
    assert 21.6 * HOURS <= resolution.expires_at.timestamp() - START <= 26.4 * HOURS


async def test_request_without_signature(
    synapse: Synapse, loopback_federation: LoopbackFederation
) -> None:
    """What Synapse refuses is a response like any other."""
    loopback_federation.add(NAME)
    there = {HTTPS: synapse.address}
    path = "/_matrix/federation/v1/send/1"
    async with (
        reaching(loopback_federation, there, synapse.ca_pem) as (_, client),
        client.request("PUT", NAME, path, json={"pdus": []}) as response,
    ):
        assert response.status == 401
        assert (await response.json())["errcode"] == "M_UNAUTHORIZED"


async def test_certificate_for_another_name(
    synapse: Synapse, loopback_federation: LoopbackFederation
) -> None:
    """A Synapse whose certificate is not for the name that was delegated to is asked nothing."""
    loopback_federation.add("x.example", delegates_to="other.example")
    there = {("other.example", 8448): synapse.address}
    async with reaching(loopback_federation, there, synapse.ca_pem) as (_, client):
        with pytest.raises(ConnectError, match=r"other\.example"):
            async with client.request("GET", "x.example", VERSION):
                pass
