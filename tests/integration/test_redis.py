"""Several processes and one Redis: answers are shared, the better ones win, outages pass."""

import time
from collections.abc import Callable, Iterator

import pytest
from processes import LONG, Process, Start
from redis import Redis
from servers import RedisServer

from matrix_resolve.core.entries import CacheEntry
from matrix_resolve.core.names import ServerName
from matrix_resolve.core.questions import Delegated, NotDelegated

KEY = "wk:example.org"
DOCUMENTS = {"example.org": {"m.server": "hs.example.net"}}
DELEGATED = ["hs.example.net"]


@pytest.fixture
def raw(server: RedisServer) -> Iterator[Redis]:
    """A client of the same Redis."""
    with Redis(host="127.0.0.1", port=server.port) as client:
        yield client


def eventually(holds: Callable[[], bool]) -> None:
    """Wait until something holds."""
    until = time.monotonic() + LONG
    while not holds():
        assert time.monotonic() < until, "it has not come to pass"
        time.sleep(0.05)


def resolves(process: Process, name: str = "example.org") -> list[str]:
    """What `name` is delegated to, by each of the process's resolvers."""
    delegated: list[str] = process.tell("resolve", name=name)
    return delegated


def shares(first: Process, second: Process) -> bool:
    """Whether what one process asks, the other need not."""
    name = f"{time.monotonic_ns()}.example"
    resolves(first, name)
    resolves(second, name)
    return not any(name in asked for asked in second.tell("asked"))


def hears(first: Process, second: Process) -> None:
    """See that what one process invalidates, the other gives up, though it has it in memory."""
    resolves(first)
    assert resolves(second) == DELEGATED
    for process in (first, second):
        process.tell("document", name="example.org", document={"m.server": "new.example.net"})
    assert resolves(second) == DELEGATED
    first.tell("invalidate", name="example.org")
    eventually(lambda: resolves(second) == ["new.example.net"])


def test_one_asks_for_all(start: Start) -> None:
    """What one process has found out, another one neither fetches nor looks up."""
    first, second = start(2, documents=DOCUMENTS)
    assert resolves(first) == resolves(second) == DELEGATED
    assert "example.org" in first.tell("asked")
    assert second.tell("asked") == []


def test_invalidation_reaches_the_others(start: Start) -> None:
    """What one process invalidates, another one asks anew."""
    hears(*start(2, documents=DOCUMENTS))


@pytest.mark.parametrize("outage", ["kill", "hang"])
def test_outage(server: RedisServer, start: Start, outage: str) -> None:
    """With Redis gone or hanging nothing fails; when it is back all is shared as before."""
    first, second = start(2, documents=DOCUMENTS, timeout=0.1)
    eventually(lambda: shares(first, second))
    getattr(server, outage)()
    for process in (first, second):
        for number in range(3):
            assert resolves(process, f"{number}.{outage}.example") == ["None"]
        assert resolves(process) == DELEGATED
    assert not shares(first, second)
    server.ensure_running()
    eventually(lambda: shares(first, second))
    hears(first, second)


def good(to: str, asked_at: float) -> CacheEntry:
    """A good answer."""
    answer = Delegated(ServerName.parse(to), "https://example.org/")
    return CacheEntry(
        key=KEY,
        outcome=answer,
        asked_at=asked_at,
        fresh_until=asked_at + 3600,
        keep_until=asked_at + 7200,
    )


def failed(asked_at: float) -> CacheEntry:
    """A failure."""
    return CacheEntry(
        key=KEY,
        outcome=NotDelegated("status 503", temporary=True),
        asked_at=asked_at,
        fresh_until=asked_at + 3600,
        keep_until=asked_at + 7200,
        failures=1,
    )


def put(process: Process, entry: CacheEntry) -> None:
    """Have a process keep `entry`."""
    process.tell("put", name=KEY, entry=entry.to_json().decode())


def get(process: Process) -> CacheEntry | None:
    """What a process reads."""
    entry = process.tell("get", name=KEY)
    return None if entry is None else CacheEntry.from_json(entry)


@pytest.mark.parametrize("late", [failed, lambda at: good("old.example.net", at)])
def test_late_writer(start: Start, late: Callable[[float], CacheEntry]) -> None:
    """What a slow process asked earlier does not replace the good answer of a faster one."""
    slow, fast = start(2)
    asked_at = time.time()
    better = good("new.example.net", asked_at + 0.1)
    put(fast, better)
    put(slow, late(asked_at))
    assert get(fast) == get(slow) == better


def test_late_failure_keeps_the_answer(start: Start) -> None:
    """A failure asked after a good answer, by a process that knew of none, leaves it as reserve."""
    one, other = start(2)
    asked_at = time.time()
    answer = good("hs.example.net", asked_at)
    put(one, answer)
    put(other, failed(asked_at + 0.1))
    kept = get(one)
    assert kept is not None
    assert (kept.reserve, kept.outcome) == (answer.good, failed(0).outcome)


@pytest.mark.parametrize("late", [failed, lambda at: good("old.example.net", at)])
def test_writer_after_an_invalidation(start: Start, late: Callable[[float], CacheEntry]) -> None:
    """What was asked before one process deletes it is not stored after that by another."""
    slow, other = start(2)
    asked_at = time.time()
    put(other, good("hs.example.net", asked_at - 1))
    other.tell("delete", name=KEY)
    put(slow, late(asked_at))
    assert get(slow) is None
    put(slow, good("new.example.net", time.time()))
    assert get(other) is not None


def test_fetch_under_way_when_it_is_invalidated(start: Start, raw: Redis) -> None:
    """The answer to a fetch that was under way is not kept for anybody."""
    (slow,) = start(1, documents=DOCUMENTS, delay=2.0)
    (other,) = start(1, documents={"example.org": {"m.server": "new.example.net"}})
    slow.begin("resolve", name="example.org")
    eventually(lambda: raw.exists(f"matrix_resolve:1:{{{KEY}}}:lease") == 1)
    other.tell("invalidate", name="example.org")
    assert resolves(other) == ["new.example.net"]
    slow.answer()
    assert resolves(slow) == resolves(other) == ["new.example.net"]


@pytest.mark.parametrize(("processes", "resolvers"), [(5, 10), (1, 50)])
def test_many_ask_at_once(start: Start, processes: int, resolvers: int) -> None:
    """Of fifty that resolve one unknown name at one moment, one asks."""
    many = start(processes, documents=DOCUMENTS, resolvers=resolvers, delay=0.3)
    for process in many:
        resolves(process, "warm.example")
    at = time.time() + 0.5
    for process in many:
        process.begin("resolve", name="example.org", at=at)
    assert [process.answer() for process in many] == [DELEGATED] * processes
    asked = [question for process in many for question in process.tell("asked")]
    assert asked.count("example.org") == 1


def test_who_asks_dies(start: Start, raw: Redis) -> None:
    """When the one who asks dies, another one asks once its time is over."""
    (dying,) = start(1, documents=DOCUMENTS, delay=LONG, well_known_timeout=2 * LONG)
    (other,) = start(1, documents=DOCUMENTS, well_known_timeout=2.0)
    dying.begin("resolve", name="example.org")
    lease = f"matrix_resolve:1:{{{KEY}}}:lease"
    eventually(lambda: raw.exists(lease) == 1)
    raw.pexpire(lease, 1000)  # rather than wait for two minutes
    dying.kill()
    assert resolves(other) == DELEGATED
    assert "example.org" in other.tell("asked")
