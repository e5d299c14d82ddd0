"""What is the same each time in the place of what no two runs have in common: how long it took.

Durations, rates and which names were the slowest are fixed. All else in a picture comes from the
servers of a loopback federation, by real DNS and TLS: steps, addresses, verdicts, counts.
"""

from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import ExitStack, asynccontextmanager, contextmanager
from typing import Any, Final
from unittest.mock import patch

from attrs import evolve

from matrix_resolve.checking import checker
from matrix_resolve.checking.checker import Checker, open_checker
from matrix_resolve.checking.report import Report
from matrix_resolve.cli import bulk_progress, bulk_run, explain, names
from matrix_resolve.cli.bulk_progress import Count, told_pace
from matrix_resolve.cli.bulk_summary import summary_lines
from matrix_resolve.compose import compose_resolver
from matrix_resolve.core.addresses import AddressPolicy
from matrix_resolve.core.questions import AskWellKnown
from matrix_resolve.core.story import TrailEntry, circumstances
from matrix_resolve.policy import Policy
from matrix_resolve.testing import LoopbackFederation

# Seconds that a document takes, and what DNS is asked.
_FETCH: Final = 0.031
_LOOKUP: Final = 0.012
# Seconds: however busy a machine is, nothing is to time out.
_PATIENT: Final[dict[str, Any]] = {
    "well_known_timeout": 60.0,
    "well_known_connect_timeout": 60.0,
    "dns_timeout": 60.0,
}
_NAMES_PER_SECOND: Final = 40
_SLOWEST: Final = (
    ("broken2.example", 2.41),
    ("late17.example", 1.87),
    ("to-srv4.example", 1.02),
    ("page1.example", 0.83),
    ("plain9.example", 0.51),
)


@contextmanager
def reaching(federation: LoopbackFederation) -> Iterator[None]:
    """Have the commands ask this federation, and tell of times that are always the same."""
    reach: dict[str, Any] = {
        "nameservers": [federation.nameserver],
        "ssl_context": federation.client_ssl_context(),
        "connect_to": federation.connect_to,
        "address_policy": AddressPolicy.allow_all(),
    }

    def composed(policy: Policy, **settings: Any) -> Any:
        return compose_resolver(policy=evolve(policy, **_PATIENT), **(settings | reach))

    @asynccontextmanager
    async def opened(**settings: Any) -> AsyncIterator[Checker]:
        async with open_checker(timeout=settings["timeout"], **reach) as real:
            yield _SteadyChecker(real)

    replaced = [
        (names, "compose_resolver", composed),
        (checker, "open_checker", opened),
        (explain, "circumstances", _circumstances),
        (bulk_progress, "told_pace", _pace),
        (bulk_run, "summary_lines", _summary_lines),
    ]
    with ExitStack() as stack:
        for module, name, ours in replaced:
            stack.enter_context(patch.object(module, name, ours))
        yield


class _SteadyChecker(Checker):
    """Checks, and tells how long documents took otherwise."""

    def __init__(self, real: Checker) -> None:
        self._real = real

    async def check(
        self, server_name: Any, *, expect_closed: bool = False, **others: Any
    ) -> Report:
        facts = await self._real.look(server_name, **others)
        documents = tuple(evolve(each, seconds=_FETCH) for each in facts.documents)
        return Report.of(evolve(facts, documents=documents), expect_closed=expect_closed)


def _circumstances(entry: TrailEntry) -> str:
    is_document = isinstance(entry.question, AskWellKnown)
    return circumstances(evolve(entry, duration=_FETCH if is_document else _LOOKUP))


def _pace(count: Count, _: float) -> str:
    return told_pace(count, count.done / _NAMES_PER_SECOND)


def _summary_lines(figures: Mapping[str, Any], **settings: Any) -> Iterator[str]:
    times = {
        "seconds": figures["names"] / _NAMES_PER_SECOND,
        "names_per_second": _NAMES_PER_SECOND,
        "slowest": [{"server_name": name, "duration": took} for name, took in _SLOWEST],
    }
    return summary_lines({**figures, **times}, **settings)
