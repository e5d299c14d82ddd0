"""One name server, and the c-ares channels in which it is asked.

Whatever c-ares would do on its own is done outside of it, in `tries`, because a channel

- keeps answers, "no such record" for up to an hour, and pycares can't switch that off;
- makes its tries as short as a quarter of a second once it has seen quick answers, and each try
  changes port, so that a slow answer to an earlier one is lost;
- fails all questions under way when one datagram is malformed;
- forgets which server was dead when it is closed.

So a channel has one server and makes one try, and no channel is asked for longer than a second.
"""

import asyncio
import time
from typing import Final

import aiodns
import pycares

from matrix_resolve.backends.dns_aiodns.answers import NoAnswerError

# Every name is absolute: no search list, no host aliases. EDNS is off, for with it come DNS cookies
# (RFC 7873), and where forwarders add them to some answers only, c-ares drops the others.
_FLAGS: Final = pycares.ARES_FLAG_NOSEARCH | pycares.ARES_FLAG_NOALIASES
# c-ares counts a try's milliseconds in 31 bits; in seconds.
_LONGEST: Final = 2_000_000.0
# So old (seconds) a channel may be and still be asked: lifetimes are ours alone.
_CHANNEL_AGE: Final = 1.0
# After so many answers c-ares makes its tries shorter: five times what answers take on average. So
# an answer counts that took less than a fifth of a question's time.
_PATIENT_FOR: Final = 3
_QUICK: Final = 0.2
# With so many open, none is opened for the sake of patience: each has a thread and descriptors.
_MAX_CHANNELS: Final = 12
# So many questions are asked at once in a channel of their own.
_MAX_ALONE: Final = 8

Answering = asyncio.Future[pycares.DNSResult]


class Channel:
    """A c-ares channel with one server; when it was made, and how much it was asked."""

    def __init__(self, server: str, timeout: float) -> None:
        self._resolver = aiodns.DNSResolver(
            [server], timeout=min(timeout, _LONGEST), tries=1, flags=_FLAGS
        )
        self._made_at = time.monotonic()
        self._quick = timeout * _QUICK
        self._under_way: dict[Answering, float] = {}  # when it was asked
        self._quickly_over = 0

    def is_young(self) -> bool:
        """Return whether nothing that c-ares may have kept in it is too old."""
        return time.monotonic() - self._made_at < _CHANNEL_AGE

    def is_patient(self) -> bool:
        """Return whether c-ares still gives a question all its time."""
        return self._quickly_over < _PATIENT_FOR

    def is_asking(self) -> bool:
        """Return whether an answer is waited for."""
        return any(not answering.done() for answering in self._under_way)

    def ask(self, name: str, kind: str) -> Answering:
        """Ask for records of a type; whoever cancels what this returns waits no longer."""
        answering = self._resolver.query_dns(name, kind)
        self._under_way[answering] = time.monotonic()
        answering.add_done_callback(self._note_end)
        return answering

    async def close(self) -> None:
        """Close the sockets; what is under way fails."""
        await self._resolver.close()

    def _note_end(self, answering: Answering) -> None:
        # Answered or not: of what nobody waits for any more, the answer may still come.
        if time.monotonic() - self._under_way.pop(answering) < self._quick:
            self._quickly_over += 1


class Server:
    """A name server, spelled for c-ares. `timeout` in seconds is that of a question."""

    def __init__(self, spelling: str, timeout: float) -> None:
        self._spelling = spelling
        self._timeout = timeout
        self._channels: list[Channel] = []  # the newest last
        self._alone = asyncio.Semaphore(_MAX_ALONE)
        self._closed = False

    def is_asking(self) -> bool:
        """Return whether an answer is waited for."""
        return any(channel.is_asking() for channel in self._channels)

    def ask(self, name: str, kind: str, *, patient: bool) -> Answering:
        """Ask for records of a type; `patient`: and give it all the time there is.

        Raises `pycares.AresError` if there can be no channel. Call `tidy` when it is over.
        """
        return self._channel(patient=patient).ask(name, kind)

    async def ask_alone(self, name: str, kind: str) -> pycares.DNSResult:
        """Ask where no other question can come to harm, nor do any."""
        async with self._alone:
            self._ensure_open()
            channel = Channel(self._spelling, self._timeout)
            try:
                return await channel.ask(name, kind)
            finally:
                await channel.close()

    def is_untidy(self) -> bool:
        """Return whether there may be channels to close."""
        return len(self._channels) > 1

    async def tidy(self) -> None:
        """Close the channels in which nothing is under way, but for the one that comes next."""
        coming = next((channel for channel in self._channels if channel.is_young()), None)
        for channel in [channel for channel in self._channels if not channel.is_asking()]:
            if channel is not coming:
                self._channels.remove(channel)
                await channel.close()

    async def aclose(self) -> None:
        """Close the channels; what is under way fails."""
        self._closed = True
        channels, self._channels = self._channels, []
        for channel in channels:
            await channel.close()

    def _channel(self, *, patient: bool) -> Channel:
        """Return the oldest channel that may be asked; a patient one should not see quick answers.

        So those who need patience take the newest.
        """
        self._ensure_open()
        young = [channel for channel in self._channels if channel.is_young()]
        may_open = len(self._channels) < _MAX_CHANNELS
        if patient and may_open and young and not young[-1].is_patient():
            young = []
        if not young:
            channel = Channel(self._spelling, self._timeout)
            self._channels.append(channel)
            return channel
        return young[-1 if patient else 0]

    def _ensure_open(self) -> None:
        if self._closed:
            raise NoAnswerError("closed meanwhile")


def system_servers() -> list[str]:
    """Return the name servers of the system as they are now, spelled for c-ares.

    Raises `pycares.AresError` if it names none, or can't be asked: there is no descriptor left.
    """
    # With a callback it has no thread of its own, and nothing is ever asked in it.
    channel = pycares.Channel(flags=pycares.ARES_FLAG_NO_DFLT_SVR, sock_state_cb=lambda *_: None)
    try:
        return channel.servers
    finally:
        channel.close()
