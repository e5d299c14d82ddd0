"""Servers that send more than anybody asked for."""

import asyncio
from asyncio import StreamWriter

from attrs import frozen


@frozen
class Flood:
    """Sends `first`, and then `piece` as long as the client takes it; nothing if that is empty."""

    first: bytes = b""
    piece: bytes = b""

    async def write(self, stream: StreamWriter, /) -> bool:
        """Write until the connection is gone."""
        stream.write(self.first)
        await stream.drain()
        while self.piece:
            stream.write(self.piece)
            await stream.drain()
            await asyncio.sleep(0)  # drain() need not pause: others must have their turn
        await asyncio.Event().wait()
        raise AssertionError
