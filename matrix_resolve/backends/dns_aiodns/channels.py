"""One name server, and the c-ares channels in which it is asked.

Whatever c-ares would do on its own is done outside of it, in `tries`, because a channel

- keeps answers, "no such record" for up to an hour, and pycares can't switch that off;
- makes its tries as short as a quarter of a second once it has seen quick answers, and each try
  changes port, so that a slow answer to an earlier one is lost;
- fails all questions under way when one datagram is malformed;
- forgets which server was dead when it is closed.

So a channel has one server and makes one try, and no channel is asked for longer than a second.
Nearly every question needs one quick try: that is made in a `QuickChannel`. What needs more goes on
in a `PatientChannel`.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Any, Final, TypeVar

import aiodns
import pycares

from matrix_resolve.backends.dns_aiodns.answers import NoAnswerError
from matrix_resolve.backends.dns_aiodns.watching import WatchedResolver

# Every name is absolute: no search list, no host aliases. EDNS is off, for with it come DNS cookies
# (RFC 7873), and where forwarders add them to some answers only, c-ares drops the others.
_FLAGS: Final = pycares.ARES_FLAG_NOSEARCH | pycares.ARES_FLAG_NOALIASES
# c-ares counts a try's milliseconds in 31 bits; in seconds.
_LONGEST: Final = 2_000_000.0
# So old (seconds) a channel may be and still be asked: lifetimes are ours alone.
_CHANNEL_AGE: Final = 1.0
# So many questions may be under way in a quick channel: its one socket must hold their answers
# while the event loop is busy.
_MOST_QUICK: Final = 128
# After so many answers c-ares makes its tries shorter: five times what answers take on average. So
# an answer counts that took less than a fifth of a question's time.
_PATIENT_FOR: Final = 3
_QUICK: Final = 0.2
# With so many open, none is opened for the sake of room or of patience: each has descriptors, and a
# patient one a thread.
_MAX_CHANNELS: Final = 12
# So many questions are asked at once in a channel of their own.
_MAX_ALONE: Final = 8

Answering = asyncio.Future[pycares.DNSResult]
_Channel = TypeVar("_Channel", bound="Channel")


class Channel:
    """A c-ares channel, and which answers are waited for in it."""

    def __init__(self, resolver: aiodns.DNSResolver) -> None:
        self._resolver = resolver
        self._made_at = time.monotonic()
        self._under_way: dict[Answering, Any] = {}

    def is_young(self) -> bool:
        """Return whether nothing that c-ares may have kept in it is too old."""
        return time.monotonic() - self._made_at < _CHANNEL_AGE

    def is_asking(self) -> bool:
        """Return whether an answer is waited for."""
        return any(not answering.done() for answering in self._under_way)

    async def close(self) -> None:
        """Close the sockets; what is under way fails."""
        await self._resolver.close()


class QuickChannel(Channel):
    """A channel that takes datagrams alone. There are many more questions in it than in others."""

    def __init__(self, server: str, timeout: float) -> None:
        super().__init__(WatchedResolver(server, self._turn_to_tcp, **_options(timeout)))
        self._cut_short = False

    def is_young(self) -> bool:
        """Return whether it may be asked."""
        return super().is_young() and not self._cut_short

    def has_room(self) -> bool:
        """Return whether one more question may be under way."""
        return len(self._under_way) < _MOST_QUICK

    def ask(self, name: str, kind: str, hurry: Callable[[Answering], None]) -> Answering:
        """Ask for records of a type; call `hurry` when that may have been in vain."""
        answering = self._resolver.query_dns(name, kind)
        self._under_way[answering] = hurry
        return answering

    def forget(self, answering: Answering) -> None:
        """Keep nothing of a question that is over."""
        self._under_way.pop(answering, None)

    def _turn_to_tcp(self) -> None:
        """An answer was cut short, and nobody tells to which question."""
        self._cut_short = True
        asyncio.get_running_loop().call_soon(self._hurry)  # when all that came with it is read

    def _hurry(self) -> None:
        for answering, hurry in [*self._under_way.items()]:
            if not answering.done():
                hurry(answering)


class PatientChannel(Channel):
    """A channel that takes answers of any length; c-ares reads them in a thread of its own."""

    def __init__(self, server: str, timeout: float) -> None:
        super().__init__(aiodns.DNSResolver([server], **_options(timeout)))
        self._quick = timeout * _QUICK
        self._quickly_over = 0

    def is_patient(self) -> bool:
        """Return whether c-ares still gives a question all its time."""
        return self._quickly_over < _PATIENT_FOR

    def ask(self, name: str, kind: str) -> Answering:
        """Ask for records of a type; whoever cancels what this returns waits no longer."""
        answering = self._resolver.query_dns(name, kind)
        self._under_way[answering] = time.monotonic()
        answering.add_done_callback(self._note_end)
        return answering

    def _note_end(self, answering: Answering) -> None:
        # Answered or not: of what nobody waits for any more, the answer may still come.
        if time.monotonic() - self._under_way.pop(answering) < self._quick:
            self._quickly_over += 1


def _options(timeout: float) -> dict[str, Any]:
    return {"timeout": min(timeout, _LONGEST), "tries": 1, "flags": _FLAGS}


class Server:
    """A name server, spelled for c-ares. `timeout` in seconds is that of a question."""

    def __init__(self, spelling: str, timeout: float) -> None:
        self._spelling = spelling
        self._timeout = timeout
        self._quick: list[QuickChannel] = []  # the newest last
        self._patient: list[PatientChannel] = []
        self._alone = asyncio.Semaphore(_MAX_ALONE)
        self._closed = False

    def is_asking(self) -> bool:
        """Return whether an answer is waited for."""
        return any(channel.is_asking() for channel in (*self._quick, *self._patient))

    def ask(self, name: str, kind: str, hurry: Callable[[Answering], None]) -> Answering:
        """Ask for records of a type, for the first time.

        `hurry` is called with what this returns when that was perhaps in vain. Raises
        `pycares.AresError` if there can be no channel. Call `forget` when it is over, and `tidy`.
        """
        channel = self._quick_channel()
        return channel.ask(name, kind, hurry) if channel else self.ask_again(name, kind)

    def forget(self, answering: Answering) -> None:
        """Keep nothing of a question that is over."""
        for channel in self._quick:
            channel.forget(answering)

    def ask_again(self, name: str, kind: str) -> Answering:
        """Ask for records of a type, and give it all the time there is."""
        return self._patient_channel().ask(name, kind)

    async def ask_alone(self, name: str, kind: str) -> pycares.DNSResult:
        """Ask where no other question can come to harm, nor do any."""
        async with self._alone:
            self._ensure_open()
            channel = PatientChannel(self._spelling, self._timeout)
            try:
                return await channel.ask(name, kind)
            finally:
                await channel.close()

    def is_untidy(self) -> bool:
        """Return whether there may be channels to close."""
        return len(self._quick) + len(self._patient) > 1

    async def tidy(self) -> None:
        """Close the channels in which nothing is under way, but for those that come next."""
        for channel in (*_taken_out(self._quick), *_taken_out(self._patient)):
            await channel.close()

    async def aclose(self) -> None:
        """Close the channels; what is under way fails."""
        self._closed = True
        channels = *self._quick, *self._patient
        self._quick, self._patient = [], []
        for channel in channels:
            await channel.close()

    def _quick_channel(self) -> QuickChannel | None:
        """Return one that may be asked; None if all there may be only wait for what is silent.

        So answers that are cut short, one channel each, do not use up the descriptors.
        """
        self._ensure_open()
        young = [channel for channel in self._quick if channel.is_young()]
        for channel in reversed(young):
            if channel.has_room():
                return channel
        if len(self._quick) >= _MAX_CHANNELS:
            return young[-1] if young else None
        self._quick.append(QuickChannel(self._spelling, self._timeout))
        return self._quick[-1]

    def _patient_channel(self) -> PatientChannel:
        self._ensure_open()
        young = [channel for channel in self._patient if channel.is_young()]
        if young and (young[-1].is_patient() or len(self._patient) >= _MAX_CHANNELS):
            return young[-1]
        self._patient.append(PatientChannel(self._spelling, self._timeout))
        return self._patient[-1]

    def _ensure_open(self) -> None:
        if self._closed:
            raise NoAnswerError("closed meanwhile")


def _taken_out(channels: list[_Channel]) -> list[_Channel]:
    """Take out, and return, the channels that are needed no more."""
    idle = [channel for channel in channels if not channel.is_asking()]
    if idle and idle[-1] is channels[-1] and idle[-1].is_young():
        idle.pop()
    for channel in idle:
        channels.remove(channel)
    return idle


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
