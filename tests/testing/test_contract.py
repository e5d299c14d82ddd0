"""The contract's classes: what they find out, and how they run in anybody's project."""

import os
import re
import subprocess
import sys
from pathlib import Path

import contract_faults
import faulty_caches
import faulty_fetchers
import faulty_lookups
import pytest
from projects import run_pytest

from matrix_resolve.testing import contract

HERE = Path(__file__).parent
FAULTY = (faulty_caches, faulty_lookups, faulty_fetchers)
CASES = [(tries, rule) for tries, rules in contract_faults.CAUGHT.items() for rule in rules]
GOOD = [tries for tries, rules in contract_faults.CAUGHT.items() if not rules]
CONTRACTS = [getattr(contract, name) for name in contract.__all__]

Outcomes = set[tuple[str, str, str]]


def name_of(value: object) -> str:
    """What a case is called in the names of tests."""
    return getattr(value, "__name__", str(value))


@pytest.fixture(scope="module")
def outcomes() -> Outcomes:
    """What becomes of the rules when the plug-ins are tried: (outcome, class, rule)."""
    rules = [*((tries, "") for tries in GOOD), *((tries, f"::{rule}") for tries, rule in CASES)]
    nodes = [f"{HERE / tries.__module__}.py::{tries.__name__}{rule}" for tries, rule in rules]
    command = [sys.executable, "-m", "pytest", "-p", "contract_faults", "-p", "no:cacheprovider"]
    root = HERE.parents[1]
    path = os.pathsep.join([str(HERE), os.environ.get("PYTHONPATH", "")])
    run = subprocess.run(
        [*command, "-q", "-rA", "--tb=no", *nodes],
        cwd=root,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
    )
    print(run.stdout[-5000:], run.stderr)
    return set(re.findall(r"^([A-Z]+) \S+::(\w+)::(\w+)", run.stdout, re.MULTILINE))


@pytest.mark.timeout(400)  # the first does it all
@pytest.mark.parametrize(("tries", "rule"), CASES, ids=name_of)
def test_fault_is_found_out(outcomes: Outcomes, tries: type, rule: str) -> None:
    """Each faulty plug-in fails at the rule that it breaks."""
    assert ("FAILED", tries.__name__, rule) in outcomes


@pytest.mark.parametrize("tries", GOOD, ids=name_of)
def test_no_fault_is_found(outcomes: Outcomes, tries: type) -> None:
    """What the faulty ones are made of passes, so it is the fault that is found out."""
    assert {outcome for outcome, name, _ in outcomes if name == tries.__name__} == {"PASSED"}


@pytest.mark.parametrize("rules", CONTRACTS, ids=name_of)
def test_each_rule_finds_something_out(rules: type) -> None:
    """There is no rule in any contract that no faulty plug-in breaks."""
    broken = {rule for tries, rule in CASES if hasattr(rules, rule)}
    for_these = {rule for tries, rule in CASES if issubclass(tries, rules)}
    if rules in (contract.SrvLookupContract, contract.AddressLookupContract):
        broken = for_these
    assert {name for name in dir(rules) if name.startswith("test_")} <= broken


THEIRS = """
import pytest
from matrix_resolve.testing.contract import *

class Dictionary(dict):
    def __init__(self, clock): self.clock = clock
    async def get(self, question, /):
        entry = super().get(question.key)
        return entry if entry and self.clock.time() < entry.keep_until else None
    async def put(self, question, entry, /): self[question.key] = entry
    async def delete(self, question, /): self.pop(question.key, None)

class TestDictionary(AnswerCacheContract):
    @pytest.fixture
    def cache(self, clock): return Dictionary(clock)

class TestNothing(SrvLookupContract): pass
"""


@pytest.mark.parametrize("mode", ["strict", "auto"])
def test_in_another_project(tmp_path: Path, mode: str) -> None:
    """Subclasses run in both modes of pytest-asyncio, without warnings, and no base does.

    What is not given is named.
    """
    printed = run_pytest(tmp_path, THEIRS, "-rA", "-o", f"asyncio_mode={mode}", "-W", "error")
    ran = set(re.findall(r"^(PASSED|FAILED|ERROR) \S+::(\w+)::test_", printed, re.MULTILINE))
    assert ran == {("PASSED", "TestDictionary"), ("ERROR", "TestNothing")}
    assert "TestNothing lacks the fixture `lookup`: the lookup to try" in printed
    assert "1 skipped" in printed
    assert "has no fixture `broken_cache`" in printed


def test_failures_are_explained(tmp_path: Path) -> None:
    """A failed rule shows what was compared, as in tests of one's own."""
    code = THEIRS.replace("self.clock.time() < entry.keep_until", "True")
    printed = run_pytest(tmp_path, code, "-k", "TestDictionary and test_put_past_the_end")
    assert "is None" in printed
    assert "+  where" in printed or "assert CacheEntry(" in printed


def test_pytest_is_needed_by_the_contract_only() -> None:
    """Without pytest the rest of the room can be had."""
    code = (
        "import sys; sys.modules['pytest'] = None\n"
        "import matrix_resolve.testing as testing\n"
        "for name in testing.__all__: getattr(testing, name)\n"
        "try: import matrix_resolve.testing.contract\n"
        "except ImportError: print('needs it')"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout == "needs it\n"
