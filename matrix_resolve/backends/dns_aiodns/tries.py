"""One question, and its tries: at one name server or at several, each listened to to the end."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

import aiodns
import pycares
from attrs import mutable

from matrix_resolve.backends.dns_aiodns.answers import Found, NoAnswerError, read_answer
from matrix_resolve.backends.dns_aiodns.channels import Answering, Server

# Of the time of a question; the rest is for telling what was found out by then.
_SHARE: Final = 0.97
# So long the addresses of one family wait for those of the other.
_BESIDE: Final = 0.5
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
# No try that was sent is so soon over (seconds): where nothing can be sent, c-ares says that too.
_NEVER_SENT: Final = 0.05


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


Planned = tuple[float, Known]
"""A try: when it is made, in shares of a question's time, and at which server."""


class Tries:
    """The tries of one question, made as in `plan`, the first at once.

    `timeout` in seconds is the question's time. It is no task: each answer and a timer carry it on,
    until `answer` is done with what was found, or with a `NoAnswerError` when all servers have
    failed or the time is over. Call `give_up` in the end.
    """

    def __init__(
        self,
        name: str,
        kind: str,
        plan: Sequence[Planned],
        timeout: float,
        clock: Callable[[], float],
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self.answer: asyncio.Future[Found] = self._loop.create_future()
        self._name = name
        self._kind = kind
        self._timeout = timeout
        self._clock = clock
        self._began = clock()
        self._ends = timeout * _SHARE  # seconds after it began
        self._plan = list(plan)
        self._under_way: dict[Answering, tuple[Known, float]] = {}  # asked whom, and when
        self._asked_at: dict[Known, float] = {}
        self._asked_alone: set[Known] = set()
        self._in_vain: dict[Known, Answering] = {}  # perhaps
        self._failed: dict[Known, str] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._other: Tries | None = None
        self._proceed()

    def fail(self, error: Exception) -> None:
        """Let this be the end, unless there is an answer."""
        if not self.answer.done():
            self.answer.set_exception(error)

    def beside(self, other: "Tries") -> None:
        """Be one of two of which one will do: when that finds something, wait less long."""
        self._other = other

    def give_up(self) -> "Sequence[asyncio.Task[pycares.DNSResult]]":
        """Wait for no more answers; return what has yet to end."""
        self._stop_timer()
        self._other = None
        self.answer.cancel()  # of one that has failed already, asyncio then tells nothing either
        for answering in self._under_way:
            answering.cancel()
        return [answering for answering in self._under_way if isinstance(answering, asyncio.Task)]

    def _go_on(self) -> None:
        """Proceed; a bug belongs to who has asked, and nobody else ends this."""
        try:
            self._proceed()
        except Exception as bug:
            self.fail(bug)

    def _proceed(self) -> None:
        """Make the tries that are due, and wait for the next, or the end."""
        self._stop_timer()
        passed = self._clock() - self._began
        while self._plan and (not self._under_way or self._timeout * self._plan[0][0] <= passed):
            self._try(self._plan.pop(0)[1])
        rest = self._ends - passed
        if not self._under_way:
            told = "; ".join(dict.fromkeys(self._failed.values()))
            self.fail(NoAnswerError(told or f"no answer within {self._timeout:g} s"))
        elif rest > 0:
            due = self._timeout * self._plan[0][0] - passed if self._plan else rest
            self._timer = self._loop.call_later(min(due, rest), self._go_on)
        elif not any(answering.done() for answering in self._under_way):  # else it has just come
            self.fail(NoAnswerError(f"no answer within {self._timeout:g} s"))

    def _will_not_miss(self) -> None:
        """The other one has found something: that was quick, or it was both that are slow."""
        if self.answer.done():
            return
        passed = self._clock() - self._began
        self._ends = min(self._ends, max(self._timeout * _BESIDE, passed + self._timeout * _STEP))
        if not self._plan or self._timeout * self._plan[0][0] > self._ends:
            self._go_on()  # else it is seen to with the next try

    def _hurry(self, answering: Answering) -> None:
        """Make the next try at that server now, for the answer to this one may have been cut."""
        if self.answer.done():
            return
        known = self._under_way[answering][0]
        self._in_vain[known] = answering
        again = next((one for one in self._plan if one[1] is known), None)
        if again and sum(of is known for of, _ in self._under_way.values()) == 1:
            self._plan.remove(again)
            self._plan.insert(0, (0.0, known))
            self._go_on()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _come(self, answering: Answering) -> None:
        """Something has come, or nothing will."""
        known, tried_at = self._under_way.pop(answering)
        known.server.forget(answering)
        if self.answer.done():
            answering.cancel()  # see `give_up`
            return
        try:
            found = self._read(answering, known, tried_at)
        except Exception as bug:  # it belongs to who has asked
            self.fail(bug)
            return
        if found is None:
            if known in self._failed and known in self._in_vain:
                self._in_vain[known].cancel()  # it need not be waited for
            self._go_on()
        else:
            self._stop_timer()
            self._compare()
            self.answer.set_result(found)
            if found.data and self._other is not None:
                self._other._will_not_miss()

    def _try(self, known: Known) -> None:
        is_first = known not in self._asked_at
        self._asked_at.setdefault(known, self._clock())
        try:
            if is_first:
                answering = known.server.ask(self._name, self._kind, self._hurry)
            else:
                answering = known.server.ask_again(self._name, self._kind)
        except (NoAnswerError, pycares.AresError, OSError) as error:
            self._fail(known, str(error.args[-1]) if error.args else type(error).__name__)
        else:
            self._wait_for(answering, known)

    def _wait_for(self, answering: Answering, known: Known) -> None:
        self._under_way[answering] = known, self._clock()
        answering.add_done_callback(self._come)

    def _read(self, answering: Answering, known: Known, tried_at: float) -> Found | None:
        """Return what has come, None if that is no answer."""
        if answering.cancelled():
            return None
        # Looked at, not raised: "none" comes for one family of most hosts, and with a traceback it
        # would hold this frame, which holds it, until the garbage collector comes.
        error = answering.exception()
        if error is None:
            known.heard(self._clock())
            try:
                return read_answer(self._name, self._kind, answering.result().answer)
            except NoAnswerError as unusable:
                self._fail(known, str(unusable))
                return None
        code = None
        if isinstance(error, aiodns.error.DNSError):
            code, *words = error.args
            told = str(words[0]) if words else f"c-ares error {code}"
        elif isinstance(error, pycares.AresError | OSError):
            told = str(error)
        elif isinstance(error, NoAnswerError):
            self._fail(known, str(error))
            return None
        else:
            raise error
        if code in _NONE:
            known.heard(self._clock())
            return Found()
        if code == _MALFORMED and known not in self._asked_alone:
            # It was perhaps the answer to another question, for c-ares fails them all.
            known.heard(self._clock())
            self._asked_alone.add(known)
            alone = asyncio.ensure_future(known.server.ask_alone(self._name, self._kind))
            self._wait_for(alone, known)
        elif code == _TIMED_OUT and self._clock() - tried_at < _NEVER_SENT:
            self._fail(known, "it can't be sent a question")
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


def planned(servers: Sequence[Known]) -> list[Planned]:
    """Return the tries that are made at servers, the best of which comes first."""
    first = [(_STEP * place, known) for place, known in enumerate(servers)]
    again = max(_AGAIN, _STEP * len(servers))
    return [
        *first[:1],
        *((_STEP, known) for known in servers[:1]),
        *first[1:],
        *((again + share, known) for share, known in first),
    ]
