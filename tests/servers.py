"""A real Redis for tests, that can be killed, started again, and made to hang."""

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

_STARTING = 30.0  # seconds, on a busy machine


class RedisServer:
    """A `redis-server` of our own on a loopback port; it keeps nothing on disk."""

    def __init__(self, executable: str, directory: Path) -> None:
        self._executable = executable
        self._directory = directory
        self._process: subprocess.Popen[bytes] | None = None
        self.port = 0

    def start(self) -> None:
        """Start it, on the port that it had before if there is one, and wait until it answers."""
        until = time.monotonic() + _STARTING
        while time.monotonic() < until:
            port = self.port or _free_port()
            self._process = self._started(port)
            while self._process.poll() is None and time.monotonic() < until:
                if _answers(port):
                    self.port = port
                    return
                time.sleep(0.02)
            self.kill()
        log = (self._directory / "log").read_text(errors="replace")
        raise RuntimeError(f"redis-server does not start:\n{log[-2000:]}")

    def kill(self) -> None:
        """End it at once, as a crash would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def hang(self) -> None:
        """Let it neither answer nor hang up."""
        self._signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """Let it answer again."""
        self._signal(signal.SIGCONT)

    def ensure_running(self) -> None:
        """Bring it back, whatever was done to it."""
        if self._process is None:
            self.start()
        else:
            self.go_on()

    def client(self, kind: type[Redis] = Redis, **options: Any) -> Redis:
        """Return a client of it, to be closed by the caller."""
        return kind(host="127.0.0.1", port=self.port, **options)

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def _started(self, port: int) -> "subprocess.Popen[bytes]":
        settings = {
            "--port": port,
            "--bind": "127.0.0.1",
            "--save": "",
            "--appendonly": "no",
            "--dir": self._directory,
            "--logfile": self._directory / "log",
        }
        words = [str(word) for setting in settings.items() for word in setting]
        return subprocess.Popen([self._executable, *words], stdout=subprocess.DEVNULL)


@contextmanager
def running_redis(directory: Path) -> Iterator[RedisServer]:
    """Run a Redis; without one installed the test is skipped, in CI it fails."""
    executable = shutil.which("redis-server")
    if executable is None:
        reason = "redis-server is not installed"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    server = RedisServer(executable, directory)
    try:
        server.start()
        yield server
    finally:
        server.kill()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        port: int = found.getsockname()[1]
        return port


def _answers(port: int) -> bool:
    with (
        suppress(OSError),
        socket.create_connection(("127.0.0.1", port), timeout=1) as connection,
    ):
        connection.sendall(b"PING\r\n")
        return connection.recv(100) == b"+PONG\r\n"
    return False
