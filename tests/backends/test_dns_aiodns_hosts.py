"""The hosts file: what it says, when it is read, and which names are looked for in it."""

import asyncio
import os
import threading
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from dns_lookups import HANGS

from matrix_resolve.backends.dns_aiodns import AiodnsLookup, hosts
from matrix_resolve.backends.dns_aiodns.hosts import HostsFile, parse_hosts
from matrix_resolve.core.names import IPAddress
from matrix_resolve.errors import AddressLookupError
from matrix_resolve.interfaces import AddressReply
from matrix_resolve.testing import LoopbackFederation
from matrix_resolve.timeouts import within

LINES = [
    # text, what it says of which names
    pytest.param("", {}, id="nothing"),
    pytest.param("192.0.2.1 a.example", {"a.example": ["192.0.2.1"]}, id="one name"),
    pytest.param(
        "192.0.2.1\t a.example  b \r\n", {"a.example": ["192.0.2.1"], "b": ["192.0.2.1"]}, id="two"
    ),
    pytest.param("::1 A.Example", {"a.example": ["::1"]}, id="upper case"),
    pytest.param("::1 a.example.", {"a.example": ["::1"]}, id="final dot"),
    pytest.param("# 192.0.2.1 a\n  #\n", {}, id="comments"),
    pytest.param("192.0.2.1 a # b", {"a": ["192.0.2.1"]}, id="comment behind"),
    pytest.param("192.0.2.1 a#b c", {"a": ["192.0.2.1"]}, id="comment within"),
    pytest.param(
        "192.0.2.1 a\n::1 a\n192.0.2.1 a", {"a": ["192.0.2.1", "::1"]}, id="several lines"
    ),
    pytest.param("192.0.2.1", {}, id="no name"),
    pytest.param("192.0.2 a\n192.0.2.01 b\nx c\n", {"a": [], "b": [], "c": []}, id="no address"),
    pytest.param("x a\n192.0.2.1 a", {"a": ["192.0.2.1"]}, id="no address, then one"),
    pytest.param("192.0.2.1 a\nx a", {"a": ["192.0.2.1"]}, id="an address, then none"),
    pytest.param("fe80::1%lo0 a", {"a": []}, id="zone"),
    pytest.param("\ufffd\0\n::1 b", {"b": ["::1"]}, id="no text"),
]


@pytest.mark.parametrize(("text", "said"), LINES)
def test_lines(text: str, said: dict[str, list[str]]) -> None:
    """Each line is an address and its names."""
    expected = {name: tuple(map(ip_address, ips)) for name, ips in said.items()}
    assert parse_hosts(text.splitlines(keepends=True)) == expected


