"""Findings of where a document leads, or of there being none."""

from collections.abc import Iterator

from matrix_resolve.checking.findings.catalogue import Level
from matrix_resolve.checking.findings.finding import Finding, found
from matrix_resolve.checking.findings.readings import Kind, read_document
from matrix_resolve.checking.findings.seen import State
from matrix_resolve.checking.findings.situation import WITHOUT_DOCUMENT, Blame, Situation
from matrix_resolve.checking.findings.tcp import how_dead
from matrix_resolve.checking.findings.wanted import serve_it
from matrix_resolve.checking.texts import to_serve
from matrix_resolve.core.names import ServerName
from matrix_resolve.core.resolution import Step
from matrix_resolve.serving import well_known_document


def delegation_findings(situation: Situation) -> Iterator[Finding]:
    """Yield what is to be said of the delegation."""
    if situation.blame is Blame.NO_DELEGATION:
        yield _missing(situation)
    delegated = situation.delegated
    if delegated is not None:
        yield from _shape(situation, delegated)
        yield from _of_delegated_host(situation, delegated)
    yield from _direct(situation)


def _missing(situation: Situation) -> Finding:
    name = situation.name
    dead = [each for each in situation.endpoints if each.state is State.DEAD]
    fact = f"There is no document, and nothing answers at port 8448 of {name}: {how_dead(dead)}."
    advice = f"If the homeserver is behind https://{name}, {serve_it(situation)}. If it is on "
    advice += 'another host or port, write that as "m.server". Or open port 8448.'
    return found("delegation-missing", fact, advice, *(each.place for each in dead))


def _shape(situation: Situation, delegated: ServerName) -> Iterator[Finding]:
    name, place = situation.name, _place(situation)
    if situation.leads_to_itself:
        fact = f'"m.server" is {delegated}: where peers would go without a document.'
        yield found("document-to-itself", fact, "It does no harm, and can go.", place)
    elif situation.step is Step.WELL_KNOWN_DEFAULT_PORT and not delegated.is_ip_literal:
        fact = f'"m.server" is {delegated}, without a port and without SRV records, so peers use '
        fact += "port 8448."
        meant = to_serve(name.hostname, well_known_document(name, f"{delegated.hostname}:443"))
        is_dead = situation.blame is Blame.ENDPOINTS
        advice = f"If another port is meant, write it: for 443, {meant}."
        level = Level.WARNING if is_dead else Level.NOTE
        yield found("document-without-port", fact, advice, place, level=level)
    host = situation.facts.host(delegated.hostname)
    own = situation.facts.host(name.hostname)
    alias = None if host is None else host.canonical_name
    if alias and delegated.hostname.lower() != name.hostname.lower():
        own_names = {name.hostname.lower(), ((own and own.canonical_name) or "").lower()}
        if alias.lower() in own_names:
            fact = f"{delegated.hostname} is an alias of {alias}, as is {name} itself."
            if alias.lower() == name.hostname.lower():
                fact = f"{delegated.hostname} is an alias of {name} itself."
            advice = f"The certificate is to be for {delegated.hostname}; is that what you want?"
            yield found("document-to-alias", fact, advice, place)


def _place(situation: Situation) -> str:
    usable = (each.place for each in situation.readings if each.kind is Kind.USABLE)
    return next(usable, f"https://{situation.name.hostname}/.well-known/matrix/server")


def _of_delegated_host(situation: Situation, delegated: ServerName) -> Iterator[Finding]:
    """Tell of the document of the delegated host, which peers do not read."""
    fetched, name = situation.facts.delegated_document, situation.name
    if fetched is None:
        return
    reading = read_document(fetched)
    if reading.to is None or str(reading.to).lower() == str(delegated).lower():
        return
    if reading.to.hostname.lower() == delegated.hostname.lower():
        fact = f'On the delegated host the document has "m.server": "{reading.to}", while '
        fact += f'that of {name} has "{delegated}".'
        advice = f"Peers of {name} read only the latter. If the former is right, write it there; "
        advice += "else take the outdated copy away."
        yield found("document-outdated-copy", fact, advice, reading.place)
        return
    fact = f"{delegated.hostname} delegates on to {reading.to}, but peers follow one document only."
    advice = f'If {name} is meant to lead there, write "m.server": "{reading.to}" in its own.'
    yield found("document-delegates-again", fact, advice, reading.place)


def _direct(situation: Situation) -> Iterator[Finding]:
    """Tell what happens to peers that fail to read the document, or the SRV records."""
    known = [each for each in situation.direct if each.state is not State.UNKNOWN]
    if not known:
        return
    name, places = situation.name, [each.place for each in known]
    what = "SRV records" if situation.step in WITHOUT_DOCUMENT else "document"
    if situation.direct_works:
        fact = f"Port 8448 of {name} itself works as well: peers that can't read the {what} "
        fact += "get through."
        advice = "Keep it, if it is the same homeserver."
        yield found("direct-works", fact, advice, *places)
        return
    faults = [fault.fact for each in known for fault in each.faults if fault.is_fatal]
    dead = [each for each in known if each.state is State.DEAD]
    why = "its addresses are private"
    if faults or dead:
        why = faults[0].rstrip(".") if faults else how_dead(dead)
    fact = f"Port 8448 of {name} itself does not work ({why}): peers that can't read the {what} "
    fact += "don't get through."
    advice = f"That is usual; see that the {what} can always be read."
    yield found("direct-fails", fact, advice, *places)
