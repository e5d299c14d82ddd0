"""What becomes of names: looked up side by side, told in the order given."""

import asyncio
from argparse import Namespace
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from itertools import groupby
from typing import Any, Final

from attrs import field, frozen

from matrix_resolve.cli.heard import Heard
from matrix_resolve.compose import compose_resolver
from matrix_resolve.core.addresses import AddressPolicy
from matrix_resolve.core.questions import Addresses, AddressesFailed
from matrix_resolve.core.resolution import Endpoint, Resolution, Step, Target
from matrix_resolve.errors import AddressLookupError, AddressNotAllowedError, MatrixResolveError
from matrix_resolve.policy import Policy
from matrix_resolve.resolver import Resolver

# The steps of SRV records, whose targets must not be aliases (RFC 2782).
_BY_SRV: Final = (Step.WELL_KNOWN_SRV, Step.WELL_KNOWN_LEGACY_SRV, Step.SRV, Step.LEGACY_SRV)


@frozen(kw_only=True)
class Outcome:
    """A name's resolution and endpoints where they were found, and the error where not."""

    name: str
    resolution: Resolution | None = None
    endpoints: tuple[Endpoint, ...] | None = None
    error: MatrixResolveError | None = None
    heard: Heard = field(factory=Heard)

    @property
    def addresses(self) -> str | None:
        """Say in a word whether there are addresses, None if they have not been looked up."""
        match self.error:
            case None:
                return None if self.endpoints is None else "found"
            case _ if self.resolution is None:
                return None
            case AddressNotAllowedError():
                return "forbidden"
            case AddressLookupError(temporary=False):
                return "none"
            case _:
                return "unknown"

    def addresses_told(self) -> list[str]:
        """Return a line for each target with its addresses, or why there are none."""
        if self.endpoints is None or self.resolution is None:
            return [] if self.error is None else [str(self.error)]
        found = {
            target: ", ".join(str(endpoint.address) for endpoint in endpoints)
            for target, endpoints in groupby(self.endpoints, key=lambda found: found.target)
        }
        return [
            f"addresses of {target}: {found.get(target) or self._why_none(target)}"
            for target in self.resolution.targets
        ]

    def _why_none(self, target: Target) -> str:
        match self.heard.addresses_of(target.host):
            case AddressesFailed(reason=reason):
                return f"unknown, {reason}"
            case Addresses(addresses=()):
                return "none"
            case _:
                return "none that is allowed"

    def aliases_told(self) -> list[str]:
        """Return a line for each target that is an alias."""
        told = []
        for host, alias in self.aliases().items():
            by_srv = self.resolution is not None and self.resolution.step in _BY_SRV
            wrong = ", which the target of an SRV record must not be" if by_srv else ""
            told.append(f"{host} is an alias of {alias}{wrong}")
        return told

    def aliases(self) -> dict[str, str]:
        """Return the targets that are aliases, with what they are aliases of."""
        targets = () if self.resolution is None else self.resolution.targets
        aliases = {target.host: self.heard.alias_of(target.host) for target in targets}
        return {host: alias for host, alias in aliases.items() if alias is not None}

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


async def look_up(
    resolver: Resolver, name: str, *, endpoints: bool, heard: Heard | None = None
) -> Outcome:
    """Resolve `name`, and with `endpoints` look its addresses up too.

    `heard` is what was heard of this resolver.
    """
    heard = Heard() if heard is None else heard
    resolution = None
    try:
        resolution = await resolver.resolve(name)
        found = await resolver.endpoints(resolution) if endpoints else None
    except MatrixResolveError as error:
        return Outcome(name=name, resolution=resolution, error=error, heard=heard)
    return Outcome(name=name, resolution=resolution, endpoints=found, heard=heard)


async def tell_each(arguments: Namespace, told: Callable[[Outcome], bool]) -> int:
    """Look all names up and have what becomes of them `told`, in their order.

    Return the exit status: 1 if one of them was told to be no good.
    """
    status = 0
    heard = Heard()
    async with resolver_for(arguments, heard) as resolver:
        tasks = [
            asyncio.create_task(look_up(resolver, name, endpoints=True, heard=heard))
            for name in arguments.names
        ]
        for task in tasks:
            if not told(await task):
                status = 1
    return status


def resolver_for(
    arguments: Namespace, heard: Heard | None = None, **settings: Any
) -> AbstractAsyncContextManager[Resolver]:
    """Return a resolver as the arguments of `add_resolver_arguments` want it.

    `heard` hears of it; `settings` are further fields of its policy.
    """
    third = arguments.timeout / 3
    listening: dict[str, Any] = {}
    if heard is not None:
        listening = {"hooks": [heard], "redirected": heard.redirected}
    return compose_resolver(
        policy=Policy(
            well_known_timeout=2 * third,
            well_known_connect_timeout=third,
            dns_timeout=third,
            **settings,
        ),
        address_policy=AddressPolicy.allow_all() if arguments.allow_private else None,
        nameservers=arguments.nameserver,
        ssl_context=arguments.ssl_context,
        **listening,
    )
