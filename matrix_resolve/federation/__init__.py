"""A client that sends requests where a `Resolution` says."""

from matrix_resolve.federation.client import FederationClient, open_federation_client
from matrix_resolve.federation.target import Attempt

__all__ = ["Attempt", "FederationClient", "open_federation_client"]
