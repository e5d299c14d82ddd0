"""What is particular to the cache in a file: processes, disks, bounds, its thread and its end."""

import asyncio
import contextlib
import itertools
import json
import os
import random
import resource
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, aclosing, closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from worlds import SetClock

from matrix_resolve import CacheEntry, CacheError, CacheFailed, Resolver, ServerName, SqliteCache
from matrix_resolve.backends.cache_sqlite import cache as cache_module
from matrix_resolve.backends.cache_sqlite import traffic
from matrix_resolve.backends.cache_sqlite.database import Database
from matrix_resolve.backends.cache_sqlite.pending import Write
from matrix_resolve.core.entries import remember
from matrix_resolve.core.lifetimes import Learned
from matrix_resolve.core.questions import (
    Answer,
    AskSrv,
    AskWellKnown,
    Delegated,
    NotDelegated,
    Question,
    SrvRecords,
)
from matrix_resolve.interfaces import SrvRecord
from matrix_resolve.policy import Policy
from matrix_resolve.testing import FakeAddresses, FakeClock, FakeSrv, FakeWellKnown

EXAMPLE, OTHER = AskWellKnown("example.org"), AskWellKnown("other.example")
GOOD = Delegated(ServerName.parse("hs.example.net"), "https://example.org/")
DOWN = NotDelegated("status 503", temporary=True)
LONG = 60.0
"""Seconds that nothing takes unless it hangs."""
WORKER = Path(__file__).parent / "sqlite_worker.py"


def entry(question: Question, asked_at: float, answer: Answer = GOOD) -> CacheEntry:
    """What is kept when `answer` was learned."""
    return remember(
        question.key,
        None,
        Learned(answer),
        asked_at=asked_at,
        now=asked_at,
        policy=Policy(jitter=0),
        rng=random.Random(0),
    )


@pytest.fixture
def clock() -> FakeClock:
    """A clock that stands still."""
    return FakeClock()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the file is to be."""
    return tmp_path / "answers.sqlite"


@pytest_asyncio.fixture
async def cache(path: Path, clock: FakeClock) -> AsyncIterator[SqliteCache]:
    """A cache in it."""
    async with SqliteCache(path, clock=clock, timeout=LONG) as opened:
        yield opened


@contextmanager
def raw(path: Path) -> Iterator[sqlite3.Connection]:
    """The file as another program sees it."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        yield connection


def left_in(folder: Path) -> dict[str, int]:
    """The files there, and who may use them."""
    return {each.name: each.stat().st_mode & 0o777 for each in folder.iterdir()}


def content(path: Path) -> bytes | None:
    """What is in a file, None if it is none."""
    return path.read_bytes() if path.is_file() else None


def remove(path: Path) -> None:
    """Remove a file or an empty folder."""
    if path.is_dir():
        path.rmdir()
    else:
        path.unlink()


async def eventually(is_so: Callable[[], Any]) -> None:
    """Wait until it is so."""
    async with asyncio.timeout(LONG):
        while not is_so():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


# Over a restart


async def test_what_was_put_is_there_after_a_restart(path: Path, clock: FakeClock) -> None:
    """Closing writes what is left; the next one to open the file finds it."""
    kept = entry(EXAMPLE, clock.time())
    async with SqliteCache(path, clock=clock) as cache:
        await cache.put(EXAMPLE, kept)
        await cache.put(OTHER, entry(OTHER, clock.time()))
        await cache.delete(OTHER)
        await cache.aclose()
    assert left_in(path.parent) == {path.name: 0o600}
    clock.advance(3600)
    async with SqliteCache(path, clock=clock, timeout=LONG) as cache:
        assert await cache.get(EXAMPLE) == kept
        assert await cache.get(OTHER) is None


async def test_closing_while_puts_are_under_way(path: Path, clock: FakeClock) -> None:
    """Whatever was put before is written, however many batches that are; later is a mistake."""
    questions = [AskWellKnown(f"n{number}.example") for number in range(1_000)]
    cache = SqliteCache(path, clock=clock)
    async with cache:
        await asyncio.gather(*(cache.put(each, entry(each, clock.time())) for each in questions))
        closing_it = asyncio.create_task(cache.aclose())
        await asyncio.sleep(0)
        for use in (cache.get(EXAMPLE), cache.delete(EXAMPLE), cache.flush()):
            with pytest.raises(RuntimeError, match="closed"):
                await use
        impatient = asyncio.create_task(cache.aclose())
        await asyncio.sleep(0)
        impatient.cancel()
        await asyncio.gather(closing_it, cache.aclose())
    with raw(path) as file:
        assert file.execute("SELECT count(*) FROM answers").fetchone() == (1_000,)


