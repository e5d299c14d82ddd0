"""Whatever a server does, a check of it ends in time, stays small, and prints what is printable."""

import asyncio
import io
import json
import ssl
import tracemalloc
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path

import pytest
from attrs import evolve
from hostile_servers import KINDS, NAME, Kind, running
from houses import on_linux
from rich.console import Console

from matrix_resolve import SrvRecord
from matrix_resolve.checking.checker import check_server, open_checker
from matrix_resolve.checking.report import Report
from matrix_resolve.cli.check_metrics import write_metrics
from matrix_resolve.cli.check_output import tap
from matrix_resolve.cli.check_view import view
from matrix_resolve.cli.check_watch import changes
from matrix_resolve.core.addresses import AddressPolicy
from matrix_resolve.testing import FakeAddresses, FakeSrv

pytestmark = on_linux

SECONDS = 2.0
MOST = 50_000_000  # bytes


async def check(kind: Kind, *, targets: int) -> Report:
    """Check a hostile server, with so many of its targets."""
    async with running(kind, targets=targets, records=20) as there:
        trusting = ssl.create_default_context(cadata=there.ca_pem.decode())
        trusting.hostname_checks_common_name = False
        checking = open_checker(
            nameservers=[there.nameserver],
            ssl_context=trusting,
            address_policy=AddressPolicy.allow_all(),
            connect_to={(NAME, 443): there.documents},
            timeout=SECONDS,
        )
        # Far more than the deadline, and far less than such servers would take.
        async with checking as checker, asyncio.timeout(SECONDS + 30):
            return await checker.check(NAME)


@pytest.fixture
def _small() -> Iterator[None]:
    """See that what is allocated in a test stays within bounds, that of the servers included."""
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        yield
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak - before < MOST


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
async def test_any_server(kind: Kind, tmp_path: Path) -> None:
    """A report comes of it, and nothing in any of its forms is more than text."""
    report = await check(kind, targets=1)
    assert report.exit_status in (0, 1, 3)
    told = report.to_dict()
    assert json.loads(json.dumps(told, allow_nan=False)) == told
    file = tmp_path / "matrix.prom"
    write_metrics([report], str(file))
    forms = [str(report), *tap([report]), file.read_text(), *texts_in(told)]
    forms += changes(report, report)
    for line in (line for form in forms for line in form.split("\n")):
        assert line.isascii()
        assert line.isprintable()
    for line in (line for form in viewed(report) for line in form.split("\n")):
        assert line.isprintable()


def viewed(report: Report) -> list[str]:
    """Return what is seen on terminals, whose frames are not ASCII."""
    shown = []
    for width in (40, 80, 120):
        out = io.StringIO()
        Console(file=out, width=width, color_system=None, markup=False).print(view(report))
        assert all(len(line) <= width for line in out.getvalue().splitlines())
        shown.append(out.getvalue())
    return shown


def texts_in(value: object) -> list[str]:
    """Return every text in JSON, keys too."""
    if isinstance(value, dict):
        return [*value, *(text for each in value.values() for text in texts_in(each))]
    if isinstance(value, list):
        return [text for each in value for text in texts_in(each)]
    return [value] if isinstance(value, str) else []


@pytest.mark.usefixtures("_small")
@pytest.mark.parametrize("kind", ["header lines without end", "keys by the ten thousand"])
async def test_memory(kind: str) -> None:
    """What comes in is not kept; `python -m tests.benchmarks.hostile_check` has the figures."""
    assert (await check(KINDS[kind], targets=1)).findings


@pytest.mark.parametrize("kind", ["no handshakes", "no answers", "slow drips"])
async def test_many_endpoints(kind: str) -> None:
    """Sixty-four endpoints of the kind don't make it last longer; what was cut off is told."""
    report = await check(evolve(KINDS[kind], well_known=None), targets=4)
    assert "unfinished" in {finding.code for finding in report.findings}
    assert any("connecting to" in each for each in report.facts.unfinished)


@pytest.mark.usefixtures("_small")
async def test_records_by_the_thousand() -> None:
    """Thousands of SRV records and addresses are looked at no further than peers would."""
    targets = [f"{'x' * 60}{number}.test" for number in range(1000)]
    records = [SrvRecord(0, 0, 1 + number, host) for number, host in enumerate(targets)]
    many = [str(ip_address(2**24 * 127 + number)) for number in range(1000)]
    async with asyncio.timeout(SECONDS + 30):
        report = await check_server(
            NAME,
            srv=FakeSrv({f"_matrix-fed._tcp.{NAME}": records}),
            addresses=FakeAddresses(dict.fromkeys([*targets, NAME], many)),
            timeout=SECONDS,
        )
    assert len(report.facts.endpoints) <= 64
    assert len(str(report)) < 100_000
    assert "addresses-private" in {finding.code for finding in report.findings}


async def test_keys_are_not_believed() -> None:
    """Keys that are forged are told as that, and so is a document that has too many."""
    report = await check(KINDS["forged keys"], targets=1)
    codes = {finding.code for finding in report.findings}
    assert {"keys-bad-signature", "keys-too-many"} <= codes
    assert all(
        each.key_document is None or each.key_document.signatures != "verified"
        for each in report.facts.endpoints
    )
