"""How many fetches may be under way, so that dead servers do not hold up the living."""

import asyncio
from typing import Final

# Who has heard nothing for so long (seconds) is most likely waiting for a time-out.
_SILENCE: Final = 1.0
# Fetches that may go on without a slot: four rounds of slots, and a bound on descriptors.
_MOST_WITHOUT: Final = 400


class FetchSlots:
    """So many fetches at once, and beside them those that have heard nothing for a while."""

    def __init__(self, most: int) -> None:
        self._free = asyncio.Semaphore(most)
        self._without = 0

    async def take(self) -> "FetchSlot":
        """Wait for a slot; it must be given back with `end()`."""
        await self._free.acquire()
        return FetchSlot(self)


class FetchSlot:
    """A slot of one fetch, which leaves it early when it hears nothing from the other side."""

    def __init__(self, slots: FetchSlots) -> None:
        self._slots = slots
        self._loop = asyncio.get_running_loop()
        self._left = False
        self.heard()
        self._look_at(self._heard_at + _SILENCE)

    def heard(self) -> None:
        """Tell that something has come from the other side."""
        self._heard_at = self._loop.time()

    def end(self) -> None:
        """Give the slot back, if that has not been done early."""
        self._timer.cancel()
        if self._left:
            self._slots._without -= 1
        else:
            self._slots._free.release()

    def _look_at(self, when: float) -> None:
        self._timer = self._loop.call_at(when, self._look)

    def _look(self) -> None:
        now = self._loop.time()
        if now < self._heard_at + _SILENCE:
            self._look_at(self._heard_at + _SILENCE)
        elif self._slots._without >= _MOST_WITHOUT:
            self._look_at(now + _SILENCE)
        else:
            self._left = True
            self._slots._without += 1
            self._slots._free.release()
