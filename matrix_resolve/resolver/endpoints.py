"""From targets to the IP addresses to dial."""

from matrix_resolve.core.addresses import AddressPolicy, interleaved
from matrix_resolve.core.names import IPAddress, parse_ip_literal
from matrix_resolve.core.questions import Addresses, AddressesFailed, AskAddresses
from matrix_resolve.core.resolution import Endpoint, Resolution
from matrix_resolve.errors import AddressLookupError, AddressNotAllowedError
from matrix_resolve.policy import Policy
from matrix_resolve.resolver.source import AnswerSource


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
            allowed: list[IPAddress] = []
            for address in addresses:
                if len(allowed) == policy.max_targets:
                    break
                (allowed if address_policy.allows(address) else forbidden).append(address)
            endpoints += (
                Endpoint(address=address, port=target.port, target=target)
                for address in interleaved(allowed)
            )
    if endpoints:
        return tuple(endpoints)
    if forbidden:
        raise AddressNotAllowedError(str(resolution.server_name), forbidden)
    hosts = ", ".join(target.host for target in resolution.targets)
    reason = "; ".join(failures) or f"no addresses exist for {hosts}"
    raise AddressLookupError(reason, temporary=bool(failures))
