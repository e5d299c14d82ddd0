"""What the package promises about speed and memory, measured: `python -m tests.benchmarks`.

`__main__.py` runs each group of figures in a process of its own and prints one table. A group is a
module with `async def measure(scale) -> list[Figure]`:

    cached.py    names that are known, against an awaited read of a dictionary
    cold.py      names that are not, against a bare GET of their document (floors.py)
    own.py       our own code in a cold resolve; many callers of one name, and their cancelling
    latency.py   the time of one cold resolve, against the slowest chain of answers that it needs
    weight.py    memory and collector-tracked objects a name; the longest full collection
    pauses.py    the longest single operation at 300,000 names
    kept.py      cold names with a cache in a file, against one in memory
    pooled.py    a request on a pooled connection, against aiohttp's
    imports.py   importing the package
    peers.py     names a second, against other resolvers in environments of their own

`network.py` starts the servers of `network_server.py` in a process of their own, so that their CPU
time is nobody's. The other files here are commands by themselves; scale.py has modules of its own.
"""
