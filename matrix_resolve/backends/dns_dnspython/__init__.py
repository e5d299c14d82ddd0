"""An optional DNS plug-in, by dnspython (extra `dnspython`)."""

from matrix_resolve.core.lazy import needs

with needs("dnspython", "DnspythonLookup"):
    from matrix_resolve.backends.dns_dnspython.lookup import DnspythonLookup

__all__ = ["DnspythonLookup"]