async def test_who_reads_when_it_is_closed_is_told(path: Path) -> None:
    """Nobody waits for what will not come."""
    cache = SqliteCache(path, timeout=LONG)
    async with cache:
        reading = [asyncio.create_task(cache.get(each)) for each in (EXAMPLE, OTHER)]
        await asyncio.sleep(0)
        await cache.aclose()
    assert await reading[0] is None  # its reading had begun
    with pytest.raises(CacheError, match="closed"):
        await reading[1]


async def test_closing_is_cancelled(path: Path) -> None:
    """As when the event loop is closed: what is lost is told, and the file is closed."""
    told: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))
    cache = await SqliteCache(path).__aenter__()
    with locked(path):
        await cache.put(EXAMPLE, entry(EXAMPLE, time.time()))
        closing_it = asyncio.create_task(cache.aclose())
        opened = cache._opened
        await eventually(lambda: opened and opened.traffic._job is not None)
        assert cache._closing is not None
        cache._closing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await closing_it
    await eventually(lambda: not _threads())
    assert left_in(path.parent) == {path.name: 0o600}
    assert ["1 answers could not be written" in each["message"] for each in told] == [True]


def _resolver(
    cache: SqliteCache, clock: FakeClock, well_known: FakeWellKnown, **more: Any
) -> Resolver:
    return Resolver(
        well_known=well_known,
        srv=FakeSrv(),
        addresses=FakeAddresses(),
        cache=cache,
        clock=clock,
        **more,
    )


# Several processes


