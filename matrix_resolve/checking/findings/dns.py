"""Findings of the hosts in DNS, and of what kept us from finding out."""

from collections.abc import Iterator
from typing import Final

from matrix_resolve.checking.facts import HostFacts
from matrix_resolve.checking.findings.catalogue import Level
from matrix_resolve.checking.findings.finding import Finding, found
from matrix_resolve.checking.findings.readings import Kind, is_localhost
from matrix_resolve.checking.findings.situation import (
    BY_SRV,
    Blame,
    Situation,
    forbidden_and_all,
)
from matrix_resolve.checking.findings.wanted import serve_it
from matrix_resolve.checking.texts import are, listed, sentence
from matrix_resolve.core.addresses import AddressPolicy

_SHORT_TTL: Final = 60.0
_PUBLIC: Final = AddressPolicy()


def dns_findings(situation: Situation) -> Iterator[Finding]:
    """Yield what is to be said of hosts and their addresses."""
    yield from _failures(situation)
    yield from _without_addresses(situation)
    yield from _private(situation)
    host = situation.facts.host(situation.name.hostname)
    if host is not None and host.canonical_name:
        fact = f"{situation.name.hostname} is an alias (CNAME) of {host.canonical_name}."
        advice = "That works; it means that whoever has that name can move the server."
        yield found("alias-at-name", fact, advice, host.hostname)
    yield from _short_lived(situation)
    for each in situation.facts.unfinished:
        fact = f"The time was over before this was done: {sentence(each)}."
        yield found("unfinished", fact, "Try again; something there answers very slowly.")


def _failures(situation: Situation) -> Iterator[Finding]:
    """Tell once of what our DNS did not answer, and of documents that we could not ask for."""
    asked = {each.name for each in situation.asked_srv}
    needed = {each.hostname for each in situation.hosts} | {situation.name.hostname.lower()}
    failed = [
        (each.hostname, each.failure, each.hostname in needed) for each in situation.facts.hosts
    ]
    failed += [(each.name, each.failure, each.name in asked) for each in situation.facts.srv]
    told = [(name, failure, matters) for name, failure, matters in failed if failure is not None]
    if told:
        reasons = listed(dict.fromkeys(sentence(failure or "") for _, failure, _ in told))
        fact = f"DNS could not be asked for {listed(name for name, *_ in told)}: {reasons}."
        advice = "As far as can be told that is no fault of the server's: try again, or from "
        advice += "another network; if it stays so, look at the zone's name servers and DNSSEC."
        level = Level.WARNING if any(matters for *_, matters in told) else Level.NOTE
        yield found("dns-failed", fact, advice, *(name for name, *_ in told), level=level)
        return
    resolution = situation.resolution
    if resolution is not None and resolution.degraded:
        fact = "DNS could not be asked for SRV records, so peers may be led elsewhere."
        yield found("dns-failed", fact, "Try again, or from another network.", level=Level.WARNING)
    own = [each for each in situation.readings if each.kind is Kind.OWN]
    if own:
        is_all = situation.blame is Blame.UNKNOWN
        fact = f"The document could not be asked for from here: {sentence(own[0].fact)}."
        level = Level.WARNING if is_all else Level.NOTE
        advice = "Try again from another network; this says nothing of the server."
        yield found("own-network", fact, advice, *(each.place for each in own), level=level)


def _lacks(host: HostFacts) -> bool:
    return not host.addresses and host.failure is None


def _without_addresses(situation: Situation) -> Iterator[Finding]:
    name = situation.name.hostname
    lacking = [each for each in situation.hosts if _lacks(each)]
    if lacking and situation.blame in (Blame.NO_ADDRESSES, Blame.ENDPOINTS, Blame.NOTHING):
        is_all = situation.blame is Blame.NO_ADDRESSES
        for host in lacking:
            fact = f"{host.hostname} has no IP addresses in DNS (neither A nor AAAA)."
            advice = f"Publish an A and, where there is IPv6, an AAAA record for {host.hostname}"
            if not is_all:
                advice += ", or take its SRV record away."
                yield found("srv-target-no-addresses", fact, advice, host.hostname)
                continue
            if situation.delegated is not None:
                advice += ', or name another host as "m.server" in the document'
            yield found("no-addresses", fact, f"{advice}.", host.hostname)
    own = situation.facts.host(name)
    if own is not None and _lacks(own) and own not in lacking and situation.asks_document:
        fact = f"{name} has no IP addresses, so there is no document; SRV records lead elsewhere."
        advice = (
            f"For clients, and to be free of SRV records, give it one, and {serve_it(situation)}."
        )
        if situation.step in BY_SRV and situation.delegated is None:
            yield found("no-addresses", fact, advice, name, level=Level.NOTE)


def _private(situation: Situation) -> Iterator[Finding]:
    forbidden, every = forbidden_and_all(situation.facts)
    private = {each for each in every if not _PUBLIC.allows(each)}
    told = listed(sorted(map(str, forbidden or private)))
    to = situation.delegated
    if forbidden and forbidden == every:
        by_name = to is not None and (to.is_ip_literal or is_localhost(to))
        if by_name:
            fact = f'"m.server" is {to}, which nobody reaches from the Internet.'
            advice = "Name a public host and port in the document instead, such as "
            advice += f'"m.server": "{situation.name.hostname}:443".'
            yield found("document-private-address", fact, advice, told)
            return
        fact = f"Every address is private or reserved ({told}); peers on the Internet refuse those."
        advice = "Publish public addresses for the host; one in your own network needs a DNS of "
        advice += "its own (split horizon), or this check an exception for it."
        yield found("addresses-private", fact, advice, told, level=Level.ERROR)
    elif forbidden:
        fact = (
            f"Some addresses are private or reserved ({told}); peers on the Internet refuse those."
        )
        advice = "Take them out of the public DNS."
        yield found("addresses-private", fact, advice, told, level=Level.WARNING)
    elif private:
        fact = f"{told} {are(private, 'is', 'are')} not on the public Internet."
        advice = "That is as you allowed it here; peers elsewhere will refuse it."
        yield found("addresses-private", fact, advice, told, level=Level.NOTE)


def _short_lived(situation: Situation) -> Iterator[Finding]:
    short = [
        (each.hostname, each.ttl)
        for each in situation.facts.hosts
        if each.ttl is not None and each.ttl < _SHORT_TTL and each.addresses
    ]
    short += [
        (each.name, each.ttl)
        for each in situation.asked_srv
        if each.ttl is not None and each.ttl < _SHORT_TTL and each.records
    ]
    if short:
        told = listed(f"{name} ({ttl:.0f} s)" for name, ttl in short)
        fact = f"These DNS records live less than a minute: {told}."
        advice = "An hour (3600) spares peers and name servers much; shorten it before a move only."
        yield found("dns-ttl-short", fact, advice, *(name for name, _ in short))
