"""The well-known fetcher behind a proxy that the environment names."""

import pytest
from proxies import proxy

from matrix_resolve.core.addresses import AddressPolicy
from matrix_resolve.errors import WellKnownFetchError
from matrix_resolve.testing import FakeAddresses, LoopbackFederation, Redirect

WELL_KNOWN = "/.well-known/matrix/server"


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """An environment without proxies."""
    for variable in ("https_proxy", "no_proxy", "all_proxy"):
        monkeypatch.delenv(variable, raising=False)
        monkeypatch.delenv(variable.upper(), raising=False)
    return monkeypatch


async def test_through_a_proxy(
    loopback_federation: LoopbackFederation, environment: pytest.MonkeyPatch
) -> None:
    """The proxy looks the hosts up, of each hop; those of `no_proxy` are dialled as ever."""
    loopback_federation.add("example.org", well_known=Redirect("https://www.example.org/server"))
    loopback_federation.add("www.example.org", serves={"m.server": "hs.example.org:443"})
    loopback_federation.add("direct.example", delegates_to="hs.example.org:443")
    addresses = FakeAddresses({"direct.example": ["127.0.0.1"]})
    async with proxy(loopback_federation) as (port, log):
        environment.setenv("https_proxy", f"http://127.0.0.1:{port}")
        environment.setenv("no_proxy", "direct.example")
        async with loopback_federation.well_known_fetcher(
            addresses=addresses, trust_env=True
        ) as fetcher:
            for name in ("example.org", "direct.example"):
                response = await fetcher.fetch(name)
                assert b"hs.example.org:443" in response.body
            with pytest.raises(WellKnownFetchError, match="the proxy answered 502"):
                await fetcher.fetch("dead.example")
    assert log == [
        f"CONNECT {name}:443 HTTP/1.1"
        for name in ("example.org", "www.example.org", "dead.example")
    ]
    assert addresses.asked == ["direct.example"]
    assert [request.sni for request in loopback_federation.requests] == [
        "example.org",
        "www.example.org",
        "direct.example",
    ]


async def test_the_address_policy_judges_literals(
    loopback_federation: LoopbackFederation, environment: pytest.MonkeyPatch
) -> None:
    """What is known of an address before the proxy is asked is not asked of it."""
    loopback_federation.add("example.org", well_known=Redirect("https://127.0.0.1/server"))
    async with proxy(loopback_federation) as (port, log):
        environment.setenv("https_proxy", f"http://127.0.0.1:{port}")
        async with loopback_federation.well_known_fetcher(
            addresses=FakeAddresses(), address_policy=AddressPolicy(), trust_env=True
        ) as fetcher:
            with pytest.raises(WellKnownFetchError, match="the address policy forbids"):
                await fetcher.fetch("example.org")
    assert log == ["CONNECT example.org:443 HTTP/1.1"]


async def test_the_environment_is_not_asked_by_itself(
    loopback_federation: LoopbackFederation, environment: pytest.MonkeyPatch
) -> None:
    """Without `trust_env` no proxy is used; with it one that is none is an error."""
    loopback_federation.add("example.org", delegates_to="hs.example.org:443")
    environment.setenv("https_proxy", "socks5://127.0.0.1:9")
    addresses = FakeAddresses({"example.org": ["127.0.0.1"]})
    async with loopback_federation.well_known_fetcher(addresses=addresses) as fetcher:
        assert (await fetcher.fetch("example.org")).status == 200
    with pytest.raises(ValueError, match="https_proxy is no URL"):
        loopback_federation.well_known_fetcher(addresses=addresses, trust_env=True)
