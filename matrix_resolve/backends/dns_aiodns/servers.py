"""The name servers: those that were given or the system's, and in which order they are asked."""

import asyncio
import re
import time
from collections.abc import Callable, Sequence
from ipaddress import ip_address
from typing import Final

import pycares

from matrix_resolve.backends.dns_aiodns.answers import Found, NoAnswerError
from matrix_resolve.backends.dns_aiodns.channels import Server, system_servers
from matrix_resolve.backends.dns_aiodns.tries import Known, Planned, Tries, planned
from matrix_resolve.errors import shown

# So many seconds pass between two looks at which servers the system has.
_LOOK_EVERY: Final = 1.0
# What a system asks that names no server (resolv.conf(5)).
_THIS_MACHINE: Final = "127.0.0.1:53"
_SPELLING: Final = re.compile(
    r"""(?: \[ (?P<bracketed> [^\]]*:[^\]]* ) \] | (?P<bare> [^\[\]]*:[^\[\]]*:[^\[\]]* )
        | (?P<ipv4> [^:\[\]]* ) ) (?: : (?P<port> [0-9]{1,5} ) )?""",
    re.VERBOSE,
)
_ZONE: Final = re.compile(r"[0-9A-Za-z_.-]{1,15}")


class Servers:
    """The name servers `given`, as `read_nameserver` returns them; None: the system's of now.

    `timeout` in seconds is that of one question; so are the moments that `clock` tells.
    """

    def __init__(
        self,
        given: Sequence[str] | None,
        timeout: float,
        *,
        system: Callable[[], Sequence[str]] = system_servers,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._given = given
        self._timeout = timeout
        self._system = system
        self._clock = clock
        self._known: dict[str, Known] = {}
        self._plan: Sequence[Planned] = ()
        self._look_at: float | None = None
        self._gone: list[Server] = []  # the system's no longer, but perhaps still answering
        self._closed = False

    async def aclose(self) -> None:
        """Close the channels; what is under way fails."""
        self._closed = True
        for server in [*self._gone, *(known.server for known in self._known.values())]:
            await server.aclose()

    async def ask(self, name: str, kind: str) -> Found:
        """Return the first usable answer.

        Raises `NoAnswerError` when all servers have failed, or the time is over.
        """
        tries = self.begin(name, kind)
        try:
            return await tries.answer
        finally:
            await self.end(tries)
            del tries  # or a failure's traceback would hold this, and this the failure

    def begin(self, name: str, kind: str) -> Tries:
        """Ask, and return what waits for the answer; give it to `end` in any case."""
        self._look()
        now, plan = self._clock(), self._plan
        # In the order given, but those that were silent last.
        last = [known for known in self._known.values() if known.comes_last(now)]
        if last:
            first = [known for known in self._known.values() if known not in last]
            plan = planned([*first, *last])
        return Tries(name, kind, plan, self._timeout, self._clock)

    async def end(self, *questions: Tries) -> None:
        """Wait for them no longer, and close the channels that are needed no more."""
        ending = [task for tries in questions for task in tries.give_up()]
        if ending:
            await asyncio.gather(*ending, return_exceptions=True)
        for known in self._known.values():
            if known.server.is_untidy():
                await known.server.tidy()
        for server in [server for server in self._gone if not server.is_asking()]:
            self._gone.remove(server)
            await server.aclose()

    def _look(self) -> None:
        """See which servers there are; what is known of those that stay is kept."""
        if self._closed:
            raise NoAnswerError("closed meanwhile")
        now = self._clock()
        if self._look_at is not None and (self._given is not None or now < self._look_at):
            return
        try:
            spellings = self._system() if self._given is None else self._given
        except pycares.AresError:  # none are named, or they can't be told just now
            spellings = list(self._known) or [_THIS_MACHINE]
        self._look_at = now + _LOOK_EVERY
        before = self._known
        self._known = {
            spelling: before.get(spelling) or Known(Server(spelling, self._timeout))
            for spelling in spellings
        }
        self._plan = planned([*self._known.values()])
        self._gone += [before[spelling].server for spelling in before.keys() - self._known.keys()]


def read_nameserver(text: str) -> str:
    """Return the server that `text` spells as c-ares spells it; `ValueError` if it spells none."""
    parts = _SPELLING.fullmatch(text) if isinstance(text, str) else None
    try:
        if parts is None or not 1 <= (port := int(parts["port"] or 53)) <= 65535:
            raise ValueError
        address, percent, zone = (parts["bracketed"] or parts["bare"] or parts["ipv4"]).partition(
            "%"
        )
        ip = ip_address(address)
        if percent and (ip.version == 4 or not _ZONE.fullmatch(zone)):
            raise ValueError
    except ValueError as error:
        raise ValueError(
            f"{shown(text)} is no name server: an IP address is wanted, as in"
            ' "192.0.2.1", "192.0.2.1:53", "2001:db8::1" or "[2001:db8::1]:53"'
        ) from error
    return f"[{ip}]:{port}{percent}{zone}" if ip.version == 6 else f"{ip}:{port}"
