"""The command line, run against the DNS server of a loopback federation."""

import asyncio

import pytest

from matrix_resolve.cli import main
from matrix_resolve.testing import LoopbackFederation


class Command:
    """Runs `matrix-resolve` in a thread of its own, so that the federation can answer it."""

    def __init__(self, federation: LoopbackFederation, capsys: pytest.CaptureFixture[str]) -> None:
        self.federation = federation
        self._capsys = capsys

    async def __call__(self, *arguments: str) -> tuple[int, str, str]:
        """Return the exit status, and what was printed to the two outputs."""
        reach = ("--nameserver", self.federation.nameserver, "--allow-private")
        status = await asyncio.to_thread(exit_status, [*reach, *arguments])
        return (status, *self._capsys.readouterr())


def exit_status(argv: list[str]) -> int:
    """Run the command; return its exit status."""
    try:
        return main(argv)
    except SystemExit as stop:
        return int(stop.code or 0)
