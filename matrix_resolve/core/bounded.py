"""A bounded map, in many small pieces: a large dictionary grows, and goes, in one long pause."""

from collections.abc import Callable, Hashable
from typing import Final, Generic, TypeVar

_K = TypeVar("_K", bound=Hashable)
_V = TypeVar("_V")

# A prime: dictionaries go by the last bits of a hash, so parts must not.
_MOST_PARTS: Final = 61
# Fewer than so many of the bound in a part, and what was used least lately can't be told well.
_LEAST_IN_PART: Final = 1000
# No more values than so many are spared at a time: to go through all of them would take long.
_MOST_SPARED: Final = 1000


def parts_for(most: int) -> int:
    """Return in how many parts up to `most` values are kept."""
    return max(1, min(_MOST_PARTS, most // _LEAST_IN_PART))


class Bounded(Generic[_K, _V]):
    """Keeps values that weigh `most` in all, about those that were used most lately.

    `weigh` says how much of the bound a value takes up; what weighs more than the whole is kept
    alone. `spare` may say that the value of a key, when it is its turn to go, stays for another.
    """

    def __init__(
        self,
        most: int,
        weigh: Callable[[_V], int] = lambda _: 1,
        spare: Callable[[_K], bool] = lambda _: False,
    ) -> None:
        # In each the values used least lately come first.
        self._count = parts_for(most)
        self._parts: tuple[dict[_K, _V], ...] = tuple({} for _ in range(self._count))
        self._most = most
        self._weigh = weigh
        self._spare = spare
        self._weight = 0
        self._next = 0  # the part that has to give next

    def __len__(self) -> int:
        return sum(map(len, self._parts))

    def __bool__(self) -> bool:
        return self._weight > 0

    def get(self, key: _K) -> _V | None:
        """Return the value of `key`, None if there is none; it counts as used."""
        part = self._part(key)
        value = part.pop(key, None)
        if value is not None:
            part[key] = value
        return value

    def look(self, key: _K) -> _V | None:
        """Return the value of `key`, None if there is none; it does not count as used."""
        return self._parts[hash(key) % self._count].get(key)  # as `_part`, on a busy way

    def put(self, key: _K, value: _V) -> None:
        """Keep `value` under `key`."""
        self.delete(key)
        weight = self._weigh(value)
        self._make_room(weight)
        self._part(key)[key] = value
        self._weight += weight

    def delete(self, key: _K) -> None:
        """Delete the value of `key`, if there is one."""
        value = self._part(key).pop(key, None)
        if value is not None:
            self._weight -= self._weigh(value)

    def clear(self) -> None:
        """Delete everything."""
        for part in self._parts:
            part.clear()
        self._weight = 0

    def _part(self, key: _K) -> dict[_K, _V]:
        return self._parts[hash(key) % self._count]

    def _make_room(self, weight: int) -> None:
        spared = 0
        while self._weight and self._weight + weight > self._most:
            part = self._parts[self._next]
            self._next = (self._next + 1) % len(self._parts)
            if part:
                key = next(iter(part))
                if self._spare(key) and spared < _MOST_SPARED:
                    spared += 1
                    part[key] = part.pop(key)
                else:
                    self.delete(key)
