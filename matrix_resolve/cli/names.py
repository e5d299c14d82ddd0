"""What becomes of names: looked up side by side, told in the order given."""

import asyncio
from argparse import Namespace
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from itertools import groupby
from typing import Any

from attrs import frozen

from matrix_resolve.cli.output import complain, print_json
from matrix_resolve.compose import compose_resolver
from matrix_resolve.core.addresses import AddressPolicy
from matrix_resolve.core.resolution import Endpoint, Resolution
from matrix_resolve.errors import MatrixResolveError
from matrix_resolve.policy import Policy
from matrix_resolve.resolver import Resolver


@frozen(kw_only=True)
class Outcome:
    """A name's resolution and endpoints where they were found, and the error where not."""

    name: str
    resolution: Resolution | None = None
    endpoints: tuple[Endpoint, ...] | None = None
    error: MatrixResolveError | None = None

    def addresses_told(self) -> list[str]:
        """Return a line for each target with its addresses, or why there are none."""
        if self.endpoints is None:
            return [] if self.error is None else [str(self.error)]
        return [
            f"addresses of {target}: {', '.join(str(found.address) for found in endpoints)}"
            for target, endpoints in groupby(self.endpoints, key=lambda found: found.target)
        ]

    def to_dict(self) -> dict[str, Any]:
        """Return the resolution as JSON-ready values, or the error."""
        result: dict[str, Any] = {"version": 1, "server_name": self.name}
        if self.resolution is not None:
            result = self.resolution.to_dict()
        if self.endpoints is not None:
            result["endpoints"] = [
                {
                    "address": str(endpoint.address),
                    "port": endpoint.port,
                    "target": endpoint.target.host,
                }
                for endpoint in self.endpoints
            ]
        if self.error is not None:
            result["error"] = {"type": type(self.error).__name__, "message": str(self.error)}
        return result


async def look_up(resolver: Resolver, name: str, *, endpoints: bool) -> Outcome:
    """Resolve `name`, and with `endpoints` look its addresses up too."""
    resolution = None
    try:
        resolution = await resolver.resolve(name)
        found = await resolver.endpoints(resolution) if endpoints else None
    except MatrixResolveError as error:
        return Outcome(name=name, resolution=resolution, error=error)
    return Outcome(name=name, resolution=resolution, endpoints=found)


async def tell_each(
    arguments: Namespace,
    told: Callable[[Outcome, Resolution], object],
    *,
    endpoints: bool,
) -> int:
    """Look all names up and have each resolution `told`, or print JSON, or the error.

    Return the exit status.
    """
    status = 0
    async with resolver_for(arguments) as resolver:
        tasks = [
            asyncio.create_task(look_up(resolver, name, endpoints=endpoints))
            for name in arguments.names
        ]
        for task in tasks:
            outcome = await task
            if arguments.json:
                print_json(outcome.to_dict())
            elif outcome.resolution is None:
                complain(outcome.error)
            else:
                told(outcome, outcome.resolution)
            status = max(status, 0 if outcome.resolution is not None else 1)
    return status


def resolver_for(arguments: Namespace) -> AbstractAsyncContextManager[Resolver]:
    """Return a resolver as the arguments of `add_resolver_arguments` want it."""
    third = arguments.timeout / 3
    return compose_resolver(
        policy=Policy(
            well_known_timeout=2 * third, well_known_connect_timeout=third, dns_timeout=third
        ),
        address_policy=AddressPolicy.allow_all() if arguments.allow_private else None,
        nameservers=arguments.nameserver,
        ssl_context=arguments.ssl_context,
    )
