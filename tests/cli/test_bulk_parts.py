"""What `bulk` is made of: names as they are needed, records that can be resumed, the summary."""

import argparse
import asyncio
import contextlib
import json
import os
import random
import tracemalloc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from worlds import settled

from matrix_resolve import InvalidServerNameError, Policy
from matrix_resolve.cli import bulk, bulk_run
from matrix_resolve.cli.arguments import UsageError
from matrix_resolve.cli.bulk_lookups import LookUp
from matrix_resolve.cli.bulk_names import MAX_LINE, NameSource
from matrix_resolve.cli.bulk_progress import Count, told_pace
from matrix_resolve.cli.bulk_records import RecordWriter, records_in
from matrix_resolve.cli.bulk_summary import Summary, reason_class, summary_lines
from matrix_resolve.testing import (
    Certificate,
    DnsFault,
    LoopbackFederation,
    Raw,
    Redirect,
    Refused,
    Reply,
    Silent,
)
from matrix_resolve.testing.loopback.declarations import WELL_KNOWN

MIB = 2**20


async def names_in(path: Path) -> list[str]:
    """Return what is read of a file."""
    source = await NameSource.open(str(path))
    try:
        return [name async for name in source.lines()]
    finally:
        source.close()


@pytest.mark.parametrize(
    ("text", "names"),
    [
        (b"", []),
        (b"a\n\n  b \r\nc", ["a", "", "b", "c"]),
        (b"\xef\xbb\xbfa\n#b\n # c\n", ["a", "", ""]),
        (b"a\xffb\n\xc3\xa9\n\0\n", ["a\\xffb", "\u00e9", "\0"]),
        (b"x" * MIB + b"\nb\n", ["x" * MAX_LINE, "b"]),
        (b"b\n" + b"x" * MIB, ["b", "x" * MAX_LINE]),
    ],
)
async def test_lines(tmp_path: Path, text: bytes, names: list[str]) -> None:
    """Each line is a name, "" where it has none; what is too long is cut, and is none."""
    (tmp_path / "names").write_bytes(text)
    assert await names_in(tmp_path / "names") == names


async def test_lines_across_pieces(tmp_path: Path) -> None:
    """However lines fall into the pieces that are read, and they are counted beforehand."""
    rng = random.Random(7)
    names = ["x" * rng.randrange(1, MAX_LINE) for _ in range(2_000)]
    path = tmp_path / "names"
    path.write_text("\n".join(names))
    assert await names_in(path) == names
    source = await NameSource.open(str(path))
    assert source.count() == len(names)
    assert [name async for name in source.lines()] == names
    source.close()


async def test_an_endless_line(tmp_path: Path) -> None:
    """No more of it is kept than is looked at."""
    with (tmp_path / "names").open("wb") as file:
        file.truncate(50 * MIB)
    tracemalloc.start()
    try:
        assert await names_in(tmp_path / "names") == ["\0" * MAX_LINE]
        assert tracemalloc.get_traced_memory()[1] < 10 * MIB  # others' memory is in it too
    finally:
        tracemalloc.stop()


async def test_no_more_is_read_than_is_needed(tmp_path: Path) -> None:
    """So many names are looked up at once, and an endless pipe is not read for others."""
    started, gate = [], asyncio.Event()

    async def look_up(name: str) -> dict[str, Any]:
        started.append(name)
        await gate.wait()
        return {"version": 1, "server_name": name}

    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    source = NameSource(reading, True)
    written, number = 0, 0
    output = (tmp_path / "output").open("wb", buffering=0)
    run = bulk_run.Bulk(source, RecordWriter(output.fileno()), arguments("--concurrency", "5"))
    task = asyncio.create_task(run.run(opened(look_up)))
    for _ in range(200):
        with contextlib.suppress(BlockingIOError):
            while True:
                written += os.write(writing, f"n{number}.test\n".encode())
                number += 1
        await asyncio.sleep(0.001)
    assert started == [f"n{each}.test" for each in range(5)]
    assert written < MIB
    os.close(writing)
    gate.set()
    assert await task == 0
    source.close()
    output.close()
    assert len(started) == number == len((tmp_path / "output").read_bytes().splitlines())


