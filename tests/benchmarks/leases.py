"""Workers that resolve one unknown name at one moment, over a shared Redis: how many ask, how soon?

    python tests/benchmarks/leases.py [--workers N] [--takes SECONDS]

Needs `redis-server`. Each worker is a process of its own; a fetch takes a second. Nobody dies; the
one that asks is killed; it and the one that asks next are killed; or a foreign lease that never
ends is in the way. Prints after how many seconds, counted from the last that was done, the last
worker has the answer, and how many fetches there were in all; and whether no more ask than one
and one more for each that is killed, within 3 s and the time that a fetch takes.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from redis import Redis
from storm import verdict

TESTS: Final = Path(__file__).parents[1]
sys.path += [str(TESTS), str(TESTS / "integration")]
from processes import Process  # noqa: E402
from servers import RedisServer, running_redis  # noqa: E402

WITHIN: Final = 3.0
# How many are killed, and whether a lease that never ends is there.
CASES: Final = {
    "nobody dies": (0, False),
    "the one that asks is killed": (1, False),
    "and the one that asks next": (2, False),
    "a lease that never ends": (0, True),
}


def holder(redis: Redis, lease: str, *, other_than: Sequence[int]) -> int:
    """Wait until another process has the lease, and return its number."""
    while True:
        value = redis.get(lease)
        process = int(bytes(value).rpartition(b"-")[2]) if isinstance(value, bytes) else 0
        if process and process not in other_than:
            return process
        time.sleep(0.01)


def measure(
    server: RedisServer, redis: Redis, workers: int, takes: float, killed: int, *, blocked: bool
) -> tuple[float, int]:
    """Return after how many seconds all have the answer, and how many fetches there were."""
    redis.flushall()
    name = "example.org"
    lease = f"matrix_resolve:1:{{wk:{name}}}:lease"
    settings = {"documents": {name: {"m.server": "hs.example.net"}}, "delay": takes}
    processes = {}
    for _ in range(workers):
        process = Process(port=server.port, timeout=5.0, **settings)
        processes[process._process.pid] = process
    for process in processes.values():
        process.answer()
    if blocked:
        redis.set(lease, "foreign")
    at = time.time() + 1.0
    for process in processes.values():
        process.begin("resolve", name=name, at=at)
    dead: list[int] = []
    since = at
    for _ in range(killed):
        dead.append(holder(redis, lease, other_than=dead))
        time.sleep(takes / 2)  # it is asking by now
        processes.pop(dead[-1]).kill()
        since = time.time()
    for process in processes.values():
        assert process.answer() == ["hs.example.net"]
    seconds = time.time() - since
    asked = [question for process in processes.values() for question in process.tell("asked")]
    for process in processes.values():
        process.kill()
    return seconds, len(dead) + asked.count(name)


def main() -> int:
    """Measure each case; return the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--workers", type=int, default=20)
    parser.add_argument("--takes", type=float, default=1.0)
    arguments = parser.parse_args()
    met = []
    with tempfile.TemporaryDirectory() as directory, running_redis(Path(directory)) as server:
        redis = Redis(host="127.0.0.1", port=server.port)
        for case, (killed, blocked) in CASES.items():
            seconds, fetches = measure(
                server, redis, arguments.workers, arguments.takes, killed, blocked=blocked
            )
            is_met = fetches <= 1 + killed and seconds <= WITHIN + arguments.takes
            told = f"all have the answer after {seconds:.1f} s, {fetches} fetches"
            met.append(verdict(f"{arguments.workers} workers, {case}", told, is_met))
        redis.close()
    return 0 if all(met) else 1


if __name__ == "__main__":
    sys.exit(main())