class Process:
    """A worker in a process of its own."""

    def __init__(self, path: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-W", "error", str(WORKER), str(path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._read() == "open"

    def begin(self, do: str, question: Question, kept: CacheEntry | None = None) -> None:
        """Tell it to do something."""
        assert self._process.stdin is not None
        text = None if kept is None else kept.to_json().decode()
        command = {"do": do, "key": question.key, "entry": text}
        self._process.stdin.write(json.dumps(command) + "\n")
        self._process.stdin.flush()

    def _read(self) -> Any:
        assert self._process.stdout is not None
        return json.loads(self._process.stdout.readline())

    async def told(self) -> Any:
        """Return what it says next."""
        return await asyncio.to_thread(self._read)

    async def tell(self, do: str, question: Question, kept: CacheEntry | None = None) -> Any:
        """Tell it to do something, and return what came of it."""
        self.begin(do, question, kept)
        return await self.told()

    def end(self, *, kill: bool = False) -> None:
        """End it."""
        if kill:
            self._process.kill()
        for stream in (self._process.stdin, self._process.stdout):
            assert stream is not None
            stream.close()
        self._process.wait(LONG)


@pytest.fixture
def process(path: Path) -> Iterator[Callable[[], Process]]:
    """Starts processes that use the file."""
    started: list[Process] = []

    def start() -> Process:
        started.append(Process(path))
        return started[-1]

    yield start
    for each in started:
        each.end()


async def test_two_processes_share_a_file(path: Path, process: Callable[[], Process]) -> None:
    """What one puts the other gets; what was asked before its deletion does not come back."""
    one, other = await asyncio.gather(asyncio.to_thread(process), asyncio.to_thread(process))
    before = entry(EXAMPLE, time.time() - 10)
    await one.tell("put", EXAMPLE, before)
    assert CacheEntry.from_json(await other.tell("get", EXAMPLE)) == before
    await other.tell("delete", EXAMPLE)
    assert await one.tell("get", EXAMPLE) is None
    await one.tell("put", EXAMPLE, before)
    assert await one.tell("get", EXAMPLE) is None
    assert await other.tell("get", EXAMPLE) is None
    after = entry(EXAMPLE, time.time())
    await one.tell("put", EXAMPLE, after)
    assert CacheEntry.from_json(await other.tell("get", EXAMPLE)) == after
    failed = entry(EXAMPLE, after.asked_at - 5, DOWN)
    await other.tell("put", EXAMPLE, failed)
    assert CacheEntry.from_json(await one.tell("get", EXAMPLE)) == after


async def test_one_hears_what_another_process_deletes(
    path: Path, process: Callable[[], Process]
) -> None:
    """The feed tells of it, once, and not of what was deleted before or here."""
    other = await asyncio.to_thread(process)
    await other.tell("delete", AskWellKnown("before.example"))
    async with SqliteCache(path, timeout=LONG) as cache, aclosing(cache.invalidations()) as feed:
        async with asyncio.timeout(LONG):
            assert await anext(feed) is None
            await other.tell("delete", EXAMPLE)
            await cache.delete(AskWellKnown("here.example"))
            await other.tell("delete", OTHER)
            assert [await anext(feed), await anext(feed)] == [EXAMPLE.key, OTHER.key]


async def test_who_listens_hears_what_was_deleted_since_it_was_opened(path: Path) -> None:
    """Who listens again, what is deleted from then on; nothing is told twice."""
    third = AskWellKnown("third.example")
    async with SqliteCache(path, timeout=LONG) as cache, SqliteCache(path, timeout=LONG) as other:
        await other.delete(EXAMPLE)
        async with asyncio.timeout(LONG), aclosing(cache.invalidations()) as feed:
            assert [await anext(feed), await anext(feed)] == [None, EXAMPLE.key]
            await other.delete(OTHER)
            assert await anext(feed) == OTHER.key
        async with asyncio.timeout(LONG), aclosing(cache.invalidations()) as feed:
            assert await anext(feed) is None
            await other.delete(third)
            assert await anext(feed) == third.key


async def test_who_listens_is_told_when_it_can_not_be_heard(path: Path) -> None:
    """That the file is bad, and that the cache is closed."""
    async with SqliteCache(path, timeout=LONG) as cache:
        async with asyncio.timeout(LONG), aclosing(cache.invalidations()) as feed:
            assert await anext(feed) is None
            listening = asyncio.ensure_future(anext(feed))
            await asyncio.sleep(0)
            with raw(path) as file:
                file.execute("ALTER TABLE deletions RENAME TO lost")
            with pytest.raises(CacheError, match="deletions"):
                await listening
            with raw(path) as file:
                file.execute("ALTER TABLE lost RENAME TO deletions")
        async with asyncio.timeout(LONG), aclosing(cache.invalidations()) as feed:
            assert await anext(feed) is None
            await cache.aclose()
            with pytest.raises(RuntimeError, match="closed"):
                await anext(feed)


async def test_killed_in_the_middle_of_writing(path: Path, process: Callable[[], Process]) -> None:
    """What was written is there, whole; the file is well, and is used on by the next."""
    for _ in range(3):
        writer = await asyncio.to_thread(process)
        writer.begin("write for ever", EXAMPLE, entry(EXAMPLE, time.time()))
        for _ in range(3):
            written = await writer.told()
        writer.end(kill=True)
        async with SqliteCache(path, timeout=LONG) as cache:
            for number in range(written * 100):
                question = AskWellKnown(f"n{number}.example")
                found = await cache.get(question)
                assert found is not None
                assert found.outcome == GOOD
            await cache.delete(AskWellKnown("n0.example"))
        with raw(path) as file:
            assert file.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


async def test_not_after_a_fork(path: Path) -> None:
    """A child that has the cache from its parent is told that it is not the owner."""
    code = f"""
import asyncio, os
from matrix_resolve import AskWellKnown, SqliteCache
async def main():
    async with SqliteCache({str(path)!r}) as cache:
        child = os.fork()
        if not child:
            try:
                await cache.get(AskWellKnown("a.example"))
            except RuntimeError as error:
                os._exit(7 if "process" in str(error) else 1)
            os._exit(2)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
        print(await cache.get(AskWellKnown("a.example")))
asyncio.run(main())
"""
    run = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-c", code], capture_output=True, text=True, timeout=LONG
    )
    assert (run.stdout, run.returncode) == ("7\nNone\n", 0), run.stderr


async def test_not_in_another_loop(cache: SqliteCache) -> None:
    """The event loop that opened it owns it."""

    def elsewhere() -> None:
        with pytest.raises(RuntimeError, match="belongs to the event loop"):
            asyncio.run(cache.get(EXAMPLE))  # type: ignore[arg-type]

    await asyncio.to_thread(elsewhere)


async def test_before_it_is_open(path: Path) -> None:
    """It is opened by `async with`, once at a time; closing what was never opened does nothing."""
    cache = SqliteCache(path)
    with pytest.raises(RuntimeError, match="async with"):
        await cache.get(EXAMPLE)
    await cache.aclose()
    async with cache:
        with pytest.raises(RuntimeError, match="already"):
            await cache.__aenter__()
    for most in (0, "many"):
        with pytest.raises((TypeError, ValueError), match="max_answers"):
            SqliteCache(path, max_answers=most)  # type: ignore[arg-type]


# Files that can't be used


def foreign(path: Path) -> None:
    """A database of another program."""
    with raw(path) as file:
        file.execute("CREATE TABLE mail (text)")