def arguments(*words: str) -> argparse.Namespace:
    """Return the arguments of the command."""
    parser = argparse.ArgumentParser()
    bulk.configure(parser)
    return parser.parse_args(words)


@asynccontextmanager
async def opened(look_up: LookUp) -> AsyncIterator[LookUp]:
    """Give `look_up`, as what opens a resolver does."""
    yield look_up


async def test_a_fault_of_ours_ends_nothing(tmp_path: Path) -> None:
    """An exception that should not be is that name's error; it is printable, and counted."""

    async def look_up(name: str) -> dict[str, Any]:
        if name == "b.test":
            raise KeyError("\x1b[31mred")
        return {"version": 1, "server_name": name}

    names, output, summary = (tmp_path / name for name in ("names", "output", "summary"))
    names.write_text("a.test\nb.test\nc.test\n")
    words = (str(names), "--output", str(output), "--summary", str(summary), "--concurrency", "2")
    assert await bulk_run.process(arguments(*words), opened(look_up)) == 0
    records = {
        each["server_name"]: each for each in map(json.loads, output.read_text().splitlines())
    }
    assert sorted(records) == ["a.test", "b.test", "c.test"]
    assert records["b.test"]["error"]["type"] == "KeyError"
    assert records["b.test"]["error"]["message"].isprintable()
    assert json.loads(summary.read_text())["errors"] == {"KeyError": 1}


async def test_a_file_that_was_torn_anywhere(tmp_path: Path) -> None:
    """Wherever a run was killed, whole lines are kept, and nothing else is left."""
    path = tmp_path / "output"
    lines = [
        json.dumps({"version": 1, "server_name": name, "trail": []}).encode() + b"\n"
        for name in ("a.test", "b\u00e9\n", "c.test")
    ]
    whole = b"".join(lines)
    for cut in range(len(whole) + 1):
        path.write_bytes(whole[:cut])
        ends = [len(b"".join(lines[:count])) for count in range(1, 4)]
        kept = sum(cut >= end - 1 for end in ends)  # of the last one only the newline may lack
        found = [record["server_name"] async for record in records_in(path)]
        assert found == ["a.test", "b\u00e9\n", "c.test"][:kept]
        assert path.read_bytes() == b"".join(lines[:kept])


@pytest.mark.parametrize(
    "text", [b"a.test", b"a.test\n", b'{"version": 1}\n', b"[1]\n", b'{"version": 1, "ser\n', b"\n"]
)
async def test_a_file_of_something_else(tmp_path: Path, text: bytes) -> None:
    """It is refused, and left as it is."""
    path = tmp_path / "names"
    path.write_bytes(text)
    with pytest.raises(UsageError, match="line 1: no line of an earlier run"):
        [record async for record in records_in(path)]
    assert path.read_bytes() == text


async def test_who_reads_slowly_holds_up_writers_only() -> None:
    """The loop goes on; and what was being written when all was cancelled is written whole."""
    reading, writing = os.pipe()
    writer = RecordWriter(writing)
    record = {"server_name": "x" * 1000}
    tasks = [asyncio.create_task(writer.write(record)) for _ in range(500)]
    await settled()
    assert not any(task.done() for task in tasks)
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    flushing = asyncio.create_task(writer.flush())
    read = b""
    while len(read) < 500 * len(json.dumps(record) + "\n"):
        read += await asyncio.to_thread(os.read, reading, 65536)
    await flushing
    assert [json.loads(line) for line in read.splitlines()] == [record] * 500
    os.close(reading)
    tasks = [asyncio.create_task(writer.write(record)) for _ in range(3)]
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(result) for result in results] == [BrokenPipeError] * 3
    os.close(writing)


async def test_many_write_at_once() -> None:
    """Lines that end as others begin are all written, each whole."""
    reading, writing = os.pipe()
    writer = RecordWriter(writing)

    rng = random.Random(5)

    async def write(number: int) -> None:
        for each in range(50):
            for _ in range(rng.randrange(200)):
                await asyncio.sleep(0)
            await writer.write({"number": 50 * number + each})

    read = asyncio.create_task(asyncio.to_thread(_all_of, reading))
    await asyncio.gather(*map(write, range(20)))
    os.close(writing)
    numbers = [json.loads(line)["number"] for line in (await read).splitlines()]
    assert sorted(numbers) == list(range(1_000))
    os.close(reading)


