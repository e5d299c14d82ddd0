"""Asks many servers at once which software they run and which keys they sign with.

    pip install 'matrix-resolve[cli]'
    python examples/federation_bot.py matrix.org mozilla.org

One resolver and one client serve all of them, 50 at a time. What servers say is shown as what it
is, the text of strangers: cut, and with nothing in it that a terminal would obey.
"""

import asyncio
import json
import sys
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any

import aiohttp
from rich import box
from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from rich.text import Text

from matrix_resolve import (
    Attempt,
    ConnectError,
    FederationClient,
    InvalidServerNameError,
    MatrixResolveError,
    Resolver,
    open_federation_client,
    open_resolver,
)

SERVERS = ("matrix.org", "mozilla.org", "gnome.org", "kde.org", "fosdem.org")
AT_ONCE = 50
TIMEOUT = 20.0  # seconds for one request
MAX_BODY = 64 * 1024
MAX_SHOWN = 48


@dataclass
class Row:
    """What came of one name: the answers, or the error that left them out."""

    name: str
    step: str = ""
    software: str = ""
    keys: str = ""
    error: str = ""


async def ask(resolver: Resolver, client: FederationClient, name: str) -> Row:
    """Ask one server both questions; the second goes over the connection of the first."""
    row = Row(name)
    try:
        row.step = (await resolver.resolve(name)).step.value
        row.software = await told(client, name, "/_matrix/federation/v1/version", software)
        row.keys = await told(client, name, "/_matrix/key/v2/server", key_ids)
    except (MatrixResolveError, aiohttp.ClientError, TimeoutError) as error:
        row.error = in_short(error)
    return row


async def told(client: FederationClient, name: str, path: str, read: Callable[[Any], str]) -> str:
    """Return what `read` finds in the answer, or that it makes no sense."""
    async with client.request("GET", name, path, timeout=TIMEOUT) as response:
        body = await body_of(response)
        if response.status != 200:
            return f"(status {response.status})"
        try:
            return read(json.loads(body))
        except (ValueError, RecursionError):  # the latter for a million brackets
            return "(not what it should be)"


async def body_of(response: aiohttp.ClientResponse) -> bytes:
    """Return the body; `response.read()` would take any amount of it."""
    try:
        await response.content.readexactly(MAX_BODY + 1)
    except asyncio.IncompleteReadError as all_of_it:
        return all_of_it.partial
    raise aiohttp.ClientPayloadError("the answer is too long")


def software(answer: Any) -> str:
    """Read the answer of `/version`; it may be any JSON at all."""
    match answer:
        case {"server": {"name": str(name), "version": str(version)}}:
            return f"{name} {version}"
    raise ValueError("no name and version")


def key_ids(answer: Any) -> str:
    """Read the names of the keys that the server signs with now."""
    match answer:
        case {"verify_keys": {**keys}} if keys:
            return ", ".join(map(str, keys))
    raise ValueError("no keys")


def in_short(error: Exception) -> str:
    """Return the reason alone: the row has the name already, and room for little else."""
    match error:
        case InvalidServerNameError():
            return f"no server name: {error.reason}"
        case ConnectError(attempts=[Attempt(reason=reason), *_]):
            return f"unreachable: {reason.rpartition('failed: ')[2]}"  # much of it is OpenSSL's
        case TimeoutError():  # aiohttp's too
            return "timed out"
    return " ".join(str(error).split()) or type(error).__name__


def shown(text: str, *, limit: int = MAX_SHOWN, style: str = "") -> Text:
    """Return text of strangers for the terminal: no markup, no control characters, cut.

    Not printable are escape sequences, line breaks, and marks that turn the writing around.
    """
    text = text if len(text) <= limit else text[: limit - 1] + "…"
    return Text("".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text), style)


def table_of(rows: Iterable[Row]) -> Table:
    """Return the rows as a table, in their order."""
    table = Table(box=box.SIMPLE_HEAD)
    for column in ("server", "step", "software", "keys"):
        table.add_column(column)
    for row in rows:
        found = shown(row.software) if row.software else shown(row.error, limit=120, style="red")
        keys = shown(row.keys) if row.keys or not row.software else shown(row.error, style="red")
        table.add_row(shown(row.name), row.step, found, keys)
    return table


async def main(
    names: Sequence[str],
    open_resolver: Callable[[], AbstractAsyncContextManager[Resolver]] = open_resolver,
    open_client: Callable[
        [Resolver], AbstractAsyncContextManager[FederationClient]
    ] = open_federation_client,
) -> None:
    """Ask all, show how far it has come, and print the table; a test opens other parts."""
    slots = asyncio.Semaphore(AT_ONCE)
    async with open_resolver() as resolver, open_client(resolver) as client:
        screen = Console(stderr=True)
        with Progress(console=screen, transient=True, disable=not screen.is_terminal) as progress:
            bar = progress.add_task("asking", total=len(names))

            async def ask_in_turn(name: str) -> Row:
                async with slots:
                    row = await ask(resolver, client, name)
                progress.advance(bar)
                return row

            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(ask_in_turn(name)) for name in names]
    Console().print(table_of(task.result() for task in tasks))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:] or SERVERS))
