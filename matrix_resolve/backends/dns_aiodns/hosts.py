"""The system's hosts file, read when it changes, and in a thread.

c-ares would read it again in each new channel: 170,000 lines of an ad blocker's hold the event
loop up for half a second, every second.
"""

import asyncio
import os
import sys
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from ipaddress import ip_address
from pathlib import Path
from typing import Final

from matrix_resolve.core.chains import plain
from matrix_resolve.core.names import IPAddress

# So many seconds pass between two looks at whether it has changed.
_LOOK_EVERY: Final = 1.0

Hosts = dict[str, tuple[IPAddress, ...]]


def system_hosts_file() -> Path:
    """Return where this system has its hosts file."""
    if sys.platform == "win32":
        return Path(os.environ.get("SYSTEMROOT", r"C:\Windows"), r"System32\drivers\etc\hosts")
    return Path("/etc/hosts")


class HostsFile:
    """Which addresses the file at `path` gives to a name. `clock` is in seconds."""

    def __init__(self, path: Path, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._path = path
        self._clock = clock
        self._hosts: Hosts = {}
        self._stamp: tuple[int, ...] | None = None  # of the file as it was when it was read
        self._look_at: float | None = None
        self._reading: asyncio.Future[None] | None = None

    def is_being_read(self) -> bool:
        """See whether it has changed, and return whether it is being read, which may take long."""
        with suppress(OSError, RuntimeError):  # no descriptor left, no thread: what is known holds
            self._look()
        return self._reading is not None and not self._reading.done()

    async def find(self, hostname: str, *, within: float | None = None) -> tuple[IPAddress, ...]:
        """Return the addresses of `hostname`, none if the file does not name it.

        Raises `TimeoutError` if it is being read, and that is not over within so many seconds. It
        is not looked at again, so that whoever was told that it is not being read need not wait.
        """
        if (reading := self._reading) is not None:
            # While it is read, all wait: what it said before may be wrong now. That some of them
            # wait no longer does not end it, or a file that takes long would never be read.
            if not reading.done():
                await asyncio.wait((reading,), timeout=within)
            if not reading.done():
                raise TimeoutError
            with suppress(OSError, RuntimeError):
                reading.result()
        return self._hosts.get(plain(hostname), ())

    def _look(self) -> None:
        """See whether it has changed, and then begin to read it."""
        now = self._clock()
        if self._look_at is not None and now < self._look_at:
            return
        self._look_at = now + _LOOK_EVERY
        if self._reading is not None and not self._reading.done():
            return
        self._reading = None
        if (stamp := _stamp(self._path)) != self._stamp:
            loop = asyncio.get_running_loop()
            self._reading = loop.run_in_executor(None, self._read, stamp)

    def _read(self, stamp: tuple[int, ...] | None) -> None:
        hosts = {} if stamp is None else _read(self._path)
        before, self._hosts, self._stamp = self._hosts, hosts, stamp
        _forget(before)


def _stamp(path: Path) -> tuple[int, ...] | None:
    """Return what changes when the file does, None if there is none to be read."""
    try:
        stat = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return (stat.st_mtime_ns, stat.st_size, stat.st_ino)


def _read(path: Path) -> Hosts:
    with path.open(encoding="utf-8", errors="replace") as lines:
        return parse_hosts(lines)


def _forget(hosts: Hosts) -> None:
    """Take it to pieces: to free 170,000 names at one go takes 60 ms, and nothing else runs."""
    while hosts:
        hosts.popitem()


def parse_hosts(lines: Iterable[str]) -> Hosts:
    """Return what the lines of a hosts file say; a line that can't be read says nothing.

    A name that several lines have, has the addresses of them all.
    """
    hosts: Hosts = {}
    known: dict[str, tuple[IPAddress, ...]] = {}  # an ad blocker's file has one address only
    for line in lines:
        text, *names = line.partition("#")[0].split() or ("",)
        if not names:
            continue
        if text not in known:
            known[text] = _addresses(text)
        for name in map(plain, names):
            before = hosts.get(name, ())
            if not before:
                hosts[name] = known[text]
            elif known[text] and known[text][0] not in before:
                hosts[name] = before + known[text]
    return hosts


def _addresses(text: str) -> tuple[IPAddress, ...]:
    if "%" in text:  # the link is of no use to who dials
        return ()
    try:
        return (ip_address(text),)
    except ValueError:
        return ()
