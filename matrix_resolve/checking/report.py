"""The report of a check: what was seen, what is to be said of it, and the three answers."""

from typing import Any

from attrs import field, frozen

from matrix_resolve.checking.answers import Answers, Reach, answers
from matrix_resolve.checking.facts import ServerFacts
from matrix_resolve.checking.findings import Finding, Level, findings
from matrix_resolve.checking.report_dict import report_dict
from matrix_resolve.checking.report_text import report_text


@frozen(kw_only=True)
class Report:
    """What a check of one server found.

    `facts` is what was seen, `findings` what is to be said of that, the worst first, `answers` the
    three answers that an admin wants first. `expect_closed`: the server was to be private.
    `str(report)` is what a person reads, `to_dict()` what a program does.
    """

    facts: ServerFacts = field(repr=False)
    findings: tuple[Finding, ...]
    answers: Answers
    expect_closed: bool = False

    @classmethod
    def of(cls, facts: ServerFacts, *, expect_closed: bool = False) -> "Report":
        """Return the report that facts give."""
        found = findings(facts, expect_closed=expect_closed)
        return cls(
            facts=facts,
            findings=found,
            answers=answers(facts, found, expect_closed=expect_closed),
            expect_closed=expect_closed,
        )

    @property
    def exit_status(self) -> int:
        """What a command ends with.

        0: reachable (or closed, if that was expected) and nothing worse than a warning; 1: errors;
        3: nothing can be told, for trouble of our own DNS or network.
        """
        if any(each.level is Level.ERROR for each in self.findings):
            return 1
        if self.answers.reach is Reach.UNKNOWN:
            return 3
        is_as_wanted = (self.answers.reach is Reach.NO) == self.expect_closed
        return 0 if is_as_wanted else 1

    def to_dict(self) -> dict[str, Any]:
        """Return this as JSON-ready values. Keys are stable within a `"version"`.

        Bodies are left out; times are in ISO 8601 (UTC), durations in seconds.
        """
        return {
            "version": 1,
            "server_name": str(self.facts.server_name),
            "exit_status": self.exit_status,
            "expect_closed": self.expect_closed,
            **report_dict(self.facts, self.findings, self.answers),
        }

    def __str__(self) -> str:
        return report_text(self.facts, self.findings, self.answers)
