"""The context of one request: from its turn to the end of its response."""

import asyncio
from collections.abc import Awaitable, Callable
from types import TracebackType

import aiohttp

from matrix_resolve.federation.outgoing import Outgoing
from matrix_resolve.federation.response import FederationResponse
from matrix_resolve.federation.telling import Telling
from matrix_resolve.federation.turns import Turns
from matrix_resolve.hooks.events import Hooks


class RequestContext:
    """Sends what is `outgoing` when it is its turn, and gives the response.

    While it lasts it stands in `under_way`. It ends in time, and tells what was awaited if it did
    not. `hooks` are told of it.
    """

    def __init__(
        self,
        outgoing: Callable[[], Outgoing],
        turns: Turns,
        send: Callable[[Outgoing], Awaitable[FederationResponse]],
        under_way: "set[RequestContext]",
        hooks: Hooks,
    ) -> None:
        self._outgoing = outgoing
        self._turns = turns
        self._send = send
        self._under_way = under_way
        self._hooks = hooks
        self._is_closed = False
        self._limit: asyncio.Timeout | None = None
        self._turn: asyncio.Semaphore | None = None
        self._response: FederationResponse | None = None

    async def __aenter__(self) -> aiohttp.ClientResponse:
        if self._limit is not None:
            raise RuntimeError("a request is sent once")
        outgoing = self._outgoing()
        if not self._hooks:
            response = await self._sent(outgoing)
        else:
            with Telling(self._hooks, outgoing) as telling:
                response = await self._sent(outgoing)
                telling.answered(response)
        return await response.__aenter__()  # it lasts, be its status raised meanwhile

    async def _sent(self, outgoing: Outgoing) -> FederationResponse:
        self._limit = asyncio.timeout_at(outgoing.ends_at)
        self._under_way.add(self)
        try:
            async with self._limit:
                self._turn = await self._turns.take(outgoing.server_name)
                try:
                    self._response = response = await self._send(outgoing)
                except BaseException:
                    self._turns.give_back(self._turn)
                    raise
        except BaseException as error:
            self._under_way.discard(self)
            if not isinstance(error, TimeoutError):
                raise
            if self._is_closed and self._limit.expired():
                raise RuntimeError("the client is closed") from error
            raise outgoing.told(error) from error
        response.answers(outgoing)
        return response

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        assert self._response is not None
        try:
            await self._response.__aexit__(exc_type, exc_value, traceback)
        finally:
            self._under_way.discard(self)
            self._turns.give_back(self._turn)

    def close(self) -> None:
        """End it now, because the client is closed."""
        self._is_closed = True
        if self._response is not None:
            self._response.close()
        elif self._limit is not None and not self._limit.expired():
            self._limit.reschedule(0)  # a moment long past
