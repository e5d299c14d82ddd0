"""One question, and its tries: at one name server or at several, each listened to to the end."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

import aiodns
import pycares
from attrs import mutable

from matrix_resolve.backends.dns_aiodns.answers import Found, NoAnswerError, read_answer
from matrix_resolve.backends.dns_aiodns.channels import Answering, Server

# When it is tried, in shares of its time: at once at the first server; then there once more (a
# datagram may be lost) and, step by step, at the others; and later at all of them anew.
_STEP: Final = 0.04
_AGAIN: Final = 0.3
# So many seconds a server that was silent is asked last.
_ASKED_LAST: Final = 30.0

_NONE: Final = {1, 4}  # ARES_ENODATA, ARES_ENOTFOUND
_MALFORMED: Final = 10  # ARES_EBADRESP
_UNREACHABLE: Final = 11  # ARES_ECONNREFUSED
_TIMED_OUT: Final = 12  # ARES_ETIMEOUT


@mutable(eq=False)
class Known:
    """A server, when it last sent anything, and until when it is asked last; moments in seconds."""

    server: Server
    heard_at: float = float("-inf")
    last_until: float | None = None

    def heard(self, now: float) -> None:
        """Note that something came from it."""
        self.heard_at = now
        self.last_until = None

    def silent(self, asked_at: float, now: float) -> None:
        """Note that another has answered what this was asked too.

        If it was heard since, the silence is that of the name.
        """
        if self.heard_at < asked_at:
            self.last_until = now + _ASKED_LAST

    def comes_last(self, now: float) -> bool:
        """Return whether the others are asked before it.

        When its time is over, one question finds out whether it is back; the others don't wait.
        """
        if self.last_until is None:
            return False
        if now < self.last_until:
            return True
        self.last_until = now + _ASKED_LAST
        return False


class Tries:
    """The tries of one question, at `servers` in their order. `timeout` in seconds is its time."""

    def __init__(
        self,
        name: str,
        kind: str,
        servers: Sequence[Known],
        timeout: float,
        clock: Callable[[], float],
    ) -> None:
        self._name = name
        self._kind = kind
        self._timeout = timeout
        self._clock = clock
        self._plan = planned(servers)
        self._under_way: dict[Answering, Known] = {}
        self._asked_at: dict[Known, float] = {}
        self._asked_alone: set[Known] = set()
        self._failed: dict[Known, str] = {}

    async def answer(self) -> Found:
        """Return the first answer; raise `NoAnswerError` when all servers have failed."""
        began = self._clock()
        while True:
            due = self._timeout * self._plan[0][0] - (self._clock() - began) if self._plan else None
            if due is not None and (due <= 0 or not self._under_way):
                self._try(self._plan.pop(0)[1])
                continue
            if not self._under_way:
                told = "; ".join(dict.fromkeys(self._failed.values()))
                raise NoAnswerError(told or f"no answer within {self._timeout:g} s")
            done, _ = await asyncio.wait(
                self._under_way, timeout=due, return_when=asyncio.FIRST_COMPLETED
            )
            for answering in done:
                known = self._under_way.pop(answering)
                if (found := self._read(answering, known)) is not None:
                    self._compare()
                    return found

    async def give_up(self) -> None:
        """Wait for no more answers."""
        for answering in self._under_way:
            answering.cancel()  # of one that has failed already, asyncio then tells nothing either
        tasks = [answering for answering in self._under_way if isinstance(answering, asyncio.Task)]
        if tasks:
            await asyncio.gather(*tasks, return_exceptions=True)

    def _try(self, known: Known) -> None:
        # What was seen in a channel shortens the next tries there: only the first may be short.
        patient = known in self._asked_at
        self._asked_at.setdefault(known, self._clock())
        try:
            answering = known.server.ask(self._name, self._kind, patient=patient)
        except (NoAnswerError, pycares.AresError, OSError) as error:
            self._fail(known, str(error.args[-1]) if error.args else type(error).__name__)
        else:
            self._under_way[answering] = known

    def _read(self, answering: Answering, known: Known) -> Found | None:
        """Return what has come, None if that is no answer."""
        code = None
        try:
            result = answering.result()
            known.heard(self._clock())
            return read_answer(self._name, self._kind, result.answer)
        except NoAnswerError as error:
            self._fail(known, str(error))
            return None
        except aiodns.error.DNSError as error:
            code, *words = error.args
            told = str(words[0]) if words else f"c-ares error {code}"
        except (pycares.AresError, OSError) as error:
            told = str(error)
        if code in _NONE:
            known.heard(self._clock())
            return Found()
        if code == _MALFORMED and known not in self._asked_alone:
            # It was perhaps the answer to another question, for c-ares fails them all.
            known.heard(self._clock())
            self._asked_alone.add(known)
            alone = asyncio.ensure_future(known.server.ask_alone(self._name, self._kind))
            self._under_way[alone] = known
        elif code == _TIMED_OUT:  # that c-ares has given up need not mean that we do
            if known not in self._failed:
                self._plan.append((1.0, known))
        else:
            if code != _UNREACHABLE:
                known.heard(self._clock())
            self._fail(known, told)
        return None

    def _fail(self, known: Known, told: str) -> None:
        """Note how a server failed; it is not asked again."""
        self._failed[known] = told
        self._plan = [(share, other) for share, other in self._plan if other is not known]

    def _compare(self) -> None:
        """There is an answer: note which servers have not said a word."""
        now = self._clock()
        for known, asked_at in self._asked_at.items():
            known.silent(asked_at, now)


def planned(servers: Sequence[Known]) -> list[tuple[float, Known]]:
    """Return when which server is asked, in shares of a question's time."""
    first = [(_STEP * place, known) for place, known in enumerate(servers)]
    again = max(_AGAIN, _STEP * len(servers))
    return [
        *first[:1],
        *((_STEP, known) for known in servers[:1]),
        *first[1:],
        *((again + share, known) for share, known in first),
    ]
