"""What many resolutions come to: counted as they come, so that nothing of them is kept."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from heapq import heappushpop
from typing import Any, Final

from matrix_resolve.core.resolution import Step
from matrix_resolve.errors import readable

_MOST_SLOW: Final = 10
# Steps that are reached only if nothing is published under `_matrix-fed._tcp`.
_LEGACY: Final = (Step.WELL_KNOWN_LEGACY_SRV.value, Step.LEGACY_SRV.value)
# Why there is no document, by what the reason says of it; the first that fits.
_REASONS: Final = tuple(
    (re.compile(pattern), told)
    for pattern, told in (
        (r"^m\.server: ", "m.server is no server name"),
        (r"^the document has no m\.server$", "no m.server"),
        (r"^the (body is not|document is not a) ", "not a JSON object"),
        (r"^the body is longer ", "too long"),
        (r"redirect", "redirect not followed"),
        (r"^the address policy forbids", "forbidden address"),
        (r" has no addresses$", "no addresses"),
        (r"(?i)no response within|timed? ?out|TLS did not", "time-out"),
        (r"the certificate\b|wrong name: ", "certificate refused"),
        (r"\b(TLS|SSL)\b|certificate for this name|certificate of ours", "TLS failed"),
        (r"(?i)connect call failed|connection refused", "connection failed"),
        (r"(?i)reset|disconnected|closed|EOF", "connection lost"),
    )
)


def reason_class(answer: Mapping[str, Any]) -> str:
    """Return in few words why a well-known request gave nothing usable.

    `answer` is a `not_delegated` of a trail in its JSON form.
    """
    reason = str(answer.get("reason"))
    status = re.fullmatch(r"status ([0-9]{3})", reason)
    if status is not None:
        return f"status {status[1]}"
    if answer.get("own_trouble"):
        dns = reason.startswith("the web server's addresses could not be found out")
        return "DNS failed" if dns else "trouble of our own"
    return next((told for pattern, told in _REASONS if pattern.search(reason)), "other")


class Summary:
    """Counts of the records of one output, from whichever runs they are."""

    def __init__(self) -> None:
        self.names = 0
        self.earlier = 0
        self._steps: Counter[str] = Counter()
        self._errors: Counter[str] = Counter()
        self._documents: Counter[str] = Counter()
        self._flags: Counter[str] = Counter()
        # Of checks only.
        self._reachable: Counter[str] = Counter()
        self._findings: Counter[str] = Counter()
        self._slowest: list[tuple[float, str]] = []

    def add(self, record: Mapping[str, Any], *, is_earlier: bool = False) -> None:
        """Count one record; `is_earlier` if it was found in the output of an earlier run."""
        self.names += 1
        self.earlier += is_earlier
        if "error" in record:
            self._errors[str(record["error"]["type"])] += 1
        if "findings" in record:
            self._reachable[str(record["answers"]["reachable"]["answer"])] += 1
            self._findings.update({str(found["code"]) for found in record["findings"]})
        self._count_resolution(record.get("resolution") or record)
        self._note_time(float(record.get("duration", 0.0)), str(record["server_name"]))

    def _count_resolution(self, record: Mapping[str, Any]) -> None:
        if "step" in record:
            self._steps[str(record["step"])] += 1
        for entry in record.get("trail", ()):
            if entry["answer"]["kind"] == "not_delegated":
                self._documents[reason_class(entry["answer"])] += 1
        for flag in ("stale", "degraded"):
            self._flags[flag] += bool(record.get(flag))

    def _note_time(self, duration: float, name: str) -> None:
        timed = (duration, readable(name, 100))
        if len(self._slowest) < _MOST_SLOW:
            self._slowest.append(timed)
            self._slowest.sort()
        elif duration > self._slowest[0][0]:
            heappushpop(self._slowest, timed)

    def to_dict(self, seconds: float, *, interrupted: bool) -> dict[str, Any]:
        """Return the counts as JSON-ready values. `seconds` is how long this run took."""
        slowest = sorted(self._slowest, reverse=True)
        return {
            "version": 1,
            "names": self.names,
            "earlier": self.earlier,
            "interrupted": interrupted,
            "seconds": round(seconds, 3),
            "names_per_second": round((self.names - self.earlier) / max(seconds, 0.001), 1),
            "steps": {step.value: self._steps[step.value] for step in Step},
            "errors": _by_count(self._errors),
            "no_document": _by_count(self._documents),
            "stale": self._flags["stale"],
            "degraded": self._flags["degraded"],
            "legacy_srv_only": sum(self._steps[step] for step in _LEGACY),
            "reachable": _by_count(self._reachable),
            "findings": _by_count(self._findings),
            "slowest": [{"server_name": name, "duration": taken} for taken, name in slowest],
        }


def _by_count(counts: Counter[str]) -> dict[str, int]:
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def summary_lines(figures: Mapping[str, Any], *, columns: int | None = None) -> Iterator[str]:
    """Yield what `Summary.to_dict` gives as lines for a person, no longer than `columns`."""
    now = figures["names"] - figures["earlier"]
    words = f"{now:,} names in {figures['seconds']:,.1f} s, {figures['names_per_second']:,.0f}/s"
    if figures["earlier"]:
        words += f"; {figures['names']:,} with those of earlier runs, told of here too"
    if figures["interrupted"]:
        words += "; interrupted"
    yield words
    rows = {
        "step": _listed(figures["steps"]),
        "error": _listed(figures["errors"]),
        "no document": _listed(figures["no_document"]),
        "legacy SRV only": f"{figures['legacy_srv_only']:,} (_matrix._tcp without _matrix-fed)",
        "stale, degraded": f"{figures['stale']:,}, {figures['degraded']:,}",
        "slowest": ", ".join(
            f"{each['server_name']} {each['duration']:.2f} s" for each in figures["slowest"][:5]
        ),
    }
    if figures["reachable"]:
        rows["reachable"] = _listed(figures["reachable"])
        rows["finding"] = _listed(figures["findings"])
    width = max(map(len, rows))
    for name, told in rows.items():
        yield from _row(f"  {name:{width}}  ", told or "none", columns)


def _row(head: str, told: str, columns: int | None) -> Iterator[str]:
    """Yield a line, or as many as it takes, broken after commas."""
    line = head
    for number, part in enumerate(told.split(", ")):
        if number == 0:
            line += part
        elif columns is None or len(f"{line}, {part},") <= columns:
            line += f", {part}"
        else:
            yield f"{line},"
            line = " " * len(head) + part
    yield line


def _listed(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{what}: {count:,}" for what, count in counts.items() if count)
