"""The default cache: in this process's memory, bounded, by cachetools."""

import time
from typing import Final

from cachetools import Cache

from matrix_resolve.core.bounded import parts_for
from matrix_resolve.core.moments import Moments
from matrix_resolve.core.packed import entry_packed, entry_unpacked
from matrix_resolve.interfaces import CacheEntry, Clock, Question, prompt
from matrix_resolve.policy import check_count

# An ordinary entry has no more bytes.
_ORDINARY: Final = 256


class _Part(Cache[str, bytes]):
    """Entries in the order of their use, at most so many, and no more bytes than those may have.

    (An `LRUCache` that knows the size of each takes three times as much memory besides.)
    """

    def __init__(self, most: int) -> None:
        super().__init__(most)
        self._room = most * _ORDINARY

    def __setitem__(self, key: str, packed: bytes) -> None:
        self.pop(key, None)
        super().__setitem__(key, packed)
        self._room -= len(packed)
        while self._room < 0 and len(self) > 1:
            self.popitem()

    def __delitem__(self, key: str) -> None:
        self._room += len(self[key])
        super().__delitem__(key)

    def popitem(self) -> tuple[str, bytes]:
        """Remove and return the one used least lately."""
        key = next(iter(self))
        return key, self.pop(key)


class MemoryCache:
    """Keeps about the entries used last, at most `max_answers` of them; a `PeekableCache`.

        open_resolver(cache=MemoryCache(max_answers=30_000))

    Entries with very many records make it fewer, so that hostile answers do not take more memory
    than others. Each entry carries its own end, and is deleted when it is met past that:
    nothing is swept, so many that end at once cost nothing. They lie in many small caches, for a
    large one grows in long pauses. `clock` is that of the resolver.
    """

    def __init__(self, *, max_answers: int = 300_000, clock: Clock = time) -> None:
        check_count("max_answers", max_answers)
        parts = parts_for(max_answers)
        self._parts = tuple(_Part(max_answers // parts) for _ in range(parts))
        self._clock = clock
        self._moments = Moments(clock)

    def __len__(self) -> int:
        return sum(map(len, self._parts))

    @prompt
    async def get(self, question: Question, /) -> CacheEntry | None:
        """Return what is kept about `question`, None if nothing is."""
        return self.peek(question)

    def peek(self, question: Question, /) -> CacheEntry | None:
        """Do the same without waiting for it."""
        key, part = question.key, self._part(question)
        packed = part.pop(key, None)
        if packed is None:
            return None
        entry = entry_unpacked(key, packed, self._clock)
        if self._clock.time() >= entry.keep_until:
            return None
        part[key] = packed
        return entry

    @prompt
    async def put(self, question: Question, entry: CacheEntry, /) -> None:
        """Keep `entry`; when the cache is full, one that was used long ago goes."""
        scale = entry.scale
        if scale is None or scale.clock is not self._clock:
            _, scale = self._moments.now()
        self._part(question)[question.key] = entry_packed(question.key, entry, scale)

    async def delete(self, question: Question, /) -> None:
        """Delete what is kept about `question`, if anything is."""
        self._part(question).pop(question.key, None)

    def _part(self, question: Question) -> _Part:
        return self._parts[hash(question) % len(self._parts)]
