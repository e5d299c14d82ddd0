"""For the tests of programs that resolve Matrix server names.

Two ways, and both go without the Internet:

- In memory: `FakeWellKnown`, `FakeSrv`, `FakeAddresses` and `FakeClock` are given to a `Resolver`
  in place of the network and of time. Quick and exact; they need no extra.
- On loopback: `LoopbackFederation` runs a DNS server and HTTPS servers with certificates of its
  own, so that everything real is exercised: sockets, TLS, redirects, time-outs. It needs
  `pip install 'matrix-resolve[testing]'`, and comes with the pytest fixture
  `loopback_federation`. What its servers do, well or badly, is said with `Reply`, `Redirect`,
  `Slow`, `Dripping`, `Endless`, `CutShort`, `Raw`, `Silent`, `Refused`, `Certificate` and
  `DnsFault`.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matrix_resolve.testing.fakes import FakeAddresses, FakeClock, FakeSrv, FakeWellKnown
    from matrix_resolve.testing.loopback.behaviours import (
        CutShort,
        Dripping,
        Endless,
        Raw,
        Redirect,
        Refused,
        Reply,
        Request,
        Silent,
        Slow,
    )
    from matrix_resolve.testing.loopback.declarations import Certificate, DnsFault
    from matrix_resolve.testing.loopback.federation import LoopbackFederation

__all__ = [
    "Certificate",
    "CutShort",
    "DnsFault",
    "Dripping",
    "Endless",
    "FakeAddresses",
    "FakeClock",
    "FakeSrv",
    "FakeWellKnown",
    "LoopbackFederation",
    "Raw",
    "Redirect",
    "Refused",
    "Reply",
    "Request",
    "Silent",
    "Slow",
]

_MODULES = {
    **dict.fromkeys(("FakeAddresses", "FakeClock", "FakeSrv", "FakeWellKnown"), "fakes"),
    **dict.fromkeys(("Certificate", "DnsFault"), "loopback.declarations"),
    "LoopbackFederation": "loopback.federation",
}
# What the extra "testing" brings; trustme brings idna along.
_EXTRA = frozenset({"dns", "trustme", "cryptography", "idna"})


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        module = import_module(f"{__name__}.{_MODULES.get(name, 'loopback.behaviours')}")
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in _EXTRA:
            raise
        hint = f"{name} needs more than the package: pip install 'matrix-resolve[testing]'"
        raise ImportError(hint, name=error.name) from error
    return getattr(module, name)


def __dir__() -> list[str]:
    return __all__