def newer(path: Path) -> None:
    """A file of a later version."""
    Database(path, "x", 1).close()
    with raw(path) as file:
        file.execute("PRAGMA user_version = 2")


def torn(path: Path) -> None:
    """A file of ours whose pages were overwritten."""
    Database(path, "x", 1).close()
    with path.open("r+b") as file:
        file.seek(100)
        file.write(b"\xff" * 40_000)


UNUSABLE: dict[str, tuple[Callable[[Path], Any], str]] = {
    "no database": (lambda path: path.write_text("not a database, but long enough " * 99), "not a"),
    "another program's": (foreign, "something else"),
    "a later version": (newer, "version is 2"),
    "torn": (torn, "malformed"),
    "a folder": (Path.mkdir, "directory"),
}


@pytest.mark.parametrize(("make", "told"), UNUSABLE.values(), ids=UNUSABLE)
async def test_a_file_that_can_not_be_used(
    path: Path, make: Callable[[Path], Any], told: str
) -> None:
    """Opening says what is wrong, with the path; the file is left as it is, and may be mended."""
    make(path)
    before = content(path)
    cache = SqliteCache(path)
    with pytest.raises(CacheError, match=told) as raised:
        await cache.__aenter__()
    assert str(path) in str(raised.value)
    assert content(path) == before
    remove(path)
    async with cache:
        assert await cache.get(EXAMPLE) is None


def unwritable(tmp_path: Path) -> list[Path]:
    """Places where no file can be made."""
    places = [tmp_path / "none" / "answers"]
    if Path("/proc").is_dir():  # where the superuser can't either
        places.append(Path("/proc/answers"))
    if os.geteuid() != 0:
        tmp_path.chmod(0o555)
        places.append(tmp_path / "answers")
    return places


async def test_a_folder_where_nobody_may_write(tmp_path: Path) -> None:
    """Nor one that is not there: opening says so."""
    for place in unwritable(tmp_path):
        with pytest.raises(CacheError, match=str(place)):
            await SqliteCache(place).__aenter__()


async def test_a_file_that_goes_bad_while_it_is_used(path: Path, clock: FakeClock) -> None:
    """Each call is a `CacheError`; the resolver tells the hooks, and resolves all the same."""
    told: list[Any] = []
    async with SqliteCache(path, clock=clock, timeout=LONG) as cache:
        await cache.put(EXAMPLE, entry(EXAMPLE, clock.time()))
        await cache.flush()
        with raw(path) as file:
            file.execute("DROP TABLE answers")
        with pytest.raises(CacheError, match="answers"):
            await cache.get(EXAMPLE)
        await cache.put(OTHER, entry(OTHER, clock.time()))
        assert await cache.get(OTHER) == entry(OTHER, clock.time())
        fetcher = FakeWellKnown({"example.org": {"m.server": "hs.example.net:1"}})
        async with _resolver(cache, clock, fetcher, hooks=[told.append]) as resolver:
            assert (await resolver.resolve("example.org")).host_header == "hs.example.net:1"
        assert any(isinstance(event, CacheFailed) for event in told)
        opened = cache._opened
        await eventually(lambda: opened and opened.traffic.trouble)
        with raw(path) as file:
            file.execute("CREATE TABLE answers (question PRIMARY KEY, entry, keep_until)")
        await cache.flush()


@pytest.mark.parametrize("text", ["", "{}", b"\xff\xfe", 7, "x" * 300_000], ids=repr)
async def test_an_entry_that_is_none(cache: SqliteCache, path: Path, text: Any) -> None:
    """It is never given, and another takes its place."""
    with raw(path) as file:
        file.execute("INSERT INTO answers VALUES (?, ?, 1e11)", (EXAMPLE.key, text))
    with contextlib.suppress(CacheError):
        assert await cache.get(EXAMPLE) is None
    kept = entry(EXAMPLE, FakeClock().time())
    await cache.put(EXAMPLE, kept)
    await cache.flush()
    assert await cache.get(EXAMPLE) == kept


async def test_another_questions_entry(cache: SqliteCache, path: Path) -> None:
    """It is told as what it is."""
    text = entry(OTHER, FakeClock().time()).to_json().decode()
    with raw(path) as file:
        file.execute("INSERT INTO answers VALUES (?, ?, 1e11)", (EXAMPLE.key, text))
    with pytest.raises(CacheError, match="another question"):
        await cache.get(EXAMPLE)


# Disks


def locked(path: Path) -> AbstractContextManager[None]:
    """Another process writes and does not end."""

    @contextmanager
    def holding() -> Iterator[None]:
        with raw(path) as file:
            file.execute("BEGIN IMMEDIATE")
            yield
            file.execute("ROLLBACK")

    return holding()


