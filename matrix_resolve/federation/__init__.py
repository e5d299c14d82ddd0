"""A client that sends requests where a `Resolution` says.

`HttpxTransport` needs the extra `httpx`, and loads it when it is first used.
"""

from typing import TYPE_CHECKING, Any

from matrix_resolve.core.lazy import LazyNames
from matrix_resolve.federation.client import FederationClient, open_federation_client
from matrix_resolve.federation.target import Attempt

if TYPE_CHECKING:
    from matrix_resolve.federation.httpx import HttpxTransport

__all__ = ["Attempt", "FederationClient", "HttpxTransport", "open_federation_client"]


_lazy = LazyNames(
    __name__,
    {"HttpxTransport": "matrix_resolve.federation.httpx"},
    {"HttpxTransport": "httpx"},
)
_lazy.drop_missing(__all__)


def __getattr__(name: str) -> Any:
    return _lazy.get(name)


def __dir__() -> list[str]:
    return __all__
