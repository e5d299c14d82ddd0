"""The three answers that an admin wants first: reachable? delegation? what to change?"""

from enum import Enum

from attrs import frozen

from matrix_resolve.checking.facts import ServerFacts
from matrix_resolve.checking.findings import (
    BY_SRV,
    OF_NAME,
    Blame,
    Finding,
    Kind,
    Level,
    Situation,
    State,
    named_by_certificate,
    serve_it,
    wanted_document,
)
from matrix_resolve.core.resolution import Step
from matrix_resolve.errors import readable
from matrix_resolve.serving import WellKnownDocument


class Reach(Enum):
    """Can other servers reach you?"""

    YES = "yes"
    SOME = "some"
    """Some can, or only some of the time."""
    NO = "no"
    UNKNOWN = "unknown"
    """It can't be told from here."""


class Delegation(Enum):
    """Do you need delegation?"""

    NOT_NEEDED = "not needed"
    NEEDED_AND_PRESENT = "needed and present"
    PRESENT_THOUGH_NOT_NEEDED = "present though not needed"
    NEEDED = "needed"
    """And it is not there, or of no use: `Answers.document` is what to serve."""
    UNKNOWN = "unknown"


@frozen(kw_only=True)
class Answers:
    """The answers, each with a sentence of printable ASCII.

    `document` is what to serve at `document_url` if delegation is needed, else None. `changes` are
    the findings that ask for something to be done, the worst first.
    """

    reach: Reach
    reach_told: str
    delegation: Delegation
    delegation_told: str
    document: WellKnownDocument | None = None
    document_url: str | None = None
    changes: tuple[Finding, ...] = ()

    @property
    def changes_told(self) -> str:
        """What to change, in a sentence."""
        errors = sum(each.level is Level.ERROR for each in self.changes)
        warnings = len(self.changes) - errors
        if not self.changes:
            return "Nothing."
        counts = [
            f"{count} {word}{'' if count == 1 else 's'}"
            for count, word in ((errors, "error"), (warnings, "warning"))
            if count
        ]
        return f"{' and '.join(counts)}; first of all: {self.changes[0].fact}"


def answers(
    facts: ServerFacts, findings: tuple[Finding, ...], *, expect_closed: bool = False
) -> Answers:
    """Return the answers that facts and the findings of them give."""
    situation = Situation.of(facts)
    reach = _reach(situation)
    delegation, told = _delegation(situation)
    document = url = None
    if expect_closed and reach is Reach.NO:
        delegation, told = Delegation.NOT_NEEDED, "No: the server is to be closed, and is."
    elif delegation is Delegation.NEEDED:
        document = wanted_document(situation)
        url = f"https://{situation.name.hostname}{document.path}"
    return Answers(
        reach=reach,
        reach_told=readable(_reach_told(situation, reach, findings, expect_closed), 1000),
        delegation=delegation,
        delegation_told=readable(told, 1000),
        document=document,
        document_url=url,
        changes=tuple(each for each in findings if each.level is not Level.NOTE),
    )


def _reach(situation: Situation) -> Reach:
    if situation.blame is Blame.UNKNOWN:
        return Reach.UNKNOWN
    if not situation.works:
        return Reach.NO
    others = [each for each in situation.endpoints if each.state in (State.BROKEN, State.DEAD)]
    kinds = {each.kind for each in situation.readings}
    is_split = situation.delegated is not None and kinds & {Kind.INVALID, Kind.NO_DOCUMENT}
    has_lost = any(not host.addresses and host.failure is None for host in situation.hosts)
    return Reach.SOME if others or is_split or has_lost else Reach.YES


def _reach_told(
    situation: Situation, reach: Reach, findings: tuple[Finding, ...], expect_closed: bool
) -> str:
    worst = next((each for each in findings if each.level is not Level.NOTE), None)
    why = "" if worst is None else f" {worst.fact}"
    if reach is Reach.UNKNOWN:
        return f"That can't be told from here.{why}"
    if expect_closed:
        if reach is Reach.NO and worst is None:
            return f"No, as it is meant to be.{_why_closed(situation)}"
        return f"{'Through port 8448' if reach is Reach.NO else 'Yes'}, though not meant to.{why}"
    if reach is Reach.NO:
        return f"No.{why}"
    software = next((" ".join(s.software) for s in situation.works if s.software), "a homeserver")
    resolution = situation.resolution
    places = ", ".join(map(str, () if resolution is None else resolution.targets[:3]))
    if reach is Reach.SOME:
        return f"Some, or not always: {software} answers at {places}, but not everywhere.{why}"
    return f"Yes: {software} answers at {places}."


