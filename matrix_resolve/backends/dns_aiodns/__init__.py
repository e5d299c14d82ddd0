"""The default DNS plug-in, by aiodns (c-ares)."""

from matrix_resolve.backends.dns_aiodns.lookup import AiodnsLookup

__all__ = ["AiodnsLookup"]
