"""What both users of aiohttp share: one kind of session, and one way to dial.

session.py opens sessions, whose sockets.py tells what was dialled; pinning.py has them dial the
addresses that were looked up and checked; dialling.py goes through those of one host; words.py
tells people what went wrong, and tls.py has the TLS settings.
"""
