"""Fetchers with one fault or none, and by which rules of the contract each is found out.

Not collected with the tests: test_contract.py runs it, and wants those rules to fail.
"""

import asyncio
import json
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import aiohttp
import pytest_asyncio
from attrs import evolve
from contract_faults import tried

from matrix_resolve import (
    AddressLookupError,
    AddressPolicy,
    AiohttpWellKnownFetcher,
    HttpResponse,
    WellKnownFetchError,
)
from matrix_resolve.testing import LoopbackFederation
from matrix_resolve.testing.contract import (
    WellKnownFetcherContract,
)


class Fetcher:
    """A fetcher without a fault, around ours; `settings` are those of ours."""

    settings: dict[str, Any] = {}  # noqa: RUF012

    def __init__(self, inner: AiohttpWellKnownFetcher) -> None:
        self.inner = inner

    async def fetch(self, hostname: str, /) -> HttpResponse:
        """Fetch."""
        return await self.inner.fetch(hostname)


class Fetching(WellKnownFetcherContract):
    """Tries a class of fetchers."""

    patience = 3.0
    kind: type[Fetcher]

    @asynccontextmanager
    async def opened(
        self, federation: LoopbackFederation, **settings: Any
    ) -> AsyncIterator[Fetcher]:
        """A fetcher with these settings."""
        async with (
            federation.dns_lookup() as dns,
            federation.well_known_fetcher(
                addresses=dns, **(settings | self.kind.settings)
            ) as inner,
        ):
            yield self.kind(inner)

    @pytest_asyncio.fixture
    async def fetcher(
        self, loopback_federation: LoopbackFederation, time_limit: float
    ) -> AsyncIterator[Fetcher]:
        async with self.opened(loopback_federation, timeout=time_limit) as fetcher:
            yield fetcher

    @pytest_asyncio.fixture
    async def guarded_fetcher(
        self, loopback_federation: LoopbackFederation
    ) -> AsyncIterator[Fetcher]:
        async with self.opened(loopback_federation, address_policy=AddressPolicy()) as fetcher:
            yield fetcher


def fetcher_fault(*rules: str) -> Callable[[type], type]:
    """Try this faulty class of fetchers."""

    def made(kind: type) -> type:
        tried(kind, Fetching, rules)
        return kind

    return made


def fetcher_setting_fault(name: str, *rules: str, **settings: Any) -> None:
    """Try our fetcher with settings that a fetcher must not have."""
    tried(type(name, (Fetcher,), {"settings": settings}), Fetching, rules)


tried(Fetcher, Fetching, ())


