"""The turns of requests to be sent: so many at once, and so many of them to one server."""

import asyncio
from weakref import WeakValueDictionary

from matrix_resolve.core.names import ServerName


class Turns:
    """At most `most` at once, and at most `most_per_server` of one server; None is no such limit.

    Whoever finds none free waits; first come, first served.
    """

    def __init__(self, most: int, most_per_server: int | None) -> None:
        self._turns = asyncio.Semaphore(most)
        self._most_per_server = most_per_server
        self._turns_of = WeakValueDictionary[str, asyncio.Semaphore]()

    async def take(self, server_name: str | ServerName) -> asyncio.Semaphore | None:
        """Wait for a turn; return what is to be given back with it."""
        of_server = self._of(server_name)
        if of_server is not None:
            await of_server.acquire()
        try:
            await self._turns.acquire()
        except BaseException:
            if of_server is not None:
                of_server.release()
            raise
        return of_server

    def give_back(self, of_server: asyncio.Semaphore | None) -> None:
        """Let others have a turn that was taken."""
        self._turns.release()
        if of_server is not None:
            of_server.release()

    def _of(self, server_name: str | ServerName) -> asyncio.Semaphore | None:
        if self._most_per_server is None:
            return None
        name = str(server_name).lower()
        turns = self._turns_of.get(name)
        if turns is None:
            turns = self._turns_of[name] = asyncio.Semaphore(self._most_per_server)
        return turns
