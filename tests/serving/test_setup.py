"""What is to be published where, and whether a document is needed: a table."""

from typing import Any

import pytest

from matrix_resolve.core.names import ServerName
from matrix_resolve.errors import InvalidServerNameError
from matrix_resolve.serving import (
    CLIENT_PATH,
    SERVER_PATH,
    SUPPORT_PATH,
    plan_setup,
    support_well_known_document,
)

HOMESERVER = "http://127.0.0.1:8008"
NEEDED, NOT_NEEDED, NOT_POSSIBLE = "is needed unless", "No delegation is needed", "is possible"
OWN, HS = "example.org", "hs.example.org"

SETUPS = [
    # server name, delegate_to; does it need a document; base URL; hosts that lead to the
    # homeserver, with ports
    pytest.param(OWN, None, NEEDED, f"https://{OWN}", {OWN: (443,)}, id="itself"),
    pytest.param(
        OWN, OWN, NOT_NEEDED, f"https://{OWN}", {OWN: (443, 8448)}, id="to itself, no port"
    ),
    pytest.param(
        OWN, "Example.org:8448", NOT_NEEDED, f"https://{OWN}", {OWN: (443, 8448)}, id="to its 8448"
    ),
    pytest.param(
        OWN, f"{OWN}:9", NEEDED, f"https://{OWN}", {OWN: (9, 443)}, id="to another port of it"
    ),
    pytest.param(OWN, f"{HS}:443", NEEDED, f"https://{HS}", {HS: (443,)}, id="to a host"),
    pytest.param(OWN, HS, NEEDED, f"https://{HS}", {HS: (443, 8448)}, id="to a host, no port"),
    pytest.param(
        OWN, "192.0.2.1", NEEDED, "https://192.0.2.1", {"192.0.2.1": (443, 8448)}, id="to IPv4"
    ),
    pytest.param(
        OWN,
        "[2001:DB8::1]:7",
        NEEDED,
        "https://[2001:db8::1]",
        {"[2001:db8::1]": (7, 443)},
        id="to IPv6",
    ),
    pytest.param(
        f"{OWN}:8448", None, NOT_POSSIBLE, f"https://{OWN}", {OWN: (443, 8448)}, id="with a port"
    ),
    pytest.param(
        f"{OWN}:9", f"{HS}:443", NOT_POSSIBLE, f"https://{OWN}", {OWN: (9, 443)}, id="port wins"
    ),
    pytest.param(
        "192.0.2.1", HS, NOT_POSSIBLE, "https://192.0.2.1", {"192.0.2.1": (443, 8448)}, id="IPv4"
    ),
    pytest.param(
        "[2001:db8::1]:9",
        None,
        NOT_POSSIBLE,
        "https://[2001:db8::1]",
        {"[2001:db8::1]": (9, 443)},
        id="IPv6 with a port",
    ),
]


@pytest.mark.parametrize(("server_name", "delegate_to", "need", "client_url", "leading"), SETUPS)
def test_setup(
    server_name: str,
    delegate_to: str | None,
    need: str,
    client_url: str,
    leading: dict[str, tuple[int, ...]],
) -> None:
    """Documents are served at port 443 of the name, requests go on where peers are led to."""
    setup = plan_setup(server_name, delegate_to, homeserver=HOMESERVER)
    assert need in setup.reason
    assert setup.needs_document == (need == NEEDED)
    assert setup.client_url == client_url
    paths = [document.path for document in setup.documents]
    assert paths == ([CLIENT_PATH] if need == NOT_POSSIBLE else [SERVER_PATH, CLIENT_PATH])
    assert {host.host: host.ports for host in setup.hosts if host.homeserver} == leading
    own, *others = setup.hosts
    assert own.bare_host == ServerName.parse(server_name).hostname
    assert 443 in own.ports
    assert own.documents == setup.documents
    assert not any(host.documents for host in others)