def _all_of(descriptor: int) -> bytes:
    return b"".join(iter(lambda: os.read(descriptor, 65536), b""))


async def test_what_was_finished_is_written(tmp_path: Path) -> None:
    """When it is interrupted while a pipe is full, all that was counted comes through it."""

    async def look_up(name: str) -> dict[str, Any]:
        if name == "n299.test":
            all_began.set()
        return {"version": 1, "server_name": name, "more": "x" * 1_000}

    all_began = asyncio.Event()

    (tmp_path / "names").write_text("\n".join(f"n{number}.test" for number in range(1_000)))
    source = await NameSource.open(str(tmp_path / "names"))
    reading, writing = os.pipe()
    run = bulk_run.Bulk(source, RecordWriter(writing), arguments("--concurrency", "300"))
    task = asyncio.create_task(run.run(opened(look_up)))
    await all_began.wait()
    task.cancel()
    await settled()
    assert not task.done()
    read = asyncio.create_task(asyncio.to_thread(_all_of, reading))
    assert await task == 130
    os.close(writing)
    lines = (await read).splitlines()
    assert len([json.loads(line) for line in lines]) == run._count().done
    os.close(reading)
    source.close()


async def test_nothing_is_written_after_a_failure(tmp_path: Path) -> None:
    """What follows a line that could not be written to its end would be part of it."""
    path = tmp_path / "output"
    path.touch()
    descriptor, other = os.open(path, os.O_RDONLY), os.open(path, os.O_WRONLY)
    writer = RecordWriter(descriptor)
    for _ in range(2):
        with pytest.raises(OSError, match="Bad file descriptor"):
            await writer.write({"server_name": "a.test"})
        os.dup2(other, descriptor)  # now it could
    assert path.read_bytes() == b""
    os.close(descriptor)
    os.close(other)


TROUBLED: dict[str, tuple[dict[str, Any], str]] = {
    "404": ({}, "status 404"),
    "503": ({"well_known": Reply(503)}, "status 503"),
    "html": ({"well_known": b"<html>"}, "not a JSON object"),
    "list": ({"well_known": b"[]"}, "not a JSON object"),
    "latin": ({"well_known": b"\xe9"}, "not a JSON object"),
    "empty": ({"well_known": b"{}"}, "no m.server"),
    "url": ({"well_known": {"m.server": "https://a.test"}}, "m.server is no server name"),
    "long": ({"well_known": b"x" * 60_000}, "too long"),
    "loop": ({"well_known": Redirect(WELL_KNOWN)}, "redirect not followed"),
    "http": ({"well_known": Redirect("http://a.test/")}, "redirect not followed"),
    "silent": ({"well_known": Silent()}, "time-out"),
    "refused": ({"well_known": Refused()}, "connection failed"),
    "expired": ({"certificate": Certificate.EXPIRED}, "certificate refused"),
    "wrong": ({"certificate": Certificate.WRONG_NAME}, "certificate refused"),
    "untrusted": ({"certificate": Certificate.UNTRUSTED}, "certificate refused"),
    "ssh": ({"well_known": Raw(tls=False)}, "TLS failed"),
    "lost": ({"well_known": Raw(b"")}, "connection lost"),
    "servfail": ({"dns": {"A": DnsFault.SERVFAIL, "AAAA": DnsFault.SERVFAIL}}, "DNS failed"),
}


