"""Processes that share a Redis, seen from the test."""

import json
import select
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

LONG = 60.0
"""Seconds that nothing takes unless it hangs."""


WORKER = Path(__file__).parent / "worker.py"


class Process:
    """A worker (see `worker.py`) in a process of its own."""

    def __init__(self, **settings: Any) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-W", "error", str(WORKER), json.dumps(settings)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def begin(self, do: str, **command: Any) -> None:
        """Tell it to do something."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"do": do, **command}) + "\n")
        self._process.stdin.flush()

    def answer(self) -> Any:
        """Return what came out of it; `AssertionError` if the cache failed or nothing comes."""
        assert self._process.stdout is not None
        # Each command has one line of answer, so nothing is ever left in the buffer.
        readable, _, _ = select.select([self._process.stdout], [], [], LONG)
        assert readable, "the worker does not answer"
        answer = json.loads(self._process.stdout.readline())
        assert "failed" not in answer, answer
        return answer["did"]

    def tell(self, do: str, **command: Any) -> Any:
        """Tell it to do something, and return what came out of it."""
        self.begin(do, **command)
        return self.answer()

    def kill(self) -> None:
        """End it at once, as a crash would."""
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout, self._process.stderr):
            assert stream is not None
            stream.close()

    def end(self) -> None:
        """Let it end by itself, and see that it ends well."""
        if self._process.returncode is not None:
            return
        try:
            _, complaints = self._process.communicate(timeout=LONG)
            assert (self._process.returncode, complaints) == (0, "")
        finally:
            self.kill()


Start = Callable[..., list[Process]]
"""Starts so many processes, with these settings."""
