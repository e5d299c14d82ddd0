"""What looks one name up for `bulk`: a resolver, or a checker."""

import argparse
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Final

from matrix_resolve.cli.names import look_up
from matrix_resolve.core.addresses import AddressPolicy
from matrix_resolve.core.lazy import needs
from matrix_resolve.policy import Policy
from matrix_resolve.resolver import Resolver

LookUp = Callable[[str], Awaitable[dict[str, Any]]]
"""Looks one name up and returns the record to write, with `version` first and `server_name`.

What it raises is written in the place of a record.
"""

# A name is asked for once: what is kept is of use to names that lead to the same host only.
_KEPT: Final = {"max_answers": 10_000, "max_resolved": 1_000}


def policy_settings(concurrency: int) -> dict[str, Any]:
    """Return the settings of a resolver in which no name waits for the slot of another."""
    lookups = max(concurrency, Policy().max_dns_lookups)
    return {"max_well_known_fetches": concurrency, "max_dns_lookups": lookups, **_KEPT}


@asynccontextmanager
async def resolving(
    opened: AbstractAsyncContextManager[Resolver], *, endpoints: bool
) -> AsyncIterator[LookUp]:
    """Open a resolver and give what looks a name up by it."""
    async with opened as resolver:

        async def looked_up(name: str) -> dict[str, Any]:
            return (await look_up(resolver, name, endpoints=endpoints)).to_dict()

        yield looked_up


@asynccontextmanager
async def checking(arguments: argparse.Namespace) -> AsyncIterator[LookUp]:
    """Open a checker and give what checks a name by it."""
    with needs("check", "matrix-resolve bulk --check"):
        from matrix_resolve.checking.checker import open_checker
    policy = AddressPolicy.allow_all() if arguments.allow_private else None
    async with open_checker(
        nameservers=arguments.nameserver,
        ssl_context=arguments.ssl_context,
        address_policy=policy,
    ) as checker:

        async def checked(name: str) -> dict[str, Any]:
            return (await checker.check(name)).to_dict()

        yield checked
