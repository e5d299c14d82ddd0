"""Which name server is asked when."""

import asyncio
import ssl
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

import dns.exception
from dns.name import Name
from dns.rdatatype import RdataType

from matrix_resolve.backends.dns_dnspython.answers import Answer
from matrix_resolve.backends.dns_dnspython.servers import Server
from matrix_resolve.transport.tls_words import tls_in_words

# Of the time of a question; the rest is for telling what was found out by then: how a server
# failed, the addresses of one family without the other's.
_SHARE: Final = 0.95
# After this part of that, the next server is asked beside the first, or the question sent again.
_PATIENCE: Final = 0.2
_REASON: Final = 200  # characters


class NoAnswerError(Exception):
    """No server has answered; it says how each of them failed, on one line."""


class Servers:
    """Name servers, asked in their order, but last those that were silent when others answered.

    One that does not answer goes on being listened to while the next is asked: what is slow may be
    the name.
    """

    def __init__(self, servers: Sequence[Server], timeout: float) -> None:
        self._servers = servers
        self._timeout = timeout

    async def ask(self, name: Name, kind: RdataType) -> Answer:
        """Return the first usable answer, raise `NoAnswerError` if there is none in time."""
        failed: dict[Server, str] = {}
        answer = None
        with suppress(TimeoutError):
            async with asyncio.timeout(self._timeout * _SHARE):
                answer = await self._first(name, kind, failed)
        if answer is None:
            told = "; ".join(f"{server}: {what}" for server, what in failed.items())
            raise NoAnswerError(
                ascii(told)[1:-1][:_REASON] or f"no answer within {self._timeout:g} s"
            )
        return answer

    async def _first(self, name: Name, kind: RdataType, failed: dict[Server, str]) -> Answer | None:
        """Return the first usable answer, None if all have failed; put into `failed` how."""
        patience = self._timeout * _SHARE * _PATIENCE
        waiting = sorted(self._servers, key=Server.comes_last)
        asked: dict[asyncio.Task[Answer], Server] = {}
        mute: list[Server] = []  # that have failed without a word
        try:
            while waiting or asked:
                if waiting:
                    server = waiting.pop(0)
                    asked[asyncio.create_task(server.ask(name, kind, patience))] = server
                done, _ = await asyncio.wait(
                    asked,
                    timeout=patience if waiting else None,
                    return_when=asyncio.FIRST_COMPLETED,
                )
                for task in done:
                    server = asked.pop(task)
                    try:
                        answer = task.result()
                    except (OSError, EOFError, dns.exception.DNSException) as error:
                        mute.append(server)
                        told = (
                            tls_in_words(error) if isinstance(error, ssl.SSLError) else str(error)
                        )
                        failed[server] = told or type(error).__name__
                        continue
                    if not answer.problem:
                        silent = (server for task, server in asked.items() if not task.done())
                        for server in (*mute, *silent):
                            server.was_silent()
                        return answer
                    failed[server] = answer.problem
            return None
        finally:
            for task in asked:
                task.cancel()
            await asyncio.gather(*asked, return_exceptions=True)