def test_without_a_homeserver_only_documents_are_served() -> None:
    """The web server of the name has nothing to do with other hosts."""
    (own,) = plan_setup(OWN, f"{HS}:8448").hosts
    assert (own.host, own.ports, own.homeserver) == (OWN, (443,), None)


@pytest.mark.parametrize(
    ("delegate_to", "is_told"), [(HS, True), (f"{HS}:443", False), ("192.0.2.1", False)]
)
def test_what_a_missing_port_means_is_told(delegate_to: str, is_told: bool) -> None:
    """Servers ask for SRV records first, and not of an address."""
    assert ("servers look for SRV records" in plan_setup(OWN, delegate_to).reason) == is_told


def test_an_ignored_delegation_is_told() -> None:
    """Peers of a name with a port ask for no document, so delegate_to is for nothing."""
    assert "has no effect" in plan_setup(f"{OWN}:8448", HS).reason
    assert "has no effect" not in plan_setup(f"{OWN}:8448").reason


@pytest.mark.parametrize(
    ("client_url", "leading"),
    [
        ("https://chat.example.org", {HS: (8448,), "chat.example.org": (443,)}),
        ("https://Chat.example.org:444/", {HS: (8448,), "chat.example.org": (444,)}),
        (f"https://{HS}", {HS: (443, 8448)}),
        (f"https://{OWN}", {HS: (8448,), OWN: (443,)}),
        ("http://chat.example.org", {HS: (8448,)}),
        ("https://chat.example.org/behind/a/path", {HS: (8448,)}),
    ],
)
def test_clients_may_be_led_elsewhere(client_url: str, leading: dict[str, Any]) -> None:
    """The URL is published as it is, and leads to the homeserver if it is only a host."""
    setup = plan_setup(OWN, f"{HS}:8448", homeserver=HOMESERVER, client_url=client_url)
    assert setup.client_url == client_url
    assert client_url.encode() in setup.documents[1].body
    assert {host.host: host.ports for host in setup.hosts if host.homeserver} == leading


def test_support_is_one_more_document() -> None:
    """It stands beside the others."""
    support = support_well_known_document((), "https://example.org/support")
    assert [document.path for document in plan_setup(OWN, support=support).documents] == [
        SERVER_PATH,
        CLIENT_PATH,
        SUPPORT_PATH,
    ]


@pytest.mark.parametrize(
    ("url", "address", "made"),
    [
        ("http://127.0.0.1:8008", "127.0.0.1:8008", "http://127.0.0.1:8008"),
        ("http://localhost/", "localhost:80", "http://localhost:80"),
        ("HTTPS://hs.internal", "hs.internal:443", "https://hs.internal:443"),
        ("http://[::1]:8008/", "[::1]:8008", "http://[::1]:8008"),
    ],
)
def test_homeserver(url: str, address: str, made: str) -> None:
    """The URL is read as host and port."""
    homeserver = plan_setup(OWN, homeserver=url).homeserver
    assert homeserver is not None
    assert (homeserver.address, homeserver.url) == (address, made)


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"homeserver": "127.0.0.1:8008"}, "homeserver .* begin with http"),
        ({"homeserver": "http://127.0.0.1/_matrix"}, "more than a host and a port"),
        ({"homeserver": "http://127.0.0.1?"}, "more than a host and a port"),
        ({"homeserver": "http://127.0.0.1#"}, "more than a host and a port"),
        ({"homeserver": "http://u@127.0.0.1"}, "no valid host"),
        ({"homeserver": "unix:/run/synapse"}, "begin with http"),
        ({"client_url": "hs.example.org"}, "begin with http"),
        ({"delegate_to": "a_b"}, "delegate_to"),
    ],
)
def test_what_is_wrong_is_refused(settings: Any, reason: str) -> None:
    """Before anything is written."""
    with pytest.raises(ValueError, match=reason):
        plan_setup(OWN, **settings)


def test_a_name_that_is_none_is_refused() -> None:
    """With what was meant."""
    with pytest.raises(InvalidServerNameError, match=r"example\.org"):
        plan_setup("https://example.org")