@contextmanager
def full(path: Path) -> Iterator[None]:
    """No file may grow any more, as when the disk is full."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("trouble", [locked, full])
async def test_what_can_not_be_written_waits(
    path: Path, clock: FakeClock, trouble: Callable[[Path], AbstractContextManager[None]]
) -> None:
    """Each put tells of it; all of it is known meanwhile, and written when that can be."""
    old = AskWellKnown("old.example")
    async with SqliteCache(path, clock=clock, timeout=LONG) as cache:
        await cache.put(old, entry(old, clock.time()))
        await cache.flush()
        with trouble(path):
            await cache.put(EXAMPLE, entry(EXAMPLE, clock.time()))
            assert cache._opened is not None
            opened = cache._opened.traffic
            await eventually(lambda: opened.trouble is not None)
            with pytest.raises(CacheError, match=str(path)):
                await cache.put(OTHER, entry(OTHER, clock.time()))
            for question in (old, EXAMPLE, OTHER):
                assert await cache.get(question) == entry(question, clock.time())
            cache._timeout = 0.01
            with pytest.raises(CacheError, match="not written yet"):
                await cache.delete(old)
            cache._timeout = LONG
            assert await cache.get(old) is None
        await cache.flush()
        await cache.put(EXAMPLE, entry(EXAMPLE, clock.time()))
    with raw(path) as file:
        rows = file.execute("SELECT question FROM answers ORDER BY question").fetchall()
        assert rows == [(EXAMPLE.key,), (OTHER.key,)]


async def test_a_disk_that_hangs(
    path: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The loop goes on, `put` never waits, `get` gives up; too much is dropped, and told."""
    monkeypatch.setattr(traffic, "_MOST_PENDING", 2)
    goes_on, write = threading.Event(), Database.write

    def hanging(database: Database, *arguments: Any) -> None:
        goes_on.wait(LONG)
        write(database, *arguments)

    monkeypatch.setattr(Database, "write", hanging)
    async with SqliteCache(path, clock=clock, timeout=0.05) as cache:
        await cache.put(EXAMPLE, entry(EXAMPLE, clock.time()))
        with pytest.raises(CacheError, match="not written yet"):
            await cache.flush()
        assert await cache.get(EXAMPLE) == entry(EXAMPLE, clock.time())
        with pytest.raises(CacheError, match="slow"):
            await cache.get(OTHER)
        assert cache._opened is not None
        assert OTHER.key not in cache._opened.traffic._asked  # nor is it read later for nobody
        await cache.put(OTHER, entry(OTHER, clock.time()))
        third = AskWellKnown("third.example")
        with pytest.raises(CacheError, match="dropped"):
            await cache.put(third, entry(third, clock.time()))
        with pytest.raises(CacheError, match="dropped"):
            await cache.delete(third)
        assert await cache.get(OTHER) == entry(OTHER, clock.time())
        goes_on.set()
    with raw(path) as file:
        assert file.execute("SELECT count(*) FROM answers").fetchone() == (2,)


