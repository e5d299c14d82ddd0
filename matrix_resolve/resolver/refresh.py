"""Asking now what an answer rests on, whatever is remembered of it."""

from attrs import evolve

from matrix_resolve.core.names import ServerName, parse_ip_literal
from matrix_resolve.core.questions import AskAddresses
from matrix_resolve.policy import Policy
from matrix_resolve.resolver.driver import Decided, drive
from matrix_resolve.resolver.source import AnswerSource


async def drive_anew(name: ServerName, source: AnswerSource, policy: Policy) -> Decided:
    """Decide about `name`, asking anew; the addresses of its targets when they are next needed.

    Raises what `drive` raises.
    """
    # Nothing is asked anew of which it is not known that the answer rests on it.
    decided = await drive(name, source, evolve(policy, srv_head_start=False), anew=True)
    hosts = dict.fromkeys(target.host for target in decided[0].candidates)
    await source.make_due([AskAddresses(host) for host in hosts if parse_ip_literal(host) is None])
    return decided
