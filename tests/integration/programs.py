"""Real servers of others as part of a loopback federation: run as processes, and reached."""

import os
import socket
import subprocess
import time
from abc import ABC, abstractmethod
from collections import ChainMap
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NoReturn

import pytest

from matrix_resolve import AddressPolicy, FederationClient, Resolver, open_federation_client
from matrix_resolve.compose import compose_resolver
from matrix_resolve.testing import LoopbackFederation

IP = "127.0.0.1"

_STARTING = 120.0  # seconds, on a busy machine
_ENDING = 20.0  # seconds that a program may take to end when it is asked to
_TRIES = 5  # to find a port that nobody else takes meanwhile
_SHOWN = 4000  # characters of a log: its end, where the reason is


class Server(ABC):
    """A program that serves on a loopback port, and keeps all that it has in `directory`."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.address = (IP, 0)
        self._log = directory / "log"
        self._process: subprocess.Popen[bytes] | None = None

    @abstractmethod
    def command(self) -> Sequence[str]:
        """Return what runs it in the foreground, at `address`, writing to its output."""

    @abstractmethod
    def is_ready(self) -> bool:
        """Return whether it serves, and is not a stranger who has taken the port."""

    def start(self) -> None:
        """Start it, on the port that it had before if there is one, and wait until it is ready."""
        port = self.address[1]
        tries = 1 if port else _TRIES
        while True:
            self.address = (IP, port or _free_port())
            tries -= 1
            try:
                self._run(self.command())
            except RuntimeError:
                if not tries or "Address already in use" not in self.told():
                    raise
            else:
                return

    def _run(self, command: Sequence[str]) -> None:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                command,
                cwd=self.directory,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        until = time.monotonic() + _STARTING
        while not self.is_ready():
            if self._process.poll() is not None:
                raise RuntimeError(f"it ended with {self._process.returncode}:\n{self.told()}")
            if time.monotonic() > until:
                raise RuntimeError(f"it is not ready after {_STARTING:g} s:\n{self.told()}")
            time.sleep(0.01)

    def stop(self) -> None:
        """End it, gently if it will."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(_ENDING)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    def told(self) -> str:
        """Return the end of what it has written."""
        return self._log.read_text(errors="replace")[-_SHOWN:]


def not_installed(what: str) -> NoReturn:
    """Skip the test; in CI, where everything is to be installed, fail it."""
    reason = f"{what} is not installed"
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


def _free_port() -> int:
    with socket.create_server((IP, 0)) as found:
        port: int = found.getsockname()[1]
        return port


@asynccontextmanager
async def reaching(
    federation: LoopbackFederation,
    servers: Mapping[tuple[str, int], tuple[str, int]],
    ca_pem: bytes,
    **settings: Any,
) -> AsyncIterator[tuple[Resolver, FederationClient]]:
    """Give a resolver with these settings, and a client, that reach the federation and `servers`.

    `servers`, whose certificates are of the authority `ca_pem`, take the places that they are
    mapped to: (host, port) -> socket address. Names are looked up in the federation's DNS.
    """
    ssl_context = federation.client_ssl_context()
    ssl_context.load_verify_locations(cadata=ca_pem.decode("ascii"))
    connect_to = ChainMap(dict(servers), federation.connect_to)
    async with (
        compose_resolver(
            nameservers=[federation.nameserver],
            address_policy=AddressPolicy.allow_all(),
            ssl_context=ssl_context,
            connect_to=connect_to,
            **settings,
        ) as resolver,
        open_federation_client(resolver, ssl_context=ssl_context, connect_to=connect_to) as client,
    ):
        yield resolver, client