async def test_closing_in_an_outage_ends_and_tells(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What can't be written is given up, and the event loop's exception handler hears of it."""
    monkeypatch.setattr(cache_module, "_CLOSING", 0.1)
    told: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))
    cache = SqliteCache(path)
    async with cache:
        with locked(path):
            await cache.put(EXAMPLE, entry(EXAMPLE, time.time()))
            await cache.aclose()
    assert [each["message"] for each in told] == [
        f"{path}: 1 answers could not be written before it was closed"
    ]


@pytest.mark.parametrize("fails", [True, False])
async def test_the_disk_hangs_when_it_is_closed(
    path: Path, monkeypatch: pytest.MonkeyPatch, fails: bool
) -> None:
    """What hung is not tried again, and nothing else is; nobody waits, and nothing is left."""
    monkeypatch.setattr(cache_module, "_CLOSING", 0.05)
    monkeypatch.setattr(cache_module, "_CLOSING_FILE", 0.05)
    told: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))
    goes_on, writes = threading.Event(), list[int]()

    def hanging(_: Database, batch: Any, __: float) -> None:
        writes.append(len(batch))
        goes_on.wait(LONG)
        if fails:
            raise sqlite3.OperationalError("disk I/O error")

    monkeypatch.setattr(Database, "write", hanging)
    cache = SqliteCache(path)
    async with cache:
        for number in range(101):
            question = AskWellKnown(f"n{number}.example")
            await cache.put(question, entry(question, time.time()))
        await cache.aclose()
        assert cache._opened is not None
        job = cache._opened.traffic._job
        assert job is not None
        goes_on.set()
        await asyncio.wait((job,))
        await eventually(lambda: not _threads())
    assert writes == [100]
    assert cache._opened.traffic._job is None
    assert len(told) == 1


async def test_opening_waits_for_who_opens_too(path: Path) -> None:
    """Many that make one new file at once all get it."""
    async with contextlib.AsyncExitStack() as opened:
        caches = await asyncio.gather(
            *(opened.enter_async_context(SqliteCache(path)) for _ in range(8))
        )
        await asyncio.gather(*(each.put(EXAMPLE, entry(EXAMPLE, time.time())) for each in caches))


async def test_opening_waits_for_who_writes(path: Path) -> None:
    """A file that another process has to itself is not given up at once."""
    with raw(path) as file:
        file.execute("BEGIN EXCLUSIVE")
        cache = SqliteCache(path)
        opening = asyncio.create_task(cache.__aenter__())
        await asyncio.sleep(0.2)
        assert not opening.done()
        file.execute("ROLLBACK")
        await opening
    await cache.aclose()


async def test_cancelled_while_it_is_opened(path: Path) -> None:
    """Then it is not open, and can be opened again; no thread is left."""
    told: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))
    cache = SqliteCache(path)
    opening = asyncio.create_task(cache.__aenter__())
    await asyncio.sleep(0)
    opening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await opening
    await eventually(lambda: not _threads())
    async with cache:
        assert await cache.get(EXAMPLE) is None
        assert len(_threads()) == 1
    assert not _threads()
    assert told == []


def _threads() -> list[threading.Thread]:
    return [each for each in threading.enumerate() if "SqliteCache" in each.name]


# Batches and bounds


async def test_what_is_put_together_is_written_together(
    cache: SqliteCache, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One transaction for each hundred; a question is written once, as it was last."""
    batches, write = list[int](), Database.write

    def counted(database: Database, writes: Any, now: float) -> None:
        batches.append(len(writes))
        write(database, writes, now)

    monkeypatch.setattr(Database, "write", counted)
    questions = [AskWellKnown(f"n{number}.example") for number in range(250)]
    for _ in range(2):
        for question in questions:
            await cache.put(question, entry(question, clock.time()))
        clock.advance(1)
    await eventually(lambda: sum(batches) == 250)
    assert batches == [100, 100, 50]
    assert (await cache.get(questions[0])) == entry(questions[0], clock.time() - 1)


async def test_many_read_together(
    cache: SqliteCache, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hundred at a time, and each once for all who came meanwhile."""
    batches, read = list[int](), Database.read

    def counted(database: Database, keys: Any, now: float) -> Any:
        batches.append(len(keys))
        return read(database, keys, now)

    monkeypatch.setattr(Database, "read", counted)
    questions = [AskWellKnown(f"n{number}.example") for number in range(250)]
    await asyncio.gather(*(cache.get(question) for question in questions * 2))
    assert batches == [1, 100, 100, 50]  # the first again, while it is being read


async def test_who_flushes_waits_for_every_batch(cache: SqliteCache, clock: FakeClock) -> None:
    """All of it is in the file then, and the thread is idle."""
    for number in range(350):
        question = AskWellKnown(f"n{number}.example")
        await cache.put(question, entry(question, clock.time()))
    await cache.flush()
    assert cache._opened is not None
    with raw(cache._path) as file:
        assert file.execute("SELECT count(*) FROM answers").fetchone() == (350,)
    assert cache._opened.thread.busy_for() == 0


async def test_a_bug_in_writing(
    cache: SqliteCache, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is told, and not made again and again."""
    told: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))
    bug = ZeroDivisionError()

    def failing(*_: Any) -> None:
        raise bug

    await cache.put(EXAMPLE, entry(EXAMPLE, clock.time()))
    with monkeypatch.context() as patch:
        patch.setattr(Database, "write", failing)
        await cache.flush()
    assert [context["exception"] for context in told] == [bug]
    assert await cache.get(EXAMPLE) is None
    await cache.put(EXAMPLE, entry(EXAMPLE, clock.time()))


