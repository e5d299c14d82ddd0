"""`Resolver`: the short loop between the decision, the plug-ins and the cache."""

from matrix_resolve.resolver.resolver import Resolver

__all__ = ["Resolver"]
