"""From targets to the IP addresses to dial."""

import asyncio
from collections.abc import Sequence

from matrix_resolve.core.addresses import AddressPolicy, interleaved
from matrix_resolve.core.names import IPAddress, parse_ip_literal
from matrix_resolve.core.questions import Addresses, AddressesFailed, AskAddresses
from matrix_resolve.core.resolution import Endpoint, Resolution
from matrix_resolve.errors import AddressLookupError, AddressNotAllowedError
from matrix_resolve.policy import Policy
from matrix_resolve.resolver.source import AnswerSource

# So many forbidden addresses are looked at, each target having an equal share: who publishes more,
# which nobody does in good faith, is not searched for an allowed one behind them.
_MOST_FORBIDDEN = 4096
# After so many the loop may turn: to look at one takes a microsecond.
_AT_ONCE = 512


async def find_endpoints(
    resolution: Resolution,
    source: AnswerSource,
    address_policy: AddressPolicy,
    policy: Policy,
) -> tuple[Endpoint, ...]:
    """Return the endpoints of each target, targets in order, looked up at once.

    At most `max_targets` of each, without those that `address_policy` forbids. Raises
    `AddressNotAllowedError` and `AddressLookupError` as `Resolver.endpoints` says.
    """
    endpoints: list[Endpoint] = []
    forbidden: list[IPAddress] = []
    count = 0
    share = _MOST_FORBIDDEN // max(len(resolution.targets), 1)
    failures: list[str] = []
    literals = {target.host: parse_ip_literal(target.host) for target in resolution.targets}
    with source.enquiry() as enquiry:
        for host, literal in literals.items():
            if literal is None:
                enquiry.want(AskAddresses(host))
        for target in resolution.targets:
            literal = literals[target.host]
            addresses: tuple[IPAddress, ...] = () if literal is None else (literal,)
            if literal is None:
                answer = (await enquiry.answer(AskAddresses(target.host))).given.answer
                if isinstance(answer, Addresses):
                    addresses = answer.addresses
                elif isinstance(answer, AddressesFailed):
                    failures.append(f"{target.host}: {answer.reason}")
            count += len(addresses)
            allowed, others = await _judged(addresses, address_policy, policy.max_targets, share)
            forbidden += others
            endpoints += (
                Endpoint(address=address, port=target.port, target=target)
                for address in interleaved(allowed)
            )
    if endpoints:
        return tuple(endpoints)
    if forbidden:
        raise AddressNotAllowedError(str(resolution.server_name), forbidden, count)
    hosts = ", ".join(target.host for target in resolution.targets)
    reason = "; ".join(failures) or f"no addresses exist for {hosts}"
    raise AddressLookupError(reason, temporary=bool(failures))


async def _judged(
    addresses: Sequence[IPAddress], address_policy: AddressPolicy, most: int, most_forbidden: int
) -> tuple[list[IPAddress], list[IPAddress]]:
    """Return the first `most` that are allowed, and the forbidden ones before them."""
    allowed: list[IPAddress] = []
    forbidden: list[IPAddress] = []
    for place, address in enumerate(addresses, 1):
        if len(allowed) == most or len(forbidden) == most_forbidden:
            break
        (allowed if address_policy.allows(address) else forbidden).append(address)
        if place % _AT_ONCE == 0:
            await asyncio.sleep(0)
    return allowed, forbidden
