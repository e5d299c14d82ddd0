"""A bounded map for the hot path."""

from typing import Generic, TypeVar

_K = TypeVar("_K")
_V = TypeVar("_V")


class Generations(Generic[_K, _V]):
    """Keeps at most `most` values, forgetting roughly those that were used least lately.

    What is new or used goes into the young generation. When that holds half of what is allowed it
    becomes the old one, and the former old one is dropped. So a hit in `young` is one read of a
    dictionary: where that matters, read it there and turn to `get` on a miss.
    """

    def __init__(self, most: int) -> None:
        self.young: dict[_K, _V] = {}
        self._old: dict[_K, _V] = {}
        self._half = max(1, most // 2)

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

    def put(self, key: _K, value: _V) -> None:
        """Keep `value` under `key`."""
        self._old.pop(key, None)
        if len(self.young) >= self._half and key not in self.young:
            self._old = dict(self.young)
            self.young.clear()
        self.young[key] = value

    def clear(self) -> None:
        """Forget everything."""
        self.young.clear()
        self._old.clear()
