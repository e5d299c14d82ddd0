"""A bounded map for the hot path."""

from collections.abc import Callable
from typing import Generic, TypeVar

_K = TypeVar("_K")
_V = TypeVar("_V")


class Generations(Generic[_K, _V]):
    """Keeps values that weigh `most` in all, roughly those that were used most lately.

    What is new or used goes into the young generation. When that holds half of what is allowed it
    becomes the old one, and the former old one is deleted. So a hit in `young` is one read of a
    dictionary: where that matters, read it there and turn to `get` on a miss. `weigh` says how
    much of the bound a value takes up.
    """

    def __init__(self, most: int, weigh: Callable[[_V], int] = lambda _: 1) -> None:
        self.young: dict[_K, _V] = {}
        self._old: dict[_K, _V] = {}
        self._most = most
        self._weigh = weigh
        self._young_weight = self._old_weight = 0

    def __len__(self) -> int:
        return len(self.young) + len(self._old)

    def get(self, key: _K) -> _V | None:
        """Return the value of `key`, None if there is none; it counts as used."""
        value = self.young.get(key)
        if value is None:
            value = self._old.get(key)
            if value is not None:
                self.put(key, value)
        return value

    def look(self, key: _K) -> _V | None:
        """Return the value of `key`, None if there is none; it does not count as used."""
        value = self.young.get(key)
        return self._old.get(key) if value is None else value

    def put(self, key: _K, value: _V) -> None:
        """Keep `value` under `key`."""
        self.delete(key)
        if self._young_weight >= max(1, self._most // 2):
            self._old, self._old_weight = {}, 0
            self.cool()
        self.young[key] = value
        self._young_weight += self._weigh(value)

    def delete(self, key: _K) -> None:
        """Delete the value of `key`, if there is one."""
        value = self.young.pop(key, None)
        if value is not None:
            self._young_weight -= self._weigh(value)
            return
        value = self._old.pop(key, None)
        if value is not None:
            self._old_weight -= self._weigh(value)

    def cool(self) -> None:
        """Empty `young`: each value is met by `get` before it is there again."""
        if self._old_weight + self._young_weight > self._most:
            self._old, self._old_weight = {}, 0
        self._old.update(self.young)
        self._old_weight += self._young_weight
        self.young.clear()
        self._young_weight = 0

    def clear(self) -> None:
        """Delete everything."""
        self.young.clear()
        self._old.clear()
        self._young_weight = self._old_weight = 0
