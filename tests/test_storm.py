"""Very many names at once, most of them alive: all end, none disturbs the others.

These run in an event loop whose time leaps from one timer to the next, so they see the real
time-outs of the default policy, take no time, and go the same way in every run.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import pytest
from attrs import frozen
from leaping import LoopClock, leaping

from matrix_resolve import (
    AddressLookupError,
    HttpResponse,
    MemoryCache,
    Policy,
    Resolution,
    Resolver,
    SrvLookupError,
    SrvRecord,
    SrvReply,
    WellKnownFetchError,
)
from matrix_resolve.interfaces import heard_from_peer
from matrix_resolve.resolver import slots
from matrix_resolve.testing import FakeAddresses

FED, OLD = "_matrix-fed._tcp.", "_matrix._tcp."


@frozen
class Kind:
    """How many names of 200 are of a kind, and what must be said of each."""

    count: int
    step: str
    degraded: bool = False
    asks_srv: bool = True


KINDS = {
    "port": Kind(50, "3.2", asks_srv=False),  # delegate to a host with a port
    "host": Kind(30, "3.3"),  # delegate to a host without
    "slow": Kind(10, "3.2", asks_srv=False),  # do so after three seconds
    "none": Kind(30, "6"),  # publish nothing
    "srv": Kind(20, "4"),  # publish a record
    "legacy": Kind(10, "5"),  # publish one under the deprecated name
    "failing": Kind(10, "4"),  # fail temporarily, but publish a record
    "stalled": Kind(15, "6"),  # never answer a fetch
    "dripping": Kind(5, "6"),  # never come to the end of an answer
    "dead": Kind(10, "6", degraded=True),  # never answer in DNS
    "servfail": Kind(10, "6", degraded=True),  # fail in DNS
}


def names_of(kind: str, count: int) -> list[str]:
    """Return so many names of one kind."""
    return [f"{kind}-{number}.example" for number in range(count)]


def kind_of(name: str) -> str:
    """Return the kind of a name, with or without labels before it."""
    return name.removesuffix(".example").rpartition(".")[2].partition("-")[0]


class World:
    """A fetcher and an SRV lookup that do as the kind of a name says, and count."""

    def __init__(self) -> None:
        self.fetches: Counter[str] = Counter()
        self.lookups: Counter[str] = Counter()
        self.fetching: dict[str, float] = {}  # since when
        self.asking = 0
        # The most at once: all fetches, those of the last second, lookups.
        self.most_fetching = self.most_fetching_anew = self.most_asking = 0

    def resolver(self, policy: Policy) -> Resolver:
        """Return a resolver over these."""
        return Resolver(
            well_known=self,
            srv=self,
            addresses=FakeAddresses(),
            cache=MemoryCache(clock=LoopClock()),
            policy=policy,
            clock=LoopClock(),
            rng=random.Random(7),
        )

    def _fetching(self, name: str) -> AbstractContextManager[None]:
        @contextmanager
        def counted() -> Any:
            now = asyncio.get_running_loop().time()
            self.fetches[name] += 1
            self.fetching[name] = now
            anew = sum(now - since < 1 for since in self.fetching.values())
            self.most_fetching = max(self.most_fetching, len(self.fetching))
            self.most_fetching_anew = max(self.most_fetching_anew, anew)
            try:
                yield
            finally:
                del self.fetching[name]

        return counted()

    async def fetch(self, name: str, /) -> HttpResponse:
        """Answer, fail or stay silent."""
        with self._fetching(name):
            match kind_of(name):
                case "stalled":
                    await asyncio.Event().wait()
                case "dripping":
                    while True:
                        await asyncio.sleep(0.3)
                        heard_from_peer()
                case "dead" | "servfail":
                    await asyncio.sleep(0.03)
                    raise AddressLookupError("no answer")
                case "failing":
                    await asyncio.sleep(0.05)
                    raise WellKnownFetchError("no connection")
                case "slow":
                    await asyncio.sleep(3)
                case _:
                    await asyncio.sleep(0.1)
            to = {
                "port": f"matrix.{name}:443",
                "slow": f"matrix.{name}:443",
                "host": f"matrix.{name}",
            }.get(kind_of(name))
            body = b"" if to is None else b'{"m.server": "%s"}' % to.encode()
            return HttpResponse(404 if to is None else 200, (), body, f"https://{name}/")

    async def lookup_srv(self, name: str, /) -> SrvReply:
        """Answer, fail or stay silent."""
        self.lookups[name] += 1
        self.asking += 1
        self.most_asking = max(self.most_asking, self.asking)
        try:
            kind = kind_of(name)
            if kind == "dead":
                await asyncio.Event().wait()
            await asyncio.sleep(0.03)
            if kind == "servfail":
                raise SrvLookupError("SERVFAIL")
            publishes = {"host": FED, "srv": FED, "failing": FED, "legacy": OLD}.get(kind)
            if publishes is None or not name.startswith(publishes):
                return SrvReply(())
            return SrvReply([SrvRecord(0, 0, 8450, f"a.{name.removeprefix(publishes)}")], 3600)
        finally:
            self.asking -= 1


def expected(name: str) -> tuple[str, str, str, bool]:
    """Return what must be said of a name: step, target, certificate's name, whether degraded."""
    kind = KINDS[kind_of(name)]
    delegated = f"matrix.{name}"
    target, certificate = {
        "3.2": (f"{delegated}:443", delegated),
        "3.3": (f"a.{delegated}:8450", delegated),
        "4": (f"a.{name}:8450", name),
        "5": (f"a.{name}:8450", name),
        "6": (f"{name}:8448", name),
    }[kind.step]
    return kind.step, target, certificate, kind.degraded


