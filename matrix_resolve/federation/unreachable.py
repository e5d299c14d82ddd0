"""What could not be reached lately."""

import asyncio
from collections.abc import Hashable, Sequence
from typing import Final

from attrs import frozen

from matrix_resolve.core.bounded import Bounded
from matrix_resolve.core.resolution import Resolution, Target
from matrix_resolve.errors import ConnectError

# A target that could not be reached is tried after the others for so long (seconds).
_TRIED_LAST_FOR: Final = 60.0
# A server of which no target could be reached is not dialled again for so long (seconds).
_DEAD_FOR: Final = 5.0
_MOST: Final = 10_000


@frozen
class _Dead:
    """The error of a server that can't be reached there, which is believed until then."""

    way: Hashable
    until: float
    error: ConnectError


class Unreachable:
    """The targets and the servers that a client could not reach lately.

    A failure is one of a certificate name: a target that has none for one name may have another's.
    """

    def __init__(self) -> None:
        self._targets = Bounded[Hashable, float](_MOST)
        self._servers = Bounded[str, _Dead](_MOST)

    def put_target(self, resolution: Resolution, target: Target) -> None:
        """Have a target tried after the others."""
        until = asyncio.get_running_loop().time() + _TRIED_LAST_FOR
        self._targets.put(_key(resolution, target), until)

    def delete_target(self, resolution: Resolution, target: Target) -> None:
        """Have a target be as good as any."""
        if self._targets:  # so it seldom is
            self._targets.delete(_key(resolution, target))

    def in_order(self, resolution: Resolution) -> Sequence[Target]:
        """Return the targets, those that failed lately last."""
        if len(resolution.targets) == 1:
            return resolution.targets
        now = asyncio.get_running_loop().time()

        def failed_lately(target: Target) -> bool:
            return (self._targets.get(_key(resolution, target)) or 0.0) > now

        return sorted(resolution.targets, key=failed_lately)

    def put_server(self, resolution: Resolution, error: ConnectError) -> None:
        """Have a server's next requests end in the same error, for as long as it leads there."""
        until = asyncio.get_running_loop().time() + _DEAD_FOR
        self._servers.put(_name(resolution), _Dead(_way(resolution), until, error))

    def check_server(self, resolution: Resolution) -> None:
        """Raise `ConnectError` if a server was found dead a moment ago."""
        dead = self._servers.look(_name(resolution)) if self._servers else None
        if dead is None or dead.way != _way(resolution):
            return
        if asyncio.get_running_loop().time() < dead.until:
            raise ConnectError(*dead.error.args)


def _key(resolution: Resolution, target: Target) -> Hashable:
    return target.host, target.port, resolution.tls_name


def _name(resolution: Resolution) -> str:
    return str(resolution.server_name).lower()


def _way(resolution: Resolution) -> Hashable:
    """Return where a resolution leads, in whatever order its targets are."""
    targets = frozenset((target.host, target.port) for target in resolution.targets)
    return resolution.tls_name, targets