async def test_why_there_is_no_document(loopback_federation: LoopbackFederation) -> None:
    """The reasons that real servers give fall into few classes."""
    for name, (declared, _) in TROUBLED.items():
        loopback_federation.add(f"{name}.test", **declared)
    policy = Policy(well_known_timeout=2.0, well_known_connect_timeout=1.0)
    async with loopback_federation.resolver(policy=policy) as resolver:
        names = [f"{name}.test" for name in (*TROUBLED, "gone")]
        resolutions = await asyncio.gather(*map(resolver.resolve, names))
    found = {
        name.removesuffix(".test"): reason_class(resolution.to_dict()["trail"][0]["answer"])
        for name, resolution in zip(names, resolutions, strict=True)
    }
    wanted = {name: reason for name, (_, reason) in TROUBLED.items()}
    assert found == {**wanted, "gone": "no addresses"}


def record_of(number: int, **more: Any) -> dict[str, Any]:
    """Return a record that took `number` seconds."""
    return {"version": 1, "server_name": f"n{number}.test", "duration": float(number), **more}


def test_the_summary_counts() -> None:
    """Each thing once a record; the slowest are kept, and no more of them than are told."""
    summary = Summary()
    failed = {"kind": "not_delegated", "reason": "status 404", "own_trouble": False}
    trail = [{"question": "wk:x", "answer": failed}]
    order = list(range(100))
    random.Random(3).shuffle(order)
    for number in order:
        step = ("3.4", "5", "6")[number % 3]
        summary.add(
            record_of(number, step=step, trail=trail, stale=number < 7, degraded=number < 5),
            is_earlier=number < 60,
        )
    summary.add({"server_name": "\x1b[31m", "error": {"type": InvalidServerNameError.__name__}})
    figures = summary.to_dict(2.0, interrupted=True)
    assert {key: figures[key] for key in ("names", "earlier", "names_per_second")} == {
        "names": 101,
        "earlier": 60,
        "names_per_second": 20.5,
    }
    assert {step: count for step, count in figures["steps"].items() if count} == {
        "3.4": 34,
        "5": 33,
        "6": 33,
    }
    assert figures["legacy_srv_only"] == 67
    assert (figures["stale"], figures["degraded"]) == (7, 5)
    assert figures["errors"] == {"InvalidServerNameError": 1}
    assert figures["no_document"] == {"status 404": 100}
    slowest = [each["server_name"] for each in figures["slowest"]]
    assert slowest == [f"n{number}.test" for number in range(99, 89, -1)]
    assert [*summary_lines(figures)] == [
        "41 names in 2.0 s, 20/s; 101 with those of earlier runs, told of here too; interrupted",
        "  step             3.4: 34, 5: 33, 6: 33",
        "  error            InvalidServerNameError: 1",
        "  no document      status 404: 100",
        "  legacy SRV only  67 (_matrix._tcp without _matrix-fed)",
        "  stale, degraded  7, 5",
        "  slowest          n99.test 99.00 s, n98.test 98.00 s, n97.test 97.00 s,"
        " n96.test 96.00 s, n95.test 95.00 s",
    ]
    assert [*summary_lines(figures, columns=50)][5:] == [
        "  stale, degraded  7, 5",
        "  slowest          n99.test 99.00 s,",
        "                   n98.test 98.00 s,",
        "                   n97.test 97.00 s,",
        "                   n96.test 96.00 s,",
        "                   n95.test 95.00 s",
    ]


def test_nothing_hostile_is_told() -> None:
    """A line of the input that is no name reaches no terminal as it is."""
    summary = Summary()
    summary.add({"server_name": "\x1b[31m\u202e", "duration": 1.0})
    told = "\n".join(summary_lines(summary.to_dict(1.0, interrupted=False)))
    assert told.replace("\n", "").isprintable()
    assert told.isascii()


@pytest.mark.parametrize(
    ("done", "total", "seconds", "told"),
    [
        (0, 10, 1.0, "0/s"),
        (50, None, 2.0, "25/s"),
        (50, 100, 2.0, "25/s, 0:02 left"),
        (10, 1_000, 1.0, "10/s, 1:39 left"),
        (1, 100_000, 1.0, "1/s, 27:46:39 left"),
        (100, 100, 0.0, "100,000/s, 0:00 left"),
    ],
)
def test_the_pace(done: int, total: int | None, seconds: float, told: str) -> None:
    """The rate, and the time that is left where the names could be counted."""
    assert told_pace(Count(done=done, total=total), seconds) == told
