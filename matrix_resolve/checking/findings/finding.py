"""What a check says: one finding, with how grave it is and what to do about it."""

from collections.abc import Iterable
from inspect import cleandoc
from typing import Final

from attrs import Attribute, field, frozen

from matrix_resolve.checking.findings.catalogue import CATALOGUE, Level, catalogue_lines
from matrix_resolve.errors import readable

_MOST: Final = 1000  # characters of a sentence
_MOST_PLACES: Final = 32
_ORDER: Final = {level: place for place, level in enumerate(Level)}
_CODES: Final = {code: place for place, code in enumerate(CATALOGUE)}


def _sentence(text: str) -> str:
    return readable(text, _MOST)


def _places(places: Iterable[str]) -> tuple[str, ...]:
    unique = [readable(place) for place in dict.fromkeys(places)]
    more = len(unique) - _MOST_PLACES
    return tuple(unique) if more <= 0 else (*unique[:_MOST_PLACES], f"and {more} more")


def _in_catalogue(finding: "Finding", attribute: "Attribute[str]", code: str) -> None:
    if finding.level not in CATALOGUE[code].levels:
        raise ValueError(f"{code} is never found at the level {finding.level}")


@frozen(kw_only=True)
class Finding:
    """One thing that was found.

    `code` is stable, `fact` a sentence that says what was seen, `advice` one that says what to do
    about it; `where` are the addresses or URLs that it was seen at. All is printable ASCII.

    The codes, with the levels that they are found at:
    """

    level: Level
    code: str = field(validator=_in_catalogue)
    fact: str = field(converter=_sentence)
    advice: str = field(converter=_sentence)
    where: tuple[str, ...] = field(default=(), converter=_places)

    def __str__(self) -> str:
        return f"{self.level.value} {self.code}: {self.fact} {self.advice}".rstrip()


# One table tells it all: here, in the catalogue, and at the command line.
Finding.__doc__ = "\n".join(
    (cleandoc(Finding.__doc__ or ""), "", *(f"- {line}" for line in catalogue_lines()))
)


def found(code: str, fact: str, advice: str, *where: str, level: Level | None = None) -> Finding:
    """Return a finding, of the gravest level of its code if none is said."""
    if level is None:
        level = CATALOGUE[code].levels[0]
    return Finding(code=code, level=level, fact=fact, advice=advice, where=where)


def worst_first(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Return findings in order, those of several places as one."""
    places: dict[tuple[Level, str, str, str], list[str]] = {}
    for each in findings:
        key = (each.level, each.code, each.fact, each.advice)
        places.setdefault(key, []).extend(each.where)
    merged = [
        Finding(level=level, code=code, fact=fact, advice=advice, where=where)
        for (level, code, fact, advice), where in places.items()
    ]
    return tuple(sorted(merged, key=lambda each: (_ORDER[each.level], _CODES[each.code])))
