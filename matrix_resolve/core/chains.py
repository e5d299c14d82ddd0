"""Chains of aliases in a DNS answer (CNAME records; RFC 1034, 3.6.2)."""

from collections.abc import Iterable
from typing import Final

# No honest chain is longer (resolvers stop at 8 to 16 links), and a circle never ends.
MAX_LINKS: Final = 16


def follow(question: str, aliases: Iterable[tuple[str, str]]) -> tuple[str, ...] | None:
    """Return the names that lead from `question` to the end of its chain of aliases.

    `aliases` are the (owner, target)s of an answer. Their order is of no account, what does not
    belong to the chain is passed over, and of two with one owner the first holds. Names are
    compared, and given, in lower case and without a final dot. The first is the question itself.
    None if the chain is a circle or has more than `MAX_LINKS` links.
    """
    targets: dict[str, str] = {}
    for owner, target in aliases:
        targets.setdefault(plain(owner), plain(target))
    names = [plain(question)]
    while names[-1] in targets:
        if len(names) > MAX_LINKS:
            return None
        names.append(targets[names[-1]])
    return tuple(names)


def plain(name: str) -> str:
    """Return `name` as names are compared: in lower case, without a final dot."""
    return name.removesuffix(".").lower()
