"""What the flights of one resolver share."""

from attrs import frozen

from matrix_resolve.core.invalidations import Invalidations
from matrix_resolve.hooks.events import Hooks
from matrix_resolve.interfaces import Clock
from matrix_resolve.resolver.store import Store
from matrix_resolve.resolver.upstream import Upstream


@frozen(kw_only=True)
class Services:
    """Where a flight looks up and learns, where it asks, and whom it tells."""

    store: Store
    upstream: Upstream
    invalidations: Invalidations
    outdated: Invalidations
    hooks: Hooks
    clock: Clock