def _why_closed(situation: Situation) -> str:
    if situation.blame is Blame.NOT_OFFERED:
        return ' The SRV record says so (target ".").'
    return " No endpoint answers other servers."


def _delegation(situation: Situation) -> tuple[Delegation, str]:
    name = situation.name
    if situation.blame is Blame.NOT_OFFERED:
        return Delegation.NOT_NEEDED, 'No: the SRV record with the target "." says: no federation.'
    if not situation.asks_document or situation.step in OF_NAME:
        kind = "is an IP address" if name.is_ip_literal else "has a port"
        return Delegation.NOT_NEEDED, f"No: {name} {kind}, so peers connect to just that."
    if situation.blame is Blame.UNKNOWN:
        return Delegation.UNKNOWN, "That can't be told from here: see the findings."
    if situation.delegated is not None:
        return _by_document(situation)
    if situation.step in BY_SRV:
        return _by_srv(situation)
    if situation.works:
        why = f"port 8448 of {name} answers with a certificate for {name}"
        return Delegation.NOT_NEEDED, f"No: {why}."
    if situation.blame is Blame.NO_ADDRESSES:
        told = f"That can't be told before {name} has IP addresses: without them there is no "
        return Delegation.UNKNOWN, f"{told}document either."
    if situation.blame is Blame.PRIVATE:
        told = f"No: {name} has private addresses only, so no peer could read a document there."
        return Delegation.NOT_NEEDED, told
    if situation.blame is Blame.ENDPOINTS and named_by_certificate(situation) is None:
        told = f"No: something answers at port 8448 of {name}, and once that is mended it is all "
        return Delegation.NOT_NEEDED, f"{told}that is needed."
    if situation.blame is Blame.DOCUMENT:
        return Delegation.NEEDED, f"Yes, and what is there is of no use: {serve_it(situation)}."
    return Delegation.NEEDED, f"Yes, and there is none that leads anywhere: {serve_it(situation)}."


def _by_document(situation: Situation) -> tuple[Delegation, str]:
    name, to = situation.name, situation.delegated
    if situation.works and situation.direct_works:
        told = f"No, though you have it ({to}): port 8448 of {name} itself works as well."
        return Delegation.PRESENT_THOUGH_NOT_NEEDED, told
    if situation.works:
        return Delegation.NEEDED_AND_PRESENT, f"Yes, and you have it: {name} delegates to {to}."
    if situation.direct_works:
        told = f"No: port 8448 of {name} itself works, while the document leads to {to}, where "
        told += "nothing does. Take the document away, or mend that."
        return Delegation.PRESENT_THOUGH_NOT_NEEDED, told
    if situation.step is Step.WELL_KNOWN_DEFAULT_PORT and not situation.leads_to_itself:
        told = f"Yes, and what you have ({to}) leads to port 8448, where nothing works: if the "
        return Delegation.NEEDED, f"{told}homeserver is at port 443, {serve_it(situation)}."
    if named_by_certificate(situation) is not None:
        told = f"Yes, and what you have ({to}) leads to a certificate for another name: "
        return Delegation.NEEDED, f"{told}{serve_it(situation)}."
    told = f"Yes, and you have it ({to}), but nothing works there: mend that, or name another host."
    return Delegation.NEEDED_AND_PRESENT, told


def _by_srv(situation: Situation) -> tuple[Delegation, str]:
    name = situation.name
    if situation.works and situation.direct_works:
        told = f"No, though SRV records give it: port 8448 of {name} itself works as well."
        return Delegation.PRESENT_THOUGH_NOT_NEEDED, told
    if situation.works:
        told = "Yes, and SRV records give it. A document would do so for clients' sake too."
        return Delegation.NEEDED_AND_PRESENT, told
    if situation.direct_works:
        told = (
            f"No: port 8448 of {name} itself works, while SRV records lead to where nothing does."
        )
        return Delegation.PRESENT_THOUGH_NOT_NEEDED, f"{told} Take the records away."
    if situation.blame is Blame.DOCUMENT:
        return Delegation.NEEDED, f"Yes, and what is there is of no use: {serve_it(situation)}."
    if named_by_certificate(situation) is not None:
        told = "Yes, and the SRV records lead to a certificate for another name: instead of them,"
        return Delegation.NEEDED, f"{told} {serve_it(situation)}."
    told = "Yes, and SRV records give it, but nothing works where they lead: mend that."
    return Delegation.NEEDED_AND_PRESENT, told
