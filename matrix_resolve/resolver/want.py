"""How much an answer is wanted."""

from enum import IntEnum


class Want(IntEnum):
    """How much an answer is wanted; each is more than those before it."""

    AHEAD = 1
    """It may turn out to be needed: ask if nothing is remembered."""
    BESIDE = 2
    """It may turn out to be needed: ask now, so that one time-out covers another question too."""
    NEEDED = 3
    """Ask, and remember what is said."""
    ANEW = 4
    """Ask, whatever is remembered or under way: that was asked before."""
