"""A federation on this machine: a DNS server and HTTPS servers on loopback.

Its names come from `matrix_resolve.testing`; what needs the extra `testing` is loaded from there.
"""
