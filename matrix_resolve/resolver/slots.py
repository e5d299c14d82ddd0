"""How many fetches may be under way, so that dead servers do not hold up the living."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from matrix_resolve.interfaces import watching

# Who has heard nothing for so long (seconds) is most likely waiting for a time-out.
_SILENCE: Final = 1.0
# Who is not done after so long (seconds) is as good as dead to others: it may be dripping.
_LONGEST: Final = 2.0
# Fetches that may go on without a slot: four rounds of slots, and a bound on descriptors.
_MOST_WITHOUT: Final = 400


class FetchSlots:
    """So many fetches at once, and beside them those that hear nothing or take too long."""

    def __init__(self, most: int) -> None:
        self._free = asyncio.Semaphore(most)
        self._without = 0

    @asynccontextmanager
    async def slot(self) -> "AsyncIterator[FetchSlot]":
        """Wait for a slot, and have it in this context; it hears what the fetcher tells."""
        await self._free.acquire()
        slot = FetchSlot(self)
        try:
            with watching(slot.heard):
                yield slot
        finally:
            slot.end()

    def leave(self) -> bool:
        """Make a slot free while its fetch goes on without; return False if too many do so."""
        if self._without >= _MOST_WITHOUT:
            return False
        self._without += 1
        self._free.release()
        return True

    def end(self, *, has_left: bool) -> None:
        """Take note that a fetch has ended, and make its slot free if it had not left it."""
        if has_left:
            self._without -= 1
        else:
            self._free.release()


class FetchSlot:
    """A slot of one fetch, which leaves it when it hears nothing from the other side for a while.

    One that hears a little now and then leaves it after a while longer.
    """

    def __init__(self, slots: FetchSlots) -> None:
        self._slots = slots
        self._loop = asyncio.get_running_loop()
        self._has_left = False
        self.heard()
        self._longest_until = self._heard_at + _LONGEST
        self._look_at(self._heard_at + _SILENCE)

    def heard(self) -> None:
        """Tell that something has come from the other side."""
        self._heard_at = self._loop.time()

    def end(self) -> None:
        """Give the slot back, if that has not been done early."""
        self._timer.cancel()
        self._slots.end(has_left=self._has_left)

    def _look_at(self, when: float) -> None:
        self._timer = self._loop.call_at(when, self._look)

    def _look(self) -> None:
        now = self._loop.time()
        leaves_at = min(self._heard_at + _SILENCE, self._longest_until)
        if now < leaves_at:
            self._look_at(leaves_at)
        elif self._slots.leave():
            self._has_left = True
        else:
            self._look_at(now + _SILENCE / 4)
