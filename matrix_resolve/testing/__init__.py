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

And for the tests of plug-ins `matrix_resolve.testing.contract` has what each of them must do.
"""

from typing import TYPE_CHECKING, Any

from matrix_resolve.core.lazy import LazyNames

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
    **dict.fromkeys(__all__, "loopback.behaviours"),
    **dict.fromkeys(("FakeAddresses", "FakeClock", "FakeSrv", "FakeWellKnown"), "fakes"),
    **dict.fromkeys(("Certificate", "DnsFault"), "loopback.declarations"),
    "LoopbackFederation": "loopback.federation",
}
_lazy = LazyNames(
    __name__,
    {name: f"{__name__}.{module}" for name, module in _MODULES.items()},
    {"LoopbackFederation": "testing"},
)
_lazy.drop_missing(__all__)


def __getattr__(name: str) -> Any:
    return _lazy.get(name)


def __dir__() -> list[str]:
    return __all__
