"""The command line, for tests: run against the DNS server of a loopback federation."""

import pytest
from command_line import Command

from matrix_resolve.testing import LoopbackFederation


@pytest.fixture
def command(
    loopback_federation: LoopbackFederation,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> Command:
    """The command, in a federation where `srv.example` has SRV records."""
    monkeypatch.delenv("NO_COLOR", raising=False)
    loopback_federation.add("host.example")
    loopback_federation.add("srv.example", srv=[("a.example", 8450), ("b.example", 443)])
    return Command(loopback_federation, capsys)
