"""`Resolver`: the short loop between the decision, the plug-ins and the cache.

The trip of a server name, and which file is which station:

    resolver.py      a name that is kept is given at once (resolved.py); any other goes on
    driver.py        decide() says which question is open, until it says where the name leads
    source.py        one caller's enquiry: it joins the flight of each question, and leaves it
    flights.py       single flight: one that many join, or one that begins now
    flight.py        the question under way: looked up, held, queued, asked, learned, landed
    store.py         what is remembered, within a second
    turns.py         the turn to ask, where processes share what is remembered
    upstream.py      the plug-ins, in their slots (slots.py) and time limits, their replies read

and back: a reply is *learned*, becomes an *entry* that is remembered, is *found* by all who wait
(found.py), and with the decision makes a *resolved* name, which is *hot* (hot.py) while it may be
given without another look. Beside the way: endpoints.py finds the
addresses of targets by the same flights, feed.py hears what other processes invalidate,
services.py is what flights share, want.py how much an answer is wanted, and tasks.py what asyncio
lacks.
"""

from matrix_resolve.resolver.resolver import Resolver

__all__ = ["Resolver"]
