"""What is to be written to the file, and is not there yet."""

from collections.abc import Mapping
from itertools import islice

from attrs import frozen

from matrix_resolve.core.entries import CacheEntry, reconciled
from matrix_resolve.core.invalidations import asked_since


@frozen
class Write:
    """What is to become of a question: deleted as of `deleted_at` (if not 0), then `entry` kept."""

    entry: CacheEntry | None = None
    deleted_at: float = 0.0

    def then_put(self, entry: CacheEntry) -> "Write":
        """Return this with `entry` put after it; one asked before the deletion is left out.

        What has ended by the time that `entry` was asked is no reserve for it.
        """
        lasting = asked_since(entry, self.deleted_at)
        if lasting is None:
            return self
        before = self.entry
        if before is not None and lasting.asked_at >= before.keep_until:
            before = None
        return Write(reconciled(before, lasting), self.deleted_at)

    def then(self, later: "Write") -> "Write":
        """Return what this and `later` do, one after the other."""
        before = self
        if later.deleted_at:
            before = Write(None, max(self.deleted_at, later.deleted_at))
        return before if later.entry is None else before.then_put(later.entry)


class Pending:
    """Writes by the keys of their questions, at most `most`, in the order of their coming.

    A batch that was taken counts until it is `written`; what is `put_back` comes first again.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._waiting: dict[str, Write] = {}
        self._taken: Mapping[str, Write] = {}

    def __len__(self) -> int:
        return len(self._waiting) + len(self._taken)

    def keys(self) -> tuple[list[str], list[str]]:
        """Return the keys of those that wait, and of those that were taken."""
        return list(self._waiting), list(self._taken)

    def put(self, key: str, entry: CacheEntry) -> bool:
        """Note that `entry` is to be kept; return False if there is no room."""
        return self._add(key, self._waiting.get(key, Write()).then_put(entry))

    def delete(self, key: str, deleted_at: float) -> bool:
        """Note that nothing asked before `deleted_at` is to be kept; return False without room."""
        return self._add(key, self._waiting.get(key, Write()).then(Write(None, deleted_at)))

    def over(self, key: str, kept: Write, now: float) -> CacheEntry | None:
        """Return what is known of a question of which the file has `kept`."""
        for writes in (self._taken, self._waiting):
            kept = kept.then(writes.get(key, Write()))
        entry = kept.entry
        return None if entry is None or now >= entry.keep_until else entry

    def take(self, most: int) -> Mapping[str, Write]:
        """Return those that have waited longest, to be written now."""
        self._taken = dict(islice(self._waiting.items(), most))
        for key in self._taken:
            del self._waiting[key]
        return self._taken

    def written(self) -> None:
        """Forget what was taken: the file has it."""
        self._taken = {}

    def put_back(self) -> None:
        """Have what was taken written later, with what has come since."""
        back = dict(self._taken)
        for key, write in self._waiting.items():
            back[key] = back.get(key, Write()).then(write)
        self._waiting, self._taken = back, {}

    def _add(self, key: str, write: Write) -> bool:
        if key not in self._waiting and len(self) >= self._most:
            return False
        self._waiting[key] = write
        return True