class Watched:
    """A hosts file under a clock of its own, and how often it is read."""

    def __init__(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.path = path
        self.now = 0.0
        self.reads = 0
        self.threads: set[int] = set()
        self.trouble: Exception | None = None
        read = hosts._read
        monkeypatch.setattr(hosts, "_read", lambda path: self._count(read, path))
        self.file = HostsFile(path, clock=lambda: self.now)

    def _count(self, read: Any, path: Path) -> Any:
        self.reads += 1
        self.threads.add(threading.get_ident())
        if self.trouble is not None:
            raise self.trouble
        return read(path)

    def write(self, text: str) -> None:
        """Change the file, as is seen by its time too."""
        self.path.write_text(text)
        os.utime(self.path, ns=(0, self.reads + 1))

    async def find(self, name: str) -> list[str]:
        """Look a name up, after a second."""
        self.now += 1
        return [str(address) for address in await self.found(name)]

    async def found(self, name: str) -> tuple[IPAddress, ...]:
        """Look at the file, and look a name up."""
        self.file.is_being_read()
        return await self.file.find(name)


@pytest.fixture(name="watched")
def fixture_watched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Watched:
    """A hosts file that is not there yet."""
    return Watched(tmp_path / "hosts", monkeypatch)


async def test_read_when_it_changes(watched: Watched) -> None:
    """It is read again when it changed, and not else, nor in the event loop's thread."""
    watched.write("192.0.2.1 a.example\n")
    for _ in range(3):
        assert await watched.find("a.example") == ["192.0.2.1"]
    assert watched.reads == 1
    watched.write("192.0.2.2 a.example\n")
    for _ in range(3):
        assert await watched.find("a.example") == ["192.0.2.2"]
    assert watched.reads == 2
    assert threading.get_ident() not in watched.threads


async def test_looked_at_once_a_second(watched: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    """Within a second it is not even looked at."""
    looks = 0
    stamp = hosts._stamp

    def counted(path: Path) -> Any:
        nonlocal looks
        looks += 1
        return stamp(path)

    monkeypatch.setattr(hosts, "_stamp", counted)
    watched.write("192.0.2.1 a.example\n")
    for moment in (0.0, 0.5, 0.999, 1.0, 1.5, 2.0):
        watched.now = moment
        assert await watched.found("a.example")
    assert looks == 3
    watched.write("192.0.2.2 a.example\n")
    watched.now = 3.0
    await asyncio.gather(*(watched.found("a.example") for _ in range(20)))
    assert looks == 4


async def test_read_once_for_all(watched: Watched) -> None:
    """Many look-ups at once wait for one reading."""
    watched.write("192.0.2.1 a.example\n")
    watched.now = 5
    found = await asyncio.gather(*(watched.found("a.example") for _ in range(20)))
    assert set(found) == {(ip_address("192.0.2.1"),)}
    assert watched.reads == 1


async def test_look_up_that_is_cancelled_while_it_is_read(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next one finds what is there."""
    watched.write("192.0.2.1 a.example\n")
    go_on = threading.Event()
    read = hosts._read
    monkeypatch.setattr(hosts, "_read", lambda path: (go_on.wait(HANGS), read(path))[1])
    task = asyncio.create_task(watched.find("a.example"))
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    go_on.set()
    assert await watched.find("a.example") == ["192.0.2.1"]


async def test_long_file_is_read_to_the_end(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That look-ups give up meanwhile neither ends the reading nor begins another."""
    watched.write("192.0.2.1 a.example\n")
    go_on = threading.Event()
    read = hosts._read
    monkeypatch.setattr(hosts, "_read", lambda path: (go_on.wait(HANGS), read(path))[1])
    for _ in range(3):
        task = asyncio.create_task(watched.find("a.example"))
        await asyncio.sleep(0.01)
        task.cancel()
        await asyncio.wait([task])
    last = asyncio.create_task(watched.find("a.example"))
    await asyncio.sleep(0.01)
    go_on.set()
    assert await last == ["192.0.2.1"]
    assert watched.reads == 1


async def test_file_that_takes_too_long(
    loopback_federation: LoopbackFederation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lookup fails within its time, and the reading goes on."""
    path = tmp_path / "hosts"
    path.write_text("192.0.2.1 a.example\n")
    go_on = threading.Event()
    read = hosts._read
    monkeypatch.setattr(hosts, "_read", lambda path: (go_on.wait(HANGS), read(path))[1])
    server = loopback_federation.nameserver
    async with AiodnsLookup(nameservers=[server], hosts_file=path, timeout=0.1) as lookup:
        with pytest.raises(AddressLookupError, match=r"hosts file .* within 0\.1 s") as caught:
            await lookup.lookup_addresses("a.example")
        assert caught.value.temporary
        go_on.set()
        assert await lookup.lookup_addresses("a.example") == AddressReply(["192.0.2.1"], 0)
    assert not loopback_federation.dns_questions


async def test_only_who_sees_a_change_waits(watched: Watched) -> None:
    """Who was told that it is not being read need not wait, be it looked at again by then."""
    assert await watched.find("a.example") == []
    watched.write("192.0.2.1 a.example\n")
    assert not watched.file.is_being_read()
    watched.now += 1
    assert await watched.file.find("a.example") == ()
    assert watched.file.is_being_read()
    assert await watched.file.find("a.example") == (ip_address("192.0.2.1"),)


async def test_reading_takes_no_time_of_its_own(
    loopback_federation: LoopbackFederation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the file is read a lookup has one limit, DNS included; after that it keeps the time."""
    limits: list[float] = []

    async def noted(seconds: float, asked: Any, *args: Any) -> Any:
        limits.append(seconds)
        return await within(seconds, asked, *args)

    monkeypatch.setattr("matrix_resolve.backends.dns_aiodns.lookup.within", noted)
    path = tmp_path / "hosts"
    path.write_text("192.0.2.1 a.example\n")
    server = loopback_federation.nameserver
    async with AiodnsLookup(nameservers=[server], hosts_file=path, timeout=HANGS) as lookup:
        for _ in range(2):
            await lookup.lookup_addresses("a.example")
    assert limits == [HANGS]


async def test_gone_and_back(watched: Watched) -> None:
    """Without the file nothing is known; when it is back, it is read."""
    assert await watched.find("a.example") == []
    watched.write("192.0.2.1 a.example\n")
    assert await watched.find("a.example") == ["192.0.2.1"]
    watched.path.unlink()
    assert await watched.find("a.example") == []
    watched.write("192.0.2.1 a.example\n")
    assert await watched.find("a.example") == ["192.0.2.1"]


@pytest.mark.parametrize(
    "trouble", [OSError(24, "EMFILE"), OSError(5, "EIO"), RuntimeError("can't start new thread")]
)
async def test_trouble_of_ours(watched: Watched, trouble: Exception) -> None:
    """While it can't be read, what it said before holds."""
    watched.write("192.0.2.1 a.example\n")
    assert await watched.find("a.example") == ["192.0.2.1"]
    watched.write("192.0.2.2 a.example\n")
    watched.trouble = trouble
    assert await watched.find("a.example") == ["192.0.2.1"]
    watched.trouble = None
    assert await watched.find("a.example") == ["192.0.2.2"]


async def test_many_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An ad blocker's file is read once, whatever the number of channels."""
    path = tmp_path / "hosts"
    path.write_text("".join(f"0.0.0.0 ad-{number}.example\n" for number in range(170_000)))
    watched = Watched(path, monkeypatch)
    for number in (0, 99_999, 169_999):
        assert await watched.find(f"ad-{number}.example") == ["0.0.0.0"]
    assert await watched.find("ad-170000.example") == []
    assert watched.reads == 1


# The lookup


LOCAL = """\
192.0.2.7 known.example
2001:db8::7 known.example both.example
0.0.0.0 localhost ad.localhost
127.0.0.9 mine.localhost
192.0.2.8 hidden.onion 192.0.2.1
x unreadable.example
"""

FOUND = [
    # name, its addresses, whether DNS is asked
    pytest.param("known.example", ["192.0.2.7", "2001:db8::7"], False, id="of both families"),
    pytest.param("both.example", ["2001:db8::7"], False, id="of one family"),
    pytest.param("KNOWN.Example.", ["192.0.2.7", "2001:db8::7"], False, id="case, final dot"),
    pytest.param("www.known.example", [], True, id="not what is under it"),
    pytest.param("unreadable.example", [], True, id="a line that can't be read"),
    pytest.param("other.example", [], True, id="not in it"),
    pytest.param("localhost", ["127.0.0.1", "::1"], False, id="localhost is loopback"),
    pytest.param("LOCALHOST.", ["127.0.0.1", "::1"], False, id="localhost, final dot"),
    pytest.param("ad.localhost", ["127.0.0.1", "::1"], False, id="under localhost"),
    pytest.param("mine.localhost", ["127.0.0.9"], False, id="under localhost, in the file"),
    pytest.param("a.b.localhost", ["127.0.0.1", "::1"], False, id="far under localhost"),
    pytest.param("notlocalhost", [], True, id="not localhost"),
    pytest.param("hidden.onion", [], False, id="onion is never found (RFC 7686)"),
    pytest.param("192.0.2.1", ["192.0.2.1"], False, id="an IPv4 address"),
    pytest.param("2001:db8::1", ["2001:db8::1"], False, id="an IPv6 address"),
]


@pytest.mark.parametrize(("name", "found", "asked"), FOUND)
async def test_local_names(
    loopback_federation: LoopbackFederation,
    tmp_path: Path,
    name: str,
    found: list[str],
    asked: bool,
) -> None:
    """What is known here is not asked of DNS, and has no TTL; the rest is."""
    path = tmp_path / "hosts"
    path.write_text(LOCAL)
    server = loopback_federation.nameserver
    async with AiodnsLookup(nameservers=[server], hosts_file=path) as lookup:
        reply = await lookup.lookup_addresses(name)
    assert reply == AddressReply(found, 0 if found else None)
    assert bool(loopback_federation.dns_questions) is asked


async def test_srv_lookups_pass_it_by(
    loopback_federation: LoopbackFederation, tmp_path: Path
) -> None:
    """It has no SRV records, and says nothing of them."""
    path = tmp_path / "hosts"
    path.write_text("192.0.2.7 example.org\n")
    loopback_federation.add_records("example.org", "SRV", "0 0 1 a.example")
    server = loopback_federation.nameserver
    async with AiodnsLookup(nameservers=[server], hosts_file=str(path)) as lookup:
        assert (await lookup.lookup_srv("example.org")).records


async def test_change_is_seen(
    loopback_federation: LoopbackFederation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name that is added while the lookup is open is known."""
    monkeypatch.setattr(hosts, "_LOOK_EVERY", 0.0)
    path = tmp_path / "hosts"
    server = loopback_federation.nameserver
    async with AiodnsLookup(nameservers=[server], hosts_file=path) as lookup:
        assert not (await lookup.lookup_addresses("new.example")).addresses
        path.write_text("192.0.2.7 new.example\n")
        assert await lookup.lookup_addresses("new.example") == AddressReply(["192.0.2.7"], 0)


def test_system_hosts_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is where systems have it."""
    monkeypatch.setattr(hosts.sys, "platform", "linux")
    assert hosts.system_hosts_file() == Path("/etc/hosts")
    monkeypatch.setattr(hosts.sys, "platform", "win32")
    monkeypatch.setenv("SYSTEMROOT", "root")
    assert str(hosts.system_hosts_file()).replace("\\", "/") == "root/System32/drivers/etc/hosts"
