"""An optional DNS plug-in, by dnspython (extra `dnspython`)."""

from matrix_resolve.backends.dns_dnspython.lookup import DnspythonLookup

__all__ = ["DnspythonLookup"]
