"""What is told of a `resolve()` as a whole: that it begins, and how it ended."""

import asyncio
from typing import Literal

from attrs import frozen

from matrix_resolve.core.names import ServerName
from matrix_resolve.core.resolution import Step

ResolveOutcome = Literal["cached", "asked", "computed", "failed", "cancelled"]

_COMPUTED = (Step.IP_LITERAL, Step.EXPLICIT_PORT)


@frozen(kw_only=True)
class ResolveBegun:
    """A `resolve()` begins: told in its caller's context, as is how it ends.

    One `Resolved` or `ResolveFailed` follows. What it asks is told in a task of the question's
    own, which has the context of the one that began the question: others that wait for the same
    answer are told of no question, and a refresh in the background is told there after the end.
    For what is no server name nothing is told.
    """

    server_name: ServerName


@frozen(kw_only=True)
class Resolved:
    """A `resolve()` has given a resolution, `duration` seconds after it began.

    `from_cache`: it was answered from what is remembered, as `CacheHit` tells. `stale` and
    `degraded` are those of the `Resolution`.
    """

    server_name: ServerName
    step: Step
    duration: float
    from_cache: bool
    stale: bool
    degraded: bool

    @property
    def outcome(self) -> ResolveOutcome:
        """In one word: "cached", "asked", or "computed" (steps 1 and 2, which need no answer)."""
        if self.from_cache:
            return "cached"
        return "computed" if self.step in _COMPUTED else "asked"


@frozen(kw_only=True)
class ResolveFailed:
    """A `resolve()` has raised `error`, `duration` seconds after it began.

    That is `CancelledError` if its caller has given it up.
    """

    server_name: ServerName
    error: BaseException
    duration: float

    @property
    def outcome(self) -> ResolveOutcome:
        """In one word: "failed" or "cancelled"."""
        return "cancelled" if isinstance(self.error, asyncio.CancelledError) else "failed"