class Writes:
    """The writes of a cache: each waits until it may go on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.begun = 0
        self.may_go_on = threading.Semaphore(0)
        write = Database.write

        def waiting(database: Database, writes: Any, now: float) -> None:
            self.begun += 1
            assert self.may_go_on.acquire(timeout=LONG)
            write(database, writes, now)

        monkeypatch.setattr(Database, "write", waiting)


async def test_who_flushes_waits_for_what_is_being_written(
    cache: SqliteCache, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And for what waits, which is written at once, and for no more than that."""
    monkeypatch.setattr(traffic, "_GATHERED", 10 * LONG)
    writes = Writes(monkeypatch)
    await cache.put(EXAMPLE, entry(EXAMPLE, clock.time()))
    first = asyncio.create_task(cache.flush())
    await eventually(lambda: writes.begun == 1)
    second = asyncio.create_task(cache.flush())
    await asyncio.sleep(0)
    await cache.put(OTHER, entry(OTHER, clock.time()))
    third = asyncio.create_task(cache.flush())
    await asyncio.sleep(0.01)
    assert [task.done() for task in (first, second, third)] == [False] * 3
    writes.may_go_on.release()
    await asyncio.gather(first, second)
    await eventually(lambda: writes.begun == 2)
    assert not third.done()
    writes.may_go_on.release()
    await third
    await cache.flush()
    assert cache._opened is not None
    assert cache._opened.traffic._job is None  # there was nothing to write


