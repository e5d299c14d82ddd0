"""The default cache: in this process's memory, bounded, by cachetools."""

import time

from cachetools import LRUCache

from matrix_resolve.interfaces import CacheEntry, Clock, Question, prompt
from matrix_resolve.policy import check_count


class MemoryCache:
    """Keeps the entries used last, at most `max_answers` of them; a `PeekableCache`.

    An entry with very many records counts as several, so that hostile answers do not take more
    memory than others. Each entry carries its own end, and is deleted when it is met past that:
    nothing is swept, so many that end at once cost nothing. `clock` is anything with `time()` in
    Unix seconds.
    """

    def __init__(self, *, max_answers: int = 300_000, clock: Clock = time) -> None:
        check_count("max_answers", max_answers)
        # What weighs more than the whole would be refused.
        self._entries: LRUCache[str, CacheEntry] = LRUCache(
            max_answers, getsizeof=lambda entry: min(entry.weight, max_answers)
        )
        self._clock = clock

    def __len__(self) -> int:
        return len(self._entries)

    @prompt
    async def get(self, question: Question, /) -> CacheEntry | None:
        """Return what is kept about `question`, None if nothing is."""
        return self.peek(question)

    def peek(self, question: Question, /) -> CacheEntry | None:
        """Do the same without waiting for it."""
        entry = self._entries.get(question.key)
        if entry is not None and self._clock.time() >= entry.keep_until:
            del self._entries[question.key]
            return None
        return entry

    @prompt
    async def put(self, question: Question, entry: CacheEntry, /) -> None:
        """Keep `entry`; when the cache is full, the one used least lately goes."""
        self._entries[question.key] = entry

    async def delete(self, question: Question, /) -> None:
        """Delete what is kept about `question`, if anything is."""
        self._entries.pop(question.key, None)
