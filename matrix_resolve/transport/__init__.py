"""What both users of aiohttp share: one kind of session, and one way to dial.

session.py opens sessions. dialling.py finds the way to one host: over a connection that is kept, or
by race.py, in which each address has an attempt of its own, TLS and all. attempts.py is what such
an attempt carries through aiohttp, whose own hooks ask for it: pinning.py for the addresses,
connections.py for a socket (and counts those open), guard.py for TLS (and counts what is received),
exchange.py before a request goes out. failures.py and words.py tell what went wrong, and whose
trouble that is; tls.py has the TLS settings.
"""
