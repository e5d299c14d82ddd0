"""What waits to be written to the file: whatever comes when, it is as if each were written at once.

`FUZZ_SEEDS` walks, from the seed `FUZZ_FROM` on.
"""

import os
import random

import pytest
from attrs import evolve

from matrix_resolve import CacheEntry, ServerName
from matrix_resolve.backends.cache_sqlite.pending import Pending, Write
from matrix_resolve.core.questions import Answer, Delegated, NotDelegated

SEEDS = int(os.environ.get("FUZZ_SEEDS", "200"))
FIRST = int(os.environ.get("FUZZ_FROM", "0"))
KEYS = ["wk:a.example", "wk:b.example", "wk:c.example"]
LONG = 10_000.0
"""Seconds, more than a walk takes."""
DOWN = NotDelegated("status 503", temporary=True)


class Walk:
    """A random walk: `pending` with a file behind it, and beside it what should be `known`."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.now = 1000.0
        self.pending = Pending(100)
        self.file: dict[str, Write] = {}
        self.known: dict[str, Write] = {}
        self.taken: dict[str, Write] = {}
        self.puts = 0
        # A failure may be lost to an answer that was asked before it.
        self.may_fail = self.rng.random() < 0.5

    def entry(self, key: str) -> CacheEntry:
        """Return what was learned just now, or a while ago."""
        self.puts += 1
        asked_at = self.now - (0 if self.may_fail else self.rng.choice([0, 0, 1, 5]))
        answer: Answer = Delegated(ServerName.parse(f"n{self.puts}.example"), "")
        if self.may_fail and self.rng.random() < 0.5:
            answer = DOWN
        return CacheEntry(
            key=key,
            outcome=answer,
            asked_at=asked_at,
            fresh_until=asked_at + LONG,
            keep_until=asked_at + LONG,
        )

    def step(self) -> None:
        """Do something."""
        rng, key = self.rng, self.rng.choice(KEYS)
        self.now += rng.choice([0, 0, 1, 4])
        before = self.known.get(key, Write())
        match rng.choice(["put"] * 4 + ["delete", "take", "end", "end"]):
            case "put":
                entry = self.entry(key)
                assert self.pending.put(key, entry)
                self.known[key] = before.then_put(entry)
            case "delete":
                assert self.pending.delete(key, self.now)
                self.known[key] = before.then(Write(None, self.now))
            case "take" if not self.taken:
                self.taken = dict(self.pending.take(rng.choice([1, 2, 9])))
            case "end" if self.taken:
                self.end(has_failed=rng.random() < 0.5)

    def end(self, *, has_failed: bool) -> None:
        """End the writing of what was taken."""
        if has_failed:
            self.pending.put_back()
        else:
            for key, write in self.taken.items():
                kept = self.file.get(key, Write())
                self.file[key] = kept.then(write)
            self.pending.written()
        self.taken = {}

    def check(self) -> None:
        """See that what is found is what is known."""
        for key in KEYS:
            found = self.pending.over(key, self.file.get(key, Write()), self.now)
            known = self.known.get(key, Write()).entry
            assert found == known, key


@pytest.mark.parametrize("part", range(4))
def test_walks(part: int) -> None:
    """Whatever is put, deleted, taken and put back, what is found is what was put and deleted."""
    for seed in range(FIRST + part, FIRST + SEEDS, 4):
        walk = Walk(seed)
        try:
            for _ in range(60):
                walk.step()
                walk.check()
            while len(walk.pending):
                walk.taken = walk.taken or dict(walk.pending.take(2))
                walk.end(has_failed=False)
                walk.check()
        except BaseException as error:
            error.add_note(f"FUZZ_FROM={seed}")
            raise


def test_the_newer_that_has_ended_hides_the_older() -> None:
    """As it will when it is written; and what has ended is not found."""
    pending, walk = Pending(2), Walk(0)
    older = evolve(walk.entry(KEYS[0]), asked_at=900.0, keep_until=2000.0)
    newer = evolve(older, asked_at=1000.0, keep_until=1500.0)
    assert pending.put(newer.key, newer)
    assert pending.over(newer.key, Write(older), 1499.0) == newer
    assert pending.over(newer.key, Write(older), 1500.0) is None
    pending.take(1)
    assert pending.put(older.key, older)
    assert pending.over(newer.key, Write(), 1500.0) is None


def test_there_is_room_for_so_many() -> None:
    """Those that are being written count; one that is there already needs no more."""
    pending, walk = Pending(2), Walk(0)
    first, second, third = (evolve(walk.entry(key), keep_until=2000.0) for key in KEYS)
    assert pending.put(first.key, first)
    pending.take(1)
    assert pending.put(second.key, second)
    assert not pending.put(third.key, third)
    assert not pending.delete(third.key, 1000.0)
    assert pending.put(second.key, second)
    assert pending.delete(second.key, 1000.0)
    pending.written()
    assert pending.put(third.key, third)
