"""What the hooks are told of a request."""

from types import TracebackType
from typing import Self

from matrix_resolve.core.names import ServerName
from matrix_resolve.federation.outgoing import Outgoing
from matrix_resolve.federation.response import FederationResponse
from matrix_resolve.federation.target import TargetRequest, told_of
from matrix_resolve.hooks.events import (
    Hooks,
    RequestAnswered,
    RequestBegun,
    RequestFailed,
    TargetFailed,
)
from matrix_resolve.transport.failures import are_own


class Telling:
    """A request, of which `hooks`, if there are any, are told until its response is there.

    It begins with an `InvalidServerNameError` where there would be no name to tell of.
    """

    def __init__(self, hooks: Hooks, outgoing: Outgoing) -> None:
        self._hooks = hooks
        self._outgoing = outgoing
        self._name: ServerName

    def __enter__(self) -> Self:
        if self._hooks:
            name = self._outgoing.server_name
            self._name = name if isinstance(name, ServerName) else ServerName.parse(name)
            self._hooks.tell(RequestBegun(server_name=self._name, method=self._outgoing.method))
        return self

    def answered(self, response: FederationResponse) -> None:
        """Tell of the response, as the last thing in this context."""
        if self._hooks:
            self._hooks.tell(
                RequestAnswered(
                    server_name=self._name,
                    method=self._outgoing.method,
                    target=response.target,
                    status=response.status,
                    duration=self._outgoing.seconds(),
                    reused=response.reused,
                )
            )

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._hooks and error is not None:
            self._hooks.tell(
                RequestFailed(
                    server_name=self._name,
                    method=self._outgoing.method,
                    error=error,
                    duration=self._outgoing.seconds(),
                )
            )


def tell_failed(hooks: Hooks, name: ServerName, request_to: TargetRequest, duration: float) -> None:
    """Tell of a target without a connection, after so many seconds."""
    hooks.tell(
        TargetFailed(
            server_name=name,
            target=request_to.target,
            reason=told_of(request_to.attempts),
            duration=duration,
            own_trouble=are_own(request_to.failures.values()),
        )
    )
