"""An HTTP proxy for tests."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from matrix_resolve.testing import LoopbackFederation


@asynccontextmanager
async def proxy(federation: LoopbackFederation) -> AsyncIterator[tuple[int, list[str]]]:
    """Run an HTTP proxy on 127.0.0.1 that reaches the federation; give its port and its log.

    It answers 502 for the host "dead.example".
    """
    log: list[str] = []

    async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers = [writer]
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            log.append(head.split("\r\n")[0])
            host, port = head.split(" ")[1].rsplit(":", 1)
            if host == "dead.example":
                writer.write(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n")
                return
            there = await asyncio.open_connection(*federation.connect_to[host, int(port)])
            writers.append(there[1])
            writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
            await asyncio.gather(copy(reader, there[1]), copy(there[0], writer))
        except (OSError, EOFError):
            pass
        finally:
            for opened in writers:
                opened.close()

    serving: set[asyncio.Task[None]] = set()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        serving.add(asyncio.ensure_future(serve(reader, writer)))

    async with await asyncio.start_server(accept, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1], log
    for task in serving:
        task.cancel()
    if serving:
        await asyncio.wait(serving)