def said(resolution: Resolution) -> tuple[str, str, str, bool]:
    """Return the same of a resolution."""
    (target,) = resolution.targets
    return resolution.step.value, str(target), resolution.tls_name, resolution.degraded


def needed(name: str) -> set[str]:
    """Return the SRV names that must be asked for: the deprecated one only where it is reached."""
    return asked_together(name) - ({OLD + host(name)} if KINDS[kind_of(name)].step < "5" else set())


def asked_together(name: str) -> set[str]:
    """Return both SRV names of a name that needs any; the second need not be waited for."""
    return {FED + host(name), OLD + host(name)} if KINDS[kind_of(name)].asks_srv else set()


def host(name: str) -> str:
    """Return the host whose SRV records count for a name."""
    return f"matrix.{name}" if kind_of(name) == "host" else name


def a_storm(seed: int) -> list[str]:
    """Return 200 names of all kinds, shuffled."""
    names = [name for kind, of in KINDS.items() for name in names_of(kind, of.count)]
    random.Random(seed).shuffle(names)
    return names


CROWDED = Policy(max_well_known_fetches=20, max_dns_lookups=10)


@pytest.mark.parametrize("seed", range(5))
def test_every_name_is_answered(seed: int) -> None:
    """Of 200 names at once each gets its answer, for one fetch and the lookups that it takes."""
    world, names = World(), a_storm(seed)

    async def storm() -> Sequence[Resolution]:
        async with world.resolver(CROWDED) as resolver:
            resolutions = await asyncio.gather(*map(resolver.resolve, names))
            for resolution in resolutions:  # what failed in DNS is asked again by now
                assert resolution.degraded or resolver.peek(resolution.server_name) == resolution
            return resolutions

    resolutions = leaping(storm())
    assert list(map(said, resolutions)) == list(map(expected, names))
    assert world.fetches == Counter(names)
    ahead = {service + name for name in names[:10] for service in (FED, OLD)}
    assert set().union(*map(needed, names)) <= world.lookups.keys()
    assert world.lookups.keys() <= ahead.union(*map(asked_together, names))
    assert set(world.lookups.values()) == {1}
    assert world.most_fetching_anew == 20
    assert world.most_asking == 10
    assert not world.fetching
    assert not world.asking


def test_callers_who_give_up(caplog: pytest.LogCaptureFixture) -> None:
    """When every caller has lost patience, nothing is under way any more, and all can be asked."""
    world, names = World(), a_storm(0)

    async def impatient(resolver: Resolver, name: str) -> bool:
        try:
            async with asyncio.timeout(0.5):
                await resolver.resolve(name)
        except TimeoutError:
            return False
        return True

    async def storm() -> None:
        async with world.resolver(CROWDED) as resolver:
            served = await asyncio.gather(*(impatient(resolver, name) for name in names))
            assert 0 < sum(served) < len(names)
            await asyncio.sleep(0)
            assert not world.fetching
            assert not world.asking
            resolutions = await asyncio.gather(*map(resolver.resolve, names))
            assert list(map(said, resolutions)) == list(map(expected, names))

    leaping(storm())
    assert not caplog.records


@pytest.mark.parametrize(
    ("fetches", "without", "count", "seconds"),
    [(100, 400, 500, 3), (10, 40, 50, 3), (20, 10, 30, 3), (10, 20, 60, 3), (10, 0, 50, 11)],
)
def test_the_stalled_leave_their_slots(
    monkeypatch: pytest.MonkeyPatch, fetches: int, without: int, count: int, seconds: float
) -> None:
    """Stalled servers hold up the living for a moment, or a time-out if none leaves its slot."""
    if without != 400:  # which is promised, so that row must find it as it is
        monkeypatch.setattr(slots, "_MOST_WITHOUT", without)
    world = World()
    stalled, living = names_of("stalled", count), names_of("port", count)

    async def storm() -> float:
        time = asyncio.get_running_loop().time
        began = time()
        async with world.resolver(Policy(max_well_known_fetches=fetches)) as resolver:
            behind = [asyncio.create_task(resolver.resolve(name)) for name in stalled]
            after = [asyncio.create_task(resolver.resolve(name)) for name in living]
            resolutions = await asyncio.gather(*after)
            answered = time() - began
            resolutions += await asyncio.gather(*behind)
            assert list(map(said, resolutions)) == list(map(expected, living + stalled))
            return answered

    assert leaping(storm()) <= seconds
    assert world.most_fetching == fetches + without
    assert world.fetches == Counter(stalled + living)
