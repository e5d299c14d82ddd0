"""What was invalidated, and since when: nothing asked or read before that is kept after it."""

from collections import Counter
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from typing import Final

from attrs import evolve

from matrix_resolve.core.entries import CacheEntry
from matrix_resolve.core.questions import Question

# Beyond so many the log begins afresh, and everything older counts as invalidated.
_LONGEST: Final = 10_000


class Invalidations:
    """Counts epochs, a new one with each invalidation, so that one comparison tells what is void.

    Note the `epoch` before you ask or read. What comes of that may be kept unless its question
    has been invalidated since then:

        epoch = invalidations.epoch
        answer = await ask(question)
        if not invalidations.forbids(epoch, question): ...  # keep it

    `forbids` is for what is to be kept; `since`, for what was kept or is under way already, is
    content with an answer that is read while it is being deleted.
    """

    def __init__(self) -> None:
        self.epoch = 0
        self._last: dict[str, int] = {}  # by the keys of questions
        self._everything_at = 0
        self._being_deleted = Counter[Question]()
        self._subscribers: list[Callable[[Collection[Question] | None], None]] = []

    def subscribe(self, note: Callable[[Collection[Question] | None], None]) -> None:
        """Have `note` called with whatever is noted here, once it is."""
        self._subscribers.append(note)

    def note(self, questions: Collection[Question] | None) -> None:
        """Invalidate the answers to `questions` that were asked or read until now.

        None stands for all questions: any may have been invalidated without our hearing of it.
        """
        self.epoch += 1
        for question in questions or ():
            self._last[question.key] = self.epoch
        if questions is None or len(self._last) > _LONGEST:
            self._last.clear()
            self._everything_at = self.epoch
        for note in self._subscribers:
            note(questions)

    @contextmanager
    def until_deleted(self, questions: Collection[Question]) -> Iterator[None]:
        """Invalidate `questions`, which are being deleted from a cache in this context.

        At its beginning, since what was asked before must not be kept any more; and at its end,
        since in between what is about to be deleted may have been read. Nor may anything be kept in
        between: that may rest on what was read, and come too late to be deleted.
        """
        self.note(questions)
        self._being_deleted.update(iter(questions))
        try:
            yield
        finally:
            self._being_deleted -= Counter(iter(questions))
            self.note(questions)

    def forbids(self, epoch: int, question: Question) -> bool:
        """Return whether an answer to `question` that was asked or read in `epoch` may not be kept.

        It was invalidated since, or is being deleted.
        """
        is_being_deleted = self._being_deleted and question in self._being_deleted
        return bool(is_being_deleted) or self.since(epoch, question.key)

    def since(self, epoch: int, *keys: str) -> bool:
        """Return whether the answer to a question with one of `keys` was invalidated later."""
        if epoch == self.epoch:
            return False
        if epoch < self._everything_at:
            return True
        if self._last.keys().isdisjoint(keys):  # so it is most often, and this is quick
            return False
        return any(self._last.get(key, 0) > epoch for key in keys)


def asked_since(entry: CacheEntry, deleted_at: float) -> CacheEntry | None:
    """Return what of `entry` was asked no earlier than `deleted_at`; None if nothing was.

    For caches that processes share, in which moments (Unix seconds) take the place of epochs.
    """
    if entry.asked_at < deleted_at:
        return None
    if oldest(entry) >= deleted_at:
        return entry
    return evolve(entry, reserve=None)


def oldest(entry: CacheEntry) -> float:
    """Return when the older of an entry's answers was asked."""
    reserve = entry.reserve
    return entry.asked_at if reserve is None else min(entry.asked_at, reserve.asked_at)
