"""The names that are hot, and which of them cool when an answer is outdated."""

from collections.abc import Callable, Collection, Iterable
from typing import Final

from matrix_resolve.core.names import ServerName
from matrix_resolve.core.questions import Question, hostname_of
from matrix_resolve.core.resolution import Resolution

# Names are noted by the hash of a host, modulo this prime: for each host a set of its own would
# take several times as much memory, and long to free. Of all that may be hot few share a place.
_PLACES: Final = 4093
# When more than so many have to be looked through, it is quicker to let all cool.
_MOST_LOOKED_THROUGH: Final = 1000


class HotNames:
    """What may be given without another look, by the text of the name.

    Nearly every name rests only on questions about the host that its text is, so that a question
    tells which name has to cool. Where that is not so (a name in capitals, one that is delegated
    to a name without a port), it is noted for the other hosts that its questions are about.

    `keys_of` gives the keys of the questions that a hot name rests on: the same as long as it is.
    """

    def __init__(self, keys_of: Callable[[str], Iterable[str]]) -> None:
        self._keys_of = keys_of
        self.given: dict[str | ServerName, Resolution] = {}
        """For the hot path, which only reads."""
        self._elsewhere: dict[int, set[str]] = {}
        self._places: dict[str, Collection[int]] = {}  # where a name is noted, if it is

    def put(self, text: str, resolution: Resolution, keys: Iterable[str]) -> None:
        """Let a name be hot that rests on the questions with these keys.

        Those about the host that its text is may be left out.
        """
        self.given[text] = resolution
        places = _elsewhere(text, keys)
        if places:
            self._places[text] = places
        for place in places:
            texts = self._elsewhere.get(place)
            if texts is None:
                self._elsewhere[place] = {text}
            else:
                texts.add(text)

    def delete(self, text: str) -> bool:
        """Let a name cool, and return whether it was hot."""
        if self.given.pop(text, None) is None:
            return False
        for place in self._places.pop(text, ()):
            texts = self._elsewhere[place]
            texts.remove(text)
            if not texts:
                del self._elsewhere[place]
        return True

    def clear(self) -> None:
        """Let all names cool."""
        self.given.clear()
        self._elsewhere.clear()
        self._places.clear()

    def cool(self, questions: Collection[Question]) -> None:
        """Let the names cool that rest on one of `questions`."""
        for question in questions:
            host = hostname_of(question.key)
            texts = self._elsewhere.get(_place(host), ())
            if len(texts) > _MOST_LOOKED_THROUGH:
                self.clear()
                return
            for text in (host, *texts):
                if text in self.given and question.key in self._keys_of(text):
                    self.delete(text)


def _place(host: str) -> int:
    return hash(host) % _PLACES


def _elsewhere(text: str, keys: Iterable[str]) -> Collection[int]:
    """Return the places of the hosts other than `text` that the questions are about."""
    hosts = set(map(hostname_of, keys))
    hosts.discard(text)
    return set(map(_place, hosts)) if hosts else ()
