"""The addresses of one host, raced for a connection (RFC 8305), TLS and all."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final

import aiohttp

from matrix_resolve.core.bounded import Bounded
from matrix_resolve.transport.attempts import ConnectionAttempt, OvertakenError, SocketAddress
from matrix_resolve.transport.connections import Connections
from matrix_resolve.transport.failures import Failure

# Seconds that an address has for itself before the next one is dialled beside it: until TCP has
# connected (RFC 8305, 5), and until TLS has.
_TCP_HEAD_START: Final = 0.25
_TLS_HEAD_START: Final = 1.5
# Within these an idle connection that is given up is closed (seconds).
_TO_CLOSE: Final = 0.05
# An address that failed, or was overtaken, is tried after the others for so long (seconds).
_TRIED_LAST_FOR: Final = 60.0
_MOST_FAILED: Final = 10_000
# A proxy that was not reached in time is not dialled again for so long (seconds).
_MUTE_FOR: Final = 5.0
_LEAST: Final = 0.001  # for aiohttp 0 seconds are no limit

Send = Callable[[ConnectionAttempt, float | None], Awaitable[aiohttp.ClientResponse]]
"""Makes an attempt, with so many seconds for connecting."""


class Dialler:
    """Dials for one session, and knows which addresses failed lately.

    `connect_to` maps (host in lower case, port), or else (IP address, port), to one to dial in its
    place.
    """

    def __init__(
        self,
        session: aiohttp.ClientSession,
        connections: Connections,
        connect_to: Mapping[SocketAddress, SocketAddress],
    ) -> None:
        self.session: Final = session
        self.connections: Final = connections
        self.connect_to: Final = connect_to
        self._failed = Bounded[SocketAddress, float](_MOST_FAILED)
        self._mute_proxies: dict[str, tuple[float, Failure]] = {}

    def failed(self, attempt: ConnectionAttempt) -> None:
        """Hear that what was dialled did not answer, or not in time."""
        until = asyncio.get_running_loop().time() + _TRIED_LAST_FOR
        for address in attempt.addresses or ():
            if address[0] in attempt.dialled:
                self._failed.put(address, until)

    def answered(self, attempt: ConnectionAttempt) -> None:
        """Hear that there was a connection."""
        for address in attempt.addresses or ():
            self._failed.delete(address)

    def proxy_failed(self, proxy: str, failure: Failure) -> None:
        """Hear that a proxy was not reached in time, which would cost others that time as well."""
        until = asyncio.get_running_loop().time() + _MUTE_FOR
        self._mute_proxies[proxy] = until, failure

    def failure_of_proxy(self, proxy: str) -> Failure | None:
        """Return why a proxy need not be dialled now."""
        until, failure = self._mute_proxies.get(proxy, (0.0, None))
        return failure if asyncio.get_running_loop().time() < until else None

    def in_order(self, addresses: Sequence[SocketAddress]) -> list[SocketAddress]:
        """Return the addresses, those that failed lately last."""
        now = asyncio.get_running_loop().time()
        return sorted(addresses, key=lambda address: (self._failed.get(address) or 0.0) > now)


class Race:
    """Makes attempts one beside another until one of them has a connection.

    It ends `connect_timeout` seconds after it began. `failures` is where it tells why an address,
    or None for the host as a whole, could not be connected to.
    """

    def __init__(
        self,
        dialler: Dialler,
        send: Send,
        connect_timeout: float,
        failures: dict[str | None, Failure],
    ) -> None:
        self._dialler = dialler
        self._send = send
        self._connect_timeout = connect_timeout
        self._failures = failures
        self._until = 0.0
        self._running: dict[asyncio.Task[aiohttp.ClientResponse | None], ConnectionAttempt] = {}
        self._winner: ConnectionAttempt | None = None

    def claim(self, attempt: ConnectionAttempt, /) -> None:
        """Let the first attempt that has a connection go on; the others end."""
        if self._winner is not None and self._winner is not attempt:
            raise OvertakenError
        self._winner = attempt
        overtaken = True
        for task, other in self._running.items():
            if other is attempt:
                overtaken = False
            elif not task.done():
                task.cancel()
                if overtaken:
                    self._dialler.failed(other)

    async def run(self, attempts: Sequence[ConnectionAttempt]) -> aiohttp.ClientResponse | None:
        """Return the response at the first address that takes a connection, None if none does.

        Raises what happens on the connection.
        """
        await self._dialler.connections.make_room(attempts[0])
        now = asyncio.get_running_loop().time
        self._until = now() + self._connect_timeout
        if len(attempts) == 1:
            return await self._go(attempts[0])
        try:
            for place, attempt in enumerate(attempts):
                if self._winner is not None:
                    break
                started = now()
                share = (self._until - started) / (len(attempts) - place)
                task = asyncio.create_task(self._go(attempt))
                self._running[task] = attempt
                for head_start in (_TCP_HEAD_START, _TLS_HEAD_START):
                    left = started + min(head_start, share) - now()
                    await asyncio.wait([task], timeout=left)
                    if task.done() or not attempt.has_tcp:
                        break
                if self._winner is None and not task.done() and place + 1 < len(attempts):
                    until = max(started + min(_TLS_HEAD_START, share), now() + _TO_CLOSE)
                    await self._make_room(attempts[place + 1], until)
            while self._running:
                done, _ = await asyncio.wait(self._running, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    attempt = self._running.pop(task)
                    if self._winner in (None, attempt):
                        response = task.result()
                        if response is not None:
                            return response
            return None
        finally:
            for task in self._running:
                task.cancel()
            if self._running:
                await asyncio.wait(self._running)
            for attempt in attempts:
                self._dialler.connections.leave_room(attempt)

    async def _make_room(self, attempt: ConnectionAttempt, until: float) -> None:
        """Have room for one more attempt, if not beside those that are made then in their place."""
        now = asyncio.get_running_loop().time
        room = asyncio.create_task(self._dialler.connections.make_room(attempt))
        try:
            while not room.done() and self._winner is None and (left := until - now()) > 0:
                running = {task for task in self._running if not task.done()}
                await asyncio.wait(
                    [room, *running], timeout=left, return_when=asyncio.FIRST_COMPLETED
                )
            if room.done() or self._winner is not None:
                return
            running = {task for task in self._running if not task.done()}
            for task in running:
                task.cancel()
                self._fail(self._running[task], Failure("no connection when another had its turn"))
            if running:
                await asyncio.wait(running)
            for task in running:
                del self._running[task]
        finally:
            room.cancel()
            await asyncio.wait([room])

    def _fail(self, attempt: ConnectionAttempt, failure: Failure) -> None:
        self._dialler.failed(attempt)
        # Through a proxy, what was dialled is no address of the host's.
        at = attempt.dialled if attempt.addresses else ()
        self._failures |= dict.fromkeys(at or (None,), failure)

    def _told(self, attempt: ConnectionAttempt, error: Exception) -> Failure:
        """Return why there is no connection."""
        if isinstance(error, aiohttp.ConnectionTimeoutError):
            reason = f"no connection within {self._connect_timeout:g} s"
            error = TimeoutError(reason + ": TCP connected, TLS did not" * attempt.has_tcp)
        is_reached = attempt.transport is not None
        if attempt.proxy is None or (is_reached and attempt.has_tcp):
            return Failure.of(error)
        failure = Failure.of_proxy(error, is_reached=is_reached)
        if failure.is_general and isinstance(error, TimeoutError):
            self._dialler.proxy_failed(attempt.proxy, failure)
        return failure

    async def _go(self, attempt: ConnectionAttempt) -> aiohttp.ClientResponse | None:
        """Make one attempt; return None if there is no connection."""
        connections = self._dialler.connections
        attempt.race = self
        try:
            if not attempt.has_room:
                try:
                    async with asyncio.timeout_at(self._until):
                        await connections.make_room(attempt)
                except TimeoutError:  # the address was not dialled, so nothing is held against it
                    failure = Failure("no room for one more connection", is_own=True)
                    at = [address for address, _ in attempt.addresses or ()]
                    self._failures |= dict.fromkeys(at, failure)
                    return None
            seconds = self._until - asyncio.get_running_loop().time()
            response = await self._send(attempt, max(seconds, _LEAST))
        except (aiohttp.ClientError, UnicodeError) as error:
            if attempt.failure is not None:
                raise attempt.failure from None
            if attempt.has_sent:
                raise
            failure = self._told(attempt, error)
        else:
            self._dialler.answered(attempt)
            return response
        finally:
            connections.leave_room(attempt)
            attempt.ended()
        self._fail(attempt, failure)
        return None
