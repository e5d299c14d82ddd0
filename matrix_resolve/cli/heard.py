"""What is heard while names are looked up, and no resolution keeps."""

from collections.abc import Iterator

from matrix_resolve.core.questions import Addresses, AddressesFailed, AskAddresses
from matrix_resolve.core.replies import HttpResponse
from matrix_resolve.core.well_known import next_hop
from matrix_resolve.errors import WellKnownFetchError
from matrix_resolve.hooks import QuestionAnswered, ResolverEvent


class Heard:
    """The answers to questions for addresses, and the redirects of documents: a hook, and more."""

    def __init__(self) -> None:
        self._addresses: dict[str, Addresses | AddressesFailed] = {}
        self._redirects: dict[str, tuple[int, str]] = {}

    def __call__(self, event: ResolverEvent) -> None:
        """Hear of an answer."""
        if isinstance(event, QuestionAnswered) and isinstance(event.question, AskAddresses):
            assert isinstance(event.answer, Addresses | AddressesFailed)
            self._addresses[event.question.hostname] = event.answer

    def redirected(self, response: HttpResponse) -> None:
        """Hear of a response that redirects."""
        location = next((v for name, v in response.headers if name.lower() == "location"), None)
        try:
            to = next_hop(response.url, response.status, location)
        except WellKnownFetchError:  # which the story tells
            return
        if to is not None:
            self._redirects[response.url] = (response.status, to)

    def addresses_of(self, host: str) -> Addresses | AddressesFailed | None:
        """Return what was answered for a host, None if it is not known here."""
        return self._addresses.get(host.lower())

    def alias_of(self, host: str) -> str | None:
        """Return what a host is an alias of, printable; None if it is none, or nothing is known."""
        answer = self.addresses_of(host)
        return answer.canonical_name if isinstance(answer, Addresses) else None

    def redirects_of(self, url: str) -> Iterator[tuple[int, str]]:
        """Yield status and URL of each redirect that a request for `url` has followed."""
        visited = set[str]()
        while url in self._redirects and url not in visited:
            visited.add(url)
            status, url = self._redirects[url]
            yield status, url