def trusting() -> ssl.SSLContext:
    """TLS settings that trust everybody."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


fetcher_setting_fault(
    "TrustsAll",
    "test_certificates",
    "test_certificates_of_literals",
    ssl_context=trusting(),
)
fetcher_setting_fault(
    "FollowsNone", "test_redirect_statuses", "test_redirects_lead_on", max_redirects=0
)
fetcher_setting_fault("FollowsMany", "test_endless_redirects", max_redirects=15)
fetcher_setting_fault("TakesLittle", "test_largest_document", max_body=1000)
fetcher_setting_fault("TakesAll", "test_endless_body", "test_compressed_bomb", max_body=2**30)
fetcher_setting_fault(
    "DialsAnything", "test_forbidden_addresses", address_policy=AddressPolicy.allow_all()
)


@fetcher_fault("test_request")
class AnotherDocument(Fetcher):
    async def fetch(self, hostname: str, /) -> HttpResponse:
        return await self.inner.get(f"https://{hostname}/.well-known/matrix/client")


@fetcher_fault("test_request", "test_response")
class LogsIn(Fetcher):
    async def fetch(self, hostname: str, /) -> HttpResponse:
        session = self.inner._session
        assert session is not None
        session.headers["Authorization"] = "Basic x"
        response = await self.inner.fetch(hostname)
        return evolve(response, body=response.body.decode("utf-8", "replace").encode())


@fetcher_fault("test_response")
class JoinsHeaders(Fetcher):
    async def fetch(self, hostname: str, /) -> HttpResponse:
        response = await self.inner.fetch(hostname)
        headers = {name.lower(): value for name, value in response.headers}
        return evolve(response, headers=list(headers.items()))


@fetcher_fault("test_redirect_statuses", "test_redirects_lead_on")
class TellsTheFirstUrl(Fetcher):
    async def fetch(self, hostname: str, /) -> HttpResponse:
        response = await self.inner.fetch(hostname)
        return evolve(response, url=f"https://{hostname}/.well-known/matrix/server")


@fetcher_fault("test_redirect_statuses")
class MixesHeaders(Fetcher):
    async def fetch(self, hostname: str, /) -> HttpResponse:
        hops: list[HttpResponse] = []
        response = await self.inner.get(
            f"https://{hostname}/.well-known/matrix/server", redirected=hops.append
        )
        return evolve(response, headers=[*(hops[0].headers if hops else ()), *response.headers])


@fetcher_fault("test_statuses")
class RaisesForStatus(Fetcher):
    async def fetch(self, hostname: str, /) -> HttpResponse:
        response = await self.inner.fetch(hostname)
        if response.status >= 400:
            raise WellKnownFetchError(f"status {response.status}")
        return response


@fetcher_fault("test_refused_redirects", "test_endless_redirects")
class RefusalsPass(Fetcher):
    async def fetch(self, hostname: str, /) -> HttpResponse:
        try:
            return await self.inner.fetch(hostname)
        except WellKnownFetchError as error:
            raise WellKnownFetchError(error.reason, temporary=True) from error


@fetcher_fault("test_refused_redirects")
class FollowsHttp(Fetcher):
    async def fetch(self, hostname: str, /) -> HttpResponse:
        try:
            return await self.inner.fetch(hostname)
        except WellKnownFetchError as error:
            if "http" not in error.reason:
                raise
            return await self.inner.get("https://www.example.net/")


@fetcher_fault("test_cookies_are_not_kept")
class KeepsCookies(Fetcher):
    async def fetch(self, hostname: str, /) -> HttpResponse:
        session = self.inner._session
        assert session is not None
        if not isinstance(session._cookie_jar, aiohttp.CookieJar):
            session._cookie_jar = aiohttp.CookieJar()
        return await self.inner.fetch(hostname)


@fetcher_fault("test_too_large_a_document")
class CutsInSilence(Fetcher):
    async def fetch(self, hostname: str, /) -> HttpResponse:
        response = await self.inner.fetch(hostname)
        return evolve(response, body=response.body[: 50 * 1024])


@fetcher_fault("test_failures", "test_no_addresses", "test_silence")
class LetsErrorsThrough(Fetcher):
    async def fetch(self, hostname: str, /) -> HttpResponse:
        try:
            return await self.inner.fetch(hostname)
        except (WellKnownFetchError, AddressLookupError) as error:
            raise OSError(str(error)) from error


@fetcher_fault("test_failures", "test_certificates", "test_no_addresses")
class GivesUpForGood(Fetcher):
    async def fetch(self, hostname: str, /) -> HttpResponse:
        try:
            return await self.inner.fetch(hostname)
        except (WellKnownFetchError, AddressLookupError) as error:
            raise type(error)(error.reason, temporary=False) from error


@fetcher_fault("test_silence", "test_failures")
class InventsAnswers(Fetcher):
    async def fetch(self, hostname: str, /) -> HttpResponse:
        try:
            return await self.inner.fetch(hostname)
        except WellKnownFetchError:
            return HttpResponse(404, [], b"", hostname)


@fetcher_fault("test_cancelled")
class IgnoresCancelling(Fetcher):
    async def fetch(self, hostname: str, /) -> HttpResponse:
        with suppress(asyncio.CancelledError):
            return await self.inner.fetch(hostname)
        return HttpResponse(404, [], json.dumps({}).encode(), hostname)


@fetcher_fault("test_many_at_once")
class FetchesInTurn(Fetcher):
    def __init__(self, inner: AiohttpWellKnownFetcher) -> None:
        super().__init__(inner)
        self._turn = asyncio.Lock()

    async def fetch(self, hostname: str, /) -> HttpResponse:
        async with self._turn:
            return await self.inner.fetch(hostname)


@fetcher_fault("test_many_at_once")
class MixesHosts(Fetcher):
    asked = ""

    async def fetch(self, hostname: str, /) -> HttpResponse:
        self.asked = hostname
        await asyncio.sleep(0)
        return await self.inner.fetch(self.asked)


@fetcher_fault("test_nothing_is_left_open")
class LeavesOpen(Fetcher):
    async def fetch(self, hostname: str, /) -> HttpResponse:
        try:
            return await self.inner.fetch(hostname)
        except asyncio.CancelledError:
            socket.socket()
            raise
