"""The time of one cold resolve, against the slowest chain of answers that it has to wait for.

Every DNS answer takes 30 ms and every document 50 ms, by real sockets. What is over their sum is
TLS, the kernel and our own code; a bare GET by aiohttp and aiodns, in the same rounds, tells how
much of it is not ours.
"""

import time
from typing import Final

from tests.benchmarks.figures import Figure, Scale
from tests.benchmarks.floors import aiohttp_get
from tests.benchmarks.network import new_names, serving

_DNS: Final = 0.030
_WEB: Final = 0.050
# The address of the host, then the document; records are asked for meanwhile.
_ONE_AFTER_ANOTHER: Final = 12
# Whether the delegated name has records can be asked only then.
_RECORDS_AFTER: Final = 15
_KINDS: Final = {
    "literal": ("3.1", _ONE_AFTER_ANOTHER),
    "port": ("3.2", _ONE_AFTER_ANOTHER),
    "dfed": ("3.3", _RECORDS_AFTER),
    "dold": ("3.4", _RECORDS_AFTER),
    "dnone": ("3.5", _RECORDS_AFTER),
    "fed": ("4", _ONE_AFTER_ANOTHER),
    "old": ("5", _ONE_AFTER_ANOTHER),
    "none": ("6", _ONE_AFTER_ANOTHER),
}


async def measure(scale: Scale) -> list[Figure]:
    """Resolve a name of each kind, alone, in each round."""
    over: dict[str, list[float]] = {kind: [] for kind in _KINDS}
    bare: list[float] = []
    with serving(dns_delay=_DNS, web_delay=_WEB) as network:
        async with network.resolver() as resolver, aiohttp_get(network) as get:
            for number in range(scale.rounds + 1):
                started = time.perf_counter()
                await get(*new_names("port", 1))
                if number:  # in the first round much is done for the first time
                    bare.append((time.perf_counter() - started - _DNS - _WEB) * 1e3)
                for kind, (step, most) in _KINDS.items():
                    (name,) = new_names(kind, 1)
                    started = time.perf_counter()
                    resolution = await resolver.resolve(name)
                    taken = time.perf_counter() - started
                    assert resolution.step.value == step, resolution.explain()
                    assert not resolution.degraded, resolution.explain()
                    path = _DNS + _WEB + (_DNS if most == _RECORDS_AFTER else 0)
                    if number:
                        over[kind].append((taken - path) * 1e3)
    name = "latency over the critical path, a bare GET by aiohttp + aiodns"
    return [
        Figure(name=name, unit="ms", ours=bare),
        *(
            Figure(
                name=f"latency over the critical path, step {step}",
                unit="ms",
                ours=over[kind],
                bound=most,
            )
            for kind, (step, most) in _KINDS.items()
        ),
    ]
