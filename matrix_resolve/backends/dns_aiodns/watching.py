"""aiodns with its sockets watched by the event loop, not by a thread of c-ares's own.

That thread and the event loop's fight for the interpreter lock, question by question, which doubles
what one costs.
"""

import asyncio
import socket
from collections.abc import Callable
from typing import Any
from weakref import WeakMethod

import aiodns
import pycares


class WatchedResolver(aiodns.DNSResolver):
    """An `aiodns.DNSResolver` without a thread, where the event loop can watch sockets.

    It takes datagrams alone: of an answer that was cut short, which c-ares would ask for again over
    TCP, nothing comes, but `cut_short` is called. 64 kB take c-ares's callbacks 30 ms to read, and
    several such answers are read at one go.
    """

    def __init__(self, server: str, cut_short: Callable[[], None], **options: Any) -> None:
        self._cut_short = WeakMethod(cut_short)
        super().__init__([server], **options)

    def _make_channel(self, **options: Any) -> tuple[bool, pycares.Channel]:
        # Windows' proactor can't.
        if type(self.loop).add_reader is asyncio.AbstractEventLoop.add_reader:
            return super()._make_channel(**options)
        to = WeakMethod(self._sock_state_cb)  # or they would hold each other

        def changed(fd: int, readable: bool, writable: bool) -> None:
            told = to()
            if told is not None:
                told(fd, readable, writable)

        return False, pycares.Channel(sock_state_cb=changed, timeout=self._timeout, **options)

    def _sock_state_cb(self, fd: int, readable: bool, writable: bool) -> None:
        if writable and _is_tcp(fd):
            cut_short = self._cut_short()
            if cut_short is not None:
                cut_short()
            return
        if not writable and fd in self._write_fds:  # aiodns would watch that for ever
            self._write_fds.discard(fd)
            self.loop.remove_writer(fd)
        super()._sock_state_cb(fd, readable, writable)


def _is_tcp(fd: int) -> bool:
    sock = socket.socket(fileno=fd)
    try:
        return sock.type is socket.SOCK_STREAM
    finally:
        sock.detach()  # it is c-ares's