async def test_who_reads_does_not_wait_for_all_that_is_written(
    cache: SqliteCache, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only for the batch that is under way."""
    writes = Writes(monkeypatch)
    for number in range(1_000):
        question = AskWellKnown(f"n{number}.example")
        await cache.put(question, entry(question, clock.time()))
    await eventually(lambda: writes.begun == 1)
    reading = asyncio.create_task(cache.get(EXAMPLE))
    await asyncio.sleep(0)
    writes.may_go_on.release()
    assert await reading is None
    writes.may_go_on.release(9)


async def test_who_writes_does_not_wait_for_all_who_read(
    cache: SqliteCache, clock: FakeClock
) -> None:
    """However many read all the time, what is put is written."""

    async def read() -> None:
        for number in itertools.count():
            await cache.get(AskWellKnown(f"n{number}.example"))

    readers = [asyncio.create_task(read()) for _ in range(2)]
    while not (cache._opened and cache._opened.traffic._asked):  # noqa: ASYNC110
        await asyncio.sleep(0)  # until one waits while the other's reading is under way
    cache._timeout = LONG / 10
    await cache.put(EXAMPLE, entry(EXAMPLE, clock.time()))
    await cache.flush()
    for reader in readers:
        reader.cancel()
    await asyncio.gather(*readers, return_exceptions=True)


async def test_what_can_not_be_written_is_tried_again(path: Path, clock: FakeClock) -> None:
    """By itself, and who waits for it is told when it is done."""
    async with SqliteCache(path, clock=clock, timeout=LONG) as cache:
        assert cache._opened is not None
        opened = cache._opened.traffic
        with locked(path):
            await cache.put(EXAMPLE, entry(EXAMPLE, clock.time()))
            deleting = asyncio.create_task(cache.delete(OTHER))
            await eventually(lambda: opened.trouble is not None)
        await deleting
        with raw(path) as file:
            rows = file.execute("SELECT question FROM answers").fetchall()
        assert (rows, opened.trouble) == ([(EXAMPLE.key,)], None)


async def test_put_while_a_write_fails(
    cache: SqliteCache, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is written with the next attempt, and no timer is left."""
    monkeypatch.setattr(traffic, "_GATHERED", 10 * LONG)
    has_begun, goes_on = threading.Event(), threading.Event()

    def failing(*_: Any) -> None:
        has_begun.set()
        goes_on.wait(LONG)
        raise sqlite3.OperationalError("disk I/O error")

    with monkeypatch.context() as patch:
        patch.setattr(Database, "write", failing)
        await cache.put(EXAMPLE, entry(EXAMPLE, clock.time()))
        flushing = asyncio.create_task(cache.flush())
        await eventually(has_begun.is_set)
        await cache.put(OTHER, entry(OTHER, clock.time()))
        goes_on.set()
        assert cache._opened is not None
        opened = cache._opened.traffic
        await eventually(lambda: opened.trouble is not None)
    await flushing
    with raw(cache._path) as file:
        assert file.execute("SELECT count(*) FROM answers").fetchone() == (2,)


async def test_those_that_end_first_go_first(path: Path, clock: FakeClock) -> None:
    """Beyond `max_answers` failures go before answers, and old answers before new ones."""
    async with SqliteCache(path, max_answers=10, clock=clock, timeout=LONG) as cache:
        for number in range(30):
            question = AskWellKnown(f"n{number}.example")
            answer = DOWN if number % 3 == 2 else GOOD
            await cache.put(question, entry(question, clock.time(), answer))
            await cache.flush()
            clock.advance(1)
    with raw(path) as file:
        rows = {key for (key,) in file.execute("SELECT question FROM answers")}
    good = [f"wk:n{number}.example" for number in range(30) if number % 3 != 2]
    assert len(rows) == 10
    assert rows == {*good[-10:]}


async def test_what_has_ended_is_deleted(path: Path, clock: FakeClock) -> None:
    """Answers and deletions do not stay in the file for ever."""
    async with SqliteCache(path, max_answers=100, clock=clock, timeout=LONG) as cache:
        for number in range(50):
            question = AskWellKnown(f"n{number}.example")
            await cache.put(question, entry(question, clock.time()))
        await cache.delete(OTHER)
        clock.advance(1e6)
        await cache.put(EXAMPLE, entry(EXAMPLE, clock.time()))
        await cache.flush()
        with raw(path) as file:
            assert file.execute("SELECT question FROM answers").fetchall() == [(EXAMPLE.key,)]
            assert file.execute("SELECT count(*) FROM deletions").fetchone() == (0,)


async def test_hostile_entries_do_not_fill_the_disk(
    path: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Very long ones make it fewer than `max_answers`."""
    name = f"{'a' * 60}.{'b' * 60}.{'c' * 60}.example"
    records = SrvRecords(tuple(SrvRecord(number, 5, 8448, name) for number in range(64)))
    async with SqliteCache(path, max_answers=1_000, clock=clock, timeout=LONG) as cache:
        for number in range(1_000):
            question = AskSrv(f"_matrix._tcp.n{number}.example")
            await cache.put(question, entry(question, clock.time(), records))
        await cache.flush()
        with raw(path) as file:
            ((count,),) = file.execute("SELECT count(*) FROM answers").fetchall()
    assert 100 < count < 500
    assert len(content(path) or b"") < 8 << 20


async def test_a_clock_that_is_set_back_blocks_no_question(path: Path) -> None:
    """A deletion in what is now a distant future keeps nothing from being kept."""
    clock = SetClock()
    async with SqliteCache(path, clock=clock, timeout=LONG) as cache:
        await cache.delete(EXAMPLE)
        clock.set(-10_000)
        kept = entry(EXAMPLE, clock.time())
        await cache.put(EXAMPLE, kept)
        await cache.flush()
        assert await cache.get(EXAMPLE) == kept


def test_deleted_here_and_then_elsewhere(path: Path) -> None:
    """What is written late heeds a deletion that another made meanwhile, its own or none."""
    now = FakeClock().time()
    with closing(Database(path, "here", 10)) as here, closing(Database(path, "there", 10)) as there:
        there.write({EXAMPLE.key: Write(None, now)}, now)
        here.write({EXAMPLE.key: Write(entry(EXAMPLE, now - 1), now - 2)}, now)
        assert there.read([EXAMPLE.key], now) == {EXAMPLE.key: Write(None, now)}
        asked_since = entry(EXAMPLE, now)
        here.write({EXAMPLE.key: Write(asked_since, now - 2)}, now)
        assert there.read([EXAMPLE.key], now) == {EXAMPLE.key: Write(asked_since, now)}


async def test_what_was_asked_before_a_deletion_is_not_found_for_a_moment(
    cache: SqliteCache, clock: FakeClock
) -> None:
    """Nor when it is put while the deletion is being written."""
    asked_before = entry(EXAMPLE, clock.time())
    clock.advance(1)
    deleting = asyncio.create_task(cache.delete(EXAMPLE))
    await asyncio.sleep(0)
    await cache.put(EXAMPLE, asked_before)
    assert await cache.get(EXAMPLE) is None
    await deleting
    await cache.put(EXAMPLE, asked_before)
    assert await cache.get(EXAMPLE) is None


async def test_deleted_again_and_again_while_others_put(path: Path, clock: FakeClock) -> None:
    """Whoever is first, what was asked before the last deletion is not there after it."""
    drawn = random.Random(11)
    async with contextlib.AsyncExitStack() as opened:
        caches = [
            await opened.enter_async_context(SqliteCache(path, clock=clock, timeout=LONG))
            for _ in range(3)
        ]
        for _ in range(30):
            asked = entry(EXAMPLE, clock.time())
            putting = [asyncio.create_task(each.put(EXAMPLE, asked)) for each in caches]
            await asyncio.sleep(drawn.choice([0, 0, 0.001, 0.03]))
            clock.advance(1)
            await caches[drawn.randrange(3)].delete(EXAMPLE)
            await asyncio.gather(*putting)
            for each in caches:
                await each.flush()
            assert [await each.get(EXAMPLE) for each in caches] == [None] * 3
            clock.advance(1)
