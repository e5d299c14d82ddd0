"""How many fetches may be under way, so that dead servers do not hold up the living.

Nobody knows beforehand which names are alive. So the silent make room for others; and as names of
a kind come together, whose turn is next depends on what came of the last ones (win-stay,
lose-shift): those who wait are taken from one place of the queue on until one of them falls silent,
and then from another. Thousands of dead names ahead of the living, or around them, cost those a few
seconds.
"""

import asyncio
import math
from collections import OrderedDict
from collections.abc import Iterator
from itertools import count
from types import TracebackType
from typing import Final, Self

from matrix_resolve.interfaces import listener

# Who has heard nothing for so long (seconds) is most likely waiting for a time-out.
_SILENCE: Final = 1.0
# Who is not done after so long (seconds) is as good as dead to others: it may be dripping.
_LONGEST: Final = 2.0
# Fetches that may go on without a slot: four rounds of slots, and a bound on descriptors.
_MOST_WITHOUT: Final = 400
# One turn in so many is that of who waits longest, so that nobody waits for ever.
_LONGEST_WAITING: Final = 10
# Multiples of it, less their whole parts, are spread evenly however many there are.
_GOLDEN: Final = (math.sqrt(5) - 1) / 2
# The stand of those.
_NOWHERE: Final = -1


class Queue:
    """Those who wait, in the order in which they came, and the place from which they are taken.

    From there on to the last, or back to the first. `stand` counts places and directions.
    """

    def __init__(self) -> None:
        self._before: OrderedDict[asyncio.Future[int], None] = OrderedDict()
        self._after: OrderedDict[asyncio.Future[int], None] = OrderedDict()
        self._is_forward = True
        self._has_won = False
        self._places = _places()
        self.stand = 0

    def join(self, turn: "asyncio.Future[int]") -> None:
        """Wait as the last."""
        self._after[turn] = None

    def leave(self, turn: "asyncio.Future[int]") -> None:
        """Wait no longer."""
        self._before.pop(turn, None)
        self._after.pop(turn, None)

    def take(self) -> "asyncio.Future[int] | None":
        """Take the next one from the place out of the queue; None if it is empty."""
        if self._after and (self._is_forward or not self._before):
            return self._after.popitem(last=False)[0]
        return self._before.popitem()[0] if self._before else None

    def take_first(self) -> "asyncio.Future[int] | None":
        """Take the one who has waited longest."""
        some = self._before or self._after
        return some.popitem(last=False)[0] if some else None

    def won(self, stand: int) -> None:
        """Take note that one who was taken from a stand was soon done."""
        self._has_won = self._has_won or stand == self.stand

    def lost(self, stand: int) -> None:
        """Take note that one who was taken from a stand is silent; take no more from there."""
        if stand != self.stand:
            return
        self.stand += 1
        if self._has_won and self._is_forward:
            self._is_forward = False
        else:
            waiting = [*self._before, *self._after]
            place = round(next(self._places) * len(waiting))
            self._before = OrderedDict.fromkeys(waiting[:place])
            self._after = OrderedDict.fromkeys(waiting[place:])
            self._is_forward = True
        self._has_won = False


def _places() -> Iterator[float]:
    """Yield where to take from next, from 0, the first, to 1, the last: these, and between."""
    for number in count(1):
        yield 1.0
        yield number * _GOLDEN % 1
        yield 0.0


class FetchSlots:
    """So many fetches at once, and beside them those that hear nothing or take too long."""

    def __init__(self, most: int) -> None:
        self._free = most
        self._without = 0
        self._queue = Queue()
        self._turns = 0

    def slot(self) -> "FetchSlot":
        """Return a context that waits for a slot, and has it; it hears what the fetcher tells."""
        return FetchSlot(self)

    def leave(self, *, stand: int) -> bool:
        """Make the slot of a silent fetch free while that goes on without.

        Returns False if too many do so.
        """
        self._queue.lost(stand)
        if self._without >= _MOST_WITHOUT:
            return False
        self._without += 1
        self._hand_on()
        return True

    def end(self, *, stand: int, has_left: bool) -> None:
        """Take note that a fetch has ended, and make its slot free if it had not left it."""
        if has_left:
            self._without -= 1
        else:
            self._queue.won(stand)
            self._hand_on()

    async def turn(self) -> int:
        """Wait for a slot; return from which stand of the queue it was taken."""
        if self._free:
            self._free -= 1
            return self._queue.stand
        turn: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._queue.join(turn)
        try:
            return await turn
        except asyncio.CancelledError:
            self._queue.leave(turn)
            if turn.done() and not turn.cancelled():
                self._hand_on()
            raise

    def _hand_on(self) -> None:
        """Give a slot that is free to one who waits."""
        self._turns += 1
        first = self._turns % _LONGEST_WAITING == 0
        take, stand = self._queue.take, self._queue.stand
        if first:
            take, stand = self._queue.take_first, _NOWHERE
        while (turn := take()) is not None:
            if not turn.done():  # else it was cancelled just now
                turn.set_result(stand)
                return
        self._free += 1


class FetchSlot:
    """A slot of one fetch, which leaves it when it hears nothing from the other side for a while.

    One that hears a little now and then leaves it after a while longer.
    """

    def __init__(self, slots: FetchSlots) -> None:
        self._slots = slots
        self._has_left = False

    async def __aenter__(self) -> Self:
        self._stand = await self._slots.turn()
        self._loop = asyncio.get_running_loop()
        self.heard()
        self._longest_until = self._heard_at + _LONGEST
        self._look_at(self._heard_at + _SILENCE)
        self._token = listener.set(self.heard)
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        listener.reset(self._token)
        self._timer.cancel()
        self._slots.end(stand=self._stand, has_left=self._has_left)

    def heard(self) -> None:
        """Tell that something has come from the other side."""
        self._heard_at = self._loop.time()

    def _look_at(self, when: float) -> None:
        self._timer = self._loop.call_at(when, self._look)

    def _look(self) -> None:
        now = self._loop.time()
        leaves_at = min(self._heard_at + _SILENCE, self._longest_until)
        if now < leaves_at:
            self._look_at(leaves_at)
        elif self._slots.leave(stand=self._stand):
            self._has_left = True
        else:
            self._look_at(now + _SILENCE / 4)
