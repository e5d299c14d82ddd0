"""A real homeserver passes the check, and the classic mistakes in front of it are named."""

import asyncio
import json
from collections import ChainMap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from nginx_server import Nginx, installed_nginx
from programs import reaching
from site_servers import running_site
from synapse_server import KEY_ID, Synapse, running_synapse

from matrix_resolve import AddressPolicy, Level, Report, check_server
from matrix_resolve.serving import Program, plan_setup
from matrix_resolve.testing import LoopbackFederation

NAME = "example.org"
KEYS = "/_matrix/key/v2/server"
Places = dict[tuple[str, int], tuple[str, int]]


@pytest.fixture(scope="module")
def synapse(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Synapse]:
    """One Synapse for all tests, which leave nothing in it."""
    with running_synapse(tmp_path_factory.mktemp("synapse"), NAME) as synapse:
        yield synapse


async def checked(federation: LoopbackFederation, places: Places, *authorities: bytes) -> Report:
    """Check the server as it is found at these places; everything else of it refuses."""
    federation.add(NAME, addresses=["127.0.0.1"], ports=())
    trusting = federation.client_ssl_context()
    for pem in authorities:
        trusting.load_verify_locations(cadata=pem.decode())
    async with asyncio.timeout(120):
        return await check_server(
            NAME,
            nameservers=[federation.nameserver],
            ssl_context=trusting,
            address_policy=AddressPolicy.allow_all(),
            connect_to=ChainMap(places, federation.connect_to),
        )


def complaints(report: Report) -> dict[str, Level]:
    """Return the codes of errors and warnings."""
    return {each.code: each.level for each in report.findings if each.level is not Level.NOTE}


async def test_synapse_passes(synapse: Synapse, loopback_federation: LoopbackFederation) -> None:
    """It is reached by its own document, and its keys are verified."""
    places = {(NAME, port): synapse.address for port in (443, 8448)}
    report = await checked(loopback_federation, places, synapse.ca_pem)
    assert complaints(report) == {}
    assert (report.answers.reach.value, report.exit_status) == ("yes", 0)
    (endpoint,) = report.facts.endpoints
    assert endpoint.key_document is not None
    assert endpoint.key_document.signatures == "verified"
    assert [key.id for key in endpoint.key_document.verify_keys] == [KEY_ID]


async def test_signature_by_a_second_opinion(
    synapse: Synapse, loopback_federation: LoopbackFederation
) -> None:
    """The specification's own code verifies the same document."""
    key = pytest.importorskip("signedjson.key")
    sign = pytest.importorskip("signedjson.sign")
    loopback_federation.add(NAME)
    there = {(NAME, 443): synapse.address}
    async with (
        reaching(loopback_federation, there, synapse.ca_pem) as (_, client),
        client.request("GET", f"{NAME}:443", KEYS) as response,
    ):
        document = json.loads(await response.read())
    told = key.decode_verify_key_base64("ed25519", KEY_ID.partition(":")[2], synapse.public_key)
    sign.verify_signed_json(document, NAME, told)


@pytest.fixture
def nginx(tmp_path: Path) -> Iterator[Nginx]:
    """An nginx, to be started when it knows its hosts."""
    with installed_nginx(tmp_path) as nginx:
        yield nginx


def passing_on(synapse: Synapse) -> str:
    """Return the directives that pass requests on to Synapse."""
    where = "https://{}:{}".format(*synapse.address)
    return f"location /_matrix {{ proxy_pass {where}; proxy_set_header Host $host; }}"


@pytest.mark.parametrize(
    ("code", "advice", "is_passed_on", "is_open", "served"),
    [
        ("version-not-found", "pass everything under /_matrix", False, True, {}),
        (
            "tls-wrong-name",
            f"has {NAME} among its names",
            True,
            True,
            {"certificate_for": "other.test"},
        ),
        (
            "document-url",
            f'serve {{"m.server": "{NAME}:443"}}',
            True,
            False,
            {"document": {"m.server": f"https://{NAME}"}, "type": "text/html"},
        ),
        ("delegation-missing", f'serve {{"m.server": "{NAME}:443"}}', True, False, {}),
    ],
)
async def test_classic_mistakes(
    synapse: Synapse,
    nginx: Nginx,
    loopback_federation: LoopbackFederation,
    code: str,
    advice: str,
    is_passed_on: bool,
    is_open: bool,
    served: dict[str, Any],
) -> None:
    """Each is named, with what to do about it, and no other error."""
    directives = f"default_type {served.get('type', 'application/json')};"
    if is_passed_on:
        directives += passing_on(synapse)
    nginx.serve(
        NAME,
        directives,
        document=served.get("document"),
        certificate_for=served.get("certificate_for"),
    )
    nginx.start()
    places = {(NAME, 443): nginx.address}
    if is_open:
        places[NAME, 8448] = nginx.address
    report = await checked(loopback_federation, places, nginx.ca_pem)
    errors = [each for each in report.findings if each.level is Level.ERROR]
    assert [each.code for each in errors] == [code]
    assert advice in errors[0].advice
    assert report.exit_status == 1


async def test_what_serve_prints_passes(
    synapse: Synapse, loopback_federation: LoopbackFederation, tmp_path: Path
) -> None:
    """An nginx that is set up by the snippet alone, before a Synapse, is a good server."""
    setup = plan_setup(NAME, homeserver=f"https://localhost:{synapse.address[1]}")
    with running_site(Program.NGINX, tmp_path, setup, synapse.ca_pem) as site:
        places = {(NAME, port): at for port, at in site.at.items()}
        report = await checked(loopback_federation, places, site.ca_pem)
        assert complaints(report) == {}, site.told()
    assert report.exit_status == 0
