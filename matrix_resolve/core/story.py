"""How a resolution came about, told step by step in the words of the specification."""

from collections.abc import Iterable, Iterator, Sequence
from typing import assert_never

from attrs import frozen

from matrix_resolve.core.names import ServerName
from matrix_resolve.core.packed import Packable, to_answer
from matrix_resolve.core.questions import (
    Addresses,
    AddressesFailed,
    Answer,
    AskSrv,
    AskWellKnown,
    Delegated,
    NoSrvRecords,
    NotDelegated,
    Question,
    ServiceNotOffered,
    SrvFailed,
    SrvRecords,
    question_of,
)


@frozen(kw_only=True)
class TrailEntry:
    """One question of a resolution and its answer.

    `from_cache`: the answer was remembered. `duration`: seconds from question to answer.
    `kept_for`: the seconds that the answer had left to live when it was given. `stale`: the answer
    is past its lifetime, and `failure` says why asking again failed.
    """

    question: Question
    answer: Answer
    from_cache: bool
    duration: float
    kept_for: float
    stale: bool = False
    failure: str | None = None


Row = tuple[Packable, bool, float, float, bool, str | None]
"""A `TrailEntry` without its question, packable: the fields in their order."""


def trail_of(keys: Iterable[str], rows: Iterable[Row]) -> Iterator[TrailEntry]:
    """Yield the entries that these rows stand for; `keys` are those of their questions."""
    for key, row in zip(keys, rows, strict=True):
        answer, from_cache, duration, kept_for, stale, failure = row
        question = question_of(key)
        assert question is not None
        yield TrailEntry(
            question=question,
            answer=to_answer(key, *answer),
            from_cache=from_cache,
            duration=duration,
            kept_for=kept_for,
            stale=stale,
            failure=failure,
        )


@frozen
class StepTold:
    """One step as it went: its label, what was found, whether it decided, its question if any."""

    label: str
    text: str
    taken: bool
    entry: TrailEntry | None = None


def story(
    name: ServerName, delegated_to: ServerName | None, decided: str, trail: Sequence[TrailEntry]
) -> Iterator[StepTold]:
    """Yield the steps in order, up to the one with the label `decided`."""
    for told in _all_steps(name, delegated_to, decided, trail):
        yield told
        if told.taken:
            return


def _all_steps(
    name: ServerName, delegated: ServerName | None, decided: str, trail: Sequence[TrailEntry]
) -> Iterator[StepTold]:
    def told(label: str, taken: str, passed_over: str) -> StepTold:
        return StepTold(label, taken if label == decided else passed_over, label == decided)

    yield told("1", "the hostname is an IP literal", "the hostname is no IP literal")
    yield told("2", "the server name has a port", "the server name has no port")
    asked = {entry.question: entry for entry in trail}
    well_known = asked.get(AskWellKnown(name.hostname))
    if well_known is not None:
        yield StepTold("3", describe(well_known.answer), taken=False, entry=well_known)
    if delegated is not None:
        yield told("3.1", f"{delegated} is an IP literal", f"{delegated} is no IP literal")
        yield told("3.2", f"{delegated} has a port", f"{delegated} has no port")
    host, labels = (name, ("4", "5", "6")) if delegated is None else (delegated, _DELEGATED)
    for label, service in zip(labels, ("_matrix-fed", "_matrix"), strict=False):
        srv = asked.get(AskSrv(f"{service}._tcp.{host.hostname}"))
        text = "not asked (legacy_srv is off)" if srv is None else describe(srv.answer)
        yield StepTold(label, text, label == decided, srv)
    yield told(labels[-1], f"port 8448 of {host}", "")


_DELEGATED = ("3.3", "3.4", "3.5")


def story_lines(steps: Iterable[StepTold]) -> Iterator[str]:
    """Yield the lines that tell `steps` as plain text."""
    for told in steps:
        verdict = "taken: " if told.taken else "passed over: " if told.entry is None else ""
        yield f"  step {told.label:<4} {verdict}{told.text}"
        if told.entry is not None:
            yield f"            {told.entry.question}: {circumstances(told.entry)}"


def circumstances(entry: TrailEntry) -> str:
    """Say who answered, how long it took and how long the answer may be kept."""
    source = "from cache" if entry.from_cache else f"asked, {entry.duration * 1000:.0f} ms"
    parts = [source, f"kept for {lasting(entry.kept_for)}"]
    if entry.stale:
        parts.append("stale")
    if entry.failure is not None:
        parts.append(f"asking again failed: {entry.failure}")
    return ", ".join(parts)


def lasting(seconds: float) -> str:
    """Return a duration as people say it: "45 s", "5 min", "24 h"."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 7200:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.0f} h"


def describe(answer: Answer) -> str:
    """Return an answer in words."""
    match answer:
        case Delegated(to=to, url=url):
            return f"delegates to {to} ({url})"
        case NotDelegated(reason=reason):
            return f"nothing usable: {reason}"
        case SrvRecords(records=records):
            listed = ", ".join(
                f"{r.target}:{r.port} (priority {r.priority}, weight {r.weight})" for r in records
            )
            return f"SRV records: {listed}"
        case NoSrvRecords(reason=reason):
            return reason
        case ServiceNotOffered():
            return 'the service is not offered (target ".")'
        case SrvFailed(reason=reason):
            return f"the lookup failed: {reason}"
        case Addresses(addresses=addresses, canonical_name=alias):
            listed = ", ".join(map(str, addresses)) or "no addresses"
            return listed if alias is None else f"{listed} (an alias of {alias})"
        case AddressesFailed(reason=reason):
            return f"the lookup failed: {reason}"
        case _:
            assert_never(answer)
