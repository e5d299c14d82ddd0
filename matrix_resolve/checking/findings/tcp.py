"""Findings of connections: which addresses answer, and which do not."""

from collections.abc import Iterator, Sequence
from typing import Final

from matrix_resolve.checking.facts import TcpProblem
from matrix_resolve.checking.findings.catalogue import Level
from matrix_resolve.checking.findings.finding import Finding, found
from matrix_resolve.checking.findings.seen import Seen, State
from matrix_resolve.checking.findings.situation import Blame, Situation
from matrix_resolve.checking.texts import listed, sentence
from matrix_resolve.core.resolution import Step

_WORDS: Final = {
    TcpProblem.REFUSED: "connection refused",
    TcpProblem.TIMEOUT: "no answer",
    TcpProblem.UNREACHABLE: "no route to it",
}
_ALL_DEAD: Final = {
    TcpProblem.REFUSED: (
        "tcp-refused",
        "{target} refuses connections.",
        "Have the homeserver or a proxy listen on port {port} of {host}, on every address that DNS "
        "gives for it",
    ),
    TcpProblem.TIMEOUT: (
        "tcp-timeout",
        "{target} does not answer: connections end in a time-out.",
        "Open port {port} (TCP) in the firewall and router of {host}, and see that its addresses "
        "are right",
    ),
    TcpProblem.UNREACHABLE: (
        "tcp-unreachable",
        "No route leads to {target}.",
        "See that the addresses of {host} are right, and that its network is up",
    ),
}


def how_dead(dead: Sequence[Seen]) -> str:
    """Return in words why nothing connects."""
    problems = dict.fromkeys(each.endpoint.problem for each in dead)
    return listed(_WORDS[problem] for problem in problems if problem in _WORDS) or "no answer"


def tcp_findings(situation: Situation) -> Iterator[Finding]:
    """Yield what is to be said of connections."""
    yield from _own_trouble(situation)
    if situation.blame not in (Blame.NOTHING, Blame.ENDPOINTS):
        return
    dead = [each for each in situation.endpoints if each.state is State.DEAD]
    alive = [each for each in situation.endpoints if each.state in (State.WORKS, State.BROKEN)]
    alive += [each for each in situation.endpoints if _connected(each)]
    if dead and not alive:
        yield from _all_dead(situation, dead)
    else:
        yield from _some_dead(dead, alive)
    for each in alive:
        if each.endpoint.tries > 1:
            fact = f"{each.endpoint.target} did not take the first connection, only a later one."
            advice = "Look for lost packets, or a limit of new connections, in front of it."
            yield found("tcp-second-try", fact, advice, each.place)


def _connected(seen: Seen) -> bool:
    return seen.state is State.UNKNOWN and seen.endpoint.tls is not None


def _all_dead(situation: Situation, dead: Sequence[Seen]) -> Iterator[Finding]:
    for each in dead:
        problem, target = each.endpoint.problem, each.endpoint.target
        if problem not in _ALL_DEAD:
            continue
        code, fact, advice = _ALL_DEAD[problem]
        values = {"target": target, "host": target.host, "port": target.port}
        advice = advice.format_map(values)
        if situation.step in (Step.WELL_KNOWN_EXPLICIT_PORT, Step.WELL_KNOWN_DEFAULT_PORT):
            advice += ', or name the right host and port as "m.server" in the document'
        yield found(code, fact.format_map(values), f"{advice}.", each.place)


def _some_dead(dead: Sequence[Seen], alive: Sequence[Seen]) -> Iterator[Finding]:
    for target in dict.fromkeys(each.endpoint.target for each in dead):
        gone = [each for each in dead if each.endpoint.target == target]
        there = [each for each in alive if each.endpoint.target == target]
        places = [each.place for each in gone]
        if not there:
            fact = f"{target} does not answer ({how_dead(gone)}); other targets do."
            advice = "Mend it, or take its SRV record away: peers lose time with it."
            yield found("target-dead", fact, advice, *places)
            continue
        families = {each.endpoint.address.version for each in gone}
        others = {each.endpoint.address.version for each in there}
        if len(families) == 1 and not families & others:
            version = families.pop()
            code, kind = ("ipv6-dead", "AAAA") if version == 6 else ("ipv4-dead", "A")
            fact = f"{target} does not answer over IPv{version} ({how_dead(gone)}), while it does "
            fact += f"over IPv{4 if version == 6 else 6}."
            advice = f"Mend IPv{version} there, or take the {kind} record of {target.host} away: "
            advice += "each peer waits for it in vain."
            yield found(code, fact, advice, *places)
        else:
            fact = f"{target} does not answer at some of its addresses ({how_dead(gone)})."
            advice = f"Mend what is there, or take these addresses of {target.host} out of DNS."
            yield found("address-dead", fact, advice, *places)


def _own_trouble(situation: Situation) -> Iterator[Finding]:
    own = [each for each in situation.endpoints if each.endpoint.problem is TcpProblem.OWN]
    if not own:
        return
    is_all = situation.blame is Blame.UNKNOWN
    reasons = listed(dict.fromkeys(sentence(each.endpoint.reason) for each in own))
    fact = f"From this machine {'nothing' if is_all else 'not everything'} could be tried: "
    fact += f"{reasons}."
    advice = "Try again from another network; this is no fault of the server's."
    if not is_all:
        advice = "This says nothing of the server; try these from another network."
    level = Level.WARNING if is_all else Level.NOTE
    yield found("own-network", fact, advice, *(each.place for each in own), level=level)
