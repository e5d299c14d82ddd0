"""The pure core: the standard library and attrs; no asyncio, no clock, no socket, no cache.

Time and randomness are arguments, questions and answers are values, and every parser raises
nothing but its documented error.
"""
